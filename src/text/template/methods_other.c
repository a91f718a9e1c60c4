/* Methods of dicts, sequences, numbers and of what globals make. */
#include "text/template/template_int.h"
#include <math.h>

/* ---- dict ---- */

static struct value dict_get_method(struct run *r, struct value *arg, const struct call *c)
{
    struct value out;
    (void)c;
    if (dict_get(r, arg[0].dict, arg[1], &out))
        return out;
    return given(arg[2]) ? arg[2] : NONE;
}

static struct value view(struct value v, enum view_kind kind)
{
    v.kind = V_VIEW;
    v.view = (uint8_t)kind;
    return v;
}

static struct value dict_keys(struct run *r, struct value *arg, const struct call *c)
{
    (void)r;
    (void)c;
    return view(arg[0], VIEW_KEYS);
}

static struct value dict_values(struct run *r, struct value *arg, const struct call *c)
{
    (void)r;
    (void)c;
    return view(arg[0], VIEW_VALUES);
}

static struct value dict_items(struct run *r, struct value *arg, const struct call *c)
{
    (void)r;
    (void)c;
    return view(arg[0], VIEW_ITEMS);
}

static struct value dict_copy(struct run *r, struct value *arg, const struct call *c)
{
    (void)r;
    (void)c;
    return arg[0]; /* values never change */
}

static struct value dict_fromkeys(struct run *r, struct value *arg, const struct call *c)
{
    struct dict *d = dict_new(r);
    struct value key;
    (void)c;
    for (struct iter *it = iter_new(r, arg[1]); iter_next(r, it, &key);)
        dict_put(r, d, key, given(arg[2]) ? arg[2] : NONE);
    return value_dict(d);
}

const struct native methods_dict[] = {
    {"get", "self key default /", 2, dict_get_method},
    {"keys", "self /", 1, dict_keys},
    {"values", "self /", 1, dict_values},
    {"items", "self /", 1, dict_items},
    {"copy", "self /", 1, dict_copy},
    {"fromkeys", "self iterable value /", 2, dict_fromkeys},
    {NULL, NULL, 0, NULL},
};

/* ---- list, tuple, range ---- */

static struct value seq_count(struct run *r, struct value *arg, const struct call *c)
{
    struct value item;
    int64_t n = 0;
    (void)c;
    for (struct iter *it = iter_new(r, arg[0]); iter_next(r, it, &item);)
        n += value_equal(r, item, arg[1]);
    return value_int(n);
}

static int64_t from_end(struct run *r, struct value v, int64_t n, int64_t absent)
{
    if (!given(v))
        return absent;
    int64_t i = want_int(r, v, "a slice index");
    return i < 0 ? (i + n < 0 ? 0 : i + n) : i;
}

static struct value seq_index(struct run *r, struct value *arg, const struct call *c)
{
    struct value item;
    int64_t n, i = 0;
    (void)c;
    value_len(r, arg[0], &n);
    int64_t start = from_end(r, arg[2], n, 0), stop = from_end(r, arg[3], n, n);
    for (struct iter *it = iter_new(r, arg[0]); iter_next(r, it, &item); i++)
        if (i >= start && i < stop && value_equal(r, item, arg[1]))
            return value_int(i);
    fail(r, "value is not in the %s", type_name(arg[0]));
}

const struct native methods_seq[] = {
    {"count", "self value /", 2, seq_count},
    {"index", "self value start stop /", 2, seq_index},
    {"copy", "self /", 1, dict_copy},
    {NULL, NULL, 0, NULL},
};

/* ---- numbers ---- */

static struct value number_conjugate(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return op_plus(r, arg[0]);
}

static struct value float_is_integer(struct run *r, struct value *arg, const struct call *c)
{
    (void)r;
    (void)c;
    return value_bool(isfinite(arg[0].f) && arg[0].f == floor(arg[0].f));
}

static uint64_t magnitude(struct value v)
{
    return v.i < 0 ? -(uint64_t)v.i : (uint64_t)v.i;
}

static struct value int_bit_length(struct run *r, struct value *arg, const struct call *c)
{
    uint64_t u = magnitude(arg[0]);
    (void)r;
    (void)c;
    return value_int(u ? 64 - __builtin_clzll(u) : 0);
}

static struct value int_bit_count(struct run *r, struct value *arg, const struct call *c)
{
    (void)r;
    (void)c;
    return value_int(__builtin_popcountll(magnitude(arg[0])));
}

const struct native methods_number[] = {
    {"conjugate", "self /", 1, number_conjugate},
    {"is_integer", "self /", 1, float_is_integer},
    {"bit_length", "self /", 1, int_bit_length},
    {"bit_count", "self /", 1, int_bit_count},
    {NULL, NULL, 0, NULL},
};

/* ---- cycler, and dict itself ---- */

static struct value cycler_next(struct run *r, struct value *arg, const struct call *c)
{
    struct cycler *cycler = arg[0].cycler;
    struct value v = cycler->items->at[cycler->pos];
    (void)r;
    (void)c;
    cycler->pos = (cycler->pos + 1) % cycler->items->n;
    return v;
}

static struct value cycler_reset(struct run *r, struct value *arg, const struct call *c)
{
    (void)r;
    (void)c;
    arg[0].cycler->pos = 0;
    return NONE;
}

const struct native methods_other[] = {
    {"next", "self /", 1, cycler_next},
    {"reset", "self /", 1, cycler_reset},
    {"fromkeys", "self iterable value /", 2, dict_fromkeys},
    {NULL, NULL, 0, NULL},
};

/* Filters whose answer Python makes lazily: map, select and their kin, batch, slice, unique, items. Each
 * answer can be read once; nothing is computed, and no error found, before it is read. */
#include "text/template/template_int.h"

/* What a lazy filter was called with. */
struct lazy {
    const struct call *c; /* arg[0] is the value */
    bool by_attr, negate;
    const struct native *native; /* filter or test, once it is known */
    struct dict *seen;
    struct value arg[4];
};

static struct lazy *lazy_new(struct run *r, const struct call *c)
{
    struct lazy *l = run_alloc(r, sizeof *l);
    struct call *copy = run_alloc(r, sizeof *copy);
    *copy = *c;
    *l = (struct lazy){.c = copy};
    return l;
}

/* Reads the first time: jinja2's generators do nothing for values that are false. */
static bool start(struct run *r, struct iter *it)
{
    if (it->started)
        return it->from != NULL;
    it->started = true;
    if (value_true(r, it->source))
        it->from = iter_new(r, it->source);
    return it->from != NULL;
}

/* `f` on an item, with the arguments from number `skip` on. */
static struct value apply(struct run *r, const struct native *f, const struct lazy *l, struct value item,
                          uint32_t skip)
{
    struct call c = {.n_arg = l->c->n_arg - skip + 1, .kw = l->c->kw, .n_kw = l->c->n_kw};
    c.arg = run_alloc(r, c.n_arg * sizeof *c.arg);
    c.arg[0] = item;
    for (uint32_t i = 1; i < c.n_arg; i++)
        c.arg[i] = l->c->arg[skip + i - 1];
    return native_call(r, f, &c);
}

/* ---- map ---- */

static struct value keyword(const struct call *c, const char *name)
{
    for (uint32_t i = 0; i < c->n_kw; i++)
        if (str_eq(c->kw[i].name, str_from(name)))
            return c->kw[i].value;
    return MISSING;
}

static void prepare_map(struct run *r, struct lazy *l)
{
    const struct call *c = l->c;
    l->arg[0] = keyword(c, "attribute");
    l->arg[1] = keyword(c, "default");
    l->by_attr = c->n_arg == 1 && given(l->arg[0]);
    if (l->by_attr) {
        if (c->n_kw > 1u + given(l->arg[1]))
            fail(r, "map: unexpected keyword argument");
        return;
    }
    if (c->n_arg < 2)
        fail(r, "map requires a filter argument");
    struct str name = want_str(r, c->arg[1], "map: the name of a filter");
    l->native = filter_find(name);
    if (!l->native)
        fail(r, "No filter named '" STR_FMT "'.", STR_ARG(name));
}

static bool next_mapped(struct run *r, struct iter *it, struct value *out)
{
    struct lazy *l = (struct lazy *)it->self;
    bool fresh = !it->started;
    if (!start(r, it))
        return false;
    if (fresh)
        prepare_map(r, l);
    if (!iter_next(r, it->from, out))
        return false;
    *out = l->by_attr ? get_path(r, *out, l->arg[0], l->arg[1]) : apply(r, l->native, l, *out, 2);
    return true;
}

static struct value filter_map(struct run *r, struct value *arg, const struct call *c)
{
    return value_iter(iter_make(r, "generator", next_mapped, arg[0], lazy_new(r, c)));
}

/* ---- select, reject, selectattr, rejectattr ---- */

static void prepare_select(struct run *r, struct lazy *l)
{
    const struct call *c = l->c;
    uint32_t at = 1u + l->by_attr;
    if (c->n_arg < at)
        fail(r, "Missing parameter for attribute name");
    if (c->n_arg == at)
        return;
    struct str name = want_str(r, c->arg[at], "the name of a test");
    l->native = test_find(name);
    if (!l->native)
        fail(r, "No test named '" STR_FMT "'.", STR_ARG(name));
}

static bool next_selected(struct run *r, struct iter *it, struct value *out)
{
    struct lazy *l = (struct lazy *)it->self;
    bool fresh = !it->started;
    if (!start(r, it))
        return false;
    if (fresh)
        prepare_select(r, l);
    while (iter_next(r, it->from, out)) {
        struct value v = l->by_attr ? get_path(r, *out, l->c->arg[1], MISSING) : *out;
        if (l->native)
            v = apply(r, l->native, l, v, 2u + l->by_attr);
        if (value_true(r, v) != l->negate)
            return true;
    }
    return false;
}

static struct value selected(struct run *r, struct value v, const struct call *c, bool by_attr, bool negate)
{
    struct lazy *l = lazy_new(r, c);
    l->by_attr = by_attr;
    l->negate = negate;
    return value_iter(iter_make(r, "generator", next_selected, v, l));
}

static struct value filter_select(struct run *r, struct value *arg, const struct call *c)
{
    return selected(r, arg[0], c, false, false);
}

static struct value filter_reject(struct run *r, struct value *arg, const struct call *c)
{
    return selected(r, arg[0], c, false, true);
}

static struct value filter_selectattr(struct run *r, struct value *arg, const struct call *c)
{
    return selected(r, arg[0], c, true, false);
}

static struct value filter_rejectattr(struct run *r, struct value *arg, const struct call *c)
{
    return selected(r, arg[0], c, true, true);
}

/* ---- unique ---- */

struct value fold_case(struct run *r, struct value v, struct value case_sensitive)
{
    if (!is_str(v) || (given(case_sensitive) && value_true(r, case_sensitive)))
        return v;
    return native_call(r, native_find(methods_case, STR("lower")), &(struct call){.arg = &v, .n_arg = 1});
}

static bool next_unique(struct run *r, struct iter *it, struct value *out)
{
    struct lazy *l = (struct lazy *)it->self;
    struct value seen;
    if (!it->started) {
        it->started = true;
        it->from = iter_new(r, it->source);
        l->seen = dict_new(r);
    }
    while (iter_next(r, it->from, out)) {
        struct value key = fold_case(r, get_path(r, *out, l->arg[1], MISSING), l->arg[0]);
        if (dict_get(r, l->seen, key, &seen))
            continue;
        dict_put(r, l->seen, key, NONE);
        return true;
    }
    return false;
}

static struct value filter_unique(struct run *r, struct value *arg, const struct call *c)
{
    struct lazy *l = lazy_new(r, c);
    l->arg[0] = arg[1];
    l->arg[1] = arg[2];
    return value_iter(iter_make(r, "generator", next_unique, arg[0], l));
}

/* ---- batch, slice ---- */

static bool next_batch(struct run *r, struct iter *it, struct value *out)
{
    const struct lazy *l = it->self;
    struct list_maker m = {.r = r};
    struct value item;
    if (!it->started) {
        it->started = true;
        it->from = iter_new(r, it->source);
    }
    bool only_exact = !is_int(l->arg[0]); /* a float may be equal to a count */
    for (;;) {
        if (m.n && value_equal(r, value_int(m.n), l->arg[0]))
            break;
        if (!iter_next(r, it->from, &item))
            break;
        list_add(&m, item);
    }
    if (m.n == 0)
        return false;
    if (given_not_none(l->arg[1]) && !only_exact)
        while (m.n < l->arg[0].i)
            list_add(&m, l->arg[1]);
    *out = value_list(V_LIST, list_done(&m));
    return true;
}

static struct value filter_batch(struct run *r, struct value *arg, const struct call *c)
{
    struct lazy *l = lazy_new(r, c);
    l->arg[0] = arg[1];
    l->arg[1] = arg[2];
    if (!is_int(arg[1]) || arg[1].i < 1)
        fail(r, "batch by anything but a positive integer is not supported");
    return value_iter(iter_make(r, "generator", next_batch, arg[0], l));
}

static bool next_slice(struct run *r, struct iter *it, struct value *out)
{
    struct lazy *l = (struct lazy *)it->self;
    if (!it->started) {
        it->started = true;
        l->arg[2] = value_list(V_LIST, list_of(r, it->source));
        it->n = want_int(r, l->arg[0], "slice: the number of slices");
        if (it->n == 0)
            fail(r, "integer division or modulo by zero");
    }
    if (it->i >= it->n)
        return false;
    int64_t n = l->arg[2].list->n, size = n / it->n, extra = n % it->n, k = it->i++;
    int64_t begin = k * size + (k < extra ? k : extra), count = size + (k < extra);
    struct list_maker m = {.r = r};
    for (int64_t i = 0; i < count; i++)
        list_add(&m, l->arg[2].list->at[begin + i]);
    if (given_not_none(l->arg[1]) && k >= extra)
        list_add(&m, l->arg[1]);
    *out = value_list(V_LIST, list_done(&m));
    return true;
}

static struct value filter_slice(struct run *r, struct value *arg, const struct call *c)
{
    struct lazy *l = lazy_new(r, c);
    l->arg[0] = arg[1];
    l->arg[1] = arg[2];
    return value_iter(iter_make(r, "generator", next_slice, arg[0], l));
}

/* ---- items ---- */

static bool next_pair(struct run *r, struct iter *it, struct value *out)
{
    if (it->source.kind == V_UNDEFINED)
        return false;
    if (it->source.kind != V_DICT)
        fail(r, "Can only get item pairs from a mapping.");
    if (it->i >= it->source.dict->n)
        return false;
    *out = value_pair(r, it->source.dict->key[it->i], it->source.dict->val[it->i]);
    it->i++;
    return true;
}

static struct value filter_items(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return value_iter(iter_make(r, "generator", next_pair, arg[0], NULL));
}

const struct native filters_lazy[] = {
    {"map", NULL, 0, filter_map},
    {"select", NULL, 0, filter_select},
    {"reject", NULL, 0, filter_reject},
    {"selectattr", NULL, 0, filter_selectattr},
    {"rejectattr", NULL, 0, filter_rejectattr},
    {"unique", "value case_sensitive attribute", 1, filter_unique},
    {"batch", "value linecount fill_with", 2, filter_batch},
    {"slice", "value slices fill_with", 2, filter_slice},
    {"items", "value", 1, filter_items},
    {NULL, NULL, 0, NULL},
};

/* Filters on sequences and dicts that answer at once. */
#include "text/template/template_int.h"

#define FILTER(name) static struct value name(struct run *r, struct value *arg, const struct call *c)
#define UNUSED       (void)r, (void)arg, (void)c

FILTER(filter_default)
{
    UNUSED;
    bool use =
        arg[0].kind == V_UNDEFINED || (given(arg[2]) && value_true(r, arg[2]) && !value_true(r, arg[0]));
    return !use ? arg[0] : given(arg[1]) ? arg[1] : value_ascii("");
}

FILTER(filter_length)
{
    UNUSED;
    int64_t n;
    if (!value_len(r, arg[0], &n))
        fail(r, "object of type '%s' has no len()", type_name(arg[0]));
    return value_int(n);
}

FILTER(filter_list)
{
    UNUSED;
    return value_list(V_LIST, list_of(r, arg[0]));
}

FILTER(filter_first)
{
    UNUSED;
    struct value v;
    if (iter_next(r, iter_new(r, arg[0]), &v))
        return v;
    return value_undefined(r, "No first item, sequence was empty.");
}

FILTER(filter_last)
{
    UNUSED;
    struct value v, reversed = arg[0].kind == V_UNDEFINED ? MISSING : value_reversed(r, arg[0]);
    if (arg[0].kind == V_UNDEFINED)
        fail_undefined(r, arg[0]);
    if (!given(reversed))
        fail(r, "'%s' object is not reversible", type_name(arg[0]));
    return iter_next(r, reversed.iter, &v) ? v : value_undefined(r, "No last item, sequence was empty.");
}

FILTER(filter_reverse)
{
    UNUSED;
    if (is_str(arg[0]))
        return slice_get(r, arg[0], NONE, NONE, value_int(-1));
    struct value v = value_reversed(r, arg[0]);
    if (given(v))
        return v;
    const struct list *l = list_of(r, arg[0]);
    struct list_maker m = {.r = r};
    for (uint32_t i = l->n; i > 0; i--)
        list_add(&m, l->at[i - 1]);
    return value_list(V_LIST, list_done(&m));
}

FILTER(filter_join)
{
    UNUSED;
    struct text t = {.r = r};
    struct value item, separator = given(arg[1]) ? value_to_str(r, arg[1]) : value_ascii("");
    bool first = true;
    for (struct iter *it = iter_new(r, arg[0]); iter_next(r, it, &item); first = false) {
        if (!first)
            text_put(&t, value_text(separator));
        put_str(&t, get_path(r, item, arg[2], MISSING));
    }
    return text_done(&t);
}

/* ---- order ---- */

static bool flag(struct run *r, struct value v)
{
    return given(v) && value_true(r, v);
}

/* The list of what a comma-separated attribute names: the key of sort. */
static struct value multi_key(struct run *r, struct value item, struct value attribute,
                              struct value case_sensitive)
{
    struct list_maker m = {.r = r};
    if (!given(attribute) || !is_str(attribute)) {
        list_add(&m, fold_case(r, get_path(r, item, attribute, MISSING), case_sensitive));
        return value_list(V_LIST, list_done(&m));
    }
    for (size_t at = 0;;) {
        size_t comma = str_find(value_text(attribute), STR(","), at);
        struct value part = text_sub(attribute, at, comma == SIZE_MAX ? attribute.n : comma);
        list_add(&m, fold_case(r, get_path(r, item, part, MISSING), case_sensitive));
        if (comma == SIZE_MAX)
            return value_list(V_LIST, list_done(&m));
        at = comma + 1;
    }
}

/* A copy of the values that may be sorted in place. */
static struct list_maker copy_of(struct run *r, struct value v)
{
    const struct list *l = list_of(r, v);
    struct list_maker m = {.r = r};
    for (uint32_t i = 0; i < l->n; i++)
        list_add(&m, l->at[i]);
    return m;
}

FILTER(filter_sort)
{
    UNUSED;
    struct list_maker items = copy_of(r, arg[0]), keys = {.r = r};
    for (uint32_t i = 0; i < items.n; i++)
        list_add(&keys, multi_key(r, items.at[i], arg[3], arg[2]));
    list_sort(r, keys.at, items.at, items.n, flag(r, arg[1]));
    return value_list(V_LIST, list_done(&items));
}

FILTER(filter_dictsort)
{
    UNUSED;
    bool by_value = given(arg[2]) && value_equal(r, arg[2], value_ascii("value"));
    if (given(arg[2]) && !by_value && !value_equal(r, arg[2], value_ascii("key")))
        fail(r, "You can only sort by either \"key\" or \"value\"");
    if (arg[0].kind == V_UNDEFINED)
        fail_undefined(r, arg[0]);
    if (arg[0].kind != V_DICT)
        fail(r, "'%s' object has no attribute 'items'", type_name(arg[0]));
    const struct dict *d = arg[0].dict;
    struct list_maker items = {.r = r}, keys = {.r = r};
    for (uint32_t i = 0; i < d->n; i++) {
        list_add(&items, value_pair(r, d->key[i], d->val[i]));
        list_add(&keys, fold_case(r, by_value ? d->val[i] : d->key[i], arg[1]));
    }
    list_sort(r, keys.at, items.at, items.n, flag(r, arg[3]));
    return value_list(V_LIST, list_done(&items));
}

static struct value extreme(struct run *r, struct value *arg, bool want_max)
{
    struct value v, best = MISSING, best_key = MISSING;
    for (struct iter *it = iter_new(r, arg[0]); iter_next(r, it, &v);) {
        struct value key = fold_case(r, get_path(r, v, arg[2], MISSING), arg[1]);
        if (given(best_key) &&
            !(want_max ? value_compare(r, key, best_key, ">") == 1 : value_less(r, key, best_key)))
            continue;
        best = v;
        best_key = key;
    }
    return given(best) ? best : value_undefined(r, "No aggregated item, sequence was empty.");
}

FILTER(filter_min)
{
    UNUSED;
    return extreme(r, arg, false);
}

FILTER(filter_max)
{
    UNUSED;
    return extreme(r, arg, true);
}

FILTER(filter_sum)
{
    UNUSED;
    struct value v, sum = given(arg[2]) ? arg[2] : value_int(0);
    if (is_str(sum))
        fail(r, "sum() can't sum strings [use ''.join(seq) instead]");
    for (struct iter *it = iter_new(r, arg[0]); iter_next(r, it, &v);)
        sum = op_binary(r, OP_ADD, sum, get_path(r, v, arg[1], MISSING));
    return sum;
}

static struct value group(struct run *r, struct value key, struct list_maker *items)
{
    struct value pair = value_pair(r, key, value_list(V_LIST, list_done(items)));
    pair.flags |= FLAG_GROUP;
    *items = (struct list_maker){.r = r};
    return pair;
}

FILTER(filter_groupby)
{
    UNUSED;
    struct list_maker items = copy_of(r, arg[0]), keys = {.r = r}, out = {.r = r}, now = {.r = r};
    for (uint32_t i = 0; i < items.n; i++)
        list_add(&keys, fold_case(r, get_path(r, items.at[i], arg[1], arg[2]), arg[3]));
    list_sort(r, keys.at, items.at, items.n, false);
    for (uint32_t i = 0; i < items.n; i++) {
        list_add(&now, items.at[i]);
        if (i + 1 == items.n || !value_equal(r, keys.at[i], keys.at[i + 1]))
            list_add(&out, group(r, get_path(r, now.at[0], arg[1], arg[2]), &now));
    }
    return value_list(V_LIST, list_done(&out));
}

FILTER(filter_attr)
{
    UNUSED;
    struct str name = want_str(r, arg[1], "attr: the name");
    struct value v = arg[0].kind == V_UNDEFINED ? MISSING : get_own_attr(r, arg[0], name);
    if (arg[0].kind == V_UNDEFINED)
        fail_undefined(r, arg[0]);
    return given(v) ? v
                    : value_undefined(r, "'%s object' has no attribute '" STR_FMT "'", type_name(arg[0]),
                                      STR_ARG(name));
}

FILTER(filter_random)
{
    UNUSED;
    fail(r, "random is not supported: no two renders would agree");
}

FILTER(filter_tojson)
{
    UNUSED;
    struct text t = {.r = r};
    put_json(&t, arg[0], arg[1], arg[2], arg[3], arg[4]);
    return text_done(&t);
}

FILTER(filter_pprint)
{
    UNUSED;
    return pretty(r, arg[0]);
}

const struct native filters_seq[] = {
    {"default", "value default_value boolean", 1, filter_default},
    {"d", "value default_value boolean", 1, filter_default},
    {"length", "obj /", 1, filter_length},
    {"count", "obj /", 1, filter_length},
    {"list", "value", 1, filter_list},
    {"first", "seq", 1, filter_first},
    {"last", "seq", 1, filter_last},
    {"reverse", "value", 1, filter_reverse},
    {"join", "value d attribute", 1, filter_join},
    {"sort", "value reverse case_sensitive attribute", 1, filter_sort},
    {"dictsort", "value case_sensitive by reverse", 1, filter_dictsort},
    {"min", "value case_sensitive attribute", 1, filter_min},
    {"max", "value case_sensitive attribute", 1, filter_max},
    {"sum", "iterable attribute start", 1, filter_sum},
    {"groupby", "value attribute default case_sensitive", 2, filter_groupby},
    {"attr", "obj name", 2, filter_attr},
    {"random", "seq", 1, filter_random},
    {"tojson", "x ensure_ascii indent separators sort_keys", 1, filter_tojson},
    {"pprint", "value", 1, filter_pprint},
    {NULL, NULL, 0, NULL},
};

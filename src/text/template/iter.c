/* Iteration: over every kind that Python can iterate, and over what it makes lazily. A lazy value is consumed
 * once. */
#include "text/template/template_int.h"

struct iter *iter_make(struct run *r, const char *type,
                       bool (*next)(struct run *, struct iter *, struct value *), struct value source,
                       const void *self)
{
    struct iter *it = run_alloc(r, sizeof *it);
    *it = (struct iter){.next = next, .type = type, .source = source, .self = self};
    return it;
}

struct value value_iter(struct iter *it)
{
    return (struct value){.kind = V_ITER, .iter = it};
}

bool iter_next(struct run *r, struct iter *it, struct value *out)
{
    run_step(r);
    run_enter(r);
    bool more = it->next(r, it, out);
    run_leave(r);
    return more;
}

static bool next_nothing(struct run *r, struct iter *it, struct value *out)
{
    (void)r;
    (void)it;
    (void)out;
    return false;
}

static bool next_char(struct run *r, struct iter *it, struct value *out)
{
    unsigned n = 1;
    (void)r;
    if (it->byte >= it->source.n)
        return false;
    text_cp(value_text(it->source), it->byte, &n);
    *out = text_sub(it->source, it->byte, it->byte + n);
    out->flags &= (uint8_t)~FLAG_MARKUP;
    it->byte += n;
    return true;
}

static bool next_item(struct run *r, struct iter *it, struct value *out)
{
    (void)r;
    if (it->i >= it->source.list->n)
        return false;
    *out = it->source.list->at[it->i++];
    return true;
}

static struct value view_at(struct run *r, struct value v, uint32_t i)
{
    if (v.kind == V_VIEW && v.view == VIEW_ITEMS)
        return value_pair(r, v.dict->key[i], v.dict->val[i]);
    return v.kind == V_VIEW && v.view == VIEW_VALUES ? v.dict->val[i] : v.dict->key[i];
}

static bool next_entry(struct run *r, struct iter *it, struct value *out)
{
    if (it->i >= it->source.dict->n)
        return false;
    *out = view_at(r, it->source, (uint32_t)it->i++);
    return true;
}

static bool next_number(struct run *r, struct iter *it, struct value *out)
{
    (void)r;
    if (it->i >= it->source.range->n)
        return false;
    *out = value_int(it->source.range->start + it->i++ * it->source.range->step);
    return true;
}

static const struct {
    uint8_t kind;
    const char *type;
    bool (*next)(struct run *, struct iter *, struct value *);
} kinds[] = {
    {V_UNDEFINED, "generator", next_nothing}, {V_STR, "str_iterator", next_char},
    {V_LIST, "list_iterator", next_item},     {V_TUPLE, "tuple_iterator", next_item},
    {V_DICT, "dict_keyiterator", next_entry}, {V_VIEW, "dict_iterator", next_entry},
    {V_RANGE, "range_iterator", next_number},
};

bool iterable(struct value v)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].kind == v.kind)
            return true;
    return v.kind == V_ITER;
}

struct iter *iter_new(struct run *r, struct value v)
{
    if (v.kind == V_ITER)
        return v.iter;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].kind == v.kind)
            return iter_make(r, kinds[i].type, kinds[i].next, v, NULL);
    if (v.kind == V_LOOP)
        fail(r, "iterating over `loop` is not supported");
    fail(r, "'%s' object is not iterable", type_name(v));
}

/* ---- backwards ---- */

static bool next_reversed(struct run *r, struct iter *it, struct value *out)
{
    if (it->i == 0)
        return false;
    it->i--;
    if (is_seq(it->source))
        *out = it->source.list->at[it->i];
    else if (it->source.kind == V_RANGE)
        *out = value_int(it->source.range->start + it->i * it->source.range->step);
    else if (it->source.kind == V_STR)
        *out = index_get(r, it->source, it->i);
    else
        *out = view_at(r, it->source, (uint32_t)it->i);
    return true;
}

struct value value_reversed(struct run *r, struct value v)
{
    static const char *const types[] = {[V_STR] = "reversed",
                                        [V_LIST] = "list_reverseiterator",
                                        [V_TUPLE] = "reversed",
                                        [V_DICT] = "dict_reversekeyiterator",
                                        [V_VIEW] = "dict_reverseiterator",
                                        [V_RANGE] = "range_iterator"};
    int64_t n;
    if (v.kind < V_STR || v.kind > V_RANGE || !value_len(r, v, &n))
        return MISSING;
    struct iter *it = iter_make(r, types[v.kind], next_reversed, v, NULL);
    it->i = n;
    return value_iter(it);
}

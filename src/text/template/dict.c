/* Dicts: pairs in the order of insertion, with an index of hashes from a handful of pairs on. Keys are what
 * Python can hash; 1, 1.0 and True are one key. The hash is keyed: keys come from outside. */
#include "text/template/template_int.h"
#include <math.h>
#include <string.h>

#define SMALL_DICT 8

static uint64_t hash_int(const struct run *r, int64_t i)
{
    return hash_bytes(&i, sizeof i, r->hash_key);
}

static uint64_t hash_value(struct run *r, struct value v)
{
    uint64_t h = V_TUPLE;
    run_step(r);
    switch (v.kind) {
    case V_BOOL:
    case V_INT:
        return hash_int(r, v.i);
    case V_FLOAT:
        if (v.f == floor(v.f) && fabs(v.f) < 9e18)
            return hash_int(r, (int64_t)v.f);
        return hash_bytes(&v.f, sizeof v.f, r->hash_key);
    case V_STR:
        run_spend_bytes(r, v.n);
        return hash_bytes(v.p, v.n, r->hash_key);
    case V_TUPLE:
        run_enter(r);
        for (uint32_t i = 0; i < v.list->n; i++)
            h = h * 1000003u + hash_value(r, v.list->at[i]);
        run_leave(r);
        return h;
    case V_NONE:
    case V_UNDEFINED:
        return hash_int(r, v.kind);
    case V_RANGE:
        return hash_int(r, v.range->n);
    case V_LIST:
    case V_DICT:
        fail(r, "unhashable type: '%s'", type_name(v));
    default:
        fail(r, "a %s as the key of a dict is not supported", type_name(v));
    }
}

struct dict *dict_new(struct run *r)
{
    struct dict *d = run_alloc(r, sizeof *d);
    *d = (struct dict){0};
    return d;
}

struct value value_dict(const struct dict *d)
{
    return (struct value){.kind = V_DICT, .dict = d};
}

/* Entry of the key, or UINT32_MAX. */
static uint32_t find(struct run *r, const struct dict *d, struct value key, uint64_t hash)
{
    if (!d->slot) {
        for (uint32_t i = 0; i < d->n; i++)
            if (value_equal(r, d->key[i], key))
                return i;
        return UINT32_MAX;
    }
    for (uint32_t at = (uint32_t)hash & (d->n_slot - 1);; at = (at + 1) & (d->n_slot - 1)) {
        if (!d->slot[at])
            return UINT32_MAX;
        if (value_equal(r, d->key[d->slot[at] - 1], key))
            return d->slot[at] - 1;
    }
}

static void index_entry(struct dict *d, uint32_t entry, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (d->n_slot - 1);
    while (d->slot[at])
        at = (at + 1) & (d->n_slot - 1);
    d->slot[at] = entry + 1;
}

static void grow(struct run *r, struct dict *d)
{
    uint32_t cap = d->cap ? d->cap * 2 : 4;
    struct value *key = run_alloc(r, (size_t)cap * sizeof *key),
                 *val = run_alloc(r, (size_t)cap * sizeof *val);
    if (d->n) {
        memcpy(key, d->key, d->n * sizeof *key);
        memcpy(val, d->val, d->n * sizeof *val);
    }
    d->key = key;
    d->val = val;
    d->cap = cap;
    if (cap <= SMALL_DICT)
        return;
    d->n_slot = cap * 2;
    d->slot = run_alloc(r, d->n_slot * sizeof *d->slot);
    memset(d->slot, 0, d->n_slot * sizeof *d->slot);
    for (uint32_t i = 0; i < d->n; i++)
        index_entry(d, i, hash_value(r, d->key[i]));
}

void dict_put(struct run *r, struct dict *d, struct value key, struct value val)
{
    uint64_t hash = hash_value(r, key);
    uint32_t at = find(r, d, key, hash);
    if (at != UINT32_MAX) {
        d->val[at] = val;
        return;
    }
    if (d->n == d->cap)
        grow(r, d);
    if (d->slot)
        index_entry(d, d->n, hash);
    d->key[d->n] = key;
    d->val[d->n++] = val;
}

bool dict_get(struct run *r, const struct dict *d, struct value key, struct value *out)
{
    uint32_t at = find(r, d, key, hash_value(r, key));
    if (at == UINT32_MAX)
        return false;
    *out = d->val[at];
    return true;
}

bool dict_get_text(struct run *r, const struct dict *d, struct str key, struct value *out)
{
    return dict_get(r, d, (struct value){.kind = V_STR, .n = (uint32_t)key.n, .p = key.p}, out);
}

void dict_update(struct run *r, struct dict *d, struct value from)
{
    struct value item;
    if (from.kind == V_DICT) {
        for (uint32_t i = 0; i < from.dict->n; i++)
            dict_put(r, d, from.dict->key[i], from.dict->val[i]);
        return;
    }
    for (struct iter *it = iter_new(r, from); iter_next(r, it, &item);) {
        const struct list *pair = list_of(r, item);
        if (pair->n != 2)
            fail(r, "a dict is made of pairs, not of %u values", pair->n);
        dict_put(r, d, pair->at[0], pair->at[1]);
    }
}

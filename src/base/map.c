/* Hash map: open addressing, linear probing, at most 3/4 full; keyed hash so that a file cannot choose
 * collisions. */
#include "base/map.h"
#include "base/rng.h"
#include <stdlib.h>
#include <string.h>

struct map_slot {
    struct str key; /* .p NULL: free */
    uint64_t hash, value;
};

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load64(const unsigned char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

uint64_t hash_bytes(const void *data, size_t n, uint64_t key)
{
    const uint64_t k0 = 0x9e3779b97f4a7c15u, k1 = 0xd6e8feb86659fd93u;
    const unsigned char *p = data;
    uint64_t h = mix(key ^ k0, (uint64_t)n ^ k1);
    for (; n > 16; n -= 16, p += 16)
        h = mix(load64(p) ^ h ^ k0, load64(p + 8) ^ key ^ k1);
    unsigned char tail[16] = {0};
    if (n)
        memcpy(tail, p, n);
    h = mix(load64(tail) ^ h ^ k0, load64(tail + 8) ^ key ^ k1);
    return mix(h ^ k1, key ^ k0);
}

static enum status slots_new(struct map *m, size_t cap)
{
    m->slot = calloc(cap, sizeof *m->slot);
    m->cap = m->slot ? cap : 0;
    return m->slot ? ST_OK : ST_NO_MEMORY;
}

enum status map_init(struct map *m, size_t expect)
{
    size_t cap = 16;
    *m = (struct map){.key = rng_entropy()};
    if (expect > SIZE_MAX / 4 / sizeof *m->slot)
        return ST_NO_MEMORY;
    while (cap / 4 * 3 < expect)
        cap *= 2;
    return slots_new(m, cap);
}

void map_fini(struct map *m)
{
    free(m->slot);
    *m = (struct map){0};
}

/* The slot that holds the key, or the free one where it would go. */
static struct map_slot *slot_find(const struct map *m, struct str key, uint64_t hash)
{
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_slot *s = &m->slot[i];
        if (!s->key.p || (s->hash == hash && str_eq(s->key, key)))
            return s;
    }
}

static enum status grow(struct map *m)
{
    struct map old = *m;
    if (slots_new(m, old.cap * 2) != ST_OK) {
        *m = old;
        return ST_NO_MEMORY;
    }
    for (size_t i = 0; i < old.cap; i++)
        if (old.slot[i].key.p)
            *slot_find(m, old.slot[i].key, old.slot[i].hash) = old.slot[i];
    free(old.slot);
    return ST_OK;
}

enum status map_put(struct map *m, struct str key, uint64_t value)
{
    if (m->n >= m->cap / 4 * 3 && grow(m) != ST_OK)
        return ST_NO_MEMORY;
    uint64_t hash = hash_bytes(key.p, key.n, m->key);
    struct map_slot *s = slot_find(m, key, hash);
    m->n += !s->key.p;
    *s = (struct map_slot){{key.p ? key.p : "", key.n}, hash, value};
    return ST_OK;
}

bool map_get(const struct map *m, struct str key, uint64_t *value)
{
    if (!m->cap)
        return false;
    const struct map_slot *s = slot_find(m, key, hash_bytes(key.p, key.n, m->key));
    if (!s->key.p)
        return false;
    *value = s->value;
    return true;
}

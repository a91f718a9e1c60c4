/* Hash map from byte strings to uint64_t: open addressing, keys borrowed, keyed hash (files are hostile). */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct map_slot;

struct map {
    struct map_slot *slot;
    size_t n, cap;
    uint64_t key;
};

/* `expect` is a hint. One owner thread while it changes; many readers afterwards. */
MUST_CHECK enum status map_init(struct map *m, size_t expect);
void map_fini(struct map *m);
/* Keys must outlive the map. Replaces an equal key. */
MUST_CHECK enum status map_put(struct map *m, struct str key, uint64_t value);
bool map_get(const struct map *m, struct str key, uint64_t *value);

uint64_t hash_bytes(const void *p, size_t n, uint64_t key);

#endif

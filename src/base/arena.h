/* Arena: allocations that die together. One owner thread; a mandatory maximum; freed as a whole. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *block; /* newest first */
    size_t used_bytes;         /* handed out since init or reset */
    size_t max_bytes;          /* bound on blocks held together */
    size_t held_bytes;
};

/* Allocates nothing until first use. */
void arena_init(struct arena *a, size_t max_bytes);
void arena_fini(struct arena *a);
/* Forgets all allocations, keeps the largest block: a steady step then allocates nothing from the system. */
void arena_reset(struct arena *a);

/* Aligned to 16 (or `align`, a power of two up to 4096), not zeroed; NULL when the maximum would be exceeded.
 */
void *arena_alloc(struct arena *a, size_t n_bytes);
void *arena_alloc_aligned(struct arena *a, size_t n_bytes, size_t align);
void *arena_zalloc(struct arena *a, size_t n_bytes);
/* n_items * item_bytes checked for overflow. */
void *arena_array(struct arena *a, size_t n_items, size_t item_bytes);
/* NUL-terminated copy; .p NULL on failure. */
struct str arena_strdup(struct arena *a, struct str s);

#endif

/* Pages of the KV store: reference counts, and a cache of full pages by what they hold. Pure: a pool looks at
 * and changes only itself, so that it can be simulated. Private to the engine; one owner thread. */
#ifndef ENGINE_PAGES_INT_H
#define ENGINE_PAGES_INT_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

#define PAGE_NONE UINT32_MAX

/* Names what a full page holds: all tokens from position 0 to its end, and whose text it is. 128 bits of a
 * hash with a secret key: two texts with one key do not happen, and cannot be made to. */
struct page_key {
    uint64_t half[2];
};

struct page;

struct page_pool {
    struct page *page; /* [n_page] */
    uint32_t *bucket;  /* [bucket_mask + 1] published pages by key */
    uint32_t bucket_mask, n_page;
    uint32_t n_free, n_cached;           /* held by nobody: without and with a key */
    uint32_t first_free, oldest, newest; /* cached pages in order of last use */
    uint64_t n_evicted;
};

MUST_CHECK enum status page_pool_init(struct page_pool *p, uint32_t n_page);
void page_pool_fini(struct page_pool *p);
/* How many page_take() would give. */
uint32_t page_pool_available(const struct page_pool *p);
/* A page for something new, held once: a free one, else the cached one that was used longest ago. PAGE_NONE
 * when all are held. */
uint32_t page_take(struct page_pool *p);
/* One more holder; the page is held or cached. */
void page_hold(struct page_pool *p, uint32_t page);
/* One holder less. Pages of a sequence are dropped last one first, so that the end of a text goes before its
 * beginning. */
void page_drop(struct page_pool *p, uint32_t page);
/* From now on a held page, full, can be found by its key; nothing when another one already can. */
void page_publish(struct page_pool *p, uint32_t page, struct page_key key);
/* PAGE_NONE: no such page. The caller holds it at once or forgets it. */
uint32_t page_find(const struct page_pool *p, struct page_key key);
uint32_t page_refs(const struct page_pool *p, uint32_t page);

#endif

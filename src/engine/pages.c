/* The page pool: who holds which page, and which pages hold text that may come again.
 *
 * A page that nobody holds is free (a stack) or cached: full, with a key, waiting in order of last use to be
 * found again or taken for something else. Lists are indices in the pages themselves: nothing is allocated
 * after the start. */
#include "engine/pages_int.h"
#include <stdlib.h>
#include <string.h>

struct page {
    struct page_key key;
    uint32_t n_ref;
    uint32_t older,
        newer; /* cached: neighbours in the order of last use; free: `older` is the next free one */
    uint32_t next_of_hash; /* published: the next page of the same bucket */
    bool published;
};

static uint32_t *bucket_of(const struct page_pool *p, struct page_key key)
{
    return &p->bucket[key.half[0] & p->bucket_mask];
}

enum status page_pool_init(struct page_pool *p, uint32_t n_page)
{
    uint32_t n_bucket = 16;
    while (n_bucket < n_page && n_bucket < 1u << 31)
        n_bucket *= 2;
    *p = (struct page_pool){.n_page = n_page,
                            .n_free = n_page,
                            .first_free = n_page ? 0 : PAGE_NONE,
                            .oldest = PAGE_NONE,
                            .newest = PAGE_NONE,
                            .bucket_mask = n_bucket - 1};
    p->page = calloc((size_t)n_page + 1, sizeof *p->page);
    p->bucket = malloc(n_bucket * sizeof *p->bucket);
    if (!p->page || !p->bucket) {
        page_pool_fini(p);
        return ST_NO_MEMORY;
    }
    memset(p->bucket, 0xff, n_bucket * sizeof *p->bucket);
    for (uint32_t i = 0; i < n_page; i++)
        p->page[i].older = i + 1 < n_page ? i + 1 : PAGE_NONE;
    return ST_OK;
}

void page_pool_fini(struct page_pool *p)
{
    free(p->page);
    free(p->bucket);
    *p = (struct page_pool){0};
}

uint32_t page_pool_available(const struct page_pool *p)
{
    return p->n_free + p->n_cached;
}

static void cached_unlink(struct page_pool *p, uint32_t at)
{
    struct page *g = &p->page[at];
    *(g->older == PAGE_NONE ? &p->oldest : &p->page[g->older].newer) = g->newer;
    *(g->newer == PAGE_NONE ? &p->newest : &p->page[g->newer].older) = g->older;
    p->n_cached--;
}

static void cached_append(struct page_pool *p, uint32_t at)
{
    struct page *g = &p->page[at];
    g->older = p->newest;
    g->newer = PAGE_NONE;
    *(p->newest == PAGE_NONE ? &p->oldest : &p->page[p->newest].newer) = at;
    p->newest = at;
    p->n_cached++;
}

static void unpublish(struct page_pool *p, uint32_t at)
{
    uint32_t *link = bucket_of(p, p->page[at].key);
    while (*link != at)
        link = &p->page[*link].next_of_hash;
    *link = p->page[at].next_of_hash;
    p->page[at].published = false;
}

uint32_t page_take(struct page_pool *p)
{
    uint32_t at = p->first_free;
    if (at != PAGE_NONE) {
        p->first_free = p->page[at].older;
        p->n_free--;
    } else if (p->oldest != PAGE_NONE) {
        at = p->oldest;
        cached_unlink(p, at);
        unpublish(p, at);
        p->n_evicted++;
    } else {
        return PAGE_NONE;
    }
    p->page[at].n_ref = 1;
    return at;
}

void page_hold(struct page_pool *p, uint32_t at)
{
    if (p->page[at].n_ref++ == 0)
        cached_unlink(p, at);
}

void page_drop(struct page_pool *p, uint32_t at)
{
    struct page *g = &p->page[at];
    BUG_ON(at >= p->n_page || g->n_ref == 0);
    if (--g->n_ref)
        return;
    if (g->published) {
        cached_append(p, at);
        return;
    }
    g->older = p->first_free;
    p->first_free = at;
    p->n_free++;
}

void page_publish(struct page_pool *p, uint32_t at, struct page_key key)
{
    struct page *g = &p->page[at];
    BUG_ON(g->n_ref == 0);
    if (g->published || page_find(p, key) != PAGE_NONE)
        return;
    g->key = key;
    g->published = true;
    g->next_of_hash = *bucket_of(p, key);
    *bucket_of(p, key) = at;
}

uint32_t page_find(const struct page_pool *p, struct page_key key)
{
    uint32_t at = *bucket_of(p, key);
    while (at != PAGE_NONE &&
           (p->page[at].key.half[0] != key.half[0] || p->page[at].key.half[1] != key.half[1]))
        at = p->page[at].next_of_hash;
    return at;
}

uint32_t page_refs(const struct page_pool *p, uint32_t at)
{
    return p->page[at].n_ref;
}

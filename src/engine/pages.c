/* The page pool: a stack of free pages and a count of promises. Whoever is admitted has its worst case
 * promised, so that a running sequence never runs out. */
#include "engine/engine_int.h"
#include <stdlib.h>

enum status page_pool_init(struct page_pool *p, uint32_t n_page)
{
    *p = (struct page_pool){.n_free = n_page, .n_page = n_page};
    p->free = malloc((n_page + 1) * sizeof *p->free);
    if (!p->free)
        return ST_NO_MEMORY;
    for (uint32_t i = 0; i < n_page; i++)
        p->free[i] = n_page - 1 - i;
    return ST_OK;
}

void page_pool_fini(struct page_pool *p)
{
    free(p->free);
    p->free = NULL;
}

bool page_pool_reserve(struct page_pool *p, uint32_t n)
{
    if (n > p->n_page - p->n_reserved)
        return false;
    p->n_reserved += n;
    return true;
}

void page_pool_unreserve(struct page_pool *p, uint32_t n)
{
    BUG_ON(n > p->n_reserved);
    p->n_reserved -= n;
}

uint32_t page_pool_take(struct page_pool *p)
{
    BUG_ON(p->n_free == 0);
    return p->free[--p->n_free];
}

void page_pool_give(struct page_pool *p, uint32_t page)
{
    BUG_ON(p->n_free == p->n_page || page >= p->n_page);
    p->free[p->n_free++] = page;
}

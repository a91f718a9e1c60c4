/* Arena: a list of blocks, newest first, each twice the last. Freed as a whole. */
#include "base/arena.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK_BYTES 4096u

struct arena_block {
    struct arena_block *older;
    size_t cap, used; /* of bytes[] */
    _Alignas(16) unsigned char bytes[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max_bytes = max_bytes};
}

static void blocks_free(struct arena *a, struct arena_block *from)
{
    while (from) {
        struct arena_block *older = from->older;
        a->held_bytes -= from->cap;
        free(from);
        from = older;
    }
}

void arena_fini(struct arena *a)
{
    blocks_free(a, a->block);
    *a = (struct arena){.max_bytes = a->max_bytes};
}

void arena_reset(struct arena *a)
{
    struct arena_block **at = &a->block,
                       **largest = at; /* the newest may be small: it got what the maximum left */
    for (; *at; at = &(*at)->older)
        if ((*at)->cap > (*largest)->cap)
            largest = at;
    struct arena_block *keep = *largest;
    if (keep) {
        *largest = keep->older;
        blocks_free(a, a->block);
        keep->older = NULL;
        keep->used = 0;
        a->block = keep;
    }
    a->used_bytes = 0;
}

static struct arena_block *block_add(struct arena *a, size_t need)
{
    size_t cap = a->block ? a->block->cap * 2 : FIRST_BLOCK_BYTES;
    size_t left = a->max_bytes - a->held_bytes;
    if (cap > left)
        cap = left;
    if (cap < need)
        cap = need;
    if (cap > left || cap > SIZE_MAX - sizeof(struct arena_block))
        return NULL;
    struct arena_block *b = malloc(sizeof *b + cap);
    if (!b)
        return NULL;
    b->older = a->block;
    b->cap = cap;
    b->used = 0;
    a->block = b;
    a->held_bytes += cap;
    return b;
}

/* Offset in the block where an aligned object may start. */
static size_t aligned_start(const struct arena_block *b, size_t align)
{
    uintptr_t at = (uintptr_t)b->bytes + b->used;
    return b->used + (size_t)(-at & (align - 1));
}

void *arena_alloc_aligned(struct arena *a, size_t n_bytes, size_t align)
{
    size_t slack = align > 16 ? align - 16 : 0; /* a new block is aligned to 16 */
    if (align < 1 || n_bytes > SIZE_MAX - slack)
        return NULL;
    struct arena_block *b = a->block;
    size_t start = b ? aligned_start(b, align) : 0;
    if (!b || start > b->cap || b->cap - start < n_bytes) {
        b = block_add(a, n_bytes + slack);
        if (!b)
            return NULL;
        start = aligned_start(b, align);
    }
    a->used_bytes += n_bytes;
    b->used = start + n_bytes;
    return b->bytes + start;
}

void *arena_alloc(struct arena *a, size_t n_bytes)
{
    return arena_alloc_aligned(a, n_bytes, 16);
}

void *arena_zalloc(struct arena *a, size_t n_bytes)
{
    void *p = arena_alloc(a, n_bytes);
    return p ? memset(p, 0, n_bytes) : NULL;
}

void *arena_array(struct arena *a, size_t n_items, size_t item_bytes)
{
    size_t n_bytes;
    if (__builtin_mul_overflow(n_items, item_bytes, &n_bytes))
        return NULL;
    return arena_alloc(a, n_bytes);
}

struct str arena_strdup(struct arena *a, struct str s)
{
    char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;
    if (!p)
        return (struct str){NULL, 0};
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (struct str){p, s.n};
}

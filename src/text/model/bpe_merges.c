/* Merges: which pair becomes which token, and joining a word's symbols by them.
 *
 * A short word is searched for its lowest rank again and again, which for a dozen symbols beats any queue. In
 * a long one the pairs that could be joined wait in a heap, so that n symbols cost n log n whatever the text.
 */
#include "text/model/bpe_int.h"
#include <stdlib.h>
#include <string.h>

#define SHORT_WORD 48
#define NO_SYMBOL  UINT32_MAX
#define NO_RANK    UINT32_MAX

/* ---- the table ---- */

enum status merges_init(struct merges *m, size_t n, struct err *e)
{
    size_t cap = 16;
    if (n > UINT32_MAX / 64)
        return err_set(e, ST_LIMIT, "tokenizer.json: %zu merges are too many", n);
    while (cap / 4 * 3 <= n)
        cap *= 2;
    *m = (struct merges){.mask = cap - 1, .met_mask = cap * 8 - 1, .may_cut = true};
    m->slot = malloc(cap * sizeof *m->slot);
    m->met = calloc(cap / 8, sizeof *m->met);
    if (!m->slot || !m->met)
        return err_set(e, ST_NO_MEMORY, "no memory for %zu merges", n);
    memset(m->slot, 0xff, cap * sizeof *m->slot);
    return ST_OK;
}

void merges_fini(struct merges *m)
{
    free(m->slot);
    free(m->met);
    *m = (struct merges){0};
}

static uint64_t pair_hash(uint64_t pair)
{
    pair ^= pair >> 32;
    pair *= 0xd6e8feb86659fd93u;
    return pair ^ pair >> 32;
}

static struct merge *slot_find(const struct merges *m, uint64_t pair)
{
    for (size_t i = pair_hash(pair) & m->mask;; i = (i + 1) & m->mask)
        if (m->slot[i].pair == pair || m->slot[i].pair == UINT64_MAX)
            return &m->slot[i];
}

static uint64_t pair_of(uint32_t left, uint32_t right)
{
    return (uint64_t)left << 32 | right;
}

void merges_put(struct merges *m, int32_t left, int32_t right, uint32_t rank, uint32_t id)
{
    uint64_t pair = pair_of((uint32_t)left, (uint32_t)right);
    *slot_find(m, pair) = (struct merge){pair, rank, id};
}

void merges_prefetch(const struct merges *m, int32_t left, int32_t right)
{
    __builtin_prefetch(&m->slot[pair_hash(pair_of((uint32_t)left, (uint32_t)right)) & m->mask]);
}

const struct merge *merges_find(const struct merges *m, int32_t left, int32_t right)
{
    const struct merge *found = slot_find(m, pair_of((uint32_t)left, (uint32_t)right));
    return found->pair == UINT64_MAX ? NULL : found;
}

void merges_meet(struct merges *m, uint32_t left_char, uint32_t right_char)
{
    uint64_t bit = pair_hash(pair_of(left_char, right_char)) & m->met_mask;
    m->met[bit / 64] |= (uint64_t)1 << bit % 64;
}

bool merges_met(const struct merges *m, uint32_t left_char, uint32_t right_char)
{
    uint64_t bit = pair_hash(pair_of(left_char, right_char)) & m->met_mask;
    return m->met[bit / 64] >> bit % 64 & 1;
}

/* ---- a short word ---- */

struct candidate {
    uint32_t rank, id;
};

static struct candidate candidate_of(const struct merges *m, const struct symbol *left)
{
    const struct merge *found = merges_find(m, left[0].id, left[1].id);
    return found ? (struct candidate){found->rank, found->id} : (struct candidate){NO_RANK, 0};
}

static uint32_t join_short(const struct merges *m, struct symbol *symbol, uint32_t n)
{
    struct candidate c[SHORT_WORD]; /* c[i]: symbols i and i + 1 */
    for (uint32_t i = 0; i + 1 < n; i++)
        c[i] = candidate_of(m, symbol + i);
    while (n > 1) {
        uint32_t best = 0;
        for (uint32_t i = 1; i + 1 < n; i++)
            if (c[i].rank < c[best].rank)
                best = i;
        if (c[best].rank == NO_RANK)
            break;
        symbol[best].id = (int32_t)c[best].id;
        symbol[best].n_bytes += symbol[best + 1].n_bytes;
        n--;
        memmove(symbol + best + 1, symbol + best + 2, (n - best - 1) * sizeof *symbol);
        if (best + 2 < n)
            memmove(c + best + 1, c + best + 2, (n - best - 2) * sizeof *c);
        if (best + 1 < n)
            c[best] = candidate_of(m, symbol + best);
        if (best > 0)
            c[best - 1] = candidate_of(m, symbol + best - 1);
    }
    return n;
}

/* ---- a long word ---- */

struct link {
    uint32_t prev, next;
    bool gone; /* joined into another */
};

struct word {
    const struct merges *m;
    struct symbol *symbol;
    struct link *link;
    uint64_t *heap; /* rank << 32 | left symbol: the smallest is joined first; four children a node */
    uint32_t n, n_heap;
};

/* Puts `key` at or below `at`, where its children are in order. */
static void heap_sink(struct word *w, uint32_t at, uint64_t key)
{
    for (;;) {
        uint64_t first = (uint64_t)at * 4 + 1, last = first + 4 < w->n_heap ? first + 4 : w->n_heap;
        if (first >= w->n_heap)
            break;
        uint32_t least = (uint32_t)first;
        for (uint32_t child = least + 1; child < last; child++)
            if (w->heap[child] < w->heap[least])
                least = child;
        if (key <= w->heap[least])
            break;
        w->heap[at] = w->heap[least];
        at = least;
    }
    w->heap[at] = key;
}

static void heap_push(struct word *w, uint64_t key)
{
    uint32_t at = w->n_heap++;
    while (at && key < w->heap[(at - 1) / 4]) {
        w->heap[at] = w->heap[(at - 1) / 4];
        at = (at - 1) / 4;
    }
    w->heap[at] = key;
}

static uint64_t heap_pop(struct word *w)
{
    uint64_t top = w->heap[0], last = w->heap[--w->n_heap];
    heap_sink(w, 0, last);
    return top;
}

static const struct merge *right_merge(const struct word *w, uint32_t left)
{
    uint32_t right = w->link[left].next;
    return right == NO_SYMBOL ? NULL : merges_find(w->m, w->symbol[left].id, w->symbol[right].id);
}

static void consider(struct word *w, uint32_t left)
{
    const struct merge *m = left == NO_SYMBOL ? NULL : right_merge(w, left);
    if (m)
        heap_push(w, (uint64_t)m->rank << 32 | left);
}

static void join_one(struct word *w, uint64_t key)
{
    uint32_t left = (uint32_t)key;
    struct link *link = &w->link[left];
    const struct merge *m = link->gone ? NULL : right_merge(w, left);
    if (!m || m->rank != key >> 32) /* one of the two has become something else since */
        return;
    uint32_t right = link->next;
    w->symbol[left].id = (int32_t)m->id;
    w->symbol[left].n_bytes += w->symbol[right].n_bytes;
    w->link[right].gone = true;
    link->next = w->link[right].next;
    if (link->next != NO_SYMBOL)
        w->link[link->next].prev = left;
    consider(w, link->prev);
    consider(w, left);
}

/* All pairs at once: cheaper than one push each. */
static void heap_fill(struct word *w)
{
    for (uint32_t i = 0; i + 1 < w->n; i++) {
        const struct merge *m = right_merge(w, i);
        if (m)
            w->heap[w->n_heap++] = (uint64_t)m->rank << 32 | i;
    }
    for (uint32_t i = w->n_heap / 4 + 1; i-- > 0;)
        if (i < w->n_heap)
            heap_sink(w, i, w->heap[i]);
}

static uint32_t join_long(const struct merges *m, struct symbol *symbol, uint32_t n, struct scratch *s)
{
    /* A join makes at most two new candidates: three a symbol are enough for all that ever wait. */
    struct word w = {.m = m, .symbol = symbol, .n = n};
    w.link = arena_array(&s->arena, n, sizeof *w.link);
    w.heap = arena_array(&s->arena, (size_t)n * 3, sizeof *w.heap);
    if (!w.link || !w.heap) {
        scratch_no_memory(s);
        return 0;
    }
    for (uint32_t i = 0; i < n; i++)
        w.link[i] = (struct link){i ? i - 1 : NO_SYMBOL, i + 1 < n ? i + 1 : NO_SYMBOL, false};
    heap_fill(&w);
    while (w.n_heap)
        join_one(&w, heap_pop(&w));
    uint32_t left = 0;
    for (uint32_t i = 0; i != NO_SYMBOL; i = w.link[i].next)
        symbol[left++] = symbol[i];
    return left;
}

uint32_t merges_join(const struct merges *m, struct symbol *symbol, uint32_t n, struct scratch *s)
{
    if (n < 2)
        return n;
    return n <= SHORT_WORD ? join_short(m, symbol, n) : join_long(m, symbol, n, s);
}

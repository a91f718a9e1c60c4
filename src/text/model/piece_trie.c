/* A vocabulary's pieces by their bytes: a double array, in which a step is one look at memory.
 *
 * The children of a node lie at `base ^ byte` and name their parent, all in one block of 256. Building sorts
 * the pieces byte by byte from the root down; a node with one child fills the oldest hole, one with more
 * looks for room among the newest, a bounded number of times, so that no file makes building slow. Memory has
 * a bound too: a file that would pass it is refused. */
#include "text/model/model_int.h"
#include <stdlib.h>
#include <string.h>

#define BLOCK     256u
#define MAX_UNITS (1u << 25)
#define FREE_UNIT 0x80000000u /* in `owner`: the rest of it and `base` link the free units */
#define NO_UNIT   0x7fffffffu /* the end of those links, and the root's owner: no unit has this index */
#define TRIES     64
#define FEW       24 /* so few pieces are sorted by insertion */
#define PIECE_END 0  /* the sort key of a piece that ends before the byte */
#define N_KEYS    257

struct range {
    uint32_t begin, end; /* of `order`: the pieces that go through the node */
    uint32_t depth, node;
};

struct builder {
    struct piece_trie *trie;
    const struct piece *piece;
    uint32_t *order, *other; /* [n] indices of pieces; room for sorting */
    struct range *stack;     /* [n] at most: ranges that wait share no piece */
    uint32_t n_stack, cap_units, oldest, newest;
};

/* ---- free units ---- */

static bool is_free(const struct piece_trie *t, uint32_t unit)
{
    return t->unit[unit].owner & FREE_UNIT;
}

static void unit_take(struct builder *b, uint32_t at, uint32_t owner)
{
    struct piece_unit *unit = b->trie->unit;
    uint32_t next = unit[at].base, prev = unit[at].owner & ~FREE_UNIT;
    if (prev == NO_UNIT)
        b->oldest = next;
    else
        unit[prev].base = next;
    if (next == NO_UNIT)
        b->newest = prev;
    else
        unit[next].owner = prev | FREE_UNIT;
    unit[at] = (struct piece_unit){0, owner};
}

static enum status units_reserve(struct builder *b, struct err *e)
{
    struct piece_trie *t = b->trie;
    if (t->n_unit + BLOCK <= b->cap_units)
        return ST_OK;
    uint32_t cap = b->cap_units ? b->cap_units * 2 : 16 * BLOCK;
    if (cap > MAX_UNITS)
        return err_set(e, ST_LIMIT, "tokenizer.json: the pieces of the vocabulary are too many or too long");
    struct piece_unit *unit = realloc(t->unit, cap * sizeof *unit);
    if (unit)
        t->unit = unit;
    int32_t *id = realloc(t->id, cap * sizeof *id);
    if (id)
        t->id = id;
    if (!unit || !id)
        return err_set(e, ST_NO_MEMORY, "no memory for the vocabulary");
    b->cap_units = cap;
    return ST_OK;
}

static enum status block_add(struct builder *b, struct err *e)
{
    enum status st = units_reserve(b, e);
    if (st != ST_OK)
        return st;
    struct piece_unit *unit = b->trie->unit;
    for (uint32_t at = b->trie->n_unit; at < b->trie->n_unit + BLOCK; at++) {
        unit[at] = (struct piece_unit){NO_UNIT, b->newest | FREE_UNIT};
        if (b->newest == NO_UNIT)
            b->oldest = at;
        else
            unit[b->newest].base = at;
        b->newest = at;
    }
    b->trie->n_unit += BLOCK;
    return ST_OK;
}

/* ---- placing a node's children ---- */

static bool base_fits(const struct piece_trie *t, uint32_t base, const unsigned char *byte, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!is_free(t, base ^ byte[i]))
            return false;
    return true;
}

static enum status find_base(struct builder *b, const unsigned char *byte, unsigned n, uint32_t *base,
                             struct err *e)
{
    const struct piece_trie *t = b->trie;
    if (n == 1 && b->oldest != NO_UNIT) {
        *base = b->oldest ^ byte[0];
        return ST_OK;
    }
    uint32_t at = n == 1 ? NO_UNIT : b->newest;
    for (unsigned tries = 0; at != NO_UNIT && tries < TRIES; tries++) {
        *base = at ^ byte[0];
        if (base_fits(t, *base, byte, n))
            return ST_OK;
        at = t->unit[at].owner & ~FREE_UNIT;
    }
    *base = t->n_unit;
    return block_add(b, e);
}

/* ---- sorting ---- */

static unsigned sort_key(const struct builder *b, uint32_t piece, uint32_t depth)
{
    struct str text = b->piece[piece].text;
    return text.n == depth ? PIECE_END : 1u + (unsigned char)text.p[depth];
}

static void sort_few(struct builder *b, const struct range *r, uint16_t *key)
{
    uint32_t *order = b->order + r->begin, n = r->end - r->begin;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t piece = order[i], at = i;
        uint16_t its = (uint16_t)sort_key(b, piece, r->depth);
        for (; at && key[at - 1] > its; at--) {
            key[at] = key[at - 1];
            order[at] = order[at - 1];
        }
        key[at] = its;
        order[at] = piece;
    }
}

static void sort_many(struct builder *b, const struct range *r)
{
    uint32_t start[N_KEYS + 1] = {0};
    for (uint32_t i = r->begin; i < r->end; i++)
        start[sort_key(b, b->order[i], r->depth) + 1]++;
    for (unsigned key = 1; key <= N_KEYS; key++)
        start[key] += start[key - 1];
    for (uint32_t i = r->begin; i < r->end; i++)
        b->other[start[sort_key(b, b->order[i], r->depth)]++] = b->order[i];
    memcpy(b->order + r->begin, b->other, (r->end - r->begin) * sizeof *b->order);
}

/* Sorts the range by the byte at its depth, equal ones as they stand. */
static void sort_range(struct builder *b, const struct range *r)
{
    uint16_t key[FEW];
    if (r->end - r->begin <= FEW)
        sort_few(b, r, key);
    else
        sort_many(b, r);
}

/* ---- building ---- */

/* Gives the node its piece, if one ends here, and its children; they then wait for their turn. */
static enum status build_node(struct builder *b, struct range r, struct err *e)
{
    struct piece_trie *t = b->trie;
    unsigned char byte[BLOCK];
    uint32_t begin[BLOCK + 1], base;
    unsigned n = 0;
    sort_range(b, &r);
    for (; r.begin < r.end && b->piece[b->order[r.begin]].text.n == r.depth; r.begin++) {
        t->id[r.node] = b->piece[b->order[r.begin]].id;
        t->unit[r.node].base = PIECE_ENDS;
    }
    for (uint32_t i = r.begin; i < r.end; i++) {
        unsigned char c = (unsigned char)b->piece[b->order[i]].text.p[r.depth];
        if (n == 0 || byte[n - 1] != c) {
            begin[n] = i;
            byte[n++] = c;
        }
    }
    begin[n] = r.end;
    if (n == 0)
        return ST_OK;
    enum status st = find_base(b, byte, n, &base, e);
    if (st != ST_OK)
        return st;
    t->unit[r.node].base |= base;
    for (unsigned i = 0; i < n; i++) {
        unit_take(b, base ^ byte[i], r.node);
        b->stack[b->n_stack++] = (struct range){begin[i], begin[i + 1], r.depth + 1, base ^ byte[i]};
    }
    return ST_OK;
}

static enum status build(struct builder *b, uint32_t n, struct err *e)
{
    for (uint32_t i = 0; i < n; i++) {
        b->order[i] = i;
        if (b->piece[i].text.n > PIECE_MAX_BYTES)
            return err_set(e, ST_LIMIT, "tokenizer.json: a token of %zu bytes, at most %u are supported",
                           b->piece[i].text.n, PIECE_MAX_BYTES);
    }
    enum status st = block_add(b, e);
    if (st != ST_OK)
        return st;
    unit_take(b, PIECE_ROOT, NO_UNIT);
    if (n)
        b->stack[b->n_stack++] = (struct range){0, n, 0, PIECE_ROOT};
    while (st == ST_OK && b->n_stack)
        st = build_node(b, b->stack[--b->n_stack], e);
    return st;
}

enum status piece_trie_init(struct piece_trie *t, const struct piece *piece, uint32_t n, struct err *e)
{
    *t = (struct piece_trie){0};
    struct builder b = {.trie = t,
                        .piece = piece,
                        .order = malloc((n + 1) * sizeof *b.order),
                        .other = malloc((n + 1) * sizeof *b.other),
                        .stack = malloc((n + 1) * sizeof *b.stack),
                        .oldest = NO_UNIT,
                        .newest = NO_UNIT};
    enum status st = b.order && b.other && b.stack
                         ? build(&b, n, e)
                         : err_set(e, ST_NO_MEMORY, "no memory for a vocabulary of %u", n);
    free(b.order);
    free(b.other);
    free(b.stack);
    return st;
}

void piece_trie_fini(struct piece_trie *t)
{
    free(t->unit);
    free(t->id);
    *t = (struct piece_trie){0};
}

/* Byte-pair encoding: a piece's characters are joined pair by pair, lowest rank first, leftmost first.
 *
 * The pairs that could be joined wait in a heap, so that a piece of n characters costs n log n. Which pair
 * becomes which token is one hash table from a pair of ids to rank and result. */
#include "text/model/model_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_SYMBOL UINT32_MAX

struct pair_slot {
    uint64_t pair;
    uint32_t rank, id;
};

struct bpe {
    struct pair_slot *merge; /* [cap_merge] */
    size_t cap_merge;
    int32_t unk;
    int32_t byte_id[256]; /* <0xXX> or -1 */
    bool fuse_unk, byte_fallback, ignore_merges;
};

/* ---- reading ---- */

static uint64_t pair_hash(uint64_t pair)
{
    pair ^= pair >> 32;
    pair *= 0xd6e8feb86659fd93u;
    return pair ^ pair >> 32;
}

static struct pair_slot *merge_slot(const struct bpe *b, uint64_t pair)
{
    for (size_t i = pair_hash(pair) & (b->cap_merge - 1);; i = (i + 1) & (b->cap_merge - 1))
        if (b->merge[i].pair == pair || b->merge[i].pair == UINT64_MAX)
            return &b->merge[i];
}

static uint64_t pair_of(int32_t a, int32_t b)
{
    return (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
}

static const struct pair_slot *merge_find(const struct bpe *b, int32_t left, int32_t right)
{
    const struct pair_slot *slot = merge_slot(b, pair_of(left, right));
    return slot->pair == UINT64_MAX ? NULL : slot;
}

/* "a b" or ["a", "b"]. */
static bool merge_parts(const struct json_val *v, struct str *a, struct str *b)
{
    struct str both;
    if (json_str(v, &both)) {
        size_t space = str_find(both, STR(" "), 0);
        if (space == SIZE_MAX)
            return false;
        *a = (struct str){both.p, space};
        *b = (struct str){both.p + space + 1, both.n - space - 1};
        return true;
    }
    return json_len(v) == 2 && json_str(json_at(v, 0), a) && json_str(json_at(v, 1), b);
}

static enum status add_merge(const struct token_model *m, struct bpe *out, const struct json_val *v,
                             uint32_t rank, struct buf *joined, struct err *e)
{
    struct str a, b;
    if (!merge_parts(v, &a, &b))
        return err_set(e, ST_INVALID, "tokenizer.json: merge %u is not a pair of strings", rank);
    buf_clear(joined);
    buf_put_str(joined, a);
    buf_put_str(joined, b);
    int32_t left = model_id(m, a), right = model_id(m, b), id = model_id(m, buf_str(joined));
    if (joined->failed || left < 0 || right < 0 || id < 0)
        return err_set(e, ST_INVALID,
                       "tokenizer.json: merge %u (`" STR_FMT "` `" STR_FMT "`) is out of the vocabulary",
                       rank, STR_ARG(a), STR_ARG(b));
    uint64_t pair = pair_of(left, right);
    struct pair_slot *slot = merge_slot(out, pair);
    *slot = (struct pair_slot){pair, rank, (uint32_t)id}; /* of equal pairs the last one, as in the library */
    return ST_OK;
}

static enum status read_merges(const struct json_val *v, const struct token_model *m, struct bpe *out,
                               struct err *e)
{
    struct json_iter it = json_iter(v);
    const struct json_val *item;
    struct buf joined;
    uint32_t rank = 0;
    enum status st = ST_OK;
    out->cap_merge = 16;
    while (out->cap_merge / 2 < json_len(v))
        out->cap_merge *= 2;
    out->merge = malloc(out->cap_merge * sizeof *out->merge);
    if (!out->merge)
        return err_set(e, ST_NO_MEMORY, "no memory for %zu merges", json_len(v));
    memset(out->merge, 0xff, out->cap_merge * sizeof *out->merge);
    buf_init(&joined, 1u << 20);
    while (st == ST_OK && (item = json_next(&it, NULL)))
        st = add_merge(m, out, item, rank++, &joined, e);
    buf_fini(&joined);
    return st;
}

static enum status refuse_affix(const struct json_val *model, const char *name, struct err *e)
{
    struct str affix;
    if (json_str(json_get(model, str_from(name)), &affix) && affix.n)
        return err_set(e, ST_UNSUPPORTED,
                       "tokenizer.json: model option `%s` is not supported by this version", name);
    return ST_OK;
}

static enum status read_options(const struct json_val *v, const struct token_model *m, struct bpe *out,
                                struct err *e)
{
    double dropout;
    if (json_f64(json_get(v, STR("dropout")), &dropout) && dropout > 0)
        return err_set(e, ST_UNSUPPORTED,
                       "tokenizer.json: BPE dropout makes tokens random and is not supported");
    json_bool(json_get(v, STR("fuse_unk")), &out->fuse_unk);
    json_bool(json_get(v, STR("byte_fallback")), &out->byte_fallback);
    json_bool(json_get(v, STR("ignore_merges")), &out->ignore_merges);
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        out->byte_id[byte] = model_id(m, str_from(name));
    }
    enum status st = model_read_token(m, v, "unk_token", &out->unk, e);
    if (st == ST_OK)
        st = refuse_affix(v, "continuing_subword_prefix", e);
    return st == ST_OK ? refuse_affix(v, "end_of_word_suffix", e) : st;
}

static enum status bpe_read(const struct json_val *v, struct token_model *m, struct err *e)
{
    struct bpe *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, ST_NO_MEMORY, "no memory for a tokenizer");
    m->state = b;
    enum status st = model_read_vocab(json_get(v, STR("vocab")), m, e);
    if (st == ST_OK)
        st = read_merges(json_get(v, STR("merges")), m, b, e);
    return st == ST_OK ? read_options(v, m, b, e) : st;
}

static void bpe_free(void *state)
{
    struct bpe *b = state;
    free(b->merge);
    free(b);
}

/* ---- encoding ---- */

struct symbol {
    int32_t id;
    uint32_t prev, next;
    uint32_t begin, end; /* bytes of the section's text; empty: joined into another */
};

struct candidate {
    uint32_t rank, left, id; /* id: what the join would become */
};

struct word {
    const struct token_model *m;
    const struct bpe *b;
    struct symbol *symbol;
    struct candidate *heap;
    uint32_t n, n_heap;
};

static bool earlier(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void heap_push(struct word *w, struct candidate c)
{
    uint32_t at = w->n_heap++;
    while (at && earlier(&c, &w->heap[(at - 1) / 2])) {
        w->heap[at] = w->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->heap[at] = c;
}

static struct candidate heap_pop(struct word *w)
{
    struct candidate top = w->heap[0], last = w->heap[--w->n_heap];
    uint32_t at = 0, child;
    while ((child = 2 * at + 1) < w->n_heap) {
        if (child + 1 < w->n_heap && earlier(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!earlier(&w->heap[child], &last))
            break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    w->heap[at] = last;
    return top;
}

static void consider(struct word *w, uint32_t left)
{
    if (left == NO_SYMBOL || w->symbol[left].next == NO_SYMBOL)
        return;
    const struct pair_slot *m = merge_find(w->b, w->symbol[left].id, w->symbol[w->symbol[left].next].id);
    if (m)
        heap_push(w, (struct candidate){m->rank, left, m->id});
}

static void join_all(struct word *w)
{
    for (uint32_t i = 0; i + 1 < w->n; i++)
        consider(w, i);
    while (w->n_heap) {
        struct candidate c = heap_pop(w);
        struct symbol *left = &w->symbol[c.left];
        if (left->begin == left->end || left->next == NO_SYMBOL)
            continue;
        struct symbol *right = &w->symbol[left->next];
        const struct pair_slot *m = merge_find(w->b, left->id, right->id);
        if (!m || m->id != c.id) /* one of the two has become something else since */
            continue;
        left->id = (int32_t)c.id;
        left->end = right->end;
        right->begin = right->end;
        left->next = right->next;
        if (left->next != NO_SYMBOL)
            w->symbol[left->next].prev = c.left;
        consider(w, left->prev);
        consider(w, c.left);
    }
}

static void push_symbol(struct word *w, int32_t id, uint32_t begin, uint32_t end)
{
    w->symbol[w->n] = (struct symbol){id, w->n ? w->n - 1 : NO_SYMBOL, NO_SYMBOL, begin, end};
    if (w->n)
        w->symbol[w->n - 1].next = w->n;
    w->n++;
}

/* A character that is no token: its bytes when all are tokens, else the unknown token, fused when asked for.
 */
static void push_unknown(struct word *w, struct str text, uint32_t begin, uint32_t end, bool *unknown_before)
{
    const struct bpe *b = w->b;
    bool all = b->byte_fallback;
    for (uint32_t i = begin; i < end && all; i++)
        all = b->byte_id[(unsigned char)text.p[i]] >= 0;
    if (all) {
        for (uint32_t i = begin; i < end; i++)
            push_symbol(w, b->byte_id[(unsigned char)text.p[i]], i, i + 1);
        *unknown_before = false;
    } else if (b->unk >= 0 && b->fuse_unk && *unknown_before) {
        w->symbol[w->n - 1].end = end;
    } else if (b->unk >= 0) {
        push_symbol(w, b->unk, begin, end);
        *unknown_before = true;
    }
}

static void split_characters(struct word *w, struct str text, struct span piece)
{
    bool unknown_before = false;
    uint32_t cp;
    for (uint32_t at = piece.begin; at < piece.end;) {
        uint32_t end = at + utf8_decode(text, at, &cp);
        int32_t id = model_id(w->m, (struct str){text.p + at, end - at});
        if (id >= 0) {
            push_symbol(w, id, at, end);
            unknown_before = false;
        } else {
            push_unknown(w, text, at, end, &unknown_before);
        }
        at = end;
    }
}

/* One block serves all pieces of a call, the longest one decides its size. */
static bool word_memory(struct scratch *s, uint32_t n, struct word *w)
{
    if (n > s->word_cap) {
        uint32_t cap = n < 64 ? 64 : n;
        s->word_symbols = arena_array(&s->arena, cap, sizeof *w->symbol);
        s->word_heap = arena_array(&s->arena, (size_t)cap * 3, sizeof *w->heap);
        s->word_cap = s->word_symbols && s->word_heap ? cap : 0;
    }
    if (s->word_cap < n) {
        scratch_no_memory(s);
        return false;
    }
    w->symbol = s->word_symbols;
    w->heap = s->word_heap;
    return true;
}

static void bpe_encode(const struct token_model *m, const struct aligned *text, struct span piece,
                       struct token_list *out, struct scratch *s)
{
    const struct bpe *b = m->state;
    uint32_t n = piece.end - piece.begin;
    int32_t whole = b->ignore_merges ? model_id(m, (struct str){text->p + piece.begin, n}) : -1;
    if (whole >= 0) {
        token_list_add(out, s, whole, text->begin[piece.begin], text->end[piece.end - 1]);
        return;
    }
    /* A join makes at most two new candidates: three per character are enough for all that ever wait. */
    struct word w = {.m = m, .b = b};
    if (!word_memory(s, n, &w))
        return;
    split_characters(&w, aligned_str(text), piece);
    join_all(&w);
    for (uint32_t i = w.n ? 0 : NO_SYMBOL; i != NO_SYMBOL; i = w.symbol[i].next) {
        const struct symbol *symbol = &w.symbol[i];
        token_list_add(out, s, symbol->id, text->begin[symbol->begin], text->end[symbol->end - 1]);
    }
}

const struct token_model_kind model_bpe = {
    .type = "BPE", .read = bpe_read, .encode = bpe_encode, .free_state = bpe_free};

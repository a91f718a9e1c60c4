/* Unigram: of all ways to cut a piece into tokens, the one with the best sum of scores.
 *
 * The search goes through the text once: from each place where a token may start, all tokens that fit there
 * offer their sum to the place where they end, which keeps the best offer, of equal ones the first. A
 * character that is no token by itself offers to be unknown, at a price below every score. */
#include "text/model/model_int.h"
#include <math.h>
#include <stdlib.h>

#define UNKNOWN_PENALTY 10.0
#define NO_START        UINT32_MAX

struct unigram {
    struct piece_trie trie;
    double *score; /* [n_token] */
    double unknown_score;
    int32_t unk;          /* -1: none */
    int32_t byte_id[256]; /* <0xXX> or -1 */
    bool byte_fallback;
};

/* ---- reading ---- */

/* ["piece", score] */
static enum status read_entry(const struct json_val *v, uint32_t id, struct str *text, double *score,
                              struct err *e)
{
    if (!json_is(v, JSON_ARRAY) || json_len(v) != 2 || !json_str(json_at(v, 0), text) ||
        !json_f64(json_at(v, 1), score) || !isfinite(*score))
        return err_set(e, ST_INVALID, "tokenizer.json: vocab entry %u is not a pair of a string and a number",
                       id);
    return ST_OK;
}

static enum status read_entries(const struct json_val *vocab, struct token_model *m, struct unigram *u,
                                struct piece *piece, struct err *e)
{
    struct json_iter it = json_iter(vocab);
    const struct json_val *item;
    double min = INFINITY;
    enum status st = ST_OK;
    for (uint32_t id = 0; st == ST_OK && (item = json_next(&it, NULL)); id++) {
        struct piece *p = &piece[id];
        p->id = (int32_t)id;
        st = read_entry(item, id, &p->text, &u->score[id], e);
        if (st == ST_OK)
            model_vocab_add(m, p->text, (uint32_t)id);
        min = u->score[id] < min ? u->score[id] : min;
    }
    u->unknown_score = min - UNKNOWN_PENALTY;
    return st == ST_OK ? piece_trie_init(&u->trie, piece, m->n_token, e) : st;
}

static enum status read_vocab(const struct json_val *vocab, struct token_model *m, struct unigram *u,
                              struct err *e)
{
    size_t n = json_len(vocab);
    if (!json_is(vocab, JSON_ARRAY))
        return err_set(e, ST_INVALID, "tokenizer.json: model has no `vocab` list");
    enum status st = model_vocab_alloc(m, n, n, e);
    if (st != ST_OK)
        return st;
    struct piece *piece = malloc((n + 1) * sizeof *piece);
    u->score = calloc(n + 1, sizeof *u->score);
    st = piece && u->score ? read_entries(vocab, m, u, piece, e)
                           : err_set(e, ST_NO_MEMORY, "no memory for a vocabulary of %zu", n);
    free(piece);
    return st;
}

static enum status read_options(const struct json_val *v, struct token_model *m, struct unigram *u,
                                struct err *e)
{
    const struct json_val *unk = json_get(v, STR("unk_id")), *fallback = json_get(v, STR("byte_fallback"));
    uint64_t id;
    u->unk = -1;
    if (json_kind(unk) != JSON_NULL) {
        if (!json_u64(unk, &id) || id >= m->n_token)
            return err_set(e, ST_INVALID, "tokenizer.json: `unk_id` is not an id of the vocabulary");
        u->unk = m->unknown = (int32_t)id;
    }
    if (fallback && !json_bool(fallback, &u->byte_fallback))
        return err_set(e, ST_INVALID, "tokenizer.json: `byte_fallback` is not a boolean");
    model_byte_ids(m, u->byte_id);
    return ST_OK;
}

static enum status unigram_read(const struct json_val *v, struct token_model *m, struct err *e)
{
    struct unigram *u = calloc(1, sizeof *u);
    if (!u)
        return err_set(e, ST_NO_MEMORY, "no memory for a tokenizer");
    m->state = u;
    enum status st = read_vocab(json_get(v, STR("vocab")), m, u, e);
    return st == ST_OK ? read_options(v, m, u, e) : st;
}

static void unigram_free(void *state)
{
    struct unigram *u = state;
    piece_trie_fini(&u->trie);
    free(u->score);
    free(u);
}

/* ---- the best path ---- */

/* A place between two bytes of the piece: the best way to get there. */
struct place {
    double score;
    uint32_t start; /* where its last token starts; NO_START: no token ends here (yet) */
    int32_t id;     /* of that token */
};

static struct place *places(struct scratch *s, uint32_t n)
{
    if (n > s->lattice_cap) {
        uint32_t cap = n < 64 ? 64 : n;
        s->lattice = arena_array(&s->arena, cap, sizeof(struct place));
        s->lattice_cap = s->lattice ? cap : 0;
    }
    if (n > s->lattice_cap) {
        scratch_no_memory(s);
        return NULL;
    }
    struct place *place = s->lattice;
    for (uint32_t i = 0; i < n; i++)
        place[i] = (struct place){0, NO_START, -1};
    return place;
}

static bool place_offer(struct place *p, double score, uint32_t start, int32_t id)
{
    if (p->start != NO_START && !(score > p->score))
        return false;
    *p = (struct place){score, start, id};
    return true;
}

static uint32_t character_end(struct str text, uint32_t at)
{
    unsigned char lead = (unsigned char)text.p[at];
    uint32_t end = at + (lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);
    return end < text.n ? end : (uint32_t)text.n;
}

/* All tokens that start at `at` make their offers: true when one of them is the character there. */
static bool offer_tokens(const struct unigram *u, struct str text, uint32_t at, uint32_t next,
                         struct place *place)
{
    double here = place[at].score;
    bool single = false;
    uint32_t node = PIECE_ROOT;
    for (uint32_t end = at; end < text.n;) {
        node = piece_trie_step(&u->trie, node, (unsigned char)text.p[end++]);
        if (node == PIECE_NONE)
            break;
        if (!piece_trie_ends(&u->trie, node))
            continue;
        int32_t id = u->trie.id[node];
        place_offer(&place[end], here + u->score[id], at, id);
        single |= end == next;
    }
    return single;
}

static bool find_best(const struct unigram *u, struct str text, struct place *place, struct scratch *s)
{
    for (uint32_t at = 0, next; at < text.n; at = next) {
        next = character_end(text, at);
        if (!offer_tokens(u, text, at, next, place) &&
            place_offer(&place[next], place[at].score + u->unknown_score, at, u->unk) && u->unk < 0) {
            s->status = err_set(s->e, ST_INVALID, "Encountered an unknown token but `unk_id` is missing");
            return false;
        }
    }
    return true;
}

/* Turns the path around: afterwards `start` of a place on it is where the next token ends. */
static void path_forward(struct place *place, uint32_t n)
{
    uint32_t end = n, later = NO_START;
    while (end > 0) {
        uint32_t start = place[end].start;
        place[end].start = later;
        later = end;
        end = start;
    }
    place[0].start = later;
}

/* A run of unknown text may be a token all the same, or bytes that are. */
static void add_unknown(const struct token_model *m, struct str run, uint32_t start, uint32_t stop,
                        struct token_list *out, struct scratch *s)
{
    const struct unigram *u = m->state;
    int32_t id = model_id(m, run);
    bool as_bytes = id < 0 && u->byte_fallback;
    for (size_t i = 0; i < run.n && as_bytes; i++)
        as_bytes = u->byte_id[(unsigned char)run.p[i]] >= 0;
    if (!as_bytes)
        token_list_add(out, s, id >= 0 ? id : u->unk, start, stop);
    for (size_t i = 0; i < run.n && as_bytes; i++)
        token_list_add(out, s, u->byte_id[(unsigned char)run.p[i]], start, stop);
}

static void unigram_encode(const struct token_model *m, const struct aligned *text, struct span piece,
                           struct token_list *out, struct scratch *s)
{
    const struct unigram *u = m->state;
    struct str whole = {text->p + piece.begin, piece.end - piece.begin};
    struct place *place = places(s, (uint32_t)whole.n + 1);
    if (!place || !find_best(u, whole, place, s))
        return;
    path_forward(place, (uint32_t)whole.n);
    const uint32_t *begin = text->begin + piece.begin, *end = text->end + piece.begin;
    for (uint32_t at = 0, stop; at < whole.n; at = stop) {
        stop = place[at].start;
        int32_t id = place[stop].id;
        if (id != u->unk) {
            token_list_add(out, s, id, begin[at], end[stop - 1]);
            continue;
        }
        while (stop < whole.n && place[place[stop].start].id == u->unk)
            stop = place[stop].start;
        add_unknown(m, (struct str){whole.p + at, stop - at}, begin[at], end[stop - 1], out, s);
    }
}

const struct token_model_kind model_unigram = {
    .type = "Unigram", .read = unigram_read, .encode = unigram_encode, .free_state = unigram_free};

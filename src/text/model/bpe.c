/* Byte-pair encoding: a piece's characters become symbols, which are joined pair by pair (bpe_merges.c).
 *
 * A piece may be a whole text. It is cut first where no merge can cross, so that what is joined is mostly a
 * word, and words met before in the same call are not joined again. Neither changes a token. */
#include "base/map.h"
#include "text/model/bpe_int.h"
#include <stdlib.h>
#include <string.h>

#define DIRECT_CHARS   0x250 /* Latin and the byte-level alphabet: ids by code point */
#define CUT_FROM_BYTES 16    /* shorter pieces are not worth cutting */
#define CACHE_WORD_MAX 64    /* bytes of a word that is remembered */
#define CACHE_SLOTS    8192u
#define AFFIX_MAX      256
#define MERGE_BLOCK    64

enum { UNK_NONE = -1, UNK_MISSING = -2 }; /* not asked for; asked for, but out of the vocabulary */

struct bpe {
    struct merges merges;
    int32_t unk;
    int32_t byte_id[256]; /* <0xXX> or -1 */
    int32_t char_id[DIRECT_CHARS];
    struct str prefix, suffix; /* of symbols inside a word, of a word's last symbol */
    char affix_text[2][AFFIX_MAX];
    bool fuse_unk, byte_fallback, ignore_merges;
};

/* ---- reading ---- */

/* "a b" or ["a", "b"]. */
static bool merge_parts(const struct json_val *v, struct str *a, struct str *b)
{
    struct str both;
    if (json_str(v, &both)) {
        size_t space = str_find(both, STR(" "), 0);
        if (space == SIZE_MAX || str_find(both, STR(" "), space + 1) != SIZE_MAX)
            return false;
        *a = (struct str){both.p, space};
        *b = (struct str){both.p + space + 1, both.n - space - 1};
        return true;
    }
    return json_len(v) == 2 && json_str(json_at(v, 0), a) && json_str(json_at(v, 1), b);
}

/* Tells the merges which characters meet. A part that is one symbol from the start without being one
 * character (a byte, the unknown token) does not meet others as characters do. */
static void note_meeting(struct bpe *b, struct str left, struct str right)
{
    uint32_t before = 0, after = 0;
    size_t at = left.n ? left.n - 1 : 0;
    while (at && ((unsigned char)left.p[at] & 0xc0) == 0x80)
        at--;
    bool sound = left.n && right.n && utf8_decode(left, at, &before) && utf8_decode(right, 0, &after);
    if (!sound || fallback_byte(left) >= 0 || fallback_byte(right) >= 0)
        b->merges.may_cut = false;
    else
        merges_meet(&b->merges, before, after);
}

/* Merges stand in the order of the tokens they make, mostly: the last one's id or the next is a good guess.
 */
static int32_t guess_id(const struct token_model *m, struct str token, int32_t last)
{
    for (int32_t id = last; id >= 0 && id < last + 2 && (uint32_t)id < m->n_token; id++)
        if (str_eq(m->token[id], token))
            return id;
    return model_id(m, token);
}

/* A merge on its way into the table. */
struct new_merge {
    struct str a, b;
    uint64_t hash_a, hash_b;
    int32_t left, right, id;
};

static enum status resolve_merge(const struct token_model *m, const struct bpe *b, uint32_t rank,
                                 int32_t last, struct new_merge *x, struct err *e)
{
    char joined[2 * AFFIX_MAX];
    bool has_prefix = x->b.n >= b->prefix.n;
    struct str tail = has_prefix ? (struct str){x->b.p + b->prefix.n, x->b.n - b->prefix.n} : x->b;
    if (x->a.n + tail.n > sizeof joined)
        return err_set(e, ST_LIMIT, "tokenizer.json: merge %u makes a token of more than %zu bytes", rank,
                       sizeof joined);
    memcpy(joined, x->a.p, x->a.n);
    memcpy(joined + x->a.n, tail.p, tail.n);
    x->left = model_id_prepared(m, x->a, x->hash_a);
    x->right = model_id_prepared(m, x->b, x->hash_b);
    x->id = guess_id(m, (struct str){joined, x->a.n + tail.n}, last);
    if (x->left < 0 || x->right < 0 || x->id < 0 || !has_prefix)
        return err_set(e, ST_INVALID,
                       "tokenizer.json: merge %u (`" STR_FMT "` `" STR_FMT "`) is out of the vocabulary",
                       rank, STR_ARG(x->a), STR_ARG(x->b));
    return ST_OK;
}

/* Each of the three passes has the tables' places for the next one fetched: a large table is in no cache. */
static enum status add_merges(const struct token_model *m, struct bpe *out, struct new_merge *x, uint32_t n,
                              uint32_t rank, struct err *e)
{
    for (uint32_t i = 0; i < n; i++) {
        x[i].hash_a = model_id_prepare(m, x[i].a);
        x[i].hash_b = model_id_prepare(m, x[i].b);
    }
    for (uint32_t i = 0; i < n; i++) {
        enum status st = resolve_merge(m, out, rank + i, i ? x[i - 1].id : 0, &x[i], e);
        if (st != ST_OK)
            return st;
        merges_prefetch(&out->merges, x[i].left, x[i].right);
    }
    for (uint32_t i = 0; i < n; i++) {
        merges_put(&out->merges, x[i].left, x[i].right, rank + i, (uint32_t)x[i].id);
        note_meeting(out, x[i].a, x[i].b);
        if (x[i].left == out->unk || x[i].right == out->unk)
            out->merges.may_cut = false;
    }
    return ST_OK;
}

static enum status read_merges(const struct json_val *v, const struct token_model *m, struct bpe *out,
                               struct err *e)
{
    struct json_iter it = json_iter(v);
    const struct json_val *item;
    struct new_merge block[MERGE_BLOCK];
    struct str line;
    uint32_t rank = 0, n = 0;
    enum status st = merges_init(&out->merges, json_len(v), e);
    while (st == ST_OK && (item = json_next(&it, NULL))) {
        if (json_str(item, &line) && str_has_prefix(line, STR("#version")))
            continue;
        if (!merge_parts(item, &block[n].a, &block[n].b))
            return err_set(e, ST_INVALID, "tokenizer.json: merge %u is not a pair of strings", rank + n);
        if (++n == MERGE_BLOCK) {
            st = add_merges(m, out, block, n, rank, e);
            rank += n;
            n = 0;
        }
    }
    out->merges.may_cut &= out->prefix.n == 0 && out->suffix.n == 0;
    return st == ST_OK ? add_merges(m, out, block, n, rank, e) : st;
}

static enum status read_affix(const struct json_val *v, const char *name, char memory[AFFIX_MAX],
                              struct str *out, struct err *e)
{
    struct str text = STR("");
    json_str(json_get(v, str_from(name)), &text);
    if (text.n > AFFIX_MAX)
        return err_set(e, ST_LIMIT, "tokenizer.json: `%s` is too long", name);
    memcpy(memory, text.p, text.n);
    *out = (struct str){memory, text.n};
    return ST_OK;
}

static enum status read_options(const struct json_val *v, const struct token_model *m, struct bpe *out,
                                struct err *e)
{
    double dropout;
    struct str unk;
    char text[4];
    if (json_f64(json_get(v, STR("dropout")), &dropout) && dropout > 0)
        return err_set(e, ST_UNSUPPORTED,
                       "tokenizer.json: BPE dropout makes tokens random and is not supported");
    json_bool(json_get(v, STR("fuse_unk")), &out->fuse_unk);
    json_bool(json_get(v, STR("byte_fallback")), &out->byte_fallback);
    json_bool(json_get(v, STR("ignore_merges")), &out->ignore_merges);
    model_byte_ids(m, out->byte_id);
    for (uint32_t cp = 0; cp < DIRECT_CHARS; cp++)
        out->char_id[cp] = model_id(m, (struct str){text, utf8_encode(cp, text)});
    out->unk = UNK_NONE;
    if (json_str(json_get(v, STR("unk_token")), &unk)) {
        out->unk = model_id(m, unk);
        if (out->unk < 0)
            out->unk = UNK_MISSING;
    }
    enum status st = read_affix(v, "continuing_subword_prefix", out->affix_text[0], &out->prefix, e);
    return st == ST_OK ? read_affix(v, "end_of_word_suffix", out->affix_text[1], &out->suffix, e) : st;
}

static enum status bpe_read(const struct json_val *v, struct token_model *m, struct err *e)
{
    struct bpe *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, ST_NO_MEMORY, "no memory for a tokenizer");
    m->state = b;
    enum status st = model_read_vocab(json_get(v, STR("vocab")), m, e);
    if (st == ST_OK)
        st = read_options(v, m, b, e);
    return st == ST_OK ? read_merges(json_get(v, STR("merges")), m, b, e) : st;
}

static void bpe_free(void *state)
{
    struct bpe *b = state;
    merges_fini(&b->merges);
    free(b);
}

/* ---- characters become symbols ---- */

/* A word on its way: its symbols, and an unknown character that may still grow. */
struct word {
    const struct token_model *m;
    const struct bpe *b;
    struct scratch *s;
    struct symbol *symbol; /* [n bytes of the word and its affixes] */
    uint32_t n;
    uint32_t unk_bytes; /* waiting; 0: none */
};

static void push_symbol(struct word *w, int32_t id, uint32_t n_bytes)
{
    w->symbol[w->n++] = (struct symbol){id, n_bytes};
}

static void flush_unknown(struct word *w)
{
    if (w->unk_bytes)
        push_symbol(w, w->b->unk, w->unk_bytes);
    w->unk_bytes = 0;
}

/* False when a byte is no token. As in the library, an unknown character that waits stays behind the bytes.
 */
static bool push_bytes(struct word *w, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++)
        if (w->b->byte_id[(unsigned char)bytes.p[i]] < 0)
            return false;
    for (size_t i = 0; i < bytes.n; i++)
        push_symbol(w, w->b->byte_id[(unsigned char)bytes.p[i]], 1);
    return true;
}

/* Without an unknown token the character is dropped, and those behind it move up, as in the library. */
static void push_unknown(struct word *w, uint32_t n_bytes)
{
    if (w->b->unk == UNK_MISSING && w->s->status == ST_OK)
        w->s->status = err_set(w->s->e, ST_INVALID,
                               "the text has a character for which the tokenizer has no token, not even an "
                               "unknown one");
    if (w->b->unk < 0)
        return;
    if (!w->b->fuse_unk)
        flush_unknown(w);
    w->unk_bytes += n_bytes;
}

static void push_character(struct word *w, struct str symbol, uint32_t n_bytes, int32_t id)
{
    if (id >= 0) {
        flush_unknown(w);
        push_symbol(w, id, n_bytes);
    } else if (!w->b->byte_fallback || !push_bytes(w, symbol)) {
        push_unknown(w, n_bytes);
    }
}

static int32_t character_id(const struct token_model *m, struct str text, uint32_t cp)
{
    return cp < DIRECT_CHARS ? ((const struct bpe *)m->state)->char_id[cp] : model_id(m, text);
}

/* A character with the affixes that its place in the word asks for. */
static void push_affixed(struct word *w, struct str c, bool first, bool last)
{
    char text[2 * AFFIX_MAX + 4];
    struct str prefix = first ? STR("") : w->b->prefix, suffix = last ? w->b->suffix : STR("");
    memcpy(text, prefix.p ? prefix.p : "", prefix.n);
    memcpy(text + prefix.n, c.p, c.n);
    memcpy(text + prefix.n + c.n, suffix.p ? suffix.p : "", suffix.n);
    struct str symbol = {text, prefix.n + c.n + suffix.n};
    push_character(w, symbol, (uint32_t)c.n, model_id(w->m, symbol));
}

static void split_characters(struct word *w, struct str text)
{
    bool affixes = w->b->prefix.n || w->b->suffix.n;
    uint32_t cp;
    for (size_t at = 0; at < text.n;) {
        struct str c = {text.p + at, utf8_decode(text, at, &cp)};
        at += c.n;
        if (affixes)
            push_affixed(w, c, at == c.n, at == text.n);
        else
            push_character(w, c, (uint32_t)c.n, character_id(w->m, c, cp));
    }
    flush_unknown(w);
}

/* ---- words met before ---- */

struct cached_word {
    uint64_t hash;
    const char *p; /* of the call's arena; NULL: free */
    uint32_t n_bytes, n_symbol;
    const struct symbol *symbol;
};

static struct cached_word *cache_slot(struct scratch *s, struct str word, uint64_t hash)
{
    if (word.n > CACHE_WORD_MAX)
        return NULL;
    if (!s->word_cache) {
        size_t n = 16;
        while (n < CACHE_SLOTS && n < s->text_bytes / 8)
            n *= 2;
        s->word_cache = arena_zalloc(&s->arena, n * sizeof(struct cached_word));
        s->word_mask = n - 1;
    }
    return s->word_cache ? (struct cached_word *)s->word_cache + (hash & s->word_mask) : NULL;
}

static bool cache_holds(const struct cached_word *c, struct str word, uint64_t hash)
{
    return c && c->p && c->hash == hash && str_eq((struct str){c->p, c->n_bytes}, word);
}

/* ---- encoding ---- */

/* Where a piece's tokens go. `at` counts the bytes of the symbols so far: dropped characters and bytes of an
 * affix move what follows, as in the library, also past the piece's end. */
struct sink {
    const struct aligned *text;
    struct span piece;
    uint32_t at;
    struct token_list *out;
};

/* A place past the end of the piece cannot be led back to the text: the library leaves it as it is. */
static void put_tokens(struct sink *to, const struct symbol *symbol, uint32_t n, struct scratch *s)
{
    const uint32_t *begin = to->text->begin + to->piece.begin, *end = to->text->end + to->piece.begin;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = to->at, stop = at + symbol[i].n_bytes;
        bool inside = stop <= to->piece.end - to->piece.begin;
        token_list_add(to->out, s, symbol[i].id, inside ? begin[at] : at, inside ? end[stop - 1] : stop);
        to->at = stop;
    }
}

static struct symbol *word_symbols(const struct bpe *b, struct scratch *s, size_t n_bytes)
{
    /* Affixes of an unknown character fall back to bytes as well. */
    size_t most = n_bytes * (1 + b->prefix.n) + b->suffix.n;
    struct symbol *symbol =
        n_bytes > UINT32_MAX / (AFFIX_MAX + 1) ? NULL : arena_array(&s->arena, most, sizeof *symbol);
    if (!symbol)
        scratch_no_memory(s);
    return symbol;
}

static void encode_word(const struct token_model *m, struct str bytes, struct sink *to, struct scratch *s)
{
    uint64_t hash = hash_bytes(bytes.p, bytes.n, m->hash_key);
    struct cached_word *c = cache_slot(s, bytes, hash);
    if (cache_holds(c, bytes, hash)) {
        put_tokens(to, c->symbol, c->n_symbol, s);
        return;
    }
    struct word w = {.m = m, .b = m->state, .s = s};
    w.symbol = word_symbols(w.b, s, bytes.n);
    if (!w.symbol)
        return;
    split_characters(&w, bytes);
    w.n = merges_join(&w.b->merges, w.symbol, w.n, s);
    put_tokens(to, w.symbol, w.n, s);
    if (c)
        *c = (struct cached_word){hash, bytes.p, (uint32_t)bytes.n, w.n, w.symbol};
}

/* Cuts between two known characters that no token has side by side. */
static void encode_long(const struct token_model *m, struct str piece, struct sink *to, struct scratch *s)
{
    const struct bpe *b = m->state;
    uint32_t before = 0, cp;
    size_t word = 0;
    bool known_before = false;
    for (size_t at = 0; at < piece.n && s->status == ST_OK;) {
        unsigned n = utf8_decode(piece, at, &cp);
        bool known = character_id(m, (struct str){piece.p + at, n}, cp) >= 0;
        if (known && known_before && !merges_met(&b->merges, before, cp)) {
            encode_word(m, (struct str){piece.p + word, at - word}, to, s);
            word = at;
        }
        at += n;
        before = cp;
        known_before = known;
    }
    encode_word(m, (struct str){piece.p + word, piece.n - word}, to, s);
}

static void bpe_encode(const struct token_model *m, const struct aligned *text, struct span piece,
                       struct token_list *out, struct scratch *s)
{
    const struct bpe *b = m->state;
    struct str bytes = {text->p + piece.begin, piece.end - piece.begin};
    struct sink to = {.text = text, .piece = piece, .out = out};
    int32_t whole = b->ignore_merges ? model_id(m, bytes) : -1;
    if (whole >= 0)
        token_list_add(out, s, whole, text->begin[piece.begin], text->end[piece.end - 1]);
    else if (b->merges.may_cut && bytes.n >= CUT_FROM_BYTES)
        encode_long(m, bytes, &to, s);
    else
        encode_word(m, bytes, &to, s);
}

const struct token_model_kind model_bpe = {
    .type = "BPE", .read = bpe_read, .encode = bpe_encode, .free_state = bpe_free};

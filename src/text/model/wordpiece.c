/* WordPiece: from the left, the longest piece that fits; a word that no pieces fill is one unknown token.
 *
 * Pieces inside a word carry a prefix in the vocabulary ("##ing"): their search starts at the node of the
 * trie that the prefix leads to, so that nothing is copied and a step costs one look. */
#include "text/model/model_int.h"
#include <stdlib.h>

struct wordpiece {
    struct piece_trie trie;
    uint32_t inside; /* the prefix's node, or PIECE_NONE */
    uint64_t max_chars;
    int32_t unk; /* -1: the vocabulary has no such token */
};

static uint32_t prefix_node(const struct piece_trie *t, struct str prefix)
{
    uint32_t node = PIECE_ROOT;
    for (size_t i = 0; i < prefix.n && node != PIECE_NONE; i++)
        node = piece_trie_step(t, node, (unsigned char)prefix.p[i]);
    return node;
}

static enum status read_pieces(const struct json_val *vocab, struct piece_trie *out, struct err *e)
{
    struct json_iter it = json_iter(vocab);
    const struct json_val *item;
    struct str key;
    uint32_t n = 0;
    struct piece *piece = malloc((json_len(vocab) + 1) * sizeof *piece);
    if (!piece)
        return err_set(e, ST_NO_MEMORY, "no memory for a vocabulary of %zu", json_len(vocab));
    while ((item = json_next(&it, &key))) {
        uint64_t id = 0;
        json_u64(item, &id);
        piece[n++] = (struct piece){key, (int32_t)id};
    }
    enum status st = piece_trie_init(out, piece, n, e);
    free(piece);
    return st;
}

static enum status wordpiece_read(const struct json_val *v, struct token_model *m, struct err *e)
{
    const struct json_val *vocab = json_get(v, STR("vocab"));
    struct str prefix, unk;
    struct wordpiece *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, ST_NO_MEMORY, "no memory for a tokenizer");
    m->state = w;
    if (!json_u64(json_get(v, STR("max_input_chars_per_word")), &w->max_chars))
        return err_set(e, ST_INVALID, "tokenizer.json: model has no valid `max_input_chars_per_word`");
    enum status st = model_read_str(v, "unk_token", &unk, e);
    if (st == ST_OK)
        st = model_read_str(v, "continuing_subword_prefix", &prefix, e);
    if (st == ST_OK)
        st = model_read_vocab(vocab, m, e);
    if (st == ST_OK)
        st = read_pieces(vocab, &w->trie, e);
    if (st == ST_OK) {
        w->unk = model_id(m, unk);
        w->inside = prefix_node(&w->trie, prefix);
    }
    return st;
}

static void wordpiece_free(void *state)
{
    struct wordpiece *w = state;
    piece_trie_fini(&w->trie);
    free(w);
}

/* The end of the longest piece that starts at `at`, at most `end`; `at` itself when there is none. */
static uint32_t longest_piece(const struct piece_trie *t, uint32_t node, const char *p, uint32_t at,
                              uint32_t end, int32_t *id)
{
    uint32_t found = at;
    while (at < end && node != PIECE_NONE) {
        node = piece_trie_step(t, node, (unsigned char)p[at++]);
        if (node != PIECE_NONE && piece_trie_ends(t, node)) {
            *id = t->id[node];
            found = at;
        }
    }
    return found;
}

static void wordpiece_encode(const struct token_model *m, const struct aligned *text, struct span piece,
                             struct token_list *out, struct scratch *s)
{
    const struct wordpiece *w = m->state;
    size_t n_before = out->n;
    uint32_t at = piece.begin, node = PIECE_ROOT;
    /* A character has at least one byte: counting is left to the words that could be too long. */
    if (piece.end - piece.begin > w->max_chars &&
        utf8_count((struct str){text->p + piece.begin, piece.end - piece.begin}) > w->max_chars) {
        model_add_word(w->unk, text, piece, out, s);
        return;
    }
    while (at < piece.end) {
        int32_t id = -1;
        uint32_t end = longest_piece(&w->trie, node, text->p, at, piece.end, &id);
        if (end == at) {
            out->n = n_before;
            model_add_word(w->unk, text, piece, out, s);
            return;
        }
        token_list_add(out, s, id, text->begin[at], text->end[end - 1]);
        at = end;
        node = w->inside;
    }
}

const struct token_model_kind model_wordpiece = {
    .type = "WordPiece", .read = wordpiece_read, .encode = wordpiece_encode, .free_state = wordpiece_free};

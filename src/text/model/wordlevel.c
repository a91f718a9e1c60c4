/* Word level: a piece is one token, or the unknown one. */
#include "text/model/model_int.h"
#include <stdlib.h>

struct wordlevel {
    int32_t unk; /* -1: the vocabulary has no such token */
};

static enum status wordlevel_read(const struct json_val *v, struct token_model *m, struct err *e)
{
    struct str unk;
    struct wordlevel *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, ST_NO_MEMORY, "no memory for a tokenizer");
    m->state = w;
    enum status st = model_read_vocab(json_get(v, STR("vocab")), m, e);
    if (st == ST_OK)
        st = model_read_str(v, "unk_token", &unk, e);
    if (st == ST_OK)
        w->unk = model_id(m, unk);
    return st;
}

static void wordlevel_encode(const struct token_model *m, const struct aligned *text, struct span piece,
                             struct token_list *out, struct scratch *s)
{
    const struct wordlevel *w = m->state;
    int32_t id = model_id(m, (struct str){text->p + piece.begin, piece.end - piece.begin});
    model_add_word(id >= 0 ? id : w->unk, text, piece, out, s);
}

const struct token_model_kind model_wordlevel = {
    .type = "WordLevel", .read = wordlevel_read, .encode = wordlevel_encode, .free_state = free};

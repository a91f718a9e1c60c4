/* The tokenizer: runs the stages of encoding and decoding in order. Loading is in tokenizer_load.c. */
#include "text/tokenizer_int.h"
#include <stdlib.h>
#include <string.h>

/* A call's arena may take this much for each byte of text: aligned copies (9 bytes a byte, doubling, a few
 * stages), symbols and heap of one long piece, tokens. */
#define ARENA_BYTES_PER_BYTE 512u
#define ARENA_BYTES_BASE     (1u << 20)

/* ---- encoding ---- */

/* Normalizes, pre-tokenizes and encodes what lies between added tokens. */
static void encode_section(const struct tokenizer *t, struct section *x, struct token_list *out,
                           struct scratch *s)
{
    if (x->text.n == 0)
        return;
    section_piece(x, s, 0, x->text.n);
    steps_run(&t->pre_tokenizers, x, s);
    for (size_t i = 0; i < x->n_piece && s->status == ST_OK; i++)
        t->model.kind->encode(&t->model, &x->text, x->piece[i], out, s);
}

/* Added tokens of the normalized text, and what lies between them. */
static void encode_normalized(const struct tokenizer *t, struct section *whole, struct token_list *out,
                              struct scratch *s)
{
    struct str text = aligned_str(&whole->text);
    size_t from = 0, at = 0;
    while (s->status == ST_OK) {
        struct added_match m = added_tokens_next(&t->added, &t->added.normalized, text, from, &at);
        size_t end = m.token ? m.begin : text.n;
        if (end > from) {
            struct section part = {.origin = whole->origin};
            aligned_copy(&part.text, s, &whole->text, from, end - from);
            encode_section(t, &part, out, s);
        }
        if (!m.token)
            return;
        token_list_add(out, s, m.token->id, whole->text.begin[m.begin], whole->text.end[m.end - 1]);
        from = m.end;
    }
}

static void encode_text(const struct tokenizer *t, struct str text, struct token_list *out, struct scratch *s)
{
    size_t from = 0, at = 0;
    while (s->status == ST_OK) {
        struct added_match m = added_tokens_next(&t->added, &t->added.raw, text, from, &at);
        size_t end = m.token ? m.begin : text.n;
        if (end > from) {
            struct section x = {.origin = (uint32_t)from};
            aligned_from(&x.text, s, (struct str){text.p + from, end - from}, (uint32_t)from);
            steps_run(&t->normalizers, &x, s);
            encode_normalized(t, &x, out, s);
        }
        if (!m.token)
            return;
        token_list_add(out, s, m.token->id, (uint32_t)m.begin, (uint32_t)m.end);
        from = m.end;
    }
}

static enum status tokens_alloc(struct tokens *out, size_t n, struct err *e)
{
    *out = (struct tokens){.ids = malloc((n + 1) * sizeof *out->ids),
                           .start = malloc((n + 1) * sizeof *out->start),
                           .stop = malloc((n + 1) * sizeof *out->stop)};
    if (out->ids && out->start && out->stop)
        return ST_OK;
    tokens_fini(out);
    return err_set(e, ST_NO_MEMORY, "no memory for %zu tokens", n);
}

static void tokens_put(struct tokens *out, int32_t id, uint32_t start, uint32_t stop)
{
    out->ids[out->n] = id;
    out->start[out->n] = start;
    out->stop[out->n++] = stop;
}

/* From bytes to code points. An offset inside a character becomes the character's own. Where the library
 * finds no character for a token's begin it leaves its bytes; `trimmed`: the begin may have been another one
 * then. */
static enum status offsets_count_chars(struct tokens *out, struct str text, bool trimmed, struct err *e)
{
    uint32_t *number = malloc((text.n + 1) * sizeof *number), n_char = 0;
    if (!number)
        return err_set(e, ST_NO_MEMORY, "no memory for the offsets of %zu bytes", text.n);
    for (size_t i = 0; i < text.n; i++) {
        n_char += ((unsigned char)text.p[i] & 0xc0) != 0x80;
        number[i] = n_char - 1;
    }
    number[text.n] = n_char;
    for (size_t i = 0; i < out->n; i++) {
        if (out->start[i] > text.n || (out->start[i] == text.n && !trimmed))
            continue;
        out->start[i] = number[out->start[i]];
        out->stop[i] = out->stop[i] <= text.n ? number[out->stop[i]] : out->start[i] + 2;
    }
    free(number);
    return ST_OK;
}

/* The library's places may lead past the text's end (symbols of an affix's bytes): what callers cut out of
 * the text must not. */
static void offsets_keep_inside(struct tokens *out, size_t n_bytes)
{
    uint32_t end = (uint32_t)n_bytes;
    for (size_t i = 0; i < out->n; i++) {
        out->stop[i] = out->stop[i] < end ? out->stop[i] : end;
        out->start[i] = out->start[i] < out->stop[i] ? out->start[i] : out->stop[i];
    }
}

static enum status frame_tokens(const struct tokenizer *t, struct str text, struct token_list *list,
                                unsigned flags, struct tokens *out, struct err *e)
{
    const struct frame *f = &t->frame[flags & TOKENIZER_ADD_SPECIAL ? 1 : 0];
    enum status st = tokens_alloc(out, list->n * f->n_text + f->n, e);
    if (st != ST_OK)
        return st;
    for (unsigned i = 0; i < f->n_trim; i++)
        trim_offsets(t, text, f->trim[i], list);
    for (unsigned k = 0; k < f->n; k++) {
        if (f->item[k] != FRAME_TEXT)
            tokens_put(out, f->item[k], 0, 0);
        for (size_t i = 0; f->item[k] == FRAME_TEXT && i < list->n; i++)
            tokens_put(out, list->id[i], list->start[i], list->stop[i]);
    }
    if (!(flags & TOKENIZER_CHAR_OFFSETS))
        offsets_keep_inside(out, text.n);
    else if ((st = offsets_count_chars(out, text, f->n_trim > 0, e)) != ST_OK)
        tokens_fini(out);
    return st;
}

enum status tokenizer_encode(const struct tokenizer *t, struct str text, unsigned flags, struct tokens *out,
                             struct err *e)
{
    *out = (struct tokens){0};
    if (text.n > TOKENIZER_MAX_TEXT_BYTES)
        return err_set(e, ST_LIMIT, "the text has %zu bytes, at most %u can be tokenized", text.n,
                       TOKENIZER_MAX_TEXT_BYTES);
    if (!utf8_valid(text))
        return err_set(e, ST_INVALID, "the text is not valid UTF-8");
    struct scratch s = {.text_bytes = text.n, .e = e};
    struct token_list list = {0};
    arena_init(&s.arena, text.n * ARENA_BYTES_PER_BYTE + ARENA_BYTES_BASE);
    encode_text(t, text, &list, &s);
    enum status st = s.status;
    if (st == ST_OK)
        st = frame_tokens(t, text, &list, flags, out, e);
    scratch_fini(&s);
    return st;
}

void tokens_fini(struct tokens *tokens)
{
    free(tokens->ids);
    free(tokens->start);
    free(tokens->stop);
    *tokens = (struct tokens){0};
}

/* ---- decoding ---- */

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                      struct buf *out)
{
    struct decode_list list = {.failed = false};
    arena_init(&list.arena, SIZE_MAX / 4);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= t->vocab.n_vocab || !t->token_text[ids[i]].p)
            continue;
        if (!skip_special || !tokenizer_is_special(t, ids[i]))
            decode_list_add(&list, t->token_text[ids[i]].p, t->token_text[ids[i]].n);
    }
    decode_tokens(&t->decoders, &list, out);
    arena_fini(&list.arena);
}

/* ---- what it knows ---- */

struct str tokenizer_token_text(const struct tokenizer *t, int32_t id)
{
    bool known = id >= 0 && (uint32_t)id < t->vocab.n_vocab && t->token_text[id].p;
    return known ? t->token_text[id] : STR("");
}

const struct vocab *tokenizer_vocab(const struct tokenizer *t)
{
    return &t->vocab;
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->vocab.n_vocab && (t->vocab.flags[id] & VOCAB_SPECIAL);
}

int32_t tokenizer_token_id(const struct tokenizer *t, struct str text)
{
    for (size_t i = 0; i < t->added.n; i++)
        if (str_eq(t->added.token[i].content, text))
            return t->added.token[i].id;
    return model_id(&t->model, text);
}

bool tokenizer_special(const struct tokenizer *t, size_t i, struct str *name, struct str *text)
{
    if (i >= t->n_named)
        return false;
    *name = t->named[i].name;
    *text = t->named[i].token.content;
    return true;
}

struct str tokenizer_special_text(const struct tokenizer *t, struct str name)
{
    for (unsigned i = 0; i < t->n_named; i++)
        if (str_eq(t->named[i].name, name))
            return t->named[i].token.content;
    return STR("");
}

int32_t tokenizer_special_id(const struct tokenizer *t, struct str name)
{
    struct str text = tokenizer_special_text(t, name);
    return text.n ? tokenizer_token_id(t, text) : -1;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return tokenizer_special_id(t, STR("eos_token"));
}

size_t tokenizer_all_eos(const struct tokenizer *t, const int32_t **ids)
{
    *ids = t->eos;
    return t->n_eos;
}

bool tokenizer_template_at(const struct tokenizer *t, size_t i, struct str *name, struct str *text)
{
    if (i >= t->config->n_template)
        return false;
    *name = t->config->template[i].name;
    *text = t->config->template[i].text;
    return true;
}

struct str tokenizer_template(const struct tokenizer *t, struct str name)
{
    for (unsigned i = 0; i < t->config->n_template; i++)
        if (str_eq(t->config->template[i].name, name))
            return t->config->template[i].text;
    return STR("");
}

struct str tokenizer_chat_template(const struct tokenizer *t)
{
    return tokenizer_template(t, STR("default"));
}

bool tokenizer_cleans_up(const struct tokenizer *t)
{
    bool forced = false;
    json_bool(tokenizer_config_option(
                  t->config, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"),
              &forced);
    return t->config->clean_up_spaces && (forced || strcmp(t->model.kind->type, "BPE") != 0);
}

uint64_t tokenizer_max_length(const struct tokenizer *t)
{
    return t->config->max_length;
}

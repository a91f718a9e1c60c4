/* Loading a tokenizer: its tokenizer.json, found or made (source/), with what stands beside it. Every string
 * stays in the parsed document or in the config's. */
#include "text/tokenizer_int.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STAGES_MAX_BYTES (256u << 20)
#define VOCAB_MAX        (16u << 20)

/* ---- the vocabulary by id ---- */

static uint32_t vocab_size(const struct tokenizer *t)
{
    uint32_t n = t->model.n_token;
    for (size_t i = 0; i < t->added.n; i++)
        if ((uint32_t)t->added.token[i].id >= n)
            n = (uint32_t)t->added.token[i].id + 1;
    return n > VOCAB_MAX ? 0 : n;
}

static const struct step *decoder_find(const struct tokenizer *t, const char *type)
{
    for (unsigned i = 0; i < t->decoders.n; i++)
        if (strcmp(t->decoders.step[i].kind->type, type) == 0)
            return &t->decoders.step[i];
    return NULL;
}

/* A token's text with spaces for what stands for them. */
static void put_spaced(struct str text, struct str mark, struct buf *out)
{
    size_t at = 0, found;
    while (mark.n && (found = str_find(text, mark, at)) != SIZE_MAX) {
        buf_put(out, text.p + at, found - at);
        buf_put_char(out, ' ');
        at = found + mark.n;
    }
    buf_put(out, text.p + at, text.n - at);
}

/* What the token adds to a text that has begun, by itself and as raw bytes. */
static void put_token_bytes(const struct tokenizer *t, struct str text, bool added, struct buf *out)
{
    const struct step *pieces = decoder_find(t, "WordPiece"), *metaspace = decoder_find(t, "Metaspace"),
                      *suffix = decoder_find(t, "BPEDecoder");
    if (added) {
        buf_put_str(out, text);
    } else if (decoder_find(t, "ByteLevel")) {
        char *to = buf_reserve(out, text.n + 1);
        if (to)
            out->n += byte_level_bytes(text, to);
    } else if (decoder_find(t, "ByteFallback") && fallback_byte(text) >= 0) {
        buf_put_char(out, (char)fallback_byte(text));
    } else if (pieces && str_has_prefix(text, pieces->text)) {
        buf_put(out, text.p + pieces->text.n, text.n - pieces->text.n);
    } else if (pieces || t->decoders.n == 0) {
        buf_put_char(out, ' ');
        buf_put_str(out, text);
    } else {
        put_spaced(text, metaspace ? metaspace->text : suffix ? suffix->text : STR("\xe2\x96\x81"), out);
    }
}

static enum status fill_bytes(struct tokenizer *t, struct err *e)
{
    struct buf all;
    size_t at = 0;
    buf_init(&all, SIZE_MAX / 4);
    for (uint32_t id = 0; id < t->vocab.n_vocab; id++) {
        size_t before = all.n;
        if (t->token_text[id].p)
            put_token_bytes(t, t->token_text[id], t->vocab.flags[id] & VOCAB_ADDED, &all);
        else
            t->vocab.flags[id] |= VOCAB_UNUSED;
        t->vocab.bytes[id].n = all.n - before;
    }
    if (all.failed) {
        buf_fini(&all);
        return err_set(e, ST_NO_MEMORY, "no memory for the vocabulary");
    }
    t->vocab.memory = all.p; /* taken */
    for (uint32_t id = 0; id < t->vocab.n_vocab; id++) {
        t->vocab.bytes[id].p = all.p ? all.p + at : "";
        at += t->vocab.bytes[id].n;
    }
    return ST_OK;
}

/* The library knows special tokens by their text: where a list has it twice, both are special. */
static void flag_twins(struct tokenizer *t)
{
    uint32_t n = 0;
    for (uint32_t id = 0; id < t->model.n_token; id++)
        n += t->model.token[id].p != NULL;
    for (uint32_t id = 0; n > t->model.n_entry && id < t->model.n_token; id++) {
        int32_t known = t->model.token[id].p ? model_id(&t->model, t->model.token[id]) : -1;
        if (known >= 0)
            t->vocab.flags[id] |= t->vocab.flags[known] & VOCAB_SPECIAL;
    }
}

static enum status fill_vocab(struct tokenizer *t, struct err *e)
{
    uint32_t n = vocab_size(t);
    if (n == 0)
        return err_set(e, ST_INVALID, "tokenizer.json: the vocabulary is empty or has absurd ids");
    t->vocab.n_vocab = n;
    t->vocab.bytes = calloc(n, sizeof *t->vocab.bytes);
    t->vocab.flags = calloc(n, 1);
    t->token_text = calloc(n, sizeof *t->token_text);
    if (!t->vocab.bytes || !t->vocab.flags || !t->token_text)
        return err_set(e, ST_NO_MEMORY, "no memory for a vocabulary of %u", n);
    if (t->model.n_token)
        memcpy(t->token_text, t->model.token, t->model.n_token * sizeof *t->token_text);
    for (size_t i = 0; i < t->added.n; i++) {
        const struct added_token *a = &t->added.token[i];
        bool special = a->special && str_eq(a->normal, a->content); /* the library asks by the text */
        t->token_text[a->id] = a->normal;
        t->vocab.flags[a->id] |= (uint8_t)(VOCAB_ADDED | (special ? VOCAB_SPECIAL : 0));
    }
    flag_twins(t);
    return fill_bytes(t, e);
}

/* ---- tokenizer.json ---- */

/* The document without its model, which is nearly all of it: what is left stays, the rest can go. */
static enum status keep_stages(const struct json_val *root, struct json_doc **out, struct err *e)
{
    struct json_iter it = json_iter(json_is(root, JSON_OBJECT) ? root : NULL);
    const struct json_val *item;
    struct str key;
    struct buf json;
    buf_init(&json, STAGES_MAX_BYTES);
    buf_put_char(&json, '{');
    while ((item = json_next(&it, &key))) {
        struct json_writer w;
        if (str_eq(key, STR("model")))
            continue;
        write_comma(&json, '{');
        write_json_str(&json, key);
        buf_put_char(&json, ':');
        jw_init(&w, &json);
        jw_value(&w, item);
    }
    buf_put_char(&json, '}');
    enum status st = json.failed ? err_set(e, ST_LIMIT, "tokenizer.json: too large beside its model")
                                 : json_parse(buf_str(&json), TOKENIZER_JSON_FLAGS, out, e);
    buf_fini(&json);
    return st;
}

static enum status read_document(struct tokenizer *t, const struct json_val *model,
                                 const struct special_source *from, struct err *e)
{
    const struct json_val *root = json_root(t->doc);
    enum status st = normalizers_read(json_get(root, STR("normalizer")), &t->normalizers, e);
    if (st == ST_OK)
        st = pre_tokenizers_read(json_get(root, STR("pre_tokenizer")), &t->pre_tokenizers, e);
    if (st == ST_OK)
        st = decoders_read(json_get(root, STR("decoder")), &t->decoders, e);
    if (st == ST_OK)
        st = post_processor_read(json_get(root, STR("post_processor")), t->frame, e);
    if (st == ST_OK)
        st = model_read(model, &t->model, e);
    if (st == ST_OK)
        st = model_own_texts(&t->model, e);
    if (st == ST_OK)
        st = added_tokens_read(json_get(root, STR("added_tokens")), &t->model, &t->added, e);
    if (st == ST_OK)
        st = special_tokens_apply(t, from, e);
    if (st == ST_OK)
        st = added_tokens_prepare(&t->added, &t->normalizers, e);
    if (st == ST_OK)
        st = fill_vocab(t, e);
    return st;
}

static void add_eos(struct tokenizer *t, int64_t id)
{
    for (size_t i = 0; i < t->n_eos; i++)
        if (t->eos[i] == id)
            return;
    if (id >= 0 && id <= INT32_MAX && t->n_eos < TOKENIZER_MAX_EOS)
        t->eos[t->n_eos++] = (int32_t)id;
}

/* The tokenizer's own end, then those of generation_config.json: a number or a list. */
static void collect_eos(struct tokenizer *t)
{
    const struct json_doc *file = t->config->generation;
    const struct json_val *ids = file ? json_get(json_root(file), STR("eos_token_id")) : NULL, *item;
    struct json_iter it = json_iter(ids);
    int64_t id;
    add_eos(t, tokenizer_special_id(t, STR("eos_token")));
    if (json_i64(ids, &id))
        add_eos(t, id);
    while ((item = json_next(&it, NULL)))
        if (json_i64(item, &id))
            add_eos(t, id);
}

enum status tokenizer_from_document(struct json_doc *doc, struct tokenizer_config *config,
                                    const struct special_source *from, struct tokenizer **out, struct err *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t) {
        json_free(doc);
        tokenizer_config_free(config);
        return err_set(e, ST_NO_MEMORY, "no memory for a tokenizer");
    }
    t->config = config;
    enum status st = keep_stages(json_root(doc), &t->doc, e);
    if (st == ST_OK)
        st = read_document(t, json_get(json_root(doc), STR("model")), from, e);
    json_free(doc);
    if (st != ST_OK) {
        tokenizer_free(t);
        return st;
    }
    collect_eos(t);
    *out = t;
    return ST_OK;
}

enum status tokenizer_from_json(struct str json, struct tokenizer **out, struct err *e)
{
    struct tokenizer_config *config;
    struct json_doc *doc;
    enum status st = tokenizer_config_empty(&config, e);
    if (st != ST_OK)
        return st;
    st = json_parse(json, TOKENIZER_JSON_FLAGS, &doc, e);
    if (st == ST_OK)
        return tokenizer_from_document(doc, config, &(struct special_source){0}, out, e);
    tokenizer_config_free(config);
    return err_prefix(e, "tokenizer.json");
}

enum status tokenizer_open_with(const char *path, const char *config_path, struct tokenizer **out,
                                struct err *e)
{
    struct special_source from = {0};
    struct tokenizer_config *config;
    struct json_doc *doc;
    struct stat info;
    *out = NULL;
    bool is_dir = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    enum status st =
        is_dir ? tokenizer_config_open(path, config_path, &config, e) : tokenizer_config_empty(&config, e);
    if (st != ST_OK)
        return st;
    st = source_read(path, is_dir, config, &doc, &from.class, &from.made, e);
    if (st != ST_OK) {
        tokenizer_config_free(config);
        return st;
    }
    return tokenizer_from_document(doc, config, &from, out, e);
}

enum status tokenizer_open(const char *path, struct tokenizer **out, struct err *e)
{
    return tokenizer_open_with(path, NULL, out, e);
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    steps_fini(&t->normalizers);
    steps_fini(&t->pre_tokenizers);
    steps_fini(&t->decoders);
    added_tokens_fini(&t->added);
    model_fini(&t->model);
    vocab_fini(&t->vocab);
    free(t->token_text);
    tokenizer_config_free(t->config);
    json_free(t->doc);
    free(t);
}

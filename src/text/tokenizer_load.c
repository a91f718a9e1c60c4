/* Loading a tokenizer: tokenizer.json, then what stands beside it. Every string stays in the parsed document.
 */
#include "text/tokenizer_int.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TOKENIZER_JSON_MAX_BYTES (512u << 20)
#define CONFIG_JSON_MAX_BYTES    (16u << 20)
#define VOCAB_MAX                (16u << 20)
#define ABSURD_LENGTH            1e15 /* transformers writes 1e30 for "no limit" */

/* ---- the vocabulary by id ---- */

static uint32_t vocab_size(const struct tokenizer *t)
{
    uint32_t n = t->model.n_token;
    for (size_t i = 0; i < t->added.n; i++)
        if ((uint32_t)t->added.token[i].id >= n)
            n = (uint32_t)t->added.token[i].id + 1;
    return n > VOCAB_MAX ? 0 : n;
}

/* What the token adds to a text, by itself and as raw bytes. */
static void put_token_bytes(const struct tokenizer *t, struct str text, bool added, struct buf *out)
{
    bool byte_level = false, fallback = false;
    for (unsigned i = 0; i < t->decoders.n; i++) {
        byte_level |= strcmp(t->decoders.step[i].kind->type, "ByteLevel") == 0;
        fallback |= strcmp(t->decoders.step[i].kind->type, "ByteFallback") == 0;
    }
    if (added) {
        buf_put_str(out, text);
    } else if (byte_level) {
        char *to = buf_reserve(out, text.n + 1);
        if (to)
            out->n += byte_level_bytes(text, to);
    } else if (fallback && fallback_byte(text) >= 0) {
        buf_put_char(out, (char)fallback_byte(text));
    } else {
        size_t at = 0, found;
        while ((found = str_find(text, STR("\xe2\x96\x81"), at)) != SIZE_MAX) {
            buf_put(out, text.p + at, found - at);
            buf_put_char(out, ' ');
            at = found + 3;
        }
        buf_put(out, text.p + at, text.n - at);
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
    return fill_bytes(t, e);
}

/* ---- tokenizer.json ---- */

static enum status read_document(struct tokenizer *t, struct err *e)
{
    const struct json_val *root = json_root(t->doc);
    enum status st = normalizers_read(json_get(root, STR("normalizer")), &t->normalizers, e);
    if (st == ST_OK)
        st = pre_tokenizers_read(json_get(root, STR("pre_tokenizer")), &t->pre_tokenizers, e);
    if (st == ST_OK)
        st = decoders_read(json_get(root, STR("decoder")), &t->decoders, e);
    if (st == ST_OK)
        st = post_processor_read(json_get(root, STR("post_processor")), &t->frame, e);
    if (st == ST_OK)
        st = model_read(json_get(root, STR("model")), &t->model, e);
    if (st == ST_OK)
        st = added_tokens_read(json_get(root, STR("added_tokens")), &t->model.id, &t->added, e);
    if (st == ST_OK)
        st = added_tokens_prepare(&t->added, &t->normalizers, e);
    if (st == ST_OK)
        st = fill_vocab(t, e);
    return st;
}

/* Takes the document. */
static enum status from_document(struct json_doc *doc, struct tokenizer **out, struct err *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t) {
        json_free(doc);
        return err_set(e, ST_NO_MEMORY, "no memory for a tokenizer");
    }
    t->doc = doc;
    t->eos = -1;
    enum status st = read_document(t, e);
    if (st != ST_OK) {
        tokenizer_free(t);
        return st;
    }
    *out = t;
    return ST_OK;
}

enum status tokenizer_from_json(struct str json, struct tokenizer **out, struct err *e)
{
    struct json_doc *doc;
    enum status st = json_parse(json, JSON_ALLOW_DUPLICATES, &doc, e);
    return st == ST_OK ? from_document(doc, out, e) : st;
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
    free(t->chat_template);
    json_free(t->doc);
    free(t);
}

/* ---- tokenizer_config.json ---- */

/* "text" or {"content": "text", ...}. */
static bool token_content(const struct json_val *v, struct str *out)
{
    return json_str(v, out) || json_str(json_get(v, STR("content")), out);
}

static int32_t token_id(const struct tokenizer *t, struct str content)
{
    for (size_t i = 0; i < t->added.n; i++)
        if (str_eq(t->added.token[i].content, content))
            return t->added.token[i].id;
    return model_id(&t->model, content);
}

static enum status read_config(struct tokenizer *t, const struct json_val *config, struct err *e)
{
    struct str text;
    double length;
    if (token_content(json_get(config, STR("eos_token")), &text))
        t->eos = token_id(t, text);
    if (json_f64(json_get(config, STR("model_max_length")), &length) && length >= 1 && length < ABSURD_LENGTH)
        t->max_length = (uint64_t)length;
    if (json_str(json_get(config, STR("chat_template")), &text)) {
        t->chat_template = strndup(text.p, text.n);
        if (!t->chat_template)
            return err_set(e, ST_NO_MEMORY, "no memory for the chat template");
    }
    return ST_OK;
}

static enum status open_config(struct tokenizer *t, const char *dir, struct err *e)
{
    char path[PATH_MAX];
    struct json_doc *doc;
    if (snprintf(path, sizeof path, "%s/tokenizer_config.json", dir) >= (int)sizeof path)
        return err_set(e, ST_INVALID, "the folder's name is too long");
    enum status st = json_parse_file(path, CONFIG_JSON_MAX_BYTES, JSON_ALLOW_DUPLICATES, &doc, e);
    if (st == ST_NOT_FOUND)
        return ST_OK;
    if (st != ST_OK)
        return st;
    st = read_config(t, json_root(doc), e);
    json_free(doc);
    return st;
}

enum status tokenizer_open(const char *path, struct tokenizer **out, struct err *e)
{
    char file[PATH_MAX];
    struct stat info;
    bool is_dir = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    struct json_doc *doc;
    if (snprintf(file, sizeof file, "%s%s", path, is_dir ? "/tokenizer.json" : "") >= (int)sizeof file)
        return err_set(e, ST_INVALID, "the tokenizer's path is too long");
    enum status st = json_parse_file(file, TOKENIZER_JSON_MAX_BYTES, JSON_ALLOW_DUPLICATES, &doc, e);
    if (st != ST_OK)
        return st;
    st = from_document(doc, out, e);
    if (st == ST_OK && is_dir) {
        st = open_config(*out, path, e);
        if (st != ST_OK)
            tokenizer_free(*out);
    }
    return st;
}

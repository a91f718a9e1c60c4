/* The table of models, and what all of them share: vocabulary and token list. */
#include "base/map.h"
#include "base/rng.h"
#include "text/model/model_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOCAB_MAX (16u << 20)

static const struct token_model_kind *const kinds[] = {&model_bpe, &model_wordpiece, &model_wordlevel,
                                                       &model_unigram};

/* ---- vocabulary ---- */

enum status model_vocab_alloc(struct token_model *m, uint64_t n_id, size_t n_entry, struct err *e)
{
    size_t cap = 16;
    if (n_id > VOCAB_MAX || n_entry > VOCAB_MAX)
        return err_set(e, ST_LIMIT, "tokenizer.json: the vocabulary has ids beyond %u", VOCAB_MAX);
    while (cap / 4 * 3 <= n_entry)
        cap *= 2;
    m->token = calloc(n_id + 1, sizeof *m->token);
    m->slot = calloc(cap, sizeof *m->slot);
    m->entry = malloc((n_entry + 1) * sizeof *m->entry);
    m->n_token = (uint32_t)n_id;
    m->slot_mask = cap - 1;
    m->hash_key = rng_entropy();
    if (!m->token || !m->slot || !m->entry)
        return err_set(e, ST_NO_MEMORY, "no memory for a vocabulary of %u", m->n_token);
    return ST_OK;
}

/* The slot that holds the token, or the free one where it would go. */
static struct id_slot *slot_find(const struct token_model *m, struct str token, uint64_t hash)
{
    for (size_t i = hash & m->slot_mask;; i = (i + 1) & m->slot_mask) {
        struct id_slot *s = &m->slot[i];
        if (!s->entry_plus_1 || (s->hash == hash >> 32 && str_eq(m->entry[s->entry_plus_1 - 1].text, token)))
            return s;
    }
}

static uint64_t token_hash(const struct token_model *m, struct str token)
{
    return hash_bytes(token.p, token.n, m->hash_key);
}

void model_vocab_add(struct token_model *m, struct str token, uint32_t id)
{
    uint64_t hash = token_hash(m, token);
    struct id_slot *s = slot_find(m, token, hash);
    if (!s->entry_plus_1)
        *s = (struct id_slot){(uint32_t)(hash >> 32), ++m->n_entry};
    m->token[id] = (struct str){token.p ? token.p : "", token.n};
    m->entry[s->entry_plus_1 - 1] = (struct id_entry){m->token[id], (int32_t)id};
}

uint64_t model_id_prepare(const struct token_model *m, struct str token)
{
    uint64_t hash = token_hash(m, token);
    __builtin_prefetch(&m->slot[hash & m->slot_mask]);
    return hash;
}

int32_t model_id_prepared(const struct token_model *m, struct str token, uint64_t hash)
{
    uint32_t entry = slot_find(m, token, hash)->entry_plus_1;
    return entry ? m->entry[entry - 1].id : -1;
}

int32_t model_id(const struct token_model *m, struct str token)
{
    return model_id_prepared(m, token, token_hash(m, token));
}

enum status model_read_vocab(const struct json_val *v, struct token_model *m, struct err *e)
{
    struct json_iter it = json_iter(v);
    const struct json_val *item;
    struct str key;
    uint64_t id, n = 0;
    if (!json_is(v, JSON_OBJECT))
        return err_set(e, ST_INVALID, "tokenizer.json: model has no `vocab`");
    while ((item = json_next(&it, &key))) {
        if (!json_u64(item, &id) || id > INT32_MAX)
            return err_set(e, ST_INVALID, "tokenizer.json: vocab entry `" STR_FMT "` has no valid id",
                           STR_ARG(key));
        n = id >= n ? id + 1 : n;
    }
    enum status st = model_vocab_alloc(m, n, json_len(v), e);
    for (it = json_iter(v); st == ST_OK && (item = json_next(&it, &key));) {
        int32_t before = model_id(m, key);
        if (json_u64(item, &id))
            model_vocab_add(m, key, (uint32_t)id);
        if (before >= 0 && (uint64_t)before != id) /* a key again: only its last id counts */
            m->token[before] = (struct str){0};
    }
    return st;
}

enum status model_read_token(const struct token_model *m, const struct json_val *v, const char *name,
                             int32_t *out, struct err *e)
{
    struct str text;
    *out = -1;
    if (!json_str(json_get(v, str_from(name)), &text))
        return ST_OK;
    *out = model_id(m, text);
    return *out >= 0 ? ST_OK
                     : err_set(e, ST_INVALID, "tokenizer.json: %s `" STR_FMT "` is out of the vocabulary",
                               name, STR_ARG(text));
}

enum status model_read_str(const struct json_val *v, const char *name, struct str *out, struct err *e)
{
    return json_str(json_get(v, str_from(name)), out)
               ? ST_OK
               : err_set(e, ST_INVALID, "tokenizer.json: model has no text `%s`", name);
}

void model_byte_ids(const struct token_model *m, int32_t id[256])
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        id[byte] = model_id(m, str_from(name));
    }
}

/* ---- tokens ---- */

void token_list_add(struct token_list *l, struct scratch *s, int32_t id, uint32_t start, uint32_t stop)
{
    if (s->status != ST_OK)
        return;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 256;
        struct token_list grown = {arena_array(&s->arena, cap, sizeof *l->id),
                                   arena_array(&s->arena, cap, sizeof *l->start),
                                   arena_array(&s->arena, cap, sizeof *l->stop), l->n, cap};
        if (!grown.id || !grown.start || !grown.stop) {
            scratch_no_memory(s);
            return;
        }
        if (l->n) {
            memcpy(grown.id, l->id, l->n * sizeof *l->id);
            memcpy(grown.start, l->start, l->n * sizeof *l->start);
            memcpy(grown.stop, l->stop, l->n * sizeof *l->stop);
        }
        *l = grown;
    }
    l->id[l->n] = id;
    l->start[l->n] = start;
    l->stop[l->n++] = stop;
}

void model_add_word(int32_t id, const struct aligned *text, struct span piece, struct token_list *out,
                    struct scratch *s)
{
    if (id >= 0)
        token_list_add(out, s, id, text->begin[piece.begin], text->end[piece.end - 1]);
    else if (s->status == ST_OK)
        s->status =
            err_set(s->e, ST_INVALID, "the text has unknown words and the vocabulary no unknown token");
}

/* ---- reading ---- */

/* Older files do not say which model it is: what only one of them has tells, in the library's order. */
static struct str infer_type(const struct json_val *v)
{
    const struct json_val *vocab = json_get(v, STR("vocab"));
    bool unk = json_is(json_get(v, STR("unk_token")), JSON_STRING);
    if (json_is(vocab, JSON_ARRAY))
        return STR("Unigram");
    if (json_is(json_get(v, STR("merges")), JSON_ARRAY))
        return STR("BPE");
    if (unk && json_is(json_get(v, STR("continuing_subword_prefix")), JSON_STRING) &&
        json_is(json_get(v, STR("max_input_chars_per_word")), JSON_UINT))
        return STR("WordPiece");
    return unk ? STR("WordLevel") : STR("without a type");
}

enum status model_read(const struct json_val *v, struct token_model *out, struct err *e)
{
    const struct json_val *named = json_get(v, STR("type"));
    struct str type = named ? STR("") : infer_type(v);
    if (!json_is(v, JSON_OBJECT))
        return err_set(e, ST_INVALID, "tokenizer.json has no `model`");
    json_str(named, &type);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!str_eq(type, str_from(kinds[i]->type)))
            continue;
        out->kind = kinds[i];
        out->unknown = -1;
        return kinds[i]->read(v, out, e);
    }
    return err_set(e, ST_UNSUPPORTED, "tokenizer.json: model `" STR_FMT "` is not supported by this version",
                   STR_ARG(type));
}

uint32_t model_vocab_size(const struct token_model *m)
{
    return m->kind == &model_unigram ? m->n_token : m->n_entry;
}

static void own_text(struct str *text, char **at)
{
    if (!text->p)
        return;
    memcpy(*at, text->p, text->n);
    text->p = *at;
    *at += text->n;
}

enum status model_own_texts(struct token_model *m, struct err *e)
{
    size_t n = 0;
    for (uint32_t id = 0; id < m->n_token; id++)
        n += m->token[id].n;
    for (uint32_t i = 0; i < m->n_entry; i++)
        n += m->entry[i].text.p == m->token[m->entry[i].id].p ? 0 : m->entry[i].text.n;
    char *at = m->text_memory = malloc(n + 1);
    if (!at)
        return err_set(e, ST_NO_MEMORY, "no memory for the vocabulary");
    for (uint32_t i = 0; i < m->n_entry;
         i++) /* several texts may have one id: then only one is the token's */
        if (m->entry[i].text.p != m->token[m->entry[i].id].p)
            own_text(&m->entry[i].text, &at);
        else
            m->entry[i].text.p = NULL;
    for (uint32_t id = 0; id < m->n_token; id++)
        own_text(&m->token[id], &at);
    for (uint32_t i = 0; i < m->n_entry; i++)
        if (!m->entry[i].text.p)
            m->entry[i].text = m->token[m->entry[i].id];
    return ST_OK;
}

void model_fini(struct token_model *m)
{
    if (m->kind && m->state)
        m->kind->free_state(m->state);
    free(m->slot);
    free(m->entry);
    free(m->text_memory);
    free(m->token);
    *m = (struct token_model){0};
}

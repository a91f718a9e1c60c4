/* The table of models, and what all of them share: vocabulary and token list. */
#include "text/model/model_int.h"
#include <stdlib.h>
#include <string.h>

#define VOCAB_MAX (16u << 20)

static const struct token_model_kind *const kinds[] = {&model_bpe};

/* ---- vocabulary ---- */

static enum status vocab_alloc(struct token_model *m, uint64_t n, size_t n_entries, struct err *e)
{
    if (n > VOCAB_MAX)
        return err_set(e, ST_LIMIT, "tokenizer.json: the vocabulary has ids beyond %u", VOCAB_MAX);
    m->token = calloc(n + 1, sizeof *m->token);
    m->n_token = (uint32_t)n;
    if (!m->token || map_init(&m->id, n_entries) != ST_OK)
        return err_set(e, ST_NO_MEMORY, "no memory for a vocabulary of %u", m->n_token);
    return ST_OK;
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
    enum status st = vocab_alloc(m, n, json_len(v), e);
    for (it = json_iter(v); st == ST_OK && (item = json_next(&it, &key));) {
        if (!json_u64(item, &id) || map_put(&m->id, key, id) != ST_OK)
            return err_set(e, ST_NO_MEMORY, "no memory for the vocabulary");
        m->token[id] = key;
    }
    return st;
}

int32_t model_id(const struct token_model *m, struct str token)
{
    uint64_t id;
    return map_get(&m->id, token, &id) ? (int32_t)id : -1;
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

/* ---- reading ---- */

enum status model_read(const struct json_val *v, struct token_model *out, struct err *e)
{
    struct str type = STR("BPE");
    if (!json_is(v, JSON_OBJECT))
        return err_set(e, ST_INVALID, "tokenizer.json has no `model`");
    json_str(json_get(v, STR("type")), &type);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!str_eq(type, str_from(kinds[i]->type)))
            continue;
        out->kind = kinds[i];
        return kinds[i]->read(v, out, e);
    }
    return err_set(e, ST_UNSUPPORTED, "tokenizer.json: model `" STR_FMT "` is not supported by this version",
                   STR_ARG(type));
}

void model_fini(struct token_model *m)
{
    if (m->kind && m->state)
        m->kind->free_state(m->state);
    map_fini(&m->id);
    free(m->token);
    *m = (struct token_model){0};
}

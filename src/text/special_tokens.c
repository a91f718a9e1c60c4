/* Special tokens of a folder: what the files beside the vocabulary and the tokenizer's class add to it, in
 * the order and with the ids that transformers gives them, and what then stands around an encoded text.
 *
 * A tokenizer.json keeps its own frame, whatever add_bos_token says, as transformers has it; only a tokenizer
 * made from other files gets one here. */
#include "text/tokenizer_int.h"
#include <stdlib.h>
#include <string.h>

/* ---- adding ---- */

struct adding {
    struct tokenizer *t;
    struct map index; /* content -> place in t->added */
    uint32_t n_vocab; /* pieces of the model */
    int64_t max_id;   /* of the added tokens */
    size_t n_known;   /* added tokens that stand over those which are only listed */
    size_t cap;
};

static bool token_equal(const struct added_token *a, const struct added_token *b)
{
    return a->single_word == b->single_word && a->lstrip == b->lstrip && a->rstrip == b->rstrip &&
           a->normalized == b->normalized && a->special == b->special && str_eq(a->content, b->content);
}

static const struct added_token *find(const struct adding *a, struct str content)
{
    uint64_t at;
    return map_get(&a->index, content, &at) ? &a->t->added.token[at] : NULL;
}

static int32_t next_id(const struct adding *a)
{
    int64_t id =
        a->max_id >= (int64_t)a->n_vocab || (a->n_vocab == 0 && a->max_id >= 0) ? a->max_id + 1 : a->n_vocab;
    return id > INT32_MAX ? -1 : (int32_t)id;
}

/* As the library adds one token: known texts keep their id and take the new flags. */
static enum status add(struct adding *a, struct added_token token, struct err *e)
{
    struct added_tokens *list = &a->t->added;
    uint64_t at;
    if (token.content.n == 0)
        return ST_OK;
    if (token.content.n > ADDED_TOKEN_MAX_BYTES)
        return err_set(e, ST_LIMIT, "a special token is longer than %d bytes", ADDED_TOKEN_MAX_BYTES);
    if (map_get(&a->index, token.content, &at)) {
        token.id = list->token[at].id;
        list->token[at] = token;
        return ST_OK;
    }
    token.id = model_id(&a->t->model, token.content);
    if (token.id < 0)
        token.id = next_id(a);
    if (token.id < 0)
        return err_set(e, ST_LIMIT, "an added token's id is too large");
    BUG_ON(list->n == a->cap);
    list->token[list->n] = token;
    a->max_id = token.id > a->max_id ? token.id : a->max_id;
    return map_put(&a->index, token.content, list->n++) == ST_OK
               ? ST_OK
               : err_set(e, ST_NO_MEMORY, "no memory for special tokens");
}

static enum status adding_init(struct adding *a, struct tokenizer *t, size_t more, struct err *e)
{
    *a = (struct adding){.t = t, .n_vocab = t->model.n_entry, .max_id = -1, .cap = t->added.n + more};
    struct added_token *grown = realloc(t->added.token, (a->cap + 1) * sizeof *grown);
    if (grown)
        t->added.token = grown;
    enum status st = grown ? map_init(&a->index, a->cap) : ST_NO_MEMORY;
    for (size_t i = 0; i < t->added.n && st == ST_OK; i++) {
        a->max_id = t->added.token[i].id > a->max_id ? t->added.token[i].id : a->max_id;
        st = map_put(&a->index, t->added.token[i].content, i);
    }
    return st == ST_OK ? st : err_set(e, ST_NO_MEMORY, "no memory for special tokens");
}

/* ---- which tokens ---- */

/* What a source's document says beside the library's own members. */
static const struct json_val *made_member(const struct tokenizer *t, const struct special_source *from,
                                          const char *name)
{
    return from->made ? json_get(json_root(t->doc), str_from(name)) : NULL;
}

/* A class's or a vocabulary file's default for a name. */
static bool default_token(const struct tokenizer *t, const struct special_source *from, const char *name,
                          struct named_token *out)
{
    struct str text;
    const struct tokenizer_class *c = from->class;
    out->name = str_from(name);
    if (json_str(json_get(made_member(t, from, "special_tokens"), str_from(name)), &text)) {
        out->token = (struct added_token){.content = text, .special = true};
        return true;
    }
    for (size_t i = 0; c && i < 2 * CLASS_MAX_TOKENS && c->special[i]; i += 2)
        if (strcmp(c->special[i], name) == 0) {
            out->token = (struct added_token){.content = str_from(c->special[i + 1]), .special = true};
            return true;
        }
    if (strcmp(name, "pad_token") != 0 ||
        !json_str(json_get(json_get(json_root(t->doc), STR("padding")), STR("pad_token")), &text))
        return false;
    out->token = (struct added_token){.content = text, .special = true};
    return true;
}

static enum status collect_named(struct tokenizer *t, const struct special_source *from, struct err *e)
{
    enum status st = ST_OK;
    for (size_t i = 0; i < N_STANDARD_TOKENS && st == ST_OK; i++) {
        struct named_token token;
        const struct named_token *given =
            tokenizer_config_named(t->config, str_from(standard_token_names[i]));
        if (!given && !default_token(t, from, standard_token_names[i], &token))
            continue;
        if (given)
            token = *given;
        token.token.special = true;
        if (from->class && from->class->mask_strips_left &&
            strcmp(standard_token_names[i], "mask_token") == 0)
            token.token.lstrip = true;
        st = named_token_put(t->named, &t->n_named, token, e);
    }
    for (unsigned i = 0; i < t->config->n_named && st == ST_OK; i++)
        st = named_token_put(t->named, &t->n_named, t->config->named[i], e);
    for (unsigned i = 0; i < t->n_named;) { /* a null name is no name */
        if (t->named[i].token.content.n)
            i++;
        else
            memmove(&t->named[i], &t->named[i + 1], (--t->n_named - i) * sizeof *t->named);
    }
    return st;
}

static bool is_named(const struct tokenizer *t, struct str content)
{
    for (unsigned i = 0; i < t->n_named; i++)
        if (str_eq(t->named[i].token.content, content))
            return true;
    return false;
}

static struct str id_bytes(const struct added_token *t)
{
    return (struct str){(const char *)&t->id, sizeof t->id};
}

/* The tokens that a file numbers, unless they are there with the same flags. */
static enum status add_numbered(struct adding *a, struct err *e)
{
    const struct tokenizer_config *c = a->t->config;
    struct map own = {
        0}; /* ids of the tokenizer.json's own tokens, over which the older file does not stand */
    enum status st = map_init(&own, c->decoder_is_older ? a->t->added.n : 0);
    for (size_t i = 0; c->decoder_is_older && i < a->t->added.n && st == ST_OK; i++)
        st = map_put(&own, id_bytes(&a->t->added.token[i]), i);
    if (st != ST_OK)
        err_set(e, st, "no memory for special tokens");
    for (size_t i = 0; i < c->n_decoder && st == ST_OK; i++) {
        uint64_t at;
        struct added_token token = c->decoder[i];
        const struct added_token *known = find(a, token.content);
        if (known && token_equal(known, &token))
            continue;
        if (map_get(&own, id_bytes(&token), &at))
            continue;
        token.special |= is_named(a->t, token.content);
        st = add(a, token, e);
    }
    map_fini(&own);
    return st;
}

/* Those that are only listed, unless they were there before any list; of two lists the later one has its way.
 */
static enum status add_listed(struct adding *a, struct added_token token, struct err *e)
{
    uint64_t at;
    if (map_get(&a->index, token.content, &at) && at < a->n_known)
        return ST_OK;
    token.special |= is_named(a->t, token.content);
    return add(a, token, e);
}

static enum status add_extra(struct adding *a, const struct special_source *from, bool again, struct err *e)
{
    const struct tokenizer_config *c = a->t->config;
    const struct json_val *own = made_member(a->t, from, "extra_special_tokens"), *item;
    struct json_iter it = json_iter(c->has_extra ? NULL : own);
    struct added_token token;
    enum status st = ST_OK;
    while (st == ST_OK && (item = json_next(&it, NULL)))
        if (added_token_from(item, again, &token))
            st = again ? add(a, token, e) : add_listed(a, token, e);
    for (size_t i = 0; (c->has_extra || !own) && i < c->n_extra && st == ST_OK; i++) {
        token = again ? (struct added_token){.content = c->extra[i].content, .special = true} : c->extra[i];
        st = again ? add(a, token, e) : add_listed(a, token, e);
    }
    return st;
}

static enum status add_all(struct adding *a, const struct special_source *from, struct err *e)
{
    struct tokenizer *t = a->t;
    bool again = from->class && from->class->special_again;
    enum status st = add_numbered(a, e);
    a->n_known = t->added.n;
    for (unsigned i = 0; i < t->n_named && st == ST_OK; i++)
        st = add_listed(a, t->named[i].token, e);
    if (st == ST_OK)
        st = add_extra(a, from, false, e);
    for (unsigned i = 0; again && i < t->n_named && st == ST_OK; i++)
        st = add(a, (struct added_token){.content = t->named[i].token.content, .special = true}, e);
    return again && st == ST_OK ? add_extra(a, from, true, e) : st;
}

/* ---- the frame ---- */

static const struct added_token *named_added(const struct adding *a, const char *name)
{
    for (unsigned i = 0; name && i < a->t->n_named; i++)
        if (str_eq(a->t->named[i].name, str_from(name)))
            return find(a, a->t->named[i].token.content);
    return NULL;
}

static void write_frame_token(struct buf *out, const struct added_token *token)
{
    buf_put_str(out, STR("{\"SpecialToken\":{\"type_id\":0,\"id\":"));
    write_json_str(out, token->content);
    buf_put_str(out, STR("}}"));
}

static void write_frame_ids(struct buf *out, const struct added_token *token)
{
    write_json_str(out, token->content);
    buf_printf(out, ":{\"ids\":[%d],\"id\":", (int)token->id);
    write_json_str(out, token->content);
    buf_put_str(out, STR(",\"tokens\":["));
    write_json_str(out, token->content);
    buf_put_str(out, STR("]}"));
}

/* The post-processor as a tokenizer.json spells it: the one reader of those makes the frame. */
static void write_frame(const struct special_source *from, const struct added_token *before,
                        const struct added_token *behind, bool add_prefix_space, struct buf *out)
{
    buf_put_str(out, STR("{\"type\":\"Sequence\",\"processors\":["));
    if (from->class->trim_offsets)
        buf_printf(
            out, "{\"type\":\"ByteLevel\",\"add_prefix_space\":%s,\"trim_offsets\":true,\"use_regex\":true},",
            add_prefix_space ? "true" : "false");
    buf_put_str(out, STR("{\"type\":\"TemplateProcessing\",\"single\":["));
    if (before) {
        write_frame_token(out, before);
        buf_put_char(out, ',');
    }
    buf_put_str(out, STR("{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"));
    if (behind) {
        buf_put_char(out, ',');
        write_frame_token(out, behind);
    }
    buf_put_str(out, STR("],\"special_tokens\":{"));
    if (before)
        write_frame_ids(out, before);
    if (behind && behind != before) {
        if (before)
            buf_put_char(out, ',');
        write_frame_ids(out, behind);
    }
    buf_put_str(out, STR("}}]}"));
}

static enum status make_frame(struct adding *a, const struct special_source *from, struct err *e)
{
    const struct tokenizer_config *config = a->t->config;
    const struct json_val *bos = tokenizer_config_option(config, "add_bos_token");
    const struct json_val *eos = tokenizer_config_option(config, "add_eos_token");
    bool own = !json_is(json_get(json_root(a->t->doc), STR("post_processor")), JSON_NULL);
    bool of_class = from->class->before || from->class->behind;
    bool add_bos = false, add_eos = false, add_prefix_space = false;
    if (!of_class && own && !bos && !eos)
        return ST_OK;
    json_bool(bos, &add_bos);
    json_bool(eos, &add_eos);
    json_bool(tokenizer_config_option(config, "add_prefix_space"), &add_prefix_space);
    const char *before = of_class ? from->class->before : add_bos ? "bos_token" : NULL;
    const char *behind = of_class ? from->class->behind : add_eos ? "eos_token" : NULL;
    struct buf json;
    struct json_doc *doc;
    buf_init(&json, 1u << 20);
    write_frame(from, named_added(a, before), named_added(a, behind), add_prefix_space, &json);
    enum status st = json.failed ? err_set(e, ST_NO_MEMORY, "no memory for special tokens")
                                 : json_parse(buf_str(&json), 0, &doc, e);
    if (st == ST_OK) {
        st = post_processor_read(json_root(doc), a->t->frame, e);
        json_free(doc);
    }
    buf_fini(&json);
    return st;
}

enum status special_tokens_apply(struct tokenizer *t, const struct special_source *from, struct err *e)
{
    struct adding a;
    enum status st = collect_named(t, from, e);
    size_t more = t->config->n_decoder + 2 * (t->n_named + t->config->n_extra +
                                              json_len(made_member(t, from, "extra_special_tokens")));
    if (st != ST_OK)
        return st;
    st = adding_init(&a, t, more, e);
    if (st == ST_OK)
        st = add_all(&a, from, e);
    if (st == ST_OK && from->made)
        st = make_frame(&a, from, e);
    map_fini(&a.index);
    return st;
}

/* POST /v1/completions: prompts as texts or token ids, each answered on its own. */
#include "api/openai_int.h"
#include <inttypes.h>

#define ECHO_MAX_BYTES (64u << 20)

/* ---- prompts ---- */

static enum status read_ids(struct generation *g, struct gen_request *q, const struct json_val *ids)
{
    const struct json_val *id;
    struct json_iter it = json_iter(ids);
    int64_t x;
    if (!json_is(ids, JSON_ARRAY) || json_len(ids) == 0)
        return shape_refuse(&g->err, "prompt: expected a string, or a list of strings or of token ids");
    q->ids = arena_array(&g->arena, json_len(ids), sizeof *q->ids);
    if (!q->ids)
        return err_set(&g->err, ST_NO_MEMORY, "the request needs too much memory");
    while ((id = json_next(&it, NULL))) {
        if (!json_i64(id, &x) || x < 0 || x > INT32_MAX)
            return shape_wrong_type("prompt", id, "a token id", &g->err);
        q->ids[q->n_ids++] = (int32_t)x;
    }
    return ST_OK;
}

/* What a list of ids reads as: for echo and the count of characters. */
static enum status decode_ids(struct generation *g, struct gen_request *q)
{
    struct buf text;
    buf_init(&text, ECHO_MAX_BYTES);
    tokenizer_decode(g->api->model.tokenizer, q->ids, q->n_ids, false, &text);
    gen_request_set_inputs(q, arena_strdup(&g->arena, buf_str(&text)));
    bool failed = text.failed || !q->inputs.p;
    buf_fini(&text);
    return failed ? err_set(&g->err, ST_NO_MEMORY, "the request needs too much memory") : ST_OK;
}

/* `common` is what all prompts of the call share. */
static enum status add_prompt(struct generation *g, const struct gen_request *common,
                              const struct json_val *v)
{
    struct gen_request *q = &generation_add_prompt(g)->request;
    struct str text;
    *q = *common;
    if (!json_str(v, &text)) {
        enum status st = read_ids(g, q, v);
        return st == ST_OK ? decode_ids(g, q) : st;
    }
    gen_request_set_inputs(q, arena_strdup(&g->arena, text));
    return q->inputs.p ? ST_OK : err_set(&g->err, ST_NO_MEMORY, "the request needs too much memory");
}

static enum status read_prompts(struct generation *g, const struct json_val *root,
                                const struct gen_request *common)
{
    const struct json_val *v = json_get(root, STR("prompt")), *first = json_at(v, 0), *item;
    bool many = json_is(first, JSON_STRING) || json_is(first, JSON_ARRAY);
    size_t n = many ? json_len(v) : 1;
    if (!v)
        return shape_missing("", "prompt", &g->err);
    if (json_is(v, JSON_ARRAY) && json_len(v) == 0)
        return shape_refuse(&g->err, "Empty array detected. Do not use an empty array for the prompt.");
    if (!json_is(v, JSON_ARRAY) && !json_is(v, JSON_STRING))
        return shape_wrong_type("prompt", v, "a string or a list", &g->err);
    if (n > g->api->o.max_client_batch_size) {
        g->failure = API_TOO_MANY_PROMPTS;
        return err_set(&g->err, ST_LIMIT, "%" PRIu32, g->api->o.max_client_batch_size);
    }
    enum status st = generation_reserve(g, n);
    if (st != ST_OK || !many)
        return st == ST_OK ? add_prompt(g, common, v) : st;
    struct json_iter it = json_iter(v);
    while (st == ST_OK && (item = json_next(&it, NULL)))
        st = add_prompt(g, common, item);
    return st;
}

/* ---- request ---- */

static enum status refuse(struct generation *g, const char *sentence)
{
    g->failure = API_VALIDATION;
    return err_set(&g->err, ST_UNSUPPORTED, "%s", sentence);
}

static enum status read_fields(struct generation *g, const struct json_val *root, struct gen_request *q)
{
    struct shape s = {.prefix = "", .obj = root, .arena = &g->arena, .e = &g->err};
    uint32_t best_of = 1;
    openai_read(g, &s, q);
    g->openai.model = str_from(g->api->o.model_id); /* TGI names its own here, whatever was asked for */
    shape_count(&s, "logprobs", UINT32_MAX, "u32", &q->params.top_n, &g->openai.logprobs);
    shape_bool(&s, "echo", true, &g->openai.echo, NULL);
    shape_count(&s, "best_of", UINT32_MAX, "u32", &best_of, NULL);
    q->logprobs = g->openai.logprobs;
    if (s.status != ST_OK)
        return s.status;
    if (!json_is_none(json_get(root, STR("suffix")))) {
        g->failure = API_SUFFIX;
        return err_set(&g->err, ST_UNSUPPORTED, "%s", "");
    }
    if (best_of != 1 && best_of != q->n)
        return refuse(g, "`best_of` is not supported on this route: ask for `n` answers");
    if (g->openai.echo && g->openai.logprobs)
        return refuse(g, "`echo` with `logprobs` is not supported by this version");
    return ST_OK;
}

static enum status read_completion(struct generation *g, const struct json_val *root)
{
    struct gen_request common;
    gen_request_init(&common);
    if (!json_is(root, JSON_OBJECT))
        return shape_wrong_type("", root, "struct CompletionRequest", &g->err);
    enum status st = read_fields(g, root, &common);
    return st == ST_OK ? read_prompts(g, root, &common) : st;
}

/* ---- answer ---- */

/* {"text": logprob}. Several tokens may read the same, such as parts of characters: the likeliest stands. */
static void put_top(struct json_writer *w, const struct token_view *token)
{
    jw_object(w);
    for (uint32_t k = 0; k < token->n_top; k++) {
        struct str text = token->top[k].text;
        uint32_t first = 0;
        while (!str_eq(token->top[first].text, text))
            first++;
        if (first < k)
            continue;
        jw_name(w, text);
        jw_f32(w, token->top[k].logprob);
    }
    jw_end_object(w);
}

/* {"tokens", "token_logprobs", "top_logprobs", "text_offset"}; offsets count the answer's characters. */
static void put_logprobs(struct json_writer *w, const struct openai_part *part)
{
    const struct token_view *tokens = part->tokens;
    const struct choice *c = part->choice;
    uint32_t n = part->n_token;
    size_t offset = n ? utf8_count((struct str){c->stream.text.p, c->token[c->n_token - n].text_begin}) : 0;
    jw_object(w);
    jw_key(w, "tokens");
    jw_array(w);
    for (uint32_t i = 0; i < n; i++)
        jw_str(w, tokens[i].text);
    jw_end_array(w);
    jw_key(w, "token_logprobs");
    jw_array(w);
    for (uint32_t i = 0; i < n; i++)
        jw_f32(w, tokens[i].logprob);
    jw_end_array(w);
    jw_key(w, "top_logprobs");
    jw_array(w);
    for (uint32_t i = 0; i < n; i++)
        put_top(w, &tokens[i]);
    jw_end_array(w);
    jw_key(w, "text_offset");
    jw_array(w);
    for (uint32_t i = 0; i < n; i++) {
        jw_u64(w, offset);
        offset += utf8_count(tokens[i].added);
    }
    jw_end_array(w);
    jw_end_object(w);
}

static void put_text(struct json_writer *w, const struct openai_part *part)
{
    jw_key(w, "text");
    jw_str(w, part->text);
}

static const struct openai_words words = {.answer = "text_completion",
                                          .chunk = "text_completion",
                                          .id = "cmpl",
                                          .put_text = put_text,
                                          .put_logprobs = put_logprobs,
                                          .tgi_chunks = true};

const struct gen_wire wire_completions = {.read = read_completion,
                                          .write = openai_write,
                                          .write_token = openai_write_token,
                                          .write_end = openai_write_end,
                                          .write_error = openai_write_error,
                                          .write_error_event = openai_write_error_event,
                                          .openai = &words,
                                          .counts_prompts = true};

void handle_completions(struct http_req *r, void *api)
{
    generation_start(r, api, &wire_completions);
}

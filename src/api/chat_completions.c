/* POST /v1/chat/completions: a conversation goes in, the assistant's next message comes out. */
#include "api/chat_prompt.h"
#include "api/openai_int.h"
#include "http/sse.h"
#include <string.h>

#define PROMPT_MAX_BYTES (64u << 20)

/* ---- request ---- */

static enum status refuse_later(struct generation *g, enum api_error kind, const char *what)
{
    g->failure = kind;
    return err_set(&g->err, ST_UNSUPPORTED, "%s is not supported by this version", what);
}

static bool wants_tools(const struct json_val *root)
{
    struct str choice;
    const struct json_val *tools = json_get(root, STR("tools"));
    bool none = json_str(json_get(root, STR("tool_choice")), &choice) && str_eq(choice, STR("none"));
    return json_is(tools, JSON_ARRAY) && json_len(tools) > 0 && !none;
}

/* What constrains the answer comes with structured output. */
static enum status read_constraints(struct generation *g, const struct json_val *root)
{
    const struct json_val *format = json_get(root, STR("response_format")),
                          *tools = json_get(root, STR("tools"));
    struct str type = STR("");
    if (!json_is_none(tools) && !json_is(tools, JSON_ARRAY))
        return shape_wrong_type("tools", tools, "a sequence", &g->err);
    if (!json_is_none(format) && !json_is(format, JSON_OBJECT))
        return shape_wrong_type("response_format", format, "a map", &g->err);
    if (json_is(format, JSON_OBJECT) && !json_str(json_get(format, STR("type")), &type))
        return shape_missing("response_format", "type", &g->err);
    if (type.n && !str_eq(type, STR("text"))) {
        if (!json_is_none(tools)) {
            g->failure = API_TOOL;
            return err_set(&g->err, ST_INVALID, "Grammar and tools are mutually exclusive");
        }
        return refuse_later(g, API_VALIDATION, "a `response_format` other than text");
    }
    return wants_tools(root) ? refuse_later(g, API_TOOL, "calling tools (`tool_choice` other than \"none\")")
                             : ST_OK;
}

static enum status read_fields(struct generation *g, const struct json_val *root, struct gen_request *q)
{
    struct shape s = {.prefix = "", .obj = root, .arena = &g->arena, .e = &g->err};
    openai_read(g, &s, q);
    shape_count(&s, "max_completion_tokens", UINT32_MAX, "u32", &q->max_new_tokens, NULL);
    shape_bool(&s, "logprobs", true, &g->openai.logprobs, NULL);
    shape_count(&s, "top_logprobs", UINT32_MAX, "u32", &q->params.top_n, NULL);
    q->logprobs = g->openai.logprobs;
    return s.status;
}

static enum status read_prompt(struct generation *g, const struct json_val *root, struct gen_request *q)
{
    struct buf text;
    buf_init(&text, PROMPT_MAX_BYTES);
    enum status st = chat_prompt_render(g->api, root, g->body.n, false, &text, &g->failure, &g->err);
    if (st == ST_OK) {
        gen_request_set_inputs(q, arena_strdup(&g->arena, buf_str(&text)));
        q->no_special = true;
        if (!q->inputs.p)
            st = err_set(&g->err, ST_NO_MEMORY, "the conversation needs too much memory");
    } else if (g->failure == API_TEMPLATE) {
        const char *reason = arena_strdup(&g->arena, str_from(chat_prompt_reason(&text, &g->err))).p;
        g->reason = reason ? reason : g->reason;
    }
    buf_fini(&text);
    return st;
}

enum status chat_read(struct generation *g, const struct json_val *root, struct gen_request *q)
{
    if (!json_is(root, JSON_OBJECT))
        return shape_wrong_type("", root, "struct ChatRequest", &g->err);
    enum status st = read_fields(g, root, q);
    if (st == ST_OK)
        st = read_constraints(g, root);
    return st == ST_OK ? read_prompt(g, root, q) : st;
}

static enum status read_chat(struct generation *g, const struct json_val *root)
{
    enum status st = generation_reserve(g, 1);
    return st == ST_OK ? chat_read(g, root, &generation_add_prompt(g)->request) : st;
}

/* ---- answer ---- */

/* The bytes of all tokens are the content's: a special one has none. */
static void put_token(struct json_writer *w, const struct token_view *t)
{
    jw_key(w, "token");
    jw_str(w, t->text);
    jw_key(w, "logprob");
    jw_f32(w, t->logprob);
    jw_key(w, "bytes");
    if (t->special && t->added.n == 0) {
        jw_null(w);
        return;
    }
    jw_array(w);
    for (size_t i = 0; i < t->added.n; i++)
        jw_u64(w, (unsigned char)t->added.p[i]);
    jw_end_array(w);
}

static void put_logprobs(struct json_writer *w, const struct token_view *tokens, uint32_t n)
{
    jw_object(w);
    jw_key(w, "content");
    jw_array(w);
    for (uint32_t i = 0; i < n; i++) {
        jw_object(w);
        put_token(w, &tokens[i]);
        jw_key(w, "top_logprobs");
        jw_array(w);
        for (uint32_t k = 0; k < tokens[i].n_top; k++) {
            jw_object(w);
            put_token(w, &tokens[i].top[k]);
            jw_end_object(w);
        }
        jw_end_array(w);
        jw_end_object(w);
    }
    jw_end_array(w);
    jw_end_object(w);
}

/* A choice with its "message" or "delta". `tokens` [n]: NULL when no logprobs are asked for. */
static void put_choice(struct json_writer *w, const struct generation *g, const struct choice *c,
                       const char *member, struct str content, const struct token_view *tokens, uint32_t n)
{
    jw_object(w);
    jw_key(w, "index");
    jw_u64(w, openai_index(g, c));
    jw_key(w, member);
    jw_object(w);
    jw_key(w, "role");
    jw_cstr(w, "assistant");
    jw_key(w, "content");
    jw_str(w, content);
    jw_end_object(w);
    jw_key(w, "logprobs");
    if (tokens)
        put_logprobs(w, tokens, n);
    else
        jw_null(w);
    jw_key(w, "finish_reason");
    jw_cstr(w, openai_finish_reason(g, c, false));
    jw_end_object(w);
}

static enum status put_answer(struct json_writer *w, struct generation *g, struct choice *c)
{
    struct token_view *tokens = NULL;
    struct str text;
    enum status st = openai_text(c, &text);
    if (st == ST_OK && g->openai.logprobs)
        st = choice_token_views(c, g->api->model.tokenizer, &g->arena, &tokens);
    if (st == ST_OK)
        put_choice(w, g, c, "message", text, tokens, c->n_token);
    return st;
}

static enum status write_answer(struct generation *g, struct buf *body)
{
    struct json_writer w;
    enum status st = ST_OK;
    jw_init(&w, body);
    openai_open(&w, g, "chat.completion");
    jw_key(&w, "choices");
    jw_array(&w);
    for (uint32_t i = 0; i < g->n_choice && st == ST_OK; i++)
        st = put_answer(&w, g, &g->choice[i]);
    jw_end_array(&w);
    openai_usage(&w, g, 0, g->n_prompt);
    jw_end_object(&w);
    return st;
}

static enum status write_token(struct generation *g, struct choice *c, struct buf *events)
{
    struct json_writer w;
    struct token_view token;
    struct str text;
    struct buf json;
    enum status st = openai_newest(g, c, &token, &text);
    if (st != ST_OK)
        return st;
    buf_init(&json, OPENAI_CHUNK_MAX_BYTES);
    jw_init(&w, &json);
    openai_open(&w, g, "chat.completion.chunk");
    jw_key(&w, "choices");
    jw_array(&w);
    put_choice(&w, g, c, "delta", text, g->openai.logprobs ? &token : NULL, 1);
    jw_end_array(&w);
    jw_key(&w, "usage");
    jw_null(&w);
    jw_end_object(&w);
    sse_event(events, &json);
    buf_fini(&json);
    return ST_OK;
}

static enum status write_end(struct generation *g, struct buf *events)
{
    openai_write_end(g, "chat.completion.chunk", events);
    return ST_OK;
}

const struct gen_wire wire_chat = {.read = read_chat,
                                   .write = write_answer,
                                   .write_token = write_token,
                                   .write_end = write_end,
                                   .write_error = openai_write_error,
                                   .write_error_event = openai_write_error_event,
                                   .is_openai = true,
                                   .counts_prompts = true};

void handle_chat_completions(struct http_req *r, void *api)
{
    generation_start(r, api, &wire_chat);
}

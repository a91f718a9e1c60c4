/* POST /v1/chat/completions: a conversation goes in, the assistant's next message comes out. */
#include "api/chat_prompt.h"
#include "api/openai_int.h"

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
    struct chat_prompt prompt;
    enum status st = chat_prompt_render(g->api, root, g->body.n, false, &g->arena, &prompt, &g->err);
    g->failure = prompt.failure;
    g->reason = prompt.reason;
    gen_request_set_inputs(q, prompt.text);
    q->no_special = true;
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

static void put_logprobs(struct json_writer *w, const struct openai_part *part)
{
    const struct token_view *tokens = part->tokens;
    jw_object(w);
    jw_key(w, "content");
    jw_array(w);
    for (uint32_t i = 0; i < part->n_token; i++) {
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

static void put_text(struct json_writer *w, const struct openai_part *part)
{
    jw_key(w, part->is_chunk ? "delta" : "message");
    jw_object(w);
    jw_key(w, "role");
    jw_cstr(w, "assistant");
    jw_key(w, "content");
    jw_str(w, part->text);
    jw_end_object(w);
}

static const struct openai_words words = {.answer = "chat.completion",
                                          .chunk = "chat.completion.chunk",
                                          .id = "chatcmpl",
                                          .put_text = put_text,
                                          .put_logprobs = put_logprobs};

const struct gen_wire wire_chat = {.read = read_chat,
                                   .write = openai_write,
                                   .write_token = openai_write_token,
                                   .write_end = openai_write_end,
                                   .write_error = openai_write_error,
                                   .write_error_event = openai_write_error_event,
                                   .openai = &words,
                                   .counts_prompts = true};

void handle_chat_completions(struct http_req *r, void *api)
{
    generation_start(r, api, &wire_chat);
}

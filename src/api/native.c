/* TGI's own routes: POST /generate, /generate_stream and /, which differ in how they wrap one answer. */
#include "api/generation_int.h"
#include "http/sse.h"

#define ANSWER_MAX_BYTES (256u << 20)

/* ---- request ---- */

static enum status read_one(struct generation *g, const struct json_val *root)
{
    enum status st = generation_reserve(g, 1);
    if (st != ST_OK)
        return st;
    struct gen_request *q = &generation_add_prompt(g)->request;
    return gen_request_read(root, false, &g->arena, q, &g->err);
}

static enum status read_stream(struct generation *g, const struct json_val *root)
{
    g->streams = true;
    enum status st = read_one(g, root);
    if (st == ST_OK)
        g->prompt->request.logprobs = true;
    return st;
}

static enum status read_compat(struct generation *g, const struct json_val *root)
{
    enum status st = read_one(g, root);
    if (st != ST_OK)
        return st;
    struct gen_request *q = &g->prompt->request;
    g->streams = q->logprobs = q->stream;
    if (!q->has_return_full_text)
        q->return_full_text = true;
    return ST_OK;
}

/* ---- answer ---- */

static enum status answer_text(struct generation *g, struct choice *c, struct buf *out)
{
    if (g->prompt->request.return_full_text)
        buf_put_str(out, g->prompt->request.inputs);
    return stream_generated_text(&c->stream, out);
}

/* The answer's text goes into the request's arena. */
static enum status answer_view(struct generation *g, struct choice *c, struct answer_view *out)
{
    struct buf text;
    buf_init(&text, ANSWER_MAX_BYTES);
    enum status st = answer_text(g, c, &text);
    *out = (struct answer_view){.generated_text = arena_strdup(&g->arena, buf_str(&text)),
                                .finish_reason = c->finish_reason,
                                .n_input = g->prompt->n_input,
                                .n_generated = c->n_token,
                                .n_cached = c->n_reused,
                                .has_seed = sample_is_random(&g->prompt->request.params),
                                .seed = c->seed};
    buf_fini(&text);
    return st == ST_OK && !out->generated_text.p ? ST_NO_MEMORY : st;
}

/* The tokens of the answer and, of the first, those of the prompt. */
static enum status add_details(struct generation *g, struct choice *c, struct answer_view *out)
{
    const struct tokenizer *t = g->api->model.tokenizer;
    const struct gen_prompt *p = g->prompt;
    struct token_view *tokens, *prefill = NULL;
    enum status st = choice_token_views(c, t, &g->arena, &tokens);
    if (st == ST_OK && p->logprob) {
        prefill = arena_array(&g->arena, p->n_input, sizeof *prefill);
        st = prefill ? ST_OK : ST_NO_MEMORY;
        for (uint32_t i = 0; i < p->n_input && st == ST_OK; i++)
            st = lone_token_view(p->ids[i], p->logprob[i], t, &g->arena, &prefill[i]);
        out->n_prefill = p->n_input;
    }
    out->tokens = tokens;
    out->prefill = prefill;
    return st;
}

/* The best answer first, then the others in order. */
static enum status answer_views(struct generation *g, struct answer_view **out)
{
    uint32_t best = (uint32_t)(choice_best(g->choice, g->n_choice) - g->choice), at = 0;
    *out = arena_array(&g->arena, g->n_choice, sizeof **out);
    if (!*out)
        return ST_NO_MEMORY;
    for (uint32_t k = 0; k <= g->n_choice; k++) {
        uint32_t i = k == 0 ? best : k - 1;
        if (k > 0 && i == best)
            continue;
        enum status st = answer_view(g, &g->choice[i], &(*out)[at]);
        if (st == ST_OK && g->prompt->request.details)
            st = add_details(g, &g->choice[i], &(*out)[at]);
        if (st != ST_OK)
            return st;
        at++;
    }
    (*out)->others = *out + 1;
    (*out)->n_others = g->n_choice - 1;
    return ST_OK;
}

static enum status write_single(struct generation *g, struct buf *body)
{
    struct answer_view *answers;
    enum status st = answer_views(g, &answers);
    if (st == ST_OK)
        render_generate(body, answers);
    return st;
}

static enum status write_list(struct generation *g, struct buf *body)
{
    buf_put_char(body, '[');
    enum status st = write_single(g, body);
    buf_put_char(body, ']');
    return st;
}

/* The last token's event has the end of the answer. */
static enum status write_token(struct generation *g, struct choice *c, struct buf *events)
{
    struct answer_view answer;
    struct token_view token;
    struct buf json;
    bool last = c->finish_reason != NULL;
    enum status st = choice_token_view(c, c->n_token - 1, g->api->model.tokenizer, &g->arena, &token);
    if (st == ST_OK && last)
        st = answer_view(g, c, &answer);
    if (st != ST_OK)
        return st;
    buf_init(&json, ANSWER_MAX_BYTES);
    render_stream_event(&json, c->n_token, &token, last ? &answer : NULL, g->prompt->request.details);
    sse_event(events, &json);
    buf_fini(&json);
    return ST_OK;
}

void native_write_error(struct generation *g, enum api_error kind, const char *text, struct buf *body)
{
    (void)g;
    api_error_render(kind, text, body);
}

static void write_error_event(struct generation *g, enum api_error kind, const char *text, struct buf *events)
{
    struct buf json;
    buf_init(&json, events->max);
    native_write_error(g, kind, text, &json);
    sse_event(events, &json);
    buf_fini(&json);
}

/* ---- routes ---- */

static const struct gen_wire wire_single = {.read = read_one,
                                            .write = write_single,
                                            .write_token = write_token,
                                            .write_error = native_write_error,
                                            .write_error_event = write_error_event};

static const struct gen_wire wire_stream = {.read = read_stream,
                                            .write = write_single,
                                            .write_token = write_token,
                                            .write_error = native_write_error,
                                            .write_error_event = write_error_event};

const struct gen_wire wire_compat = {.read = read_compat,
                                     .write = write_list,
                                     .write_token = write_token,
                                     .write_error = native_write_error,
                                     .write_error_event = write_error_event};

void handle_generate(struct http_req *r, void *api)
{
    generation_start(r, api, &wire_single);
}

void handle_generate_stream(struct http_req *r, void *api)
{
    generation_start(r, api, &wire_stream);
}

void handle_compat(struct http_req *r, void *api)
{
    generation_start(r, api, &wire_compat);
}

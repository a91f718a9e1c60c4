/* Delivery: the engine's events become text, JSON and bytes to the client.
 *
 * The text side decides where an answer ends: a stop string ends it here, and what the engine makes beyond is
 * dropped. A generation lives until the engine's last event about it. */
#include "api/api_int.h"
#include "base/clock.h"
#include "http/sse.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX_BYTES (256u << 20)

static struct generation *generation_find(struct api *a, uint64_t tag)
{
    uint32_t index = (uint32_t)tag;
    struct generation *g = index < a->o.max_requests ? a->in_flight[index] : NULL;
    return g && g->number == tag >> 32 ? g : NULL;
}

/* ---- streams ---- */

void deliver_stream_begin(struct generation *g, struct http_req *r)
{
    char characters[16];
    snprintf(characters, sizeof characters, "%u", g->request.n_characters);
    struct http_header headers[] = {
        {STR("cache-control"), STR("no-cache")},
        {STR("x-compute-type"), str_from(g->api->o.compute_type)},
        {STR("x-compute-characters"), str_from(characters)},
        {STR("x-accel-buffering"), STR("no")},
    };
    g->streaming = true;
    http_stream_begin(r, 200, "text/event-stream", headers, 4);
}

/* A frame that no memory is left for ends the stream: the client sees that the last event is missing. */
static void stream_json(struct http_req *r, const struct buf *json, bool last)
{
    struct buf frame;
    buf_init(&frame, ANSWER_MAX_BYTES);
    sse_event(&frame, buf_str(json));
    bool whole = !json->failed && !frame.failed;
    bool open = !whole || http_stream_write(r, buf_str(&frame));
    buf_fini(&frame);
    if (open && (last || !whole))
        http_stream_end(r);
}

void deliver_error(struct generation *g, enum api_error kind, const char *text)
{
    struct http_req *r = http_req_find(g->api->server, g->http);
    g->answered = true;
    if (!r)
        return;
    if (!generation_streams(g)) {
        api_respond_error(g->api, r, kind, text);
        return;
    }
    struct buf json;
    buf_init(&json, 1u << 20);
    api_count_failure(g->api, kind);
    if (!g->streaming)
        deliver_stream_begin(g, r);
    api_error_render(kind, text, &json);
    stream_json(r, &json, true);
    buf_fini(&json);
}

/* ---- tokens ---- */

/* Room for `n` items more; the array at least doubles. */
static void *room_for(void *items, uint32_t used, uint32_t n, uint32_t *cap, size_t item_bytes)
{
    if (n <= *cap - used)
        return items;
    uint32_t more = *cap > n ? *cap : n > 64 ? n : 64;
    void *grown = realloc(items, ((size_t)*cap + more) * item_bytes);
    if (grown)
        *cap += more;
    return grown;
}

static enum status token_add(struct generation *g, const struct token_event *ev, bool *stopped)
{
    struct str delta;
    struct gen_token *token = room_for(g->token, g->n_token, 1, &g->cap_token, sizeof *token);
    g->token = token ? token : g->token;
    struct sample_top *top = room_for(g->top, g->n_top, ev->n_top, &g->cap_top, sizeof *top);
    g->top = top ? top : g->top;
    if (!token || (!top && ev->n_top))
        return ST_NO_MEMORY;
    enum status st = stream_push(&g->stream, ev->id, &delta, stopped);
    if (st != ST_OK)
        return st;
    g->token[g->n_token++] = (struct gen_token){.id = ev->id,
                                                .logprob = ev->logprob,
                                                .text_begin = (uint32_t)(g->stream.text.n - delta.n),
                                                .text_bytes = (uint32_t)delta.n,
                                                .top_begin = g->n_top,
                                                .n_top = ev->n_top};
    if (ev->n_top)
        memcpy(g->top + g->n_top, ev->top, ev->n_top * sizeof *top);
    g->n_top += ev->n_top;
    return ST_OK;
}

/* TGI decodes an alternative alone. */
static enum status alternative_view(struct generation *g, const struct sample_top *top,
                                    struct token_view *out)
{
    const struct tokenizer *t = g->api->model.tokenizer;
    struct buf text;
    buf_init(&text, ANSWER_MAX_BYTES);
    tokenizer_decode(t, &top->id, 1, false, &text);
    *out = (struct token_view){.id = (uint32_t)top->id,
                               .text = arena_strdup(&g->arena, buf_str(&text)),
                               .logprob = top->logprob,
                               .special = tokenizer_is_special(t, top->id)};
    bool failed = text.failed || !out->text.p;
    buf_fini(&text);
    return failed ? ST_NO_MEMORY : ST_OK;
}

static enum status token_view(struct generation *g, uint32_t i, struct token_view *out)
{
    const struct gen_token *t = &g->token[i];
    struct token_view *top = NULL;
    *out = (struct token_view){.id = (uint32_t)t->id,
                               .text = {g->stream.text.p + t->text_begin, t->text_bytes},
                               .logprob = t->logprob,
                               .special = tokenizer_is_special(g->api->model.tokenizer, t->id)};
    if (t->n_top == 0)
        return ST_OK;
    top = arena_array(&g->arena, t->n_top, sizeof *top);
    enum status st = top ? ST_OK : ST_NO_MEMORY;
    for (uint32_t k = 0; k < t->n_top && st == ST_OK; k++)
        st = alternative_view(g, &g->top[t->top_begin + k], &top[k]);
    out->top = top;
    out->n_top = st == ST_OK ? t->n_top : 0;
    return st;
}

static enum status answer_text(struct generation *g, struct buf *out)
{
    const struct gen_request *q = &g->request;
    bool full = q->has_return_full_text ? q->return_full_text : g->mode == GEN_COMPAT;
    if (full)
        buf_put_str(out, q->inputs);
    return stream_generated_text(&g->stream, out);
}

static struct answer_view answer_view(const struct generation *g, struct str text, const char *finish_reason)
{
    return (struct answer_view){.generated_text = text,
                                .finish_reason = finish_reason,
                                .n_input = g->n_input,
                                .n_generated = g->n_token,
                                .has_seed = sample_is_random(&g->request.params),
                                .seed = g->request.params.seed};
}

/* ---- the end ---- */

struct time_headers {
    char text[9][32];
    struct http_header header[9];
};

/* Milliseconds of each part of the request's life, as TGI reports them. */
static void fill_time_headers(const struct generation *g, uint64_t now, struct time_headers *h)
{
    static const char *const names[9] = {"x-compute-time",    "x-compute-characters", "x-total-time",
                                         "x-validation-time", "x-queue-time",         "x-inference-time",
                                         "x-time-per-token",  "x-prompt-tokens",      "x-generated-tokens"};
    double inference = api_seconds(g->started_ns, now) * 1e3;
    unsigned long long whole[9] = {0,
                                   g->request.n_characters,
                                   (now - g->begin_ns) / 1000000,
                                   (g->validated_ns - g->begin_ns) / 1000000,
                                   (unsigned long long)(api_seconds(g->validated_ns, g->started_ns) * 1e3),
                                   (unsigned long long)inference,
                                   (unsigned long long)(inference / (g->n_token ? g->n_token : 1)),
                                   g->n_input,
                                   g->n_token};
    for (int i = 0; i < 9; i++) {
        if (i == 0)
            snprintf(h->text[i], sizeof h->text[i], "%g", api_seconds(g->begin_ns, now));
        else
            snprintf(h->text[i], sizeof h->text[i], "%llu", whole[i]);
        h->header[i] = (struct http_header){str_from(names[i]), str_from(h->text[i])};
    }
}

static void observe_success(const struct generation *g, uint64_t now)
{
    struct api *a = g->api;
    metric_count(a->metric[METRIC_REQUEST_SUCCESS], 0, 1);
    metric_observe(a->metric[METRIC_REQUEST_DURATION], 0, api_seconds(g->begin_ns, now));
    metric_observe(a->metric[METRIC_REQUEST_QUEUE_DURATION], 0, api_seconds(g->validated_ns, g->started_ns));
    metric_observe(a->metric[METRIC_REQUEST_INFERENCE_DURATION], 0, api_seconds(g->started_ns, now));
    metric_observe(a->metric[METRIC_REQUEST_TIME_PER_TOKEN], 0,
                   api_seconds(g->started_ns, now) / (g->n_token ? g->n_token : 1));
    metric_observe(a->metric[METRIC_REQUEST_GENERATED_TOKENS], 0, g->n_token);
}

static void respond_whole(struct generation *g, struct http_req *r, const struct answer_view *answer,
                          uint64_t now)
{
    struct time_headers times;
    struct http_header headers[10];
    struct buf body;
    struct token_view *tokens =
        g->request.details ? arena_array(&g->arena, g->n_token + 1, sizeof *tokens) : NULL;
    enum status st = g->request.details && !tokens ? ST_NO_MEMORY : ST_OK;
    for (uint32_t i = 0; tokens && i < g->n_token && st == ST_OK; i++)
        st = token_view(g, i, &tokens[i]);
    buf_init(&body, ANSWER_MAX_BYTES);
    if (g->mode == GEN_COMPAT)
        buf_put_char(&body, '[');
    if (st == ST_OK)
        render_generate(&body, answer, tokens);
    if (g->mode == GEN_COMPAT)
        buf_put_char(&body, ']');
    if (body.failed || st != ST_OK) {
        api_respond_error(g->api, r, API_INCOMPLETE, NULL);
    } else {
        fill_time_headers(g, now, &times);
        headers[0] = (struct http_header){STR("x-compute-type"), str_from(g->api->o.compute_type)};
        for (int i = 0; i < 9; i++)
            headers[i + 1] = times.header[i];
        http_respond(r, 200, "application/json", buf_str(&body), headers, 10);
    }
    buf_fini(&body);
}

static void stream_token(struct generation *g, struct http_req *r, const struct answer_view *last)
{
    struct buf json;
    struct token_view token;
    buf_init(&json, ANSWER_MAX_BYTES);
    if (token_view(g, g->n_token - 1, &token) == ST_OK)
        render_stream_event(&json, g->n_token, &token, last, g->request.details);
    else
        json.failed = true;
    stream_json(r, &json, last != NULL);
    buf_fini(&json);
}

static void deliver_end(struct generation *g, struct http_req *r, const char *finish_reason)
{
    struct buf text;
    uint64_t now = clock_ns();
    buf_init(&text, ANSWER_MAX_BYTES);
    g->answered = true;
    if (answer_text(g, &text) != ST_OK) {
        deliver_error(g, API_INCOMPLETE, NULL);
    } else {
        struct answer_view answer = answer_view(g, buf_str(&text), finish_reason);
        observe_success(g, now);
        if (generation_streams(g))
            stream_token(g, r, &answer);
        else
            respond_whole(g, r, &answer, now);
    }
    buf_fini(&text);
}

/* ---- events ---- */

static const char *finish_reason(const struct token_event *ev, bool stopped)
{
    if (ev->finish == ENGINE_FINISH_LENGTH)
        return "length";
    if (ev->finish == ENGINE_FINISH_EOS)
        return "eos_token";
    return stopped ? "stop_sequence" : NULL;
}

static void deliver_token(struct generation *g, struct http_req *r, const struct token_event *ev)
{
    bool stopped = false;
    if (!g->started_ns)
        g->started_ns = ev->started_ns;
    if (token_add(g, ev, &stopped) != ST_OK) {
        engine_cancel(g->api->model.engine, g->engine);
        deliver_error(g, generation_streams(g) ? API_INCOMPLETE_STREAM : API_INCOMPLETE, NULL);
        return;
    }
    const char *reason = finish_reason(ev, stopped);
    if (reason && ev->finish == ENGINE_RUNNING)
        engine_cancel(g->api->model.engine, g->engine);
    if (reason)
        deliver_end(g, r, reason);
    else if (generation_streams(g))
        stream_token(g, r, NULL);
}

static void deliver_failure(struct generation *g, const struct token_event *ev)
{
    if (ev->finish == ENGINE_FINISH_FAILED && ev->status == ST_NUMERIC)
        deliver_error(g, API_GENERATION, "the model computed a number that is none (NaN or infinity)");
    else if (ev->finish == ENGINE_FINISH_FAILED)
        deliver_error(g, API_GENERATION, "the device failed");
    else
        deliver_error(g, generation_streams(g) ? API_INCOMPLETE_STREAM : API_INCOMPLETE, NULL);
}

void api_on_event(void *api, struct inbox_node *node)
{
    struct api *a = api;
    struct token_event *ev = (struct token_event *)node;
    struct generation *g = generation_find(a, ev->tag);
    bool last = ev->finish != ENGINE_RUNNING;
    BUG_ON(!g);
    struct http_req *r = g->gone || g->answered ? NULL : http_req_find(a->server, g->http);
    if (r && ev->has_token)
        deliver_token(g, r, ev);
    else if (r && last)
        deliver_failure(g, ev);
    if (last)
        generation_free(g);
    engine_event_free(a->model.engine, ev);
}

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

/* ---- answers ---- */

static enum status answer_text(struct generation *g, struct choice *c, struct buf *out)
{
    const struct gen_request *q = &g->request;
    bool full = q->has_return_full_text ? q->return_full_text : g->mode == GEN_COMPAT;
    if (full)
        buf_put_str(out, q->inputs);
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
                                .n_input = g->n_input,
                                .n_generated = c->n_token,
                                .n_cached = c->n_reused,
                                .has_seed = sample_is_random(&g->request.params),
                                .seed = c->seed};
    buf_fini(&text);
    return st == ST_OK && !out->generated_text.p ? ST_NO_MEMORY : st;
}

/* The tokens of the answer and, of the first, those of the prompt. */
static enum status add_details(struct generation *g, struct choice *c, struct answer_view *out)
{
    const struct tokenizer *t = g->api->model.tokenizer;
    struct token_view *tokens, *prefill = NULL;
    enum status st = choice_token_views(c, t, &g->arena, &tokens);
    if (st == ST_OK && g->prompt_logprob) {
        prefill = arena_array(&g->arena, g->n_input, sizeof *prefill);
        st = prefill ? ST_OK : ST_NO_MEMORY;
        for (uint32_t i = 0; i < g->n_input && st == ST_OK; i++)
            st = lone_token_view(g->prompt[i], g->prompt_logprob[i], t, &g->arena, &prefill[i]);
        out->n_prefill = g->n_input;
    }
    out->tokens = tokens;
    out->prefill = prefill;
    return st;
}

static uint32_t best_choice(const struct generation *g)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < g->n_choice; i++)
        if (choice_is_better(&g->choice[i], &g->choice[best]))
            best = i;
    return best;
}

/* The best answer first, then the others in order. */
static enum status answer_views(struct generation *g, struct answer_view **out)
{
    uint32_t best = best_choice(g), at = 0;
    *out = arena_array(&g->arena, g->n_choice, sizeof **out);
    if (!*out)
        return ST_NO_MEMORY;
    for (uint32_t k = 0; k <= g->n_choice; k++) {
        uint32_t i = k == 0 ? best : k - 1;
        if (k > 0 && i == best)
            continue;
        enum status st = answer_view(g, &g->choice[i], &(*out)[at]);
        if (st == ST_OK && g->request.details)
            st = add_details(g, &g->choice[i], &(*out)[at]);
        if (st != ST_OK)
            return st;
        at++;
    }
    (*out)->others = *out + 1;
    (*out)->n_others = g->n_choice - 1;
    return ST_OK;
}

/* ---- the end ---- */

struct time_headers {
    char text[9][32];
    struct http_header header[9];
};

/* Milliseconds of each part of the request's life, as TGI reports them. */
static void fill_time_headers(const struct generation *g, uint32_t n_token, uint64_t now,
                              struct time_headers *h)
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
                                   (unsigned long long)(inference / (n_token ? n_token : 1)),
                                   g->n_input,
                                   n_token};
    for (int i = 0; i < 9; i++) {
        if (i == 0)
            snprintf(h->text[i], sizeof h->text[i], "%g", api_seconds(g->begin_ns, now));
        else
            snprintf(h->text[i], sizeof h->text[i], "%llu", whole[i]);
        h->header[i] = (struct http_header){str_from(names[i]), str_from(h->text[i])};
    }
}

static void observe_success(const struct generation *g, uint32_t n_token, uint64_t now)
{
    struct api *a = g->api;
    metric_count(a->metric[METRIC_REQUEST_SUCCESS], 0, 1);
    metric_observe(a->metric[METRIC_REQUEST_DURATION], 0, api_seconds(g->begin_ns, now));
    metric_observe(a->metric[METRIC_REQUEST_QUEUE_DURATION], 0, api_seconds(g->validated_ns, g->started_ns));
    metric_observe(a->metric[METRIC_REQUEST_INFERENCE_DURATION], 0, api_seconds(g->started_ns, now));
    metric_observe(a->metric[METRIC_REQUEST_TIME_PER_TOKEN], 0,
                   api_seconds(g->started_ns, now) / (n_token ? n_token : 1));
    metric_observe(a->metric[METRIC_REQUEST_GENERATED_TOKENS], 0, n_token);
}

static void respond_whole(struct generation *g, struct http_req *r)
{
    struct time_headers times;
    struct http_header headers[10];
    struct answer_view *answers;
    struct buf body;
    uint64_t now = clock_ns();
    enum status st = answer_views(g, &answers);
    buf_init(&body, ANSWER_MAX_BYTES);
    if (g->mode == GEN_COMPAT)
        buf_put_char(&body, '[');
    if (st == ST_OK)
        render_generate(&body, answers);
    if (g->mode == GEN_COMPAT)
        buf_put_char(&body, ']');
    if (body.failed || st != ST_OK) {
        api_respond_error(g->api, r, API_INCOMPLETE, NULL);
    } else {
        observe_success(g, answers->n_generated, now);
        fill_time_headers(g, answers->n_generated, now, &times);
        headers[0] = (struct http_header){STR("x-compute-type"), str_from(g->api->o.compute_type)};
        for (int i = 0; i < 9; i++)
            headers[i + 1] = times.header[i];
        http_respond(r, 200, "application/json", buf_str(&body), headers, 10);
    }
    buf_fini(&body);
}

/* The newest token, with the end of the answer when it is the last. */
static void stream_token(struct generation *g, struct http_req *r)
{
    struct choice *c = &g->choice[0];
    struct answer_view answer;
    struct token_view token;
    struct buf json;
    bool last = c->finish_reason != NULL;
    buf_init(&json, ANSWER_MAX_BYTES);
    enum status st = choice_token_view(c, c->n_token - 1, g->api->model.tokenizer, &g->arena, &token);
    if (st == ST_OK && last)
        st = answer_view(g, c, &answer);
    if (st == ST_OK)
        render_stream_event(&json, c->n_token, &token, last ? &answer : NULL, g->request.details);
    else
        json.failed = true;
    if (last && st == ST_OK)
        observe_success(g, c->n_token, clock_ns());
    stream_json(r, &json, last);
    buf_fini(&json);
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

static void deliver_token(struct generation *g, struct choice *c, struct http_req *r, struct token_event *ev)
{
    bool stopped = false;
    if (!g->started_ns)
        g->started_ns = ev->started_ns;
    if (ev->prompt_logprob) {
        g->prompt_logprob = ev->prompt_logprob; /* taken */
        ev->prompt_logprob = NULL;
    }
    if (c->finish_reason) /* made before the engine heard of the end */
        return;
    if (choice_add(c, ev, &stopped) != ST_OK) {
        generation_cancel(g);
        deliver_error(g, generation_streams(g) ? API_INCOMPLETE_STREAM : API_INCOMPLETE, NULL);
        return;
    }
    c->finish_reason = finish_reason(ev, stopped);
    if (c->finish_reason) {
        g->n_done++;
        g->answered = g->n_done == g->n_choice;
        if (ev->finish == ENGINE_RUNNING)
            engine_cancel(g->api->model.engine, c->engine);
    }
    if (generation_streams(g))
        stream_token(g, r);
    else if (g->answered)
        respond_whole(g, r);
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
    BUG_ON(!g || ev->sub_tag >= g->n_choice);
    struct choice *c = &g->choice[ev->sub_tag];
    struct http_req *r = g->gone || g->answered ? NULL : http_req_find(a->server, g->http);
    if (r && ev->has_token) {
        deliver_token(g, c, r, ev);
    } else if (r && ev->finish != ENGINE_RUNNING && !c->finish_reason) {
        deliver_failure(g, ev);
        generation_cancel(g); /* the other answers are nobody's any more */
    }
    c->ended = ev->finish != ENGINE_RUNNING;
    g->n_ended += c->ended;
    if (g->n_ended == g->n_choice)
        generation_free(g);
    engine_event_free(a->model.engine, ev);
}

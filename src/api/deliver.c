/* Delivery: the engine's events become text, JSON and bytes to the client.
 *
 * The text side decides where an answer ends: a stop string ends it here, and what the engine makes beyond is
 * dropped. A generation lives until the engine's last event about it. */
#include "api/generation_int.h"
#include "base/clock.h"
#include <inttypes.h>
#include <stdio.h>

#define ANSWER_MAX_BYTES (256u << 20)
#define ERROR_MAX_BYTES  (1u << 20)

static struct generation *generation_find(struct api *a, uint64_t tag)
{
    uint32_t index = (uint32_t)tag;
    struct generation *g = index < a->o.max_requests ? a->in_flight[index] : NULL;
    return g && g->number == tag >> 32 ? g : NULL;
}

/* ---- streams ---- */

static uint32_t count_characters(const struct generation *g)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_prompt; i++)
        n += g->prompt[i].request.n_characters;
    return n;
}

void deliver_stream_begin(struct generation *g, struct http_req *r)
{
    char characters[16];
    snprintf(characters, sizeof characters, "%u", count_characters(g));
    struct http_header headers[] = {
        {STR("cache-control"), STR("no-cache")},
        {STR("x-compute-type"), str_from(g->api->o.compute_type)},
        {STR("x-compute-characters"), str_from(characters)},
        {STR("x-accel-buffering"), STR("no")},
    };
    g->streaming = true;
    http_stream_begin(r, 200, "text/event-stream", headers, 4);
}

static void stream_write(struct http_req *r, const struct buf *events, bool last)
{
    if (http_stream_write(r, buf_str(events)) && last)
        http_stream_end(r);
}

/* ---- errors ---- */

static void respond_error(struct generation *g, struct http_req *r, enum api_error kind, const char *text)
{
    struct buf body;
    bool is_shape = kind == API_SHAPE_ERROR;
    unsigned status = is_shape ? shape_http_status(g->status) : api_error_http_status(kind);
    if (is_shape && !generation_is_strict(g)) {
        api_respond_shape_error(r, g->status, text);
        return;
    }
    buf_init(&body, ERROR_MAX_BYTES);
    g->wire->write_error(g, kind, text, &body);
    http_respond(r, status, "application/json", body.failed ? STR("") : buf_str(&body), NULL, 0);
    buf_fini(&body);
}

static void stream_error(struct generation *g, struct http_req *r, enum api_error kind, const char *text)
{
    struct buf events;
    buf_init(&events, ERROR_MAX_BYTES);
    if (!g->streaming)
        deliver_stream_begin(g, r);
    g->wire->write_error_event(g, kind, text, &events);
    if (events.failed) /* no memory for it either: the client sees that the end is missing */
        buf_clear(&events);
    stream_write(r, &events, true);
    buf_fini(&events);
}

/* TGI's streams say 200 and tell of errors in an event; OpenAI's say what it is while they can. */
static bool error_is_event(const struct generation *g, enum api_error kind)
{
    bool early = kind == API_SHAPE_ERROR || api_error_is_early(kind) || generation_is_strict(g);
    return g->streams && (g->streaming || !early);
}

void deliver_error(struct generation *g, enum api_error kind, const char *text)
{
    struct http_req *r = http_req_find(g->api->server, g->http);
    g->answered = true;
    if (!r)
        return;
    api_count_failure(g->api, kind == API_SHAPE_ERROR ? API_VALIDATION : kind);
    if (error_is_event(g, kind))
        stream_error(g, r, kind, text);
    else
        respond_error(g, r, kind, text);
}

/* ---- the end ---- */

/* Tokens of the answers that are given: of best_of the best one. */
static uint32_t count_tokens(const struct gen_prompt *p)
{
    uint32_t n = 0;
    if (p->request.best_of > 1)
        return choice_best(p->choice, p->n_choice)->n_token;
    for (uint32_t k = 0; k < p->n_choice; k++)
        n += p->choice[k].n_token;
    return n;
}

/* Milliseconds of each part of the requests' lives, as TGI reports them; several prompts' are added up. */
struct times {
    uint64_t total_ms, validation_ms, queue_ms, inference_ms, per_token_ms, n_input, n_token;
};

static struct times times_of(const struct generation *g)
{
    struct times t = {0};
    for (uint32_t i = 0; i < g->n_prompt; i++) {
        const struct gen_prompt *p = &g->prompt[i];
        uint32_t n_token = count_tokens(p);
        double inference = api_seconds(p->started_ns, p->done_ns) * 1e3;
        t.total_ms += (p->done_ns - g->begin_ns) / 1000000;
        t.validation_ms += (g->validated_ns - g->begin_ns) / 1000000;
        t.queue_ms += (uint64_t)(api_seconds(g->validated_ns, p->started_ns) * 1e3);
        t.inference_ms += (uint64_t)inference;
        t.per_token_ms += (uint64_t)(inference / (n_token ? n_token : 1));
        t.n_input += p->n_input;
        t.n_token += n_token;
    }
    return t;
}

#define N_ANSWER_HEADERS 10

struct answer_headers {
    char text[N_ANSWER_HEADERS][32];
    struct http_header header[N_ANSWER_HEADERS];
    size_t n;
};

static void put_number(struct answer_headers *h, const char *name, uint64_t value)
{
    snprintf(h->text[h->n], sizeof *h->text, "%" PRIu64, value);
    h->header[h->n] = (struct http_header){str_from(name), str_from(h->text[h->n])};
    h->n++;
}

static void fill_answer_headers(const struct generation *g, struct answer_headers *h)
{
    struct times t = times_of(g);
    h->n = 0;
    h->header[h->n++] = (struct http_header){STR("x-compute-type"), str_from(g->api->o.compute_type)};
    if (g->n_prompt == 1) {
        snprintf(h->text[h->n], sizeof *h->text, "%g", api_seconds(g->begin_ns, clock_ns()));
        h->header[h->n] = (struct http_header){STR("x-compute-time"), str_from(h->text[h->n])};
        h->n++;
    }
    put_number(h, "x-compute-characters", count_characters(g));
    put_number(h, "x-total-time", t.total_ms);
    put_number(h, "x-validation-time", t.validation_ms);
    put_number(h, "x-queue-time", t.queue_ms);
    put_number(h, "x-inference-time", t.inference_ms);
    put_number(h, "x-time-per-token", t.per_token_ms);
    put_number(h, "x-prompt-tokens", t.n_input);
    put_number(h, "x-generated-tokens", t.n_token);
}

static void observe_success(struct generation *g, struct gen_prompt *p)
{
    struct api *a = g->api;
    uint32_t n_token = count_tokens(p);
    metric_count(a->metric[METRIC_REQUEST_SUCCESS], 0, 1);
    metric_observe(a->metric[METRIC_REQUEST_DURATION], 0, api_seconds(g->begin_ns, p->done_ns));
    metric_observe(a->metric[METRIC_REQUEST_QUEUE_DURATION], 0, api_seconds(g->validated_ns, p->started_ns));
    metric_observe(a->metric[METRIC_REQUEST_INFERENCE_DURATION], 0, api_seconds(p->started_ns, p->done_ns));
    metric_observe(a->metric[METRIC_REQUEST_TIME_PER_TOKEN], 0,
                   api_seconds(p->started_ns, p->done_ns) / (n_token ? n_token : 1));
    metric_observe(a->metric[METRIC_REQUEST_GENERATED_TOKENS], 0, n_token);
}

static void respond_whole(struct generation *g, struct http_req *r)
{
    struct answer_headers headers;
    struct buf body;
    buf_init(&body, ANSWER_MAX_BYTES);
    if (g->wire->write(g, &body) != ST_OK || body.failed) {
        deliver_error(g, API_INCOMPLETE, NULL);
    } else {
        fill_answer_headers(g, &headers);
        http_respond(r, 200, "application/json", buf_str(&body), headers.header, headers.n);
    }
    buf_fini(&body);
}

static enum status stream_token(struct generation *g, struct choice *c, struct http_req *r)
{
    struct buf events;
    buf_init(&events, ANSWER_MAX_BYTES);
    enum status st = g->wire->write_token(g, c, &events);
    if (st == ST_OK && g->answered && g->wire->write_end)
        st = g->wire->write_end(g, &events);
    if (st == ST_OK && events.failed)
        st = ST_LIMIT;
    if (st == ST_OK)
        stream_write(r, &events, g->answered);
    buf_fini(&events);
    return st;
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

/* `still_runs`: the engine does not know yet. */
static void finish_choice(struct generation *g, struct gen_prompt *p, struct choice *c, bool still_runs)
{
    if (still_runs)
        engine_cancel(g->api->model.engine, c->engine);
    if (++p->n_done == p->n_choice) {
        p->done_ns = clock_ns();
        observe_success(g, p);
    }
    g->n_done++;
    g->answered = g->n_done == g->n_choice;
}

static void observe_pace(struct api *a, struct choice *c)
{
    uint64_t now = clock_ns();
    if (c->newest_ns)
        metric_observe(a->metric[METRIC_INTER_TOKEN], 0, api_seconds(c->newest_ns, now));
    c->newest_ns = now;
}

static void deliver_token(struct generation *g, struct choice *c, struct http_req *r, struct token_event *ev)
{
    struct gen_prompt *p = &g->prompt[c->prompt];
    bool stopped = false;
    if (!p->started_ns) {
        p->started_ns = ev->started_ns;
        metric_observe(g->api->metric[METRIC_FIRST_TOKEN], 0, api_seconds(g->begin_ns, clock_ns()));
    }
    if (ev->prompt_logprob) {
        p->logprob = ev->prompt_logprob; /* taken */
        ev->prompt_logprob = NULL;
    }
    if (c->finish_reason) /* made before the engine heard of the end */
        return;
    observe_pace(g->api, c);
    enum status st = choice_add(c, ev, &stopped);
    if (st == ST_OK) {
        c->finish_reason = finish_reason(ev, stopped);
        if (c->finish_reason)
            finish_choice(g, p, c, ev->finish == ENGINE_RUNNING);
        if (g->streams)
            st = stream_token(g, c, r);
        else if (g->answered)
            respond_whole(g, r);
    }
    if (st != ST_OK) {
        generation_cancel(g);
        deliver_error(g, g->streams ? API_INCOMPLETE_STREAM : API_INCOMPLETE, NULL);
    }
}

static void deliver_failure(struct generation *g, const struct token_event *ev)
{
    if (ev->finish == ENGINE_FINISH_FAILED && ev->status == ST_NUMERIC)
        deliver_error(g, API_GENERATION, "the model computed a number that is none (NaN or infinity)");
    else if (ev->finish == ENGINE_FINISH_FAILED)
        deliver_error(g, API_GENERATION, "the device failed");
    else
        deliver_error(g, g->streams ? API_INCOMPLETE_STREAM : API_INCOMPLETE, NULL);
}

static void on_generation_event(struct api *a, struct token_event *ev)
{
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
}

void api_on_event(void *api, struct inbox_node *node)
{
    struct api *a = api;
    struct token_event *ev = (struct token_event *)node;
    if (ev->has_token || ev->finish == ENGINE_FINISH_FAILED)
        a->failing = !ev->has_token;
    if (ev->tag != API_PROBE_TAG)
        on_generation_event(a, ev);
    else if (ev->finish != ENGINE_RUNNING)
        api_probe_ended(a, ev->has_token);
    engine_event_free(a->model.engine, ev);
}

/* POST /generate, /generate_stream and /: from a body to a submitted sequence.
 *
 * The loop copies the body, a worker parses, takes the permit, validates and tokenizes, the loop submits.
 * From then on deliver.c turns the engine's events into the answer. */
#include "api/api_int.h"
#include "base/clock.h"
#include <stdlib.h>
#include <string.h>

#define GENERATION_ARENA_MAX_BYTES (128u << 20)

/* ---- life ---- */

static struct generation *generation_new(struct api *a, enum gen_mode mode, struct http_req *r)
{
    struct generation *g = a->n_free ? calloc(1, sizeof *g) : NULL;
    if (!g)
        return NULL;
    g->api = a;
    g->mode = mode;
    g->http = http_req_handle(r);
    g->begin_ns = clock_ns();
    arena_init(&g->arena, GENERATION_ARENA_MAX_BYTES);
    g->body = arena_strdup(&g->arena, http_req_body(r));
    if (!g->body.p) {
        arena_fini(&g->arena);
        free(g);
        return NULL;
    }
    g->index = a->free_index[--a->n_free];
    g->number = ++a->number[g->index];
    a->in_flight[g->index] = g;
    return g;
}

void generation_free(struct generation *g)
{
    struct api *a = g->api;
    a->in_flight[g->index] = NULL;
    a->free_index[a->n_free++] = g->index;
    if (g->has_stream)
        stream_fini(&g->stream);
    tokens_fini(&g->tokens);
    arena_fini(&g->arena);
    free(g->token);
    free(g->top);
    free(g);
}

bool generation_streams(const struct generation *g)
{
    return g->mode == GEN_STREAM || (g->mode == GEN_COMPAT && g->request.stream);
}

static void on_gone(void *arg)
{
    struct generation *g = arg;
    g->gone = true;
    if (g->submitted)
        engine_cancel(g->api->model.engine, g->engine);
    if (!g->answered)
        api_count_dropped(g->api);
}

/* ---- the worker's part ---- */

/* TGI keeps the last n tokens and bos: the tokens that post-processing put in front stay. */
static void truncate_left(struct tokens *t, uint32_t n)
{
    size_t lead = 0;
    while (lead < t->n && lead < n && t->stop[lead] == 0)
        lead++;
    if (t->n <= n)
        return;
    size_t drop = t->n - n;
    memmove(t->ids + lead, t->ids + lead + drop, (n - lead) * sizeof *t->ids);
    t->n = n;
}

static enum status prepare(struct generation *g)
{
    struct api *a = g->api;
    g->stage = GEN_SHAPE;
    enum status st = gen_request_parse(g->body, &g->arena, &g->request, &g->err);
    if (st != ST_OK)
        return st;
    g->stage = GEN_PERMIT;
    st = engine_acquire(a->model.engine, &g->engine);
    if (st != ST_OK)
        return st;
    g->stage = GEN_VALIDATE;
    st = gen_request_validate(&g->request, &a->limits, generation_streams(g), &g->err);
    if (st == ST_OK)
        st = tokenizer_encode(a->model.tokenizer, g->request.inputs, TOKENIZER_ADD_SPECIAL, &g->tokens,
                              &g->err);
    if (st != ST_OK)
        return st;
    if (g->request.truncate != GEN_UNSET)
        truncate_left(&g->tokens, g->request.truncate);
    if (g->tokens.n == 0)
        return err_set(&g->err, ST_INVALID, "`inputs` cannot be empty");
    g->n_input = g->tokens.n > UINT32_MAX ? UINT32_MAX : (uint32_t)g->tokens.n;
    st = gen_request_fit(&g->request, &a->limits, g->n_input, &g->n_new, &g->err);
    if (st == ST_OK)
        g->stage = GEN_READY;
    return st;
}

static void worker_prepare(void *arg)
{
    struct generation *g = arg;
    g->status = prepare(g);
}

/* ---- back on the loop ---- */

static enum status submit(struct generation *g)
{
    struct api *a = g->api;
    enum status st = stream_init(&g->stream, a->model.tokenizer, g->tokens.ids, g->tokens.n, g->request.stop,
                                 g->request.n_stop);
    g->has_stream = true;
    if (st != ST_OK)
        return err_set(&g->err, st, "no memory for the answer");
    struct engine_request er = {.ids = g->tokens.ids,
                                .n_ids = g->n_input,
                                .max_new_tokens = g->n_new,
                                .params = g->request.params,
                                .owner = a->events,
                                .tag = (uint64_t)g->number << 32 | g->index};
    st = engine_submit(a->model.engine, g->engine, &er, &g->err);
    if (st == ST_OK)
        g->tokens.ids = NULL; /* taken */
    g->submitted = st == ST_OK;
    return st;
}

static void respond_shape_error(struct generation *g)
{
    struct http_req *r = http_req_find(g->api->server, g->http);
    g->answered = true;
    api_count_failure(g->api, API_VALIDATION);
    if (r)
        api_respond_shape_error(r, g->status, g->err.text);
}

static void refuse(struct generation *g)
{
    if (g->stage != GEN_SHAPE && g->stage != GEN_PERMIT)
        engine_release(g->api->model.engine, g->engine);
    if (!g->gone && g->stage == GEN_SHAPE)
        respond_shape_error(g);
    else if (!g->gone && g->stage == GEN_PERMIT)
        deliver_error(g, API_OVERLOADED, NULL);
    else if (!g->gone)
        deliver_error(g, API_VALIDATION, g->err.text);
    generation_free(g);
}

static void loop_prepared(void *arg)
{
    struct generation *g = arg;
    struct api *a = g->api;
    struct http_req *r = http_req_find(a->server, g->http);
    g->validated_ns = clock_ns();
    if (g->status != ST_OK || g->gone || !r) {
        refuse(g);
        return;
    }
    metric_observe(a->metric[METRIC_REQUEST_VALIDATION_DURATION], 0,
                   api_seconds(g->begin_ns, g->validated_ns));
    metric_observe(a->metric[METRIC_REQUEST_INPUT_LENGTH], 0, g->n_input);
    metric_observe(a->metric[METRIC_REQUEST_MAX_NEW_TOKENS], 0, g->n_new);
    g->status = submit(g);
    if (g->status != ST_OK) {
        refuse(g);
        return;
    }
    if (generation_streams(g))
        deliver_stream_begin(g, r);
}

static void generate(struct http_req *r, struct api *a, enum gen_mode mode)
{
    struct err e;
    metric_count(a->metric[METRIC_REQUEST_COUNT], 0, 1);
    if (!api_require_json(r))
        return;
    if (!a->ready) {
        api_respond_error(a, r, API_LOADING, NULL);
        return;
    }
    struct generation *g = generation_new(a, mode, r);
    if (!g) {
        api_respond_error(a, r, API_OVERLOADED, NULL);
        return;
    }
    http_req_on_gone(r, on_gone, g);
    if (http_server_work(a->server, worker_prepare, loop_prepared, g, &e) != ST_OK) {
        http_req_on_gone(r, NULL, NULL);
        generation_free(g);
        api_respond_error(a, r, API_OVERLOADED, NULL);
    }
}

void handle_generate(struct http_req *r, void *api)
{
    generate(r, api, GEN_SINGLE);
}

void handle_generate_stream(struct http_req *r, void *api)
{
    generate(r, api, GEN_STREAM);
}

void handle_compat(struct http_req *r, void *api)
{
    generate(r, api, GEN_COMPAT);
}

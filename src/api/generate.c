/* POST /generate, /generate_stream and /: from a body to a submitted sequence.
 *
 * The loop copies the body, a worker parses, takes the permit, validates and tokenizes, the loop submits.
 * From then on deliver.c turns the engine's events into the answer. */
#include "api/api_int.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/rng.h"
#include <stdlib.h>
#include <string.h>

#define GENERATION_ARENA_MAX_BYTES (128u << 20)

/* ---- life ---- */

/* Callers with different keys, and requests with different salts, do not share what the cache holds. */
static void salt_from(const struct api *a, char kind, struct str text, uint64_t out[2])
{
    out[0] = hash_bytes(text.p, text.n, a->secret ^ (uint64_t)kind);
    out[1] = hash_bytes(text.p, text.n, ~a->secret ^ (uint64_t)kind);
}

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
    salt_from(a, 'k', http_req_header(r, "authorization"), g->cache_salt);
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
    for (uint32_t i = 0; i < g->n_choice; i++)
        choice_fini(&g->choice[i]);
    free(g->prompt_logprob);
    tokens_fini(&g->tokens);
    arena_fini(&g->arena);
    free(g);
}

bool generation_streams(const struct generation *g)
{
    return g->mode == GEN_STREAM || (g->mode == GEN_COMPAT && g->request.stream);
}

void generation_cancel(struct generation *g)
{
    for (uint32_t i = 0; i < g->n_choice; i++)
        if (g->choice[i].submitted)
            engine_cancel(g->api->model.engine, g->choice[i].engine);
}

static void on_gone(void *arg)
{
    struct generation *g = arg;
    g->gone = true;
    generation_cancel(g);
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

/* A permit for each answer, or none at all. */
static enum status take_permits(struct generation *g)
{
    const struct api *a = g->api;
    uint32_t n =
        g->request.best_of <= a->limits.max_best_of ? g->request.best_of : 1; /* else validation refuses it */
    n = n ? n : 1;
    g->choice = arena_zalloc(&g->arena, n * sizeof *g->choice);
    enum status st = g->choice ? ST_OK : ST_NO_MEMORY;
    while (st == ST_OK && g->n_choice < n) {
        st = engine_acquire(a->model.engine, &g->choice[g->n_choice].engine);
        g->n_choice += st == ST_OK;
    }
    return st;
}

static void release_permits(struct generation *g)
{
    for (uint32_t i = 0; i < g->n_choice; i++)
        if (!g->choice[i].submitted)
            engine_release(g->api->model.engine, g->choice[i].engine);
}

static enum status tokenize(struct generation *g)
{
    const struct api *a = g->api;
    enum status st =
        tokenizer_encode(a->model.tokenizer, g->request.inputs, TOKENIZER_ADD_SPECIAL, &g->tokens, &g->err);
    if (st != ST_OK)
        return st;
    if (g->request.truncate != GEN_UNSET)
        truncate_left(&g->tokens, g->request.truncate);
    if (g->tokens.n == 0)
        return err_set(&g->err, ST_INVALID, "`inputs` cannot be empty");
    g->n_input = g->tokens.n > UINT32_MAX ? UINT32_MAX : (uint32_t)g->tokens.n;
    st = gen_request_fit(&g->request, &a->limits, g->n_input, &g->n_new, &g->err);
    if (st != ST_OK || !g->request.decoder_input_details)
        return st;
    g->prompt = arena_array(&g->arena, g->n_input, sizeof *g->prompt);
    if (!g->prompt)
        return err_set(&g->err, ST_NO_MEMORY, "the request needs too much memory");
    memcpy(g->prompt, g->tokens.ids, g->n_input * sizeof *g->prompt);
    return ST_OK;
}

static enum status prepare(struct generation *g)
{
    struct api *a = g->api;
    g->stage = GEN_SHAPE;
    enum status st = gen_request_parse(g->body, &g->arena, &g->request, &g->err);
    if (st != ST_OK)
        return st;
    g->stage = GEN_PERMIT;
    st = take_permits(g);
    if (st != ST_OK)
        return st;
    g->stage = GEN_VALIDATE;
    st = gen_request_validate(&g->request, &a->limits, generation_streams(g), &g->err);
    if (st == ST_OK)
        st = tokenize(g);
    if (g->request.cache_salt.p)
        salt_from(a, 's', g->request.cache_salt, g->cache_salt);
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

static enum status submit_choice(struct generation *g, uint32_t i)
{
    struct api *a = g->api;
    struct choice *c = &g->choice[i];
    enum status st = stream_init(&c->stream, a->model.tokenizer, g->tokens.ids, g->n_input, g->request.stop,
                                 g->request.n_stop);
    c->has_stream = st == ST_OK;
    struct engine_request er = {.ids = malloc(g->n_input * sizeof *er.ids),
                                .n_ids = g->n_input,
                                .max_new_tokens = g->n_new,
                                .params = g->request.params,
                                .prompt_logprobs = g->prompt && i == 0,
                                .cache_salt = {g->cache_salt[0], g->cache_salt[1]},
                                .owner = a->events,
                                .tag = (uint64_t)g->number << 32 | g->index,
                                .sub_tag = i};
    if (st != ST_OK || !er.ids) {
        free(er.ids);
        return err_set(&g->err, ST_NO_MEMORY, "no memory for the answer");
    }
    memcpy(er.ids, g->tokens.ids, g->n_input * sizeof *er.ids);
    c->seed = er.params.seed = i == 0 ? g->request.params.seed : rng_entropy();
    st = engine_submit(a->model.engine, c->engine, &er, &g->err);
    if (st != ST_OK)
        free(er.ids);
    c->submitted = st == ST_OK;
    return st;
}

static enum status submit(struct generation *g)
{
    enum status st = ST_OK;
    for (uint32_t i = 0; i < g->n_choice && st == ST_OK; i++)
        st = submit_choice(g, i);
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

/* The first answers may be in the engine already: then its last event about them ends the generation. */
static void refuse(struct generation *g)
{
    release_permits(g);
    generation_cancel(g);
    if (!g->gone && g->stage == GEN_SHAPE)
        respond_shape_error(g);
    else if (!g->gone && g->stage == GEN_PERMIT)
        deliver_error(g, API_OVERLOADED, NULL);
    else if (!g->gone)
        deliver_error(g, API_VALIDATION, g->err.text);
    uint32_t n = 0;
    while (n < g->n_choice && g->choice[n].submitted)
        n++;
    for (uint32_t i = n; i < g->n_choice; i++)
        choice_fini(&g->choice[i]);
    g->n_choice = n;
    if (n == 0)
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
    if (!api_accepts(a, r))
        return;
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

/* A generation's way from a body to submitted sequences.
 *
 * The loop copies the body, a worker parses, takes the permits, validates and tokenizes, the loop submits.
 * From then on deliver.c turns the engine's events into the answer. What differs between routes is in their
 * struct gen_wire. */
#include "api/generation_int.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/rng.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GENERATION_ARENA_MAX_BYTES (128u << 20)

/* ---- life ---- */

/* Callers with different keys, and requests with different salts, do not share what the cache holds. */
static void salt_from(const struct api *a, char kind, struct str text, uint64_t out[2])
{
    out[0] = hash_bytes(text.p, text.n, a->secret ^ (uint64_t)kind);
    out[1] = hash_bytes(text.p, text.n, ~a->secret ^ (uint64_t)kind);
}

static struct generation *generation_new(struct api *a, const struct gen_wire *wire, struct http_req *r)
{
    struct generation *g = a->n_free ? calloc(1, sizeof *g) : NULL;
    if (!g)
        return NULL;
    g->api = a;
    g->wire = wire;
    g->http = http_req_handle(r);
    g->begin_ns = clock_ns();
    g->begin_unix = (uint64_t)time(NULL);
    g->reason = g->err.text;
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
    for (uint32_t i = 0; i < g->n_prompt; i++) {
        free(g->prompt[i].logprob);
        tokens_fini(&g->prompt[i].tokens);
    }
    arena_fini(&g->arena);
    free(g);
}

enum status generation_reserve(struct generation *g, size_t n)
{
    g->prompt = n <= UINT32_MAX ? arena_array(&g->arena, n, sizeof *g->prompt) : NULL;
    if (!g->prompt)
        return err_set(&g->err, ST_NO_MEMORY, "the request needs too much memory");
    g->cap_prompt = (uint32_t)n;
    return ST_OK;
}

struct gen_prompt *generation_add_prompt(struct generation *g)
{
    BUG_ON(g->n_prompt == g->cap_prompt);
    struct gen_prompt *p = &g->prompt[g->n_prompt++];
    memset(p, 0, sizeof *p);
    gen_request_init(&p->request);
    return p;
}

void generation_cancel(struct generation *g)
{
    for (uint32_t i = 0; i < g->n_choice; i++)
        if (g->choice[i].submitted)
            engine_cancel(g->api->model.engine, g->choice[i].engine);
}

bool generation_is_strict(const struct generation *g)
{
    return g->wire->openai && g->api->o.strict_openai;
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

/* More than that is refused by validation. */
static uint32_t count_choices(const struct api *a, const struct gen_request *q)
{
    uint32_t best_of = q->best_of <= a->limits.max_best_of && q->best_of ? q->best_of : 1;
    return best_of * (q->n <= GEN_MAX_N && q->n ? q->n : 1);
}

/* A permit for each answer, or none at all. */
static enum status take_permits(struct generation *g)
{
    const struct api *a = g->api;
    uint64_t n = 0;
    for (uint32_t i = 0; i < g->n_prompt; i++)
        n += g->prompt[i].n_choice = count_choices(a, &g->prompt[i].request);
    if (n > a->o.max_concurrent_requests)
        return ST_UNAVAILABLE;
    struct choice *c = g->choice = arena_zalloc(&g->arena, n * sizeof *c);
    for (uint32_t i = 0; i < g->n_prompt && c; c += g->prompt[i++].n_choice) {
        g->prompt[i].choice = c;
        for (uint32_t k = 0; k < g->prompt[i].n_choice; k++)
            c[k].prompt = i;
    }
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

/* The client's own ids; the engine refuses those that the model does not have. */
static enum status take_ids(struct generation *g, struct gen_prompt *p)
{
    size_t bytes = p->request.n_ids * sizeof *p->tokens.ids;
    p->tokens.ids = malloc(bytes);
    if (!p->tokens.ids)
        return err_set(&g->err, ST_NO_MEMORY, "the request needs too much memory");
    memcpy(p->tokens.ids, p->request.ids, bytes);
    p->tokens.n = p->request.n_ids;
    return ST_OK;
}

static enum status tokenize(struct generation *g, struct gen_prompt *p)
{
    const struct api *a = g->api;
    const struct gen_request *q = &p->request;
    enum status st = q->ids
                         ? take_ids(g, p)
                         : tokenizer_encode(a->model.tokenizer, q->inputs,
                                            q->no_special ? 0 : TOKENIZER_ADD_SPECIAL, &p->tokens, &g->err);
    if (st != ST_OK)
        return st;
    if (q->truncate != GEN_UNSET)
        truncate_left(&p->tokens, q->truncate);
    if (p->tokens.n == 0)
        return err_set(&g->err, ST_INVALID, "`inputs` cannot be empty");
    p->n_input = p->tokens.n > UINT32_MAX ? UINT32_MAX : (uint32_t)p->tokens.n;
    st = gen_request_fit(q, &a->limits, p->n_input, &p->n_new, &g->err);
    if (st != ST_OK || !q->decoder_input_details)
        return st;
    p->ids = arena_array(&g->arena, p->n_input, sizeof *p->ids);
    if (!p->ids)
        return err_set(&g->err, ST_NO_MEMORY, "the request needs too much memory");
    memcpy(p->ids, p->tokens.ids, p->n_input * sizeof *p->ids);
    return ST_OK;
}

static enum status read_body(struct generation *g)
{
    struct json_doc *doc;
    enum status st = shape_parse(g->body, &doc, &g->err);
    if (st != ST_OK)
        return st;
    st = g->wire->read(g, json_root(doc));
    json_free(doc);
    return st;
}

static enum status prepare(struct generation *g)
{
    struct api *a = g->api;
    g->failure = API_SHAPE_ERROR;
    enum status st = read_body(g);
    if (st != ST_OK)
        return st;
    g->failure = API_OVERLOADED;
    st = take_permits(g);
    if (st != ST_OK)
        return st;
    g->failure = API_VALIDATION;
    for (uint32_t i = 0; i < g->n_prompt && st == ST_OK; i++) {
        st = gen_request_validate(&g->prompt[i].request, &a->limits, g->streams, &g->err);
        if (st == ST_OK)
            st = tokenize(g, &g->prompt[i]);
    }
    return st;
}

static void worker_prepare(void *arg)
{
    struct generation *g = arg;
    g->status = prepare(g);
}

/* ---- back on the loop ---- */

static enum status submit_choice(struct generation *g, struct choice *c)
{
    struct api *a = g->api;
    struct gen_prompt *p = &g->prompt[c->prompt];
    const struct gen_request *q = &p->request;
    uint32_t k = (uint32_t)(c - p->choice);
    enum status st =
        stream_init(&c->stream, a->model.tokenizer, p->tokens.ids, p->n_input, q->stop, q->n_stop);
    c->has_stream = st == ST_OK;
    c->stream.skip_special = g->wire->openai != NULL;
    c->stream.strip_stop = generation_is_strict(g);
    struct engine_request er = {.ids = malloc(p->n_input * sizeof *er.ids),
                                .n_ids = p->n_input,
                                .max_new_tokens = p->n_new,
                                .params = q->params,
                                .choice = q->n > 1 ? k : 0,
                                .prompt_logprobs = p->ids && k == 0,
                                .cache_salt = {g->cache_salt[0], g->cache_salt[1]},
                                .owner = a->events,
                                .tag = (uint64_t)g->number << 32 | g->index,
                                .sub_tag = (uint32_t)(c - g->choice)};
    if (st != ST_OK || !er.ids) {
        free(er.ids);
        return err_set(&g->err, ST_NO_MEMORY, "no memory for the answer");
    }
    memcpy(er.ids, p->tokens.ids, p->n_input * sizeof *er.ids);
    if (q->cache_salt.p)
        salt_from(a, 's', q->cache_salt, er.cache_salt);
    if (k > 0 && q->best_of > 1)
        er.params.seed = rng_entropy(); /* TGI's best_of: a seed for each; n has one seed for all */
    c->seed = er.params.seed;
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
        st = submit_choice(g, &g->choice[i]);
    return st;
}

/* The first answers may be in the engine already: then its last event about them ends the generation. */
static void refuse(struct generation *g)
{
    release_permits(g);
    generation_cancel(g);
    if (!g->gone)
        deliver_error(g, g->failure, g->failure == API_OVERLOADED ? NULL : g->reason);
    uint32_t n = 0;
    while (n < g->n_choice && g->choice[n].submitted)
        n++;
    for (uint32_t i = n; i < g->n_choice; i++)
        choice_fini(&g->choice[i]);
    g->n_choice = n;
    if (n == 0)
        generation_free(g);
}

static void observe_prompts(const struct generation *g)
{
    struct api *a = g->api;
    for (uint32_t i = 0; i < g->n_prompt; i++) {
        metric_observe(a->metric[METRIC_REQUEST_VALIDATION_DURATION], 0,
                       api_seconds(g->begin_ns, g->validated_ns));
        metric_observe(a->metric[METRIC_REQUEST_INPUT_LENGTH], 0, g->prompt[i].n_input);
        metric_observe(a->metric[METRIC_REQUEST_MAX_NEW_TOKENS], 0, g->prompt[i].n_new);
    }
}

static void loop_prepared(void *arg)
{
    struct generation *g = arg;
    struct api *a = g->api;
    struct http_req *r = http_req_find(a->server, g->http);
    g->validated_ns = clock_ns();
    if (g->wire->counts_prompts)
        metric_count(a->metric[METRIC_REQUEST_COUNT], 0, g->n_prompt);
    if (g->status != ST_OK || g->gone || !r) {
        refuse(g);
        return;
    }
    observe_prompts(g);
    g->status = submit(g);
    if (g->status != ST_OK) {
        refuse(g);
        return;
    }
    if (g->streams)
        deliver_stream_begin(g, r);
}

void generation_start(struct http_req *r, struct api *a, const struct gen_wire *wire)
{
    struct err e;
    metric_count(a->metric[METRIC_REQUEST_COUNT], 0, 1);
    if (!api_accepts(a, r))
        return;
    struct generation *g = generation_new(a, wire, r);
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

/* The routes, out of routes.def, and the api's life. */
#include "api/api_int.h"
#include "base/rng.h"
#include <stdlib.h>
#include <string.h>

#define GENERATING (FAULT_BODY | FAULT_VALUES | FAULT_BUSY | FAULT_ENGINE | FAULT_LOADING)
#define TOKENIZING (FAULT_BODY | FAULT_VALUES | FAULT_BUSY | FAULT_LOADING)

static const struct api_route routes[] = {
#define JSON(name)          .type = "application/json", .schema = name
#define LIST(name)          JSON(name), .is_list = true
#define TEXT(name)          .type = name
#define NOTHING             .type = NULL
#define EVENTS(name, error) .events = name, .error_events = error
#define ROUTE(method, path, handle, flags, id, group, summary, request, faults, ...)                         \
    {{method, path, handle, flags}, {id, group, summary, request, faults, __VA_ARGS__}},
#define PAGE(path, handle) {{"GET", path, handle, 0}, {0}},
#include "api/routes.def"
#undef ROUTE
#undef PAGE
};

#define N_ROUTES (sizeof routes / sizeof *routes)

_Static_assert(N_ROUTES + 2 <= API_MAX_ROUTES, "there is room for all routes");

static void add_route(struct api *a, const struct api_route *route)
{
    a->described[a->n_route] = *route;
    a->route[a->n_route++] = route->http;
}

/* A platform's own name for a route; its proxy is who may call it. */
static void add_name(struct api *a, const char *path, void (*handle)(struct http_req *, void *),
                     const char *id)
{
    const struct api_route *original = routes;
    while (original->http.handle != handle)
        original++;
    struct api_route named = *original;
    named.http.path = path;
    named.http.flags = 0;
    named.doc.id = id;
    if (path)
        add_route(a, &named);
}

static void add_routes(struct api *a)
{
    for (size_t i = 0; i < N_ROUTES; i++)
        add_route(a, &routes[i]);
    add_name(a, a->o.predict_route, handle_vertex, "vertex_predict");
    add_name(a, a->o.health_route, handle_health, "vertex_health");
}

const struct http_route *api_routes(const struct api *a, size_t *n)
{
    *n = a->n_route;
    return a->route;
}

static const struct http_route metrics_routes[] = {{"GET", "/metrics", handle_metrics, 0}};

const struct http_route *api_metrics_routes(size_t *n)
{
    *n = sizeof metrics_routes / sizeof *metrics_routes;
    return metrics_routes;
}

void api_respond_error(struct api *a, struct http_req *r, enum api_error kind, const char *text)
{
    struct buf body;
    buf_init(&body, 1u << 20);
    api_count_failure(a, kind);
    api_error_render(kind, text, &body);
    http_respond(r, api_error_http_status(kind), "application/json", buf_str(&body), NULL, 0);
    buf_fini(&body);
}

void api_respond_shape_error(struct http_req *r, enum status status, const char *text)
{
    http_respond(r, shape_http_status(status), "text/plain; charset=utf-8", str_from(text), NULL, 0);
}

static bool is_json(struct http_req *r)
{
    struct str type = http_req_header(r, "content-type");
    size_t semicolon = str_find(type, STR(";"), 0);
    if (semicolon != SIZE_MAX)
        type.n = semicolon;
    type = str_trim(type);
    size_t plus = type.n >= 5 ? type.n - 5 : 0;
    return str_eq_nocase(type, STR("application/json")) ||
           (type.n > 17 && str_eq_nocase((struct str){type.p, 12}, STR("application/")) &&
            str_eq_nocase((struct str){type.p + plus, 5}, STR("+json")));
}

bool api_accepts(struct api *a, struct http_req *r)
{
    if (!is_json(r)) {
        http_respond(r, 415, "text/plain; charset=utf-8",
                     STR("Expected request with `Content-Type: application/json`"), NULL, 0);
        return false;
    }
    if (!a->ready)
        api_respond_error(a, r, API_LOADING, NULL);
    return a->ready;
}

/* ---- life ---- */

enum status api_new(const struct api_options *o, struct api **out, struct err *e)
{
    struct api *a = calloc(1, sizeof *a);
    if (!a)
        return err_set(e, ST_NO_MEMORY, "no memory for the API");
    a->o = *o;
    a->secret = rng_entropy();
    add_routes(a);
    a->in_flight = calloc(o->max_requests, sizeof *a->in_flight);
    a->number = calloc(o->max_requests, sizeof *a->number);
    a->free_index = calloc(o->max_requests, sizeof *a->free_index);
    if (!a->in_flight || !a->number || !a->free_index || api_metrics_new(a) != ST_OK) {
        api_free(a);
        return err_set(e, ST_NO_MEMORY, "no memory for %u requests", o->max_requests);
    }
    for (uint32_t i = o->max_requests; i-- > 0;)
        a->free_index[a->n_free++] = i;
    *out = a;
    return ST_OK;
}

void api_free(struct api *a)
{
    if (!a)
        return;
    for (uint32_t i = 0; a->in_flight && i < a->o.max_requests; i++)
        if (a->in_flight[i])
            generation_free(a->in_flight[i]);
    free(a->in_flight);
    free(a->number);
    free(a->free_index);
    api_metrics_free(a);
    free(a);
}

static void become_ready(struct api *a, const struct api_model *model)
{
    const struct engine_limits *l = engine_limits(model->engine);
    a->model = *model;
    a->limits = (struct gen_limits){.max_best_of = a->o.max_best_of,
                                    .max_stop_sequences = a->o.max_stop_sequences,
                                    .max_top_n_tokens = a->o.max_top_n_tokens,
                                    .prefill_logprobs = a->o.prefill_logprobs,
                                    .max_input_tokens = l->max_input_tokens,
                                    .max_total_tokens = l->max_total_tokens,
                                    .watermark_gamma = a->o.watermark_gamma,
                                    .watermark_delta = a->o.watermark_delta};
    a->ready = api_metrics_ready(a) == ST_OK;
}

static void on_message(void *api, struct inbox_node *node)
{
    struct api *a = api;
    if (node == &a->ready_message.node)
        become_ready(a, &a->ready_message.model);
    else
        memcpy(a->digest, a->digest_message.hex, sizeof a->digest);
}

enum status api_attach(struct api *a, struct http_server *server, struct err *e)
{
    a->server = server;
    enum status st = http_server_inbox(server, on_message, a, &a->messages, e);
    return st == ST_OK ? http_server_inbox(server, api_on_event, a, &a->events, e) : st;
}

void api_post_ready(struct api *a, const struct api_model *model)
{
    a->ready_message.model = *model;
    inbox_post(a->messages, &a->ready_message.node);
}

void api_post_digest(struct api *a, const char *hex)
{
    memcpy(a->digest_message.hex, hex, sizeof a->digest_message.hex);
    inbox_post(a->messages, &a->digest_message.node);
}

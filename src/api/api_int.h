/* Inside the api: its state, and what its files ask of each other. */
#ifndef API_API_INT_H
#define API_API_INT_H

#include "api/api.h"
#include "api/errors.h"
#include "api/gen_request.h"
#include "api/openapi_int.h"

struct generation;

enum metric_id {
#define METRIC(id, ...) METRIC_##id,
#include "api/metrics.def"
#undef METRIC
    METRIC_ID_COUNT,
};

/* Sets of labels that all series of some families carry. */
#define API_METRIC_LABELS 5
/* The table's rows and Vertex AI's two. */
#define API_MAX_ROUTES 48

/* Of the events of a health check's token: no generation has it. */
#define API_PROBE_TAG UINT64_MAX

struct api {
    struct api_options o;
    struct http_route route[API_MAX_ROUTES];
    struct api_route described[API_MAX_ROUTES]; /* the same routes */
    size_t n_route;
    struct http_server *server;
    struct inbox *messages, *events;
    bool ready;
    struct api_model model;
    struct gen_limits limits;
    char digest[65];
    struct {
        struct inbox_node node;
        struct api_model model;
    } ready_message;
    struct {
        struct inbox_node node;
        char hex[65];
    } digest_message;

    struct generation **in_flight; /* [max_requests] */
    uint32_t *number;              /* [max_requests] */
    uint32_t *free_index, n_free;
    uint64_t secret; /* of the hash that keeps callers' caches apart */

    bool failing; /* the last answer failed in the engine */
    bool probing; /* a health check has asked for a token: */
    struct http_handle probe;

    struct metrics *metrics;
    struct metric *metric[METRIC_ID_COUNT];
    struct metric_desc desc[METRIC_ID_COUNT];
    double input_bounds[100], total_bounds[100];
    struct buf fixed[API_METRIC_LABELS]; /* labels, each a C string */
};

/* routes.c */
void api_respond_error(struct api *a, struct http_req *r, enum api_error kind, const char *text);
/* In plain text whatever the route, as TGI's framework does. */
void api_respond_shape_error(struct http_req *r, enum status status, const char *text);
/* May a request with a body be looked at? False after answering that it is no JSON or that the model is not
 * there yet. */
bool api_accepts(struct api *a, struct http_req *r);
/* metrics.c; what failed half-way is freed too */
MUST_CHECK enum status api_metrics_new(struct api *a);
/* Families whose bounds or labels need the model. */
MUST_CHECK enum status api_metrics_ready(struct api *a);
void api_metrics_free(struct api *a);
void api_count_failure(struct api *a, enum api_error kind);
void api_count_dropped(struct api *a);
void handle_metrics(struct http_req *r, void *api);
double api_seconds(uint64_t from_ns, uint64_t to_ns);
/* native.c */
void handle_generate(struct http_req *r, void *api);
void handle_generate_stream(struct http_req *r, void *api);
void handle_compat(struct http_req *r, void *api);
/* chat_completions.c, completions.c, cloud.c */
void handle_chat_completions(struct http_req *r, void *api);
void handle_completions(struct http_req *r, void *api);
void handle_vertex(struct http_req *r, void *api);
void handle_invocations(struct http_req *r, void *api);
/* generation.c */
void generation_free(struct generation *g);
/* deliver.c */
void api_on_event(void *api, struct inbox_node *node);
/* health.c */
void handle_health(struct http_req *r, void *api);
/* The engine's last word about a health check's token. */
void api_probe_ended(struct api *a, bool well);
/* info.c, tokenize.c */
void handle_info(struct http_req *r, void *api);
void handle_models(struct http_req *r, void *api);
void handle_tokenize(struct http_req *r, void *api);
void handle_chat_tokenize(struct http_req *r, void *api);
/* web.c, openapi.c */
void handle_page(struct http_req *r, void *api);
void handle_docs(struct http_req *r, void *api);
void handle_openapi(struct http_req *r, void *api);

#endif

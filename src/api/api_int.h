/* Inside the api: its state and one generation in flight. */
#ifndef API_API_INT_H
#define API_API_INT_H

#include "api/api.h"
#include "api/choice.h"
#include "api/errors.h"
#include "api/gen_request.h"

enum metric_id {
#define METRIC(id, ...) METRIC_##id,
#include "api/metrics.def"
#undef METRIC
    METRIC_ID_COUNT,
};

enum gen_mode {
    GEN_SINGLE, /* POST /generate */
    GEN_STREAM, /* POST /generate_stream */
    GEN_COMPAT, /* POST /: an array, or a stream when the body says so */
};

/* One request from its first byte to the engine's last event about it. */
struct generation {
    struct api *api;
    uint32_t index, number; /* its place in api->in_flight and that place's count: the tag of its events */
    enum gen_mode mode;
    struct http_handle http; /* of the client; http_req_find() says whether it is still there */
    bool gone, answered, streaming;

    struct arena arena;
    struct str body; /* copy: the connection may go while a worker reads it */
    struct gen_request request;
    struct tokens tokens; /* ids move into the engine */
    uint32_t n_input, n_new;
    int32_t *prompt;       /* [n_input] the tokens' ids, when their logprobs are asked for */
    float *prompt_logprob; /* [n_input] from the engine */
    uint64_t cache_salt[2];

    struct choice *choice; /* [n_choice] each holds a slot of the engine, until it has ended */
    uint32_t n_choice, n_done, n_ended;

    /* outcome of the worker's part */
    enum status status;
    enum { GEN_SHAPE, GEN_PERMIT, GEN_VALIDATE, GEN_READY } stage; /* where it failed, or GEN_READY */
    struct err err;

    uint64_t begin_ns, validated_ns, started_ns;
};

struct api {
    struct api_options o;
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

    struct metrics *metrics;
    struct metric *metric[METRIC_ID_COUNT];
    struct metric_desc desc[METRIC_ID_COUNT];
    double input_bounds[100], total_bounds[100];
};

/* routes.c */
void api_respond_error(struct api *a, struct http_req *r, enum api_error kind, const char *text);
/* In plain text whatever the route, as TGI's framework does. */
void api_respond_shape_error(struct http_req *r, enum status status, const char *text);
/* May a request with a body be looked at? False after answering that it is no JSON or that the model is not
 * there yet. */
bool api_accepts(struct api *a, struct http_req *r);
/* metrics.c */
MUST_CHECK enum status api_metrics_new(struct api *a);
/* Families whose bounds need the limits. */
MUST_CHECK enum status api_metrics_ready(struct api *a);
void api_count_failure(struct api *a, enum api_error kind);
void api_count_dropped(struct api *a);
double api_seconds(uint64_t from_ns, uint64_t to_ns);
/* generate.c */
void handle_generate(struct http_req *r, void *api);
void handle_generate_stream(struct http_req *r, void *api);
void handle_compat(struct http_req *r, void *api);
void generation_free(struct generation *g);
/* Is the answer a stream of events? */
bool generation_streams(const struct generation *g);
/* Nothing more is wanted of the engine. */
void generation_cancel(struct generation *g);
/* deliver.c */
void api_on_event(void *api, struct inbox_node *node);
/* Ends the client's side with an error, in the form that its route has. */
void deliver_error(struct generation *g, enum api_error kind, const char *text);
void deliver_stream_begin(struct generation *g, struct http_req *r);
/* info.c, tokenize.c, chat_tokenize.c */
void handle_info(struct http_req *r, void *api);
void handle_health(struct http_req *r, void *api);
void handle_metrics(struct http_req *r, void *api);
void handle_tokenize(struct http_req *r, void *api);
void handle_chat_tokenize(struct http_req *r, void *api);
/* ui.c */
void handle_ui(struct http_req *r, void *api);

#endif

/* The HTTP API: TGI's routes over the engine. Everything belongs to the I/O loop's thread, but for what says
 * otherwise. */
#ifndef API_API_H
#define API_API_H

#include "engine/engine.h"
#include "http/server.h"
#include "text/chat.h"

struct api;

/* What the server says about itself; strings live as long as the api. */
struct api_options {
    const char *model_id;
    const char *version;
    const char *compute_type; /* the x-compute-type header */
    uint32_t max_concurrent_requests, max_best_of, max_stop_sequences, max_top_n_tokens,
        max_client_batch_size;
    bool prefill_logprobs;  /* decoder_input_details is served */
    bool disable_ui;        /* no page at /ui */
    bool strict_openai;     /* OpenAI's routes say what OpenAI says where TGI says something else */
    double watermark_gamma; /* share of green tokens */
    float watermark_delta;
    uint32_t validation_workers;
    uint32_t max_waiting_tokens; /* this and the next are shown in /info, nothing more */
    double waiting_served_ratio;
    uint32_t max_requests;                    /* in flight, tokenizing ones included */
    const char *predict_route, *health_route; /* of Vertex AI, beside the others; NULL: none */
};

MUST_CHECK enum status api_new(const struct api_options *o, struct api **out, struct err *e);
/* After the server has run to its end and the engine is freed. */
void api_free(struct api *a);

/* The route table, for http_options; lives as long as the api. */
const struct http_route *api_routes(const struct api *a, size_t *n);
/* The OpenAPI document of these routes; needs no server and no model. */
void api_openapi(const struct api *a, struct buf *out);
/* Of a port for scrapers alone: GET /metrics. */
const struct http_route *api_metrics_routes(size_t *n);
/* Where everything registers its metrics; lives as long as the api. */
struct metrics *api_metrics(struct api *a);
/* Binds the api to its server: once, before the server runs. */
MUST_CHECK enum status api_attach(struct api *a, struct http_server *server, struct err *e);

/* What a loaded model brings; borrowed until api_free(). */
struct api_model {
    struct engine *engine;
    const struct tokenizer *tokenizer;
    const struct chat *chat; /* NULL: conversations are refused, `no_chat` says why */
    const char *no_chat;
    const char *device, *dtype; /* /info's model_device_type, model_dtype */
    const char *commit;         /* /info's model_sha; NULL: not a hub's model */
    const char *fingerprint;    /* system_fingerprint of OpenAI's answers */
};
/* From any thread, once: requests are served from now on. */
void api_post_ready(struct api *a, const struct api_model *model);
/* From any thread, once: the weights' digest (64 hex digits), shown in /info. */
void api_post_digest(struct api *a, const char *hex);

#endif

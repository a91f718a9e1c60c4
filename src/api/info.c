/* GET /info, /v1/models: what the server says about itself. Nothing here waits on the engine. */
#include "api/api_int.h"
#include "json/json.h"

static void put_uint(struct json_writer *w, const char *key, uint64_t value)
{
    jw_key(w, key);
    jw_u64(w, value);
}

static void put_text(struct json_writer *w, const char *key, const char *value)
{
    jw_key(w, key);
    jw_cstr(w, value);
}

void handle_info(struct http_req *r, void *api)
{
    const struct api *a = api;
    const struct engine_limits none = {0}, *l = a->ready ? engine_limits(a->model.engine) : &none;
    struct json_writer w;
    struct buf body;
    buf_init(&body, 1u << 16);
    jw_init(&w, &body);
    jw_object(&w);
    put_text(&w, "model_id", a->o.model_id);
    put_text(&w, "model_sha", a->ready ? a->model.commit : NULL);
    put_text(&w, "model_pipeline_tag", "text-generation");
    put_text(&w, "model_dtype", a->ready ? a->model.dtype : NULL);
    put_text(&w, "model_device_type", a->ready ? a->model.device : NULL);
    put_text(&w, "weights_sha256", *a->digest ? a->digest : NULL);
    put_uint(&w, "max_concurrent_requests", a->o.max_concurrent_requests);
    put_uint(&w, "max_best_of", a->o.max_best_of);
    put_uint(&w, "max_stop_sequences", a->o.max_stop_sequences);
    put_uint(&w, "max_input_tokens", l->max_input_tokens);
    put_uint(&w, "max_total_tokens", l->max_total_tokens);
    put_uint(&w, "max_input_length", l->max_input_tokens); /* TGI 2.0's name */
    put_uint(&w, "max_batch_total_tokens", l->max_batch_total_tokens);
    put_uint(&w, "max_batch_size", l->max_batch_size);
    put_uint(&w, "max_waiting_tokens", a->o.max_waiting_tokens);
    jw_key(&w, "waiting_served_ratio");
    jw_f64(&w, a->o.waiting_served_ratio);
    put_uint(&w, "validation_workers", a->o.validation_workers);
    put_uint(&w, "max_client_batch_size", a->o.max_client_batch_size);
    put_text(&w, "router", "text-generation-router");
    put_text(&w, "version", a->o.version);
    put_text(&w, "sha", NULL);
    put_text(&w, "docker_label", NULL);
    jw_end_object(&w);
    http_respond(r, 200, "application/json", buf_str(&body), NULL, 0);
    buf_fini(&body);
}

void handle_models(struct http_req *r, void *api)
{
    const struct api *a = api;
    struct json_writer w;
    struct buf body;
    buf_init(&body, 1u << 16);
    jw_init(&w, &body);
    jw_object(&w);
    put_text(&w, "object", "list");
    jw_key(&w, "data");
    jw_array(&w);
    jw_object(&w);
    put_text(&w, "id", a->o.model_id);
    put_text(&w, "object", "model");
    put_uint(&w, "created", 0);
    put_text(&w, "owned_by", a->o.model_id);
    jw_end_object(&w);
    jw_end_array(&w);
    jw_end_object(&w);
    http_respond(r, 200, "application/json", buf_str(&body), NULL, 0);
    buf_fini(&body);
}

/* The routes of hosting platforms: POST /invocations (SageMaker) takes a body of any other route, POST
 * /vertex (Vertex AI) a list of them. */
#include "api/generation_int.h"

/* ---- /invocations ---- */

static enum status read_invocation(struct generation *g, const struct json_val *root)
{
    if (json_get(root, STR("inputs")))
        g->wire = &wire_compat;
    else if (json_get(root, STR("messages")))
        g->wire = &wire_chat;
    else if (json_get(root, STR("prompt")))
        g->wire = &wire_completions;
    else
        return shape_refuse(&g->err, "data did not match any variant of untagged enum SagemakerRequest");
    return g->wire->read(g, root);
}

const struct gen_wire wire_invocation = {.read = read_invocation, .write_error = native_write_error};

void handle_invocations(struct http_req *r, void *api)
{
    generation_start(r, api, &wire_invocation);
}

/* ---- /vertex ---- */

/* A conversation, or a prompt with TGI's parameters. TGI always samples from the latter here; so does this
 * route unless the instance says otherwise. */
static enum status read_instance(struct generation *g, const struct json_val *instance)
{
    enum status st;
    struct gen_request *q = &generation_add_prompt(g)->request;
    if (json_get(instance, STR("messages"))) {
        st = chat_read(g, instance, q);
        q->n = 1; /* a prediction is one text, at once */
        g->streams = false;
        return st;
    }
    st = gen_request_read(instance, true, &g->arena, q, &g->err);
    if (!q->has_do_sample)
        q->params.do_sample = true;
    return st;
}

static enum status read_vertex(struct generation *g, const struct json_val *root)
{
    const struct json_val *instances = json_get(root, STR("instances")), *instance;
    struct json_iter it = json_iter(instances);
    if (!instances)
        return shape_missing("", "instances", &g->err);
    if (!json_is(instances, JSON_ARRAY))
        return shape_wrong_type("instances", instances, "a sequence", &g->err);
    g->failure = API_VALIDATION;
    if (json_len(instances) == 0)
        return err_set(&g->err, ST_INVALID, "`instances` cannot be empty");
    if (json_len(instances) > g->api->o.max_concurrent_requests)
        return err_set(&g->err, ST_LIMIT, "`instances` must be at most %u",
                       g->api->o.max_concurrent_requests);
    g->failure = API_SHAPE_ERROR;
    enum status st = generation_reserve(g, json_len(instances));
    while (st == ST_OK && (instance = json_next(&it, NULL)))
        st = read_instance(g, instance);
    return st;
}

static enum status write_predictions(struct generation *g, struct buf *body)
{
    struct json_writer w;
    enum status st = ST_OK;
    jw_init(&w, body);
    jw_object(&w);
    jw_key(&w, "predictions");
    jw_array(&w);
    for (uint32_t i = 0; i < g->n_prompt && st == ST_OK; i++) {
        struct buf text;
        const struct gen_prompt *p = &g->prompt[i];
        struct choice *best = &p->choice[choice_best(p->choice, p->n_choice) - p->choice];
        buf_init(&text, best->stream.text.max);
        st = stream_generated_text(&best->stream, &text);
        jw_str(&w, buf_str(&text));
        body->failed |= text.failed;
        buf_fini(&text);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    return st;
}

const struct gen_wire wire_vertex = {.read = read_vertex,
                                     .write = write_predictions,
                                     .write_error = native_write_error,
                                     .counts_prompts = true};

void handle_vertex(struct http_req *r, void *api)
{
    generation_start(r, api, &wire_vertex);
}

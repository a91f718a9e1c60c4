/* The way of a text job: the loop copies the body, a worker parses and runs, the loop answers. */
#include "api/text_job.h"
#include <stdlib.h>

#define ARENA_MAX_BYTES  (256u << 20)
#define ANSWER_MAX_BYTES (1u << 30)

static void worker_run(void *arg)
{
    struct text_job *j = arg;
    struct json_doc *doc;
    j->status = shape_parse(j->body, &doc, &j->err);
    if (j->status != ST_OK)
        return;
    j->status = j->run(j, json_root(doc));
    json_free(doc);
    if (j->status == ST_OK && j->answer.failed)
        j->status = err_set(&j->err, ST_LIMIT, "the answer would be too long");
}

static void job_free(struct text_job *j)
{
    arena_fini(&j->arena);
    buf_fini(&j->answer);
    free(j);
}

static void loop_answer(void *arg)
{
    struct text_job *j = arg;
    struct http_req *r = http_req_find(j->api->server, j->http);
    if (r && j->status == ST_OK)
        http_respond(r, 200, "application/json", buf_str(&j->answer), NULL, 0);
    else if (r && j->failure == API_SHAPE_ERROR)
        api_respond_shape_error(r, j->status, j->reason);
    else if (r)
        api_respond_error(j->api, r, j->failure, j->reason);
    job_free(j);
}

void text_job_start(struct http_req *r, struct api *a,
                    enum status (*run)(struct text_job *j, const struct json_val *root))
{
    struct err e;
    if (!api_accepts(a, r))
        return;
    struct text_job *j = calloc(1, sizeof *j);
    if (j) {
        j->api = a;
        j->http = http_req_handle(r);
        j->run = run;
        j->failure = API_SHAPE_ERROR;
        j->reason = j->err.text;
        arena_init(&j->arena, ARENA_MAX_BYTES);
        buf_init(&j->answer, ANSWER_MAX_BYTES);
        j->body = arena_strdup(&j->arena, http_req_body(r));
        if (j->body.p && http_server_work(a->server, worker_run, loop_answer, j, &e) == ST_OK)
            return;
        job_free(j);
    }
    api_respond_error(a, r, API_OVERLOADED, NULL);
}

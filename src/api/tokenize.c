/* POST /tokenize: a prompt's tokens with their places in it. A worker does it; the text may be long. */
#include "api/api_int.h"
#include "api/render.h"
#include <stdlib.h>

#define ARENA_MAX_BYTES  (128u << 20)
#define ANSWER_MAX_BYTES (1u << 30)

struct tokenize_job {
    struct api *api;
    struct http_handle http;
    struct arena arena;
    struct str body;
    bool valid_shape;
    enum status status;
    struct err err;
    struct buf answer;
};

static void worker_tokenize(void *arg)
{
    struct tokenize_job *j = arg;
    struct gen_request request;
    struct tokens tokens;
    struct json_doc *doc;
    j->status = shape_parse(j->body, &doc, &j->err);
    if (j->status != ST_OK)
        return;
    j->status = gen_request_read(json_root(doc), &j->arena, &request, &j->err);
    json_free(doc);
    if (j->status != ST_OK)
        return;
    j->valid_shape = true;
    j->status =
        tokenizer_encode(j->api->model.tokenizer, request.inputs, TOKENIZER_ADD_SPECIAL, &tokens, &j->err);
    if (j->status != ST_OK)
        return;
    struct json_writer w;
    jw_init(&w, &j->answer);
    render_tokens(&w, request.inputs, &tokens);
    tokens_fini(&tokens);
    if (j->answer.failed)
        j->status = err_set(&j->err, ST_LIMIT, "the answer would be too long");
}

static void job_free(struct tokenize_job *j)
{
    arena_fini(&j->arena);
    buf_fini(&j->answer);
    free(j);
}

static void loop_tokenized(void *arg)
{
    struct tokenize_job *j = arg;
    struct http_req *r = http_req_find(j->api->server, j->http);
    if (r && j->status == ST_OK)
        http_respond(r, 200, "application/json", buf_str(&j->answer), NULL, 0);
    else if (r && !j->valid_shape)
        api_respond_shape_error(r, j->status, j->err.text);
    else if (r)
        api_respond_error(j->api, r, API_VALIDATION, j->err.text);
    job_free(j);
}

void handle_tokenize(struct http_req *r, void *api)
{
    struct api *a = api;
    struct err e;
    if (!api_accepts(a, r))
        return;
    struct tokenize_job *j = calloc(1, sizeof *j);
    if (j) {
        j->api = a;
        j->http = http_req_handle(r);
        arena_init(&j->arena, ARENA_MAX_BYTES);
        buf_init(&j->answer, ANSWER_MAX_BYTES);
        j->body = arena_strdup(&j->arena, http_req_body(r));
        if (j->body.p && http_server_work(a->server, worker_tokenize, loop_tokenized, j, &e) == ST_OK)
            return;
        job_free(j);
    }
    api_respond_error(a, r, API_OVERLOADED, NULL);
}

/* POST /chat_tokenize: a conversation as the model's chat template writes it, and its tokens. A worker does
 * it. */
#include "api/chat_prompt.h"
#include "api/render.h"
#include <stdlib.h>

#define TEXT_MAX_BYTES   (64u << 20)
#define ANSWER_MAX_BYTES (1u << 30)

struct chat_job {
    struct api *api;
    struct http_handle http;
    struct buf body, text, answer;
    enum status status;
    enum api_error failure; /* API_ERROR_COUNT: of the body's shape */
    struct err err;
};

static void write_answer(struct chat_job *j, const struct tokens *tokens)
{
    struct json_writer w;
    jw_init(&w, &j->answer);
    jw_object(&w);
    jw_key(&w, "tokenize_response");
    render_tokens(&w, buf_str(&j->text), tokens);
    jw_key(&w, "templated_text");
    jw_str(&w, buf_str(&j->text));
    jw_end_object(&w);
}

static void worker_chat(void *arg)
{
    struct chat_job *j = arg;
    struct json_doc *doc;
    struct tokens tokens;
    j->failure = API_ERROR_COUNT;
    j->status = shape_parse(buf_str(&j->body), &doc, &j->err);
    if (j->status != ST_OK)
        return;
    j->status = chat_prompt_render(j->api, json_root(doc), j->body.n, true, &j->text, &j->failure, &j->err);
    json_free(doc);
    if (j->status != ST_OK)
        return;
    j->failure = API_VALIDATION; /* the template has written bos and all that */
    j->status = tokenizer_encode(j->api->model.tokenizer, buf_str(&j->text), 0, &tokens, &j->err);
    if (j->status != ST_OK)
        return;
    write_answer(j, &tokens);
    tokens_fini(&tokens);
    if (j->answer.failed)
        j->status = err_set(&j->err, ST_LIMIT, "the answer would be too long");
}

static void job_free(struct chat_job *j)
{
    buf_fini(&j->body);
    buf_fini(&j->text);
    buf_fini(&j->answer);
    free(j);
}

static void loop_chat(void *arg)
{
    struct chat_job *j = arg;
    struct http_req *r = http_req_find(j->api->server, j->http);
    if (r && j->status == ST_OK)
        http_respond(r, 200, "application/json", buf_str(&j->answer), NULL, 0);
    else if (r && j->failure == API_ERROR_COUNT)
        api_respond_shape_error(r, j->status, j->err.text);
    else if (r)
        api_respond_error(j->api, r, j->failure,
                          j->failure == API_TEMPLATE ? chat_prompt_reason(&j->text, &j->err) : j->err.text);
    job_free(j);
}

void handle_chat_tokenize(struct http_req *r, void *api)
{
    struct api *a = api;
    struct err e;
    metric_count(a->metric[METRIC_REQUEST_COUNT], 0, 1);
    if (!api_accepts(a, r))
        return;
    struct chat_job *j = calloc(1, sizeof *j);
    if (j) {
        struct str body = http_req_body(r);
        j->api = a;
        j->http = http_req_handle(r);
        buf_init(&j->body, body.n + 1);
        buf_init(&j->text, TEXT_MAX_BYTES);
        buf_init(&j->answer, ANSWER_MAX_BYTES);
        buf_put_str(&j->body, body);
        if (!j->body.failed && http_server_work(a->server, worker_chat, loop_chat, j, &e) == ST_OK)
            return;
        job_free(j);
    }
    api_respond_error(a, r, API_OVERLOADED, NULL);
}

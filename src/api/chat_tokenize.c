/* POST /chat_tokenize: a conversation as the model's chat template writes it, and its tokens. A worker does
 * it. */
#include "api/api_int.h"
#include "text/chat.h"
#include "json/json.h"
#include <stdlib.h>

#define TEXT_MAX_BYTES   (64u << 20)
#define ANSWER_MAX_BYTES (1u << 30)

enum chat_stage { CHAT_SHAPE, CHAT_TEMPLATE, CHAT_TOKENIZE }; /* where it failed */

struct chat_job {
    struct api *api;
    struct http_handle http;
    struct buf body, text, answer;
    enum chat_stage stage;
    enum status status;
    struct err err;
};

static enum status read_chat(const struct json_val *root, struct chat_input *out, struct err *e)
{
    *out = (struct chat_input){.messages = json_get(root, STR("messages")),
                               .tools = json_get(root, STR("tools")),
                               .add_generation_prompt = true};
    if (!json_is(root, JSON_OBJECT) || !out->messages)
        return err_set(e, ST_UNSUPPORTED,
                       "Failed to deserialize the JSON body into the target type: missing field `messages`");
    if (!json_is(out->messages, JSON_ARRAY))
        return err_set(
            e, ST_UNSUPPORTED,
            "Failed to deserialize the JSON body into the target type: messages: invalid type: %s, expected "
            "a sequence",
            json_kind_name(out->messages));
    return ST_OK;
}

static enum status render(struct chat_job *j, const struct json_doc *doc)
{
    struct chat_input in;
    enum status st = read_chat(json_root(doc), &in, &j->err);
    if (st != ST_OK)
        return st;
    j->stage = CHAT_TEMPLATE;
    in.n_bytes = j->body.n;
    const struct chat *chat = j->api->model.chat;
    return chat ? chat_render(chat, &in, &j->text, &j->err)
                : err_set(&j->err, ST_NOT_FOUND, "%s", j->api->model.no_chat);
}

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
    j->status = json_parse(buf_str(&j->body), 0, &doc, &j->err);
    if (j->status != ST_OK) {
        j->status = ST_INVALID;
        err_prefix(&j->err, "Failed to parse the request body as JSON");
        return;
    }
    j->status = render(j, doc);
    json_free(doc);
    if (j->status != ST_OK)
        return;
    j->stage = CHAT_TOKENIZE; /* the template has written bos and all that */
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

/* What the template said, whole, or what is wrong with it. */
static const char *template_reason(struct chat_job *j)
{
    buf_put_char(&j->text, '\0');
    return j->status == ST_INVALID && !j->text.failed ? j->text.p : j->err.text;
}

static void loop_chat(void *arg)
{
    struct chat_job *j = arg;
    struct http_req *r = http_req_find(j->api->server, j->http);
    if (r && j->status == ST_OK)
        http_respond(r, 200, "application/json", buf_str(&j->answer), NULL, 0);
    else if (r && j->stage == CHAT_SHAPE)
        api_respond_shape_error(r, j->status, j->err.text);
    else if (r && j->stage == CHAT_TEMPLATE)
        api_respond_error(j->api, r, API_TEMPLATE, template_reason(j));
    else if (r)
        api_respond_error(j->api, r, API_VALIDATION, j->err.text);
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

/* POST /tokenize and /chat_tokenize: the tokens of a prompt, or of a conversation as the model's chat
 * template writes it, with their places in the text. */
#include "api/chat_prompt.h"
#include "api/render.h"
#include "api/text_job.h"

static enum status encode(struct text_job *j, struct str text, unsigned flags, struct tokens *out)
{
    j->failure = API_VALIDATION;
    return tokenizer_encode(j->api->model.tokenizer, text, flags, out, &j->err);
}

static enum status run_tokenize(struct text_job *j, const struct json_val *root)
{
    struct gen_request request;
    struct tokens tokens;
    struct json_writer w;
    enum status st = gen_request_read(root, false, &j->arena, &request, &j->err);
    if (st == ST_OK)
        st = encode(j, request.inputs, TOKENIZER_ADD_SPECIAL, &tokens);
    if (st != ST_OK)
        return st;
    jw_init(&w, &j->answer);
    render_tokens(&w, request.inputs, &tokens);
    tokens_fini(&tokens);
    return ST_OK;
}

void handle_tokenize(struct http_req *r, void *api)
{
    text_job_start(r, api, run_tokenize);
}

/* The template has written bos and all that. */
static enum status run_chat_tokenize(struct text_job *j, const struct json_val *root)
{
    struct chat_prompt prompt;
    struct tokens tokens;
    struct json_writer w;
    enum status st = chat_prompt_render(j->api, root, j->body.n, true, &j->arena, &prompt, &j->err);
    j->failure = prompt.failure;
    j->reason = prompt.reason;
    if (st == ST_OK)
        st = encode(j, prompt.text, 0, &tokens);
    if (st != ST_OK)
        return st;
    jw_init(&w, &j->answer);
    jw_object(&w);
    jw_key(&w, "tokenize_response");
    render_tokens(&w, prompt.text, &tokens);
    jw_key(&w, "templated_text");
    jw_str(&w, prompt.text);
    jw_end_object(&w);
    tokens_fini(&tokens);
    return ST_OK;
}

void handle_chat_tokenize(struct http_req *r, void *api)
{
    struct api *a = api;
    metric_count(a->metric[METRIC_REQUEST_COUNT], 0, 1);
    text_job_start(r, a, run_chat_tokenize);
}

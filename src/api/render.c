/* Rendering of TGI's generation answers: struct -> JSON text in a bounded buffer. */
#include "api/render.h"

static void render_token(struct json_writer *w, const struct token_view *t)
{
    jw_object(w);
    jw_key(w, "id");
    jw_u64(w, t->id);
    jw_key(w, "text");
    jw_str(w, t->text);
    jw_key(w, "logprob");
    jw_f32(w, t->logprob);
    jw_key(w, "special");
    jw_bool(w, t->special);
    jw_end_object(w);
}

/* The alternatives of one token. */
static void render_top(struct json_writer *w, const struct token_view *t)
{
    jw_array(w);
    for (uint32_t i = 0; i < t->n_top; i++)
        render_token(w, &t->top[i]);
    jw_end_array(w);
}

static void render_top_tokens(struct json_writer *w, const struct token_view *tokens, uint32_t n)
{
    uint32_t n_top = 0;
    for (uint32_t i = 0; i < n; i++)
        n_top += tokens[i].n_top;
    if (n_top == 0)
        return;
    jw_key(w, "top_tokens");
    jw_array(w);
    for (uint32_t i = 0; i < n; i++)
        render_top(w, &tokens[i]);
    jw_end_array(w);
}

static void render_end(struct json_writer *w, const struct answer_view *a)
{
    jw_key(w, "finish_reason");
    jw_cstr(w, a->finish_reason);
    jw_key(w, "generated_tokens");
    jw_u64(w, a->n_generated);
    jw_key(w, "seed");
    if (a->has_seed)
        jw_u64(w, a->seed);
    else
        jw_null(w);
}

static void render_prefill(struct json_writer *w, const struct answer_view *a)
{
    jw_key(w, "prefill");
    jw_array(w);
    for (uint32_t i = 0; i < a->n_prefill; i++) {
        jw_object(w);
        jw_key(w, "id");
        jw_u64(w, a->prefill[i].id);
        jw_key(w, "text");
        jw_str(w, a->prefill[i].text);
        jw_key(w, "logprob");
        jw_f32(w, a->prefill[i].logprob);
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* Members of an answer's details, and of each of best_of_sequences. */
static void render_details(struct json_writer *w, const struct answer_view *a)
{
    render_end(w, a);
    render_prefill(w, a);
    jw_key(w, "tokens");
    jw_array(w);
    for (uint32_t i = 0; i < a->n_generated; i++)
        render_token(w, &a->tokens[i]);
    jw_end_array(w);
    render_top_tokens(w, a->tokens, a->n_generated);
}

static void render_others(struct json_writer *w, const struct answer_view *a)
{
    if (a->n_others == 0)
        return;
    jw_key(w, "best_of_sequences");
    jw_array(w);
    for (uint32_t i = 0; i < a->n_others; i++) {
        jw_object(w);
        jw_key(w, "generated_text");
        jw_str(w, a->others[i].generated_text);
        render_details(w, &a->others[i]);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void render_cached(struct json_writer *w, const struct answer_view *a)
{
    jw_key(w, "cached_tokens");
    jw_u64(w, a->n_cached);
}

void render_generate(struct buf *out, const struct answer_view *a)
{
    struct json_writer w;
    jw_init(&w, out);
    jw_object(&w);
    jw_key(&w, "generated_text");
    jw_str(&w, a->generated_text);
    if (a->tokens) {
        jw_key(&w, "details");
        jw_object(&w);
        render_details(&w, a);
        render_others(&w, a);
        render_cached(&w, a);
        jw_end_object(&w);
    }
    jw_end_object(&w);
}

void render_stream_event(struct buf *out, uint32_t index, const struct token_view *token,
                         const struct answer_view *last, bool with_details)
{
    struct json_writer w;
    jw_init(&w, out);
    jw_object(&w);
    jw_key(&w, "index");
    jw_u64(&w, index);
    jw_key(&w, "token");
    render_token(&w, token);
    if (token->n_top) {
        jw_key(&w, "top_tokens");
        render_top(&w, token);
    }
    jw_key(&w, "generated_text");
    if (last)
        jw_str(&w, last->generated_text);
    else
        jw_null(&w);
    jw_key(&w, "details");
    if (last && with_details) {
        jw_object(&w);
        render_end(&w, last);
        jw_key(&w, "input_length");
        jw_u64(&w, last->n_input);
        render_cached(&w, last);
        jw_end_object(&w);
    } else {
        jw_null(&w);
    }
    jw_end_object(&w);
}

void render_tokens(struct json_writer *w, struct str text, const struct tokens *tokens)
{
    jw_array(w);
    for (size_t i = 0; i < tokens->n; i++) {
        jw_object(w);
        jw_key(w, "id");
        jw_u64(w, (uint64_t)tokens->ids[i]);
        jw_key(w, "text");
        jw_str(w, (struct str){text.p + tokens->start[i], tokens->stop[i] - tokens->start[i]});
        jw_key(w, "start");
        jw_u64(w, tokens->start[i]);
        jw_key(w, "stop");
        jw_u64(w, tokens->stop[i]);
        jw_end_object(w);
    }
    jw_end_array(w);
}

/* OpenAI's dialect as TGI speaks it; with --strict-openai as OpenAI does. */
#include "api/openai_int.h"
#include "base/map.h"
#include "http/sse.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A chunk of a stream: an echoed prompt, or all that a stop string held back. */
#define CHUNK_MAX_BYTES (256u << 20)

/* Longer names of models are nobody's; a stream has it in each chunk. */
#define MODEL_NAME_MAX_BYTES 512

/* ---- request ---- */

/* Values that OpenAI's clients send to say "off", which TGI's own routes refuse. */
static void read_off(struct gen_request *q)
{
    struct sample_params *p = &q->params;
    q->greedy = p->temperature == 0;
    p->do_sample = !q->greedy;
#define NEVER         false
#define OFF(from, to) x >= (from) && x <= (to)
#define PARAM(type, name_, neutral_, lower, upper, off, ...)                                                 \
    {                                                                                                        \
        const SAMPLE_TYPE_##type x = p->name_;                                                               \
        (void)x;                                                                                             \
        if (off) {                                                                                           \
            p->name_ = neutral_;                                                                             \
            q->given &= ~(1u << SAMPLE_PARAM_##name_);                                                       \
        }                                                                                                    \
    }
#include "sample/params.def"
#undef PARAM
}

static void read_stream_options(struct generation *g, struct shape *s)
{
    char path[SHAPE_PATH_MAX];
    const struct json_val *v = shape_field(s, "stream_options", true, "struct StreamOptions", path);
    if (!v)
        return;
    if (!json_is(v, JSON_OBJECT)) {
        s->status = shape_wrong_type(path, v, "struct StreamOptions", s->e);
        return;
    }
    struct shape options = {.prefix = "stream_options.", .obj = v, .arena = s->arena, .e = s->e};
    shape_bool(&options, "include_usage", true, &g->openai.include_usage, NULL);
    s->status = options.status;
}

/* Any name is the served model's, and comes back. */
static void read_model(struct generation *g, struct shape *s)
{
    struct str name = STR("tgi");
    shape_text(s, "model", &name);
    if (s->status == ST_OK && name.n > MODEL_NAME_MAX_BYTES)
        s->status = shape_refuse(s->e, "model: a name has at most %d bytes", MODEL_NAME_MAX_BYTES);
    g->openai.model = str_eq(name, STR("tgi")) ? str_from(g->api->o.model_id) : name;
}

/* Each answer's own, and no count of answers that a client could read. */
static void set_id(struct generation *g)
{
    uint64_t key[2] = {g->index, g->number};
    const char *prefix = g->wire->openai ? g->wire->openai->id : "";
    snprintf(g->openai.id, sizeof g->openai.id, "%s-%016" PRIx64, prefix,
             hash_bytes(key, sizeof key, g->api->secret));
}

void openai_read(struct generation *g, struct shape *s, struct gen_request *q)
{
    set_id(g);
    read_model(g, s);
    gen_request_read_sampling(s, q);
    read_off(q);
    shape_count(s, "n", UINT32_MAX, "u32", &q->n, NULL);
    shape_texts(s, "stop", true, true, &q->stop, &q->n_stop);
    shape_count(s, "max_tokens", UINT32_MAX, "u32", &q->max_new_tokens, NULL);
    shape_bool(s, "stream", true, &g->streams, NULL);
    read_stream_options(g, s);
}

/* ---- answer ---- */

static void open_object(struct json_writer *w, const struct generation *g, const char *object)
{
    jw_object(w);
    jw_key(w, "object");
    jw_cstr(w, object);
    jw_key(w, "id");
    jw_cstr(w, g->openai.id);
    jw_key(w, "created");
    jw_u64(w, g->begin_unix);
    jw_key(w, "model");
    jw_str(w, g->openai.model);
    jw_key(w, "system_fingerprint");
    jw_cstr(w, g->api->model.fingerprint);
}

/* Of prompts [first, first + n). */
static void put_usage(struct json_writer *w, const struct generation *g, uint32_t first, uint32_t n)
{
    uint64_t n_input = 0, n_made = 0, n_cached = 0;
    for (uint32_t i = first; i < first + n; i++) {
        const struct gen_prompt *p = &g->prompt[i];
        n_input += p->n_input;
        n_cached += p->choice[0].n_reused;
        for (uint32_t k = 0; k < p->n_choice; k++)
            n_made += p->choice[k].n_token;
    }
    jw_key(w, "usage");
    jw_object(w);
    jw_key(w, "prompt_tokens");
    jw_u64(w, n_input);
    jw_key(w, "completion_tokens");
    jw_u64(w, n_made);
    jw_key(w, "total_tokens");
    jw_u64(w, n_input + n_made);
    jw_key(w, "prompt_tokens_details");
    jw_object(w);
    jw_key(w, "cached_tokens");
    jw_u64(w, n_cached);
    jw_end_object(w);
    jw_end_object(w);
}

/* OpenAI's word for the end of an answer, or TGI's. */
static const char *finish_reason(const struct generation *g, const struct openai_part *part)
{
    bool strict = generation_is_strict(g), tgi = part->is_chunk && g->wire->openai->tgi_chunks && !strict;
    const char *reason = part->choice->finish_reason;
    if (!reason)
        return tgi ? "" : NULL;
    if (strcmp(reason, "eos_token") == 0)
        return tgi ? reason : "stop";
    return strict && strcmp(reason, "stop_sequence") == 0 ? "stop" : reason;
}

static bool is_stopped(const struct choice *c)
{
    return c->finish_reason && strcmp(c->finish_reason, "stop_sequence") == 0;
}

static enum status finish_text(struct choice *c)
{
    return c->finish_reason && !is_stopped(c) ? choice_finish_text(c) : ST_OK;
}

static void put_choice(struct json_writer *w, const struct generation *g, const struct openai_part *part)
{
    jw_object(w);
    jw_key(w, "index");
    jw_u64(w, (uint64_t)(part->choice - g->choice));
    g->wire->openai->put_text(w, part);
    jw_key(w, "logprobs");
    if (part->tokens)
        g->wire->openai->put_logprobs(w, part);
    else
        jw_null(w);
    jw_key(w, "finish_reason");
    jw_cstr(w, finish_reason(g, part));
    jw_end_object(w);
}

static enum status put_prompt_before(struct generation *g, const struct choice *c, struct str *text)
{
    struct buf all;
    struct str prompt = g->prompt[c->prompt].request.inputs;
    buf_init(&all, prompt.n + text->n + 1);
    buf_put_str(&all, prompt);
    buf_put_str(&all, *text);
    *text = arena_strdup(&g->arena, buf_str(&all));
    buf_fini(&all);
    return text->p ? ST_OK : ST_NO_MEMORY;
}

/* A whole answer's text is the sum of its stream's. */
static enum status put_answer(struct json_writer *w, struct generation *g, struct choice *c)
{
    struct openai_part part = {.choice = c, .n_token = c->n_token};
    struct token_view *tokens = NULL;
    enum status st = finish_text(c);
    part.text = buf_str(&c->stream.text);
    if (st == ST_OK && g->openai.echo)
        st = put_prompt_before(g, c, &part.text);
    if (st == ST_OK && g->openai.logprobs)
        st = choice_token_views(c, g->api->model.tokenizer, &g->arena, &tokens);
    part.tokens = tokens;
    if (st == ST_OK)
        put_choice(w, g, &part);
    return st;
}

enum status openai_write(struct generation *g, struct buf *body)
{
    struct json_writer w;
    enum status st = ST_OK;
    jw_init(&w, body);
    open_object(&w, g, g->wire->openai->answer);
    jw_key(&w, "choices");
    jw_array(&w);
    for (uint32_t i = 0; i < g->n_choice && st == ST_OK; i++)
        st = put_answer(&w, g, &g->choice[i]);
    jw_end_array(&w);
    put_usage(&w, g, 0, g->n_prompt);
    jw_end_object(&w);
    return st;
}

/* The newest token; with the last one comes what was held back of the text. */
static enum status newest(struct generation *g, struct choice *c, struct token_view *token,
                          struct openai_part *part)
{
    enum status st = finish_text(c);
    if (st == ST_OK)
        st = choice_token_view(c, c->n_token - 1, g->api->model.tokenizer, &g->arena, token);
    if (st != ST_OK)
        return st;
    *part = (struct openai_part){.choice = c,
                                 .text = token->added,
                                 .tokens = g->openai.logprobs ? token : NULL,
                                 .n_token = 1,
                                 .is_chunk = true};
    return g->openai.echo && c->n_token == 1 ? put_prompt_before(g, c, &part->text) : ST_OK;
}

static void put_chunk_usage(struct json_writer *w, const struct generation *g, const struct choice *c)
{
    const struct gen_prompt *p = &g->prompt[c->prompt];
    bool last = p->n_done == p->n_choice && c->finish_reason;
    if (!g->wire->openai->tgi_chunks) {
        jw_key(w, "usage");
        jw_null(w);
    } else if (last && !g->openai.include_usage) {
        put_usage(w, g, c->prompt, 1);
    }
}

enum status openai_write_token(struct generation *g, struct choice *c, struct buf *events)
{
    struct json_writer w;
    struct token_view token;
    struct openai_part part;
    struct buf json;
    enum status st = newest(g, c, &token, &part);
    if (st != ST_OK)
        return st;
    buf_init(&json, CHUNK_MAX_BYTES);
    jw_init(&w, &json);
    open_object(&w, g, g->wire->openai->chunk);
    jw_key(&w, "choices");
    jw_array(&w);
    put_choice(&w, g, &part);
    jw_end_array(&w);
    put_chunk_usage(&w, g, c);
    jw_end_object(&w);
    sse_event(events, &json);
    buf_fini(&json);
    return ST_OK;
}

/* ---- ends ---- */

static void write_done(struct buf *events)
{
    buf_put_str(events, STR("data: [DONE]\n\n"));
}

static void write_usage(struct generation *g, struct buf *events)
{
    struct json_writer w;
    struct buf json;
    buf_init(&json, CHUNK_MAX_BYTES);
    jw_init(&w, &json);
    open_object(&w, g, g->wire->openai->chunk);
    jw_key(&w, "choices");
    jw_array(&w);
    jw_end_array(&w);
    put_usage(&w, g, 0, g->n_prompt);
    jw_end_object(&w);
    sse_event(events, &json);
    buf_fini(&json);
}

enum status openai_write_end(struct generation *g, struct buf *events)
{
    if (g->openai.include_usage)
        write_usage(g, events);
    write_done(events);
    return ST_OK;
}

static void write_sentence(struct json_writer *w, enum api_error kind, const char *text)
{
    struct buf sentence;
    buf_init(&sentence, w->out->max);
    if (kind == API_SHAPE_ERROR)
        buf_put_str(&sentence, str_from(text));
    else
        api_error_sentence(kind, text, &sentence);
    jw_key(w, "message");
    jw_str(w, buf_str(&sentence));
    w->out->failed |= sentence.failed;
    buf_fini(&sentence);
}

/* {"error": {"message", "type", "param", "code"}} */
static void write_strict_error(enum api_error kind, const char *text, struct buf *body)
{
    bool is_client = kind == API_SHAPE_ERROR || api_error_http_status(kind) < 424;
    struct json_writer w;
    jw_init(&w, body);
    jw_object(&w);
    jw_key(&w, "error");
    jw_object(&w);
    write_sentence(&w, kind, text);
    jw_key(&w, "type");
    jw_cstr(&w, is_client                ? "invalid_request_error"
                : kind == API_OVERLOADED ? "rate_limit_error"
                                         : "server_error");
    jw_key(&w, "param");
    jw_null(&w);
    jw_key(&w, "code");
    jw_cstr(&w, kind == API_SHAPE_ERROR ? NULL : api_error_type(kind));
    jw_end_object(&w);
    jw_end_object(&w);
}

void openai_write_error(struct generation *g, enum api_error kind, const char *text, struct buf *body)
{
    if (generation_is_strict(g))
        write_strict_error(kind, text, body);
    else
        api_error_render(kind, text, body);
}

void openai_write_error_event(struct generation *g, enum api_error kind, const char *text, struct buf *events)
{
    (void)g;
    struct json_writer w;
    struct buf json;
    buf_init(&json, CHUNK_MAX_BYTES);
    jw_init(&w, &json);
    jw_object(&w);
    jw_key(&w, "error");
    jw_object(&w);
    write_sentence(&w, kind, text);
    jw_key(&w, "http_status_code");
    jw_u64(&w, api_error_http_status(kind));
    jw_end_object(&w);
    jw_end_object(&w);
    sse_event(events, &json);
    buf_fini(&json);
    write_done(events);
}

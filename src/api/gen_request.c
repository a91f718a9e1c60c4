/* JSON -> struct gen_request. A table says which fields there are and what type each has; TGI's checks follow
 * in TGI's order. Unknown fields are ignored, as TGI does; parameters that TGI has and this version does not
 * serve are refused unless they are null or TGI's default. */
#include "api/gen_request.h"
#include "base/rng.h"
#include <stdlib.h>
#include <string.h>

/* Longest piece that TGI reserves at once; its error text shows max_new_tokens capped at it. */
#define TGI_RESERVED_NEW_TOKENS 1024

/* ---- shape ---- */

/* TGI's grammar is a tagged object and its adapter a string; here it matters only whether one was given. */
static void read_not_served(struct shape *s, struct gen_request *r)
{
    char path[SHAPE_PATH_MAX];
    const struct json_val *v = shape_field(s, "grammar", true, "internally tagged enum GrammarType", path);
    if (v && !json_is(v, JSON_OBJECT))
        s->status = shape_wrong_type(path, v, "internally tagged enum GrammarType", s->e);
    r->has_grammar = v != NULL;
    v = shape_field(s, "adapter_id", true, "a string", path);
    if (v && !json_is(v, JSON_STRING))
        s->status = shape_wrong_type(path, v, "a string", s->e);
    r->has_adapter = v != NULL;
}

static int compare_bias(const void *a, const void *b)
{
    const struct sample_bias *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* {"token id": number from -100 to 100}, as OpenAI has it. */
static void read_bias(struct shape *s, struct gen_request *r)
{
    char path[SHAPE_PATH_MAX];
    const struct json_val *v = shape_field(s, "logit_bias", true, "a map", path), *item;
    struct sample_bias *bias;
    struct str key;
    uint32_t n = 0;
    if (!v)
        return;
    if (!json_is(v, JSON_OBJECT)) {
        s->status = shape_wrong_type(path, v, "a map", s->e);
        return;
    }
    r->bad_bias = json_len(v) > GEN_MAX_BIAS;
    bias = r->bad_bias ? NULL : shape_array(s, json_len(v), sizeof *bias);
    if (!bias)
        return;
    struct json_iter it = json_iter(v);
    while (!r->bad_bias && (item = json_next(&it, &key))) {
        uint64_t id;
        double x;
        r->bad_bias =
            !str_to_u64(key, &id) || id > INT32_MAX || !json_f64(item, &x) || !(x >= -100 && x <= 100);
        if (!r->bad_bias)
            bias[n++] = (struct sample_bias){(int32_t)id, (float)x};
    }
    qsort(bias, n, sizeof *bias, compare_bias);
    for (uint32_t i = 1; i < n; i++)
        r->bad_bias |= bias[i].id == bias[i - 1].id; /* "7" and "07" */
    r->params.bias = bias;
    r->params.n_bias = n;
}

void gen_request_init(struct gen_request *r)
{
    *r = (struct gen_request){.params = sample_params_default(),
                              .max_new_tokens = GEN_UNSET,
                              .truncate = GEN_UNSET,
                              .best_of = 1,
                              .n = 1};
}

void gen_request_read_sampling(struct shape *s, struct gen_request *r)
{
    bool given;
#define READ_F32 shape_f32
#define READ_I32 shape_i32
#define PARAM(type, name, ...)                                                                               \
    given = false;                                                                                           \
    READ_##type(s, #name, &r->params.name, &given);                                                          \
    r->given |= given ? 1u << SAMPLE_PARAM_##name : 0;
#include "sample/params.def"
#undef PARAM
    read_bias(s, r);
    shape_uint(s, "seed", UINT64_MAX, "u64", &r->params.seed, &r->has_seed);
    shape_text(s, "cache_salt", &r->cache_salt);
}

static void read_parameters(struct shape *s, struct gen_request *r)
{
    r->params.do_sample = false; /* present parameters mean greedy, absent ones sampling: TGI's rule */
    shape_count(s, "best_of", UINT64_MAX, "usize", &r->best_of, NULL);
    gen_request_read_sampling(s, r);
    shape_bool(s, "do_sample", false, &r->params.do_sample, &r->has_do_sample);
    shape_count(s, "max_new_tokens", UINT32_MAX, "u32", &r->max_new_tokens, NULL);
    shape_bool(s, "return_full_text", true, &r->return_full_text, &r->has_return_full_text);
    shape_texts(s, "stop", false, false, &r->stop, &r->n_stop);
    shape_count(s, "truncate", UINT64_MAX, "usize", &r->truncate, NULL);
    shape_bool(s, "watermark", false, &r->params.watermark, NULL);
    shape_bool(s, "details", false, &r->details, NULL);
    shape_bool(s, "decoder_input_details", false, &r->decoder_input_details, NULL);
    shape_count(s, "top_n_tokens", UINT32_MAX, "u32", &r->params.top_n, NULL);
    read_not_served(s, r);
}

static void read_inputs(struct shape *s, struct gen_request *r)
{
    struct str inputs;
    const struct json_val *v = json_get(s->obj, STR("inputs"));
    if (!v)
        s->status = shape_missing("", "inputs", s->e);
    else if (!json_str(v, &inputs))
        s->status = shape_wrong_type("inputs", v, "a string", s->e);
    else
        gen_request_set_inputs(r, shape_copy(s, inputs));
}

void gen_request_set_inputs(struct gen_request *r, struct str text)
{
    r->inputs = text;
    r->n_characters = text.p ? (uint32_t)utf8_count(text) : 0;
}

enum status gen_request_read(const struct json_val *root, bool nullable, struct arena *arena,
                             struct gen_request *out, struct err *e)
{
    struct shape s = {.prefix = "", .obj = root, .arena = arena, .e = e};
    char path[SHAPE_PATH_MAX];
    gen_request_init(out);
    out->params.do_sample = true;
    if (!json_is(root, JSON_OBJECT))
        return shape_wrong_type("", root, "struct GenerateRequest", e);
    read_inputs(&s, out);
    shape_bool(&s, "stream", false, &out->stream, NULL);
    const struct json_val *v = shape_field(&s, "parameters", nullable, "struct GenerateParameters", path);
    if (v && !json_is(v, JSON_OBJECT))
        return shape_wrong_type(path, v, "struct GenerateParameters", e);
    if (v) {
        s.obj = v;
        s.prefix = "parameters.";
        read_parameters(&s, out);
    }
    return s.status;
}

/* ---- meaning: TGI's checks in TGI's order ---- */

static enum status refuse(struct err *e, const char *name)
{
    return err_set(e, ST_UNSUPPORTED, "`%s` is not supported by this version", name);
}

static enum status check_served(const struct gen_request *r, struct err *e)
{
    if (r->has_grammar)
        return refuse(e, "grammar");
    if (r->has_adapter)
        return refuse(e, "adapter_id");
    return ST_OK;
}

static enum status check_best_of(const struct gen_request *r, const struct gen_limits *limits, bool streaming,
                                 struct err *e)
{
    const uint32_t filters =
        1u << SAMPLE_PARAM_top_k | 1u << SAMPLE_PARAM_top_p | 1u << SAMPLE_PARAM_typical_p;
    bool samples = sample_is_random(&r->params) || r->given & filters;
    if (r->best_of == 0 || r->best_of > limits->max_best_of)
        return err_set(e, ST_INVALID, "`best_of` must be > 0 and <= %u. Given: %u", limits->max_best_of,
                       r->best_of);
    if (streaming && r->best_of != 1)
        return err_set(e, ST_INVALID, "`best_of` != 1 is not supported when streaming tokens");
    if (streaming && r->decoder_input_details)
        return err_set(e, ST_INVALID,
                       "`decoder_input_details` == true is not supported when streaming tokens");
    if (r->best_of > 1 && !samples)
        return err_set(e, ST_INVALID, "you must use sampling when `best_of` is > 1");
    return ST_OK;
}

/* Answers to one prompt. OpenAI's n has OpenAI's own bound: each takes a permit, and these have theirs. */
static enum status check_n(const struct gen_request *r, struct err *e)
{
    if (r->n == 0 || r->n > GEN_MAX_N)
        return err_set(e, ST_INVALID, "`n` must be > 0 and <= %d. Given: %u", GEN_MAX_N, r->n);
    return ST_OK;
}

static enum status check_lengths(const struct gen_request *r, const struct gen_limits *limits, struct err *e)
{
    if (r->max_new_tokens == 0)
        return err_set(e, ST_INVALID, "`max_new_tokens` must be strictly positive");
    if (r->n_stop > limits->max_stop_sequences)
        return err_set(e, ST_INVALID, "`stop` supports up to %u stop sequences. Given: %u",
                       limits->max_stop_sequences, r->n_stop);
    if (r->best_of > 1 && r->has_seed)
        return err_set(e, ST_INVALID, "`seed` must not be set when `best_of` > 1");
    if (r->params.top_n > limits->max_top_n_tokens)
        return err_set(e, ST_INVALID, "`top_n_tokens` must be >= 0 and <= %u. Given: %u",
                       limits->max_top_n_tokens, r->params.top_n);
    if (r->inputs.n == 0 && r->n_ids == 0)
        return err_set(e, ST_INVALID, "`inputs` cannot be empty");
    if (r->truncate != GEN_UNSET && (r->truncate == 0 || r->truncate > limits->max_input_tokens))
        return err_set(e, ST_INVALID, "`truncate` must be strictly positive and less than %u. Given: %u",
                       limits->max_input_tokens, r->truncate);
    return ST_OK;
}

static void drop_filters(struct sample_params *p)
{
    const struct sample_params neutral = sample_params_default();
    p->top_p = neutral.top_p;
    p->typical_p = neutral.typical_p;
    p->top_k = neutral.top_k;
    p->min_p = neutral.min_p;
}

enum status gen_request_validate(struct gen_request *r, const struct gen_limits *limits, bool streaming,
                                 struct err *e)
{
    enum status st = check_best_of(r, limits, streaming, e);
    if (st == ST_OK)
        st = check_n(r, e);
    if (st == ST_OK)
        st = sample_params_check(&r->params, r->given, e);
    if (st == ST_OK && r->bad_bias)
        st = err_set(e, ST_INVALID, "`logit_bias` must give up to %d token ids a number >= -100 and <= 100",
                     GEN_MAX_BIAS);
    if (st == ST_OK)
        st = check_lengths(r, limits, e);
    if (st == ST_OK)
        st = check_served(r, e);
    if (st != ST_OK)
        return st;
    if (r->greedy)
        drop_filters(&r->params);
    r->params.watermark_gamma = limits->watermark_gamma;
    r->params.watermark_delta = limits->watermark_delta;
    r->details |= r->decoder_input_details;
    r->decoder_input_details &= limits->prefill_logprobs;
    r->params.no_logprob = !r->logprobs && !r->details && r->best_of == 1;
    if (!r->has_seed)
        r->params.seed = rng_entropy();
    return ST_OK;
}

enum status gen_request_fit(const struct gen_request *r, const struct gen_limits *limits, uint32_t n_input,
                            uint32_t *n_new, struct err *e)
{
    uint32_t room = limits->max_total_tokens > n_input ? limits->max_total_tokens - n_input : 0;
    uint32_t asked = r->max_new_tokens == GEN_UNSET ? room : r->max_new_tokens;
    uint32_t reserved = asked < TGI_RESERVED_NEW_TOKENS ? asked : TGI_RESERVED_NEW_TOKENS;
    if ((uint64_t)n_input + reserved > limits->max_total_tokens || room == 0)
        return err_set(e, ST_INVALID,
                       "`inputs` tokens + `max_new_tokens` must be <= %u. Given: %u `inputs` tokens and %u "
                       "`max_new_tokens`",
                       limits->max_total_tokens, n_input, reserved);
    if (n_input > limits->max_input_tokens)
        return err_set(e, ST_INVALID, "`inputs` must have less than %u tokens. Given: %u",
                       limits->max_input_tokens, n_input);
    *n_new = asked < room ? asked : room;
    return ST_OK;
}

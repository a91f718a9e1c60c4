/* JSON -> struct gen_request. A table says which fields there are and what type each has; TGI's checks follow
 * in TGI's order. Unknown fields are ignored, as TGI does; parameters that TGI has and this version does not
 * serve are refused unless they are null or TGI's default. */
#include "api/gen_request.h"
#include "base/rng.h"
#include "json/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longest piece that TGI reserves at once; its error text shows max_new_tokens capped at it. */
#define TGI_RESERVED_NEW_TOKENS 1024

#define SHAPE_PREFIX "Failed to deserialize the JSON body into the target type: "

/* ---- shape: fields and their types, as serde words it ---- */

static enum status wrong_type(const char *path, const struct json_val *v, const char *expected, struct err *e)
{
    struct str s;
    char shown[128];
    double f;
    uint64_t u;
    if (json_is(v, JSON_STRING) && json_str(v, &s))
        snprintf(shown, sizeof shown, "string \"%.*s\"", s.n > 64 ? 64 : (int)s.n, s.p);
    else if (json_u64(v, &u))
        snprintf(shown, sizeof shown, "integer `%llu`", (unsigned long long)u);
    else if (json_is_number(v) && json_f64(v, &f))
        snprintf(shown, sizeof shown, json_is(v, JSON_REAL) ? "floating point `%g`" : "integer `%.0f`", f);
    else
        snprintf(shown, sizeof shown, "%s", json_kind_name(v));
    return err_set(e, ST_UNSUPPORTED, SHAPE_PREFIX "%s: invalid type: %s, expected %s", path, shown,
                   expected);
}

struct shape {
    const char *prefix; /* "parameters." or "" */
    const struct json_val *obj;
    struct arena *arena;
    struct err *e;
    enum status status; /* sticky */
};

/* The field's value, or NULL when it is absent or an allowed null; the path for messages goes to `path`. */
static const struct json_val *field(struct shape *s, const char *name, bool nullable, const char *expected,
                                    char path[64])
{
    const struct json_val *v = s->status == ST_OK ? json_get(s->obj, str_from(name)) : NULL;
    snprintf(path, 64, "%s%s", s->prefix, name);
    if (v && json_is(v, JSON_NULL)) {
        if (!nullable)
            s->status = wrong_type(path, v, expected, s->e);
        return NULL;
    }
    return v;
}

static void read_bool(struct shape *s, const char *name, bool nullable, bool *out, bool *given)
{
    char path[64];
    const struct json_val *v = field(s, name, nullable, "a boolean", path);
    if (!v)
        return;
    if (!json_bool(v, out))
        s->status = wrong_type(path, v, "a boolean", s->e);
    if (given)
        *given = true;
}

/* The numbers of params.def: a bit of `given` is set when there is one. */

static void read_F32(struct shape *s, const char *name, float *out, uint32_t bit, uint32_t *given)
{
    char path[64];
    double x;
    const struct json_val *v = field(s, name, true, "f32", path);
    if (!v)
        return;
    if (!json_f64(v, &x))
        s->status = wrong_type(path, v, "f32", s->e);
    else
        *out = (float)x;
    *given |= bit;
}

static void read_I32(struct shape *s, const char *name, int32_t *out, uint32_t bit, uint32_t *given)
{
    char path[64];
    int64_t x;
    const struct json_val *v = field(s, name, true, "i32", path);
    if (!v)
        return;
    if (!json_i64(v, &x) || x > INT32_MAX || x < INT32_MIN)
        s->status = wrong_type(path, v, "i32", s->e);
    else
        *out = (int32_t)x;
    *given |= bit;
}

static void read_uint(struct shape *s, const char *name, uint64_t max, const char *type, uint64_t *out,
                      bool *given)
{
    char path[64];
    uint64_t x;
    const struct json_val *v = field(s, name, true, type, path);
    if (!v)
        return;
    if (!json_u64(v, &x))
        s->status = wrong_type(path, v, type, s->e);
    else if (x > max)
        s->status =
            err_set(s->e, ST_UNSUPPORTED, SHAPE_PREFIX "%s: invalid value: integer `%llu`, expected %s", path,
                    (unsigned long long)x, type);
    else
        *out = x;
    if (given)
        *given = true;
}

/* A count: a larger number than any limit means the same as the largest below GEN_UNSET. */
static void read_count(struct shape *s, const char *name, uint64_t max, const char *type, uint32_t *out)
{
    uint64_t x = 0;
    bool given = false;
    read_uint(s, name, max, type, &x, &given);
    if (given)
        *out = x < GEN_UNSET ? (uint32_t)x : GEN_UNSET - 1;
}

static void read_stop(struct shape *s, struct gen_request *r)
{
    char path[64];
    const struct json_val *v = field(s, "stop", false, "a sequence", path), *item;
    if (!v)
        return;
    if (!json_is(v, JSON_ARRAY)) {
        s->status = wrong_type(path, v, "a sequence", s->e);
        return;
    }
    r->stop = arena_array(s->arena, json_len(v) + 1, sizeof *r->stop);
    if (!r->stop) {
        s->status = err_set(s->e, ST_NO_MEMORY, "the request needs too much memory");
        return;
    }
    struct json_iter it = json_iter(v);
    while (s->status == ST_OK && (item = json_next(&it, NULL))) {
        struct str text;
        if (!json_str(item, &text)) {
            snprintf(path, sizeof path, "%sstop[%u]", s->prefix, r->n_stop);
            s->status = wrong_type(path, item, "a string", s->e);
            return;
        }
        r->stop[r->n_stop] = arena_strdup(s->arena, text);
        if (!r->stop[r->n_stop++].p)
            s->status = err_set(s->e, ST_NO_MEMORY, "the request needs too much memory");
    }
}

static void read_cache_salt(struct shape *s, struct gen_request *r)
{
    char path[64];
    struct str salt;
    const struct json_val *v = field(s, "cache_salt", true, "a string", path);
    if (!v)
        return;
    if (!json_str(v, &salt))
        s->status = wrong_type(path, v, "a string", s->e);
    else if (!(r->cache_salt = arena_strdup(s->arena, salt)).p)
        s->status = err_set(s->e, ST_NO_MEMORY, "the request needs too much memory");
}

/* TGI's grammar is a tagged object and its adapter a string; here it matters only whether one was given. */
static void read_not_served(struct shape *s, struct gen_request *r)
{
    char path[64];
    const struct json_val *v = field(s, "grammar", true, "internally tagged enum GrammarType", path);
    if (v && !json_is(v, JSON_OBJECT))
        s->status = wrong_type(path, v, "internally tagged enum GrammarType", s->e);
    r->has_grammar = v != NULL;
    v = field(s, "adapter_id", true, "a string", path);
    if (v && !json_is(v, JSON_STRING))
        s->status = wrong_type(path, v, "a string", s->e);
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
    char path[64];
    const struct json_val *v = field(s, "logit_bias", true, "a map", path), *item;
    struct sample_bias *bias;
    struct str key;
    uint32_t n = 0;
    if (!v)
        return;
    if (!json_is(v, JSON_OBJECT)) {
        s->status = wrong_type(path, v, "a map", s->e);
        return;
    }
    r->bad_bias = json_len(v) > GEN_MAX_BIAS;
    bias = r->bad_bias ? NULL : arena_array(s->arena, json_len(v) + 1, sizeof *bias);
    if (!bias) {
        if (!r->bad_bias)
            s->status = err_set(s->e, ST_NO_MEMORY, "the request needs too much memory");
        return;
    }
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

static void read_parameters(struct shape *s, struct gen_request *r)
{
    r->params.do_sample = false; /* present parameters mean greedy, absent ones sampling: TGI's rule */
    read_count(s, "best_of", UINT64_MAX, "usize", &r->best_of);
#define PARAM(type, name, neutral, in_range, is_random, text)                                                \
    read_##type(s, #name, &r->params.name, 1u << SAMPLE_PARAM_##name, &r->given);
#include "sample/params.def"
#undef PARAM
    read_bias(s, r);
    read_bool(s, "do_sample", false, &r->params.do_sample, NULL);
    read_count(s, "max_new_tokens", UINT32_MAX, "u32", &r->max_new_tokens);
    read_bool(s, "return_full_text", true, &r->return_full_text, &r->has_return_full_text);
    read_stop(s, r);
    read_count(s, "truncate", UINT64_MAX, "usize", &r->truncate);
    read_bool(s, "watermark", false, &r->params.watermark, NULL);
    read_bool(s, "details", false, &r->details, NULL);
    read_bool(s, "decoder_input_details", false, &r->decoder_input_details, NULL);
    read_uint(s, "seed", UINT64_MAX, "u64", &r->params.seed, &r->has_seed);
    read_count(s, "top_n_tokens", UINT32_MAX, "u32", &r->params.top_n);
    read_cache_salt(s, r);
    read_not_served(s, r);
}

static enum status read_body(const struct json_val *root, struct arena *arena, struct gen_request *r,
                             struct err *e)
{
    struct shape s = {.prefix = "", .obj = root, .arena = arena, .e = e};
    char path[64];
    if (!json_is(root, JSON_OBJECT))
        return err_set(e, ST_UNSUPPORTED, SHAPE_PREFIX "invalid type: %s, expected struct GenerateRequest",
                       json_kind_name(root));
    struct str inputs;
    const struct json_val *v = json_get(root, STR("inputs"));
    if (!v)
        return err_set(e, ST_UNSUPPORTED, SHAPE_PREFIX "missing field `inputs`");
    if (!json_str(v, &inputs))
        return wrong_type("inputs", v, "a string", e);
    r->inputs = arena_strdup(arena, inputs);
    if (!r->inputs.p)
        return err_set(e, ST_NO_MEMORY, "the request needs too much memory");
    r->n_characters = (uint32_t)utf8_count(inputs);
    read_bool(&s, "stream", false, &r->stream, NULL);
    v = field(&s, "parameters", false, "struct GenerateParameters", path);
    if (v && !json_is(v, JSON_OBJECT))
        s.status = wrong_type(path, v, "struct GenerateParameters", e);
    if (v && s.status == ST_OK) {
        s.obj = v;
        s.prefix = "parameters.";
        read_parameters(&s, r);
    }
    return s.status;
}

enum status gen_request_parse(struct str body, struct arena *arena, struct gen_request *out, struct err *e)
{
    struct json_doc *doc;
    memset(out, 0, sizeof *out);
    out->params = sample_params_default();
    out->params.do_sample = true;
    out->max_new_tokens = out->truncate = GEN_UNSET;
    out->best_of = 1;
    enum status st = json_parse(body, 0, &doc, e);
    if (st != ST_OK) {
        err_prefix(e, "Failed to parse the request body as JSON");
        return ST_INVALID;
    }
    st = read_body(json_root(doc), arena, out, e);
    json_free(doc);
    return st;
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
    if (r->inputs.n == 0)
        return err_set(e, ST_INVALID, "`inputs` cannot be empty");
    if (r->truncate != GEN_UNSET && (r->truncate == 0 || r->truncate > limits->max_input_tokens))
        return err_set(e, ST_INVALID, "`truncate` must be strictly positive and less than %u. Given: %u",
                       limits->max_input_tokens, r->truncate);
    return ST_OK;
}

enum status gen_request_validate(struct gen_request *r, const struct gen_limits *limits, bool streaming,
                                 struct err *e)
{
    enum status st = check_best_of(r, limits, streaming, e);
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
    r->params.watermark_gamma = limits->watermark_gamma;
    r->params.watermark_delta = limits->watermark_delta;
    r->details |= r->decoder_input_details;
    r->decoder_input_details &= limits->prefill_logprobs;
    r->params.no_logprob = !streaming && !r->details && r->best_of == 1;
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

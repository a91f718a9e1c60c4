/* Rotary position settings in their two spellings.
 *
 * Older files have `rope_theta` beside a `rope_scaling` object (whose kind is `type` or `rope_type`), newer
 * ones one `rope_parameters` object with everything. The rules of precedence are those of transformers 5: a
 * non-empty rope_scaling wins over rope_parameters, values inside the object win over those beside it. */
#include "ckpt/model_config_int.h"
#include <string.h>

#define DEFAULT_THETA 10000.0f
#define MAX_THETA     1e15
#define MAX_FACTOR    1e6
#define KIND_TEXT_MAX 32

/* The object that counts, or NULL when neither is there. */
static const struct json_val *rope_object(struct field_reader *r, const char **path)
{
    const struct json_val *scaling = field_object(r, "rope_scaling");
    if (json_len(scaling) > 0) {
        *path = "rope_scaling.";
        return scaling;
    }
    *path = "rope_parameters.";
    return field_object(r, "rope_parameters");
}

static void require_factors(struct field_reader *r, const char *const *name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!field_is_set(r, name[i]))
            field_fail(r, ST_INVALID, "`%s%s` is missing", r->path, name[i]);
}

static void read_linear(struct field_reader *r, struct rope_config *rope)
{
    static const char *const needed[] = {"factor"};
    rope->kind = ROPE_LINEAR;
    require_factors(r, needed, 1);
    field_f32(r, "factor", 0, MAX_FACTOR, &rope->factor);
}

static void read_llama3(struct field_reader *outer, struct field_reader *r, uint32_t max_position,
                        struct rope_config *rope)
{
    static const char *const needed[] = {"factor", "low_freq_factor", "high_freq_factor"};
    rope->kind = ROPE_LLAMA3;
    require_factors(r, needed, 3);
    field_f32(r, "factor", 0, MAX_FACTOR, &rope->factor);
    field_f32(r, "low_freq_factor", 0, MAX_FACTOR, &rope->low_freq_factor);
    field_f32(r, "high_freq_factor", 0, MAX_FACTOR, &rope->high_freq_factor);
    if (rope->high_freq_factor <= rope->low_freq_factor) /* their difference is divided by */
        field_fail(r, ST_INVALID, "`%shigh_freq_factor` is not above `%slow_freq_factor`", r->path, r->path);
    rope->original_max_position = max_position;
    field_u32(outer, "original_max_position_embeddings", 1, 1u << 30, &rope->original_max_position);
    field_u32(r, "original_max_position_embeddings", 1, 1u << 30, &rope->original_max_position);
}

static void refuse_partial(struct field_reader *r)
{
    float partial = 1;
    field_f32(r, "partial_rotary_factor", 0, 1, &partial);
    if (partial < 1)
        field_fail(r, ST_UNSUPPORTED, "`%spartial_rotary_factor` %g is not served", r->path, (double)partial);
}

/* Settings by layer type: an object of objects. */
static void refuse_nested(struct field_reader *r)
{
    struct json_iter it = json_iter(r->object);
    struct str key;
    const struct json_val *v;
    while ((v = json_next(&it, &key)))
        if (json_is(v, JSON_OBJECT))
            field_fail(r, ST_UNSUPPORTED, "`%s" STR_FMT "`: rotary settings by layer type are not served",
                       r->path, STR_ARG(key));
}

void rope_config_read(struct field_reader *r, struct model_config *out)
{
    struct rope_config *rope = &out->rope;
    *rope = (struct rope_config){.kind = ROPE_PLAIN, .theta = DEFAULT_THETA, .factor = 1};
    field_f32(r, "rope_theta", 0, MAX_THETA, &rope->theta);
    refuse_partial(r);
    const char *path;
    const struct json_val *object = rope_object(r, &path);
    if (!object || r->status != ST_OK)
        return;
    struct field_reader in = {.file = r->file, .path = path, .object = object, .e = r->e};
    char kind[KIND_TEXT_MAX] = "default";
    field_text(&in, field_is_set(&in, "rope_type") ? "rope_type" : "type", kind, sizeof kind);
    field_f32(&in, "rope_theta", 0, MAX_THETA, &rope->theta);
    refuse_partial(&in);
    refuse_nested(&in);
    if (strcmp(kind, "linear") == 0)
        read_linear(&in, rope);
    else if (strcmp(kind, "llama3") == 0)
        read_llama3(r, &in, out->max_position, rope);
    else if (strcmp(kind, "default") != 0)
        field_fail(&in, ST_UNSUPPORTED,
                   "`%srope_type` \"%s\" is not served; served are default, linear and llama3", path, kind);
    if (r->status == ST_OK)
        r->status = in.status;
}

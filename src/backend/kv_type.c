/* What a KV store keeps, and how a number becomes that.
 *
 * f16 and fp8 saturate: a finite number never becomes infinite. fp8 numbers are counted in the
 * layer's scale, which a checkpoint may bring. int8 numbers are counted in a scale of their own row, the
 * largest of them / 127, so that what a row becomes never depends on another row. Something that is not
 * finite stays visible: the row reads as NaN in int8, the number itself in the others. Every device encodes
 * with this code, and all read code * scale in float32: their stores hold the same numbers. */
#include "backend/backend_int.h"
#include "quant/convert.h"
#include <float.h>
#include <math.h>

#define CHUNK      64
#define F16_MAX    65504.0f
#define INT8_MAX_F 127.0f
#define INT8_TINY  0x1p-100f /* a row of smaller numbers is zero: its scale would have no reciprocal */

static const struct {
    const char *name;
    enum elem_type elem;
} types[KV_TYPE_COUNT] = {
    [KV_AS_COMPUTE] = {"auto", ELEM_TYPE_COUNT}, [KV_FLOAT16] = {"float16", ELEM_F16},
    [KV_BFLOAT16] = {"bfloat16", ELEM_BF16},     [KV_FP8_E4M3FN] = {"fp8_e4m3fn", ELEM_FP8_E4M3},
    [KV_FP8_E5M2] = {"fp8_e5m2", ELEM_FP8_E5M2}, [KV_INT8] = {"int8", ELEM_INT8},
};

bool kv_type_find(const char *name, enum kv_type *out)
{
    for (unsigned i = 0; i < KV_TYPE_COUNT; i++)
        if (strcmp(types[i].name, name) == 0) {
            *out = (enum kv_type)i;
            return true;
        }
    return false;
}

enum elem_type kv_elem_type(const struct backend_options *o)
{
    BUG_ON((unsigned)o->kv >= KV_TYPE_COUNT);
    if (o->kv == KV_AS_COMPUTE)
        return o->compute == COMPUTE_BF16 ? ELEM_BF16 : ELEM_F32;
    return types[o->kv].elem;
}

bool kv_has_row_scales(enum elem_type type)
{
    return type == ELEM_INT8;
}

struct kv_scale kv_layer_scale(enum elem_type type, const struct kv_desc *d, uint32_t layer)
{
    bool counted = type == ELEM_FP8_E4M3 || type == ELEM_FP8_E5M2;
    return counted && d->scale ? d->scale[layer] : (struct kv_scale){1, 1};
}

float kv_row_scale(enum elem_type type, const float *x, uint32_t n, float fixed)
{
    uint32_t max = 0; /* bits of absolute values order as the values do, NaN above all */
    if (!kv_has_row_scales(type))
        return fixed;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t mag = f32_bits(x[i]) & 0x7fffffffu;
        max = mag > max ? mag : max;
    }
    if (max >= 0x7f800000u)
        return NAN;
    float largest = f32_from_bits(max);
    return largest < INT8_TINY ? 0 : largest / INT8_MAX_F;
}

/* x * by, within the limit when x is finite. */
static float counted(float x, float by, float limit)
{
    float y = x * by;
    return fabsf(y) > limit && fabsf(x) <= FLT_MAX ? copysignf(limit, x) : y;
}

void kv_row_encode(enum elem_type type, void *codes, const float *x, uint32_t n, float scale)
{
    const struct elem_format *format = elem_format_get(type);
    float y[CHUNK], by = scale > 0 ? 1 / scale : 0, limit = type == ELEM_F16 ? F16_MAX : FLT_MAX;
    for (uint32_t at = 0; at < n; at += CHUNK) {
        uint32_t m = n - at < CHUNK ? n - at : CHUNK;
        for (uint32_t i = 0; i < m; i++)
            y[i] = counted(x[at + i], by, limit);
        format->encode((uint8_t *)codes + (size_t)at * format->elem_bytes, y, m);
    }
}

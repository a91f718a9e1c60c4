/* 8-bit floats, e4m3fn and e5m2: one byte a number, encoded with saturation.
 *
 * No checkpoint tensor is read in them: its numbers would mean nothing without the scales beside it. */
#include "quant/convert.h"
#include "quant/quant_int.h"

static void decode_e4m3(float *dst, const void *src, size_t n)
{
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i++)
        dst[i] = f32_from_fp8_e4m3(p[i]);
}

static void encode_e4m3(void *dst, const float *src, size_t n)
{
    uint8_t *p = dst;
    for (size_t i = 0; i < n; i++)
        p[i] = fp8_e4m3_from_f32(src[i]);
}

static void decode_e5m2(float *dst, const void *src, size_t n)
{
    const uint8_t *p = src;
    for (size_t i = 0; i < n; i++)
        dst[i] = f32_from_fp8_e5m2(p[i]);
}

static void encode_e5m2(void *dst, const float *src, size_t n)
{
    uint8_t *p = dst;
    for (size_t i = 0; i < n; i++)
        p[i] = fp8_e5m2_from_f32(src[i]);
}

const struct elem_format elem_format_fp8_e4m3 = {
    .type = ELEM_FP8_E4M3,
    .name = "fp8_e4m3fn",
    .elem_bytes = 1,
    .decode = decode_e4m3,
    .encode = encode_e4m3,
};

const struct elem_format elem_format_fp8_e5m2 = {
    .type = ELEM_FP8_E5M2,
    .name = "fp8_e5m2",
    .elem_bytes = 1,
    .decode = decode_e5m2,
    .encode = encode_e5m2,
};

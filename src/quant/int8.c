/* Whole numbers of 8 bits, -127 .. 127: codes that a scale kept elsewhere makes into numbers. */
#include "quant/convert.h"
#include "quant/quant_int.h"

static void decode(float *dst, const void *src, size_t n)
{
    const int8_t *p = src;
    for (size_t i = 0; i < n; i++)
        dst[i] = p[i];
}

static void encode(void *dst, const float *src, size_t n)
{
    int8_t *p = dst;
    for (size_t i = 0; i < n; i++)
        p[i] = int8_from_f32(src[i]);
}

const struct elem_format elem_format_int8 = {
    .type = ELEM_INT8,
    .name = "int8",
    .elem_bytes = 1,
    .decode = decode,
    .encode = encode,
};

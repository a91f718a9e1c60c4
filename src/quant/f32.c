/* 32-bit IEEE floats, little-endian as on every machine this builds for: a copy. */
#include "quant/quant_int.h"
#include <string.h>

static void decode(float *dst, const void *src, size_t n)
{
    if (n)
        memcpy(dst, src, n * sizeof *dst);
}

static void encode(void *dst, const float *src, size_t n)
{
    if (n)
        memcpy(dst, src, n * sizeof *src);
}

const struct elem_format elem_format_f32 = {
    .type = ELEM_F32,
    .name = "f32",
    .safetensors_name = "F32",
    .elem_bytes = 4,
    .decode = decode,
    .encode = encode,
};

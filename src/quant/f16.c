/* 16-bit IEEE floats: 5 bits of exponent, 10 of fraction, subnormals kept. */
#include "quant/convert.h"
#include "quant/quant_int.h"

static void decode(float *dst, const void *src, size_t n)
{
    const unsigned char *p = src;
    for (size_t i = 0; i < n; i++) {
        uint16_t h; /* by memcpy: src needs no alignment */
        memcpy(&h, p + 2 * i, sizeof h);
        dst[i] = f32_from_f16(h);
    }
}

static void encode(void *dst, const float *src, size_t n)
{
    unsigned char *p = dst;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = f16_from_f32(src[i]);
        memcpy(p + 2 * i, &h, sizeof h);
    }
}

const struct elem_format elem_format_f16 = {
    .type = ELEM_F16,
    .name = "f16",
    .safetensors_name = "F16",
    .elem_bytes = 2,
    .decode = decode,
    .encode = encode,
};

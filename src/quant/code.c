/* What codes mean: the tables of 4 bits, and the 8-bit ones through their element formats. */
#include "quant/convert.h"
#include "quant/matrix.h"

static const float int4_value[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};

/* QLoRA (Dettmers et al. 2023), appendix E. */
static const float nf4_value[16] = {-1.0f,
                                    -0.6961928009986877f,
                                    -0.5250730514526367f,
                                    -0.39491748809814453f,
                                    -0.28444138169288635f,
                                    -0.18477343022823334f,
                                    -0.09105003625154495f,
                                    0.0f,
                                    0.07958029955625534f,
                                    0.16093020141124725f,
                                    0.24611230194568634f,
                                    0.33791524171829224f,
                                    0.44070982933044434f,
                                    0.5626170039176941f,
                                    0.7229568362236023f,
                                    1.0f};

/* Sign, 2 bits of exponent, 1 of fraction, in bitsandbytes' order; 12 is the largest magnitude. */
static const float fp4_value[16] = {
    0.0f,  0.0625f / 12,  8.0f / 12,  1.0f,  4.0f / 12,  6.0f / 12,  2.0f / 12,  3.0f / 12,
    -0.0f, -0.0625f / 12, -8.0f / 12, -1.0f, -4.0f / 12, -6.0f / 12, -2.0f / 12, -3.0f / 12};

static const struct quant_code_info codes[QUANT_CODE_COUNT] = {
    [CODE_INT4] = {"int4", 4, int4_value},     [CODE_INT8] = {"int8", 8, NULL},
    [CODE_FP8_E4M3] = {"fp8_e4m3fn", 8, NULL}, [CODE_NF4] = {"nf4", 4, nf4_value},
    [CODE_FP4] = {"fp4", 4, fp4_value},
};

const struct quant_code_info *quant_code_get(enum quant_code code)
{
    BUG_ON((unsigned)code >= QUANT_CODE_COUNT);
    return &codes[code];
}

void quant_code_values(enum quant_code code, float *y, const uint8_t *x, size_t n)
{
    const float *value = quant_code_get(code)->value;
    if (value)
        for (size_t i = 0; i < n; i++)
            y[i] = value[x[i] & 15];
    else
        elem_format_get(code == CODE_INT8 ? ELEM_INT8 : ELEM_FP8_E4M3)->decode(y, x, n);
}

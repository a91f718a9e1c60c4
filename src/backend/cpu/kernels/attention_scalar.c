/* Attention in plain C: the weighted sum of values, one chain over the tokens for each output, and what the
 * KV store holds made float32. */
#include "backend/cpu/kernels/kernels_int.h"
#include "quant/convert.h"

static ALWAYS_INLINE float value_at(const void *block, size_t at, enum elem_type type)
{
    return type == ELEM_F32 ? ((const float *)block)[at] : f32_from_bf16(((const uint16_t *)block)[at]);
}

static ALWAYS_INLINE void weigh(const struct attention_tile *t, enum elem_type type)
{
    for (uint32_t r = 0; r < t->n_row; r++)
        for (uint32_t k = t->begin; k < t->end; k++) {
            const void *block = t->v[k / PANEL_COLS];
            size_t at = (size_t)(k % PANEL_COLS) * t->d;
            float p = t->p[r * t->p_stride + k], *acc = t->acc + (size_t)r * t->d;
            for (uint32_t i = 0; i < t->d; i++)
                acc[i] += p * value_at(block, at + i, type);
        }
}

static void weigh_f32(const struct attention_tile *t)
{
    weigh(t, ELEM_F32);
}

static void weigh_bf16(const struct attention_tile *t)
{
    weigh(t, ELEM_BF16);
}

static void dequantise(const struct dequantise_tile *t)
{
    elem_format_get(t->type)->decode(t->y, t->x, (size_t)t->n_row * t->n_col);
    for (uint32_t row = 0; row < t->n_row; row++)
        for (uint32_t column = 0; column < t->n_col; column++)
            t->y[(size_t)row * t->n_col + column] *= t->scale[t->by_row ? row : column % PANEL_COLS];
}

const struct attention_kernels attention_scalar = {
    .weigh_f32 = weigh_f32,
    .weigh_bf16 = weigh_bf16,
    .dequantise = dequantise,
};

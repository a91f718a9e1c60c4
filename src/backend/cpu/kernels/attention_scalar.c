/* Attention in plain C: the weighted sum of values, one chain over the tokens for each output. */
#include "backend/cpu/kernels/kernels_int.h"
#include "quant/convert.h"

static void weigh_f32(const struct attention_tile *t)
{
    for (uint32_t r = 0; r < t->n_row; r++)
        for (uint32_t k = t->begin; k < t->end; k++) {
            const float *v = (const float *)t->v[k / PANEL_COLS] + (size_t)(k % PANEL_COLS) * t->d;
            float p = t->p[r * t->p_stride + k], *acc = t->acc + (size_t)r * t->d;
            for (uint32_t i = 0; i < t->d; i++)
                acc[i] += p * v[i];
        }
}

static void weigh_bf16(const struct attention_tile *t)
{
    for (uint32_t r = 0; r < t->n_row; r++)
        for (uint32_t k = t->begin; k < t->end; k++) {
            const uint16_t *v = (const uint16_t *)t->v[k / PANEL_COLS] + (size_t)(k % PANEL_COLS) * t->d;
            float p = t->p[r * t->p_stride + k], *acc = t->acc + (size_t)r * t->d;
            for (uint32_t i = 0; i < t->d; i++)
                acc[i] += p * f32_from_bf16(v[i]);
        }
}

const struct attention_kernels attention_scalar = {.weigh_f32 = weigh_f32, .weigh_bf16 = weigh_bf16};

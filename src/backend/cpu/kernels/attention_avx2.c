/* Attention with AVX2: the weighted sum of values. (Scores are linear tiles over the keys' panels.)
 *
 * Rows x 16 dimensions stay in registers while the tokens pass by in order: one chain for each output. */
#include "backend/cpu/kernels/kernels_int.h"
#include <immintrin.h>

#define ROWS_MAX 6

static ALWAYS_INLINE __m256 load_value(const void *block, size_t at, enum elem_type type)
{
    if (type == ELEM_F32)
        return _mm256_loadu_ps((const float *)block + at);
    __m128i h = _mm_loadu_si128((const __m128i *)((const uint16_t *)block + at));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

static ALWAYS_INLINE void weigh_part(const struct attention_tile *t, uint32_t row, uint32_t dim,
                                     const int n_row, enum elem_type type)
{
    __m256 acc[ROWS_MAX][2];
    float *out = t->acc + (size_t)row * t->d + dim;
    const float *p = t->p + row * t->p_stride;
#pragma GCC unroll 6
    for (int r = 0; r < n_row; r++) {
        acc[r][0] = _mm256_loadu_ps(out + (size_t)r * t->d);
        acc[r][1] = _mm256_loadu_ps(out + (size_t)r * t->d + 8);
    }
    for (uint32_t k = t->begin; k < t->end; k++) {
        const void *block = t->v[k / PANEL_COLS];
        size_t at = (size_t)(k % PANEL_COLS) * t->d + dim;
        __m256 v0 = load_value(block, at, type), v1 = load_value(block, at + 8, type);
#pragma GCC unroll 6
        for (int r = 0; r < n_row; r++) {
            __m256 x = _mm256_broadcast_ss(p + (size_t)r * t->p_stride + k);
            acc[r][0] = _mm256_fmadd_ps(x, v0, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(x, v1, acc[r][1]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < n_row; r++) {
        _mm256_storeu_ps(out + (size_t)r * t->d, acc[r][0]);
        _mm256_storeu_ps(out + (size_t)r * t->d + 8, acc[r][1]);
    }
}

static ALWAYS_INLINE void weigh(const struct attention_tile *t, enum elem_type type)
{
    uint32_t row = 0;
    for (; row + 6 <= t->n_row; row += 6)
        for (uint32_t dim = 0; dim < t->d; dim += 16)
            weigh_part(t, row, dim, 6, type);
    for (; row + 2 <= t->n_row; row += 2)
        for (uint32_t dim = 0; dim < t->d; dim += 16)
            weigh_part(t, row, dim, 2, type);
    if (row < t->n_row)
        for (uint32_t dim = 0; dim < t->d; dim += 16)
            weigh_part(t, row, dim, 1, type);
}

static void weigh_f32(const struct attention_tile *t)
{
    weigh(t, ELEM_F32);
}

static void weigh_bf16(const struct attention_tile *t)
{
    weigh(t, ELEM_BF16);
}

const struct attention_kernels attention_avx2 = {.weigh_f32 = weigh_f32, .weigh_bf16 = weigh_bf16};

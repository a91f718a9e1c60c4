/* Attention with AVX2: the weighted sum of values, and what the KV store holds made float32. (Scores are
 * linear tiles over the keys' panels.)
 *
 * Rows x 16 dimensions stay in registers while the tokens pass by in order: one chain for each output. */
#include "backend/cpu/kernels/kernels_int.h"
#include <immintrin.h>

#define ROWS_MAX 6

static ALWAYS_INLINE __m128i load_halves(const void *block, size_t at)
{
    return _mm_loadu_si128((const __m128i *)((const uint16_t *)block + at));
}

static ALWAYS_INLINE __m128i load_bytes(const void *block, size_t at)
{
    return _mm_loadl_epi64((const __m128i *)((const uint8_t *)block + at));
}

/* As f16 with the exponent's bias 8 too small; the sign is shifted to its place as two bits, one is cleared.
 * A NaN becomes all ones, which is one in f16 too. */
static ALWAYS_INLINE __m256 widen_e4m3(__m128i code)
{
    __m128i nan = _mm_cmpeq_epi8(_mm_or_si128(code, _mm_set1_epi8((char)0x80)), _mm_set1_epi8(-1));
    __m128i h = _mm_and_si128(_mm_slli_epi16(_mm_cvtepi8_epi16(code), 7), _mm_set1_epi16((short)0xbfff));
    return _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(h, _mm_cvtepi8_epi16(nan))), _mm256_set1_ps(0x1p8f));
}

static ALWAYS_INLINE __m256 load_value(const void *block, size_t at, enum elem_type type)
{
    switch (type) {
    case ELEM_F32:
        return _mm256_loadu_ps((const float *)block + at);
    case ELEM_F16:
        return _mm256_cvtph_ps(load_halves(block, at));
    case ELEM_FP8_E4M3:
        return widen_e4m3(load_bytes(block, at));
    case ELEM_FP8_E5M2:
        return _mm256_cvtph_ps(_mm_slli_epi16(_mm_cvtepu8_epi16(load_bytes(block, at)), 8));
    case ELEM_INT8:
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_bytes(block, at)));
    default:
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_halves(block, at)), 16));
    }
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

static ALWAYS_INLINE void dequantise_type(const struct dequantise_tile *t, enum elem_type type)
{
    size_t at = 0;
    for (uint32_t row = 0; row < t->n_row; row++)
        for (uint32_t column = 0; column < t->n_col; column += 8, at += 8) {
            __m256 scale =
                t->by_row ? _mm256_set1_ps(t->scale[row]) : _mm256_loadu_ps(t->scale + column % PANEL_COLS);
            _mm256_store_ps(t->y + at, _mm256_mul_ps(load_value(t->x, at, type), scale));
        }
}

static void dequantise(const struct dequantise_tile *t)
{
    switch (t->type) {
    case ELEM_F16:
        dequantise_type(t, ELEM_F16);
        break;
    case ELEM_FP8_E4M3:
        dequantise_type(t, ELEM_FP8_E4M3);
        break;
    case ELEM_FP8_E5M2:
        dequantise_type(t, ELEM_FP8_E5M2);
        break;
    case ELEM_INT8:
        dequantise_type(t, ELEM_INT8);
        break;
    default:
        BUG("codes of type %u", t->type);
    }
}

const struct attention_kernels attention_avx2 = {
    .weigh_f32 = weigh_f32,
    .weigh_bf16 = weigh_bf16,
    .dequantise = dequantise,
};

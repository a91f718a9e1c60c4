/* Attention with AVX-512: the weighted sum of values, and what the KV store holds made float32. (Scores are
 * linear tiles over the keys' panels.)
 *
 * Rows x 64 dimensions stay in registers while the tokens pass by in order: one chain for each output. */
#include "backend/cpu/kernels/kernels_int.h"
#include <immintrin.h>
#include <math.h>

#define ROWS_MAX 6
#define VECS_MAX 4

static ALWAYS_INLINE __m256i load_halves(const void *block, size_t at)
{
    return _mm256_loadu_si256((const __m256i *)((const uint16_t *)block + at));
}

static ALWAYS_INLINE __m128i load_bytes(const void *block, size_t at)
{
    return _mm_loadu_si128((const __m128i *)((const uint8_t *)block + at));
}

/* As f16 with the exponent's bias 8 too small; the sign is shifted to its place as two bits, one is cleared.
 */
static ALWAYS_INLINE __m512 widen_e4m3(__m128i code)
{
    const __m128i sign = _mm_set1_epi8((char)0x80), ones = _mm_set1_epi8(-1);
    __m256i h = _mm256_slli_epi16(_mm256_cvtepi8_epi16(code), 7);
    __m512 x = _mm512_cvtph_ps(_mm256_and_si256(h, _mm256_set1_epi16((short)0xbfff)));
    __mmask16 number = _mm_cmpneq_epi8_mask(_mm_or_si128(code, sign), ones);
    return _mm512_mask_mul_ps(_mm512_set1_ps(NAN), number, x, _mm512_set1_ps(0x1p8f));
}

static ALWAYS_INLINE __m512 load_value(const void *block, size_t at, enum elem_type type)
{
    switch (type) {
    case ELEM_F32:
        return _mm512_loadu_ps((const float *)block + at);
    case ELEM_F16:
        return _mm512_cvtph_ps(load_halves(block, at));
    case ELEM_FP8_E4M3:
        return widen_e4m3(load_bytes(block, at));
    case ELEM_FP8_E5M2:
        return _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(load_bytes(block, at)), 8));
    case ELEM_INT8:
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_bytes(block, at)));
    default:
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_halves(block, at)), 16));
    }
}

static ALWAYS_INLINE void weigh_part(const struct attention_tile *t, uint32_t row, uint32_t dim,
                                     const int n_row, const int n_vec, enum elem_type type)
{
    __m512 acc[ROWS_MAX][VECS_MAX];
    float *out = t->acc + (size_t)row * t->d + dim;
    const float *p = t->p + row * t->p_stride;
#pragma GCC unroll 6
    for (int r = 0; r < n_row; r++)
#pragma GCC unroll 4
        for (int j = 0; j < n_vec; j++)
            acc[r][j] = _mm512_loadu_ps(out + (size_t)r * t->d + 16 * j);
    for (uint32_t k = t->begin; k < t->end; k++) {
        const void *block = t->v[k / PANEL_COLS];
        size_t at = (size_t)(k % PANEL_COLS) * t->d + dim;
        __m512 v[VECS_MAX];
#pragma GCC unroll 4
        for (int j = 0; j < n_vec; j++)
            v[j] = load_value(block, at + 16 * (size_t)j, type);
#pragma GCC unroll 6
        for (int r = 0; r < n_row; r++) {
            __m512 x = _mm512_set1_ps(p[(size_t)r * t->p_stride + k]);
#pragma GCC unroll 4
            for (int j = 0; j < n_vec; j++)
                acc[r][j] = _mm512_fmadd_ps(x, v[j], acc[r][j]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < n_row; r++)
#pragma GCC unroll 4
        for (int j = 0; j < n_vec; j++)
            _mm512_storeu_ps(out + (size_t)r * t->d + 16 * j, acc[r][j]);
}

static ALWAYS_INLINE void weigh_rows(const struct attention_tile *t, uint32_t row, const int n_row,
                                     enum elem_type type)
{
    uint32_t dim = 0;
    for (; dim + 64 <= t->d; dim += 64)
        weigh_part(t, row, dim, n_row, 4, type);
    for (; dim < t->d; dim += 16)
        weigh_part(t, row, dim, n_row, 1, type);
}

static ALWAYS_INLINE void weigh(const struct attention_tile *t, enum elem_type type)
{
    uint32_t row = 0;
    for (; row + 6 <= t->n_row; row += 6)
        weigh_rows(t, row, 6, type);
    for (; row + 4 <= t->n_row; row += 4)
        weigh_rows(t, row, 4, type);
    for (; row + 2 <= t->n_row; row += 2)
        weigh_rows(t, row, 2, type);
    if (row < t->n_row)
        weigh_rows(t, row, 1, type);
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
    for (uint32_t row = 0; row < t->n_row; row++) {
        __m512 scale = t->by_row ? _mm512_set1_ps(t->scale[row]) : _mm512_loadu_ps(t->scale);
        for (uint32_t end = t->n_col; end; end -= PANEL_COLS, at += PANEL_COLS)
            _mm512_store_ps(t->y + at, _mm512_mul_ps(load_value(t->x, at, type), scale));
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

const struct attention_kernels attention_avx512 = {
    .weigh_f32 = weigh_f32,
    .weigh_bf16 = weigh_bf16,
    .dequantise = dequantise,
};

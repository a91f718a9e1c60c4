/* Linear tiles with AVX-512 fused multiply-add: weights of any type widened to float32 in registers.
 *
 * A tile of rows x panels keeps all its sums in registers along the whole of k: 6 rows x 4 panels for few
 * rows (four streams of weights hide the latency of memory), 12 x 2 for many. Each sum is one chain in k
 * order, so neither the shape of the tile nor the number of rows can be seen in the result. */
#include "backend/cpu/kernels/kernels_int.h"
#include <immintrin.h>

#define PANELS_MAX     4
#define WIDE_ROWS      5    /* up to here a tile is 4 panels wide */
#define PREFETCH_BYTES 1024 /* how far ahead of the multiplication weights are asked for */

struct sums {
    __m512 v[TILE_ROWS_MAX][PANELS_MAX];
};

static ALWAYS_INLINE void store_sums(const struct linear_tile *t, uint32_t p, const int n_row,
                                     const int n_panel, const struct sums *s)
{
#pragma GCC unroll 4
    for (int j = 0; j < n_panel; j++) {
        uint32_t first = (p + (uint32_t)j) * PANEL_COLS;
        if (first >= t->n_col)
            return;
        uint32_t left = t->n_col - first;
        __mmask16 mask = left < PANEL_COLS ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
        __m512 bias = t->bias ? _mm512_maskz_loadu_ps(mask, t->bias + first) : _mm512_setzero_ps();
#pragma GCC unroll 12
        for (int r = 0; r < n_row; r++) {
            float *y = t->y + (size_t)r * t->y_stride + first;
            __m512 v = _mm512_add_ps(s->v[r][j], bias);
            if (t->accumulate)
                v = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y), v);
            _mm512_mask_storeu_ps(y, mask, v);
        }
    }
}

/* One k of every row: w[j] is that k of panel j. */
static ALWAYS_INLINE void step(struct sums *s, const float *a, const __m512 *w, const int n_row,
                               const int n_panel)
{
#pragma GCC unroll 12
    for (int r = 0; r < n_row; r++) {
        __m512 x = _mm512_set1_ps(a[r]);
#pragma GCC unroll 4
        for (int j = 0; j < n_panel; j++)
            s->v[r][j] = _mm512_fmadd_ps(x, w[j], s->v[r][j]);
    }
}

static ALWAYS_INLINE __m512 widen_even(const uint8_t *pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_load_si512(pairs), 16));
}

static ALWAYS_INLINE __m512 widen_odd(const uint8_t *pairs)
{
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_load_si512(pairs), _mm512_set1_epi32((int)0xffff0000)));
}

static ALWAYS_INLINE void tile_pairs(const struct linear_tile *t, struct sums *s, const uint8_t **w,
                                     const int n_row, const int n_panel)
{
    const float *a = t->a;
    size_t end = (size_t)(t->k / 2) * 64;
    __m512 x[PANELS_MAX];
    for (size_t at = 0; at < end; at += 64, a += 2 * n_row) {
#pragma GCC unroll 4
        for (int j = 0; j < n_panel; j++) {
            _mm_prefetch((const char *)w[j] + at + PREFETCH_BYTES, _MM_HINT_T0);
            x[j] = widen_even(w[j] + at);
        }
        step(s, a, x, n_row, n_panel);
#pragma GCC unroll 4
        for (int j = 0; j < n_panel; j++)
            x[j] = widen_odd(w[j] + at);
        step(s, a + n_row, x, n_row, n_panel);
    }
    if (t->k % 2) {
#pragma GCC unroll 4
        for (int j = 0; j < n_panel; j++)
            x[j] = widen_even(w[j] + end);
        step(s, a, x, n_row, n_panel);
    }
}

static ALWAYS_INLINE void tile_singles(const struct linear_tile *t, struct sums *s, const uint8_t **w,
                                       const int n_row, const int n_panel, enum elem_type type)
{
    const float *a = t->a;
    const size_t line = type == ELEM_F32 ? 64 : 32;
    __m512 x[PANELS_MAX];
    for (uint32_t k = 0; k < t->k; k++, a += n_row) {
#pragma GCC unroll 4
        for (int j = 0; j < n_panel; j++) {
            const uint8_t *p = w[j] + k * line;
            _mm_prefetch((const char *)p + PREFETCH_BYTES, _MM_HINT_T0);
            x[j] =
                type == ELEM_F32 ? _mm512_load_ps(p) : _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)p));
        }
        step(s, a, x, n_row, n_panel);
    }
}

/* Panels p .. p + n_panel - 1; those that do not exist are computed as copies of the last and not stored. */
static ALWAYS_INLINE void tile(const struct linear_tile *t, uint32_t p, const int n_row, const int n_panel,
                               enum elem_type type)
{
    const uint32_t last = (t->n_col - 1) / PANEL_COLS;
    const uint8_t *w[PANELS_MAX];
    struct sums s;
#pragma GCC unroll 4
    for (int j = 0; j < n_panel; j++) {
        w[j] = linear_panel(t, p + (uint32_t)j < last ? p + (uint32_t)j : last);
#pragma GCC unroll 12
        for (int r = 0; r < n_row; r++)
            s.v[r][j] = _mm512_setzero_ps();
    }
    if (type == ELEM_BF16)
        tile_pairs(t, &s, w, n_row, n_panel);
    else
        tile_singles(t, &s, w, n_row, n_panel, type);
    store_sums(t, p, n_row, n_panel, &s);
}

#define CASE(n)                                                                                              \
    case n:                                                                                                  \
        for (uint32_t p = 0; p < n_panel; p += n <= WIDE_ROWS ? 4 : 2)                                       \
            tile(t, p, n, n <= WIDE_ROWS ? 4 : 2, type);                                                     \
        break;

static ALWAYS_INLINE void run(const struct linear_tile *t, enum elem_type type)
{
    const uint32_t n_panel = (t->n_col + PANEL_COLS - 1) / PANEL_COLS;
    switch (t->n_row) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
    default:
        BUG("a tile of %u rows", t->n_row);
    }
}

static void tile_f32(const struct linear_tile *t)
{
    run(t, ELEM_F32);
}

static void tile_f16(const struct linear_tile *t)
{
    run(t, ELEM_F16);
}

static void tile_bf16(const struct linear_tile *t)
{
    run(t, ELEM_BF16);
}

const struct linear_kernels linear_avx512 = {
    .max_rows = TILE_ROWS_MAX,
    .tile = {[ELEM_F32] = tile_f32, [ELEM_F16] = tile_f16, [ELEM_BF16] = tile_bf16},
};

/* Linear tiles with AVX-512 BF16: vdpbf16ps multiplies k-pairs of bf16 and adds both products to a float32
 * sum.
 *
 * The panel's lines are its operands as they lie. One chain of pairs in k order for each sum, as in
 * linear_avx512.c. */
#include "backend/cpu/kernels/kernels_int.h"
#include <immintrin.h>

#define PANELS_MAX     4
#define WIDE_ROWS      6
#define PREFETCH_BYTES 1024

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

static ALWAYS_INLINE __m512bh pairs(__m512i x)
{
    return (__m512bh)x;
}

static ALWAYS_INLINE void tile(const struct linear_tile *t, uint32_t p, const int n_row, const int n_panel)
{
    const uint32_t last = (t->n_col - 1) / PANEL_COLS;
    const size_t end = ((size_t)t->k + 1) / 2 * 64;
    const int *a = t->a;
    const uint8_t *w[PANELS_MAX];
    struct sums s;
#pragma GCC unroll 4
    for (int j = 0; j < n_panel; j++) {
        w[j] = linear_panel(t, p + (uint32_t)j < last ? p + (uint32_t)j : last);
#pragma GCC unroll 12
        for (int r = 0; r < n_row; r++)
            s.v[r][j] = _mm512_setzero_ps();
    }
    for (size_t at = 0; at < end; at += 64, a += n_row) {
        __m512i x[PANELS_MAX];
#pragma GCC unroll 4
        for (int j = 0; j < n_panel; j++) {
            _mm_prefetch((const char *)w[j] + at + PREFETCH_BYTES, _MM_HINT_T0);
            x[j] = _mm512_load_si512(w[j] + at);
        }
#pragma GCC unroll 12
        for (int r = 0; r < n_row; r++) {
            __m512i b = _mm512_set1_epi32(a[r]);
#pragma GCC unroll 4
            for (int j = 0; j < n_panel; j++)
                s.v[r][j] = _mm512_dpbf16_ps(s.v[r][j], pairs(b), pairs(x[j]));
        }
    }
    store_sums(t, p, n_row, n_panel, &s);
}

#define CASE(n)                                                                                              \
    case n:                                                                                                  \
        for (uint32_t p = 0; p < n_panel; p += n <= WIDE_ROWS ? 4 : 2)                                       \
            tile(t, p, n, n <= WIDE_ROWS ? 4 : 2);                                                           \
        break;

static void tile_bf16(const struct linear_tile *t)
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

const struct linear_kernels linear_avx512_bf16 = {
    .max_rows = TILE_ROWS_MAX,
    .bf16_activations = true,
    .tile = {[ELEM_BF16] = tile_bf16},
};

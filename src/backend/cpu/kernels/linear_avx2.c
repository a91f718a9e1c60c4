/* Linear tiles with AVX2 and FMA: a panel is two registers wide, 6 rows fill the register file.
 *
 * The same chain along k as linear_avx512.c: one fused multiply-add for each k, in order. */
#include "backend/cpu/kernels/kernels_int.h"
#include <immintrin.h>
#include <string.h>

#define ROWS_MAX       6
#define PREFETCH_BYTES 1024

struct sums {
    __m256 v[ROWS_MAX][2];
};

static void store_part(const struct linear_tile *t, uint32_t p, const int n_row, const struct sums *s,
                       uint32_t n)
{
    float row[PANEL_COLS];
    uint32_t first = p * PANEL_COLS;
    for (int r = 0; r < n_row; r++) {
        float *y = t->y + (size_t)r * t->y_stride + first;
        memcpy(row, s->v[r], sizeof row);
        for (uint32_t c = 0; c < n; c++) {
            float v = row[c] + (t->bias ? t->bias[first + c] : 0);
            y[c] = t->accumulate ? y[c] + v : v;
        }
    }
}

static ALWAYS_INLINE void store_whole(const struct linear_tile *t, uint32_t p, const int n_row,
                                      const struct sums *s)
{
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        uint32_t first = p * PANEL_COLS + 8 * (uint32_t)h;
        __m256 bias = t->bias ? _mm256_loadu_ps(t->bias + first) : _mm256_setzero_ps();
#pragma GCC unroll 6
        for (int r = 0; r < n_row; r++) {
            float *y = t->y + (size_t)r * t->y_stride + first;
            __m256 v = _mm256_add_ps(s->v[r][h], bias);
            if (t->accumulate)
                v = _mm256_add_ps(_mm256_loadu_ps(y), v);
            _mm256_storeu_ps(y, v);
        }
    }
}

static ALWAYS_INLINE void step(struct sums *s, const float *a, __m256 w0, __m256 w1, const int n_row)
{
#pragma GCC unroll 6
    for (int r = 0; r < n_row; r++) {
        __m256 x = _mm256_broadcast_ss(a + r);
        s->v[r][0] = _mm256_fmadd_ps(x, w0, s->v[r][0]);
        s->v[r][1] = _mm256_fmadd_ps(x, w1, s->v[r][1]);
    }
}

static ALWAYS_INLINE __m256i line(const uint8_t *p)
{
    return _mm256_load_si256((const __m256i *)p);
}

static ALWAYS_INLINE __m256 even(const uint8_t *pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(line(pairs), 16));
}

static ALWAYS_INLINE __m256 odd(const uint8_t *pairs)
{
    return _mm256_castsi256_ps(_mm256_and_si256(line(pairs), _mm256_set1_epi32((int)0xffff0000)));
}

static ALWAYS_INLINE void tile_pairs(const struct linear_tile *t, struct sums *s, const uint8_t *w,
                                     const int n_row)
{
    const float *a = t->a;
    for (uint32_t k = 0; k + 2 <= t->k; k += 2, a += 2 * n_row, w += 64) {
        _mm_prefetch((const char *)w + PREFETCH_BYTES, _MM_HINT_T0);
        step(s, a, even(w), even(w + 32), n_row);
        step(s, a + n_row, odd(w), odd(w + 32), n_row);
    }
    if (t->k % 2)
        step(s, a, even(w), even(w + 32), n_row);
}

static ALWAYS_INLINE void tile_singles(const struct linear_tile *t, struct sums *s, const uint8_t *w,
                                       const int n_row, enum elem_type type)
{
    const float *a = t->a;
    for (uint32_t k = 0; k < t->k; k++, a += n_row) {
        if (type == ELEM_F32) {
            step(s, a, _mm256_load_ps((const float *)w), _mm256_load_ps((const float *)w + 8), n_row);
            w += 64;
        } else {
            step(s, a, _mm256_cvtph_ps(_mm_load_si128((const __m128i *)w)),
                 _mm256_cvtph_ps(_mm_load_si128((const __m128i *)(w + 16))), n_row);
            w += 32;
        }
    }
}

static ALWAYS_INLINE void tile(const struct linear_tile *t, uint32_t p, const int n_row, enum elem_type type)
{
    struct sums s;
#pragma GCC unroll 6
    for (int r = 0; r < n_row; r++)
        s.v[r][0] = s.v[r][1] = _mm256_setzero_ps();
    if (type == ELEM_BF16)
        tile_pairs(t, &s, linear_panel(t, p), n_row);
    else
        tile_singles(t, &s, linear_panel(t, p), n_row, type);
    uint32_t left = t->n_col - p * PANEL_COLS;
    if (left >= PANEL_COLS) {
        store_whole(t, p, n_row, &s);
    } else {
        /* A copy: were its address to escape, the sums would live in memory all along. */
        struct sums copy = s;
        store_part(t, p, n_row, &copy, left);
    }
}

#define CASE(n)                                                                                              \
    case n:                                                                                                  \
        for (uint32_t p = 0; p < n_panel; p++)                                                               \
            tile(t, p, n, type);                                                                             \
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

const struct linear_kernels linear_avx2 = {
    .max_rows = ROWS_MAX,
    .tile = {[ELEM_F32] = tile_f32, [ELEM_F16] = tile_f16, [ELEM_BF16] = tile_bf16},
};

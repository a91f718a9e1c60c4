/* Elementwise kernels: one body, compiled once per instruction-set level with that level's flags.
 *
 * Written with 16-lane vectors that the compiler maps to whatever registers the level has. Sums keep 16 lanes
 * and end in a fixed tree, products and sums are never contracted: a result has the same bytes at every
 * level. */
#include "backend/cpu/kernels/kernels_int.h"
#include "quant/convert.h"
#include <math.h>

#define LANES 16

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * LANES)));

static ALWAYS_INLINE vf load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

static ALWAYS_INLINE void store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

/* The last n < 16 elements, others zero. */
static ALWAYS_INLINE vf load_tail(const float *p, size_t n)
{
    vf v = {0};
    memcpy(&v, p, n * sizeof *p);
    return v;
}

static ALWAYS_INLINE void store_tail(float *p, vf v, size_t n)
{
    memcpy(p, &v, n * sizeof *p);
}

static ALWAYS_INLINE vf splat(float x)
{
    return x - (vf){0};
}

static ALWAYS_INLINE vf choose(vi mask, vf a, vf b)
{
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

static ALWAYS_INLINE float sum_lanes(vf v)
{
    float x[LANES];
    memcpy(x, &v, sizeof x);
    for (int step = LANES / 2; step; step /= 2)
        for (int i = 0; i < step; i++)
            x[i] += x[i + step];
    return x[0];
}

static ALWAYS_INLINE float max_lanes(vf v)
{
    float x[LANES];
    memcpy(x, &v, sizeof x);
    for (int step = LANES / 2; step; step /= 2)
        for (int i = 0; i < step; i++)
            x[i] = x[i + step] > x[i] ? x[i + step] : x[i];
    return x[0];
}

/* e^x within 2 units in the last place for x <= 88; 0 below -87. Cody-Waite: x = n ln 2 + r, |r| <= ln 2 / 2,
 * then a polynomial of degree 6 (fitted on that interval) and n added to the exponent. NaN stays NaN. */
static ALWAYS_INLINE vf exp_v(vf x)
{
    const vf round_magic = splat(0x1.8p23f);
    vf t = x * 1.44269504f + round_magic;
    vu n = (vu)t - (vu)round_magic; /* wraps where the result is not taken */
    vf k = t - round_magic;
    vf r = x - k * 0x1.62e4p-1f; /* 15 bits of ln 2: the product is exact */
    r = r - k * 0x1.7f7d1cp-20f;
    vf p = splat(0x1.6d4324p-10f);
    p = p * r + 0x1.120b74p-7f;
    p = p * r + 0x1.5554eap-5f;
    p = p * r + 0x1.5554dcp-3f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    vf y = (vf)((vu)p + (n << 23));
    return choose(x < splat(-87.0f), splat(0), y);
}

static void rms_norm(float *y, const float *x, const float *scale, uint32_t n, float eps)
{
    vf sum = {0};
    uint32_t i = 0, tail = n % LANES;
    for (; i + LANES <= n; i += LANES)
        sum += load(x + i) * load(x + i);
    if (tail)
        sum += load_tail(x + i, tail) * load_tail(x + i, tail);
    float inv = 1 / sqrtf(sum_lanes(sum) / (float)n + eps);
    for (i = 0; i + LANES <= n; i += LANES)
        store(y + i, load(x + i) * inv * load(scale + i));
    if (tail)
        store_tail(y + i, load_tail(x + i, tail) * inv * load_tail(scale + i, tail), tail);
}

static ALWAYS_INLINE vf silu(vf gate, vf up)
{
    /* e^88 is still finite, and more would change nothing: the result is -0 or a denormal. */
    vf minus = choose(gate < splat(-88.0f), splat(88.0f), -gate);
    vf y = gate / (1.0f + exp_v(minus));
    return y * up;
}

static void gate_silu(float *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0, tail = n % LANES;
    for (; i + LANES <= n; i += LANES)
        store(y + i, silu(load(gate + i), load(up + i)));
    if (tail)
        store_tail(y + i, silu(load_tail(gate + i, tail), load_tail(up + i, tail)), tail);
}

static void add(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(y + i, load(y + i) + load(x + i));
    for (; i < n; i++)
        y[i] += x[i];
}

static void rotate(float *x, const float *table, uint32_t half)
{
    float *a = x, *b = x + half;
    const float *cos_of = table, *sin_of = table + half;
    uint32_t i = 0;
    for (; i + LANES <= half; i += LANES) {
        vf va = load(a + i), vb = load(b + i), c = load(cos_of + i), s = load(sin_of + i);
        store(a + i, va * c - vb * s);
        store(b + i, vb * c + va * s);
    }
    for (; i < half; i++) {
        float xa = a[i], xb = b[i];
        a[i] = xa * cos_of[i] - xb * sin_of[i];
        b[i] = xb * cos_of[i] + xa * sin_of[i];
    }
}

static ALWAYS_INLINE vf widen_bf16(const uint16_t *x)
{
    vh h;
    memcpy(&h, x, sizeof h);
    return (vf)(__builtin_convertvector(h, vu) << 16);
}

/* Nearest, ties to even, as bf16_from_f32 of quant/convert.h: the high half of the result. */
static ALWAYS_INLINE vu round_bf16(vf x)
{
    vu u = (vu)x;
    vu rounded = u + 0x7fffu + ((u >> 16) & 1u);
    vu nan = u | 0x00400000u;
    vi is_nan = x != x;
    return ((rounded & ~(vu)is_nan) | (nan & (vu)is_nan)) & 0xffff0000u;
}

static void f32_from_bf16_row(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(y + i, widen_bf16(x + i));
    for (; i < n; i++)
        y[i] = f32_from_bf16(x[i]);
}

static void f32_from_f16_row(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = f32_from_f16(x[i]);
}

static void bf16_from_f32_row(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vh h = __builtin_convertvector(round_bf16(load(x + i)) >> 16, vh);
        memcpy(y + i, &h, sizeof h);
    }
    for (; i < n; i++)
        y[i] = bf16_from_f32(x[i]);
}

static void softmax(float *score, uint32_t n, float *max, float *sum)
{
    vf top = load(score);
    for (uint32_t i = LANES; i < n; i += LANES) {
        vf x = load(score + i);
        top = choose(x > top, x, top);
    }
    float m = max_lanes(top);
    vf total = {0};
    for (uint32_t i = 0; i < n; i += LANES) {
        vf p = exp_v(load(score + i) - m);
        store(score + i, p);
        total += p;
    }
    *max = m;
    *sum = sum_lanes(total);
}

static void blend(float *y, float a, const float *x, float b, uint32_t n)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(y + i, load(y + i) * a + load(x + i) * b);
    for (; i < n; i++)
        y[i] = y[i] * a + x[i] * b;
}

static void scale(float *y, const float *x, float a, uint32_t n)
{
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        store(y + i, load(x + i) * a);
    for (; i < n; i++)
        y[i] = x[i] * a;
}

/* ---- layouts ---- */

#define CHUNK 64

static void interleave_f32(float *a, const float *x, size_t stride, uint32_t n_row, uint32_t n_k, bool round)
{
    float row[CHUNK];
    for (uint32_t k = 0; k < n_k; k += CHUNK) {
        uint32_t n = n_k - k < CHUNK ? n_k - k : CHUNK;
        for (uint32_t r = 0; r < n_row; r++) {
            memcpy(row, x + r * stride + k, n * sizeof *row);
            if (round)
                for (uint32_t i = 0; i < n; i++)
                    row[i] = f32_from_bf16(bf16_from_f32(row[i]));
            float *to = a + (size_t)k * n_row + r;
            for (uint32_t i = 0; i < n; i++)
                to[(size_t)i * n_row] = row[i];
        }
    }
}

static void interleave_bf16(uint16_t *a, const float *x, size_t stride, uint32_t n_row, uint32_t n_k)
{
    uint16_t row[CHUNK];
    uint32_t pair;
    for (uint32_t k = 0; k < n_k; k += CHUNK) {
        uint32_t n = n_k - k < CHUNK ? n_k - k : CHUNK;
        for (uint32_t r = 0; r < n_row; r++) {
            bf16_from_f32_row(row, x + r * stride + k, n);
            if (n % 2)
                row[n] = 0;
            uint16_t *to = a + (size_t)k * n_row + 2 * r;
            for (uint32_t i = 0; i < n; i += 2) {
                memcpy(&pair, row + i, sizeof pair);
                memcpy(to + (size_t)i * n_row, &pair, sizeof pair);
            }
        }
    }
}

/* n elements of a row in the panel's type. */
static void convert_row(void *to, enum elem_type to_type, const void *from, enum elem_type from_type,
                        uint32_t n)
{
    float x[CHUNK];
    if (to_type == from_type) {
        memcpy(to, from, n * (to_type == ELEM_F32 ? sizeof(float) : sizeof(uint16_t)));
        return;
    }
    BUG_ON(to_type != ELEM_BF16);
    if (from_type == ELEM_F32) {
        memcpy(x, from, n * sizeof *x);
    } else {
        uint16_t h[CHUNK];
        memcpy(h, from, n * sizeof *h);
        f32_from_f16_row(x, h, n);
    }
    bf16_from_f32_row(to, x, n);
}

/* A row's chunk is read whole, then spread over the chunk's part of the panel, which stays in L1. Walking the
 * rows inside instead would put 16 lines into the same few sets when row_bytes is a power of two. */
static void pack_panel(void *panel, enum elem_type to, const uint8_t *rows, size_t row_bytes, uint32_t n_row,
                       uint32_t n_k, enum elem_type from)
{
    size_t from_bytes = from == ELEM_F32 ? 4 : 2;
    uint32_t per_word = to == ELEM_BF16 ? 2 : 1;
    uint32_t row[CHUNK];
    uint16_t *half = (uint16_t *)row;
    for (uint32_t k = 0; k < n_k; k += CHUNK) {
        uint32_t n = n_k - k < CHUNK ? n_k - k : CHUNK, n_word = (n + per_word - 1) / per_word;
        size_t at = (size_t)(k / per_word) * PANEL_COLS;
        for (uint32_t r = 0; r < PANEL_COLS; r++) {
            memset(row, 0, sizeof row);
            if (r < n_row)
                convert_row(row, to, rows + r * row_bytes + k * from_bytes, from, n);
            if (to == ELEM_F16)
                for (uint32_t i = 0; i < n_word; i++)
                    ((uint16_t *)panel)[at + (size_t)i * PANEL_COLS + r] = half[i];
            else
                for (uint32_t i = 0; i < n_word; i++)
                    ((uint32_t *)panel)[at + (size_t)i * PANEL_COLS + r] = row[i];
        }
    }
}

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

const struct elementwise_kernels JOIN(elementwise_, KERNEL_LEVEL) = {
    .rms_norm = rms_norm,
    .gate_silu = gate_silu,
    .add = add,
    .rotate = rotate,
    .f32_from_bf16 = f32_from_bf16_row,
    .f32_from_f16 = f32_from_f16_row,
    .bf16_from_f32 = bf16_from_f32_row,
    .softmax = softmax,
    .blend = blend,
    .scale = scale,
    .interleave_f32 = interleave_f32,
    .interleave_bf16 = interleave_bf16,
    .pack_panel = pack_panel,
};

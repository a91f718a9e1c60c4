/* The kernel table: everything of the CPU device that exists once per instruction-set level.
 *
 * A level is picked once, when the device opens; all work then goes through its pointers. Kernels know no
 * programs, pages or threads: they get pointers and counts. Every kernel computes an output element as one
 * fixed chain of operations, whatever its neighbours are: that is what makes answers independent of the
 * batch. */
#ifndef BACKEND_CPU_KERNELS_INT_H
#define BACKEND_CPU_KERNELS_INT_H

#include "quant/matrix.h"

/* Weights and keys are stored in panels of this many columns: one 512-bit register of float32. */
#define PANEL_COLS 16
/* No level has a register tile of more rows. */
#define TILE_ROWS_MAX 12

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* ---- linear: y[r][c] (+)= sum_k a[r][k] * w[c][k] + bias[c] ----
 *
 * A panel holds 16 columns c for all k, in k order:
 *   bf16: [ceil(k / 2)][16][2], the missing odd k as zero; all others: [k][16].
 * Columns beyond n_col are present in the panel as zeros. Activations are interleaved by row:
 *   float: [k][n_row]; bf16 pairs: [ceil(k / 2)][n_row][2], the missing odd k as zero. */
struct linear_tile {
    const void *a;
    uint32_t n_row; /* 1 .. linear_kernels.max_rows */
    uint32_t k;
    uint32_t n_col;
    const uint8_t *w; /* panel p at w + p * panel_bytes ... */
    size_t panel_bytes;
    const void *const *panels; /* ... or, when not NULL, at panels[p] */
    float *y;                  /* y[r * y_stride + c] */
    size_t y_stride;
    const float *bias; /* [n_col] or NULL */
    bool accumulate;   /* y holds something to add to */
};

struct linear_kernels {
    uint32_t max_rows;
    bool bf16_activations; /* a is bf16 pairs; else float */
    /* By the type that the panels hold; NULL where this set has none. */
    void (*tile[ELEM_TYPE_COUNT])(const struct linear_tile *t);
};

extern const struct linear_kernels linear_scalar, linear_avx2, linear_avx512, linear_avx512_bf16;

static ALWAYS_INLINE const uint8_t *linear_panel(const struct linear_tile *t, uint32_t p)
{
    return t->panels ? t->panels[p] : t->w + p * t->panel_bytes;
}

static inline size_t panel_bytes(enum elem_type type, uint32_t k)
{
    size_t n_k = type == ELEM_BF16 ? ((size_t)k + 1) / 2 * 2 : k;
    return n_k * PANEL_COLS * elem_format_get(type)->elem_bytes;
}

/* Where k of a column is, in elements. */
static inline size_t panel_index(enum elem_type type, size_t k, size_t column)
{
    return type == ELEM_BF16 ? (k / 2 * PANEL_COLS + column) * 2 + k % 2 : k * PANEL_COLS + column;
}

/* ---- decoding: a panel of codes becomes one of numbers ---- */
struct decode_tile {
    enum quant_code code;
    const float *table;   /* [16] of a code of 4 bits, else NULL */
    const uint8_t *codes; /* 64 (4 bits) or 128 (8 bits) bytes for each 8 of k: see decode.c */
    uint32_t k;
    const void *scale; /* [n_group][16] */
    enum elem_type scale_type;
    const int8_t *zero; /* [n_group][16] or NULL: none */
    uint32_t group_size;
    const uint32_t *group_of; /* [k] or NULL: k / group_size */
    float divisor;
    enum elem_type value_type;
    enum elem_type to; /* ELEM_BF16 or ELEM_F32 */
    void *panel;       /* as linear_tile has it */
};

struct decode_kernels {
    /* The same bytes at every level. */
    void (*decode)(const struct decode_tile *t);
    /* Multiplies one row by the panel as it is decoded: to the bytes that decode() and this level's linear
     * tile give, `to` telling the type between them, the row's w not read. `pairs`: row->a is bf16 pairs.
     * False, and nothing done, where this level or the panel's groups need the two steps. */
    bool (*multiply)(const struct decode_tile *t, const struct linear_tile *row, bool pairs);
};

extern const struct decode_kernels decode_scalar, decode_avx2, decode_avx512, decode_avx512_bf16;

/* ---- attention: acc[r][i] += sum_t p[r][t] * v_t[i] for t in [begin, end), in t order ----
 *
 * Token t is row t % 16 of block v[t / 16], d floats or bf16 each, d a multiple of 16. */
struct attention_tile {
    const float *p; /* p[r * p_stride + t] */
    size_t p_stride;
    const void *const *v;
    uint32_t begin, end;
    uint32_t n_row, d;
    float *acc; /* acc[r * d + i] */
};

/* Codes [n_row][n_col] of keys or values become float32: y = code * scale of its row or of its column, n_col
 * a multiple of 16, y aligned to 64. */
struct dequantise_tile {
    enum elem_type type; /* f16 or one of 8 bits */
    const void *x;
    float *y;
    uint32_t n_row, n_col;
    bool by_row;
    const float *scale; /* [n_row] by row, else [16] for columns 0 .. 15, 16 .. 31, ... */
};

struct attention_kernels {
    void (*weigh_f32)(const struct attention_tile *t);
    void (*weigh_bf16)(const struct attention_tile *t);
    /* The same bytes at every level. */
    void (*dequantise)(const struct dequantise_tile *t);
};

extern const struct attention_kernels attention_scalar, attention_avx2, attention_avx512;

/* ---- elementwise: one body for every level, same bytes at every level ---- */
struct elementwise_kernels {
    /* y[i] = x[i] / sqrt(mean(x^2) + eps) * scale[i]; y may be x. */
    void (*rms_norm)(float *y, const float *x, const float *scale, uint32_t n, float eps);
    /* y[i] = gate[i] * sigmoid(gate[i]) * up[i]; y may be gate or up. */
    void (*gate_silu)(float *y, const float *gate, const float *up, size_t n);
    void (*add)(float *y, const float *x, size_t n);
    /* Pairs x[i] with x[half + i], cos and sin in table[i] and table[half + i]. */
    void (*rotate)(float *x, const float *table, uint32_t half);
    void (*f32_from_bf16)(float *y, const uint16_t *x, size_t n);
    void (*f32_from_f16)(float *y, const uint16_t *x, size_t n);
    void (*bf16_from_f32)(uint16_t *y, const float *x, size_t n);
    /* score[i] becomes exp(score[i] - max), with n a multiple of 16; -infinity becomes 0. Gives the maximum
     * and the sum. At least one score must be finite. */
    void (*softmax)(float *score, uint32_t n, float *max, float *sum);
    /* y[i] = y[i] * a + x[i] * b */
    void (*blend)(float *y, float a, const float *x, float b, uint32_t n);
    void (*scale)(float *y, const float *x, float a, uint32_t n);
    /* Interleaves n_row rows of n_k floats, `stride` apart, as linear_tile.a wants them. `round`: to bf16 and
     * back. */
    void (*interleave_f32)(float *a, const float *x, size_t stride, uint32_t n_row, uint32_t n_k, bool round);
    void (*interleave_bf16)(uint16_t *a, const float *x, size_t stride, uint32_t n_row, uint32_t n_k);
    /* One panel of type `to` from n_row (1..16) rows of n_k elements of type `from`, row_bytes apart. */
    void (*pack_panel)(void *panel, enum elem_type to, const uint8_t *rows, size_t row_bytes, uint32_t n_row,
                       uint32_t n_k, enum elem_type from);
};

extern const struct elementwise_kernels elementwise_scalar, elementwise_avx2, elementwise_avx512;

/* ---- levels ---- */
struct kernel_level {
    const char *name;
    const struct elementwise_kernels *elementwise;
    const struct linear_kernels *linear_f32;  /* float activations as they are */
    const struct linear_kernels *linear_bf16; /* activations rounded to bf16, bf16 panels */
    const struct attention_kernels *attention;
    const struct decode_kernels *decode;
};

#endif

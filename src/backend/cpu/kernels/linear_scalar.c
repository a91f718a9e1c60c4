/* Linear tiles in plain C: the level that every machine has.
 *
 * Same panels, same chain along k, no instruction assumed: slow, and the yardstick for reading the others. */
#include "backend/cpu/kernels/kernels_int.h"
#include "quant/convert.h"
#include <string.h>

#define ROWS_MAX 4

static ALWAYS_INLINE float weight_at(const uint8_t *panel, enum elem_type type, uint32_t k, uint32_t c)
{
    uint16_t h;
    float f;
    switch (type) {
    case ELEM_F32:
        memcpy(&f, panel + ((size_t)k * PANEL_COLS + c) * 4, sizeof f);
        return f;
    case ELEM_F16:
        memcpy(&h, panel + ((size_t)k * PANEL_COLS + c) * 2, sizeof h);
        return f32_from_f16(h);
    default:
        memcpy(&h, panel + (((size_t)k / 2 * PANEL_COLS + c) * 2 + k % 2) * 2, sizeof h);
        return f32_from_bf16(h);
    }
}

static void store_panel(const struct linear_tile *t, uint32_t p, float acc[ROWS_MAX][PANEL_COLS])
{
    uint32_t first = p * PANEL_COLS, n = t->n_col - first < PANEL_COLS ? t->n_col - first : PANEL_COLS;
    for (uint32_t r = 0; r < t->n_row; r++) {
        float *y = t->y + r * t->y_stride + first;
        for (uint32_t c = 0; c < n; c++) {
            float v = acc[r][c] + (t->bias ? t->bias[first + c] : 0);
            y[c] = t->accumulate ? y[c] + v : v;
        }
    }
}

static ALWAYS_INLINE void run(const struct linear_tile *t, enum elem_type type)
{
    const float *a = t->a;
    for (uint32_t p = 0; p * PANEL_COLS < t->n_col; p++) {
        const uint8_t *panel = linear_panel(t, p);
        float acc[ROWS_MAX][PANEL_COLS] = {{0}};
        for (uint32_t k = 0; k < t->k; k++) {
            float w[PANEL_COLS];
            for (uint32_t c = 0; c < PANEL_COLS; c++)
                w[c] = weight_at(panel, type, k, c);
            for (uint32_t r = 0; r < t->n_row; r++)
                for (uint32_t c = 0; c < PANEL_COLS; c++)
                    acc[r][c] += a[(size_t)k * t->n_row + r] * w[c];
        }
        store_panel(t, p, acc);
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

const struct linear_kernels linear_scalar = {
    .max_rows = ROWS_MAX,
    .tile = {[ELEM_F32] = tile_f32, [ELEM_F16] = tile_f16, [ELEM_BF16] = tile_bf16},
};

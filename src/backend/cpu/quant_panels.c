/* Panels of codes: what the device keeps of a quantised weight.
 *
 * A panel is the codes of 16 columns (see kernels/decode.c), then their scales [n_group][16] in the type that
 * the checkpoint has them in, then their zeros [n_group][16] if there are any. It is made from 16 rows of the
 * matrix, which are read from the source, or computed, for that: no more of a matrix than that is ever held
 * in another form. Whoever multiplies decodes a block of panels into its own scratch first. */
#include "backend/cpu/cpu_int.h"
#include <string.h>

static size_t codes_bytes(const struct quant_matrix *m)
{
    return (size_t)ceil_div(m->n_col, 8) * quant_code_get(m->code)->bits / 4 * 64;
}

static size_t scales_bytes(const struct quant_matrix *m)
{
    return (size_t)m->n_group * PANEL_COLS * elem_format_get(m->scale_type)->elem_bytes;
}

size_t quant_panel_bytes(const struct quant_matrix *m)
{
    size_t zeros = m->has_zeros ? (size_t)m->n_group * PANEL_COLS : 0;
    return round_up(codes_bytes(m) + scales_bytes(m) + zeros, 64);
}

size_t quant_scratch_bytes(const struct quant_matrix *m)
{
    return quant_panel_bytes(m) + quant_rows_bytes(m, PANEL_COLS);
}

/* The codes of one column, 32 bits for each 4 of 8 bits or 8 of 4 bits: of those the second four lie in the
 * high halves of the bytes of the first four. Columns of `n_col` codes, padded with zeros. */
static void pack_codes(const uint8_t *code, uint32_t n_col, uint32_t bits, uint32_t column, uint8_t *to)
{
    uint32_t step = 32 / bits;
    for (uint32_t k = 0; k < n_col; k += step) {
        uint32_t word[2] = {0, 0}, left = n_col - k;
        memcpy(word, code + k, left < step ? left : step);
        uint32_t packed = bits == 8 ? word[0] : word[0] | word[1] << 4;
        memcpy(to + (k / step * PANEL_COLS + column) * sizeof packed, &packed, sizeof packed);
    }
}

void quant_pack_panel(const struct quant_matrix *m, uint32_t panel, void *rows_memory, uint8_t *to)
{
    const struct elem_format *scale = elem_format_get(m->scale_type);
    uint32_t first = panel * PANEL_COLS, left = m->n_row - first, n = left < PANEL_COLS ? left : PANEL_COLS;
    struct quant_rows rows = quant_rows_place(m, n, rows_memory);
    uint8_t *scales = to + codes_bytes(m), *zeros = scales + scales_bytes(m);
    quant_matrix_rows(m, first, n, &rows);
    memset(to, 0, quant_panel_bytes(m)); /* columns beyond the matrix, k beyond n_col */
    for (uint32_t c = 0; c < n; c++) {
        pack_codes(rows.code + (size_t)c * m->n_col, m->n_col, quant_code_get(m->code)->bits, c, to);
        for (uint32_t g = 0; g < m->n_group; g++) {
            size_t at = (size_t)g * PANEL_COLS + c, from = (size_t)c * m->n_group + g;
            scale->encode(scales + at * scale->elem_bytes, &rows.scale[from], 1);
            if (m->has_zeros)
                zeros[at] = (uint8_t)rows.zero[from];
        }
    }
}

static struct decode_tile panel_tile(const struct weight *w, const uint8_t *packed)
{
    const struct quant_matrix *m = w->quant;
    return (struct decode_tile){
        .code = m->code,
        .table = quant_code_get(m->code)->value,
        .codes = packed,
        .k = m->n_col,
        .scale = packed + codes_bytes(m),
        .scale_type = m->scale_type,
        .zero = m->has_zeros ? (const int8_t *)(packed + codes_bytes(m) + scales_bytes(m)) : NULL,
        .group_size = m->group_size,
        .group_of = m->group_of,
        .divisor = m->divisor,
        .value_type = m->value_type,
        .to = w->store,
    };
}

void quant_decode_panel(const struct cpu *cpu, const struct weight *w, const uint8_t *packed, uint8_t *to)
{
    struct decode_tile t = panel_tile(w, packed);
    t.panel = to;
    cpu->level->decode->decode(&t);
}

bool quant_multiply_panel(const struct cpu *cpu, const struct weight *w, const uint8_t *packed,
                          const struct linear_tile *row)
{
    struct decode_tile t = panel_tile(w, packed);
    return cpu->level->decode->multiply(&t, row, cpu->linear->bf16_activations);
}

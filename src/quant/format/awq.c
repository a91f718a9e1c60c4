/* AWQ, layout "gemm": 4-bit whole numbers, packed eight outputs a word in an order of its own.
 *
 * qweight [n_in, n_out / 8], qzeros [n_group, n_out / 8], scales [n_group, n_out]. Outputs 0 .. 7 of a word
 * lie in its nibbles 0, 4, 1, 5, 2, 6, 3, 7. */
#include "quant/matrix_int.h"

#define BITS     4
#define PER_WORD 8

enum { QWEIGHT, QZEROS, SCALES };

static uint32_t code_at(const struct quant_tensor *t, const struct quant_matrix *m, uint32_t line,
                        uint32_t row)
{
    static const uint8_t nibble[PER_WORD] = {0, 4, 1, 5, 2, 6, 3, 7};
    const uint32_t *words = t->data;
    return packed_code(words[(size_t)line * (m->n_row / PER_WORD) + row / PER_WORD], BITS,
                       nibble[row % PER_WORD]);
}

static enum status open(struct quant_matrix *m, const struct quant_config *c,
                        const struct quant_source *source, struct err *e)
{
    (void)source;
    const struct quant_tensor *t = m->tensor;
    m->code = CODE_INT4;
    m->has_zeros = true;
    quant_groups(m, c->group_size);
    if (m->n_row % PER_WORD)
        return tensor_refuse(e, &t[QWEIGHT], ST_INVALID, "%u outputs cannot be packed %d a word", m->n_row,
                             PER_WORD);
    enum status st = tensor_expect(&t[QWEIGHT], DTYPE_BIT(DTYPE_I32), 2, m->n_col, m->n_row / PER_WORD, e);
    if (st == ST_OK)
        st = tensor_expect(&t[QZEROS], DTYPE_BIT(DTYPE_I32), 2, m->n_group, m->n_row / PER_WORD, e);
    if (st == ST_OK)
        st = quant_column_scales(m, &t[SCALES], e);
    return st;
}

static void rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row, const struct quant_rows *out)
{
    for (uint32_t k = 0; k < m->n_col; k++)
        for (uint32_t r = 0; r < n_row; r++)
            out->code[(size_t)r * m->n_col + k] = (uint8_t)code_at(&m->tensor[QWEIGHT], m, k, first + r);
    quant_column_scales_read(m, &m->tensor[SCALES], first, n_row, out);
    for (uint32_t g = 0; g < m->n_group; g++)
        for (uint32_t r = 0; r < n_row; r++)
            out->zero[(size_t)r * m->n_group + g] =
                int_zero(code_at(&m->tensor[QZEROS], m, g, first + r), BITS);
}

const struct quant_format quant_format_awq = {
    .methods = METHOD_BIT(QUANT_AWQ),
    .key_dtypes = DTYPE_BIT(DTYPE_I32),
    .part = {{"qweight", false}, {"qzeros", false}, {"scales", false}},
    .open = open,
    .rows = rows,
};

/* GPTQ: whole numbers of 4 or 8 bits, packed into 32-bit words along the inputs.
 *
 * qweight [n_in * bits / 32, n_out], qzeros [n_group, n_out * bits / 32], scales [n_group, n_out], g_idx
 * [n_in]: the group of each input, which need not be in order ("act-order"). Stored zeros are one less than
 * the zeros, modulo 2^bits; checkpoint_format gptq_v2 stores the zeros themselves. */
#include "quant/matrix_int.h"
#include <string.h>

enum { QWEIGHT, QZEROS, SCALES, G_IDX };

static uint32_t zero_at(const struct quant_matrix *m, uint32_t group, uint32_t row)
{
    uint32_t per_word = 32 / m->bits;
    const uint32_t *zeros = m->tensor[QZEROS].data;
    uint32_t z =
        packed_code(zeros[(size_t)group * (m->n_row / per_word) + row / per_word], m->bits, row % per_word);
    return m->plain_zeros ? z : (z + 1) & ((1u << m->bits) - 1);
}

/* Symmetric quantisation has one zero everywhere, the middle: then no zeros need be kept. */
static bool zeros_are_common(const struct quant_matrix *m)
{
    for (uint32_t g = 0; g < m->n_group; g++)
        for (uint32_t r = 0; r < m->n_row; r++)
            if (int_zero(zero_at(m, g, r), m->bits) != 0)
                return false;
    return true;
}

static enum status open(struct quant_matrix *m, const struct quant_config *c,
                        const struct quant_source *source, struct err *e)
{
    (void)source;
    uint32_t per_word = 32 / c->bits;
    const struct quant_tensor *t = m->tensor;
    m->code = c->bits == 4 ? CODE_INT4 : CODE_INT8;
    m->bits = c->bits;
    m->plain_zeros = c->plain_zeros;
    quant_groups(m, c->group_size);
    if (m->n_col % per_word || m->n_row % per_word)
        return tensor_refuse(e, &t[QWEIGHT], ST_INVALID,
                             "a matrix [%u, %u] cannot be packed %u numbers a word", m->n_row, m->n_col,
                             per_word);
    enum status st = tensor_expect(&t[QWEIGHT], DTYPE_BIT(DTYPE_I32), 2, m->n_col / per_word, m->n_row, e);
    if (st == ST_OK)
        st = tensor_expect(&t[QZEROS], DTYPE_BIT(DTYPE_I32), 2, m->n_group, m->n_row / per_word, e);
    if (st == ST_OK)
        st = quant_column_scales(m, &t[SCALES], e);
    if (st == ST_OK && t[G_IDX].data)
        st = quant_groups_listed(m, &t[G_IDX], e);
    if (st == ST_OK)
        m->has_zeros = !zeros_are_common(m);
    return st;
}

static void rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row, const struct quant_rows *out)
{
    uint32_t bits = m->bits, per_word = 32 / bits;
    const uint32_t *words = m->tensor[QWEIGHT].data;
    for (uint32_t w = 0; w < m->n_col / per_word; w++)
        for (uint32_t r = 0; r < n_row; r++) {
            uint32_t word = words[(size_t)w * m->n_row + first + r];
            uint8_t *code = out->code + (size_t)r * m->n_col + (size_t)w * per_word;
            for (uint32_t i = 0; i < per_word; i++)
                code[i] = int_code(packed_code(word, bits, i), bits);
        }
    quant_column_scales_read(m, &m->tensor[SCALES], first, n_row, out);
    for (uint32_t g = 0; m->has_zeros && g < m->n_group; g++)
        for (uint32_t r = 0; r < n_row; r++)
            out->zero[(size_t)r * m->n_group + g] = int_zero(zero_at(m, g, first + r), bits);
}

const struct quant_format quant_format_gptq = {
    .methods = METHOD_BIT(QUANT_GPTQ),
    .key_dtypes = DTYPE_BIT(DTYPE_I32),
    .part = {{"qweight", false}, {"qzeros", false}, {"scales", false}, {"g_idx", true}},
    .open = open,
    .rows = rows,
};

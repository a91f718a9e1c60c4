/* compressed-tensors, "pack-quantized": whole numbers of 4 or 8 bits in 32-bit words along a row, padded at
 * its end.
 *
 * weight_packed [n_out, ceil(n_in * bits / 32)], codes counted from 0 with the middle as zero; weight_scale
 * for each group, row, or all; weight_zero_point: packed alike but along the outputs, or, from older
 * versions, plain and counted from the middle; weight_g_idx: the group of each input, or -1 everywhere for
 * the common groups. */
#include "quant/matrix_int.h"

enum { PACKED, SCALE, ZERO_POINT, G_IDX };

static uint32_t words_of(uint32_t n, uint32_t bits)
{
    return n / (32 / bits) + (n % (32 / bits) != 0);
}

static int8_t zero_at(const struct quant_matrix *m, uint32_t group, uint32_t row)
{
    const struct quant_tensor *t = &m->tensor[ZERO_POINT];
    uint32_t per_word = 32 / m->bits;
    if (t->dtype == DTYPE_I8)
        return ((const int8_t *)t->data)[(size_t)row * m->n_group + group];
    uint32_t word = ((const uint32_t *)t->data)[(size_t)(row / per_word) * m->n_group + group];
    return int_zero(packed_code(word, m->bits, row % per_word), m->bits);
}

static enum status check_zeros(struct quant_matrix *m, struct err *e)
{
    const struct quant_tensor *t = &m->tensor[ZERO_POINT];
    if (!t->data)
        return ST_OK;
    bool plain = t->dtype == DTYPE_I8;
    enum status st = tensor_expect(t, DTYPE_BIT(DTYPE_I8) | DTYPE_BIT(DTYPE_I32), 2,
                                   plain ? m->n_row : words_of(m->n_row, m->bits), m->n_group, e);
    for (uint32_t r = 0; r < m->n_row && st == ST_OK && !m->has_zeros; r++)
        for (uint32_t g = 0; g < m->n_group; g++)
            m->has_zeros |= zero_at(m, g, r) != 0;
    return st;
}

static enum status check_groups(struct quant_matrix *m, struct err *e)
{
    const struct quant_tensor *t = &m->tensor[G_IDX];
    if (!t->data)
        return ST_OK;
    bool unused = t->dtype == DTYPE_I32 && t->n_bytes >= 4 && ((const int32_t *)t->data)[0] == -1;
    return unused ? ST_OK : quant_groups_listed(m, t, e);
}

static enum status open(struct quant_matrix *m, const struct quant_config *c,
                        const struct quant_source *source, struct err *e)
{
    (void)source;
    const struct quant_tensor *t = m->tensor;
    m->bits = c->bits;
    if (m->bits == 0) /* several kinds in one checkpoint: the shape tells which this is */
        m->bits = t[PACKED].n_dim == 2 && t[PACKED].dim[1] == words_of(m->n_col, 8) ? 8 : 4;
    m->code = m->bits == 4 ? CODE_INT4 : CODE_INT8;
    enum status st =
        tensor_expect(&t[PACKED], DTYPE_BIT(DTYPE_I32), 2, m->n_row, words_of(m->n_col, m->bits), e);
    if (st == ST_OK)
        st = quant_row_scales(m, &t[SCALE], c->group_size, e);
    if (st == ST_OK)
        st = check_zeros(m, e);
    if (st == ST_OK)
        st = check_groups(m, e);
    return st;
}

static void rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row, const struct quant_rows *out)
{
    uint32_t bits = m->bits, per_word = 32 / bits;
    size_t n_word = words_of(m->n_col, bits);
    for (uint32_t r = 0; r < n_row; r++) {
        const uint32_t *words = (const uint32_t *)m->tensor[PACKED].data + (first + r) * n_word;
        for (uint32_t k = 0; k < m->n_col; k++)
            out->code[(size_t)r * m->n_col + k] =
                int_code(packed_code(words[k / per_word], bits, k % per_word), bits);
        for (uint32_t g = 0; m->has_zeros && g < m->n_group; g++)
            out->zero[(size_t)r * m->n_group + g] = zero_at(m, g, first + r);
    }
    quant_row_scales_read(m, &m->tensor[SCALE], first, n_row, out);
}

const struct quant_format quant_format_packed = {
    .methods = METHOD_BIT(QUANT_COMPRESSED_TENSORS),
    .key_dtypes = DTYPE_BIT(DTYPE_I32),
    .part = {{"weight_packed", false},
             {"weight_scale", false},
             {"weight_zero_point", true},
             {"weight_g_idx", true}},
    .open = open,
    .rows = rows,
};

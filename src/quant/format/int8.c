/* compressed-tensors, "int-quantized": 8-bit whole numbers as they are.
 *
 * weight [n_out, n_in], weight_scale for each group, row, or all; weight_zero_point of the scale's shape or
 * none. Activations are not rounded to 8 bits. */
#include "quant/matrix_int.h"
#include <string.h>

enum { WEIGHT, SCALE, ZERO_POINT };

static enum status open(struct quant_matrix *m, const struct quant_config *c,
                        const struct quant_source *source, struct err *e)
{
    (void)source;
    const struct quant_tensor *t = m->tensor;
    m->code = CODE_INT8;
    enum status st = tensor_expect(&t[WEIGHT], DTYPE_BIT(DTYPE_I8), 2, m->n_row, m->n_col, e);
    if (st == ST_OK)
        st = quant_row_scales(m, &t[SCALE], c->group_size, e);
    if (st != ST_OK || !t[ZERO_POINT].data)
        return st;
    uint64_t n = t[ZERO_POINT].n_bytes;
    if (t[ZERO_POINT].dtype != DTYPE_I8 || (n != 1 && n != (uint64_t)m->n_row * m->n_group))
        return tensor_refuse(e, &t[ZERO_POINT], ST_INVALID,
                             "expected I8, one number for each scale or one for all");
    for (uint64_t i = 0; i < n; i++)
        m->has_zeros |= ((const int8_t *)t[ZERO_POINT].data)[i] != 0;
    return ST_OK;
}

static void rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row, const struct quant_rows *out)
{
    const struct quant_tensor *zero = &m->tensor[ZERO_POINT];
    size_t n_group = m->n_group;
    memcpy(out->code, (const uint8_t *)m->tensor[WEIGHT].data + (size_t)first * m->n_col,
           (size_t)n_row * m->n_col);
    quant_row_scales_read(m, &m->tensor[SCALE], first, n_row, out);
    if (m->has_zeros && zero->n_bytes == 1)
        memset(out->zero, *(const int8_t *)zero->data, n_row * n_group);
    else if (m->has_zeros)
        memcpy(out->zero, (const int8_t *)zero->data + first * n_group, n_row * n_group);
}

const struct quant_format quant_format_int8 = {
    .methods = METHOD_BIT(QUANT_COMPRESSED_TENSORS),
    .key_dtypes = DTYPE_BIT(DTYPE_I8),
    .part = {{"weight", false}, {"weight_scale", false}, {"weight_zero_point", true}},
    .open = open,
    .rows = rows,
};

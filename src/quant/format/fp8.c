/* e4m3 weights with scales: quant_method fp8 and fbgemm_fp8, compressed-tensors "float-quantized".
 *
 * weight [n_out, n_in]; its scale, a factor in spite of the name weight_scale_inv, is one for all, for each
 * row, or for each block of block_rows x block_cols. Scales of activations (input_scale, activation_scale_ub)
 * are not used: activations are not rounded to 8 bits. */
#include "quant/matrix_int.h"
#include <string.h>

enum { WEIGHT, SCALE, SCALE_INV };

static const struct quant_tensor *scale_of(const struct quant_matrix *m)
{
    return &m->tensor[m->tensor[SCALE].data ? SCALE : SCALE_INV];
}

static uint64_t blocks_of(uint32_t n, uint32_t block)
{
    return (n - 1) / block + 1;
}

static enum status open(struct quant_matrix *m, const struct quant_config *c,
                        const struct quant_source *source, struct err *e)
{
    (void)source;
    const struct quant_tensor *weight = &m->tensor[WEIGHT], *scale = scale_of(m);
    m->code = CODE_FP8_E4M3;
    enum status st = tensor_expect(weight, DTYPE_BIT(DTYPE_F8_E4M3), 2, m->n_row, m->n_col, e);
    if (st != ST_OK)
        return st;
    if (!scale->data)
        return tensor_refuse(e, weight, ST_NOT_FOUND,
                             "neither its weight_scale nor its weight_scale_inv is there");
    bool by_block = c->block_rows && scale->n_dim == 2 &&
                    scale->dim[0] == blocks_of(m->n_row, c->block_rows) &&
                    scale->dim[1] == blocks_of(m->n_col, c->block_cols);
    if (!by_block)
        return quant_row_scales(m, scale, c->group_size, e);
    quant_groups(m, c->block_cols);
    m->block_rows = c->block_rows;
    st = tensor_expect_finite(scale, e);
    if (st == ST_OK)
        m->scale_type = tensor_dtype_get(scale->dtype)->elem;
    return st;
}

static void rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row, const struct quant_rows *out)
{
    memcpy(out->code, (const uint8_t *)m->tensor[WEIGHT].data + (size_t)first * m->n_col,
           (size_t)n_row * m->n_col);
    if (!m->block_rows) {
        quant_row_scales_read(m, scale_of(m), first, n_row, out);
        return;
    }
    for (uint32_t r = 0; r < n_row; r++)
        tensor_numbers(scale_of(m), (uint64_t)((first + r) / m->block_rows) * m->n_group, m->n_group,
                       out->scale + (size_t)r * m->n_group);
}

const struct quant_format quant_format_fp8 = {
    .methods = METHOD_BIT(QUANT_FP8) | METHOD_BIT(QUANT_COMPRESSED_TENSORS),
    .key_dtypes = DTYPE_BIT(DTYPE_F8_E4M3),
    .part = {{"weight", false}, {"weight_scale", true}, {"weight_scale_inv", true}},
    .open = open,
    .rows = rows,
};

/* bitsandbytes nf4 and fp4 as save_pretrained writes them: codes of the flat matrix, two a byte, high nibble
 * first.
 *
 * weight U8 [ceil(n / 2), 1]; absmax: a scale for each block of flat codes, float32, or 8 bits with a table
 * (nested_quant_map), scales of their own (nested_absmax, for each nested block) and an offset; quant_state:
 * a JSON object with the sizes. Numbers were rounded to the dtype that the matrix had before. */
#include "quant/matrix_int.h"
#include <math.h>

#define BLOCK_MAX 65536

enum { WEIGHT, ABSMAX, MAP, NESTED_ABSMAX, NESTED_MAP, STATE_NF4, STATE_FP4 };

static const struct quant_tensor *state_of(const struct quant_matrix *m)
{
    return &m->tensor[m->tensor[STATE_NF4].data ? STATE_NF4 : STATE_FP4];
}

static enum status read_count(const struct quant_matrix *m, const struct quant_source *source,
                              const char *field, uint32_t *out, struct err *e)
{
    double n;
    if (!source->number(source->arg, state_of(m), field, &n) || !(n >= 1 && n <= BLOCK_MAX) || n != floor(n))
        return tensor_refuse(e, state_of(m), ST_INVALID, "its `%s` is not a whole number from 1 to %d", field,
                             BLOCK_MAX);
    *out = (uint32_t)n;
    return ST_OK;
}

static enum status read_dtype(struct quant_matrix *m, const struct quant_source *source, struct err *e)
{
    static const struct {
        struct str name;
        enum elem_type type;
    } types[] = {{STR("float16"), ELEM_F16}, {STR("bfloat16"), ELEM_BF16}, {STR("float32"), ELEM_F32}};
    char text[32] = "";
    if (source->text(source->arg, state_of(m), "dtype", text, sizeof text))
        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            if (str_eq(str_from(text), types[i].name)) {
                m->value_type = types[i].type;
                return ST_OK;
            }
    return tensor_refuse(e, state_of(m), ST_INVALID, "its `dtype` is not float16, bfloat16 or float32");
}

static enum status check_map(const struct quant_matrix *m, struct err *e)
{
    const float *value = quant_code_get(m->code)->value, *map = m->tensor[MAP].data;
    enum status st = tensor_expect(&m->tensor[MAP], DTYPE_BIT(DTYPE_F32), 1, 16, 0, e);
    for (int i = 0; i < 16 && st == ST_OK; i++)
        if (!(fabsf(map[i] - value[i]) <= 1e-6f))
            st = tensor_refuse(e, &m->tensor[MAP], ST_UNSUPPORTED, "not the table of %s",
                               quant_code_get(m->code)->name);
    return st;
}

/* The scales of scales. */
static enum status check_nested(struct quant_matrix *m, const struct quant_source *source, uint64_t n_block,
                                struct err *e)
{
    const struct quant_tensor *t = m->tensor;
    double offset;
    enum status st = read_count(m, source, "nested_blocksize", &m->block_cols, e);
    if (st != ST_OK)
        return st;
    if (!source->number(source->arg, state_of(m), "nested_offset", &offset) || !isfinite((float)offset))
        return tensor_refuse(e, state_of(m), ST_INVALID, "its `nested_offset` is not a finite number");
    m->offset = (float)offset;
    if (!t[NESTED_ABSMAX].data || !t[NESTED_MAP].data)
        return tensor_refuse(e, &t[ABSMAX], ST_NOT_FOUND, "nested_absmax or nested_quant_map is missing");
    st = tensor_expect(&t[ABSMAX], DTYPE_BIT(DTYPE_U8), 1, n_block, 0, e);
    if (st == ST_OK)
        st = tensor_expect(&t[NESTED_ABSMAX], DTYPE_BIT(DTYPE_F32), 1, (n_block - 1) / m->block_cols + 1, 0,
                           e);
    if (st == ST_OK)
        st = tensor_expect(&t[NESTED_MAP], DTYPE_BIT(DTYPE_F32), 1, 256, 0, e);
    if (st == ST_OK)
        st = tensor_expect_finite(&t[NESTED_ABSMAX], e);
    const float *map = t[NESTED_MAP].data;
    for (int i = 0; i < 256 && st == ST_OK; i++)
        if (!(fabsf(map[i]) <= 1))
            st = tensor_refuse(e, &t[NESTED_MAP], ST_INVALID, "not all of its numbers lie between -1 and 1");
    return st;
}

static uint32_t greatest_common_divisor(uint32_t a, uint32_t b)
{
    return b == 0 ? a : greatest_common_divisor(b, a % b);
}

static enum status open(struct quant_matrix *m, const struct quant_config *c,
                        const struct quant_source *source, struct err *e)
{
    (void)c;
    const struct quant_tensor *t = m->tensor;
    uint64_t n = (uint64_t)m->n_row * m->n_col;
    if (!state_of(m)->data)
        return tensor_refuse(e, &t[WEIGHT], ST_NOT_FOUND,
                             "its quant_state.bitsandbytes__nf4 (or __fp4) is missing");
    m->code = state_of(m) == &t[STATE_NF4] ? CODE_NF4 : CODE_FP4;
    enum status st = tensor_expect(&t[WEIGHT], DTYPE_BIT(DTYPE_U8), 2, n / 2 + n % 2, 1, e);
    if (st == ST_OK)
        st = read_count(m, source, "blocksize", &m->block_size, e);
    if (st == ST_OK)
        st = read_dtype(m, source, e);
    if (st == ST_OK)
        st = check_map(m, e);
    if (st != ST_OK)
        return st;
    uint64_t n_block = (n - 1) / m->block_size + 1;
    /* A block may begin within a row: the groups are what both cuts leave whole. */
    quant_groups(m, greatest_common_divisor(m->n_col, m->block_size));
    if (t[ABSMAX].dtype == DTYPE_U8)
        return check_nested(m, source, n_block, e);
    st = tensor_expect(&t[ABSMAX], DTYPE_BIT(DTYPE_F32), 1, n_block, 0, e);
    return st == ST_OK ? tensor_expect_finite(&t[ABSMAX], e) : st;
}

static float scale_at(const struct quant_matrix *m, uint64_t block)
{
    const struct quant_tensor *t = m->tensor;
    if (t[ABSMAX].dtype == DTYPE_F32)
        return ((const float *)t[ABSMAX].data)[block];
    float value = ((const float *)t[NESTED_MAP].data)[((const uint8_t *)t[ABSMAX].data)[block]];
    return value * ((const float *)t[NESTED_ABSMAX].data)[block / m->block_cols] + m->offset;
}

static void rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row, const struct quant_rows *out)
{
    const uint8_t *bytes = m->tensor[WEIGHT].data;
    uint64_t flat = (uint64_t)first * m->n_col;
    size_t n = (size_t)n_row * m->n_col;
    for (size_t i = 0; i < n; i++)
        out->code[i] = (flat + i) % 2 ? bytes[(flat + i) / 2] & 15 : bytes[(flat + i) / 2] >> 4;
    for (size_t g = 0; g < (size_t)n_row * m->n_group; g++)
        out->scale[g] = scale_at(m, (flat + g * m->group_size) / m->block_size);
}

const struct quant_format quant_format_bnb4 = {
    .methods = METHOD_BIT(QUANT_BITSANDBYTES_NF4) | METHOD_BIT(QUANT_BITSANDBYTES_FP4),
    .key_dtypes = DTYPE_BIT(DTYPE_U8),
    .part = {{"weight", false},
             {"weight.absmax", false},
             {"weight.quant_map", false},
             {"weight.nested_absmax", true},
             {"weight.nested_quant_map", true},
             {"weight.quant_state.bitsandbytes__nf4", true},
             {"weight.quant_state.bitsandbytes__fp4", true}},
    .open = open,
    .rows = rows,
};

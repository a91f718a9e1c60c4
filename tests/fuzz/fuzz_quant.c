/* A module in a quantised format, damaged: shapes, dtypes, missing tensors, any bytes as codes, scales and
 * groups. What is accepted must give all its rows without reading outside its tensors. */
#include "../quant_module.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *p;
    size_t n, at;
};

static uint32_t take(struct input *in, uint32_t below)
{
    return in->at < in->n ? in->p[in->at++] % below : 0;
}

static void make_nf4(struct quant_module *m, uint32_t n_row, uint32_t n_col, uint32_t block)
{
    uint32_t n = n_row * n_col, n_block = (n - 1) / block + 1;
    module_add(m, "weight", DTYPE_U8, 2, n / 2 + n % 2, 1);
    module_add(m, "weight.absmax", DTYPE_U8, 1, n_block, 0);
    float *map = module_add(m, "weight.quant_map", DTYPE_F32, 1, 16, 0);
    module_add(m, "weight.nested_absmax", DTYPE_F32, 1, (n_block - 1) / 4 + 1, 0);
    module_add(m, "weight.nested_quant_map", DTYPE_F32, 1, 256, 0);
    char *state = module_add(m, "weight.quant_state.bitsandbytes__nf4", DTYPE_U8, 1, 128, 0);
    memcpy(map, quant_code_get(CODE_NF4)->value, 16 * sizeof *map);
    snprintf(state, 128, "blocksize=%u dtype=float16 nested_blocksize=4 nested_offset=0.5 ", block);
}

static void make(struct quant_module *m, const struct quant_config *c, uint32_t n_row, uint32_t n_col,
                 uint32_t more)
{
    uint32_t group = c->group_size ? c->group_size : n_col, n_group = (n_col - 1) / group + 1,
             per = 32 / c->bits;
    if (c->on_the_fly) {
        module_plain(m, (enum tensor_dtype)(more % 3), n_row, n_col);
    } else if (c->method == QUANT_GPTQ) {
        module_gptq(m, c, n_row, n_col, more % 2);
    } else if (c->method == QUANT_AWQ) {
        module_awq(m, c, n_row, n_col);
    } else if (c->method == QUANT_FP8) {
        module_fp8(m, c, n_row, n_col);
    } else if (c->method == QUANT_COMPRESSED_TENSORS && more % 2) {
        module_int8(m, n_row, n_col, more & 2);
    } else if (c->method == QUANT_COMPRESSED_TENSORS) {
        module_add(m, "weight_packed", DTYPE_I32, 2, n_row, (n_col - 1) / per + 1);
        module_add(m, "weight_scale", DTYPE_F16, 2, n_row, n_group);
        module_add(m, "weight_zero_point", DTYPE_I32, 2, (n_row - 1) / per + 1, n_group);
        module_add(m, "weight_g_idx", DTYPE_I32, 1, n_col, 0);
    } else {
        make_nf4(m, n_row, n_col, 1 + more);
    }
}

/* One tensor gets another shape, dtype or name, and bytes of the input as its data. */
static void damage(struct quant_module *m, struct input *in)
{
    struct quant_tensor *t = &m->tensor[take(in, m->n)];
    uint64_t n = 1;
    switch (take(in, 6)) {
    case 0:
        t->dim[take(in, 2)] = take(in, 70);
        break;
    case 1:
        t->n_dim = take(in, 4);
        break;
    case 2:
        t->dtype = (enum tensor_dtype)take(in, TENSOR_DTYPE_COUNT);
        break;
    case 3:
        t->name = STR("gone");
        break;
    default:
        break;
    }
    for (uint32_t i = 0; i < t->n_dim; i++)
        n *= t->dim[i];
    t->n_bytes = n * tensor_dtype_get(t->dtype)->bytes;
    free((void *)(uintptr_t)t->data);
    uint8_t *p = malloc(t->n_bytes ? t->n_bytes : 1);
    for (uint64_t i = 0; i < t->n_bytes; i++)
        p[i] = (uint8_t)take(in, 256);
    t->data = p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size, 0};
    struct quant_module m = {.n = 0};
    struct quant_matrix *q;
    struct quant_config c = {.method = (enum quant_method)(1 + take(&in, QUANT_METHOD_COUNT - 1))};
    c.on_the_fly = quant_method_is_on_the_fly(c.method) && take(&in, 2);
    c.bits = take(&in, 2) ? 4 : 8;
    c.group_size = take(&in, 40);
    c.plain_zeros = take(&in, 2);
    c.block_rows = take(&in, 9);
    c.block_cols = c.block_rows ? 1 + take(&in, 20) : 0;
    uint32_t n_row = 1 + take(&in, 40), n_col = 1 + take(&in, 64), more = take(&in, 64);
    if (c.method == QUANT_EETQ || c.method == QUANT_BITSANDBYTES)
        c.on_the_fly = true; /* there are no checkpoints of these */
    make(&m, &c, n_row, n_col, more);
    for (uint32_t i = take(&in, 4); i > 0; i--)
        damage(&m, &in);
    if (module_open(&m, &c, n_row, n_col, &q, NULL) == ST_OK && q) {
        void *memory = malloc(quant_rows_bytes(q, n_row));
        float *y = malloc((size_t)n_row * n_col * sizeof *y);
        struct quant_rows rows = quant_rows_place(q, n_row, memory);
        quant_matrix_rows(q, 0, n_row, &rows);
        quant_rows_decode(q, &rows, n_row, y);
        free(y);
        free(memory);
        quant_matrix_close(q);
    }
    module_free(&m);
    return 0;
}

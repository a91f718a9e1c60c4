/* Linear operations by quantised weights: the numbers that a device multiplies are those that quant/ says
 * they are, and the bytes of an answer depend on its own row alone.
 *
 * A unit vector as input picks one column of the weights: the sum has one product that is not zero, so it is
 * exact, and in bf16 compute the weight's bf16. */
#include "kernels/harness.h"
#include "quant_module.h"

struct quant_case {
    const char *what;
    struct quant_config config;
    uint32_t n_row, n_col;
    enum { GPTQ, ACT_ORDER, AWQ, FP8, INT8, INT8_ZEROS, PLAIN_F16, PLAIN_BF16 } kind;
};

static const struct quant_case cases[] = {
    {"gptq", {.method = QUANT_GPTQ, .bits = 4, .group_size = 32}, 48, 96, GPTQ},
    {"gptq, last group short", {.method = QUANT_GPTQ, .bits = 4, .group_size = 40}, 24, 96, GPTQ},
    {"gptq, act-order", {.method = QUANT_GPTQ, .bits = 4, .group_size = 32}, 40, 104, ACT_ORDER},
    {"gptq 8 bit", {.method = QUANT_GPTQ, .bits = 8}, 20, 36, GPTQ},
    {"gptq 8 bit, act-order", {.method = QUANT_GPTQ, .bits = 8, .group_size = 12}, 4, 60, ACT_ORDER},
    {"awq", {.method = QUANT_AWQ, .bits = 4, .group_size = 64}, 72, 128, AWQ},
    {"awq, odd columns", {.method = QUANT_AWQ, .bits = 4, .group_size = 10}, 8, 37, AWQ},
    {"fp8 rows", {.method = QUANT_FP8}, 33, 51, FP8},
    {"fp8 blocks", {.method = QUANT_FP8, .block_rows = 16, .block_cols = 24}, 39, 100, FP8},
    {"int8", {.method = QUANT_COMPRESSED_TENSORS}, 17, 65, INT8},
    {"int8, zeros", {.method = QUANT_COMPRESSED_TENSORS}, 31, 40, INT8_ZEROS},
    {"eetq", {.method = QUANT_EETQ, .on_the_fly = true}, 50, 77, PLAIN_BF16},
    {"bitsandbytes", {.method = QUANT_BITSANDBYTES, .on_the_fly = true}, 16, 72, PLAIN_F16},
    {"nf4 of f16", {.method = QUANT_BITSANDBYTES_NF4, .on_the_fly = true}, 20, 128, PLAIN_F16},
    {"nf4 of bf16", {.method = QUANT_BITSANDBYTES_NF4, .on_the_fly = true}, 80, 64, PLAIN_BF16},
    {"fp4, blocks over rows", {.method = QUANT_BITSANDBYTES_FP4, .on_the_fly = true}, 23, 52, PLAIN_F16},
    {"fp8 made", {.method = QUANT_FP8, .on_the_fly = true}, 18, 130, PLAIN_BF16},
};

#define N_CASE (sizeof cases / sizeof *cases)

struct opened {
    struct quant_module module;
    struct quant_matrix *matrix;
    float *number; /* [n_row][n_col] */
};

static struct opened open_case(const struct quant_case *c)
{
    struct opened o = {.module = {.n = 0}};
    struct err e;
    switch (c->kind) {
    case GPTQ:
    case ACT_ORDER:
        module_gptq(&o.module, &c->config, c->n_row, c->n_col, c->kind == ACT_ORDER);
        break;
    case AWQ:
        module_awq(&o.module, &c->config, c->n_row, c->n_col);
        break;
    case FP8:
        module_fp8(&o.module, &c->config, c->n_row, c->n_col);
        break;
    case INT8:
    case INT8_ZEROS:
        module_int8(&o.module, c->n_row, c->n_col, c->kind == INT8_ZEROS);
        break;
    case PLAIN_F16:
    case PLAIN_BF16:
        module_plain(&o.module, c->kind == PLAIN_F16 ? DTYPE_F16 : DTYPE_BF16, c->n_row, c->n_col);
        break;
    }
    if (module_open(&o.module, &c->config, c->n_row, c->n_col, &o.matrix, &e) != ST_OK)
        fail_msg("%s: %s", c->what, e.text);
    assert_non_null(o.matrix);
    void *memory = malloc(quant_rows_bytes(o.matrix, c->n_row));
    struct quant_rows rows = quant_rows_place(o.matrix, c->n_row, memory);
    o.number = malloc((size_t)c->n_row * c->n_col * sizeof *o.number);
    quant_matrix_rows(o.matrix, 0, c->n_row, &rows);
    quant_rows_decode(o.matrix, &rows, c->n_row, o.number);
    free(memory);
    return o;
}

static void close_case(struct opened *o)
{
    quant_matrix_close(o->matrix);
    module_free(&o->module);
    free(o->number);
}

/* How a product is asked for. */
struct way {
    const char *isa; /* NULL: the reference */
    enum compute_type compute;
    unsigned n_threads;
    bool settle, onto; /* onto: with a bias, added to what is there */
};

/* Rows first .. first + n - 1 of x times the weight, owned by the caller. */
static float *multiply(struct way way, const struct opened *o, const struct tensor *x, uint32_t first,
                       uint32_t n)
{
    struct device *d = device_open(way.isa, way.compute, way.n_threads);
    struct tensor bias = tensor_random(20, ELEM_F32, 1, o->matrix->n_row, 1),
                  before = tensor_random(21, ELEM_F32, first + n, o->matrix->n_row, 1);
    struct plain_batch b;
    plain_batch_init(&b, n);
    for (uint32_t i = 0; i < n; i++)
        b.id[i] = (int32_t)(first + i);
    device_begin(d, n);
    struct linear_part part = {.weight = device_quantised(d, o->matrix), .accumulate = way.onto};
    uint32_t in = device_input(d, x);
    part.bias = way.onto ? device_weight(d, &bias, WEIGHT_VECTOR) : NULL;
    part.y = way.onto ? device_input(d, &before) : program_value(&d->program, n, o->matrix->n_row);
    program_op(&d->program, OP_LINEAR)->linear = (struct op_linear){.x = in, .n_part = 1, .part = {part}};
    if (way.settle)
        device_settle(d);
    device_run(d, &b.in);
    float *got = copy_floats(device_read(d, part.y), (size_t)n * o->matrix->n_row);
    plain_batch_fini(&b);
    device_close(d);
    tensor_free(&bias);
    tensor_free(&before);
    return got;
}

static struct tensor unit_vectors(uint32_t n)
{
    struct tensor x = tensor_random(1, ELEM_F32, n, n, 0);
    memset(x.data, 0, (size_t)n * n * sizeof(float));
    for (uint32_t i = 0; i < n; i++)
        ((float *)x.data)[(size_t)i * n + i] = 1;
    return x;
}

static void check_numbers(struct way way, const struct quant_case *c, const struct opened *o)
{
    struct tensor x = unit_vectors(c->n_col);
    float *y = multiply(way, o, &x, 0, c->n_col);
    for (uint32_t r = 0; r < c->n_row; r++)
        for (uint32_t k = 0; k < c->n_col; k++) {
            float want = o->number[(size_t)r * c->n_col + k], got = y[(size_t)k * c->n_row + r];
            if (way.compute == COMPUTE_BF16)
                want = f32_from_bf16(bf16_from_f32(want));
            if (got != want)
                fail_msg("%s, %s, %s: [%u][%u] is %.9g, not %.9g", c->what, way.isa ? way.isa : "ref",
                         way.compute == COMPUTE_BF16 ? "bf16" : "f32", r, k, (double)got, (double)want);
        }
    free(y);
    tensor_free(&x);
}

static void test_numbers_are_exact(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (size_t i = 0; i < N_CASE; i++) {
        struct opened o = open_case(&cases[i]);
        for (unsigned bf16 = 0; bf16 < 2; bf16++) {
            struct way way = {.compute = bf16 ? COMPUTE_BF16 : COMPUTE_F32, .n_threads = 2};
            check_numbers(way, &cases[i], &o);
            for (unsigned j = 0; j < 2 * n_isa; j++) {
                way.isa = isa[j / 2];
                way.settle = j % 2;
                check_numbers(way, &cases[i], &o);
            }
        }
        close_case(&o);
    }
}

/* All rows at once, then parts of them, one row first: the same bytes. */
static void check_rows(struct way way, const struct opened *o)
{
    const uint32_t n = 41, n_out = o->matrix->n_row;
    struct tensor x = tensor_random(3, ELEM_F32, n, o->matrix->n_col, 1);
    way.n_threads = 1;
    way.settle = true;
    float *want = multiply(way, o, &x, 0, n);
    for (way.n_threads = 1; way.n_threads <= 3; way.n_threads++) {
        way.settle = way.n_threads == 2;
        float *got = multiply(way, o, &x, 0, n);
        assert_same(way.isa, got, want, (size_t)n * n_out);
        free(got);
    }
    way.n_threads = 1;
    static const uint32_t parts[] = {1, 1, 3, 5, 7, 9, 1, 12, 2};
    for (uint32_t row = 0, i = 0; row < n; row += parts[i++]) {
        way.settle = i % 2;
        float *got = multiply(way, o, &x, row, parts[i]);
        assert_same(way.isa, got, want + (size_t)row * n_out, (size_t)parts[i] * n_out);
        free(got);
    }
    free(want);
    tensor_free(&x);
}

static void test_bytes_depend_on_the_row_alone(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (size_t i = 0; i < N_CASE; i++) {
        struct opened o = open_case(&cases[i]);
        for (unsigned j = 0; j < n_isa * 4; j++)
            check_rows(
                (struct way){.isa = isa[j / 4], .compute = j & 1 ? COMPUTE_BF16 : COMPUTE_F32, .onto = j & 2},
                &o);
        close_case(&o);
    }
}

/* Codes, scales in their own type, zeros: 4 bits must be about a quarter of 16, 8 bits about half. */
static void test_memory_is_what_the_format_promises(void **state)
{
    (void)state;
    static const struct {
        struct quant_case c;
        double bits;
    } rows[] = {
        {{"", {.method = QUANT_AWQ, .bits = 4, .group_size = 128}, 512, 1024, AWQ}, 4 + 24.0 / 128},
        {{"", {.method = QUANT_GPTQ, .bits = 4, .group_size = 64}, 512, 1024, GPTQ}, 4 + 24.0 / 64},
        {{"", {.method = QUANT_BITSANDBYTES_NF4, .on_the_fly = true}, 512, 1024, PLAIN_BF16}, 4 + 32.0 / 64},
        {{"", {.method = QUANT_EETQ, .on_the_fly = true}, 512, 1024, PLAIN_BF16}, 8 + 32.0 / 1024},
        {{"", {.method = QUANT_FP8, .on_the_fly = true}, 512, 1024, PLAIN_BF16}, 8 + 32.0 / 1024},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct opened o = open_case(&rows[i].c);
        struct device *d = device_open("scalar", COMPUTE_BF16, 1);
        struct weight *w = device_quantised(d, o.matrix);
        double bits = (double)d->b->vt->weight_bytes(d->b, w) * 8 / (512 * 1024);
        assert_true(bits >= rows[i].bits && bits < rows[i].bits + 0.1);
        device_close(d);
        close_case(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_exact),
        cmocka_unit_test(test_bytes_depend_on_the_row_alone),
        cmocka_unit_test(test_memory_is_what_the_format_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

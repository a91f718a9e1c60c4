/* Linear operations at every level against the reference, and against themselves.
 *
 * Tolerance: a float32 chain over K products errs by at most (K + 1) roundings of the sum of |x w| (one
 * rounding each time, two for a bf16 pair; Higham, "Accuracy and Stability of Numerical Algorithms", 3.1),
 * bias and what is added to by a few more. Inputs are rounded alike on both sides, so nothing else differs.
 * The reference itself gives the sum of |x w|, from the absolute inputs. */
#include "kernels/harness.h"

#define PARTS_MAX 3

struct linear_case {
    enum compute_type compute;
    enum elem_type type;
    uint32_t n_row, k, n_part, n_out[PARTS_MAX];
    bool bias, accumulate;
};

struct operands {
    struct tensor x, w[PARTS_MAX], bias[PARTS_MAX], before[PARTS_MAX];
};

static struct operands operands_new(const struct linear_case *c)
{
    struct operands o = {.x = tensor_random(1, ELEM_F32, c->n_row, c->k, 1)};
    for (uint32_t i = 0; i < c->n_part; i++) {
        o.w[i] = tensor_random(10 + i, c->type, c->n_out[i], c->k, 0.5f);
        o.bias[i] = tensor_random(20 + i, ELEM_F32, 1, c->n_out[i], 2);
        o.before[i] = tensor_random(30 + i, ELEM_F32, c->n_row, c->n_out[i], 3);
    }
    return o;
}

static struct operands operands_absolute(const struct operands *o, uint32_t n_part)
{
    struct operands a = {.x = tensor_absolute(&o->x)};
    for (uint32_t i = 0; i < n_part; i++) {
        a.w[i] = tensor_absolute(&o->w[i]);
        a.bias[i] = tensor_absolute(&o->bias[i]);
        a.before[i] = tensor_absolute(&o->before[i]);
    }
    return a;
}

static void operands_free(struct operands *o)
{
    tensor_free(&o->x);
    for (int i = 0; i < PARTS_MAX; i++) {
        tensor_free(&o->w[i]);
        tensor_free(&o->bias[i]);
        tensor_free(&o->before[i]);
    }
}

struct outputs {
    float *y[PARTS_MAX];
};

static void outputs_free(struct outputs *o)
{
    for (int i = 0; i < PARTS_MAX; i++)
        free(o->y[i]);
}

/* Rows first .. first + n_row - 1 of the case's x. */
static struct outputs run_rows(const char *isa, const struct linear_case *c, const struct operands *o,
                               unsigned n_threads, bool settle, uint32_t first, uint32_t n_row)
{
    struct device *d = device_open(isa, c->compute, n_threads);
    struct plain_batch b;
    struct op_linear op = {.n_part = c->n_part};
    plain_batch_init(&b, n_row);
    for (uint32_t i = 0; i < n_row; i++)
        b.id[i] = (int32_t)(first + i);
    device_begin(d, n_row);
    op.x = device_input(d, &o->x);
    for (uint32_t i = 0; i < c->n_part; i++)
        op.part[i] = (struct linear_part){
            .weight = device_weight(d, &o->w[i], WEIGHT_LINEAR),
            .bias = c->bias ? device_weight(d, &o->bias[i], WEIGHT_VECTOR) : NULL,
            .y = c->accumulate ? device_input(d, &o->before[i])
                               : program_value(&d->program, n_row, c->n_out[i]),
            .accumulate = c->accumulate,
        };
    program_op(&d->program, OP_LINEAR)->linear = op;
    if (settle)
        device_settle(d);
    device_run(d, &b.in);
    struct outputs y = {{0}};
    for (uint32_t i = 0; i < c->n_part; i++)
        y.y[i] = copy_floats(device_read(d, op.part[i].y), (size_t)n_row * c->n_out[i]);
    plain_batch_fini(&b);
    device_close(d);
    return y;
}

static const struct linear_case cases[] = {
    {COMPUTE_F32, ELEM_F32, 1, 64, 1, {64}, false, false},
    {COMPUTE_F32, ELEM_F32, 7, 172, 2, {64, 33}, true, false},
    {COMPUTE_F32, ELEM_F32, 61, 37, 1, {100}, false, true},
    {COMPUTE_F32, ELEM_F16, 5, 65, 1, {17}, true, true},
    {COMPUTE_F32, ELEM_F16, 29, 130, 3, {48, 16, 15}, false, false},
    {COMPUTE_F32, ELEM_BF16, 1, 171, 1, {95}, false, true},
    {COMPUTE_F32, ELEM_BF16, 12, 1, 1, {1}, true, false},
    {COMPUTE_F32, ELEM_BF16, 64, 96, 2, {70, 130}, false, false},
    {COMPUTE_BF16, ELEM_BF16, 1, 64, 3, {64, 32, 32}, true, false},
    {COMPUTE_BF16, ELEM_BF16, 2, 173, 1, {64}, false, true},
    {COMPUTE_BF16, ELEM_BF16, 11, 3, 1, {200}, false, false},
    {COMPUTE_BF16, ELEM_BF16, 130, 257, 2, {257, 80}, true, true},
    {COMPUTE_BF16, ELEM_F32, 9, 172, 1, {64}, true, false},
    {COMPUTE_BF16, ELEM_F16, 16, 100, 1, {31}, false, false},
    {COMPUTE_BF16, ELEM_BF16, 40, 2048, 1, {352}, false, false}, /* activations shared by the team */
};

#define N_CASE (sizeof cases / sizeof *cases)

static void linear_equals_reference(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (size_t i = 0; i < N_CASE; i++) {
        const struct linear_case *c = &cases[i];
        struct operands o = operands_new(c), a = operands_absolute(&o, c->n_part);
        struct outputs want = run_rows(NULL, c, &o, 1, false, 0, c->n_row);
        struct outputs bound = run_rows(NULL, c, &a, 1, false, 0, c->n_row);
        for (unsigned j = 0; j < n_isa; j++) {
            struct outputs got = run_rows(isa[j], c, &o, 2, true, 0, c->n_row);
            for (uint32_t p = 0; p < c->n_part; p++) {
                char what[64];
                snprintf(what, sizeof what, "case %zu part %u %s", i, p, isa[j]);
                assert_near(what, got.y[p], want.y[p], bound.y[p], (c->k + 4) * ROUNDING, 1e-30,
                            (size_t)c->n_row * c->n_out[p]);
            }
            outputs_free(&got);
        }
        outputs_free(&want);
        outputs_free(&bound);
        operands_free(&o);
        operands_free(&a);
    }
}

/* Packed or not, whatever the number of threads, alone or among others: the same bytes. */
static void linear_bytes_depend_on_the_row_alone(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (size_t i = 0; i < N_CASE * n_isa; i++) {
        const struct linear_case *c = &cases[i / n_isa];
        struct operands o = operands_new(c);
        struct outputs want = run_rows(isa[i % n_isa], c, &o, 1, true, 0, c->n_row);
        for (unsigned threads = 1; threads <= 3; threads++) {
            struct outputs got = run_rows(isa[i % n_isa], c, &o, threads, threads == 2, 0, c->n_row);
            for (uint32_t p = 0; p < c->n_part; p++)
                assert_same(isa[i % n_isa], got.y[p], want.y[p], (size_t)c->n_row * c->n_out[p]);
            outputs_free(&got);
        }
        for (uint32_t row = 0, n = 1; row + n <= c->n_row && !c->accumulate; row += n, n = n % 13 + 2) {
            struct outputs got = run_rows(isa[i % n_isa], c, &o, 1, true, row, n);
            for (uint32_t p = 0; p < c->n_part; p++)
                assert_same(isa[i % n_isa], got.y[p], want.y[p] + (size_t)row * c->n_out[p],
                            (size_t)n * c->n_out[p]);
            outputs_free(&got);
        }
        outputs_free(&want);
        operands_free(&o);
    }
}

/* One weight as table and as matrix: rows come back out of the panels, the same before and after. */
static void tied_embedding_has_one_copy(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (unsigned i = 0; i < n_isa * 6; i++) {
        enum compute_type compute = i % 2 ? COMPUTE_BF16 : COMPUTE_F32;
        enum elem_type type = (enum elem_type)(i / 2 % 3);
        struct tensor table = tensor_random(5, type, 37, 67, 1);
        struct device *d = device_open(isa[i / 6], compute, 1);
        struct weight *w = device_weight(d, &table, WEIGHT_EMBED | WEIGHT_LINEAR);
        struct plain_batch b;
        plain_batch_init(&b, 37);
        device_begin(d, 37);
        uint32_t y = program_value(&d->program, 37, 67);
        program_op(&d->program, OP_EMBED)->embed = (struct op_embed){.table = w, .y = y};
        device_run(d, &b.in);
        float *before = copy_floats(device_read(d, y), 37 * 67), stored[67];
        device_settle(d);
        device_settle(d);
        memset(table.data, 0xff,
               37 * 67 * elem_format_get(type)->elem_bytes); /* released: must not be read */
        device_run(d, &b.in);
        assert_same("tied rows", device_read(d, y), before, 37 * 67);
        tensor_free(&table);
        table = tensor_random(5, type, 37, 67, 1);
        elem_format_get(type)->decode(stored, table.data, 67);
        assert_near("tied row 0", before, stored, stored, compute == COMPUTE_BF16 ? 0x1p-8 : 0, 0, 67);
        free(before);
        plain_batch_fini(&b);
        device_close(d);
        tensor_free(&table);
    }
}

static void unknown_isa_is_refused(void **state)
{
    (void)state;
    struct backend *b;
    struct err e;
    struct backend_options o = {.isa = "sse9"};
    assert_int_equal(backend_open("cpu", &o, &b, &e), ST_INVALID);
    assert_non_null(strstr(e.text, "sse9"));
    assert_non_null(strstr(e.text, "scalar"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_equals_reference),
        cmocka_unit_test(linear_bytes_depend_on_the_row_alone),
        cmocka_unit_test(tied_embedding_has_one_copy),
        cmocka_unit_test(unknown_isa_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

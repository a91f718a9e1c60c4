/* Elementwise operations at every level against the reference, and the same bytes at every level. */
#include "kernels/harness.h"
#include <math.h>

#define ROWS 5

static const uint32_t widths[] = {1, 15, 16, 64, 67, 172, 576};

/* The outputs of one program of all elementwise operations: norm, gated activation, sum, gathered rows. */
struct results {
    float *y[4];
};

static struct results run_all(const char *isa, enum compute_type compute, uint32_t n, unsigned n_threads)
{
    struct device *d = device_open(isa, compute, n_threads);
    struct tensor x = tensor_random(1, ELEM_F32, ROWS, n, 4), gate = tensor_random(2, ELEM_F32, ROWS, n, 100);
    struct tensor scale = tensor_random(3, ELEM_BF16, 1, n, 2);
    struct plain_batch b;
    uint32_t y[4];
    plain_batch_init(&b, ROWS);
    device_begin(d, ROWS);
    uint32_t vx = device_input(d, &x), vg = device_input(d, &gate);
    for (int i = 0; i < 4; i++)
        y[i] = program_value(&d->program, ROWS, n);
    program_op(&d->program, OP_RMS_NORM)->rms_norm = (struct op_rms_norm){
        .scale = device_weight(d, &scale, WEIGHT_VECTOR), .eps = 1e-5f, .x = vx, .y = y[0]};
    program_op(&d->program, OP_GATED_ACT)->gated_act =
        (struct op_gated_act){.act = GATE_SILU, .gate = vg, .up = vx, .y = y[1]};
    program_op(&d->program, OP_GATHER_ROWS)->gather_rows = (struct op_gather_rows){.x = vx, .y = y[2]};
    program_op(&d->program, OP_GATHER_ROWS)->gather_rows = (struct op_gather_rows){.x = vg, .y = y[3]};
    program_op(&d->program, OP_ADD)->add = (struct op_add){.x = vx, .y = y[3]};
    device_run(d, &b.in);
    struct results r;
    for (int i = 0; i < 4; i++)
        r.y[i] = copy_floats(device_read(d, y[i]), ROWS * n);
    plain_batch_fini(&b);
    device_close(d);
    tensor_free(&x);
    tensor_free(&gate);
    tensor_free(&scale);
    return r;
}

static void results_free(struct results *r)
{
    for (int i = 0; i < 4; i++)
        free(r->y[i]);
}

/* A norm: n / 16 + 4 roundings in the sum's lanes and tree, halved by the root, and 4 more. A gated
 * activation: an exponential within 2 units in the last place and 5 roundings; below -88 the gate counts as
 * -88, which moves a result of at most 1e-34. A sum: one rounding, as the reference's. */
static void elementwise_equals_reference(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        uint32_t n = widths[w], total = ROWS * n;
        struct results want = run_all(NULL, COMPUTE_F32, n, 1), first = run_all("scalar", COMPUTE_BF16, n, 1);
        for (unsigned i = 0; i < n_isa; i++) {
            struct results got = run_all(isa[i], COMPUTE_BF16, n, 1 + i % 3);
            assert_near("rms_norm", got.y[0], want.y[0], want.y[0], (n / 16 + 12) * ROUNDING, 0, total);
            assert_near("gated_act", got.y[1], want.y[1], want.y[1], 12 * ROUNDING, 1e-34, total);
            assert_same("gather_rows", got.y[2], want.y[2], total);
            assert_same("add", got.y[3], want.y[3], total);
            for (int j = 0; j < 4; j++)
                assert_same(isa[i], got.y[j], first.y[j], total);
            results_free(&got);
        }
        results_free(&want);
        results_free(&first);
    }
}

/* Angles are the same float32 numbers, their sine and cosine within one unit in the last place. */
static void rope_equals_reference(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    const uint32_t n_head = 6, n_kv = 2, d_head = 48, d_rope = 40, n = 20;
    struct tensor q = tensor_random(1, ELEM_F32, n, n_head * d_head, 2);
    struct tensor k = tensor_random(2, ELEM_F32, n, n_kv * d_head, 2);
    struct tensor inv_freq = tensor_random(3, ELEM_F32, 1, d_rope / 2, 1);
    float *want[3] = {0};
    const uint32_t cols[3] = {d_rope, n_head * d_head, n_kv * d_head};
    for (unsigned i = 0; i <= n_isa; i++) {
        struct device *d = device_open(i ? isa[i - 1] : NULL, COMPUTE_F32, 2);
        struct plain_batch b;
        plain_batch_init(&b, n);
        for (uint32_t r = 0; r < n; r++)
            b.pos[r] = r + 7;
        device_kv(d, &(struct kv_desc){.n_layer = 1, .n_kv_head = n_kv, .d_head = d_head, .n_page = 2});
        device_begin(d, n);
        uint32_t y[3] = {program_value(&d->program, n, d_rope), device_input(d, &q), device_input(d, &k)};
        program_op(&d->program, OP_ROPE_TABLE)->rope_table = (struct op_rope_table){
            .inv_freq = device_weight(d, &inv_freq, WEIGHT_VECTOR), .scale = 1.25f, .y = y[0]};
        program_op(&d->program, OP_ROPE_KV)->rope_kv = (struct op_rope_kv){.q = y[1],
                                                                           .k = y[2],
                                                                           .v = y[2],
                                                                           .table = y[0],
                                                                           .n_head = n_head,
                                                                           .n_kv_head = n_kv,
                                                                           .d_head = d_head,
                                                                           .d_rope = d_rope};
        device_run(d, &b.in);
        for (int j = 0; j < 3; j++)
            if (i == 0)
                want[j] = copy_floats(device_read(d, y[j]), n * cols[j]);
            else
                assert_near(isa[i - 1], device_read(d, y[j]), want[j], NULL, 0, 2 * 1.25 * 2 * 4 * ROUNDING,
                            n * cols[j]);
        plain_batch_fini(&b);
        device_close(d);
    }
    for (int j = 0; j < 3; j++)
        free(want[j]);
    tensor_free(&q);
    tensor_free(&k);
    tensor_free(&inv_freq);
}

/* A table that is only looked up is read in place, in any type. */
static void embed_reads_every_type(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (unsigned i = 0; i < n_isa * ELEM_TYPE_COUNT; i++) {
        struct tensor t = tensor_random(1, (enum elem_type)(i % ELEM_TYPE_COUNT), ROWS, 35, 9);
        struct device *d = device_open(isa[i / ELEM_TYPE_COUNT], COMPUTE_BF16, 1);
        float want[ROWS * 35];
        struct plain_batch b;
        plain_batch_init(&b, ROWS);
        device_begin(d, ROWS);
        uint32_t y = device_input(d, &t);
        device_settle(d);
        device_run(d, &b.in);
        elem_format_get(t.type)->decode(want, t.data, ROWS * 35);
        assert_same("embed", device_read(d, y), want, ROWS * 35);
        plain_batch_fini(&b);
        device_close(d);
        tensor_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementwise_equals_reference),
        cmocka_unit_test(rope_equals_reference),
        cmocka_unit_test(embed_reads_every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

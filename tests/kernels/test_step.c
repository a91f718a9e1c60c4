/* Whole steps of a small decoder: weights settling beside them, threads, and the promise to allocate nothing.
 *
 * This executable is linked with --wrap for the allocators, so that it can count what a run asks for. */
#include "base/thread.h"
#include "kernels/harness.h"
#include <math.h>
#include <stdatomic.h>

static atomic_uint n_alloc;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);

void *__wrap_malloc(size_t n)
{
    atomic_fetch_add(&n_alloc, 1);
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t each)
{
    atomic_fetch_add(&n_alloc, 1);
    return __real_calloc(n, each);
}

void *__wrap_realloc(void *p, size_t n)
{
    atomic_fetch_add(&n_alloc, 1);
    return __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    atomic_fetch_add(&n_alloc, 1);
    return __real_aligned_alloc(align, n);
}

enum { LAYERS = 2, D_MODEL = 72, N_HEAD = 6, N_KV = 2, D_HEAD = 16, D_FF = 172, N_VOCAB = 131, N_TOK = 37 };

struct layer {
    struct weight *norm[2], *q, *k, *v, *o, *gate, *up, *down;
};

struct decoder {
    struct device *d;
    struct weight *embed, *final_norm, *inv_freq;
    struct layer layer[LAYERS];
    struct tensor *tensors;
    unsigned n_tensor;
};

static struct weight *add(struct decoder *m, uint32_t n_row, uint32_t n_col, unsigned roles)
{
    struct tensor *t = &m->tensors[m->n_tensor];
    *t = tensor_random(500 + m->n_tensor, roles & WEIGHT_VECTOR ? ELEM_F32 : ELEM_BF16, n_row, n_col, 0.3f);
    m->n_tensor++;
    return device_weight(m->d, t, roles);
}

static struct decoder decoder_new(const char *isa, enum compute_type compute, enum kv_type kv,
                                  unsigned n_threads)
{
    struct decoder m = {.d = device_open_kv(isa, compute, kv, n_threads),
                        .tensors = calloc(WEIGHTS_MAX, sizeof *m.tensors)};
    m.embed = add(&m, N_VOCAB, D_MODEL, WEIGHT_EMBED | WEIGHT_LINEAR);
    m.final_norm = add(&m, 1, D_MODEL, WEIGHT_VECTOR);
    m.inv_freq = add(&m, 1, D_HEAD / 2, WEIGHT_VECTOR);
    for (int i = 0; i < LAYERS; i++)
        m.layer[i] = (struct layer){
            .norm = {add(&m, 1, D_MODEL, WEIGHT_VECTOR), add(&m, 1, D_MODEL, WEIGHT_VECTOR)},
            .q = add(&m, N_HEAD * D_HEAD, D_MODEL, WEIGHT_LINEAR),
            .k = add(&m, N_KV * D_HEAD, D_MODEL, WEIGHT_LINEAR),
            .v = add(&m, N_KV * D_HEAD, D_MODEL, WEIGHT_LINEAR),
            .o = add(&m, D_MODEL, N_HEAD * D_HEAD, WEIGHT_LINEAR),
            .gate = add(&m, D_FF, D_MODEL, WEIGHT_LINEAR),
            .up = add(&m, D_FF, D_MODEL, WEIGHT_LINEAR),
            .down = add(&m, D_MODEL, D_FF, WEIGHT_LINEAR),
        };
    device_kv(m.d, &(struct kv_desc){.n_layer = LAYERS, .n_kv_head = N_KV, .d_head = D_HEAD, .n_page = 8});
    return m;
}

static void decoder_free(struct decoder *m)
{
    device_close(m->d);
    for (unsigned i = 0; i < m->n_tensor; i++)
        tensor_free(&m->tensors[i]);
    free(m->tensors);
}

static void emit_linear(struct program *p, uint32_t x, uint32_t n_part, const struct linear_part *part)
{
    struct op_linear *o = &program_op(p, OP_LINEAR)->linear;
    o->x = x;
    o->n_part = n_part;
    memcpy(o->part, part, n_part * sizeof *part);
}

static void emit_norm(struct program *p, const struct weight *scale, uint32_t x, uint32_t y)
{
    program_op(p, OP_RMS_NORM)->rms_norm = (struct op_rms_norm){.scale = scale, .eps = 1e-5f, .x = x, .y = y};
}

/* The forward of n_tok rows; the value of the logits. */
static uint32_t emit(struct decoder *m, uint32_t n_tok)
{
    struct program *p = &m->d->program;
    device_begin(m->d, n_tok);
    uint32_t x = program_value(p, n_tok, D_MODEL), norm = program_value(p, n_tok, D_MODEL),
             rope = program_value(p, n_tok, D_HEAD), q = program_value(p, n_tok, N_HEAD * D_HEAD),
             k = program_value(p, n_tok, N_KV * D_HEAD), v = program_value(p, n_tok, N_KV * D_HEAD),
             attn = program_value(p, n_tok, N_HEAD * D_HEAD), gate = program_value(p, n_tok, D_FF),
             up = program_value(p, n_tok, D_FF), logits = program_value(p, n_tok, N_VOCAB);
    program_op(p, OP_EMBED)->embed = (struct op_embed){.table = m->embed, .y = x};
    program_op(p, OP_ROPE_TABLE)->rope_table =
        (struct op_rope_table){.inv_freq = m->inv_freq, .scale = 1, .y = rope};
    for (uint32_t i = 0; i < LAYERS; i++) {
        const struct layer *w = &m->layer[i];
        emit_norm(p, w->norm[0], x, norm);
        emit_linear(p, norm, 3,
                    (struct linear_part[]){
                        {.weight = w->q, .y = q}, {.weight = w->k, .y = k}, {.weight = w->v, .y = v}});
        program_op(p, OP_ROPE_KV)->rope_kv = (struct op_rope_kv){.q = q,
                                                                 .k = k,
                                                                 .v = v,
                                                                 .table = rope,
                                                                 .layer = i,
                                                                 .n_head = N_HEAD,
                                                                 .n_kv_head = N_KV,
                                                                 .d_head = D_HEAD,
                                                                 .d_rope = D_HEAD};
        program_op(p, OP_ATTENTION)->attention = (struct op_attention){.q = q,
                                                                       .y = attn,
                                                                       .layer = i,
                                                                       .n_head = N_HEAD,
                                                                       .n_kv_head = N_KV,
                                                                       .d_head = D_HEAD,
                                                                       .scale = 0.25f};
        emit_linear(p, attn, 1, &(struct linear_part){.weight = w->o, .y = x, .accumulate = true});
        emit_norm(p, w->norm[1], x, norm);
        emit_linear(p, norm, 2,
                    (struct linear_part[]){{.weight = w->gate, .y = gate}, {.weight = w->up, .y = up}});
        program_op(p, OP_GATED_ACT)->gated_act =
            (struct op_gated_act){.act = GATE_SILU, .gate = gate, .up = up, .y = gate};
        emit_linear(p, gate, 1, &(struct linear_part){.weight = w->down, .y = x, .accumulate = true});
    }
    emit_norm(p, m->final_norm, x, x);
    emit_linear(p, x, 1, &(struct linear_part){.weight = m->embed, .y = logits});
    return logits;
}

static float *run_once(struct decoder *m, uint32_t n_tok)
{
    struct plain_batch b;
    plain_batch_init(&b, n_tok);
    uint32_t logits = emit(m, n_tok);
    device_run(m->d, &b.in);
    plain_batch_fini(&b);
    return copy_floats(device_read(m->d, logits), (size_t)n_tok * N_VOCAB);
}

static void steps_are_the_same_with_any_number_of_threads(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (unsigned i = 0; i < 2 * n_isa * KV_TYPE_COUNT; i++) {
        float *want = NULL;
        for (unsigned threads = 1; threads <= 5; threads++) {
            struct decoder m = decoder_new(isa[i / 2 % n_isa], i % 2 ? COMPUTE_BF16 : COMPUTE_F32,
                                           (enum kv_type)(i / 2 / n_isa), threads);
            if (threads % 2)
                device_settle(m.d);
            float *got = run_once(&m, N_TOK);
            if (want) {
                assert_same(isa[i / 2 % n_isa], got, want, N_TOK * N_VOCAB);
                free(got);
            } else {
                want = got;
            }
            decoder_free(&m);
        }
        free(want);
    }
}

static void settle_all(void *arg)
{
    device_settle(arg);
}

/* A thread settles every weight while steps run: each step gives the bytes of the first. */
static void settling_beside_steps_changes_nothing(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (unsigned i = 0; i < n_isa; i++) {
        struct decoder m = decoder_new(isa[i], COMPUTE_BF16, KV_AS_COMPUTE, 2);
        float *want = run_once(&m, N_TOK);
        struct thread settler;
        assert_int_equal(thread_start(&settler, "settle", settle_all, m.d, NULL), ST_OK);
        for (int step = 0; step < 8; step++) {
            float *got = run_once(&m, N_TOK);
            assert_same(isa[i], got, want, N_TOK * N_VOCAB);
            free(got);
        }
        thread_join(&settler);
        float *got = run_once(&m, N_TOK);
        assert_same(isa[i], got, want, N_TOK * N_VOCAB);
        free(got);
        free(want);
        decoder_free(&m);
    }
}

/* After reserve() for the largest step, a step of any size allocates nothing. */
static void runs_allocate_nothing(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (unsigned i = 0; i < n_isa * KV_TYPE_COUNT; i++) {
        struct decoder m = decoder_new(isa[i % n_isa], COMPUTE_BF16, (enum kv_type)(i / n_isa), 2);
        struct plain_batch b;
        emit(&m, 60);
        assert_int_equal(m.d->b->vt->reserve(m.d->b, &m.d->program, NULL), ST_OK);
        for (uint32_t n = 60; n > 0; n = n > 13 ? n - 13 : n - 1) {
            plain_batch_init(&b, n);
            emit(&m, n);
            unsigned before = atomic_load(&n_alloc);
            assert_int_equal(m.d->b->vt->run(m.d->b, &m.d->program, &b.in, NULL), ST_OK);
            assert_int_equal(atomic_load(&n_alloc), before);
            plain_batch_fini(&b);
        }
        decoder_free(&m);
    }
}

/* The whole step against the reference. Each operation's own tolerance is proven elsewhere; here the
 * composition is, and errors of a few 1e-6 (f32) or of bf16 roundings that fall the other way (2^-9 of an
 * activation) pass through two layers: far less than any operation wired wrongly. */
static void step_equals_reference(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (unsigned compute = 0; compute < 2; compute++) {
        struct decoder ref = decoder_new(NULL, (enum compute_type)compute, KV_AS_COMPUTE, 1);
        float *want = run_once(&ref, N_TOK), largest = 0;
        for (size_t i = 0; i < N_TOK * N_VOCAB; i++)
            largest = fmaxf(largest, fabsf(want[i]));
        for (unsigned i = 0; i < n_isa; i++) {
            struct decoder m = decoder_new(isa[i], (enum compute_type)compute, KV_AS_COMPUTE, 2);
            float *got = run_once(&m, N_TOK);
            assert_near(isa[i], got, want, NULL, 0, (double)largest * (compute == COMPUTE_BF16 ? 1e-2 : 1e-5),
                        N_TOK * N_VOCAB);
            free(got);
            decoder_free(&m);
        }
        free(want);
        decoder_free(&ref);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_the_same_with_any_number_of_threads),
        cmocka_unit_test(settling_beside_steps_changes_nothing),
        cmocka_unit_test(runs_allocate_nothing),
        cmocka_unit_test(step_equals_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Attention over pages at every level against the reference, and against itself in other company.
 *
 * Keys are rotated by angle zero (inv_freq 0), so that both sides store the same numbers, whatever the
 * store's type makes of them: the type adds nothing to the tolerance. Tolerance, for a row that sees T
 * positions: a score is a chain of d products and errs by at most delta = (d + 4) roundings of the largest
 * sum of |q k| (taken as the scale times d times both maxima); a weight errs by a factor exp(2 delta) and a
 * few roundings, the weighted mean of values by that and T more roundings, times the largest value. */
#include "kernels/harness.h"
#include <math.h>

struct attention_case {
    enum compute_type compute;
    uint32_t n_head, n_kv_head, d_head, window, n_tok;
    enum kv_type kv; /* the tests go through all of them */
    const struct kv_scale *scale;
};

#define CASE(compute_, n_head_, n_kv_head_, d_head_, window_, n_tok_)                                        \
    {.compute = compute_,                                                                                    \
     .n_head = n_head_,                                                                                      \
     .n_kv_head = n_kv_head_,                                                                                \
     .d_head = d_head_,                                                                                      \
     .window = window_,                                                                                      \
     .n_tok = n_tok_}

static const struct attention_case cases[] = {
    CASE(COMPUTE_F32, 4, 4, 16, 0, 40),      CASE(COMPUTE_F32, 4, 1, 20, 7, 90),
    CASE(COMPUTE_F32, 8, 2, 64, 0, 300),     CASE(COMPUTE_F32, 2, 2, 6, 0, 17),
    CASE(COMPUTE_F32, 6, 2, 80, 300, 700),   CASE(COMPUTE_BF16, 4, 2, 32, 0, 530),
    CASE(COMPUTE_BF16, 9, 3, 64, 33, 130),   CASE(COMPUTE_BF16, 8, 1, 96, 0, 65),
    CASE(COMPUTE_BF16, 70, 1, 16, 0, 33),    CASE(COMPUTE_BF16, 2, 1, 256, 0, 270),
    CASE(COMPUTE_BF16, 4, 4, 128, 256, 600),
};

#define N_CASE   (sizeof cases / sizeof *cases)
#define N_TRIAL  (N_CASE + 6 * (KV_TYPE_COUNT - 1)) /* every case, then each other type of store with six */
#define RANGE    1.5f                               /* of queries, keys and values */
#define N_LAYER  2
#define LAYER    1
#define SEQS_MAX 3

static struct attention_case trial(size_t i)
{
    if (i < N_CASE)
        return cases[i];
    struct attention_case c = cases[(i - N_CASE) * 2 % N_CASE];
    c.kv = (enum kv_type)(1 + (i - N_CASE) % (KV_TYPE_COUNT - 1));
    return c;
}

/* Queries, keys and values of a sequence, one row a position. */
struct sequence {
    uint32_t n_tok;
    struct tensor q, k, v;
};

static struct sequence sequence_new(const struct attention_case *c, uint64_t seed, uint32_t n_tok)
{
    return (struct sequence){n_tok, tensor_random(seed, ELEM_F32, n_tok, c->n_head * c->d_head, RANGE),
                             tensor_random(seed + 1, ELEM_F32, n_tok, c->n_kv_head * c->d_head, RANGE),
                             tensor_random(seed + 2, ELEM_F32, n_tok, c->n_kv_head * c->d_head, RANGE)};
}

static void sequence_free(struct sequence *s)
{
    tensor_free(&s->q);
    tensor_free(&s->k);
    tensor_free(&s->v);
}

/* A device that computes steps over up to SEQS_MAX sequences: it keeps their tables as one. */
struct rig {
    struct device *d;
    const struct attention_case *c;
    uint32_t n_seq, first_id[SEQS_MAX], done[SEQS_MAX]; /* positions already in the store */
    struct tensor q, k, v, inv_freq;
    struct weight *table[4];
    float *y[SEQS_MAX]; /* outputs by position */
};

static const struct tensor *tensor_of(const struct sequence *s, int which)
{
    return which == 0 ? &s->q : which == 1 ? &s->k : &s->v;
}

/* One of the tensors of all sequences, row after row. */
static struct tensor stack(const struct sequence *s, uint32_t n_seq, int which)
{
    struct tensor t = {.type = ELEM_F32, .n_col = tensor_of(s, which)->n_col};
    size_t row_bytes = t.n_col * sizeof(float), at = 0;
    for (uint32_t i = 0; i < n_seq; i++)
        t.n_row += s[i].n_tok;
    t.data = malloc(t.n_row * row_bytes);
    for (uint32_t i = 0; i < n_seq; i++) {
        memcpy(t.data + at, tensor_of(&s[i], which)->data, s[i].n_tok * row_bytes);
        at += s[i].n_tok * row_bytes;
    }
    return t;
}

#define PAGES_EACH 64

static struct rig rig_new(const char *isa, unsigned n_threads, const struct attention_case *c,
                          const struct sequence *s, uint32_t n_seq)
{
    struct rig g = {.d = device_open_kv(isa, c->compute, c->kv, n_threads),
                    .c = c,
                    .n_seq = n_seq,
                    .q = stack(s, n_seq, 0),
                    .k = stack(s, n_seq, 1),
                    .v = stack(s, n_seq, 2),
                    .inv_freq = tensor_constant(c->d_head / 2, 0)};
    const struct tensor *t[4] = {&g.q, &g.k, &g.v, &g.inv_freq};
    device_kv(g.d, &(struct kv_desc){.n_layer = N_LAYER,
                                     .n_kv_head = c->n_kv_head,
                                     .d_head = c->d_head,
                                     .n_page = SEQS_MAX * PAGES_EACH,
                                     .scale = c->scale});
    for (int i = 0; i < 4; i++)
        g.table[i] = device_weight(g.d, t[i], i < 3 ? WEIGHT_EMBED : WEIGHT_VECTOR);
    for (uint32_t i = 0; i < n_seq; i++) {
        g.first_id[i] = i ? g.first_id[i - 1] + s[i - 1].n_tok : 0;
        g.y[i] = calloc((size_t)s[i].n_tok * c->n_head * c->d_head, sizeof(float));
    }
    return g;
}

static void rig_free(struct rig *g)
{
    device_close(g->d);
    tensor_free(&g->q);
    tensor_free(&g->k);
    tensor_free(&g->v);
    tensor_free(&g->inv_freq);
    for (uint32_t i = 0; i < g->n_seq; i++)
        free(g->y[i]);
}

static uint32_t build_step(struct rig *g, uint32_t n_tok)
{
    const struct attention_case *c = g->c;
    struct program *p = &g->d->program;
    const uint32_t cols[3] = {c->n_head * c->d_head, c->n_kv_head * c->d_head, c->n_kv_head * c->d_head};
    uint32_t in[3];
    device_begin(g->d, n_tok);
    for (int i = 0; i < 3; i++) {
        in[i] = program_value(p, n_tok, cols[i]);
        program_op(p, OP_EMBED)->embed = (struct op_embed){.table = g->table[i], .y = in[i]};
    }
    uint32_t rope = program_value(p, n_tok, c->d_head), y = program_value(p, n_tok, cols[0]);
    program_op(p, OP_ROPE_TABLE)->rope_table =
        (struct op_rope_table){.inv_freq = g->table[3], .scale = 1, .y = rope};
    program_op(p, OP_ROPE_KV)->rope_kv = (struct op_rope_kv){.q = in[0],
                                                             .k = in[1],
                                                             .v = in[2],
                                                             .table = rope,
                                                             .layer = LAYER,
                                                             .n_head = c->n_head,
                                                             .n_kv_head = c->n_kv_head,
                                                             .d_head = c->d_head,
                                                             .d_rope = c->d_head};
    program_op(p, OP_ATTENTION)->attention = (struct op_attention){.q = in[0],
                                                                   .y = y,
                                                                   .layer = LAYER,
                                                                   .n_head = c->n_head,
                                                                   .n_kv_head = c->n_kv_head,
                                                                   .d_head = c->d_head,
                                                                   .window = c->window,
                                                                   .scale = 1 / sqrtf((float)c->d_head)};
    return y;
}

/* The next n[i] positions of each sequence in one batch; sequences with none are left out. */
static void rig_step(struct rig *g, const uint32_t *n)
{
    uint32_t n_tok = 0, row_begin[SEQS_MAX + 1] = {0}, page_begin[SEQS_MAX + 1] = {0}, n_seq = 0;
    uint32_t page[SEQS_MAX * PAGES_EACH], which[SEQS_MAX];
    int32_t id[4096];
    uint32_t pos[4096], out_row[4096];
    for (uint32_t s = 0; s < g->n_seq; s++) {
        if (n[s] == 0)
            continue;
        for (uint32_t i = 0; i < n[s]; i++, n_tok++) {
            pos[n_tok] = g->done[s] + i;
            id[n_tok] = (int32_t)(g->first_id[s] + pos[n_tok]);
            out_row[n_tok] = n_tok;
        }
        for (uint32_t i = 0; i < PAGES_EACH; i++) /* interleaved: no two neighbours belong together */
            page[n_seq * PAGES_EACH + i] = ((i * 7) % PAGES_EACH) * SEQS_MAX + s;
        which[n_seq++] = s;
        row_begin[n_seq] = n_tok;
        page_begin[n_seq] = n_seq * PAGES_EACH;
    }
    struct batch in = {.n_tok = n_tok,
                       .n_seq = n_seq,
                       .n_out = n_tok,
                       .id = id,
                       .pos = pos,
                       .row_begin = row_begin,
                       .page_begin = page_begin,
                       .page = page,
                       .out_row = out_row};
    uint32_t y = build_step(g, n_tok), cols = g->c->n_head * g->c->d_head;
    device_run(g->d, &in);
    for (uint32_t i = 0; i < n_seq; i++) {
        uint32_t s = which[i];
        memcpy(g->y[s] + (size_t)g->done[s] * cols, device_read(g->d, y) + (size_t)row_begin[i] * cols,
               (size_t)n[s] * cols * sizeof(float));
        g->done[s] += n[s];
    }
}

static void equals_reference(const struct attention_case *c, size_t number)
{
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    struct sequence s = sequence_new(c, 100, c->n_tok);
    struct rig want = rig_new(NULL, 1, c, &s, 1);
    rig_step(&want, &c->n_tok);
    double delta = (c->d_head + 4) * ROUNDING * sqrt(c->d_head) * RANGE * RANGE;
    double limit = (2 * delta + (c->n_tok + 16) * ROUNDING) * RANGE;
    for (unsigned j = 0; j < n_isa; j++) {
        struct rig got = rig_new(isa[j], 2, c, &s, 1);
        char what[64];
        snprintf(what, sizeof what, "case %zu %s", number, isa[j]);
        rig_step(&got, &c->n_tok);
        assert_near(what, got.y[0], want.y[0], NULL, 0, limit, (size_t)c->n_tok * c->n_head * c->d_head);
        rig_free(&got);
    }
    rig_free(&want);
    sequence_free(&s);
}

static void attention_equals_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_TRIAL; i++) {
        struct attention_case c = trial(i);
        equals_reference(&c, i);
    }
}

/* A checkpoint's fp8 scales: so small that keys and values saturate, which their mean then shows. */
static void scales_of_a_layer_count(void **state)
{
    (void)state;
    const struct kv_scale scale[N_LAYER] = {[LAYER] = {0x1p-9f, 0x1p-10f}};
    const float largest[] = {[KV_FP8_E4M3FN] = 448 * 0x1p-10f, [KV_FP8_E5M2] = 1.5f};
    for (unsigned kv = KV_FP8_E4M3FN; kv <= KV_FP8_E5M2; kv++) {
        struct attention_case c = cases[2];
        c.kv = (enum kv_type)kv;
        c.scale = scale;
        equals_reference(&c, kv);
        struct sequence s = sequence_new(&c, 100, c.n_tok);
        struct rig g = rig_new("scalar", 1, &c, &s, 1);
        float top = 0;
        rig_step(&g, &c.n_tok);
        for (uint32_t i = 0; i < c.n_head * c.d_head; i++) /* the first position sees its own value alone */
            top = fmaxf(top, fabsf(g.y[0][i]));
        assert_true(top <= largest[kv] && top > 0.9f * largest[kv]);
        rig_free(&g);
        sequence_free(&s);
    }
}

/* A key or value that is not finite shows in every row that sees it, in whatever it is kept. */
static void failures_stay_visible(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (unsigned i = 0; i < n_isa * KV_TYPE_COUNT * 6; i++) {
        struct attention_case c = cases[i % 2];
        const uint32_t at = 20, cols = c.n_head * c.d_head;
        c.kv = (enum kv_type)(i / 6 % KV_TYPE_COUNT);
        c.window = 0;
        struct sequence s = sequence_new(&c, 400, c.n_tok);
        float *x = (float *)(i % 2 ? s.v.data : s.k.data);
        x[(size_t)at * c.n_kv_head * c.d_head + 3] = bad[i / 2 % 3];
        struct rig g = rig_new(isa[i / 6 / KV_TYPE_COUNT], 1, &c, &s, 1);
        rig_step(&g, &c.n_tok);
        for (uint32_t row = 0; row < c.n_tok; row++) {
            bool finite = true;
            for (uint32_t j = 0; j < cols; j++)
                finite &= isfinite(g.y[0][(size_t)row * cols + j]) != 0;
            assert_int_equal(finite, row < at);
        }
        rig_free(&g);
        sequence_free(&s);
    }
}

/* Chunks of a prefill, single decode steps and other sequences in the batch, in every mixture: the same
 * bytes. */
static void attention_bytes_depend_on_the_row_alone(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (size_t i = 0; i < N_TRIAL * n_isa; i++) {
        const struct attention_case now = trial(i / n_isa), *c = &now;
        struct sequence s[SEQS_MAX];
        for (uint32_t j = 0; j < SEQS_MAX; j++)
            s[j] = sequence_new(c, 200 + 10 * j, c->n_tok / (j + 1));
        struct rig mixed = rig_new(isa[i % n_isa], 1 + i % 3, c, s, SEQS_MAX);
        for (uint32_t step = 1;; step++) {
            uint32_t n[SEQS_MAX], total = 0;
            for (uint32_t j = 0; j < SEQS_MAX; j++) {
                uint32_t left = s[j].n_tok - mixed.done[j],
                         want = step * (j + 3) % 5 ? 1 + step * 37 % 90 : 1;
                n[j] = want < left ? want : left;
                total += n[j];
            }
            if (total == 0)
                break;
            rig_step(&mixed, n);
        }
        for (uint32_t j = 0; j < SEQS_MAX; j++) {
            struct rig alone = rig_new(isa[i % n_isa], 1, c, &s[j], 1);
            rig_step(&alone, &s[j].n_tok);
            assert_same(isa[i % n_isa], mixed.y[j], alone.y[0], (size_t)s[j].n_tok * c->n_head * c->d_head);
            rig_free(&alone);
        }
        rig_free(&mixed);
        for (uint32_t j = 0; j < SEQS_MAX; j++)
            sequence_free(&s[j]);
    }
}

/* Pages come back used: what an earlier sequence left beyond a row's position must not reach it, not even
 * NaN. */
static void stale_pages_are_invisible(void **state)
{
    (void)state;
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    for (size_t i = 0; i < N_TRIAL * n_isa; i++) {
        const struct attention_case now = trial(i / n_isa), *c = &now;
        struct sequence s = sequence_new(c, 300, c->n_tok);
        struct rig clean = rig_new(isa[i % n_isa], 1, c, &s, 1), used = rig_new(isa[i % n_isa], 1, c, &s, 1);
        rig_step(&clean, &c->n_tok);
        float *k = (float *)used.k.data, *v = (float *)used.v.data;
        size_t n = (size_t)c->n_tok * c->n_kv_head * c->d_head;
        float *saved_k = copy_floats(k, n), *saved_v = copy_floats(v, n);
        for (size_t j = 0; j < n; j++)
            k[j] = v[j] = NAN;
        rig_step(&used, &c->n_tok);
        memcpy(k, saved_k, n * sizeof *k);
        memcpy(v, saved_v, n * sizeof *v);
        used.done[0] = 0;
        while (used.done[0] < c->n_tok) {
            uint32_t step = c->n_tok - used.done[0] < 29 ? c->n_tok - used.done[0] : 29;
            rig_step(&used, &step);
        }
        assert_same(isa[i % n_isa], used.y[0], clean.y[0], (size_t)c->n_tok * c->n_head * c->d_head);
        free(saved_k);
        free(saved_v);
        rig_free(&clean);
        rig_free(&used);
        sequence_free(&s);
    }
}

static void page_bytes_are_exact(void **state)
{
    (void)state;
    static const struct {
        enum compute_type compute;
        enum kv_type kv;
        enum elem_type elem;
        uint32_t number_bytes, row_bytes;
    } rows[] = {{COMPUTE_F32, KV_AS_COMPUTE, ELEM_F32, 4, 0},
                {COMPUTE_BF16, KV_AS_COMPUTE, ELEM_BF16, 2, 0},
                {COMPUTE_F32, KV_BFLOAT16, ELEM_BF16, 2, 0},
                {COMPUTE_BF16, KV_FLOAT16, ELEM_F16, 2, 0},
                {COMPUTE_BF16, KV_FP8_E4M3FN, ELEM_FP8_E4M3, 1, 0},
                {COMPUTE_BF16, KV_FP8_E5M2, ELEM_FP8_E5M2, 1, 0},
                {COMPUTE_BF16, KV_INT8, ELEM_INT8, 1, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct device *d = device_open_kv("scalar", rows[i].compute, rows[i].kv, 1);
        struct kv_desc desc = {.n_layer = 22, .n_kv_head = 4, .d_head = 64, .n_page = 1};
        uint64_t n_row = 22ull * 4 * 2 * d->b->caps.page_tokens;
        assert_int_equal(d->b->caps.kv, rows[i].elem);
        assert_int_equal(d->b->vt->kv_page_bytes(d->b, &desc),
                         n_row * (64 * rows[i].number_bytes + rows[i].row_bytes));
        device_close(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_equals_reference),
        cmocka_unit_test(attention_bytes_depend_on_the_row_alone),
        cmocka_unit_test(stale_pages_are_invisible),
        cmocka_unit_test(scales_of_a_layer_count),
        cmocka_unit_test(failures_stay_visible),
        cmocka_unit_test(page_bytes_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

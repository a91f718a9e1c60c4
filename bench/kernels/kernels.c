/* Operations one by one: linear operations of the M shape over numbers of rows, attention over lengths of
 * context.
 *
 * Each is a program of one operation through the device, over weights enough to come from memory, not from
 * cache. */
#include "base/clock.h"
#include "base/rng.h"
#include "bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLD_BYTES ((size_t)256 << 20) /* weights that one measurement walks through */
#define OPS_MAX    256

struct lab {
    const struct bench_options *o;
    struct backend *b;
    struct ceiling_rig *rig;
    struct arena arena;
    struct ceilings ceilings;
    struct err *e;
};

static const struct linear_shape {
    const char *name;
    uint32_t n_out, n_in;
} linears[] = {{"qkv", 2560, 2048},
               {"o", 2048, 2048},
               {"gate+up", 11264, 2048},
               {"down", 2048, 5632},
               {"head", 32000, 2048}};

static const uint32_t row_counts[] = {1, 4, 8, 32, 128, 512};

/* A batch of one sequence whose last n_row positions are computed. */
struct lab_batch {
    struct batch in;
    uint32_t row_begin[2], page_begin[2];
    int32_t *id;
    uint32_t *pos, *page, out_row;
};

static void lab_batch_init(struct lab_batch *b, uint32_t n_row, uint32_t n_context, uint32_t page_tokens)
{
    uint32_t n_page = n_context / page_tokens + 1;
    *b = (struct lab_batch){.row_begin = {0, n_row},
                            .page_begin = {0, n_page},
                            .id = calloc(n_row, sizeof *b->id),
                            .pos = calloc(n_row, sizeof *b->pos),
                            .page = calloc(n_page, sizeof *b->page)};
    for (uint32_t i = 0; b->pos && i < n_row; i++)
        b->pos[i] = n_context - n_row + i;
    for (uint32_t i = 0; b->page && i < n_page; i++)
        b->page[i] = i;
    b->in = (struct batch){.n_tok = n_row,
                           .n_seq = 1,
                           .n_out = 1,
                           .id = b->id,
                           .pos = b->pos,
                           .row_begin = b->row_begin,
                           .page_begin = b->page_begin,
                           .page = b->page,
                           .out_row = &b->out_row};
}

static void lab_batch_fini(struct lab_batch *b)
{
    free(b->id);
    free(b->pos);
    free(b->page);
}

/* Median seconds of a run of the program, ceilings measured in turns. */
static enum status time_program(struct lab *lab, const struct program *p, const struct batch *in,
                                double *seconds)
{
    struct samples s = {0};
    enum status st = lab->b->vt->reserve(lab->b, p, lab->e);
    if (st == ST_OK)
        st = lab->b->vt->run(lab->b, p, in, lab->e);
    for (unsigned i = 0; i < lab->o->rounds && st == ST_OK; i++) {
        uint64_t start = clock_ns();
        st = lab->b->vt->run(lab->b, p, in, lab->e);
        samples_add(&s, (double)(clock_ns() - start) * 1e-9);
    }
    *seconds = samples_median(&s);
    return st;
}

static enum status bench_rows(struct lab *lab, const struct linear_shape *shape, struct weight **w,
                              uint32_t n_weight, uint32_t n_row)
{
    struct program p;
    struct lab_batch b;
    double seconds;
    arena_reset(&lab->arena);
    program_init(&p, &lab->arena, NULL, n_row, 1);
    uint32_t x = program_value(&p, n_row, shape->n_in), y = program_value(&p, n_row, shape->n_out);
    for (uint32_t i = 0; i < n_weight; i++)
        program_op(&p, OP_LINEAR)->linear =
            (struct op_linear){.x = x, .n_part = 1, .part = {{.weight = w[i], .y = y}}};
    enum status st = program_check(&p, lab->e);
    if (st != ST_OK)
        return st;
    lab_batch_init(&b, n_row, n_row, lab->b->caps.page_tokens);
    ceilings_measure(lab->rig, &lab->ceilings);
    st = time_program(lab, &p, &b.in, &seconds);
    lab_batch_fini(&b);
    seconds /= n_weight;
    double gb_s = 2.0 * shape->n_out * shape->n_in / seconds * 1e-9, gflops = gb_s * n_row;
    printf(
        "%-8s %4u rows  %8.1f us  %7.1f GB/s %5.1f %% of stream  %7.1f GFLOP/s %5.1f %% of the bf16 peak\n",
        shape->name, n_row, seconds * 1e6, gb_s, 100 * gb_s / samples_median(&lab->ceilings.stream), gflops,
        100 * gflops / ceilings_bf16_peak(&lab->ceilings));
    fflush(stdout);
    return st;
}

static enum status bench_linear(struct lab *lab, const struct linear_shape *shape)
{
    size_t n = (size_t)shape->n_out * shape->n_in;
    uint32_t n_weight = (uint32_t)(COLD_BYTES / (2 * n) + 1);
    uint16_t *data = malloc(n * sizeof *data);
    struct weight *w[OPS_MAX] = {0};
    enum status st = data ? ST_OK : err_set(lab->e, ST_NO_MEMORY, "no memory for a weight");
    for (size_t i = 0; data && i < n; i++)
        data[i] = (uint16_t)(0x3c00 + (i * 2654435761u >> 7) % 0x200); /* small positive numbers */
    for (uint32_t i = 0; i < n_weight && st == ST_OK; i++) {
        struct weight_desc d = {.name = shape->name,
                                .roles = WEIGHT_LINEAR,
                                .type = ELEM_BF16,
                                .n_row = shape->n_out,
                                .n_col = shape->n_in,
                                .data = data};
        st = lab->b->vt->weight_new(lab->b, &d, &w[i], lab->e);
        if (st == ST_OK)
            st = lab->b->vt->weight_settle(lab->b, w[i], lab->e);
    }
    for (size_t i = 0; i < sizeof row_counts / sizeof *row_counts && st == ST_OK; i++)
        st = bench_rows(lab, shape, w, row_counts[i] < 128 ? n_weight : (n_weight + 7) / 8, row_counts[i]);
    for (uint32_t i = 0; i < n_weight; i++)
        lab->b->vt->weight_free(lab->b, w[i]);
    free(data);
    return st;
}

/* n_row last positions of a context; the store holds zeros, which cost what other numbers cost. */
static enum status bench_attention(struct lab *lab, uint32_t n_row, uint32_t n_context)
{
    const uint32_t n_head = 32, n_kv = 4, d = 64, layers = 22;
    struct kv_desc desc = {.n_layer = layers,
                           .n_kv_head = n_kv,
                           .d_head = d,
                           .n_page = n_context / lab->b->caps.page_tokens + 1};
    struct kv *kv;
    struct program p;
    struct lab_batch b;
    double seconds = 0;
    enum status st = lab->b->vt->kv_new(lab->b, &desc, &kv, lab->e);
    if (st != ST_OK)
        return st;
    arena_reset(&lab->arena);
    program_init(&p, &lab->arena, kv, n_row, 1);
    uint32_t q = program_value(&p, n_row, n_head * d), y = program_value(&p, n_row, n_head * d);
    for (uint32_t i = 0; i < layers; i++)
        program_op(&p, OP_ATTENTION)->attention = (struct op_attention){
            .q = q, .y = y, .layer = i, .n_head = n_head, .n_kv_head = n_kv, .d_head = d, .scale = 0.125f};
    st = program_check(&p, lab->e);
    lab_batch_init(&b, n_row, n_context, lab->b->caps.page_tokens);
    ceilings_measure(lab->rig, &lab->ceilings);
    if (st == ST_OK)
        st = time_program(lab, &p, &b.in, &seconds);
    seconds /= layers;
    double seen = (double)n_row * (n_context - n_row) + (double)n_row * (n_row + 1) / 2;
    double gb_s = 4.0 * n_context * n_kv * d / seconds * 1e-9,
           gflops = 4.0 * seen * n_head * d / seconds * 1e-9;
    printf("attention %4u rows, context %5u  %8.1f us  %6.1f GB/s %5.1f %% of stream  %6.1f GFLOP/s %5.1f %% "
           "of the "
           "bf16 peak\n",
           n_row, n_context, seconds * 1e6, gb_s, 100 * gb_s / samples_median(&lab->ceilings.stream), gflops,
           100 * gflops / ceilings_bf16_peak(&lab->ceilings));
    lab_batch_fini(&b);
    lab->b->vt->kv_free(lab->b, kv);
    return st;
}

enum status bench_kernels(const struct bench_options *o, struct err *e)
{
    struct lab lab = {.o = o, .e = e};
    struct backend_options bo = {.compute = o->compute, .n_threads = o->n_threads, .isa = o->isa};
    enum status st = backend_open("cpu", &bo, &lab.b, e);
    if (st == ST_OK)
        st =
            ceiling_rig_new(o->n_threads ? o->n_threads : team_usable_cpus(), (size_t)512 << 20, &lab.rig, e);
    if (st == ST_OK)
        printf("device: cpu, %s\n", lab.b->caps.description);
    arena_init(&lab.arena, 1 << 20);
    for (size_t i = 0; i < sizeof linears / sizeof *linears && st == ST_OK; i++)
        st = bench_linear(&lab, &linears[i]);
    static const struct {
        uint32_t n_row, n_context;
    } attentions[] = {{1, 512}, {1, 8192}, {512, 512}, {512, 8192}};
    for (size_t i = 0; i < sizeof attentions / sizeof *attentions && st == ST_OK; i++)
        st = bench_attention(&lab, attentions[i].n_row, attentions[i].n_context);
    if (st == ST_OK)
        ceilings_print(&lab.ceilings);
    arena_fini(&lab.arena);
    ceiling_rig_free(lab.rig);
    backend_close(lab.b);
    return st;
}

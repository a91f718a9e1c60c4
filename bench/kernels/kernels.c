/* Operations one by one: linear operations of the M shape over numbers of rows, attention over lengths of
 * context and types of KV store.
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

struct attention_shape {
    uint32_t n_row, n_context, group;
};

static const uint32_t row_counts[] = {1, 4, 8, 32, 128, 512};

static struct backend_options lab_options(const struct bench_options *o)
{
    return (struct backend_options){.compute = o->compute, .n_threads = o->n_threads, .isa = o->isa};
}

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
    double gb_s = (double)lab->b->vt->weight_bytes(lab->b, w[0]) / seconds * 1e-9;
    double gflops = 2.0 * shape->n_out * shape->n_in * n_row / seconds * 1e-9;
    printf(
        "%-8s %4u rows  %8.1f us  %7.1f GB/s %5.1f %% of stream  %7.1f GFLOP/s %5.1f %% of the bf16 peak\n",
        shape->name, n_row, seconds * 1e6, gb_s, 100 * gb_s / samples_median(&lab->ceilings.stream), gflops,
        100 * gflops / ceilings_bf16_peak(&lab->ceilings));
    fflush(stdout);
    return st;
}

/* A plain matrix as the one tensor of a module "w", for --quantize. */
static bool find_plain(void *arg, struct str name, struct quant_tensor *out)
{
    *out = *(const struct quant_tensor *)arg;
    return str_eq(name, out->name);
}

static enum status quantise(const struct bench_options *o, const struct linear_shape *shape,
                            const uint16_t *data, struct quant_matrix **out, struct err *e)
{
    const struct quant_config config = {.method = o->quantise, .on_the_fly = true};
    struct quant_tensor t = {.name = STR("w.weight"),
                             .file = "bench",
                             .dtype = DTYPE_BF16,
                             .n_dim = 2,
                             .dim = {shape->n_out, shape->n_in},
                             .n_bytes = 2ull * shape->n_out * shape->n_in,
                             .data = data};
    struct quant_source source = {.find = find_plain, .arg = &t};
    if (o->quantise == QUANT_NONE)
        return ST_OK;
    return quant_matrix_open(&config, &source, "w", shape->n_out, shape->n_in, out, e);
}

static enum status bench_linear(struct lab *lab, const struct linear_shape *shape)
{
    size_t n = (size_t)shape->n_out * shape->n_in;
    uint32_t n_weight = 1;
    uint16_t *data = malloc(n * sizeof *data);
    struct quant_matrix *quant = NULL;
    struct weight *w[OPS_MAX] = {0};
    enum status st = data ? ST_OK : err_set(lab->e, ST_NO_MEMORY, "no memory for a weight");
    for (size_t i = 0; data && i < n; i++)
        data[i] = (uint16_t)(0x3c00 + (i * 2654435761u >> 7) % 0x200); /* small positive numbers */
    if (st == ST_OK)
        st = quantise(lab->o, shape, data, &quant, lab->e);
    for (uint32_t i = 0; i < n_weight && st == ST_OK; i++) {
        struct weight_desc d = {.name = shape->name,
                                .roles = WEIGHT_LINEAR,
                                .type = ELEM_BF16,
                                .n_row = shape->n_out,
                                .n_col = shape->n_in,
                                .data = data,
                                .quant = quant};
        st = lab->b->vt->weight_new(lab->b, &d, &w[i], lab->e);
        if (st == ST_OK)
            st = lab->b->vt->weight_settle(lab->b, w[i], lab->e);
        if (st == ST_OK && i == 0)
            n_weight = (uint32_t)(COLD_BYTES / lab->b->vt->weight_bytes(lab->b, w[0]) + 1);
    }
    for (size_t i = 0; i < sizeof row_counts / sizeof *row_counts && st == ST_OK; i++)
        st = bench_rows(lab, shape, w, row_counts[i] < 128 ? n_weight : (n_weight + 7) / 8, row_counts[i]);
    for (uint32_t i = 0; i < n_weight; i++)
        lab->b->vt->weight_free(lab->b, w[i]);
    quant_matrix_close(quant);
    free(data);
    return st;
}

#define ATTENTION_LAYERS 22
#define ATTENTION_KV     4
#define ATTENTION_D      64

/* Writes all positions of every layer: memory never written would be one page of zeros, and in the cache. */
static enum status fill_kv(struct lab *lab, struct kv *kv, uint32_t n_context)
{
    const uint32_t cols = ATTENTION_KV * ATTENTION_D;
    float x[ATTENTION_KV * ATTENTION_D];
    struct weight_desc row = {.name = "x", .roles = WEIGHT_EMBED, .n_row = 1, .n_col = cols, .data = x},
                       freq = {.name = "f",
                               .roles = WEIGHT_VECTOR,
                               .n_row = 1,
                               .n_col = ATTENTION_D / 2,
                               .data = x};
    struct weight *table = NULL, *inv_freq = NULL;
    struct program p;
    struct lab_batch b;
    for (uint32_t i = 0; i < cols; i++)
        x[i] = (float)(1 + i * 37 % 100) / 100;
    arena_reset(&lab->arena);
    program_init(&p, &lab->arena, kv, n_context, 1);
    uint32_t k = program_value(&p, n_context, cols), v = program_value(&p, n_context, cols),
             rope = program_value(&p, n_context, ATTENTION_D);
    enum status st = lab->b->vt->weight_new(lab->b, &row, &table, lab->e);
    if (st == ST_OK)
        st = lab->b->vt->weight_new(lab->b, &freq, &inv_freq, lab->e);
    program_op(&p, OP_EMBED)->embed = (struct op_embed){.table = table, .y = k};
    program_op(&p, OP_EMBED)->embed = (struct op_embed){.table = table, .y = v};
    program_op(&p, OP_ROPE_TABLE)->rope_table =
        (struct op_rope_table){.inv_freq = inv_freq, .scale = 1, .y = rope};
    for (uint32_t i = 0; i < ATTENTION_LAYERS; i++)
        program_op(&p, OP_ROPE_KV)->rope_kv = (struct op_rope_kv){.q = v,
                                                                  .k = k,
                                                                  .v = v,
                                                                  .table = rope,
                                                                  .layer = i,
                                                                  .n_head = ATTENTION_KV,
                                                                  .n_kv_head = ATTENTION_KV,
                                                                  .d_head = ATTENTION_D,
                                                                  .d_rope = ATTENTION_D};
    if (st == ST_OK)
        st = program_check(&p, lab->e);
    if (st == ST_OK)
        st = lab->b->vt->reserve(lab->b, &p, lab->e);
    lab_batch_init(&b, n_context, n_context, lab->b->caps.page_tokens);
    if (st == ST_OK)
        st = lab->b->vt->run(lab->b, &p, &b.in, lab->e);
    lab_batch_fini(&b);
    lab->b->vt->weight_free(lab->b, table);
    lab->b->vt->weight_free(lab->b, inv_freq);
    return st;
}

/* n_row last positions of a context through every layer. `bf16_seconds`: what a bf16 store took, set by it.
 */
static enum status bench_attention(struct lab *lab, const struct attention_shape *shape, double *bf16_seconds)
{
    const uint32_t n_row = shape->n_row, n_context = shape->n_context, n_head = shape->group * ATTENTION_KV,
                   cols = n_head * ATTENTION_D;
    enum elem_type type = lab->b->caps.kv;
    struct kv_desc desc = {.n_layer = ATTENTION_LAYERS,
                           .n_kv_head = ATTENTION_KV,
                           .d_head = ATTENTION_D,
                           .n_page = n_context / lab->b->caps.page_tokens + 1};
    struct kv *kv;
    struct program p;
    struct lab_batch b;
    double seconds = 0;
    enum status st = lab->b->vt->kv_new(lab->b, &desc, &kv, lab->e);
    if (st != ST_OK)
        return st;
    st = fill_kv(lab, kv, n_context);
    arena_reset(&lab->arena);
    program_init(&p, &lab->arena, kv, n_row, 1);
    uint32_t q = program_value(&p, n_row, cols), y = program_value(&p, n_row, cols);
    for (uint32_t i = 0; i < ATTENTION_LAYERS; i++)
        program_op(&p, OP_ATTENTION)->attention = (struct op_attention){.q = q,
                                                                        .y = y,
                                                                        .layer = i,
                                                                        .n_head = n_head,
                                                                        .n_kv_head = ATTENTION_KV,
                                                                        .d_head = ATTENTION_D,
                                                                        .scale = 0.125f};
    if (st == ST_OK)
        st = program_check(&p, lab->e);
    lab_batch_init(&b, n_row, n_context, lab->b->caps.page_tokens);
    ceilings_measure(lab->rig, &lab->ceilings);
    if (st == ST_OK)
        st = time_program(lab, &p, &b.in, &seconds);
    double seen = (double)n_row * (n_context - n_row) + (double)n_row * (n_row + 1) / 2;
    double pages = (double)n_context / lab->b->caps.page_tokens;
    double gb_s = (double)lab->b->vt->kv_page_bytes(lab->b, &desc) * pages / seconds * 1e-9,
           gflops = 4.0 * ATTENTION_LAYERS * seen * cols / seconds * 1e-9;
    if (type == ELEM_BF16)
        *bf16_seconds = seconds;
    printf(
        "attention, %-10s, %3u rows x %u heads, context %5u  %8.1f us  %.2f x bf16  %5.1f GB/s %5.1f %% of "
        "stream  %6.1f GFLOP/s %5.1f %% of the bf16 peak\n",
        elem_format_get(type)->name, n_row, shape->group, n_context, seconds * 1e6 / ATTENTION_LAYERS,
        *bf16_seconds / seconds, gb_s, 100 * gb_s / samples_median(&lab->ceilings.stream), gflops,
        100 * gflops / ceilings_bf16_peak(&lab->ceilings));
    fflush(stdout);
    lab_batch_fini(&b);
    lab->b->vt->kv_free(lab->b, kv);
    return st;
}

/* Attention with every type of KV store, bf16 first, in turns for each shape. */
static enum status bench_attentions(struct lab *lab)
{
    static const struct attention_shape shapes[] = {{1, 512, 8},  {1, 2048, 8},  {1, 8192, 8},  {1, 2048, 1},
                                                    {1, 8192, 1}, {512, 512, 8}, {512, 8192, 8}};
    static const enum kv_type types[] = {KV_BFLOAT16, KV_FLOAT16, KV_INT8, KV_FP8_E4M3FN, KV_FP8_E5M2};
    struct backend *b = lab->b;
    enum status st = ST_OK;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        double bf16_seconds = 0;
        for (size_t j = 0; j < sizeof types / sizeof *types && st == ST_OK; j++) {
            struct backend_options bo = lab_options(lab->o);
            bo.kv = types[j];
            st = backend_open("cpu", &bo, &lab->b, lab->e);
            if (st != ST_OK)
                break;
            st = bench_attention(lab, &shapes[i], &bf16_seconds);
            backend_close(lab->b);
        }
    }
    lab->b = b;
    return st;
}

enum status bench_kernels(const struct bench_options *o, struct err *e)
{
    struct lab lab = {.o = o, .e = e};
    struct backend_options bo = lab_options(o);
    enum status st = backend_open("cpu", &bo, &lab.b, e);
    if (st == ST_OK)
        st =
            ceiling_rig_new(o->n_threads ? o->n_threads : team_usable_cpus(), (size_t)512 << 20, &lab.rig, e);
    if (st == ST_OK)
        printf("device: cpu, %s\n", lab.b->caps.description);
    arena_init(&lab.arena, 1 << 20);
    for (size_t i = 0; i < sizeof linears / sizeof *linears && st == ST_OK; i++)
        st = bench_linear(&lab, &linears[i]);
    if (st == ST_OK)
        st = bench_attentions(&lab);
    if (st == ST_OK)
        ceilings_print(&lab.ceilings);
    arena_fini(&lab.arena);
    ceiling_rig_free(lab.rig);
    backend_close(lab.b);
    return st;
}

/* A whole model against the machine's ceilings: decode of one sequence and prefill, through model_step().
 *
 * Ceilings and model are measured in turns, so that a neighbour's load falls on both; medians are compared.
 * Decode counts the bytes of weights that one token must read, prefill the multiplications and additions of
 * its linear operations (attention and norms are left out: they only make the figure smaller). */
#include "base/clock.h"
#include "bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_TOKENS 16

struct session {
    struct ckpt *ckpt;
    struct backend *backend;
    struct model *model;
    uint32_t n_page;
    uint32_t *page;
    int32_t *id;
    uint32_t *pos;
};

struct work count_work(const struct ckpt *ck)
{
    struct work w = {0};
    bool tied = ckpt_config(ck)->tie_embeddings;
    for (size_t i = 0; i < ckpt_n_tensors(ck); i++) {
        const struct ckpt_tensor *t = ckpt_tensor_at(ck, i);
        bool embed = str_eq(t->name, STR("model.embed_tokens.weight")),
             head = str_eq(t->name, STR("lm_head.weight"));
        if (embed && !tied)
            continue;
        w.decode_bytes += (double)t->n_bytes;
        if (t->n_dim == 2)
            *(embed || head ? &w.head_flops : &w.prefill_flops) += 2.0 * (double)(t->dim[0] * t->dim[1]);
    }
    return w;
}

static void session_close(struct session *s)
{
    model_free(s->model);
    backend_close(s->backend);
    ckpt_close(s->ckpt);
    free(s->page);
    free(s->id);
    free(s->pos);
}

static enum status session_open(const struct bench_options *o, const char *dir, struct session *s,
                                struct err *e)
{
    struct backend_options bo = {.compute = o->compute, .n_threads = o->n_threads, .isa = o->isa};
    const atomic_bool never = false;
    uint32_t max_tokens = o->n_prompt + WARM_TOKENS + o->n_decode;
    *s = (struct session){0};
    enum status st = ckpt_open(dir, &s->ckpt, e);
    if (st == ST_OK)
        st = backend_open("cpu", &bo, &s->backend, e);
    if (st == ST_OK)
        st = model_load(s->ckpt, s->backend, o->quantise, &s->model, e);
    if (st != ST_OK)
        return st;
    s->n_page = max_tokens / s->backend->caps.page_tokens + 1;
    st = model_reserve(s->model, s->n_page, o->n_prompt > WARM_TOKENS ? o->n_prompt : WARM_TOKENS, 1, e);
    uint64_t start = clock_ns();
    if (st == ST_OK)
        st = model_settle(s->model, &never, NULL, NULL, e);
    printf("settled %.2f GB of weights in %.2f s\n", (double)model_weight_bytes(s->model) * 1e-9,
           (double)(clock_ns() - start) * 1e-9);
    s->page = calloc(s->n_page, sizeof *s->page);
    s->id = calloc(max_tokens, sizeof *s->id);
    s->pos = calloc(max_tokens, sizeof *s->pos);
    if (st == ST_OK && (!s->page || !s->id || !s->pos))
        st = err_set(e, ST_NO_MEMORY, "no memory for a batch");
    if (st != ST_OK)
        return st;
    for (uint32_t i = 0; i < s->n_page; i++)
        s->page[i] = i;
    for (uint32_t i = 0; i < max_tokens; i++) {
        s->pos[i] = i;
        s->id[i] = (int32_t)(i * 7919u % ckpt_config(s->ckpt)->n_vocab);
    }
    return ST_OK;
}

/* Positions first .. first + n - 1 of the one sequence. */
static enum status step(struct session *s, uint32_t first, uint32_t n, struct err *e)
{
    const float *logits;
    uint32_t out_row = n - 1;
    struct batch in = {.n_tok = n,
                       .n_seq = 1,
                       .n_out = 1,
                       .id = s->id + first,
                       .pos = s->pos + first,
                       .row_begin = (uint32_t[]){0, n},
                       .page_begin = (uint32_t[]){0, s->n_page},
                       .page = s->page,
                       .out_row = &out_row};
    return model_step(s->model, &in, &logits, e);
}

static enum status time_decode(struct session *s, const struct bench_options *o, struct samples *tokens_s,
                               struct err *e)
{
    enum status st = step(s, 0, WARM_TOKENS, e);
    if (st == ST_OK)
        st = step(s, WARM_TOKENS, 1, e);
    uint64_t start = clock_ns();
    for (uint32_t i = 1; i <= o->n_decode && st == ST_OK; i++)
        st = step(s, WARM_TOKENS + i, 1, e);
    samples_add(tokens_s, o->n_decode / ((double)(clock_ns() - start) * 1e-9));
    return st;
}

static enum status time_prefill(struct session *s, const struct bench_options *o, struct samples *tokens_s,
                                struct err *e)
{
    uint64_t start = clock_ns();
    enum status st = step(s, 0, o->n_prompt, e);
    samples_add(tokens_s, o->n_prompt / ((double)(clock_ns() - start) * 1e-9));
    return st;
}

static void report(const struct bench_options *o, const struct work *w, const struct ceilings *c,
                   const struct samples *decode, const struct samples *prefill)
{
    double stream = samples_median(&c->stream), peak = ceilings_bf16_peak(c), fma = samples_median(&c->fma);
    double gb_s = samples_median(decode) * w->decode_bytes * 1e-9;
    double flops = w->prefill_flops * o->n_prompt + w->head_flops;
    double gflops = samples_median(prefill) / o->n_prompt * flops * 1e-9;
    ceilings_print(c);
    printf("%-22s %10s %14s   %s\n", "", "tokens/s", "rate", "of the ceiling");
    printf("%-22s %10.2f %9.1f GB/s   %.1f %% of stream\n", "decode, 1 sequence", samples_median(decode),
           gb_s, 100 * gb_s / stream);
    printf("%-8s%5u%9s %10.1f %6.0f GFLOP/s", "prefill,", o->n_prompt, "tokens  ", samples_median(prefill),
           gflops);
    if (peak > 0)
        printf("   %.1f %% of the bf16 peak, %.1f %% of the float32 peak", 100 * gflops / peak,
               100 * gflops / fma);
    printf("\n");
}

enum status bench_model(const struct bench_options *o, const char *dir, struct err *e)
{
    struct session s;
    struct ceiling_rig *rig = NULL;
    struct ceilings c = {0};
    struct samples decode = {0}, prefill = {0};
    enum status st = session_open(o, dir, &s, e);
    unsigned n_threads = o->n_threads ? o->n_threads : team_usable_cpus();
    if (st == ST_OK)
        st = ceiling_rig_new(n_threads, (size_t)1 << 30, &rig, e);
    if (st != ST_OK)
        goto done;
    struct work w = count_work(s.ckpt);
    w.decode_bytes += (double)model_weight_bytes(s.model) - (double)ckpt_weight_bytes(s.ckpt);
    printf("device: cpu, %s; %.2f GB read for a token\n", s.backend->caps.description, w.decode_bytes * 1e-9);
    for (unsigned i = 0; i < o->rounds && st == ST_OK; i++) {
        ceilings_measure(rig, &c);
        st = time_decode(&s, o, &decode, e);
        ceilings_measure(rig, &c);
        if (st == ST_OK)
            st = time_prefill(&s, o, &prefill, e);
    }
    if (st == ST_OK)
        report(o, &w, &c, &decode, &prefill);
done:
    ceiling_rig_free(rig);
    session_close(&s);
    return st;
}

enum status bench_ceilings(const struct bench_options *o, struct err *e)
{
    struct ceiling_rig *rig = NULL;
    struct ceilings c = {0};
    struct ckpt *ck = NULL;
    struct work w = {0};
    enum status st = o->model_dir ? ckpt_open(o->model_dir, &ck, e) : ST_OK;
    if (st == ST_OK)
        st = ceiling_rig_new(o->n_threads ? o->n_threads : team_usable_cpus(), (size_t)1 << 30, &rig, e);
    for (unsigned i = 0; i < o->rounds && st == ST_OK; i++)
        ceilings_measure(rig, &c);
    if (ck)
        w = count_work(ck);
    if (st == ST_OK)
        printf("{\"stream_gb_s\":%.2f,\"fma_gflop_s\":%.1f,\"dot_gflop_s\":%.1f,\"decode_bytes\":%.0f,"
               "\"prefill_flops\":%.0f,\"head_flops\":%.0f}\n",
               samples_median(&c.stream), samples_median(&c.fma), c.dot.n ? samples_median(&c.dot) : 0,
               w.decode_bytes, w.prefill_flops, w.head_flops);
    ceiling_rig_free(rig);
    ckpt_close(ck);
    return st;
}

/* The engine without a device: what a step costs beside the model, for 128 decoding sequences.
 *
 * The device here computes nothing: it hands out rows of logits made beforehand and looks at the clock. What
 * the engine's thread does between two runs is the scheduler, the batch, the forward's list of operations,
 * sampling and emitting; a second thread stands for the I/O loop and reads the events. Sampling is measured
 * alone beside it, on the same rows, and taken off; with a vocabulary of 16 little is taken off. CPU time of
 * the thread, so that neighbours on the machine do not count but for what they do to the caches. */
#include "engine/engine.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/thread.h"
#include "bench.h"
#include "sample/sample.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define N_SEQ       128
#define N_PROMPT    200
#define N_NEW       600
#define PAGE_TOKENS 16
#define N_STEP      512     /* measured, with all sequences decoding */
#define STEP_NS     100000l /* of the device */
#define MAX_OUT     (N_SEQ * 5 + 64)

/* A device that computes nothing. */
struct idle_device {
    struct backend b;
    float *logits; /* [MAX_OUT][n_vocab] */
    uint64_t left_ns;
    double us[N_STEP];
    unsigned n;
};

static void device_close(struct backend *b)
{
    (void)b;
}

static enum status device_weight_new(struct backend *b, const struct weight_desc *d, struct weight **out,
                                     struct err *e)
{
    (void)d;
    (void)e;
    *out = (struct weight *)b; /* never looked at */
    return ST_OK;
}

static void device_weight_free(struct backend *b, struct weight *w)
{
    (void)b;
    (void)w;
}

static enum status device_weight_settle(struct backend *b, struct weight *w, struct err *e)
{
    (void)b;
    (void)w;
    (void)e;
    return ST_OK;
}

static uint64_t device_weight_bytes(const struct backend *b, const struct weight *w)
{
    (void)b;
    (void)w;
    return 0;
}

static uint64_t device_kv_page_bytes(const struct backend *b, const struct kv_desc *d)
{
    (void)b;
    (void)d;
    return 1;
}

static enum status device_kv_new(struct backend *b, const struct kv_desc *d, struct kv **out, struct err *e)
{
    (void)d;
    (void)e;
    *out = (struct kv *)b;
    return ST_OK;
}

static void device_kv_free(struct backend *b, struct kv *kv)
{
    (void)b;
    (void)kv;
}

static enum status device_reserve(struct backend *b, const struct program *p, struct err *e)
{
    (void)b;
    return p->n_out <= MAX_OUT ? ST_OK : err_set(e, ST_INTERNAL, "%u rows of logits", p->n_out);
}

static enum status device_run(struct backend *b, const struct program *p, const struct batch *in,
                              struct err *e)
{
    struct idle_device *d = (struct idle_device *)b;
    uint64_t now = clock_thread_cpu_ns();
    (void)p;
    (void)e;
    if (in->n_seq == N_SEQ && in->n_out >= N_SEQ && in->n_tok < N_SEQ * 6 && d->left_ns && d->n < N_STEP)
        d->us[d->n++] = (double)(now - d->left_ns) * 1e-3;
    /* A real step takes a while: the reader has done its part by then and sleeps. */
    nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
    d->left_ns = clock_thread_cpu_ns();
    return ST_OK;
}

static const float *device_read(struct backend *b, const struct program *p, uint32_t value)
{
    (void)p;
    (void)value;
    return ((struct idle_device *)b)->logits;
}

static const struct backend_vtable device_vtable = {
    .close = device_close,
    .weight_new = device_weight_new,
    .weight_free = device_weight_free,
    .weight_settle = device_weight_settle,
    .weight_bytes = device_weight_bytes,
    .kv_page_bytes = device_kv_page_bytes,
    .kv_new = device_kv_new,
    .kv_free = device_kv_free,
    .reserve = device_reserve,
    .run = device_run,
    .read = device_read,
};

static enum status device_init(struct idle_device *d, uint32_t n_vocab, struct err *e)
{
    *d = (struct idle_device){.b = {.vt = &device_vtable,
                                    .caps = {.name = "idle",
                                             .page_tokens = PAGE_TOKENS,
                                             .max_rows = 4096,
                                             .ops = UINT32_MAX,
                                             .linear_parts = true,
                                             .linear_accumulate = true}}};
    d->logits = malloc((size_t)MAX_OUT * n_vocab * sizeof *d->logits);
    if (!d->logits)
        return err_set(e, ST_NO_MEMORY, "no memory for logits");
    for (size_t i = 0; i < (size_t)MAX_OUT * n_vocab; i++)
        d->logits[i] = (float)rng_unit(1, 0, i);
    return ST_OK;
}

/* Stands for the I/O loop: an eventfd wakes it, as libuv's does. */
struct reader {
    struct inbox inbox;
    struct engine *engine;
    atomic_bool pending;
    uint32_t n_left;
    int fd;
};

static void reader_wake(void *arg)
{
    struct reader *r = arg;
    if (!atomic_exchange(&r->pending, true))
        (void)!write(r->fd, &(uint64_t){1}, 8);
}

static void reader_main(void *arg)
{
    struct reader *r = arg;
    uint64_t count;
    while (r->n_left && read(r->fd, &count, sizeof count) == sizeof count) {
        atomic_store(&r->pending, false);
        for (struct inbox_node *node = inbox_take(&r->inbox), *next; node; node = next) {
            struct token_event *ev = (struct token_event *)node;
            next = node->next;
            r->n_left -= ev->finish != ENGINE_RUNNING;
            engine_event_free(r->engine, ev);
        }
    }
}

static enum status submit_one(struct engine *en, struct inbox *owner, uint32_t n_vocab, uint32_t i,
                              struct err *e)
{
    struct engine_handle h;
    struct engine_request r = {.ids = malloc(N_PROMPT * sizeof *r.ids),
                               .n_ids = N_PROMPT,
                               .max_new_tokens = N_NEW,
                               .params = sample_params_default(),
                               .ignore_eos = true,
                               .owner = owner,
                               .tag = i};
    enum status st = r.ids ? engine_acquire(en, &h) : ST_NO_MEMORY;
    for (uint32_t k = 0; st == ST_OK && k < N_PROMPT; k++)
        r.ids[k] = (int32_t)(rng_u64(i, 1, k) % n_vocab);
    if (st == ST_OK)
        st = engine_submit(en, h, &r, e);
    else
        err_set(e, st, "the engine takes no more than %u requests", i);
    free(r.ids);
    return st;
}

static enum status run_engine(struct model *m, uint32_t n_vocab, uint32_t speculate, struct err *e)
{
    struct engine_options o = {.max_concurrent_requests = N_SEQ,
                               .max_total_tokens = N_PROMPT + N_NEW,
                               .max_batch_prefill_tokens = 4096,
                               .kv_memory_bytes = 1u << 20,
                               .speculate = speculate,
                               .prefix_caching = true};
    struct reader r = {.n_left = N_SEQ, .fd = eventfd(0, 0)};
    struct thread thread;
    inbox_init(&r.inbox, reader_wake, &r);
    enum status st = engine_new(m, &o, &r.engine, e);
    if (st == ST_OK)
        st = thread_start(&thread, "reader", reader_main, &r, e);
    bool reads = st == ST_OK;
    for (uint32_t i = 0; i < N_SEQ && st == ST_OK; i++)
        st = submit_one(r.engine, &r.inbox, n_vocab, i, e);
    if (reads && st != ST_OK)
        engine_free(r.engine); /* the reader gets their ends */
    if (reads)
        thread_join(&thread);
    if (!reads || st == ST_OK)
        engine_free(r.engine);
    close(r.fd);
    return st;
}

/* CPU time of sampling the rows of one step, greedy: what the engine spends in it. */
static enum status sampling_us(const float *logits, uint32_t n_vocab, double *us, struct err *e)
{
    const struct sample_params params = sample_params_default();
    const struct sample_context context = {.ids = (int32_t[]){0}, .n_prompt = 1, .n_ids = 1};
    struct sampler *sampler;
    struct samples samples = {.n = 0};
    enum status st = sampler_new(n_vocab, &sampler, e);
    for (unsigned round = 0; round < SAMPLES_MAX && st == ST_OK; round++) {
        uint64_t begin = clock_thread_cpu_ns();
        for (uint32_t i = 0; i < N_SEQ && st == ST_OK; i++) {
            struct sampled out;
            st = sampler_pick(sampler, logits + (size_t)i * n_vocab, &params, &context, 0, round, &out);
        }
        samples_add(&samples, (double)(clock_thread_cpu_ns() - begin) * 1e-3);
    }
    if (st == ST_OK)
        sampler_free(sampler);
    *us = samples_median(&samples);
    return st;
}

struct figures {
    double step_us, p99_us, sampling_us; /* median and 99th percentile of a step; sampling's part of it */
};

static enum status measure_on(struct idle_device *d, const struct ckpt *ck, uint32_t n_vocab,
                              uint32_t speculate, struct figures *out, struct err *e)
{
    struct model *m = NULL;
    enum status st = device_init(d, n_vocab, e);
    if (st == ST_OK)
        st = model_load(ck, &d->b, QUANT_NONE, &m, e);
    if (st == ST_OK)
        st = run_engine(m, n_vocab, speculate, e);
    if (st == ST_OK && d->n < N_STEP / 8)
        st = err_set(e, ST_INTERNAL, "only %u steps with all sequences", d->n);
    if (st == ST_OK)
        st = sampling_us(d->logits, n_vocab, &out->sampling_us, e);
    if (st == ST_OK) {
        qsort(d->us, d->n, sizeof *d->us, compare_doubles);
        out->step_us = d->us[d->n / 2];
        out->p99_us = d->us[d->n * 99 / 100];
    }
    model_free(m);
    free(d->logits);
    return st;
}

static enum status measure(const char *shape, uint32_t n_vocab, uint32_t speculate, struct figures *out,
                           struct err *e)
{
    struct idle_device d;
    struct ckpt *ck = NULL;
    char dir[256];
    enum status st = synthetic_dir(dir, sizeof dir, e);
    if (st != ST_OK)
        return st;
    st = synthetic_write(shape, dir, e);
    if (st == ST_OK)
        st = ckpt_open(dir, &ck, e);
    if (st == ST_OK)
        st = measure_on(&d, ck, n_vocab, speculate, out, e);
    ckpt_close(ck);
    synthetic_remove(dir);
    return st;
}

enum status bench_engine(const struct bench_options *o, struct err *e)
{
    (void)o;
    static const struct {
        const char *name, *shape;
        uint32_t n_vocab, speculate;
    } cases[] = {
        {"vocabulary of 16", "E16", 16, 0},
        {"vocabulary of 16, --speculate 4", "E16", 16, 4},
        {"vocabulary of 32,000", "E32000", 32000, 0},
    };
    enum status st = ST_OK;
    printf("CPU time of the engine's thread for a step of %d greedy sequences, the device left out, in us:\n",
           N_SEQ);
    printf("%-34s %10s %10s %10s %26s\n", "", "step", "p99", "sampling", "schedule, batch, emit");
    for (size_t i = 0; i < sizeof cases / sizeof *cases && st == ST_OK; i++) {
        struct figures f;
        st = measure(cases[i].shape, cases[i].n_vocab, cases[i].speculate, &f, e);
        if (st != ST_OK)
            break;
        printf("%-34s %10.1f %10.1f %10.1f", cases[i].name, f.step_us, f.p99_us, f.sampling_us);
        if (f.sampling_us < f.step_us / 1.1) /* else the difference is noise */
            printf(" %26.1f", f.step_us - f.sampling_us);
        printf("\n");
    }
    return st;
}

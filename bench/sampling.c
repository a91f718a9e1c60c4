/* One thread that samples rows of random logits, as peaked as a model's: microseconds a row for the
 * parameters that people use. CPU time, so that neighbours on the machine do not count. */
#include "base/rng.h"
#include "bench.h"
#include "sample/sample.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define N_ROW     8
#define N_HISTORY 1000

struct sampling_case {
    const char *name;
    struct sample_params params;
};

struct sampling_rig {
    uint32_t n_vocab;
    float *logits; /* [N_ROW][n_vocab] */
    int32_t ids[N_HISTORY];
    struct sampler *sampler;
};

/* Normal logits of standard deviation 2.5, and some tokens that the text makes likely. */
static void fill_rows(struct sampling_rig *rig)
{
    for (uint32_t row = 0; row < N_ROW; row++)
        for (uint32_t i = 0; i < rig->n_vocab; i++) {
            double u = rng_unit(1, row, i), v = rng_unit(2, row, i);
            rig->logits[row * (size_t)rig->n_vocab + i] =
                (float)(2.5 * sqrt(-2 * log(u)) * cos(2 * M_PI * v) + (rng_unit(3, row, i) < 1e-3 ? 8 : 0));
        }
    for (uint32_t i = 0; i < N_HISTORY; i++)
        rig->ids[i] = (int32_t)(rng_u64(4, 0, i) % rig->n_vocab);
}

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static enum status measure_case(struct sampling_rig *rig, const struct sample_params *p, unsigned rounds,
                                struct samples *us)
{
    const struct sample_context context = {.ids = rig->ids, .n_prompt = N_HISTORY / 2, .n_ids = N_HISTORY};
    for (unsigned round = 0; round < rounds; round++) {
        double begin = cpu_us();
        for (uint32_t row = 0; row < N_ROW; row++) {
            struct sampled out;
            enum status st = sampler_pick(rig->sampler, rig->logits + row * (size_t)rig->n_vocab, p, &context,
                                          0, round, &out);
            if (st != ST_OK)
                return st;
        }
        samples_add(us, (cpu_us() - begin) / N_ROW);
    }
    return ST_OK;
}

static enum status measure_vocabulary(struct sampling_rig *rig, const struct bench_options *o, struct err *e)
{
    struct sample_params d = sample_params_default(), greedy = d;
    greedy.no_logprob = true;
    d.temperature = 0.8f;
    struct sample_params k_p = d, all = d;
    k_p.top_k = 50;
    k_p.top_p = all.top_p = 0.95f;
    all.top_k = 200;
    all.typical_p = 0.95f;
    all.repetition_penalty = 1.1f;
    all.frequency_penalty = 0.2f;
    all.top_n = 5;
    struct sampling_case cases[] = {
        {"greedy, no logprob", greedy},
        {"greedy", sample_params_default()},
        {"temperature", d},
        {"top_k 50", d},
        {"top_p 0.95", d},
        {"top_k 50, top_p 0.95", k_p},
        {"min_p 0.05", d},
        {"typical_p 0.95", d},
        {"repetition_penalty 1.1", d},
        {"watermark", d},
        {"top_n 5", d},
        {"top_p 0.95, typical_p, penalties, top_n", all},
    };
    cases[3].params.top_k = 50;
    cases[4].params.top_p = 0.95f;
    cases[6].params.min_p = 0.05f;
    cases[7].params.typical_p = 0.95f;
    cases[8].params.repetition_penalty = 1.1f;
    cases[9].params.watermark = true;
    cases[10].params.top_n = 5;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct samples us = {.n = 0};
        if (measure_case(rig, &cases[i].params, o->rounds, &us) != ST_OK)
            return err_set(e, ST_INTERNAL, "sampling failed with %s", cases[i].name);
        printf("  %-42s %8.1f us\n", cases[i].name, samples_median(&us));
    }
    return ST_OK;
}

enum status bench_sampling(const struct bench_options *o, struct err *e)
{
    static const uint32_t sizes[] = {32000, 128256};
    enum status st = ST_OK;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && st == ST_OK; i++) {
        struct sampling_rig rig = {.n_vocab = sizes[i]};
        rig.logits = malloc(N_ROW * (size_t)rig.n_vocab * sizeof *rig.logits);
        st = rig.logits ? sampler_new(rig.n_vocab, &rig.sampler, e) : err_set(e, ST_NO_MEMORY, "no memory");
        if (st == ST_OK) {
            fill_rows(&rig);
            printf("vocabulary of %u, one row, %u ids so far:\n", rig.n_vocab, N_HISTORY);
            st = measure_vocabulary(&rig, o, e);
        }
        sampler_free(rig.sampler);
        free(rig.logits);
    }
    return st;
}

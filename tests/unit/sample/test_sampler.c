/* The sampler against a plain oracle: masks, probabilities, frequencies. */
#include "base/rng.h"
#include "sample/sample.h"
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N 257

static const struct sample_context nothing_yet = {.ids = NULL};

static enum status pick(struct sampler *s, const float *logits, const struct sample_params *p,
                        uint32_t choice, uint32_t position, struct sampled *out)
{
    return sampler_pick(s, logits, p, &nothing_yet, choice, position, out);
}

static float uniform(uint64_t stream, uint64_t i)
{
    return (float)rng_unit(42, stream, i);
}

/* TGI's rules, written as they are said: probabilities of every token after temperature, top_k, top_p. */
static void oracle(const float *logits, const struct sample_params *p, double *probability)
{
    double x[N], sum = 0;
    bool keep[N];
    unsigned order[N];
    for (unsigned i = 0; i < N; i++) {
        x[i] = (double)logits[i] / p->temperature;
        keep[i] = isfinite(logits[i]);
        order[i] = i;
    }
    for (unsigned i = 1; i < N; i++) /* descending logits, ascending ids */
        for (unsigned j = i; j > 0 && x[order[j]] > x[order[j - 1]]; j--) {
            unsigned swap = order[j];
            order[j] = order[j - 1];
            order[j - 1] = swap;
        }
    if (p->top_k && (unsigned)p->top_k < N)
        for (unsigned i = 0; i < N; i++)
            keep[i] &= x[i] >= x[order[p->top_k - 1]];
    for (unsigned i = 0; i < N; i++)
        sum += keep[i] ? exp(x[i] - x[order[0]]) : 0;
    if (p->top_p < 1) {
        double below = 0;
        for (unsigned i = N; i-- > 1;) {
            unsigned id = order[i];
            below += keep[id] ? exp(x[id] - x[order[0]]) / sum : 0;
            if (below > 1 - (double)p->top_p)
                break;
            keep[id] = false;
        }
    }
    sum = 0;
    for (unsigned i = 0; i < N; i++)
        sum += keep[i] ? exp(x[i] - x[order[0]]) : 0;
    for (unsigned i = 0; i < N; i++)
        probability[i] = keep[i] ? exp(x[i] - x[order[0]]) / sum : 0;
}

static void fill(float *logits, uint64_t stream)
{
    for (unsigned i = 0; i < N; i++)
        logits[i] = 12 * uniform(stream, i) - 6;
    for (unsigned i = 0; i < 20; i++) /* ties and holes */
        logits[(i * 37) % N] = i % 2 ? 3.25f : -INFINITY;
}

static void test_distribution(void **state)
{
    (void)state;
    struct sampler *s;
    struct err e;
    float logits[N];
    double probability[N];
    assert_int_equal(sampler_new(N, &s, &e), ST_OK);
    for (unsigned trial = 0; trial < 300; trial++) {
        struct sample_params p = sample_params_default();
        struct sampled got;
        fill(logits, trial);
        p.do_sample = true;
        p.temperature = 0.3f + 2 * uniform(1000, trial);
        p.top_k = trial % 3 ? (int32_t)(uniform(1001, trial) * 60) : 0;
        p.top_p = trial % 2 ? 0.05f + 0.9f * uniform(1002, trial) : 1;
        oracle(logits, &p, probability);
        for (unsigned draw = 0; draw < 50; draw++) {
            p.seed = draw;
            assert_int_equal(pick(s, logits, &p, 0, trial, &got), ST_OK);
            assert_true(probability[got.id] > 0);
            assert_true(fabs(got.logprob - log(probability[got.id])) < 1e-4);
        }
    }
    sampler_free(s);
}

/* Chi-square with 9 degrees of freedom: 27.9 is exceeded once in a thousand runs; the seeds here are fixed.
 */
static void test_frequencies(void **state)
{
    (void)state;
    struct sampler *s;
    struct err e;
    float logits[10];
    unsigned seen[10] = {0};
    double sum = 0, chi = 0;
    struct sample_params p = sample_params_default();
    p.do_sample = true;
    assert_int_equal(sampler_new(10, &s, &e), ST_OK);
    for (unsigned i = 0; i < 10; i++) {
        logits[i] = (float)i / 4;
        sum += exp(logits[i]);
    }
    const unsigned draws = 200000;
    for (unsigned i = 0; i < draws; i++) {
        struct sampled got;
        p.seed = i / 100;
        assert_int_equal(pick(s, logits, &p, 0, i % 100, &got), ST_OK);
        seen[got.id]++;
    }
    for (unsigned i = 0; i < 10; i++) {
        double want = draws * exp(logits[i]) / sum;
        chi += (seen[i] - want) * (seen[i] - want) / want;
    }
    assert_true(chi < 27.9);
    sampler_free(s);
}

static void test_greedy_and_numeric(void **state)
{
    (void)state;
    struct sampler *s;
    struct err e;
    struct sampled got;
    struct sample_params p = sample_params_default();
    float logits[4] = {1, 3, 3, -INFINITY};
    assert_int_equal(sampler_new(4, &s, &e), ST_OK);
    assert_int_equal(pick(s, logits, &p, 0, 0, &got), ST_OK);
    assert_int_equal(got.id, 1);
    assert_true(fabs(got.logprob - sample_logprob(logits, 4, 1)) < 1e-6);
    assert_true(fabs(got.logprob + log(2 + exp(-2))) < 1e-6);
    p.temperature = 1e-30f; /* as good as greedy, and no overflow */
    p.top_k = 1;
    assert_int_equal(pick(s, logits, &p, 0, 0, &got), ST_OK);
    assert_true(got.id == 1 || got.id == 2);
    logits[0] = NAN;
    assert_int_equal(pick(s, logits, &p, 0, 0, &got), ST_NUMERIC);
    for (unsigned i = 0; i < 4; i++)
        logits[i] = -INFINITY;
    assert_int_equal(pick(s, logits, &p, 0, 0, &got), ST_NUMERIC);
    sampler_free(s);
}

static void test_randomness_is_keyed(void **state)
{
    (void)state;
    struct sampler *s;
    struct err e;
    float logits[N];
    struct sample_params p = sample_params_default();
    struct sampled a, b;
    unsigned differ = 0;
    p.do_sample = true;
    fill(logits, 5);
    assert_int_equal(sampler_new(N, &s, &e), ST_OK);
    for (uint32_t position = 0; position < 50; position++) {
        assert_int_equal(pick(s, logits, &p, 0, position, &a), ST_OK);
        assert_int_equal(pick(s, logits, &p, 0, position, &b), ST_OK);
        assert_int_equal(a.id, b.id);
        assert_true(a.logprob == b.logprob);
        assert_int_equal(pick(s, logits, &p, 1, position, &b), ST_OK);
        differ += a.id != b.id;
    }
    assert_true(differ > 20);
    sampler_free(s);
}

/* ---- edges ---- */

/* A sampler of n tokens that gives every surviving token as an alternative. */
struct fixture {
    struct sampler *s;
    struct sample_params p;
    struct sampled got;
};

static void setup(struct fixture *f, uint32_t n_vocab)
{
    struct err e;
    f->p = sample_params_default();
    f->p.top_n = SAMPLE_MAX_TOP;
    assert_int_equal(sampler_new(n_vocab, &f->s, &e), ST_OK);
}

static void run_in(struct fixture *f, const float *logits, const struct sample_context *context)
{
    assert_int_equal(sampler_pick(f->s, logits, &f->p, context, 0, 0, &f->got), ST_OK);
}

/* The surviving ids, most likely first. */
static void assert_left(const struct fixture *f, const int32_t *ids, uint32_t n)
{
    double sum = 0;
    assert_int_equal(f->got.n_top, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(f->got.top[i].id, ids[i]);
        sum += exp(f->got.top[i].logprob);
    }
    assert_true(fabs(sum - 1) < 1e-6);
}
#define ASSERT_LEFT(f, ...)                                                                                  \
    assert_left(f, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static float logprob_of(const struct fixture *f, int32_t id)
{
    for (uint32_t i = 0; i < f->got.n_top; i++)
        if (f->got.top[i].id == id)
            return f->got.top[i].logprob;
    return -INFINITY;
}

static void test_ties(void **state)
{
    (void)state;
    struct fixture f;
    const float logits[] = {1, 2, 3, 2, 0, 2, -INFINITY};
    setup(&f, 7);
    run_in(&f, logits, &nothing_yet);
    ASSERT_LEFT(&f, 2, 1, 3, 5, 0, 4);
    f.p.top_k = 2; /* ties at k survive */
    run_in(&f, logits, &nothing_yet);
    ASSERT_LEFT(&f, 2, 1, 3, 5);
    f.p.top_k = 7;
    run_in(&f, logits, &nothing_yet);
    ASSERT_LEFT(&f, 2, 1, 3, 5, 0, 4);
    f.p.top_k = INT32_MAX;
    f.p.top_n = 2; /* ties at n are all told */
    run_in(&f, logits, &nothing_yet);
    assert_int_equal(f.got.n_top, 4);
    f.p.top_n = 1;
    run_in(&f, logits, &nothing_yet);
    assert_int_equal(f.got.n_top, 1);
    f.p.top_k = 0;
    f.p.top_n = SAMPLE_MAX_TOP;
    f.p.top_p = 0.5f; /* e^3 / sum is 0.43: one of the three equal ones is needed, the lowest id stays */
    run_in(&f, logits, &nothing_yet);
    ASSERT_LEFT(&f, 2, 1);
    f.p.top_p = 1;
    f.p.min_p = 0.36f; /* e^-1 is 0.37 */
    run_in(&f, logits, &nothing_yet);
    ASSERT_LEFT(&f, 2, 1, 3, 5);
    f.p.min_p = 1;
    run_in(&f, logits, &nothing_yet);
    ASSERT_LEFT(&f, 2);
    f.p.min_p = 0;
    f.p.typical_p = 1e-6f; /* the three are nearest to the entropy */
    run_in(&f, logits, &nothing_yet);
    ASSERT_LEFT(&f, 1, 3, 5);
    sampler_free(f.s);
}

static void test_more_ties_than_may_be_told(void **state)
{
    (void)state;
    struct fixture f;
    float logits[3 * SAMPLE_MAX_TOP];
    setup(&f, 3 * SAMPLE_MAX_TOP);
    for (unsigned i = 0; i < 3 * SAMPLE_MAX_TOP; i++)
        logits[i] = i == 3000;
    f.p.top_n = 5;
    run_in(&f, logits, &nothing_yet);
    assert_int_equal(f.got.n_top, SAMPLE_MAX_TOP);
    assert_int_equal(f.got.top[0].id, 3000);
    for (int32_t i = 1; i < SAMPLE_MAX_TOP; i++)
        assert_int_equal(f.got.top[i].id, i - 1);
    sampler_free(f.s);
}

static void test_extremes(void **state)
{
    (void)state;
    struct fixture f;
    const float two_best[] = {0, 5, 4.9999f, 5, -3}, one[] = {-INFINITY, -INFINITY, 7, -INFINITY, -INFINITY},
                wide[] = {3e38f, -3e38f, 0, 1, 2};
    setup(&f, 5);
    f.p.top_p = 1e-30f;
    run_in(&f, two_best, &nothing_yet);
    ASSERT_LEFT(&f, 1);
    f.p.top_p = 0.99999994f;
    run_in(&f, two_best, &nothing_yet);
    ASSERT_LEFT(&f, 1, 3, 2, 0, 4);
    f.p.top_p = 1;
    f.p.temperature = 1e-45f;
    run_in(&f, two_best, &nothing_yet);
    assert_true(fabs(logprob_of(&f, 1) - log(0.5)) < 1e-6 && logprob_of(&f, 2) < -1e30);
    f.p.temperature = 3e38f; /* as good as uniform */
    run_in(&f, two_best, &nothing_yet);
    assert_true(fabs(logprob_of(&f, 4) - log(0.2)) < 1e-6);
    for (unsigned trial = 0; trial < 6; trial++) { /* whatever is asked, the only token it can be */
        const float t[] = {1, 1e-45f, 3e38f, 0.7f, 1, 1};
        f.p = sample_params_default();
        f.p.top_n = 3;
        f.p.temperature = t[trial];
        f.p.do_sample = trial > 0;
        f.p.top_k = trial == 4 ? 3 : 0;
        f.p.top_p = trial >= 4 ? 0.3f : 1;
        f.p.typical_p = trial >= 3 ? 0.2f : 1;
        f.p.min_p = trial == 5 ? 0.5f : 0;
        run_in(&f, one, &nothing_yet);
        ASSERT_LEFT(&f, 2);
        assert_int_equal(f.got.id, 2);
        assert_true(f.got.logprob == 0);
    }
    f.p = sample_params_default();
    f.p.do_sample = true;
    run_in(&f, wide, &nothing_yet);
    assert_int_equal(f.got.id, 0);
    f.p.no_logprob = true;
    run_in(&f, wide, &nothing_yet);
    assert_true(isnan(f.got.logprob));
    sampler_free(f.s);
}

static void test_a_vocabulary_of_one(void **state)
{
    (void)state;
    struct fixture f;
    const float logit = -12;
    const int32_t ids[] = {0, 0, 0};
    const struct sample_context context = {.ids = ids, .n_prompt = 1, .n_ids = 3};
    setup(&f, 1);
    f.p.watermark = true;
    f.p.top_k = 1;
    f.p.top_p = f.p.typical_p = 0.5f;
    f.p.min_p = 0.5f;
    f.p.repetition_penalty = 2;
    f.p.frequency_penalty = f.p.presence_penalty = 1;
    run_in(&f, &logit, &context);
    ASSERT_LEFT(&f, 0);
    assert_int_equal(f.got.id, 0);
    sampler_free(f.s);
}

/* Differences of logprobs are differences of edited logits. */
static void test_penalties(void **state)
{
    (void)state;
    struct fixture f;
    const float logits[] = {4, -2, 0, 1, 1};
    const int32_t ids[] = {0, 1, 0, 0, 2, 3, 3, 1};
    const struct sample_context context = {.ids = ids, .n_prompt = 5, .n_ids = 8};
    setup(&f, 5);
    f.p.repetition_penalty = 2; /* once for each id, however often it is there; id 0 and the prompt count */
    run_in(&f, logits, &context);
    const float penalised[] = {2, -4, 0, 0.5f, 1};
    for (int32_t i = 0; i < 5; i++)
        assert_true(fabsf(logprob_of(&f, i) - logprob_of(&f, 4) - (penalised[i] - 1)) < 1e-6);
    f.p.frequency_penalty = 1.6f; /* 0.2 an occurrence of 8 */
    f.p.presence_penalty = 0.5f;  /* for 3 and 1, which were made */
    run_in(&f, logits, &context);
    const float all[] = {2 - 0.6f, -4 - 0.4f - 0.5f, -0.2f, 0.5f - 0.4f - 0.5f, 1};
    for (int32_t i = 0; i < 5; i++)
        assert_true(fabsf(logprob_of(&f, i) - logprob_of(&f, 4) - (all[i] - 1)) < 1e-5);
    run_in(&f, logits, &nothing_yet); /* nothing is left of the last pick */
    assert_true(fabsf(logprob_of(&f, 0) - logprob_of(&f, 1) - 6) < 1e-6);
    f.p.frequency_penalty = f.p.presence_penalty = 0; /* the largest and the smallest there are */
    f.p.repetition_penalty = 1.401298464324817e-45f;
    run_in(&f, logits, &context);
    assert_int_equal(f.got.id, 0);
    f.p.repetition_penalty = FLT_MAX;
    run_in(&f, logits, &context);
    assert_int_equal(f.got.id, 4);
    f.p.frequency_penalty = f.p.presence_penalty = -2; /* the prompt alone: nothing was made */
    f.p.repetition_penalty = 1;
    run_in(&f, logits, &(struct sample_context){.ids = ids, .n_prompt = 4, .n_ids = 4});
    assert_true(fabsf(logprob_of(&f, 0) - logprob_of(&f, 4) - 4.5f) < 1e-6);
    assert_true(fabsf(logprob_of(&f, 1) - logprob_of(&f, 4) - -2.5f) < 1e-6);
    sampler_free(f.s);
}

static void test_bias_and_mask(void **state)
{
    (void)state;
    struct fixture f;
    const float logits[] = {1, 2, 3, 4, 5, -INFINITY};
    const struct sample_bias bias[] = {{-1, 50}, {0, 100}, {4, -100}, {5, 100}, {6, 9}, {INT32_MAX, 1}};
    const uint64_t only[] = {1 << 1 | 1 << 4}, none[] = {0};
    setup(&f, 6);
    f.p.bias = bias;
    f.p.n_bias = 6;
    run_in(&f, logits, &nothing_yet);
    ASSERT_LEFT(&f, 0, 3, 2, 1, 4);
    assert_int_equal(f.got.id, 0);
    run_in(&f, logits, &(struct sample_context){.allowed = only});
    ASSERT_LEFT(&f, 1, 4);
    assert_int_equal(sampler_pick(f.s, logits, &f.p, &(struct sample_context){.allowed = none}, 0, 0, &f.got),
                     ST_NUMERIC);
    run_in(&f, logits, &nothing_yet);
    ASSERT_LEFT(&f, 0, 3, 2, 1, 4);
    sampler_free(f.s);
}

/* The green list by its definition in sample.h. */
static void test_watermark(void **state)
{
    (void)state;
    struct fixture f;
    float logits[N];
    const int32_t ids[] = {5, 77};
    uint32_t number[N + 3], n_green = 0;
    setup(&f, N);
    f.p.watermark = true;
    f.p.watermark_gamma = 0.25;
    f.p.watermark_delta = 3;
    for (unsigned i = 0; i < N; i++)
        logits[i] = 0;
    for (unsigned i = 0; i < N; i += 4)
        rng_block(15485863ull * 77, 0, i / 4, number + i);
    run_in(&f, logits, &(struct sample_context){.ids = ids, .n_prompt = 1, .n_ids = 2});
    float green = f.got.top[0].logprob;
    for (int32_t i = 0; i < N; i++) {
        unsigned before = 0;
        for (int32_t j = 0; j < N; j++)
            before += number[j] < number[i] || (number[j] == number[i] && j < i);
        bool is_green = logprob_of(&f, i) > green - 1;
        assert_int_equal(is_green, before < 64);
        assert_true(is_green || fabsf(green - logprob_of(&f, i) - 3) < 1e-5);
        n_green += is_green;
    }
    assert_int_equal(n_green, 64);
    f.p.watermark_gamma = 1;
    run_in(&f, logits, &(struct sample_context){.ids = ids, .n_prompt = 1, .n_ids = 2});
    assert_true(fabs(logprob_of(&f, 3) + log(N)) < 1e-5);
    run_in(&f, logits, &nothing_yet);
    sampler_free(f.s);
}

static void test_rows_that_are_none(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 200; n += 13)
        for (uint32_t at = 0; at < n; at++) {
            struct fixture f;
            float logits[200];
            for (uint32_t i = 0; i < n; i++)
                logits[i] = (float)i;
            setup(&f, n);
            const float bad[] = {NAN, -NAN, INFINITY};
            for (int i = 0; i < 3; i++) {
                logits[at] = bad[i];
                assert_int_equal(pick(f.s, logits, &f.p, 0, 0, &f.got), ST_NUMERIC);
                assert_true(isnan(sample_logprob(logits, n, 0)));
            }
            sampler_free(f.s);
        }
}

/* Every length of a last block; the largest anywhere. */
static void test_lengths(void **state)
{
    (void)state;
    float logits[300];
    for (uint32_t n = 1; n < 300; n++) {
        struct fixture f;
        double sum = 0;
        setup(&f, n);
        for (uint32_t i = 0; i < n; i++)
            logits[i] = 6 * uniform(n, i);
        uint32_t best = (n * 7919u) % n;
        logits[best] = 7;
        for (uint32_t i = 0; i < n; i++)
            sum += exp((double)logits[i]);
        run_in(&f, logits, &nothing_yet);
        assert_int_equal(f.got.id, best);
        assert_int_equal(f.got.n_top, n);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(fabs(logprob_of(&f, (int32_t)i) - (logits[i] - log(sum))) < 1e-6);
            assert_true(logprob_of(&f, (int32_t)i) == sample_logprob(logits, n, (int32_t)i));
        }
        sampler_free(f.s);
    }
}

/* Pairs of neighbouring positions, and of choices, fall into 16 cells of equal probability. Chi-square with
 * 15 degrees of freedom: 37.7 is exceeded once in a thousand runs; the seeds are fixed. */
static void test_independence(void **state)
{
    (void)state;
    struct fixture f;
    const float logits[4] = {0};
    const unsigned pairs = 40000;
    setup(&f, 4);
    f.p.do_sample = true;
    for (int by_choice = 0; by_choice < 2; by_choice++) {
        unsigned seen[16] = {0};
        double chi = 0;
        for (unsigned i = 0; i < pairs; i++) {
            f.p.seed = i / 1000;
            assert_int_equal(pick(f.s, logits, &f.p, 0, i, &f.got), ST_OK);
            int32_t first = f.got.id;
            assert_int_equal(pick(f.s, logits, &f.p, by_choice ? 1 : 0, by_choice ? i : i + 1, &f.got),
                             ST_OK);
            seen[first * 4 + f.got.id]++;
        }
        for (unsigned i = 0; i < 16; i++)
            chi += (seen[i] - pairs / 16.0) * (seen[i] - pairs / 16.0) / (pairs / 16.0);
        assert_true(chi < 37.7);
    }
    sampler_free(f.s);
}

static void test_params(void **state)
{
    (void)state;
    struct err e;
    struct sample_params p = sample_params_default();
    assert_int_equal(sample_params_check(&p, 0, &e), ST_OK);
    assert_false(sample_is_random(&p));
    assert_int_equal(sample_params_check(&p, 1u << SAMPLE_PARAM_top_p, &e), ST_INVALID); /* 1, and said */
    assert_string_equal(e.text, "`top_p` must be > 0.0 and < 1.0");
    p.temperature = NAN;
    assert_int_equal(sample_params_check(&p, 0, &e), ST_INVALID);
    assert_string_equal(e.text, "`temperature` must be strictly positive");
    p = sample_params_default();
    p.repetition_penalty = p.frequency_penalty = p.presence_penalty = 1.5f;
    assert_false(sample_is_random(&p));
    p.min_p = 0.1f;
    assert_true(sample_is_random(&p));
    p.top_k = -1;
    assert_int_equal(sample_params_check(&p, 0, &e), ST_INVALID);
    assert_string_equal(e.text, "`top_k` must be strictly positive");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_greedy_and_numeric),
        cmocka_unit_test(test_randomness_is_keyed),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_more_ties_than_may_be_told),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_a_vocabulary_of_one),
        cmocka_unit_test(test_penalties),
        cmocka_unit_test(test_bias_and_mask),
        cmocka_unit_test(test_watermark),
        cmocka_unit_test(test_rows_that_are_none),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_independence),
        cmocka_unit_test(test_params),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

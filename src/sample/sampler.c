/* The sampler: one row of logits to one token.
 *
 * Only candidates that survive top_k and top_p are ever sorted. Sums are double and run in a fixed order, so
 * that the same row gives the same token and logprob whatever else is running. */
#include "base/rng.h"
#include "sample/sample.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
    float logit; /* less the row's largest, divided by the temperature: at most 0 */
    int32_t id;
};

struct sampler {
    uint32_t n_vocab;
    struct candidate *candidate; /* [n_vocab] */
    double *mass;                /* [n_vocab] */
};

enum status sampler_new(uint32_t n_vocab, struct sampler **out, struct err *e)
{
    struct sampler *s = calloc(1, sizeof *s);
    if (s) {
        s->n_vocab = n_vocab;
        s->candidate = malloc(n_vocab * sizeof *s->candidate);
        s->mass = malloc(n_vocab * sizeof *s->mass);
    }
    if (!s || !s->candidate || !s->mass) {
        sampler_free(s);
        return err_set(e, ST_NO_MEMORY, "no memory to sample from %u tokens", n_vocab);
    }
    *out = s;
    return ST_OK;
}

void sampler_free(struct sampler *s)
{
    if (!s)
        return;
    free(s->candidate);
    free(s->mass);
    free(s);
}

/* ---- rows ---- */

/* The largest logit, lowest id first; ST_NUMERIC for a NaN, +inf, or nothing finite. */
static enum status row_max(const float *logits, uint32_t n, uint32_t *best)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (isnan(logits[i]))
            return ST_NUMERIC;
        if (logits[i] > logits[at])
            at = i;
    }
    *best = at;
    return isfinite(logits[at]) ? ST_OK : ST_NUMERIC;
}

/* log(sum(exp(logit - max))) over a row. */
static double log_sum(const float *logits, uint32_t n, double max)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - max);
    return log(sum);
}

float sample_logprob(const float *logits, uint32_t n_vocab, int32_t id)
{
    uint32_t best = 0;
    if (row_max(logits, n_vocab, &best) != ST_OK)
        return NAN;
    double max = logits[best];
    return (float)((double)logits[id] - max - log_sum(logits, n_vocab, max));
}

/* ---- candidates ---- */

/* Order of decreasing logit, then of increasing id. */
static int candidate_compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Moves the k candidates of the largest logits to the front (in no order) and returns the k-th largest logit.
 */
static float select_largest(struct candidate *c, uint32_t n, uint32_t k)
{
    uint32_t low = 0, high = n - 1, want = k - 1;
    while (low < high) {
        float pivot = c[low + (high - low) / 2].logit;
        uint32_t i = low, j = high;
        for (;;) {
            while (c[i].logit > pivot)
                i++;
            while (c[j].logit < pivot)
                j--;
            if (i >= j)
                break;
            struct candidate swap = c[i];
            c[i++] = c[j];
            c[j--] = swap;
        }
        if (want <= j)
            high = j;
        else
            low = j + 1;
    }
    return c[want].logit;
}

/* Keeps logits that are not below the k-th largest: ties survive. */
static uint32_t keep_top_k(struct sampler *s, uint32_t n, uint32_t k)
{
    struct candidate *c = s->candidate;
    if (k >= n)
        return n;
    float least = select_largest(c, n, k);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (c[i].logit >= least)
            c[kept++] = c[i];
    return kept;
}

/* The candidates' probabilities (not divided by their sum) into s->mass; returns the sum. */
static double fill_mass(struct sampler *s, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        s->mass[i] = exp((double)s->candidate[i].logit);
        sum += s->mass[i];
    }
    return sum;
}

static void candidate_sink(struct candidate *c, uint32_t n, uint32_t i)
{
    struct candidate moving = c[i];
    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && candidate_compare(&c[child + 1], &c[child]) < 0)
            child++;
        if (candidate_compare(&moving, &c[child]) < 0)
            break;
        c[i] = c[child];
    }
    c[i] = moving;
}

/* Ascending cumulative mass up to and with a token must exceed 1 - top_p for it to stay; the best one always
 * stays. A heap gives the best ones in order: only what stays is sorted, in place (qsort() would allocate).
 */
static uint32_t keep_top_p(struct sampler *s, uint32_t n, double top_p)
{
    struct candidate *c = s->candidate;
    double sum = fill_mass(s, n), left = sum;
    uint32_t kept = 0;
    for (uint32_t i = n / 2; i-- > 0;)
        candidate_sink(c, n, i);
    while (kept < n && (kept == 0 || left / sum > 1 - top_p)) {
        struct candidate best = c[0];
        kept++;
        c[0] = c[n - kept];
        c[n - kept] = best;
        if (kept < n)
            candidate_sink(c, n - kept, 0);
        left -= exp((double)best.logit);
    }
    for (uint32_t i = 0; i < kept && i < n / 2; i++) { /* from the end to the front, best first */
        struct candidate swap = c[i];
        c[i] = c[n - 1 - i];
        c[n - 1 - i] = swap;
    }
    return kept;
}

static uint32_t choose(const struct sampler *s, uint32_t n, double sum, double u)
{
    double target = u * sum, seen = 0;
    for (uint32_t i = 0; i < n; i++) {
        seen += s->mass[i];
        if (target < seen)
            return i;
    }
    return n - 1;
}

static void pick_random(struct sampler *s, const float *logits, const struct sample_params *p,
                        uint32_t choice, uint32_t position, float max, struct sampled *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++)
        if (isfinite(logits[i]))
            s->candidate[n++] = (struct candidate){(logits[i] - max) / p->temperature, (int32_t)i};
    if (p->top_k)
        n = keep_top_k(s, n, p->top_k);
    if (p->top_p < 1)
        n = keep_top_p(s, n, p->top_p);
    double sum = fill_mass(s, n);
    uint32_t i = choose(s, n, sum, rng_unit(p->seed, choice, position));
    out->id = s->candidate[i].id;
    out->logprob = (float)((double)s->candidate[i].logit - log(sum));
}

enum status sampler_pick(struct sampler *s, const float *logits, const struct sample_params *p,
                         uint32_t choice, uint32_t position, struct sampled *out)
{
    uint32_t best;
    enum status st = row_max(logits, s->n_vocab, &best);
    if (st != ST_OK)
        return st;
    if (sample_is_random(p)) {
        pick_random(s, logits, p, choice, position, logits[best], out);
    } else {
        double max = logits[best];
        *out = (struct sampled){(int32_t)best, (float)-log_sum(logits, s->n_vocab, max)};
    }
    return ST_OK;
}

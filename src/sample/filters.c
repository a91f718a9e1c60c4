/* Filters: temperature, top_k, top_p, min_p, typical_p. Each shortens the row to the entries that stay, in
 * the order of ids; none sorts. */
#include "sample/sample_int.h"
#include <math.h>

static bool wants_temperature(const struct sample_params *p)
{
    return p->temperature != 1;
}

static void filter_temperature(struct sampler *s, const struct sample_params *p)
{
    s->row.scale = 1 / (double)p->temperature;
}

/* Entries with a value of at least `least`; in a whole row only the blocks that reach it are read. */
static void keep_from(struct sampler *s, float least)
{
    const struct row *r = &s->row;
    uint32_t kept = 0;
    for (uint32_t b = 0; b < n_blocks(r->n); b++) {
        if (!r->id && s->block_max[b] < least)
            continue;
        for (uint32_t i = b * ROW_BLOCK; i < r->n && i < (b + 1) * ROW_BLOCK; i++) {
            bool stays = r->value[i] >= least;
            row_move(s, kept, i);
            kept += stays;
        }
    }
    row_cut(s, kept);
}

static bool wants_top_k(const struct sample_params *p)
{
    return p->top_k != 0;
}

static void filter_top_k(struct sampler *s, const struct sample_params *p)
{
    if ((uint32_t)p->top_k < s->row.n)
        keep_from(s, rank_kth_largest(s, (uint32_t)p->top_k));
}

static bool wants_top_p(const struct sample_params *p)
{
    return p->top_p < 1;
}

/* What goes has a mass of `limit` together. Entries below limit / n have less than that even all together:
 * they go at once (those below half of it, so that no rounding matters), and only the rest is ranked. */
static void filter_top_p(struct sampler *s, const struct sample_params *p)
{
    struct row *r = &s->row;
    row_weigh(s);
    double sum = r->sum, limit = (1 - (double)p->top_p) * sum, at_key;
    keep_from(s, (float)(r->max + log(limit / r->n / 2) / r->scale));
    for (uint32_t i = 0; i < r->n; i++)
        s->key[i] = rank_key(r->value[i]);
    double gone = sum > r->sum ? sum - r->sum : 0;
    uint32_t key = rank_select(s, s->key, s->mass, r->n, limit - gone, &at_key);
    /* Of equal values the last ids go first, each only while the limit allows it. */
    uint32_t n_equal = 0, kept = 0;
    double one = 0;
    for (uint32_t i = 0; i < r->n; i++)
        if (s->key[i] == key) {
            n_equal++;
            one = s->mass[i];
        }
    while (n_equal > 1 && gone + at_key + one <= limit) {
        at_key += one;
        n_equal--;
    }
    for (uint32_t i = 0; i < r->n; i++) {
        bool equal = s->key[i] == key, stays = s->key[i] > key || (equal && n_equal);
        row_move(s, kept, i);
        kept += stays;
        n_equal -= equal && n_equal;
    }
    row_cut(s, kept);
}

static bool wants_min_p(const struct sample_params *p)
{
    return p->min_p > 0;
}

/* The largest mass is 1: nothing so far removes the best entry. Values that are too small beyond doubt go
 * first. */
static void filter_min_p(struct sampler *s, const struct sample_params *p)
{
    uint32_t kept = 0;
    row_weigh(s);
    keep_from(s, (float)(s->row.max + log((double)p->min_p / 2) / s->row.scale));
    for (uint32_t i = 0; i < s->row.n; i++) {
        bool stays = s->mass[i] >= (double)p->min_p;
        row_move(s, kept, i);
        kept += stays;
    }
    row_cut(s, kept);
}

static bool wants_typical_p(const struct sample_params *p)
{
    return p->typical_p < 1;
}

/* -ln p = ln(sum) - z, so that the entropy is ln(sum) less the mean of z, and how far a surprise is from it
 * is the distance of z from its mean. The nearest are the largest keys. */
static void filter_typical_p(struct sampler *s, const struct sample_params *p)
{
    struct row *r = &s->row;
    double below, mean[ROW_BLOCK] = {0}, all = 0;
    uint32_t kept = 0;
    row_weigh(s);
    for (uint32_t i = 0; i < r->n; i++)
        mean[i % ROW_BLOCK] += s->mass[i] > 0 ? s->mass[i] * row_z(r, i) : 0;
    for (unsigned i = 0; i < ROW_BLOCK; i++)
        all += mean[i];
    for (uint32_t i = 0; i < r->n; i++)
        s->key[i] = rank_key((float)-fabs(row_z(r, i) - all / r->sum));
    uint32_t key = rank_select(s, s->key, s->mass, r->n, (1 - (double)p->typical_p) * r->sum, &below);
    for (uint32_t i = 0; i < r->n; i++) {
        bool stays = s->key[i] >= key;
        row_move(s, kept, i);
        kept += stays;
    }
    row_cut(s, kept);
}

struct filter {
    bool (*wants)(const struct sample_params *p);
    void (*run)(struct sampler *s, const struct sample_params *p);
};

/* In the order of sample.h. */
static const struct filter filters[] = {
    {wants_temperature, filter_temperature},
    {wants_top_k, filter_top_k},
    {wants_top_p, filter_top_p},
    {wants_min_p, filter_min_p},
    {wants_typical_p, filter_typical_p},
};

void row_filter(struct sampler *s, const struct sample_params *p)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (filters[i].wants(p))
            filters[i].run(s, p);
}

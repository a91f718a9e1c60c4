/* Inside sampling: the sampler's scratch, the row that its steps work on, and the primitives they share. */
#ifndef SAMPLE_SAMPLE_INT_H
#define SAMPLE_SAMPLE_INT_H

#include "base/arena.h"
#include "sample/sample.h"

/* Entries that are summed and scanned together; a block's sum has a fixed order of its own. */
#define ROW_BLOCK 64
/* Values of a digit of 11 bits. */
#define RANK_BINS 2048u

/* What is left of the logits. z = (value - max) * scale is a logit with the largest taken off, at most 0. */
struct row {
    const float *value;
    const int32_t *id; /* ascending; NULL: entry i is id i */
    uint32_t n;
    float max;    /* of the values, before any were filtered out */
    double scale; /* 1 / temperature */
    double sum;   /* of the masses; below 0: they are not computed yet */
};

struct sampler {
    uint32_t n_vocab;
    struct arena memory; /* all arrays below */
    struct row row;

    float *work;       /* [n_vocab] the row once a step has changed a logit */
    float *block_max;  /* of the row's blocks while row.id is NULL */
    double *mass;      /* exp(z) of row entries, zeros up to a whole block */
    double *block_sum; /* of the masses */
    float *value;      /* [n_vocab] entries left by a filter, */
    int32_t *id;       /* and their ids */

    uint32_t *key;      /* [n_vocab] what rank_select() searches */
    uint32_t *rank_key; /* [n_vocab] its scratch, */
    double *rank_mass, *rank_bin;

    uint32_t *count; /* [n_vocab] zeros between picks: how often an id occurs, COUNT_MADE when it was made */
    int32_t *seen;   /* [n_seen] the ids that occur */
    uint32_t n_seen;

    struct sample_top top[SAMPLE_MAX_TOP];
};

#define COUNT_MADE (1u << 31)

/* ---- row.c: passes over a row ---- */

static inline uint32_t n_blocks(uint32_t n)
{
    return (n + ROW_BLOCK - 1) / ROW_BLOCK;
}

/* The largest value, and of each block when `block_max` is not NULL. ST_NUMERIC: a NaN, +inf, or nothing
 * finite.
 */
MUST_CHECK enum status row_scan(const float *value, uint32_t n, float *block_max, float *max);
/* The sum of the masses, without keeping them. */
double row_mass_sum(const float *value, uint32_t n, float max, double scale);
/* The masses and their sum, unless they are there already. */
void row_weigh(struct sampler *s);
static inline bool row_is_weighed(const struct row *r)
{
    return r->sum >= 0;
}
/* A filter calls row_move(s, k, i) for entries i in ascending order, k counting those that stay, then
 * row_cut() with their number. Entry k may be overwritten by a later call with the same k. */
static inline void row_move(struct sampler *s, uint32_t k, uint32_t i)
{
    int32_t id = s->row.id ? s->id[i] : (int32_t)i;
    s->value[k] = s->row.value[i];
    s->id[k] = id;
    if (row_is_weighed(&s->row))
        s->mass[k] = s->mass[i];
}
void row_cut(struct sampler *s, uint32_t n);

static inline int32_t row_id(const struct row *r, uint32_t i)
{
    return r->id ? r->id[i] : (int32_t)i;
}
static inline double row_z(const struct row *r, uint32_t i)
{
    return ((double)r->value[i] - r->max) * r->scale;
}

/* ---- rank.c: order statistics without sorting ---- */

/* Unsigned numbers in the order of the floats; both zeros are one. No NaN. */
uint32_t rank_key(float x);
float rank_value(uint32_t key);
/* The smallest key for which the masses of all keys <= it (NULL: 1 each) add up to more than `limit`, the
 * largest key when there is none; *below is the mass of all smaller keys. Three passes, whatever the keys. n
 * > 0. */
uint32_t rank_select(struct sampler *s, const uint32_t *key, const double *mass, uint32_t n, double limit,
                     double *below);
/* The k-th largest value of the row, 1 <= k <= n. */
float rank_kth_largest(struct sampler *s, uint32_t k);

/* ---- edits.c, filters.c: the steps of sample.h ---- */

/* Steps 1 to 6, on a copy of the row when any is asked for. */
MUST_CHECK enum status row_edit(struct sampler *s, const struct sample_params *p,
                                const struct sample_context *context);
/* Steps 7 to 11. At least one entry stays. */
void row_filter(struct sampler *s, const struct sample_params *p);

#endif

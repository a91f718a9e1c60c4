/* Order statistics without sorting: the k-th largest, or where a share of the mass ends.
 *
 * A digit of the keys at a time, from the top: masses are added up in a bin for each value of the digit, and
 * only the keys of the bin in which the answer lies go on. Three digits hold a key, so the work is bounded
 * whatever the numbers are, and sums run in the order of entries and bins. */
#include "sample/sample_int.h"
#include <string.h>

#define N_DIGIT 3

uint32_t rank_key(float x)
{
    uint32_t bits;
    x += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 ? ~bits : bits | 1u << 31;
}

float rank_value(uint32_t key)
{
    uint32_t bits = key >> 31 ? key & ~(1u << 31) : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct digit {
    unsigned shift;
    uint32_t mask;
};

static const struct digit digits[N_DIGIT] = {{21, RANK_BINS - 1}, {10, RANK_BINS - 1}, {0, (1u << 10) - 1}};

static uint32_t digit_of(const struct digit *d, uint32_t key)
{
    return key >> d->shift & d->mask;
}

/* The bin in which the sum passes the limit, or the last one that holds a key; *below grows by those before.
 */
static uint32_t find_bin(const double *bin, const bool *used, double limit, double *below)
{
    uint32_t last = 0;
    double before_last = *below, sum = *below;
    for (uint32_t i = 0; i < RANK_BINS; i++) {
        if (!used[i])
            continue;
        last = i;
        before_last = sum;
        sum += bin[i];
        if (sum > limit)
            break;
    }
    *below = before_last;
    return last;
}

uint32_t rank_select(struct sampler *s, const uint32_t *key, const double *mass, uint32_t n, double limit,
                     double *below)
{
    bool used[RANK_BINS];
    *below = 0;
    for (int level = 0; level < N_DIGIT; level++) {
        const struct digit *d = &digits[level];
        memset(s->rank_bin, 0, RANK_BINS * sizeof *s->rank_bin);
        memset(used, 0, sizeof used);
        for (uint32_t i = 0; i < n; i++) {
            s->rank_bin[digit_of(d, key[i])] += mass ? mass[i] : 1;
            used[digit_of(d, key[i])] = true;
        }
        uint32_t chosen = find_bin(s->rank_bin, used, limit, below), kept = 0;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t same = digit_of(d, key[i]) == chosen;
            s->rank_key[kept] = key[i];
            if (mass)
                s->rank_mass[kept] = mass[i];
            kept += same;
        }
        n = kept;
        key = s->rank_key;
        mass = mass ? s->rank_mass : NULL;
    }
    return key[0];
}

/* While a row is whole, its blocks' maxima bound the answer from below: k blocks have one, so at least k
 * values, not below the k-th largest of them, and only blocks that reach it are looked into. */
static uint32_t collect_large(struct sampler *s, uint32_t k)
{
    const struct row *r = &s->row;
    uint32_t n_block = n_blocks(r->n), n = 0;
    double below;
    if (r->id || k > n_block) {
        for (uint32_t i = 0; i < r->n; i++)
            s->key[i] = rank_key(r->value[i]);
        return r->n;
    }
    for (uint32_t b = 0; b < n_block; b++)
        s->key[b] = rank_key(s->block_max[b]);
    float bound = rank_value(rank_select(s, s->key, NULL, n_block, n_block - k, &below));
    for (uint32_t b = 0; b < n_block; b++) {
        if (s->block_max[b] < bound)
            continue;
        for (uint32_t i = b * ROW_BLOCK; i < r->n && i < (b + 1) * ROW_BLOCK; i++)
            if (r->value[i] >= bound)
                s->key[n++] = rank_key(r->value[i]);
    }
    return n;
}

float rank_kth_largest(struct sampler *s, uint32_t k)
{
    double below;
    uint32_t n = collect_large(s, k);
    return rank_value(rank_select(s, s->key, NULL, n, n - k, &below));
}

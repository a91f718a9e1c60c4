/* Passes over a row: the largest value, exponentials and their sums.
 *
 * A block is summed in eight lanes, whatever the width of the machine's vectors, and nothing is contracted:
 * the order of additions, and with it every bit of a result, is the same everywhere. */
#include "sample/sample_int.h"
#include <math.h>
#include <string.h>

#define LANES 8

typedef float f32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));

/* ---- the largest ---- */

/* The largest of a block, NaN left out; *bad gets bits set where there was one. */
static inline float block_scan(const float *value, i32x4 *bad)
{
    f32x4 largest[2] = {{-INFINITY, -INFINITY, -INFINITY, -INFINITY},
                        {-INFINITY, -INFINITY, -INFINITY, -INFINITY}};
    for (int i = 0; i < ROW_BLOCK; i += 8)
#pragma GCC unroll 2
        for (int k = 0; k < 2; k++) {
            f32x4 x;
            memcpy(&x, value + i + 4 * k, sizeof x);
            i32x4 greater = x > largest[k];
            *bad |= x != x;
            largest[k] = (f32x4)(((i32x4)x & greater) | ((i32x4)largest[k] & ~greater));
        }
    float max = largest[0][0];
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 4; i++)
            max = largest[k][i] > max ? largest[k][i] : max;
    return max;
}

/* The last, shorter block is read from a copy that is filled up with -inf. */
static void block_fill(const float *value, uint32_t n, float block[ROW_BLOCK])
{
    for (uint32_t i = 0; i < ROW_BLOCK; i++)
        block[i] = i < n ? value[i] : -INFINITY;
}

enum status row_scan(const float *value, uint32_t n, float *block_max, float *max)
{
    i32x4 bad = {0};
    int32_t any_bad = 0;
    *max = -INFINITY;
    for (uint32_t i = 0; i < n; i += ROW_BLOCK) {
        float tail[ROW_BLOCK];
        const float *block = value + i;
        if (n - i < ROW_BLOCK) {
            block_fill(block, n - i, tail);
            block = tail;
        }
        float largest = block_scan(block, &bad);
        if (block_max)
            block_max[i / ROW_BLOCK] = largest;
        if (largest > *max)
            *max = largest;
    }
    for (int i = 0; i < 4; i++)
        any_bad |= bad[i];
    return any_bad || !isfinite(*max) ? ST_NUMERIC : ST_OK;
}

/* ---- exponentials ---- */

/* exp(z) = 2^n * exp(r), r = z - n ln 2 within half a ln 2, exp(r) by Taylor's polynomial: within 3e-10 of
 * the truth, 200 times finer than a float. Below -708 it is 0. */
#define LOG2_E   0x1.71547652b82fep+0
#define LN_2     0x1.62e42fefa39efp-1
#define EXP_LAST (-708.0)
/* Added to a number, it leaves the nearest integer in the low bits. */
#define ROUNDER 0x1.8p52

static inline __attribute__((always_inline)) double exp_of(double z)
{
    double shifted = z * LOG2_E + ROUNDER, r = z - (shifted - ROUNDER) * LN_2;
    uint64_t bits;
    double e = r * (1.0 / 40320) + 1.0 / 5040, power;
    e = e * r + 1.0 / 720;
    e = e * r + 1.0 / 120;
    e = e * r + 1.0 / 24;
    e = e * r + 1.0 / 6;
    e = e * r + 0.5;
    e = e * r + 1;
    e = e * r + 1;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    memcpy(&power, &bits, sizeof power);
    e *= power;
    memcpy(&bits, &e, sizeof bits);
    bits &= -(uint64_t)(z >= EXP_LAST);
    memcpy(&e, &bits, sizeof e);
    return e;
}

static inline __attribute__((always_inline)) double lanes_sum(const double lane[LANES])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* The sum of a block's masses, which are kept when `mass` is not NULL. */
static inline __attribute__((always_inline)) double block_exp_any(const float *value, double max,
                                                                  double scale, double *mass)
{
    double lane[LANES] = {0};
    for (int i = 0; i < ROW_BLOCK; i += LANES) {
        double e[LANES];
        for (int k = 0; k < LANES; k++)
            e[k] = exp_of(((double)value[i + k] - max) * scale);
        if (mass)
            memcpy(mass + i, e, sizeof e);
        for (int k = 0; k < LANES; k++)
            lane[k] += e[k];
    }
    return lanes_sum(lane);
}

typedef double block_exp_fn(const float *value, double max, double scale, double *mass);

static double block_exp_plain(const float *value, double max, double scale, double *mass)
{
    return block_exp_any(value, max, scale, mass);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static double block_exp_avx2(const float *value, double max, double scale,
                                                             double *mass)
{
    return block_exp_any(value, max, scale, mass);
}
#endif

/* The same bits from either. */
static block_exp_fn *block_exp_best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return block_exp_avx2;
#endif
    return block_exp_plain;
}

static double block_total(const double *mass)
{
    double lane[LANES] = {0};
    for (int i = 0; i < ROW_BLOCK; i += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += mass[i + k];
    return lanes_sum(lane);
}

static double sum_blocks(const float *value, uint32_t n, double max, double scale, double *mass,
                         double *block_sum)
{
    block_exp_fn *block_exp = block_exp_best();
    double sum = 0;
    for (uint32_t i = 0; i < n; i += ROW_BLOCK) {
        float tail[ROW_BLOCK];
        const float *block = value + i;
        if (n - i < ROW_BLOCK) {
            block_fill(block, n - i, tail);
            block = tail;
        }
        double one = block_exp(block, max, scale, mass ? mass + i : NULL);
        if (mass)
            block_sum[i / ROW_BLOCK] = one;
        sum += one;
    }
    return sum;
}

double row_mass_sum(const float *value, uint32_t n, float max, double scale)
{
    return sum_blocks(value, n, max, scale, NULL, NULL);
}

void row_weigh(struct sampler *s)
{
    struct row *r = &s->row;
    if (!row_is_weighed(r))
        r->sum = sum_blocks(r->value, r->n, r->max, r->scale, s->mass, s->block_sum);
}

void row_cut(struct sampler *s, uint32_t n)
{
    struct row *r = &s->row;
    r->value = s->value;
    r->id = s->id;
    r->n = n;
    if (!row_is_weighed(r))
        return;
    r->sum = 0;
    memset(s->mass + n, 0, (n_blocks(n) * ROW_BLOCK - n) * sizeof *s->mass);
    for (uint32_t i = 0; i < n; i += ROW_BLOCK)
        r->sum += s->block_sum[i / ROW_BLOCK] = block_total(s->mass + i);
}

float sample_logprob(const float *logits, uint32_t n_vocab, int32_t id)
{
    float max;
    if (row_scan(logits, n_vocab, NULL, &max) != ST_OK)
        return NAN;
    return (float)((double)logits[id] - max - log(row_mass_sum(logits, n_vocab, max, 1)));
}

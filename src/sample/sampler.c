/* The sampler: one row of logits to one token and its alternatives. */
#include "base/rng.h"
#include "sample/sample_int.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

#define MEMORY_MAX_BYTES (1ul << 34)

static bool allocate(struct sampler *s)
{
    struct arena *a = &s->memory;
    size_t n = s->n_vocab, n_block = n_blocks(s->n_vocab);
    s->work = arena_array(a, n, sizeof *s->work);
    s->block_max = arena_array(a, n_block, sizeof *s->block_max);
    s->mass = arena_array(a, n_block * ROW_BLOCK, sizeof *s->mass);
    s->block_sum = arena_array(a, n_block, sizeof *s->block_sum);
    s->value = arena_array(a, n, sizeof *s->value);
    s->id = arena_array(a, n, sizeof *s->id);
    s->key = arena_array(a, n, sizeof *s->key);
    s->rank_key = arena_array(a, n, sizeof *s->rank_key);
    s->rank_mass = arena_array(a, n, sizeof *s->rank_mass);
    s->rank_bin = arena_array(a, RANK_BINS, sizeof *s->rank_bin);
    s->seen = arena_array(a, n, sizeof *s->seen);
    s->count = arena_zalloc(a, n * sizeof *s->count);
    return s->work && s->block_max && s->mass && s->block_sum && s->value && s->id && s->key && s->rank_key &&
           s->rank_mass && s->rank_bin && s->seen && s->count;
}

enum status sampler_new(uint32_t n_vocab, struct sampler **out, struct err *e)
{
    struct sampler *s = calloc(1, sizeof *s);
    if (s) {
        s->n_vocab = n_vocab;
        arena_init(&s->memory, MEMORY_MAX_BYTES);
    }
    if (!s || !allocate(s)) {
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
    arena_fini(&s->memory);
    free(s);
}

/* ---- choosing ---- */

/* The first entry with the largest value; in a whole row, found through its blocks. */
static uint32_t choose_best(const struct sampler *s)
{
    const struct row *r = &s->row;
    uint32_t i = 0;
    for (uint32_t b = 0; s->block_max[b] < r->max; b++)
        i += ROW_BLOCK;
    while (r->value[i] < r->max)
        i++;
    return i;
}

/* The first entry at which the masses, in the order of ids, pass u of their sum. Rounding may leave the walk
 * through a block short of what its sum promised: then it is the last one there that has a mass. */
static uint32_t choose_random(const struct sampler *s, double u)
{
    const struct row *r = &s->row;
    double target = u * r->sum, seen = 0, next = 0;
    uint32_t b = 0, n_block = n_blocks(r->n), chosen = 0;
    for (uint32_t i = 0; i < n_block && target >= next; i++) {
        if (!(s->block_sum[i] > 0))
            continue;
        b = i;
        seen = next;
        next += s->block_sum[i];
    }
    for (uint32_t i = b * ROW_BLOCK; i < r->n && i < (b + 1) * ROW_BLOCK; i++) {
        if (!(s->mass[i] > 0))
            continue;
        chosen = i;
        seen += s->mass[i];
        if (target < seen)
            break;
    }
    return chosen;
}

/* ---- alternatives ---- */

static bool top_before(const struct sample_top *a, const struct sample_top *b)
{
    return a->logprob != b->logprob ? a->logprob > b->logprob : a->id < b->id;
}

/* Values in `logprob` for now: equal logprobs of different values must not change the order. Insertion is
 * enough: they are few. */
static uint32_t top_add(struct sampler *s, uint32_t n, int32_t id, float value)
{
    struct sample_top new = {id, value};
    uint32_t at = n;
    while (at > 0 && top_before(&new, &s->top[at - 1])) {
        s->top[at] = s->top[at - 1];
        at--;
    }
    s->top[at] = new;
    return n + 1;
}

static uint32_t fill_top(struct sampler *s, uint32_t n)
{
    const struct row *r = &s->row;
    float least = rank_kth_largest(s, n < r->n ? n : r->n);
    uint32_t n_top = 0;
    for (int equal = 0; equal < 2; equal++)
        for (uint32_t b = 0; b < n_blocks(r->n); b++) {
            if (!r->id && s->block_max[b] < least)
                continue;
            for (uint32_t i = b * ROW_BLOCK; i < r->n && i < (b + 1) * ROW_BLOCK; i++)
                if ((equal ? r->value[i] == least : r->value[i] > least) && n_top < SAMPLE_MAX_TOP &&
                    isfinite(r->value[i]))
                    n_top = top_add(s, n_top, row_id(r, i), r->value[i]);
        }
    return n_top;
}

/* ---- the pick ---- */

static float logprob_of(const struct row *r, float value)
{
    return (float)(((double)value - r->max) * r->scale - log(r->sum));
}

enum status sampler_pick(struct sampler *s, const float *logits, const struct sample_params *p,
                         const struct sample_context *context, uint32_t choice, uint32_t position,
                         struct sampled *out)
{
    struct row *r = &s->row;
    bool random = sample_is_random(p);
    *r = (struct row){.value = logits, .n = s->n_vocab, .scale = 1, .sum = -1};
    enum status st = row_scan(logits, s->n_vocab, s->block_max, &r->max);
    if (st == ST_OK)
        st = row_edit(s, p, context);
    if (st != ST_OK)
        return st;
    uint32_t i;
    if (random) {
        row_filter(s, p);
        row_weigh(s);
        i = choose_random(s, rng_unit(p->seed, choice, position));
    } else {
        i = choose_best(s);
        if (!p->no_logprob || p->top_n)
            r->sum = row_mass_sum(r->value, r->n, r->max, r->scale);
    }
    *out = (struct sampled){
        .id = row_id(r, i), .logprob = p->no_logprob ? NAN : logprob_of(r, r->value[i]), .top = s->top};
    out->n_top = p->top_n ? fill_top(s, p->top_n) : 0;
    for (uint32_t t = 0; t < out->n_top; t++)
        s->top[t].logprob = logprob_of(r, s->top[t].logprob);
    return ST_OK;
}

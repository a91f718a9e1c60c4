/* Edits: what changes single logits before anything is filtered. They work on a copy of the row, made only
 * when there is something to change. */
#include "base/rng.h"
#include "sample/sample_int.h"
#include <float.h>
#include <math.h>
#include <string.h>

#define WATERMARK_KEY 15485863u

static bool wants_watermark(const struct sample_params *p, const struct sample_context *c)
{
    return p->watermark && c->n_ids > 0;
}

static void edit_watermark(struct sampler *s, const struct sample_params *p, const struct sample_context *c)
{
    uint32_t n_green = (uint32_t)(p->watermark_gamma * s->n_vocab), equal_left;
    uint64_t seed = (uint64_t)WATERMARK_KEY * (uint64_t)c->ids[c->n_ids - 1];
    double below;
    if (n_green == 0)
        return;
    for (uint32_t i = 0; i < s->n_vocab; i += 4) {
        uint32_t numbers[4], n = s->n_vocab - i < 4 ? s->n_vocab - i : 4;
        rng_block(seed, 0, i / 4, numbers);
        memcpy(s->key + i, numbers, n * sizeof *numbers);
    }
    uint32_t last = rank_select(s, s->key, NULL, s->n_vocab, n_green - 1, &below);
    equal_left = n_green - (uint32_t)below;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        bool equal = s->key[i] == last;
        if (s->key[i] < last || (equal && equal_left))
            s->work[i] += p->watermark_delta;
        equal_left -= equal && equal_left;
    }
}

/* ---- penalties: on the ids that occur ---- */

static void tally(struct sampler *s, const struct sample_context *c)
{
    for (uint32_t i = 0; i < c->n_ids; i++) {
        BUG_ON(c->ids[i] < 0 || (uint32_t)c->ids[i] >= s->n_vocab);
        uint32_t *count = &s->count[c->ids[i]];
        if (*count == 0)
            s->seen[s->n_seen++] = c->ids[i];
        *count = (*count + 1) | (i >= c->n_prompt ? COUNT_MADE : 0);
    }
}

static void tally_clear(struct sampler *s)
{
    for (uint32_t i = 0; i < s->n_seen; i++)
        s->count[s->seen[i]] = 0;
    s->n_seen = 0;
}

static bool wants_repetition(const struct sample_params *p, const struct sample_context *c)
{
    return p->repetition_penalty != 1 && c->n_ids > 0;
}

/* A client's penalty may be any float: what it makes of a finite logit stays finite. */
static float penalised(float x, float penalty)
{
    float y = x < 0 ? x * penalty : x / penalty;
    return isfinite(x) && isinf(y) ? copysignf(FLT_MAX, y) : y;
}

static void edit_repetition(struct sampler *s, const struct sample_params *p, const struct sample_context *c)
{
    (void)c;
    for (uint32_t i = 0; i < s->n_seen; i++) {
        float *x = &s->work[s->seen[i]];
        *x = penalised(*x, p->repetition_penalty);
    }
}

static bool wants_frequency(const struct sample_params *p, const struct sample_context *c)
{
    return p->frequency_penalty != 0 && c->n_ids > 0;
}

static void edit_frequency(struct sampler *s, const struct sample_params *p, const struct sample_context *c)
{
    for (uint32_t i = 0; i < s->n_seen; i++) {
        uint32_t count = s->count[s->seen[i]] & ~COUNT_MADE;
        s->work[s->seen[i]] -= (float)count / (float)c->n_ids * p->frequency_penalty;
    }
}

static bool wants_presence(const struct sample_params *p, const struct sample_context *c)
{
    return p->presence_penalty != 0 && c->n_ids > c->n_prompt;
}

static void edit_presence(struct sampler *s, const struct sample_params *p, const struct sample_context *c)
{
    (void)c;
    for (uint32_t i = 0; i < s->n_seen; i++)
        if (s->count[s->seen[i]] & COUNT_MADE)
            s->work[s->seen[i]] -= p->presence_penalty;
}

/* ---- biases and the mask ---- */

static bool wants_bias(const struct sample_params *p, const struct sample_context *c)
{
    (void)c;
    return p->n_bias > 0;
}

static void edit_bias(struct sampler *s, const struct sample_params *p, const struct sample_context *c)
{
    (void)c;
    for (uint32_t i = 0; i < p->n_bias; i++)
        if (p->bias[i].id >= 0 && (uint32_t)p->bias[i].id < s->n_vocab)
            s->work[p->bias[i].id] += p->bias[i].bias;
}

static bool wants_allowed(const struct sample_params *p, const struct sample_context *c)
{
    (void)p;
    return c->allowed != NULL;
}

static void edit_allowed(struct sampler *s, const struct sample_params *p, const struct sample_context *c)
{
    (void)p;
    for (uint32_t i = 0; i < s->n_vocab; i++)
        if (!(c->allowed[i / 64] >> i % 64 & 1))
            s->work[i] = -INFINITY;
}

struct edit {
    bool (*wants)(const struct sample_params *p, const struct sample_context *c);
    void (*run)(struct sampler *s, const struct sample_params *p, const struct sample_context *c);
    bool tallies; /* needs to know which ids occur */
};

/* In the order of sample.h. */
static const struct edit edits[] = {
    {wants_watermark, edit_watermark, false}, {wants_repetition, edit_repetition, true},
    {wants_frequency, edit_frequency, true},  {wants_presence, edit_presence, true},
    {wants_bias, edit_bias, false},           {wants_allowed, edit_allowed, false},
};

enum status row_edit(struct sampler *s, const struct sample_params *p, const struct sample_context *context)
{
    bool edited = false, tallied = false;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        const struct edit *edit = &edits[i];
        if (!edit->wants(p, context))
            continue;
        if (!edited)
            memcpy(s->work, s->row.value, s->n_vocab * sizeof *s->work);
        if (edit->tallies && !tallied)
            tally(s, context);
        edit->run(s, p, context);
        edited = true;
        tallied |= edit->tallies;
    }
    if (!edited)
        return ST_OK;
    tally_clear(s);
    s->row.value = s->work;
    return row_scan(s->work, s->n_vocab, s->block_max, &s->row.max);
}

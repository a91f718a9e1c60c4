/* The sampler: any bits as logits (NaN, infinities, denormals), any parameters in range. A pick is a token of
 * the vocabulary out of probabilities that add up to 1, or ST_NUMERIC; asked again it is the same. */
#include "sample/sample.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VOCAB SAMPLE_MAX_TOP
#define MAX_IDS   256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const uint8_t *p;
    size_t n;
};

/* Zeros once the input has ended. */
static void take(struct bytes *b, void *out, size_t n)
{
    size_t have = b->n < n ? b->n : n;
    memset(out, 0, n);
    memcpy(out, b->p, have);
    b->p += have;
    b->n -= have;
}

static uint32_t take_u32(struct bytes *b)
{
    uint32_t x;
    take(b, &x, sizeof x);
    return x;
}

static float take_F32(struct bytes *b)
{
    float x;
    take(b, &x, sizeof x);
    return x;
}

static int32_t take_I32(struct bytes *b)
{
    return (int32_t)take_u32(b);
}

static void take_params(struct bytes *b, struct sample_params *p, struct sample_bias bias[4])
{
    uint32_t which = take_u32(b);
    *p = sample_params_default();
#define PARAM(type, name, neutral, ...)                                                                      \
    if (which >> SAMPLE_PARAM_##name & 1) {                                                                  \
        p->name = take_##type(b);                                                                            \
        if (sample_params_check(p, 1u << SAMPLE_PARAM_##name, NULL) != ST_OK)                                \
            p->name = neutral;                                                                               \
    }
#include "sample/params.def"
#undef PARAM
    p->do_sample = which >> 16 & 1;
    p->watermark = which >> 17 & 1;
    p->no_logprob = which >> 18 & 1;
    p->watermark_gamma = (which >> 24) / 255.0;
    p->seed = take_u32(b);
    p->top_n = SAMPLE_MAX_TOP;
    p->bias = bias;
    p->n_bias = which >> 19 & 1 ? 4 : 0;
    for (int32_t i = 0; i < 4; i++)
        bias[i] = (struct sample_bias){i * 37 - 1, (float)(take_I32(b) % 101)};
}

/* Everything that is left is told: their probabilities are all there are. */
static void check_pick(const struct sampled *got, uint32_t n_vocab)
{
    double sum = 0;
    bool chosen = false;
    if (got->id < 0 || (uint32_t)got->id >= n_vocab || got->n_top == 0 || got->n_top > n_vocab)
        abort();
    for (uint32_t i = 0; i < got->n_top; i++) {
        const struct sample_top *t = &got->top[i];
        if (t->id < 0 || (uint32_t)t->id >= n_vocab || isnan(t->logprob) || t->logprob > 1e-6f ||
            (i && t->logprob > t[-1].logprob))
            abort();
        chosen |= t->id == got->id && t->logprob > -INFINITY;
        sum += exp((double)t->logprob);
    }
    if (!chosen || fabs(sum - 1) > 1e-3)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes b = {data, size};
    struct sample_params p;
    struct sample_bias bias[4];
    struct sampled got, again;
    struct sampler *s;
    struct err e;
    static float logits[MAX_VOCAB];
    int32_t ids[MAX_IDS];
    uint64_t allowed[MAX_VOCAB / 64];
    uint32_t shape = take_u32(&b), n_vocab = 1 + shape % MAX_VOCAB;
    struct sample_context context = {.ids = ids, .n_ids = (shape >> 10) % MAX_IDS};
    context.n_prompt = context.n_ids - context.n_ids / 3;
    take_params(&b, &p, bias);
    if (shape >> 31) {
        take(&b, allowed, sizeof allowed);
        context.allowed = allowed;
    }
    for (uint32_t i = 0; i < context.n_ids; i++)
        ids[i] = (int32_t)((i * shape >> 7) % n_vocab);
    size_t n_given = b.n / sizeof *logits;
    take(&b, logits, sizeof logits);
    for (size_t i = n_given ? n_given : 1; i < n_vocab; i++) /* short inputs fill large rows */
        logits[i] = logits[i % (n_given ? n_given : 1)];
    if (sampler_new(n_vocab, &s, &e) != ST_OK)
        return 0;
    enum status st = sampler_pick(s, logits, &p, &context, 1, shape, &got);
    if (st == ST_OK)
        check_pick(&got, n_vocab);
    else if (st != ST_NUMERIC)
        abort();
    if (sampler_pick(s, logits, &p, &context, 1, shape, &again) != st)
        abort();
    if (st == ST_OK && (again.id != got.id || memcmp(&again.logprob, &got.logprob, sizeof got.logprob) != 0))
        abort();
    sampler_free(s);
    return 0;
}

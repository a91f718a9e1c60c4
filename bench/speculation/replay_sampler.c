/* A sampler that makes any model say a given text, so that random weights, which only loop, can stand for a
 * model that repeats its prompt, or one that never does. It takes the place of sample/sampler.c in this
 * program alone. */
#include "base/rng.h"
#include "sample/sample.h"
#include "speculation.h"
#include <stdlib.h>

#define NOISE_SEED 77

struct sampler {
    uint32_t n_vocab;
};

uint32_t replay_period; /* set before the engine starts */

enum status sampler_new(uint32_t n_vocab, struct sampler **out, struct err *e)
{
    *out = malloc(sizeof **out);
    if (!*out)
        return err_set(e, ST_NO_MEMORY, "no memory for a sampler");
    (*out)->n_vocab = n_vocab;
    return ST_OK;
}

void sampler_free(struct sampler *s)
{
    free(s);
}

enum status sampler_pick(struct sampler *s, const float *logits, const struct sample_params *p,
                         const struct sample_context *context, uint32_t choice, uint32_t position,
                         struct sampled *out)
{
    (void)logits, (void)p, (void)choice;
    int32_t said = replay_period ? context->ids[position - replay_period]
                                 : (int32_t)(rng_u64(NOISE_SEED, 0, position) % s->n_vocab);
    *out = (struct sampled){.id = said};
    return ST_OK;
}

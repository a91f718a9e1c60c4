/* From a row of logits to a token: TGI's order and meaning of the parameters (temperature, top_k, top_p,
 * choose).
 *
 * Randomness is counter-based: the token is a function of (logits, params, seed, choice, position) and
 * nothing else. */
#ifndef SAMPLE_SAMPLE_H
#define SAMPLE_SAMPLE_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Complete and range-checked (sample_params_check); neutral values where nothing was asked. */
struct sample_params {
    bool do_sample;
    float temperature; /* 1: neutral */
    uint32_t top_k;    /* 0: off */
    float top_p;       /* 1: off */
    uint64_t seed;
    uint32_t top_n; /* most likely alternatives to report per token; 0: none */
};

struct sample_params sample_params_default(void);
/* TGI: random when do_sample or any of temperature, top_k, top_p is not neutral; else argmax. */
bool sample_is_random(const struct sample_params *p);

struct sampler; /* scratch for one row at a time, sized for n_vocab; one owner thread */
MUST_CHECK enum status sampler_new(uint32_t n_vocab, struct sampler **out, struct err *e);
void sampler_free(struct sampler *s);

struct sampled {
    int32_t id;    /* ties: the lowest id */
    float logprob; /* log-softmax of the logits after temperature, top_k, top_p */
};

/* `logits` [n_vocab] is read only. `position`: of the new token in its sequence. ST_NUMERIC when the row
 * holds a NaN or no finite value. */
MUST_CHECK enum status sampler_pick(struct sampler *s, const float *logits, const struct sample_params *p,
                                    uint32_t choice, uint32_t position, struct sampled *out);
/* log-softmax of one entry of the unprocessed row, in double precision sums. */
float sample_logprob(const float *logits, uint32_t n_vocab, int32_t id);

#endif

/* From a row of logits to a token: TGI's parameters in TGI's order, and OpenAI's beside them.
 *
 * The row's working copy goes through these steps; "ids" are all tokens so far, the prompt's too:
 *
 *   1 watermark           delta is added to the logits of the green tokens (below)
 *   2 repetition_penalty  r, once for each distinct id: logit * r below zero, else logit / r
 *   3 frequency_penalty   logit -= f * count(id) / n_ids
 *   4 presence_penalty    OpenAI's: logit -= p for each token that was made; the prompt's do not count
 *   5 logit_bias          OpenAI's: logit += bias
 *   6 allowed             a grammar's mask: all other logits become -inf
 *   7 temperature         logit / t
 *   8 top_k               keeps logits >= the k-th largest: ties survive
 *   9 top_p               removes the least likely tokens whose probabilities add up to no more than
 *                         1 - p, never the best one; of equal ones the lowest ids stay
 *  10 min_p               keeps probabilities >= min_p times the largest (here as in transformers)
 *  11 typical_p           keeps the tokens whose surprise -ln p is nearest to the entropy, as many as
 *                         have the mass m together: ties survive
 *  12 choose              the largest logit when nothing asks for randomness, else by probability
 *
 * TGI divides its frequency penalty by the width of its batch's padded matrix, so that a neighbour's prompt
 * changes the answer, and counts the padding as id 0. Here the divisor is the sequence's own length, which is
 * what TGI computes for a request alone. The presence penalty stands beside it: both subtract, in any order.
 * logit_bias comes behind the penalties, so that these see the model's own logits as in TGI (the sign rule of
 * the repetition penalty most of all) and -100 and 100 still forbid and force; and before the mask, which no
 * bias may break.
 *
 * A logprob is the log-softmax of what is left after step 11; tokens filtered out have -inf.
 *
 * Randomness is counter-based: the token is a function of (logits, params, context, choice, position) and
 * nothing else. One uniform number from rng_unit(seed, choice, position) is looked up in the cumulative
 * probabilities in the order of ids. All sums are double and run in an order that only the row's length
 * decides, so equal rows give equal bytes.
 *
 * Watermark (Kirchenbauer et al. 2023): torch's permutation cannot be had without torch's generator, so the
 * green list is this one. Each id i has the number rng_block(15485863 * last, 0, i / 4)[i % 4] (Philox
 * 4x32-10, `last` being the last of the ids); green are the floor(gamma * n_vocab) ids with the smallest
 * numbers, lower ids first among equals. Without any id there is no green list. */
#ifndef SAMPLE_SAMPLE_H
#define SAMPLE_SAMPLE_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most alternatives that are reported for a token, ties included. */
#define SAMPLE_MAX_TOP 1024

struct sample_bias {
    int32_t id;
    float bias; /* finite */
};

/* Complete and range-checked (sample_params_check); neutral values where nothing was asked. */
struct sample_params {
#define SAMPLE_TYPE_F32        float
#define SAMPLE_TYPE_I32        int32_t
#define PARAM(type, name, ...) SAMPLE_TYPE_##type name;
#include "sample/params.def"
#undef PARAM
    bool do_sample;
    bool watermark;
    double watermark_gamma; /* share of green tokens, 0 to 1 */
    float watermark_delta;  /* finite */
    bool no_logprob;        /* the token's logprob is not asked for: saves a pass over the row when greedy */
    uint32_t top_n;         /* most likely alternatives to report per token, 0 to SAMPLE_MAX_TOP */
    uint64_t seed;
    /* [n_bias], ids ascending, each once; the caller's, who keeps it as long as the params are used. An id
     * that the model does not have is ignored. */
    const struct sample_bias *bias;
    uint32_t n_bias;
};

enum sample_param {
#define PARAM(type, name, ...) SAMPLE_PARAM_##name,
#include "sample/params.def"
#undef PARAM
    SAMPLE_PARAM_COUNT,
};

struct sample_params sample_params_default(void);
/* Range checks in the order of params.def. `given`: bits of enum sample_param; what was not given may also
 * have its neutral value (TGI refuses a top_p of 1 that is said, and means it when nothing is said).
 * ST_INVALID with TGI's sentence. */
MUST_CHECK enum status sample_params_check(const struct sample_params *p, uint32_t given, struct err *e);
/* TGI: random when do_sample or any of temperature, top_k, top_p, typical_p (and min_p) is not neutral; else
 * argmax. */
bool sample_is_random(const struct sample_params *p);

/* What a row is sampled in. */
struct sample_context {
    const int32_t *ids; /* [n_ids] the prompt, then what was made; each in 0..n_vocab-1 */
    uint32_t n_prompt, n_ids;
    const uint64_t *allowed; /* bit i % 64 of word i / 64: id i may come; NULL: all may */
};

struct sample_top {
    int32_t id;
    float logprob;
};

struct sampled {
    int32_t id;    /* greedy ties: the lowest id */
    float logprob; /* NaN when params.no_logprob */
    /* [n_top] the params.top_n most likely tokens, best first, of equal ones the lowest id first. Ties at the
     * last place are all there, up to SAMPLE_MAX_TOP; fewer when fewer were left. The sampler's, until its
     * next pick. */
    const struct sample_top *top;
    uint32_t n_top;
};

struct sampler; /* scratch for one row at a time, sized for n_vocab; one owner thread */
MUST_CHECK enum status sampler_new(uint32_t n_vocab, struct sampler **out, struct err *e);
void sampler_free(struct sampler *s);

/* `logits` [n_vocab] is read only. `choice`: which of several answers to one prompt; `position`: of the new
 * token in its sequence. ST_NUMERIC when the row holds a NaN or +inf, or nothing finite is left of it.
 * Allocates nothing; the time is linear in n_vocab + n_ids (and in the square of top_n)
 * whatever the numbers are. */
MUST_CHECK enum status sampler_pick(struct sampler *s, const float *logits, const struct sample_params *p,
                                    const struct sample_context *context, uint32_t choice, uint32_t position,
                                    struct sampled *out);
/* log-softmax of one entry of the unprocessed row; NaN for a row that sampler_pick() refuses. */
float sample_logprob(const float *logits, uint32_t n_vocab, int32_t id);

#endif

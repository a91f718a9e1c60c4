/* A generation request in its final form: JSON parsed once, every value range-checked, TGI's messages on
 * refusal.
 *
 * Two steps, because TGI answers 429 between them: the body's shape (gen_request_read: 422 as plain text),
 * then the values' meaning (gen_request_validate: 422 as JSON). Lengths in tokens are checked once tokens
 * exist (gen_request_fit). */
#ifndef API_GEN_REQUEST_H
#define API_GEN_REQUEST_H

#include "api/shape.h"
#include "sample/sample.h"

/* What the server allows and decides for everybody, from its options and the engine's derived limits. */
struct gen_limits {
    uint32_t max_best_of, max_stop_sequences, max_top_n_tokens;
    uint32_t max_input_tokens, max_total_tokens;
    double watermark_gamma;
    float watermark_delta;
    bool prefill_logprobs; /* else decoder_input_details gives an empty list, as TGI does */
};

/* Most entries of logit_bias. */
#define GEN_MAX_BIAS 1024

/* Most answers to one prompt. */
#define GEN_MAX_N 128

#define GEN_UNSET UINT32_MAX

struct gen_request {
    struct str inputs; /* valid UTF-8 without NUL checks: any bytes JSON can say */
    int32_t *ids;      /* [n_ids] the prompt as tokens; NULL: inputs are tokenized */
    uint32_t n_ids;
    bool no_special;       /* a chat template has written bos and all that */
    uint32_t n_characters; /* Unicode scalar values of inputs */
    bool stream;           /* the body's own field on POST / */
    bool has_return_full_text, return_full_text;
    bool details;
    bool decoder_input_details, has_grammar, has_adapter;
    struct str cache_salt;   /* .p NULL: none */
    uint32_t max_new_tokens; /* GEN_UNSET: up to the limits */
    uint32_t truncate;       /* GEN_UNSET: refuse long prompts instead */
    uint32_t best_of;        /* answers of which the best one is given */
    uint32_t n;              /* answers that are given, all of them */
    bool logprobs;           /* of each token are needed, whatever the details say */
    bool has_seed, has_do_sample;
    bool greedy;    /* the most likely token, whatever filters are given: OpenAI's temperature of 0 */
    uint32_t given; /* bits of enum sample_param that the request says */
    bool bad_bias;  /* logit_bias is none */
    struct str *stop;
    uint32_t n_stop;
    struct sample_params params; /* its biases are in the arena */
};

/* Everything absent. */
void gen_request_init(struct gen_request *r);
void gen_request_set_inputs(struct gen_request *r, struct str text);
/* TGI's GenerateRequest; `nullable`: its parameters may be null, as /vertex has it. ST_UNSUPPORTED: JSON of
 * another shape; the sentence is the response's body. Strings are copied into `arena`. */
MUST_CHECK enum status gen_request_read(const struct json_val *root, bool nullable, struct arena *arena,
                                        struct gen_request *out, struct err *e);
/* The fields that all routes share: sampling parameters, logit_bias, seed, cache_salt. */
void gen_request_read_sampling(struct shape *s, struct gen_request *r);
/* TGI's order of checks and its texts, without the prefix "Input validation error: ". `streaming`: the answer
 * will be a stream. Fills params.seed when none was given. */
MUST_CHECK enum status gen_request_validate(struct gen_request *r, const struct gen_limits *limits,
                                            bool streaming, struct err *e);
/* After tokenizing (and truncating): is the request within the limits; *n_new is the exact number of tokens
 * it may make. */
MUST_CHECK enum status gen_request_fit(const struct gen_request *r, const struct gen_limits *limits,
                                       uint32_t n_input, uint32_t *n_new, struct err *e);

#endif

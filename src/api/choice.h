/* One answer of a request: what the engine's events add up to. best_of makes several of one prompt.
 *
 * Owner: the I/O loop. Views point into the choice and into the arena that they were given. */
#ifndef API_CHOICE_H
#define API_CHOICE_H

#include "api/render.h"
#include "base/arena.h"
#include "engine/engine.h"
#include "text/stream.h"

/* A token of the answer; its text is a stretch of the stream's text. */
struct gen_token {
    int32_t id;
    float logprob;
    uint32_t text_begin, text_bytes;
    uint32_t top_begin, n_top; /* its alternatives in the choice's list */
};

struct choice {
    struct engine_handle engine;
    uint32_t prompt;       /* which of the request's */
    bool submitted, ended; /* ended: no more events come */
    uint64_t seed;
    struct stream stream;
    bool has_stream;
    struct gen_token *token;
    uint32_t n_token, cap_token;
    struct sample_top *top; /* the alternatives of all tokens */
    uint32_t n_top, cap_top;
    double sum_logprob;
    uint64_t newest_ns;        /* when its newest token came */
    const char *finish_reason; /* NULL: more tokens may come */
    uint32_t n_reused;         /* tokens of the prompt that were in the cache */
};

void choice_fini(struct choice *c);
/* Takes a token. *stopped: a stop string is in the text now. */
MUST_CHECK enum status choice_add(struct choice *c, const struct token_event *ev, bool *stopped);
/* The end of the text, when no stop string made it: what the stream still held back is the last token's.
 * Twice is as good as once. */
MUST_CHECK enum status choice_finish_text(struct choice *c);
/* The best of n, as TGI's best_of has it: the highest mean of logprobs; of equal ones the first. */
const struct choice *choice_best(const struct choice *c, uint32_t n);
/* Token i, with its alternatives; a special one by its name where the text leaves it out. */
MUST_CHECK enum status choice_token_view(const struct choice *c, uint32_t i, const struct tokenizer *t,
                                         struct arena *arena, struct token_view *out);
/* All tokens: [n_token]. */
MUST_CHECK enum status choice_token_views(const struct choice *c, const struct tokenizer *t,
                                          struct arena *arena, struct token_view **out);
/* A token by itself, decoded alone, as TGI shows alternatives and prompts. */
MUST_CHECK enum status lone_token_view(int32_t id, float logprob, const struct tokenizer *t,
                                       struct arena *arena, struct token_view *out);

#endif

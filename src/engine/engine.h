/* The engine: sequences in, token events out. It owns the model's steps; nobody waits on it.
 *
 * One engine thread builds a plan each step (who computes which tokens), runs the model, samples, emits.
 * Requests come through a lock-free inbox; events go to the inbox that the request names. A request in flight
 * is named by a handle (slot and generation): cancel, disconnect and finish may race harmlessly. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/inbox.h"
#include "base/metrics.h"
#include "model/model.h"
#include "sample/sample.h"

struct engine;

struct engine_options {
    uint32_t max_concurrent_requests; /* slots: beyond it engine_acquire() refuses */
    uint32_t max_input_tokens;
    uint32_t max_total_tokens;         /* prompt and new tokens of one request */
    uint32_t max_batch_prefill_tokens; /* most prompt tokens in one step */
    uint32_t max_batch_total_tokens;   /* KV positions reserved in all; 0: as memory allows */
    uint32_t max_batch_size;           /* running sequences; 0: max_concurrent_requests */
    uint64_t kv_memory_bytes;          /* what the KV store may take */
    uint32_t max_top_tokens;           /* largest sample_params.top_n of a request */
    uint32_t speculate;                /* most tokens guessed ahead in a step; 0: none */
    bool prefix_caching;               /* pages of earlier requests are used again */
    int32_t eos_id[MODEL_MAX_EOS];
    uint32_t n_eos;
};

/* The limits after derivation, for /info and logs. */
struct engine_limits {
    uint32_t max_input_tokens, max_total_tokens, max_batch_prefill_tokens, max_batch_total_tokens,
        max_batch_size;
    uint32_t n_page, page_tokens;
    uint64_t kv_bytes;
};

/* Reserves the KV store and working memory, starts the engine thread. The error says what is missing and what
 * to change. Borrows the model. */
MUST_CHECK enum status engine_new(struct model *m, const struct engine_options *o, struct engine **out,
                                  struct err *e);
/* Ends all sequences (ENGINE_FINISH_CANCELLED events), joins the thread. */
void engine_free(struct engine *en);
const struct engine_limits *engine_limits(const struct engine *en);

struct engine_handle {
    uint32_t slot, generation; /* generation 0: none */
};

enum engine_finish {
    ENGINE_RUNNING = 0,
    ENGINE_FINISH_LENGTH,
    ENGINE_FINISH_EOS,
    ENGINE_FINISH_CANCELLED,
    ENGINE_FINISH_FAILED, /* numeric or device failure: see event.status */
};

/* Alternatives of one token beyond the asked number, for ties at the last place; more are left out. */
#define ENGINE_TOP_TIES 8

/* One generated token, or the end without one (cancelled, failed). The last event of a request has finish !=
 * RUNNING; nothing comes after it. Given back with engine_event_free(). */
struct token_event {
    struct inbox_node node;
    struct engine_handle handle;
    uint64_t tag; /* the request's own */
    uint32_t sub_tag;
    bool has_token;
    int32_t id;
    float logprob;
    uint32_t index;               /* of the token, from 0 */
    const struct sample_top *top; /* [n_top] alternatives, most likely first; gone with the event */
    uint32_t n_top;
    uint32_t n_reused;     /* prompt tokens that were not computed again: their pages were there */
    float *prompt_logprob; /* with the first token, when asked for: [n_ids], [0] NaN; freed with the event
                              unless taken (set to NULL) */
    enum engine_finish finish;
    enum status status;             /* why, when FAILED */
    uint64_t queued_ns, started_ns; /* clock_ns() at submit and at the first planned step */
};

struct engine_request {
    int32_t *ids; /* the prompt, malloc'd; taken by engine_submit() when it returns ST_OK */
    uint32_t n_ids;
    uint32_t max_new_tokens; /* n_ids + max_new_tokens <= max_total_tokens */
    struct sample_params params;
    uint32_t
        choice; /* which of several answers to one prompt: with seed and position it decides what is random */
    bool ignore_eos;
    bool prompt_logprobs;   /* of each prompt token given those before it; computes the whole prompt */
    uint64_t cache_salt[2]; /* requests share pages of equal beginnings only when these are equal */
    struct inbox *owner;    /* where events go */
    uint64_t tag;           /* what the owner finds its own by, with sub_tag */
    uint32_t sub_tag;
};

/* A slot in flight, or ST_UNAVAILABLE (429) when all are taken or the engine is draining. Any thread. */
MUST_CHECK enum status engine_acquire(struct engine *en, struct engine_handle *out);
/* Gives back a slot that was never submitted. */
void engine_release(struct engine *en, struct engine_handle h);
/* Hands the request over; any thread, at most once per handle. The slot is free again after its last event
 * was emitted. */
MUST_CHECK enum status engine_submit(struct engine *en, struct engine_handle h, struct engine_request *r,
                                     struct err *e);
/* Wherever it is (queued, prefill, decoding), gone by the next step; its last event is then CANCELLED, unless
 * it has already finished. Unknown handles are ignored. Any thread. */
void engine_cancel(struct engine *en, struct engine_handle h);
void engine_event_free(struct engine *en, struct token_event *ev);

/* From now on engine_acquire() refuses. */
void engine_drain(struct engine *en);

struct engine_stats {
    uint32_t waiting, running, kv_pages_used, kv_pages_cached, kv_pages_total; /* used: held by sequences */
    uint64_t steps, tokens_generated, tokens_prefilled, submitted, finished, cancelled, failed;
    uint64_t set_back; /* sequences that gave their pages to older ones */
    uint64_t prefix_tokens_looked_up, prefix_tokens_reused;
    uint64_t tokens_guessed, guesses_accepted;
};
/* Never waits on the engine thread. */
void engine_stats_read(const struct engine *en, struct engine_stats *out);
/* Registers tgi_batch_* and tgi_queue_size families; once. */
MUST_CHECK enum status engine_metrics_add(struct engine *en, struct metrics *m);

#endif

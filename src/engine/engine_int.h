/* Inside the engine: its state and what its files call of each other. */
#ifndef ENGINE_ENGINE_INT_H
#define ENGINE_ENGINE_INT_H

#include "engine/sched_int.h"
#include <pthread.h>

struct engine_metrics;

/* Events of one owner that are not posted yet: a reader is woken once for several. */
struct outbox {
    struct inbox *owner;
    struct inbox_node *newest, *oldest;
    uint32_t n;
};

struct engine {
    struct model *model;
    struct engine_options o;
    struct engine_limits limits;
    uint32_t n_vocab;

    /* slots: under the mutex */
    pthread_mutex_t slot_mutex;
    struct seq *seq; /* [max_concurrent_requests] */
    struct seq *free_slots;
    bool draining;

    /* waking the thread */
    pthread_mutex_t wake_mutex;
    pthread_cond_t wake_cond;
    bool wake_pending;
    atomic_bool stop;
    struct inbox submitted, freed_events;

    /* the engine thread's */
    pthread_t thread;
    bool thread_started;
    struct sched sched;
    struct plan plan;
    struct sampler *sampler;
    struct token_event *events; /* the pool */
    struct sample_top *top;     /* [events][max_top_tokens + ENGINE_TOP_TIES] */
    struct token_event *free_event;
    uint32_t n_free_event;
    struct outbox outbox;
    int32_t *b_id;
    uint32_t *b_pos, *b_row_begin, *b_page_begin, *b_page, *b_out_row;

    _Atomic uint32_t n_waiting, n_running, pages_used, pages_cached;
    _Atomic uint64_t steps, n_generated, n_prefilled, n_submitted, n_finished, n_cancelled, n_failed;
    _Atomic uint64_t n_set_back, n_looked_up, n_reused, n_guessed, n_accepted;
    _Atomic(struct engine_metrics *) metrics; /* NULL: not registered yet */
};

/* limits.c */
MUST_CHECK enum status engine_derive_limits(const struct model_config *cfg, uint32_t page_tokens,
                                            uint64_t page_bytes, uint32_t max_rows,
                                            const struct engine_options *o, struct engine_limits *out,
                                            struct err *e);
/* Prompt rows that one step computes at most: keeps steps short, so that running sequences are not held up.
 */
#define ENGINE_MAX_PREFILL_ROWS 512
/* Prompt rows whose logits one step computes at most: a row of a large vocabulary is half a megabyte. */
#define ENGINE_MAX_SCORED_ROWS 64

/* submit.c */
void engine_wake(void *engine);
void slot_free(struct engine *en, struct seq *seq);
/* step.c: one plan computed, sampled, emitted. False: nothing could be done. */
bool engine_step(struct engine *en);
/* speculate.c: guesses what follows and puts it behind the sequence's tokens (n_draft), or nothing. */
void seq_guess(const struct engine *en, struct seq *seq);
/* What became of the guesses. */
void seq_guessed(struct engine *en, struct seq *seq, uint32_t n_guessed, uint32_t n_right);

/* emit.c */
void events_collect(struct engine *en); /* what came back from the loops */
/* The sequence's newest token. */
void emit_token(struct engine *en, struct seq *seq, const struct sampled *token, enum engine_finish finish);
/* The last event without a token; false when the pool is empty. */
bool emit_end(struct engine *en, struct seq *seq, enum engine_finish finish, enum status status);
/* Nothing emitted waits any longer: before the engine thread turns to anything that takes time. */
void emit_flush(struct engine *en);

/* stats.c */
struct step_times { /* plan and forward; sampling, first events; last events */
    uint64_t begin_ns, forward_ns, sample_ns, end_ns;
};
void engine_metrics_step(struct engine *en, const struct plan *plan, enum status status,
                         const struct step_times *t);
/* n_new sequences joined n_before that were running already; `begin` to `end` is what that took. */
void engine_metrics_admitted(struct engine *en, uint32_t n_before, uint32_t n_new, uint64_t begin_ns,
                             uint64_t end_ns);
/* One sequence got 1 + n tokens of one step. */
void engine_metrics_skipped(struct engine *en, uint32_t n);
void engine_metrics_gauges(struct engine *en);

#endif

/* Inside the engine: sequences, pages, plans. What is marked "pure" looks at and changes only what it is
 * given, so that the scheduler can be simulated. */
#ifndef ENGINE_ENGINE_INT_H
#define ENGINE_ENGINE_INT_H

#include "engine/engine.h"
#include <pthread.h>

/* ---- pages: pure ---- */

struct page_pool {
    uint32_t *free; /* stack of free page numbers */
    uint32_t n_free, n_page;
    uint32_t n_reserved; /* promised to admitted sequences, taken or not */
};
MUST_CHECK enum status page_pool_init(struct page_pool *p, uint32_t n_page);
void page_pool_fini(struct page_pool *p);
/* False when that many are not left to promise. */
bool page_pool_reserve(struct page_pool *p, uint32_t n);
void page_pool_unreserve(struct page_pool *p, uint32_t n);
/* Within what was reserved there always is one. */
uint32_t page_pool_take(struct page_pool *p);
void page_pool_give(struct page_pool *p, uint32_t page);

/* ---- sequences ---- */

enum seq_state { SEQ_FREE, SEQ_ACQUIRED, SEQ_WAITING, SEQ_RUNNING };

/* A slot: its memory lives as long as the engine, what is in it as long as a request. Owner: the engine
 * thread from submit to the last event; before that whoever holds the handle. */
struct seq {
    struct inbox_node submit; /* in the engine's inbox between engine_submit() and the engine thread */
    _Atomic uint32_t generation;
    _Atomic uint32_t cancelled; /* generation that is to be cancelled, 0: none */
    uint32_t slot;
    enum seq_state state;
    struct seq *next; /* in the free list, the waiting queue or the running list */

    struct engine_request request;
    int32_t *ids; /* prompt, then generated; room for all that may come */
    uint32_t n_ids, n_prompt, n_computed;
    uint32_t *page; /* [max pages of a sequence] */
    uint32_t n_page, n_reserved;
    enum status failed; /* ST_OK, or why it ends as soon as there is an event to say so */
    uint64_t queued_ns, started_ns;
};

/* First come, first served. */
struct seq_list {
    struct seq *first, **last;
    uint32_t n;
};
void seq_list_init(struct seq_list *l);
void seq_list_push(struct seq_list *l, struct seq *s);

/* ---- the scheduler: pure ---- */

struct sched_limits {
    uint32_t max_running, max_prefill_rows, page_tokens;
};

struct sched {
    struct sched_limits limits;
    struct page_pool pages;
    struct seq_list waiting, running;
};

/* One sequence's share of a step. */
struct plan_item {
    struct seq *seq;
    uint32_t n_tok;    /* computed from seq->n_computed on */
    bool wants_logits; /* the last of them is the sequence's last known token */
};

struct plan {
    struct plan_item *item; /* [max_running] */
    uint32_t n_item, n_tok, n_out, n_prefill;
};

/* Moves what fits from waiting to running, oldest first. */
void sched_admit(struct sched *s, uint64_t now_ns);
/* Fills the plan: one token of every decoding sequence, then prompt chunks up to the limit, oldest first. A
 * sequence for which may_emit() is false sits out. Takes the pages it needs. */
void sched_plan(struct sched *s, uint32_t may_emit, struct plan *out);
/* Gives back what the sequence holds; it is in neither list afterwards. */
void sched_remove(struct sched *s, struct seq *seq);
uint32_t seq_pages_needed(const struct sched_limits *l, uint32_t n_tok);

/* ---- the engine ---- */

struct engine_metrics;

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
    struct token_event *free_event;
    uint32_t n_free_event;
    int32_t *b_id;
    uint32_t *b_pos, *b_row_begin, *b_page_begin, *b_page, *b_out_row;

    _Atomic uint32_t n_waiting, n_running, pages_used;
    _Atomic uint64_t steps, n_generated, n_prefilled, n_submitted, n_finished, n_cancelled, n_failed;
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

/* submit.c */
void engine_wake(void *engine);
void slot_free(struct engine *en, struct seq *seq);
/* step.c: one plan computed, sampled, emitted. False: nothing could be done. */
bool engine_step(struct engine *en);
/* emit.c */
void events_collect(struct engine *en); /* what came back from the loops */
void emit_token(struct engine *en, struct seq *seq, int32_t id, float logprob, enum engine_finish finish);
/* The last event without a token; false when the pool is empty. */
bool emit_end(struct engine *en, struct seq *seq, enum engine_finish finish, enum status status);

/* stats.c */
struct step_times {
    uint64_t begin_ns, forward_ns, sample_ns, end_ns;
};
void engine_metrics_step(struct engine *en, const struct plan *plan, enum status status,
                         const struct step_times *t);
void engine_metrics_gauges(struct engine *en);

#endif

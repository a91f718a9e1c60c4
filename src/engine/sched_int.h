/* Sequences and the scheduler. What is declared here is pure: it looks at and changes only what it is given,
 * never tokens' meaning, clocks or threads, so that it can be simulated. Private to the engine; one owner
 * thread. */
#ifndef ENGINE_SCHED_INT_H
#define ENGINE_SCHED_INT_H

#include "engine/engine.h"
#include "engine/pages_int.h"

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
    int32_t *ids;         /* prompt, then generated, then drafts; room for all that may come */
    struct page_key *key; /* [n_key] of its full pages; with `ids` one block of memory */
    uint32_t *page;       /* [n_page] */
    uint32_t n_ids, n_prompt;
    uint32_t n_draft;    /* guesses behind ids[n_ids - 1] */
    uint32_t n_computed; /* positions whose keys and values are in its pages */
    uint32_t n_page, n_key, n_published;
    uint32_t first_out;    /* the first position whose logits are wanted */
    uint32_t n_reused;     /* prompt tokens found in the cache at first admission */
    float *prompt_logprob; /* [n_prompt] on its way, NULL: not asked for or given away */
    uint32_t guess_most;   /* guesses a step, from what became of earlier ones */
    uint32_t guess_failed; /* attempts in a row with no right guess */
    uint32_t guess_pause;  /* tokens until the next attempt */
    enum status failed;    /* ST_OK, or why it ends as soon as there is an event to say so */
    uint64_t queued_ns, started_ns;
};

/* Oldest first. */
struct seq_list {
    struct seq *first, **last;
    uint32_t n;
};
void seq_list_init(struct seq_list *l);
void seq_list_push(struct seq_list *l, struct seq *s);

struct sched_limits {
    uint32_t max_running, max_prefill_rows, page_tokens;
    uint32_t max_scored_rows; /* prompt rows whose logits are wanted, in one step */
};

struct sched {
    struct sched_limits limits;
    struct page_pool pages;
    struct seq_list waiting, running;
    bool reuse;                                 /* prefixes are looked for and published */
    uint64_t secret[2];                         /* of the pages' keys */
    uint64_t n_set_back, n_reused, n_looked_up; /* sequences; tokens; tokens that might have been found */
};

/* One sequence's share of a step: positions n_computed .. n_computed + n_tok - 1, of the last n_out the
 * logits. */
struct plan_item {
    struct seq *seq;
    uint32_t n_tok, n_out;
};

struct plan {
    struct plan_item *item; /* [max_running] */
    uint32_t n_item, n_tok, n_out, n_prefill;
    uint32_t n_event, n_scored; /* of the logits: for new tokens, for tokens of prompts */
};

/* Moves what fits from waiting to running, oldest first: a sequence comes in when pages for all it knows are
 * left beside those that running prompts still need. Nothing is kept for tokens that may never come. */
void sched_admit(struct sched *s, uint64_t now_ns);
/* Fills the plan, oldest first: decoding sequences their token and drafts, prompts chunks up to the limit.
 * Takes the pages that this needs; when there is none, the youngest running sequence gives all of its own
 * back and waits at the head of the queue, to be computed again. A sequence that `may_emit` further events do
 * not suffice for sits out. */
void sched_plan(struct sched *s, uint32_t may_emit, struct plan *out);
/* After a step: positions below n_computed hold; pages that are full can be found from now on. */
void sched_computed(struct sched *s, struct seq *seq, uint32_t n_computed);
/* Gives back what the sequence holds; it is in neither list afterwards. */
void sched_remove(struct sched *s, struct seq *seq);
uint32_t seq_pages_needed(const struct sched_limits *l, uint32_t n_tok);

/* The key of a sequence before its first page: `salt` keeps texts apart that must not share. */
struct page_key page_key_root(const uint64_t secret[2], const uint64_t salt[2]);
/* The key of a page of n tokens behind `parent`. */
struct page_key page_key_next(const uint64_t secret[2], struct page_key parent, const int32_t *ids,
                              uint32_t n);

#endif

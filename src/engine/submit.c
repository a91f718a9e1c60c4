/* Slots and hand-over: from any thread to the engine thread. The only lock guards the list of free slots, for
 * a few instructions. */
#include "base/clock.h"
#include "engine/engine_int.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void engine_wake(void *engine)
{
    struct engine *en = engine;
    pthread_mutex_lock(&en->wake_mutex);
    en->wake_pending = true;
    pthread_cond_signal(&en->wake_cond);
    pthread_mutex_unlock(&en->wake_mutex);
}

enum status engine_acquire(struct engine *en, struct engine_handle *out)
{
    pthread_mutex_lock(&en->slot_mutex);
    struct seq *seq = en->draining ? NULL : en->free_slots;
    if (seq)
        en->free_slots = seq->next;
    pthread_mutex_unlock(&en->slot_mutex);
    if (!seq)
        return ST_UNAVAILABLE;
    seq->state = SEQ_ACQUIRED;
    *out = (struct engine_handle){seq->slot, atomic_load(&seq->generation)};
    return ST_OK;
}

void slot_free(struct engine *en, struct seq *seq)
{
    free(seq->key); /* with ids and pages */
    free(seq->prompt_logprob);
    seq->key = NULL;
    seq->prompt_logprob = NULL;
    seq->state = SEQ_FREE;
    uint32_t generation = atomic_load(&seq->generation) + 1;
    atomic_store(&seq->generation, generation ? generation : 1);
    pthread_mutex_lock(&en->slot_mutex);
    seq->next = en->free_slots;
    en->free_slots = seq;
    pthread_mutex_unlock(&en->slot_mutex);
}

static struct seq *seq_of(struct engine *en, struct engine_handle h)
{
    if (h.generation == 0 || h.slot >= en->o.max_concurrent_requests)
        return NULL;
    struct seq *seq = &en->seq[h.slot];
    return atomic_load(&seq->generation) == h.generation ? seq : NULL;
}

void engine_release(struct engine *en, struct engine_handle h)
{
    struct seq *seq = seq_of(en, h);
    if (seq)
        slot_free(en, seq);
}

/* One block for all that the sequence may come to hold. Most of it is never touched when the answer is short.
 */
static enum status seq_memory(struct seq *seq, const struct engine_request *r, uint32_t page_tokens)
{
    size_t n_ids = (size_t)r->n_ids + r->max_new_tokens, n_page = (n_ids + page_tokens - 1) / page_tokens;
    seq->key = malloc(n_page * (sizeof *seq->key + sizeof *seq->page) + n_ids * sizeof *seq->ids);
    seq->prompt_logprob = r->prompt_logprobs ? malloc(r->n_ids * sizeof *seq->prompt_logprob) : NULL;
    if (!seq->key || (r->prompt_logprobs && !seq->prompt_logprob))
        return ST_NO_MEMORY;
    seq->page = (uint32_t *)(seq->key + n_page);
    seq->ids = (int32_t *)(seq->page + n_page);
    memcpy(seq->ids, r->ids, r->n_ids * sizeof *r->ids);
    if (seq->prompt_logprob)
        seq->prompt_logprob[0] = NAN;
    return ST_OK;
}

static enum status check_request(const struct engine *en, const struct engine_request *r, struct err *e)
{
    BUG_ON(r->n_ids == 0 || r->max_new_tokens == 0);
    if ((uint64_t)r->n_ids + r->max_new_tokens > en->limits.max_total_tokens)
        return err_set(e, ST_LIMIT, "%u prompt tokens and %u new ones are more than %u", r->n_ids,
                       r->max_new_tokens, en->limits.max_total_tokens);
    if (r->params.top_n > en->o.max_top_tokens)
        return err_set(e, ST_LIMIT, "%u alternatives a token are more than %u", r->params.top_n,
                       en->o.max_top_tokens);
    for (uint32_t i = 0; i < r->n_ids; i++)
        if (r->ids[i] < 0 || (uint32_t)r->ids[i] >= en->n_vocab)
            return err_set(e, ST_INVALID, "token %d is not one of the model's %u", r->ids[i], en->n_vocab);
    return ST_OK;
}

enum status engine_submit(struct engine *en, struct engine_handle h, struct engine_request *r, struct err *e)
{
    struct seq *seq = seq_of(en, h);
    BUG_ON(!seq || seq->state != SEQ_ACQUIRED);
    enum status st = check_request(en, r, e);
    if (st != ST_OK)
        return st;
    if (seq_memory(seq, r, en->limits.page_tokens) != ST_OK)
        return err_set(e, ST_NO_MEMORY, "no memory for %u tokens", r->n_ids + r->max_new_tokens);
    free(r->ids);
    r->ids = NULL;
    seq->request = *r;
    seq->n_ids = seq->n_prompt = r->n_ids;
    seq->first_out = r->prompt_logprobs ? 0 : r->n_ids - 1;
    seq->n_computed = seq->n_page = seq->n_key = seq->n_published = seq->n_draft = seq->n_reused = 0;
    seq->guess_most = en->o.speculate;
    seq->guess_failed = seq->guess_pause = 0;
    seq->failed = ST_OK;
    seq->queued_ns = clock_ns();
    seq->started_ns = 0;
    atomic_fetch_add_explicit(&en->n_submitted, 1, memory_order_relaxed);
    inbox_post(&en->submitted, &seq->submit);
    return ST_OK;
}

void engine_cancel(struct engine *en, struct engine_handle h)
{
    struct seq *seq = h.slot < en->o.max_concurrent_requests ? &en->seq[h.slot] : NULL;
    if (h.generation == 0 || !seq)
        return;
    /* The slot may end and be taken anew meanwhile: a late cancel must not wipe out the new owner's. */
    uint32_t seen = atomic_load(&seq->cancelled);
    do
        if (atomic_load(&seq->generation) != h.generation)
            return;
    while (!atomic_compare_exchange_weak(&seq->cancelled, &seen, h.generation));
    engine_wake(en);
}

void engine_drain(struct engine *en)
{
    pthread_mutex_lock(&en->slot_mutex);
    en->draining = true;
    pthread_mutex_unlock(&en->slot_mutex);
}

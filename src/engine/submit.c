/* Slots and hand-over: from any thread to the engine thread. The only lock guards the list of free slots, for
 * a few instructions. */
#include "base/clock.h"
#include "engine/engine_int.h"
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
    free(seq->ids);
    seq->ids = NULL;
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

enum status engine_submit(struct engine *en, struct engine_handle h, struct engine_request *r, struct err *e)
{
    struct seq *seq = seq_of(en, h);
    BUG_ON(!seq || seq->state != SEQ_ACQUIRED);
    BUG_ON(r->n_ids == 0 || r->max_new_tokens == 0);
    if ((uint64_t)r->n_ids + r->max_new_tokens > en->limits.max_total_tokens)
        return err_set(e, ST_LIMIT, "%u prompt tokens and %u new ones are more than %u", r->n_ids,
                       r->max_new_tokens, en->limits.max_total_tokens);
    for (uint32_t i = 0; i < r->n_ids; i++)
        if (r->ids[i] < 0 || (uint32_t)r->ids[i] >= en->n_vocab)
            return err_set(e, ST_INVALID, "token %d is not one of the model's %u", r->ids[i], en->n_vocab);
    int32_t *ids = realloc(r->ids, (r->n_ids + r->max_new_tokens) * sizeof *ids);
    if (!ids)
        return err_set(e, ST_NO_MEMORY, "no memory for %u tokens", r->n_ids + r->max_new_tokens);
    seq->request = *r;
    seq->ids = ids;
    seq->n_ids = seq->n_prompt = r->n_ids;
    seq->n_computed = seq->n_page = seq->n_reserved = 0;
    seq->failed = ST_OK;
    seq->queued_ns = clock_ns();
    seq->started_ns = 0;
    r->ids = NULL;
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

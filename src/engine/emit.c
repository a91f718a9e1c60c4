/* Emitting: events from a bounded pool into the inbox that the request names. The pool's free events come
 * back through an inbox of their own; when it is empty, sequences wait for a step rather than memory growing.
 */
#include "engine/engine_int.h"
#include <stdlib.h>
#include <string.h>

void events_collect(struct engine *en)
{
    struct inbox_node *node = inbox_take(&en->freed_events);
    while (node) {
        struct token_event *ev = (struct token_event *)node;
        node = node->next;
        ev->node.next = (struct inbox_node *)en->free_event;
        en->free_event = ev;
        en->n_free_event++;
    }
}

void engine_event_free(struct engine *en, struct token_event *ev)
{
    free(ev->prompt_logprob);
    ev->prompt_logprob = NULL;
    inbox_post(&en->freed_events, &ev->node);
}

/* Each wake of a reader is a system call, each post alone a cache line that two threads pull at. The first
 * tokens of a step still do not wait until the last is sampled. */
#define POST_AT_ONCE 32

void emit_flush(struct engine *en)
{
    struct outbox *out = &en->outbox;
    if (out->n)
        inbox_post_chain(out->owner, out->newest, out->oldest);
    out->n = 0;
}

static void post(struct engine *en, struct inbox *owner, struct token_event *ev)
{
    struct outbox *out = &en->outbox;
    if (out->n == POST_AT_ONCE || owner != out->owner)
        emit_flush(en);
    ev->node.next = out->newest;
    if (out->n++ == 0)
        out->oldest = &ev->node;
    out->newest = &ev->node;
    out->owner = owner;
}

static struct token_event *event_take(struct engine *en, const struct seq *seq)
{
    struct token_event *ev = en->free_event;
    if (!ev)
        return NULL;
    en->free_event = (struct token_event *)ev->node.next;
    en->n_free_event--;
    *ev = (struct token_event){
        .handle = {seq->slot, atomic_load_explicit(&seq->generation, memory_order_relaxed)},
        .tag = seq->request.tag,
        .sub_tag = seq->request.sub_tag,
        .queued_ns = seq->queued_ns,
        .started_ns = seq->started_ns,
    };
    return ev;
}

static void end_sequence(struct engine *en, struct seq *seq, enum engine_finish finish)
{
    _Atomic uint64_t *counter = finish == ENGINE_FINISH_CANCELLED ? &en->n_cancelled
                                : finish == ENGINE_FINISH_FAILED  ? &en->n_failed
                                                                  : &en->n_finished;
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    sched_remove(&en->sched, seq);
    slot_free(en, seq);
}

/* Into the event's own place: the sampler's list is gone with its next pick. */
static void copy_top(struct engine *en, struct token_event *ev, const struct sampled *token)
{
    uint32_t cap = en->o.max_top_tokens + ENGINE_TOP_TIES;
    struct sample_top *top = en->top + (size_t)(ev - en->events) * cap;
    ev->n_top = token->n_top < cap ? token->n_top : cap;
    memcpy(top, token->top, ev->n_top * sizeof *top);
    ev->top = top;
}

/* The sequence must not be touched after its end: somebody may already reuse the slot. */
void emit_token(struct engine *en, struct seq *seq, const struct sampled *token, enum engine_finish finish)
{
    struct token_event *ev = event_take(en, seq);
    struct inbox *owner = seq->request.owner;
    BUG_ON(!ev); /* the plan counted the free events */
    ev->has_token = true;
    ev->id = token->id;
    ev->logprob = token->logprob;
    copy_top(en, ev, token);
    ev->index = seq->n_ids - seq->n_prompt - 1;
    ev->n_reused = seq->n_reused;
    ev->prompt_logprob = seq->prompt_logprob;
    seq->prompt_logprob = NULL;
    ev->finish = finish;
    if (finish != ENGINE_RUNNING)
        end_sequence(en, seq, finish);
    post(en, owner, ev);
}

bool emit_end(struct engine *en, struct seq *seq, enum engine_finish finish, enum status status)
{
    struct token_event *ev = event_take(en, seq);
    struct inbox *owner = seq->request.owner;
    if (!ev)
        return false;
    ev->finish = finish;
    ev->status = status;
    end_sequence(en, seq, finish);
    post(en, owner, ev);
    return true;
}

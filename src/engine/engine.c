/* The engine thread: takes what was submitted, drops what was cancelled, steps, and sleeps when there is
 * nothing. */
#include "base/clock.h"
#include "base/rng.h"
#include "engine/engine_int.h"
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Token events in the pool for each request that may run: how far a slow reader of the inbox may fall behind.
 */
#define EVENTS_PER_REQUEST 32

static void take_submitted(struct engine *en)
{
    struct inbox_node *node = inbox_take(&en->submitted);
    while (node) {
        struct seq *seq = (struct seq *)((char *)node - offsetof(struct seq, submit));
        node = node->next;
        seq->state = SEQ_WAITING;
        seq_list_push(&en->sched.waiting, seq);
    }
}

/* Those that were cancelled, and those whose failure could not be told yet. */
static void drop_ended(struct engine *en, struct seq_list *list, bool all)
{
    for (struct seq *seq = list->first, *next; seq; seq = next) {
        next = seq->next;
        if (seq->failed != ST_OK)
            emit_end(en, seq, ENGINE_FINISH_FAILED, seq->failed);
        else if (all || atomic_load(&seq->cancelled) == atomic_load(&seq->generation))
            emit_end(en, seq, ENGINE_FINISH_CANCELLED,
                     ST_CANCELLED); /* with an empty pool: at a later step */
    }
    emit_flush(en);
}

static void admit(struct engine *en)
{
    uint32_t before = en->sched.running.n;
    uint64_t begin_ns = clock_ns();
    sched_admit(&en->sched, begin_ns);
    if (en->sched.running.n > before)
        engine_metrics_admitted(en, before, en->sched.running.n - before, begin_ns, clock_ns());
}

static void wait_for_work(struct engine *en)
{
    pthread_mutex_lock(&en->wake_mutex);
    while (!en->wake_pending)
        pthread_cond_wait(&en->wake_cond, &en->wake_mutex);
    en->wake_pending = false;
    pthread_mutex_unlock(&en->wake_mutex);
}

static void *engine_main(void *arg)
{
    struct engine *en = arg;
    while (!atomic_load(&en->stop)) {
        events_collect(en);
        take_submitted(en);
        drop_ended(en, &en->sched.waiting, false);
        drop_ended(en, &en->sched.running, false);
        admit(en);
        if (!engine_step(en))
            wait_for_work(en);
    }
    take_submitted(en);
    events_collect(en);
    drop_ended(en, &en->sched.waiting, true);
    drop_ended(en, &en->sched.running, true);
    return NULL;
}

/* ---- set-up ---- */

static enum status alloc_slots(struct engine *en)
{
    uint32_t n = en->o.max_concurrent_requests;
    en->seq = calloc(n, sizeof *en->seq);
    for (uint32_t i = n; en->seq && i-- > 0;) {
        struct seq *seq = &en->seq[i];
        seq->slot = i;
        atomic_init(&seq->generation, 1);
        seq->next = en->free_slots;
        en->free_slots = seq;
    }
    return en->seq ? ST_OK : ST_NO_MEMORY;
}

static enum status alloc_events(struct engine *en)
{
    uint32_t n = en->o.max_concurrent_requests * EVENTS_PER_REQUEST;
    en->events = calloc(n, sizeof *en->events);
    en->top = calloc((size_t)n * (en->o.max_top_tokens + ENGINE_TOP_TIES), sizeof *en->top);
    for (uint32_t i = 0; en->events && i < n; i++) {
        en->events[i].node.next = (struct inbox_node *)en->free_event;
        en->free_event = &en->events[i];
        en->n_free_event++;
    }
    return en->events && en->top ? ST_OK : ST_NO_MEMORY;
}

static enum status alloc_batch(struct engine *en, uint32_t max_rows)
{
    uint32_t n_seq = en->limits.max_batch_size,
             n_out = n_seq * (1 + en->o.speculate) + ENGINE_MAX_SCORED_ROWS;
    en->plan.item = malloc(n_seq * sizeof *en->plan.item);
    en->b_id = malloc(max_rows * sizeof *en->b_id);
    en->b_pos = malloc(max_rows * sizeof *en->b_pos);
    en->b_row_begin = malloc((n_seq + 1) * sizeof *en->b_row_begin);
    en->b_page_begin = malloc((n_seq + 1) * sizeof *en->b_page_begin);
    /* Sequences share pages: together they name more than there are. */
    size_t seq_pages = seq_pages_needed(&en->sched.limits, en->limits.max_total_tokens);
    en->b_page = malloc(n_seq * seq_pages * sizeof *en->b_page);
    en->b_out_row = malloc(n_out * sizeof *en->b_out_row);
    bool ok = en->plan.item && en->b_id && en->b_pos && en->b_row_begin && en->b_page_begin && en->b_page &&
              en->b_out_row;
    return ok ? ST_OK : ST_NO_MEMORY;
}

static enum status prepare(struct engine *en, struct err *e)
{
    const struct backend_caps *caps = &model_backend(en->model)->caps;
    enum status st =
        engine_derive_limits(model_config(en->model), caps->page_tokens, model_kv_page_bytes(en->model),
                             caps->max_rows, &en->o, &en->limits, e);
    if (st != ST_OK)
        return st;
    uint32_t prefill = en->limits.max_batch_prefill_tokens, batch = en->limits.max_batch_size,
             decode = batch * (1 + en->o.speculate);
    prefill = prefill < ENGINE_MAX_PREFILL_ROWS ? prefill : ENGINE_MAX_PREFILL_ROWS;
    prefill = prefill < caps->max_rows - decode ? prefill : caps->max_rows - decode;
    en->sched.limits = (struct sched_limits){batch, prefill, caps->page_tokens, ENGINE_MAX_SCORED_ROWS};
    en->sched.reuse = en->o.prefix_caching;
    en->sched.secret[0] = rng_entropy();
    en->sched.secret[1] = rng_entropy();
    seq_list_init(&en->sched.waiting);
    seq_list_init(&en->sched.running);
    if (page_pool_init(&en->sched.pages, en->limits.n_page) != ST_OK || alloc_slots(en) != ST_OK ||
        alloc_events(en) != ST_OK || alloc_batch(en, prefill + decode) != ST_OK)
        return err_set(e, ST_NO_MEMORY, "no memory for %u requests", en->o.max_concurrent_requests);
    st = sampler_new(en->n_vocab, &en->sampler, e);
    return st == ST_OK ? model_reserve(en->model, en->limits.n_page, prefill + decode,
                                       decode + ENGINE_MAX_SCORED_ROWS, e)
                       : st;
}

static enum status start_thread(struct engine *en, struct err *e)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&en->thread, NULL, engine_main, en);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code)
        return err_set(e, ST_UNAVAILABLE, "cannot start the engine thread: %s", strerror(code));
    pthread_setname_np(en->thread, "engine");
    en->thread_started = true;
    return ST_OK;
}

enum status engine_new(struct model *m, const struct engine_options *o, struct engine **out, struct err *e)
{
    struct engine *en = calloc(1, sizeof *en);
    if (!en)
        return err_set(e, ST_NO_MEMORY, "no memory for an engine");
    en->model = m;
    en->o = *o;
    en->n_vocab = model_config(m)->n_vocab;
    pthread_mutex_init(&en->slot_mutex, NULL);
    pthread_mutex_init(&en->wake_mutex, NULL);
    pthread_cond_init(&en->wake_cond, NULL);
    inbox_init(&en->submitted, engine_wake, en);
    inbox_init(&en->freed_events, engine_wake, en);
    enum status st = prepare(en, e);
    if (st == ST_OK)
        st = start_thread(en, e);
    if (st != ST_OK) {
        engine_free(en);
        return st;
    }
    *out = en;
    return ST_OK;
}

void engine_free(struct engine *en)
{
    if (!en)
        return;
    engine_drain(en);
    if (en->thread_started) {
        atomic_store(&en->stop, true);
        engine_wake(en);
        pthread_join(en->thread, NULL);
    }
    for (uint32_t i = 0; en->seq && i < en->o.max_concurrent_requests; i++) {
        free(en->seq[i].key);
        free(en->seq[i].prompt_logprob);
    }
    free(en->seq);
    for (uint32_t i = 0; en->events && i < en->o.max_concurrent_requests * EVENTS_PER_REQUEST; i++)
        free(en->events[i].prompt_logprob); /* posted, and never read */
    free(en->events);
    free(en->top);
    page_pool_fini(&en->sched.pages);
    sampler_free(en->sampler);
    free(en->plan.item);
    free(en->b_id);
    free(en->b_pos);
    free(en->b_row_begin);
    free(en->b_page_begin);
    free(en->b_page);
    free(en->b_out_row);
    free(en->metrics);
    pthread_mutex_destroy(&en->slot_mutex);
    pthread_mutex_destroy(&en->wake_mutex);
    pthread_cond_destroy(&en->wake_cond);
    free(en);
}

const struct engine_limits *engine_limits(const struct engine *en)
{
    return &en->limits;
}

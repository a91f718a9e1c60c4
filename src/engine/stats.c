/* What the engine tells about itself: counters that anybody may read at any time, and TGI's batch metrics. */
#include "engine/engine_int.h"
#include <stdlib.h>

enum metric_id {
#define METRIC(id, ...) METRIC_##id,
#include "engine/metrics.def"
#undef METRIC
    METRIC_ID_COUNT,
};

static const char *const methods[] = {"prefill", "decode", NULL};

#define N_SIZES 1024
static double sizes[N_SIZES]; /* 1, 2, ..., 1024: filled once at registration */

#define BOUNDS_none     NULL, 0
#define BOUNDS_duration metrics_duration_bounds, 35
#define BOUNDS_size     sizes, N_SIZES

static const struct metric_desc descs[METRIC_ID_COUNT] = {
#define METRIC(id, name_, help_, kind_, label_, values_, bounds_)                                            \
    [METRIC_##id] = {name_, help_, METRIC_##kind_, label_, values_, BOUNDS_##bounds_},
#include "engine/metrics.def"
#undef METRIC
};

struct engine_metrics {
    struct metric *metric[METRIC_ID_COUNT];
    uint64_t told[METRIC_ID_COUNT]; /* of counters that the engine keeps as totals */
};

enum status engine_metrics_add(struct engine *en, struct metrics *registry)
{
    struct engine_metrics *em = calloc(1, sizeof *em);
    if (!em)
        return ST_NO_MEMORY;
    for (unsigned i = 0; i < N_SIZES; i++)
        sizes[i] = i + 1;
    for (unsigned i = 0; i < METRIC_ID_COUNT; i++) {
        enum status st = metrics_add(registry, &descs[i], &em->metric[i]);
        if (st != ST_OK) {
            free(em);
            return st;
        }
    }
    metric_set(em->metric[METRIC_BATCH_MAX_TOTAL_TOKENS], 0, en->limits.max_batch_total_tokens);
    metric_set(em->metric[METRIC_QUEUE_SIZE], 0, 0);
    metric_set(em->metric[METRIC_BATCH_CURRENT_SIZE], 0, 0);
    atomic_store_explicit(&en->metrics, em, memory_order_release); /* the engine thread is running already */
    return ST_OK;
}

static double seconds(uint64_t from_ns, uint64_t to_ns)
{
    return (double)(to_ns - from_ns) * 1e-9;
}

void engine_metrics_step(struct engine *en, const struct plan *plan, enum status status,
                         const struct step_times *t)
{
    struct engine_metrics *em = atomic_load_explicit(&en->metrics, memory_order_acquire);
    if (!em)
        return;
    unsigned method = plan->n_prefill ? 0 : 1;
    metric_count(em->metric[METRIC_INFERENCE_COUNT], method, 1);
    metric_count(em->metric[status == ST_OK ? METRIC_INFERENCE_SUCCESS : METRIC_INFERENCE_FAILURE], method,
                 1);
    metric_observe(em->metric[METRIC_INFERENCE_DURATION], method, seconds(t->begin_ns, t->end_ns));
    metric_observe(em->metric[METRIC_FORWARD_DURATION], method, seconds(t->begin_ns, t->forward_ns));
    metric_observe(em->metric[METRIC_DECODE_DURATION], method, seconds(t->forward_ns, t->sample_ns));
    metric_observe(em->metric[METRIC_FILTER_DURATION], method, seconds(t->sample_ns, t->end_ns));
    if (plan->n_prefill)
        metric_observe(em->metric[METRIC_BATCH_NEXT_SIZE], 0, plan->n_item);
}

static void tell_total(struct engine_metrics *em, enum metric_id id, uint64_t total)
{
    metric_count(em->metric[id], 0, total - em->told[id]);
    em->told[id] = total;
}

static void tell_pages(struct engine *en, struct engine_metrics *em, uint32_t held)
{
    const struct sched *s = &en->sched;
    metric_set(em->metric[METRIC_BATCH_CURRENT_MAX_TOKENS], 0, (double)held * s->limits.page_tokens);
    metric_set(em->metric[METRIC_KV_PAGES_USED], 0, held);
    metric_set(em->metric[METRIC_KV_PAGES_CACHED], 0, s->pages.n_cached);
    metric_set(em->metric[METRIC_KV_PAGES_TOTAL], 0, s->pages.n_page);
    tell_total(em, METRIC_PREFIX_LOOKUP, s->n_looked_up);
    tell_total(em, METRIC_PREFIX_HIT, s->n_reused);
    tell_total(em, METRIC_SET_BACK, s->n_set_back);
}

static void tell_sequences(struct engine *en, struct engine_metrics *em)
{
    tell_total(em, METRIC_SUBMITTED, en->n_submitted);
    tell_total(em, METRIC_FINISHED, en->n_finished);
    tell_total(em, METRIC_CANCELLED, en->n_cancelled);
    tell_total(em, METRIC_FAILED, en->n_failed);
    tell_total(em, METRIC_GUESSED, en->n_guessed);
    tell_total(em, METRIC_ACCEPTED, en->n_accepted);
}

void engine_metrics_gauges(struct engine *en)
{
    const struct sched *s = &en->sched;
    atomic_store_explicit(&en->n_waiting, s->waiting.n, memory_order_relaxed);
    atomic_store_explicit(&en->n_running, s->running.n, memory_order_relaxed);
    uint32_t held = s->pages.n_page - page_pool_available(&s->pages);
    atomic_store_explicit(&en->pages_used, held, memory_order_relaxed);
    atomic_store_explicit(&en->pages_cached, s->pages.n_cached, memory_order_relaxed);
    atomic_store_explicit(&en->n_set_back, s->n_set_back, memory_order_relaxed);
    atomic_store_explicit(&en->n_looked_up, s->n_looked_up, memory_order_relaxed);
    atomic_store_explicit(&en->n_reused, s->n_reused, memory_order_relaxed);
    struct engine_metrics *em = atomic_load_explicit(&en->metrics, memory_order_acquire);
    if (!em)
        return;
    metric_set(em->metric[METRIC_QUEUE_SIZE], 0, s->waiting.n);
    metric_set(em->metric[METRIC_BATCH_CURRENT_SIZE], 0, s->running.n);
    tell_pages(en, em, held);
    tell_sequences(en, em);
}

void engine_stats_read(const struct engine *en, struct engine_stats *out)
{
    *out = (struct engine_stats){
        .waiting = en->n_waiting,
        .running = en->n_running,
        .kv_pages_used = en->pages_used,
        .kv_pages_total = en->limits.n_page,
        .steps = en->steps,
        .tokens_generated = en->n_generated,
        .tokens_prefilled = en->n_prefilled,
        .submitted = en->n_submitted,
        .finished = en->n_finished,
        .cancelled = en->n_cancelled,
        .failed = en->n_failed,
        .kv_pages_cached = en->pages_cached,
        .set_back = en->n_set_back,
        .prefix_tokens_looked_up = en->n_looked_up,
        .prefix_tokens_reused = en->n_reused,
        .tokens_guessed = en->n_guessed,
        .guesses_accepted = en->n_accepted,
    };
}

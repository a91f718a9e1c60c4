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
/* TGI's reasons and its only method; prompts join a running batch in chunks here, at every step. */
static const char *const concat_reasons[] = {"backpressure", "wait_exceeded", "chunking", NULL};
static const char *const concat_methods[] = {"decode", NULL};
#define CHUNKING 2

#define COUNT_4(n)    (n), (n) + 1, (n) + 2, (n) + 3
#define COUNT_16(n)   COUNT_4(n), COUNT_4((n) + 4), COUNT_4((n) + 8), COUNT_4((n) + 12)
#define COUNT_64(n)   COUNT_16(n), COUNT_16((n) + 16), COUNT_16((n) + 32), COUNT_16((n) + 48)
#define COUNT_256(n)  COUNT_64(n), COUNT_64((n) + 64), COUNT_64((n) + 128), COUNT_64((n) + 192)
#define COUNT_1024(n) COUNT_256(n), COUNT_256((n) + 256), COUNT_256((n) + 512), COUNT_256((n) + 768)

static const double sizes[] = {COUNT_1024(1)};
static const double guesses[] = {COUNT_16(0), 16}; /* the most that --speculate takes */

#define BOUNDS_none     NULL, 0
#define BOUNDS_duration metrics_duration_bounds, 35
#define BOUNDS_size     sizes, sizeof sizes / sizeof *sizes
#define BOUNDS_guess    guesses, sizeof guesses / sizeof *guesses

static const struct metric_desc descs[METRIC_ID_COUNT] = {
#define METRIC(id, name_, help_, kind_, label_, values_, bounds_)                                            \
    [METRIC_##id] = {name_, help_, METRIC_##kind_, label_, values_, BOUNDS_##bounds_, NULL},
#include "engine/metrics.def"
#undef METRIC
};

struct engine_metrics {
    struct metric *metric[METRIC_ID_COUNT];
};

static struct engine_metrics *metrics_of(const struct engine *en)
{
    return atomic_load_explicit(&en->metrics, memory_order_acquire);
}

/* What does not change, and what the first turn of the engine thread would say. */
static void tell_first(const struct engine *en, struct engine_metrics *em)
{
    metric_set(em->metric[METRIC_BATCH_MAX_TOTAL_TOKENS], 0, en->limits.max_batch_total_tokens);
    metric_set(em->metric[METRIC_KV_PAGES], 0, en->limits.n_page);
    metric_set(em->metric[METRIC_KV_PAGE_TOKENS], 0, en->limits.page_tokens);
}

enum status engine_metrics_add(struct engine *en, struct metrics *registry)
{
    struct engine_metrics *em = calloc(1, sizeof *em);
    if (!em)
        return ST_NO_MEMORY;
    for (unsigned i = 0; i < METRIC_ID_COUNT; i++) {
        enum status st = metrics_add(registry, &descs[i], &em->metric[i]);
        if (st != ST_OK) {
            free(em);
            return st;
        }
    }
    tell_first(en, em);
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
    struct engine_metrics *em = metrics_of(en);
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
}

void engine_metrics_admitted(struct engine *en, uint32_t n_before, uint32_t n_new, uint64_t begin_ns,
                             uint64_t end_ns)
{
    struct engine_metrics *em = metrics_of(en);
    if (!em)
        return;
    metric_observe(em->metric[METRIC_BATCH_NEXT_SIZE], 0, n_new);
    if (n_before == 0)
        return;
    metric_count(em->metric[METRIC_CONCAT], CHUNKING, 1);
    metric_observe(em->metric[METRIC_CONCAT_DURATION], 0, seconds(begin_ns, end_ns));
}

void engine_metrics_skipped(struct engine *en, uint32_t n)
{
    struct engine_metrics *em = metrics_of(en);
    if (em)
        metric_observe(em->metric[METRIC_SKIPPED_TOKENS], 0, n);
}

static void tell_pages(struct engine *en, struct engine_metrics *em, uint32_t held)
{
    const struct sched *s = &en->sched;
    metric_set(em->metric[METRIC_BATCH_CURRENT_MAX_TOKENS], 0, (double)held * s->limits.page_tokens);
    metric_set(em->metric[METRIC_KV_PAGES_USED], 0, held);
    metric_set(em->metric[METRIC_KV_PAGES_CACHED], 0, s->pages.n_cached);
    metric_set_total(em->metric[METRIC_KV_PAGES_EVICTED], 0, s->pages.n_evicted);
    metric_set_total(em->metric[METRIC_PREFIX_LOOKUP], 0, s->n_looked_up);
    metric_set_total(em->metric[METRIC_PREFIX_HIT], 0, s->n_reused);
    metric_set_total(em->metric[METRIC_SET_BACK], 0, s->n_set_back);
}

static void tell_sequences(struct engine *en, struct engine_metrics *em)
{
    const struct sched *s = &en->sched;
    metric_set(em->metric[METRIC_QUEUE_SIZE], 0, s->waiting.n);
    metric_set(em->metric[METRIC_WAITING], 0, s->waiting.n);
    metric_set(em->metric[METRIC_BATCH_CURRENT_SIZE], 0, s->running.n);
    metric_set(em->metric[METRIC_RUNNING], 0, s->running.n);
    metric_set_total(em->metric[METRIC_SUBMITTED], 0, en->n_submitted);
    metric_set_total(em->metric[METRIC_FINISHED], 0, en->n_finished);
    metric_set_total(em->metric[METRIC_CANCELLED], 0, en->n_cancelled);
    metric_set_total(em->metric[METRIC_FAILED], 0, en->n_failed);
}

static void tell_tokens(struct engine *en, struct engine_metrics *em)
{
    metric_set_total(em->metric[METRIC_STEPS], 0, en->steps);
    metric_set_total(em->metric[METRIC_PROMPT_TOKENS], 0, en->n_prefilled);
    metric_set_total(em->metric[METRIC_GENERATED_TOKENS], 0, en->n_generated);
    metric_set_total(em->metric[METRIC_GUESSED], 0, en->n_guessed);
    metric_set_total(em->metric[METRIC_ACCEPTED], 0, en->n_accepted);
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
    struct engine_metrics *em = metrics_of(en);
    if (!em)
        return;
    tell_pages(en, em, held);
    tell_sequences(en, em);
    tell_tokens(en, em);
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

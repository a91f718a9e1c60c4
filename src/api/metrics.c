/* Metrics of requests: TGI's families, some with bounds that depend on the limits, and what inference
 * gateways read. Nothing here waits on the engine: its numbers are atomics that it writes as it goes. */
#include "api/api_int.h"
#include "base/clock.h"
#include <stdio.h>
#include <string.h>

#define METRICS_MAX_BYTES (64u << 20)
#define FIXED_MAX_BYTES   8192

static const char *const failure_values[] = {"validation", "overloaded", "generation", "incomplete",
                                             "template",   "dropped",    NULL};
#define DROPPED_SERIES 5

static const double first_token_bounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                                            1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};

static const double inter_token_bounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                            0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};

#define LENGTH(a) (sizeof(a) / sizeof *(a))

enum bounds {
    BOUNDS_none,
    BOUNDS_duration,
    BOUNDS_first_token,
    BOUNDS_inter_token,
    BOUNDS_input,
    BOUNDS_total
};
enum fixed { FIXED_none, FIXED_info, FIXED_model, FIXED_cache, FIXED_lora };
_Static_assert(FIXED_lora < API_METRIC_LABELS, "there is room for all fixed labels");

static const struct {
    const char *name, *help, *label;
    const char *const *values;
    enum metric_kind kind;
    enum bounds bounds;
    enum fixed fixed;
} families[METRIC_ID_COUNT] = {
#define METRIC(id, name_, help_, kind_, label_, values_, bounds_, fixed_)                                    \
    [METRIC_##id] = {name_, help_, label_, values_, METRIC_##kind_, BOUNDS_##bounds_, FIXED_##fixed_},
#include "api/metrics.def"
#undef METRIC
};

static enum status add_family(struct api *a, unsigned id)
{
    const struct {
        const double *p;
        size_t n;
    } bounds[] = {[BOUNDS_none] = {NULL, 0},
                  [BOUNDS_duration] = {metrics_duration_bounds, 35},
                  [BOUNDS_first_token] = {first_token_bounds, LENGTH(first_token_bounds)},
                  [BOUNDS_inter_token] = {inter_token_bounds, LENGTH(inter_token_bounds)},
                  [BOUNDS_input] = {a->input_bounds, 100},
                  [BOUNDS_total] = {a->total_bounds, 100}};
    struct metric_desc *d = &a->desc[id];
    *d = (struct metric_desc){.name = families[id].name,
                              .help = families[id].help,
                              .kind = families[id].kind,
                              .label = families[id].label,
                              .values = families[id].values,
                              .bounds = bounds[families[id].bounds].p,
                              .n_bounds = (unsigned)bounds[families[id].bounds].n};
    if (families[id].fixed != FIXED_none)
        d->fixed = a->fixed[families[id].fixed].p;
    return metrics_add(a->metrics, d, &a->metric[id]);
}

/* ---- labels that do not change ---- */

static void put_count(struct buf *out, const char *name, uint32_t n)
{
    char text[16];
    snprintf(text, sizeof text, "%u", n);
    metrics_put_label(out, name, text);
}

/* As vLLM's servers label theirs: pickers read the sizes, dashboards choose by the rest. */
static enum status write_labels(struct api *a)
{
    const struct engine_limits *l = engine_limits(a->model.engine);
    struct buf *info = &a->fixed[FIXED_info], *model = &a->fixed[FIXED_model],
               *cache = &a->fixed[FIXED_cache], *lora = &a->fixed[FIXED_lora];
    metrics_put_label(info, "version", a->o.version);
    metrics_put_label(info, "model", a->o.model_id);
    metrics_put_label(info, "device", a->model.device);
    metrics_put_label(info, "dtype", a->model.dtype);
    metrics_put_label(model, "engine", "0");
    metrics_put_label(model, "model_name", a->o.model_id);
    put_count(cache, "block_size", l->page_tokens);
    metrics_put_label(cache, "engine", "0");
    put_count(cache, "num_gpu_blocks", l->n_page);
    put_count(lora, "max_lora", 0);
    metrics_put_label(lora, "running_lora_adapters", "");
    metrics_put_label(lora, "waiting_lora_adapters", "");
    bool failed = false;
    for (enum fixed i = FIXED_info; i <= FIXED_lora; i++) {
        buf_put_char(&a->fixed[i], '\0');
        failed |= a->fixed[i].failed;
    }
    return failed ? ST_NO_MEMORY : ST_OK;
}

/* ---- life ---- */

static bool needs_model(unsigned id)
{
    return families[id].bounds >= BOUNDS_input || families[id].fixed != FIXED_none;
}

static enum status add_families(struct api *a, bool of_model)
{
    enum status st = ST_OK;
    for (unsigned id = 0; id < METRIC_ID_COUNT && st == ST_OK; id++)
        if (needs_model(id) == of_model)
            st = add_family(a, id);
    return st;
}

enum status api_metrics_new(struct api *a)
{
    for (unsigned i = 0; i < API_METRIC_LABELS; i++)
        buf_init(&a->fixed[i], FIXED_MAX_BYTES);
    enum status st = metrics_new(&a->metrics);
    return st == ST_OK ? add_families(a, false) : st;
}

enum status api_metrics_ready(struct api *a)
{
    for (unsigned i = 0; i < 100; i++) {
        a->input_bounds[i] = (i + 1) * (a->limits.max_input_tokens / 100.0);
        a->total_bounds[i] = (i + 1) * (a->limits.max_total_tokens / 100.0);
    }
    enum status st = write_labels(a);
    if (st == ST_OK)
        st = add_families(a, true);
    if (st != ST_OK)
        return st;
    metric_set(a->metric[METRIC_INFO], 0, 1);
    metric_set(a->metric[METRIC_VLLM_CACHE_CONFIG], 0, 1);
    metric_set(a->metric[METRIC_VLLM_LORA], 0, (double)(clock_wall_ms() / 1000));
    return engine_metrics_add(a->model.engine, a->metrics);
}

void api_metrics_free(struct api *a)
{
    metrics_free(a->metrics);
    for (unsigned i = 0; i < API_METRIC_LABELS; i++)
        buf_fini(&a->fixed[i]);
}

struct metrics *api_metrics(struct api *a)
{
    return a->metrics;
}

/* ---- GET /metrics ---- */

/* The gateways' names for what the engine counts. */
static void tell_gateways(struct api *a)
{
    struct engine_stats s;
    engine_stats_read(a->model.engine, &s);
    double usage = s.kv_pages_total ? (double)s.kv_pages_used / s.kv_pages_total : 0;
    metric_set(a->metric[METRIC_VLLM_WAITING], 0, s.waiting);
    metric_set(a->metric[METRIC_VLLM_RUNNING], 0, s.running);
    metric_set(a->metric[METRIC_VLLM_KV_USAGE], 0, usage);
    metric_set(a->metric[METRIC_VLLM_GPU_USAGE], 0, usage);
    metric_set_total(a->metric[METRIC_VLLM_PROMPT_TOKENS], 0, s.tokens_prefilled);
    metric_set_total(a->metric[METRIC_VLLM_GENERATION_TOKENS], 0, s.tokens_generated);
    metric_set_total(a->metric[METRIC_VLLM_PREEMPTIONS], 0, s.set_back);
    metric_set_total(a->metric[METRIC_VLLM_PREFIX_QUERIES], 0, s.prefix_tokens_looked_up);
    metric_set_total(a->metric[METRIC_VLLM_PREFIX_HITS], 0, s.prefix_tokens_reused);
    metric_set_total(a->metric[METRIC_VLLM_DRAFT_TOKENS], 0, s.tokens_guessed);
    metric_set_total(a->metric[METRIC_VLLM_ACCEPTED_TOKENS], 0, s.guesses_accepted);
}

void handle_metrics(struct http_req *r, void *api)
{
    struct api *a = api;
    struct buf body;
    buf_init(&body, METRICS_MAX_BYTES);
    if (a->ready)
        tell_gateways(a);
    metrics_render(a->metrics, &body);
    http_respond(r, body.failed ? 500 : 200, "text/plain; version=0.0.4; charset=utf-8",
                 body.failed ? STR("") : buf_str(&body), NULL, 0);
    buf_fini(&body);
}

/* ---- counting ---- */

void api_count_failure(struct api *a, enum api_error kind)
{
    const char *label = api_error_metric_label(kind);
    for (unsigned i = 0; label && failure_values[i]; i++)
        if (strcmp(label, failure_values[i]) == 0)
            metric_count(a->metric[METRIC_REQUEST_FAILURE], i, 1);
}

void api_count_dropped(struct api *a)
{
    metric_count(a->metric[METRIC_REQUEST_FAILURE], DROPPED_SERIES, 1);
}

double api_seconds(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0;
}

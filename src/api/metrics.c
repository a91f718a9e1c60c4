/* Metrics of requests: TGI's families, some with bounds that depend on the limits. */
#include "api/api_int.h"
#include <string.h>

static const char *const failure_values[] = {"validation", "overloaded", "generation", "incomplete",
                                             "template",   "dropped",    NULL};
#define DROPPED_SERIES 5

enum bounds { BOUNDS_none, BOUNDS_duration, BOUNDS_input, BOUNDS_total };

static const struct {
    const char *name, *help, *label;
    const char *const *values;
    enum metric_kind kind;
    enum bounds bounds;
} families[METRIC_ID_COUNT] = {
#define METRIC(id, name_, help_, kind_, label_, values_, bounds_)                                            \
    [METRIC_##id] = {name_, help_, label_, values_, METRIC_##kind_, BOUNDS_##bounds_},
#include "api/metrics.def"
#undef METRIC
};

static enum status add_family(struct api *a, unsigned id)
{
    struct metric_desc *d = &a->desc[id];
    *d = (struct metric_desc){.name = families[id].name,
                              .help = families[id].help,
                              .kind = families[id].kind,
                              .label = families[id].label,
                              .values = families[id].values};
    if (families[id].bounds == BOUNDS_duration) {
        d->bounds = metrics_duration_bounds;
        d->n_bounds = 35;
    } else if (families[id].bounds != BOUNDS_none) {
        d->bounds = families[id].bounds == BOUNDS_input ? a->input_bounds : a->total_bounds;
        d->n_bounds = 100;
    }
    return metrics_add(a->metrics, d, &a->metric[id]);
}

static bool needs_limits(unsigned id)
{
    return families[id].bounds == BOUNDS_input || families[id].bounds == BOUNDS_total;
}

enum status api_metrics_new(struct api *a)
{
    enum status st = metrics_new(&a->metrics);
    for (unsigned id = 0; id < METRIC_ID_COUNT && st == ST_OK; id++)
        if (!needs_limits(id))
            st = add_family(a, id);
    return st;
}

enum status api_metrics_ready(struct api *a)
{
    enum status st = ST_OK;
    for (unsigned i = 0; i < 100; i++) {
        a->input_bounds[i] = (i + 1) * (a->limits.max_input_tokens / 100.0);
        a->total_bounds[i] = (i + 1) * (a->limits.max_total_tokens / 100.0);
    }
    for (unsigned id = 0; id < METRIC_ID_COUNT && st == ST_OK; id++)
        if (needs_limits(id))
            st = add_family(a, id);
    return st == ST_OK ? engine_metrics_add(a->model.engine, a->metrics) : st;
}

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

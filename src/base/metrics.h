/* Metrics: counters, gauges, histograms with fixed buckets; updated from any thread, rendered without waiting
 * for anybody (Prometheus text format 0.0.4). Each module lists its own in a metrics.def and registers them
 * once. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "base/buf.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* One family: a series for each label value, or one without a label. */
struct metric_desc {
    const char *name;
    const char *help; /* NULL: no HELP line */
    enum metric_kind kind;
    const char *label;         /* label's name or NULL */
    const char *const *values; /* label values, NULL-terminated; NULL when there is no label */
    const double *bounds;      /* histogram: upper bounds ascending, +Inf is added */
    unsigned n_bounds;
    const char *fixed; /* labels that every series carries, as metrics_put_label() writes them; or NULL */
};

struct metric;
struct metrics;

MUST_CHECK enum status metrics_new(struct metrics **out);
void metrics_free(struct metrics *m);
/* On the thread that renders, at any time. `desc` and all it points to must live as long as the registry. */
MUST_CHECK enum status metrics_add(struct metrics *m, const struct metric_desc *desc, struct metric **out);
/* Appends `name="value"`, with a comma before it unless `out` is empty; the value may be any UTF-8. */
void metrics_put_label(struct buf *out, const char *name, const char *value);

/* `series` indexes `values` (0 without a label). Any thread, lock-free. */
void metric_count(struct metric *m, unsigned series, uint64_t n);
/* Of a counter that somebody keeps as a total. */
void metric_set_total(struct metric *m, unsigned series, uint64_t total);
void metric_set(struct metric *m, unsigned series, double value);
void metric_observe(struct metric *m, unsigned series, double value);

/* Every series is there from the start, with 0, so that rates and alerts see the first event (TGI shows a
 * series after its first update only). A blank line after each family. */
void metrics_render(const struct metrics *m, struct buf *out);

/* TGI's bounds: 0.0001 * 1.5^k, k = 1..35, by repeated multiplication. */
extern const double metrics_duration_bounds[35];

#endif

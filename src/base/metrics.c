/* Metrics: a fixed table of atomics per family. Updates are lock-free, rendering reads what is there. */
#include "base/metrics.h"
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const double metrics_duration_bounds[35] = {
    0.00015000000000000001,
    0.00022500000000000002,
    0.0003375,
    0.00050625,
    0.000759375,
    0.0011390624999999999,
    0.0017085937499999998,
    0.0025628906249999996,
    0.0038443359374999994,
    0.00576650390625,
    0.008649755859375,
    0.0129746337890625,
    0.01946195068359375,
    0.029192926025390625,
    0.043789389038085935,
    0.0656840835571289,
    0.09852612533569335,
    0.14778918800354002,
    0.22168378200531003,
    0.33252567300796504,
    0.49878850951194753,
    0.7481827642679213,
    1.122274146401882,
    1.683411219602823,
    2.5251168294042348,
    3.787675244106352,
    5.681512866159528,
    8.52226929923929,
    12.783403948858936,
    19.175105923288406,
    28.76265888493261,
    43.143988327398915,
    64.71598249109837,
    97.07397373664756,
    145.61096060497135,
};

struct series {
    atomic_bool updated;
    _Atomic uint64_t count;    /* counters */
    _Atomic uint64_t sum_bits; /* gauges and sums: a double's bits */
    _Atomic uint64_t *bucket;  /* [n_bounds + 1], not cumulative */
};

struct metric {
    const struct metric_desc *desc;
    struct series *series;
    unsigned n_series;
    struct metric *next;
};

struct metrics {
    struct metric *first, **last;
};

enum status metrics_new(struct metrics **out)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (!m)
        return ST_NO_MEMORY;
    m->last = &m->first;
    *out = m;
    return ST_OK;
}

static void metric_free(struct metric *m)
{
    for (unsigned i = 0; m->series && i < m->n_series; i++)
        free(m->series[i].bucket);
    free(m->series);
    free(m);
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    while (m->first) {
        struct metric *next = m->first->next;
        metric_free(m->first);
        m->first = next;
    }
    free(m);
}

enum status metrics_add(struct metrics *registry, const struct metric_desc *desc, struct metric **out)
{
    struct metric *m = calloc(1, sizeof *m);
    if (!m)
        return ST_NO_MEMORY;
    m->desc = desc;
    m->n_series = 1;
    if (desc->values)
        for (m->n_series = 0; desc->values[m->n_series];)
            m->n_series++;
    m->series = calloc(m->n_series, sizeof *m->series);
    for (unsigned i = 0; m->series && desc->kind == METRIC_HISTOGRAM && i < m->n_series; i++) {
        m->series[i].bucket = calloc(desc->n_bounds + 1, sizeof *m->series[i].bucket);
        if (!m->series[i].bucket) {
            metric_free(m);
            return ST_NO_MEMORY;
        }
    }
    if (!m->series) {
        metric_free(m);
        return ST_NO_MEMORY;
    }
    *registry->last = m;
    registry->last = &m->next;
    *out = m;
    return ST_OK;
}

/* ---- updates ---- */

static uint64_t double_bits(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static double bits_double(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static struct series *series_of(struct metric *m, unsigned i)
{
    BUG_ON(i >= m->n_series);
    return &m->series[i];
}

/* After the first value, so that no reader sees the series without it. */
static void mark_updated(struct series *s)
{
    if (!atomic_load_explicit(&s->updated, memory_order_relaxed))
        atomic_store_explicit(&s->updated, true, memory_order_release);
}

void metric_count(struct metric *m, unsigned series, uint64_t n)
{
    struct series *s = series_of(m, series);
    atomic_fetch_add_explicit(&s->count, n, memory_order_relaxed);
    mark_updated(s);
}

void metric_set(struct metric *m, unsigned series, double value)
{
    struct series *s = series_of(m, series);
    atomic_store_explicit(&s->sum_bits, double_bits(value), memory_order_relaxed);
    mark_updated(s);
}

void metric_observe(struct metric *m, unsigned series, double value)
{
    struct series *s = series_of(m, series);
    unsigned low = 0, high = m->desc->n_bounds; /* the first bound >= value */
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (m->desc->bounds[mid] < value)
            low = mid + 1;
        else
            high = mid;
    }
    atomic_fetch_add_explicit(&s->bucket[low], 1, memory_order_relaxed);
    uint64_t old = atomic_load_explicit(&s->sum_bits, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&s->sum_bits, &old, double_bits(bits_double(old) + value),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    mark_updated(s);
}

/* ---- text ---- */

/* The shortest decimal that reads back as the same double, never with an exponent: 4000000, 0.00015. */
static void put_double(struct buf *out, double x)
{
    char text[32];
    if (!isfinite(x)) {
        buf_put_str(out, isnan(x) ? STR("NaN") : x > 0 ? STR("+Inf") : STR("-Inf"));
        return;
    }
    int after = 0; /* digits behind the first */
    do
        snprintf(text, sizeof text, "%.*e", after, x);
    while (strtod(text, NULL) != x && ++after <= 16);
    int exponent = atoi(strchr(text, 'e') + 1);
    if (after >= exponent) {
        buf_printf(out, "%.*f", after - exponent, x);
        return;
    }
    for (const char *p = text; *p != 'e'; p++)
        if (*p != '.')
            buf_put_char(out, *p);
    for (int i = after; i < exponent; i++)
        buf_put_char(out, '0');
}

/* NAME<suffix>{label="value",le="bound"} — without braces when there is nothing inside. */
static void put_name(struct buf *out, const struct metric *m, unsigned i, const char *suffix,
                     const double *le)
{
    const struct metric_desc *d = m->desc;
    buf_printf(out, "%s%s", d->name, suffix);
    if (d->label || le)
        buf_put_char(out, '{');
    if (d->label)
        buf_printf(out, "%s=\"%s\"%s", d->label, d->values[i], le ? "," : "");
    if (le) {
        buf_printf(out, "le=\"");
        put_double(out, *le);
        buf_put_char(out, '"');
    }
    if (d->label || le)
        buf_put_char(out, '}');
    buf_put_char(out, ' ');
}

static void put_histogram(struct buf *out, const struct metric *m, unsigned i)
{
    const struct series *s = &m->series[i];
    uint64_t below = 0;
    for (unsigned b = 0; b <= m->desc->n_bounds; b++) {
        double le = b < m->desc->n_bounds ? m->desc->bounds[b] : INFINITY;
        below += atomic_load_explicit(&s->bucket[b], memory_order_relaxed);
        put_name(out, m, i, "_bucket", &le);
        buf_printf(out, "%llu\n", (unsigned long long)below);
    }
    put_name(out, m, i, "_sum", NULL);
    put_double(out, bits_double(atomic_load_explicit(&s->sum_bits, memory_order_relaxed)));
    buf_put_char(out, '\n');
    put_name(out, m, i, "_count", NULL);
    buf_printf(out, "%llu\n", (unsigned long long)below);
}

static void put_series(struct buf *out, const struct metric *m, unsigned i)
{
    const struct series *s = &m->series[i];
    if (m->desc->kind == METRIC_HISTOGRAM) {
        put_histogram(out, m, i);
        return;
    }
    put_name(out, m, i, "", NULL);
    if (m->desc->kind == METRIC_COUNTER)
        buf_printf(out, "%llu", (unsigned long long)atomic_load_explicit(&s->count, memory_order_relaxed));
    else
        put_double(out, bits_double(atomic_load_explicit(&s->sum_bits, memory_order_relaxed)));
    buf_put_char(out, '\n');
}

static void put_family(struct buf *out, const struct metric *m)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    bool any = false;
    for (unsigned i = 0; i < m->n_series; i++) {
        if (!atomic_load_explicit(&m->series[i].updated, memory_order_acquire))
            continue;
        if (!any && m->desc->help)
            buf_printf(out, "# HELP %s %s\n", m->desc->name, m->desc->help);
        if (!any)
            buf_printf(out, "# TYPE %s %s\n", m->desc->name, kinds[m->desc->kind]);
        any = true;
        put_series(out, m, i);
    }
    if (any)
        buf_put_char(out, '\n');
}

void metrics_render(const struct metrics *m, struct buf *out)
{
    for (const struct metric *f = m->first; f; f = f->next)
        put_family(out, f);
}

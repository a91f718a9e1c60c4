/* Metrics: a fixed table of atomics per family. Updates are lock-free, rendering reads what is there: it must
 * never wait for anybody, and be quick, since gateways ask twenty times a second. So what does not change
 * (names, labels, bounds as text) is written once, when a family is added. */
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

/* The longest text of a double that is neither tiny nor huge, with its end. */
#define BOUND_TEXT       32
#define LABELS_MAX_BYTES 4096

struct series {
    _Atomic uint64_t count;    /* counters */
    _Atomic uint64_t sum_bits; /* gauges and sums: a double's bits */
    _Atomic uint64_t *bucket;  /* [n_bounds + 1], not cumulative */
};

struct metric {
    const struct metric_desc *desc;
    struct series *series;
    unsigned n_series;
    char (*bound)[BOUND_TEXT]; /* [n_bounds + 1] as text */
    struct metric *next;
};

struct metrics {
    struct metric *first, **last;
};

/* ---- text ---- */

static void put_cstr(struct buf *out, const char *s)
{
    buf_put(out, s, strlen(s));
}

static void put_u64(struct buf *out, uint64_t n)
{
    char digit[20], *p = digit + sizeof digit;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    buf_put(out, p, (size_t)(digit + sizeof digit - p));
}

/* HELP texts and label values: a backslash and an end of line would end or change the line, a quote a value.
 */
static void put_escaped(struct buf *out, const char *s, bool is_value)
{
    for (; *s; s++) {
        if (*s == '\\' || *s == '\n' || (is_value && *s == '"'))
            buf_put_char(out, '\\');
        buf_put_char(out, *s == '\n' ? 'n' : *s);
    }
}

void metrics_put_label(struct buf *out, const char *name, const char *value)
{
    if (out->n)
        buf_put_char(out, ',');
    put_cstr(out, name);
    put_cstr(out, "=\"");
    put_escaped(out, value, true);
    buf_put_char(out, '"');
}

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

/* ---- families ---- */

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
    free(m->bound);
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

static enum status metric_alloc(struct metric *m)
{
    const struct metric_desc *d = m->desc;
    m->n_series = 1;
    if (d->values)
        for (m->n_series = 0; d->values[m->n_series];)
            m->n_series++;
    m->series = calloc(m->n_series, sizeof *m->series);
    if (!m->series)
        return ST_NO_MEMORY;
    if (d->kind != METRIC_HISTOGRAM)
        return ST_OK;
    for (unsigned i = 0; i < m->n_series; i++) {
        m->series[i].bucket = calloc(d->n_bounds + 1, sizeof *m->series[i].bucket);
        if (!m->series[i].bucket)
            return ST_NO_MEMORY;
    }
    m->bound = calloc(d->n_bounds + 1, sizeof *m->bound);
    return m->bound ? ST_OK : ST_NO_MEMORY;
}

static enum status write_bounds(struct metric *m)
{
    for (unsigned i = 0; m->bound && i <= m->desc->n_bounds; i++) {
        struct buf text;
        buf_init(&text, BOUND_TEXT - 1);
        put_double(&text, i < m->desc->n_bounds ? m->desc->bounds[i] : INFINITY);
        bool failed = text.failed;
        if (!failed)
            memcpy(m->bound[i], text.p, text.n);
        buf_fini(&text);
        if (failed)
            return ST_NO_MEMORY;
    }
    return ST_OK;
}

enum status metrics_add(struct metrics *registry, const struct metric_desc *desc, struct metric **out)
{
    struct metric *m = calloc(1, sizeof *m);
    if (!m)
        return ST_NO_MEMORY;
    m->desc = desc;
    if (metric_alloc(m) != ST_OK || write_bounds(m) != ST_OK) {
        metric_free(m);
        return ST_NO_MEMORY;
    }
    *registry->last = m;
    registry->last = &m->next;
    *out = m;
    return ST_OK;
}

/* ---- updates ---- */

/* A double in an atomic word. */
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

void metric_count(struct metric *m, unsigned series, uint64_t n)
{
    atomic_fetch_add_explicit(&series_of(m, series)->count, n, memory_order_relaxed);
}

void metric_set_total(struct metric *m, unsigned series, uint64_t total)
{
    atomic_store_explicit(&series_of(m, series)->count, total, memory_order_relaxed);
}

void metric_set(struct metric *m, unsigned series, double value)
{
    atomic_store_explicit(&series_of(m, series)->sum_bits, double_bits(value), memory_order_relaxed);
}

void metric_observe(struct metric *m, unsigned series, double value)
{
    struct series *s = series_of(m, series);
    unsigned low = 0, high = m->desc->n_bounds; /* the first bound >= value; of no number: +Inf */
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (value <= m->desc->bounds[mid])
            high = mid;
        else
            low = mid + 1;
    }
    atomic_fetch_add_explicit(&s->bucket[low], 1, memory_order_relaxed);
    uint64_t old = atomic_load_explicit(&s->sum_bits, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&s->sum_bits, &old, double_bits(bits_double(old) + value),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

/* ---- rendering ---- */

/* All of a series' labels but `le`, as they stand between the braces. */
static void put_labels(struct buf *out, const struct metric *m, unsigned i)
{
    if (m->desc->fixed)
        put_cstr(out, m->desc->fixed);
    if (m->desc->label)
        metrics_put_label(out, m->desc->label, m->desc->values[i]);
}

/* NAME<suffix>{labels,le="bound"} and a space; without braces when there is nothing inside. */
static void put_name(struct buf *out, const struct metric *m, const char *suffix, struct str labels,
                     const char *le)
{
    put_cstr(out, m->desc->name);
    put_cstr(out, suffix);
    if (labels.n || le)
        buf_put_char(out, '{');
    buf_put_str(out, labels);
    if (le) {
        put_cstr(out, labels.n ? ",le=\"" : "le=\"");
        put_cstr(out, le);
        buf_put_char(out, '"');
    }
    if (labels.n || le)
        buf_put_char(out, '}');
    buf_put_char(out, ' ');
}

static double series_double(const struct series *s)
{
    return bits_double(atomic_load_explicit(&s->sum_bits, memory_order_relaxed));
}

static void put_histogram(struct buf *out, const struct metric *m, unsigned i, struct str labels)
{
    const struct series *s = &m->series[i];
    uint64_t below = 0;
    for (unsigned b = 0; b <= m->desc->n_bounds; b++) {
        below += atomic_load_explicit(&s->bucket[b], memory_order_relaxed);
        put_name(out, m, "_bucket", labels, m->bound[b]);
        put_u64(out, below);
        buf_put_char(out, '\n');
    }
    put_name(out, m, "_sum", labels, NULL);
    put_double(out, series_double(s));
    buf_put_char(out, '\n');
    put_name(out, m, "_count", labels, NULL);
    put_u64(out, below);
}

static void put_series(struct buf *out, const struct metric *m, unsigned i)
{
    const struct series *s = &m->series[i];
    struct buf labels;
    buf_init(&labels, LABELS_MAX_BYTES);
    put_labels(&labels, m, i);
    if (m->desc->kind == METRIC_HISTOGRAM) {
        put_histogram(out, m, i, buf_str(&labels));
    } else {
        put_name(out, m, "", buf_str(&labels), NULL);
        if (m->desc->kind == METRIC_COUNTER)
            put_u64(out, atomic_load_explicit(&s->count, memory_order_relaxed));
        else
            put_double(out, series_double(s));
    }
    out->failed |= labels.failed;
    buf_put_char(out, '\n');
    buf_fini(&labels);
}

static void put_head(struct buf *out, const struct metric_desc *d)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    if (d->help) {
        buf_printf(out, "# HELP %s ", d->name);
        put_escaped(out, d->help, false);
        buf_put_char(out, '\n');
    }
    buf_printf(out, "# TYPE %s %s\n", d->name, kinds[d->kind]);
}

static void put_family(struct buf *out, const struct metric *m)
{
    put_head(out, m->desc);
    for (unsigned i = 0; i < m->n_series; i++)
        put_series(out, m, i);
    buf_put_char(out, '\n');
}

void metrics_render(const struct metrics *m, struct buf *out)
{
    for (const struct metric *f = m->first; f; f = f->next)
        put_family(out, f);
}

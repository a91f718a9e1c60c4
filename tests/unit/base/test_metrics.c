/* The exposition text, byte for byte. */
#include "base/metrics.h"
#include "base/thread.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* What a registry says, as a C string in `out`. */
static const char *text_of(const struct metrics *m, struct buf *out)
{
    buf_clear(out);
    metrics_render(m, out);
    buf_put_char(out, '\0');
    assert_false(out->failed);
    return out->p;
}

static void test_text(void **state)
{
    (void)state;
    static const char *const values[] = {"a", "b", NULL};
    static const double bounds[] = {0.5, 1, 2};
    static const struct metric_desc count = {
        .name = "c_count", .help = "How many", .kind = METRIC_COUNTER, .label = "kind", .values = values};
    static const struct metric_desc gauge = {.name = "g", .kind = METRIC_GAUGE};
    static const struct metric_desc hist = {
        .name = "h", .help = "Sizes", .kind = METRIC_HISTOGRAM, .bounds = bounds, .n_bounds = 3};
    static const struct metric_desc total = {.name = "t_total", .kind = METRIC_COUNTER};
    struct metrics *m;
    struct metric *c, *g, *h, *t;
    struct buf out;
    assert_int_equal(metrics_new(&m), ST_OK);
    assert_int_equal(metrics_add(m, &count, &c), ST_OK);
    assert_int_equal(metrics_add(m, &gauge, &g), ST_OK);
    assert_int_equal(metrics_add(m, &hist, &h), ST_OK);
    assert_int_equal(metrics_add(m, &total, &t), ST_OK);
    buf_init(&out, 10000);
    assert_string_equal(text_of(m, &out), /* every series is there from the start */
                        "# HELP c_count How many\n# TYPE c_count counter\nc_count{kind=\"a\"} 0\n"
                        "c_count{kind=\"b\"} 0\n\n# TYPE g gauge\ng 0\n\n"
                        "# HELP h Sizes\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 0\nh_bucket{le=\"1\"} 0\n"
                        "h_bucket{le=\"2\"} 0\nh_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0\n\n"
                        "# TYPE t_total counter\nt_total 0\n\n");
    metric_count(c, 1, 3);
    metric_set(g, 0, 0.1);
    metric_observe(h, 0, 1);
    metric_observe(h, 0, 1.5);
    metric_observe(h, 0, 7);
    metric_set_total(t, 0, 5);
    metric_set_total(t, 0, 9);
    assert_string_equal(text_of(m, &out),
                        "# HELP c_count How many\n# TYPE c_count counter\nc_count{kind=\"a\"} 0\n"
                        "c_count{kind=\"b\"} 3\n\n"
                        "# TYPE g gauge\ng 0.1\n\n"
                        "# HELP h Sizes\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 0\nh_bucket{le=\"1\"} 1\n"
                        "h_bucket{le=\"2\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 9.5\nh_count 3\n\n"
                        "# TYPE t_total counter\nt_total 9\n\n");
    buf_fini(&out);
    metrics_free(m);
}

/* A value from outside (a model's name) can neither end its label nor its line. */
static void test_escaping(void **state)
{
    (void)state;
    static const char *const values[] = {"a\"b", "c\\d\ne", NULL};
    static const double bounds[] = {1};
    struct buf fixed, out;
    buf_init(&fixed, 1000);
    metrics_put_label(&fixed, "name", "x\"} 1\ny\\ é");
    metrics_put_label(&fixed, "empty", "");
    buf_put_char(&fixed, '\0');
    const struct metric_desc count = {.name = "c",
                                      .help = "A \"quote\", a \\ and\na line",
                                      .kind = METRIC_COUNTER,
                                      .label = "l",
                                      .values = values};
    const struct metric_desc hist = {
        .name = "h", .kind = METRIC_HISTOGRAM, .bounds = bounds, .n_bounds = 1, .fixed = fixed.p};
    struct metrics *m;
    struct metric *c, *h;
    assert_int_equal(metrics_new(&m), ST_OK);
    assert_int_equal(metrics_add(m, &count, &c), ST_OK);
    assert_int_equal(metrics_add(m, &hist, &h), ST_OK);
    metric_observe(h, 0, 1);
    buf_init(&out, 10000);
#define FIXED "name=\"x\\\"} 1\\ny\\\\ é\",empty=\"\""
    assert_string_equal(text_of(m, &out),
                        "# HELP c A \"quote\", a \\\\ and\\na line\n# TYPE c counter\nc{l=\"a\\\"b\"} 0\n"
                        "c{l=\"c\\\\d\\ne\"} 0\n\n# TYPE h histogram\nh_bucket{" FIXED ",le=\"1\"} 1\n"
                        "h_bucket{" FIXED ",le=\"+Inf\"} 1\nh_sum{" FIXED "} 1\nh_count{" FIXED "} 1\n\n");
    buf_fini(&out);
    buf_fini(&fixed);
    metrics_free(m);
}

/* Counters are whole numbers, however large; a histogram takes what is no number too. */
static void test_large_and_strange(void **state)
{
    (void)state;
    static const double bounds[] = {1};
    static const struct metric_desc count = {.name = "c", .kind = METRIC_COUNTER};
    static const struct metric_desc hist = {
        .name = "h", .kind = METRIC_HISTOGRAM, .bounds = bounds, .n_bounds = 1};
    struct metrics *m;
    struct metric *c, *h;
    struct buf out;
    assert_int_equal(metrics_new(&m), ST_OK);
    assert_int_equal(metrics_add(m, &count, &c), ST_OK);
    assert_int_equal(metrics_add(m, &hist, &h), ST_OK);
    buf_init(&out, 10000);
    metric_set_total(c, 0, (1ull << 53) + 1); /* not a double */
    metric_observe(h, 0, (double)INFINITY);
    assert_string_equal(text_of(m, &out),
                        "# TYPE c counter\nc 9007199254740993\n\n# TYPE h histogram\n"
                        "h_bucket{le=\"1\"} 0\nh_bucket{le=\"+Inf\"} 1\nh_sum +Inf\nh_count 1\n\n");
    metric_set_total(c, 0, UINT64_MAX);
    metric_observe(h, 0, (double)NAN);
    metric_observe(h, 0, -(double)INFINITY);
    assert_string_equal(text_of(m, &out),
                        "# TYPE c counter\nc 18446744073709551615\n\n# TYPE h histogram\n"
                        "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum NaN\nh_count 3\n\n");
    buf_fini(&out);
    metrics_free(m);
}

/* The text of one gauge that holds x. */
static void expect_gauge(double x, const char *want)
{
    static const struct metric_desc desc = {.name = "g", .kind = METRIC_GAUGE};
    struct metrics *m;
    struct metric *g;
    struct buf out;
    assert_int_equal(metrics_new(&m), ST_OK);
    assert_int_equal(metrics_add(m, &desc, &g), ST_OK);
    metric_set(g, 0, x);
    buf_init(&out, 1000);
    metrics_render(m, &out);
    buf_put_char(&out, '\0');
    assert_memory_equal(out.p, "# TYPE g gauge\ng ", 17);
    assert_true(strlen(out.p) == 17 + strlen(want) + 2);
    assert_memory_equal(out.p + 17, want, strlen(want));
    buf_fini(&out);
    metrics_free(m);
}

static void test_numbers(void **state)
{
    (void)state;
    expect_gauge(0, "0");
    expect_gauge(100, "100"); /* no exponents: "1e+02" would read back too */
    expect_gauge(4000000, "4000000");
    expect_gauge(-1234567, "-1234567");
    expect_gauge(16777217, "16777217");
    expect_gauge(0.00015000000000000001, "0.00015000000000000001");
    expect_gauge(0.00001, "0.00001");
    expect_gauge(97.07397373664756, "97.07397373664756");
    expect_gauge(123456789012345678.0, "123456789012345680");
    expect_gauge(1e21, "1000000000000000000000");
    expect_gauge(1.5e-9, "0.0000000015");
    expect_gauge((double)NAN, "NaN");
    expect_gauge((double)INFINITY, "+Inf");
    expect_gauge(-(double)INFINITY, "-Inf");
}

/* A labelled histogram: le comes last; a value on a bound counts below it. */
static void test_labelled_histogram(void **state)
{
    (void)state;
    static const char *const values[] = {"prefill", "decode", NULL};
    static const double bounds[] = {1, 20, 300};
    static const struct metric_desc desc = {.name = "h",
                                            .help = "Help.",
                                            .kind = METRIC_HISTOGRAM,
                                            .label = "method",
                                            .values = values,
                                            .bounds = bounds,
                                            .n_bounds = 3};
    struct metrics *m;
    struct metric *h;
    struct buf out;
    assert_int_equal(metrics_new(&m), ST_OK);
    assert_int_equal(metrics_add(m, &desc, &h), ST_OK);
    buf_init(&out, 4000);
    metric_observe(h, 1, 20);
    metric_observe(h, 1, 20.5);
    assert_string_equal(
        text_of(m, &out),
        "# HELP h Help.\n# TYPE h histogram\n"
        "h_bucket{method=\"prefill\",le=\"1\"} 0\nh_bucket{method=\"prefill\",le=\"20\"} 0\n"
        "h_bucket{method=\"prefill\",le=\"300\"} 0\nh_bucket{method=\"prefill\",le=\"+Inf\"} 0\n"
        "h_sum{method=\"prefill\"} 0\nh_count{method=\"prefill\"} 0\n"
        "h_bucket{method=\"decode\",le=\"1\"} 0\nh_bucket{method=\"decode\",le=\"20\"} 1\n"
        "h_bucket{method=\"decode\",le=\"300\"} 2\nh_bucket{method=\"decode\",le=\"+Inf\"} 2\n"
        "h_sum{method=\"decode\"} 40.5\nh_count{method=\"decode\"} 2\n\n");
    buf_fini(&out);
    metrics_free(m);
}

static const double one_bound[] = {0.5};
static const struct metric_desc shared_count = {.name = "c", .kind = METRIC_COUNTER};
static const struct metric_desc shared_hist = {
    .name = "h", .kind = METRIC_HISTOGRAM, .bounds = one_bound, .n_bounds = 1};

static void update(void *arg)
{
    struct metric **metric = arg;
    for (int i = 0; i < 20000; i++) {
        metric_count(metric[0], 0, 1);
        metric_observe(metric[1], 0, i % 2);
    }
}

static void test_updates_of_many_threads_add_up(void **state)
{
    (void)state;
    struct metrics *m;
    struct metric *metric[2];
    struct thread thread[4];
    struct buf out;
    struct err e;
    assert_int_equal(metrics_new(&m), ST_OK);
    assert_int_equal(metrics_add(m, &shared_count, &metric[0]), ST_OK);
    assert_int_equal(metrics_add(m, &shared_hist, &metric[1]), ST_OK);
    buf_init(&out, 100000);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(thread_start(&thread[i], "update", update, metric, &e), ST_OK);
    for (unsigned i = 0; i < 50; i++) { /* rendering beside them is allowed */
        buf_clear(&out);
        metrics_render(m, &out);
    }
    for (unsigned i = 0; i < 4; i++)
        thread_join(&thread[i]);
    buf_clear(&out);
    metrics_render(m, &out);
    buf_put_char(&out, '\0');
    assert_string_equal(out.p, "# TYPE c counter\nc 80000\n\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 40000\n"
                               "h_bucket{le=\"+Inf\"} 80000\nh_sum 40000\nh_count 80000\n\n");
    buf_fini(&out);
    metrics_free(m);
}

static void test_duration_bounds(void **state)
{
    (void)state;
    double bound = 0.0001;
    for (unsigned i = 0; i < 35; i++) {
        bound *= 1.5;
        assert_true(metrics_duration_bounds[i] == bound);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_escaping),
        cmocka_unit_test(test_large_and_strange),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_labelled_histogram),
        cmocka_unit_test(test_updates_of_many_threads_add_up),
        cmocka_unit_test(test_duration_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

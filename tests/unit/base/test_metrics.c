/* The exposition text, byte for byte. */
#include "base/metrics.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_text(void **state)
{
    (void)state;
    static const char *const values[] = {"a", "b", NULL};
    static const double bounds[] = {0.5, 1, 2};
    static const struct metric_desc count = {"c_count", "How many", METRIC_COUNTER, "kind", values, NULL, 0};
    static const struct metric_desc gauge = {"g", NULL, METRIC_GAUGE, NULL, NULL, NULL, 0};
    static const struct metric_desc hist = {"h", "Sizes", METRIC_HISTOGRAM, NULL, NULL, bounds, 3};
    static const struct metric_desc unused = {"unused", "Never", METRIC_COUNTER, NULL, NULL, NULL, 0};
    struct metrics *m;
    struct metric *c, *g, *h, *u;
    struct buf out;
    assert_int_equal(metrics_new(&m), ST_OK);
    assert_int_equal(metrics_add(m, &count, &c), ST_OK);
    assert_int_equal(metrics_add(m, &unused, &u), ST_OK);
    assert_int_equal(metrics_add(m, &gauge, &g), ST_OK);
    assert_int_equal(metrics_add(m, &hist, &h), ST_OK);
    metric_count(c, 1, 3);
    metric_set(g, 0, 0.1);
    metric_observe(h, 0, 1);
    metric_observe(h, 0, 1.5);
    metric_observe(h, 0, 7);
    buf_init(&out, 10000);
    metrics_render(m, &out);
    buf_put_char(&out, '\0');
    assert_string_equal(out.p,
                        "# HELP c_count How many\n# TYPE c_count counter\nc_count{kind=\"b\"} 3\n\n"
                        "# TYPE g gauge\ng 0.1\n\n"
                        "# HELP h Sizes\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 0\nh_bucket{le=\"1\"} 1\n"
                        "h_bucket{le=\"2\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 9.5\nh_count 3\n\n");
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_duration_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

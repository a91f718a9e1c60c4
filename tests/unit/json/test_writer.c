/* JSON text byte for byte: numbers and escapes as serde_json writes them, values of a document. */
#include "json/json.h"
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct buf out;
static struct json_writer writer;

static void start(void)
{
    buf_fini(&out);
    buf_init(&out, 1 << 20);
    jw_init(&writer, &out);
}

static const char *text(void)
{
    buf_put_char(&out, '\0');
    assert_false(out.failed);
    return out.p;
}

static void test_f32(void **state)
{
    (void)state;
    static const struct {
        float value;
        const char *text;
    } cases[] = {
        {0.0f, "0.0"},
        {-0.0f, "-0.0"},
        {1.0f, "1.0"},
        {-1.5f, "-1.5"},
        {0.1f, "0.1"},
        {-0.0014467239f, "-0.0014467239"},
        {1e-5f, "0.00001"},
        {1e-6f, "0.000001"}, /* f32 stays decimal one digit longer than f64 ... */
        {-1.1920929e-6f, "-0.0000011920929"},
        {-7.390976e-6f, "-0.000007390976"},
        {9.9e-7f, "9.9e-7"},
        {1e-7f, "1e-7"},
        {-1.1920929e-7f, "-1.1920929e-7"},
        {16777216.0f, "16777216.0"},
        {123456789.0f, "123456790.0"},
        {1e12f, "1000000000000.0"},
        {9.999999e12f, "9999999000000.0"}, /* ... and not as long */
        {1e13f, "1e13"},
        {1e16f, "1e16"},
        {FLT_MAX, "3.4028235e38"},
        {FLT_MIN, "1.1754944e-38"},
        {1e-45f, "1e-45"},
        {NAN, "null"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        start();
        jw_f32(&writer, cases[i].value);
        assert_string_equal(text(), cases[i].text);
    }
}

static void test_f64(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {100.0, "100.0"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e-5, "0.00001"},
        {1.5e-5, "0.000015"},
        {1e-6, "1e-6"},
        {9007199254740993.0, "9007199254740992.0"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e16"},
        {1.5e300, "1.5e300"},
        {DBL_MAX, "1.7976931348623157e308"},
        {5e-324, "5e-324"},
        {NAN, "null"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        start();
        jw_f64(&writer, cases[i].value);
        assert_string_equal(text(), cases[i].text);
    }
}

/* Whatever is written reads back as the same bits, and no text with fewer digits would. */
static void test_floats_round_trip(void **state)
{
    (void)state;
    uint32_t random = 1;
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        float x, back;
        memcpy(&x, &random, sizeof x);
        if (!isfinite(x))
            continue;
        start();
        jw_f32(&writer, x);
        back = strtof(text(), NULL);
        assert_memory_equal(&back, &x, sizeof x);
        double y = (double)x * 1.0000000123, again;
        start();
        jw_f64(&writer, y);
        again = strtod(text(), NULL);
        assert_memory_equal(&again, &y, sizeof y);
    }
}

static void expect_str(struct str s, const char *want)
{
    start();
    jw_str(&writer, s);
    assert_string_equal(text(), want);
}

static void test_strings(void **state)
{
    (void)state;
    expect_str(STR(""), "\"\"");
    expect_str((struct str){NULL, 0}, "\"\"");
    expect_str(STR("\b\f\n\r\t\"\\/"), "\"\\b\\f\\n\\r\\t\\\"\\\\/\"");
    expect_str(STR("\0\x01\x0b\x1f\x7f"), "\"\\u0000\\u0001\\u000b\\u001f\x7f\"");
    expect_str(STR("é€🙂"), "\"é€🙂\"");
    /* One U+FFFD for the longest part of a well-formed sequence, one for each byte that begins none. */
    expect_str(STR("a\xe2\x82!\xff\xfe\xf0\x9f\x99"),
               "\"a\xef\xbf\xbd!\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    expect_str(STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void expect_copy(const char *json, const char *want)
{
    struct json_doc *d;
    struct err e;
    if (json_parse(str_from(json), 0, &d, &e) != ST_OK)
        fail_msg("%s: %s", json, e.text);
    start();
    jw_array(&writer);
    jw_bool(&writer, true);
    jw_value(&writer, json_root(d));
    jw_value(&writer, NULL);
    jw_end_array(&writer);
    json_free(d);
    const char *got = text();
    size_t n = strlen(want);
    assert_true(str_has_prefix(str_from(got), STR("[true,")));
    assert_true(strlen(got) == 6 + n + 6 && strncmp(got + 6, want, n) == 0);
    assert_string_equal(got + 6 + n, ",null]");
}

static void test_values(void **state)
{
    (void)state;
    expect_copy("[]", "[]");
    expect_copy("{ }", "{}");
    expect_copy("null", "null");
    expect_copy(" [ [ ] , { } , [ [ 1 ] , 2 ] , { \"a\" : { \"b\" : [ ] } , \"c\" : false } , -3 ] ",
                "[[],{},[[1],2],{\"a\":{\"b\":[]},\"c\":false},-3]");
    expect_copy("{\"\\u001F\\n\\/\":\"\\u00e9\\u0000\\ud83d\\ude42\"}", "{\"\\u001f\\n/\":\"é\\u0000🙂\"}");
    expect_copy("[18446744073709551615,-9223372036854775808,1e20,1.0,1E-7,0.5]",
                "[18446744073709551615,-9223372036854775808,1e20,1.0,1e-7,0.5]");
}

/* A document may be as deep as the reader allows though the writer itself goes to 63. */
static void test_a_deep_value(void **state)
{
    (void)state;
    char json[2 * JSON_MAX_DEPTH + 1];
    memset(json, '[', JSON_MAX_DEPTH);
    memset(json + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
    json[2 * JSON_MAX_DEPTH] = '\0';
    expect_copy(json, json);
}

static void test_a_full_buffer_is_remembered(void **state)
{
    (void)state;
    struct buf small;
    struct json_writer w;
    struct json_doc *d;
    struct err e;
    assert_int_equal(json_parse(STR("[1,[2,3],{\"k\":\"0123456789\"}]"), 0, &d, &e), ST_OK);
    for (size_t max = 0; max <= 29; max++) {
        buf_init(&small, max);
        jw_init(&w, &small);
        jw_value(&w, json_root(d));
        assert_int_equal(small.failed, max < 28);
        assert_true(small.n <= max);
        buf_fini(&small);
    }
    json_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_f64),
        cmocka_unit_test(test_floats_round_trip),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_a_deep_value),
        cmocka_unit_test(test_a_full_buffer_is_remembered),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_fini(&out);
    return failed;
}

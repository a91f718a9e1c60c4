/* JSON: what is refused, what is read, what is written. */
#include "json/json.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static enum status parse(const char *text, struct err *e)
{
    struct json_doc *d;
    enum status st = json_parse(str_from(text), 0, &d, e);
    if (st == ST_OK)
        json_free(d);
    return st;
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",         "{",         "[1,]",        "{\"a\":1,}", "01",    "+1",
                                      "1.",       ".5",        "nan",         "Infinity",   "'a'",   "{a:1}",
                                      "\"\x01\"", "\"\xff\"",  "\"\\ud800\"", "1 2",        "[1] x", "tru",
                                      "\"\\x\"",  "{\"a\" 1}", "// c\n1"};
    struct err e;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse(bad[i], &e) == ST_OK)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(parse("{\"a\":1,\"b\":{\"a\":2},\"a\":3}", &e), ST_INVALID);
    assert_string_equal(e.text, "duplicate field `a`");
    assert_int_equal(parse("{\n \"a\": }", &e), ST_INVALID);
    assert_non_null(strstr(e.text, "at line 2 column"));
}

static void test_refused_text_of_json_kin(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\xef\xbb\xbf{}", /* a byte order mark */
        "1e999",
        "-",
        "--1",
        "0x10",
        "1e",
        "1e+",
        "-01",
        "1.e1",
        "True",
        "NULL",
        "undefined",
        "[1",
        "\"a",
        "{\"a\"}",
        "{\"a\":}",
        "[,1]",
        "[1,,2]",
        "{,}",
        "]",
        "}",
        "\"\\ud83d\\u0041\"",
        "\"\\udc00\"",
        "\"\\u12g4\"",
        "\"\xed\xa0\x80\"",
        "\"\xc0\xaf\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xe2\x82\"",
        "\"\t\"",
        "\"\n\"",
        "\xc2\xa0"
        "1",
        "\v1",
        "[1]/**/",
        "1;",
        "{\"a\":1,\"\\u0061\":2}",
    };
    struct err e;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse(bad[i], &e) != ST_INVALID)
            fail_msg("accepted: %s", bad[i]);
    struct json_doc *d;
    assert_int_equal(json_parse((struct str){"1\0", 2}, 0, &d, &e), ST_INVALID);
    assert_int_equal(json_parse((struct str){NULL, 0}, 0, &d, &e), ST_INVALID);
    assert_int_equal(parse("{\"a\\u0000\":1,\"a\":2,\"\":3}", &e), ST_OK); /* keys that differ behind a NUL */
    assert_int_equal(parse(" \t\r\n[1e400000000000000000000]", &e), ST_INVALID);
    assert_int_equal(parse(" \t\r\n-0.0e-0 ", &e), ST_OK);
}

/* Sixteen keys are compared pair by pair, more are sorted: both sides of the change, the pair in every place.
 */
static void test_duplicates_at_every_size(void **state)
{
    (void)state;
    struct buf text;
    struct err e;
    buf_init(&text, 1 << 20);
    for (unsigned n = 2; n < 40; n++)
        for (unsigned twin = 1; twin < n; twin++) {
            buf_clear(&text);
            for (unsigned i = 0; i < n; i++)
                buf_printf(&text, "%c\"%u\":0", i ? ',' : '{', i == twin ? twin / 2 : i);
            buf_put(&text, "}", 2);
            assert_int_equal(parse(text.p, &e), ST_INVALID);
            char want[64];
            snprintf(want, sizeof want, "duplicate field `%u`", twin / 2);
            assert_string_equal(e.text, want);
        }
    buf_fini(&text);
}

static void test_files(void **state)
{
    (void)state;
    struct json_doc *d;
    struct err e;
    char path[] = "/tmp/prompteur-json-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "{\"a\":[1,2]", 10), 10);
    assert_int_equal(json_parse_file(path, 10, 0, &d, &e), ST_INVALID); /* its last byte is missing */
    assert_true(str_has_prefix(str_from(e.text), str_from(path)));
    assert_int_equal(write(fd, "}", 1), 1);
    assert_int_equal(json_parse_file(path, 10, 0, &d, &e), ST_LIMIT);
    assert_int_equal(json_parse_file(path, 11, 0, &d, &e), ST_OK);
    assert_int_equal(json_len(json_get(json_root(d), STR("a"))), 2);
    json_free(d);
    close(fd);
    unlink(path);
    assert_int_equal(json_parse_file(path, 11, 0, &d, &e), ST_NOT_FOUND);
}

/* Accessors on what is absent or of another kind say so. */
static void test_wrong_kinds(void **state)
{
    (void)state;
    struct json_doc *d;
    struct err e;
    uint64_t u;
    int64_t i;
    double f;
    bool b;
    struct str s, key;
    assert_int_equal(json_parse(STR("[null,true,1,-1,1.5,\"x\",[],{}]"), 0, &d, &e), ST_OK);
    static const char *const names[] = {"null",           "boolean", "integer",  "integer",
                                        "floating point", "string",  "sequence", "map"};
    for (size_t k = 0; k <= 8; k++) {
        const struct json_val *v = json_at(json_root(d), k); /* [8] is absent */
        assert_string_equal(json_kind_name(v), names[k % 8]);
        assert_int_equal(json_bool(v, &b), k == 1);
        assert_int_equal(json_u64(v, &u), k == 2);
        assert_int_equal(json_i64(v, &i), k == 2 || k == 3);
        assert_int_equal(json_f64(v, &f), k >= 2 && k <= 4);
        assert_int_equal(json_is_number(v), k >= 2 && k <= 4);
        assert_int_equal(json_str(v, &s), k == 5);
        assert_int_equal(json_len(v), 0);
        assert_null(json_get(v, STR("x")));
        assert_null(json_at(v, 0));
        struct json_iter it = json_iter(v);
        assert_null(json_next(&it, &key));
    }
    json_free(d);
    json_free(NULL);
}

static void test_duplicates_in_large_objects(void **state)
{
    (void)state;
    struct buf text;
    struct json_doc *d;
    struct err e;
    buf_init(&text, 1 << 20);
    buf_put_char(&text, '{');
    for (unsigned i = 0; i < 5000; i++)
        buf_printf(&text, "\"k%u\":%u,", i, i);
    buf_printf(&text, "\"k77\":1}");
    assert_int_equal(json_parse(buf_str(&text), 0, &d, &e), ST_INVALID);
    assert_string_equal(e.text, "duplicate field `k77`");
    assert_int_equal(json_parse(buf_str(&text), JSON_ALLOW_DUPLICATES, &d, &e), ST_OK);
    assert_int_equal(json_len(json_root(d)), 5001);
    json_free(d);
    buf_fini(&text);
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * JSON_MAX_DEPTH + 16];
    struct err e;
    for (unsigned depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        assert_int_equal(parse(text, &e), depth <= JSON_MAX_DEPTH ? ST_OK : ST_INVALID);
    }
    assert_int_equal(parse("[[[],[]],{},{\"a\":[1,[2]]},[]]", &e), ST_OK);
}

static void test_values(void **state)
{
    (void)state;
    struct json_doc *d;
    struct err e;
    assert_int_equal(
        json_parse(STR("{\"u\":18446744073709551615,\"i\":-3,\"r\":1.5,\"s\":\"a\\u0000b\",\"n\":null,"
                       "\"b\":true,\"l\":[1,2,3]}"),
                   0, &d, &e),
        ST_OK);
    const struct json_val *root = json_root(d);
    uint64_t u;
    int64_t i;
    double r;
    bool b;
    struct str s;
    assert_true(json_u64(json_get(root, STR("u")), &u) && u == UINT64_MAX);
    assert_false(json_i64(json_get(root, STR("u")), &i));
    assert_true(json_i64(json_get(root, STR("i")), &i) && i == -3);
    assert_false(json_u64(json_get(root, STR("i")), &u) || json_u64(json_get(root, STR("r")), &u));
    assert_true(json_f64(json_get(root, STR("r")), &r) && r == 1.5);
    assert_true(json_str(json_get(root, STR("s")), &s) && s.n == 3);
    assert_true(json_bool(json_get(root, STR("b")), &b) && b);
    assert_true(json_is(json_get(root, STR("n")), JSON_NULL));
    assert_null(json_get(root, STR("missing")));
    assert_null(json_get(NULL, STR("x")));
    assert_int_equal(json_len(json_get(root, STR("l"))), 3);
    struct json_iter it = json_iter(json_get(root, STR("l")));
    const struct json_val *v;
    uint64_t sum = 0;
    while ((v = json_next(&it, NULL)) && json_u64(v, &u))
        sum += u;
    assert_int_equal(sum, 6);
    json_free(d);
}

static void expect_f32(float x, const char *want)
{
    struct buf b;
    struct json_writer w;
    buf_init(&b, 100);
    jw_init(&w, &b);
    jw_f32(&w, x);
    buf_put_char(&b, '\0');
    assert_string_equal(b.p, want);
    buf_fini(&b);
}

static void test_floats(void **state)
{
    (void)state;
    expect_f32(0.1f, "0.1");
    expect_f32(1, "1.0");
    expect_f32(-0.34f, "-0.34");
    expect_f32(0, "0.0");
    expect_f32(1e-7f, "1e-7");
    expect_f32(1.5e-5f, "0.000015");
    expect_f32(123456789.0f, "123456790.0");
    expect_f32(1e16f, "1e16");
    expect_f32(-1.2345678f, "-1.2345678");
    expect_f32(16777216, "16777216.0");
    expect_f32(0x1p-149f, "1e-45");
    expect_f32(3.4028235e38f, "3.4028235e38");
    expect_f32(8.5899346e9f, "8589935000.0"); /* 2^33: nearer to its neighbour below than to the one above */
    expect_f32(NAN, "null");
    expect_f32(-INFINITY, "null");
}

static void test_writer(void **state)
{
    (void)state;
    struct buf b;
    struct json_writer w;
    struct json_doc *d;
    struct err e;
    buf_init(&b, 1000);
    jw_init(&w, &b);
    jw_object(&w);
    jw_key(&w, "a");
    jw_array(&w);
    jw_u64(&w, 1);
    jw_str(&w, STR("q\"\\\n\x01\xff é"));
    jw_object(&w);
    jw_end_object(&w);
    jw_null(&w);
    jw_end_array(&w);
    jw_key(&w, "b");
    jw_f64(&w, 0.30000000000000004);
    jw_key(&w, "c");
    jw_cstr(&w, NULL);
    jw_end_object(&w);
    buf_put_char(&b, '\0');
    assert_string_equal(
        b.p,
        "{\"a\":[1,\"q\\\"\\\\\\n\\u0001\xef\xbf\xbd é\",{},null],\"b\":0.30000000000000004,\"c\":null}");
    assert_int_equal(json_parse(str_from(b.p), 0, &d, &e), ST_OK);
    json_free(d);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_duplicates_in_large_objects),
        cmocka_unit_test(test_refused_text_of_json_kin),
        cmocka_unit_test(test_duplicates_at_every_size),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_wrong_kinds),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

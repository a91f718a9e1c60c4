/* Numbers as serde_json reads them: expected values are its own. */
#include "json/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct json_doc *doc_of(const char *number, enum status *st)
{
    struct json_doc *d = NULL;
    struct err e;
    *st = json_parse(str_from(number), JSON_SERDE_NUMBERS, &d, &e);
    return d;
}

static void test_reals(void **state)
{
    static const struct {
        const char *text;
        double value;
    } rows[] = {
        /* beside the nearest double */
        {"-9.351697027715877", -0x1.2b411a20047bap+3},
        {"-1.2196116846269973", -0x1.383878ab4adbfp+0},
        {"-0.9628377515578573", -0x1.ecf911dc97208p-1},
        {"6.603675624901910553545397e+255", 0x1.c25c0ba32b61bp+849},
        {"3.30046488396387148087e-36", 0x1.18c5c29a7e962p-118},
        {"9.02172787727288e-140", 0x1.1308ea30b264cp-462},
        /* the nearest */
        {"12.23104096879399", 0x1.8764b007a033fp+3},
        {"73037889488367775771503978091.25e+10", 0x1.12bcede160ca0p+129},
        {"-14.351390539048674455102627689", -0x1.cb3e975f2acfdp+3},
        {"-2.31921369187715343429E115", -0x1.2d5d5d8554743p+383},
        {"18446744073709551616", 0x1p+64},
        {"1e-400", 0},
        {"0e999999999999", 0},
        {"0.0e400", 0},
        {"1e-999999999999999999999", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum status st;
        struct json_doc *d = doc_of(rows[i].text, &st);
        double x;
        assert_int_equal(st, ST_OK);
        assert_int_equal(json_kind(json_root(d)), JSON_REAL);
        assert_true(json_f64(json_root(d), &x));
        if (x != rows[i].value)
            fail_msg("%s: %a, not %a", rows[i].text, x, rows[i].value);
        json_free(d);
    }
}

static void test_integers(void **state)
{
    (void)state;
    enum status st;
    uint64_t u;
    int64_t i;
    double x;
    struct json_doc *d = doc_of("18446744073709551615", &st);
    assert_true(json_u64(json_root(d), &u) && u == UINT64_MAX);
    json_free(d);
    d = doc_of("-9223372036854775808", &st);
    assert_true(json_i64(json_root(d), &i) && i == INT64_MIN);
    json_free(d);
    d = doc_of("-9223372036854775809", &st);
    assert_true(!json_i64(json_root(d), &i) && json_f64(json_root(d), &x) && x == -0x1p+63);
    json_free(d);
    d = doc_of("-0", &st);
    assert_true(!json_i64(json_root(d), &i) && json_f64(json_root(d), &x) && x == 0);
    json_free(d);
}

static void test_out_of_range(void **state)
{
    static const char *const rows[] = {"1e400", "-1e309", "1e99999999999999999999",
                                       "[1,{\"a\":12345678901e305}]"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum status st;
        doc_of(rows[i], &st);
        assert_int_equal(st, ST_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reals),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Log lines as they arrive on standard error. */
#include "base/log.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LOG_MODULE "test"

static char line[40000];

/* Standard error goes to a pipe while `message` is logged; the line is kept without its timestamp's digits.
 */
static void logged(struct log_options options, const char *message)
{
    int ends[2], terminal = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    log_init(&options);
    log_debug("never shown at this level");
    log_warn("%s", message);
    assert_true(dup2(terminal, STDERR_FILENO) >= 0);
    close(terminal);
    close(ends[1]);
    ssize_t n = read(ends[0], line, sizeof line - 1);
    close(ends[0]);
    assert_true(n > 0);
    line[n] = '\0';
    assert_ptr_equal(strchr(line, '\n'), line + n - 1); /* one line */
    for (char *p = line; p < line + n && p < line + 40; p++)
        if (*p >= '0' && *p <= '9')
            *p = '9';
}

static void test_text(void **state)
{
    (void)state;
    logged((struct log_options){.level = LOG_INFO}, "a \"b\" \xc3\xa9\n\x1b[31m\x7f");
    assert_string_equal(line,
                        "9999-99-99T99:99:99.999Z  WARN test: a \"b\" \xc3\xa9\\u000a\\u001b[31m\\u007f\n");
}

static void test_json(void **state)
{
    (void)state;
    logged((struct log_options){.level = LOG_INFO, .json = true}, "a \"b\" \\ \xc3\xa9\n");
    assert_string_equal(
        line,
        "{\"timestamp\":\"9999-99-99T99:99:99.999Z\",\"level\":\"WARN\","
        "\"message\":\"a \\\"b\\\" \\\\ \xc3\xa9\\u000a\","
        "\"fields\":{\"message\":\"a \\\"b\\\" \\\\ \xc3\xa9\\u000a\"},\"target\":\"prompteur::test\"}\n");
}

/* Bytes that are no UTF-8, and controls that terminals obey though they are two bytes long. */
static void test_hostile_bytes(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        logged((struct log_options){.level = LOG_INFO, .json = json}, "x\xff\xe2\x82y\xc2\x9b"
                                                                      "31m");
        assert_true(utf8_valid(str_from(line)));
        assert_non_null(strstr(line, "x\xef\xbf\xbd\xef\xbf\xbdy\\u009b31m"));
    }
}

static void test_a_long_message_is_cut(void **state)
{
    (void)state;
    char text[9000];
    for (size_t lead = 0; lead < 3; lead++) {
        memset(text, 'x', lead);
        for (size_t i = lead; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        logged((struct log_options){.level = LOG_INFO, .json = true}, text);
        assert_true(utf8_valid(str_from(line)));
        assert_true(str_has_suffix(str_from(line), STR("\"target\":\"prompteur::test\"}\n")));
    }
    memset(text, 1, sizeof text - 1); /* each becomes six bytes */
    text[sizeof text - 1] = '\0';
    logged((struct log_options){.level = LOG_INFO, .json = true}, text);
    assert_true(str_has_suffix(str_from(line), STR("\\u0001\"},\"target\":\"prompteur::test\"}\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_hostile_bytes),
        cmocka_unit_test(test_a_long_message_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Chat templates through their C interface: whose fault an error is, limits, what stays in the caller's
 * hands. What templates must give is tested against jinja2 itself, in tests/golden/test_templates.py. */
#include "text/template.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct result {
    enum status st;
    struct err e;
    struct buf out;
};

static struct chat_template *compile(const char *source)
{
    struct chat_template *t = NULL;
    struct err e = {0};
    if (chat_template_compile(str_from(source), &t, &e) != ST_OK)
        fail_msg("%s", e.text);
    return t;
}

static void render_in(const char *source, const struct template_context *ctx, size_t max_out,
                      struct result *r)
{
    struct chat_template *t = compile(source);
    memset(&r->e, 0, sizeof r->e);
    buf_init(&r->out, max_out);
    buf_put_str(&r->out, STR("before|"));
    r->st = chat_template_render(t, ctx, &r->out, &r->e);
    chat_template_free(t);
}

static void expect(const char *source, const struct template_context *ctx, enum status st, const char *out,
                   const char *error)
{
    struct result r;
    render_in(source, ctx, 1u << 20, &r);
    assert_int_equal(r.st, st);
    assert_int_equal(r.out.n, strlen(out) + 7);
    assert_memory_equal(r.out.p, "before|", 7);
    assert_memory_equal(r.out.p + 7, out, strlen(out));
    if (error)
        assert_string_equal(r.e.text, error);
    buf_fini(&r.out);
}

static void expect_invalid(const char *source, enum status st, const char *error)
{
    struct chat_template *t = NULL;
    struct err e = {0};
    assert_int_equal(chat_template_compile(str_from(source), &t, &e), st);
    assert_string_equal(e.text, error);
    assert_null(t);
}

static const struct template_context nothing;

static void syntax_errors_name_the_line(void **state)
{
    (void)state;
    expect_invalid("a\n{% if x %}\n{{ y }", ST_INVALID, "chat template, line 3: unexpected '}'");
    expect_invalid("{{ 1|nope }}", ST_INVALID, "chat template, line 1: No filter named 'nope'.");
    expect_invalid("\n{{ 1 is nope }}", ST_INVALID, "chat template, line 2: No test named 'nope'.");
    expect_invalid("{% include 'x' %}", ST_UNSUPPORTED,
                   "chat template, line 1: the tag 'include' is not supported: a chat template is one file "
                   "without escaping");
    expect_invalid("\xff", ST_INVALID, "the chat template is not UTF-8");
}

static void errors_say_whose_fault_it_is(void **state)
{
    (void)state;
    expect("a{{ 1 }}", &nothing, ST_OK, "a1", NULL);
    expect("a\n{{ raise_exception('no \xc3\xa9') }}", &nothing, ST_INVALID, "no \xc3\xa9", "no \xc3\xa9");
    expect("a\n{{ x.y }}", &nothing, ST_UNSUPPORTED, "", "chat template, line 2: 'x' is undefined");
    expect("{% if 1 %}\n{{ 1|nope }}{% endif %}", &nothing, ST_UNSUPPORTED, "",
           "chat template, line 2: No filter named 'nope' found.");
    expect("{{ 'a' * 10 ** 12 }}", &nothing, ST_LIMIT, "", NULL);
}

/* The text of an error is cut; the message in the buffer is whole. */
static void raised_message_is_whole(void **state)
{
    struct result r;
    (void)state;
    render_in("{{ raise_exception('m' * 5000) }}", &nothing, 1u << 20, &r);
    assert_int_equal(r.st, ST_INVALID);
    assert_int_equal(r.out.n, 5007);
    assert_true(strlen(r.e.text) < ERR_TEXT_MAX);
    buf_fini(&r.out);
}

static void variables_come_from_the_caller(void **state)
{
    struct json_doc *doc;
    struct err e = {0};
    (void)state;
    assert_int_equal(json_parse(STR("{\"a\":[1,{\"b\":null}],\"c\":18446744073709551615}"), 0, &doc, &e),
                     ST_OK);
    struct template_var vars[] = {
        {.name = STR("v"), .json = json_root(doc)},
        {.name = STR("s"), .text = STR("text"), .is_text = true},
        {.name = STR("absent")},
        {.name = STR("s"), .text = STR("later"), .is_text = true},
    };
    struct template_context ctx = {
        .vars = vars, .n_vars = 4, .now = {.tm_year = 124, .tm_mon = 6, .tm_mday = 26}, .now_us = 7};
    expect("{{ v }}|{{ s }}|{{ absent is none }}|{{ strftime_now('%d %b %Y %f') }}", &ctx, ST_OK,
           "{'a': [1, {'b': None}], 'c': 18446744073709551615}|later|True|26 Jul 2024 000007", NULL);
    json_free(doc);
}

static void limits_hold(void **state)
{
    static const char loop[] = "{% for i in range(1000) %}{{ i }}{% endfor %}";
    struct template_context few = {.max_steps = 100}, enough = {.max_steps = 100000};
    struct template_context small = {.max_memory_bytes = 1u << 16};
    struct result r;
    (void)state;
    expect(loop, &few, ST_LIMIT, "", "chat template, line 1: more steps than a render may take");
    render_in(loop, &enough, 1u << 20, &r);
    assert_int_equal(r.st, ST_OK);
    buf_fini(&r.out);
    expect("{{ 'a' * 100000 }}", &small, ST_LIMIT, "",
           "chat template, line 1: more memory than the 65536 bytes that a render may take");
    render_in(loop, &nothing, 100, &r);
    assert_int_equal(r.st, ST_LIMIT);
    assert_int_equal(r.out.n, 7);
    buf_fini(&r.out);
    expect("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", &nothing, ST_LIMIT, "", NULL);
}

/* ---- one template, many threads ---- */

static void *render_often(void *template)
{
    for (int i = 0; i < 200; i++) {
        struct buf out;
        buf_init(&out, 1u << 16);
        if (chat_template_render(template, &nothing, &out, NULL) != ST_OK ||
            !str_eq(buf_str(&out), STR("0a1a2a")))
            abort();
        buf_fini(&out);
    }
    return NULL;
}

static void threads_share_a_template(void **state)
{
    pthread_t thread[4];
    (void)state;
    struct chat_template *t =
        compile("{% macro m(x) %}{{ x }}a{% endmacro %}{% for i in range(3) %}{{ m(i) }}{% endfor %}");
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, render_often, t), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    chat_template_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syntax_errors_name_the_line),
        cmocka_unit_test(errors_say_whose_fault_it_is),
        cmocka_unit_test(raised_message_is_whole),
        cmocka_unit_test(variables_come_from_the_caller),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(threads_share_a_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

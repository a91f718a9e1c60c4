/* Options: which source wins, what counts as the default, other names, levels. */
#include "app/log_setup.h"
#include "app/options_int.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct options o;
static struct err e;

#define PARSE(...)                                                                                           \
    parse((int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__}, false)

static enum status parse(int argc, char **argv, bool takes_model)
{
    options_fini(&o);
    enum status st = options_parse(argc, argv, takes_model, &o, &e);
    return st == ST_OK ? options_check(&o, &e) : st;
}

static int clean(void **state)
{
    (void)state;
    clearenv();
    return 0;
}

static void assert_says(const char *words)
{
    if (!strstr(e.text, words))
        print_message("`%s` is not in: %s\n", words, e.text);
    assert_non_null(strstr(e.text, words));
}

static bool warned(const char *words)
{
    buf_put_char(&o.warnings, '\0');
    return strstr(o.warnings.p, words) != NULL;
}

static void test_flag_beats_environment_beats_default(void **state)
{
    (void)state;
    assert_int_equal(parse(0, NULL, false), ST_OK);
    assert_int_equal(option_u64(&o, OPT_MAX_BEST_OF, 0), 2);
    setenv("MAX_BEST_OF", "7", 1);
    assert_int_equal(parse(0, NULL, false), ST_OK);
    assert_int_equal(option_u64(&o, OPT_MAX_BEST_OF, 0), 7);
    assert_int_equal(PARSE("--max-best-of=9"), ST_OK);
    assert_int_equal(option_u64(&o, OPT_MAX_BEST_OF, 0), 9);
    setenv("MAX_BEST_OF", "many", 1);
    assert_int_equal(PARSE("--max-best-of", "9"), ST_OK); /* hides what is wrong with the variable */
    assert_int_equal(parse(0, NULL, false), ST_INVALID);
    assert_says("environment variable MAX_BEST_OF: `many`");
}

static void test_an_empty_variable_is_set(void **state)
{
    (void)state;
    setenv("PORT", "", 1);
    assert_int_equal(parse(0, NULL, false), ST_INVALID);
    unsetenv("PORT");
    setenv("JSON_OUTPUT", "", 1);
    assert_int_equal(parse(0, NULL, false), ST_INVALID);
    unsetenv("JSON_OUTPUT");
    setenv("LORA_ADAPTERS", "", 1); /* a text that asks for nothing */
    assert_int_equal(parse(0, NULL, false), ST_OK);
    setenv("API_KEY", "", 1); /* open to all, or to nobody? */
    assert_int_equal(parse(0, NULL, false), ST_INVALID);
    assert_says("`api_key` is empty");
}

static void test_the_default_in_other_words_is_the_default(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--sharded", "0", "--num-shard", "01"), ST_OK);
    assert_int_equal(o.warnings.n, 0);
    assert_int_equal(PARSE("--waiting-served-ratio", "0.30", "--cuda-graphs", "0"), ST_OK);
    assert_int_equal(o.warnings.n, 0);
    assert_int_equal(PARSE("--waiting-served-ratio", "1.2"), ST_OK);
    assert_true(warned("--waiting-served-ratio has no effect here"));
    assert_int_equal(PARSE("--num-shard", "2"), ST_UNSUPPORTED);
}

static void test_lists_grow_and_replace(void **state)
{
    (void)state;
    setenv("CORS_ALLOW_ORIGIN", "http://env", 1);
    assert_int_equal(parse(0, NULL, false), ST_OK);
    assert_int_equal(o.value[OPT_CORS_ALLOW_ORIGIN].n_list, 1);
    assert_int_equal(PARSE("--cors-allow-origin", "http://a", "--cors-allow-origin=http://b"), ST_OK);
    assert_int_equal(o.value[OPT_CORS_ALLOW_ORIGIN].n_list, 2);
    assert_string_equal(o.value[OPT_CORS_ALLOW_ORIGIN].list[1], "http://b");
}

static void test_other_platforms_names(void **state)
{
    (void)state;
    setenv("HF_MODEL_ID", "theirs", 1);
    setenv("HF_AUTO_CAST_TYPE", "fp16", 1);
    setenv("HF_SEQUENCE_LENGTH", "512", 1);
    setenv("PORT", "80", 1);
    assert_int_equal(parse(0, NULL, false), ST_OK);
    assert_string_equal(option_text(&o, OPT_MODEL_ID), "theirs");
    assert_string_equal(option_text(&o, OPT_DTYPE), "float16");
    assert_int_equal(option_u64(&o, OPT_MAX_TOTAL_TOKENS, 0), 512);
    assert_int_equal(option_u64(&o, OPT_PORT, 0), 8080);
    assert_int_equal(PARSE("-p", "81"), ST_OK);
    assert_int_equal(option_u64(&o, OPT_PORT, 0), 81);
    setenv("MODEL_ID", "ours", 1);
    assert_int_equal(parse(0, NULL, false), ST_OK);
    assert_string_equal(option_text(&o, OPT_MODEL_ID), "ours");
    assert_int_equal(option_u64(&o, OPT_PORT, 0), 80);
    setenv("AIP_HTTP_PORT", "9090", 1);
    assert_int_equal(PARSE("--port", "81"), ST_OK);
    assert_int_equal(option_u64(&o, OPT_PORT, 0), 9090);
}

static void test_a_model_in_front(void **state)
{
    (void)state;
    assert_int_equal(parse(2, (char *[]){"folder", "--json-output"}, true), ST_OK);
    assert_string_equal(option_text(&o, OPT_MODEL_ID), "folder");
    assert_int_equal(parse(3, (char *[]){"folder", "--model-id", "other"}, true), ST_INVALID);
    assert_int_equal(parse(1, (char *[]){"folder"}, false), ST_INVALID);
    assert_says("unexpected argument `folder`");
}

static void test_levels(void **state)
{
    (void)state;
    static const struct {
        const char *filter;
        enum log_level level;
        bool found;
    } cases[] = {
        {"warn", LOG_WARN, true},
        {"INFO", LOG_INFO, true},
        {"info,text_generation_router=debug", LOG_DEBUG, true},
        {"text_generation_router=debug,error", LOG_DEBUG, true},
        {"debug,text_generation_launcher=error,text_generation_router=warn", LOG_WARN, true},
        {"error,hyper=debug", LOG_ERROR, true},
        {"prompteur::http=trace", LOG_DEBUG, true},
        {" debug , h2=off ", LOG_DEBUG, true},
        {"off", LOG_ERROR, true},
        {"loud", LOG_INFO, false},
        {"", LOG_INFO, false},
        {",,=,", LOG_INFO, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum log_level level;
        assert_int_equal(log_level_from(str_from(cases[i].filter), &level), cases[i].found);
        assert_int_equal(level, cases[i].level);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_flag_beats_environment_beats_default, clean),
        cmocka_unit_test_setup(test_an_empty_variable_is_set, clean),
        cmocka_unit_test_setup(test_the_default_in_other_words_is_the_default, clean),
        cmocka_unit_test_setup(test_lists_grow_and_replace, clean),
        cmocka_unit_test_setup(test_other_platforms_names, clean),
        cmocka_unit_test_setup(test_a_model_in_front, clean),
        cmocka_unit_test_setup(test_levels, clean),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    options_fini(&o);
    return failed;
}

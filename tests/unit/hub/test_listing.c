/* What the hub's JSON says, and which of its files are needed. */
#include "hub/hub_int.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static int set_up(void **state)
{
    static struct arena a;
    arena_init(&a, 1 << 20);
    *state = &a;
    return 0;
}

static int tear_down(void **state)
{
    arena_fini(*state);
    return 0;
}

static void test_a_listing(void **state)
{
    struct listing l;
    struct err e;
    assert_int_equal(
        listing_parse(STR("{\"sha\":\"" COMMIT "\",\"other\":[{}],\"siblings\":[{\"rfilename\":\"b/c.json\"},"
                          "{\"rfilename\":\"a.txt\",\"size\":-1}]}"),
                      *state, &l, &e),
        ST_OK);
    assert_string_equal(l.commit, COMMIT);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.path[0].p, "a.txt");
    assert_string_equal(l.path[1].p, "b/c.json");
}

static void test_listings_that_are_none(void **state)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"sha\":\"main\",\"siblings\":[]}",
        "{\"sha\":\"" COMMIT "\"}",
        "{\"sha\":\"" COMMIT "\",\"siblings\":{}}",
        "{\"sha\":\"" COMMIT "\",\"siblings\":[1]}",
        "{\"sha\":\"" COMMIT "\",\"siblings\":[{\"rfilename\":null}]}",
        "{\"sha\":\"" COMMIT "\",\"siblings\":[{\"rfilename\":\"../x\"}]}",
        "{\"sha\":\"" COMMIT "\",\"siblings\":[{\"rfilename\":\"/x\"}]}",
        "{\"sha\":\"" COMMIT "\",\"siblings\":[{\"rfilename\":\"a\\u0000b\"}]}",
    };
    struct listing l;
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(listing_parse(str_from(bad[i]), *state, &l, &e), ST_INVALID);
}

static void test_an_index(void **state)
{
    struct str *file;
    size_t n;
    struct err e;
    assert_int_equal(
        index_files(STR("{\"weight_map\":{\"a\":\"2\",\"b\":\"1\",\"c\":\"2\",\"d\":\"2\",\"e\":\"1\"}}"),
                    *state, &file, &n, &e),
        ST_OK);
    assert_int_equal(n, 2);
    assert_string_equal(file[0].p, "1");
    assert_string_equal(file[1].p, "2");
    static const char *const bad[] = {"",
                                      "{}",
                                      "{\"weight_map\":{}}",
                                      "{\"weight_map\":[\"a\"]}",
                                      "{\"weight_map\":{\"a\":1}}",
                                      "{\"weight_map\":{\"a\":\"../b\"}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(index_files(str_from(bad[i]), *state, &file, &n, &e), ST_INVALID);
}

static void test_needed_files(void **state)
{
    (void)state;
    static const char *const needed[] = {"config.json",          "generation_config.json",
                                         "tokenizer.json",       "vocab.txt",
                                         "merges.txt",           "tokenizer.model",
                                         "tokenizer.model.v3",   "tekken.json",
                                         "chat_template.jinja",  "qwen.tiktoken",
                                         "quantize_config.json", "additional_chat_templates/tool_use.jinja"};
    static const char *const others[] = {"README.md",
                                         ".hidden.json",
                                         "model.safetensors",
                                         "onnx/config.json",
                                         "model.safetensors.index.json",
                                         "flax_model.msgpack.index.json",
                                         "additional_chat_templates/x.py",
                                         "modeling_x.py",
                                         "model.gguf",
                                         "LICENSE.txt"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        assert_true(is_needed_config(str_from(needed[i])));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(is_needed_config(str_from(others[i])));
}

/* `names` and `chosen`: apart by spaces, in name order. */
static void check_choice(const char *names, const char *index, const char *chosen)
{
    struct str path[16], out[16];
    struct listing l = {.path = path};
    for (const char *p = names; *p; p += strspn(p, " ")) {
        path[l.n++] = (struct str){p, strcspn(p, " ")};
        p += strcspn(p, " ");
    }
    assert_true(str_eq(choose_index(&l), str_from(index)));
    if (*index)
        return;
    size_t n = choose_weights(&l, out);
    for (size_t i = 0; i < n; i++) {
        size_t len = strcspn(chosen, " ");
        assert_true(str_eq(out[i], (struct str){chosen, len}));
        chosen += len + (chosen[len] == ' ');
    }
    assert_string_equal(chosen, "");
}

static void test_choices(void **state)
{
    (void)state;
    check_choice("model.safetensors model.safetensors.index.json pytorch_model.bin", "", "model.safetensors");
    check_choice("a.safetensors model.safetensors.index.json", "model.safetensors.index.json", "");
    check_choice("a.safetensors b.safetensors my_args.safetensors sub/c.safetensors", "",
                 "a.safetensors b.safetensors");
    check_choice("a.safetensors pytorch_model.bin.index.json", "", "a.safetensors");
    check_choice("pytorch_model.bin pytorch_model.bin.index.json training_args.bin", "", "pytorch_model.bin");
    check_choice("a.bin pytorch_model.bin.index.json", "pytorch_model.bin.index.json", "");
    check_choice("a.bin b.bin optimizer.bin scheduler.bin", "", "a.bin b.bin");
    check_choice("config.json model.gguf", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_listing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_listings_that_are_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_index, set_up, tear_down),
        cmocka_unit_test(test_needed_files),
        cmocka_unit_test(test_choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tokenizers from every kind of vocabulary file and the files beside it, against what transformers made of
 * the same folders (tests/data/make_sources.py); and what is refused. */
#include "text/tokenizer.h"
#include "json/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DATA "tests/data/sources"

/* ---- folders ---- */

static void shell(const char *fmt, const char *argument)
{
    char command[2048];
    snprintf(command, sizeof command, "%s'%s'", fmt, argument);
    assert_int_equal(system(command), 0);
}

static char *folder_new(void)
{
    char name[] = "/tmp/prompteur-sources-XXXXXX";
    assert_non_null(mkdtemp(name));
    return strdup(name);
}

static void folder_free(char *folder)
{
    shell("rm -r ", folder);
    free(folder);
}

static void folder_put(const char *folder, const char *name, struct str content)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (strchr(name, '/')) {
        char dir[1024];
        snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
        shell("mkdir -p ", dir);
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(content.p, 1, content.n, f), content.n);
    assert_int_equal(fclose(f), 0);
}

static void folder_copy(const char *folder, const char *name, struct str from)
{
    char path[1024];
    struct buf content;
    struct err e;
    snprintf(path, sizeof path, DATA "/" STR_FMT, STR_ARG(from));
    buf_init(&content, 1u << 20);
    if (buf_read_file(&content, path, &e) != ST_OK)
        fail_msg("%s", e.text);
    folder_put(folder, name, buf_str(&content));
    buf_fini(&content);
}

/* {"copy": file}, a text, or a JSON value. */
static void folder_fill(const char *folder, const struct json_val *files)
{
    struct json_iter it = json_iter(files);
    const struct json_val *item;
    struct str key, text;
    while ((item = json_next(&it, &key))) {
        char name[128];
        snprintf(name, sizeof name, STR_FMT, STR_ARG(key));
        if (json_len(item) == 1 && json_str(json_get(item, STR("copy")), &text)) {
            folder_copy(folder, name, text);
        } else if (json_str(item, &text)) {
            folder_put(folder, name, text);
        } else {
            struct buf json;
            struct json_writer w;
            buf_init(&json, 1u << 20);
            jw_init(&w, &json);
            jw_value(&w, item);
            folder_put(folder, name, buf_str(&json));
            buf_fini(&json);
        }
    }
}

/* ---- comparing ---- */

static bool ids_equal(const struct json_val *expected, const struct tokens *got)
{
    struct json_iter it = json_iter(expected);
    const struct json_val *item;
    int64_t id;
    size_t i = 0;
    while ((item = json_next(&it, NULL)))
        if (i == got->n || !json_i64(item, &id) || got->ids[i++] != id)
            return false;
    return i == got->n;
}

static unsigned check_text(const struct tokenizer *t, const char *name, const struct json_val *record)
{
    struct str text, decoded, skipped;
    struct tokens with, plain;
    struct buf out, clean;
    struct err e;
    unsigned bad = 0;
    assert_true(json_str(json_get(record, STR("text")), &text));
    if (tokenizer_encode(t, text, TOKENIZER_ADD_SPECIAL, &with, &e) != ST_OK ||
        tokenizer_encode(t, text, 0, &plain, &e) != ST_OK)
        fail_msg("%s: %s", name, e.text);
    bad += !ids_equal(json_get(record, STR("ids")), &with);
    bad += !ids_equal(json_get(record, STR("plain")), &plain);
    buf_init(&out, 1u << 20);
    buf_init(&clean, 1u << 20);
    tokenizer_decode(t, with.ids, with.n, false, &out);
    if (json_str(json_get(record, STR("decoded")), &decoded))
        bad += !str_eq(decoded, buf_str(&out));
    buf_clear(&out);
    tokenizer_decode(t, with.ids, with.n, true, &out);
    if (tokenizer_cleans_up(t))
        tokenizer_clean_up(buf_str(&out), &clean);
    assert_true(json_str(json_get(record, STR("skipped")), &skipped));
    bad += !str_eq(skipped, tokenizer_cleans_up(t) ? buf_str(&clean) : buf_str(&out));
    if (bad)
        print_error("%s: %u differences for `" STR_FMT "`\n", name, bad, STR_ARG(text));
    buf_fini(&out);
    buf_fini(&clean);
    tokens_fini(&with);
    tokens_fini(&plain);
    return bad;
}

static unsigned check_special(const struct tokenizer *t, const struct json_val *expected)
{
    struct json_iter it = json_iter(expected);
    const struct json_val *item;
    struct str name, text, found_name, found_text;
    unsigned bad = 0;
    size_t i = 0;
    for (; (item = json_next(&it, NULL)); i++) {
        assert_true(json_str(json_at(item, 0), &name) && json_str(json_at(item, 1), &text));
        bad += !tokenizer_special(t, i, &found_name, &found_text) || !str_eq(name, found_name) ||
               !str_eq(text, found_text);
        bad += !str_eq(tokenizer_special_text(t, name), text) ||
               tokenizer_special_id(t, name) != tokenizer_token_id(t, text);
    }
    return bad + tokenizer_special(t, i, &name, &text);
}

static unsigned check_added(const struct tokenizer *t, const struct json_val *expected)
{
    struct json_iter it = json_iter(expected);
    const struct json_val *item;
    struct str text;
    int64_t id;
    bool special;
    unsigned bad = 0;
    while ((item = json_next(&it, NULL))) {
        assert_true(json_i64(json_at(item, 0), &id) && json_str(json_at(item, 1), &text) &&
                    json_bool(json_at(item, 2), &special));
        bad += tokenizer_token_id(t, text) != id || tokenizer_is_special(t, (int32_t)id) != special;
    }
    return bad;
}

static unsigned check_templates(const struct tokenizer *t, const struct json_val *expected)
{
    struct json_iter it = json_iter(expected);
    const struct json_val *item;
    struct str key, text;
    unsigned bad = 0;
    size_t n = 0;
    while (tokenizer_template_at(t, n, &key, &text))
        n++;
    bad += n != json_len(expected);
    while ((item = json_next(&it, &key)))
        bad += !json_str(item, &text) || !str_eq(tokenizer_template(t, key), text);
    return bad;
}

static unsigned check_case(const struct json_val *record)
{
    char *folder = folder_new(), name[128];
    struct tokenizer *t;
    struct str text;
    struct err e;
    assert_true(json_str(json_get(record, STR("name")), &text));
    snprintf(name, sizeof name, STR_FMT, STR_ARG(text));
    folder_fill(folder, json_get(record, STR("files")));
    enum status st = tokenizer_open(folder, &t, &e);
    folder_free(folder);
    if (st != ST_OK) {
        print_error("%s: %s\n", name, e.text);
        return 1;
    }
    unsigned bad = 0;
    bad += check_special(t, json_get(record, STR("special")));
    bad += check_added(t, json_get(record, STR("added")));
    bad += check_templates(t, json_get(record, STR("templates")));
    if (bad)
        print_error("%s: %u differences of special tokens or templates\n", name, bad);
    struct json_iter it = json_iter(json_get(record, STR("texts")));
    const struct json_val *item;
    while ((item = json_next(&it, NULL)))
        bad += check_text(t, name, item);
    tokenizer_free(t);
    return bad;
}

static void test_cases(void **state)
{
    (void)state;
    struct buf file;
    struct err e;
    unsigned bad = 0, n = 0;
    buf_init(&file, 16u << 20);
    if (buf_read_file(&file, DATA "/cases.jsonl", &e) != ST_OK)
        fail_msg("%s", e.text);
    for (size_t at = 0; at < file.n; n++) {
        size_t end = str_find(buf_str(&file), STR("\n"), at);
        struct json_doc *doc;
        if (json_parse((struct str){file.p + at, end - at}, 0, &doc, &e) != ST_OK)
            fail_msg("%s", e.text);
        bad += check_case(json_root(doc));
        json_free(doc);
        at = end + 1;
    }
    buf_fini(&file);
    print_message("%u folders, %u differences\n", n, bad);
    assert_true(n > 50);
    assert_int_equal(bad, 0);
}

/* ---- refusals and files alone ---- */

static void expect_refusal(const char *name, struct str content, const char *config, enum status status,
                           const char *says)
{
    char *folder = folder_new();
    struct tokenizer *t;
    struct err e;
    if (name)
        folder_put(folder, name, content);
    if (config)
        folder_put(folder, "tokenizer_config.json", str_from(config));
    enum status st = tokenizer_open(folder, &t, &e);
    folder_free(folder);
    assert_int_equal(st, status);
    assert_null(t);
    if (!strstr(e.text, says))
        fail_msg("`%s` does not say `%s`", e.text, says);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char bert[] = "{\"tokenizer_class\":\"BertTokenizer\"}";
    expect_refusal(NULL, STR(""), NULL, ST_NOT_FOUND, "has no tokenizer.json");
    expect_refusal("tokenizer.json", STR("{"), NULL, ST_INVALID, "tokenizer.json");
    expect_refusal("tokenizer.json", STR("{}"), "[", ST_INVALID, "tokenizer_config.json");
    expect_refusal("spiece.model", STR("x"), "{\"tokenizer_class\":\"AlbertTokenizer\"}", ST_UNSUPPORTED,
                   "AlbertTokenizer");
    expect_refusal("tokenizer.model", STR("neither"), bert, ST_INVALID, "tokenizer.model");
    expect_refusal("tokenizer.model", STR("\x0a\x06\x0a\x01\x61\x18\x01\x00\x12\x02\x18\x03"), NULL,
                   ST_INVALID, "SentencePiece");
    expect_refusal("tokenizer.model", STR("\x0a\x05\x0a\x01\x61\x18\x01\x12\x02\x18\x03"), NULL,
                   ST_UNSUPPORTED, "words or characters");
    expect_refusal("tokenizer.model", STR("\x0a\x05\x0a\x01\x61\x18\x01"), bert, ST_UNSUPPORTED,
                   "does not read SentencePiece");
    expect_refusal("tokenizer.model", STR("\x0a\x7f\x0a\x01\x61"), NULL, ST_INVALID, "SentencePiece");
    expect_refusal("vocab.json", STR("{\"a\":0}"), "{\"tokenizer_class\":\"GPT2Tokenizer\"}", ST_NOT_FOUND,
                   "merges.txt");
    expect_refusal("tekken.json", STR("{\"vocab\":[]}"), NULL, ST_INVALID, "config.pattern");
    expect_refusal("tiktoken.model", STR("YQ== 0\n? 1\n"), NULL, ST_INVALID, "base64");
    expect_refusal("tiktoken.model", STR("YQ==\n"), NULL, ST_INVALID, "line 1");
    expect_refusal("tokenizer.json", STR("{}"), "{\"added_tokens_decoder\":{\"x\":{\"content\":\"a\"}}}",
                   ST_INVALID, "added_tokens_decoder");
    expect_refusal("tokenizer.json", STR("{}"), "{\"chat_template\":[{\"name\":\"a\"}]}", ST_INVALID,
                   "chat_template");
    expect_refusal("tokenizer.json", STR("{}"), "{\"bos_token\":[]}", ST_INVALID, "bos_token");
    expect_refusal("tokenizer.json", STR("{}"), "[\"bos_token\"]", ST_INVALID, "model");
}

/* A vocabulary file by itself: its name and content say what it is. */
static void test_files_alone(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int32_t ids[8];
        size_t n;
    } files[] = {
        {"plain.json", "the", {0}, 0},
        {"tekken.json", "the", {0}, 0},
        {"ranks.tiktoken", NULL, {0}, 0},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        struct tokenizer *t;
        struct tokens tokens;
        struct err e;
        snprintf(path, sizeof path, DATA "/%s", files[i].name);
        enum status st = tokenizer_open(path, &t, &e);
        if (!files[i].text) { /* not JSON, and its name says nothing */
            assert_int_equal(st, ST_INVALID);
            continue;
        }
        if (st != ST_OK)
            fail_msg("%s", e.text);
        assert_int_equal(tokenizer_encode(t, str_from(files[i].text), 0, &tokens, &e), ST_OK);
        assert_true(tokens.n > 0);
        tokens_fini(&tokens);
        tokenizer_free(t);
    }
}

static void test_generation_config(void **state)
{
    (void)state;
    char *folder = folder_new();
    struct tokenizer *t;
    const int32_t *ids;
    struct err e;
    folder_copy(folder, "tokenizer.json", STR("plain.json"));
    folder_put(folder, "tokenizer_config.json",
               STR("{\"eos_token\":\"</"
                   "s>\",\"model_max_length\":512,\"tokenizer_class\":\"PreTrainedTokenizerFast\"}"));
    folder_put(folder, "generation_config.json", STR("{\"eos_token_id\":[2,7,9,7,-1,\"x\"]}"));
    assert_int_equal(tokenizer_open(folder, &t, &e), ST_OK);
    assert_int_equal(tokenizer_eos(t), 2);
    assert_int_equal(tokenizer_all_eos(t, &ids), 3);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 7);
    assert_int_equal(ids[2], 9);
    assert_int_equal(tokenizer_max_length(t), 512);
    tokenizer_free(t);
    folder_put(folder, "generation_config.json", STR("{\"eos_token_id\":5}"));
    folder_put(folder, "tokenizer_config.json", STR("{\"model_max_length\":1e30}"));
    folder_put(folder, "chat_template.json", STR("{\"chat_template\":\"of a processor\"}"));
    assert_int_equal(tokenizer_open(folder, &t, &e), ST_OK);
    assert_int_equal(tokenizer_eos(t), -1);
    assert_int_equal(tokenizer_all_eos(t, &ids), 1);
    assert_int_equal(ids[0], 5);
    assert_int_equal(tokenizer_max_length(t), 0);
    assert_true(str_eq(tokenizer_chat_template(t), STR("of a processor")));
    assert_int_equal(tokenizer_template(t, STR("rag")).n, 0);
    tokenizer_free(t);
    folder_free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_files_alone),
        cmocka_unit_test(test_generation_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every step of tokenizer.json, alone or two together, on small texts: ids, offsets and decoded text as the
 * tokenizers library gives them (tests/data/steps.jsonl), hostile patterns, and what is refused by name. */
#include "base/clock.h"
#include "text/tokenizer.h"
#include "json/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CASES "tests/data/steps.jsonl"

/* The line's tokenizer with the model that all of them share. */
static struct tokenizer *open_tokenizer(const struct json_val *tok, const struct json_val *model)
{
    struct json_iter it = json_iter(tok);
    const struct json_val *v;
    struct json_writer w;
    struct tokenizer *t;
    struct str name;
    struct err e = {0};
    struct buf json;
    buf_init(&json, 1u << 20);
    jw_init(&w, &json);
    jw_object(&w);
    while ((v = json_next(&it, &name))) {
        char key[32] = "";
        assert_true(name.n < sizeof key);
        memcpy(key, name.p, name.n);
        jw_key(&w, key);
        jw_value(&w, v);
    }
    jw_key(&w, "model");
    jw_value(&w, model);
    jw_end_object(&w);
    if (tokenizer_from_json(buf_str(&json), &t, &e) != ST_OK)
        fail_msg("%s", e.text);
    buf_fini(&json);
    return t;
}

static uint64_t number_at(const struct json_val *list, size_t i)
{
    uint64_t n = UINT64_MAX;
    assert_true(json_u64(json_at(list, i), &n));
    return n;
}

/* [text or null, ids, offsets, decoded] */
static bool case_holds(const struct tokenizer *t, const struct json_val *c)
{
    struct str text, want = STR("");
    struct tokens got = {0};
    struct err e = {0};
    struct buf decoded;
    const struct json_val *ids = json_at(c, 1), *offsets = json_at(c, 2);
    size_t n = json_len(ids);
    bool same = true, is_text = json_str(json_at(c, 0), &text);
    int32_t *list = calloc(n + 1, sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = (int32_t)number_at(ids, i);
    if (is_text) {
        unsigned flags = TOKENIZER_ADD_SPECIAL | TOKENIZER_CHAR_OFFSETS;
        assert_int_equal(tokenizer_encode(t, text, flags, &got, &e), ST_OK);
        same = got.n == n;
        for (size_t i = 0; i < n && same; i++)
            same = got.ids[i] == list[i] && got.start[i] == number_at(offsets, 2 * i) &&
                   got.stop[i] == number_at(offsets, 2 * i + 1);
        tokens_fini(&got);
    }
    buf_init(&decoded, 1u << 20);
    tokenizer_decode(t, list, n, true, &decoded);
    json_str(json_at(c, 3), &want);
    same = same && str_eq(buf_str(&decoded), want);
    buf_fini(&decoded);
    free(list);
    return same;
}

static void test_cases(void **state)
{
    struct json_doc *shared = NULL;
    struct buf file;
    struct err e = {0};
    unsigned n_cases = 0, n_failed = 0;
    (void)state;
    buf_init(&file, 1u << 24);
    assert_int_equal(buf_read_file(&file, CASES, &e), ST_OK);
    for (size_t at = 0, end; at < file.n; at = end + 1) {
        struct json_doc *doc;
        end = str_find(buf_str(&file), STR("\n"), at);
        assert_int_equal(json_parse((struct str){file.p + at, end - at}, 0, &doc, &e), ST_OK);
        if (!shared) {
            shared = doc;
            continue;
        }
        const struct json_val *tok = json_get(json_root(doc), STR("tok")), *c;
        struct tokenizer *t = open_tokenizer(tok, json_get(json_root(shared), STR("model")));
        struct json_iter it = json_iter(json_get(json_root(doc), STR("cases")));
        for (unsigned i = 0; (c = json_next(&it, NULL)); i++, n_cases++) {
            if (case_holds(t, c))
                continue;
            n_failed++;
            print_error("case %u of: %.*s\n", i, (int)(end - at < 300 ? end - at : 300), file.p + at);
        }
        tokenizer_free(t);
        json_free(doc);
    }
    json_free(shared);
    buf_fini(&file);
    assert_true(n_cases > 500);
    assert_int_equal(n_failed, 0);
}

#define WITH(part) "{" part ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}"
#define SPLIT(regex)                                                                                         \
    WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex                             \
         "\"},\"behavior\":\"Isolated\",\"invert\":false}")

static void test_refused(void **state)
{
    static const char *const bad[][2] = {
        {WITH("\"normalizer\":{\"type\":\"Foo\"}"), "`Foo`"},
        {WITH("\"pre_tokenizer\":{\"type\":\"Bar\"}"), "`Bar`"},
        {WITH("\"post_processor\":{\"type\":\"Baz\"}"), "`Baz`"},
        {WITH("\"decoder\":{\"type\":\"Qux\"}"), "`Qux`"},
        {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAA\"}"),
         "cannot be read"},
        {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////w==\"}"),
         "cannot be read"},
        {WITH("\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":0}"), "`length`"},
        {WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"), "`replacement`"},
        {SPLIT("(a"), "does not end"},
        {SPLIT("a)"), "opens nothing"},
        {SPLIT("[a"), "does not end"},
        {SPLIT("*a"), "nothing to repeat"},
        {SPLIT("(?~a)"), "not supported"},
        {SPLIT("(?i)stra\xc3\x9f"
               "e"),
         "several letters"},
        {SPLIT("\\\\p{Foo1}"), "foo1"},
        {SPLIT("\\\\g<a>"), "not supported"},
        {SPLIT("[[:foo:]]"), "[:foo:]"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tokenizer *t;
        struct err e = {0};
        if (tokenizer_from_json(str_from(bad[i][0]), &t, &e) == ST_OK)
            fail_msg("not refused: %s", bad[i][0]);
        if (!strstr(e.text, bad[i][1]))
            fail_msg("`%s` does not say `%s`", e.text, bad[i][1]);
    }
}

/* Matching a long text ends, in an error if need be. */
static void test_hostile_patterns(void **state)
{
    static const char *const patterns[] = {SPLIT("(a*)*b"), SPLIT("(a|aa)+b"), SPLIT("a*?b|."),
                                           SPLIT("(?=(a+))a*b\\\\1"), SPLIT("[a&&[^b]]+$")};
    size_t n = 300000;
    char *text = malloc(n);
    (void)state;
    memset(text, 'a', n);
    for (unsigned i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct tokenizer *t;
        struct tokens tokens;
        struct err e = {0};
        uint64_t begin = clock_ns();
        assert_int_equal(tokenizer_from_json(str_from(patterns[i]), &t, &e), ST_OK);
        enum status st = tokenizer_encode(t, (struct str){text, n}, 0, &tokens, &e);
        assert_true(st == ST_OK || st == ST_LIMIT);
        if (st == ST_OK)
            tokens_fini(&tokens);
        assert_true(clock_ns() - begin < 60000000000u);
        tokenizer_free(t);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_hostile_patterns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

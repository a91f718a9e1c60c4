/* Tokenizers on data of our own: the demo model's byte-level tokenizer and a small SentencePiece-style one.
 */
#include "text/stream.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEMO "models/demo/export"

/* ▁ is U+2581. Byte tokens for é (C3 A9) and newline; an added token that strips to its right. */
static const char spm[] =
    "{\"added_tokens\":[{\"id\":1,\"content\":\"<s>\",\"special\":true},{\"id\":2,\"content\":\"</"
    "s>\",\"special\":true},"
    "{\"id\":13,\"content\":\"<sep>\",\"rstrip\":true,\"special\":false}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"
    "\"\xe2\x96\x81\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" "
    "\"},\"content\":\"\xe2\x96\x81\"}]},\"pre_tokenizer\":null,"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\","
    "\"type_id\":0}},"
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],"
    "\"tokens\":[\"<s>\"]}}},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
    "\"\xe2\x96\x81\"},"
    "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,\"vocab\":{"
    "\"<unk>\":0,"
    "\"<s>\":1,\"</"
    "s>\":2,\"<0xC3>\":3,\"<0xA9>\":4,\"<0x0A>\":5,\"\xe2\x96\x81\":6,\"a\":7,\"b\":8,\"\xe2\x96\x81"
    "a\":9,"
    "\"ab\":10,\"\xe2\x96\x81"
    "ab\":11,\"bb\":12},\"merges\":[\"\xe2\x96\x81 a\",\"a b\",\"\xe2\x96\x81"
    "a b\",\"b b\"]}}";

static struct tokenizer *spm_new(void)
{
    struct tokenizer *t;
    struct err e = {0};
    if (tokenizer_from_json(str_from(spm), &t, &e) != ST_OK)
        fail_msg("%s", e.text);
    return t;
}

static void expect_ids(const struct tokenizer *t, const char *text, unsigned flags, const int32_t *ids,
                       size_t n)
{
    struct tokens got;
    struct err e;
    assert_int_equal(tokenizer_encode(t, str_from(text), flags, &got, &e), ST_OK);
    assert_int_equal(got.n, n);
    if (n)
        assert_memory_equal(got.ids, ids, n * sizeof *ids);
    tokens_fini(&got);
}

#define IDS(...) (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)

static void test_spm(void **state)
{
    (void)state;
    struct tokenizer *t = spm_new();
    expect_ids(t, "ab", 0, IDS(11));
    expect_ids(t, "ab", TOKENIZER_ADD_SPECIAL, IDS(1, 11));
    expect_ids(t, "", TOKENIZER_ADD_SPECIAL, IDS(1));
    expect_ids(t, "a abb", 0, IDS(9, 11, 8)); /* the lowest rank joins first: (▁a)(b)b, then ▁ab b */
    expect_ids(t, "\xc3\xa9", 0, IDS(6, 3, 4));
    expect_ids(t, "zz", 0, IDS(6, 0)); /* unknown characters are fused */
    expect_ids(t, "a<s>b", 0,
               IDS(9, 1, 6, 8)); /* each stretch between added tokens is normalized by itself */
    expect_ids(t, "a<sep>   b", 0, IDS(9, 13, 6, 8));
    tokenizer_free(t);
}

static void test_offsets(void **state)
{
    (void)state;
    struct tokenizer *t = spm_new();
    struct tokens got;
    struct err e;
    assert_int_equal(tokenizer_encode(t, STR("ab \xc3\xa9"), TOKENIZER_ADD_SPECIAL, &got, &e), ST_OK);
    assert_int_equal(got.n, 5); /* <s> ▁ab ▁ C3 A9 */
    const uint32_t want[5][2] = {{0, 0}, {0, 2}, {2, 3}, {3, 5}, {3, 5}};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(got.start[i], want[i][0]);
        assert_int_equal(got.stop[i], want[i][1]);
    }
    tokens_fini(&got);
    tokenizer_free(t);
}

/* The bytes of an affix are symbols too, and their places lead past the text's end. */
static void test_offsets_stay_inside(void **state)
{
    (void)state;
    static const char affixes[] =
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"<0x23>\":1,\"<0x62>\":2},"
        "\"merges\":[],\"byte_fallback\":true,\"continuing_subword_prefix\":\"##\"}}";
    struct tokenizer *t;
    struct tokens got;
    struct err e;
    assert_int_equal(tokenizer_from_json(str_from(affixes), &t, &e), ST_OK);
    assert_int_equal(tokenizer_encode(t, STR("ab"), 0, &got, &e), ST_OK);
    assert_int_equal(got.n, 4); /* a # # b */
    for (size_t i = 0; i < got.n; i++)
        assert_true(got.start[i] <= got.stop[i] && got.stop[i] <= 2);
    tokens_fini(&got);
    tokenizer_free(t);
}

static void expect_text(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip, const char *want)
{
    struct buf out;
    buf_init(&out, 1000);
    tokenizer_decode(t, ids, n, skip, &out);
    assert_true(str_eq(buf_str(&out), str_from(want)));
    buf_fini(&out);
}

static void test_decode(void **state)
{
    (void)state;
    struct tokenizer *t = spm_new();
    expect_text(t, IDS(1, 11, 9), true, "ab a");
    expect_text(t, IDS(1, 11, 9), false, "<s> ab a");
    expect_text(t, IDS(7, 3, 4), true, "a\xc3\xa9");
    expect_text(t, IDS(7, 3), true, "a\xef\xbf\xbd");
    expect_text(t, IDS(7, 99999, -1, 15), true, "a"); /* ids that no token has */
    tokenizer_free(t);
}

static void test_stream_holds_back_half_a_character(void **state)
{
    (void)state;
    struct tokenizer *t = spm_new();
    struct stream s;
    struct str delta;
    bool stopped;
    struct buf text;
    assert_int_equal(stream_init(&s, t, IDS(1, 11), NULL, 0), ST_OK);
    assert_int_equal(stream_push(&s, 9, &delta, &stopped), ST_OK);
    assert_true(str_eq(delta, STR(" a")));
    assert_int_equal(stream_push(&s, 3, &delta, &stopped), ST_OK);
    assert_int_equal(delta.n, 0);
    assert_int_equal(stream_push(&s, 4, &delta, &stopped), ST_OK);
    assert_true(str_eq(delta, STR("\xc3\xa9")));
    assert_int_equal(stream_push(&s, 8, &delta, &stopped), ST_OK);
    assert_true(str_eq(delta, STR("b")));
    assert_int_equal(stream_push(&s, 3, &delta, &stopped), ST_OK);
    assert_int_equal(delta.n, 0);
    buf_init(&text, 100);
    assert_int_equal(stream_generated_text(&s, &text), ST_OK);
    assert_true(str_eq(buf_str(&text), STR(" a\xc3\xa9"
                                           "b\xef\xbf\xbd"))); /* an incomplete end is not lost */
    buf_fini(&text);
    stream_fini(&s);
    tokenizer_free(t);
}

static void test_stop_strings(void **state)
{
    (void)state;
    struct tokenizer *t = spm_new();
    const struct str stop[] = {STR("b a"), STR("never")};
    const int32_t ids[] = {11, 9, 7}; /* " ab", " a", "a" */
    struct stream s;
    struct str delta;
    bool stopped = false;
    assert_int_equal(stream_init(&s, t, IDS(1), stop, 2), ST_OK);
    assert_int_equal(stream_push(&s, ids[0], &delta, &stopped), ST_OK);
    assert_false(stopped);
    assert_int_equal(stream_push(&s, ids[1], &delta, &stopped), ST_OK); /* across tokens */
    assert_true(stopped);
    stream_fini(&s);
    tokenizer_free(t);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"{}", "no `model`"},
        {"{\"model\":{\"type\":\"Foo\",\"vocab\":{}}}", "`Foo` is not supported"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "out of the vocabulary"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}}", "dropout"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "no valid id"},
        {"{\"normalizer\":{\"type\":\"Nfoo\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}"
         "}",
         "`Nfoo`"},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\","
         "\"invert\":false},"
         "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}",
         "regular expression"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tokenizer *t;
        struct err e = {0};
        assert_int_not_equal(tokenizer_from_json(str_from(bad[i][0]), &t, &e), ST_OK);
        if (!strstr(e.text, bad[i][1]))
            fail_msg("`%s` does not say `%s`", e.text, bad[i][1]);
    }
    struct tokenizer *t = spm_new();
    struct tokens tokens;
    struct err e;
    assert_int_equal(tokenizer_encode(t, STR("a\xff"), 0, &tokens, &e), ST_INVALID);
    tokenizer_free(t);
}

/* The embedded model's own tokenizer: every text comes back, whatever its bytes say. */
static void test_demo_round_trip(void **state)
{
    (void)state;
    static const char *const texts[] = {"Once upon a time, there was a cat.", "  two  spaces\n\n\ttabs 12345",
                                        "w\xc3\xb6rld \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x99\x82\xef\xbf\xbd",
                                        "it's I'LL don't", ""};
    struct tokenizer *t;
    struct err e = {0};
    if (tokenizer_open(DEMO, &t, &e) != ST_OK)
        fail_msg("%s", e.text);
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tokens tokens;
        struct buf out;
        buf_init(&out, 1000);
        assert_int_equal(tokenizer_encode(t, str_from(texts[i]), TOKENIZER_ADD_SPECIAL, &tokens, &e), ST_OK);
        tokenizer_decode(t, tokens.ids, tokens.n, true, &out);
        assert_true(str_eq(buf_str(&out), str_from(texts[i])));
        buf_fini(&out);
        tokens_fini(&tokens);
    }
    assert_true(tokenizer_eos(t) >= 0 && tokenizer_is_special(t, tokenizer_eos(t)));
    assert_true(tokenizer_chat_template(t).n > 0);
    tokenizer_free(t);
}

/* Long runs of one thing must not cost more than n log n: these would take hours otherwise. */
static void test_long_texts_end(void **state)
{
    (void)state;
    static const char *const units[] = {"a", " ", "\xe4\xbd\xa0", "\xf0\x9f\x99\x82", "ab"};
    const size_t n_bytes = 1 << 20;
    char *text = malloc(n_bytes);
    struct tokenizer *tokenizers[2] = {spm_new(), NULL};
    struct err e = {0};
    assert_int_equal(tokenizer_open(DEMO, &tokenizers[1], &e), ST_OK);
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = strlen(units[i]), n = n_bytes / unit * unit;
        for (size_t at = 0; at < n; at += unit)
            memcpy(text + at, units[i], unit);
        for (unsigned k = 0; k < 2; k++) {
            struct tokens tokens;
            assert_int_equal(tokenizer_encode(tokenizers[k], (struct str){text, n}, 0, &tokens, &e), ST_OK);
            assert_true(tokens.n > 0);
            tokens_fini(&tokens);
        }
    }
    tokenizer_free(tokenizers[0]);
    tokenizer_free(tokenizers[1]);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spm),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_offsets_stay_inside),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_stream_holds_back_half_a_character),
        cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_demo_round_trip),
        cmocka_unit_test(test_long_texts_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Streaming with stop strings: what is given out, when, and never what a stop string holds. */
#include "base/rng.h"
#include "text/stream.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Tokens of one to three letters, whole and half characters. */
static const char vocabulary[] =
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"ba\":3,\"aab\":4,\"\xc3\xa9\":5,"
    "\"<0xC3>\":6,\"<0xA9>\":7,\"END\":8},\"merges\":[]},\"added_tokens\":[{\"id\":9,\"content\":\"<|x|>\","
    "\"special\":true}],\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},"
    "{\"type\":\"Fuse\"}]}}";
#define N_PLAIN 6

static struct tokenizer *tokenizer_new(void)
{
    struct tokenizer *t;
    struct err e;
    assert_int_equal(tokenizer_from_json(str_from(vocabulary), &t, &e), ST_OK);
    return t;
}

static void expect_push(struct stream *s, int32_t id, const char *want, bool want_stopped)
{
    struct str delta;
    bool stopped;
    assert_int_equal(stream_push(s, id, &delta, &stopped), ST_OK);
    if (!str_eq(delta, str_from(want)))
        fail_msg("token %d gives `" STR_FMT "`, not `%s`", id, STR_ARG(delta), want);
    assert_int_equal(stopped, want_stopped);
}

static void expect_finish(struct stream *s, const char *want)
{
    struct str delta;
    assert_int_equal(stream_finish(s, &delta), ST_OK);
    assert_true(str_eq(delta, str_from(want)));
}

static void test_kept_stop_string_holds_nothing_back(void **state)
{
    (void)state;
    struct tokenizer *t = tokenizer_new();
    struct stream s;
    const struct str stop[] = {STR("abb")};
    assert_int_equal(stream_init(&s, t, NULL, 0, stop, 1), ST_OK);
    expect_push(&s, 2, "ab", false);
    expect_push(&s, 1, "b", true);
    assert_true(str_eq(buf_str(&s.text), STR("abb")));
    stream_fini(&s);
    tokenizer_free(t);
}

static void test_stripped_stop_string_is_never_seen(void **state)
{
    (void)state;
    struct tokenizer *t = tokenizer_new();
    struct stream s;
    const struct str stop[] = {STR("abb"), STR("")};
    assert_int_equal(stream_init(&s, t, NULL, 0, stop, 2), ST_OK);
    s.strip_stop = true;
    expect_push(&s, 1, "b", false);
    expect_push(&s, 2, "", false);   /* "ab" may be its beginning */
    expect_push(&s, 2, "ab", false); /* it was not; the new "ab" may be */
    expect_push(&s, 3, "", true);    /* "ba": the stop string ends inside the token */
    assert_true(str_eq(buf_str(&s.text), STR("bab")));
    stream_fini(&s);
    tokenizer_free(t);
}

static void test_what_is_held_back_comes_at_the_end(void **state)
{
    (void)state;
    struct tokenizer *t = tokenizer_new();
    struct stream s;
    const struct str stop[] = {STR("abb")};
    assert_int_equal(stream_init(&s, t, NULL, 0, stop, 1), ST_OK);
    s.strip_stop = true;
    expect_push(&s, 2, "", false);
    expect_push(&s, 6, "", false); /* half of a character */
    expect_finish(&s, "ab\xef\xbf\xbd");
    expect_finish(&s, "");
    stream_fini(&s);
    tokenizer_free(t);
}

static void test_only_half_a_character_is_no_empty_answer(void **state)
{
    (void)state;
    struct tokenizer *t = tokenizer_new();
    struct stream s;
    struct buf text;
    assert_int_equal(stream_init(&s, t, NULL, 0, NULL, 0), ST_OK);
    expect_push(&s, 6, "", false);
    buf_init(&text, 100);
    assert_int_equal(stream_generated_text(&s, &text), ST_OK);
    assert_true(str_eq(buf_str(&text), STR("\xef\xbf\xbd")));
    expect_finish(&s, "\xef\xbf\xbd");
    buf_fini(&text);
    stream_fini(&s);
    tokenizer_free(t);
}

static void test_special_tokens(void **state)
{
    (void)state;
    struct tokenizer *t = tokenizer_new();
    struct stream s;
    assert_int_equal(stream_init(&s, t, NULL, 0, NULL, 0), ST_OK);
    expect_push(&s, 0, "a", false);
    expect_push(&s, 9, "<|x|>", false);
    stream_fini(&s);
    assert_int_equal(stream_init(&s, t, NULL, 0, NULL, 0), ST_OK);
    s.skip_special = true;
    expect_push(&s, 0, "a", false);
    expect_push(&s, 9, "", false);
    expect_push(&s, 1, "b", false);
    stream_fini(&s);
    tokenizer_free(t);
}

/* ---- random texts against the plain definition ---- */

/* The first place where a stop string ends; of several there the longest one's beginning. */
static bool first_stop(struct str text, const struct str *stop, size_t n_stop, size_t *begin)
{
    for (size_t end = 1; end <= text.n; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < n_stop; i++)
            if (stop[i].n > longest && str_has_suffix((struct str){text.p, end}, stop[i]))
                longest = stop[i].n;
        *begin = end - longest;
        if (longest)
            return true;
    }
    return false;
}

static size_t below(uint64_t *counter, size_t n)
{
    return rng_u64(11, 0, (*counter)++) % n;
}

static void random_stop(uint64_t *rng, char *out, struct str *stop)
{
    stop->p = out;
    stop->n = 1 + below(rng, 5);
    for (size_t i = 0; i < stop->n; i++)
        out[i] = below(rng, 3) ? 'a' : 'b';
}

static void check_random(const struct tokenizer *t, uint64_t *rng)
{
    char words[2][8];
    struct str stop[2], delta;
    struct stream s;
    struct buf whole, given;
    bool stopped = false;
    size_t begin = 0;
    random_stop(rng, words[0], &stop[0]);
    random_stop(rng, words[1], &stop[1]);
    buf_init(&whole, 1000);
    buf_init(&given, 1000);
    assert_int_equal(stream_init(&s, t, NULL, 0, stop, 2), ST_OK);
    s.strip_stop = true;
    for (unsigned i = 0; i < 12 && !stopped; i++) {
        int32_t id = (int32_t)below(rng, N_PLAIN);
        tokenizer_decode(t, &id, 1, false, &whole);
        assert_int_equal(stream_push(&s, id, &delta, &stopped), ST_OK);
        buf_put_str(&given, delta);
        assert_int_equal(stopped, first_stop(buf_str(&whole), stop, 2, &begin));
    }
    if (!stopped) {
        assert_int_equal(stream_finish(&s, &delta), ST_OK);
        buf_put_str(&given, delta);
        begin = whole.n;
    }
    assert_true(str_eq(buf_str(&given), (struct str){whole.p, begin}));
    assert_true(str_eq(buf_str(&s.text), buf_str(&given)));
    stream_fini(&s);
    buf_fini(&whole);
    buf_fini(&given);
}

static void test_random(void **state)
{
    (void)state;
    struct tokenizer *t = tokenizer_new();
    uint64_t rng = 0;
    for (unsigned i = 0; i < 20000; i++)
        check_random(t, &rng);
    tokenizer_free(t);
}

/* Every place where one string is found, overlapping ones too, by going on behind each. */
static void test_one_string_again_and_again(void **state)
{
    (void)state;
    const struct str word = STR("abab"), text = STR("xabababaababab");
    const size_t want[] = {5, 7, 12, 14};
    struct stop_set set;
    size_t at, n_bytes, from = 0, n = 0;
    assert_int_equal(stop_set_init(&set, &word, 1), ST_OK);
    while (stop_set_feed(&set, (struct str){text.p + from, text.n - from}, &at, &n_bytes)) {
        from += at;
        assert_true(n < sizeof want / sizeof *want);
        assert_int_equal(from, want[n++]);
        assert_int_equal(n_bytes, word.n);
    }
    assert_int_equal(n, sizeof want / sizeof *want);
    stop_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_stop_string_holds_nothing_back),
        cmocka_unit_test(test_stripped_stop_string_is_never_seen),
        cmocka_unit_test(test_what_is_held_back_comes_at_the_end),
        cmocka_unit_test(test_only_half_a_character_is_no_empty_answer),
        cmocka_unit_test(test_special_tokens),
        cmocka_unit_test(test_one_string_again_and_again),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

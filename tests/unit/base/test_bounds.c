/* What base/ promises at its edges: maxima met exactly, cut texts, sequences that cannot be completed. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_arena_gives_all_of_its_maximum(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 100);
    assert_null(arena_alloc(&a, 101));
    char *p = arena_alloc(&a, 100);
    assert_non_null(p);
    memset(p, 1, 100);
    assert_null(arena_alloc(&a, 1));
    arena_fini(&a);
}

static void test_arena_refuses_sizes_that_wrap(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, SIZE_MAX);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc_aligned(&a, SIZE_MAX - 100, 4096));
    assert_null(arena_alloc(&a, SIZE_MAX - 20));
    assert_null(arena_array(&a, SIZE_MAX / 2 + 1, 2));
    assert_null(arena_strdup(&a, (struct str){"", SIZE_MAX}).p);
    assert_int_equal(a.held_bytes, 0);
    arena_fini(&a);
}

static void test_arena_reset_keeps_the_largest_block(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096 + 8192 + 1000);
    assert_non_null(arena_alloc(&a, 4000));
    assert_non_null(arena_alloc(&a, 8000));
    assert_non_null(arena_alloc(&a, 900)); /* a small last block: all that the maximum left */
    arena_reset(&a);
    assert_int_equal(a.held_bytes, 8192);
    char *p = arena_alloc(&a, 8192);
    assert_non_null(p);
    memset(p, 1, 8192);
    assert_int_equal(a.held_bytes, 8192);
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 10), p);
    arena_fini(&a);
    assert_int_equal(a.held_bytes, 0);
    arena_reset(&a); /* of an empty arena */
    assert_non_null(arena_zalloc(&a, 10));
    arena_fini(&a);
}

static void test_buf_takes_exactly_its_maximum(void **state)
{
    (void)state;
    struct buf b;
    char text[400];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (size_t spare = 0; spare < 2; spare++) { /* longer than what buf_printf() keeps on its stack */
        buf_init(&b, 1 + 399 - spare);
        buf_put_char(&b, '>');
        buf_printf(&b, "%s", text);
        assert_int_equal(b.failed, spare == 1);
        assert_int_equal(b.n, spare ? 1 : 400);
        buf_fini(&b);
    }
    buf_init(&b, SIZE_MAX);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_true(b.failed);
    buf_clear(&b);
    buf_put(&b, NULL, 0);
    assert_false(b.failed);
    buf_fini(&b);
}

static void test_map_survives_an_absurd_hint(void **state)
{
    (void)state;
    struct map m;
    assert_int_equal(map_init(&m, SIZE_MAX), ST_NO_MEMORY);
    map_fini(&m);
}

/* Every bit of the input reaches every bit of the hash: flipping one changes about half of them. */
static void test_hash_diffuses(void **state)
{
    (void)state;
    unsigned char text[40];
    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 37);
    for (unsigned n = 1; n <= sizeof text; n++) {
        uint64_t h = hash_bytes(text, n, 12345), flips = 0;
        for (unsigned bit = 0; bit < 8 * n; bit++) {
            text[bit / 8] ^= (unsigned char)(1u << bit % 8);
            unsigned changed = (unsigned)__builtin_popcountll(h ^ hash_bytes(text, n, 12345));
            text[bit / 8] ^= (unsigned char)(1u << bit % 8);
            assert_in_range(changed, 8, 56);
            flips += changed;
        }
        assert_in_range(flips / (8 * n), 24, 40);
        assert_int_not_equal(h, hash_bytes(text, n, 12346));
        assert_int_not_equal(h, hash_bytes(text, n - 1, 12345));
    }
}

static void test_err_cuts_between_characters(void **state)
{
    (void)state;
    struct err e;
    char big[3 * ERR_TEXT_MAX];
    for (size_t lead = 0; lead < 4; lead++) { /* the cut falls on each byte of a four-byte character */
        memset(big, 'x', lead);
        for (size_t i = lead; i + 4 < sizeof big; i += 4)
            memcpy(big + i, "\xf0\x9f\x99\x82", 5);
        err_set(&e, ST_IO, "%s", big);
        assert_true(utf8_valid(str_from(e.text)));
        assert_true(str_has_suffix(str_from(e.text), STR("...")));
        assert_true(strlen(e.text) >= ERR_TEXT_MAX - 5);
        assert_int_equal(err_prefix(&e, "in %s", "front"), ST_IO);
        assert_true(utf8_valid(str_from(e.text)));
        assert_true(str_has_prefix(str_from(e.text), STR("in front: x")) == (lead > 0));
        err_prefix(&e, "%s", big);
        assert_true(utf8_valid(str_from(e.text)));
    }
    assert_int_equal(err_prefix(NULL, "x"), ST_INTERNAL);
    assert_string_equal(status_name((enum status)99), "unknown");
}

static void test_utf8_holds_back_only_what_may_be_completed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t complete;
    } cases[] = {
        {"", 0},
        {"a", 1},
        {"\xf0\x9f\x99", 0},
        {"ab\xf0", 2},
        {"\xe2\x82\xac", 3},
        {"\xe0\x80", 2}, /* overlong: nothing makes it well-formed */
        {"\xed\xa0", 2}, /* a surrogate */
        {"\xf4\x90", 2}, /* above U+10FFFF */
        {"\xff", 1},
        {"\x80\x80\x80\x80", 4}, /* no first byte */
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        if (utf8_complete_prefix(str_from(cases[i].text)) != cases[i].complete)
            fail_msg("case %u: %zu", i, utf8_complete_prefix(str_from(cases[i].text)));
}

/* Views at the end of a heap block: the address sanitizer sees a read past them. */
static void test_views_are_not_read_past(void **state)
{
    (void)state;
    static const char *const texts[] = {"\xf0\x9f\x99", "\xe2", "12", "-", "1e", "a\xc3"};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i]);
        char *p = malloc(n);
        memcpy(p, texts[i], n);
        struct str s = {p, n};
        uint32_t cp;
        uint64_t u;
        int64_t v;
        double d;
        for (size_t at = 0; at < n; at++)
            if (!utf8_decode(s, at, &cp))
                assert_in_range(utf8_invalid_length(s, at), 1, n - at);
        assert_true(utf8_complete_prefix(s) <= n);
        (void)str_to_u64(s, &u);
        (void)str_to_i64(s, &v);
        (void)str_to_f64(s, &d);
        assert_int_equal(str_find(s, STR("zz"), 0), SIZE_MAX);
        free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_gives_all_of_its_maximum),
        cmocka_unit_test(test_arena_refuses_sizes_that_wrap),
        cmocka_unit_test(test_arena_reset_keeps_the_largest_block),
        cmocka_unit_test(test_buf_takes_exactly_its_maximum),
        cmocka_unit_test(test_map_survives_an_absurd_hint),
        cmocka_unit_test(test_hash_diffuses),
        cmocka_unit_test(test_err_cuts_between_characters),
        cmocka_unit_test(test_utf8_holds_back_only_what_may_be_completed),
        cmocka_unit_test(test_views_are_not_read_past),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Strings, errors, buffers, arenas, maps, random numbers. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_err(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, ST_INVALID, "bad %s\n", "line"), ST_INVALID);
    assert_string_equal(e.text, "bad line?");
    assert_int_equal(err_prefix(&e, "file %d", 3), ST_INVALID);
    assert_string_equal(e.text, "file 3: bad line?");
    assert_int_equal(err_set(NULL, ST_IO, "x"), ST_IO);
    char big[4000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    err_set(&e, ST_IO, "%s", big);
    assert_int_equal(strlen(e.text), ERR_TEXT_MAX - 1);
    assert_string_equal(e.text + ERR_TEXT_MAX - 4, "...");
}

static void test_numbers(void **state)
{
    (void)state;
    uint64_t u = 7;
    int64_t i;
    double d;
    assert_true(str_to_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_false(str_to_u64(STR("18446744073709551616"), &u));
    assert_false(str_to_u64(STR("+1"), &u) || str_to_u64(STR(" 1"), &u) || str_to_u64(STR(""), &u));
    assert_true(str_to_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_false(str_to_i64(STR("9223372036854775808"), &i));
    assert_true(str_to_f64(STR("-1.5e3"), &d) && d == -1500);
    assert_false(str_to_f64(STR("nan"), &d) || str_to_f64(STR("0x1p3"), &d) || str_to_f64(STR("1e999"), &d));
}

static void test_views(void **state)
{
    (void)state;
    assert_true(str_eq(str_trim(STR(" \t a b\r\n")), STR("a b")));
    assert_int_equal(str_find(STR("abcabc"), STR("ca"), 0), 2);
    assert_int_equal(str_find(STR("abc"), STR("c"), 3), SIZE_MAX);
    assert_true(str_eq_nocase(STR("Content-Type"), STR("content-TYPE")));
    assert_int_equal(str_distance(STR("prot"), STR("port")), 2);
    assert_int_equal(str_distance(STR(""), STR("abc")), 3);
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xff"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(utf8_valid(str_from(bad[i])));
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        char text[4];
        uint32_t back;
        if (cp >= 0xd800 && cp < 0xe000)
            continue;
        unsigned n = utf8_encode(cp, text);
        assert_int_equal(utf8_decode((struct str){text, n}, 0, &back), n);
        assert_int_equal(back, cp);
    }
    assert_int_equal(utf8_count(STR("aé€🙂")), 4);
    assert_int_equal(utf8_complete_prefix(STR("a\xe2\x82")), 1);
    assert_int_equal(utf8_complete_prefix(STR("a\xe2\x82\xac")), 4);
    assert_int_equal(utf8_invalid_length(STR("\xe2\x82!"), 0), 2);
    assert_int_equal(utf8_invalid_length(STR("\xed\xa0\x80"), 0), 1);
}

static void test_buf(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    buf_printf(&b, "%d-%s", 12, "abc");
    assert_true(str_eq(buf_str(&b), STR("12-abc")));
    buf_put(&b, "12345", 5);
    assert_true(b.failed);
    buf_put_char(&b, 'x');
    assert_int_equal(b.n, 6);
    buf_clear(&b);
    assert_false(b.failed);
    buf_put(&b, "0123456789", 10);
    buf_consume(&b, 4);
    assert_true(str_eq(buf_str(&b), STR("456789")));
    buf_fini(&b);
}

static void test_buf_file(void **state)
{
    (void)state;
    struct buf b;
    struct err e;
    char path[] = "/tmp/prompteur-buf-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "hello", 5), 5);
    close(fd);
    buf_init(&b, 5);
    assert_int_equal(buf_read_file(&b, path, &e), ST_OK);
    assert_true(str_eq(buf_str(&b), STR("hello")));
    assert_int_equal(buf_read_file(&b, path, &e), ST_LIMIT);
    assert_non_null(strstr(e.text, path));
    unlink(path);
    assert_int_equal(buf_read_file(&b, path, &e), ST_NOT_FOUND);
    assert_int_equal(buf_read_file(&b, "/tmp", &e), ST_INVALID);
    buf_fini(&b);
}

static void test_arena(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 100000);
    for (unsigned i = 1; i < 200; i++) {
        char *p = arena_alloc_aligned(&a, i, 64);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        memset(p, (int)i, i);
    }
    assert_null(arena_alloc(&a, 90000));
    assert_null(arena_array(&a, SIZE_MAX, 2));
    size_t held = a.held_bytes;
    assert_true(held <= 100000);
    arena_reset(&a);
    assert_int_equal(a.used_bytes, 0);
    assert_true(a.held_bytes <= held);
    struct str s = arena_strdup(&a, STR("abc"));
    assert_string_equal(s.p, "abc");
    arena_fini(&a);
}

static void test_map(void **state)
{
    (void)state;
    struct map m;
    char key[10000][8];
    uint64_t value;
    assert_int_equal(map_init(&m, 0), ST_OK);
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(key[i], sizeof key[i], "k%u", i);
        assert_int_equal(map_put(&m, str_from(key[i]), i), ST_OK);
    }
    assert_int_equal(map_put(&m, STR("k7"), 70), ST_OK);
    assert_int_equal(m.n, 10000);
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(map_get(&m, str_from(key[i]), &value));
        assert_int_equal(value, i == 7 ? 70 : i);
    }
    assert_false(map_get(&m, STR("k10000"), &value));
    assert_int_equal(map_put(&m, STR(""), 5), ST_OK);
    assert_true(map_get(&m, STR(""), &value) && value == 5);
    map_fini(&m);
}

/* The published test vectors of Philox 4x32-10 (Random123): counter and key all zero, all ones. */
static void test_rng(void **state)
{
    (void)state;
    uint32_t r[4];
    rng_block(0, 0, 0, r);
    const uint32_t zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(r, zero, sizeof r);
    rng_block(UINT64_MAX, UINT64_MAX, UINT64_MAX, r);
    const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    assert_memory_equal(r, ones, sizeof r);
    double sum = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        double u = rng_unit(1, 2, i);
        assert_true(u > 0 && u < 1);
        sum += u;
    }
    assert_true(sum > 49500 && sum < 50500);
    assert_true(rng_unit_of(0) > 0 && rng_unit_of(UINT64_MAX) < 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err),   cmocka_unit_test(test_numbers), cmocka_unit_test(test_views),
        cmocka_unit_test(test_utf8),  cmocka_unit_test(test_buf),     cmocka_unit_test(test_buf_file),
        cmocka_unit_test(test_arena), cmocka_unit_test(test_map),     cmocka_unit_test(test_rng),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

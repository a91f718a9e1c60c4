/* Which names may become part of a path or a URL. */
#include "hub/hub_int.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_ids(void **state)
{
    (void)state;
    static const char *const good[] = {"gpt2", "openai-community/gpt2", "a/b", "Foo-BAR_foo.bar123", "_a/b_",
                                       "1/2"};
    static const char *const bad[] = {"",           "/",     "a/",     "/b",   "a/b/c",  "a--b/c",  "a/b--c",
                                      "a..b/c",     "-a/b",  "a/-b",   ".a/b", "a/b.",   "a b/c",   "a/b.git",
                                      "a/\xc3\xa9", "a\n/b", "../etc", "a/..", "a\\b/c", "a/b?x=1", "a/%2e"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(hub_id_check(good[i], NULL), ST_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(hub_id_check(bad[i], NULL), ST_INVALID);
    char longest[96 + 1 + 97 + 1];
    memset(longest, 'a', sizeof longest);
    longest[96] = '/';
    longest[193] = '\0';
    assert_int_equal(hub_id_check(longest, NULL), ST_OK);
    longest[193] = 'a';
    longest[194] = '\0';
    assert_int_equal(hub_id_check(longest, NULL), ST_INVALID);
}

static void test_folder_names(void **state)
{
    (void)state;
    char out[HUB_ID_MAX + 16];
    repo_folder_name(out, "owner/name.1");
    assert_string_equal(out, "models--owner--name.1");
    repo_folder_name(out, "gpt2");
    assert_string_equal(out, "models--gpt2");
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const good[] = {"a",  "a/b.json", ".gitattributes", "a..b", "..a/b", "\xc3\xa9.json",
                                       "a b"};
    static const char *const bad[] = {"",       "/a",   "a/",  "a//b", ".",    "..",
                                      "a/../b", "a/..", "./a", "a\\b", "a\tb", "\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(is_safe_path(str_from(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(is_safe_path(str_from(bad[i])));
    assert_false(is_safe_path((struct str){"a\0b", 3}));
    char component[300];
    memset(component, 'a', sizeof component);
    assert_true(is_safe_path((struct str){component, 255}));
    assert_false(is_safe_path((struct str){component, 256}));
}

static void test_revisions(void **state)
{
    (void)state;
    static const char *const good[] = {"main", "v1.0", "refs/pr/12", "feature/a-b", "abcdef0"};
    static const char *const bad[] = {"",   "../x", "a..b", "/a", "a/", "a b",   "a~1",
                                      "a^", "a:b",  "a*",   "a?", "a[", "x.lock"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(revision_check(good[i], NULL), ST_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(revision_check(bad[i], NULL), ST_INVALID);
}

static void test_commits_and_etags(void **state)
{
    (void)state;
    const char *commit = "0123456789abcdef0123456789abcdef01234567";
    assert_true(is_commit(str_from(commit)));
    assert_false(is_commit((struct str){commit, 39}));
    assert_false(is_commit(STR("0123456789ABCDEF0123456789abcdef01234567")));
    assert_false(is_commit(STR("0123456789abcdef0123456789abcdef0123456\0")));
    char out[ETAG_MAX];
    static const char *const etags[][2] = {{"\"abc\"", "abc"}, {"W/\"abc-1_2\"", "abc-1_2"},
                                           {"abc", "abc"},     {"\"../x\"", ""},
                                           {"\"\"", ""},       {"\"a b\"", ""},
                                           {"\"a", ""},        {"", ""}};
    for (size_t i = 0; i < sizeof etags / sizeof *etags; i++) {
        assert_true(etag_read(out, str_from(etags[i][0])) == (etags[i][1][0] != '\0'));
        assert_string_equal(out, etags[i][1]);
    }
    assert_int_equal(digest_kind_of(str_from(commit)), DIGEST_GIT_SHA1);
    assert_int_equal(digest_kind_of(STR("abc")), DIGEST_NONE);
}

static void test_urls(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    url_put_quoted(&b, STR("refs/pr/1 \xc3\xa9%-._~"), false);
    assert_true(str_eq(buf_str(&b), STR("refs%2Fpr%2F1%20%C3%A9%25-._~")));
    buf_clear(&b);
    url_put_quoted(&b, STR("a/b c?#"), true);
    assert_true(str_eq(buf_str(&b), STR("a/b%20c%3F%23")));
    buf_fini(&b);
    static const char *const origins[][2] = {
        {"https://Hub.co/a/b", "https://hub.co"},      {"https://hub.co:443", "https://hub.co"},
        {"http://hub.co:443/x", "http://hub.co:443"},  {"http://hub.co:80?x", "http://hub.co"},
        {"https://user:pw@hub.co/", "https://hub.co"}, {"https://hub.co@evil.com/", "https://evil.com"},
        {"https://hub.co#@x", "https://hub.co"},       {"/relative", ""}};
    char out[300];
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        url_origin(out, origins[i][0]);
        assert_string_equal(out, origins[i][1]);
    }
}

static void header(struct reply *r, const char *line)
{
    assert_true(reply_header(r, str_from(line)));
}

static void test_heads(void **state)
{
    (void)state;
    static struct reply r;
    reply_init(&r, "http://x");
    assert_true(r.length == UINT64_MAX && r.range_total == UINT64_MAX);
    header(&r, "HTTP/1.1 206 Partial Content\r\n");
    header(&r, "content-RANGE: bytes 5-9/100\r\n");
    header(&r, "X-Linked-Size: 12\r\n");
    header(&r, "X-Linked-Etag: \"e\"\r\n");
    header(&r, "Content-Length: 5\r\n");
    assert_true(r.range_begin == 5 && r.range_end == 10 && r.range_total == 100 && r.linked_length == 12 &&
                r.length == 5);
    assert_string_equal(r.linked_etag, "e");
    assert_false(r.has_bad_etag);
    static const char *const bad[] = {"bytes 9-5/100",
                                      "bytes -5/100",
                                      "bytes 5-/1",
                                      "bytes 5-9",
                                      "items 5-9/10",
                                      "bytes",
                                      "bytes 18446744073709551615-18446744073709551615/1",
                                      "bytes 0x5-9/1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[100];
        reply_init(&r, "http://x");
        snprintf(line, sizeof line, "Content-Range: %s\r\n", bad[i]);
        header(&r, line);
        assert_true(r.range_begin == UINT64_MAX && r.range_end == UINT64_MAX);
    }
    header(&r, "X-Linked-Etag: \"../e\"\r\n");
    assert_true(r.has_bad_etag);
    char big[1 << 15];
    memset(big, 'x', sizeof big);
    bool ok = true;
    for (int i = 0; i < 10; i++)
        ok = reply_header(&r, (struct str){big, sizeof big});
    assert_false(ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_folder_names),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_revisions),
        cmocka_unit_test(test_commits_and_etags),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

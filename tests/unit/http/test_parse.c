/* The parser from memory: cut at every byte, refused for the right reason, never more bytes than its limits.
 */
#include "http/parse_int.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct http_limits limits = {.max_header_bytes = 2048, .max_headers = 8, .max_body_bytes = 64};

/* Feeds the pieces [0, cut) and [cut, n), each in its own exact allocation so that reading past it is seen.
 */
static enum parse_result feed_cut(struct http_parse *p, struct str s, size_t cut, size_t *taken)
{
    size_t at = 0;
    enum parse_result result = PARSE_MORE;
    while (at < s.n && (result == PARSE_MORE || result == PARSE_CONTINUE)) {
        size_t n = (at < cut ? cut : s.n) - at, used = 0;
        char *piece = malloc(n);
        memcpy(piece, s.p + at, n);
        result = http_parse_feed(p, piece, n, &used);
        free(piece);
        assert_true(used <= n);
        at += used;
    }
    *taken = at;
    return result;
}

static void cut_everywhere(struct str s, const char *body)
{
    struct http_parse p;
    assert_int_equal(http_parse_init(&p, &limits), ST_OK);
    for (size_t cut = 1; cut <= s.n; cut++) {
        size_t taken;
        http_parse_reset(&p);
        assert_int_equal(feed_cut(&p, s, cut, &taken), PARSE_DONE);
        assert_int_equal(taken, s.n);
        assert_string_equal(http_parse_method(&p), "POST");
        assert_true(str_eq(http_parse_target(&p), STR("/echo?q=1")));
        assert_true(str_eq(http_parse_header_value(&p, STR("X-Name")), STR("va lue")));
        assert_true(str_eq(http_parse_header_value(&p, STR("x-empty")), STR("")));
        assert_true(str_eq(http_parse_header_value(&p, STR("x-absent")), STR("")));
        assert_true(str_eq(buf_str(&p.body), str_from(body)));
        assert_true(p.keep_alive);
    }
    http_parse_fini(&p);
}

#define HEAD "POST /echo?q=1 HTTP/1.1\r\nHost: a\r\nx-name: va lue \r\nx-empty:\r\n"

static void test_length_cut_everywhere(void **state)
{
    (void)state;
    cut_everywhere(STR(HEAD "Content-Length: 11\r\n\r\nhello world"), "hello world");
    cut_everywhere(STR(HEAD "Content-Length: 0\r\n\r\n"), "");
    cut_everywhere(STR(HEAD "\r\n"), "");
}

static void test_chunked_cut_everywhere(void **state)
{
    (void)state;
    cut_everywhere(
        STR(HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n \r\n05\r\nworld\r\n0\r\n\r\n"),
        "hello world");
    cut_everywhere(STR(HEAD "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"), "");
    cut_everywhere(STR(HEAD "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
                   "hi");
    /* trailers are no headers */
    cut_everywhere(
        STR(HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-absent: 1\r\nx-name: 2\r\n\r\n"), "hi");
}

/* What follows a request is left alone, byte for byte. */
static void test_next_request_untouched(void **state)
{
    static const char *const firsts[] = {
        HEAD "Content-Length: 5\r\n\r\nhello",
        HEAD "\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        HEAD "Connection: close\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\nx-name: other\r\n\r\n",
    };
    (void)state;
    struct http_parse p;
    assert_int_equal(http_parse_init(&p, &limits), ST_OK);
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        char two[1024];
        size_t taken, n = strlen(firsts[i]);
        strcpy(two, firsts[i]);
        strcat(two, "GET /second HTTP/1.1\r\nHost: b\r\n\r\n");
        http_parse_reset(&p);
        assert_int_equal(feed_cut(&p, str_from(two), strlen(two), &taken), PARSE_DONE);
        assert_int_equal(taken, n);
        assert_int_equal(p.keep_alive, i != 3);
        http_parse_reset(&p);
        assert_int_equal(feed_cut(&p, str_from(two + n), 1, &taken), PARSE_DONE);
        assert_true(str_eq(http_parse_target(&p), STR("/second")));
    }
    http_parse_fini(&p);
}

static unsigned refusal(struct str s, size_t cut)
{
    struct http_parse p;
    size_t taken;
    assert_int_equal(http_parse_init(&p, &limits), ST_OK);
    enum parse_result result = feed_cut(&p, s, cut, &taken);
    unsigned status = result == PARSE_ERROR ? p.status : 0;
    http_parse_fini(&p);
    return status;
}

struct refused {
    unsigned status;
    const char *text;
};

static const struct refused refused[] = {
    /* the request line */
    {400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
    {400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET / HTTP/1.1\nHost: a\r\n\r\n"},
    {400, "GET / HTTP/1.1\rHost: a\r\n\r\n"},
    {400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {505, "GET /\r\n\r\n"},
    {400, "GET\r\n\r\n"},
    {400, "GET  HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "get / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET / http/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"},
    {400, "GET /a\x01z HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
    {400, "\x16\x03\x01\x02"},
    {505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
    /* Host */
    {400, "GET / HTTP/1.1\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
    {400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"},
    /* fields */
    {400, "GET / HTTP/1.1\r\nHost: a\r\nx: 1\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nx: 1\r\n y\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nx: 1\r\n\ty\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nx y: z\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nx\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nx: a\rb\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nx: a\x01"
          "b\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nx: a\x7f\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\n\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\n\rX"},
    /* lengths */
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: five\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nhello"},
    {413, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\nhello"},
    {413, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n"},
    /* both lengths, or one that two machines could read differently */
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
          "chunked\r\n\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b"
          "chunked\r\n\r\n0\r\n\r\n"},
    /* chunks */
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
          "chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: "
          "chunked\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: y\r\nConnection: "
          "close\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nauthorization: k\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: y\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx y: z\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: y\r\n z\r\n\r\n"},
    {431, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na:b\r\na:b\r\na:b\r\na:b\r\n"
          "a:b\r\na:b\r\na:b\r\n\r\n"},
    {413, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n"
          "0123456789012345678901234567890123456789012345678901234567890123456789"},
    /* expectations */
    {417, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\nx"},
};

static void test_refused_cut_everywhere(void **state)
{
    (void)state;
    unsigned n_wrong = 0;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct str s = str_from(refused[i].text);
        for (size_t cut = 1; cut <= s.n; cut++) {
            unsigned got = refusal(s, cut);
            if (got == refused[i].status)
                continue;
            print_message("cut at %zu: %u, not %u: %s\n", cut, got, refused[i].status, refused[i].text);
            n_wrong++;
            break;
        }
    }
    assert_int_equal(n_wrong, 0);
}

static void test_nul_refused(void **state)
{
    (void)state;
    assert_int_equal(refusal(STR("GET / HTTP/1.1\r\nHost: a\r\nx: a\0b\r\n\r\n"), 1), 400);
    assert_int_equal(refusal(STR("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"), 1), 400);
    assert_int_equal(refusal(STR("GET / HTTP/1.1\r\nHost: a\r\nx\0: b\r\n\r\n"), 1), 400);
}

static const char *const accepted[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a:80/x HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nhOST:a\r\nx:\ty \t\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
    "A\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\nhello",
    "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
};

static void test_accepted_cut_everywhere(void **state)
{
    (void)state;
    struct http_parse p;
    assert_int_equal(http_parse_init(&p, &limits), ST_OK);
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        struct str s = str_from(accepted[i]);
        for (size_t cut = 1; cut <= s.n; cut++) {
            size_t taken;
            http_parse_reset(&p);
            enum parse_result result = feed_cut(&p, s, cut, &taken);
            if (result != PARSE_DONE || taken != s.n)
                fail_msg("cut at %zu of %zu: result %d, status %u: %s", cut, s.n, result, p.status, s.p);
        }
    }
    http_parse_fini(&p);
}

static void test_header_limits(void **state)
{
    (void)state;
    char text[8192];
    size_t n = (size_t)sprintf(text, "GET /%0*d HTTP/1.1\r\nHost: a\r\n\r\n", 3000, 0);
    assert_int_equal(refusal((struct str){text, n}, n), 414);
    assert_int_equal(refusal((struct str){text, n}, 1), 414);
    n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\nx: %0*d\r\n\r\n", 3000, 0);
    assert_int_equal(refusal((struct str){text, n}, n), 431);
    n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n%0*d: x\r\n\r\n", 3000, 0);
    assert_int_equal(refusal((struct str){text, n}, n), 431);
    for (unsigned n_headers = 7; n_headers <= 9; n_headers++) {
        n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (unsigned i = 1; i < n_headers; i++)
            n += (size_t)sprintf(text + n, "x: y\r\n");
        n += (size_t)sprintf(text + n, "\r\n");
        assert_int_equal(refusal((struct str){text, n}, 1), n_headers <= 8 ? 0 : 431);
    }
}

static enum parse_result feed_often(struct http_parse *p, const char *piece, size_t most)
{
    enum parse_result result = PARSE_MORE;
    size_t used, n = strlen(piece);
    for (size_t fed = 0; fed < most && result == PARSE_MORE; fed += n)
        result = http_parse_feed(p, piece, n, &used);
    return result;
}

/* Bytes that carry no body (chunk framing, extensions, blank lines, white space) are bounded as well. */
static void test_overhead_limit(void **state)
{
    (void)state;
    struct http_parse p;
    size_t used;
    struct str chunked = STR("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=");
    struct str field = STR("POST / HTTP/1.1\r\nHost: a\r\nx:");
    assert_int_equal(http_parse_init(&p, &limits), ST_OK);
    assert_int_equal(http_parse_feed(&p, chunked.p, chunked.n, &used), PARSE_MORE);
    assert_int_equal(feed_often(&p, "aaaaaaaaaaaaaaaa", 4u << 20), PARSE_ERROR);
    http_parse_reset(&p);
    assert_int_equal(feed_often(&p, "\r\n", 8192), PARSE_ERROR);
    http_parse_reset(&p);
    assert_int_equal(http_parse_feed(&p, field.p, field.n, &used), PARSE_MORE);
    assert_int_equal(feed_often(&p, "        ", 8192), PARSE_ERROR);
    assert_int_equal(p.status, 431);
    http_parse_fini(&p);
}

/* A large body's memory does not stay with an idle connection. */
static void test_memory_is_given_back(void **state)
{
    (void)state;
    static const struct http_limits large = {
        .max_header_bytes = 32768, .max_headers = 100, .max_body_bytes = 1u << 20};
    struct http_parse p;
    size_t used;
    char *text = malloc(60000);
    int n = sprintf(
        text, "POST / HTTP/1.1\r\nHost: a\r\nx: %020000d\r\nContent-Length: 30000\r\n\r\n%030000d", 0, 0);
    assert_int_equal(http_parse_init(&p, &large), ST_OK);
    assert_int_equal(http_parse_feed(&p, text, (size_t)n, &used), PARSE_DONE);
    assert_int_equal(p.body.n, 30000);
    http_parse_reset(&p);
    assert_true(p.head.cap + p.body.cap <= 16384);
    http_parse_fini(&p);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length_cut_everywhere),
        cmocka_unit_test(test_chunked_cut_everywhere),
        cmocka_unit_test(test_next_request_untouched),
        cmocka_unit_test(test_refused_cut_everywhere),
        cmocka_unit_test(test_nul_refused),
        cmocka_unit_test(test_accepted_cut_everywhere),
        cmocka_unit_test(test_header_limits),
        cmocka_unit_test(test_overhead_limit),
        cmocka_unit_test(test_memory_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* One request after another over real sockets: routes, keep-alive, pipelining, limits and timeouts. */
#include "unit/http/fixture.h"

static void short_limits(struct http_options *o)
{
    o->max_header_bytes = 2048;
    o->max_headers = 8;
    o->max_body_bytes = 1000;
    o->max_connections = 64;
    o->header_timeout_ms = 300;
    o->body_timeout_ms = 300;
    o->idle_timeout_ms = 300;
    o->api_key = "Secret";
}

static int setup_default(void **state)
{
    *state = malloc(sizeof(struct fixture));
    fixture_start(*state, NULL);
    return 0;
}

static int setup_short(void **state)
{
    *state = malloc(sizeof(struct fixture));
    fixture_start(*state, short_limits);
    return 0;
}

static int teardown(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static unsigned occurrences(const char *text, const char *what)
{
    unsigned n = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
}

static void test_routes(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    bool ended;
    assert_int_equal(client_ask_text(f, GET("/hello"), NULL), 200);
    assert_int_equal(client_ask_text(f, GET("/hello?a=b"), NULL), 200);
    assert_int_equal(client_ask_text(f, GET("http://a:1/hello?a=b"), NULL), 200);
    assert_int_equal(client_ask_text(f, GET("http://a"), NULL), 404);
    assert_int_equal(client_ask_text(f, GET("/hello/"), NULL), 404);
    assert_int_equal(client_ask_text(f, GET("/"), NULL), 404);
    assert_int_equal(client_ask_text(f, GET("*"), NULL), 404);
    assert_int_equal(client_ask_text(f, "POST /hello HTTP/1.1\r\nHost: a\r\n\r\n", NULL), 405);
    int fd = client_connect(f);
    client_say(fd, "DELETE /both HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read(fd, answer, sizeof answer, "\r\n\r\n", 2000, &ended);
    assert_non_null(strstr(answer, "HTTP/1.1 405 "));
    assert_non_null(strstr(answer, "\r\nallow: GET,HEAD,POST\r\n"));
    assert_non_null(strstr(answer, "\r\ncontent-length: 0\r\n"));
    /* HEAD is GET without its body; the connection goes on. */
    client_say(fd, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n" GET("/hello"));
    client_read(fd, answer, sizeof answer, "\r\n\r\nhello", 2000, &ended);
    assert_int_equal(occurrences(answer, "content-length: 5\r\n"), 2);
    assert_int_equal(occurrences(answer, "\r\n\r\nhello"), 1);
    assert_int_equal(occurrences(answer, "\r\ndate: "), 2);
    close(fd);
}

static void test_api_key(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(client_ask_text(f, GET("/locked"), NULL), 401);
    assert_int_equal(client_ask_text(f, GET("/hello"), NULL), 200);
    assert_int_equal(
        client_ask_text(f, "GET /locked HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer Secret\r\n\r\n", NULL),
        200);
    assert_int_equal(
        client_ask_text(f, "GET /locked HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer Secre\r\n\r\n", NULL),
        401);
}

static void test_keep_alive(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    bool ended;
    int fd = client_connect(f);
    for (int i = 0; i < 100; i++) {
        client_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_true(client_read(fd, answer, sizeof answer, "\r\n\r\nabc", 2000, &ended) > 0);
        assert_false(ended);
    }
    assert_null(strstr(answer, "connection:"));
    client_say(fd, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client_read(fd, answer, sizeof answer, NULL, 2000, &ended);
    assert_true(ended);
    assert_non_null(strstr(answer, "connection: close\r\n"));
    close(fd);
    fd = client_connect(f);
    client_say(fd, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    client_read(fd, answer, sizeof answer, "hello", 2000, &ended);
    assert_non_null(strstr(answer, "connection: keep-alive\r\n"));
    client_say(fd, "GET /hello HTTP/1.0\r\n\r\n");
    client_read(fd, answer, sizeof answer, NULL, 2000, &ended);
    assert_true(ended);
    close(fd);
}

/* Much more than what is read ahead, while each request needs a worker; no answer is lost and the order is
 * kept. */
static void test_pipelining(void **state)
{
    struct fixture *f = *state;
    enum { N = 3000 };
    static char requests[N * 128], answers[N * 512];
    size_t n = 0;
    bool ended;
    for (int i = 0; i < N; i++)
        n += (size_t)sprintf(requests + n, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n%06d",
                             i % 500 == 5 ? "/work" : "/echo", i);
    int fd = client_connect(f);
    client_send(fd, requests, n);
    client_read(fd, answers, sizeof answers, "\r\n\r\n002999", 10000, &ended);
    assert_false(ended);
    const char *at = answers;
    for (int i = 0; i < N; i++) {
        char want[16];
        sprintf(want, "\r\n\r\n%06d", i);
        at = strstr(at, i % 500 == 5 ? "\r\n\r\nworked" : want);
        if (!at)
            fail_msg("no answer to request %d", i);
    }
    close(fd);
}

static void test_chunked_cut_everywhere(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    char answer[4096];
    bool ended;
    int fd = client_connect(f), one = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        client_send(fd, text, cut);
        usleep(500);
        client_send(fd, text + cut, sizeof text - 1 - cut);
        assert_true(client_read(fd, answer, sizeof answer, "\r\n\r\nhello world", 2000, &ended) > 0);
        assert_false(ended);
    }
    close(fd);
}

static void test_malformed_is_answered_and_closed(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {400, "GET / HTTP/1.1\r\n\r\n" GET("/hello")},
        {400, "GET / HTTP/1.1\nHost: a\n\n"},
        {400, "GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n"},
        {400, "\x16\x03\x01\x02\x00\x01"},
        {400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
              "0\r\n\r\n" GET("/hello")},
        {417, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: a\r\nContent-Length: 5\r\n\r\n"},
        {505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool closed;
        assert_int_equal(client_ask_text(f, cases[i].text, &closed), cases[i].status);
        assert_true(closed);
    }
    assert_int_equal(atomic_load(&f->n_handled), 0); /* nothing was smuggled past */
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    char text[8192], answer[4096];
    bool closed, ended;
    sprintf(text, "GET /%04000d HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    assert_int_equal(client_ask_text(f, text, &closed), 414);
    assert_true(closed);
    sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\nx: %04000d\r\n\r\n", 0);
    assert_int_equal(client_ask_text(f, text, &closed), 431);
    assert_true(closed);
    assert_int_equal(
        client_ask_text(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", &closed), 408);
    /* Announced, and then sent by a client that never looks before it is done. */
    int fd = client_connect(f);
    client_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    for (int i = 0; i < 200; i++)
        client_send(fd, text, 4096);
    client_read(fd, answer, sizeof answer, NULL, 3000, &ended);
    assert_true(ended);
    assert_non_null(strstr(answer, "HTTP/1.1 413 "));
    assert_non_null(strstr(answer, "content-type: text/plain; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "connection: close\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\nFailed to buffer the request body: length limit exceeded"));
    close(fd);
    /* Chunks that grow past it. */
    fd = client_connect(f);
    client_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 101; i++)
        client_say(fd, "a\r\n0123456789\r\n");
    client_read(fd, answer, sizeof answer, NULL, 3000, &ended);
    assert_true(ended);
    assert_non_null(strstr(answer, "HTTP/1.1 413 "));
    close(fd);
}

static void test_expect_continue(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    bool ended;
    int fd = client_connect(f);
    for (int i = 0; i < 2; i++) {
        client_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n");
        client_read(fd, answer, sizeof answer, "\r\n\r\n", 2000, &ended);
        assert_string_equal(answer, "HTTP/1.1 100 Continue\r\n\r\n");
        client_say(fd, "abc");
        assert_true(client_read(fd, answer, sizeof answer, "\r\n\r\nabc", 2000, &ended) > 0);
        assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    }
    close(fd);
}

static void test_slow_clients(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    bool ended;
    uint64_t begin = clock_ns();
    /* a head that never ends, one byte at a time */
    int fd = client_connect(f);
    for (int i = 0; i < 40; i++) {
        client_say(fd, i == 0 ? "GET / HTTP/1.1\r\nHost: a\r\nx:" : "y");
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 20) > 0)
            break;
    }
    client_read(fd, answer, sizeof answer, NULL, 1000, &ended);
    assert_non_null(strstr(answer, "HTTP/1.1 408 "));
    assert_true(ended);
    close(fd);
    /* a body that never ends */
    fd = client_connect(f);
    client_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n");
    for (int i = 0; i < 25; i++) {
        client_say(fd, "y");
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 20) > 0)
            break;
    }
    client_read(fd, answer, sizeof answer, NULL, 1000, &ended);
    assert_non_null(strstr(answer, "HTTP/1.1 408 "));
    assert_true(ended);
    close(fd);
    /* nothing at all: closed without a word, before the first request and after one */
    fd = client_connect(f);
    assert_int_equal(client_read(fd, answer, sizeof answer, NULL, 1000, &ended), 0);
    assert_true(ended);
    close(fd);
    fd = client_connect(f);
    client_say(fd, GET("/hello"));
    client_read(fd, answer, sizeof answer, "hello", 1000, &ended);
    assert_int_equal(client_read(fd, answer, sizeof answer, NULL, 1000, &ended), 0);
    assert_true(ended);
    close(fd);
    assert_true(clock_ns() - begin < 3000000000u);
}

static void test_connection_limit(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    int fds[80];
    bool ended;
    for (int i = 0; i < 80; i++)
        fds[i] = client_connect(f);
    for (int i = 0; i < 80; i++) {
        client_say(fds[i], GET("/hello"));
        client_read(fds[i], answer, sizeof answer, i < 64 ? "hello" : NULL, 2000, &ended);
        assert_int_equal(ended, i >= 64);
        assert_non_null(strstr(answer, i < 64 ? "HTTP/1.1 200 " : "HTTP/1.1 503 "));
        assert_int_equal(strstr(answer, "connection: close\r\n") != NULL, i >= 64);
    }
    for (int i = 0; i < 80; i++)
        close(fds[i]);
    usleep(50000);
    assert_int_equal(client_ask_text(f, GET("/hello"), NULL), 200);
}

/* Who comes beyond the limit is told, and who comes when even the places for that are taken is let go. */
static void test_connection_flood(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    enum { N = 300 };
    int fds[N];
    bool ended;
    for (int i = 0; i < N; i++)
        fds[i] = client_connect(f);
    client_say(fds[0], GET("/hello"));
    client_read(fds[0], answer, sizeof answer, "hello", 2000, &ended);
    assert_non_null(strstr(answer, "HTTP/1.1 200 "));
    for (int i = 64; i < N; i++) {
        client_read(fds[i], answer, sizeof answer, NULL, 4000, &ended);
        assert_true(ended);
        assert_true(*answer == '\0' || strstr(answer, "HTTP/1.1 503 Service Unavailable\r\n"));
    }
    for (int i = 0; i < N; i++)
        close(fds[i]);
    usleep(50000);
    assert_int_equal(client_ask_text(f, GET("/hello"), NULL), 200);
}

/* A client may end its sending half at once; what can be answered at once still arrives whole. */
static void test_half_close(void **state)
{
    struct fixture *f = *state;
    char *answer = malloc(BIG_BYTES + 4096);
    bool ended;
    int fd = client_connect(f);
    client_say(fd, GET("/hello") GET("/big"));
    shutdown(fd, SHUT_WR);
    usleep(100000);
    client_read(fd, answer, BIG_BYTES + 4096, NULL, 3000, &ended);
    assert_true(ended);
    const char *second = strstr(answer, "hello");
    assert_non_null(second);
    const char *body = strstr(second, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strlen(body + 4), BIG_BYTES);
    close(fd);
    free(answer);
    /* What takes time is no longer worth it: an end is how a client says that it has left. */
    fd = client_connect(f);
    client_say(fd, "POST /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(wait_count(&f->n_waiting, 1, 2000));
    shutdown(fd, SHUT_WR);
    assert_true(wait_count(&f->n_gone, 1, 2000));
    close(fd);
}

/* ---- a second port ---- */

static void handle_other(struct http_req *r, void *arg)
{
    struct fixture *f = arg;
    atomic_fetch_add(&f->n_handled, 1);
    http_respond(r, 200, "text/plain", STR("other"), NULL, 0);
}

static const struct http_route other_routes[] = {{"GET", "/other", handle_other, 0}};

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    close(fd);
    return ntohs(at.sin_port);
}

struct second {
    uint16_t port;
    enum status status;
    struct err e;
};

static void listen_too(struct fixture *f, void *arg)
{
    struct second *s = arg;
    s->status = http_server_listen(f->server, s->port, other_routes, 1, &s->e);
}

/* Each port has its own routes; both take part in the drain. */
static void test_second_port(void **state)
{
    struct fixture *f = *state, other;
    struct second s = {.port = free_port()};
    uint32_t cap_ms = 5000;
    char answer[4096];
    bool ended;
    loop_run(f, listen_too, &s);
    assert_int_equal(s.status, ST_OK);
    other = *f;
    other.port = s.port;
    assert_int_equal(client_ask_text(f, GET("/hello"), NULL), 200);
    assert_int_equal(client_ask_text(f, GET("/other"), NULL), 404);
    assert_int_equal(client_ask_text(&other, GET("/other"), NULL), 200);
    assert_int_equal(client_ask_text(&other, GET("/hello"), NULL), 404);
    assert_int_equal(
        client_ask_text(&other, "POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", NULL), 405);
    int idle = client_connect(&other);
    client_say(idle, GET("/other"));
    assert_true(client_read(idle, answer, sizeof answer, "other", 1000, &ended) > 0);
    loop_run(f, drain_now, &cap_ms);
    assert_int_equal(client_read(idle, answer, sizeof answer, NULL, 3000, &ended), 0);
    assert_true(ended);
    close(idle);
    while (!atomic_load(&f->returned)) /* nothing is left to wait for: or the test's time runs out */
        usleep(1000);
}

/* Somebody else's port: an error, and the server goes on. */
static void test_second_port_is_taken(void **state)
{
    struct fixture *f = *state;
    struct second s = {.port = f->port};
    loop_run(f, listen_too, &s);
    assert_int_equal(s.status, ST_IO);
    assert_non_null(strstr(s.e.text, "address already in use"));
    assert_int_equal(client_ask_text(f, GET("/hello"), NULL), 200);
}

/* ---- metrics ---- */

static struct metrics *registry;

static void with_metrics(struct http_options *o)
{
    o->metrics = registry;
}

static int setup_metrics(void **state)
{
    *state = malloc(sizeof(struct fixture));
    assert_int_equal(metrics_new(&registry), ST_OK);
    fixture_start(*state, with_metrics);
    return 0;
}

/* The registry goes before the server does, as in the program. */
static int teardown_metrics(void **state)
{
    struct fixture *f = *state;
    uint32_t cap_ms = 0;
    loop_run(f, drain_now, &cap_ms);
    thread_join(&f->thread);
    metrics_free(registry);
    http_server_free(f->server);
    free(f);
    return 0;
}

static bool tells(const char *line)
{
    struct buf out;
    buf_init(&out, 100000);
    metrics_render(registry, &out);
    buf_put_char(&out, '\0');
    bool found = strstr(out.p, line) != NULL;
    buf_fini(&out);
    return found;
}

static void test_metrics(void **state)
{
    struct fixture *f = *state;
    assert_true(tells("\nprompteur_http_connections 0\n"));
    int fd = client_connect(f);
    char answer[4096];
    bool ended;
    client_say(fd, GET("/hello"));
    assert_true(client_read(fd, answer, sizeof answer, "hello", 1000, &ended) > 0);
    assert_true(tells("\nprompteur_http_connections 1\n"));
    assert_true(tells("{code=\"2xx\"} 1\n") && tells("{code=\"4xx\"} 0\n"));
    char sent[64];
    snprintf(sent, sizeof sent, "\nprompteur_http_sent_bytes_total %zu\n", strlen(answer));
    assert_true(tells(sent));
    assert_int_equal(client_ask_text(f, GET("/nowhere"), NULL), 404);
    assert_int_equal(client_ask_text(f, "rubbish\r\n\r\n", NULL), 400);
    assert_true(tells("{code=\"4xx\"} 2\n"));
    close(fd);
    for (int i = 0; i < 2000 && !tells("\nprompteur_http_connections 0\n"); i++)
        usleep(1000);
    assert_true(tells("\nprompteur_http_connections 0\n"));
}

#define CASE(test, setup) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_routes, setup_default),
        CASE(test_api_key, setup_short),
        CASE(test_keep_alive, setup_default),
        CASE(test_pipelining, setup_default),
        CASE(test_chunked_cut_everywhere, setup_default),
        CASE(test_malformed_is_answered_and_closed, setup_default),
        CASE(test_limits, setup_short),
        CASE(test_expect_continue, setup_default),
        CASE(test_slow_clients, setup_short),
        CASE(test_connection_limit, setup_short),
        CASE(test_connection_flood, setup_short),
        CASE(test_half_close, setup_default),
        CASE(test_second_port, setup_default),
        CASE(test_second_port_is_taken, setup_default),
        cmocka_unit_test_setup_teardown(test_metrics, setup_metrics, teardown_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Answers in parts, clients that leave, readers that do not read, and the end of the server. */
#include "unit/http/fixture.h"
#include <sys/resource.h>

#define AHEAD_AND_MORE (100u << 10) /* and what is not read fits in the kernel: an end comes after it */

static void short_limits(struct http_options *o)
{
    o->stream_comment_ms = 100;
    o->max_output_bytes = 256u << 10;
    o->idle_timeout_ms = 1000;
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

#define POST(path, version, more) "POST " path " HTTP/" version "\r\nHost: a\r\n" more "\r\n"

static void write_text(struct fixture *f, void *arg)
{
    struct http_req *r = http_req_find(f->server, f->waiting);
    assert_non_null(r);
    assert_true(http_stream_write(r, str_from(arg)));
}

static void end_stream(struct fixture *f, void *arg)
{
    (void)arg;
    struct http_req *r = http_req_find(f->server, f->waiting);
    assert_non_null(r);
    http_stream_end(r);
    assert_null(http_req_find(f->server, f->waiting));
}

static void respond_now(struct fixture *f, void *arg)
{
    struct http_req *r = http_req_find(f->server, f->waiting);
    assert_non_null(r);
    http_respond(r, 200, NULL, str_from(arg), NULL, 0);
    assert_null(http_req_find(f->server, f->waiting));
}

static void find_waiting(struct fixture *f, void *arg)
{
    *(bool *)arg = http_req_find(f->server, f->waiting) != NULL;
}

static void test_chunked_stream(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    bool ended;
    int fd = client_connect(f);
    for (unsigned i = 1; i <= 3; i++) {
        client_say(fd, POST("/stream", "1.1", ""));
        assert_true(wait_count(&f->n_waiting, i, 2000));
        loop_run(f, write_text, "data: one\n\n");
        client_read(fd, answer, sizeof answer, "one\n\n\r\n", 2000, &ended); /* each part at once */
        assert_non_null(strstr(answer, "transfer-encoding: chunked\r\n"));
        assert_non_null(strstr(answer, "content-type: text/event-stream\r\n"));
        assert_non_null(strstr(answer, "\r\n\r\nb\r\ndata: one\n\n\r\n"));
        loop_run(f, write_text, "");
        loop_run(f, write_text, "two");
        loop_run(f, end_stream, NULL);
        client_read(fd, answer, sizeof answer, "0\r\n\r\n", 2000, &ended);
        assert_string_equal(answer, "3\r\ntwo\r\n0\r\n\r\n");
        assert_false(ended);
    }
    assert_int_equal(atomic_load(&f->n_gone), 0);
    close(fd);
}

static void test_old_client_stream(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    bool ended;
    int fd = client_connect(f);
    client_say(fd, POST("/stream", "1.0", "Connection: keep-alive\r\n"));
    assert_true(wait_count(&f->n_waiting, 1, 2000));
    loop_run(f, write_text, "one");
    loop_run(f, end_stream, NULL);
    client_read(fd, answer, sizeof answer, NULL, 2000, &ended);
    assert_true(ended);
    assert_null(strstr(answer, "chunked"));
    assert_null(strstr(answer, "content-length"));
    assert_non_null(strstr(answer, "connection: close\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\none"));
    close(fd);
}

static void test_silent_stream_comments(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    bool ended;
    int fd = client_connect(f);
    uint64_t begin = clock_ns();
    client_say(fd, POST("/stream", "1.1", ""));
    client_read(fd, answer, sizeof answer, "3\r\n:\n\n\r\n3\r\n:\n\n\r\n", 2000, &ended);
    assert_non_null(strstr(answer, "\r\n\r\n3\r\n:\n\n\r\n3\r\n:\n\n\r\n"));
    assert_true(clock_ns() - begin >= 190000000u);
    loop_run(f, end_stream, NULL);
    close(fd);
}

/* Within milliseconds, waiting or streaming, closed or reset. */
static void test_client_leaves(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0;
    for (int how = 0; how < 4; how++) {
        int fd = client_connect(f);
        client_say(fd, how & 1 ? POST("/stream", "1.1", "") : POST("/wait", "1.1", ""));
        assert_true(wait_count(&f->n_waiting, n + 1, 2000));
        if (how & 2) {
            struct linger hard = {.l_onoff = 1};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        }
        uint64_t begin = clock_ns();
        close(fd);
        assert_true(wait_count(&f->n_gone, ++n, 2000));
        assert_true(clock_ns() - begin < 200000000u);
        bool found = true;
        loop_run(f, find_waiting, &found);
        assert_false(found);
    }
}

/* Also one that has sent more than is read ahead, so that reading pauses: before the answer has begun and in
 * the middle of it, closed or reset. No write is needed to notice. */
static void test_busy_client_leaves(void **state)
{
    struct fixture *f = *state;
    static char junk[AHEAD_AND_MORE];
    memset(junk, 'G', sizeof junk);
    for (unsigned how = 0; how < 4; how++) {
        int fd = client_connect(f);
        client_say(fd, how & 1 ? POST("/stream", "1.1", "") : POST("/wait", "1.1", ""));
        assert_true(wait_count(&f->n_waiting, how + 1, 2000));
        client_send(fd, junk, sizeof junk); /* what is not read stays in the kernel's buffers */
        usleep(20000);
        assert_int_equal(atomic_load(&f->n_gone), how);
        if (how & 2) {
            struct linger hard = {.l_onoff = 1};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        }
        close(fd);
        assert_true(wait_count(&f->n_gone, how + 1, 3000));
    }
}

static void flood(struct fixture *f, void *arg)
{
    static char part[16384];
    unsigned *n = arg;
    struct http_req *r;
    while (*n < 4000 && (r = http_req_find(f->server, f->waiting))) {
        (*n)++;
        if (!http_stream_write(r, (struct str){part, sizeof part}))
            return;
    }
}

static void test_slow_reader_is_cut(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0;
    int fd = client_connect(f);
    client_say(fd, POST("/stream", "1.1", ""));
    assert_true(wait_count(&f->n_waiting, 1, 2000));
    loop_run(f, flood, &n);
    assert_true(n < 4000); /* far less than 64 MB: what the kernel takes and 256 KiB */
    assert_int_equal(atomic_load(&f->n_gone), 1);
    bool found = true;
    loop_run(f, find_waiting, &found);
    assert_false(found);
    close(fd);
}

/* A whole answer may be larger than the mark for streams, and its reader may take seconds. */
static void read_slowly(struct fixture *f, const char *request, size_t want)
{
    char part[65536];
    size_t n = 0;
    int fd = client_connect(f);
    client_say(fd, request);
    for (ssize_t got; (got = recv(fd, part, sizeof part, 0)) > 0;) {
        n += (size_t)got;
        if (n < 5u << 20)
            usleep(30000);
        if (n > want)
            break;
    }
    assert_true(n > want);
    close(fd);
}

static void test_big_answer_slow_reader(void **state)
{
    read_slowly(*state, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n", BIG_BYTES);
}

/* The second waits for the first to go out: together they may be large, each is whole. */
static void test_big_answers_pipelined(void **state)
{
    read_slowly(*state,
                "GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET /big HTTP/1.1\r\nHost: a\r\n\r\n"
                "GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
                3 * BIG_BYTES);
}

static void test_big_last_answer_slow_reader(void **state)
{
    read_slowly(*state, "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", BIG_BYTES);
}

/* One that reads nothing at all does not stay. */
static void test_big_answer_never_read(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    bool ended;
    int fd = client_connect(f);
    client_say(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    usleep(2500000);
    size_t n = 0;
    do {
        n += (size_t)client_read(fd, answer, sizeof answer, NULL, 3000, &ended);
        answer[0] = 0;
    } while (!ended || recv(fd, answer, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
    assert_true(n < BIG_BYTES);
    close(fd);
}

static void test_work(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    bool ended;
    int fd = client_connect(f);
    client_say(fd, POST("/work", "1.1", ""));
    client_read(fd, answer, sizeof answer, "worked", 2000, &ended);
    assert_non_null(strstr(answer, "\r\n\r\nworked"));
    assert_int_equal(atomic_load(&f->n_done_gone), 0);
    client_say(fd, POST("/work", "1.1", ""));
    assert_true(wait_count(&f->n_waiting, 2, 2000));
    close(fd);
    assert_true(wait_count(&f->n_gone, 1, 90)); /* before the job has ended */
    assert_true(wait_count(&f->n_done, 2, 2000));
    assert_int_equal(atomic_load(&f->n_done_gone), 1);
}

static void test_drain_lets_requests_end(void **state)
{
    struct fixture *f = *state;
    char answer[4096];
    bool ended;
    uint32_t cap_ms = 5000;
    int idle = client_connect(f), waiting = client_connect(f), working = client_connect(f);
    client_say(idle, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read(idle, answer, sizeof answer, "hello", 2000, &ended);
    client_say(working, POST("/work", "1.1", ""));
    assert_true(wait_count(&f->n_waiting, 1, 2000));
    client_say(waiting, POST("/wait", "1.1", ""));
    assert_true(wait_count(&f->n_waiting, 2, 2000));
    loop_run(f, drain_now, &cap_ms);
    assert_int_equal(client_read(idle, answer, sizeof answer, NULL, 1000, &ended), 0);
    assert_true(ended);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(f->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_not_equal(connect(late, (struct sockaddr *)&at, sizeof at), 0);
    close(late);
    client_read(working, answer, sizeof answer, NULL, 2000, &ended);
    assert_true(ended);
    assert_non_null(strstr(answer, "connection: close\r\n"));
    assert_non_null(strstr(answer, "worked"));
    assert_false(atomic_load(&f->returned));
    loop_run(f, respond_now, "late");
    client_read(waiting, answer, sizeof answer, NULL, 2000, &ended);
    assert_true(ended);
    assert_non_null(strstr(answer, "\r\n\r\nlate"));
    close(idle);
    close(waiting);
    close(working);
    for (int i = 0; i < 1000 && !atomic_load(&f->returned); i++)
        usleep(1000);
    assert_true(atomic_load(&f->returned));
    assert_int_equal(atomic_load(&f->n_gone), 0);
}

/* An answer on its way is not cut by a drain that begins meanwhile. */
static void test_drain_lets_bytes_out(void **state)
{
    struct fixture *f = *state;
    char *answer = malloc(BIG_BYTES + 4096);
    bool ended;
    uint32_t cap_ms = 5000;
    int fd = client_connect(f);
    client_say(fd, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    usleep(100000);
    loop_run(f, drain_now, &cap_ms);
    usleep(100000);
    assert_true(client_read(fd, answer, BIG_BYTES + 4096, NULL, 3000, &ended) > (ssize_t)BIG_BYTES);
    assert_true(ended);
    close(fd);
    free(answer);
}

static void test_drain_cap(void **state)
{
    struct fixture *f = *state;
    uint32_t cap_ms = 60000;
    int fd = client_connect(f);
    client_say(fd, POST("/wait", "1.1", ""));
    assert_true(wait_count(&f->n_waiting, 1, 2000));
    loop_run(f, drain_now, &cap_ms);
    cap_ms = 200; /* a second call shortens the wait */
    loop_run(f, drain_now, &cap_ms);
    usleep(100000);
    assert_int_equal(atomic_load(&f->n_gone), 0);
    assert_true(wait_count(&f->n_gone, 1, 1000));
    for (int i = 0; i < 1000 && !atomic_load(&f->returned); i++)
        usleep(1000);
    assert_true(atomic_load(&f->returned));
    close(fd);
}

static size_t resident_bytes(void)
{
    unsigned long total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Connections that have each sent a large request and are idle again. */
static void test_idle_connections_are_small(void **state)
{
    enum { N = 1000, BODY = 60000 };
    struct fixture *f = *state;
    static char request[BODY + 256], answer[BODY + 4096];
    int *fds = malloc(N * sizeof *fds);
    struct rlimit files;
    bool ended;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < 2 * N + 100) {
        print_message("skipped: only %lu open files allowed\n", (unsigned long)files.rlim_cur);
        free(fds);
        skip();
    }
    int n = sprintf(request, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%0*dend", BODY + 3,
                    BODY, 0);
    fds[0] = client_connect(f); /* what is made once */
    client_send(fds[0], request, (size_t)n);
    client_read(fds[0], answer, sizeof answer, "end", 5000, &ended);
    size_t before = resident_bytes();
    for (int i = 1; i < N; i++) {
        fds[i] = client_connect(f);
        client_send(fds[i], request, (size_t)n);
        assert_true(client_read(fds[i], answer, sizeof answer, "end", 5000, &ended) > 0);
    }
    size_t grown = resident_bytes() - before;
    print_message("%zu bytes for each idle connection\n", grown / N);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(grown < 64u << 20);
    assert_true(grown / N < 12000);
#endif
    for (int i = 0; i < N; i++)
        close(fds[i]);
    free(fds);
}

#define CASE(test, setup) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: later ones leave free memory behind, which would hide growth */
        CASE(test_idle_connections_are_small, setup_default),
        CASE(test_chunked_stream, setup_default),
        CASE(test_old_client_stream, setup_default),
        CASE(test_silent_stream_comments, setup_short),
        CASE(test_client_leaves, setup_default),
        CASE(test_busy_client_leaves, setup_default),
        CASE(test_slow_reader_is_cut, setup_short),
        CASE(test_big_answer_slow_reader, setup_default),
        CASE(test_big_answers_pipelined, setup_default),
        CASE(test_big_last_answer_slow_reader, setup_default),
        CASE(test_big_answer_never_read, setup_short),
        CASE(test_work, setup_default),
        CASE(test_drain_lets_requests_end, setup_default),
        CASE(test_drain_lets_bytes_out, setup_default),
        CASE(test_drain_cap, setup_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

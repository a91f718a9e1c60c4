/* A real server on a free loopback port in a thread of its own, and raw sockets against it. */
#ifndef TESTS_UNIT_HTTP_FIXTURE_H
#define TESTS_UNIT_HTTP_FIXTURE_H

#include "base/clock.h"
#include "base/thread.h"
#include "http/server.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct http_server *server;
    struct thread thread;
    struct inbox *inbox;
    uint16_t port;
    struct http_handle waiting; /* the last request of /wait or /stream; loop thread */
    _Atomic unsigned n_waiting, n_gone, n_done, n_done_gone, n_handled;
    _Atomic bool returned; /* http_server_run() */
};

/* One call on the loop thread, waited for. */
struct loop_call {
    struct inbox_node node;
    void (*fn)(struct fixture *f, void *arg);
    void *arg;
    sem_t done;
};

static inline void on_loop_call(void *arg, struct inbox_node *node)
{
    struct loop_call *call = (struct loop_call *)node;
    call->fn(arg, call->arg);
    sem_post(&call->done);
}

static inline void loop_run(struct fixture *f, void (*fn)(struct fixture *f, void *arg), void *arg)
{
    struct loop_call call = {.fn = fn, .arg = arg};
    sem_init(&call.done, 0, 0);
    inbox_post(f->inbox, &call.node);
    while (sem_wait(&call.done) != 0)
        ;
    sem_destroy(&call.done);
}

/* ---- handlers ---- */

static inline void handle_hello(struct http_req *r, void *arg)
{
    struct fixture *f = arg;
    atomic_fetch_add(&f->n_handled, 1);
    http_respond(r, 200, "text/plain; charset=utf-8", STR("hello"), NULL, 0);
}

static inline void handle_echo(struct http_req *r, void *arg)
{
    struct fixture *f = arg;
    atomic_fetch_add(&f->n_handled, 1);
    http_respond(r, 200, "application/octet-stream", http_req_body(r), NULL, 0);
}

static inline void count_gone(void *arg)
{
    struct fixture *f = arg;
    atomic_fetch_add(&f->n_gone, 1);
}

static inline void handle_wait(struct http_req *r, void *arg)
{
    struct fixture *f = arg;
    f->waiting = http_req_handle(r);
    http_req_on_gone(r, count_gone, f);
    atomic_fetch_add(&f->n_waiting, 1);
}

static inline void handle_stream(struct http_req *r, void *arg)
{
    struct fixture *f = arg;
    handle_wait(r, arg);
    (void)f;
    http_stream_begin(r, 200, "text/event-stream", NULL, 0);
}

struct job_arg {
    struct fixture *f;
    struct http_handle h;
};

static inline void job_sleep(void *arg)
{
    (void)arg;
    usleep(100000);
}

static inline void job_answer(void *arg)
{
    struct job_arg *j = arg;
    struct http_req *r = http_req_find(j->f->server, j->h);
    if (r)
        http_respond(r, 200, NULL, STR("worked"), NULL, 0);
    else
        atomic_fetch_add(&j->f->n_done_gone, 1);
    atomic_fetch_add(&j->f->n_done, 1);
    free(j);
}

static inline void handle_work(struct http_req *r, void *arg)
{
    struct fixture *f = arg;
    struct job_arg *j = malloc(sizeof *j);
    *j = (struct job_arg){f, http_req_handle(r)};
    http_req_on_gone(r, count_gone, f);
    if (http_server_work(f->server, job_sleep, job_answer, j, NULL) != ST_OK)
        abort();
    atomic_fetch_add(&f->n_waiting, 1);
}

#define BIG_BYTES (12u << 20)

static inline void handle_big(struct http_req *r, void *arg)
{
    (void)arg;
    char *p = malloc(BIG_BYTES);
    memset(p, 'x', BIG_BYTES);
    http_respond(r, 200, NULL, (struct str){p, BIG_BYTES}, NULL, 0);
    free(p);
}

static const struct http_route fixture_routes[] = {
    {"GET", "/hello", handle_hello, 0},
    {"POST", "/echo", handle_echo, 0},
    {"GET", "/both", handle_hello, 0},
    {"POST", "/both", handle_echo, 0},
    {"POST", "/wait", handle_wait, 0},
    {"POST", "/stream", handle_stream, 0},
    {"POST", "/work", handle_work, 0},
    {"GET", "/big", handle_big, 0},
    {"GET", "/locked", handle_hello, HTTP_ROUTE_PROTECTED},
};

/* ---- the server ---- */

static inline void fixture_thread(void *arg)
{
    struct fixture *f = arg;
    http_server_run(f->server);
    atomic_store(&f->returned, true);
}

static inline void fixture_start(struct fixture *f, void (*change)(struct http_options *o))
{
    struct err e;
    struct http_options o = http_options_default();
    memset(f, 0, sizeof *f);
    o.host = "127.0.0.1";
    o.routes = fixture_routes;
    o.n_routes = sizeof fixture_routes / sizeof *fixture_routes;
    o.arg = f;
    if (change)
        change(&o);
    assert_int_equal(http_server_new(&o, &f->server, &e), ST_OK);
    assert_int_equal(http_server_inbox(f->server, on_loop_call, f, &f->inbox, &e), ST_OK);
    f->port = http_server_port(f->server);
    assert_int_not_equal(f->port, 0);
    assert_int_equal(thread_start(&f->thread, "http-test", fixture_thread, f, &e), ST_OK);
}

static inline void drain_now(struct fixture *f, void *arg)
{
    http_server_drain(f->server, *(uint32_t *)arg);
}

static inline void fixture_stop(struct fixture *f)
{
    uint32_t cap_ms = 0;
    if (!atomic_load(&f->returned))
        loop_run(f, drain_now, &cap_ms);
    thread_join(&f->thread);
    http_server_free(f->server);
}

static inline bool wait_count(const _Atomic unsigned *n, unsigned want, unsigned timeout_ms)
{
    uint64_t end = clock_ns() + timeout_ms * 1000000ull;
    while (atomic_load(n) < want && clock_ns() < end)
        usleep(1000);
    return atomic_load(n) >= want;
}

/* ---- the client ---- */

static inline int client_connect(const struct fixture *f)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(f->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* Stops early when the server closes: some tests want that. */
static inline void client_send(int fd, const void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t sent = send(fd, (const char *)p + at, n - at, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += (size_t)sent;
    }
}

static inline void client_say(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

/* Reads until `stop` was seen (NULL: until the end) or nothing came for timeout_ms. NUL-terminated; -1 when
 * the time ran out, else bytes read; *ended tells whether the server closed. */
static inline ssize_t client_read(int fd, char *out, size_t cap, const char *stop, int timeout_ms,
                                  bool *ended)
{
    size_t n = 0;
    *ended = false;
    out[0] = '\0';
    for (;;) {
        if (stop && memmem(out, n, stop, strlen(stop)))
            return (ssize_t)n;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, timeout_ms) <= 0)
            return -1;
        ssize_t got = n + 1 < cap ? recv(fd, out + n, cap - 1 - n, 0) : 0;
        if (got <= 0) {
            *ended = true;
            return (ssize_t)n;
        }
        n += (size_t)got;
        out[n] = '\0';
    }
}

/* The status of the first answer to these bytes, 0 when there is none; *closed tells whether the server then
 * ends. */
static inline int client_ask(const struct fixture *f, const void *bytes, size_t n, bool *closed)
{
    char answer[65536];
    bool ended;
    int fd = client_connect(f), status = 0;
    client_send(fd, bytes, n);
    client_read(fd, answer, sizeof answer, "\r\n\r\n", 3000, &ended);
    if (strncmp(answer, "HTTP/1.1 ", 9) == 0)
        status = atoi(answer + 9);
    if (!ended)
        client_read(fd, answer, sizeof answer, NULL, closed ? 300 : 0, &ended);
    if (closed)
        *closed = ended;
    close(fd);
    return status;
}

static inline int client_ask_text(const struct fixture *f, const char *text, bool *closed)
{
    return client_ask(f, text, strlen(text), closed);
}

#endif

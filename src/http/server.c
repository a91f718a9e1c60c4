/* The server: loop, listening, draining, signals, inboxes, worker jobs. */
#define LOG_MODULE "http"
#include "base/log.h"
#include "http/http_int.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define BACKLOG     1024
#define OTHER_FILES 256 /* the program's own: weights, pipes, what it serves them with */

struct http_options http_options_default(void)
{
    return (struct http_options){
        .max_connections = 4096,
        .max_header_bytes = 32u << 10,
        .max_headers = 100,
        .max_body_bytes = 2000000,
        .max_output_bytes = 1u << 20,
        .header_timeout_ms = 10000,
        .body_timeout_ms = 60000,
        .idle_timeout_ms = 75000,
        .stream_comment_ms = 15000,
    };
}

static void on_connection(uv_stream_t *tcp, int status)
{
    if (status == 0)
        conn_accept(tcp->data);
}

static enum status listen_on(struct listener *l, struct err *e)
{
    struct sockaddr_storage at;
    const char *host = l->server->o.host;
    int n = sizeof at, code;
    if (uv_ip4_addr(host, l->port, (struct sockaddr_in *)&at) != 0 &&
        uv_ip6_addr(host, l->port, (struct sockaddr_in6 *)&at) != 0)
        return err_set(e, ST_INVALID, "`%s` is not an IP address", host);
    code = uv_tcp_bind(&l->tcp, (struct sockaddr *)&at, 0);
    if (code == 0)
        code = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
    if (code == 0)
        code = uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&at, &n);
    if (code != 0)
        return err_set(e, ST_IO, "cannot listen on %s port %u: %s", host, l->port, uv_strerror(code));
    l->port = at.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&at)->sin6_port)
                                       : ntohs(((struct sockaddr_in *)&at)->sin_port);
    return ST_OK;
}

/* A connection is an open file; many systems allow 1,024 unless one asks. Where not even asking helps, fewer
 * connections are served, so that those beyond are told. */
static void files_allow(struct http_server *s)
{
    struct rlimit files;
    rlim_t want = (rlim_t)s->o.max_connections + CONN_REFUSED_MAX + OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    if (files.rlim_cur < want) {
        files.rlim_cur = files.rlim_max < want ? files.rlim_max : want;
        (void)!setrlimit(RLIMIT_NOFILE, &files);
    }
    rlim_t others = CONN_REFUSED_MAX + OTHER_FILES;
    if (files.rlim_cur >= want)
        return;
    s->o.max_connections = files.rlim_cur > others ? (uint32_t)(files.rlim_cur - others) : 1;
    log_warn("%" PRIu32 " connections at most: this process may open %llu files", s->o.max_connections,
             (unsigned long long)files.rlim_cur);
}

enum status http_server_listen(struct http_server *s, uint16_t port, const struct http_route *routes,
                               size_t n_routes, struct err *e)
{
    BUG_ON(s->n_listener == MAX_LISTENERS);
    struct listener *l = &s->listener[s->n_listener++];
    *l = (struct listener){.server = s, .routes = routes, .n_routes = n_routes, .port = port};
    uv_tcp_init(&s->loop, &l->tcp);
    l->tcp.data = l;
    enum status st = listen_on(l, e);
    if (st != ST_OK)
        uv_close((uv_handle_t *)&l->tcp, NULL);
    return st;
}

enum status http_server_new(const struct http_options *o, struct http_server **out, struct err *e)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (!s || uv_loop_init(&s->loop) != 0) {
        free(s);
        return err_set(e, ST_NO_MEMORY, "no memory for an HTTP server");
    }
    s->o = *o;
    s->limits = (struct http_limits){o->max_header_bytes, o->max_headers, o->max_body_bytes};
    files_allow(s);
    s->n_slot = s->o.max_connections + CONN_REFUSED_MAX;
    s->conn = calloc(s->n_slot, sizeof *s->conn);
    s->generation = calloc(s->n_slot, sizeof *s->generation);
    uv_timer_init(&s->loop, &s->drain_timer);
    s->drain_timer.data = s;
    signal(SIGPIPE, SIG_IGN);
    enum status st = watch_open(s) && s->conn && s->generation && wire_metrics_add(s) == ST_OK
                         ? http_server_listen(s, o->port, o->routes, o->n_routes, e)
                         : err_set(e, ST_NO_MEMORY, "no memory for connections");
    if (st != ST_OK) {
        http_server_free(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    memset(s->metric, 0, sizeof s->metric); /* the registry may be gone */
    for (unsigned i = 0; i < s->n_inbox;
         i++) /* first: what was posted since the loop ended has no reader any more */
        uv_close((uv_handle_t *)&s->inbox[i].async, NULL);
    for (uint32_t i = 0; s->conn && i < s->n_slot; i++)
        if (s->conn[i])
            conn_close(s->conn[i]);
    uv_run(&s->loop, UV_RUN_NOWAIT);
    uv_walk(&s->loop, close_handle, NULL);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    uv_loop_close(&s->loop);
    watch_close(s);
    free(s->conn);
    free(s->generation);
    free(s);
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->listener[0].port;
}

void http_server_run(struct http_server *s)
{
    uv_run(&s->loop, UV_RUN_DEFAULT);
}

/* ---- drain ---- */

bool http_server_draining(const struct http_server *s)
{
    return s->draining;
}

void server_close_if_done(struct http_server *s)
{
    if (s->draining && s->n_conn == 0 && s->n_work == 0)
        uv_stop(&s->loop);
}

static void drain_cap(uv_timer_t *t)
{
    struct http_server *s = t->data;
    for (uint32_t i = 0; i < s->n_slot; i++)
        if (s->conn[i])
            conn_close(s->conn[i]);
    server_close_if_done(s);
}

void http_server_drain(struct http_server *s, uint32_t cap_ms)
{
    uv_update_time(&s->loop); /* the cap counts from now, not from when this turn of the loop began */
    if (s->draining) {
        if (cap_ms < uv_timer_get_due_in(&s->drain_timer))
            uv_timer_start(&s->drain_timer, drain_cap, cap_ms, 0);
        return;
    }
    s->draining = true;
    for (unsigned i = 0; i < s->n_listener; i++)
        close_handle((uv_handle_t *)&s->listener[i].tcp, NULL);
    for (uint32_t i = 0; i < s->n_slot; i++)
        if (s->conn[i] && (s->conn[i]->state == CONN_IDLE || s->conn[i]->state == CONN_LINGERING))
            conn_finish(s->conn[i]);
    uv_timer_start(&s->drain_timer, drain_cap, cap_ms, 0);
    server_close_if_done(s);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *h, int number)
{
    struct http_server *s = h->data;
    s->on_signal(s->signal_arg, number);
}

enum status http_server_on_signal(struct http_server *s, void (*fn)(void *arg, int signal), void *arg,
                                  struct err *e)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    s->on_signal = fn;
    s->signal_arg = arg;
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&s->loop, &s->signal[i]);
        s->signal[i].data = s;
        int code = uv_signal_start(&s->signal[i], on_signal, numbers[i]);
        if (code != 0)
            return err_set(e, ST_IO, "cannot listen for signals: %s", uv_strerror(code));
    }
    return ST_OK;
}

/* ---- messages and jobs ---- */

static void inbox_wake(void *arg)
{
    uv_async_send(arg);
}

static void on_inbox(uv_async_t *h)
{
    struct inbox_port *port = h->data;
    struct inbox_node *node = inbox_take(&port->inbox);
    while (node) {
        struct inbox_node *next = node->next;
        port->fn(port->arg, node);
        node = next;
    }
}

enum status http_server_inbox(struct http_server *s, void (*fn)(void *arg, struct inbox_node *node),
                              void *arg, struct inbox **out, struct err *e)
{
    if (s->n_inbox == MAX_INBOXES)
        return err_set(e, ST_LIMIT, "more than %d inboxes", MAX_INBOXES);
    struct inbox_port *port = &s->inbox[s->n_inbox++];
    port->fn = fn;
    port->arg = arg;
    uv_async_init(&s->loop, &port->async, on_inbox);
    port->async.data = port;
    inbox_init(&port->inbox, inbox_wake, &port->async);
    *out = &port->inbox;
    return ST_OK;
}

struct job {
    uv_work_t req;
    struct http_server *server;
    void (*work)(void *arg), (*done)(void *arg);
    void *arg;
};

static void job_work(uv_work_t *req)
{
    struct job *j = req->data;
    j->work(j->arg);
}

static void job_done(uv_work_t *req, int status)
{
    struct job *j = req->data;
    (void)status; /* jobs are never cancelled */
    j->done(j->arg);
    j->server->n_work--;
    server_close_if_done(j->server);
    free(j);
}

enum status http_server_work(struct http_server *s, void (*work)(void *arg), void (*done)(void *arg),
                             void *arg, struct err *e)
{
    struct job *j = malloc(sizeof *j);
    if (!j)
        return err_set(e, ST_NO_MEMORY, "no memory for a job");
    *j = (struct job){.server = s, .work = work, .done = done, .arg = arg};
    j->req.data = j;
    int code = uv_queue_work(&s->loop, &j->req, job_work, job_done);
    if (code != 0) {
        free(j);
        return err_set(e, ST_INTERNAL, "cannot queue a job: %s", uv_strerror(code));
    }
    s->n_work++;
    return ST_OK;
}

void http_server_set_workers(unsigned n)
{
    char text[16];
    snprintf(text, sizeof text, "%u", n);
    setenv("UV_THREADPOOL_SIZE", text, 1);
}

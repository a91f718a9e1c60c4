/* The HTTP server: one I/O loop on the thread that calls http_server_run(), connections with limits
 * everywhere, a table of routes, worker jobs, timers, signals, inboxes. HTTP/1.0 and 1.1, strict (RFC 9112);
 * what is not served is refused.
 *
 * All functions are for the loop thread (or for any one thread before run and after it returned), but
 * http_server_call() and inbox_post(), which any thread may use while the server exists. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "base/inbox.h"
#include "http/request.h"

enum http_route_flag {
    HTTP_ROUTE_AUTH = 1,   /* options.authorize decides before the body is read */
    HTTP_ROUTE_PREFIX = 2, /* `path` ends in `/` and stands for all paths that begin with it */
};

/* A row of the table. HEAD is answered by GET rows. Unknown path: 404, empty body; known path, other method:
 * 405, empty body, `allow`. The first match wins. */
struct http_route {
    const char *method; /* "GET", "POST", ... */
    const char *path;   /* compared byte for byte */
    void (*handler)(struct http_req *req);
    unsigned flags;        /* of http_route_flag; 1 << 16 and above are the caller's own */
    size_t body_max_bytes; /* 0: options.body_max_bytes */
    const void *data;      /* the caller's own */
};

/* Start from http_options_default(). All strings and tables are borrowed for the server's life. */
struct http_options {
    const struct http_route *route;
    unsigned n_route;
    void *app; /* http_server_app() */

    const struct http_header *default_header; /* on every answer, errors included */
    unsigned n_default_header;
    /* Called for every well-formed request before its route, also when none matches (for request ids and
     * CORS). Returns true when it has answered. May add headers. NULL: none. */
    bool (*on_request)(struct http_req *req);
    /* For HTTP_ROUTE_AUTH routes, once the headers are there: 0 to go on, or the status of an empty answer
     * (401). The body is then read past, not kept. NULL: all allowed. */
    int (*authorize)(const struct http_req *req);

    unsigned backlog;
    unsigned max_connections;  /* one more is answered 503 and closed */
    size_t uri_max_bytes;      /* 414 */
    size_t header_max_bytes;   /* request line and headers: 431 */
    unsigned header_max_count; /* 431 */
    size_t body_max_bytes;     /* 413 */
    size_t request_max_bytes;  /* a request's arena */
    size_t response_max_bytes; /* one whole answer */
    size_t output_max_bytes;   /* high-water mark: unsent bytes of a stream */
    size_t read_ahead_bytes;   /* pipelined bytes kept while a request runs; then reading pauses */

    unsigned header_timeout_ms; /* from a request's first byte to its last header: 408 */
    unsigned body_timeout_ms;   /* the whole body: 408 */
    unsigned idle_timeout_ms;   /* before the first byte of a next request; then closed without a word */
    unsigned send_timeout_ms;   /* unsent bytes and no progress */
    unsigned linger_ms;         /* after an error: input read past so that the client sees the answer */
    unsigned sse_keep_alive_ms;
};

void http_options_default(struct http_options *o);

MUST_CHECK enum status http_server_new(const struct http_options *o, struct http_server **out, struct err *e);
/* After run has returned, or without a run. Cuts what is left; every inbox is emptied into its callback a
 * last time, so posting threads must be gone. */
void http_server_free(struct http_server *s);
void *http_server_app(const struct http_server *s);
const struct http_options *http_server_options(const struct http_server *s);

/* Listens on an IP literal; port 0 takes a free one; *real_port (may be NULL) is what was taken. Several
 * addresses are possible (at most 4); `tag` tells requests apart. */
MUST_CHECK enum status http_server_listen(struct http_server *s, const char *ip, uint16_t port, unsigned tag,
                                          uint16_t *real_port, struct err *e);

/* Runs until a drain is done. */
MUST_CHECK enum status http_server_run(struct http_server *s, struct err *e);

/* Stops listening, closes idle connections, lets running requests finish (answers say `connection: close`),
 * then run returns. After `cap_ms` what is left is cut (HTTP_CLOSE_SHUTDOWN). A second call can only shorten
 * the cap. */
void http_server_drain(struct http_server *s, unsigned cap_ms);
bool http_server_draining(const struct http_server *s);

/* Runs fn(arg) on the loop thread soon. Any thread. ST_NO_MEMORY otherwise. */
MUST_CHECK enum status http_server_call(struct http_server *s, void (*fn)(void *arg), void *arg);

/* `fn` runs on the loop thread for each arrival of the signal. At most 8. */
MUST_CHECK enum status http_server_on_signal(struct http_server *s, int signal,
                                             void (*fn)(void *arg, int signal), void *arg, struct err *e);

/* An inbox whose messages are handed one by one to on_message(arg, node) on the loop thread; the callback
 * owns the node. Lives as long as the server. */
MUST_CHECK enum status http_server_inbox(struct http_server *s,
                                         void (*on_message)(void *arg, struct inbox_node *node), void *arg,
                                         struct inbox **out, struct err *e);

/* fn(arg) on a worker thread, then done(arg, req) on the loop, exactly once. When `h` names a request, its
 * memory (views, arena) stays until done has returned even if the client leaves meanwhile (on_close comes at
 * once all the same); `req` is then NULL, as for a handle of none. While fn runs, nobody else may use the
 * request's arena, and answering is for done. */
MUST_CHECK enum status http_work(struct http_server *s, struct http_handle h, void (*fn)(void *arg),
                                 void (*done)(void *arg, struct http_req *req), void *arg);

/* Timers. `period_ms` 0: once. Timers do not keep run from returning. Stopped and freed with the server at
 * the latest. */
struct http_timer;
MUST_CHECK enum status http_timer_new(struct http_server *s, void (*fn)(void *arg), void *arg,
                                      struct http_timer **out);
void http_timer_start(struct http_timer *t, unsigned delay_ms, unsigned period_ms);
void http_timer_stop(struct http_timer *t);
void http_timer_free(struct http_timer *t); /* also from inside its own fn */

struct http_stats {
    unsigned connections; /* open now */
    unsigned requests;    /* in flight now */
    uint64_t accepted, refused, answered;
};
void http_server_stats(const struct http_server *s, struct http_stats *out);

#endif

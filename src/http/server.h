/* HTTP/1.1 server: one loop thread, strict parsing, bounded everything. libuv and llhttp stay behind this
 * header.
 *
 * Everything here belongs to the loop thread (the one that calls http_server_run), except http_server_stop()
 * and the inbox. A request in flight is named by a handle: http_req_find() gives NULL once its client has
 * gone or its response has ended, so that late answers are harmless. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/inbox.h"
#include "base/metrics.h"

struct http_server;
struct http_req;

struct http_handle {
    uint32_t slot, generation; /* generation 0: none */
};

struct http_header {
    struct str name, value;
};

enum http_route_flag {
    HTTP_ROUTE_PROTECTED = 1, /* needs the server's API key, when it has one */
};

struct http_route {
    const char *method; /* "GET" (serves HEAD too), "POST" */
    const char *path;   /* exact */
    void (*handle)(struct http_req *req, void *arg);
    unsigned flags;
};

struct http_options {
    const char *host; /* IP literal */
    uint16_t port;    /* 0: a free one */
    const struct http_route *routes;
    size_t n_routes;
    void *arg; /* for handlers */

    uint32_t max_connections;
    uint32_t max_header_bytes, max_headers; /* request line and headers together; 431 beyond */
    uint64_t max_body_bytes;                /* 413 beyond */
    uint64_t max_output_bytes; /* unsent bytes of one connection; beyond it the connection is cut */
    uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms;
    uint32_t stream_comment_ms; /* a stream that is silent this long gets the SSE comment ":\n\n" */

    const char *api_key;              /* NULL: no key needed */
    const char *const *allow_origins; /* CORS: exact origins, NULL: any */
    size_t n_allow_origins;
    struct metrics *metrics; /* where the server registers its own, NULL: nowhere; until the run has ended */
};

/* Sensible limits; the caller fills host, port, routes and arg. */
struct http_options http_options_default(void);

/* Binds and listens at once. Borrows what the options point to. */
MUST_CHECK enum status http_server_new(const struct http_options *o, struct http_server **out, struct err *e);
/* After the run has ended and nobody posts any more; messages still in the inboxes are not delivered. */
void http_server_free(struct http_server *s);
uint16_t http_server_port(const struct http_server *s);
/* A second port, on the same host, with routes of its own and the same `arg`; at most one. It shares
 * connections, limits and drain with the first. */
MUST_CHECK enum status http_server_listen(struct http_server *s, uint16_t port,
                                          const struct http_route *routes, size_t n_routes, struct err *e);
/* Until a drain has ended. */
void http_server_run(struct http_server *s);
/* Stops accepting, closes idle connections, lets running requests finish for at most cap_ms, then cuts them.
 * A second call can only shorten the cap. */
void http_server_drain(struct http_server *s, uint32_t cap_ms);
bool http_server_draining(const struct http_server *s);
/* SIGTERM and SIGINT, on the loop thread. A second one reaches it too. */
MUST_CHECK enum status http_server_on_signal(struct http_server *s, void (*fn)(void *arg, int signal),
                                             void *arg, struct err *e);
/* An inbox whose messages are handed to `fn` on the loop thread, oldest first. At most 4 per server. */
MUST_CHECK enum status http_server_inbox(struct http_server *s,
                                         void (*fn)(void *arg, struct inbox_node *node), void *arg,
                                         struct inbox **out, struct err *e);
/* Runs work(arg) on a worker thread, then done(arg) on the loop thread. */
MUST_CHECK enum status http_server_work(struct http_server *s, void (*work)(void *arg),
                                        void (*done)(void *arg), void *arg, struct err *e);
/* Worker threads of the process; before the first http_server_work(). */
void http_server_set_workers(unsigned n);

/* ---- requests ---- */

struct http_handle http_req_handle(const struct http_req *r);
struct http_req *http_req_find(struct http_server *s, struct http_handle h);
struct http_server *http_req_server(const struct http_req *r);
struct str http_req_method(const struct http_req *r);
struct str http_req_path(const struct http_req *r);
struct str http_req_body(const struct http_req *r);
/* First header of that name, any case; empty when absent. */
struct str http_req_header(const struct http_req *r, const char *name);
/* Dies when the response has ended. */
struct arena *http_req_arena(struct http_req *r);
/* Called at most once when the client goes (or is cut) before the response has ended; the request is then
 * gone. */
void http_req_on_gone(struct http_req *r, void (*fn)(void *arg), void *arg);

/* ---- responses: exactly one per request ---- */

/* `type` NULL: no body type. Extra headers are ASCII and checked by nobody: never from outside. */
void http_respond(struct http_req *r, unsigned status, const char *type, struct str body,
                  const struct http_header *headers, size_t n_headers);
/* A response of unknown length, each write goes out at once. */
void http_stream_begin(struct http_req *r, unsigned status, const char *type,
                       const struct http_header *headers, size_t n_headers);
/* False: the client does not keep up or has gone; the request has ended (on_gone was called) and must not be
 * used. */
bool http_stream_write(struct http_req *r, struct str bytes);
void http_stream_end(struct http_req *r);

#endif

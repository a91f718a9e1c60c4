/* A request and its answer, as handlers see them. Everything here runs on the loop thread.
 *
 * A handler gets a whole request (body included). It either answers before it returns, or keeps
 * `req->handle`, returns, and answers later from a message, a timer or a worker's `done`: http_req_get()
 * gives the request back, or NULL when it is over. A request ends exactly once: by http_respond(), by
 * http_stream_end(), or by the client (or a limit), and then `on_close` says why. After the end the pointer
 * and everything in its arena are invalid. No call here ever runs another handler or an `on_close` before it
 * returns. */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "base/arena.h"
#include "base/str.h"

struct http_server;
struct http_route;

/* Names a request in flight; never reused within 2^32 requests of one connection slot. */
struct http_handle {
    uint32_t slot, generation; /* generation 0: none */
};

struct http_header {
    struct str name, value;
};

/* Why a request ended without its own end. */
enum http_close {
    HTTP_CLOSE_CLIENT,    /* the peer closed (also only its sending half) or the connection broke */
    HTTP_CLOSE_OVERFLOW,  /* the reader was too slow: output passed `output_max_bytes` */
    HTTP_CLOSE_TIMEOUT,   /* nothing could be sent for `send_timeout_ms` */
    HTTP_CLOSE_SHUTDOWN,  /* the drain's cap elapsed */
    HTTP_CLOSE_NO_MEMORY, /* the answer could not be built */
};
const char *http_close_name(enum http_close why);

struct http_req {
    struct http_handle handle;
    struct http_server *server;
    const struct http_route *route; /* NULL in on_request when no route matches */

    struct str method;
    struct str path;  /* as sent: not percent-decoded */
    struct str query; /* after `?`, without it; may be empty */
    const struct http_header *header;
    unsigned n_header;
    struct str body; /* empty when the route was not found or refused */
    bool http10, head;
    unsigned listener;    /* the `tag` of the listening address */
    uint64_t received_ns; /* clock_ns() when the last byte of the request was there */

    struct arena arena; /* dies with the request; at most options.request_max_bytes */
    void *user;         /* the handler's own */
    /* Called once when the request ends in any way but http_respond() or http_stream_end(). The request is
     * still readable, answering does nothing; the handle gives NULL already. */
    void (*on_close)(struct http_req *req, enum http_close why);
};

/* NULL when the request is over. Loop thread. */
struct http_req *http_req_get(struct http_server *s, struct http_handle h);

/* The first header of that name (ASCII case ignored); .p is NULL when there is none. */
struct str http_req_header(const struct http_req *req, struct str name);

/* Adds one header to the answer that has not begun yet; copies both. Not for content-length,
 * transfer-encoding, connection and date: those are written here. ST_INVALID when the name is no token or the
 * value holds control bytes, ST_LIMIT past 8 KiB in all, ST_CANCELLED when the answer has begun. */
MUST_CHECK enum status http_add_header(struct http_req *req, struct str name, struct str value);

/* The whole answer; ends the request. Copies. An empty `content_type` writes no such header. A body past
 * options.response_max_bytes becomes an empty 500. */
void http_respond(struct http_req *req, int status, struct str content_type, struct str body);

/* An answer in parts: chunked, or ended by closing for HTTP/1.0 clients. Each part is sent at once. A write
 * past options.output_max_bytes unsent bytes returns ST_LIMIT, the connection is cut and on_close (OVERFLOW)
 * follows from the loop; ST_CANCELLED when the stream is already failing. Callers may ignore the status:
 * on_close always comes. */
enum status http_stream_begin(struct http_req *req, int status, struct str content_type);
enum status http_stream_write(struct http_req *req, struct str bytes);
void http_stream_end(struct http_req *req); /* ends the request; what is unsent still goes out */

/* True between http_stream_begin() and the end. */
bool http_streaming(const struct http_req *req);
/* Unsent bytes of this connection. */
size_t http_unsent_bytes(const struct http_req *req);

#endif

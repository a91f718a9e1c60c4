/* Inside the http module. */
#ifndef HTTP_HTTP_INT_H
#define HTTP_HTTP_INT_H

#include "http/parse_int.h"
#include "http/server.h"
#include <uv.h>

#define MAX_INBOXES      4
#define MAX_LISTENERS    2
#define CONN_PARTS_MAX   3
#define CONN_REFUSED_MAX 64 /* beyond the limit, being told so */

enum wire_metric {
#define METRIC(id, ...) WIRE_##id,
#include "http/metrics.def"
#undef METRIC
    WIRE_COUNT,
};

/* A port and what is served there. */
struct listener {
    struct http_server *server;
    uv_tcp_t tcp;
    const struct http_route *routes;
    size_t n_routes;
    uint16_t port;
    uv_tcp_t away; /* of the connection that is being turned away */
    bool is_turning_away, waits;
};

struct inbox_port {
    struct inbox inbox;
    uv_async_t async;
    void (*fn)(void *arg, struct inbox_node *node);
    void *arg;
};

/* What a connection is doing; decides its timer and what an end of file means. */
enum conn_state {
    CONN_IDLE,      /* between requests */
    CONN_READING,   /* head or body of a request */
    CONN_HANDLING,  /* a handler owns the request, no response yet */
    CONN_STREAMING, /* response begun, not ended */
    CONN_LINGERING, /* answered for the last time, waiting for the client to end */
    CONN_CLOSING,
};

struct http_req {
    struct conn *conn;
    struct arena arena;
    void (*gone)(void *arg);
    void *gone_arg;
    bool keep_alive, is_head, chunked;
};

struct conn {
    struct http_server *server;
    const struct listener *listener; /* that accepted it */
    uint32_t slot, generation;       /* of the request in flight */
    uv_tcp_t tcp;
    uv_timer_t timer;
    unsigned open_handles;
    enum conn_state state;
    struct http_parse parse;
    struct buf ahead; /* bytes read beyond the request in flight */
    struct http_req req;
    bool reading, close_after, eof;
    bool watched;         /* for its end, while reading pauses */
    size_t unsent_before; /* when its timer last looked */
    uint64_t written_ms;  /* of the loop's clock, when it last wrote */
};

struct http_server {
    struct http_options o;
    struct http_limits limits;
    uv_loop_t loop;
    struct listener listener[MAX_LISTENERS]; /* the first is the server's own port */
    unsigned n_listener;
    uv_timer_t drain_timer;
    uv_poll_t watch; /* of watch_fd: ends of connections that are not read from */
    int watch_fd;
    uv_signal_t signal[2];
    bool draining;
    struct conn **conn;   /* [n_slot] */
    uint32_t *generation; /* [n_slot] outlives the connections of a slot */
    uint32_t n_slot;      /* max_connections, then those for connections that are refused */
    uint32_t n_conn;
    struct inbox_port inbox[MAX_INBOXES];
    unsigned n_inbox, n_work;
    struct metric *metric[WIRE_COUNT]; /* NULL: nobody asks */
    uint64_t date_s;                   /* the second that `date` shows */
    char date[32];
    void (*on_signal)(void *arg, int signal);
    void *signal_arg;
};

/* conn.c */
void conn_accept(struct listener *l);
void conn_close(struct conn *c);
/* Takes no further request: closes once what is unsent is out. Not while a request is in flight. */
void conn_finish(struct conn *c);
/* The response in flight is complete: the next request or the end. */
void conn_response_done(struct conn *c);
/* Sends or queues bytes, at most CONN_PARTS_MAX parts in a row; false when the connection had to be cut: it
 * failed, or a stream's reader is too slow. */
bool conn_write(struct conn *c, const struct str *part, size_t n_parts);
void conn_timer(struct conn *c, uint32_t ms);

/* watch.c */
bool watch_open(struct http_server *s);
void watch_close(struct http_server *s); /* after its handle */
/* An end that comes while the connection is watched closes it, on a turn of the loop. */
void conn_watch(struct conn *c, bool on);

/* server.c */
void server_close_if_done(struct http_server *s);

/* wire_metrics.c */
MUST_CHECK enum status wire_metrics_add(struct http_server *s);
void wire_count(struct http_server *s, enum wire_metric id, unsigned series, uint64_t n);
void wire_count_response(struct http_server *s, unsigned status);
void wire_connections(struct http_server *s);

/* response.c */
void respond_error(struct http_req *r, unsigned status);
void stream_comment(struct http_req *r);
/* route.c: finds the handler, or answers 401, 404, 405 or a CORS preflight. */
void route_request(struct conn *c);
/* CORS headers that every response carries; how many. */
size_t cors_headers(const struct http_req *r, struct http_header out[3]);

#endif

/* A connection: bytes in through the parser, one request at a time, bytes out within a bound.
 *
 * Reading goes on while a handler works, because a client that leaves must be noticed at once; what it sends
 * meanwhile (pipelined requests) is kept up to AHEAD_MAX_BYTES, then reading pauses. The request of a
 * connection is named by slot and generation; the generation changes when the response ends or the client
 * goes. */
#include "http/http_int.h"
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_MAX_BYTES     (64u << 10)
#define READ_BYTES          (64u << 10)
#define REQ_ARENA_MAX_BYTES (64u << 20)
#define LINGER_MS           2000
#define KERNEL_UNSENT_BYTES (128 << 10)
#define KEPT_BYTES          4096u /* of the read buffer of an idle connection */

static void conn_feed(struct conn *c);
static void next_request(uv_timer_t *t);
static void refuse(struct conn *c, unsigned status);

/* ---- life ---- */

static void conn_free(struct conn *c)
{
    struct http_server *s = c->server;
    s->conn[c->slot] = NULL;
    s->n_conn--;
    wire_connections(s);
    http_parse_fini(&c->parse);
    buf_fini(&c->ahead);
    arena_fini(&c->req.arena);
    free(c);
    server_close_if_done(s);
}

static void handle_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    if (--c->open_handles == 0)
        conn_free(c);
}

/* From here on the handle that named the request finds nothing. */
static void request_forget(struct conn *c)
{
    c->generation = ++c->server->generation[c->slot];
    c->req.gone = NULL;
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    bool in_flight = c->state == CONN_HANDLING || c->state == CONN_STREAMING;
    void (*gone)(void *) = in_flight ? c->req.gone : NULL;
    c->state = CONN_CLOSING;
    c->watched = false; /* closing the socket takes it out of the set */
    request_forget(c);
    uv_close((uv_handle_t *)&c->timer, handle_closed);
    uv_close((uv_handle_t *)&c->tcp, handle_closed);
    if (gone)
        gone(c->req.gone_arg);
}

static size_t unsent_bytes(const struct conn *c)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp);
}

/* Has the client taken anything since the last look? Then it is slow, not gone. */
static bool output_moves(struct conn *c)
{
    size_t left = unsent_bytes(c);
    bool moves = left && left < c->unsent_before;
    c->unsent_before = left;
    return moves;
}

/* The timer of a stream is not moved by each of its parts: it looks when the last one was. */
static void stream_silent(struct conn *c)
{
    uint64_t silent_ms = uv_now(&c->server->loop) - c->written_ms, most_ms = c->server->o.stream_comment_ms;
    if (silent_ms >= most_ms)
        stream_comment(&c->req);
    if (c->state == CONN_STREAMING)
        conn_timer(c, (uint32_t)(silent_ms < most_ms ? most_ms - silent_ms : most_ms));
}

static void on_timer(uv_timer_t *t)
{
    struct conn *c = t->data;
    if (c->state == CONN_STREAMING) {
        stream_silent(c);
    } else if (c->state != CONN_READING && output_moves(c)) {
        conn_timer(c, c->server->o.idle_timeout_ms);
    } else if (c->state == CONN_READING) {
        refuse(c, 408);
    } else {
        conn_close(c);
    }
}

void conn_timer(struct conn *c, uint32_t ms)
{
    if (ms)
        uv_timer_start(&c->timer, on_timer, ms, 0);
    else
        uv_timer_stop(&c->timer);
}

/* ---- output ---- */

struct pending_write {
    uv_write_t req;
    char bytes[];
};

static void on_written(uv_write_t *req, int status)
{
    struct conn *c = req->handle->data;
    free(req);
    if (status < 0)
        conn_close(c);
    else if (c->state == CONN_IDLE && c->ahead.n) /* held back by what was unsent */
        uv_timer_start(&c->timer, next_request, 0, 0);
}

/* What the socket did not take of the parts, in one piece. */
static struct pending_write *pending_new(const struct str *part, size_t n_parts, size_t skip, size_t left)
{
    struct pending_write *w = malloc(sizeof *w + left);
    size_t at = 0;
    for (size_t i = 0; w && i < n_parts; i++) {
        size_t from = skip < part[i].n ? skip : part[i].n;
        if (from < part[i].n)
            memcpy(w->bytes + at, part[i].p + from, part[i].n - from);
        at += part[i].n - from;
        skip -= from;
    }
    return w;
}

static bool write_out(struct conn *c, const struct str *part, size_t n_parts, size_t n)
{
    uv_stream_t *tcp = (uv_stream_t *)&c->tcp;
    uv_buf_t bufs[CONN_PARTS_MAX];
    for (size_t i = 0; i < n_parts; i++)
        bufs[i] = uv_buf_init((char *)part[i].p, (unsigned)part[i].n);
    int sent = uv_try_write(tcp, bufs, (unsigned)n_parts);
    if (sent >= 0 && (size_t)sent == n)
        return true;
    size_t done = sent > 0 ? (size_t)sent : 0;
    bool failed = sent < 0 && sent != UV_EAGAIN;
    struct pending_write *w = failed ? NULL : pending_new(part, n_parts, done, n - done);
    uv_buf_t rest = uv_buf_init(w ? w->bytes : NULL, (unsigned)(n - done));
    if (!w || uv_write(&w->req, tcp, &rest, 1, on_written) < 0) {
        free(w);
        conn_close(c);
        return false;
    }
    return true;
}

bool conn_write(struct conn *c, const struct str *part, size_t n_parts)
{
    size_t n = 0;
    BUG_ON(n_parts > CONN_PARTS_MAX);
    for (size_t i = 0; i < n_parts; i++)
        n += part[i].n;
    /* a whole answer is bounded by who made it */
    size_t counted = c->state == CONN_STREAMING ? n : 0;
    if (c->state == CONN_CLOSING)
        return false;
    if (unsent_bytes(c) + counted > c->server->o.max_output_bytes) {
        wire_count(c->server, WIRE_CUT, 0, 1);
        conn_close(c);
        return false;
    }
    wire_count(c->server, WIRE_SENT, 0, n);
    c->written_ms = uv_now(&c->server->loop);
    return write_out(c, part, n_parts, n);
}

/* ---- input ---- */

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
    static _Thread_local char bytes[READ_BYTES]; /* used up before the next read of this loop */
    (void)h;
    (void)hint;
    *out = uv_buf_init(bytes, sizeof bytes);
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *in);

static void reading_set(struct conn *c, bool on)
{
    if (on == c->reading || c->state == CONN_CLOSING)
        return;
    c->reading = on;
    if (on)
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    else
        uv_read_stop((uv_stream_t *)&c->tcp);
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *in)
{
    struct conn *c = tcp->data;
    if (n < 0) {
        c->eof = n == UV_EOF;
        if (c->eof && c->state != CONN_HANDLING && c->state != CONN_STREAMING)
            conn_finish(c);
        else
            conn_close(c);
        return;
    }
    if (c->state == CONN_LINGERING)
        return;
    buf_put(&c->ahead, in->base, (size_t)n);
    if (c->ahead.failed) {
        conn_close(c);
        return;
    }
    if (c->state == CONN_IDLE || c->state == CONN_READING)
        conn_feed(c);
    if (c->ahead.n >= AHEAD_MAX_BYTES) {
        reading_set(c, false);
        conn_watch(c, c->state == CONN_HANDLING || c->state == CONN_STREAMING);
    }
}

static void request_begin(struct conn *c)
{
    struct http_req *r = &c->req;
    r->keep_alive = c->parse.keep_alive && !c->server->draining;
    r->is_head = strcmp(http_parse_method(&c->parse), "HEAD") == 0;
    c->generation = ++c->server->generation[c->slot];
    c->state = CONN_HANDLING;
    conn_timer(c, 0);
    conn_watch(c, !c->reading);
    route_request(c);
}

/* The connection's last answer, to no request that anyone has read. */
static void refuse(struct conn *c, unsigned status)
{
    c->close_after = true;
    respond_error(&c->req, status);
}

/* A request in flight, an end or much unsent output holds the next request back. */
static bool may_feed(const struct conn *c)
{
    return (c->state == CONN_IDLE || c->state == CONN_READING) && !c->close_after &&
           unsent_bytes(c) <= c->server->o.max_output_bytes;
}

/* Feeds what was read to the parser, request by request, as long as that may go on. */
static void conn_feed(struct conn *c)
{
    size_t at = 0;
    while (at < c->ahead.n && may_feed(c)) {
        size_t used = 0;
        bool head_was_complete = c->parse.head_complete;
        enum parse_result result = http_parse_feed(&c->parse, c->ahead.p + at, c->ahead.n - at, &used);
        at += used;
        if (c->state == CONN_IDLE || (!head_was_complete && c->parse.head_complete))
            conn_timer(c, c->parse.head_complete ? c->server->o.body_timeout_ms
                                                 : c->server->o.header_timeout_ms);
        c->state = CONN_READING;
        if (result == PARSE_CONTINUE)
            conn_write(c, &STR("HTTP/1.1 100 Continue\r\n\r\n"), 1);
        else if (result == PARSE_DONE)
            request_begin(c);
        else if (result == PARSE_ERROR)
            refuse(c, c->parse.status);
    }
    if (c->state == CONN_CLOSING)
        return;
    buf_consume(&c->ahead, at);
    if (c->state == CONN_IDLE && c->ahead.n == 0 && c->ahead.cap > KEPT_BYTES)
        buf_fini(&c->ahead);
}

static void next_request(uv_timer_t *t)
{
    struct conn *c = t->data;
    conn_timer(c, c->server->o.idle_timeout_ms);
    conn_feed(c);
    if (c->ahead.n < AHEAD_MAX_BYTES)
        reading_set(c, true);
}

/* All is sent: now it is the client's turn to end. */
static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct conn *c = req->handle->data;
    free(req);
    if (c->state == CONN_CLOSING)
        return;
    if (status < 0 || c->eof)
        conn_close(c);
    else
        conn_timer(c, LINGER_MS);
}

/* Closing at once would reset the connection while the client still sends, and it might never see the answer:
 * end our side, then read and forget until it ends its own. */
static void linger(struct conn *c)
{
    uv_shutdown_t *req = malloc(sizeof *req);
    c->state = CONN_LINGERING;
    if (!req || uv_shutdown(req, (uv_stream_t *)&c->tcp, on_shutdown) < 0) {
        free(req);
        conn_close(c);
        return;
    }
    if (!c->eof)
        reading_set(c, true);
    conn_timer(c, c->server->o.idle_timeout_ms);
}

void conn_finish(struct conn *c)
{
    if (unsent_bytes(c) == 0)
        conn_close(c);
    else if (c->state != CONN_LINGERING)
        linger(c);
}

void conn_response_done(struct conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    bool keep = c->req.keep_alive && !c->close_after && !c->server->draining;
    c->state = CONN_IDLE;
    conn_watch(c, false);
    request_forget(c);
    arena_fini(&c->req.arena);
    arena_init(&c->req.arena, REQ_ARENA_MAX_BYTES);
    http_parse_reset(&c->parse);
    c->unsent_before = SIZE_MAX;
    if (!keep) {
        linger(c);
        return;
    }
    /* From the loop, not from here: many pipelined requests must not nest their handlers. */
    uv_timer_start(&c->timer, next_request, 0, 0);
}

/* ---- accepting ---- */

static uint32_t slot_free(const struct http_server *s)
{
    for (uint32_t i = 0; i < s->n_slot; i++)
        if (!s->conn[i])
            return i;
    return UINT32_MAX;
}

static struct conn *conn_new(struct http_server *s, uint32_t slot)
{
    struct conn *c = calloc(1, sizeof *c);
    struct http_limits *limits = c ? &s->limits : NULL;
    if (!c || http_parse_init(&c->parse, limits) != ST_OK) {
        free(c);
        return NULL;
    }
    c->server = s;
    c->slot = slot;
    c->req.conn = c;
    arena_init(&c->req.arena, REQ_ARENA_MAX_BYTES);
    buf_init(&c->ahead, AHEAD_MAX_BYTES + READ_BYTES);
    uv_tcp_init(&s->loop, &c->tcp);
    uv_timer_init(&s->loop, &c->timer);
    c->tcp.data = c->timer.data = c;
    c->open_handles = 2;
    s->conn[slot] = c;
    s->n_conn++;
    wire_connections(s);
    return c;
}

/* What the kernel holds of an answer beyond what it may send. Without this it takes megabytes for a reader
 * that does not read, and max_output_bytes would bound little. */
static void output_bound(struct conn *c)
{
    int fd, bytes = KERNEL_UNSENT_BYTES;
    if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0)
        (void)!setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

static void on_turned_away(uv_handle_t *away)
{
    struct listener *l = away->data;
    l->is_turning_away = false;
    if (l->waits && !uv_is_closing((uv_handle_t *)&l->tcp)) {
        l->waits = false;
        conn_accept(l);
    }
}

/* Takes a connection off the queue and lets it go without a word, where there is no memory either: what is
 * not taken would keep libuv from calling ever again. */
static void turn_away(struct listener *l)
{
    l->waits = l->is_turning_away;
    if (l->waits)
        return;
    l->is_turning_away = true;
    l->away.data = l;
    uv_tcp_init(&l->server->loop, &l->away);
    (void)!uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&l->away);
    uv_close((uv_handle_t *)&l->away, on_turned_away);
    wire_count(l->server, WIRE_REFUSED, 0, 1);
}

void conn_accept(struct listener *l)
{
    struct http_server *s = l->server;
    uint32_t slot = slot_free(s);
    struct conn *c = slot == UINT32_MAX ? NULL : conn_new(s, slot);
    if (!c) {
        turn_away(l);
        return;
    }
    c->listener = l;
    if (uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&c->tcp) < 0) {
        conn_close(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    output_bound(c);
    if (slot >= s->o.max_connections) {
        wire_count(s, WIRE_REFUSED, 0, 1);
        refuse(c, 503);
        return;
    }
    conn_timer(c, s->o.header_timeout_ms);
    reading_set(c, true);
}

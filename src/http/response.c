/* Responses: head, body, streams. Every response says how long it is or is chunked; HTTP/1.0 streams end with
 * the connection. */
#include "base/clock.h"
#include "http/http_int.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define HEAD_MAX_BYTES 16384

static const char *reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {204, "No Content"},
        {303, "See Other"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Payload Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Entity"},
        {424, "Failed Dependency"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Status";
}

static void put_headers(struct buf *head, const struct http_header *h, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_put_str(head, h[i].name);
        buf_put(head, ": ", 2);
        buf_put_str(head, h[i].value);
        buf_put(head, "\r\n", 2);
    }
}

/* RFC 9110 6.6.1; made once a second. */
static const char *date(struct http_server *s)
{
    uint64_t now_s = clock_wall_ms() / 1000;
    if (now_s != s->date_s) {
        time_t at = (time_t)now_s;
        struct tm utc;
        strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &utc));
        s->date_s = now_s;
    }
    return s->date;
}

static void head_begin(struct buf *head, const struct http_req *r, unsigned status, const char *type)
{
    struct http_header cors[3];
    bool close = !r->keep_alive || r->conn->close_after || r->conn->server->draining;
    wire_count_response(r->conn->server, status);
    buf_init(head, HEAD_MAX_BYTES);
    buf_printf(head, "HTTP/1.1 %u %s\r\n", status, reason(status));
    if (type)
        buf_printf(head, "content-type: %s\r\n", type);
    buf_printf(head, "date: %s\r\n", date(r->conn->server));
    if (close)
        buf_printf(head, "connection: close\r\n");
    else if (r->conn->parse.llhttp.http_minor == 0)
        buf_printf(head, "connection: keep-alive\r\n");
    put_headers(head, cors, cors_headers(r, cors));
}

void http_respond(struct http_req *r, unsigned status, const char *type, struct str body,
                  const struct http_header *headers, size_t n_headers)
{
    struct conn *c = r->conn;
    struct buf head;
    BUG_ON(c->state == CONN_STREAMING);
    head_begin(&head, r, status, type);
    put_headers(&head, headers, n_headers);
    if (status != 304) /* it may only name the length of the body that is not sent */
        buf_printf(&head, "content-length: %zu\r\n", body.n);
    buf_put(&head, "\r\n", 2);
    if (head.failed) {
        buf_fini(&head);
        conn_close(c);
        return;
    }
    c->req.gone = NULL;
    bool ok = conn_write(c, (struct str[]){buf_str(&head), body}, r->is_head ? 1 : 2);
    buf_fini(&head);
    if (ok)
        conn_response_done(c);
}

void respond_error(struct http_req *r, unsigned status)
{
    struct str body = STR("");
    r->keep_alive = r->is_head = false;
    if (status == 413)
        body = STR("Failed to buffer the request body: length limit exceeded");
    http_respond(r, status, body.n ? "text/plain; charset=utf-8" : NULL, body, NULL, 0);
}

/* ---- streams ---- */

void http_stream_begin(struct http_req *r, unsigned status, const char *type,
                       const struct http_header *headers, size_t n_headers)
{
    struct conn *c = r->conn;
    struct buf head;
    BUG_ON(c->state != CONN_HANDLING);
    r->chunked = c->parse.llhttp.http_minor == 1;
    if (!r->chunked)
        r->keep_alive = false;
    head_begin(&head, r, status, type);
    put_headers(&head, headers, n_headers);
    buf_printf(&head, "%s\r\n", r->chunked ? "transfer-encoding: chunked\r\n" : "");
    c->state = CONN_STREAMING;
    conn_timer(c, c->server->o.stream_comment_ms);
    if (head.failed)
        conn_close(c);
    else
        conn_write(c, &(struct str){head.p, head.n}, 1);
    buf_fini(&head);
}

bool http_stream_write(struct http_req *r, struct str bytes)
{
    struct conn *c = r->conn;
    if (c->state != CONN_STREAMING)
        return false;
    if (bytes.n == 0 || r->is_head)
        return true;
    if (!r->chunked)
        return conn_write(c, &bytes, 1);
    char size[24];
    int n = snprintf(size, sizeof size, "%zx\r\n", bytes.n);
    return conn_write(c, (struct str[]){{size, (size_t)n}, bytes, STR("\r\n")}, 3);
}

void stream_comment(struct http_req *r)
{
    http_stream_write(r, STR(":\n\n"));
}

void http_stream_end(struct http_req *r)
{
    struct conn *c = r->conn;
    if (c->state != CONN_STREAMING)
        return;
    r->gone = NULL;
    if (r->chunked && !r->is_head && !conn_write(c, &STR("0\r\n\r\n"), 1))
        return;
    conn_response_done(c);
}

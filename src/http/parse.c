/* The parser: llhttp in strict mode finds the parts, this file bounds them and refuses what could be read in
 * two ways.
 *
 * A request that one machine in a chain reads differently from the next can smuggle another request past it;
 * so everything doubtful is 400 and the connection closes. */
#include "http/parse_int.h"
#include <stdlib.h>
#include <string.h>

#define KEPT_BYTES         4096u      /* of a buffer, between requests */
#define FRAMING_MAX_BYTES  1024u      /* of a head, beyond its names and values */
#define OVERHEAD_MAX_BYTES (1u << 20) /* of a small body's chunks; a large one may cost 8 times its bytes */

static struct http_parse *parse_of(llhttp_t *l)
{
    return l->data;
}

static int fail(struct http_parse *p, unsigned status)
{
    if (!p->status)
        p->status = status;
    return -1;
}

/* The whole head is kept in one buffer: target first, then names and values. */
static int head_put(struct http_parse *p, const char *at, size_t n, unsigned status)
{
    buf_put(&p->head, at, n);
    return p->head.failed ? fail(p, status) : 0;
}

static int on_url(llhttp_t *l, const char *at, size_t n)
{
    struct http_parse *p = parse_of(l);
    int code = head_put(p, at, n, 414);
    p->n_target = (uint32_t)p->head.n;
    return code;
}

static int on_header_field(llhttp_t *l, const char *at, size_t n)
{
    struct http_parse *p = parse_of(l);
    if (p->in_value || p->n_field == 0) {
        if (p->n_field == p->limits->max_headers)
            return fail(p, 431);
        p->header[p->n_field++] = (struct header_span){.name = (uint32_t)p->head.n};
        p->in_value = false;
    }
    p->header[p->n_field - 1].n_name += (uint32_t)n;
    return head_put(p, at, n, 431);
}

static int on_header_value(llhttp_t *l, const char *at, size_t n)
{
    struct http_parse *p = parse_of(l);
    if (p->n_field == 0)
        return fail(p, 400);
    struct header_span *h = &p->header[p->n_field - 1];
    if (!p->in_value) {
        h->value = (uint32_t)p->head.n;
        p->in_value = true;
    }
    h->n_value += (uint32_t)n;
    return head_put(p, at, n, 431);
}

/* An empty value makes no span call in between: the field is complete all the same. */
static int on_header_value_complete(llhttp_t *l)
{
    struct http_parse *p = parse_of(l);
    if (p->n_field && !p->in_value)
        p->header[p->n_field - 1].value = (uint32_t)p->head.n;
    p->in_value = true;
    return 0;
}

static struct str span_name(const struct http_parse *p, uint32_t i)
{
    return (struct str){p->head.p + p->header[i].name, p->header[i].n_name};
}

static struct str span_value(const struct http_parse *p, uint32_t i)
{
    return str_trim((struct str){p->head.p + p->header[i].value, p->header[i].n_value});
}

static uint32_t header_count(const struct http_parse *p, struct str name)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_header; i++)
        n += str_eq_nocase(span_name(p, i), name);
    return n;
}

static bool digits_only(struct str s)
{
    uint64_t x;
    return str_to_u64(s, &x);
}

/* Bytes that would make a second reader see another host. */
static bool host_ok(struct str host)
{
    for (size_t i = 0; i < host.n; i++)
        if (strchr(" \t,@/\\?#", host.p[i]))
            return false;
    return true;
}

static bool target_ok(struct str target)
{
    return str_has_prefix(target, STR("/")) || str_eq(target, STR("*")) ||
           str_has_prefix(target, STR("http://")) || str_has_prefix(target, STR("https://"));
}

static int check_head(struct http_parse *p)
{
    bool http11 = p->llhttp.http_major == 1 && p->llhttp.http_minor == 1;
    bool http10 = p->llhttp.http_major == 1 && p->llhttp.http_minor == 0;
    uint32_t hosts = header_count(p, STR("host")), lengths = header_count(p, STR("content-length"));
    uint32_t encodings = header_count(p, STR("transfer-encoding"));
    if (!http11 && !http10)
        return fail(p, 505);
    if (hosts > 1 || (http11 && hosts == 0) || !host_ok(http_parse_header_value(p, STR("host"))))
        return fail(p, 400);
    if (lengths > 1 || (lengths && encodings) ||
        (lengths && !digits_only(http_parse_header_value(p, STR("content-length")))))
        return fail(p, 400);
    if (encodings && (http10 || encodings > 1 ||
                      !str_eq_nocase(http_parse_header_value(p, STR("transfer-encoding")), STR("chunked"))))
        return fail(p, 400);
    if (!target_ok(http_parse_target(p)))
        return fail(p, 400);
    if (lengths && p->llhttp.content_length > p->limits->max_body_bytes)
        return fail(p, 413);
    struct str expect = http_parse_header_value(p, STR("expect"));
    if (expect.n && !str_eq_nocase(expect, STR("100-continue")))
        return fail(p, 417);
    p->expects_continue = expect.n && http11 && (encodings || p->llhttp.content_length > 0);
    return 0;
}

static int on_headers_complete(llhttp_t *l)
{
    struct http_parse *p = parse_of(l);
    p->n_header = p->n_field;
    if (check_head(p) != 0)
        return -1;
    p->head_complete = true;
    if (l->method == HTTP_CONNECT)
        return fail(p, 400);
    l->upgrade = 0; /* an offer that a server may ignore (RFC 9110 7.8); some clients always offer h2c */
    return p->expects_continue ? HPE_PAUSED : 0;
}

static int on_body(llhttp_t *l, const char *at, size_t n)
{
    struct http_parse *p = parse_of(l);
    buf_put(&p->body, at, n);
    return p->body.failed ? fail(p, 413) : 0;
}

/* Nothing here wants trailers: they are bounded as headers are, and forgotten. One that would change how the
 * message is read, or where it goes (RFC 9110 6.5.1), is an attempt at something. */
static int check_trailers(struct http_parse *p)
{
    static const char *const never[] = {
        "content-length", "transfer-encoding", "host", "connection", "upgrade", "expect", "authorization"};
    for (uint32_t i = p->n_header; i < p->n_field; i++)
        for (size_t k = 0; k < sizeof never / sizeof *never; k++)
            if (str_eq_nocase(span_name(p, i), str_from(never[k])))
                return fail(p, 400);
    return 0;
}

static int on_message_complete(llhttp_t *l)
{
    struct http_parse *p = parse_of(l);
    if (check_trailers(p) != 0)
        return -1;
    p->complete = true;
    p->keep_alive = llhttp_should_keep_alive(l);
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

enum status http_parse_init(struct http_parse *p, const struct http_limits *limits)
{
    memset(p, 0, sizeof *p);
    p->limits = limits;
    p->header = calloc(limits->max_headers, sizeof *p->header);
    buf_init(&p->head, limits->max_header_bytes);
    buf_init(&p->body, limits->max_body_bytes);
    http_parse_reset(p);
    return p->header ? ST_OK : ST_NO_MEMORY;
}

void http_parse_fini(struct http_parse *p)
{
    buf_fini(&p->head);
    buf_fini(&p->body);
    free(p->header);
    p->header = NULL;
}

void http_parse_reset(struct http_parse *p)
{
    if (p->head.cap > KEPT_BYTES) /* an idle connection is small, whatever it has asked before */
        buf_fini(&p->head);
    if (p->body.cap > KEPT_BYTES)
        buf_fini(&p->body);
    buf_clear(&p->head);
    buf_clear(&p->body);
    llhttp_init(&p->llhttp, HTTP_REQUEST, &settings);
    p->llhttp.data = p;
    p->n_field = p->n_header = p->n_target = 0;
    p->status = 0;
    p->in_value = p->head_complete = p->expects_continue = p->complete = false;
    p->line_begun = p->line_complete = p->after_space = p->after_cr = false;
    p->n_bytes = 0;
}

/* llhttp skips any number of spaces in the request line, and line feeds in front of it; others may read such
 * a line in another way. */
static bool request_line_ok(struct http_parse *p, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n && !p->line_complete; i++) {
        if ((bytes[i] == ' ' && p->after_space) || (bytes[i] == '\n' && !p->after_cr))
            return false;
        p->after_cr = bytes[i] == '\r';
        p->after_space = bytes[i] == ' ';
        p->line_complete = bytes[i] == '\n' && p->line_begun;
        p->line_begun |= bytes[i] != '\r' && bytes[i] != '\n'; /* empty lines in front are allowed */
    }
    return true;
}

/* White space, blank lines and chunk framing fill no buffer; they are bounded all the same. */
static enum parse_result more(struct http_parse *p)
{
    if (!p->head_complete && p->n_bytes > (uint64_t)p->limits->max_header_bytes + FRAMING_MAX_BYTES)
        p->status = 431;
    else if (p->head_complete && p->n_bytes > OVERHEAD_MAX_BYTES &&
             p->n_bytes / 8 > p->limits->max_body_bytes)
        p->status = 413;
    return p->status ? PARSE_ERROR : PARSE_MORE;
}

enum parse_result http_parse_feed(struct http_parse *p, const char *bytes, size_t n, size_t *used)
{
    bool head_was_complete = p->head_complete;
    *used = n;
    p->n_bytes += n;
    if (!request_line_ok(p, bytes, n)) {
        p->status = 400;
        return PARSE_ERROR;
    }
    llhttp_errno_t code = llhttp_execute(&p->llhttp, bytes, n);
    if (code == HPE_OK)
        return more(p);
    if (code == HPE_PAUSED) {
        *used = (size_t)(llhttp_get_error_pos(&p->llhttp) - bytes);
        llhttp_resume(&p->llhttp);
        if (p->complete)
            return PARSE_DONE;
        if (!head_was_complete && p->expects_continue)
            return PARSE_CONTINUE;
    }
    if (!p->status)
        p->status = 400;
    return PARSE_ERROR;
}

struct str http_parse_target(const struct http_parse *p)
{
    return (struct str){p->head.p, p->n_target};
}

struct str http_parse_header_value(const struct http_parse *p, struct str name)
{
    for (uint32_t i = 0; i < p->n_header; i++)
        if (str_eq_nocase(span_name(p, i), name))
            return span_value(p, i);
    return (struct str){"", 0};
}

const char *http_parse_method(const struct http_parse *p)
{
    return llhttp_method_name((llhttp_method_t)p->llhttp.method);
}

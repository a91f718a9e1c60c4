/* Bytes -> one request, with every check that llhttp leaves to its user. No sockets here: it can be driven
 * from memory (the fuzz target does). */
#ifndef HTTP_PARSE_INT_H
#define HTTP_PARSE_INT_H

#include "base/buf.h"
#include <llhttp.h>

struct http_limits {
    uint32_t max_header_bytes, max_headers;
    uint64_t max_body_bytes;
};

enum parse_result {
    PARSE_MORE,     /* all bytes taken, the request is not complete */
    PARSE_CONTINUE, /* the head is complete and asks for 100-continue; then goes on */
    PARSE_DONE,     /* a whole request; *used tells where the next begins */
    PARSE_ERROR,    /* p->status is the answer; the connection is lost */
};

struct header_span {
    uint32_t name, n_name, value, n_value; /* offsets into head */
};

struct http_parse {
    llhttp_t llhttp;
    const struct http_limits *limits;
    struct buf head, body;
    struct header_span *header; /* [n_field], n_header of them of the head: trailers count, and are no more */
    uint32_t n_field, n_header, n_target;
    unsigned status; /* of the error */
    bool in_value, head_complete, expects_continue, complete, keep_alive;
    bool line_begun, line_complete, after_space, after_cr; /* of the request line */
    uint64_t n_bytes;                                      /* fed since the request began */
};

MUST_CHECK enum status http_parse_init(struct http_parse *p, const struct http_limits *limits);
void http_parse_fini(struct http_parse *p);
/* Forgets the request, keeps memory. */
void http_parse_reset(struct http_parse *p);
enum parse_result http_parse_feed(struct http_parse *p, const char *bytes, size_t n, size_t *used);

/* As sent: a path, an absolute URI or `*`. */
struct str http_parse_target(const struct http_parse *p);
struct str http_parse_header_value(const struct http_parse *p, struct str name);
const char *http_parse_method(const struct http_parse *p);

#endif

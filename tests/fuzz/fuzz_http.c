/* The request parser, driven from memory: the first byte says how the rest is cut into reads. */
#include "http/parse_int.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http_limits limits = {
        .max_header_bytes = 2000, .max_headers = 20, .max_body_bytes = 5000};
    struct http_parse p;
    if (size == 0 || http_parse_init(&p, &limits) != ST_OK)
        return 0;
    size_t piece = data[0] ? data[0] : size, at = 1;
    while (at < size) {
        size_t n = size - at < piece ? size - at : piece, used;
        enum parse_result result = http_parse_feed(&p, (const char *)data + at, n, &used);
        if (used > n || p.head.n > limits.max_header_bytes || p.body.n > limits.max_body_bytes)
            abort();
        at += used;
        if (result == PARSE_ERROR) {
            if (p.status < 400)
                abort();
            break;
        }
        if (result == PARSE_DONE) {
            if (http_parse_target(&p).n == 0)
                abort();
            http_parse_header_value(&p, STR("host"));
            http_parse_reset(&p);
        }
    }
    http_parse_fini(&p);
    return 0;
}

/* The request parser, driven from memory: bytes in one piece and cut into reads (the first bytes say where)
 * must mean the same requests. */
#include "base/map.h"
#include "http/parse_int.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_CUTS 8

static const struct http_limits limits = {
    .max_header_bytes = 2000, .max_headers = 20, .max_body_bytes = 5000};
/* Up to here no limit counts bytes that a cut makes visible earlier. */
#define SAME_MAX_BYTES 2000

/* Each piece in memory of its own, so that reading past it is seen. */
static enum parse_result feed(struct http_parse *p, const uint8_t *bytes, size_t n, size_t *used)
{
    char *piece = malloc(n);
    if (!piece)
        abort();
    for (size_t i = 0; i < n; i++)
        piece[i] = (char)bytes[i];
    enum parse_result result = http_parse_feed(p, piece, n, used);
    free(piece);
    if (*used > n || p->head.n > limits.max_header_bytes || p->body.n > limits.max_body_bytes)
        abort();
    return result;
}

static uint64_t mix(uint64_t hash, struct str s)
{
    return hash_bytes(s.p, s.n, hash);
}

/* A number for the requests that the bytes hold and for how it ends. */
static uint64_t meaning(const uint8_t *data, size_t size, const uint8_t cuts[N_CUTS])
{
    struct http_parse p;
    uint64_t hash = 0;
    enum parse_result result = PARSE_MORE;
    if (http_parse_init(&p, &limits) != ST_OK)
        abort();
    for (size_t at = 0, k = 0; at < size && result != PARSE_ERROR; k++) {
        size_t most = cuts && cuts[k % N_CUTS] ? cuts[k % N_CUTS] : size, used;
        result = feed(&p, data + at, size - at < most ? size - at : most, &used);
        at += used;
        if (result == PARSE_ERROR && p.status < 400)
            abort();
        if (result != PARSE_DONE)
            continue;
        if (http_parse_target(&p).n == 0)
            abort();
        hash = mix(mix(mix(hash, http_parse_target(&p)), buf_str(&p.body)), str_from(http_parse_method(&p)));
        hash = mix(hash, http_parse_header_value(&p, STR("host"))) + p.n_header + p.keep_alive;
        http_parse_reset(&p);
    }
    hash = hash * 2 + (result == PARSE_ERROR);
    http_parse_fini(&p);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= N_CUTS)
        return 0;
    uint64_t whole = meaning(data + N_CUTS, size - N_CUTS, NULL),
             cut = meaning(data + N_CUTS, size - N_CUTS, data);
    if (whole != cut && size <= SAME_MAX_BYTES)
        abort();
    return 0;
}

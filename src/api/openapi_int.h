/* What the OpenAPI document says of a route. */
#ifndef API_OPENAPI_INT_H
#define API_OPENAPI_INT_H

#include "base/buf.h"
#include "http/server.h"

/* Why a request may fail, each with the statuses and bodies that openapi.c lists. That a key is needed is the
 * route's own flag. */
enum fault {
    FAULT_BODY = 1,   /* no JSON, another shape, too long */
    FAULT_VALUES = 2, /* values that make no sense, templates that refuse */
    FAULT_BUSY = 4,   /* no permit left */
    FAULT_ENGINE = 8, /* the answer cannot be finished */
    FAULT_LOADING = 16,
    FAULT_HEALTH = 32,
    FAULT_KEY = 64,
};

struct api_doc {
    const char *id, *group, *summary; /* id NULL: the route is no part of the API */
    const char *request;              /* schema, NULL: no body */
    unsigned faults;
    const char *answered;
    const char *type, *schema; /* of the answer's body; schema NULL: text; both NULL: nothing */
    bool is_list;              /* an array of the schema */
    const char *events;        /* schema of a stream's events, NULL: it never streams */
    const char *error_events;  /* of the event that an error is, NULL: `events` has it */
};

/* A route beside its documentation. */
struct api_route {
    struct http_route http;
    struct api_doc doc;
};

/* The whole document. `strict`: OpenAI's routes have OpenAI's errors. */
void openapi_render(const struct api_route *routes, size_t n, const char *version, bool strict,
                    struct buf *out);

#endif

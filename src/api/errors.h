/* Errors as clients of TGI know them: a kind decides the HTTP status, the error_type and the text's prefix.
 * HTTP codes are chosen here alone. */
#ifndef API_ERRORS_H
#define API_ERRORS_H

#include "base/buf.h"

enum api_error {
    API_OVERLOADED,
    API_VALIDATION,
    API_GENERATION,
    API_INCOMPLETE,        /* the engine ended before the answer did */
    API_INCOMPLETE_STREAM, /* the same, inside a stream */
    API_TEMPLATE,          /* the chat template refused the conversation, or cannot be used */
    API_UNHEALTHY,
    API_LOADING, /* the model is not there yet */
    API_ERROR_COUNT,
};

unsigned api_error_http_status(enum api_error kind);
/* {"error": "...", "error_type": "..."}; `text` is the reason where the kind has one, else NULL. */
void api_error_render(enum api_error kind, const char *text, struct buf *out);
/* For a body that gen_request_parse() refused: no JSON at all, or JSON of another shape. */
unsigned api_shape_http_status(enum status status);
/* The value of tgi_request_failure's label, or NULL when the kind is not counted there. */
const char *api_error_metric_label(enum api_error kind);

#endif

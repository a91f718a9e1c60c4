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
    API_TOOL,              /* of tools and tool_choice */
    API_SUFFIX,            /* /v1/completions has no suffix */
    API_TOO_MANY_PROMPTS,
    API_UNHEALTHY,
    API_LOADING, /* the model is not there yet */
    API_ERROR_COUNT,
    /* a body that is no JSON or of another shape: no row of the table, plain text on all routes */
    API_SHAPE_ERROR = API_ERROR_COUNT,
};

unsigned api_error_http_status(enum api_error kind);
const char *api_error_type(enum api_error kind);
/* {"error": "...", "error_type": "..."}; `text` is the reason where the kind has one, else NULL. */
void api_error_render(enum api_error kind, const char *text, struct buf *out);
/* The sentence: the kind's own text, then `text`. */
void api_error_sentence(enum api_error kind, const char *text, struct buf *out);
/* Is it found before a permit is taken? Then a streaming route, too, answers with its status. */
bool api_error_is_early(enum api_error kind);
/* The value of tgi_request_failure's label, or NULL when the kind is not counted there. */
const char *api_error_metric_label(enum api_error kind);

#endif

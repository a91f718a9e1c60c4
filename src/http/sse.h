/* Framing of server-sent events. */
#ifndef HTTP_SSE_H
#define HTTP_SSE_H

#include "base/buf.h"

/* "data: <json>\n\n"; `json` is one line. When it has failed, `out` has. */
void sse_event(struct buf *out, const struct buf *json);

#endif

/* Server-sent events as TGI's clients read them: one data line, one space after the colon. */
#include "http/sse.h"

void sse_event(struct buf *out, const struct buf *json)
{
    buf_put(out, "data: ", 6);
    buf_put_str(out, buf_str(json));
    buf_put(out, "\n\n", 2);
    out->failed |= json->failed;
}

/* Server-sent events on top of a stream: 200, `text/event-stream`, `cache-control: no-cache`; each event is
 * `data: ` + text + blank line; a comment line (`:` + blank line) after options.sse_keep_alive_ms of silence.
 * Loop thread. */
#ifndef HTTP_SSE_H
#define HTTP_SSE_H

#include "http/request.h"

enum status http_sse_begin(struct http_req *req);
/* One event. JSON is one line; a line feed (or CR, CRLF) inside `data` starts another `data: ` line of the
 * same event. Status as http_stream_write(). */
enum status http_sse_send(struct http_req *req, struct str data);
/* End with http_stream_end(). */

#endif

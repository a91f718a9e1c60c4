/* One GET of a server's health, for a container's probe: a blocking client without the loop. */
#ifndef HTTP_PROBE_H
#define HTTP_PROBE_H

#include "base/err.h"
#include <stdint.h>

/* `host`: an IP literal; an address that means "everywhere" (0.0.0.0, ::) is asked at its loopback. *code is
 * the answer's status code. ST_IO: no connection; ST_UNAVAILABLE: nothing usable came within `timeout_ms`,
 * which counts for all of it. */
MUST_CHECK enum status http_probe(const char *host, uint16_t port, const char *path, uint32_t timeout_ms,
                                  unsigned *code, struct err *e);

#endif

/* Files that the build embedded (cmake/embed.cmake): pages, and the frame of the OpenAPI document.
 */
#ifndef API_EMBEDDED_INT_H
#define API_EMBEDDED_INT_H

#include "base/str.h"

struct embedded {
    const char *path, *type, *etag; /* etag: with its quotes */
    const unsigned char *bytes;
    size_t n_bytes;
};

/* NULL: there is no such file. */
const struct embedded *embedded_find(struct str path);

#endif

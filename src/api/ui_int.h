/* The page's files, as the build embedded them (cmake/embed_ui.cmake). */
#ifndef API_UI_INT_H
#define API_UI_INT_H

#include <stddef.h>

struct ui_file {
    const char *path, *type, *etag; /* etag: with its quotes */
    const unsigned char *bytes;
    size_t n_bytes;
};

extern const struct ui_file ui_files[];
extern const size_t n_ui_files;

#endif

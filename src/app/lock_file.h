/* A lock file names one state of a model: {"version": 1, "model_id": ..., "revision": ..., "weights_sha256":
 * ...}. */
#ifndef APP_LOCK_FILE_H
#define APP_LOCK_FILE_H

#include "ckpt/ckpt.h"
#include "hub/hub.h"

struct lock_file {
    char model_id[HUB_PATH_MAX];   /* a hub's id, or a folder's name at the time */
    char revision[HUB_COMMIT_MAX]; /* empty: a folder's */
    char digest[CKPT_DIGEST_HEX];
};

bool is_digest(const char *text); /* 64 lower-case hexadecimal digits */
MUST_CHECK enum status lock_file_read(const char *path, struct lock_file *out, struct err *e);
/* Whole or not at all. */
MUST_CHECK enum status lock_file_write(const char *path, const struct lock_file *l, struct err *e);

#endif

/* Growable bytes with a mandatory maximum and a sticky failure: append freely, look at `failed` once. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

struct buf {
    char *p;
    size_t n, cap, max;
    bool failed; /* an append would have passed `max` or memory ran out; later appends are ignored */
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_fini(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory, clears `failed` */
void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_str(struct buf *b, struct str s);
void buf_put_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Makes room for n more bytes and returns where they go (then add to b->n), or NULL with `failed` set. */
char *buf_reserve(struct buf *b, size_t n);
/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);
struct str buf_str(const struct buf *b); /* borrows until the next append */
/* Reads a whole regular file, at most b->max bytes; the message names the path. */
MUST_CHECK enum status buf_read_file(struct buf *b, const char *path, struct err *e);

#endif

/* Growable bytes with a maximum and a sticky failure. */
#include "base/buf.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void buf_fini(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->failed || n > b->max - b->n) {
        b->failed = true;
        return NULL;
    }
    if (n > b->cap - b->n) {
        size_t cap = b->cap ? b->cap : 64;
        while (cap - b->n < n)
            cap = cap <= b->max / 2 ? cap * 2 : b->max;
        char *p = cap < SIZE_MAX ? realloc(b->p, cap + 1) : NULL; /* + 1: where vsnprintf() puts its NUL */
        if (!p) {
            b->failed = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    char *to = n ? buf_reserve(b, n) : NULL;
    if (!to)
        return;
    memcpy(to, p, n);
    b->n += n;
}

void buf_put_str(struct buf *b, struct str s)
{
    buf_put(b, s.p, s.n);
}

void buf_put_char(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    char text[256];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n < sizeof text) {
        buf_put(b, text, (size_t)n);
    } else if (buf_reserve(b, (size_t)n)) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void buf_consume(struct buf *b, size_t n)
{
    BUG_ON(n > b->n);
    b->n -= n;
    if (n && b->n)
        memmove(b->p, b->p + n, b->n);
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

static enum status read_all(struct buf *b, int fd, size_t size, const char *path, struct err *e)
{
    while (size) {
        char *to = buf_reserve(b, size);
        if (!to)
            return err_set(e, ST_NO_MEMORY, "%s: no memory for %zu bytes", path, size);
        ssize_t n = read(fd, to, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, ST_IO, "cannot read %s: %s", path, strerror(errno));
        if (n == 0) /* shrank while we read */
            break;
        b->n += (size_t)n;
        size -= (size_t)n;
    }
    return ST_OK;
}

enum status buf_read_file(struct buf *b, const char *path, struct err *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(e, errno == ENOENT ? ST_NOT_FOUND : ST_IO, "cannot open %s: %s", path,
                       strerror(errno));
    enum status status;
    if (fstat(fd, &st) != 0)
        status = err_set(e, ST_IO, "cannot read %s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        status = err_set(e, ST_INVALID, "%s is not a regular file", path);
    else if ((uint64_t)st.st_size > b->max - b->n)
        status = err_set(e, ST_LIMIT, "%s: %lld bytes are more than the %zu allowed", path,
                         (long long)st.st_size, b->max - b->n);
    else
        status = read_all(b, fd, (size_t)st.st_size, path, e);
    close(fd);
    return status;
}

/* Errors: filling and extending the sentence that a person reads. Never allocates, never fails. */
#include "base/err.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [ST_OK] = "ok",
    [ST_INVALID] = "invalid",
    [ST_NOT_FOUND] = "not found",
    [ST_UNSUPPORTED] = "unsupported",
    [ST_LIMIT] = "limit",
    [ST_NO_MEMORY] = "no memory",
    [ST_IO] = "input/output",
    [ST_UNAVAILABLE] = "unavailable",
    [ST_CANCELLED] = "cancelled",
    [ST_NUMERIC] = "numeric",
    [ST_INTERNAL] = "internal",
};

const char *status_name(enum status s)
{
    return (unsigned)s < sizeof names / sizeof *names ? names[s] : "unknown";
}

/* Control bytes could forge log lines or move a terminal's cursor: they are shown as '?'. A cut text ends in
 * "..." and never inside a UTF-8 sequence. */
static void text_store(struct err *e, const char *text)
{
    size_t n = strlen(text);
    if (n >= ERR_TEXT_MAX) {
        n = ERR_TEXT_MAX - 4;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
        memcpy(e->text, text, n);
        memcpy(e->text + n, "...", 4);
    } else {
        memcpy(e->text, text, n + 1);
    }
    for (char *p = e->text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

enum status err_set(struct err *e, enum status s, const char *fmt, ...)
{
    if (!e)
        return s;
    char text[2 * ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    e->status = s;
    text_store(e, text);
    return s;
}

enum status err_prefix(struct err *e, const char *fmt, ...)
{
    if (!e)
        return ST_INTERNAL;
    char text[3 * ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, ERR_TEXT_MAX, fmt, args);
    va_end(args);
    if (n < 0)
        n = 0;
    if (n >= ERR_TEXT_MAX)
        n = ERR_TEXT_MAX - 1;
    snprintf(text + n, sizeof text - (size_t)n, ": %s", e->text);
    text_store(e, text);
    return e->status;
}

_Noreturn void bug_at(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "prompteur: broken invariant at %s:%d: ", file, line);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

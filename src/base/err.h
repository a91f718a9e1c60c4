/* Errors: a status for the program, a sentence for the person.
 *
 * A fallible function returns enum status (must be checked) and takes `struct err *` last when a person will
 * read the reason. The innermost level says what is wrong; outer levels prepend where ("loading shard 3 of 5:
 * "). `struct err *` may be NULL everywhere: the text is then dropped, the status is still returned. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define MUST_CHECK          __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, a) __attribute__((format(printf, fmt, a)))

enum status {
    ST_OK = 0,
    ST_INVALID,     /* input from outside is wrong: request, file, flag */
    ST_NOT_FOUND,   /* a file, tensor, key is missing */
    ST_UNSUPPORTED, /* well-formed, but not served by this build */
    ST_LIMIT,       /* a stated bound would be exceeded */
    ST_NO_MEMORY,
    ST_IO,          /* the operating system refused: errno text is in the message */
    ST_UNAVAILABLE, /* not now: overloaded, draining, loading */
    ST_CANCELLED,   /* the client went away */
    ST_NUMERIC,     /* NaN or infinity where a number was due */
    ST_INTERNAL,    /* a failure of ours that is not a broken invariant */
};

#define ERR_TEXT_MAX 1024

struct err {
    enum status status;
    char text[ERR_TEXT_MAX]; /* always NUL-terminated, cut with "..." when too long, control bytes shown as ?
                              */
};

/* Short name of a status, for logs: "invalid", "not found", ... */
const char *status_name(enum status s);

/* Sets the sentence; returns `s`, so that callers can write `return err_set(e, ST_INVALID, "...")`. */
enum status err_set(struct err *e, enum status s, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Prepends "<text>: " to the sentence already there; returns e->status (ST_INTERNAL when e is NULL). */
enum status err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A broken invariant: prints file, line and text to standard error and aborts. Never for outside input. */
_Noreturn void bug_at(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
#define BUG_ON(cond)                                                                                         \
    do {                                                                                                     \
        if (cond)                                                                                            \
            BUG("%s", #cond);                                                                                \
    } while (0)

#endif

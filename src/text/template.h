/* Chat templates: Jinja as jinja2 3.1.6 renders it in the environment that transformers 5.23 makes for chat
 * templates (immutable sandbox, trim_blocks, lstrip_blocks, loop controls, `generation`, its own tojson),
 * byte for byte, or an error.
 *
 * A template is compiled once and then immutable: any number of threads may render it at once. Templates and
 * the values they see are hostile: whatever they hold, a render ends within its limits. */
#ifndef TEXT_TEMPLATE_H
#define TEXT_TEMPLATE_H

#include "base/buf.h"
#include "json/json.h"
#include <time.h>

struct chat_template;

#define TEMPLATE_MAX_SOURCE_BYTES (1u << 20)

/* `source` is copied. ST_INVALID: the sentence says what is wrong and in which line; ST_UNSUPPORTED: valid
 * Jinja that is not served here (include, import, extends, ...). */
MUST_CHECK enum status chat_template_compile(struct str source, struct chat_template **out, struct err *e);
void chat_template_free(struct chat_template *t);

/* A variable that the template sees. */
struct template_var {
    struct str name;
    const struct json_val *json; /* its value; NULL is none, unless is_text */
    struct str text;             /* its value when is_text: valid UTF-8 */
    bool is_text;
};

struct template_context {
    const struct template_var *vars; /* a later one of the same name wins */
    size_t n_vars;
    struct tm now; /* what strftime_now sees: local time */
    int now_us;
    uint64_t
        max_steps; /* 0: TEMPLATE_DEFAULT_STEPS. A step is one part of an expression, or some bytes of text */
    size_t max_memory_bytes; /* 0: TEMPLATE_DEFAULT_MEMORY_BYTES. What the values of a render may take */
};

#define TEMPLATE_DEFAULT_STEPS (1u << 19) /* some 50 ms */
/* What a conversation of n bytes may cost: in proportion to it, so that a template that only burns time ends
 * in milliseconds and a long conversation has its due. */
#define TEMPLATE_STEPS_FOR(n_bytes)   (TEMPLATE_DEFAULT_STEPS + (uint64_t)(n_bytes) * 64)
#define TEMPLATE_DEFAULT_MEMORY_BYTES (256u << 20)

/* Appends the text to `out`, whose maximum bounds it; variables are borrowed for the call.
 *
 * ST_INVALID: the template refused its input with raise_exception(). `out` gets the whole message appended;
 * e->text is the same, cut as every error text is. Of every other failure `out` shows nothing.
 * ST_UNSUPPORTED: what Jinja or Python would raise, or what is not served here; the line is named. ST_LIMIT,
 * ST_NO_MEMORY. */
MUST_CHECK enum status chat_template_render(const struct chat_template *t, const struct template_context *ctx,
                                            struct buf *out, struct err *e);

#endif

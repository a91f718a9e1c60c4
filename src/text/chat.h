/* A model's chat templates, and the variables that transformers gives them.
 *
 * Compiled once per model, then immutable: any number of threads may render at once. */
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include "text/template.h"
#include "text/tokenizer.h"

struct chat;

/* The tokenizer's templates: "default", and "tool_use" for conversations with tools where there is one.
 * Borrows the tokenizer: its special tokens are variables. ST_NOT_FOUND: it has no template. The error of a
 * template that cannot be compiled names the line. */
MUST_CHECK enum status chat_new(const struct tokenizer *t, struct chat **out, struct err *e);
/* One template, without special tokens. `source` is copied. */
MUST_CHECK enum status chat_from_source(struct str source, struct chat **out, struct err *e);
void chat_free(struct chat *c);

/* Does the default template's source have that word? */
bool chat_mentions(const struct chat *c, struct str word);

struct chat_input {
    const struct json_val *messages, *tools, *documents; /* NULL: none */
    bool add_generation_prompt;
    const struct template_var *more; /* [n_more] win over all others of the same name */
    size_t n_more;
    size_t n_bytes; /* of the JSON that all this comes from: the time a template may take is in proportion */
    const struct tm *now; /* what strftime_now() sees; NULL: the local time */
    int now_us;
};

/* Statuses as chat_template_render() has them. */
MUST_CHECK enum status chat_render(const struct chat *c, const struct chat_input *in, struct buf *out,
                                   struct err *e);

#endif

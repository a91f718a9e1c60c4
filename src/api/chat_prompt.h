/* A conversation as a client sends it, and the prompt that the model's chat template makes of it. */
#ifndef API_CHAT_PROMPT_H
#define API_CHAT_PROMPT_H

#include "api/api_int.h"

/* `root`: the body, with messages, tools, chat_template_kwargs; `n_bytes` of it. Appends the prompt to
 * `text`. On failure *failure says which kind it is (left alone: another shape), and the sentence is in `e`
 * or, when it is the template's own and long, in `text`: chat_prompt_reason(). Any thread. */
MUST_CHECK enum status chat_prompt_render(const struct api *a, const struct json_val *root, size_t n_bytes,
                                          bool with_tools, struct buf *text, enum api_error *failure,
                                          struct err *e);
/* The sentence of an API_TEMPLATE failure; lives in `text` or `e`. */
const char *chat_prompt_reason(struct buf *text, const struct err *e);

#endif

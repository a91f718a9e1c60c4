/* A conversation as a client sends it, and the prompt that the model's chat template makes of it. */
#ifndef API_CHAT_PROMPT_H
#define API_CHAT_PROMPT_H

#include "api/api_int.h"

struct chat_prompt {
    struct str text;        /* in the arena */
    enum api_error failure; /* of a failed rendering: which kind it is */
    const char *reason;     /* its sentence, in the arena or in `e` */
};

/* `root`: the body, with messages, tools, chat_template_kwargs; `n_bytes` of it. Any thread. */
MUST_CHECK enum status chat_prompt_render(const struct api *a, const struct json_val *root, size_t n_bytes,
                                          bool with_tools, struct arena *arena, struct chat_prompt *out,
                                          struct err *e);

#endif

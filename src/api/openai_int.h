/* What OpenAI's routes have in common: fields of a request, the frame around an answer, errors. */
#ifndef API_OPENAI_INT_H
#define API_OPENAI_INT_H

#include "api/generation_int.h"

/* A chunk of a stream: an echoed prompt, or all that a stop string held back. */
#define OPENAI_CHUNK_MAX_BYTES (256u << 20)

/* The fields that both routes have: model, n, stop, sampling, stream, stream_options. */
void openai_read(struct generation *g, struct shape *s, struct gen_request *q);

/* Opens the object of an answer or a chunk: object, id, created, model, system_fingerprint. */
void openai_open(struct json_writer *w, const struct generation *g, const char *object);
/* "usage": of prompts [first, first + n). */
void openai_usage(struct json_writer *w, const struct generation *g, uint32_t first, uint32_t n);
/* OpenAI's word for the end of an answer; NULL: it has not ended. `tgi_eos`: where TGI says eos_token. */
const char *openai_finish_reason(const struct generation *g, const struct choice *c, bool tgi_eos);
uint32_t openai_index(const struct generation *g, const struct choice *c);
/* The text of an answer that has ended, the sum of its stream's; borrows from the choice. */
MUST_CHECK enum status openai_text(struct choice *c, struct str *out);
/* The newest token of a stream, and the text that goes out with it; with the last one comes what was held
 * back. */
MUST_CHECK enum status openai_newest(struct generation *g, struct choice *c, struct token_view *token,
                                     struct str *text);
/* The end of a stream of `object`: a chunk with the usage when it was asked for, then "data: [DONE]". */
void openai_write_end(struct generation *g, const char *object, struct buf *events);

/* struct gen_wire's. */
void openai_write_error(struct generation *g, enum api_error kind, const char *text, struct buf *body);
void openai_write_error_event(struct generation *g, enum api_error kind, const char *text,
                              struct buf *events);

#endif

/* What OpenAI's routes have in common: fields of a request, the frame around an answer, errors. */
#ifndef API_OPENAI_INT_H
#define API_OPENAI_INT_H

#include "api/generation_int.h"

/* The fields that both routes have: model, n, stop, sampling, stream, stream_options. */
void openai_read(struct generation *g, struct shape *s, struct gen_request *q);

/* A choice in an answer, or in a chunk of a stream. */
struct openai_part {
    const struct choice *choice;
    struct str text;
    const struct token_view *tokens; /* [n_token]; NULL: no logprobs are asked for */
    uint32_t n_token;
    bool is_chunk;
};

/* What the answers of the routes differ in. */
struct openai_words {
    const char *answer, *chunk;                                                  /* their "object" */
    const char *id;                                                              /* what an id begins with */
    void (*put_text)(struct json_writer *w, const struct openai_part *part);     /* with its key */
    void (*put_logprobs)(struct json_writer *w, const struct openai_part *part); /* without */
    bool tgi_chunks; /* eos_token where others say stop, "" for no reason yet, usage with a prompt's last
                        chunk */
};

/* struct gen_wire's, by the words of g->wire->openai. */
enum status openai_write(struct generation *g, struct buf *body);
enum status openai_write_token(struct generation *g, struct choice *c, struct buf *events);
enum status openai_write_end(struct generation *g, struct buf *events);
void openai_write_error(struct generation *g, enum api_error kind, const char *text, struct buf *body);
void openai_write_error_event(struct generation *g, enum api_error kind, const char *text,
                              struct buf *events);

#endif

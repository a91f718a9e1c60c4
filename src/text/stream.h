/* Streaming text: tokens in, whole UTF-8 deltas out, stop strings watched.
 *
 * The text of a token is what it adds to the text of those before it, as TGI and transformers stream: a delta
 * never ends inside a character, which then arrives with the token that completes it. Stop strings are
 * literal and matched anywhere in the text, across tokens and inside them; the first that ends counts. Routes
 * that keep a stop string (TGI's own) get every delta at once. Routes that strip it (OpenAI's) get no byte of
 * it: what may be its beginning is held back until it is not. One owner thread. */
#ifndef TEXT_STREAM_H
#define TEXT_STREAM_H

#include "text/stop.h"
#include "text/tokenizer.h"

struct stream {
    const struct tokenizer *tokenizer;
    int32_t *ids; /* a tail of the prompt, then what was generated */
    size_t n_ids, cap_ids, n_prompt;
    size_t prefix_offset, read_offset;
    bool skip_special; /* deltas leave special tokens out; TGI's own routes keep them */
    bool strip_stop;   /* deltas and text end before a stop string */
    struct stop_set stop;
    struct buf text;          /* of all ids so far, but for an incomplete character */
    size_t n_released;        /* bytes of the text that deltas have given out */
    struct buf before, after; /* scratch */
};

/* `prompt` [n_prompt]: only its last few ids are kept. Borrows the tokenizer and the stop strings. The two
 * flags are false; set them before the first push. */
MUST_CHECK enum status stream_init(struct stream *s, const struct tokenizer *t, const int32_t *prompt,
                                   size_t n_prompt, const struct str *stop, uint32_t n_stop);
void stream_fini(struct stream *s);
/* Adds one token. *delta is the text it releases (borrows until the next call), often empty. *stopped: the
 * text now contains a stop string; no more tokens may follow. */
MUST_CHECK enum status stream_push(struct stream *s, int32_t id, struct str *delta, bool *stopped);
/* When no token follows and no stop string ended the text: *delta is what was still held back; an incomplete
 * character at the end is U+FFFD. */
MUST_CHECK enum status stream_finish(struct stream *s, struct str *delta);
/* The whole answer without special tokens, stop string included; an incomplete character at its end is
 * U+FFFD. */
MUST_CHECK enum status stream_generated_text(struct stream *s, struct buf *out);

#endif

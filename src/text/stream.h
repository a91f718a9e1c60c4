/* Streaming text: tokens in, whole UTF-8 deltas out, stop strings watched.
 *
 * The text of a token is what it adds to the text of those before it, decoded with special tokens kept, as
 * TGI and transformers stream: a delta never ends inside a character, which then arrives with the token that
 * completes it. Stop strings are literal and matched anywhere in the released text, across tokens and inside
 * them. One owner thread. */
#ifndef TEXT_STREAM_H
#define TEXT_STREAM_H

#include "text/tokenizer.h"

struct stream {
    const struct tokenizer *tokenizer;
    int32_t *ids; /* a tail of the prompt, then what was generated */
    size_t n_ids, cap_ids, n_prompt;
    size_t prefix_offset, read_offset;
    bool skip_special; /* deltas leave special tokens out; TGI's own routes keep them */
    const struct str *stop;
    uint32_t n_stop;
    size_t max_stop_bytes;
    struct buf text;          /* all deltas so far */
    struct buf before, after; /* scratch */
};

/* `prompt` [n_prompt]: only its last few ids are kept. Borrows the tokenizer and the stop strings. */
MUST_CHECK enum status stream_init(struct stream *s, const struct tokenizer *t, const int32_t *prompt,
                                   size_t n_prompt, const struct str *stop, uint32_t n_stop);
void stream_fini(struct stream *s);
/* Adds one token. *delta is its text (borrows until the next call), often empty. *stopped: the text now
 * contains a stop string; it stays in the text, as TGI's own routes have it. */
MUST_CHECK enum status stream_push(struct stream *s, int32_t id, struct str *delta, bool *stopped);
/* The whole answer without special tokens; an incomplete character at its end is U+FFFD. */
MUST_CHECK enum status stream_generated_text(struct stream *s, struct buf *out);

#endif

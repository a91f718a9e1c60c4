/* The JSON of TGI's generation answers. Field order is TGI's; nothing here decides, it only writes. */
#ifndef API_RENDER_H
#define API_RENDER_H

#include "text/tokenizer.h"
#include "json/json.h"

struct token_view {
    uint32_t id;
    struct str text;  /* as streamed; of a special token its name, of an alternative what it is alone */
    struct str added; /* what it adds to the answer's text */
    float logprob;
    bool special;
    const struct token_view *top; /* [n_top] alternatives, most likely first; none of them has any */
    uint32_t n_top;
};

/* How an answer ended and what it was made from. */
struct answer_view {
    struct str generated_text; /* the prompt in front of it when return_full_text */
    const char *finish_reason; /* "length", "eos_token", "stop_sequence" */
    uint32_t n_input, n_generated;
    uint32_t n_cached; /* of the input, tokens whose keys and values were at hand */
    bool has_seed;
    uint64_t seed;
    const struct token_view *tokens;  /* [n_generated], NULL: details are not asked for */
    const struct token_view *prefill; /* [n_prefill] the prompt; a NaN logprob is null */
    uint32_t n_prefill;
    const struct answer_view *others; /* [n_others] that best_of did not choose */
    uint32_t n_others;
};

/* {"generated_text":...,"details":{...}}; details only when `tokens` is not NULL; with "top_tokens" when any
 * token has alternatives. */
void render_generate(struct buf *out, const struct answer_view *a);
/* [{"id","text","start","stop"}]: tokens with their places in the text, in bytes. */
void render_tokens(struct json_writer *w, struct str text, const struct tokens *tokens);
/* One event of a stream. `last` is NULL but for the final token; `with_details` adds the details to that one.
 */
void render_stream_event(struct buf *out, uint32_t index, const struct token_view *token,
                         const struct answer_view *last, bool with_details);

#endif

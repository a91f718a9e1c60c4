/* Streaming text by two windows: what decodes from prefix_offset up to read_offset is known, what decodes
 * beyond it is new once it ends in a whole character. The windows hold a few tokens, so that a token costs
 * the same at any length. */
#include "text/stream.h"
#include <stdlib.h>
#include <string.h>

#define PROMPT_TAIL    5 /* TGI's window into the prompt */
#define TEXT_MAX_BYTES (1u << 30)

enum status stream_init(struct stream *s, const struct tokenizer *t, const int32_t *prompt, size_t n_prompt,
                        const struct str *stop, uint32_t n_stop)
{
    size_t keep = n_prompt < PROMPT_TAIL ? n_prompt : PROMPT_TAIL;
    *s = (struct stream){.tokenizer = t, .stop = stop, .n_stop = n_stop, .n_prompt = keep, .cap_ids = 64};
    buf_init(&s->text, TEXT_MAX_BYTES);
    buf_init(&s->before, TEXT_MAX_BYTES);
    buf_init(&s->after, TEXT_MAX_BYTES);
    s->ids = malloc(s->cap_ids * sizeof *s->ids);
    if (!s->ids)
        return ST_NO_MEMORY;
    if (keep)
        memcpy(s->ids, prompt + (n_prompt - keep), keep * sizeof *s->ids);
    s->n_ids = s->read_offset = keep;
    for (uint32_t i = 0; i < n_stop; i++)
        if (stop[i].n > s->max_stop_bytes)
            s->max_stop_bytes = stop[i].n;
    return ST_OK;
}

void stream_fini(struct stream *s)
{
    free(s->ids);
    s->ids = NULL;
    buf_fini(&s->text);
    buf_fini(&s->before);
    buf_fini(&s->after);
}

static bool ends_in_replacement(struct str text)
{
    return str_has_suffix(text, STR("\xef\xbf\xbd"));
}

/* Is there a stop string that ends in the last `n_new` bytes of the text? */
static bool stop_found(const struct stream *s, size_t n_new)
{
    size_t look = n_new + s->max_stop_bytes;
    struct str tail = buf_str(&s->text);
    if (tail.n > look) {
        tail.p += tail.n - look;
        tail.n = look;
    }
    for (uint32_t i = 0; i < s->n_stop; i++)
        if (s->stop[i].n && str_find(tail, s->stop[i], 0) != SIZE_MAX)
            return true;
    return false;
}

static enum status ids_add(struct stream *s, int32_t id)
{
    if (s->n_ids == s->cap_ids) {
        int32_t *grown = realloc(s->ids, 2 * s->cap_ids * sizeof *grown);
        if (!grown)
            return ST_NO_MEMORY;
        s->ids = grown;
        s->cap_ids *= 2;
    }
    s->ids[s->n_ids++] = id;
    return ST_OK;
}

enum status stream_push(struct stream *s, int32_t id, struct str *delta, bool *stopped)
{
    enum status st = ids_add(s, id);
    *delta = STR("");
    *stopped = false;
    if (st != ST_OK)
        return st;
    buf_clear(&s->before);
    buf_clear(&s->after);
    tokenizer_decode(s->tokenizer, s->ids + s->prefix_offset, s->read_offset - s->prefix_offset,
                     s->skip_special, &s->before);
    tokenizer_decode(s->tokenizer, s->ids + s->prefix_offset, s->n_ids - s->prefix_offset, s->skip_special,
                     &s->after);
    if (s->before.failed || s->after.failed)
        return ST_NO_MEMORY;
    if (s->after.n <= s->before.n || ends_in_replacement(buf_str(&s->after)))
        return ST_OK;
    struct str text = buf_str(&s->after);
    /* A later token may change how earlier ones decode: cut at a character all the same. */
    size_t from = s->before.n;
    while (from < text.n && ((unsigned char)text.p[from] & 0xc0) == 0x80)
        from++;
    *delta = (struct str){text.p + from, text.n - from};
    s->prefix_offset = s->read_offset;
    s->read_offset = s->n_ids;
    buf_put_str(&s->text, *delta);
    if (s->text.failed)
        return ST_LIMIT;
    *stopped = s->n_stop && stop_found(s, delta->n);
    return ST_OK;
}

/* Decoded behind the prompt's last token, as TGI does: a tokenizer that strips the first space of a text then
 * leaves the answer's own. */
enum status stream_generated_text(struct stream *s, struct buf *out)
{
    size_t from = s->n_prompt ? s->n_prompt - 1 : 0;
    buf_clear(&s->before);
    buf_clear(&s->after);
    tokenizer_decode(s->tokenizer, s->ids + from, s->n_prompt - from, true, &s->before);
    tokenizer_decode(s->tokenizer, s->ids + from, s->n_ids - from, true, &s->after);
    size_t skip = s->before.n < s->after.n ? s->before.n : s->after.n;
    buf_put(out, s->after.p + skip, s->after.n - skip);
    return out->failed || s->before.failed || s->after.failed ? ST_NO_MEMORY : ST_OK;
}

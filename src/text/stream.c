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
    *s = (struct stream){.tokenizer = t, .n_prompt = keep, .cap_ids = 64};
    buf_init(&s->text, TEXT_MAX_BYTES);
    buf_init(&s->before, TEXT_MAX_BYTES);
    buf_init(&s->after, TEXT_MAX_BYTES);
    s->ids = malloc(s->cap_ids * sizeof *s->ids);
    enum status st = s->ids ? stop_set_init(&s->stop, stop, n_stop) : ST_NO_MEMORY;
    if (st != ST_OK) {
        stream_fini(s);
        return st;
    }
    if (keep)
        memcpy(s->ids, prompt + (n_prompt - keep), keep * sizeof *s->ids);
    s->n_ids = s->read_offset = keep;
    return ST_OK;
}

void stream_fini(struct stream *s)
{
    free(s->ids);
    s->ids = NULL;
    stop_set_fini(&s->stop);
    buf_fini(&s->text);
    buf_fini(&s->before);
    buf_fini(&s->after);
}

static bool ends_in_replacement(struct str text)
{
    return str_has_suffix(text, STR("\xef\xbf\xbd"));
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

/* What `text` has beyond the length of `known`, in characters: a later token may change how earlier ones
 * decode, and lengths are all that the reference compares. */
static struct str text_behind(struct str known, struct str text)
{
    size_t at = 0;
    for (size_t n = utf8_count(known); n && at < text.n; n--)
        do
            at++;
        while (at < text.n && ((unsigned char)text.p[at] & 0xc0) == 0x80);
    return (struct str){text.p + at, text.n - at};
}

/* What the ids behind read_offset add to the text of those in front of it; borrows from s->after. */
static enum status decode_new(struct stream *s, struct str *added)
{
    size_t from = s->prefix_offset;
    buf_clear(&s->before);
    buf_clear(&s->after);
    tokenizer_decode(s->tokenizer, s->ids + from, s->read_offset - from, s->skip_special, &s->before);
    tokenizer_decode(s->tokenizer, s->ids + from, s->n_ids - from, s->skip_special, &s->after);
    if (s->before.failed || s->after.failed)
        return ST_NO_MEMORY;
    *added = text_behind(buf_str(&s->before), buf_str(&s->after));
    return ST_OK;
}

/* The text up to `until` that no delta has given out yet. */
static struct str take(struct stream *s, size_t until)
{
    size_t from = s->n_released;
    s->n_released = until;
    return until > from ? (struct str){s->text.p + from, until - from} : STR("");
}

/* Appends to the text and finds what of it may be given out. */
static enum status release(struct stream *s, struct str added, struct str *delta, bool *stopped)
{
    size_t end, n_stop, before = s->text.n;
    buf_put_str(&s->text, added);
    if (s->text.failed)
        return ST_LIMIT;
    *stopped = stop_set_feed(&s->stop, added, &end, &n_stop);
    if (s->strip_stop && *stopped)
        s->text.n = before + end - n_stop;
    *delta = take(s, s->strip_stop && !*stopped ? s->text.n - stop_set_pending(&s->stop) : s->text.n);
    return ST_OK;
}

enum status stream_push(struct stream *s, int32_t id, struct str *delta, bool *stopped)
{
    struct str added;
    *delta = STR("");
    *stopped = false;
    enum status st = ids_add(s, id);
    if (st == ST_OK)
        st = decode_new(s, &added);
    if (st != ST_OK || added.n == 0 || ends_in_replacement(buf_str(&s->after)))
        return st;
    s->prefix_offset = s->read_offset;
    s->read_offset = s->n_ids;
    return release(s, added, delta, stopped);
}

enum status stream_finish(struct stream *s, struct str *delta)
{
    struct str added;
    enum status st = decode_new(s, &added);
    if (st != ST_OK)
        return st;
    buf_put_str(&s->text, added);
    if (s->text.failed)
        return ST_LIMIT;
    *delta = take(s, s->text.n);
    s->prefix_offset = s->read_offset = s->n_ids;
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
    buf_put_str(out, text_behind(buf_str(&s->before), buf_str(&s->after)));
    return out->failed || s->before.failed || s->after.failed ? ST_NO_MEMORY : ST_OK;
}

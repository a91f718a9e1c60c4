/* Stop strings by Knuth, Morris and Pratt: each string knows how much of it the text's end matches, and to
 * how much that falls back when the next byte does not fit. A byte costs the same whatever was before. */
#include "text/stop.h"
#include <stdlib.h>

struct stop_word {
    struct str text;
    uint32_t
        *fallback; /* [text.n] of a match of i + 1 bytes: the next shorter one that ends at the same place */
    uint32_t matched; /* bytes, below text.n */
};

/* How much matches after one more byte. */
static uint32_t advance(const struct stop_word *w, uint32_t matched, char byte)
{
    while (matched && w->text.p[matched] != byte)
        matched = w->fallback[matched - 1];
    return matched + (w->text.p[matched] == byte);
}

static enum status word_init(struct stop_word *w, struct str text)
{
    if (text.n > UINT32_MAX)
        return ST_LIMIT;
    *w = (struct stop_word){.text = text, .fallback = calloc(text.n + 1, sizeof *w->fallback)};
    if (!w->fallback)
        return ST_NO_MEMORY;
    for (uint32_t i = 1; i < text.n; i++)
        w->fallback[i] = advance(w, w->fallback[i - 1], text.p[i]);
    return ST_OK;
}

enum status stop_set_init(struct stop_set *s, const struct str *stop, uint32_t n)
{
    enum status st = ST_OK;
    *s = (struct stop_set){.word = calloc((size_t)n + 1, sizeof *s->word)};
    if (!s->word)
        return ST_NO_MEMORY;
    for (uint32_t i = 0; i < n && st == ST_OK; i++)
        if (stop[i].n)
            st = word_init(&s->word[s->n++], stop[i]);
    return st;
}

void stop_set_fini(struct stop_set *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        free(s->word[i].fallback);
    free(s->word);
    *s = (struct stop_set){0};
}

bool stop_set_feed(struct stop_set *s, struct str text, size_t *end, size_t *n_bytes)
{
    *n_bytes = 0;
    for (size_t at = 0; at < text.n && *n_bytes == 0; at++)
        for (uint32_t i = 0; i < s->n; i++) {
            struct stop_word *w = &s->word[i];
            w->matched = advance(w, w->matched, text.p[at]);
            if (w->matched < w->text.n)
                continue;
            w->matched = w->fallback[w->text.n - 1];
            *end = at + 1;
            *n_bytes = w->text.n > *n_bytes ? w->text.n : *n_bytes;
        }
    return *n_bytes > 0;
}

size_t stop_set_pending(const struct stop_set *s)
{
    size_t most = 0;
    for (uint32_t i = 0; i < s->n; i++)
        most = s->word[i].matched > most ? s->word[i].matched : most;
    return most;
}

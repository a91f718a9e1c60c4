/* Trimmed offsets: a token's white space does not count as its. Counted in characters of the token, taken off
 * in characters of the text. */
#include "text/tokenizer_int.h"

#define SPELLED_SPACE 0x120 /* a space in the byte alphabet */

static bool is_space(struct str text, size_t at, unsigned *n)
{
    uint32_t cp;
    *n = utf8_decode(text, at, &cp);
    return *n && (cp == SPELLED_SPACE || (unicode_classes(cp) & UNICODE_WHITE));
}

/* Characters of white space at both ends; both are all of them when there is nothing else. */
static void count_spaces(struct str text, uint32_t *lead, uint32_t *trail)
{
    bool leading = true;
    unsigned n;
    *lead = *trail = 0;
    for (size_t at = 0; at < text.n; at += n ? n : 1) {
        bool space = is_space(text, at, &n);
        leading &= space;
        *lead += leading;
        *trail = space ? *trail + 1 : 0;
    }
}

static uint32_t forward(struct str text, uint32_t at, uint32_t end, uint32_t n_chars)
{
    uint32_t cp;
    for (; n_chars && at < end; n_chars--) {
        unsigned n = utf8_decode(text, at, &cp);
        at += n ? n : 1;
    }
    return at < end ? at : end;
}

static uint32_t backward(struct str text, uint32_t at, uint32_t begin, uint32_t n_chars)
{
    for (; n_chars && at > begin; n_chars--) {
        do
            at--;
        while (at > begin && ((unsigned char)text.p[at] & 0xc0) == 0x80);
    }
    return at;
}

/* Is there room for n characters before `at`? */
static bool has_before(struct str text, uint32_t at, uint32_t n_chars)
{
    return n_chars <= at && utf8_count((struct str){text.p, at < 4 * n_chars ? at : 4 * n_chars}) >= n_chars;
}

void trim_offsets(const struct tokenizer *t, struct str text, struct trim how, struct token_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        int32_t id = list->id[i];
        struct str token = t->token_text[id];
        uint32_t lead, trail, *start = &list->start[i], *stop = &list->stop[i];
        /* An added token has the white space that it strips, too; unknown text is what it was found as. */
        struct str found = {text.p + *start, *stop > *start ? *stop - *start : 0};
        bool added = (t->vocab.flags[id] & VOCAB_ADDED) && str_find(found, token, 0) != SIZE_MAX;
        if (added || (id == t->model.unknown && found.n))
            token = found;
        count_spaces(token, &lead, &trail);
        if (lead == 1 && how.keeps_space && ((i == 0 && how.leads) || *start == 0))
            lead = 0;
        *start = forward(text, *start, *stop, lead);
        if (trail && has_before(text, *stop, trail))
            *stop = backward(text, *stop, *start, trail);
    }
}

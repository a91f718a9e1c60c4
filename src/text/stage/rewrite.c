/* Rewriting a section's text with changes counted as the tokenizers library counts them, for the normalizers
 * whose characters do not come one from one: Unicode forms and charsmaps. */
#include "text/text_int.h"

void rewrite_put(struct rewrite *r, struct scratch *s, uint32_t cp, int change)
{
    const struct aligned *in = &r->from->text;
    char text[4];
    unsigned n = utf8_encode(cp, text);
    if (change > 0 && r->at == 0) {
        aligned_put(&r->out, s, text, n, r->from->origin, r->from->origin);
        return;
    }
    /* Counts that lead behind the end are a charsmap's mistake. */
    size_t source = change > 0 || r->at == in->n ? r->at - 1 : r->at;
    aligned_put(&r->out, s, text, n, in->begin[source], in->end[source]);
    if (change > 0)
        return;
    for (int drop = change; drop <= 0 && r->at < in->n; drop++) {
        uint32_t old;
        r->at += utf8_decode(aligned_str(in), r->at, &old);
    }
}

void rewrite_keep(struct rewrite *r, struct scratch *s, size_t at, size_t n)
{
    struct str text = {r->from->text.p, at + n};
    if (r->at == at) {
        aligned_copy(&r->out, s, &r->from->text, at, n);
        r->at += n;
        return;
    }
    while (at < text.n && s->status == ST_OK) {
        uint32_t cp;
        at += utf8_decode(text, at, &cp);
        rewrite_put(r, s, cp, 0);
    }
}

/* Unicode normal forms (NFC, NFD, NFKC, NFKD). Only what can change is taken apart: a stretch from a starter
 * up to the next character that neither changes nor joins what stands before it. Decompositions and
 * compositions come from utf8proc, but only for the code points that the tokenizers library knows. */
#include "text/text_int.h"
#include <string.h>
#include <utf8proc.h>

struct form_char {
    uint32_t cp;
    int change;
    uint8_t class;
};

struct form_buf {
    struct form_char *p;
    size_t n, cap;
};

static void form_push(struct form_buf *b, struct scratch *s, struct form_char c)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 64;
        struct form_char *grown = arena_array(&s->arena, cap, sizeof *grown);
        if (!grown) {
            scratch_no_memory(s);
            return;
        }
        if (b->n)
            memcpy(grown, b->p, b->n * sizeof *grown);
        b->p = grown;
        b->cap = cap;
    }
    b->p[b->n++] = c;
}

static uint8_t combining_class(uint32_t cp)
{
    if (!(unicode_classes(cp) & UNICODE_JOINS))
        return 0;
    return (uint8_t)utf8proc_get_property((utf8proc_int32_t)cp)->combining_class;
}

static void decompose(uint32_t cp, unsigned form, struct form_buf *out, struct scratch *s)
{
    utf8proc_int32_t parts[32] = {(utf8proc_int32_t)cp};
    int boundclass = 0;
    utf8proc_ssize_t n = 1;
    unsigned changes = form & FORM_COMPAT ? UNICODE_CANON | UNICODE_COMPAT : UNICODE_CANON;
    if (unicode_classes(cp) & changes)
        n = utf8proc_decompose_char(
            (utf8proc_int32_t)cp, parts, 32,
            form & FORM_COMPAT ? UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT : UTF8PROC_DECOMPOSE, &boundclass);
    for (utf8proc_ssize_t i = 0; i < n && i < 32; i++)
        form_push(out, s, (struct form_char){(uint32_t)parts[i], i > 0, combining_class((uint32_t)parts[i])});
}

/* Stable, by combining class, within each run of characters that have one. Counting sort: a run may be the
 * whole text. */
static void sort_marks(struct form_char *c, size_t n, struct scratch *s)
{
    size_t at[257] = {0};
    bool sorted = true;
    for (size_t i = 1; i < n; i++)
        sorted &= c[i - 1].class <= c[i].class;
    if (sorted)
        return;
    struct form_char *copy = arena_array(&s->arena, n, sizeof *copy);
    if (!copy) {
        scratch_no_memory(s);
        return;
    }
    memcpy(copy, c, n * sizeof *c);
    for (size_t i = 0; i < n; i++)
        at[c[i].class + 1]++;
    for (unsigned k = 1; k < 257; k++)
        at[k] += at[k - 1];
    for (size_t i = 0; i < n; i++)
        c[at[copy[i].class]++] = copy[i];
}

static void sort_all_marks(struct form_buf *b, struct scratch *s)
{
    for (size_t i = 0; i < b->n && s->status == ST_OK; i++) {
        size_t end = i;
        while (end < b->n && b->p[end].class)
            end++;
        if (end > i + 1)
            sort_marks(b->p + i, end - i, s);
        if (end > i)
            i = end - 1;
    }
}

/* The character that two make together, or 0. */
static uint32_t composed(uint32_t first, uint32_t second)
{
    utf8proc_int32_t pair[3] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second};
    if (!(unicode_classes(second) & UNICODE_JOINS))
        return 0;
    if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE) != 1)
        return 0;
    uint32_t whole = (uint32_t)pair[0];
    return unicode_classes(whole) & UNICODE_CANON ? whole : 0;
}

/* Composes in place: a starter takes up the marks behind it that nothing blocks. */
static void compose(struct form_buf *b)
{
    size_t n = 0, starter = SIZE_MAX;
    int last_class = -1; /* of the marks kept since the starter; -1: none */
    for (size_t i = 0; i < b->n; i++) {
        struct form_char c = b->p[i];
        uint32_t whole = 0;
        if (starter != SIZE_MAX && last_class < (int)c.class)
            whole = composed(b->p[starter].cp, c.cp);
        if (whole) {
            b->p[starter].cp = whole;
            b->p[starter].change += c.change - 1;
            continue;
        }
        if (c.class == 0) {
            starter = n;
            last_class = -1;
        } else {
            last_class = c.class;
        }
        b->p[n++] = c;
    }
    b->n = n;
}

static void put_stretch(struct rewrite *r, struct str text, size_t at, unsigned form, struct form_buf *chars,
                        struct scratch *s)
{
    uint32_t cp;
    chars->n = 0;
    while (at < text.n && s->status == ST_OK) {
        at += utf8_decode(text, at, &cp);
        decompose(cp, form, chars, s);
    }
    if (s->status == ST_OK)
        sort_all_marks(chars, s);
    if (form & FORM_COMPOSED)
        compose(chars);
    for (size_t i = 0; i < chars->n && s->status == ST_OK; i++)
        rewrite_put(r, s, chars->p[i].cp, chars->p[i].change);
}

void form_run(unsigned form, struct section *x, struct scratch *s)
{
    static const unsigned hard[] = {UNICODE_CANON | UNICODE_JOINS, UNICODE_NFC | UNICODE_JOINS,
                                    UNICODE_CANON | UNICODE_COMPAT | UNICODE_JOINS,
                                    UNICODE_NFC | UNICODE_NFKC | UNICODE_JOINS};
    struct str text = aligned_str(&x->text);
    struct rewrite r = {.from = x};
    struct form_buf chars = {0};
    size_t kept = 0, at = 0, before = 0; /* `before`: the last easy character */
    while (at < text.n && s->status == ST_OK) {
        uint32_t cp;
        if ((unsigned char)text.p[at] < 0x80) {
            before = at++;
            continue;
        }
        unsigned n = utf8_decode(text, at, &cp);
        if (!(unicode_classes(cp) & hard[form])) {
            before = at;
            at += n;
            continue;
        }
        while (at < text.n && (unicode_classes(cp) & hard[form])) {
            at += n;
            if (at < text.n)
                n = utf8_decode(text, at, &cp);
        }
        rewrite_keep(&r, s, kept, before - kept);
        put_stretch(&r, (struct str){text.p, at}, before, form, &chars, s);
        kept = before = at;
    }
    if (kept == 0)
        return;
    rewrite_keep(&r, s, kept, text.n - kept);
    x->text = r.out;
}

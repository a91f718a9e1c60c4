/* Normalizers: what is done to a section's text before it is cut. */
#include "text/text_int.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- Replace ---- */

/* What replaces a match comes from the match's last character. */
static void run_replace(const struct step *step, struct section *x, struct scratch *s)
{
    struct aligned out = {0};
    struct str text = aligned_str(&x->text);
    size_t at = 0, begin, end;
    while (pattern_next(step->pattern, s, text, at, &begin, &end)) {
        aligned_copy(&out, s, &x->text, at, begin - at);
        aligned_put(&out, s, step->text.p, step->text.n, x->text.begin[end - 1], x->text.end[end - 1]);
        at = end;
    }
    if (at == 0)
        return;
    aligned_copy(&out, s, &x->text, at, text.n - at);
    x->text = out;
}

/* ---- Prepend ---- */

static enum status read_prepend(const struct json_val *v, struct step *out, struct err *e)
{
    return json_str(json_get(v, STR("prepend")), &out->text)
               ? ST_OK
               : err_set(e, ST_INVALID, "`prepend` is not a string");
}

/* What stands in front comes from the first character. */
static void run_prepend(const struct step *step, struct section *x, struct scratch *s)
{
    struct aligned out = {0};
    if (x->text.n == 0)
        return;
    aligned_put(&out, s, step->text.p, step->text.n, x->text.begin[0], x->text.end[0]);
    aligned_copy(&out, s, &x->text, 0, x->text.n);
    x->text = out;
}

/* ---- Unicode normal forms ---- */

static enum status read_form(const struct json_val *v, struct step *out, struct err *e)
{
    static const struct {
        const char *type;
        unsigned options;
    } forms[] = {
        {"NFC", UTF8PROC_STABLE | UTF8PROC_COMPOSE},
        {"NFD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
        {"NFKC", UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
        {"NFKD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT},
    };
    struct str type = {0};
    (void)e;
    json_str(json_get(v, STR("type")), &type);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (str_eq(type, str_from(forms[i].type)))
            out->option = forms[i].options;
    return ST_OK;
}

/* Characters that may join with what stands before them: marks, and the Jamo and vowel signs of class 0 that
 * compose. */
static bool may_join(uint32_t cp)
{
    const utf8proc_property_t *p = utf8proc_get_property((utf8proc_int32_t)cp);
    return p->combining_class != 0 || p->category == UTF8PROC_CATEGORY_MC ||
           p->category == UTF8PROC_CATEGORY_MN || (cp >= 0x1160 && cp <= 0x11ff);
}

/* Normalizes one starter and what joins it. Characters come from the one at the same place; when there are
 * fewer, the first (a composition) comes from the first and the others are counted from the end; when there
 * are more, the extra ones come from the last. */
static void put_cluster(const struct aligned *in, size_t at, size_t n, unsigned options, struct aligned *out,
                        struct scratch *s)
{
    utf8proc_uint8_t *normal = NULL;
    utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)in->p + at, (utf8proc_ssize_t)n, &normal,
                                           (utf8proc_option_t)options);
    if (length < 0) {
        scratch_no_memory(s);
        return;
    }
    struct str before = {in->p + at, n}, after = {(const char *)normal, (size_t)length};
    size_t n_in = utf8_count(before), n_out = utf8_count(after), from = 0, index = 0;
    for (size_t i = 0; i < after.n && s->status == ST_OK; index++) {
        uint32_t cp;
        unsigned k = utf8_decode(after, i, &cp);
        size_t want = index == 0      ? 0
                      : n_out <= n_in ? n_in - (n_out - index)
                      : index < n_in  ? index
                                      : n_in - 1;
        for (size_t seen = utf8_count((struct str){before.p, from}); seen < want; seen++)
            from += utf8_decode(before, from, &cp);
        aligned_put(out, s, after.p + i, k, in->begin[at + from], in->end[at + from]);
        i += k;
    }
    free(normal);
}

static void run_form(const struct step *step, struct section *x, struct scratch *s)
{
    struct aligned out = {0};
    struct str text = aligned_str(&x->text);
    size_t at = 0;
    uint32_t cp;
    while (at < text.n && s->status == ST_OK) {
        size_t end = at + utf8_decode(text, at, &cp);
        while (end < text.n && (unsigned char)text.p[end] >= 0x80) {
            unsigned k = utf8_decode(text, end, &cp);
            if (!may_join(cp))
                break;
            end += k;
        }
        if (end == at + 1) /* ASCII by itself is in every normal form */
            aligned_copy(&out, s, &x->text, at, 1);
        else
            put_cluster(&x->text, at, end - at, step->option, &out, s);
        at = end;
    }
    x->text = out;
}

static const struct step_kind kinds[] = {
    {.type = "Replace", .read = step_read_replace, .run = run_replace},
    {.type = "Prepend", .read = read_prepend, .run = run_prepend},
    {.type = "NFC", .read = read_form, .run = run_form},
    {.type = "NFD", .read = read_form, .run = run_form},
    {.type = "NFKC", .read = read_form, .run = run_form},
    {.type = "NFKD", .read = read_form, .run = run_form},
};

enum status normalizers_read(const struct json_val *v, struct steps *out, struct err *e)
{
    return steps_read(v, "normalizer", "normalizers", kinds, sizeof kinds / sizeof *kinds, out, e);
}

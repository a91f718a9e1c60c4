/* Normalizers: what is done to a section's text before it is cut. What a character becomes comes from where
 * the character came from. */
#include "text/text_int.h"
#include <string.h>

/* ---- character by character ---- */

/* What a character becomes: fills `to` and returns how many (0: it goes). */
typedef unsigned (*char_map)(const struct step *step, uint32_t cp, uint32_t to[4]);

static void run_map(const struct step *step, struct section *x, struct scratch *s, char_map map)
{
    struct aligned out = {0};
    const struct aligned *in = &x->text;
    struct str text = aligned_str(in);
    size_t kept = 0;
    bool changed = false;
    for (size_t at = 0, n; at < text.n && s->status == ST_OK; at += n) {
        uint32_t cp = (unsigned char)text.p[at], to[4];
        char spelled[16];
        size_t n_spelled = 0;
        n = cp < 0x80 ? 1 : utf8_decode(text, at, &cp);
        unsigned n_to = map(step, cp, to);
        if (n_to == 1 && to[0] == cp)
            continue;
        for (unsigned i = 0; i < n_to; i++)
            n_spelled += utf8_encode(to[i], spelled + n_spelled);
        if (!changed && !aligned_reserve(&out, s, text.n + text.n / 8 + 8))
            return;
        changed = true;
        aligned_copy(&out, s, in, kept, at - kept);
        aligned_put(&out, s, spelled, n_spelled, in->begin[at], in->end[at]);
        kept = at + n;
    }
    if (!changed)
        return;
    aligned_copy(&out, s, in, kept, text.n - kept);
    x->text = out;
}

static unsigned lower(uint32_t cp, uint32_t to[4])
{
    if (cp == 0x130) {
        to[0] = 'i';
        to[1] = 0x307;
        return 2;
    }
    to[0] = unicode_lower(cp);
    return 1;
}

static unsigned map_lower(const struct step *step, uint32_t cp, uint32_t to[4])
{
    (void)step;
    return lower(cp, to);
}

static void run_lowercase(const struct step *step, struct section *x, struct scratch *s)
{
    run_map(step, x, s, map_lower);
}

static unsigned map_strip_accents(const struct step *step, uint32_t cp, uint32_t to[4])
{
    (void)step;
    to[0] = cp;
    return cp < 0x80 || !(unicode_classes(cp) & UNICODE_MARK);
}

static void run_strip_accents(const struct step *step, struct section *x, struct scratch *s)
{
    run_map(step, x, s, map_strip_accents);
}

static unsigned map_nmt(const struct step *step, uint32_t cp, uint32_t to[4])
{
    (void)step;
    to[0] = cp;
    if ((cp >= 1 && cp <= 8) || cp == 0xb || (cp >= 0xe && cp <= 0x1f) || cp == 0x7f || cp == 0x8f ||
        cp == 0x9f)
        return 0;
    if ((cp >= 9 && cp <= 0xd) || cp == 0x1680 || (cp >= 0x200b && cp <= 0x200f) || cp == 0x2028 ||
        cp == 0x2029 || cp == 0x2581 || cp == 0xfeff || cp == 0xfffd)
        to[0] = ' ';
    return 1;
}

static void run_nmt(const struct step *step, struct section *x, struct scratch *s)
{
    run_map(step, x, s, map_nmt);
}

/* ---- BertNormalizer ---- */

enum bert { BERT_CLEAN = 1, BERT_CHINESE = 2, BERT_ACCENTS = 4, BERT_LOWER = 8 };

static enum status read_bert(const struct json_val *v, struct step *out, struct err *e)
{
    static const struct {
        const char *name;
        unsigned bit;
    } flags[] = {
        {"clean_text", BERT_CLEAN}, {"handle_chinese_chars", BERT_CHINESE}, {"lowercase", BERT_LOWER}};
    bool on, accents;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (!json_bool(json_get(v, str_from(flags[i].name)), &on))
            return err_set(e, ST_INVALID, "`%s` is not true or false", flags[i].name);
        out->option |= on ? flags[i].bit : 0;
    }
    const struct json_val *strip = json_get(v, STR("strip_accents"));
    accents = out->option & BERT_LOWER; /* unless it is said */
    if (strip && !json_is(strip, JSON_NULL) && !json_bool(strip, &accents))
        return err_set(e, ST_INVALID, "`strip_accents` is not true, false or null");
    out->option |= accents ? BERT_ACCENTS : 0;
    return ST_OK;
}

#define BERT_HARD (UNICODE_CANON | UNICODE_JOINS | UNICODE_NONSPACING)

/* All but what needs the character taken apart. */
static unsigned map_bert(const struct step *step, uint32_t cp, uint32_t to[4])
{
    unsigned classes = unicode_classes(cp);
    to[0] = cp;
    if (step->option & BERT_CLEAN) {
        if ((classes & UNICODE_CONTROL) || cp == 0xfffd)
            return 0;
        if (classes & UNICODE_WHITE) {
            to[0] = ' ';
            return 1;
        }
    }
    if ((step->option & BERT_CHINESE) && (classes & UNICODE_CHINESE)) {
        to[0] = to[2] = ' ';
        to[1] = cp;
        return 3;
    }
    bool later = (step->option & BERT_ACCENTS) && (classes & BERT_HARD);
    return (step->option & BERT_LOWER) && !later ? lower(cp, to) : 1;
}

static unsigned map_bert_decomposed(const struct step *step, uint32_t cp, uint32_t to[4])
{
    to[0] = cp;
    if (cp >= 0x80 && (unicode_classes(cp) & UNICODE_NONSPACING))
        return 0;
    return step->option & BERT_LOWER ? lower(cp, to) : 1;
}

static bool any_hard(struct str text)
{
    uint32_t cp;
    for (size_t at = 0; at < text.n;) {
        if ((unsigned char)text.p[at] < 0x80) {
            at++;
            continue;
        }
        at += utf8_decode(text, at, &cp);
        if (unicode_classes(cp) & BERT_HARD)
            return true;
    }
    return false;
}

static void run_bert(const struct step *step, struct section *x, struct scratch *s)
{
    run_map(step, x, s, map_bert);
    if (s->status != ST_OK || !(step->option & BERT_ACCENTS) || !any_hard(aligned_str(&x->text)))
        return;
    form_run(0, x, s);
    run_map(step, x, s, map_bert_decomposed);
}

/* ---- Replace ---- */

/* What replaces a match comes from the match's last character, what is put in where nothing was from the
 * character before. */
static void run_replace(const struct step *step, struct section *x, struct scratch *s)
{
    struct aligned out = {0};
    const struct aligned *in = &x->text;
    struct str text = aligned_str(in);
    struct matches matches = matches_of(step->pattern, s, text);
    size_t at = 0, begin, end;
    bool changed = false;
    while (matches_next(&matches, s, &begin, &end)) {
        if (!changed && !aligned_reserve(&out, s, text.n + text.n / 2 + 8))
            return;
        changed = true;
        aligned_copy(&out, s, in, at, begin - at);
        aligned_put(&out, s, step->text.p, step->text.n, end ? in->begin[end - 1] : x->origin,
                    end ? in->end[end - 1] : x->origin);
        at = end;
    }
    if (!changed)
        return;
    aligned_copy(&out, s, in, at, text.n - at);
    x->text = out;
}

/* ---- Prepend ---- */

static enum status read_prepend(const struct json_val *v, struct step *out, struct err *e)
{
    return json_str(json_get(v, STR("prepend")), &out->text)
               ? ST_OK
               : err_set(e, ST_INVALID, "`prepend` is not a string");
}

/* What stands in front comes from the first character. Nothing in front leaves the first character itself
 * without an origin. */
static void run_prepend(const struct step *step, struct section *x, struct scratch *s)
{
    struct aligned out = {0};
    uint32_t cp;
    if (x->text.n == 0)
        return;
    size_t first = utf8_decode(aligned_str(&x->text), 0, &cp);
    if (!aligned_reserve(&out, s, x->text.n + step->text.n))
        return;
    aligned_put(&out, s, step->text.p, step->text.n, x->text.begin[0], x->text.end[0]);
    if (step->text.n)
        first = 0;
    else
        aligned_put(&out, s, x->text.p, first, x->origin, x->origin);
    aligned_copy(&out, s, &x->text, first, x->text.n - first);
    x->text = out;
}

/* ---- Strip ---- */

static enum status read_strip(const struct json_val *v, struct step *out, struct err *e)
{
    bool left, right;
    if (!json_bool(json_get(v, STR("strip_left")), &left) ||
        !json_bool(json_get(v, STR("strip_right")), &right))
        return err_set(e, ST_INVALID, "`strip_left` or `strip_right` is not true or false");
    out->start = left;
    out->stop = right;
    return ST_OK;
}

static void run_strip(const struct step *step, struct section *x, struct scratch *s)
{
    struct str text = aligned_str(&x->text);
    struct aligned out = {0};
    size_t begin = 0, end = text.n;
    uint32_t cp;
    for (unsigned n; step->start && begin < end; begin += n) {
        n = utf8_decode(text, begin, &cp);
        if (!(unicode_classes(cp) & UNICODE_WHITE))
            break;
    }
    for (size_t at = end; step->stop && end > begin; end = at) {
        do
            at--;
        while (((unsigned char)text.p[at] & 0xc0) == 0x80);
        utf8_decode(text, at, &cp);
        if (!(unicode_classes(cp) & UNICODE_WHITE))
            break;
    }
    if (begin == 0 && end == text.n)
        return;
    aligned_copy(&out, s, &x->text, begin, end - begin);
    x->text = out;
}

/* ---- the rest ---- */

static enum status read_form(const struct json_val *v, struct step *out, struct err *e)
{
    static const char *const names[] = {"NFD", "NFC", "NFKD", "NFKC"}; /* by enum unicode_form */
    struct str type = {0};
    (void)e;
    json_str(json_get(v, STR("type")), &type);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq(type, str_from(names[i])))
            out->option = i;
    return ST_OK;
}

static void run_form(const struct step *step, struct section *x, struct scratch *s)
{
    form_run(step->option, x, s);
}

static void run_byte_level(const struct step *step, struct section *x, struct scratch *s)
{
    (void)step;
    byte_level_spell(x, s);
}

static const struct step_kind kinds[] = {
    {.type = "Replace", .read = step_read_replace, .run = run_replace},
    {.type = "Prepend", .read = read_prepend, .run = run_prepend},
    {.type = "NFC", .read = read_form, .run = run_form},
    {.type = "NFD", .read = read_form, .run = run_form},
    {.type = "NFKC", .read = read_form, .run = run_form},
    {.type = "NFKD", .read = read_form, .run = run_form},
    {.type = "Lowercase", .run = run_lowercase},
    {.type = "StripAccents", .run = run_strip_accents},
    {.type = "BertNormalizer", .read = read_bert, .run = run_bert},
    {.type = "Precompiled", .read = precompiled_read, .run = precompiled_run, .free_data = precompiled_free},
    {.type = "Strip", .read = read_strip, .run = run_strip},
    {.type = "Nmt", .run = run_nmt},
    {.type = "ByteLevel", .run = run_byte_level},
};

enum status normalizers_read(const struct json_val *v, struct steps *out, struct err *e)
{
    return steps_read(v, "normalizer", "normalizers", kinds, sizeof kinds / sizeof *kinds, out, e);
}

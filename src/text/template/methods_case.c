/* str methods about letters: upper(), lower(), title() and their like with Unicode's full case mappings, and
 * the is...() questions. */
#include "text/template/case_table.h"
#include "text/template/template_int.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define SIGMA       0x3A3
#define FINAL_SIGMA "\xcf\x82"

static int case_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = ((const struct special_case *)b)->cp;
    return (x > y) - (x < y);
}

static const struct special_case *special_case(uint32_t cp)
{
    return cp < 0xDF ? NULL : bsearch(&cp, special_cases, n_special_cases, sizeof *special_cases, case_order);
}

static utf8proc_category_t category(uint32_t cp)
{
    return utf8proc_category((utf8proc_int32_t)cp);
}

static bool cp_is_lower(uint32_t cp)
{
    return category(cp) == UTF8PROC_CATEGORY_LL || utf8proc_islower((utf8proc_int32_t)cp) || cp == 0xAA ||
           cp == 0xBA;
}

static bool cp_is_upper(uint32_t cp)
{
    return category(cp) == UTF8PROC_CATEGORY_LU || utf8proc_isupper((utf8proc_int32_t)cp);
}

static bool cp_is_cased(uint32_t cp)
{
    return cp_is_lower(cp) || cp_is_upper(cp) || category(cp) == UTF8PROC_CATEGORY_LT;
}

/* What the search for a cased letter beside a sigma looks through. */
static bool is_case_ignorable(uint32_t cp)
{
    utf8proc_category_t k = category(cp);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK || cp == '\'' || cp == '.' || cp == ':' ||
           cp == 0xB7 || cp == 0x2019;
}

/* ---- one letter ---- */

static void put_upper(struct text *t, uint32_t cp)
{
    const struct special_case *s = special_case(cp);
    if (s)
        text_put(t, str_from(s->upper));
    else
        text_put_cp(t, (uint32_t)utf8proc_toupper((utf8proc_int32_t)cp));
}

static void put_title(struct text *t, uint32_t cp)
{
    const struct special_case *s = special_case(cp);
    if (s)
        text_put(t, str_from(s->title));
    else
        text_put_cp(t, (uint32_t)utf8proc_totitle((utf8proc_int32_t)cp));
}

/* A sigma at the end of a word has a form of its own. */
static bool is_final_sigma(struct run *r, struct str s, size_t at)
{
    unsigned n;
    bool cased_before = false;
    for (size_t i = at; i > 0 && !cased_before;) {
        do
            i--;
        while (((unsigned char)s.p[i] & 0xC0) == 0x80);
        uint32_t cp = text_cp(s, i, &n);
        run_step(r);
        if (is_case_ignorable(cp))
            continue;
        cased_before = cp_is_cased(cp);
        break;
    }
    for (size_t i = at + 2; i < s.n && cased_before; i += n) {
        uint32_t cp = text_cp(s, i, &n);
        run_step(r);
        if (!is_case_ignorable(cp))
            return !cp_is_cased(cp);
    }
    return cased_before;
}

static void put_lower(struct text *t, struct str s, size_t at, uint32_t cp)
{
    if (cp == SIGMA && is_final_sigma(t->r, s, at))
        text_put(t, STR(FINAL_SIGMA));
    else if (cp == 0x130)
        text_put(t, STR("i\xcc\x87"));
    else
        text_put_cp(t, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
}

static void put_folded(struct text *t, uint32_t cp)
{
    utf8proc_int32_t out[8];
    int last = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, out, 8, UTF8PROC_CASEFOLD, &last);
    for (utf8proc_ssize_t i = 0; i < n && i < 8; i++)
        text_put_cp(t, (uint32_t)out[i]);
}

/* ---- whole strings ---- */

enum case_how { UPPER, LOWER, TITLE, CAPITALIZE, SWAP, FOLD };

static struct value mapped(struct run *r, struct value v, enum case_how how)
{
    struct text t = {.r = r};
    struct str s = value_text(v);
    bool after_cased = false;
    unsigned n;
    run_spend(r, s.n / 8);
    for (size_t i = 0; i < s.n; i += n) {
        uint32_t cp = text_cp(s, i, &n);
        bool lower = how == LOWER || (how == TITLE && after_cased) || (how == CAPITALIZE && i) ||
                     (how == SWAP && cp_is_upper(cp));
        if (how == FOLD)
            put_folded(&t, cp);
        else if (lower)
            put_lower(&t, s, i, cp);
        else if (how == TITLE || how == CAPITALIZE)
            put_title(&t, cp);
        else if (how == UPPER || cp_is_lower(cp))
            put_upper(&t, cp);
        else
            text_put_cp(&t, cp);
        if (how == TITLE)
            after_cased = cp_is_cased(cp);
    }
    struct value out = text_done(&t);
    out.flags |= v.flags & FLAG_MARKUP;
    return out;
}

#define CASE_METHOD(name, how)                                                                               \
    static struct value name(struct run *r, struct value *arg, const struct call *c)                         \
    {                                                                                                        \
        (void)c;                                                                                             \
        return mapped(r, arg[0], how);                                                                       \
    }
CASE_METHOD(str_upper, UPPER)
CASE_METHOD(str_lower, LOWER)
CASE_METHOD(str_title, TITLE)
CASE_METHOD(str_capitalize, CAPITALIZE)
CASE_METHOD(str_swapcase, SWAP)
CASE_METHOD(str_casefold, FOLD)

/* ---- questions ---- */

static bool cp_is_alpha(uint32_t cp)
{
    utf8proc_category_t k = category(cp);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

/* Digits that are no decimal digits: superscripts, circled and such. */
static bool cp_is_digit_form(uint32_t cp)
{
    return cp_is_digit(cp) || cp == 0xB2 || cp == 0xB3 || cp == 0xB9 || cp == 0x2070 ||
           (cp >= 0x2074 && cp <= 0x2079) || (cp >= 0x2080 && cp <= 0x2089) ||
           (cp >= 0x2460 && cp <= 0x2468) || (cp >= 0x2474 && cp <= 0x247C) ||
           (cp >= 0x2488 && cp <= 0x2490) || cp == 0x24EA || (cp >= 0x24F5 && cp <= 0x24FD) || cp == 0x24FF ||
           (cp >= 0x2776 && cp <= 0x277E) || (cp >= 0x2780 && cp <= 0x2788) || (cp >= 0x278A && cp <= 0x2792);
}

static bool cp_is_numeric(uint32_t cp)
{
    static const uint32_t ideographs[] = {0x3007, 0x4E00, 0x4E8C, 0x4E09, 0x56DB, 0x4E94, 0x516D, 0x4E03,
                                          0x516B, 0x4E5D, 0x5341, 0x767E, 0x5343, 0x4E07, 0x5104, 0x96F6};
    utf8proc_category_t k = category(cp);
    for (size_t i = 0; i < sizeof ideographs / sizeof *ideographs; i++)
        if (cp == ideographs[i])
            return true;
    return k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO;
}

static bool cp_is_alnum(uint32_t cp)
{
    return cp_is_alpha(cp) || cp_is_numeric(cp);
}

static bool cp_is_ascii(uint32_t cp)
{
    return cp < 128;
}

static struct value all(struct run *r, struct value v, bool (*is)(uint32_t), bool when_empty)
{
    struct str s = value_text(v);
    unsigned n;
    run_spend(r, s.n / 8);
    for (size_t i = 0; i < s.n; i += n)
        if (!is(text_cp(s, i, &n)))
            return value_bool(false);
    return value_bool(s.n || when_empty);
}

#define QUESTION(name, is, when_empty)                                                                       \
    static struct value name(struct run *r, struct value *arg, const struct call *c)                         \
    {                                                                                                        \
        (void)c;                                                                                             \
        return all(r, arg[0], is, when_empty);                                                               \
    }
QUESTION(str_isalpha, cp_is_alpha, false)
QUESTION(str_isalnum, cp_is_alnum, false)
QUESTION(str_isdigit, cp_is_digit_form, false)
QUESTION(str_isdecimal, cp_is_digit, false)
QUESTION(str_isnumeric, cp_is_numeric, false)
QUESTION(str_isspace, cp_is_space, false)
QUESTION(str_isprintable, cp_is_printable, true)
QUESTION(str_isascii, cp_is_ascii, true)

/* At least one cased letter and none of the other case. */
static struct value one_case(struct run *r, struct value v, bool (*want)(uint32_t),
                             bool (*unwanted)(uint32_t))
{
    struct str s = value_text(v);
    bool found = false;
    unsigned n;
    run_spend(r, s.n / 8);
    for (size_t i = 0; i < s.n; i += n) {
        uint32_t cp = text_cp(s, i, &n);
        if (unwanted(cp) || category(cp) == UTF8PROC_CATEGORY_LT)
            return value_bool(false);
        found |= want(cp);
    }
    return value_bool(found);
}

static struct value str_islower(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return one_case(r, arg[0], cp_is_lower, cp_is_upper);
}

static struct value str_isupper(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return one_case(r, arg[0], cp_is_upper, cp_is_lower);
}

static struct value str_istitle(struct run *r, struct value *arg, const struct call *c)
{
    struct str s = value_text(arg[0]);
    bool found = false, after_cased = false;
    unsigned n;
    (void)c;
    run_spend(r, s.n / 8);
    for (size_t i = 0; i < s.n; i += n) {
        uint32_t cp = text_cp(s, i, &n);
        bool upper = cp_is_upper(cp) || category(cp) == UTF8PROC_CATEGORY_LT;
        if ((upper && after_cased) || (!upper && cp_is_lower(cp) && !after_cased))
            return value_bool(false);
        after_cased = upper || cp_is_lower(cp);
        found |= after_cased;
    }
    return value_bool(found);
}

const struct native methods_case[] = {
    {"upper", "self /", 1, str_upper},
    {"lower", "self /", 1, str_lower},
    {"title", "self /", 1, str_title},
    {"capitalize", "self /", 1, str_capitalize},
    {"swapcase", "self /", 1, str_swapcase},
    {"casefold", "self /", 1, str_casefold},
    {"isalpha", "self /", 1, str_isalpha},
    {"isalnum", "self /", 1, str_isalnum},
    {"isdigit", "self /", 1, str_isdigit},
    {"isdecimal", "self /", 1, str_isdecimal},
    {"isnumeric", "self /", 1, str_isnumeric},
    {"isspace", "self /", 1, str_isspace},
    {"isprintable", "self /", 1, str_isprintable},
    {"isascii", "self /", 1, str_isascii},
    {"islower", "self /", 1, str_islower},
    {"isupper", "self /", 1, str_isupper},
    {"istitle", "self /", 1, str_istitle},
    {NULL, NULL, 0, NULL},
};

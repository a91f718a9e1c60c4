/* Oniguruma's regular expressions written for PCRE2. Most of the notation is common; what means something
 * else is spelled out: \h, \w, \s and POSIX classes by the properties behind them, ^ and $ for lines, `.` by
 * what (?m) says, x{n}+ as a group, nested classes and && by looking ahead. What PCRE2 cannot do is refused
 * by name.
 *
 * A cursor walks the pattern once; groups nest no deeper than MAX_GROUPS and classes than MAX_CLASSES. */
#include "text/text_int.h"
#include <stdio.h>
#include <string.h>

#define MAX_GROUPS            200
#define MAX_CLASSES           16
#define PATTERN_SET_MAX_BYTES (256u << 10)

#define WHITE                                                                                                \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"     \
    "\\x{3000}"
#define NOT_WHITE                                                                                            \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"          \
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
/* Outside a class Oniguruma asks another table for what is below U+0100: it has the digits of Latin-1 too. */
#define WORD_ALONE WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

struct group {
    size_t atom;    /* where it begins in the output: what a quantifier behind it repeats */
    unsigned extra; /* parentheses of options within it */
    bool dot_all, extended, caseless;
};

struct translation {
    struct str in;
    size_t at;
    struct buf *out;
    struct err *e;
    struct group group[MAX_GROUPS + 1];
    unsigned depth;
    size_t atom; /* where the last atom begins in the output; SIZE_MAX: nothing to repeat */
    bool quantified;
    bool named, backrefs;
};

static enum status refuse(struct translation *t, const char *what)
{
    return err_set(t->e, ST_UNSUPPORTED, "regular expression: %s is not supported by this version", what);
}

static enum status invalid(struct translation *t, const char *what)
{
    return err_set(t->e, ST_INVALID, "regular expression: %s", what);
}

static char peek(const struct translation *t, size_t ahead)
{
    return t->at + ahead < t->in.n ? t->in.p[t->at + ahead] : '\0';
}

static bool looking_at(const struct translation *t, const char *what)
{
    struct str rest = {t->in.p + t->at, t->in.n - t->at};
    return str_has_prefix(rest, str_from(what));
}

/* ---- properties ---- */

/* What a class stands for, as items of a PCRE2 class; `not`: the same of its complement, NULL: only by
 * looking ahead. */
struct named_set {
    const char *name, *items, *complement;
};

static const struct named_set posix_sets[] = {
    {"alnum", "\\p{Alphabetic}\\p{Nd}", NULL},
    {"alpha", "\\p{Alphabetic}", "\\P{Alphabetic}"},
    {"ascii", "\\x{0}-\\x{7f}", "\\x{80}-\\x{10ffff}"},
    {"blank", "\\p{Zs}\\x{9}", NULL},
    {"cntrl", "\\p{Cc}", "\\P{Cc}"},
    {"digit", "\\p{Nd}", "\\P{Nd}"},
    {"lower", "\\p{Lowercase}", "\\P{Lowercase}"},
    {"punct", "\\p{P}\\p{S}", NULL},
    {"space", WHITE, NOT_WHITE},
    {"upper", "\\p{Uppercase}", "\\P{Uppercase}"},
    {"word", WORD, NULL},
    {"xdigit", "0-9A-Fa-f", "\\x{0}-/:-@G-`g-\\x{10ffff}"},
};

static const struct named_set categories[] = {
    {"any", "\\p{Any}", NULL},
    {"c", "\\p{C}", "\\P{C}"},
    {"other", "\\p{C}", "\\P{C}"},
    {"cc", "\\p{Cc}", "\\P{Cc}"},
    {"control", "\\p{Cc}", "\\P{Cc}"},
    {"cf", "\\p{Cf}", "\\P{Cf}"},
    {"format", "\\p{Cf}", "\\P{Cf}"},
    {"cn", "\\p{Cn}", "\\P{Cn}"},
    {"unassigned", "\\p{Cn}", "\\P{Cn}"},
    {"co", "\\p{Co}", "\\P{Co}"},
    {"privateuse", "\\p{Co}", "\\P{Co}"},
    {"l", "\\p{L}", "\\P{L}"},
    {"letter", "\\p{L}", "\\P{L}"},
    {"lc", "\\p{L&}", "\\P{L&}"},
    {"casedletter", "\\p{L&}", "\\P{L&}"},
    {"ll", "\\p{Ll}", "\\P{Ll}"},
    {"lowercaseletter", "\\p{Ll}", "\\P{Ll}"},
    {"lm", "\\p{Lm}", "\\P{Lm}"},
    {"modifierletter", "\\p{Lm}", "\\P{Lm}"},
    {"lo", "\\p{Lo}", "\\P{Lo}"},
    {"otherletter", "\\p{Lo}", "\\P{Lo}"},
    {"lt", "\\p{Lt}", "\\P{Lt}"},
    {"titlecaseletter", "\\p{Lt}", "\\P{Lt}"},
    {"lu", "\\p{Lu}", "\\P{Lu}"},
    {"uppercaseletter", "\\p{Lu}", "\\P{Lu}"},
    {"m", "\\p{M}", "\\P{M}"},
    {"mark", "\\p{M}", "\\P{M}"},
    {"combiningmark", "\\p{M}", "\\P{M}"},
    {"mc", "\\p{Mc}", "\\P{Mc}"},
    {"spacingmark", "\\p{Mc}", "\\P{Mc}"},
    {"me", "\\p{Me}", "\\P{Me}"},
    {"enclosingmark", "\\p{Me}", "\\P{Me}"},
    {"mn", "\\p{Mn}", "\\P{Mn}"},
    {"nonspacingmark", "\\p{Mn}", "\\P{Mn}"},
    {"n", "\\p{N}", "\\P{N}"},
    {"number", "\\p{N}", "\\P{N}"},
    {"nd", "\\p{Nd}", "\\P{Nd}"},
    {"decimalnumber", "\\p{Nd}", "\\P{Nd}"},
    {"nl", "\\p{Nl}", "\\P{Nl}"},
    {"letternumber", "\\p{Nl}", "\\P{Nl}"},
    {"no", "\\p{No}", "\\P{No}"},
    {"othernumber", "\\p{No}", "\\P{No}"},
    {"p", "\\p{P}", "\\P{P}"},
    {"punctuation", "\\p{P}", "\\P{P}"},
    {"punct", "\\p{P}", "\\P{P}"},
    {"pc", "\\p{Pc}", "\\P{Pc}"},
    {"connectorpunctuation", "\\p{Pc}", "\\P{Pc}"},
    {"pd", "\\p{Pd}", "\\P{Pd}"},
    {"dashpunctuation", "\\p{Pd}", "\\P{Pd}"},
    {"pe", "\\p{Pe}", "\\P{Pe}"},
    {"closepunctuation", "\\p{Pe}", "\\P{Pe}"},
    {"pf", "\\p{Pf}", "\\P{Pf}"},
    {"finalpunctuation", "\\p{Pf}", "\\P{Pf}"},
    {"pi", "\\p{Pi}", "\\P{Pi}"},
    {"initialpunctuation", "\\p{Pi}", "\\P{Pi}"},
    {"po", "\\p{Po}", "\\P{Po}"},
    {"otherpunctuation", "\\p{Po}", "\\P{Po}"},
    {"ps", "\\p{Ps}", "\\P{Ps}"},
    {"openpunctuation", "\\p{Ps}", "\\P{Ps}"},
    {"s", "\\p{S}", "\\P{S}"},
    {"symbol", "\\p{S}", "\\P{S}"},
    {"sc", "\\p{Sc}", "\\P{Sc}"},
    {"currencysymbol", "\\p{Sc}", "\\P{Sc}"},
    {"sk", "\\p{Sk}", "\\P{Sk}"},
    {"modifiersymbol", "\\p{Sk}", "\\P{Sk}"},
    {"sm", "\\p{Sm}", "\\P{Sm}"},
    {"mathsymbol", "\\p{Sm}", "\\P{Sm}"},
    {"so", "\\p{So}", "\\P{So}"},
    {"othersymbol", "\\p{So}", "\\P{So}"},
    {"z", "\\p{Z}", "\\P{Z}"},
    {"separator", "\\p{Z}", "\\P{Z}"},
    {"zl", "\\p{Zl}", "\\P{Zl}"},
    {"lineseparator", "\\p{Zl}", "\\P{Zl}"},
    {"zp", "\\p{Zp}", "\\P{Zp}"},
    {"paragraphseparator", "\\p{Zp}", "\\P{Zp}"},
    {"zs", "\\p{Zs}", "\\P{Zs}"},
    {"spaceseparator", "\\p{Zs}", "\\P{Zs}"},
    {"alphabetic", "\\p{Alphabetic}", "\\P{Alphabetic}"},
    {"lowercase", "\\p{Lowercase}", "\\P{Lowercase}"},
    {"uppercase", "\\p{Uppercase}", "\\P{Uppercase}"},
    {"whitespace", WHITE, NOT_WHITE},
    {"emoji", "\\p{Emoji}", "\\P{Emoji}"},
    {"emojipresentation", "\\p{Emoji_Presentation}", "\\P{Emoji_Presentation}"},
    {"emojimodifier", "\\p{Emoji_Modifier}", "\\P{Emoji_Modifier}"},
    {"emojimodifierbase", "\\p{Emoji_Modifier_Base}", "\\P{Emoji_Modifier_Base}"},
    {"emojicomponent", "\\p{Emoji_Component}", "\\P{Emoji_Component}"},
    {"extendedpictographic", "\\p{Extended_Pictographic}", "\\P{Extended_Pictographic}"},
    {"cased", "\\p{Cased}", "\\P{Cased}"},
    {"math", "\\p{Math}", "\\P{Math}"},
    {"dash", "\\p{Dash}", "\\P{Dash}"},
    {"diacritic", "\\p{Diacritic}", "\\P{Diacritic}"},
    {"variationselector", "\\p{Variation_Selector}", "\\P{Variation_Selector}"},
    {"xidstart", "\\p{XID_Start}", "\\P{XID_Start}"},
    {"xidcontinue", "\\p{XID_Continue}", "\\P{XID_Continue}"},
    {"idstart", "\\p{ID_Start}", "\\P{ID_Start}"},
    {"idcontinue", "\\p{ID_Continue}", "\\P{ID_Continue}"},
    {"ideographic", "\\p{Ideographic}", "\\P{Ideographic}"},
};

static const struct named_set *find_set(const struct named_set *sets, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(name, str_from(sets[i].name)))
            return &sets[i];
    return NULL;
}

/* ---- sets: what one character may be ---- */

/* A set being written: items of a plain class, and expressions of one character that no class can hold. */
struct set {
    struct buf items, others; /* others: "|expr|expr" */
};

static void set_init(struct set *s)
{
    buf_init(&s->items, PATTERN_SET_MAX_BYTES);
    buf_init(&s->others, PATTERN_SET_MAX_BYTES);
}

static void set_fini(struct set *s)
{
    buf_fini(&s->items);
    buf_fini(&s->others);
}

/* The set as an expression of one character. */
static void set_write(const struct set *s, bool negated, struct buf *out)
{
    if (!s->others.n && s->items.n) {
        buf_printf(out, negated ? "[^%.*s]" : "[%.*s]", (int)s->items.n, s->items.p);
        return;
    }
    buf_printf(out, negated ? "(?:(?!" : "(?:");
    if (s->items.n)
        buf_printf(out, "[%.*s]", (int)s->items.n, s->items.p);
    else if (!s->others.n)
        buf_printf(out, "(?!)");
    if (s->others.n) {
        size_t skip = s->items.n ? 0 : 1;
        buf_put(out, s->others.p + skip, s->others.n - skip);
    }
    buf_printf(out, negated ? ")\\p{Any})" : ")");
}

static void set_add(struct set *s, const struct named_set *what, bool negated)
{
    const char *items = negated ? what->complement : what->items;
    if (items)
        buf_put_str(&s->items, str_from(items));
    else
        buf_printf(&s->others, "|[^%s]", what->items);
}

static void put_code_point(struct buf *out, uint32_t cp)
{
    bool plain = (cp >= '0' && cp <= '9') || (cp >= 'A' && cp <= 'Z') || (cp >= 'a' && cp <= 'z') ||
                 cp == ' ' || cp == '_' || cp == '\'';
    if (plain)
        buf_put_char(out, (char)cp);
    else
        buf_printf(out, "\\x{%x}", (unsigned)cp);
}

/* ---- escapes ---- */

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static uint32_t read_digits(struct translation *t, unsigned base, unsigned most)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < most; i++, t->at++) {
        int d = digit_value(peek(t, 0));
        if (d < 0 || (unsigned)d >= base)
            break;
        value = value * base + (uint32_t)d;
    }
    return value;
}

/* The character that an escape stands for; t->at is behind the backslash. False: it is no character. */
static bool escaped_character(struct translation *t, uint32_t *cp)
{
    static const char plain[][2] = {{'t', '\t'}, {'n', '\n'}, {'r', '\r'}, {'f', '\f'},
                                    {'v', '\v'}, {'a', '\a'}, {'e', 0x1b}};
    char c = peek(t, 0);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (c == plain[i][0]) {
            t->at++;
            *cp = (uint32_t)plain[i][1];
            return true;
        }
    }
    if (c == 'x' && peek(t, 1) == '{') {
        t->at += 2;
        *cp = read_digits(t, 16, 8);
        if (peek(t, 0) != '}')
            *cp = UINT32_MAX;
        t->at++;
    } else if (c == 'x') {
        t->at++;
        *cp = read_digits(t, 16, 2);
    } else if (c == 'u') {
        t->at++;
        size_t from = t->at;
        *cp = read_digits(t, 16, 4);
        if (t->at != from + 4)
            *cp = UINT32_MAX;
    } else if (c == '0') {
        *cp = read_digits(t, 8, 3);
    } else if (c == 'c' && peek(t, 1)) {
        *cp = (uint32_t)(peek(t, 1) & 0x1f);
        t->at += 2;
    } else if (c == 'C' && peek(t, 1) == '-' && peek(t, 2)) {
        *cp = (uint32_t)(peek(t, 2) & 0x1f);
        t->at += 3;
    } else if (!strchr("pPwWdDsShHRXNObBAzZGkgKyYMQE123456789", c) || !c) {
        unsigned n = t->at < t->in.n ? utf8_decode(t->in, t->at, cp) : 0;
        t->at += n;
        return n > 0;
    } else {
        return false;
    }
    return true;
}

static bool is_scalar(uint32_t cp)
{
    return cp <= 0x10ffff && (cp < 0xd800 || cp > 0xdfff);
}

/* \p{Name}, \p{^Name}, \P..., \pL; t->at is on the p. */
static enum status add_property(struct translation *t, struct set *s)
{
    char name[64];
    size_t n = 0;
    bool negated = peek(t, 0) == 'P';
    t->at++;
    bool braces = peek(t, 0) == '{';
    t->at += braces;
    if (braces && peek(t, 0) == '^') {
        negated = !negated;
        t->at++;
    }
    for (char c; (c = peek(t, 0)) != '\0' && c != '}'; t->at++) {
        if (c != ' ' && c != '-' && c != '_' && n + 1 < sizeof name)
            name[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        if (!braces) {
            t->at++;
            break;
        }
        if ((unsigned char)c >= 0x80 || n + 1 == sizeof name)
            return refuse(t, "a property with such a name");
    }
    if (braces && peek(t, 0) != '}')
        return invalid(t, "a property's name does not end");
    t->at += braces;
    struct str key = {name, n};
    const struct named_set *found = find_set(categories, sizeof categories / sizeof *categories, key);
    if (!found)
        found = find_set(posix_sets, sizeof posix_sets / sizeof *posix_sets, key);
    if (found) {
        if (negated && !found->complement && str_eq(key, STR("any")))
            buf_printf(&s->others, "|(?!)");
        else
            set_add(s, found, negated);
        return ST_OK;
    }
    bool is_script = n > 2 && !str_has_prefix(key, STR("in"));
    for (size_t i = 0; i < n; i++)
        is_script = is_script && name[i] >= 'a' && name[i] <= 'z';
    if (!is_script && !str_has_prefix(key, STR("inscriptional")))
        return err_set(t->e, ST_UNSUPPORTED, "regular expression: property `" STR_FMT "` is not supported",
                       STR_ARG(key));
    buf_printf(&s->items, negated ? "\\P{sc:%.*s}" : "\\p{sc:%.*s}", (int)n,
               name); /* PCRE2 knows the scripts */
    return ST_OK;
}

/* \w \d \s \h \p and their complements; t->at is behind the backslash. False in *found: none of them. */
static enum status add_class_escape(struct translation *t, struct set *s, bool *found)
{
    static const struct {
        char name;
        const char *posix;
    } short_names[] = {{'w', "word"}, {'d', "digit"}, {'s', "space"}, {'h', "xdigit"}};
    char c = peek(t, 0);
    *found = true;
    if (c == 'p' || c == 'P')
        return add_property(t, s);
    for (size_t i = 0; i < sizeof short_names / sizeof *short_names; i++) {
        if ((c | 0x20) != short_names[i].name || !c)
            continue;
        t->at++;
        set_add(s,
                find_set(posix_sets, sizeof posix_sets / sizeof *posix_sets, str_from(short_names[i].posix)),
                !(c & 0x20));
        return ST_OK;
    }
    *found = false;
    return ST_OK;
}

/* ---- character classes ---- */

static enum status read_class(struct translation *t, unsigned depth, struct buf *out);

/* [:name:] or [:^name:]; false: it is not one. */
static enum status add_posix(struct translation *t, struct set *s, bool *found)
{
    size_t at = t->at + 2, end = str_find(t->in, STR(":]"), at);
    *found = false;
    if (!looking_at(t, "[:") || end == SIZE_MAX || end - at > 20)
        return ST_OK;
    bool negated = t->in.p[at] == '^';
    at += negated;
    struct str name = {t->in.p + at, end - at};
    const struct named_set *set = find_set(posix_sets, sizeof posix_sets / sizeof *posix_sets, name);
    if (!set)
        return err_set(t->e, ST_UNSUPPORTED, "regular expression: the class [:" STR_FMT ":] is not supported",
                       STR_ARG(name));
    set_add(s, set, negated);
    t->at = end + 2;
    *found = true;
    return ST_OK;
}

/* One character of a class, as written or escaped. */
static enum status class_character(struct translation *t, uint32_t *cp)
{
    if (peek(t, 0) != '\\') {
        t->at += utf8_decode(t->in, t->at, cp);
        return ST_OK;
    }
    t->at++;
    if (peek(t, 0) == 'b') {
        t->at++;
        *cp = 8;
        return ST_OK;
    }
    if (peek(t, 0) >= '1' && peek(t, 0) <= '7')
        *cp = read_digits(t, 8, 3);
    else if (!escaped_character(t, cp)) {
        /* a letter that means nothing in a class stands for itself */
        if (!strchr("RXNObBAzZGkgKyYQE89", peek(t, 0)) || t->at >= t->in.n)
            return refuse(t, "this escape in a class");
        *cp = (unsigned char)t->in.p[t->at++];
    }
    return is_scalar(*cp) ? ST_OK : invalid(t, "no such character");
}

/* A character or a range of them. */
static enum status add_range(struct translation *t, struct set *s)
{
    uint32_t first, last;
    enum status st = class_character(t, &first);
    if (st != ST_OK)
        return st;
    last = first;
    if (peek(t, 0) == '-' && peek(t, 1) && peek(t, 1) != ']' && peek(t, 1) != '[' &&
        !(peek(t, 1) == '&' && peek(t, 2) == '&')) {
        t->at++;
        if (peek(t, 0) == '\\' && strchr("wWdDsShHpP", peek(t, 1)) && peek(t, 1))
            return invalid(t, "a class at the end of a range");
        st = class_character(t, &last);
        if (st != ST_OK)
            return st;
        if (last < first)
            return invalid(t, "an empty range in a class");
    }
    put_code_point(&s->items, first);
    if (last > first) {
        buf_put_char(&s->items, '-');
        put_code_point(&s->items, last);
    }
    return ST_OK;
}

/* One item of a class: [:posix:], a nested class, an escape, a range. */
static enum status add_item(struct translation *t, unsigned depth, struct set *s)
{
    bool found = false;
    enum status st = ST_OK;
    if (peek(t, 0) == '[') {
        st = add_posix(t, s, &found);
        if (st != ST_OK || found)
            return st;
        buf_put_char(&s->others, '|');
        t->at++;
        return read_class(t, depth + 1, &s->others);
    }
    if (peek(t, 0) == '\\') {
        t->at++;
        st = add_class_escape(t, s, &found);
        if (st != ST_OK || found)
            return st;
        t->at--;
    }
    return add_range(t, s);
}

/* The operands of && before the last one are looked at ahead of it. */
static enum status read_class(struct translation *t, unsigned depth, struct buf *out)
{
    struct buf ahead;
    struct set s;
    bool negated = peek(t, 0) == '^', first = true;
    enum status st = ST_OK;
    if (depth > MAX_CLASSES)
        return err_set(t->e, ST_LIMIT, "regular expression: classes nested too deep");
    t->at += negated;
    set_init(&s);
    buf_init(&ahead, PATTERN_SET_MAX_BYTES);
    while (st == ST_OK && t->at < t->in.n && (peek(t, 0) != ']' || first)) {
        if (first && peek(t, 0) == ']' && str_find(t->in, STR("]"), t->at + 1) == SIZE_MAX)
            break;
        first = false;
        if (looking_at(t, "&&")) {
            t->at += 2;
            buf_printf(&ahead, "(?=");
            set_write(&s, false, &ahead);
            buf_put_char(&ahead, ')');
            buf_clear(&s.items);
            buf_clear(&s.others);
            continue;
        }
        if (peek(t, 0) == ']') {
            put_code_point(&s.items, ']');
            t->at++;
            continue;
        }
        st = add_item(t, depth, &s);
    }
    if (st == ST_OK && peek(t, 0) != ']')
        st = invalid(t, "a class does not end");
    t->at++;
    if (st == ST_OK && ahead.n) {
        buf_printf(out, negated ? "(?:(?!" : "(?:");
        buf_put(out, ahead.p, ahead.n);
        set_write(&s, false, out);
        buf_printf(out, negated ? ")\\p{Any})" : ")");
    } else if (st == ST_OK) {
        set_write(&s, negated, out);
    }
    if (s.items.failed || s.others.failed || ahead.failed)
        st = err_set(t->e, ST_LIMIT, "regular expression: a class is too long");
    set_fini(&s);
    buf_fini(&ahead);
    return st;
}

/* ---- groups and options ---- */

static enum status open_group(struct translation *t, const char *opening, size_t n)
{
    if (t->depth == MAX_GROUPS)
        return err_set(t->e, ST_LIMIT, "regular expression: groups nested deeper than %d", MAX_GROUPS);
    struct group *outer = &t->group[t->depth++];
    t->group[t->depth] = (struct group){.atom = t->out->n,
                                        .dot_all = outer->dot_all,
                                        .extended = outer->extended,
                                        .caseless = outer->caseless};
    buf_put_str(t->out, str_from(opening));
    t->at += n;
    t->atom = SIZE_MAX;
    t->quantified = false;
    return ST_OK;
}

/* (?i-mx) or (?i-mx:...). */
static enum status read_options(struct translation *t)
{
    bool on = true;
    struct group now = t->group[t->depth];
    size_t at = t->at + 2;
    for (; at < t->in.n && t->in.p[at] != ')' && t->in.p[at] != ':'; at++) {
        switch (t->in.p[at]) {
        case '-':
            on = false;
            break;
        case 'i':
            now.caseless = on;
            break;
        case 'm':
            now.dot_all = on;
            break;
        case 'x':
            now.extended = on;
            break;
        default:
            return refuse(t, "a group of this kind");
        }
    }
    bool isolated = at < t->in.n && t->in.p[at] == ')';
    size_t skip = at + 1 - t->at;
    const char *opening = now.caseless ? "(?i:" : "(?-i:";
    if (!isolated) {
        enum status st = open_group(t, opening, skip);
        now.atom = t->group[t->depth].atom;
        now.extra = 0;
        t->group[t->depth] = now;
        return st;
    }
    /* Alone they hold to the end of the group, alternatives included. */
    buf_put_str(t->out, str_from(opening));
    now.extra++;
    if (now.extra > MAX_GROUPS)
        return err_set(t->e, ST_LIMIT, "regular expression: too many options");
    t->group[t->depth] = now;
    t->at += skip;
    t->atom = SIZE_MAX;
    return ST_OK;
}

static enum status read_open(struct translation *t)
{
    static const char *const same[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (looking_at(t, same[i]))
            return open_group(t, same[i], strlen(same[i]));
    if (looking_at(t, "(?#")) {
        size_t end = str_find(t->in, STR(")"), t->at);
        t->at = end == SIZE_MAX ? t->in.n : end + 1;
        return ST_OK;
    }
    if (looking_at(t, "(?<")) {
        size_t end = str_find(t->in, STR(">"), t->at);
        char opening[80];
        if (end == SIZE_MAX || end - t->at > 40)
            return invalid(t, "a group's name does not end");
        size_t n = end + 1 - t->at;
        memcpy(opening, t->in.p + t->at, n);
        opening[n] = '\0';
        return open_group(t, opening, n);
    }
    if (looking_at(t, "(?"))
        return peek(t, 2) == '~' || peek(t, 2) == '(' || peek(t, 2) == '{' ? refuse(t, "a group of this kind")
                                                                           : read_options(t);
    if (looking_at(t, "(*"))
        return refuse(t, "a callout");
    return open_group(t, t->backrefs && !t->named ? "(" : "(?:", 1);
}

static enum status close_group(struct translation *t)
{
    if (t->depth == 0)
        return invalid(t, "a parenthesis that opens nothing is closed");
    struct group g = t->group[t->depth--];
    for (unsigned i = 0; i <= g.extra; i++)
        buf_put_char(t->out, ')');
    t->at++;
    t->atom = g.atom;
    t->quantified = false;
    return ST_OK;
}

/* ---- quantifiers ---- */

/* Puts the last atom into a group of its own. */
static void wrap_atom(struct translation *t)
{
    size_t n = t->out->n - t->atom;
    if (!buf_reserve(t->out, 4))
        return;
    memmove(t->out->p + t->atom + 3, t->out->p + t->atom, n);
    memcpy(t->out->p + t->atom, "(?:", 3);
    t->out->n += 3;
    buf_put_char(t->out, ')');
}

/* {n}, {n,}, {,m}, {n,m}; false: the brace stands for itself. */
static bool read_interval(struct translation *t, uint32_t *least, uint32_t *most, bool *exact)
{
    size_t back = t->at++;
    size_t from = t->at;
    *least = read_digits(t, 10, 7);
    bool has_least = t->at > from;
    *exact = peek(t, 0) == '}';
    *most = *exact ? *least : UINT32_MAX;
    bool has_most = false;
    if (peek(t, 0) == ',') {
        from = ++t->at;
        uint32_t value = read_digits(t, 10, 7);
        has_most = t->at > from;
        if (has_most)
            *most = value;
    }
    if (peek(t, 0) == '}' && (has_least || has_most)) {
        t->at++;
        return true;
    }
    t->at = back;
    return false;
}

/* t->at is on a quantifier (or on a brace that is none: *found false). */
static enum status read_quantifier(struct translation *t, bool *found)
{
    char c = peek(t, 0), text[40] = {c};
    bool interval = c == '{', exact = false;
    uint32_t least = 0, most = 0;
    *found = false;
    if (c != '*' && c != '+' && c != '?' && !(interval && read_interval(t, &least, &most, &exact)))
        return ST_OK;
    *found = true;
    if (t->atom == SIZE_MAX)
        return invalid(t, "there is nothing to repeat");
    if (interval && (least > 65535 || (most != UINT32_MAX && (most > 65535 || most < least))))
        return refuse(t, "such a number of repetitions");
    if (interval && most == UINT32_MAX)
        snprintf(text, sizeof text, "{%u,}", least);
    else if (interval)
        snprintf(text, sizeof text, "{%u,%u}", least, most);
    else
        t->at++;
    if (t->quantified)
        wrap_atom(t);
    buf_put_str(t->out, str_from(text));
    t->quantified = true;
    if ((peek(t, 0) == '?' && !exact) || (peek(t, 0) == '+' && !interval)) {
        buf_put_char(t->out, peek(t, 0));
        t->at++;
    }
    return ST_OK;
}

/* ---- the rest ---- */

static void begin_atom(struct translation *t)
{
    t->atom = t->out->n;
    t->quantified = false;
}

/* Letters that fold into several, or with them: PCRE2 folds one to one. */
static bool folds_oddly(const struct translation *t, uint32_t cp)
{
    static const char *const pairs[] = {"ss", "st", "ff", "fi", "fl"};
    char two[3] = {(char)(cp | 0x20), (char)(peek(t, 0) | 0x20), '\0'};
    if (cp < 0x80) {
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            if (strcmp(two, pairs[i]) == 0)
                return true;
        return false;
    }
    return cp == 0xdf || cp == 0x149 || cp == 0x1f0 || cp == 0x130 || cp == 0x390 || cp == 0x3b0 ||
           cp == 0x587 || (cp >= 0x1e96 && cp <= 0x1e9e) || (cp >= 0x1f50 && cp <= 0x1f57) ||
           (cp >= 0x1f80 && cp <= 0x1ffc) || (cp >= 0xfb00 && cp <= 0xfb17);
}

static enum status put_literal(struct translation *t, uint32_t cp)
{
    if (!is_scalar(cp))
        return invalid(t, "no such character");
    if (t->group[t->depth].caseless && folds_oddly(t, cp))
        return refuse(t, "letters of any case that are several letters in another");
    begin_atom(t);
    put_code_point(t->out, cp);
    return ST_OK;
}

static enum status read_backref(struct translation *t)
{
    begin_atom(t);
    if (peek(t, 0) == 'k') {
        size_t end = str_find(t->in, STR(">"), t->at);
        if (peek(t, 1) != '<' || end == SIZE_MAX || end - t->at > 40)
            return refuse(t, "this reference to a group");
        buf_printf(t->out, "\\k{%.*s}", (int)(end - t->at - 2), t->in.p + t->at + 2);
        t->at = end + 1;
        return ST_OK;
    }
    buf_printf(t->out, "\\g{%u}", read_digits(t, 10, 3));
    return ST_OK;
}

static enum status read_escape(struct translation *t)
{
    static const struct {
        char name;
        const char *text;
    } same[] = {
        {'A', "\\A"},
        {'z', "\\z"},
        {'Z', "\\Z"},
        {'G', "\\G"},
        {'K', "\\K"},
        {'X', "\\X"},
        {'R', "\\R"},
        {'N', "[^\\n]"},
        {'O', "\\p{Any}"},
        {'w', "[" WORD_ALONE "]"},
        {'W', "[^" WORD_ALONE "]"},
        {'b', "(?:(?<=[" WORD_ALONE "])(?![" WORD_ALONE "])|(?<![" WORD_ALONE "])(?=[" WORD_ALONE "]))"},
        {'B', "(?:(?<=[" WORD_ALONE "])(?=[" WORD_ALONE "])|(?<![" WORD_ALONE "])(?![" WORD_ALONE "]))"}};
    struct set s;
    bool found;
    uint32_t cp;
    t->at++;
    if (t->at == t->in.n)
        return invalid(t, "it ends in a backslash");
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        if (peek(t, 0) != same[i].name)
            continue;
        t->at++;
        begin_atom(t);
        buf_put_str(t->out, str_from(same[i].text));
        return ST_OK;
    }
    if (peek(t, 0) == 'k' || (peek(t, 0) >= '1' && peek(t, 0) <= '9'))
        return read_backref(t);
    set_init(&s);
    enum status st = add_class_escape(t, &s, &found);
    if (st == ST_OK && found) {
        begin_atom(t);
        set_write(&s, false, t->out);
    }
    set_fini(&s);
    if (st != ST_OK || found)
        return st;
    return escaped_character(t, &cp) ? put_literal(t, cp) : refuse(t, "this escape");
}

static enum status read_next(struct translation *t)
{
    const struct group *g = &t->group[t->depth];
    char c = peek(t, 0);
    bool found;
    uint32_t cp;
    if (g->extended && strchr(" \t\n\r\f\v", c)) {
        t->at++;
        return ST_OK;
    }
    if (g->extended && c == '#') {
        size_t end = str_find(t->in, STR("\n"), t->at);
        t->at = end == SIZE_MAX ? t->in.n : end;
        return ST_OK;
    }
    enum status st = read_quantifier(t, &found);
    if (st != ST_OK || found)
        return st;
    switch (c) {
    case '\\':
        return read_escape(t);
    case '(':
        return read_open(t);
    case ')':
        return close_group(t);
    case '[':
        begin_atom(t);
        t->at++;
        return read_class(t, 0, t->out);
    case '.':
        begin_atom(t);
        buf_put_str(t->out, g->dot_all ? STR("\\p{Any}") : STR("[^\\n]"));
        break;
    case '^':
    case '$':
        begin_atom(t);
        buf_put_char(t->out, c);
        break;
    case '|':
        buf_put_char(t->out, c);
        t->atom = SIZE_MAX;
        break;
    default:
        t->at += utf8_decode(t->in, t->at, &cp);
        return put_literal(t, cp);
    }
    t->at++;
    return ST_OK;
}

enum status pattern_translate(struct str regex, struct buf *out, struct err *e)
{
    struct translation t = {.in = regex, .out = out, .e = e, .atom = SIZE_MAX};
    enum status st = ST_OK;
    for (size_t i = 0; i + 1 < regex.n; i++) {
        if (regex.p[i] == '\\') {
            i++;
            t.backrefs |= regex.p[i] == 'k' || (regex.p[i] >= '1' && regex.p[i] <= '9');
        } else if (regex.p[i] == '(' && i + 3 < regex.n && regex.p[i + 1] == '?' && regex.p[i + 2] == '<') {
            t.named |= regex.p[i + 3] != '=' && regex.p[i + 3] != '!';
        }
    }
    while (st == ST_OK && t.at < t.in.n)
        st = read_next(&t);
    if (st == ST_OK && t.depth)
        st = invalid(&t, "a group does not end");
    for (unsigned i = 0; i < t.group[0].extra; i++)
        buf_put_char(out, ')');
    if (st == ST_OK && out->failed)
        st = err_set(e, ST_LIMIT, "regular expression: it is too long");
    return st;
}

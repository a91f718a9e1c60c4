/* Source to tokens, as jinja2's lexer does it with trim_blocks and lstrip_blocks.
 *
 * The white space around tags is settled here: the parser sees text that is already stripped. Line numbers
 * are those of the source. */
#include "text/template/template_int.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define MAX_BRACKETS 256

struct lexer {
    struct compile *c;
    struct str s;
    size_t at;
    uint32_t line;
    bool line_starting; /* the last thing read ended with a newline */
    char bracket[MAX_BRACKETS];
    unsigned n_bracket;
};

static void add(struct lexer *x, struct token t)
{
    struct compile *c = x->c;
    if (c->n_tokens == c->cap_tokens) {
        uint32_t cap = c->cap_tokens ? c->cap_tokens * 2 : 256;
        struct token *more = compile_scratch(c, cap * sizeof *more);
        if (c->n_tokens)
            memcpy(more, c->tokens, c->n_tokens * sizeof *more);
        c->tokens = more;
        c->cap_tokens = cap;
    }
    c->tokens[c->n_tokens++] = t;
}

static struct str rest(const struct lexer *x)
{
    return (struct str){x->s.p + x->at, x->s.n - x->at};
}

static bool has(const struct lexer *x, const char *text)
{
    return str_has_prefix(rest(x), str_from(text));
}

/* Goes `n` bytes on. */
static void advance(struct lexer *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x->line += x->s.p[x->at + i] == '\n';
    x->at += n;
    if (n)
        x->line_starting = x->s.p[x->at - 1] == '\n';
}

static size_t space_length(struct str s)
{
    return s.n - text_strip(s, true, false).n;
}

static void skip_space(struct lexer *x)
{
    advance(x, space_length(rest(x)));
}

/* An end of a tag: "-%}" with all white space behind it, "+%}", "%}" with one newline when `trim`. False: not
 * here. */
static bool end_of_tag(struct lexer *x, const char *end, bool plus_allowed, bool trim)
{
    struct str s = rest(x);
    size_t n = strlen(end);
    if (s.n > n && s.p[0] == '-' && str_has_prefix((struct str){s.p + 1, s.n - 1}, str_from(end))) {
        advance(x, n + 1);
        skip_space(x);
        return true;
    }
    if (plus_allowed && s.n > n && s.p[0] == '+' &&
        str_has_prefix((struct str){s.p + 1, s.n - 1}, str_from(end))) {
        advance(x, n + 1);
        return true;
    }
    if (!str_has_prefix(s, str_from(end)))
        return false;
    advance(x, n + (trim && s.n > n && s.p[n] == '\n'));
    return true;
}

/* ---- text between tags ---- */

static void add_data(struct lexer *x, struct str text, uint32_t line)
{
    if (text.n)
        add(x, (struct token){.type = T_DATA, .line = line, .text = text});
}

/* Text in front of a tag without what the tag's sign and lstrip_blocks take away. */
static struct str strip_before(const struct lexer *x, struct str text, char sign, bool is_variable)
{
    if (sign == '-')
        return text_strip(text, false, true);
    if (sign == '+' || is_variable)
        return text;
    size_t begin = text.n;
    while (begin && text.p[begin - 1] != '\n')
        begin--;
    if (begin == 0 && !x->line_starting)
        return text;
    struct str last = {text.p + begin, text.n - begin};
    return space_length(last) == last.n ? (struct str){text.p, begin} : text;
}

static char sign_at(const struct lexer *x, size_t at)
{
    char c = at < x->s.n ? x->s.p[at] : '\0';
    return c == '-' || c == '+' ? c : '\0';
}

/* Bytes of "{% raw %}" here, or 0. */
static size_t raw_begin_length(const struct lexer *x, char sign)
{
    struct str s = rest(x);
    size_t at = 2 + (sign != '\0');
    at += space_length((struct str){s.p + at, s.n - at});
    if (!str_has_prefix((struct str){s.p + at, s.n - at}, STR("raw")))
        return 0;
    at += 3;
    at += space_length((struct str){s.p + at, s.n - at});
    if (str_has_prefix((struct str){s.p + at, s.n - at}, STR("-%}")))
        return at + 3 + space_length((struct str){s.p + at + 3, s.n - at - 3});
    return str_has_prefix((struct str){s.p + at, s.n - at}, STR("%}")) ? at + 2 : 0;
}

/* At "{%" in raw text: is it "{% endraw %}"? The end mark must be there too. */
static bool at_raw_end(struct lexer *x)
{
    struct lexer probe = *x;
    probe.at += 2 + (sign_at(x, x->at + 2) != '\0');
    skip_space(&probe);
    if (!has(&probe, "endraw"))
        return false;
    probe.at += 6;
    skip_space(&probe);
    if (!end_of_tag(&probe, "%}", true, true))
        return false;
    x->at = probe.at;
    x->line = probe.line;
    x->line_starting = probe.line_starting;
    return true;
}

static void lex_raw(struct lexer *x)
{
    uint32_t line = x->line;
    size_t begin = x->at;
    bool starting = x->line_starting;
    for (;;) {
        size_t tag = str_find(x->s, STR("{%"), x->at);
        if (tag == SIZE_MAX && begin == x->s.n)
            return;
        if (tag == SIZE_MAX)
            compile_fail(x->c, ST_INVALID, line, "missing end of raw directive");
        advance(x, tag - x->at);
        char sign = sign_at(x, tag + 2);
        struct lexer before = *x;
        before.line_starting = starting;
        if (at_raw_end(x)) {
            add_data(x, strip_before(&before, (struct str){x->s.p + begin, tag - begin}, sign, false), line);
            return;
        }
        advance(x, 2);
    }
}

static void lex_comment(struct lexer *x)
{
    uint32_t line = x->line;
    size_t begin = x->at;
    while (x->at < x->s.n) {
        if (end_of_tag(x, "#}", true, true))
            return;
        advance(x, 1);
    }
    if (x->at > begin) /* jinja2 takes "{#" as the last thing of a template */
        compile_fail(x->c, ST_INVALID, line, "missing end of comment tag");
}

/* ---- inside of tags ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool digit_in(char c, unsigned base)
{
    unsigned v = is_digit(c) ? (unsigned)(c - '0') : (unsigned)((c | 32) - 'a' + 10);
    return (is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f')) && v < base;
}

/* Digits with single underscores between them, from `i`. */
static size_t digits_length(struct str s, size_t i)
{
    size_t begin = i;
    while (i < s.n &&
           (is_digit(s.p[i]) || (s.p[i] == '_' && i > begin && i + 1 < s.n && is_digit(s.p[i + 1]))))
        i++;
    return i - begin;
}

static size_t float_length(struct str s)
{
    size_t n = digits_length(s, 0), fraction = 0, exponent = 0;
    if (n == 0)
        return 0;
    if (n < s.n && s.p[n] == '.') {
        fraction = digits_length(s, n + 1);
        if (fraction)
            fraction++;
    }
    size_t at = n + fraction;
    if (at < s.n && (s.p[at] | 32) == 'e') {
        size_t sign = at + 1 < s.n && (s.p[at + 1] == '+' || s.p[at + 1] == '-');
        exponent = digits_length(s, at + 1 + sign);
        if (exponent)
            exponent += 1 + sign;
    }
    return fraction || exponent ? at + exponent : 0;
}

static size_t integer_length(struct str s, unsigned *base)
{
    static const char letters[] = "box";
    static const unsigned bases[] = {2, 8, 16};
    *base = 10;
    if (s.p[0] != '0')
        return digits_length(s, 0);
    const char *letter = s.n > 1 && s.p[1] ? strchr(letters, s.p[1] | 32) : NULL;
    if (letter) {
        unsigned b = bases[letter - letters];
        size_t i = 2;
        while (i < s.n && (digit_in(s.p[i], b) || (s.p[i] == '_' && i + 1 < s.n && digit_in(s.p[i + 1], b))))
            i++;
        if (i > 2) {
            *base = b;
            return i;
        }
    }
    size_t n = 1;
    while (n < s.n && (s.p[n] == '0' || (s.p[n] == '_' && n + 1 < s.n && s.p[n + 1] == '0')))
        n++;
    return n;
}

static void lex_number(struct lexer *x)
{
    struct str s = rest(x);
    char text[400];
    size_t k = 0;
    unsigned base;
    bool after_dot = x->at && x->s.p[x->at - 1] == '.';
    size_t n = after_dot ? 0 : float_length(s);
    struct token t = {.type = n ? T_FLOAT : T_INTEGER, .line = x->line};
    if (n == 0)
        n = integer_length(s, &base);
    else
        base = 10;
    for (size_t i = base == 10 ? 0 : 2; i < n && k < sizeof text - 1; i++)
        if (s.p[i] != '_')
            text[k++] = s.p[i];
    text[k] = '\0';
    if (k == sizeof text - 1)
        compile_fail(x->c, ST_UNSUPPORTED, x->line, "a number of more than %zu digits", sizeof text - 2);
    if (t.type == T_FLOAT) {
        t.f = strtod(text, NULL);
    } else {
        for (size_t i = 0; i < k; i++) {
            int d = is_digit(text[i]) ? text[i] - '0' : (text[i] | 32) - 'a' + 10;
            if (__builtin_mul_overflow(t.i, (int64_t)base, &t.i) ||
                __builtin_add_overflow(t.i, (int64_t)d, &t.i))
                compile_fail(x->c, ST_UNSUPPORTED, x->line, "the integer %s is beyond 64 bits", text);
        }
    }
    add(x, t);
    advance(x, n);
}

static bool is_name_start(uint32_t cp)
{
    return cp == '_' || (cp < 128 ? ((cp | 32) >= 'a' && (cp | 32) <= 'z') : cp_is_word(cp));
}

static bool is_name_part(uint32_t cp)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    return is_name_start(cp) || (cp >= '0' && cp <= '9') ||
           (cp >= 128 &&
            (k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_PC));
}

static size_t name_length(struct str s)
{
    unsigned n;
    size_t i = 0;
    while (i < s.n && (i ? is_name_part : is_name_start)(text_cp(s, i, &n)))
        i += n;
    return i;
}

static void lex_string(struct lexer *x)
{
    struct str s = rest(x);
    size_t i = 1;
    while (i < s.n && s.p[i] != s.p[0])
        i += s.p[i] == '\\' ? 2 : 1;
    if (i >= s.n)
        compile_fail(x->c, ST_INVALID, x->line, "a string that does not end");
    struct str body = unescape(x->c, (struct str){s.p + 1, i - 1}, x->line);
    add(x, (struct token){.type = T_STRING, .line = x->line, .text = body});
    advance(x, i + 1);
}

static void balance(struct lexer *x, char c)
{
    static const char open[] = "{([", close[] = "})]";
    const char *at = strchr(open, c);
    if (at) {
        if (x->n_bracket == MAX_BRACKETS)
            compile_fail(x->c, ST_LIMIT, x->line, "more than %d open brackets", MAX_BRACKETS);
        x->bracket[x->n_bracket++] = close[at - open];
    } else if (strchr(close, c)) {
        if (x->n_bracket == 0)
            compile_fail(x->c, ST_INVALID, x->line, "unexpected '%c'", c);
        char want = x->bracket[--x->n_bracket];
        if (want != c)
            compile_fail(x->c, ST_INVALID, x->line, "unexpected '%c', expected '%c'", c, want);
    }
}

static void lex_operator(struct lexer *x)
{
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    struct str s = rest(x);
    size_t n = 0;
    for (size_t i = 0; i < sizeof two / sizeof *two && !n; i++)
        n = str_has_prefix(s, str_from(two[i])) ? 2 : 0;
    if (!n && s.p[0] && strchr("+-/*%~[](){}><=.:|,;", s.p[0]))
        n = 1;
    if (!n) {
        unsigned len;
        text_cp(s, 0, &len);
        compile_fail(x->c, ST_INVALID, x->line, "unexpected char '%.*s'", (int)len, s.p);
    }
    if (n == 1)
        balance(x, s.p[0]);
    add(x, (struct token){.type = T_OPERATOR, .line = x->line, .text = {s.p, n}});
    advance(x, n);
}

static void lex_tag(struct lexer *x, bool is_variable)
{
    uint32_t begin = x->line;
    x->n_bracket = 0;
    while (x->at < x->s.n) {
        uint32_t line = x->line;
        if (x->n_bracket == 0 && end_of_tag(x, is_variable ? "}}" : "%}", !is_variable, !is_variable)) {
            add(x, (struct token){.type = is_variable ? T_VARIABLE_END : T_BLOCK_END, .line = line});
            return;
        }
        struct str s = rest(x);
        size_t n = space_length(s);
        if (n) {
            advance(x, n);
        } else if (is_digit(s.p[0])) {
            lex_number(x);
        } else if ((n = name_length(s))) {
            add(x, (struct token){.type = T_NAME, .line = x->line, .text = {s.p, n}});
            advance(x, n);
        } else if (s.p[0] == '\'' || s.p[0] == '"') {
            lex_string(x);
        } else {
            lex_operator(x);
        }
    }
    compile_fail(x->c, ST_INVALID, begin, "a tag that does not end");
}

/* ---- the whole ---- */

/* The first "{%", "{{" or "{#" at or after `from`, or the end. */
static size_t find_tag(struct str s, size_t from)
{
    for (size_t i = from; i + 1 < s.n; i++) {
        const char *brace = memchr(s.p + i, '{', s.n - i - 1);
        if (!brace)
            break;
        i = (size_t)(brace - s.p);
        if (s.p[i + 1] == '%' || s.p[i + 1] == '{' || s.p[i + 1] == '#')
            return i;
    }
    return s.n;
}

/* Every line end as one \n; the last one is left out. */
static struct str normalize(struct compile *c, struct str source)
{
    char *p = compile_alloc(c, source.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < source.n; i++) {
        if (source.p[i] == '\r' && i + 1 < source.n && source.p[i + 1] == '\n')
            continue;
        p[n++] = source.p[i] == '\r' ? '\n' : source.p[i];
    }
    if (n && p[n - 1] == '\n')
        n--;
    return (struct str){p, n};
}

void lex(struct compile *c, struct str source)
{
    struct lexer *x = compile_scratch(c, sizeof *x);
    *x = (struct lexer){.c = c, .s = normalize(c, source), .line = 1, .line_starting = true};
    while (x->at < x->s.n) {
        size_t tag = find_tag(x->s, x->at);
        struct str text = {x->s.p + x->at, tag - x->at};
        uint32_t line = x->line;
        if (tag == x->s.n) {
            add_data(x, text, line);
            break;
        }
        char kind = x->s.p[tag + 1], sign = sign_at(x, tag + 2);
        add_data(x, strip_before(x, text, sign, kind == '{'), line);
        advance(x, text.n);
        size_t raw = kind == '%' ? raw_begin_length(x, sign) : 0;
        line = x->line;
        if (raw) {
            advance(x, raw);
            lex_raw(x);
            continue;
        }
        advance(x, 2 + (sign != '\0'));
        if (kind == '#') {
            lex_comment(x);
        } else {
            add(x, (struct token){.type = kind == '{' ? T_VARIABLE_BEGIN : T_BLOCK_BEGIN, .line = line});
            lex_tag(x, kind == '{');
        }
    }
    add(x, (struct token){.type = T_EOF, .line = x->line});
}

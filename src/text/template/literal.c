/* String literals: the escapes that Python's unicode-escape codec knows. A lone surrogate has no UTF-8 and
 * \N{NAME} needs Unicode's names: both are refused. */
#include "text/template/template_int.h"
#include <stdio.h>
#include <string.h>

struct literal {
    struct compile *c;
    uint32_t line;
    struct str s;
    size_t at;
    char *out;
    size_t n;
};

static void put_cp(struct literal *l, uint32_t cp)
{
    if (cp > 0x10FFFF)
        compile_fail(l->c, ST_INVALID, l->line, "illegal Unicode character");
    if (cp >= 0xD800 && cp < 0xE000)
        compile_fail(l->c, ST_UNSUPPORTED, l->line,
                     "\\u%04x is half of a surrogate pair, which no UTF-8 text can hold", cp);
    l->n += utf8_encode(cp, l->out + l->n);
}

/* `n` hex digits. */
static void put_hex(struct literal *l, unsigned n)
{
    uint32_t cp = 0;
    for (unsigned i = 0; i < n; i++) {
        char c = l->at < l->s.n ? l->s.p[l->at++] : '\0';
        if (c >= '0' && c <= '9')
            cp = cp * 16 + (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            cp = cp * 16 + (uint32_t)((c | 32) - 'a' + 10);
        else
            compile_fail(l->c, ST_INVALID, l->line, "truncated escape in a string: %u hex digits expected",
                         n);
    }
    put_cp(l, cp);
}

static void put_octal(struct literal *l, char first)
{
    uint32_t cp = (uint32_t)(first - '0');
    for (int i = 0; i < 2 && l->at < l->s.n && l->s.p[l->at] >= '0' && l->s.p[l->at] <= '7'; i++)
        cp = cp * 8 + (uint32_t)(l->s.p[l->at++] - '0');
    put_cp(l, cp);
}

/* jinja2 writes what is not ASCII as an escape before it decodes; a backslash in front of it therefore stays,
 * and so do the letters of that escape. */
static void put_escaped_other(struct literal *l)
{
    uint32_t cp = 0;
    char text[16];
    l->at += utf8_decode(l->s, l->at, &cp);
    int n = snprintf(text, sizeof text, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    memcpy(l->out + l->n, text, (size_t)n);
    l->n += (size_t)n;
}

static void put_escape(struct literal *l)
{
    static const char letter[] = "\\'\"abfnrtv", meaning[] = "\\'\"\a\b\f\n\r\t\v";
    char c = l->s.p[l->at];
    if ((unsigned char)c >= 128) {
        put_escaped_other(l);
        return;
    }
    l->at++;
    const char *simple = c ? strchr(letter, c) : NULL;
    if (simple)
        l->out[l->n++] = meaning[simple - letter];
    else if (c >= '0' && c <= '7')
        put_octal(l, c);
    else if (c == 'x' || c == 'u' || c == 'U')
        put_hex(l, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    else if (c == 'N')
        compile_fail(l->c, ST_UNSUPPORTED, l->line, "\\N{...} in a string");
    else if (c != '\n') {
        l->out[l->n++] = '\\';
        l->out[l->n++] = c;
    }
}

struct str unescape(struct compile *c, struct str body, uint32_t line)
{
    if (body.n == 0 || !memchr(body.p, '\\', body.n))
        return body;
    struct literal l = {.c = c, .line = line, .s = body, .out = compile_alloc(c, body.n * 5 + 1)};
    while (l.at < body.n) {
        if (body.p[l.at] == '\\' && l.at + 1 < body.n) {
            l.at++;
            put_escape(&l);
        } else {
            l.out[l.n++] = body.p[l.at++];
        }
    }
    return (struct str){l.out, l.n};
}

/* The JSON writer: appends text, keeps commas right, never fails by itself (the buffer remembers). */
#include "json/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void jw_init(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){.out = out, .first = 1};
}

/* What stands in front of the next value: a comma, unless it is the first or follows a key. */
static void separate(struct json_writer *w)
{
    if (w->after_key)
        w->after_key = false;
    else if (w->first & 1)
        w->first &= ~1ull;
    else
        buf_put_char(w->out, ',');
}

static void open_container(struct json_writer *w, char c)
{
    separate(w);
    BUG_ON(w->depth == 63);
    buf_put_char(w->out, c);
    w->first = w->first << 1 | 1;
    w->depth++;
}

static void close_container(struct json_writer *w, char c)
{
    BUG_ON(w->depth == 0);
    buf_put_char(w->out, c);
    w->first >>= 1;
    w->depth--;
}

void jw_object(struct json_writer *w)
{
    open_container(w, '{');
}

void jw_end_object(struct json_writer *w)
{
    close_container(w, '}');
}

void jw_array(struct json_writer *w)
{
    open_container(w, '[');
}

void jw_end_array(struct json_writer *w)
{
    close_container(w, ']');
}

void jw_key(struct json_writer *w, const char *key)
{
    separate(w);
    buf_printf(w->out, "\"%s\":", key);
    w->after_key = true;
}

/* ---- strings ---- */

static void put_escaped(struct buf *out, unsigned char c)
{
    static const char short_form[] = "\b\t\n\f\r\"\\", letter[] = "btnfr\"\\";
    const char *at = c ? strchr(short_form, c) : NULL;
    if (at)
        buf_printf(out, "\\%c", letter[at - short_form]);
    else
        buf_printf(out, "\\u%04x", c);
}

static void put_string(struct buf *out, struct str s)
{
    size_t plain = 0; /* start of the run of bytes that stand for themselves */
    uint32_t cp;
    buf_put_char(out, '"');
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        unsigned n = utf8_decode(s, i, &cp);
        if (n && c >= 0x20 && c != '"' && c != '\\') {
            i += n;
            continue;
        }
        buf_put(out, s.p + plain, i - plain);
        if (n)
            put_escaped(out, c);
        else
            buf_put(out, "\xef\xbf\xbd", 3);
        i += n ? n : utf8_invalid_length(s, i);
        plain = i;
    }
    if (s.n)
        buf_put(out, s.p + plain, s.n - plain);
    buf_put_char(out, '"');
}

void jw_str(struct json_writer *w, struct str s)
{
    separate(w);
    put_string(w->out, s);
}

void jw_name(struct json_writer *w, struct str key)
{
    jw_str(w, key);
    buf_put_char(w->out, ':');
    w->after_key = true;
}

void jw_cstr(struct json_writer *w, const char *s)
{
    if (s)
        jw_str(w, str_from(s));
    else
        jw_null(w);
}

/* ---- numbers ---- */

void jw_u64(struct json_writer *w, uint64_t v)
{
    separate(w);
    buf_printf(w->out, "%llu", (unsigned long long)v);
}

void jw_i64(struct json_writer *w, int64_t v)
{
    separate(w);
    buf_printf(w->out, "%lld", (long long)v);
}

/* Digits and exponent as serde writes them: plain, with at least ".0", when the number of digits in front of
 * the point (negative: of zeros behind it) is from `least` to `most`; else d.ddde-7. */
static void put_decimal(struct buf *out, const char *scientific, int least, int most)
{
    char digits[32];
    size_t n = 0;
    const char *p = scientific;
    if (*p == '-')
        buf_put_char(out, *p++);
    for (; *p && *p != 'e'; p++)
        if (*p != '.')
            digits[n++] = *p;
    int exponent = atoi(p + 1), point = exponent + 1; /* digits in front of the point */
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (point > most || point < least) {
        buf_put_char(out, digits[0]);
        if (n > 1) {
            buf_put_char(out, '.');
            buf_put(out, digits + 1, n - 1);
        }
        buf_printf(out, "e%d", exponent);
    } else if (point <= 0) {
        buf_printf(out, "0.%.*s", -point, "00000");
        buf_put(out, digits, n);
    } else {
        for (int i = 0; i < point; i++)
            buf_put_char(out, (size_t)i < n ? digits[i] : '0');
        buf_put_char(out, '.');
        if (n > (size_t)point)
            buf_put(out, digits + point, n - (size_t)point);
        else
            buf_put_char(out, '0');
    }
}

static void put_f64(struct buf *out, double v)
{
    char text[40];
    if (!isfinite(v)) {
        buf_put(out, "null", 4);
        return;
    }
    for (int digits = 0; digits <= 16; digits++) {
        snprintf(text, sizeof text, "%.*e", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    put_decimal(out, text, -4, 16); /* from 0.00001 to below 1e16 */
}

void jw_f64(struct json_writer *w, double v)
{
    separate(w);
    put_f64(w->out, v);
}

void jw_f32(struct json_writer *w, float v)
{
    char text[40], fewer[40];
    separate(w);
    if (!isfinite(v)) {
        buf_put(w->out, "null", 4);
        return;
    }
    /* Nine digits always read back. Most numbers need eight or nine, so the search goes down from there. */
    snprintf(text, sizeof text, "%.8e", (double)v);
    for (int digits = 7; digits >= 0; digits--) {
        snprintf(fewer, sizeof fewer, "%.*e", digits, (double)v);
        if (strtof(fewer, NULL) != v)
            break;
        memcpy(text, fewer, sizeof text);
    }
    put_decimal(w->out, text, -5, 13); /* from 0.000001 to below 1e13: serde has other bounds for f32 */
}

void jw_bool(struct json_writer *w, bool v)
{
    separate(w);
    buf_put_str(w->out, v ? STR("true") : STR("false"));
}

void jw_null(struct json_writer *w)
{
    separate(w);
    buf_put_str(w->out, STR("null"));
}

/* ---- values of a document ---- */

static void put_scalar(struct buf *out, const struct json_val *v)
{
    uint64_t u = 0;
    int64_t i = 0;
    double d = 0;
    bool b = false;
    struct str s = {0};
    switch (json_kind(v)) {
    case JSON_BOOL:
        json_bool(v, &b);
        buf_put_str(out, b ? STR("true") : STR("false"));
        break;
    case JSON_UINT:
        json_u64(v, &u);
        buf_printf(out, "%llu", (unsigned long long)u);
        break;
    case JSON_INT:
        json_i64(v, &i);
        buf_printf(out, "%lld", (long long)i);
        break;
    case JSON_REAL:
        json_f64(v, &d);
        put_f64(out, d);
        break;
    case JSON_STRING:
        json_str(v, &s);
        put_string(out, s);
        break;
    default:
        buf_put_str(out, STR("null"));
    }
}

/* The text is made here, not by the parser's library, so that it escapes and rounds like everything else we
 * write. A document may be deeper than the writer goes: what is open is on a stack of its own. */
void jw_value(struct json_writer *w, const struct json_val *v)
{
    struct json_iter open[JSON_MAX_DEPTH];
    unsigned depth = 0;
    struct str key = {0};
    separate(w);
    do {
        bool first = json_is(v, JSON_ARRAY) || json_is(v, JSON_OBJECT);
        if (first) {
            BUG_ON(depth == JSON_MAX_DEPTH);
            buf_put_char(w->out, json_is(v, JSON_OBJECT) ? '{' : '[');
            open[depth++] = json_iter(v);
        } else {
            put_scalar(w->out, v);
        }
        for (v = NULL; depth && !(v = json_next(&open[depth - 1], &key)); first = false)
            buf_put_char(w->out, open[--depth].is_object ? '}' : ']');
        if (v && !first)
            buf_put_char(w->out, ',');
        if (v && open[depth - 1].is_object) {
            put_string(w->out, key);
            buf_put_char(w->out, ':');
        }
    } while (v);
}

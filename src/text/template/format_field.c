/* One formatted field: digits of integers and floats, grouping, sign, padding. Widths are bounded by the
 * render's memory, precisions by MAX_PRECISION. */
#include "text/template/format_int.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_padded(struct text *t, const struct field *f, char align, struct str sign, struct value body)
{
    struct str fill = f->fill.n ? f->fill : STR(" ");
    int64_t pad = f->width - (int64_t)sign.n - (int64_t)text_count(body);
    int64_t left = align == '>' ? pad : align == '^' ? pad / 2 : 0;
    if (pad < 0)
        pad = left = 0;
    text_put_fill(t, fill, left);
    text_put(t, sign);
    if (align == '=')
        text_put_fill(t, fill, pad);
    text_put(t, value_text(body));
    if (align == '<' || align == '^')
        text_put_fill(t, fill, pad - left);
}

void put_text_field(struct text *t, const struct field *f, struct value s)
{
    if (f->precision >= 0 && (size_t)f->precision < text_count(s))
        s = text_sub(s, 0, text_offset(s, (size_t)f->precision));
    put_padded(t, f, f->align ? f->align : '<', STR(""), s);
}

/* Separators between groups of the digits before the point. With '=' and '0' they reach into the padding. */
static struct str grouped(struct text *t, const struct field *f, struct str digits, size_t n_prefix,
                          size_t n_sign)
{
    struct text out = {.r = t->r};
    size_t size = f->type == 'x' || f->type == 'X' || f->type == 'b' || f->type == 'o' ? 4 : 3,
           whole = n_prefix;
    while (whole < digits.n && isalnum((unsigned char)digits.p[whole]) &&
           (size == 4 || isdigit((unsigned char)digits.p[whole])))
        whole++;
    size_t n = whole - n_prefix, zeros = 0, rest = digits.n - whole;
    if (f->align == '=' && str_eq(f->fill, STR("0"))) {
        if (f->width > 1 << 20)
            fail_limit(t->r, "a number of more than a million digits");
        while ((int64_t)(n_sign + n_prefix + rest + n + zeros + (n + zeros - 1) / size) < f->width)
            zeros++;
    }
    text_put(&out, (struct str){digits.p, n_prefix});
    for (size_t i = 0; i < n + zeros; i++) {
        if (i && (n + zeros - i) % size == 0)
            text_put_char(&out, f->group);
        text_put_char(&out, i < zeros ? '0' : digits.p[n_prefix + i - zeros]);
    }
    text_put(&out, (struct str){digits.p + whole, rest});
    return value_text(text_done(&out));
}

void put_number_field(struct text *t, const struct field *f, bool negative, struct str digits,
                      size_t n_prefix)
{
    struct str sign = negative ? STR("-") : f->sign == '+' ? STR("+") : f->sign == ' ' ? STR(" ") : STR("");
    char align = f->align ? f->align : '>';
    if (f->group)
        digits = grouped(t, f, digits, n_prefix, sign.n);
    char front[8];
    if (align == '=' && n_prefix) { /* the prefix stands before the padding */
        memcpy(front, sign.p, sign.n);
        memcpy(front + sign.n, digits.p, n_prefix);
        sign = (struct str){front, sign.n + n_prefix};
        digits.p += n_prefix;
        digits.n -= n_prefix;
    }
    put_padded(t, f, align, sign,
               (struct value){.kind = V_STR, .flags = FLAG_ASCII, .n = (uint32_t)digits.n, .p = digits.p});
}

void put_int_field(struct text *t, struct field *f, int64_t v)
{
    char text[80];
    size_t n = sizeof text, n_prefix = 0;
    unsigned base = f->type == 'x' || f->type == 'X' ? 16 : f->type == 'o' ? 8 : f->type == 'b' ? 2 : 10;
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do
        text[--n] = (f->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
    while (u /= base);
    struct text digits = {.r = t->r};
    if (f->alternate && base != 10) {
        text_put_char(&digits, '0');
        text_put_char(&digits, f->type);
        n_prefix = 2;
    }
    text_put_fill(&digits, STR("0"), f->precision - (int64_t)(sizeof text - n));
    text_put(&digits, (struct str){text + n, sizeof text - n});
    put_number_field(t, f, v < 0, value_text(text_done(&digits)), n_prefix);
}

/* No type: like repr(), or like g with at least one digit behind the point. */
static void plain_float(double v, int64_t precision, char *out, size_t size)
{
    if (precision < 0) {
        float_repr(v, out);
        return;
    }
    snprintf(out, size, "%.*g", precision ? (int)precision : 1, v);
    const char *e = strchr(out, 'e');
    double scale = v == 0 ? 0 : floor(log10(v));
    if (!e && scale >= (double)(precision ? precision : 1) - 1 && !strchr(out, '.') &&
        isdigit((unsigned char)out[0])) {
        snprintf(out, size, "%.*e", precision > 1 ? (int)precision - 1 : 0, v);
    } else if (!e && !strchr(out, '.') && isdigit((unsigned char)out[0])) {
        strcat(out, ".0");
    }
}

void put_float_field(struct text *t, const struct field *f, double v)
{
    char format[16], text[MAX_PRECISION + 400];
    int precision = f->precision < 0 ? 6 : (int)f->precision;
    char type = f->type == 'n' ? 'g' : f->type == '%' ? 'f' : f->type;
    double magnitude = fabs(v) * (f->type == '%' ? 100 : 1);
    memset(text, 0, sizeof text);
    if (!isfinite(magnitude)) {
        bool upper = isupper((unsigned char)type);
        snprintf(text, sizeof text, "%s", isnan(v) ? (upper ? "NAN" : "nan") : upper ? "INF" : "inf");
    } else if (type) {
        snprintf(format, sizeof format, "%%%s.*%c", f->alternate ? "#" : "", type);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, format, precision, magnitude);
#pragma GCC diagnostic pop
    } else {
        plain_float(magnitude, f->precision, text, sizeof text);
    }
    if (f->type == '%')
        strcat(text, "%");
    put_number_field(t, f, signbit(v) && !isnan(v), str_from(text), 0);
}

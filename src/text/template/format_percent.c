/* "..." % values, as Python formats. */
#include "text/template/format_int.h"
#include <math.h>
#include <string.h>

struct percent {
    struct run *r;
    struct str s;
    size_t at;
    struct value args;
    uint32_t next; /* of a tuple, or 1 when the only value is used */
    bool markup, used_mapping;
    struct text out;
};

static char take(struct percent *p)
{
    if (p->at == p->s.n)
        fail(p->r, "incomplete format");
    return p->s.p[p->at++];
}

static char peek(const struct percent *p)
{
    return p->at < p->s.n ? p->s.p[p->at] : '\0';
}

static struct value next_arg(struct percent *p)
{
    if (p->args.kind == V_TUPLE ? p->next < p->args.list->n : p->next == 0)
        return p->args.kind == V_TUPLE ? p->args.list->at[p->next++] : (p->next++, p->args);
    fail(p->r, "not enough arguments for format string");
}

static struct value mapped_arg(struct percent *p)
{
    size_t begin = p->at, depth = 1;
    struct value v;
    for (; depth; p->at++) {
        char c = peek(p);
        if (p->at >= p->s.n)
            fail(p->r, "incomplete format key");
        depth += c == '(';
        depth -= c == ')';
    }
    struct str key = {p->s.p + begin, p->at - 1 - begin};
    if (p->args.kind != V_DICT)
        fail(p->r, "format requires a mapping");
    if (!dict_get_text(p->r, p->args.dict, key, &v))
        fail(p->r, "KeyError: '" STR_FMT "'", STR_ARG(key));
    p->used_mapping = true;
    return v;
}

static int64_t number_or_star(struct percent *p)
{
    int64_t n = 0;
    if (peek(p) == '*') {
        p->at++;
        return want_int(p->r, next_arg(p), "* of a format");
    }
    while (peek(p) >= '0' && peek(p) <= '9') {
        n = n * 10 + (take(p) - '0');
        if (n > INT32_MAX)
            fail_limit(p->r, "a format wider than memory");
    }
    return n;
}

static void put_integer_arg(struct percent *p, struct field *f, struct value v)
{
    if (v.kind == V_UNDEFINED)
        fail_undefined(p->r, v);
    if (v.kind == V_FLOAT && f->type == 'd') {
        if (!(fabs(v.f) < 9.2e18))
            fail(p->r, "a float that is no 64-bit integer");
        v = value_int((int64_t)v.f);
    }
    if (!is_int(v))
        fail(p->r, "%%%c format: an integer is required, not %s", f->type, type_name(v));
    put_int_field(&p->out, f, v.i);
}

static void put_char_arg(struct percent *p, const struct field *f, struct value v)
{
    struct text one = {.r = p->r};
    if (is_int(v)) {
        if (v.i < 0 || v.i > 0x10FFFF || (v.i >= 0xD800 && v.i < 0xE000))
            fail(p->r, "%%c arg not in range(0x110000)");
        text_put_cp(&one, (uint32_t)v.i);
        v = text_done(&one);
    } else if (!is_str(v) || text_count(v) != 1) {
        fail(p->r, "%%c requires int or char");
    }
    put_text_field(&p->out, f, v);
}

static void put_string_arg(struct percent *p, struct field *f, struct value v)
{
    struct text t = {.r = p->r};
    if (f->type == 's') {
        v = p->markup ? text_escape(p->r, v) : value_to_str(p->r, v);
    } else {
        put_repr(&t, v);
        v = text_done(&t);
        if (f->type == 'a') {
            struct text ascii = {.r = p->r};
            put_text_ascii(&ascii, value_text(v));
            v = text_done(&ascii);
        }
        if (p->markup)
            v = text_escape(p->r, v);
    }
    f->align = f->align == '<' ? '<' : '>';
    f->fill = (struct str){0};
    put_text_field(&p->out, f, v);
}

static void put_arg(struct percent *p, struct field *f, struct value v)
{
    switch (f->type) {
    case 's':
    case 'r':
    case 'a':
        put_string_arg(p, f, v);
        break;
    case 'c':
        f->align = f->align == '<' ? '<' : '>';
        f->fill = (struct str){0};
        put_char_arg(p, f, v);
        break;
    case 'd':
    case 'i':
    case 'u':
        f->type = 'd';
        put_integer_arg(p, f, v);
        break;
    case 'x':
    case 'X':
    case 'o':
        put_integer_arg(p, f, v);
        break;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
        if (v.kind == V_UNDEFINED)
            fail_undefined(p->r, v);
        if (!is_number(v))
            fail(p->r, "must be real number, not %s", type_name(v));
        put_float_field(&p->out, f, value_as_float(v));
        break;
    default:
        fail(p->r, "unsupported format character '%c'", f->type);
    }
}

static void put_field(struct percent *p)
{
    struct field f = {.precision = -1};
    bool mapped = false, left = false, zero = false;
    struct value v = MISSING;
    if (peek(p) == '(') {
        p->at++;
        v = mapped_arg(p);
        mapped = true;
    }
    for (char c; (c = peek(p)) && strchr("-+ #0", c); p->at++) {
        left |= c == '-';
        zero |= c == '0';
        f.alternate |= c == '#';
        if (c == '+' || (c == ' ' && !f.sign))
            f.sign = c;
    }
    f.width = number_or_star(p);
    if (f.width < 0) {
        left = true;
        f.width = -f.width;
    }
    if (peek(p) == '.') {
        p->at++;
        f.precision = number_or_star(p);
        if (f.precision < 0)
            f.precision = 0;
        if (f.precision > MAX_PRECISION)
            fail_limit(p->r, "a precision of more than %d digits", MAX_PRECISION);
    }
    while (peek(p) == 'h' || peek(p) == 'l' || peek(p) == 'L')
        p->at++;
    f.type = take(p);
    if (f.type == '%') {
        text_put_char(&p->out, '%');
        return;
    }
    f.align = left ? '<' : zero ? '=' : 0;
    f.fill = zero && !left ? STR("0") : (struct str){0};
    put_arg(p, &f, mapped ? v : next_arg(p));
}

struct value format_percent(struct run *r, struct value fmt, struct value args)
{
    struct percent p = {
        .r = r, .s = value_text(fmt), .args = args, .markup = fmt.flags & FLAG_MARKUP, .out = {.r = r}};
    while (p.at < p.s.n) {
        const char *sign = memchr(p.s.p + p.at, '%', p.s.n - p.at);
        size_t n = sign ? (size_t)(sign - p.s.p) - p.at : p.s.n - p.at;
        text_put(&p.out, (struct str){p.s.p + p.at, n});
        p.at += n;
        if (sign) {
            p.at++;
            put_field(&p);
        }
    }
    bool is_mapping =
        args.kind == V_DICT || args.kind == V_LIST || args.kind == V_UNDEFINED || args.kind == V_RANGE;
    if (args.kind == V_TUPLE ? p.next < args.list->n : p.next == 0 && !is_mapping)
        fail(r, "not all arguments converted during string formatting");
    struct value out = text_done(&p.out);
    out.flags |= fmt.flags & FLAG_MARKUP;
    return out;
}

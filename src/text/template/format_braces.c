/* str.format(): fields in braces, looked up by the sandbox's rules, formatted by Python's format
 * specifications. */
#include "text/template/format_int.h"
#include <string.h>

struct braces {
    struct run *r;
    const struct call *c; /* arg[0] is the receiver */
    bool markup;
    int64_t next; /* automatic numbering; -1: fields have numbers */
};

/* ---- format specifications ---- */

static bool is_align(char c)
{
    return c && strchr("<>^=", c);
}

static int64_t take_number(struct run *r, struct str *s)
{
    int64_t n = 0;
    for (; s->n && s->p[0] >= '0' && s->p[0] <= '9'; s->p++, s->n--) {
        n = n * 10 + (s->p[0] - '0');
        if (n > INT32_MAX)
            fail_limit(r, "a format wider than memory");
    }
    return n;
}

static bool take_char(struct str *s, char c)
{
    if (!s->n || s->p[0] != c)
        return false;
    s->p++;
    s->n--;
    return true;
}

static struct field parse_spec(struct run *r, struct str s)
{
    struct field f = {.precision = -1};
    unsigned n = 0;
    if (s.n)
        text_cp(s, 0, &n);
    if (s.n > n && is_align(s.p[n])) {
        f.fill = (struct str){s.p, n};
        f.align = s.p[n];
        s = (struct str){s.p + n + 1, s.n - n - 1};
    } else if (s.n && is_align(s.p[0])) {
        f.align = s.p[0];
        take_char(&s, f.align);
    }
    if (s.n && strchr("+- ", s.p[0]) && s.p[0]) {
        f.sign = s.p[0] == '-' ? 0 : s.p[0];
        take_char(&s, s.p[0]);
    }
    f.alternate = take_char(&s, '#');
    if (take_char(&s, '0') && !f.align) {
        f.align = '=';
        f.fill = STR("0");
    }
    f.width = take_number(r, &s);
    f.group = take_char(&s, ',') ? ',' : take_char(&s, '_') ? '_' : 0;
    if (take_char(&s, '.')) {
        if (!s.n || s.p[0] < '0' || s.p[0] > '9')
            fail(r, "Format specifier missing precision");
        f.precision = take_number(r, &s);
        if (f.precision > MAX_PRECISION)
            fail_limit(r, "a precision of more than %d digits", MAX_PRECISION);
    }
    if (s.n > 1)
        fail(r, "Invalid format specifier");
    f.type = s.n ? s.p[0] : 0;
    return f;
}

static void put_int_by_spec(struct text *t, struct field *f, int64_t v)
{
    if (f->type && strchr("eEfFgG%", f->type)) {
        put_float_field(t, f, (double)v);
        return;
    }
    if (f->type == 0 || f->type == 'n')
        f->type = 'd';
    if (!strchr("dboxXc", f->type) || f->precision >= 0)
        fail(t->r, "invalid format specification for an integer");
    if (f->type == 'c')
        fail(t->r, "the format type 'c' is not supported");
    put_int_field(t, f, v);
}

static void put_by_spec(struct text *t, struct value v, struct str spec)
{
    struct run *r = t->r;
    if (spec.n == 0) {
        put_str(t, v);
        return;
    }
    struct field f = parse_spec(r, spec);
    if (is_str(v)) {
        if ((f.type && f.type != 's') || f.align == '=' || f.sign || f.alternate || f.group)
            fail(r, "invalid format specification for a string");
        put_text_field(t, &f, v);
    } else if (is_int(v)) {
        put_int_by_spec(t, &f, v.i);
    } else if (v.kind == V_FLOAT) {
        if (f.type && !strchr("eEfFgGn%", f.type))
            fail(r, "Unknown format code '%c' for object of type 'float'", f.type);
        put_float_field(t, &f, v.f);
    } else {
        fail(r, "unsupported format string passed to %s.__format__", type_name(v));
    }
}

/* ---- fields ---- */

static void put_format(struct braces *b, struct text *t, struct str s, int depth);

static bool all_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

static void number_field(struct braces *b, bool automatic)
{
    if (automatic ? b->next < 0 : b->next > 0)
        fail(b->r, "cannot switch between manual field specification and automatic field numbering");
    if (!automatic)
        b->next = -1;
}

static struct value positional(struct braces *b, int64_t i)
{
    if (i >= (int64_t)b->c->n_arg - 1)
        fail(b->r, "Replacement index %lld out of range for positional args tuple", (long long)i);
    return b->c->arg[i + 1];
}

static struct value first_value(struct braces *b, struct str name)
{
    int64_t i;
    if (all_digits(name)) {
        if (!str_to_i64(name, &i))
            fail(b->r, "Too many decimal digits in format string");
        return positional(b, i);
    }
    for (uint32_t k = 0; k < b->c->n_kw; k++)
        if (str_eq(b->c->kw[k].name, name))
            return b->c->kw[k].value;
    fail(b->r, "KeyError: '" STR_FMT "'", STR_ARG(name));
}

/* "name.attr[key]..." */
static struct value field_value(struct braces *b, struct str name)
{
    size_t at = 0;
    if (name.n == 0 || all_digits(name))
        number_field(b, name.n == 0);
    if (name.n == 0)
        return positional(b, b->next++);
    while (at < name.n && name.p[at] != '.' && name.p[at] != '[')
        at++;
    struct value v = first_value(b, (struct str){name.p, at});
    while (at < name.n) {
        bool is_item = name.p[at] == '[';
        size_t begin = ++at;
        while (at < name.n && (is_item ? name.p[at] != ']' : name.p[at] != '.' && name.p[at] != '['))
            at++;
        struct str part = {name.p + begin, at - begin};
        if (part.n == 0 || (is_item && at == name.n))
            fail(b->r, "Empty attribute or missing ']' in format string");
        int64_t i;
        if (!is_item)
            v = get_attr(b->r, v, part);
        else
            v = get_item(b->r, v,
                         all_digits(part) && str_to_i64(part, &i) ? value_int(i) : value_str(b->r, part));
        at += is_item;
        if (at < name.n && name.p[at] != '.' && name.p[at] != '[')
            fail(b->r, "Only '.' or '[' may follow ']' in format field specifier");
    }
    return v;
}

static struct value converted(struct braces *b, struct value v, char how)
{
    struct text t = {.r = b->r};
    if (how == 's')
        return value_to_str(b->r, v);
    if (how != 'r' && how != 'a')
        fail(b->r, "Unknown conversion specifier %c", how);
    put_repr(&t, v);
    v = text_done(&t);
    if (how == 'r')
        return v;
    struct text ascii = {.r = b->r};
    put_text_ascii(&ascii, value_text(v));
    return text_done(&ascii);
}

/* Between the braces: "name!conversion:spec". */
static void put_braces(struct braces *b, struct text *t, struct str s, int depth)
{
    size_t at = 0;
    unsigned open = 0;
    while (at < s.n && (open || (s.p[at] != '!' && s.p[at] != ':'))) {
        open += s.p[at] == '[';
        open -= s.p[at] == ']' && open;
        at++;
    }
    struct value v = field_value(b, (struct str){s.p, at});
    if (at < s.n && s.p[at] == '!') {
        if (at + 1 >= s.n || (at + 2 < s.n && s.p[at + 2] != ':'))
            fail(b->r, "expected ':' after conversion specifier");
        v = converted(b, v, s.p[at + 1]);
        at += 2;
    }
    struct text spec = {.r = b->r}, out = {.r = b->r};
    if (at < s.n)
        put_format(b, &spec, (struct str){s.p + at + 1, s.n - at - 1}, depth - 1);
    if (b->markup && is_str(v) && v.flags & FLAG_MARKUP && spec.n)
        fail(b->r, "Unsupported format specification for Markup.");
    put_by_spec(&out, v, (struct str){spec.p ? spec.p : "", spec.n});
    struct value text = text_done(&out);
    if (b->markup && !(is_str(v) && v.flags & FLAG_MARKUP))
        text = text_escape(b->r, text);
    text_put(t, value_text(text));
}

static void put_format(struct braces *b, struct text *t, struct str s, int depth)
{
    if (depth < 0)
        fail(b->r, "Max string recursion exceeded");
    for (size_t at = 0; at < s.n;) {
        char c = s.p[at];
        if ((c == '{' || c == '}') && at + 1 < s.n && s.p[at + 1] == c) {
            text_put_char(t, c);
            at += 2;
        } else if (c == '}') {
            fail(b->r, "Single '}' encountered in format string");
        } else if (c == '{') {
            size_t begin = ++at;
            unsigned open = 1;
            for (; at < s.n && open; at++)
                open += (s.p[at] == '{') - (s.p[at] == '}');
            if (open)
                fail(b->r, "expected '}' before end of string");
            put_braces(b, t, (struct str){s.p + begin, at - 1 - begin}, depth);
        } else {
            size_t begin = at;
            while (at < s.n && s.p[at] != '{' && s.p[at] != '}')
                at++;
            text_put(t, (struct str){s.p + begin, at - begin});
        }
    }
}

struct value format_braces(struct run *r, struct value fmt, const struct call *c)
{
    struct braces b = {.r = r, .c = c, .markup = fmt.flags & FLAG_MARKUP};
    struct text t = {.r = r};
    put_format(&b, &t, value_text(fmt), 2);
    struct value out = text_done(&t);
    out.flags |= fmt.flags & FLAG_MARKUP;
    return out;
}

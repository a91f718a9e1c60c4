/* tojson as transformers defines it: json.dumps() of Python with its options, without escapes for HTML. */
#include "text/template/template_int.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct dumper {
    struct text *t;
    bool ascii, sort, pretty;
    struct str indent; /* of one level */
    struct str item_separator, key_separator;
    unsigned level;
};

static void put_json_value(struct dumper *d, struct value v);

static void put_u(struct text *t, unsigned unit)
{
    char code[16];
    snprintf(code, sizeof code, "\\u%04x", unit);
    text_put(t, str_from(code));
}

static void put_json_text(struct dumper *d, struct str s)
{
    static const char short_form[] = "\b\t\n\f\r\"\\", letter[] = "btnfr\"\\";
    size_t plain = 0;
    unsigned n;
    text_put_char(d->t, '"');
    for (size_t i = 0; i < s.n; i += n) {
        uint32_t cp = text_cp(s, i, &n);
        const char *at = cp && cp < 128 ? strchr(short_form, (int)cp) : NULL;
        if (!at && cp >= ' ' && !(d->ascii && cp > 126))
            continue;
        text_put(d->t, (struct str){s.p + plain, i - plain});
        plain = i + n;
        if (at) {
            text_put_char(d->t, '\\');
            text_put_char(d->t, letter[at - short_form]);
        } else if (cp < 0x10000) {
            put_u(d->t, cp);
        } else {
            put_u(d->t, 0xD800 + ((cp - 0x10000) >> 10));
            put_u(d->t, 0xDC00 + ((cp - 0x10000) & 0x3FF));
        }
    }
    text_put(d->t, (struct str){s.p + plain, s.n - plain});
    text_put_char(d->t, '"');
}

static void put_line(struct dumper *d)
{
    if (!d->pretty)
        return;
    text_put_char(d->t, '\n');
    text_put_fill(d->t, d->indent, d->level);
}

static struct str number_text(struct value v, char out[40])
{
    if (v.kind == V_FLOAT && isnan(v.f))
        return STR("NaN");
    if (v.kind == V_FLOAT && isinf(v.f))
        return v.f < 0 ? STR("-Infinity") : STR("Infinity");
    if (v.kind == V_FLOAT)
        return (struct str){out, float_repr(v.f, out)};
    if (v.kind == V_UINT)
        return (struct str){out, (size_t)snprintf(out, 40, "%llu", (unsigned long long)v.u)};
    return (struct str){out, (size_t)snprintf(out, 40, "%lld", (long long)v.i)};
}

/* What stands for a value that is no container; false: it is one, or nothing JSON knows. */
static bool scalar_text(struct value v, char out[40], struct str *text)
{
    switch (v.kind) {
    case V_NONE:
        *text = STR("null");
        return true;
    case V_BOOL:
        *text = v.i ? STR("true") : STR("false");
        return true;
    case V_INT:
    case V_UINT:
    case V_FLOAT:
        *text = number_text(v, out);
        return true;
    default:
        return false;
    }
}

static void put_json_items(struct dumper *d, const struct list *l)
{
    if (l->n == 0) {
        text_put(d->t, STR("[]"));
        return;
    }
    text_put_char(d->t, '[');
    d->level++;
    for (uint32_t i = 0; i < l->n; i++) {
        if (i)
            text_put(d->t, d->item_separator);
        put_line(d);
        put_json_value(d, l->at[i]);
    }
    d->level--;
    put_line(d);
    text_put_char(d->t, ']');
}

static void put_json_key(struct dumper *d, struct value key)
{
    char number[40];
    struct str text;
    if (is_str(key))
        text = value_text(key);
    else if (!scalar_text(key, number, &text))
        fail(d->t->r, "keys must be str, int, float, bool or None, not %s", type_name(key));
    put_json_text(d, text);
    text_put(d->t, d->key_separator);
}

static void put_json_dict(struct dumper *d, const struct dict *from)
{
    struct run *r = d->t->r;
    struct value *keys = from->key, *vals = from->val;
    if (from->n == 0) {
        text_put(d->t, STR("{}"));
        return;
    }
    if (d->sort) {
        keys = run_alloc(r, from->n * sizeof *keys);
        vals = run_alloc(r, from->n * sizeof *vals);
        memcpy(keys, from->key, from->n * sizeof *keys);
        memcpy(vals, from->val, from->n * sizeof *vals);
        list_sort(r, keys, vals, from->n, false);
    }
    text_put_char(d->t, '{');
    d->level++;
    for (uint32_t i = 0; i < from->n; i++) {
        if (i)
            text_put(d->t, d->item_separator);
        put_line(d);
        put_json_key(d, keys[i]);
        put_json_value(d, vals[i]);
    }
    d->level--;
    put_line(d);
    text_put_char(d->t, '}');
}

static void put_json_value(struct dumper *d, struct value v)
{
    struct run *r = d->t->r;
    char number[40];
    struct str text;
    run_step(r);
    run_enter(r);
    if (is_str(v))
        put_json_text(d, value_text(v));
    else if (scalar_text(v, number, &text))
        text_put(d->t, text);
    else if (is_seq(v))
        put_json_items(d, v.list);
    else if (v.kind == V_DICT)
        put_json_dict(d, v.dict);
    else
        fail(r, "Object of type %s is not JSON serializable", type_name(v));
    run_leave(r);
}

void put_json(struct text *t, struct value v, struct value ensure_ascii, struct value indent,
              struct value separators, struct value sort_keys)
{
    struct run *r = t->r;
    struct dumper d = {.t = t,
                       .ascii = given(ensure_ascii) && value_true(r, ensure_ascii),
                       .sort = given(sort_keys) && value_true(r, sort_keys),
                       .pretty = given_not_none(indent),
                       .item_separator = given_not_none(indent) ? STR(",") : STR(", "),
                       .key_separator = STR(": ")};
    if (d.pretty)
        d.indent = value_text(is_str(indent)
                                  ? indent
                                  : text_repeat(r, value_ascii(" "), want_int(r, indent, "tojson: indent")));
    if (given_not_none(separators)) {
        const struct list *l = list_of(r, separators);
        if (l->n != 2)
            fail(r, "tojson: separators must be two strings");
        d.item_separator = want_str(r, l->at[0], "tojson: a separator");
        d.key_separator = want_str(r, l->at[1], "tojson: a separator");
    }
    put_json_value(&d, v);
}

/* str() and repr() of values, and pprint of what fits in a line. What Python would show with a memory address
 * is an error: no two runs would agree on it. */
#include "text/template/template_int.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRETTY_WIDTH 80

/* ---- numbers ---- */

/* The shortest digits that read back as `f`, as "d.ddde+XX", maybe with zeros at the end: 15 digits of a
 * normal number are those of any shorter text that reads back as it. */
static void shortest(double f, char out[40])
{
    for (int digits = fabs(f) < DBL_MIN ? 0 : DBL_DIG - 1; digits <= 16; digits++) {
        snprintf(out, 40, "%.*e", digits, f);
        if (strtod(out, NULL) == f)
            return;
    }
}

size_t float_repr(double f, char out[40])
{
    char text[40], digits[40] = {0};
    size_t n = 0, k = 0;
    if (isnan(f) || isinf(f))
        return (size_t)snprintf(out, 40, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
    shortest(f, text);
    const char *p = text;
    if (*p == '-')
        out[k++] = *p++;
    for (; *p != 'e'; p++)
        if (*p != '.')
            digits[n++] = *p;
    int exponent = atoi(p + 1);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (exponent < -4 || exponent >= 16) {
        out[k++] = digits[0];
        if (n > 1)
            out[k++] = '.';
        memcpy(out + k, digits + 1, n - 1);
        k += n - 1;
        return k + (size_t)snprintf(out + k, 40 - k, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    }
    if (exponent < 0) {
        k += (size_t)snprintf(out + k, 40 - k, "0.%.*s", -exponent - 1, "000");
        memcpy(out + k, digits, n);
        return k + n;
    }
    for (int i = 0; i <= exponent; i++)
        out[k++] = (size_t)i < n ? digits[i] : '0';
    out[k++] = '.';
    if (n <= (size_t)exponent + 1)
        out[k++] = '0';
    for (size_t i = (size_t)exponent + 1; i < n; i++)
        out[k++] = digits[i];
    return k;
}

static void put_number(struct text *t, struct value v)
{
    char text[40];
    size_t n;
    if (v.kind == V_FLOAT)
        n = float_repr(v.f, text);
    else if (v.kind == V_UINT)
        n = (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)v.u);
    else
        n = (size_t)snprintf(text, sizeof text, "%lld", (long long)v.i);
    run_spend(t->r, v.kind == V_FLOAT ? 20 : 1);
    text_put(t, (struct str){text, n});
}

/* ---- strings ---- */

static void put_code(struct text *t, uint32_t cp)
{
    char code[16];
    snprintf(code, sizeof code, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    text_put(t, str_from(code));
}

void put_text_repr(struct text *t, struct str s)
{
    static const char short_form[] = "\n\r\t\\", letter[] = "nrt\\";
    char quote = s.n && memchr(s.p, '\'', s.n) && !memchr(s.p, '"', s.n) ? '"' : '\'';
    size_t plain = 0;
    unsigned n;
    text_put_char(t, quote);
    for (size_t i = 0; i < s.n; i += n) {
        uint32_t cp = text_cp(s, i, &n);
        const char *at = cp && cp < 128 ? strchr(short_form, (int)cp) : NULL;
        bool quoted = at || cp == (uint32_t)quote;
        if (!quoted && (cp < 127 ? cp >= ' ' : cp_is_printable(cp)))
            continue;
        text_put(t, (struct str){s.p + plain, i - plain});
        plain = i + n;
        if (quoted) {
            text_put_char(t, '\\');
            text_put_char(t, at ? letter[at - short_form] : quote);
        } else {
            put_code(t, cp);
        }
    }
    text_put(t, (struct str){s.p + plain, s.n - plain});
    text_put_char(t, quote);
}

void put_text_ascii(struct text *t, struct str s)
{
    unsigned n;
    for (size_t i = 0; i < s.n; i += n) {
        uint32_t cp = text_cp(s, i, &n);
        if (cp < 128)
            text_put_char(t, (char)cp);
        else
            put_code(t, cp);
    }
}

/* ---- containers ---- */

static void put_items(struct text *t, const struct list *l, const char *open, const char *close)
{
    text_put(t, str_from(open));
    for (uint32_t i = 0; i < l->n; i++) {
        if (i)
            text_put(t, STR(", "));
        put_repr(t, l->at[i]);
    }
    text_put(t, str_from(close));
}

static void put_dict(struct text *t, const struct dict *d)
{
    text_put_char(t, '{');
    for (uint32_t i = 0; i < d->n; i++) {
        if (i)
            text_put(t, STR(", "));
        put_repr(t, d->key[i]);
        text_put(t, STR(": "));
        put_repr(t, d->val[i]);
    }
    text_put_char(t, '}');
}

static void put_view(struct text *t, struct value v)
{
    text_put(t, str_from(type_name(v)));
    put_items(t, list_of(t->r, v), "([", "])");
}

static void put_range(struct text *t, const struct range *g)
{
    char text[96];
    int n = snprintf(text, sizeof text, g->step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
                     (long long)g->start, (long long)g->stop, (long long)g->step);
    text_put(t, (struct str){text, (size_t)n});
}

static void put_loop(struct text *t, struct loop *l)
{
    char text[80];
    int n = snprintf(text, sizeof text, "<LoopContext %lld/%lld>", (long long)(l->index0 + 1),
                     (long long)loop_attr(t->r, l, STR("length")).i);
    text_put(t, (struct str){text, (size_t)n});
}

static void put_object(struct text *t, struct value v)
{
    switch (v.kind) {
    case V_NAMESPACE:
        text_put(t, STR("<Namespace "));
        put_dict(t, &v.ns->attrs);
        text_put_char(t, '>');
        break;
    case V_MACRO:
        text_put(t, STR("<Macro "));
        if (v.macro->node->type == N_MACRO)
            put_text_repr(t, v.macro->node->attr);
        else
            text_put(t, STR("anonymous"));
        text_put_char(t, '>');
        break;
    case V_LOOP:
        put_loop(t, v.loop);
        break;
    default:
        fail(t->r, "the text of a '%s' object is not supported: it would hold an address", type_name(v));
    }
}

void put_repr(struct text *t, struct value v)
{
    run_step(t->r);
    run_enter(t->r);
    switch (v.kind) {
    case V_UNDEFINED:
        text_put(t, STR("Undefined"));
        break;
    case V_NONE:
        text_put(t, STR("None"));
        break;
    case V_BOOL:
        text_put(t, v.i ? STR("True") : STR("False"));
        break;
    case V_INT:
    case V_UINT:
    case V_FLOAT:
        put_number(t, v);
        break;
    case V_STR:
        text_put(t, v.flags & FLAG_MARKUP ? STR("Markup(") : STR(""));
        put_text_repr(t, value_text(v));
        text_put(t, v.flags & FLAG_MARKUP ? STR(")") : STR(""));
        break;
    case V_LIST:
        put_items(t, v.list, "[", "]");
        break;
    case V_TUPLE:
        put_items(t, v.list, "(", v.list->n == 1 ? ",)" : ")");
        break;
    case V_DICT:
        put_dict(t, v.dict);
        break;
    case V_VIEW:
        put_view(t, v);
        break;
    case V_RANGE:
        put_range(t, v.range);
        break;
    default:
        put_object(t, v);
    }
    run_leave(t->r);
}

void put_str(struct text *t, struct value v)
{
    if (is_str(v))
        text_put(t, value_text(v));
    else if (v.kind != V_UNDEFINED)
        put_repr(t, v);
}

struct value value_to_str(struct run *r, struct value v)
{
    struct text t = {.r = r};
    if (is_str(v)) {
        v.flags &= (uint8_t)~FLAG_MARKUP;
        return v;
    }
    put_str(&t, v);
    return text_done(&t);
}

/* ---- pprint ---- */

/* pprint sorts the keys of dicts. */
static struct value sorted_dicts(struct run *r, struct value v)
{
    run_enter(r);
    if (v.kind == V_DICT) {
        struct dict *d = dict_new(r);
        uint32_t n = v.dict->n;
        struct value *keys = run_alloc(r, (n + 1) * sizeof *keys),
                     *vals = run_alloc(r, (n + 1) * sizeof *vals);
        for (uint32_t i = 0; i < n; i++) {
            keys[i] = v.dict->key[i];
            vals[i] = sorted_dicts(r, v.dict->val[i]);
        }
        list_sort(r, keys, vals, n, false);
        for (uint32_t i = 0; i < n; i++)
            dict_put(r, d, keys[i], vals[i]);
        v = value_dict(d);
    } else if (is_seq(v)) {
        struct list_maker m = {.r = r};
        for (uint32_t i = 0; i < v.list->n; i++)
            list_add(&m, sorted_dicts(r, v.list->at[i]));
        v = value_list(v.kind, list_done(&m));
    }
    run_leave(r);
    return v;
}

struct value pretty(struct run *r, struct value v)
{
    struct text t = {.r = r};
    put_repr(&t, sorted_dicts(r, v));
    struct value out = text_done(&t);
    if (text_count(out) > PRETTY_WIDTH && (is_str(v) || is_seq(v) || v.kind == V_DICT))
        fail(r, "pprint of more than a line is not supported");
    return out;
}

/* str methods that cut, join, strip and pad. */
#include "text/template/template_int.h"
#include <string.h>

static struct value marked(struct value v, struct value like)
{
    v.flags |= like.flags & FLAG_MARKUP;
    return v;
}

/* ---- strip ---- */

static struct value stripped(struct run *r, struct value *arg, bool left, bool right)
{
    struct str s = value_text(arg[0]);
    struct str cut = given_not_none(arg[1])
                         ? text_strip_set(r, s, want_str(r, arg[1], "strip: the argument"), left, right)
                         : text_strip(s, left, right);
    run_spend_bytes(r, s.n - cut.n);
    return text_sub(arg[0], (size_t)(cut.p - s.p), (size_t)(cut.p - s.p) + cut.n);
}

static struct value str_strip(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return stripped(r, arg, true, true);
}

static struct value str_lstrip(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return stripped(r, arg, true, false);
}

static struct value str_rstrip(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return stripped(r, arg, false, true);
}

/* ---- split ---- */

static void reverse(struct list_maker *m)
{
    for (uint32_t i = 0; i < m->n / 2; i++) {
        struct value swap = m->at[i];
        m->at[i] = m->at[m->n - 1 - i];
        m->at[m->n - 1 - i] = swap;
    }
}

static void split_at(struct list_maker *m, struct value s, struct str sep, int64_t max)
{
    size_t at = 0, hit;
    for (; max && (hit = str_find(value_text(s), sep, at)) != SIZE_MAX; max--, at = hit + sep.n)
        list_add(m, text_sub(s, at, hit));
    list_add(m, text_sub(s, at, s.n));
}

static void rsplit_at(struct list_maker *m, struct value s, struct str sep, int64_t max)
{
    size_t end = s.n;
    for (size_t i = s.n; max && i >= sep.n;) {
        if (memcmp(s.p + i - sep.n, sep.p, sep.n) != 0) {
            i--;
            continue;
        }
        list_add(m, text_sub(s, i, end));
        end = i -= sep.n;
        max--;
    }
    list_add(m, text_sub(s, 0, end));
    reverse(m);
}

static bool space_at(struct str s, size_t i, unsigned *n)
{
    return cp_is_space(text_cp(s, i, n));
}

static void split_space(struct list_maker *m, struct value v, int64_t max)
{
    struct str s = value_text(v);
    unsigned n;
    size_t i = 0;
    for (;; max--) {
        while (i < s.n && space_at(s, i, &n))
            i += n;
        size_t begin = i;
        if (i == s.n)
            return;
        if (max == 0) {
            list_add(m, text_sub(v, i, s.n));
            return;
        }
        while (i < s.n && !space_at(s, i, &n))
            i += n;
        list_add(m, text_sub(v, begin, i));
    }
}

static size_t back(struct str s, size_t i)
{
    do
        i--;
    while (i && ((unsigned char)s.p[i] & 0xC0) == 0x80);
    return i;
}

static void rsplit_space(struct list_maker *m, struct value v, int64_t max)
{
    struct str s = value_text(v);
    unsigned n;
    size_t i = s.n;
    for (;; max--) {
        while (i && space_at(s, back(s, i), &n))
            i = back(s, i);
        size_t end = i;
        if (i == 0)
            break;
        if (max == 0) {
            list_add(m, text_sub(v, 0, i));
            break;
        }
        while (i && !space_at(s, back(s, i), &n))
            i = back(s, i);
        list_add(m, text_sub(v, i, end));
    }
    reverse(m);
}

static struct value split(struct run *r, struct value *arg, bool from_right)
{
    struct list_maker m = {.r = r};
    int64_t max = given(arg[2]) ? want_int(r, arg[2], "split: maxsplit") : -1;
    run_spend(r, arg[0].n / 8);
    if (!given_not_none(arg[1])) {
        (from_right ? rsplit_space : split_space)(&m, arg[0], max);
    } else {
        struct str sep = want_str(r, arg[1], "split: the separator");
        if (sep.n == 0)
            fail(r, "empty separator");
        if (from_right)
            run_spend(r, (uint64_t)arg[0].n * (sep.n / 64));
        (from_right ? rsplit_at : split_at)(&m, arg[0], sep, max);
    }
    return value_list(V_LIST, list_done(&m));
}

static struct value str_split(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return split(r, arg, false);
}

static struct value str_rsplit(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return split(r, arg, true);
}

/* Length of a line end at i, or 0. */
static unsigned line_end(struct str s, size_t i)
{
    unsigned n;
    uint32_t cp = text_cp(s, i, &n);
    if (cp == '\r' && i + 1 < s.n && s.p[i + 1] == '\n')
        return 2;
    bool is =
        (cp >= 10 && cp <= 13) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
    return is ? n : 0;
}

struct value text_lines(struct run *r, struct value v, bool keep_ends)
{
    struct list_maker m = {.r = r};
    struct str s = value_text(v);
    size_t begin = 0;
    unsigned n;
    run_spend(r, s.n / 8);
    for (size_t i = 0; i < s.n;) {
        unsigned end = line_end(s, i);
        if (end) {
            list_add(&m, text_sub(v, begin, i + (keep_ends ? end : 0)));
            begin = i += end;
        } else {
            text_cp(s, i, &n);
            i += n;
        }
    }
    if (begin < s.n)
        list_add(&m, text_sub(v, begin, s.n));
    return value_list(V_LIST, list_done(&m));
}

static struct value str_splitlines(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return text_lines(r, arg[0], given(arg[1]) && value_true(r, arg[1]));
}

/* ---- join ---- */

static struct value str_join(struct run *r, struct value *arg, const struct call *c)
{
    struct text t = {.r = r};
    struct value item;
    bool first = true, markup = arg[0].flags & FLAG_MARKUP;
    (void)c;
    for (struct iter *it = iter_new(r, arg[1]); iter_next(r, it, &item); first = false) {
        if (!first)
            text_put(&t, value_text(arg[0]));
        if (markup)
            item = text_escape(r, item);
        text_put(&t, want_str(r, item, "join: an item"));
    }
    return marked(text_done(&t), arg[0]);
}

/* ---- pad ---- */

struct value text_pad(struct run *r, struct value s, int64_t width, struct value fill, enum pad_side side)
{
    struct text t = {.r = r};
    struct str with = given(fill) ? want_str(r, fill, "the fill character") : STR(" ");
    if (given(fill) && text_count(fill) != 1)
        fail(r, "The fill character must be exactly one character long");
    int64_t n, left = 0;
    value_len(r, s, &n);
    int64_t pad = width > n ? width - n : 0;
    if (side == PAD_LEFT)
        left = pad;
    if (side == PAD_BOTH)
        left = pad / 2 + (pad & width & 1);
    text_put_fill(&t, with, left);
    text_put(&t, value_text(s));
    text_put_fill(&t, with, pad - left);
    return marked(text_done(&t), s);
}

static struct value str_center(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return text_pad(r, arg[0], want_int(r, arg[1], "the width"), arg[2], PAD_BOTH);
}

static struct value str_ljust(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return text_pad(r, arg[0], want_int(r, arg[1], "the width"), arg[2], PAD_RIGHT);
}

static struct value str_rjust(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return text_pad(r, arg[0], want_int(r, arg[1], "the width"), arg[2], PAD_LEFT);
}

static struct value str_zfill(struct run *r, struct value *arg, const struct call *c)
{
    struct text t = {.r = r};
    struct str s = value_text(arg[0]);
    int64_t n;
    (void)c;
    value_len(r, arg[0], &n);
    size_t sign = s.n && (s.p[0] == '-' || s.p[0] == '+');
    text_put(&t, (struct str){s.p, sign});
    text_put_fill(&t, STR("0"), want_int(r, arg[1], "the width") - n);
    text_put(&t, (struct str){s.p + sign, s.n - sign});
    return marked(text_done(&t), arg[0]);
}

static struct value str_expandtabs(struct run *r, struct value *arg, const struct call *c)
{
    struct text t = {.r = r};
    struct str s = value_text(arg[0]);
    int64_t size = given(arg[1]) ? want_int(r, arg[1], "the tab size") : 8, column = 0;
    unsigned n;
    (void)c;
    for (size_t i = 0; i < s.n; i += n) {
        uint32_t cp = text_cp(s, i, &n);
        if (cp == '\t') {
            int64_t pad = size > 0 ? size - column % size : 0;
            text_put_fill(&t, STR(" "), pad);
            column += pad;
        } else {
            column = cp == '\n' || cp == '\r' ? 0 : column + 1;
            text_put(&t, (struct str){s.p + i, n});
        }
    }
    return marked(text_done(&t), arg[0]);
}

/* ---- format ---- */

static struct value str_format(struct run *r, struct value *arg, const struct call *c)
{
    return format_braces(r, arg[0], c);
}

static struct value str_format_map(struct run *r, struct value *arg, const struct call *c)
{
    if (c->n_arg != 2 || c->n_kw || arg[1].kind != V_DICT)
        fail(r, "format_map() takes one dict");
    const struct dict *d = arg[1].dict;
    struct call named = {.arg = arg, .n_arg = 1, .kw = run_alloc(r, (d->n + 1) * sizeof *named.kw)};
    for (uint32_t i = 0; i < d->n; i++)
        if (is_str(d->key[i]))
            named.kw[named.n_kw++] = (struct keyword){value_text(d->key[i]), d->val[i]};
    return format_braces(r, arg[0], &named);
}

const struct native methods_str[] = {
    {"strip", "self chars /", 1, str_strip},
    {"lstrip", "self chars /", 1, str_lstrip},
    {"rstrip", "self chars /", 1, str_rstrip},
    {"split", "self sep maxsplit", 1, str_split},
    {"rsplit", "self sep maxsplit", 1, str_rsplit},
    {"splitlines", "self keepends", 1, str_splitlines},
    {"join", "self iterable /", 2, str_join},
    {"center", "self width fillchar /", 2, str_center},
    {"ljust", "self width fillchar /", 2, str_ljust},
    {"rjust", "self width fillchar /", 2, str_rjust},
    {"zfill", "self width /", 2, str_zfill},
    {"expandtabs", "self tabsize", 1, str_expandtabs},
    {"format", NULL, 0, str_format},
    {"format_map", NULL, 0, str_format_map},
    {NULL, NULL, 0, NULL},
};

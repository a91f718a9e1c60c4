/* Filters for HTML and URLs, and the wrapping of lines. Rare in chat templates; what would need large tables
 * (links found in text, names of HTML entities, words broken at hyphens) is refused. */
#include "text/template/template_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER(name) static struct value name(struct run *r, struct value *arg, const struct call *c)
#define UNUSED       (void)r, (void)arg, (void)c

/* ---- striptags ---- */

static struct str without_tags(struct run *r, struct str s)
{
    struct text t = {.r = r};
    size_t pos = 0, tag, end;
    while ((tag = str_find(s, STR("<"), pos)) != SIZE_MAX) {
        bool comment = str_has_prefix((struct str){s.p + tag, s.n - tag}, STR("<!--"));
        end = comment ? str_find(s, STR("-->"), tag + 4) : str_find(s, STR(">"), tag);
        if (end == SIZE_MAX)
            break;
        text_put(&t, (struct str){s.p + pos, tag - pos});
        pos = end + (comment ? 3 : 1);
    }
    text_put(&t, (struct str){s.p + pos, s.n - pos});
    return value_text(text_done(&t));
}

/* One entity at "&": its bytes, or 0 when it is none. */
static size_t put_entity(struct text *t, struct str s)
{
    static const struct {
        const char *name, *text;
    } named[] = {{"&amp;", "&"},   {"&lt;", "<"},  {"&gt;", ">"},
                 {"&quot;", "\""}, {"&#39;", "'"}, {"&#34;", "\""}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (str_has_prefix(s, str_from(named[i].name))) {
            text_put(t, str_from(named[i].text));
            return strlen(named[i].name);
        }
    bool letter = s.n > 1 && (s.p[1] == '#' || ((s.p[1] | 32) >= 'a' && (s.p[1] | 32) <= 'z'));
    if (letter)
        fail(t->r, "striptags: rare HTML entities are not supported");
    return 0;
}

FILTER(filter_striptags)
{
    UNUSED;
    struct str s = without_tags(r, value_text(value_to_str(r, arg[0])));
    struct text flat = {.r = r}, t = {.r = r};
    bool gap = false;
    unsigned n;
    s = text_strip(s, true, true);
    for (size_t i = 0; i < s.n; i += n) {
        bool space = cp_is_space(text_cp(s, i, &n));
        if (!space && gap)
            text_put_char(&flat, ' ');
        if (!space)
            text_put(&flat, (struct str){s.p + i, n});
        gap = space;
    }
    s = value_text(text_done(&flat));
    for (size_t i = 0; i < s.n;) {
        size_t used = s.p[i] == '&' ? put_entity(&t, (struct str){s.p + i, s.n - i}) : 0;
        if (!used)
            text_put_char(&t, s.p[i]);
        i += used ? used : 1;
    }
    return text_done(&t);
}

/* ---- urls ---- */

static void put_quoted(struct text *t, struct value v, bool for_query)
{
    struct str s = value_text(value_to_str(t->r, v));
    char code[4];
    for (size_t i = 0; i < s.n; i++) {
        unsigned char b = (unsigned char)s.p[i];
        bool alnum = b < 128 && ((b >= '0' && b <= '9') || ((b | 32) >= 'a' && (b | 32) <= 'z'));
        if (alnum || (b && strchr("_.-~", b)) || (b == '/' && !for_query)) {
            text_put_char(t, (char)b);
        } else if (b == ' ' && for_query) {
            text_put_char(t, '+');
        } else {
            snprintf(code, sizeof code, "%%%02X", b);
            text_put(t, str_from(code));
        }
    }
}

FILTER(filter_urlencode)
{
    UNUSED;
    struct text t = {.r = r};
    struct value item, v = arg[0];
    if (is_str(v) || !iterable(v)) {
        put_quoted(&t, v, false);
        return text_done(&t);
    }
    if (v.kind == V_DICT)
        v = (struct value){.kind = V_VIEW, .view = VIEW_ITEMS, .dict = v.dict};
    for (struct iter *it = iter_new(r, v); iter_next(r, it, &item);) {
        const struct list *pair = list_of(r, item);
        if (pair->n != 2)
            fail(r, "urlencode: a query is made of pairs");
        if (t.n)
            text_put_char(&t, '&');
        put_quoted(&t, pair->at[0], true);
        text_put_char(&t, '=');
        put_quoted(&t, pair->at[1], true);
    }
    return text_done(&t);
}

FILTER(filter_urlize)
{
    UNUSED;
    fail(r, "urlize is not supported");
}

/* ---- xmlattr ---- */

static void check_attr_name(struct run *r, struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (strchr(" \t\n\r\f\v/>=", name.p[i]) && name.p[i])
            fail(r, "Invalid character in attribute name: '" STR_FMT "'", STR_ARG(name));
}

FILTER(filter_xmlattr)
{
    UNUSED;
    struct text t = {.r = r};
    bool autospace = !given(arg[1]) || value_true(r, arg[1]), first = true;
    if (arg[0].kind != V_DICT)
        fail(r, "xmlattr: a dict is needed, not '%s'", type_name(arg[0]));
    for (uint32_t i = 0; i < arg[0].dict->n; i++) {
        struct value key = arg[0].dict->key[i], v = arg[0].dict->val[i];
        if (v.kind == V_NONE || v.kind == V_UNDEFINED)
            continue;
        check_attr_name(r, want_str(r, key, "xmlattr: a key"));
        if (!first || autospace)
            text_put_char(&t, ' ');
        first = false;
        text_put(&t, value_text(text_escape(r, key)));
        text_put(&t, STR("=\""));
        text_put(&t, value_text(text_escape(r, v)));
        text_put_char(&t, '"');
    }
    return text_done(&t);
}

/* ---- wordwrap: Python's textwrap without hyphens ---- */

struct wrap {
    struct run *r;
    struct text out;
    struct str separator;
    int64_t width;
    bool break_long;
    bool any; /* something was written */
};

static bool is_wrap_space(char c)
{
    return c && strchr("\t\n\v\f\r ", c);
}

/* The run of spaces or of letters at i. */
static size_t chunk_length(struct str s, size_t i)
{
    size_t n = 1;
    while (i + n < s.n && is_wrap_space(s.p[i + n]) == is_wrap_space(s.p[i]))
        n++;
    return n;
}

static void put_wrapped(struct wrap *w, struct str line, bool keep_space)
{
    size_t end = line.n;
    while (!keep_space && end && is_wrap_space(line.p[end - 1]))
        end--;
    if (end == 0 && line.n)
        return;
    if (w->any)
        text_put(&w->out, w->separator);
    w->any = true;
    text_put(&w->out, (struct str){line.p, end});
}

/* Bytes of the first `n` letters at `at`. */
static size_t letters(struct value v, size_t at, int64_t n)
{
    return text_offset(text_sub(v, at, v.n), (size_t)n);
}

/* One line from `at` on; returns where it ends. *keep_space: textwrap cuts nothing off a full line's end in
 * front of a long word, because the last part of that line is then an empty piece of the word. */
static size_t wrap_line(struct wrap *w, struct value v, size_t at, bool *keep_space)
{
    struct str s = value_text(v);
    int64_t used = 0;
    *keep_space = false;
    while (at < s.n) {
        size_t n = chunk_length(s, at);
        int64_t count = (int64_t)text_count(text_sub(v, at, at + n));
        run_spend(w->r, n / 2);
        if (used + count > w->width) {
            bool is_long = count > w->width;
            *keep_space = is_long && w->break_long && used == w->width;
            if (is_long && w->break_long)
                return at + letters(v, at, w->width - used);
            return used ? at : at + n; /* a long word that stays whole has a line of its own */
        }
        used += count;
        at += n;
    }
    return at;
}

static void wrap_paragraph(struct wrap *w, struct value v)
{
    struct str s = value_text(v);
    bool keep_space;
    for (size_t at = 0; at < s.n;) {
        if (at && is_wrap_space(s.p[at]))
            at += chunk_length(s, at);
        if (at >= s.n)
            break;
        size_t end = wrap_line(w, v, at, &keep_space);
        run_step(w->r);
        put_wrapped(w, (struct str){s.p + at, end - at}, keep_space);
        at = end;
    }
}

FILTER(filter_wordwrap)
{
    UNUSED;
    struct wrap w = {.r = r,
                     .out = {.r = r},
                     .width = given(arg[1]) ? want_int(r, arg[1], "wordwrap: the width") : 79,
                     .break_long = !given(arg[2]) || value_true(r, arg[2]),
                     .separator =
                         given_not_none(arg[3]) ? want_str(r, arg[3], "wordwrap: the separator") : STR("\n")};
    bool hyphens = !given(arg[4]) || value_true(r, arg[4]);
    if (w.width <= 0)
        fail(r, "invalid width %lld (must be > 0)", (long long)w.width);
    want_str(r, arg[0], "wordwrap: the text");
    if (hyphens && memchr(arg[0].p, '-', arg[0].n))
        fail(r, "wordwrap of text with hyphens is not supported");
    struct value lines = text_lines(r, arg[0], false);
    for (uint32_t i = 0; i < lines.list->n; i++) {
        if (i)
            text_put(&w.out, w.separator);
        w.any = false;
        wrap_paragraph(&w, lines.list->at[i]);
    }
    return text_done(&w.out);
}

const struct native filters_markup[] = {
    {"striptags", "value", 1, filter_striptags},
    {"urlencode", "value", 1, filter_urlencode},
    {"urlize", NULL, 0, filter_urlize},
    {"xmlattr", "d autospace", 1, filter_xmlattr},
    {"wordwrap", "s width break_long_words wrapstring break_on_hyphens", 1, filter_wordwrap},
    {NULL, NULL, 0, NULL},
};

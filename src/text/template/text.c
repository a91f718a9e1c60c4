/* Strings by code points: counting, cutting, joining, stripping, slicing. A string that is ASCII is indexed
 * in constant time; others are walked, and pay for it in steps. */
#include "text/template/template_int.h"
#include <string.h>
#include <utf8proc.h>

/* ---- code points ---- */

uint32_t text_cp(struct str s, size_t i, unsigned *len)
{
    uint32_t cp = 0;
    *len = utf8_decode(s, i, &cp);
    BUG_ON(*len == 0); /* every string was checked when it came in */
    return cp;
}

size_t text_count(struct value s)
{
    return s.flags & FLAG_ASCII ? s.n : utf8_count(value_text(s));
}

size_t text_offset(struct value s, size_t index)
{
    if (s.flags & FLAG_ASCII)
        return index;
    size_t at = 0;
    while (at < s.n && index) {
        at++;
        while (at < s.n && ((unsigned char)s.p[at] & 0xC0) == 0x80)
            at++;
        index--;
    }
    return at;
}

bool cp_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || (cp >= 0x1C && cp <= 0x20) || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F ||
           cp == 0x3000;
}

static utf8proc_category_t category(uint32_t cp)
{
    return utf8proc_category((utf8proc_int32_t)cp);
}

bool cp_is_digit(uint32_t cp)
{
    return category(cp) == UTF8PROC_CATEGORY_ND;
}

bool cp_is_word(uint32_t cp)
{
    utf8proc_category_t k = category(cp);
    return cp == '_' || (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
           (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

bool cp_is_printable(uint32_t cp)
{
    utf8proc_category_t k = category(cp);
    return cp == ' ' ||
           !(k == UTF8PROC_CATEGORY_CN || k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF ||
             k == UTF8PROC_CATEGORY_CS || k == UTF8PROC_CATEGORY_CO || k == UTF8PROC_CATEGORY_ZL ||
             k == UTF8PROC_CATEGORY_ZP || k == UTF8PROC_CATEGORY_ZS);
}

/* ---- stripping ---- */

static bool in_set(struct run *r, uint32_t cp, struct str set)
{
    unsigned n;
    run_spend(r, set.n / 4 + 1);
    for (size_t i = 0; i < set.n; i += n)
        if (text_cp(set, i, &n) == cp)
            return true;
    return false;
}

/* Byte where the last code point of `s` begins. */
static size_t last_cp(struct str s)
{
    size_t at = s.n - 1;
    while (at && ((unsigned char)s.p[at] & 0xC0) == 0x80)
        at--;
    return at;
}

struct str text_strip(struct str s, bool left, bool right)
{
    unsigned n;
    while (left && s.n && cp_is_space(text_cp(s, 0, &n))) {
        s.p += n;
        s.n -= n;
    }
    while (right && s.n && cp_is_space(text_cp(s, last_cp(s), &n)))
        s.n -= n;
    return s;
}

struct str text_strip_set(struct run *r, struct str s, struct str set, bool left, bool right)
{
    unsigned n;
    while (left && s.n && in_set(r, text_cp(s, 0, &n), set)) {
        s.p += n;
        s.n -= n;
    }
    while (right && s.n && in_set(r, text_cp(s, last_cp(s), &n), set))
        s.n -= n;
    return s;
}

/* ---- building ---- */

static char *text_room(struct text *t, size_t n)
{
    run_spend_bytes(t->r, n);
    if (n > t->cap - t->n) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        while (cap - t->n < n)
            cap *= 2;
        char *p = run_alloc(t->r, cap);
        if (t->n)
            memcpy(p, t->p, t->n);
        t->p = p;
        t->cap = cap;
    }
    return t->p + t->n;
}

void text_put(struct text *t, struct str s)
{
    if (s.n)
        memcpy(text_room(t, s.n), s.p, s.n);
    t->n += s.n;
}

void text_put_char(struct text *t, char c)
{
    text_put(t, (struct str){&c, 1});
}

void text_put_cp(struct text *t, uint32_t cp)
{
    char c[4];
    text_put(t, (struct str){c, utf8_encode(cp, c)});
}

void text_put_fill(struct text *t, struct str fill, int64_t times)
{
    if (times <= 0 || fill.n == 0)
        return;
    if ((uint64_t)times > t->r->memory.max_bytes / fill.n)
        fail_memory(t->r);
    char *p = text_room(t, (size_t)times * fill.n);
    for (int64_t i = 0; i < times; i++)
        memcpy(p + (size_t)i * fill.n, fill.p, fill.n);
    t->n += (size_t)times * fill.n;
}

struct value text_done(const struct text *t)
{
    return value_str(t->r, (struct str){t->p ? t->p : "", t->n});
}

struct value text_sub(struct value s, size_t from, size_t to)
{
    struct value out = s;
    out.p = s.p + from;
    out.n = (uint32_t)(to - from);
    if (out.n <= 4 && text_is_ascii(value_text(out)))
        out.flags |= FLAG_ASCII;
    return out;
}

/* ---- joining ---- */

static struct value join2(struct run *r, struct value a, struct value b)
{
    struct text t = {.r = r};
    if (a.n == 0 || b.n == 0)
        return a.n ? a : b;
    if ((uint64_t)a.n + b.n > r->memory.max_bytes)
        fail_memory(r);
    char *p = text_room(&t, a.n + b.n);
    memcpy(p, a.p, a.n);
    memcpy(p + a.n, b.p, b.n);
    return (struct value){.kind = V_STR, .flags = a.flags & b.flags & FLAG_ASCII, .n = a.n + b.n, .p = p};
}

struct value text_escape(struct run *r, struct value v)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    if (is_str(v) && v.flags & FLAG_MARKUP)
        return v;
    struct value s = value_to_str(r, v);
    struct text t = {.r = r};
    size_t plain = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char *at = s.p[i] ? strchr(from, s.p[i]) : NULL;
        if (!at)
            continue;
        text_put(&t, (struct str){s.p + plain, i - plain});
        text_put(&t, str_from(to[at - from]));
        plain = i + 1;
    }
    if (plain) {
        text_put(&t, (struct str){s.p + plain, s.n - plain});
        s = text_done(&t);
    }
    s.flags |= FLAG_MARKUP;
    return s;
}

struct value text_soft(struct run *r, struct value v)
{
    return is_str(v) ? v : value_to_str(r, v);
}

struct value text_concat(struct run *r, struct value a, struct value b)
{
    if (!((a.flags | b.flags) & FLAG_MARKUP))
        return join2(r, a, b);
    struct value out = join2(r, text_escape(r, a), text_escape(r, b));
    out.flags |= FLAG_MARKUP;
    return out;
}

struct value text_repeat(struct run *r, struct value s, int64_t times)
{
    struct text t = {.r = r};
    text_put_fill(&t, value_text(s), times);
    struct value out = text_done(&t);
    out.flags |= s.flags & FLAG_MARKUP;
    return out;
}

/* ---- slices ---- */

static int64_t slice_bound(struct run *r, struct value v, int64_t n, int64_t low, int64_t high,
                           int64_t absent)
{
    if (!given_not_none(v))
        return absent;
    int64_t i = want_int(r, v, "a slice index");
    if (i < 0)
        i += n;
    return i < low ? low : i > high ? high : i;
}

static struct value slice_text(struct run *r, struct value v, int64_t start, int64_t step, int64_t count)
{
    struct text t = {.r = r};
    if (step == 1 || count <= 0) {
        size_t from = count > 0 ? text_offset(v, (size_t)start) : 0;
        struct value rest = text_sub(v, from, v.n);
        return text_sub(v, from, count > 0 ? from + text_offset(rest, (size_t)count) : from);
    }
    struct list_maker m = {.r = r};
    struct value c;
    if (!(v.flags & FLAG_ASCII))
        for (struct iter *it = iter_new(r, v); iter_next(r, it, &c);)
            list_add(&m, c);
    for (int64_t i = 0; i < count; i++)
        text_put(&t, v.flags & FLAG_ASCII ? (struct str){v.p + start + i * step, 1}
                                          : value_text(m.at[start + i * step]));
    c = text_done(&t);
    c.flags |= v.flags & FLAG_MARKUP;
    return c;
}

static struct value slice_range(struct run *r, const struct range *g, int64_t start, int64_t step,
                                int64_t count)
{
    struct range *out = run_alloc(r, sizeof *out);
    *out = (struct range){.start = g->start + start * g->step, .step = g->step * step, .n = count};
    out->stop = out->start + count * out->step;
    return (struct value){.kind = V_RANGE, .range = out};
}

struct value slice_get(struct run *r, struct value v, struct value start, struct value stop,
                       struct value step)
{
    int64_t n, by = given_not_none(step) ? want_int(r, step, "a slice step") : 1;
    if (v.kind == V_UNDEFINED)
        fail_undefined(r, v);
    if (!is_str(v) && !is_seq(v) && v.kind != V_RANGE)
        fail(r, "'%s' object cannot be sliced", type_name(v));
    value_len(r, v, &n);
    if (by == 0)
        fail(r, "slice step cannot be zero");
    if (by > INT32_MAX || by < -INT32_MAX)
        by = by > 0 ? INT32_MAX : -INT32_MAX;
    int64_t first = by > 0 ? slice_bound(r, start, n, 0, n, 0) : slice_bound(r, start, n, -1, n - 1, n - 1);
    int64_t end = by > 0 ? slice_bound(r, stop, n, 0, n, n) : slice_bound(r, stop, n, -1, n - 1, -1);
    int64_t count = by > 0 ? (end - first + by - 1) / by : (first - end - by - 1) / -by;
    if (count < 0)
        count = 0;
    if (is_str(v))
        return slice_text(r, v, first, by, count);
    if (v.kind == V_RANGE)
        return slice_range(r, v.range, first, by, count);
    struct list *out = run_alloc(r, sizeof *out);
    *out = (struct list){.n = (uint32_t)count};
    if (by == 1) {
        out->at = v.list->at + (count ? first : 0);
        return value_list(v.kind, out);
    }
    out->at = run_alloc(r, ((size_t)count + 1) * sizeof *out->at);
    run_spend(r, (uint64_t)count);
    for (int64_t i = 0; i < count; i++)
        out->at[i] = v.list->at[first + i * by];
    return value_list(v.kind, out);
}

struct value index_get(struct run *r, struct value v, int64_t i)
{
    int64_t n;
    value_len(r, v, &n);
    if (i < 0)
        i += n;
    if (i < 0 || i >= n)
        return MISSING;
    if (is_seq(v))
        return v.list->at[i];
    if (v.kind == V_RANGE)
        return value_int(v.range->start + i * v.range->step);
    size_t at = text_offset(v, (size_t)i);
    unsigned len;
    text_cp(value_text(v), at, &len);
    return text_sub(v, at, at + len);
}

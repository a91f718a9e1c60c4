/* str methods that look for something: find(), count(), startswith(), replace(), partition() and their like.
 * Positions are code points. */
#include "text/template/template_int.h"
#include <string.h>

/* The bytes [from, to) that start and end (both may be missing) cut out. False: start is behind the end. */
static bool window(struct run *r, struct value s, struct value start, struct value end, size_t *from,
                   size_t *to)
{
    int64_t n, a = 0, b;
    value_len(r, s, &n);
    b = n;
    if (given_not_none(start))
        a = want_int(r, start, "start");
    if (given_not_none(end))
        b = want_int(r, end, "end");
    a = a < 0 ? (a + n < 0 ? 0 : a + n) : a;
    b = b < 0 ? (b + n < 0 ? 0 : b + n) : b > n ? n : b;
    if (a > n || a > b)
        return false;
    *from = text_offset(s, (size_t)a);
    *to = text_offset(s, (size_t)b);
    return true;
}

static size_t find_last(struct str s, struct str needle)
{
    for (size_t i = s.n - needle.n + 1; needle.n <= s.n && i-- > 0;)
        if (memcmp(s.p + i, needle.p, needle.n) == 0)
            return i;
    return SIZE_MAX;
}

static int64_t position(struct run *r, struct value *arg, bool last)
{
    size_t from, to;
    struct str needle = want_str(r, arg[1], "what is looked for");
    run_spend(r, arg[0].n / 8);
    if (!window(r, arg[0], arg[2], arg[3], &from, &to))
        return -1;
    struct str s = {arg[0].p + from, to - from};
    if (last && needle.n)
        run_spend(r, s.n * (needle.n / 64));
    size_t at = last ? find_last(s, needle) : str_find(s, needle, 0);
    if (at == SIZE_MAX)
        return -1;
    return (int64_t)text_count(text_sub(arg[0], 0, from + at));
}

static struct value str_find_method(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return value_int(position(r, arg, false));
}

static struct value str_rfind(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return value_int(position(r, arg, true));
}

static struct value must_be_found(struct run *r, int64_t at)
{
    if (at < 0)
        fail(r, "substring not found");
    return value_int(at);
}

static struct value str_index(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return must_be_found(r, position(r, arg, false));
}

static struct value str_rindex(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return must_be_found(r, position(r, arg, true));
}

static struct value str_count(struct run *r, struct value *arg, const struct call *c)
{
    size_t from, to;
    int64_t n = 0;
    struct str needle = want_str(r, arg[1], "what is counted");
    (void)c;
    run_spend(r, arg[0].n / 8);
    if (!window(r, arg[0], arg[2], arg[3], &from, &to))
        return value_int(0);
    struct value cut = text_sub(arg[0], from, to);
    if (needle.n == 0)
        return value_int((int64_t)text_count(cut) + 1);
    for (size_t at = 0; (at = str_find(value_text(cut), needle, at)) != SIZE_MAX; at += needle.n)
        n++;
    return value_int(n);
}

static bool has_end(struct run *r, struct value s, struct value end, bool suffix)
{
    struct str text = want_str(r, end, suffix ? "endswith: the argument" : "startswith: the argument");
    return suffix ? str_has_suffix(value_text(s), text) : str_has_prefix(value_text(s), text);
}

static struct value with_end(struct run *r, struct value *arg, bool suffix)
{
    size_t from, to;
    if (!window(r, arg[0], arg[2], arg[3], &from, &to))
        return value_bool(false);
    struct value s = text_sub(arg[0], from, to);
    if (arg[1].kind != V_TUPLE)
        return value_bool(has_end(r, s, arg[1], suffix));
    for (uint32_t i = 0; i < arg[1].list->n; i++)
        if (has_end(r, s, arg[1].list->at[i], suffix))
            return value_bool(true);
    return value_bool(false);
}

static struct value str_startswith(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return with_end(r, arg, false);
}

static struct value str_endswith(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return with_end(r, arg, true);
}

/* An empty `old` stands before every code point and at the end. */
static void replace_nothing(struct text *t, struct str s, struct str by, int64_t count)
{
    unsigned n;
    size_t i = 0;
    for (; i < s.n && count; i += n, count--) {
        text_cp(s, i, &n);
        text_put(t, by);
        text_put(t, (struct str){s.p + i, n});
    }
    text_put(t, (struct str){s.p + i, s.n - i});
    if (count)
        text_put(t, by);
}

struct value text_replace(struct run *r, struct value s, struct str old, struct str by, int64_t count)
{
    struct text t = {.r = r};
    struct str from = value_text(s);
    size_t at = 0, hit;
    if (count < 0)
        count = INT64_MAX;
    run_spend(r, from.n / 8);
    if (old.n == 0) {
        run_spend(r, from.n);
        replace_nothing(&t, from, by, count);
    } else {
        if (count == 0 || str_find(from, old, 0) == SIZE_MAX)
            return s;
        for (; count && (hit = str_find(from, old, at)) != SIZE_MAX; count--, at = hit + old.n) {
            run_step(r);
            text_put(&t, (struct str){from.p + at, hit - at});
            text_put(&t, by);
        }
        text_put(&t, (struct str){from.p + at, from.n - at});
    }
    struct value out = text_done(&t);
    out.flags |= s.flags & FLAG_MARKUP;
    return out;
}

static struct value str_replace(struct run *r, struct value *arg, const struct call *c)
{
    struct str old = want_str(r, arg[1], "replace: the first argument");
    struct value by = arg[0].flags & FLAG_MARKUP ? text_escape(r, arg[2]) : arg[2];
    (void)c;
    return text_replace(r, arg[0], old, want_str(r, by, "replace: the second argument"),
                        given(arg[3]) ? want_int(r, arg[3], "replace: the count") : -1);
}

static struct value parts3(struct run *r, struct value a, struct value b, struct value c)
{
    struct list *l = run_alloc(r, sizeof *l);
    *l = (struct list){.n = 3, .at = run_alloc(r, 3 * sizeof *l->at)};
    l->at[0] = a;
    l->at[1] = b;
    l->at[2] = c;
    return value_list(V_TUPLE, l);
}

static struct value parted(struct run *r, struct value *arg, bool last)
{
    struct str needle = want_str(r, arg[1], "the separator");
    struct value s = arg[0], empty = text_sub(s, 0, 0);
    if (needle.n == 0)
        fail(r, "empty separator");
    run_spend(r, s.n / 8);
    if (last)
        run_spend(r, s.n * (needle.n / 64));
    size_t at = last ? find_last(value_text(s), needle) : str_find(value_text(s), needle, 0);
    if (at == SIZE_MAX)
        return last ? parts3(r, empty, empty, s) : parts3(r, s, empty, empty);
    return parts3(r, text_sub(s, 0, at), text_sub(s, at, at + needle.n), text_sub(s, at + needle.n, s.n));
}

static struct value str_partition(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return parted(r, arg, false);
}

static struct value str_rpartition(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return parted(r, arg, true);
}

static struct value str_removeprefix(struct run *r, struct value *arg, const struct call *c)
{
    struct str end = want_str(r, arg[1], "removeprefix: the argument");
    (void)c;
    return str_has_prefix(value_text(arg[0]), end) ? text_sub(arg[0], end.n, arg[0].n) : arg[0];
}

static struct value str_removesuffix(struct run *r, struct value *arg, const struct call *c)
{
    struct str end = want_str(r, arg[1], "removesuffix: the argument");
    (void)c;
    return str_has_suffix(value_text(arg[0]), end) ? text_sub(arg[0], 0, arg[0].n - end.n) : arg[0];
}

const struct native methods_find[] = {
    {"find", "self sub start end /", 2, str_find_method},
    {"rfind", "self sub start end /", 2, str_rfind},
    {"index", "self sub start end /", 2, str_index},
    {"rindex", "self sub start end /", 2, str_rindex},
    {"count", "self sub start end /", 2, str_count},
    {"startswith", "self prefix start end /", 2, str_startswith},
    {"endswith", "self suffix start end /", 2, str_endswith},
    {"replace", "self old new count /", 3, str_replace},
    {"partition", "self sep /", 2, str_partition},
    {"rpartition", "self sep /", 2, str_rpartition},
    {"removeprefix", "self prefix /", 2, str_removeprefix},
    {"removesuffix", "self suffix /", 2, str_removesuffix},
    {NULL, NULL, 0, NULL},
};

/* Filters on text. Those that have a str method of the same name are that method. */
#include "text/template/template_int.h"
#include <string.h>

#define FILTER(name) static struct value name(struct run *r, struct value *arg, const struct call *c)
#define UNUSED       (void)r, (void)arg, (void)c

static struct value call_str_method(struct run *r, const char *name, struct value *arg, uint32_t n)
{
    arg[0] = text_soft(r, arg[0]);
    struct value self = arg[0];
    struct value m = get_own_attr(r, self, str_from(name));
    return call_value(r, m, &(struct call){.arg = arg + 1, .n_arg = n - 1});
}

FILTER(filter_upper)
{
    UNUSED;
    return call_str_method(r, "upper", arg, 1);
}

FILTER(filter_lower)
{
    UNUSED;
    return call_str_method(r, "lower", arg, 1);
}

FILTER(filter_capitalize)
{
    UNUSED;
    return call_str_method(r, "capitalize", arg, 1);
}

FILTER(filter_trim)
{
    UNUSED;
    return call_str_method(r, "strip", arg, given(arg[1]) ? 2 : 1);
}

FILTER(filter_center)
{
    UNUSED;
    return text_pad(r, text_soft(r, arg[0]), given(arg[1]) ? want_int(r, arg[1], "center: the width") : 80,
                    MISSING, PAD_BOTH);
}

FILTER(filter_replace)
{
    UNUSED;
    struct value s = value_to_str(r, arg[0]), old = value_to_str(r, arg[1]), by = value_to_str(r, arg[2]);
    return text_replace(r, s, value_text(old), value_text(by),
                        given_not_none(arg[3]) ? want_int(r, arg[3], "replace: the count") : -1);
}

static bool is_title_break(uint32_t cp)
{
    return cp_is_space(cp) || (cp < 128 && cp && strchr("-({[<", (int)cp));
}

/* Runs of breaks and of other letters, each with its first letter raised and the rest lowered. */
FILTER(filter_title)
{
    UNUSED;
    struct value s = text_soft(r, arg[0]);
    struct text t = {.r = r};
    unsigned n;
    s.flags &= (uint8_t)~FLAG_MARKUP;
    for (size_t i = 0; i < s.n;) {
        size_t begin = i, first;
        bool breaks = is_title_break(text_cp(value_text(s), i, &n));
        first = i + n;
        while (i < s.n && is_title_break(text_cp(value_text(s), i, &n)) == breaks)
            i += n;
        struct value head = text_sub(s, begin, first), tail = text_sub(s, first, i);
        text_put(&t, value_text(call_str_method(r, "upper", &head, 1)));
        text_put(&t, value_text(call_str_method(r, "lower", &tail, 1)));
    }
    return text_done(&t);
}

FILTER(filter_indent)
{
    UNUSED;
    bool first = given(arg[2]) && value_true(r, arg[2]), blank = given(arg[3]) && value_true(r, arg[3]);
    struct value by = !given(arg[1]) ? value_ascii("    ")
                      : is_str(arg[1])
                          ? arg[1]
                          : text_repeat(r, value_ascii(" "), want_int(r, arg[1], "indent: the width"));
    if (arg[0].kind == V_UNDEFINED)
        fail_undefined(r, arg[0]);
    want_str(r, arg[0], "indent: the text");
    uint8_t markup = arg[0].flags & FLAG_MARKUP;
    by.flags |= markup;
    struct value newline = value_ascii("\n");
    newline.flags |= markup;
    struct value lines = text_lines(r, text_concat(r, arg[0], newline), false);
    struct text t = {.r = r};
    for (uint32_t i = 0; i < lines.list->n; i++) {
        struct value line = lines.list->at[i];
        if (i)
            text_put_char(&t, '\n');
        if (i ? blank || line.n : first)
            text_put(&t, value_text(by));
        text_put(&t, value_text(line));
    }
    struct value out = text_done(&t);
    out.flags |= markup;
    return out;
}

FILTER(filter_truncate)
{
    UNUSED;
    struct value s = arg[0], end = given(arg[3]) ? arg[3] : value_ascii("...");
    int64_t length = given(arg[1]) ? want_int(r, arg[1], "truncate: the length") : 255, n, n_end;
    int64_t leeway = given_not_none(arg[4]) ? want_int(r, arg[4], "truncate: the leeway") : 5;
    if (!value_len(r, end, &n_end) || length < n_end)
        fail(r, "truncate: expected length >= %lld, got %lld", (long long)n_end, (long long)length);
    if (leeway < 0)
        fail(r, "truncate: expected leeway >= 0, got %lld", (long long)leeway);
    if (!value_len(r, s, &n))
        fail(r, "object of type '%s' has no len()", type_name(s));
    if (n <= length + leeway)
        return s;
    struct value cut = slice_get(r, s, NONE, value_int(length - n_end), NONE);
    if (!(given(arg[2]) && value_true(r, arg[2]))) {
        struct value args[] = {cut, value_ascii(" "), value_int(1)};
        want_str(r, cut, "truncate: the text");
        cut = call_str_method(r, "rsplit", args, 3).list->at[0];
    }
    return op_binary(r, OP_ADD, cut, end);
}

FILTER(filter_wordcount)
{
    UNUSED;
    struct value s = text_soft(r, arg[0]);
    bool in_word = false;
    int64_t words = 0;
    unsigned n;
    run_spend(r, s.n / 8);
    for (size_t i = 0; i < s.n; i += n) {
        bool word = cp_is_word(text_cp(value_text(s), i, &n));
        words += word && !in_word;
        in_word = word;
    }
    return value_int(words);
}

FILTER(filter_string)
{
    UNUSED;
    return text_soft(r, arg[0]);
}

FILTER(filter_safe)
{
    UNUSED;
    struct value s = text_soft(r, arg[0]);
    s.flags |= FLAG_MARKUP;
    return s;
}

FILTER(filter_escape)
{
    UNUSED;
    return text_escape(r, arg[0]);
}

FILTER(filter_forceescape)
{
    UNUSED;
    return text_escape(r, value_to_str(r, arg[0]));
}

FILTER(filter_format)
{
    UNUSED;
    if (c->n_arg == 0)
        fail(r, "format needs a text");
    if (c->n_arg > 1 && c->n_kw)
        fail(r, "can't handle positional and keyword arguments at the same time");
    struct value s = text_soft(r, c->arg[0]);
    if (c->n_kw) {
        struct dict *d = dict_new(r);
        for (uint32_t i = 0; i < c->n_kw; i++)
            dict_put(r, d, value_str(r, c->kw[i].name), c->kw[i].value);
        return format_percent(r, s, value_dict(d));
    }
    struct list *l = run_alloc(r, sizeof *l);
    *l = (struct list){.n = c->n_arg - 1, .at = c->arg + 1};
    return format_percent(r, s, value_list(V_TUPLE, l));
}

const struct native filters_text[] = {
    {"upper", "s", 1, filter_upper},
    {"lower", "s", 1, filter_lower},
    {"capitalize", "s", 1, filter_capitalize},
    {"title", "s", 1, filter_title},
    {"trim", "value chars", 1, filter_trim},
    {"center", "value width", 1, filter_center},
    {"replace", "s old new count", 3, filter_replace},
    {"indent", "s width first blank", 1, filter_indent},
    {"truncate", "s length killwords end leeway", 1, filter_truncate},
    {"wordcount", "s", 1, filter_wordcount},
    {"string", "s", 1, filter_string},
    {"safe", "value", 1, filter_safe},
    {"e", "s /", 1, filter_escape},
    {"escape", "s /", 1, filter_escape},
    {"forceescape", "value", 1, filter_forceescape},
    {"format", NULL, 1, filter_format},
    {NULL, NULL, 0, NULL},
};

/* Values as Python has them: kinds, truth, equality, order, membership, lists. Recursion over nested values
 * is bounded by run_enter(). */
#include "text/template/template_int.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- making values ---- */

bool text_is_ascii(struct str s)
{
    size_t i = 0;
    for (uint64_t w; i + 8 <= s.n; i += 8) {
        memcpy(&w, s.p + i, 8);
        if (w & 0x8080808080808080u)
            return false;
    }
    for (; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 128)
            return false;
    return true;
}

struct value value_str(struct run *r, struct str s)
{
    run_spend_bytes(r, s.n);
    if (s.n > UINT32_MAX)
        fail_limit(r, "a string of more than 4 GB");
    return (struct value){
        .kind = V_STR, .flags = text_is_ascii(s) ? FLAG_ASCII : 0, .n = (uint32_t)s.n, .p = s.p};
}

struct value value_str_copy(struct run *r, struct str s)
{
    char *p = run_alloc(r, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    return value_str(r, (struct str){p, s.n});
}

struct value value_ascii(const char *literal)
{
    return (struct value){.kind = V_STR, .flags = FLAG_ASCII, .n = (uint32_t)strlen(literal), .p = literal};
}

struct value value_list(enum value_kind kind, const struct list *l)
{
    return (struct value){.kind = (uint8_t)kind, .list = l};
}

struct value value_pair(struct run *r, struct value a, struct value b)
{
    struct list *l = run_alloc(r, sizeof *l);
    l->n = 2;
    l->at = run_alloc(r, 2 * sizeof *l->at);
    l->at[0] = a;
    l->at[1] = b;
    return value_list(V_TUPLE, l);
}

struct value value_undefined(struct run *r, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct undefined *u = run_alloc(r, sizeof *u);
    u->text = arena_strdup(&r->memory, str_from(text));
    if (!u->text.p)
        fail_memory(r);
    return (struct value){.kind = V_UNDEFINED, .undefined = u};
}

static struct value number_from_json(struct run *r, const struct json_val *v)
{
    int64_t i;
    uint64_t u;
    double f = 0;
    if (json_kind(v) == JSON_REAL) {
        json_f64(v, &f);
        return value_float(f);
    }
    if (json_i64(v, &i))
        return value_int(i);
    if (!json_u64(v, &u))
        fail(r, "a number that is none");
    return (struct value){.kind = V_UINT, .u = u};
}

static struct value container_from_json(struct run *r, const struct json_val *v)
{
    struct json_iter it = json_iter(v);
    const struct json_val *item;
    struct str key;
    if (it.is_object) {
        struct dict *d = dict_new(r);
        while ((item = json_next(&it, &key)))
            dict_put(r, d, value_str(r, key), value_from_json(r, item));
        return value_dict(d);
    }
    struct list_maker m = {.r = r};
    while ((item = json_next(&it, NULL)))
        list_add(&m, value_from_json(r, item));
    return value_list(V_LIST, list_done(&m));
}

struct value value_from_json(struct run *r, const struct json_val *v)
{
    struct str s = {0};
    bool b = false;
    run_step(r);
    switch (json_kind(v)) {
    case JSON_NULL:
        return NONE;
    case JSON_BOOL:
        json_bool(v, &b);
        return value_bool(b);
    case JSON_STRING:
        json_str(v, &s);
        return value_str(r, s);
    case JSON_ARRAY:
    case JSON_OBJECT:
        return container_from_json(r, v);
    default:
        return number_from_json(r, v);
    }
}

/* ---- asking values ---- */

const char *type_name(struct value v)
{
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    static const char *const names[] = {
        [V_MISSING] = "missing",
        [V_UNDEFINED] = "Undefined",
        [V_NONE] = "NoneType",
        [V_BOOL] = "bool",
        [V_INT] = "int",
        [V_UINT] = "int",
        [V_FLOAT] = "float",
        [V_STR] = "str",
        [V_LIST] = "list",
        [V_TUPLE] = "tuple",
        [V_DICT] = "dict",
        [V_VIEW] = "dict view",
        [V_RANGE] = "range",
        [V_ITER] = "generator",
        [V_NAMESPACE] = "Namespace",
        [V_MACRO] = "Macro",
        [V_METHOD] = "builtin_function_or_method",
        [V_GLOBAL] = "function",
        [V_LOOP] = "LoopContext",
        [V_CYCLER] = "Cycler",
        [V_JOINER] = "Joiner",
    };
    if (v.kind == V_VIEW)
        return views[v.view];
    if (v.kind == V_ITER)
        return v.iter->type;
    return v.kind == V_STR && v.flags & FLAG_MARKUP ? "Markup" : names[v.kind];
}

bool value_len(struct run *r, struct value v, int64_t *n)
{
    switch (v.kind) {
    case V_UNDEFINED:
        *n = 0;
        return true;
    case V_STR:
        run_spend_bytes(r, v.flags & FLAG_ASCII ? 0 : v.n);
        *n = (int64_t)text_count(v);
        return true;
    case V_LIST:
    case V_TUPLE:
        *n = v.list->n;
        return true;
    case V_DICT:
    case V_VIEW:
        *n = v.dict->n;
        return true;
    case V_RANGE:
        *n = v.range->n;
        return true;
    case V_LOOP:
        *n = loop_attr(r, v.loop, STR("length")).i;
        return true;
    default:
        return false;
    }
}

bool value_true(struct run *r, struct value v)
{
    int64_t n;
    switch (v.kind) {
    case V_UNDEFINED:
    case V_NONE:
        return false;
    case V_BOOL:
    case V_INT:
        return v.i != 0;
    case V_FLOAT:
        return v.f != 0;
    case V_STR:
        return v.n != 0;
    default:
        return !value_len(r, v, &n) || n != 0;
    }
}

double value_as_float(struct value v)
{
    return v.kind == V_FLOAT ? v.f : (double)v.i;
}

static bool dicts_equal(struct run *r, const struct dict *a, const struct dict *b)
{
    struct value other;
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!dict_get(r, b, a->key[i], &other) || !value_equal(r, a->val[i], other))
            return false;
    return true;
}

static bool ranges_equal(const struct range *a, const struct range *b)
{
    return a->n == b->n && (a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step)));
}

bool value_same(struct value a, struct value b)
{
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case V_NONE:
    case V_UNDEFINED:
        return true;
    case V_FLOAT:
        return a.f == b.f;
    case V_STR:
        return a.n == b.n && (a.p == b.p || memcmp(a.p, b.p, a.n) == 0);
    case V_METHOD:
        return a.method->native == b.method->native && value_same(a.method->self, b.method->self);
    case V_VIEW:
        return a.dict == b.dict && a.view == b.view;
    default:
        return a.u == b.u;
    }
}

static bool items_equal(struct run *r, const struct list *a, const struct list *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!value_equal(r, a->at[i], b->at[i]))
            return false;
    return true;
}

bool value_equal(struct run *r, struct value a, struct value b)
{
    bool equal;
    run_step(r);
    if (is_number(a) && is_number(b))
        return is_int(a) && is_int(b) ? a.i == b.i : value_compare(r, a, b, "==") == 0;
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case V_STR:
        if (a.n != b.n)
            return false;
        run_spend_bytes(r, a.n);
        return a.n == 0 || memcmp(a.p, b.p, a.n) == 0;
    case V_LIST:
    case V_TUPLE:
    case V_DICT:
        run_enter(r);
        equal = a.kind == V_DICT ? dicts_equal(r, a.dict, b.dict) : items_equal(r, a.list, b.list);
        run_leave(r);
        return equal;
    case V_RANGE:
        return ranges_equal(a.range, b.range);
    default:
        return value_same(a, b);
    }
}

static int compare_texts(struct run *r, struct value a, struct value b)
{
    uint32_t n = a.n < b.n ? a.n : b.n;
    run_spend_bytes(r, n);
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? (order > 0) - (order < 0) : (a.n > b.n) - (a.n < b.n);
}

static int compare_items(struct run *r, struct value a, struct value b, const char *op)
{
    const struct list *x = a.list, *y = b.list;
    for (uint32_t i = 0; i < x->n && i < y->n; i++)
        if (!value_equal(r, x->at[i], y->at[i]))
            return value_compare(r, x->at[i], y->at[i], op);
    return (x->n > y->n) - (x->n < y->n);
}

int value_compare(struct run *r, struct value a, struct value b, const char *op)
{
    run_step(r);
    if (is_int(a) && is_int(b))
        return (a.i > b.i) - (a.i < b.i);
    if (is_number(a) && is_number(b)) {
        long double x = a.kind == V_FLOAT ? (long double)a.f : (long double)a.i;
        long double y = b.kind == V_FLOAT ? (long double)b.f : (long double)b.i;
        return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
    }
    if (is_str(a) && is_str(b))
        return compare_texts(r, a, b);
    if (is_seq(a) && a.kind == b.kind) {
        run_enter(r);
        int order = compare_items(r, a, b, op);
        run_leave(r);
        return order;
    }
    if (a.kind == V_UNDEFINED || b.kind == V_UNDEFINED)
        fail_undefined(r, a.kind == V_UNDEFINED ? a : b);
    fail(r, "'%s' not supported between instances of '%s' and '%s'", op, type_name(a), type_name(b));
}

bool value_less(struct run *r, struct value a, struct value b)
{
    return value_compare(r, a, b, "<") == -1;
}

static bool range_contains(const struct range *g, int64_t i)
{
    if (g->n == 0 || (g->step > 0 ? i < g->start || i >= g->stop : i > g->start || i <= g->stop))
        return false;
    return (i - g->start) % g->step == 0;
}

static bool view_contains(struct run *r, struct value view, struct value item)
{
    struct value v;
    if (view.view == VIEW_KEYS)
        return dict_get(r, view.dict, item, &v);
    if (view.view == VIEW_ITEMS)
        return item.kind == V_TUPLE && item.list->n == 2 && dict_get(r, view.dict, item.list->at[0], &v) &&
               value_equal(r, v, item.list->at[1]);
    for (uint32_t i = 0; i < view.dict->n; i++)
        if (value_equal(r, view.dict->val[i], item))
            return true;
    return false;
}

bool value_contains(struct run *r, struct value container, struct value item)
{
    struct value v;
    switch (container.kind) {
    case V_STR:
        if (!is_str(item))
            fail(r, "'in <string>' requires string as left operand, not %s", type_name(item));
        run_spend_bytes(r, container.n);
        return str_find(value_text(container), value_text(item), 0) != SIZE_MAX;
    case V_DICT:
        return dict_get(r, container.dict, item, &v);
    case V_VIEW:
        return view_contains(r, container, item);
    case V_RANGE:
        if (is_int(item))
            return range_contains(container.range, item.i);
        if (item.kind == V_FLOAT)
            return item.f == floor(item.f) && fabs(item.f) < 1e15 &&
                   range_contains(container.range, (int64_t)item.f);
        return false;
    case V_LIST:
    case V_TUPLE:
        for (uint32_t i = 0; i < container.list->n; i++)
            if (value_equal(r, container.list->at[i], item))
                return true;
        return false;
    default:
        break;
    }
    if (!iterable(container))
        fail(r, "argument of type '%s' is not iterable", type_name(container));
    for (struct iter *it = iter_new(r, container); iter_next(r, it, &v);)
        if (value_equal(r, v, item))
            return true;
    return false;
}

/* ---- wanting a kind ---- */

int64_t want_int(struct run *r, struct value v, const char *what)
{
    if (v.kind == V_UNDEFINED)
        fail_undefined(r, v);
    if (!is_int(v))
        fail(r, "%s must be an integer, not '%s'", what, type_name(v));
    return v.i;
}

struct str want_str(struct run *r, struct value v, const char *what)
{
    if (!is_str(v))
        fail(r, "%s must be a string, not '%s'", what, type_name(v));
    return value_text(v);
}

/* ---- lists ---- */

void list_add(struct list_maker *m, struct value v)
{
    run_step(m->r);
    if (m->n == m->cap) {
        uint32_t cap = m->cap ? m->cap * 2 : 8;
        struct value *more = run_alloc(m->r, (size_t)cap * sizeof *more);
        if (m->n)
            memcpy(more, m->at, m->n * sizeof *more);
        m->at = more;
        m->cap = cap;
    }
    m->at[m->n++] = v;
}

const struct list *list_done(const struct list_maker *m)
{
    struct list *l = run_alloc(m->r, sizeof *l);
    *l = (struct list){.n = m->n, .at = m->at};
    return l;
}

const struct list *list_of(struct run *r, struct value v)
{
    if (is_seq(v))
        return v.list;
    struct list_maker m = {.r = r};
    struct value item;
    for (struct iter *it = iter_new(r, v); iter_next(r, it, &item);)
        list_add(&m, item);
    return list_done(&m);
}

struct value list_at(struct value seq, uint32_t i)
{
    return seq.list->at[i];
}

struct sort_item {
    struct value key, item;
};

static void merge_runs(struct run *r, const struct sort_item *from, struct sort_item *to, uint32_t n_left,
                       uint32_t n)
{
    uint32_t a = 0, b = n_left;
    for (uint32_t i = 0; i < n; i++) {
        bool take_right = a == n_left || (b < n && value_less(r, from[b].key, from[a].key));
        to[i] = take_right ? from[b++] : from[a++];
    }
}

/* Bottom-up merge sort; a stable reverse sort is the sort of the reversed list, reversed. */
void list_sort(struct run *r, struct value *keys, struct value *items, uint32_t n, bool reverse)
{
    struct sort_item *from = run_alloc(r, (n + 1) * sizeof *from), *to = run_alloc(r, (n + 1) * sizeof *to);
    for (uint32_t i = 0; i < n; i++)
        from[reverse ? n - 1 - i : i] = (struct sort_item){keys[i], items[i]};
    for (uint64_t width = 1; width < n; width *= 2) {
        for (uint64_t at = 0; at < n; at += 2 * width) {
            uint32_t left = (uint32_t)(n - at < width ? n - at : width);
            uint32_t both = (uint32_t)(n - at < 2 * width ? n - at : 2 * width);
            merge_runs(r, from + at, to + at, left, both);
        }
        struct sort_item *swap = from;
        from = to;
        to = swap;
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct sort_item *s = &from[reverse ? n - 1 - i : i];
        keys[i] = s->key;
        items[i] = s->item;
    }
}

/* value.name and value[key] by the rules of jinja2's immutable sandbox: methods of Python's types, items, and
 * undefined values that remember why. What the sandbox hides (names with underscores, methods that change a
 * value) is undefined too, and calling it is an error. */
#include "text/template/template_int.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Methods that the sandbox hides because they change the receiver. */
static const char *const changes_list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                           "sort",   "extend", "remove", NULL};
static const char *const changes_dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};

/* What Python has and this interpreter does not. */
static const char *const missing_str[] = {"encode", "maketrans", "translate", "isidentifier", NULL};
static const char *const missing_number[] = {"to_bytes", "from_bytes", "as_integer_ratio",
                                             "hex",      "fromhex",    NULL};

static const struct native *const no_methods[] = {NULL};
static const struct native *const str_methods[] = {methods_str, methods_case, methods_find, NULL};
static const struct native *const seq_methods[] = {methods_seq, NULL};
static const struct native *const dict_methods[] = {methods_dict, NULL};
static const struct native *const number_methods[] = {methods_number, NULL};
static const struct native *const loop_methods[] = {methods_loop, NULL};
static const struct native *const other_methods[] = {methods_other, NULL};

static bool listed(const char *const names[], struct str name)
{
    for (; names && *names; names++)
        if (str_eq(name, str_from(*names)))
            return true;
    return false;
}

struct type_row {
    const struct native *const *methods;
    const char *const *unsafe, *const *missing;
};

static struct type_row type_row(struct value v)
{
    switch (v.kind) {
    case V_STR:
        return (struct type_row){str_methods, NULL, missing_str};
    case V_LIST:
        return (struct type_row){seq_methods, changes_list, NULL};
    case V_TUPLE:
    case V_RANGE:
        return (struct type_row){seq_methods, NULL, NULL};
    case V_DICT:
        return (struct type_row){dict_methods, changes_dict, NULL};
    case V_BOOL:
    case V_INT:
    case V_FLOAT:
        return (struct type_row){number_methods, NULL, missing_number};
    case V_LOOP:
        return (struct type_row){loop_methods, NULL, NULL};
    case V_CYCLER:
    case V_GLOBAL:
        return (struct type_row){other_methods, NULL, NULL};
    default:
        return (struct type_row){no_methods, NULL, NULL};
    }
}

/* Does a row of a shared table belong to this value's own type? */
static bool fits(struct value v, const struct native *m)
{
    struct str name = str_from(m->name);
    if (v.kind == V_TUPLE || v.kind == V_RANGE)
        return !str_eq(name, STR("copy"));
    if (v.kind == V_CYCLER)
        return !str_eq(name, STR("fromkeys"));
    if (v.kind == V_GLOBAL)
        return str_eq(name, STR("fromkeys")) && strcmp(v.native->name, "dict") == 0;
    if (v.kind == V_INT || v.kind == V_BOOL)
        return !str_eq(name, STR("is_integer"));
    if (v.kind == V_FLOAT)
        return !str_eq(name, STR("bit_length")) && !str_eq(name, STR("bit_count"));
    return true;
}

static struct value method_of(struct run *r, struct value v, struct str name)
{
    const struct type_row row = type_row(v);
    for (const struct native *const *table = row.methods; *table; table++) {
        const struct native *m = native_find(*table, name);
        if (!m || !fits(v, m))
            continue;
        struct method *bound = run_alloc(r, sizeof *bound);
        *bound = (struct method){v, m};
        return (struct value){.kind = V_METHOD, .method = bound};
    }
    if (listed(row.missing, name))
        fail(r, "the method %s() of '%s' is not supported", name.p, type_name(v));
    return MISSING;
}

static struct value hidden(struct run *r, struct value v, struct str name)
{
    struct value u = value_undefined(r, "access to attribute '" STR_FMT "' of '%s' object is unsafe.",
                                     STR_ARG(name), type_name(v));
    u.flags |= FLAG_UNSAFE;
    return u;
}

/* The underscored names that every object of Python has. */
static bool is_object_attr(struct str name)
{
    static const char *const names[] = {"__class__",
                                        "__delattr__",
                                        "__dir__",
                                        "__doc__",
                                        "__eq__",
                                        "__format__",
                                        "__ge__",
                                        "__getattribute__",
                                        "__gt__",
                                        "__hash__",
                                        "__init__",
                                        "__le__",
                                        "__lt__",
                                        "__ne__",
                                        "__new__",
                                        "__reduce__",
                                        "__reduce_ex__",
                                        "__repr__",
                                        "__setattr__",
                                        "__sizeof__",
                                        "__str__",
                                        "__subclasshook__",
                                        "__init_subclass__",
                                        "__getstate__",
                                        "__len__",
                                        "__iter__",
                                        "__getitem__",
                                        "__contains__",
                                        "__dict__",
                                        "__module__",
                                        "__call__",
                                        "__globals__",
                                        "__code__",
                                        "__mro__",
                                        "__base__",
                                        "__subclasses__",
                                        "__add__",
                                        "__mul__",
                                        "__mod__",
                                        NULL};
    return str_has_prefix(name, STR("__")) && listed(names, name);
}

static struct value number_attr(struct value v, struct str name)
{
    if (str_eq(name, STR("real")))
        return v.kind == V_FLOAT ? v : value_int(v.i);
    if (str_eq(name, STR("imag")))
        return v.kind == V_FLOAT ? value_float(0) : value_int(0);
    if (v.kind != V_FLOAT && str_eq(name, STR("numerator")))
        return value_int(v.i);
    if (v.kind != V_FLOAT && str_eq(name, STR("denominator")))
        return value_int(1);
    return MISSING;
}

static struct value cycler_attr(struct value v, struct str name)
{
    if (str_eq(name, STR("current")))
        return v.cycler->items->at[v.cycler->pos];
    if (str_eq(name, STR("pos")))
        return value_int(v.cycler->pos);
    return str_eq(name, STR("items")) ? value_list(V_TUPLE, v.cycler->items) : MISSING;
}

static struct value range_attr(const struct range *g, struct str name)
{
    if (str_eq(name, STR("start")))
        return value_int(g->start);
    if (str_eq(name, STR("stop")))
        return value_int(g->stop);
    return str_eq(name, STR("step")) ? value_int(g->step) : MISSING;
}

/* Attributes that are values, not methods. */
static struct value data_attr(struct run *r, struct value v, struct str name)
{
    struct value out;
    switch (v.kind) {
    case V_NAMESPACE:
        return dict_get_text(r, &v.ns->attrs, name, &out) ? out : MISSING;
    case V_LOOP:
        return loop_attr(r, v.loop, name);
    case V_MACRO:
        return macro_attr(r, v.macro, name);
    case V_CYCLER:
        return cycler_attr(v, name);
    case V_RANGE:
        return range_attr(v.range, name);
    case V_BOOL:
    case V_INT:
    case V_FLOAT:
        return number_attr(v, name);
    case V_TUPLE:
        if (v.flags & FLAG_GROUP && str_eq(name, STR("grouper")))
            return v.list->at[0];
        return v.flags & FLAG_GROUP && str_eq(name, STR("list")) ? v.list->at[1] : MISSING;
    default:
        return MISSING;
    }
}

struct value get_own_attr(struct run *r, struct value v, struct str name)
{
    struct value out = data_attr(r, v, name);
    if (given(out))
        return out;
    if (v.kind != V_NAMESPACE && is_object_attr(name))
        return hidden(r, v, name);
    if (listed(type_row(v).unsafe, name))
        return hidden(r, v, name);
    return method_of(r, v, name);
}

static const char *object_name(struct value v, char out[64])
{
    if (v.kind == V_NONE)
        return "None";
    int n = snprintf(out, 64, "%s object", type_name(v));
    return n > 0 ? out : "object";
}

static struct value no_attr(struct run *r, struct value v, struct str name)
{
    char of[64];
    return value_undefined(r, "'%s' has no attribute '" STR_FMT "'", object_name(v, of), STR_ARG(name));
}

struct value get_attr(struct run *r, struct value v, struct str name)
{
    struct value out;
    run_step(r);
    if (v.kind == V_UNDEFINED)
        fail_undefined(r, v);
    if (v.kind == V_DICT && name.n && name.p[0] != '_' && !native_find(methods_dict, name) &&
        !listed(changes_dict, name))
        return dict_get_text(r, v.dict, name, &out) ? out : no_attr(r, v, name);
    out = get_own_attr(r, v, name);
    if (given(out))
        return out;
    if (v.kind == V_DICT && dict_get_text(r, v.dict, name, &out))
        return out;
    return no_attr(r, v, name);
}

/* v[key] of Python; V_MISSING: TypeError or LookupError. */
static struct value subscript(struct run *r, struct value v, struct value key)
{
    struct value out;
    if (v.kind == V_DICT) {
        if (key.kind == V_LIST || key.kind == V_DICT)
            return MISSING;
        return dict_get(r, v.dict, key, &out) ? out : MISSING;
    }
    if ((is_str(v) || is_seq(v) || v.kind == V_RANGE) && is_int(key)) {
        run_spend_bytes(r, is_str(v) && !(v.flags & FLAG_ASCII) ? v.n * 8ull : 0);
        return index_get(r, v, key.i);
    }
    return MISSING;
}

struct value get_item(struct run *r, struct value v, struct value key)
{
    char of[64];
    run_step(r);
    if (v.kind == V_UNDEFINED)
        fail_undefined(r, v);
    struct value out = subscript(r, v, key);
    if (given(out))
        return out;
    if (is_str(key)) {
        out = get_own_attr(r, v, value_text(key));
        return given(out) ? out : no_attr(r, v, value_text(key));
    }
    struct text t = {.r = r};
    if (is_number(key) || key.kind == V_NONE || is_seq(key))
        put_repr(&t, key);
    return value_undefined(r, "%s has no element " STR_FMT, object_name(v, of),
                           STR_ARG(((struct str){t.p ? t.p : "", t.n})));
}

static struct value path_part(struct run *r, struct value v, struct str part, struct value dflt)
{
    int64_t i;
    bool digits = part.n > 0;
    for (size_t k = 0; k < part.n; k++)
        digits &= part.p[k] >= '0' && part.p[k] <= '9';
    v = get_item(r, v, digits && str_to_i64(part, &i) ? value_int(i) : value_str(r, part));
    return v.kind == V_UNDEFINED && given_not_none(dflt) ? dflt : v;
}

struct value get_path(struct run *r, struct value v, struct value path, struct value dflt)
{
    if (!given_not_none(path))
        return v;
    if (!is_str(path)) {
        v = get_item(r, v, path);
        return v.kind == V_UNDEFINED && given_not_none(dflt) ? dflt : v;
    }
    struct str s = value_text(path);
    for (;;) {
        size_t dot = str_find(s, STR("."), 0);
        v = path_part(r, v, (struct str){s.p, dot == SIZE_MAX ? s.n : dot}, dflt);
        if (dot == SIZE_MAX)
            return v;
        s = (struct str){s.p + dot + 1, s.n - dot - 1};
    }
}

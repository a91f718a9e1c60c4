/* Tests: what stands behind `is`. */
#include "text/template/template_int.h"
#include <string.h>

#define TEST(name) static struct value name(struct run *r, struct value *arg, const struct call *c)
#define UNUSED     (void)r, (void)arg, (void)c

TEST(test_odd)
{
    UNUSED;
    return value_bool(value_equal(r, op_binary(r, OP_MOD, arg[0], value_int(2)), value_int(1)));
}

TEST(test_even)
{
    UNUSED;
    return value_bool(value_equal(r, op_binary(r, OP_MOD, arg[0], value_int(2)), value_int(0)));
}

TEST(test_divisibleby)
{
    UNUSED;
    return value_bool(value_equal(r, op_binary(r, OP_MOD, arg[0], arg[1]), value_int(0)));
}

TEST(test_defined)
{
    UNUSED;
    return value_bool(arg[0].kind != V_UNDEFINED);
}

TEST(test_undefined)
{
    UNUSED;
    return value_bool(arg[0].kind == V_UNDEFINED);
}

TEST(test_filter)
{
    UNUSED;
    return value_bool(is_str(arg[0]) && filter_find(value_text(arg[0])));
}

TEST(test_test)
{
    UNUSED;
    return value_bool(is_str(arg[0]) && test_find(value_text(arg[0])));
}

TEST(test_none)
{
    UNUSED;
    return value_bool(arg[0].kind == V_NONE);
}

TEST(test_boolean)
{
    UNUSED;
    return value_bool(arg[0].kind == V_BOOL);
}

TEST(test_false)
{
    UNUSED;
    return value_bool(arg[0].kind == V_BOOL && !arg[0].i);
}

TEST(test_true)
{
    UNUSED;
    return value_bool(arg[0].kind == V_BOOL && arg[0].i);
}

TEST(test_integer)
{
    UNUSED;
    return value_bool(arg[0].kind == V_INT || arg[0].kind == V_UINT);
}

TEST(test_float)
{
    UNUSED;
    return value_bool(arg[0].kind == V_FLOAT);
}

static struct value ask_text(struct run *r, struct value v, const char *question)
{
    v = value_to_str(r, v);
    return native_call(r, native_find(methods_case, str_from(question)),
                       &(struct call){.arg = &v, .n_arg = 1});
}

TEST(test_lower)
{
    UNUSED;
    return ask_text(r, arg[0], "islower");
}

TEST(test_upper)
{
    UNUSED;
    return ask_text(r, arg[0], "isupper");
}

TEST(test_string)
{
    UNUSED;
    return value_bool(is_str(arg[0]));
}

TEST(test_mapping)
{
    UNUSED;
    return value_bool(arg[0].kind == V_DICT);
}

TEST(test_number)
{
    UNUSED;
    return value_bool(is_number(arg[0]) || arg[0].kind == V_UINT);
}

TEST(test_sequence)
{
    UNUSED;
    uint8_t k = arg[0].kind;
    return value_bool(k == V_UNDEFINED || k == V_STR || k == V_LIST || k == V_TUPLE || k == V_DICT ||
                      k == V_RANGE);
}

TEST(test_iterable)
{
    UNUSED;
    return value_bool(iterable(arg[0]) || arg[0].kind == V_LOOP);
}

TEST(test_callable)
{
    UNUSED;
    uint8_t k = arg[0].kind;
    return value_bool(k == V_UNDEFINED || k == V_METHOD || k == V_GLOBAL || k == V_MACRO || k == V_LOOP ||
                      k == V_JOINER);
}

/* Identity in CPython is certain for singletons and containers only. */
TEST(test_sameas)
{
    UNUSED;
    struct value a = arg[0], b = arg[1];
    if (a.kind != b.kind)
        return value_bool(false);
    switch (a.kind) {
    case V_NONE:
    case V_BOOL:
    case V_LIST:
    case V_TUPLE:
    case V_DICT:
    case V_NAMESPACE:
    case V_MACRO:
    case V_GLOBAL:
        return value_bool(a.u == b.u);
    case V_INT:
        if (a.i != b.i)
            return value_bool(false);
        if (a.i >= -5 && a.i <= 256)
            return value_bool(true);
        break;
    default:
        if (!value_equal(r, a, b))
            return value_bool(false);
    }
    fail(r, "sameas of equal %s values is not supported: it depends on Python's memory", type_name(a));
}

TEST(test_escaped)
{
    UNUSED;
    return value_bool(is_str(arg[0]) && arg[0].flags & FLAG_MARKUP);
}

TEST(test_in)
{
    UNUSED;
    return value_bool(value_contains(r, arg[1], arg[0]));
}

#define COMPARISON(name, op)                                                                                 \
    TEST(name)                                                                                               \
    {                                                                                                        \
        UNUSED;                                                                                              \
        return value_bool(op_compare(r, op, arg[0], arg[1]));                                                \
    }
COMPARISON(test_eq, OP_EQ)
COMPARISON(test_ne, OP_NE)
COMPARISON(test_lt, OP_LT)
COMPARISON(test_le, OP_LE)
COMPARISON(test_gt, OP_GT)
COMPARISON(test_ge, OP_GE)

const struct native tests_table[] = {
    {"odd", "value", 1, test_odd},
    {"even", "value", 1, test_even},
    {"divisibleby", "value num", 2, test_divisibleby},
    {"defined", "value", 1, test_defined},
    {"undefined", "value", 1, test_undefined},
    {"filter", "value", 1, test_filter},
    {"test", "value", 1, test_test},
    {"none", "value", 1, test_none},
    {"boolean", "value", 1, test_boolean},
    {"false", "value", 1, test_false},
    {"true", "value", 1, test_true},
    {"integer", "value", 1, test_integer},
    {"float", "value", 1, test_float},
    {"lower", "value", 1, test_lower},
    {"upper", "value", 1, test_upper},
    {"string", "value", 1, test_string},
    {"mapping", "value", 1, test_mapping},
    {"number", "value", 1, test_number},
    {"sequence", "value", 1, test_sequence},
    {"iterable", "value", 1, test_iterable},
    {"callable", "value /", 1, test_callable},
    {"sameas", "value other", 2, test_sameas},
    {"escaped", "value", 1, test_escaped},
    {"in", "value seq", 2, test_in},
    {"==", "a b /", 2, test_eq},
    {"eq", "a b /", 2, test_eq},
    {"equalto", "a b /", 2, test_eq},
    {"!=", "a b /", 2, test_ne},
    {"ne", "a b /", 2, test_ne},
    {">", "a b /", 2, test_gt},
    {"gt", "a b /", 2, test_gt},
    {"greaterthan", "a b /", 2, test_gt},
    {"ge", "a b /", 2, test_ge},
    {">=", "a b /", 2, test_ge},
    {"<", "a b /", 2, test_lt},
    {"lt", "a b /", 2, test_lt},
    {"lessthan", "a b /", 2, test_lt},
    {"<=", "a b /", 2, test_le},
    {"le", "a b /", 2, test_le},
    {NULL, NULL, 0, NULL},
};

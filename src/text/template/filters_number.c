/* Filters on numbers. */
#include "text/template/template_int.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER(name) static struct value name(struct run *r, struct value *arg, const struct call *c)
#define UNUSED       (void)r, (void)arg, (void)c

FILTER(filter_abs)
{
    UNUSED;
    struct value v = arg[0];
    if (v.kind == V_FLOAT)
        return value_float(fabs(v.f));
    if (v.kind == V_UINT)
        return v;
    if (!is_int(v))
        fail(r, "bad operand type for abs(): '%s'", type_name(v));
    return v.i < 0 ? op_negate(r, v) : value_int(v.i);
}

static struct value truncated(struct run *r, double f)
{
    if (!(fabs(f) < 9.2e18))
        fail(r, "a float that is no 64-bit integer");
    return value_int((int64_t)f);
}

FILTER(filter_int)
{
    UNUSED;
    struct value v = arg[0], dflt = given(arg[1]) ? arg[1] : value_int(0);
    if (v.kind == V_UNDEFINED)
        fail_undefined(r, v);
    if (is_int(v))
        return value_int(v.i);
    if (v.kind == V_UINT)
        return v;
    if (v.kind == V_FLOAT)
        return isnan(v.f) ? dflt : truncated(r, v.f);
    if (!is_str(v))
        return dflt;
    struct value i =
        parse_int_text(r, value_text(v), given(arg[2]) ? (int)want_int(r, arg[2], "int: the base") : 10);
    if (given(i))
        return i;
    struct value f = parse_float_text(value_text(v));
    return given(f) && isfinite(f.f) ? truncated(r, f.f) : dflt;
}

FILTER(filter_float)
{
    UNUSED;
    struct value v = arg[0], dflt = given(arg[1]) ? arg[1] : value_float(0);
    if (v.kind == V_UNDEFINED)
        fail_undefined(r, v);
    if (is_number(v))
        return value_float(value_as_float(v));
    if (v.kind == V_UINT)
        return value_float((double)v.u);
    struct value f = is_str(v) ? parse_float_text(value_text(v)) : MISSING;
    return given(f) ? f : dflt;
}

/* ---- round ---- */

/* To the nearest multiple of 10 ** -digits, halves to even: exact, by way of decimal digits. */
static struct value round_float(struct run *r, double f, int64_t digits)
{
    char text[700];
    if (!isfinite(f) || digits > 300)
        return value_float(f);
    if (digits < -308)
        return value_float(copysign(0, f));
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, f);
        double rounded = strtod(text, NULL);
        if (!isfinite(rounded))
            fail(r, "rounded value too large to represent");
        return value_float(rounded);
    }
    double unit = pow(10, (double)-digits);
    return value_float(nearbyint(f / unit) * unit);
}

static struct value round_int(struct run *r, int64_t i, int64_t digits)
{
    int64_t unit = 1;
    if (digits >= 0)
        return value_int(i);
    if (digits < -18)
        return value_int(0);
    for (; digits; digits++)
        unit *= 10;
    int64_t rest = op_binary(r, OP_MOD, value_int(i), value_int(unit)).i, down = i - rest;
    bool up = rest * 2 > unit || (rest * 2 == unit && (down / unit) % 2);
    return up ? op_binary(r, OP_ADD, value_int(down), value_int(unit)) : value_int(down);
}

FILTER(filter_round)
{
    UNUSED;
    struct value v = arg[0], digits = given(arg[1]) ? arg[1] : value_int(0);
    struct str method = given(arg[2]) ? want_str(r, arg[2], "round: the method") : STR("common");
    bool ceiling = str_eq(method, STR("ceil"));
    if (!ceiling && !str_eq(method, STR("floor")) && !str_eq(method, STR("common")))
        fail(r, "method must be common, ceil or floor");
    if (v.kind == V_UNDEFINED)
        fail_undefined(r, v);
    if (!is_number(v))
        fail(r, "type %s doesn't define __round__ method", type_name(v));
    int64_t n = want_int(r, digits, "round: the precision");
    if (str_eq(method, STR("common")))
        return v.kind == V_FLOAT ? round_float(r, v.f, n) : round_int(r, v.i, n);
    struct value unit = op_binary(r, OP_POW, value_int(10), value_int(n));
    struct value scaled = op_binary(r, OP_MUL, v, unit);
    if (scaled.kind == V_FLOAT)
        scaled = truncated(r, (ceiling ? ceil : floor)(scaled.f));
    return op_binary(r, OP_DIV, scaled, unit);
}

/* ---- filesizeformat ---- */

FILTER(filter_filesizeformat)
{
    UNUSED;
    static const char *const decimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    static const char *const binary[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
    bool is_binary = given(arg[1]) && value_true(r, arg[1]);
    double base = is_binary ? 1024 : 1000, unit = base * base;
    char text[400];
    struct value v = is_str(arg[0]) ? parse_float_text(value_text(arg[0])) : arg[0];
    if (v.kind == V_UNDEFINED)
        fail_undefined(r, v);
    if (!is_number(v))
        fail(r, "filesizeformat: not a number");
    double bytes = value_as_float(v);
    if (bytes == 1)
        return value_ascii("1 Byte");
    if (bytes < base) {
        snprintf(text, sizeof text, "%lld Bytes", (long long)truncated(r, bytes).i);
        return value_str_copy(r, str_from(text));
    }
    if (isnan(bytes))
        return value_ascii(is_binary ? "nan YiB" : "nan YB");
    size_t i = 0;
    for (; i < 7 && bytes >= unit; i++)
        unit *= base;
    snprintf(text, sizeof text, "%.1f %s", base * bytes / unit, (is_binary ? binary : decimal)[i]);
    return value_str_copy(r, str_from(text));
}

const struct native filters_number[] = {
    {"abs", "x /", 1, filter_abs},
    {"int", "value default base", 1, filter_int},
    {"float", "value default", 1, filter_float},
    {"round", "value precision method", 1, filter_round},
    {"filesizeformat", "value binary", 1, filter_filesizeformat},
    {NULL, NULL, 0, NULL},
};

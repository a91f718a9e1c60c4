/* Operators with Python's meaning. Integers are 64 bits wide here: a result beyond that is an error, never
 * another number. */
#include "text/template/template_int.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *op_symbol(enum operator op)
{
    static const char *const symbols[] = {
        "+", "-", "*", "/", "//", "%", "** or pow()", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};
    return symbols[op];
}

static _Noreturn void fail_operands(struct run *r, enum operator op, struct value a, struct value b)
{
    if (a.kind == V_UNDEFINED || b.kind == V_UNDEFINED)
        fail_undefined(r, a.kind == V_UNDEFINED ? a : b);
    if (a.kind == V_UINT || b.kind == V_UINT)
        fail(r, "computing with an integer beyond 64 bits");
    fail(r, "unsupported operand type(s) for %s: '%s' and '%s'", op_symbol(op), type_name(a), type_name(b));
}

static _Noreturn void fail_overflow(struct run *r)
{
    fail(r, "the result is an integer beyond 64 bits");
}

/* ---- numbers ---- */

static struct value int_power(struct run *r, int64_t base, int64_t exponent)
{
    int64_t out = 1;
    if (exponent < 0) {
        if (base == 0)
            fail(r, "0.0 cannot be raised to a negative power");
        return value_float(pow((double)base, (double)exponent));
    }
    if (base == 0 || base == 1)
        return value_int(exponent ? base : 1);
    if (base == -1)
        return value_int(exponent % 2 ? -1 : 1);
    for (; exponent; exponent--)
        if (__builtin_mul_overflow(out, base, &out))
            fail_overflow(r);
    return value_int(out);
}

static struct value int_divide(struct run *r, enum operator op, int64_t a, int64_t b)
{
    if (b == 0)
        fail(r, op == OP_DIV ? "division by zero" : "integer division or modulo by zero");
    if (op == OP_DIV)
        return value_float((double)((long double)a / (long double)b));
    if (b == -1) {
        if (op == OP_MOD)
            return value_int(0);
        if (a == INT64_MIN)
            fail_overflow(r);
        return value_int(-a);
    }
    int64_t quotient = a / b, rest = a % b;
    if (rest && (rest < 0) != (b < 0)) {
        quotient--;
        rest += b;
    }
    return value_int(op == OP_MOD ? rest : quotient);
}

static struct value int_binary(struct run *r, enum operator op, int64_t a, int64_t b)
{
    int64_t out;
    bool overflow;
    switch (op) {
    case OP_ADD:
        overflow = __builtin_add_overflow(a, b, &out);
        break;
    case OP_SUB:
        overflow = __builtin_sub_overflow(a, b, &out);
        break;
    case OP_MUL:
        overflow = __builtin_mul_overflow(a, b, &out);
        break;
    case OP_POW:
        return int_power(r, a, b);
    default:
        return int_divide(r, op, a, b);
    }
    if (overflow)
        fail_overflow(r);
    return value_int(out);
}

static struct value float_divide(struct run *r, enum operator op, double a, double b)
{
    if (b == 0)
        fail(r, op == OP_DIV   ? "float division by zero"
                : op == OP_MOD ? "float modulo"
                               : "float floor division by zero");
    if (op == OP_DIV)
        return value_float(a / b);
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0)) {
        rest += b;
        quotient -= 1;
    } else if (rest == 0) {
        rest = copysign(0, b);
    }
    if (op == OP_MOD)
        return value_float(rest);
    if (quotient == 0)
        return value_float(copysign(0, a / b));
    double whole = floor(quotient);
    return value_float(quotient - whole > 0.5 ? whole + 1 : whole);
}

static struct value float_binary(struct run *r, enum operator op, double a, double b)
{
    switch (op) {
    case OP_ADD:
        return value_float(a + b);
    case OP_SUB:
        return value_float(a - b);
    case OP_MUL:
        return value_float(a * b);
    case OP_POW:
        if (a == 0 && b < 0)
            fail(r, "0.0 cannot be raised to a negative power");
        if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
            fail(r, "complex numbers are not supported");
        if (isfinite(a) && isfinite(b) && isinf(pow(a, b)))
            fail(r, "(34, 'Numerical result out of range')");
        return value_float(pow(a, b));
    default:
        return float_divide(r, op, a, b);
    }
}

/* ---- sequences ---- */

static struct value seq_add(struct run *r, struct value a, struct value b)
{
    struct list *l = run_alloc(r, sizeof *l);
    size_t n = (size_t)a.list->n + b.list->n;
    if (n > UINT32_MAX)
        fail_limit(r, "a list of more than 4 G values");
    run_spend(r, n / 4);
    *l = (struct list){.n = (uint32_t)n, .at = run_alloc(r, (n + 1) * sizeof *l->at)};
    if (a.list->n)
        memcpy(l->at, a.list->at, a.list->n * sizeof *l->at);
    if (b.list->n)
        memcpy(l->at + a.list->n, b.list->at, b.list->n * sizeof *l->at);
    return value_list(a.kind, l);
}

static struct value seq_repeat(struct run *r, struct value a, int64_t times)
{
    struct list *l = run_alloc(r, sizeof *l);
    size_t n;
    if (times < 0)
        times = 0;
    if (__builtin_mul_overflow((size_t)a.list->n, (size_t)times, &n) ||
        n > r->memory.max_bytes / sizeof *l->at)
        fail_memory(r);
    run_spend(r, n / 4);
    *l = (struct list){.n = (uint32_t)n, .at = run_alloc(r, (n + 1) * sizeof *l->at)};
    for (size_t i = 0; i < n; i++)
        l->at[i] = a.list->at[i % a.list->n];
    return value_list(a.kind, l);
}

static bool repeat(struct run *r, struct value a, struct value b, struct value *out)
{
    if (is_int(a) && !is_int(b)) {
        struct value swap = a;
        a = b;
        b = swap;
    }
    if (!is_int(b) || (!is_str(a) && !is_seq(a)))
        return false;
    *out = is_str(a) ? text_repeat(r, a, b.i) : seq_repeat(r, a, b.i);
    return true;
}

struct value op_binary(struct run *r, enum operator op, struct value a, struct value b)
{
    struct value out;
    if (is_int(a) && is_int(b))
        return int_binary(r, op, a.i, b.i);
    if (is_number(a) && is_number(b))
        return float_binary(r, op, value_as_float(a), value_as_float(b));
    if (op == OP_ADD && is_str(a) && is_str(b))
        return text_concat(r, a, b);
    if (op == OP_ADD && is_seq(a) && a.kind == b.kind)
        return seq_add(r, a, b);
    if (op == OP_MOD && is_str(a))
        return format_percent(r, a, b);
    if (op == OP_MUL && repeat(r, a, b, &out))
        return out;
    fail_operands(r, op, a, b);
}

struct value op_plus(struct run *r, struct value v)
{
    if (is_int(v))
        return value_int(v.i);
    if (v.kind == V_UNDEFINED)
        fail_undefined(r, v);
    if (v.kind != V_FLOAT && v.kind != V_UINT)
        fail(r, "bad operand type for unary +: '%s'", type_name(v));
    return v;
}

struct value op_negate(struct run *r, struct value v)
{
    if (v.kind == V_FLOAT)
        return value_float(-v.f);
    if (v.kind == V_UNDEFINED)
        fail_undefined(r, v);
    if (!is_int(v))
        fail(r, "bad operand type for unary -: '%s'", type_name(v));
    if (v.i == INT64_MIN)
        fail_overflow(r);
    return value_int(-v.i);
}

bool op_compare(struct run *r, enum operator op, struct value a, struct value b)
{
    int order;
    switch (op) {
    case OP_EQ:
        return value_equal(r, a, b);
    case OP_NE:
        return !value_equal(r, a, b);
    case OP_IN:
        return value_contains(r, b, a);
    case OP_NOT_IN:
        return !value_contains(r, b, a);
    default:
        order = value_compare(r, a, b, op_symbol(op));
    }
    if (order == 2)
        return false;
    return op == OP_LT ? order < 0 : op == OP_LE ? order <= 0 : op == OP_GT ? order > 0 : order >= 0;
}

/* ---- numbers from text ---- */

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
}

/* Takes "0x" and its like away when it fits the base. */
static bool take_prefix(struct str *s, int base)
{
    char letter = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : 0;
    if (!letter || s->n < 2 || s->p[0] != '0' || (s->p[1] | 32) != letter)
        return false;
    s->p += 2;
    s->n -= 2;
    return true;
}

struct value parse_int_text(struct run *r, struct str s, int base)
{
    int64_t out = 0;
    if (base < 2 || base > 36)
        fail(r, "an int() base that is not from 2 to 36 is not supported");
    s = text_strip(s, true, true);
    bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
        s.p++;
        s.n--;
    }
    bool after_digit = take_prefix(&s, base); /* "0x_1" is a number */
    if (s.n == 0)
        return MISSING;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_' && after_digit && i + 1 < s.n) {
            after_digit = false;
            continue;
        }
        int d = digit_value(s.p[i]);
        if (d >= base)
            return MISSING;
        after_digit = true;
        if (__builtin_mul_overflow(out, (int64_t)base, &out) ||
            __builtin_add_overflow(out, (int64_t)(negative ? -d : d), &out))
            fail_overflow(r);
    }
    return after_digit ? value_int(out) : MISSING;
}

/* inf, infinity and nan in any case; 0: none of them. */
static double special_float(struct str s)
{
    bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
        s.p++;
        s.n--;
    }
    if (str_eq_nocase(s, STR("inf")) || str_eq_nocase(s, STR("infinity")))
        return negative ? -INFINITY : INFINITY;
    return str_eq_nocase(s, STR("nan")) ? NAN : 0;
}

struct value parse_float_text(struct str s)
{
    char text[512];
    size_t n = 0;
    s = text_strip(s, true, true);
    double special = special_float(s);
    if (special != 0)
        return value_float(special);
    for (size_t i = 0; i < s.n; i++) {
        bool between = i && i + 1 < s.n && digit_value(s.p[i - 1]) < 10 && digit_value(s.p[i + 1]) < 10;
        if (s.p[i] == '_' && between)
            continue;
        if (!s.p[i] || !strchr("0123456789+-.eE", s.p[i]) || n == sizeof text - 1)
            return MISSING;
        text[n++] = s.p[i];
    }
    text[n] = '\0';
    char *end;
    double f = strtod(text, &end);
    return n && *end == '\0' ? value_float(f) : MISSING;
}

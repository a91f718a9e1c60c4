/* Numbers as serde_json reads them by default: the digits that fit 64 bits, times or divided by one power of
 * ten. That can be beside the nearest double by its last bit, and a search that adds up such numbers decides
 * ties by that bit: who wants the reference's answer needs the reference's numbers. */
#include "json/number_int.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_POWER     (NUMBER_POWERS - 1)
#define EXPONENT_STOP (INT_MAX / 2) /* larger ones are as good as this one */

struct digits {
    uint64_t value;
    int64_t exponent;
    bool full; /* the next digit does not fit any more: no later one counts */
};

static double power_of_ten(struct number_powers *powers, int64_t exponent)
{
    char text[16];
    double *power = &powers->power[exponent];
    if (*power == 0) {
        snprintf(text, sizeof text, "1e%d", (int)exponent);
        str_to_f64(str_from(text), power);
    }
    return *power;
}

static size_t read_digits(struct str text, size_t at, bool fraction, struct digits *d)
{
    for (; at < text.n && text.p[at] >= '0' && text.p[at] <= '9'; at++) {
        unsigned digit = (unsigned)(text.p[at] - '0');
        d->full |= d->value > (UINT64_MAX - digit) / 10;
        if (!d->full)
            d->value = d->value * 10 + digit;
        d->exponent += d->full ? !fraction : -fraction;
    }
    return at;
}

static int64_t read_exponent(struct str text, size_t at)
{
    int64_t value = 0;
    bool negative = at < text.n && text.p[at] == '-';
    if (at < text.n && (negative || text.p[at] == '+'))
        at++;
    for (; at < text.n && value < EXPONENT_STOP; at++)
        value = value * 10 + (text.p[at] - '0');
    return negative ? -value : value;
}

static struct number real_number(struct digits d, bool negative, struct number_powers *powers)
{
    double real = (double)d.value;
    for (; real != 0 && d.exponent < -MAX_POWER; d.exponent += MAX_POWER)
        real /= power_of_ten(powers, MAX_POWER);
    if (real != 0 && d.exponent > MAX_POWER)
        return (struct number){.kind = NUMBER_OUT_OF_RANGE};
    if (real != 0 && d.exponent < 0)
        real /= power_of_ten(powers, -d.exponent);
    else if (real != 0)
        real *= power_of_ten(powers, d.exponent);
    if (isinf(real))
        return (struct number){.kind = NUMBER_OUT_OF_RANGE};
    return (struct number){.kind = NUMBER_REAL, .real = negative ? -real : real};
}

struct number number_read(struct str text, struct number_powers *powers)
{
    bool negative = text.n && text.p[0] == '-', real;
    struct digits d = {0};
    size_t at = read_digits(text, negative, false, &d);
    real = d.full || at < text.n;
    d.full = false; /* a smaller digit may fit behind the point, as it does there */
    if (at < text.n && text.p[at] == '.')
        at = read_digits(text, at + 1, true, &d);
    if (at < text.n)
        d.exponent += read_exponent(text, at + 1);
    if (!real && !negative)
        return (struct number){.kind = NUMBER_UINT, .u = d.value};
    if (!real && d.value && d.value <= (uint64_t)INT64_MAX + 1)
        return (struct number){.kind = NUMBER_INT, .i = (int64_t)-d.value};
    return real_number(d, negative, powers);
}

/* Views of bytes: comparing, searching, numbers, UTF-8. Pure functions that never read past the view. */
#include "base/str.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct str str_from(const char *cstr)
{
    return (struct str){cstr, cstr ? strlen(cstr) : 0};
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool str_has_prefix(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq((struct str){s.p, prefix.n}, prefix);
}

bool str_has_suffix(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq((struct str){s.p + (s.n - suffix.n), suffix.n}, suffix);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim_end(struct str s)
{
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct str str_trim(struct str s)
{
    while (s.n && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    return str_trim_end(s);
}

size_t str_find(struct str s, struct str needle, size_t from)
{
    if (from > s.n)
        return SIZE_MAX;
    if (needle.n == 0)
        return from;
    if (s.n - from < needle.n)
        return SIZE_MAX;
    const char *at = memmem(s.p + from, s.n - from, needle.p, needle.n);
    return at ? (size_t)(at - s.p) : SIZE_MAX;
}

/* ---- numbers ---- */

bool str_to_u64(struct str s, uint64_t *out)
{
    uint64_t x = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (x > (UINT64_MAX - digit) / 10)
            return false;
        x = x * 10 + digit;
    }
    *out = x;
    return true;
}

bool str_to_i64(struct str s, int64_t *out)
{
    bool negative = s.n && s.p[0] == '-';
    uint64_t magnitude;
    if (negative) {
        s.p++;
        s.n--;
    }
    if (!str_to_u64(s, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool str_to_f64(struct str s, double *out)
{
    char text[128], *end;
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    for (size_t i = 0; i < s.n; i++) /* decimal only: no hexadecimal, nan, inf or white space */
        if (!strchr("+-.0123456789eE", s.p[i]) || s.p[i] == '\0')
            return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    double x = strtod(text, &end);
    if (*end || end == text || !isfinite(x))
        return false;
    *out = x;
    return true;
}

void hex_encode(char *out, const uint8_t *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

unsigned str_distance(struct str a, struct str b)
{
    unsigned row[65];
    size_t na = a.n < 64 ? a.n : 64, nb = b.n < 64 ? b.n : 64;
    for (unsigned j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 0; i < na; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < nb; j++) {
            unsigned best = diagonal + (a.p[i] != b.p[j]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j + 1] + 1 < best)
                best = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[nb];
}

/* ---- UTF-8 ---- */

/* Bytes that a sequence with this first byte has; 0: no sequence starts so. */
static unsigned sequence_length(unsigned char c)
{
    if (c < 0x80)
        return 1;
    if (c < 0xc2)
        return 0;
    return c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
}

unsigned utf8_decode(struct str s, size_t i, uint32_t *cp)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)s.p + i;
    unsigned n = sequence_length(p[0]);
    if (n == 0 || n > s.n - i)
        return 0;
    if (n == 1) {
        *cp = p[0];
        return 1;
    }
    uint32_t x = p[0] & (0x7fu >> n);
    for (unsigned k = 1; k < n; k++) {
        if ((p[k] & 0xc0) != 0x80)
            return 0;
        x = x << 6 | (p[k] & 0x3f);
    }
    if (x < least[n] || x > 0x10ffff || (x >= 0xd800 && x < 0xe000))
        return 0;
    *cp = x;
    return n;
}

unsigned utf8_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    unsigned n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (unsigned k = n - 1; k > 0; k--) {
        out[k] = (char)(0x80 | (cp & 0x3f));
        cp >>= 6;
    }
    out[0] = (char)((0xf00u >> n) | cp);
    return n;
}

unsigned utf8_invalid_length(struct str s, size_t i)
{
    const unsigned char *p = (const unsigned char *)s.p + i;
    size_t left = s.n - i;
    unsigned n = sequence_length(p[0]);
    /* What may follow the first byte is narrower after some of them. */
    unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (n < 2 || left < 2 || p[1] < low || p[1] > high)
        return 1;
    unsigned k = 2;
    while (k < n && k < left && (p[k] & 0xc0) == 0x80)
        k++;
    return k;
}

bool utf8_valid(struct str s)
{
    uint32_t cp;
    for (size_t i = 0; i < s.n;) {
        unsigned n = utf8_decode(s, i, &cp);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

size_t utf8_count(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

size_t utf8_complete_prefix(struct str s)
{
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        unsigned char c = (unsigned char)s.p[s.n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        bool open = sequence_length(c) > back && utf8_invalid_length(s, s.n - back) == back;
        return open ? s.n - back : s.n;
    }
    return s.n;
}

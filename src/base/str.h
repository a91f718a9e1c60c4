/* Byte-string views: pointer and length, never owned, not NUL-terminated unless said. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(lit)   ((struct str){"" lit, sizeof(lit) - 1})
#define STR_FMT    "%.*s"
#define STR_ARG(s) ((s).n > 512 ? 512 : (int)(s).n), (s).p

struct str str_from(const char *cstr); /* borrows; NULL gives an empty view */
bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII */
bool str_has_prefix(struct str s, struct str prefix);
bool str_has_suffix(struct str s, struct str suffix);
struct str str_trim(struct str s); /* ASCII white space at both ends */
struct str str_trim_end(struct str s);
/* Offset of `needle` at or after `from`, or SIZE_MAX. An empty needle is found at `from`. */
size_t str_find(struct str s, struct str needle, size_t from);

/* Whole string must be a number in range, no white space, no sign for u64. False otherwise, *out untouched.
 */
bool str_to_u64(struct str s, uint64_t *out);
bool str_to_i64(struct str s, int64_t *out);
bool str_to_f64(struct str s, double *out); /* finite; C locale */

/* 2 n lower-case hexadecimal digits and a NUL into `out`. */
void hex_encode(char *out, const uint8_t *p, size_t n);

/* Levenshtein distance, each string cut at 64 bytes: for "did you mean". */
unsigned str_distance(struct str a, struct str b);

/* UTF-8. `utf8_decode` reads one code point at s.p[i], i < s.n: returns its length 1..4, or 0 when the bytes
 * are not well-formed (overlong, surrogate, > U+10FFFF, truncated). */
unsigned utf8_decode(struct str s, size_t i, uint32_t *cp);
unsigned utf8_encode(uint32_t cp, char out[4]); /* length 1..4; cp must be a scalar value */
/* Bytes that one U+FFFD stands for when utf8_decode() gives 0 at i: the longest part of a well-formed
 * sequence, at least 1 (Unicode's "substitution of maximal subparts"). */
unsigned utf8_invalid_length(struct str s, size_t i);
bool utf8_valid(struct str s);
size_t utf8_count(struct str s); /* code points of a valid string */
/* Length of the longest prefix that does not end inside a possibly incomplete sequence. */
size_t utf8_complete_prefix(struct str s);

#endif

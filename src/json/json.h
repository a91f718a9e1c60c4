/* JSON in and out. Reading goes through yyjson, the only place that knows it; depth (128), size and duplicate
 * keys are checked here. Writing is append-only into a struct buf.
 *
 * A value is valid as long as its document. Accessors on a wrong kind return the "absent" result, never
 * crash. */
#ifndef JSON_JSON_H
#define JSON_JSON_H

#include "base/buf.h"

struct json_doc;
struct json_val; /* opaque, borrowed from the document */

enum json_kind { JSON_NULL, JSON_BOOL, JSON_UINT, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

#define JSON_MAX_DEPTH 128

enum json_flag {
    JSON_ALLOW_DUPLICATES = 1, /* last one wins is refused by default: "duplicate field `x`" */
    JSON_SERDE_NUMBERS = 2,    /* as the reference's reader has them: a real may be off by its last bit */
};

/* `text` is copied. Bytes after the value are an error. The message has line and column:
 * "expected `,` or `}` at line 1 column 17". */
MUST_CHECK enum status json_parse(struct str text, unsigned flags, struct json_doc **out, struct err *e);
/* The same for a file of at most max_bytes; the message names the path. */
MUST_CHECK enum status json_parse_file(const char *path, size_t max_bytes, unsigned flags,
                                       struct json_doc **out, struct err *e);
void json_free(struct json_doc *d);
const struct json_val *json_root(const struct json_doc *d);

enum json_kind json_kind(const struct json_val *v);   /* NULL pointer: JSON_NULL */
const char *json_kind_name(const struct json_val *v); /* "null", "boolean", "integer", "floating point",
                                                         "string", "sequence", "map" */
bool json_is(const struct json_val *v, enum json_kind k);
/* Absent, or null. */
bool json_is_none(const struct json_val *v);
/* Any JSON number. */
bool json_is_number(const struct json_val *v);

bool json_bool(const struct json_val *v, bool *out);
bool json_u64(const struct json_val *v, uint64_t *out); /* non-negative integers only */
bool json_i64(const struct json_val *v, int64_t *out);
bool json_f64(const struct json_val *v, double *out); /* any number */
bool json_str(const struct json_val *v, struct str *out);

size_t json_len(const struct json_val *v); /* items of an array, pairs of an object, else 0 */
/* Member or NULL. O(n) in the object's size: use iteration for large objects. */
const struct json_val *json_get(const struct json_val *obj, struct str key);
const struct json_val *json_at(const struct json_val *arr,
                               size_t i); /* O(1) amortised only through iteration */

struct json_iter {
    const struct json_val *next, *cur_key;
    size_t left;
    bool is_object;
};
/* for (it = json_iter(v); (x = json_next(&it, &key));) — key is set for objects only (may be NULL). */
struct json_iter json_iter(const struct json_val *container);
const struct json_val *json_next(struct json_iter *it, struct str *key);

/* ---- writing ---- */

/* Emits commas and quotes by itself. Errors stick in the buffer (buf.failed). */
struct json_writer {
    struct buf *out;
    uint64_t first; /* bit per depth: no comma due */
    unsigned depth;
    bool after_key;
};

void jw_init(struct json_writer *w, struct buf *out);
void jw_object(struct json_writer *w);
void jw_end_object(struct json_writer *w);
void jw_array(struct json_writer *w);
void jw_end_array(struct json_writer *w);
void jw_key(struct json_writer *w, const char *key); /* ASCII literal, needs no escapes */
void jw_name(struct json_writer *w, struct str key); /* any key, escaped as jw_str() does */
void jw_str(struct json_writer *w, struct str s);    /* invalid UTF-8 becomes U+FFFD; escapes as serde_json */
void jw_cstr(struct json_writer *w, const char *s);  /* NULL writes null */
void jw_u64(struct json_writer *w, uint64_t v);
void jw_i64(struct json_writer *w, int64_t v);
void jw_f32(struct json_writer *w,
            float v); /* shortest text that reads back as the same float; non-finite: null */
void jw_f64(struct json_writer *w, double v); /* likewise for double */
void jw_bool(struct json_writer *w, bool v);
void jw_null(struct json_writer *w);
/* A value of a parsed document, compact; an absent one is null. */
void jw_value(struct json_writer *w, const struct json_val *v);

#endif

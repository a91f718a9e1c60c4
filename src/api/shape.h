/* Typed reading of a JSON body's fields, with the sentences of TGI's parser (serde) about what does not fit.
 *
 * The first field that does not fit decides: `status` is sticky, later reads do nothing. A field that is
 * absent or an allowed null leaves its destination as it is. */
#ifndef API_SHAPE_H
#define API_SHAPE_H

#include "base/arena.h"
#include "json/json.h"

struct shape {
    const char *prefix; /* of paths in messages: "parameters." or "" */
    const struct json_val *obj;
    struct arena *arena; /* strings are copied into it */
    struct err *e;
    enum status status; /* ST_UNSUPPORTED: the body is JSON of another shape (422, plain text) */
};

#define SHAPE_PATH_MAX 96

/* A whole request body. ST_INVALID: it is no JSON (400, plain text). */
MUST_CHECK enum status shape_parse(struct str body, struct json_doc **out, struct err *e);
/* The status of a shape error is 400 or 422. */
unsigned shape_http_status(enum status status);

/* The field's value, or NULL when it is absent or an allowed null; its path for messages goes to `path`. */
const struct json_val *shape_field(struct shape *s, const char *name, bool nullable, const char *expected,
                                   char path[SHAPE_PATH_MAX]);
/* ST_UNSUPPORTED with "PATH: invalid type: WHAT IT IS, expected EXPECTED". */
enum status shape_wrong_type(const char *path, const struct json_val *v, const char *expected, struct err *e);
enum status shape_missing(const char *path, const char *name, struct err *e);
/* ST_UNSUPPORTED with a sentence behind the common prefix. */
enum status shape_refuse(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* `given`, where it is not NULL: set when there is a value. */
void shape_bool(struct shape *s, const char *name, bool nullable, bool *out, bool *given);
void shape_f32(struct shape *s, const char *name, float *out, bool *given);
void shape_i32(struct shape *s, const char *name, int32_t *out, bool *given);
void shape_uint(struct shape *s, const char *name, uint64_t max, const char *type, uint64_t *out,
                bool *given);
/* A count: a larger number than any limit means the same as UINT32_MAX - 1. */
void shape_count(struct shape *s, const char *name, uint64_t max, const char *type, uint32_t *out,
                 bool *given);
void shape_text(struct shape *s, const char *name, struct str *out);
/* A list of strings; `bare`: one string will do as well. */
void shape_texts(struct shape *s, const char *name, bool nullable, bool bare, struct str **out, uint32_t *n);

/* Copies; sets the status when there is no memory. */
struct str shape_copy(struct shape *s, struct str text);
void *shape_array(struct shape *s, size_t n_items, size_t item_bytes);

#endif

/* Fields of a JSON body and what is said of those that do not fit. Nothing here knows what a field means. */
#include "api/shape.h"
#include <stdarg.h>
#include <stdio.h>

#define PREFIX "Failed to deserialize the JSON body into the target type: "

enum status shape_parse(struct str body, struct json_doc **out, struct err *e)
{
    enum status st = json_parse(body, 0, out, e);
    if (st == ST_OK)
        return ST_OK;
    err_prefix(e, "Failed to parse the request body as JSON");
    return ST_INVALID;
}

unsigned shape_http_status(enum status status)
{
    return status == ST_INVALID ? 400 : 422;
}

enum status shape_refuse(struct err *e, const char *fmt, ...)
{
    char text[sizeof e->text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return err_set(e, ST_UNSUPPORTED, PREFIX "%s", text);
}

enum status shape_wrong_type(const char *path, const struct json_val *v, const char *expected, struct err *e)
{
    struct str s;
    char shown[128];
    double f;
    uint64_t u;
    if (json_is(v, JSON_STRING) && json_str(v, &s))
        snprintf(shown, sizeof shown, "string \"%.*s\"", s.n > 64 ? 64 : (int)s.n, s.p);
    else if (json_u64(v, &u))
        snprintf(shown, sizeof shown, "integer `%llu`", (unsigned long long)u);
    else if (json_is_number(v) && json_f64(v, &f))
        snprintf(shown, sizeof shown, json_is(v, JSON_REAL) ? "floating point `%g`" : "integer `%.0f`", f);
    else
        snprintf(shown, sizeof shown, "%s", json_kind_name(v));
    return shape_refuse(e, "%s%sinvalid type: %s, expected %s", path, *path ? ": " : "", shown, expected);
}

enum status shape_missing(const char *path, const char *name, struct err *e)
{
    return shape_refuse(e, "%s%smissing field `%s`", path, *path ? ": " : "", name);
}

const struct json_val *shape_field(struct shape *s, const char *name, bool nullable, const char *expected,
                                   char path[SHAPE_PATH_MAX])
{
    const struct json_val *v = s->status == ST_OK ? json_get(s->obj, str_from(name)) : NULL;
    snprintf(path, SHAPE_PATH_MAX, "%s%s", s->prefix, name);
    if (v && json_is(v, JSON_NULL)) {
        if (!nullable)
            s->status = shape_wrong_type(path, v, expected, s->e);
        return NULL;
    }
    return v;
}

static void wrong(struct shape *s, const char *path, const struct json_val *v, const char *expected)
{
    s->status = shape_wrong_type(path, v, expected, s->e);
}

void shape_bool(struct shape *s, const char *name, bool nullable, bool *out, bool *given)
{
    char path[SHAPE_PATH_MAX];
    const struct json_val *v = shape_field(s, name, nullable, "a boolean", path);
    if (v && !json_bool(v, out))
        wrong(s, path, v, "a boolean");
    if (v && given)
        *given = true;
}

void shape_f32(struct shape *s, const char *name, float *out, bool *given)
{
    char path[SHAPE_PATH_MAX];
    double x;
    const struct json_val *v = shape_field(s, name, true, "f32", path);
    if (v && json_f64(v, &x))
        *out = (float)x;
    else if (v)
        wrong(s, path, v, "f32");
    if (v && given)
        *given = true;
}

void shape_i32(struct shape *s, const char *name, int32_t *out, bool *given)
{
    char path[SHAPE_PATH_MAX];
    int64_t x;
    const struct json_val *v = shape_field(s, name, true, "i32", path);
    if (v && json_i64(v, &x) && x <= INT32_MAX && x >= INT32_MIN)
        *out = (int32_t)x;
    else if (v)
        wrong(s, path, v, "i32");
    if (v && given)
        *given = true;
}

void shape_uint(struct shape *s, const char *name, uint64_t max, const char *type, uint64_t *out, bool *given)
{
    char path[SHAPE_PATH_MAX];
    uint64_t x;
    const struct json_val *v = shape_field(s, name, true, type, path);
    if (!v)
        return;
    if (!json_u64(v, &x))
        wrong(s, path, v, type);
    else if (x > max)
        s->status = shape_refuse(s->e, "%s: invalid value: integer `%llu`, expected %s", path,
                                 (unsigned long long)x, type);
    else
        *out = x;
    if (given)
        *given = true;
}

void shape_count(struct shape *s, const char *name, uint64_t max, const char *type, uint32_t *out,
                 bool *given)
{
    uint64_t x = 0;
    bool has = false;
    shape_uint(s, name, max, type, &x, &has);
    if (has)
        *out = x < UINT32_MAX ? (uint32_t)x : UINT32_MAX - 1;
    if (has && given)
        *given = true;
}

static void no_memory(struct shape *s)
{
    s->status = err_set(s->e, ST_NO_MEMORY, "the request needs too much memory");
}

struct str shape_copy(struct shape *s, struct str text)
{
    struct str copy = arena_strdup(s->arena, text);
    if (!copy.p)
        no_memory(s);
    return copy;
}

void *shape_array(struct shape *s, size_t n_items, size_t item_bytes)
{
    void *p = arena_array(s->arena, n_items ? n_items : 1, item_bytes);
    if (!p)
        no_memory(s);
    return p;
}

void shape_text(struct shape *s, const char *name, struct str *out)
{
    char path[SHAPE_PATH_MAX];
    struct str text;
    const struct json_val *v = shape_field(s, name, true, "a string", path);
    if (v && json_str(v, &text))
        *out = shape_copy(s, text);
    else if (v)
        wrong(s, path, v, "a string");
}

void shape_texts(struct shape *s, const char *name, bool nullable, bool bare, struct str **out, uint32_t *n)
{
    const char *expected = bare ? "a string or a sequence" : "a sequence";
    char path[SHAPE_PATH_MAX];
    struct str text;
    const struct json_val *v = shape_field(s, name, nullable, expected, path), *item;
    if (!v)
        return;
    bool one = bare && json_str(v, &text);
    if (!one && !json_is(v, JSON_ARRAY)) {
        wrong(s, path, v, expected);
        return;
    }
    *out = shape_array(s, one ? 1 : json_len(v), sizeof **out);
    if (one && *out)
        (*out)[(*n)++] = shape_copy(s, text);
    struct json_iter it = json_iter(v);
    while (!one && s->status == ST_OK && (item = json_next(&it, NULL))) {
        if (json_str(item, &text)) {
            (*out)[(*n)++] = shape_copy(s, text);
            continue;
        }
        snprintf(path, sizeof path, "%s%s[%u]", s->prefix, name, *n);
        wrong(s, path, item, "a string");
    }
}

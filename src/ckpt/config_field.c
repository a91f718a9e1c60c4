/* Fields of configuration files, read by name with type and range.
 *
 * Every message names the file and the field as it stands there, because the person who reads it will look it
 * up. */
#include "ckpt/config_field_int.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void field_fail(struct field_reader *r, enum status s, const char *fmt, ...)
{
    if (r->status != ST_OK)
        return;
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    r->status = err_set(r->e, s, "%s: %s", r->file, text);
}

static const struct json_val *field(const struct field_reader *r, const char *name)
{
    return json_get(r->object, str_from(name));
}

bool field_is_absent(const struct field_reader *r, const char *name)
{
    return field(r, name) == NULL;
}

bool field_is_set(const struct field_reader *r, const char *name)
{
    return json_kind(field(r, name)) != JSON_NULL;
}

static void wrong_kind(struct field_reader *r, const char *name, const char *want)
{
    field_fail(r, ST_INVALID, "`%s%s` is not %s (found: %s)", r->path, name, want,
               json_kind_name(field(r, name)));
}

void field_u32(struct field_reader *r, const char *name, uint32_t min, uint32_t max, uint32_t *out)
{
    if (!field_is_set(r, name))
        return;
    uint64_t v;
    if (!json_u64(field(r, name), &v))
        wrong_kind(r, name, "a non-negative integer");
    else if (v < min || v > max)
        field_fail(r, ST_INVALID, "`%s%s` is %" PRIu64 ", outside %" PRIu32 "..%" PRIu32, r->path, name, v,
                   min, max);
    else
        *out = (uint32_t)v;
}

void field_f32(struct field_reader *r, const char *name, double above, double max, float *out)
{
    if (!field_is_set(r, name))
        return;
    double v;
    if (!json_f64(field(r, name), &v))
        wrong_kind(r, name, "a number");
    else if (!(v > above && v <= max))
        field_fail(r, ST_INVALID, "`%s%s` is %g, it must be above %g and at most %g", r->path, name, v, above,
                   max);
    else
        *out = (float)v;
}

void field_bool(struct field_reader *r, const char *name, bool *out)
{
    if (field_is_set(r, name) && !json_bool(field(r, name), out))
        wrong_kind(r, name, "true or false");
}

void field_text(struct field_reader *r, const char *name, char *out, size_t out_bytes)
{
    struct str s;
    if (!field_is_set(r, name))
        return;
    if (!json_str(field(r, name), &s)) {
        wrong_kind(r, name, "a string");
    } else if (s.n >= out_bytes || memchr(s.p, '\0', s.n)) {
        field_fail(r, ST_INVALID, "`%s%s` is longer than %zu bytes or holds a NUL", r->path, name,
                   out_bytes - 1);
    } else {
        memcpy(out, s.p, s.n);
        out[s.n] = '\0';
    }
}

const struct json_val *field_object(struct field_reader *r, const char *name)
{
    if (!field_is_set(r, name))
        return NULL;
    if (!json_is(field(r, name), JSON_OBJECT)) {
        wrong_kind(r, name, "an object");
        return NULL;
    }
    return field(r, name);
}

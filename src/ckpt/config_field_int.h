/* Typed, range-checked reading of the fields of one JSON object; the first problem sticks. */
#ifndef CKPT_CONFIG_FIELD_INT_H
#define CKPT_CONFIG_FIELD_INT_H

#include "json/json.h"

struct field_reader {
    const char *file; /* for messages: "config.json" */
    const char *path; /* "" or the object's own place in the file with a dot: "rope_scaling." */
    const struct json_val *object;
    enum status status;
    struct err *e;
};

/* Absent and null are the same to these: *out keeps the value it had, the default. */
void field_u32(struct field_reader *r, const char *name, uint32_t min, uint32_t max, uint32_t *out);
void field_f32(struct field_reader *r, const char *name, double above, double max,
               float *out); /* (above, max] */
void field_bool(struct field_reader *r, const char *name, bool *out);
void field_text(struct field_reader *r, const char *name, char *out, size_t out_bytes);
/* NULL when absent or null; else it must be an object. */
const struct json_val *field_object(struct field_reader *r, const char *name);
/* Not even null. */
bool field_is_absent(const struct field_reader *r, const char *name);
bool field_is_set(const struct field_reader *r, const char *name); /* present and not null */
void field_fail(struct field_reader *r, enum status s, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif

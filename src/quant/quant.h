/* Stored element formats: how a checkpoint's bytes become numbers. One file per format, one row in
 * registry.c; a format works at once everywhere through its scalar decode, fast kernels follow. */
#ifndef QUANT_QUANT_H
#define QUANT_QUANT_H

#include "base/str.h"

enum elem_type { ELEM_F32, ELEM_F16, ELEM_BF16, ELEM_FP8_E4M3, ELEM_FP8_E5M2, ELEM_INT8, ELEM_TYPE_COUNT };

struct elem_format {
    enum elem_type type;
    const char *name; /* "bf16": logs and flags */
    const char
        *safetensors_name; /* "BF16": the dtype field of a safetensors header; NULL: none is read in it */
    uint32_t elem_bytes;
    /* n elements; src and dst do not overlap; src needs no alignment. Encoding rounds to nearest, ties to
     * even. */
    void (*decode)(float *dst, const void *src, size_t n);
    void (*encode)(void *dst, const float *src, size_t n);
};

const struct elem_format *elem_format_get(enum elem_type type);
/* NULL when no format has that name. */
const struct elem_format *elem_format_by_safetensors_name(struct str dtype);

#endif

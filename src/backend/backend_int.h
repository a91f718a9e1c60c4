/* Inside the backend module: how a device opens. registry.c has a row for each. */
#ifndef BACKEND_BACKEND_INT_H
#define BACKEND_BACKEND_INT_H

#include "backend/backend.h"

MUST_CHECK enum status backend_cpu_open(const struct backend_options *o, struct backend **out, struct err *e);
MUST_CHECK enum status backend_ref_open(const struct backend_options *o, struct backend **out, struct err *e);

/* ---- kv_type.c: how numbers are kept in a KV store, the same on every device ---- */

enum elem_type kv_elem_type(const struct backend_options *o);
/* Whether each row (one position's key or value of one head) has a scale of its own. */
bool kv_has_row_scales(enum elem_type type);
/* What a code counts in this row of n numbers: number = code * scale, rounded to float32. `fixed` is the
 * layer's. */
float kv_row_scale(enum elem_type type, const float *x, uint32_t n, float fixed);
/* The codes of n numbers; `scale` is their row's. */
void kv_row_encode(enum elem_type type, void *codes, const float *x, uint32_t n, float scale);
/* The layer's scales: 1 where `d` has none or the type takes none. */
struct kv_scale kv_layer_scale(enum elem_type type, const struct kv_desc *d, uint32_t layer);

#define OP_BIT(kind) (1u << (kind))
#define OP_ALL_BITS  (OP_BIT(OP_KIND_COUNT) - 1u)

#endif

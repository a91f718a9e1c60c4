/* Stored tensors as the quantised formats see them: a view with a dtype, whose numbers may mean something
 * only together with other tensors. */
#ifndef QUANT_TENSOR_H
#define QUANT_TENSOR_H

#include "quant/quant.h"

enum tensor_dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F8_E4M3,
    DTYPE_I8,
    DTYPE_U8,
    DTYPE_I32,
    DTYPE_I64,
    TENSOR_DTYPE_COUNT
};

struct tensor_dtype_info {
    const char *name; /* as a safetensors header has it */
    uint32_t bytes;
    bool is_number;      /* an element means a number by itself, in format `elem` */
    enum elem_type elem; /* of numbers */
};

const struct tensor_dtype_info *tensor_dtype_get(enum tensor_dtype dtype);
/* False when this build has no dtype of that name. */
bool tensor_dtype_find(struct str name, enum tensor_dtype *out);

#define TENSOR_MAX_DIMS 8

struct quant_tensor {
    struct str name;
    const char *file; /* for messages */
    enum tensor_dtype dtype;
    uint32_t n_dim;
    uint64_t dim[TENSOR_MAX_DIMS]; /* outermost first */
    uint64_t n_bytes;              /* exactly the product of dims times the element size */
    const void *data;              /* aligned to the element size */
};

#endif

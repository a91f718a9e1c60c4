/* The table of stored dtypes. */
#include "quant/tensor.h"

static const struct tensor_dtype_info dtypes[TENSOR_DTYPE_COUNT] = {
    [DTYPE_F32] = {"F32", 4, true, ELEM_F32},    [DTYPE_F16] = {"F16", 2, true, ELEM_F16},
    [DTYPE_BF16] = {"BF16", 2, true, ELEM_BF16}, [DTYPE_F8_E4M3] = {.name = "F8_E4M3", .bytes = 1},
    [DTYPE_I8] = {.name = "I8", .bytes = 1},     [DTYPE_U8] = {.name = "U8", .bytes = 1},
    [DTYPE_I32] = {.name = "I32", .bytes = 4},   [DTYPE_I64] = {.name = "I64", .bytes = 8},
};

const struct tensor_dtype_info *tensor_dtype_get(enum tensor_dtype dtype)
{
    BUG_ON((unsigned)dtype >= TENSOR_DTYPE_COUNT);
    return &dtypes[dtype];
}

bool tensor_dtype_find(struct str name, enum tensor_dtype *out)
{
    for (unsigned i = 0; i < TENSOR_DTYPE_COUNT; i++)
        if (str_eq(name, str_from(dtypes[i].name))) {
            *out = (enum tensor_dtype)i;
            return true;
        }
    return false;
}

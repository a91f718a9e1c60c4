/* The table of stored element formats, in the order of enum elem_type. */
#include "quant/quant_int.h"

static const struct elem_format *const formats[ELEM_TYPE_COUNT] = {
    [ELEM_F32] = &elem_format_f32,           [ELEM_F16] = &elem_format_f16,
    [ELEM_BF16] = &elem_format_bf16,         [ELEM_FP8_E4M3] = &elem_format_fp8_e4m3,
    [ELEM_FP8_E5M2] = &elem_format_fp8_e5m2, [ELEM_INT8] = &elem_format_int8,
};

const struct elem_format *elem_format_get(enum elem_type type)
{
    BUG_ON((unsigned)type >= ELEM_TYPE_COUNT);
    return formats[type];
}

const struct elem_format *elem_format_by_safetensors_name(struct str dtype)
{
    for (size_t i = 0; i < ELEM_TYPE_COUNT; i++)
        if (formats[i]->safetensors_name && str_eq(dtype, str_from(formats[i]->safetensors_name)))
            return formats[i];
    return NULL;
}

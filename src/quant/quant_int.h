/* One row of registry.c per format file. */
#ifndef QUANT_QUANT_INT_H
#define QUANT_QUANT_INT_H

#include "quant/quant.h"

extern const struct elem_format elem_format_f32, elem_format_f16, elem_format_bf16, elem_format_fp8_e4m3,
    elem_format_fp8_e5m2, elem_format_int8;

#endif

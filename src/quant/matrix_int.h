/* Inside the quant module: what a format file gives, one row of matrix.c's table each. */
#ifndef QUANT_MATRIX_INT_H
#define QUANT_MATRIX_INT_H

#include "quant/matrix.h"

#define METHOD_BIT(method) (1u << (method))
#define DTYPE_BIT(dtype)   (1u << (dtype))
#define DTYPES_NUMBER      (DTYPE_BIT(DTYPE_F32) | DTYPE_BIT(DTYPE_F16) | DTYPE_BIT(DTYPE_BF16))

/* A tensor of a module, named "PREFIX.suffix". */
struct quant_part {
    const char *suffix;
    bool is_optional;
};

struct quant_format {
    uint32_t methods; /* METHOD_BITs of those whose checkpoints hold it */
    bool on_the_fly;
    uint32_t key_dtypes; /* what the first part must be for a module to be of this format */
    struct quant_part part[QUANT_MAX_TENSORS + 1]; /* ends with a NULL suffix; the first is the key */
    /* Fills m from its tensors: all parts that are not optional are there. n_row, n_col, divisor 1 and
     * float32 for both types are set. */
    enum status (*open)(struct quant_matrix *m, const struct quant_config *c,
                        const struct quant_source *source, struct err *e);
    void (*rows)(const struct quant_matrix *m, uint32_t first, uint32_t n_row, const struct quant_rows *out);
};

extern const struct quant_format quant_format_awq, quant_format_gptq, quant_format_packed, quant_format_int8,
    quant_format_fp8, quant_format_bnb4, quant_format_eetq, quant_format_vectorwise, quant_format_nf4,
    quant_format_fp4, quant_format_fp8_rows;

/* ---- checks: each sentence names file and tensor ---- */

enum status tensor_refuse(struct err *e, const struct quant_tensor *t, enum status st, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
MUST_CHECK enum status tensor_expect(const struct quant_tensor *t, uint32_t dtypes, uint32_t n_dim,
                                     uint64_t dim0, uint64_t dim1, struct err *e);
/* A tensor of numbers, all finite. */
MUST_CHECK enum status tensor_expect_finite(const struct quant_tensor *t, struct err *e);
/* The common groups: group_size columns each (0: all), the last perhaps fewer. */
void quant_groups(struct quant_matrix *m, uint32_t group_size);
/* group_of from a tensor I32 [n_col] of groups below m->n_group, or nothing when they are the common ones. */
MUST_CHECK enum status quant_groups_listed(struct quant_matrix *m, const struct quant_tensor *t,
                                           struct err *e);
/* Scales [n_row, n_group], [n_row] or one for all; sets scale_type and the groups, even ones of group_size
 * where that is what their number says. */
MUST_CHECK enum status quant_row_scales(struct quant_matrix *m, const struct quant_tensor *t,
                                        uint32_t group_size, struct err *e);
/* Scales [n_group, n_row], as they lie beside codes that are packed along rows. */
MUST_CHECK enum status quant_column_scales(struct quant_matrix *m, const struct quant_tensor *t,
                                           struct err *e);
void quant_column_scales_read(const struct quant_matrix *m, const struct quant_tensor *t, uint32_t first,
                              uint32_t n_row, const struct quant_rows *out);
void quant_row_scales_read(const struct quant_matrix *m, const struct quant_tensor *t, uint32_t first,
                           uint32_t n_row, const struct quant_rows *out);
/* n numbers of a tensor from element `at` on. */
void tensor_numbers(const struct quant_tensor *t, uint64_t at, size_t n, float *y);

/* Code `at` of codes of `bits` bits that lie in 32-bit words from the lowest bit up. */
static inline uint32_t packed_code(uint32_t word, uint32_t bits, uint32_t at)
{
    return word >> (bits * at) & ((1u << bits) - 1);
}

/* Codes counted from 0 become those of CODE_INT4 or CODE_INT8. */
static inline uint8_t int_code(uint32_t code, uint32_t bits)
{
    return (uint8_t)(bits == 8 ? code ^ 0x80u : code);
}

/* The zero of codes counted from 0. */
static inline int8_t int_zero(uint32_t zero, uint32_t bits)
{
    return (int8_t)((int)zero - (1 << (bits - 1)));
}

#endif

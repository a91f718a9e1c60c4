/* Quantised matrices: the one form that every quantised checkpoint, and every matrix quantised while loading,
 * is read in.
 *
 * A matrix is not held in memory: it is a view of its source tensors with a rule that gives any of its rows
 * as codes, scales and zeros. A device asks for a few rows at a time and packs them as it likes; what it
 * computes with are the numbers that the codes mean, the same on every device:
 *
 *   number = (value of code - zero of its group) * scale of its group / divisor, in float32, then rounded
 *            to value_type
 *
 * Read-only after opening: any thread may read rows. */
#ifndef QUANT_MATRIX_H
#define QUANT_MATRIX_H

#include "quant/tensor.h"

/* What a code is: its value before zero and scale. */
enum quant_code {
    CODE_INT4,     /* 0 .. 15, counted from 8 */
    CODE_INT8,     /* -128 .. 127 */
    CODE_FP8_E4M3, /* an e4m3fn number */
    CODE_NF4,      /* one of 16 quantiles of the normal distribution */
    CODE_FP4,      /* sign and one of 8 magnitudes, as bitsandbytes orders them */
    QUANT_CODE_COUNT
};

struct quant_code_info {
    const char *name;
    uint32_t bits;
    const float *value; /* [16] of a code of 4 bits; NULL for 8 bits */
};

const struct quant_code_info *quant_code_get(enum quant_code code);
/* n codes, a byte each. */
void quant_code_values(enum quant_code code, float *y, const uint8_t *codes, size_t n);

/* Who quantised, and so what the tensors are called. Names are those of --quantize. */
enum quant_method {
    QUANT_NONE,
    QUANT_AWQ,
    QUANT_GPTQ,
    QUANT_COMPRESSED_TENSORS,
    QUANT_FP8,
    QUANT_EETQ,
    QUANT_BITSANDBYTES, /* int8, vector-wise */
    QUANT_BITSANDBYTES_NF4,
    QUANT_BITSANDBYTES_FP4,
    QUANT_METHOD_COUNT
};

const char *quant_method_name(enum quant_method method);
bool quant_method_find(struct str name, enum quant_method *out);
/* Whether a plain matrix can be quantised so while it is loaded. */
bool quant_method_is_on_the_fly(enum quant_method method);

#define QUANT_GROUP_MAX (1u << 22)

/* What a checkpoint says about itself, range-checked. */
struct quant_config {
    enum quant_method method;
    bool on_the_fly;     /* the checkpoint is plain, its linear weights are quantised while they are loaded */
    uint32_t bits;       /* awq, gptq: 4 or 8 */
    uint32_t group_size; /* columns that share a scale, at most QUANT_GROUP_MAX; 0: all of a row */
    bool plain_zeros;    /* gptq: stored zeros are the zeros themselves, not one less */
    uint32_t block_rows, block_cols; /* fp8 with a scale for each block; 0: none */
};

/* Where a module's tensors are looked for. */
struct quant_source {
    /* The tensor of that full name; false when there is none, or none of a dtype of this build. */
    bool (*find)(void *arg, struct str name, struct quant_tensor *out);
    /* A field of the JSON object that a tensor's bytes are; false when it is not there or of another kind. */
    bool (*number)(void *arg, const struct quant_tensor *t, const char *field, double *out);
    bool (*text)(void *arg, const struct quant_tensor *t, const char *field, char *out, size_t out_bytes);
    void *arg;
};

#define QUANT_MAX_TENSORS 8

struct quant_format;

struct quant_matrix {
    const struct quant_format *format;
    enum quant_code code;
    uint32_t n_row, n_col; /* [n_out, n_in] */
    uint32_t n_group, group_size;
    const uint32_t *group_of;  /* [n_col] group of each column, below n_group; NULL: column / group_size */
    bool has_zeros;            /* else all zeros are 0 */
    enum elem_type scale_type; /* holds every scale exactly */
    enum elem_type value_type; /* ELEM_F32: numbers are not rounded */
    float divisor;             /* 1: nothing is divided */
    struct quant_tensor tensor[QUANT_MAX_TENSORS]; /* in the order of the format's names; data NULL: absent */
    /* the format's own */
    uint32_t bits, block_rows, block_cols, block_size;
    bool plain_zeros;
    float offset;
};

/* The module `prefix` as a matrix [n_row, n_col], or *out NULL when its `prefix.weight` is plain. Checks all
 * that can be wrong but the codes (every one means a number): dtypes, shapes, groups in range, scales finite;
 * a sentence names the tensor. */
MUST_CHECK enum status quant_matrix_open(const struct quant_config *c, const struct quant_source *source,
                                         const char *prefix, uint32_t n_row, uint32_t n_col,
                                         struct quant_matrix **out, struct err *e);
void quant_matrix_close(struct quant_matrix *m);

/* Rows in memory of the caller's: row-major, one code a byte. */
struct quant_rows {
    uint8_t *code; /* [n_row][n_col] */
    float *scale;  /* [n_row][n_group] */
    int8_t *zero;  /* [n_row][n_group]; untouched without zeros */
};

size_t quant_rows_bytes(const struct quant_matrix *m, uint32_t n_row);
/* `memory`: quant_rows_bytes() of it, aligned to 4. */
struct quant_rows quant_rows_place(const struct quant_matrix *m, uint32_t n_row, void *memory);
void quant_matrix_rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row,
                       const struct quant_rows *out);

/* The numbers of rows first .. first + n_row - 1, [n_row][n_col]: plain and slow, what all else is held
 * against. */
void quant_rows_decode(const struct quant_matrix *m, const struct quant_rows *rows, uint32_t n_row, float *y);

#endif

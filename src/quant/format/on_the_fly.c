/* Plain matrices quantised while they are loaded: eetq, bitsandbytes' int8, nf4 and fp4, fp8.
 *
 * Each row (each block of nf4 and fp4) depends on itself alone, so rows can be asked for in any order and
 * number. Rules are those of the libraries, to the last bit of each operation: eetq           scale = max |w|
 * / 127 of a row, code = round(w / scale) bitsandbytes   code = round(w * (1 / max |w| * 127)), number = code
 * * max |w| / 127 fp8            scale = max |w| / 448 of a row, code = e4m3(w / scale) nf4, fp4       blocks
 * of 64 of the flat matrix, code = the nearest of w / max |w|; numbers are rounded to the dtype of the weight
 */
#include "quant/convert.h"
#include "quant/matrix_int.h"
#include <string.h>

#define BLOCK        64
#define CHUNK        256
#define INT8_LARGEST 127.0f
#define FP8_LARGEST  448.0f
#define FP8_TINY     1e-8f  /* a row of smaller numbers is counted as one of these */
#define TINY         1e-38f /* of a block of 4 bits */

/* Bits of absolute values order as the values do. */
static float largest_magnitude(const float *x, size_t n)
{
    uint32_t max = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t mag = f32_bits(x[i]) & 0x7fffffffu;
        max = mag > max ? mag : max;
    }
    return f32_from_bits(max > 0x7f800000u ? 0x7fc00000u : max); /* one NaN is as good as another */
}

static enum status expect_plain(const struct quant_matrix *m, struct err *e)
{
    return tensor_expect(&m->tensor[0], DTYPES_NUMBER, 2, m->n_row, m->n_col, e);
}

/* ---- one scale for each row ---- */

static uint8_t eetq_code(float x, float scale)
{
    return (uint8_t)int8_from_f32(x / scale);
}

static uint8_t vectorwise_code(float x, float scale)
{
    return (uint8_t)int8_from_f32(x * (1 / scale * INT8_LARGEST));
}

static uint8_t fp8_code(float x, float scale)
{
    return fp8_e4m3_from_f32(x / scale);
}

static inline __attribute__((always_inline)) void quantise_rows(const struct quant_matrix *m, uint32_t first,
                                                                uint32_t n_row, const struct quant_rows *out,
                                                                float (*scale_of)(float largest),
                                                                uint8_t (*code_of)(float x, float scale))
{
    float x[CHUNK];
    for (uint32_t r = 0; r < n_row; r++) {
        uint64_t row = (uint64_t)(first + r) * m->n_col;
        uint8_t *code = out->code + (size_t)r * m->n_col;
        float largest = 0;
        for (uint32_t k = 0; k < m->n_col; k += CHUNK) {
            uint32_t n = m->n_col - k < CHUNK ? m->n_col - k : CHUNK;
            tensor_numbers(&m->tensor[0], row + k, n, x);
            float some = largest_magnitude(x, n);
            largest = f32_bits(some) > f32_bits(largest) ? some : largest;
        }
        float scale = out->scale[r] = scale_of(largest);
        for (uint32_t k = 0; k < m->n_col; k += CHUNK) {
            uint32_t n = m->n_col - k < CHUNK ? m->n_col - k : CHUNK;
            tensor_numbers(&m->tensor[0], row + k, n, x);
            for (uint32_t i = 0; i < n; i++)
                code[k + i] = code_of(x[i], scale);
        }
    }
}

static float eetq_scale(float largest)
{
    return largest / INT8_LARGEST;
}

static float vectorwise_scale(float largest)
{
    return largest;
}

static float fp8_scale(float largest)
{
    return (largest < FP8_TINY ? FP8_TINY : largest) / FP8_LARGEST;
}

static void eetq_rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row,
                      const struct quant_rows *out)
{
    quantise_rows(m, first, n_row, out, eetq_scale, eetq_code);
}

static void vectorwise_rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row,
                            const struct quant_rows *out)
{
    quantise_rows(m, first, n_row, out, vectorwise_scale, vectorwise_code);
}

static void fp8_rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row,
                     const struct quant_rows *out)
{
    quantise_rows(m, first, n_row, out, fp8_scale, fp8_code);
}

static enum status open_rows(struct quant_matrix *m, enum quant_code code, struct err *e)
{
    m->code = code;
    quant_groups(m, 0);
    return expect_plain(m, e);
}

static enum status open_eetq(struct quant_matrix *m, const struct quant_config *c,
                             const struct quant_source *source, struct err *e)
{
    (void)c;
    (void)source;
    return open_rows(m, CODE_INT8, e);
}

static enum status open_vectorwise(struct quant_matrix *m, const struct quant_config *c,
                                   const struct quant_source *source, struct err *e)
{
    (void)c;
    (void)source;
    m->divisor = INT8_LARGEST;
    return open_rows(m, CODE_INT8, e);
}

static enum status open_fp8(struct quant_matrix *m, const struct quant_config *c,
                            const struct quant_source *source, struct err *e)
{
    (void)c;
    (void)source;
    return open_rows(m, CODE_FP8_E4M3, e);
}

/* ---- 4 bits in blocks of the flat matrix ---- */

/* The codes of 4 bits in the order of their values, and the bounds between neighbours. */
struct ladder {
    uint8_t code[16];
    float bound[15];
};

static struct ladder ladder_make(enum quant_code code)
{
    static const uint8_t nf4[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    static const uint8_t fp4[16] = {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3};
    const float *value = quant_code_get(code)->value;
    struct ladder l;
    memcpy(l.code, code == CODE_NF4 ? nf4 : fp4, sizeof l.code);
    for (int i = 0; i < 15; i++)
        l.bound[i] = (value[l.code[i]] + value[l.code[i + 1]]) / 2;
    return l;
}

/* x[i] becomes the code of the nearest value: of two equally near, the smaller. */
static void nearest_codes(const struct ladder *l, const float *x, uint8_t *code)
{
    uint32_t step[BLOCK] = {0};
    for (int b = 0; b < 15; b++)
        for (int i = 0; i < BLOCK; i++)
            step[i] += x[i] > l->bound[b];
    for (int i = 0; i < BLOCK; i++)
        code[i] = l->code[step[i]];
}

/* Codes and scale of block `block` of the whole matrix; the last one may have fewer than 64 numbers. */
static float quantise_block(const struct quant_matrix *m, const struct ladder *l, uint64_t block,
                            uint8_t code[BLOCK])
{
    uint64_t total = (uint64_t)m->n_row * m->n_col, at = block * BLOCK;
    size_t n = total - at < BLOCK ? (size_t)(total - at) : BLOCK;
    float x[BLOCK] = {0};
    tensor_numbers(&m->tensor[0], at, n, x);
    float largest = largest_magnitude(x, n), divisor = largest < TINY ? TINY : largest;
    for (size_t i = 0; i < BLOCK; i++)
        x[i] = n == BLOCK ? x[i] * (1 / divisor) : x[i] / divisor;
    nearest_codes(l, x, code);
    return largest;
}

static void block_rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row,
                       const struct quant_rows *out)
{
    struct ladder l = ladder_make(m->code);
    uint64_t begin = (uint64_t)first * m->n_col, end = begin + (uint64_t)n_row * m->n_col;
    for (uint64_t block = begin / BLOCK; block * BLOCK < end; block++) {
        uint8_t code[BLOCK];
        float scale = quantise_block(m, &l, block, code);
        uint64_t from = block * BLOCK < begin ? begin : block * BLOCK;
        uint64_t to = (block + 1) * BLOCK < end ? (block + 1) * BLOCK : end;
        memcpy(out->code + (from - begin), code + (from - block * BLOCK), (size_t)(to - from));
        for (uint64_t at = from; at < to; at += m->group_size)
            out->scale[(at - begin) / m->group_size] = scale;
    }
}

static enum status open_blocks(struct quant_matrix *m, enum quant_code code, struct err *e)
{
    uint32_t common = BLOCK;
    while (m->n_col % common)
        common /= 2;
    m->code = code;
    quant_groups(m, common);
    enum status st = expect_plain(m, e);
    m->value_type = tensor_dtype_get(m->tensor[0].dtype)->elem;
    return st;
}

static enum status open_nf4(struct quant_matrix *m, const struct quant_config *c,
                            const struct quant_source *source, struct err *e)
{
    (void)c;
    (void)source;
    return open_blocks(m, CODE_NF4, e);
}

static enum status open_fp4(struct quant_matrix *m, const struct quant_config *c,
                            const struct quant_source *source, struct err *e)
{
    (void)c;
    (void)source;
    return open_blocks(m, CODE_FP4, e);
}

#define FORMAT(name, method, open_function, rows_function)                                                   \
    const struct quant_format quant_format_##name = {                                                        \
        .methods = METHOD_BIT(method),                                                                       \
        .on_the_fly = true,                                                                                  \
        .key_dtypes = DTYPES_NUMBER,                                                                         \
        .part = {{"weight", false}},                                                                         \
        .open = open_function,                                                                               \
        .rows = rows_function,                                                                               \
    }

FORMAT(eetq, QUANT_EETQ, open_eetq, eetq_rows);
FORMAT(vectorwise, QUANT_BITSANDBYTES, open_vectorwise, vectorwise_rows);
FORMAT(fp8_rows, QUANT_FP8, open_fp8, fp8_rows);
FORMAT(nf4, QUANT_BITSANDBYTES_NF4, open_nf4, block_rows);
FORMAT(fp4, QUANT_BITSANDBYTES_FP4, open_fp4, block_rows);

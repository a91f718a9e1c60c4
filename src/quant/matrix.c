/* Opening a quantised matrix: which format a module is in, and the checks that formats share.
 *
 * A module belongs to the first format of the checkpoint's method whose key tensor it has, in a dtype that
 * the format reads. So lists of modules that were left alone need not be believed or matched: such a module
 * has a plain `weight`. */
#include "quant/convert.h"
#include "quant/matrix_int.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_BYTES 600
#define CHUNK          256

static const struct quant_format *const formats[] = {
    &quant_format_awq, &quant_format_gptq, &quant_format_packed,   &quant_format_int8,
    &quant_format_fp8, &quant_format_bnb4, &quant_format_eetq,     &quant_format_vectorwise,
    &quant_format_nf4, &quant_format_fp4,  &quant_format_fp8_rows,
};

#define N_FORMAT (sizeof formats / sizeof *formats)

static const char *const methods[QUANT_METHOD_COUNT] = {
    [QUANT_NONE] = "none",
    [QUANT_AWQ] = "awq",
    [QUANT_GPTQ] = "gptq",
    [QUANT_COMPRESSED_TENSORS] = "compressed-tensors",
    [QUANT_FP8] = "fp8",
    [QUANT_EETQ] = "eetq",
    [QUANT_BITSANDBYTES] = "bitsandbytes",
    [QUANT_BITSANDBYTES_NF4] = "bitsandbytes-nf4",
    [QUANT_BITSANDBYTES_FP4] = "bitsandbytes-fp4",
};

const char *quant_method_name(enum quant_method method)
{
    BUG_ON((unsigned)method >= QUANT_METHOD_COUNT);
    return methods[method];
}

bool quant_method_find(struct str name, enum quant_method *out)
{
    for (unsigned i = QUANT_NONE + 1; i < QUANT_METHOD_COUNT; i++)
        if (str_eq(name, str_from(methods[i]))) {
            *out = (enum quant_method)i;
            return true;
        }
    return false;
}

bool quant_method_is_on_the_fly(enum quant_method method)
{
    for (size_t i = 0; i < N_FORMAT; i++)
        if (formats[i]->on_the_fly && formats[i]->methods & METHOD_BIT(method))
            return true;
    return false;
}

/* ---- checks ---- */

enum status tensor_refuse(struct err *e, const struct quant_tensor *t, enum status st, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return err_set(e, st, "%s: tensor `" STR_FMT "`: %s", t->file, STR_ARG(t->name), text);
}

static void shape_text(char *out, size_t out_bytes, uint32_t n_dim, const uint64_t *dim)
{
    size_t n = (size_t)snprintf(out, out_bytes, "[");
    for (uint32_t i = 0; i < n_dim && n < out_bytes; i++)
        n += (size_t)snprintf(out + n, out_bytes - n, "%s%" PRIu64, i ? ", " : "", dim[i]);
    if (n < out_bytes)
        snprintf(out + n, out_bytes - n, "]");
}

enum status tensor_expect(const struct quant_tensor *t, uint32_t dtypes, uint32_t n_dim, uint64_t dim0,
                          uint64_t dim1, struct err *e)
{
    const uint64_t want[2] = {dim0, dim1};
    bool same = t->n_dim == n_dim;
    for (uint32_t i = 0; i < n_dim && same; i++)
        same = t->dim[i] == want[i];
    if (!(dtypes & DTYPE_BIT(t->dtype)))
        return tensor_refuse(e, t, ST_UNSUPPORTED, "dtype %s is not what this format has here",
                             tensor_dtype_get(t->dtype)->name);
    if (same)
        return ST_OK;
    char expected[64], found[256];
    shape_text(expected, sizeof expected, n_dim, want);
    shape_text(found, sizeof found, t->n_dim, t->dim);
    return tensor_refuse(e, t, ST_INVALID, "expected shape %s, found %s", expected, found);
}

void tensor_numbers(const struct quant_tensor *t, uint64_t at, size_t n, float *y)
{
    const struct tensor_dtype_info *dtype = tensor_dtype_get(t->dtype);
    elem_format_get(dtype->elem)->decode(y, (const uint8_t *)t->data + at * dtype->bytes, n);
}

enum status tensor_expect_finite(const struct quant_tensor *t, struct err *e)
{
    if (!(DTYPES_NUMBER & DTYPE_BIT(t->dtype)))
        return tensor_refuse(e, t, ST_UNSUPPORTED, "dtype %s is not one of numbers",
                             tensor_dtype_get(t->dtype)->name);
    uint64_t n = t->n_bytes / tensor_dtype_get(t->dtype)->bytes;
    float x[CHUNK];
    for (uint64_t at = 0; at < n; at += CHUNK) {
        size_t m = n - at < CHUNK ? (size_t)(n - at) : CHUNK;
        bool finite = true;
        tensor_numbers(t, at, m, x);
        for (size_t i = 0; i < m; i++)
            finite &= (f32_bits(x[i]) & 0x7f800000u) != 0x7f800000u;
        if (!finite)
            return tensor_refuse(e, t, ST_NUMERIC, "not all of its numbers are finite");
    }
    return ST_OK;
}

/* ---- groups and scales ---- */

void quant_groups(struct quant_matrix *m, uint32_t group_size)
{
    m->group_size = group_size == 0 || group_size > m->n_col ? m->n_col : group_size;
    m->n_group = (m->n_col - 1) / m->group_size + 1;
}

enum status quant_groups_listed(struct quant_matrix *m, const struct quant_tensor *t, struct err *e)
{
    enum status st = tensor_expect(t, DTYPE_BIT(DTYPE_I32), 1, m->n_col, 0, e);
    if (st != ST_OK)
        return st;
    const int32_t *group = t->data;
    bool common = true;
    for (uint32_t i = 0; i < m->n_col; i++) {
        if (group[i] < 0 || (uint32_t)group[i] >= m->n_group)
            return tensor_refuse(e, t, ST_INVALID, "group %d of column %u is not one of %u", group[i], i,
                                 m->n_group);
        common &= (uint32_t)group[i] == i / m->group_size;
    }
    if (common)
        return ST_OK;
    uint32_t *copy = malloc(m->n_col * sizeof *copy);
    if (!copy)
        return err_set(e, ST_NO_MEMORY, "no memory for the groups of %u columns", m->n_col);
    for (uint32_t i = 0; i < m->n_col; i++)
        copy[i] = (uint32_t)group[i];
    m->group_of = copy;
    return ST_OK;
}

enum status quant_row_scales(struct quant_matrix *m, const struct quant_tensor *t, uint32_t group_size,
                             struct err *e)
{
    uint64_t n = t->n_bytes / tensor_dtype_get(t->dtype)->bytes;
    quant_groups(m, 0);
    bool for_all = n == 1, for_rows = n == m->n_row && t->n_dim >= 1 && t->dim[0] == n;
    if (!for_all && !for_rows) {
        quant_groups(m, group_size);
        if (t->n_dim == 2 && t->dim[1] != m->n_group && t->dim[1] > 0 && m->n_col % t->dim[1] == 0)
            quant_groups(m, m->n_col / (uint32_t)t->dim[1]);
        enum status st = tensor_expect(t, DTYPES_NUMBER, 2, m->n_row, m->n_group, e);
        if (st != ST_OK)
            return st;
    }
    enum status st = tensor_expect_finite(t, e);
    if (st == ST_OK)
        m->scale_type = tensor_dtype_get(t->dtype)->elem;
    return st;
}

void quant_row_scales_read(const struct quant_matrix *m, const struct quant_tensor *t, uint32_t first,
                           uint32_t n_row, const struct quant_rows *out)
{
    if (t->n_bytes != tensor_dtype_get(t->dtype)->bytes) {
        tensor_numbers(t, (uint64_t)first * m->n_group, (size_t)n_row * m->n_group, out->scale);
        return;
    }
    tensor_numbers(t, 0, 1, out->scale);
    for (uint32_t r = 1; r < n_row; r++)
        out->scale[r] = out->scale[0];
}

enum status quant_column_scales(struct quant_matrix *m, const struct quant_tensor *t, struct err *e)
{
    enum status st = tensor_expect(t, DTYPES_NUMBER, 2, m->n_group, m->n_row, e);
    if (st == ST_OK)
        st = tensor_expect_finite(t, e);
    if (st == ST_OK)
        m->scale_type = tensor_dtype_get(t->dtype)->elem;
    return st;
}

void quant_column_scales_read(const struct quant_matrix *m, const struct quant_tensor *t, uint32_t first,
                              uint32_t n_row, const struct quant_rows *out)
{
    float x[CHUNK];
    for (uint32_t r = 0; r < n_row; r += CHUNK) {
        uint32_t n = n_row - r < CHUNK ? n_row - r : CHUNK;
        for (uint32_t g = 0; g < m->n_group; g++) {
            tensor_numbers(t, (uint64_t)g * m->n_row + first + r, n, x);
            for (uint32_t i = 0; i < n; i++)
                out->scale[(size_t)(r + i) * m->n_group + g] = x[i];
        }
    }
}

/* ---- opening ---- */

static bool find_part(const struct quant_source *source, const char *prefix, const char *suffix,
                      struct quant_tensor *out)
{
    char name[NAME_MAX_BYTES];
    int n = snprintf(name, sizeof name, "%s.%s", prefix, suffix);
    *out = (struct quant_tensor){0};
    return n > 0 && n < NAME_MAX_BYTES && source->find(source->arg, (struct str){name, (size_t)n}, out);
}

/* The format of the module, or NULL with *candidate the one that its method's modules usually have. */
static const struct quant_format *find_format(const struct quant_config *c, const struct quant_source *source,
                                              const char *prefix, const struct quant_format **candidate)
{
    struct quant_tensor key;
    *candidate = NULL;
    for (size_t i = 0; i < N_FORMAT; i++) {
        const struct quant_format *f = formats[i];
        if (f->on_the_fly != c->on_the_fly || !(f->methods & METHOD_BIT(c->method)))
            continue;
        *candidate = *candidate ? *candidate : f;
        if (find_part(source, prefix, f->part[0].suffix, &key) && f->key_dtypes & DTYPE_BIT(key.dtype))
            return f;
    }
    return NULL;
}

static enum status find_tensors(struct quant_matrix *m, const struct quant_source *source, const char *prefix,
                                struct err *e)
{
    for (unsigned i = 0; m->format->part[i].suffix; i++) {
        const struct quant_part *part = &m->format->part[i];
        if (!find_part(source, prefix, part->suffix, &m->tensor[i]) && !part->is_optional)
            return err_set(e, ST_NOT_FOUND,
                           "%s: tensor `%s.%s` is missing (or its dtype is unknown, or it is not aligned): "
                           "`%s.%s` needs it",
                           m->tensor[0].file, prefix, part->suffix, prefix, m->format->part[0].suffix);
    }
    return ST_OK;
}

enum status quant_matrix_open(const struct quant_config *c, const struct quant_source *source,
                              const char *prefix, uint32_t n_row, uint32_t n_col, struct quant_matrix **out,
                              struct err *e)
{
    const struct quant_format *candidate, *format = find_format(c, source, prefix, &candidate);
    struct quant_tensor plain;
    *out = NULL;
    if (!format && candidate && !find_part(source, prefix, "weight", &plain))
        return err_set(e, ST_NOT_FOUND, "tensor `%s.%s` is missing, and there is no plain `%s.weight`",
                       prefix, candidate->part[0].suffix, prefix);
    if (!format)
        return ST_OK;
    BUG_ON(n_row == 0 || n_col == 0);
    struct quant_matrix *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, ST_NO_MEMORY, "no memory for the matrix %s", prefix);
    *m = (struct quant_matrix){.format = format,
                               .n_row = n_row,
                               .n_col = n_col,
                               .scale_type = ELEM_F32,
                               .value_type = ELEM_F32,
                               .divisor = 1};
    enum status st = find_tensors(m, source, prefix, e);
    if (st == ST_OK)
        st = format->open(m, c, source, e);
    if (st != ST_OK) {
        quant_matrix_close(m);
        return st;
    }
    *out = m;
    return ST_OK;
}

void quant_matrix_close(struct quant_matrix *m)
{
    if (m)
        free((void *)(uintptr_t)m->group_of);
    free(m);
}

/* ---- rows ---- */

size_t quant_rows_bytes(const struct quant_matrix *m, uint32_t n_row)
{
    return (size_t)n_row * (m->n_col + (size_t)m->n_group * (sizeof(float) + 1));
}

struct quant_rows quant_rows_place(const struct quant_matrix *m, uint32_t n_row, void *memory)
{
    size_t n_scale = (size_t)n_row * m->n_group;
    uint8_t *p = memory;
    return (struct quant_rows){.scale = memory,
                               .zero = (int8_t *)(p + n_scale * sizeof(float)),
                               .code = p + n_scale * (sizeof(float) + 1)};
}

void quant_matrix_rows(const struct quant_matrix *m, uint32_t first, uint32_t n_row,
                       const struct quant_rows *out)
{
    BUG_ON(first > m->n_row || n_row > m->n_row - first);
    m->format->rows(m, first, n_row, out);
}

static float rounded(enum elem_type type, float x)
{
    switch (type) {
    case ELEM_F16:
        return f32_from_f16(f16_from_f32(x));
    case ELEM_BF16:
        return f32_from_bf16(bf16_from_f32(x));
    default:
        return x;
    }
}

void quant_rows_decode(const struct quant_matrix *m, const struct quant_rows *rows, uint32_t n_row, float *y)
{
    quant_code_values(m->code, y, rows->code, (size_t)n_row * m->n_col);
    for (uint32_t r = 0; r < n_row; r++)
        for (uint32_t c = 0; c < m->n_col; c++) {
            size_t group = (size_t)r * m->n_group + (m->group_of ? m->group_of[c] : c / m->group_size);
            float *x = &y[(size_t)r * m->n_col + c];
            float zero = m->has_zeros ? rows->zero[group] : 0;
            *x = rounded(m->value_type, (*x - zero) * rows->scale[group] / m->divisor);
        }
}

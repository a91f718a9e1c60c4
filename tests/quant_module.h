/* A module's tensors in memory, for tests of the quantised formats: each of a dtype and shape, filled by the
 * test or at random with bytes that mean sound numbers. */
#ifndef TESTS_QUANT_MODULE_H
#define TESTS_QUANT_MODULE_H

#include "base/rng.h"
#include "quant/convert.h"
#include "quant/matrix.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE_TENSORS 10

struct quant_module {
    struct quant_tensor tensor[MODULE_TENSORS];
    char name[MODULE_TENSORS][64];
    unsigned n;
};

/* "p.suffix", zeros; n_dim 0 .. 2. */
static inline void *module_add(struct quant_module *m, const char *suffix, enum tensor_dtype dtype,
                               uint32_t n_dim, uint64_t dim0, uint64_t dim1)
{
    struct quant_tensor *t = &m->tensor[m->n];
    uint64_t n = (n_dim > 0 ? dim0 : 1) * (n_dim > 1 ? dim1 : 1);
    snprintf(m->name[m->n], sizeof m->name[m->n], "p.%s", suffix);
    *t = (struct quant_tensor){.name = str_from(m->name[m->n]),
                               .file = "file",
                               .dtype = dtype,
                               .n_dim = n_dim,
                               .dim = {dim0, dim1},
                               .n_bytes = n * tensor_dtype_get(dtype)->bytes};
    void *data = calloc(1, t->n_bytes + 1);
    t->data = data;
    m->n++;
    return data;
}

static inline struct quant_tensor *module_tensor(struct quant_module *m, const char *suffix)
{
    for (unsigned i = 0; i < m->n; i++)
        if (strcmp(m->name[i] + 2, suffix) == 0)
            return &m->tensor[i];
    abort();
}

static inline void module_remove(struct quant_module *m, const char *suffix)
{
    struct quant_tensor *t = module_tensor(m, suffix);
    t->name = STR("gone");
}

static inline void module_free(struct quant_module *m)
{
    for (unsigned i = 0; i < m->n; i++)
        free((void *)(uintptr_t)m->tensor[i].data);
    m->n = 0;
}

/* Codes: any bits. Numbers: some around 0, none of them too small. */
static inline void module_fill(struct quant_module *m, const char *suffix, uint64_t seed, float spread)
{
    struct quant_tensor *t = module_tensor(m, suffix);
    const struct tensor_dtype_info *dtype = tensor_dtype_get(t->dtype);
    uint8_t *p = (uint8_t *)(uintptr_t)t->data;
    for (uint64_t i = 0; i < t->n_bytes / dtype->bytes; i++) {
        float x = (float)(rng_unit(seed, 1, i) - 0.5) * 2 * spread;
        uint64_t bits = (uint64_t)(rng_unit(seed, 2, i) * 0x1p32);
        if (dtype->is_number)
            elem_format_get(dtype->elem)->encode(p + i * dtype->bytes, &x, 1);
        else if (t->dtype == DTYPE_F8_E4M3)
            p[i] = fp8_e4m3_from_f32(x * 100);
        else
            memcpy(p + i * dtype->bytes, &bits, dtype->bytes);
    }
}

static inline bool module_find(void *arg, struct str name, struct quant_tensor *out)
{
    const struct quant_module *m = arg;
    for (unsigned i = 0; i < m->n; i++)
        if (str_eq(m->tensor[i].name, name)) {
            *out = m->tensor[i];
            return true;
        }
    return false;
}

/* Fields of the tensor's text: "name=value " each. */
static inline bool module_text(void *arg, const struct quant_tensor *t, const char *field, char *out,
                               size_t out_bytes)
{
    char key[64], state[257] = "";
    (void)arg;
    snprintf(key, sizeof key, "%s=", field);
    memcpy(state, t->data, t->n_bytes < sizeof state - 1 ? t->n_bytes : sizeof state - 1);
    const char *at = strstr(state, key);
    if (!at)
        return false;
    at += strlen(key);
    snprintf(out, out_bytes, "%.*s", (int)strcspn(at, " "), at);
    return true;
}

static inline bool module_number(void *arg, const struct quant_tensor *t, const char *field, double *out)
{
    char text[64];
    return module_text(arg, t, field, text, sizeof text) && str_to_f64(str_from(text), out);
}

static inline enum status module_open(struct quant_module *m, const struct quant_config *c, uint32_t n_row,
                                      uint32_t n_col, struct quant_matrix **out, struct err *e)
{
    struct quant_source source = {
        .find = module_find, .number = module_number, .text = module_text, .arg = m};
    return quant_matrix_open(c, &source, "p", n_row, n_col, out, e);
}

/* ---- modules of each kind ---- */

static inline void module_gptq(struct quant_module *m, const struct quant_config *c, uint32_t n_row,
                               uint32_t n_col, bool act_order)
{
    uint32_t group = c->group_size ? c->group_size : n_col, n_group = (n_col - 1) / group + 1,
             per = 32 / c->bits;
    module_add(m, "qweight", DTYPE_I32, 2, n_col / per, n_row);
    module_add(m, "qzeros", DTYPE_I32, 2, n_group, n_row / per);
    module_add(m, "scales", DTYPE_F16, 2, n_group, n_row);
    int32_t *g_idx = module_add(m, "g_idx", DTYPE_I32, 1, n_col, 0);
    module_fill(m, "qweight", 1, 0);
    module_fill(m, "qzeros", 2, 0);
    module_fill(m, "scales", 3, 0.02f);
    for (uint32_t i = 0; i < n_col; i++)
        g_idx[i] = (int32_t)((act_order ? (uint64_t)i * 7919 % n_col : i) / group);
}

static inline void module_awq(struct quant_module *m, const struct quant_config *c, uint32_t n_row,
                              uint32_t n_col)
{
    uint32_t group = c->group_size ? c->group_size : n_col, n_group = (n_col - 1) / group + 1;
    module_add(m, "qweight", DTYPE_I32, 2, n_col, n_row / 8);
    module_add(m, "qzeros", DTYPE_I32, 2, n_group, n_row / 8);
    module_add(m, "scales", DTYPE_F16, 2, n_group, n_row);
    module_fill(m, "qweight", 4, 0);
    module_fill(m, "qzeros", 5, 0);
    module_fill(m, "scales", 6, 0.02f);
}

static inline void module_fp8(struct quant_module *m, const struct quant_config *c, uint32_t n_row,
                              uint32_t n_col)
{
    module_add(m, "weight", DTYPE_F8_E4M3, 2, n_row, n_col);
    if (c->block_rows)
        module_add(m, "weight_scale_inv", DTYPE_F32, 2, (n_row - 1) / c->block_rows + 1,
                   (n_col - 1) / c->block_cols + 1);
    else
        module_add(m, "weight_scale", DTYPE_BF16, 2, n_row, 1);
    module_fill(m, "weight", 7, 1);
    module_fill(m, c->block_rows ? "weight_scale_inv" : "weight_scale", 8, 0.01f);
}

static inline void module_int8(struct quant_module *m, uint32_t n_row, uint32_t n_col, bool zeros)
{
    module_add(m, "weight", DTYPE_I8, 2, n_row, n_col);
    module_add(m, "weight_scale", DTYPE_F32, 2, n_row, 1);
    module_fill(m, "weight", 9, 0);
    module_fill(m, "weight_scale", 10, 0.01f);
    if (zeros) {
        module_add(m, "weight_zero_point", DTYPE_I8, 2, n_row, 1);
        module_fill(m, "weight_zero_point", 11, 0);
    }
}

static inline void module_plain(struct quant_module *m, enum tensor_dtype dtype, uint32_t n_row,
                                uint32_t n_col)
{
    module_add(m, "weight", dtype, 2, n_row, n_col);
    module_fill(m, "weight", 12, 0.5f);
}

#endif

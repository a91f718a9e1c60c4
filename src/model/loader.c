/* Loader: tensors of a checkpoint become weights of a device.
 *
 * Nothing is copied here: the device gets a view of the mapped tensor and a way to let its pages go later.
 * The first problem is the one that is reported; a loader never touches a tensor whose shape was not checked.
 */
#include "model/model_int.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TENSOR_NAME_MAX 256

static void release_tensor(void *arg)
{
    const struct loaded_weight *w = arg;
    if (w->tensor)
        ckpt_release_pages(w->ckpt, w->tensor->data, w->tensor->n_bytes);
    for (unsigned i = 0; w->quant && i < QUANT_MAX_TENSORS; i++)
        if (w->quant->tensor[i].data)
            ckpt_release_pages(w->ckpt, w->quant->tensor[i].data, w->quant->tensor[i].n_bytes);
}

static struct weight *add_weight(struct loader *l, const struct weight_desc *desc,
                                 const struct ckpt_tensor *tensor, struct quant_matrix *quant)
{
    struct model *m = l->m;
    BUG_ON(m->n_loaded == m->cap_loaded);
    struct loaded_weight *slot = &m->loaded[m->n_loaded];
    struct weight_desc d = *desc;
    *slot = (struct loaded_weight){.ckpt = l->ck, .tensor = tensor, .quant = quant};
    if (tensor || quant) {
        d.release = release_tensor;
        d.release_arg = slot;
    }
    l->status = m->be->vt->weight_new(m->be, &d, &slot->weight, l->e);
    if (l->status != ST_OK) {
        quant_matrix_close(quant);
        return NULL;
    }
    m->n_loaded++;
    return slot->weight;
}

static struct weight *load_tensor(struct loader *l, const char *name, unsigned roles, uint32_t n_dim,
                                  uint64_t n_row, uint64_t n_col)
{
    if (l->status != ST_OK)
        return NULL;
    uint64_t dims[2] = {n_dim == 1 ? n_col : n_row, n_col};
    const struct ckpt_tensor *t = NULL;
    l->status = ckpt_require(l->ck, str_from(name), n_dim, dims, &t, l->e);
    if (l->status != ST_OK)
        return NULL;
    struct weight_desc d = {.name = name,
                            .roles = roles,
                            .type = t->type,
                            .n_row = (uint32_t)n_row,
                            .n_col = (uint32_t)n_col,
                            .data = t->data};
    return add_weight(l, &d, t, NULL);
}

#define FORMAT_NAME(name, fmt)                                                                               \
    char name[TENSOR_NAME_MAX];                                                                              \
    va_list name##_args;                                                                                     \
    va_start(name##_args, fmt);                                                                              \
    vsnprintf(name, sizeof name, fmt, name##_args);                                                          \
    va_end(name##_args)

struct weight *load_matrix(struct loader *l, uint32_t n_row, uint32_t n_col, unsigned roles,
                           const char *name_fmt, ...)
{
    FORMAT_NAME(name, name_fmt);
    return load_tensor(l, name, roles, 2, n_row, n_col);
}

struct weight *load_vector(struct loader *l, uint32_t n, const char *name_fmt, ...)
{
    FORMAT_NAME(name, name_fmt);
    return load_tensor(l, name, WEIGHT_VECTOR, 1, 1, n);
}

/* NULL without a failure: the module is plain. */
static struct weight *load_quantised(struct loader *l, uint32_t n_out, uint32_t n_in, const char *prefix)
{
    const struct quant_source source = ckpt_quant_source(l->ck);
    struct quant_matrix *q;
    if (l->status != ST_OK || l->m->quant.method == QUANT_NONE)
        return NULL;
    l->status = quant_matrix_open(&l->m->quant, &source, prefix, n_out, n_in, &q, l->e);
    if (l->status != ST_OK || !q)
        return NULL;
    struct weight_desc d = {
        .name = prefix, .roles = WEIGHT_LINEAR, .n_row = n_out, .n_col = n_in, .quant = q};
    l->m->n_quantised++;
    return add_weight(l, &d, NULL, q);
}

struct weight *load_head(struct loader *l, uint32_t n_out, uint32_t n_in, const char *prefix)
{
    struct weight *w = l->m->quant.on_the_fly ? NULL : load_quantised(l, n_out, n_in, prefix);
    return w ? w : load_matrix(l, n_out, n_in, WEIGHT_LINEAR, "%s.weight", prefix);
}

struct linear_weights load_linear(struct loader *l, uint32_t n_out, uint32_t n_in, bool bias,
                                  const char *prefix_fmt, ...)
{
    FORMAT_NAME(prefix, prefix_fmt);
    struct linear_weights w = {0};
    w.weight = load_quantised(l, n_out, n_in, prefix);
    if (!w.weight)
        w.weight = load_matrix(l, n_out, n_in, WEIGHT_LINEAR, "%s.weight", prefix);
    if (bias)
        w.bias = load_vector(l, n_out, "%s.bias", prefix);
    return w;
}

/* A tensor of one number above 0 into *x; false when there is none. */
static bool load_number(struct loader *l, const char *prefix, const char *suffix, float *x)
{
    char name[TENSOR_NAME_MAX + 16];
    snprintf(name, sizeof name, "%s.%s", prefix, suffix);
    const struct ckpt_tensor *t = ckpt_find(l->ck, str_from(name));
    if (!t || l->status != ST_OK)
        return false;
    const struct elem_format *format = elem_format_get(t->type);
    if (t->n_bytes == format->elem_bytes)
        format->decode(x, t->data, 1);
    if (t->n_bytes != format->elem_bytes || !isfinite(*x) || *x <= 0)
        l->status = err_set(l->e, ST_INVALID, "%s: tensor %s: expected one number above 0", t->file, name);
    return true;
}

struct kv_scale load_kv_scale(struct loader *l, const char *prefix_fmt, ...)
{
    FORMAT_NAME(prefix, prefix_fmt);
    struct kv_scale scale = {1, 1};
    enum elem_type kv = l->m->be->caps.kv;
    if (kv != ELEM_FP8_E4M3 && kv != ELEM_FP8_E5M2)
        return scale;
    bool k = load_number(l, prefix, "k_scale", &scale.k), v = load_number(l, prefix, "v_scale", &scale.v);
    if (!k && !v && load_number(l, prefix, "kv_scale", &scale.k))
        scale.v = scale.k;
    return scale;
}

struct weight *load_computed(struct loader *l, const float *x, uint32_t n, const char *name)
{
    if (l->status != ST_OK)
        return NULL;
    struct weight_desc d = {
        .name = name, .roles = WEIGHT_VECTOR, .type = ELEM_F32, .n_row = 1, .n_col = n, .data = x};
    return add_weight(l, &d, NULL, NULL);
}

/* Llama 3.1's rule: long wavelengths are divided by `factor`, short ones kept, those between blended linearly
 * in original_max_position / wavelength. */
static float llama3_scaled(const struct rope_config *rope, float freq)
{
    float wavelength = 2 * (float)M_PI / freq;
    float original = (float)rope->original_max_position;
    if (wavelength > original / rope->low_freq_factor)
        return freq / rope->factor;
    if (wavelength < original / rope->high_freq_factor)
        return freq;
    float smooth =
        (original / wavelength - rope->low_freq_factor) / (rope->high_freq_factor - rope->low_freq_factor);
    return (1 - smooth) * freq / rope->factor + smooth * freq;
}

struct weight *load_inv_freq(struct loader *l, const struct rope_config *rope, uint32_t d_rope)
{
    uint32_t half = d_rope / 2;
    float *inv_freq = arena_array(&l->m->step, half, sizeof *inv_freq);
    if (!inv_freq) {
        if (l->status == ST_OK)
            l->status = err_set(l->e, ST_NO_MEMORY, "no memory for %u rope frequencies", half);
        return NULL;
    }
    for (uint32_t i = 0; i < half; i++) {
        float exponent = (float)(2 * i) / (float)d_rope;
        float freq = 1 / (float)pow((double)rope->theta, (double)exponent);
        if (rope->kind == ROPE_LINEAR)
            freq /= rope->factor;
        else if (rope->kind == ROPE_LLAMA3)
            freq = llama3_scaled(rope, freq);
        inv_freq[i] = freq;
    }
    return load_computed(l, inv_freq, half, "rope.inv_freq");
}

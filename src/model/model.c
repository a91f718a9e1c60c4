/* A model: an architecture's weights on a device, its KV store, and one step of it.
 *
 * The architecture emits a program for the batch's shape, composition fits it to the device, the device runs
 * it. This file never looks at a weight's name nor at a number of the batch. */
#include "model/model_int.h"
#include <stdlib.h>

/* A program of a thousand layers fits in a fraction of this. */
#define STEP_ARENA_MAX_BYTES (64u << 20)

static enum status unsupported_type(const struct ckpt *ck, struct err *e)
{
    return err_set(e, ST_UNSUPPORTED, "%s/config.json: model_type `%s` is not supported; supported: %s",
                   ckpt_dir(ck), ckpt_config(ck)->model_type, model_type_names());
}

enum status model_load(const struct ckpt *ck, struct backend *be, enum quant_method quantise,
                       struct model **out, struct err *e)
{
    const struct model_config *cfg = ckpt_config(ck);
    const struct arch *arch = arch_find(cfg->model_type);
    if (!arch)
        return unsupported_type(ck, e);
    struct model *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, ST_NO_MEMORY, "no memory for a model");
    arena_init(&m->step, STEP_ARENA_MAX_BYTES);
    m->arch = arch;
    m->cfg = cfg;
    m->be = be;
    /* Every tensor at most once, and the computed vectors. */
    m->cap_loaded = (uint32_t)ckpt_n_tensors(ck) + 8;
    m->loaded = calloc(m->cap_loaded, sizeof *m->loaded);
    m->layer = calloc(cfg->n_layer, sizeof *m->layer);
    enum status st = ST_OK;
    m->kv_scale = calloc(cfg->n_layer, sizeof *m->kv_scale);
    if (!m->loaded || !m->layer || !m->kv_scale)
        st = err_set(e, ST_NO_MEMORY, "no memory for %u layers", cfg->n_layer);
    for (uint32_t i = 0; st == ST_OK && i < cfg->n_layer; i++)
        m->kv_scale[i] = (struct kv_scale){1, 1};
    if (st == ST_OK)
        st = quant_choose(&cfg->quant, quantise, &m->quant, e);
    if (st == ST_OK)
        st = arch->check(cfg, m, e);
    if (st == ST_OK)
        st = arch->load(m, ck, e);
    if (st != ST_OK) {
        model_free(m);
        return st;
    }
    *out = m;
    return ST_OK;
}

void model_free(struct model *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->n_loaded; i++) {
        m->be->vt->weight_free(m->be, m->loaded[i].weight);
        quant_matrix_close(m->loaded[i].quant);
    }
    if (m->kv)
        m->be->vt->kv_free(m->be, m->kv);
    arena_fini(&m->step);
    free(m->loaded);
    free(m->layer);
    free(m->kv_scale);
    free(m);
}

const struct model_config *model_config(const struct model *m)
{
    return m->cfg;
}

const struct backend *model_backend(const struct model *m)
{
    return m->be;
}

const struct quant_config *model_quant(const struct model *m)
{
    return &m->quant;
}

uint64_t model_weight_bytes(const struct model *m)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < m->n_loaded; i++)
        n += m->be->vt->weight_bytes(m->be, m->loaded[i].weight);
    return n;
}

enum status model_settle(struct model *m, const atomic_bool *cancel,
                         void (*progress)(void *arg, uint32_t done, uint32_t total), void *arg, struct err *e)
{
    for (uint32_t i = 0; i < m->n_loaded; i++) {
        if (atomic_load_explicit(cancel, memory_order_relaxed))
            return ST_CANCELLED;
        enum status st = m->be->vt->weight_settle(m->be, m->loaded[i].weight, e);
        if (st != ST_OK)
            return st;
        if (progress)
            progress(arg, i + 1, m->n_loaded);
    }
    return ST_OK;
}

/* ---- KV store ---- */

static struct kv_desc kv_shape(const struct model *m, uint32_t n_page)
{
    return (struct kv_desc){.n_layer = m->cfg->n_layer,
                            .n_kv_head = m->cfg->n_kv_head,
                            .d_head = m->cfg->d_head,
                            .n_page = n_page,
                            .scale = m->kv_scale};
}

uint64_t model_kv_page_bytes(const struct model *m)
{
    struct kv_desc d = kv_shape(m, 1);
    return m->be->vt->kv_page_bytes(m->be, &d);
}

/* ---- the step ---- */

static enum status build_program(struct model *m, uint32_t n_tok, uint32_t n_out, struct program *out,
                                 uint32_t *logits, struct err *e)
{
    struct program p;
    arena_reset(&m->step);
    program_init(&p, &m->step, m->kv, n_tok, n_out);
    *logits = m->arch->forward(m, &p);
    enum status st = program_check(&p, e);
    if (st != ST_OK)
        return st;
    return program_compose(&p, &m->be->caps, out, e);
}

enum status model_reserve(struct model *m, uint32_t n_page, uint32_t max_rows, uint32_t max_out,
                          struct err *e)
{
    struct kv_desc d = kv_shape(m, n_page);
    BUG_ON(m->kv);
    enum status st = m->be->vt->kv_new(m->be, &d, &m->kv, e);
    struct program p;
    uint32_t logits;
    if (st == ST_OK)
        st = build_program(m, max_rows, max_out, &p, &logits, e);
    if (st == ST_OK)
        st = program_validate(&p, e);
    if (st == ST_OK)
        st = m->be->vt->reserve(m->be, &p, e);
    return st;
}

enum status model_step(struct model *m, const struct batch *in, const float **logits, struct err *e)
{
    struct program p;
    uint32_t value;
    enum status st = build_program(m, in->n_tok, in->n_out, &p, &value, e);
    if (st == ST_OK)
        st = m->be->vt->run(m->be, &p, in, e);
    if (st == ST_OK)
        *logits = m->be->vt->read(m->be, &p, value);
    return st;
}

/* The reference device: every operation in plain scalar C, the oracle for all others.
 *
 * One thread, sums in double precision, in the obvious order. It knows only the simplest form of each
 * operation, so that compose.c is exercised too. In bf16 compute it rounds what a linear multiplies (weights
 * and activations) to bf16; what the KV store holds it rounds to the store's type; and nothing else. It must
 * never be clever: when another device differs from it by more than the arithmetic explains, the other device
 * is wrong. */
#include "backend/backend_int.h"
#include "quant/convert.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REF_PAGE_TOKENS 16
#define REF_MAX_ROWS    65536

struct ref {
    struct backend base;
    enum compute_type compute;
    float **value; /* [n_value] of the program that ran last */
    uint32_t *value_cap;
    uint32_t n_value_cap;
};

struct weight {
    uint32_t n_row, n_col;
    float *x; /* [n_row, n_col] as stored */
    void (*release)(void *arg);
    void *release_arg;
};

struct kv {
    struct kv_desc desc;
    float *k, *v; /* [layer][page][kv_head][REF_PAGE_TOKENS][d_head]: what the store's type makes of them */
    struct kv_scale *scale; /* [layer] */
    uint8_t *codes;         /* of a row, on their way */
};

static struct ref *ref_of(struct backend *b)
{
    return (struct ref *)b;
}

static float rounded(const struct ref *r, float x)
{
    return r->compute == COMPUTE_BF16 ? f32_from_bf16(bf16_from_f32(x)) : x;
}

/* ---- weights ---- */

static enum status decode_quantised(const struct quant_matrix *m, float *x, struct err *e)
{
    void *memory = malloc(quant_rows_bytes(m, 1));
    if (!memory)
        return err_set(e, ST_NO_MEMORY, "no memory for a row of %u codes", m->n_col);
    struct quant_rows rows = quant_rows_place(m, 1, memory);
    for (uint32_t r = 0; r < m->n_row; r++) {
        quant_matrix_rows(m, r, 1, &rows);
        quant_rows_decode(m, &rows, 1, x + (size_t)r * m->n_col);
    }
    free(memory);
    return ST_OK;
}

static enum status ref_weight_new(struct backend *b, const struct weight_desc *d, struct weight **out,
                                  struct err *e)
{
    (void)b;
    struct weight *w = calloc(1, sizeof *w);
    size_t n = (size_t)d->n_row * d->n_col;
    float *x = w ? malloc(n * sizeof *x + 1) : NULL;
    if (!x) {
        free(w);
        return err_set(e, ST_NO_MEMORY, "no memory for weight %s", d->name);
    }
    enum status st = ST_OK;
    if (d->quant)
        st = decode_quantised(d->quant, x, e);
    else
        elem_format_get(d->type)->decode(x, d->data, n);
    if (st != ST_OK) {
        free(x);
        free(w);
        return st;
    }
    *w = (struct weight){d->n_row, d->n_col, x, d->release, d->release_arg};
    *out = w;
    return ST_OK;
}

static void ref_weight_free(struct backend *b, struct weight *w)
{
    (void)b;
    if (w) {
        free(w->x);
        free(w);
    }
}

static enum status ref_weight_settle(struct backend *b, struct weight *w, struct err *e)
{
    (void)b;
    (void)e;
    if (w->release)
        w->release(w->release_arg);
    w->release = NULL;
    return ST_OK;
}

static uint64_t ref_weight_bytes(const struct backend *b, const struct weight *w)
{
    (void)b;
    return (uint64_t)w->n_row * w->n_col * sizeof(float);
}

/* ---- KV store ---- */

static uint64_t ref_kv_page_bytes(const struct backend *b, const struct kv_desc *d)
{
    (void)b;
    return (uint64_t)d->n_layer * d->n_kv_head * d->d_head * REF_PAGE_TOKENS * 2 * sizeof(float);
}

static void ref_kv_free(struct backend *b, struct kv *kv)
{
    (void)b;
    if (kv) {
        free(kv->k);
        free(kv->v);
        free(kv->scale);
        free(kv->codes);
        free(kv);
    }
}

static enum status ref_kv_new(struct backend *b, const struct kv_desc *d, struct kv **out, struct err *e)
{
    struct kv *kv = calloc(1, sizeof *kv);
    size_t half = ref_kv_page_bytes(b, d) / 2 * d->n_page;
    if (kv)
        *kv = (struct kv){.desc = *d,
                          .k = calloc(1, half + 1),
                          .v = calloc(1, half + 1),
                          .scale = calloc(d->n_layer, sizeof *kv->scale),
                          .codes = malloc(d->d_head * sizeof(float) + 1)};
    if (!kv || !kv->k || !kv->v || !kv->scale || !kv->codes) {
        ref_kv_free(b, kv);
        return err_set(e, ST_NO_MEMORY, "no memory for a KV store of %zu bytes", half * 2);
    }
    for (uint32_t i = 0; i < d->n_layer; i++)
        kv->scale[i] = kv_layer_scale(b->caps.kv, d, i);
    *out = kv;
    return ST_OK;
}

/* Offset of position `pos` of sequence `s` in the store, for one layer and KV head. */
static size_t kv_offset(const struct kv *kv, const struct batch *in, uint32_t s, uint32_t pos, uint32_t layer,
                        uint32_t head)
{
    uint32_t page = in->page[in->page_begin[s] + pos / REF_PAGE_TOKENS];
    size_t slab = ((size_t)layer * kv->desc.n_page + page) * kv->desc.n_kv_head + head;
    return (slab * REF_PAGE_TOKENS + pos % REF_PAGE_TOKENS) * kv->desc.d_head;
}

/* ---- operations ---- */

struct run {
    struct ref *ref;
    const struct program *p;
    const struct batch *in;
};

static float *row_of(const struct run *run, uint32_t value, uint32_t row)
{
    return run->ref->value[value] + (size_t)row * run->p->value[value].n_col;
}

static void run_embed(const struct run *run, const struct op_embed *o)
{
    for (uint32_t r = 0; r < run->p->n_tok; r++)
        memcpy(row_of(run, o->y, r), o->table->x + (size_t)run->in->id[r] * o->table->n_col,
               o->table->n_col * sizeof(float));
}

static void run_rms_norm(const struct run *run, const struct op_rms_norm *o)
{
    const struct value *shape = &run->p->value[o->x];
    for (uint32_t r = 0; r < shape->n_row; r++) {
        const float *x = row_of(run, o->x, r);
        float *y = row_of(run, o->y, r);
        double sum = 0;
        for (uint32_t i = 0; i < shape->n_col; i++)
            sum += (double)x[i] * x[i];
        double inv = 1 / sqrt(sum / shape->n_col + o->eps);
        for (uint32_t i = 0; i < shape->n_col; i++)
            y[i] = (float)(x[i] * inv * o->scale->x[i]);
    }
}

static void run_linear(const struct run *run, const struct op_linear *o)
{
    const struct linear_part *part = &o->part[0];
    const struct weight *w = part->weight;
    for (uint32_t r = 0; r < run->p->value[o->x].n_row; r++) {
        const float *x = row_of(run, o->x, r);
        float *y = row_of(run, part->y, r);
        for (uint32_t out = 0; out < w->n_row; out++) {
            const float *row = w->x + (size_t)out * w->n_col;
            double sum = 0;
            for (uint32_t i = 0; i < w->n_col; i++)
                sum += (double)rounded(run->ref, x[i]) * rounded(run->ref, row[i]);
            y[out] = (float)(sum + (part->bias ? part->bias->x[out] : 0));
        }
    }
}

static void run_rope_table(const struct run *run, const struct op_rope_table *o)
{
    uint32_t half = run->p->value[o->y].n_col / 2;
    for (uint32_t r = 0; r < run->p->n_tok; r++) {
        float *y = row_of(run, o->y, r);
        for (uint32_t i = 0; i < half; i++) {
            float angle = (float)run->in->pos[r] * o->inv_freq->x[i];
            y[i] = (float)cos(angle) * o->scale;
            y[half + i] = (float)sin(angle) * o->scale;
        }
    }
}

static void rotate_head(float *head, const float *table, uint32_t half)
{
    for (uint32_t i = 0; i < half; i++) {
        float a = head[i], b = head[i + half], c = table[i], s = table[half + i];
        head[i] = a * c - b * s;
        head[i + half] = b * c + a * s;
    }
}

/* A row as the store gives it back. */
static void keep_row(const struct run *run, float *kept, const float *x, uint32_t n, float fixed)
{
    enum elem_type type = run->ref->base.caps.kv;
    float scale = kv_row_scale(type, x, n, fixed);
    kv_row_encode(type, run->p->kv->codes, x, n, scale);
    elem_format_get(type)->decode(kept, run->p->kv->codes, n);
    for (uint32_t i = 0; i < n; i++)
        kept[i] *= scale;
}

static void run_rope_kv(const struct run *run, const struct op_rope_kv *o)
{
    struct kv *kv = run->p->kv;
    for (uint32_t s = 0; s < run->in->n_seq; s++)
        for (uint32_t r = run->in->row_begin[s]; r < run->in->row_begin[s + 1]; r++) {
            const float *table = row_of(run, o->table, r);
            for (uint32_t h = 0; h < o->n_head; h++)
                rotate_head(row_of(run, o->q, r) + h * o->d_head, table, o->d_rope / 2);
            for (uint32_t h = 0; h < o->n_kv_head; h++) {
                float *k = row_of(run, o->k, r) + h * o->d_head;
                const float *v = row_of(run, o->v, r) + h * o->d_head;
                size_t at = kv_offset(kv, run->in, s, run->in->pos[r], o->layer, h);
                rotate_head(k, table, o->d_rope / 2);
                keep_row(run, kv->k + at, k, o->d_head, kv->scale[o->layer].k);
                keep_row(run, kv->v + at, v, o->d_head, kv->scale[o->layer].v);
            }
        }
}

static double score_at(const struct run *run, const struct op_attention *o, const float *q, uint32_t s,
                       uint32_t pos, uint32_t kv_head)
{
    const float *k = run->p->kv->k + kv_offset(run->p->kv, run->in, s, pos, o->layer, kv_head);
    double sum = 0;
    for (uint32_t i = 0; i < o->d_head; i++)
        sum += (double)q[i] * k[i];
    return sum * o->scale;
}

static void attend_head(const struct run *run, const struct op_attention *o, uint32_t s, uint32_t row,
                        uint32_t head)
{
    const struct kv *kv = run->p->kv;
    const float *q = row_of(run, o->q, row) + head * o->d_head;
    float *y = row_of(run, o->y, row) + head * o->d_head;
    uint32_t kv_head = head / (o->n_head / o->n_kv_head), last = run->in->pos[row];
    uint32_t first = o->window && last + 1 > o->window ? last + 1 - o->window : 0;
    double max = -INFINITY, total = 0;
    for (uint32_t t = first; t <= last; t++)
        max = fmax(max, score_at(run, o, q, s, t, kv_head));
    for (uint32_t i = 0; i < o->d_head; i++)
        y[i] = 0;
    for (uint32_t t = first; t <= last; t++)
        total += exp(score_at(run, o, q, s, t, kv_head) - max);
    for (uint32_t t = first; t <= last; t++) {
        const float *v = kv->v + kv_offset(kv, run->in, s, t, o->layer, kv_head);
        double weight = exp(score_at(run, o, q, s, t, kv_head) - max) / total;
        for (uint32_t i = 0; i < o->d_head; i++)
            y[i] += (float)(weight * v[i]);
    }
}

static void run_attention(const struct run *run, const struct op_attention *o)
{
    for (uint32_t s = 0; s < run->in->n_seq; s++)
        for (uint32_t r = run->in->row_begin[s]; r < run->in->row_begin[s + 1]; r++)
            for (uint32_t h = 0; h < o->n_head; h++)
                attend_head(run, o, s, r, h);
}

static void run_gated_act(const struct run *run, const struct op_gated_act *o)
{
    const struct value *shape = &run->p->value[o->y];
    size_t n = (size_t)shape->n_row * shape->n_col;
    const float *gate = row_of(run, o->gate, 0), *up = row_of(run, o->up, 0);
    float *y = row_of(run, o->y, 0);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(gate[i] / (1 + exp(-(double)gate[i])) * up[i]);
}

static void run_add(const struct run *run, const struct op_add *o)
{
    const struct value *shape = &run->p->value[o->y];
    const float *x = row_of(run, o->x, 0);
    float *y = row_of(run, o->y, 0);
    for (size_t i = 0; i < (size_t)shape->n_row * shape->n_col; i++)
        y[i] += x[i];
}

static void run_gather_rows(const struct run *run, const struct op_gather_rows *o)
{
    for (uint32_t i = 0; i < run->p->n_out; i++)
        memcpy(row_of(run, o->y, i), row_of(run, o->x, run->in->out_row[i]),
               run->p->value[o->y].n_col * sizeof(float));
}

static void run_op(const struct run *run, const struct op *op)
{
    switch (op->kind) {
    case OP_EMBED:
        run_embed(run, &op->embed);
        break;
    case OP_RMS_NORM:
        run_rms_norm(run, &op->rms_norm);
        break;
    case OP_LINEAR:
        run_linear(run, &op->linear);
        break;
    case OP_ROPE_TABLE:
        run_rope_table(run, &op->rope_table);
        break;
    case OP_ROPE_KV:
        run_rope_kv(run, &op->rope_kv);
        break;
    case OP_ATTENTION:
        run_attention(run, &op->attention);
        break;
    case OP_GATED_ACT:
        run_gated_act(run, &op->gated_act);
        break;
    case OP_ADD:
        run_add(run, &op->add);
        break;
    case OP_GATHER_ROWS:
        run_gather_rows(run, &op->gather_rows);
        break;
    case OP_KIND_COUNT:
        BUG("no such operation");
    }
}

/* ---- the device ---- */

static enum status ref_reserve(struct backend *b, const struct program *p, struct err *e)
{
    struct ref *r = ref_of(b);
    if (p->n_value > r->n_value_cap) {
        float **value = realloc(r->value, p->n_value * sizeof *value);
        if (value)
            r->value = value;
        uint32_t *cap = realloc(r->value_cap, p->n_value * sizeof *cap);
        if (cap)
            r->value_cap = cap;
        if (!value || !cap)
            return err_set(e, ST_NO_MEMORY, "no memory for %u values", p->n_value);
        for (uint32_t i = r->n_value_cap; i < p->n_value; i++) {
            value[i] = NULL;
            cap[i] = 0;
        }
        r->n_value_cap = p->n_value;
    }
    for (uint32_t i = 0; i < p->n_value; i++) {
        size_t n = (size_t)p->value[i].n_row * p->value[i].n_col;
        if (n <= r->value_cap[i])
            continue;
        free(r->value[i]);
        r->value[i] = n <= UINT32_MAX ? malloc(n * sizeof(float)) : NULL;
        r->value_cap[i] = r->value[i] ? (uint32_t)n : 0;
        if (!r->value[i])
            return err_set(e, ST_NO_MEMORY, "no memory for a value of %zu floats", n);
    }
    return ST_OK;
}

static enum status ref_run(struct backend *b, const struct program *p, const struct batch *in, struct err *e)
{
    enum status st = ref_reserve(b, p, e);
    if (st != ST_OK)
        return st;
    struct run run = {ref_of(b), p, in};
    for (uint32_t i = 0; i < p->n_op; i++)
        run_op(&run, &p->op[i]);
    return ST_OK;
}

static const float *ref_read(struct backend *b, const struct program *p, uint32_t value)
{
    (void)p;
    return ref_of(b)->value[value];
}

static void ref_close(struct backend *b)
{
    struct ref *r = ref_of(b);
    for (uint32_t i = 0; i < r->n_value_cap; i++)
        free(r->value[i]);
    free(r->value);
    free(r->value_cap);
    free(r);
}

static const struct backend_vtable ref_vtable = {
    .close = ref_close,
    .weight_new = ref_weight_new,
    .weight_free = ref_weight_free,
    .weight_settle = ref_weight_settle,
    .weight_bytes = ref_weight_bytes,
    .kv_page_bytes = ref_kv_page_bytes,
    .kv_new = ref_kv_new,
    .kv_free = ref_kv_free,
    .reserve = ref_reserve,
    .run = ref_run,
    .read = ref_read,
};

enum status backend_ref_open(const struct backend_options *o, struct backend **out, struct err *e)
{
    struct ref *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ST_NO_MEMORY, "no memory for the reference device");
    r->base = (struct backend){.vt = &ref_vtable,
                               .caps = {.name = "ref",
                                        .description = "scalar reference, 1 thread",
                                        .kv = kv_elem_type(o),
                                        .page_tokens = REF_PAGE_TOKENS,
                                        .max_rows = REF_MAX_ROWS,
                                        .ops = OP_ALL_BITS}};
    r->compute = o->compute;
    *out = &r->base;
    return ST_OK;
}

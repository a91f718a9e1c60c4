/* Devices, tensors and programs for the kernel tests. */
#include "kernels/harness.h"
#include "base/rng.h"
#include <math.h>

unsigned isa_list(const char *names[ISA_MAX])
{
    static char text[128];
    static const char *found[ISA_MAX];
    static unsigned n;
    char *rest = text, *name;
    if (!n) {
        snprintf(text, sizeof text, "%s", backend_isa_names());
        while ((name = strsep(&rest, ", ")) != NULL) {
            struct backend *b;
            struct backend_options o = {.isa = name, .n_threads = 1};
            if (!*name || backend_open("cpu", &o, &b, NULL) != ST_OK)
                continue;
            backend_close(b);
            found[n++] = name;
        }
    }
    memcpy(names, found, sizeof found);
    return n;
}

/* ---- tensors ---- */

static struct tensor tensor_new(enum elem_type type, uint32_t n_row, uint32_t n_col)
{
    size_t n = (size_t)n_row * n_col;
    return (struct tensor){type, n_row, n_col, malloc(n * elem_format_get(type)->elem_bytes)};
}

struct tensor tensor_random(uint64_t seed, enum elem_type type, uint32_t n_row, uint32_t n_col, float spread)
{
    struct tensor t = tensor_new(type, n_row, n_col);
    size_t n = (size_t)n_row * n_col, bytes = elem_format_get(type)->elem_bytes;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t bits[4];
        rng_block(seed, 0, i, bits);
        for (size_t j = 0; j < 4 && i + j < n; j++) {
            float x = ((float)bits[j] * 0x1p-31f - 1) * spread;
            elem_format_get(type)->encode(t.data + (i + j) * bytes, &x, 1);
        }
    }
    return t;
}

struct tensor tensor_constant(uint32_t n, float x)
{
    struct tensor t = tensor_new(ELEM_F32, 1, n);
    for (uint32_t i = 0; i < n; i++)
        memcpy(t.data + i * sizeof x, &x, sizeof x);
    return t;
}

struct tensor tensor_absolute(const struct tensor *t)
{
    struct tensor a = tensor_new(t->type, t->n_row, t->n_col);
    size_t n = (size_t)t->n_row * t->n_col, bytes = elem_format_get(t->type)->elem_bytes;
    memcpy(a.data, t->data, n * bytes);
    for (size_t i = 0; i < n; i++)
        a.data[(i + 1) * bytes - 1] &= 0x7f; /* every type keeps its sign in the highest bit */
    return a;
}

void tensor_free(struct tensor *t)
{
    free(t->data);
    t->data = NULL;
}

/* ---- devices ---- */

struct device *device_open(const char *isa, enum compute_type compute, unsigned n_threads)
{
    return device_open_kv(isa, compute, KV_AS_COMPUTE, n_threads);
}

struct device *device_open_kv(const char *isa, enum compute_type compute, enum kv_type kv, unsigned n_threads)
{
    struct device *d = calloc(1, sizeof *d);
    struct err e;
    struct backend_options o = {.compute = compute, .kv = kv, .n_threads = n_threads, .isa = isa};
    if (backend_open(isa ? "cpu" : "ref", &o, &d->b, &e) != ST_OK)
        fail_msg("%s", e.text);
    arena_init(&d->arena, 1 << 24);
    return d;
}

void device_close(struct device *d)
{
    for (unsigned i = 0; i < d->n_weight; i++)
        d->b->vt->weight_free(d->b, d->weight[i]);
    if (d->kv)
        d->b->vt->kv_free(d->b, d->kv);
    backend_close(d->b);
    arena_fini(&d->arena);
    free(d);
}

static struct weight *add_weight(struct device *d, const struct weight_desc *desc)
{
    struct err e;
    assert_true(d->n_weight < WEIGHTS_MAX);
    if (d->b->vt->weight_new(d->b, desc, &d->weight[d->n_weight], &e) != ST_OK)
        fail_msg("%s", e.text);
    return d->weight[d->n_weight++];
}

struct weight *device_weight(struct device *d, const struct tensor *t, unsigned roles)
{
    return add_weight(d, &(struct weight_desc){.name = "w",
                                               .roles = roles,
                                               .type = t->type,
                                               .n_row = t->n_row,
                                               .n_col = t->n_col,
                                               .data = t->data});
}

struct weight *device_quantised(struct device *d, const struct quant_matrix *m)
{
    return add_weight(
        d, &(struct weight_desc){
               .name = "w", .roles = WEIGHT_LINEAR, .n_row = m->n_row, .n_col = m->n_col, .quant = m});
}

void device_settle(struct device *d)
{
    for (unsigned i = 0; i < d->n_weight; i++)
        assert_int_equal(d->b->vt->weight_settle(d->b, d->weight[i], NULL), ST_OK);
}

void device_kv(struct device *d, const struct kv_desc *desc)
{
    assert_null(d->kv);
    assert_int_equal(d->b->vt->kv_new(d->b, desc, &d->kv, NULL), ST_OK);
}

void device_begin(struct device *d, uint32_t n_tok)
{
    arena_reset(&d->arena);
    program_init(&d->program, &d->arena, d->kv, n_tok, n_tok);
}

uint32_t device_input(struct device *d, const struct tensor *t)
{
    uint32_t value = program_value(&d->program, d->program.n_tok, t->n_col);
    program_op(&d->program, OP_EMBED)->embed =
        (struct op_embed){.table = device_weight(d, t, WEIGHT_EMBED), .y = value};
    return value;
}

void device_run(struct device *d, const struct batch *in)
{
    struct program fit;
    struct err e;
    if (program_validate(&d->program, &e) != ST_OK ||
        program_compose(&d->program, &d->b->caps, &fit, &e) != ST_OK ||
        d->b->vt->reserve(d->b, &fit, &e) != ST_OK || d->b->vt->run(d->b, &fit, in, &e) != ST_OK)
        fail_msg("%s", e.text);
}

const float *device_read(struct device *d, uint32_t value)
{
    return d->b->vt->read(d->b, &d->program, value);
}

/* ---- batches ---- */

void plain_batch_init(struct plain_batch *b, uint32_t n_tok)
{
    uint32_t n_page = n_tok / 16 + 1;
    *b = (struct plain_batch){.id = malloc(n_tok * sizeof *b->id),
                              .pos = malloc(n_tok * sizeof *b->pos),
                              .out_row = malloc(n_tok * sizeof *b->out_row),
                              .page = malloc(n_page * sizeof *b->page)};
    for (uint32_t i = 0; i < n_tok; i++) {
        b->id[i] = (int32_t)i;
        b->pos[i] = b->out_row[i] = i;
    }
    for (uint32_t i = 0; i < n_page; i++)
        b->page[i] = n_page - 1 - i;
    b->row_begin[1] = n_tok;
    b->page_begin[1] = n_page;
    b->in = (struct batch){.n_tok = n_tok,
                           .n_seq = 1,
                           .n_out = n_tok,
                           .id = b->id,
                           .pos = b->pos,
                           .row_begin = b->row_begin,
                           .page_begin = b->page_begin,
                           .page = b->page,
                           .out_row = b->out_row};
}

void plain_batch_fini(struct plain_batch *b)
{
    free(b->id);
    free(b->pos);
    free(b->page);
    free(b->out_row);
}

/* ---- comparing ---- */

float *copy_floats(const float *x, size_t n)
{
    float *copy = malloc(n * sizeof *x + 1);
    memcpy(copy, x, n * sizeof *x);
    return copy;
}

void assert_near(const char *what, const float *a, const float *b, const float *bound, double factor,
                 double floor, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double limit = factor * (bound ? fabs((double)bound[i]) : 0) + floor;
        if (!(fabs((double)a[i] - b[i]) <= limit))
            fail_msg("%s: element %zu is %.9g, should be %.9g, may differ by %.3g", what, i, (double)a[i],
                     (double)b[i], limit);
    }
}

void assert_same(const char *what, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s: element %zu is %.9g here and %.9g there", what, i, (double)a[i], (double)b[i]);
}

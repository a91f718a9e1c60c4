/* The backend seam: a device with weights, a KV store, and the one verb that matters: run a program on a
 * batch.
 *
 * One backend is one device. All calls on it come from one thread at a time (the engine thread), except
 * weight_settle(), which may run on another thread beside run(). */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include "backend/batch.h"
#include "backend/program.h"
#include "quant/matrix.h"

/* What activations are multiplied in. It belongs to the whole model and is the same for 1 row and 1,000. */
enum compute_type { COMPUTE_F32, COMPUTE_BF16 };

/* What the KV store keeps keys and values in. */
enum kv_type { KV_AS_COMPUTE, KV_FLOAT16, KV_BFLOAT16, KV_FP8_E4M3FN, KV_FP8_E5M2, KV_INT8, KV_TYPE_COUNT };

struct backend_options {
    enum compute_type compute;
    enum kv_type kv;
    unsigned n_threads; /* 0: as many as this process may use */
    const char *isa;    /* NULL: the best this machine has; or a name that backend_isa_names() lists */
};

struct backend_caps {
    const char *name;     /* "cpu" */
    char description[96]; /* "avx512_bf16, 2 threads": for logs and /info */
    enum elem_type kv;    /* what the KV store holds */
    uint32_t page_tokens; /* positions a KV page holds; divides ATTENTION_SPLIT_TOKENS */
    uint32_t max_rows;    /* most tokens a step may have */
    uint32_t ops;         /* bit 1u << op_kind for each operation that run() knows */
    bool linear_parts;    /* op_linear with more than one part */
    bool linear_accumulate;
};

/* What a weight is used for: a bit mask, because tied embeddings are both. */
enum weight_role { WEIGHT_LINEAR = 1, WEIGHT_EMBED = 2, WEIGHT_VECTOR = 4 };

struct weight_desc {
    const char *name; /* for messages; copied */
    unsigned roles;
    enum elem_type type;
    uint32_t n_row, n_col; /* linear: [n_out, n_in]; embed: [n_vocab, n_col]; vector: [1, n] */
    const void *data;      /* row-major, borrowed until weight_free() */
    /* Instead of type and data: a quantised matrix [n_row, n_col], borrowed likewise; for WEIGHT_LINEAR only.
     */
    const struct quant_matrix *quant;
    /* Called (any thread, at most once) when the device has its own copy and will not read the source again
     * soon.
     */
    void (*release)(void *arg);
    void *release_arg;
};

/* What a layer's fp8 numbers count: key = code * k, value = code * v. */
struct kv_scale {
    float k, v;
};

struct kv_desc {
    uint32_t n_layer, n_kv_head, d_head, n_page;
    const struct kv_scale *scale; /* [n_layer], finite and above 0, read by kv_new(); NULL: all 1 */
};

struct backend {
    const struct backend_vtable *vt;
    struct backend_caps caps;
};

struct backend_vtable {
    void (*close)(struct backend *b);

    /* Usable at once, perhaps slowly; vectors are copied as float32. */
    enum status (*weight_new)(struct backend *b, const struct weight_desc *d, struct weight **out,
                              struct err *e);
    void (*weight_free)(struct backend *b, struct weight *w);
    /* Puts the weight into the device's fastest form, then lets the source pages go. Results are the same
     * bytes before and after. May run on another thread while run() reads the weight; a second call does
     * nothing. */
    enum status (*weight_settle)(struct backend *b, struct weight *w, struct err *e);
    /* Memory that the weight takes once it has settled, source pages that it goes on reading included. */
    uint64_t (*weight_bytes)(const struct backend *b, const struct weight *w);

    uint64_t (*kv_page_bytes)(const struct backend *b, const struct kv_desc *d);
    enum status (*kv_new)(struct backend *b, const struct kv_desc *d, struct kv **out, struct err *e);
    void (*kv_free)(struct backend *b, struct kv *kv);

    /* Working memory for programs up to this one's values: after it, run() allocates nothing. */
    enum status (*reserve)(struct backend *b, const struct program *p, struct err *e);
    /* Runs to the end. The batch has the program's n_tok and n_out; its numbers were checked by the engine
     * (ids below n_vocab, pages below n_page). */
    enum status (*run)(struct backend *b, const struct program *p, const struct batch *in, struct err *e);
    /* Rows of a value after run(), in host memory, valid until the next run(). */
    const float *(*read)(struct backend *b, const struct program *p, uint32_t value);
};

/* `name`: a row of backend/registry.c ("cpu", "ref"). */
MUST_CHECK enum status backend_open(const char *name, const struct backend_options *o, struct backend **out,
                                    struct err *e);
void backend_close(struct backend *b);
/* Comma-separated names for messages and --help. */
const char *backend_names(void);
const char *backend_isa_names(void);
/* "auto", "float16", "fp8_e4m3fn", ...; false when there is none of that name. */
MUST_CHECK bool kv_type_find(const char *name, enum kv_type *out);

/* Rewrites what the device lacks with operations it has (compose.c): multi-part linears become single ones,
 * an accumulating linear becomes linear + add. A missing operation that nothing can replace is an error
 * naming operation and device. `out` may share parts with `in`; both live in in->arena. */
MUST_CHECK enum status program_compose(const struct program *in, const struct backend_caps *caps,
                                       struct program *out, struct err *e);

#endif

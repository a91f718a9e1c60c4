/* A program: one forward pass as a flat list of operations on values.
 *
 * An architecture emits operations, a backend runs them. The forward sees shapes, never numbers: everything
 * that varies from step to step is in struct batch. A value is a float32 matrix [n_row, n_col] in the
 * device's working memory; it may be written again later (layers reuse the same few). Operations run in the
 * order emitted, each sees what all before it wrote. Weights are handles of the device (backend.h).
 *
 * A row's arithmetic never depends on the other rows of the program. */
#ifndef BACKEND_PROGRAM_H
#define BACKEND_PROGRAM_H

#include "base/arena.h"

struct weight;

enum op_kind {
    OP_EMBED,
    OP_RMS_NORM,
    OP_LINEAR,
    OP_ROPE_TABLE,
    OP_ROPE_KV,
    OP_ATTENTION,
    OP_GATED_ACT,
    OP_ADD,
    OP_GATHER_ROWS,
    OP_KIND_COUNT,
};

const char *op_kind_name(enum op_kind kind);

enum gate_act { GATE_SILU };

/* y[r] = table[batch.id[r]]; table [n_vocab, n_col]. */
struct op_embed {
    const struct weight *table;
    uint32_t y;
};

/* y[r][i] = x[r][i] / sqrt(mean_i(x[r][i]^2) + eps) * scale[i]. y may be x. */
struct op_rms_norm {
    const struct weight *scale; /* vector [n_col] */
    float eps;
    uint32_t x, y;
};

/* For each part: y[r][o] = sum_i x[r][i] * weight[o][i] + bias[o], added to what y holds when `accumulate`.
 * The parts share x, so that a device converts x once and opens one parallel region (q/k/v; gate/up). */
#define LINEAR_MAX_PARTS 4
struct op_linear {
    uint32_t x, n_part;
    struct linear_part {
        const struct weight *weight; /* [n_out, n_in] */
        const struct weight *bias;   /* vector [n_out] or NULL */
        uint32_t y;
        bool accumulate;
    } part[LINEAR_MAX_PARTS];
};

/* y[r] = cos(a_0..a_{h-1}), sin(a_0..a_{h-1}) with a_i = (float)pos[r] * inv_freq[i], h = n_col / 2, all in
 * float32 as the reference libraries compute it, times `scale`. */
struct op_rope_table {
    const struct weight *inv_freq; /* vector [h] */
    float scale;
    uint32_t y;
};

/* Rotates q [n_tok, n_head * d_head] and k [n_tok, n_kv_head * d_head] in place by the table's angles,
 * pairing dimension i with i + h of each head (h = d_rope / 2; dimensions from d_rope on stay), then writes k
 * and v into layer `layer` of the KV store at each row's position. */
struct op_rope_kv {
    uint32_t q, k, v, table, layer;
    uint32_t n_head, n_kv_head, d_head, d_rope;
};

/* y[r, head] = softmax(q . K^T * scale) V over the visible positions of the row's own sequence:
 * pos[r] - window < t <= pos[r] (window 0: no lower bound). Query head j reads KV head j / (n_head /
 * n_kv_head). Accumulates in fixed splits of ATTENTION_SPLIT_TOKENS positions counted from 0, merged in
 * order, so that the bytes depend on nothing but the row. y may not be q. */
#define ATTENTION_SPLIT_TOKENS 256
struct op_attention {
    uint32_t q, y, layer;
    uint32_t n_head, n_kv_head, d_head, window;
    float scale;
};

/* y = act(gate) * up, elementwise; y may be gate or up. */
struct op_gated_act {
    enum gate_act act;
    uint32_t gate, up, y;
};

/* y += x. */
struct op_add {
    uint32_t x, y;
};

/* y[i] = x[batch.out_row[i]], i < n_out. */
struct op_gather_rows {
    uint32_t x, y;
};

struct op {
    enum op_kind kind;
    union {
        struct op_embed embed;
        struct op_rms_norm rms_norm;
        struct op_linear linear;
        struct op_rope_table rope_table;
        struct op_rope_kv rope_kv;
        struct op_attention attention;
        struct op_gated_act gated_act;
        struct op_add add;
        struct op_gather_rows gather_rows;
    };
};

struct value {
    uint32_t n_row, n_col;
};

struct kv;

struct program {
    struct arena *arena; /* the step's; everything below dies with it */
    struct kv *kv;
    uint32_t n_tok, n_out;
    struct op *op;
    uint32_t n_op, cap_op;
    struct value *value;
    uint32_t n_value, cap_value;
    bool failed; /* the arena is full: looked at once, by program_check() */
};

void program_init(struct program *p, struct arena *arena, struct kv *kv, uint32_t n_tok, uint32_t n_out);
/* A new value; its index. */
uint32_t program_value(struct program *p, uint32_t n_row, uint32_t n_col);
/* Appends an operation of that kind, zeroed, for the caller to fill. Never NULL (a scratch op after a
 * failure). */
struct op *program_op(struct program *p, enum op_kind kind);
/* ST_NO_MEMORY when the arena ran out while building. */
MUST_CHECK enum status program_check(const struct program *p, struct err *e);
/* True when `kind` reads or writes values with the shapes it needs; for tests and debug builds. */
MUST_CHECK enum status program_validate(const struct program *p, struct err *e);

#endif

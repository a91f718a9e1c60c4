/* Inside the model module: what an architecture file fills and reads.
 *
 * An architecture is one row in registry.c and one file in arch/: it checks the configuration, names its
 * tensors with their shapes, and emits its forward pass in operations. */
#ifndef MODEL_MODEL_INT_H
#define MODEL_MODEL_INT_H

#include "model/model.h"

struct linear_weights {
    struct weight *weight;
    struct weight *bias; /* NULL: none */
};

/* One pre-norm decoder layer with separate q/k/v and a gated MLP. */
struct decoder_layer {
    struct weight *attn_norm, *mlp_norm;
    struct linear_weights q, k, v, o, gate, up, down;
};

struct loaded_weight {
    struct weight *weight;
    const struct ckpt *ckpt;
    const struct ckpt_tensor *tensor; /* NULL for computed vectors and quantised matrices */
    struct quant_matrix *quant;       /* owned; NULL: plain */
};

struct model {
    const struct arch *arch;
    const struct model_config *cfg;
    struct backend *be;
    struct kv *kv;
    struct quant_config quant; /* of this model's linear weights */
    uint32_t n_quantised;      /* of the weights below */
    uint32_t window;           /* sliding attention window, 0: none; set by the architecture */

    struct weight *embed, *final_norm, *head, *inv_freq;
    struct decoder_layer *layer; /* [cfg->n_layer] */
    struct kv_scale *kv_scale;   /* [cfg->n_layer] */

    struct loaded_weight *loaded; /* every weight once, in load order */
    uint32_t n_loaded, cap_loaded;
    struct arena step; /* the running step's program */
};

struct arch {
    const char *model_type;
    /* Refuses what this file does not compute; sets m->window. */
    enum status (*check)(const struct model_config *cfg, struct model *m, struct err *e);
    enum status (*load)(struct model *m, const struct ckpt *ck, struct err *e);
    /* Emits the whole forward; returns the value that holds the logits [n_out, n_vocab]. */
    uint32_t (*forward)(const struct model *m, struct program *p);
};

/* registry.c: NULL when no file serves that model_type. */
const struct arch *arch_find(const char *model_type);
extern const struct arch arch_llama, arch_mistral;

/* ---- quantise.c ---- */
/* What the checkpoint says and what was asked for (QUANT_NONE: nothing) as one, or a sentence where they do
 * not agree. */
MUST_CHECK enum status quant_choose(const struct quant_config *stored, enum quant_method wanted,
                                    struct quant_config *out, struct err *e);

/* ---- loader.c: tensors of the checkpoint become weights of the device ---- */

/* Sticky: after the first failure every call returns NULL and the first error stays. */
struct loader {
    struct model *m;
    const struct ckpt *ck;
    struct err *e;
    enum status status;
};

struct weight *load_matrix(struct loader *l, uint32_t n_row, uint32_t n_col, unsigned roles,
                           const char *name_fmt, ...) PRINTF_LIKE(5, 6);
struct weight *load_vector(struct loader *l, uint32_t n, const char *name_fmt, ...) PRINTF_LIKE(3, 4);
/* `prefix`.weight, plain, stored quantised or quantised on the fly, and, when asked for, `prefix`.bias. */
struct linear_weights load_linear(struct loader *l, uint32_t n_out, uint32_t n_in, bool bias,
                                  const char *prefix_fmt, ...) PRINTF_LIKE(5, 6);
/* The same for a head, which is quantised only where the checkpoint has it so. */
struct weight *load_head(struct loader *l, uint32_t n_out, uint32_t n_in, const char *prefix);
/* What a layer's fp8 keys and values count: `prefix`.k_scale and .v_scale, or .kv_scale for both, one number
 * each; 1 where the checkpoint has none and for stores of other types. */
struct kv_scale load_kv_scale(struct loader *l, const char *prefix_fmt, ...) PRINTF_LIKE(2, 3);
/* A vector that was computed, not stored. */
struct weight *load_computed(struct loader *l, const float *x, uint32_t n, const char *name);
/* inv_freq [d_rope / 2] of the configuration's rope, as transformers computes it. */
struct weight *load_inv_freq(struct loader *l, const struct rope_config *rope, uint32_t d_rope);

/* ---- blocks.c: pieces of a forward that several architectures share ---- */

/* Values that every layer reuses. */
struct decoder_values {
    uint32_t x;    /* residual stream [n_tok, d_model] */
    uint32_t norm; /* normed input of a block [n_tok, d_model] */
    uint32_t q, k, v, attn, rope;
    uint32_t gate, up;
};

struct decoder_values block_values(const struct model *m, struct program *p);
void block_embed(const struct model *m, struct program *p, const struct decoder_values *v);
void block_norm(const struct model *m, struct program *p, const struct weight *scale, uint32_t x, uint32_t y);
/* x += o(attention(rope(q(norm x)), rope(k(norm x)), v(norm x))) */
void block_attention(const struct model *m, struct program *p, const struct decoder_values *v,
                     uint32_t layer);
/* x += down(silu(gate(norm x)) * up(norm x)) */
void block_gated_mlp(const struct model *m, struct program *p, const struct decoder_values *v,
                     uint32_t layer);
/* Logits of the wanted rows. */
uint32_t block_head(const struct model *m, struct program *p, const struct decoder_values *v);

#endif

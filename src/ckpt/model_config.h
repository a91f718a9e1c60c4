/* config.json and generation_config.json of a Hugging Face checkpoint, in one complete, range-checked form.
 *
 * Every family's settings that some architecture file reads stand here; a field that the family does not have
 * keeps its neutral value. Old and new spellings (rope_theta + rope_scaling, rope_parameters) give the same
 * result. */
#ifndef CKPT_MODEL_CONFIG_H
#define CKPT_MODEL_CONFIG_H

#include "quant/matrix.h"

enum rope_kind { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3 };
enum act_kind { ACT_SILU };

struct rope_config {
    enum rope_kind kind;
    float theta;
    float factor;                   /* linear, llama3 */
    float low_freq_factor;          /* llama3 */
    float high_freq_factor;         /* llama3 */
    uint32_t original_max_position; /* llama3 */
};

#define MODEL_MAX_EOS 16

struct model_config {
    char model_type[64];
    char dtype[32]; /* "bfloat16", "float16", "float32" or "" when not stated */
    uint32_t n_layer, n_head, n_kv_head, d_head, d_model, d_ff, n_vocab, max_position;
    uint32_t sliding_window; /* 0: none */
    float norm_eps;
    enum act_kind act;
    struct rope_config rope;
    bool attention_bias, mlp_bias, tie_embeddings;
    int32_t bos_id;                /* below n_vocab; -1: none */
    int32_t eos_id[MODEL_MAX_EOS]; /* distinct, below n_vocab; generation_config.json wins */
    uint32_t n_eos;
    struct quant_config quant; /* QUANT_NONE: plain weights */
};

/* `dir` holds config.json and perhaps generation_config.json. Errors name the file and the field. */
MUST_CHECK enum status model_config_read(const char *dir, struct model_config *out, struct err *e);

#endif

/* Llama (1, 2, 3, 3.1, 3.2 and everything of that shape): pre-norm decoder, rotary positions, grouped-query
 * attention, gated SiLU MLP, optional biases, optionally tied embeddings.
 * The reference is LlamaForCausalLM of transformers. */
#include "model/arch/llama_int.h"

static enum status llama_check(const struct model_config *cfg, struct model *m, struct err *e)
{
    if (cfg->d_head % 2)
        return err_set(e, ST_UNSUPPORTED, "config.json: head_dim %u is odd, rotary positions pair dimensions",
                       cfg->d_head);
    m->window = 0;
    return ST_OK;
}

static void load_layer(struct loader *l, const struct model_config *c, uint32_t i)
{
    struct decoder_layer *w = &l->m->layer[i];
    uint32_t d_q = c->n_head * c->d_head, d_kv = c->n_kv_head * c->d_head;
    bool ab = c->attention_bias, mb = c->mlp_bias;
    w->attn_norm = load_vector(l, c->d_model, "model.layers.%u.input_layernorm.weight", i);
    w->q = load_linear(l, d_q, c->d_model, ab, "model.layers.%u.self_attn.q_proj", i);
    w->k = load_linear(l, d_kv, c->d_model, ab, "model.layers.%u.self_attn.k_proj", i);
    w->v = load_linear(l, d_kv, c->d_model, ab, "model.layers.%u.self_attn.v_proj", i);
    w->o = load_linear(l, c->d_model, d_q, ab, "model.layers.%u.self_attn.o_proj", i);
    l->m->kv_scale[i] = load_kv_scale(l, "model.layers.%u.self_attn", i);
    w->mlp_norm = load_vector(l, c->d_model, "model.layers.%u.post_attention_layernorm.weight", i);
    w->gate = load_linear(l, c->d_ff, c->d_model, mb, "model.layers.%u.mlp.gate_proj", i);
    w->up = load_linear(l, c->d_ff, c->d_model, mb, "model.layers.%u.mlp.up_proj", i);
    w->down = load_linear(l, c->d_model, c->d_ff, mb, "model.layers.%u.mlp.down_proj", i);
}

enum status llama_load(struct model *m, const struct ckpt *ck, struct err *e)
{
    const struct model_config *c = m->cfg;
    struct loader l = {.m = m, .ck = ck, .e = e};
    unsigned roles = c->tie_embeddings ? WEIGHT_EMBED | WEIGHT_LINEAR : WEIGHT_EMBED;
    m->embed = load_matrix(&l, c->n_vocab, c->d_model, roles, "model.embed_tokens.weight");
    m->inv_freq = load_inv_freq(&l, &c->rope, c->d_head);
    for (uint32_t i = 0; i < c->n_layer && l.status == ST_OK; i++)
        load_layer(&l, c, i);
    m->final_norm = load_vector(&l, c->d_model, "model.norm.weight");
    m->head = c->tie_embeddings ? m->embed : load_head(&l, c->n_vocab, c->d_model, "lm_head");
    return l.status;
}

uint32_t llama_forward(const struct model *m, struct program *p)
{
    struct decoder_values v = block_values(m, p);
    block_embed(m, p, &v);
    for (uint32_t i = 0; i < m->cfg->n_layer; i++) {
        block_attention(m, p, &v, i);
        block_gated_mlp(m, p, &v, i);
    }
    return block_head(m, p, &v);
}

const struct arch arch_llama = {
    .model_type = "llama",
    .check = llama_check,
    .load = llama_load,
    .forward = llama_forward,
};

/* Mistral (7B v0.1 to v0.3, Nemo): Llama's tensors and forward with a sliding attention window, a head size
 * of its own and never a bias. The reference is MistralForCausalLM of transformers. */
#include "model/arch/llama_int.h"

static enum status mistral_check(const struct model_config *cfg, struct model *m, struct err *e)
{
    if (cfg->d_head % 2)
        return err_set(e, ST_UNSUPPORTED, "config.json: head_dim %u is odd, rotary positions pair dimensions",
                       cfg->d_head);
    if (cfg->attention_bias || cfg->mlp_bias)
        return err_set(e, ST_UNSUPPORTED, "config.json: a mistral model has no biases, but one is asked for");
    m->window = cfg->sliding_window;
    return ST_OK;
}

const struct arch arch_mistral = {
    .model_type = "mistral",
    .check = mistral_check,
    .load = llama_load,
    .forward = llama_forward,
};

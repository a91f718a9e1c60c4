/* config.json and, after the first NUL byte, generation_config.json from hostile bytes; whatever is accepted
 * keeps the promises of model_config.h. */
#include "ckpt/model_config_int.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *nul = size ? memchr(text, '\0', size) : NULL;
    struct str config = {text, nul ? (size_t)(nul - text) : size}, generation = {"", 0};
    if (nul)
        generation = (struct str){nul + 1, size - config.n - 1};
    struct model_config c;
    struct err e;
    if (model_config_parse(config, generation, &c, &e) != ST_OK)
        return 0;
    BUG_ON(c.n_layer == 0 || c.n_layer > 1000 || c.d_head == 0 || c.n_vocab == 0 || c.max_position == 0);
    BUG_ON(c.n_head == 0 || c.n_kv_head == 0 || c.n_head % c.n_kv_head != 0);
    BUG_ON((uint64_t)c.n_head * c.d_head > 1u << 24);
    BUG_ON(c.n_eos > MODEL_MAX_EOS || c.bos_id < -1 || c.bos_id >= (int32_t)c.n_vocab);
    for (uint32_t i = 0; i < c.n_eos; i++)
        BUG_ON(c.eos_id[i] < 0 || c.eos_id[i] >= (int32_t)c.n_vocab);
    BUG_ON(c.rope.kind == ROPE_LLAMA3 && !(c.rope.high_freq_factor > c.rope.low_freq_factor));
    return 0;
}

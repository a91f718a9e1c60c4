/* What architectures of Llama's shape take from it: the same tensor names and the same forward. */
#ifndef MODEL_ARCH_LLAMA_INT_H
#define MODEL_ARCH_LLAMA_INT_H

#include "model/model_int.h"

MUST_CHECK enum status llama_load(struct model *m, const struct ckpt *ck, struct err *e);
uint32_t llama_forward(const struct model *m, struct program *p);

#endif

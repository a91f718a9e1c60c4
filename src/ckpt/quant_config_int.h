/* What a checkpoint says about the quantisation of its weights. */
#ifndef CKPT_QUANT_CONFIG_INT_H
#define CKPT_QUANT_CONFIG_INT_H

#include "ckpt/config_field_int.h"
#include "quant/matrix.h"

/* `r->object` is quantization_config, compression_config, or the whole of a file of its own, where AWQ and
 * GPTQ once kept it. A kind that is not served is refused with a sentence. */
void quant_config_read(struct field_reader *r, struct quant_config *out);

#endif

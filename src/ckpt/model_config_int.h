/* The parts of a model configuration that can be read without a folder. */
#ifndef CKPT_MODEL_CONFIG_INT_H
#define CKPT_MODEL_CONFIG_INT_H

#include "ckpt/config_field_int.h"
#include "ckpt/model_config.h"

/* `config` and `generation` are the files' contents; `generation` may be empty: no such file. */
MUST_CHECK enum status model_config_parse(struct str config, struct str generation, struct model_config *out,
                                          struct err *e);

/* Both spellings of the rotary settings; out->rope is complete afterwards. Needs out->max_position. */
void rope_config_read(struct field_reader *r, struct model_config *out);

#endif

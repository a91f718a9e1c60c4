/* From options to a loaded model: what `serve` and `logits` have in common. */
#ifndef APP_LOAD_H
#define APP_LOAD_H

#include "app/options.h"
#include "model/model.h"

#define MODEL_DIR_MAX 4096

/* The folder that --model-id names, or the embedded demo model's when there is none (*is_demo). */
MUST_CHECK enum status model_dir_find(const struct options *o, char dir[MODEL_DIR_MAX], bool *is_demo,
                                      struct err *e);

struct loaded_model {
    struct ckpt *ckpt;
    struct backend *backend;
    struct model *model;
};

MUST_CHECK enum status loaded_model_open(const struct options *o, const char *dir, struct loaded_model *out,
                                         struct err *e);
void loaded_model_close(struct loaded_model *lm);

/* "bf16" or "f32": what loaded_model_open() chose. */
const char *compute_name(enum compute_type compute);

#endif

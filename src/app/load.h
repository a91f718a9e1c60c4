/* From options to a loaded model: what `serve` and `logits` have in common. */
#ifndef APP_LOAD_H
#define APP_LOAD_H

#include "app/model_source.h"
#include "model/model.h"

/* The checkpoint in the folder, with its weights from --weights-cache-override when that is given. */
MUST_CHECK enum status checkpoint_open(const struct options *o, const char *dir, struct ckpt **out,
                                       struct err *e);

/* From the options to an open checkpoint: which model, fetched where it is missing. *out is NULL on failure.
 */
MUST_CHECK enum status checkpoint_fetch(const struct options *o, struct model_source *s, struct ckpt **out,
                                        struct err *e);

/* Where digests are remembered: $XDG_CACHE_HOME/prompteur or ~/.cache/prompteur; NULL: nowhere. */
const char *digest_cache_dir(char out[MODEL_DIR_MAX]);

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

/* A loaded model: weights on a device, a KV store, and one forward step.
 *
 * model_step() belongs to one thread at a time (the engine's). */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "backend/backend.h"
#include "ckpt/ckpt.h"
#include <stdatomic.h>

struct model;

/* Supported model_type values, comma-separated. */
const char *model_type_names(void);

/* Checks every tensor's presence and shape: the error names file and tensor. Reads no weights yet but scales
 * (a device maps or copies them later, see model_settle), so it is quick. Borrows `ck` and `be`, which must
 * outlive the model. `quantise`: the method asked for; QUANT_NONE: as the checkpoint says. */
MUST_CHECK enum status model_load(const struct ckpt *ck, struct backend *be, enum quant_method quantise,
                                  struct model **out, struct err *e);
void model_free(struct model *m);

const struct model_config *model_config(const struct model *m);
const struct backend *model_backend(const struct model *m);
/* Of the linear weights. When on_the_fly they are computed anew for each use until they have settled. */
const struct quant_config *model_quant(const struct model *m);
/* Memory that the weights take once they have settled. */
uint64_t model_weight_bytes(const struct model *m);

/* Puts all weights into the device's fastest form, one by one; may run on its own thread beside model_step().
 * Polls *cancel between weights (ST_CANCELLED). `progress` may be NULL. */
MUST_CHECK enum status model_settle(struct model *m, const atomic_bool *cancel,
                                    void (*progress)(void *arg, uint32_t done, uint32_t total), void *arg,
                                    struct err *e);

/* Device bytes of one KV page over all layers. */
uint64_t model_kv_page_bytes(const struct model *m);
/* Once, before the first step: n_page pages and working memory for steps of up to max_rows tokens and max_out
 * rows of logits. */
MUST_CHECK enum status model_reserve(struct model *m, uint32_t n_page, uint32_t max_rows, uint32_t max_out,
                                     struct err *e);

/* Computes the batch: writes its keys and values, and gives logits [n_out, n_vocab], valid until the next
 * step. Allocates nothing after model_reserve(). */
MUST_CHECK enum status model_step(struct model *m, const struct batch *in, const float **logits,
                                  struct err *e);

#endif

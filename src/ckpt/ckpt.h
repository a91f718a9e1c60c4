/* A checkpoint on disk: Hugging Face folder -> configuration and named tensors, mapped read-only.
 *
 * Nothing is copied: tensor data points into file mappings that live until ckpt_close(). Everything in the
 * files is hostile: sizes, offsets, names and shapes are checked before a tensor is handed out, and a damaged
 * file gives one sentence naming file and tensor. Read-only after opening: any thread may look things up. */
#ifndef CKPT_CKPT_H
#define CKPT_CKPT_H

#include "ckpt/model_config.h"
#include "quant/tensor.h"
#include <stdatomic.h>

#define CKPT_MAX_DIMS TENSOR_MAX_DIMS

struct ckpt_tensor {
    struct str name;
    enum elem_type type;
    uint32_t n_dim;
    uint64_t dim[CKPT_MAX_DIMS]; /* outermost first */
    uint64_t n_bytes;            /* exactly the product of dims times the element size */
    const void *data;            /* aligned to the element size */
    const char *file;            /* base name of the file that holds it, for messages */
};

struct ckpt;

/* Reads the configuration, maps model.safetensors or the shards named by model.safetensors.index.json. */
MUST_CHECK enum status ckpt_open(const char *dir, struct ckpt **out, struct err *e);
/* The same with the weight files of another folder (NULL: the same one), which is then ckpt_dir(). */
MUST_CHECK enum status ckpt_open_with(const char *dir, const char *weights_dir, struct ckpt **out,
                                      struct err *e);
void ckpt_close(struct ckpt *c);

/* Rotary positions divided by `factor` (above 0) from now on, instead of scaled as the checkpoint says.
 * Before any other thread reads the configuration. */
void ckpt_set_linear_rope(struct ckpt *c, float factor);

const char *ckpt_dir(const struct ckpt *c);
const struct model_config *ckpt_config(const struct ckpt *c);
/* All in dtypes of this build, in file order; of codes, `type` means nothing. */
size_t ckpt_n_tensors(const struct ckpt *c);
const struct ckpt_tensor *ckpt_tensor_at(const struct ckpt *c, size_t i);
/* NULL when there is none, or none in an element format of this build: such tensors stop only those who need
 * them. */
const struct ckpt_tensor *ckpt_find(const struct ckpt *c, struct str name);
/* The tensor of exactly this shape, or one sentence with tensor and file: missing, unsupported dtype, wrong
 * shape. */
MUST_CHECK enum status ckpt_require(const struct ckpt *c, struct str name, uint32_t n_dim,
                                    const uint64_t *dims, const struct ckpt_tensor **out, struct err *e);
/* A tensor of numbers or codes; false when there is none of that name, or none in a dtype of this build. */
bool ckpt_find_stored(const struct ckpt *c, struct str name, struct quant_tensor *out);
/* The same for the quantised formats; valid as long as `c`. */
struct quant_source ckpt_quant_source(const struct ckpt *c);
uint64_t ckpt_weight_bytes(const struct ckpt *c);

/* The pages that lie wholly inside a tensor's data are no longer needed in memory (they stay readable). Any
 * thread. */
void ckpt_release_pages(const struct ckpt *c, const void *data, uint64_t n_bytes);

/* ---- identity of the weights ---- */

#define CKPT_DIGEST_HEX 65

/* SHA-256 over the weight files: SHA-256 of the concatenation, in name order, of "<sha256 hex>  <base
 * name>\n" per file (what `sha256sum *.safetensors | sha256sum` prints). Slow on large files: run it in the
 * background. Each file's digest is cached beside its size and mtime under `cache_dir` (NULL: no cache); a
 * cache that cannot be written is not an error. *cancel is polled; ST_CANCELLED when it becomes true. */
MUST_CHECK enum status ckpt_digest(const struct ckpt *c, const char *cache_dir, const atomic_bool *cancel,
                                   char out[CKPT_DIGEST_HEX], struct err *e);

#define CKPT_FINGERPRINT_BYTES 20

/* "fp_" and 16 hexadecimal digits from `build` (a version and what else names a build), every tensor's name,
 * dtype, shape and place, the files' sizes and a few blocks of each: quick, and the same until one of them
 * changes. */
MUST_CHECK enum status ckpt_fingerprint(const struct ckpt *c, const char *build,
                                        char out[CKPT_FINGERPRINT_BYTES], struct err *e);

#endif

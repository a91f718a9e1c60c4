/* One safetensors file: 8 bytes little-endian header length, a JSON header, tensor data to the end of the
 * file. */
#ifndef CKPT_SAFETENSORS_INT_H
#define CKPT_SAFETENSORS_INT_H

#include "base/arena.h"
#include "ckpt/ckpt.h"

/* Why a tensor that lies soundly in its file cannot be handed out as numbers: this build does not know its
 * dtype, its elements are codes that mean something only to a quantised format, or it is not aligned. */
enum tensor_problem { TENSOR_OK, TENSOR_DTYPE, TENSOR_CODES, TENSOR_UNALIGNED };

struct safetensors_entry {
    struct ckpt_tensor t;     /* t.type means nothing with TENSOR_CODES, t.n_bytes too with TENSOR_DTYPE */
    enum tensor_dtype stored; /* not with TENSOR_DTYPE */
    struct str dtype;         /* as the header has it */
    uint64_t offset;          /* of the data, from the start of the file */
    enum tensor_problem problem;
};

struct safetensors_list {
    struct safetensors_entry *entry; /* in the order of their data, in `arena` with all names */
    size_t n;
};

/* `bytes` is the whole file, which the entries point into; `file` is its base name and must live as long. */
MUST_CHECK enum status safetensors_parse(const void *bytes, size_t n_bytes, const char *file,
                                         struct arena *arena, struct safetensors_list *out, struct err *e);

#endif

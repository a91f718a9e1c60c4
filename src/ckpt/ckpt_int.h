/* The parts of an open checkpoint, shared by this module's files. */
#ifndef CKPT_CKPT_INT_H
#define CKPT_CKPT_INT_H

#include "base/arena.h"
#include "base/map.h"
#include "ckpt/ckpt.h"
#include "ckpt/safetensors_int.h"

struct weight_file {
    char *name; /* base name, in the arena */
    void *map;  /* NULL when not mapped */
    size_t n_bytes;
    struct safetensors_list tensors;
};

/* What model.safetensors.index.json says. */
struct shard_index {
    char **file; /* base names, each once, in name order */
    size_t n_file;
    struct shard_entry {
        struct str tensor;
        size_t file;
    } *entry;
    size_t n_entry;
};

struct ckpt {
    char *dir; /* in the arena, as all that follows */
    struct model_config config;
    struct arena arena;
    struct weight_file *file; /* in name order */
    size_t n_file;
    struct safetensors_entry **usable; /* numbers and codes, in file order */
    size_t n_usable;
    struct map by_name; /* -> struct safetensors_entry *, the unusable ones too */
    uint64_t weight_bytes;
};

#define SINGLE_FILE "model.safetensors"
#define INDEX_FILE  "model.safetensors.index.json"

/* Everything is allocated in `arena`. Names are checked to be plain file names, nothing is opened. */
MUST_CHECK enum status shard_index_parse(struct str text, struct arena *arena, struct shard_index *out,
                                         struct err *e);

#endif

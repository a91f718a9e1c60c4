/* The shard index from hostile bytes; no accepted name may lead out of the folder. */
#include "ckpt/ckpt_int.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct shard_index index;
    struct err e;
    arena_init(&arena, (size_t)64 << 20);
    if (shard_index_parse((struct str){(const char *)data, size}, &arena, &index, &e) == ST_OK) {
        for (size_t i = 0; i < index.n_file; i++)
            BUG_ON(strchr(index.file[i], '/') || index.file[i][0] == '.');
        for (size_t i = 0; i < index.n_entry; i++)
            BUG_ON(index.entry[i].file >= index.n_file);
    }
    arena_fini(&arena);
    return 0;
}

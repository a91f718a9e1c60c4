/* The safetensors header from hostile bytes; whatever is accepted must lie inside them. */
#include "ckpt/safetensors_int.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* of the exact size: one byte too far is seen */
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    struct arena arena;
    struct safetensors_list list;
    struct err e;
    arena_init(&arena, (size_t)64 << 20);
    if (safetensors_parse(copy, size, "fuzz.safetensors", &arena, &list, &e) == ST_OK) {
        volatile uint8_t sink = 0;
        for (size_t i = 0; i < list.n; i++) {
            const struct ckpt_tensor *t = &list.entry[i].t;
            const uint8_t *p = t->data;
            for (uint64_t k = 0; k < t->n_bytes; k++)
                sink ^= p[k];
        }
    }
    arena_fini(&arena);
    free(copy);
    return 0;
}

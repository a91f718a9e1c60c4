/* How much memory the KV cache may take, and why, in a sentence for people. */
#ifndef APP_KV_MEMORY_H
#define APP_KV_MEMORY_H

#include "app/options.h"

#define KV_MEMORY_WHY_MAX 256

struct kv_memory {
    uint64_t bytes;
    char why[KV_MEMORY_WHY_MAX];
};

/* Weights count although they are mapped: once packed they are memory like any other. */
struct kv_memory kv_memory_plan(const struct options *o, uint64_t weight_bytes);

#endif

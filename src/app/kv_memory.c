/* The KV cache's share: what --kv-memory says, else a part of what this machine, or the control group that
 * the process is in, leaves beside the weights. Decided once, at the start. */
#include "app/kv_memory.h"
#include "app/memory.h"
#include <inttypes.h>
#include <stdio.h>

#define MIB(n) ((n) >> 20)

struct kv_memory kv_memory_plan(const struct options *o, uint64_t weight_bytes)
{
    struct kv_memory plan;
    if (option_is_set(o, OPT_KV_MEMORY)) {
        plan.bytes = option_u64(o, OPT_KV_MEMORY, 0) << 20;
        snprintf(plan.why, sizeof plan.why, "--kv-memory allows %" PRIu64 " MiB", MIB(plan.bytes));
        return plan;
    }
    uint64_t free_bytes = memory_available_bytes(),
             left = free_bytes > weight_bytes ? free_bytes - weight_bytes : 0;
    /* The rest is for requests, buffers and other processes. */
    double share = option_f64(o, OPT_WIGGLE_ROOM, 0.9) * option_f64(o, OPT_CUDA_MEMORY_FRACTION, 1);
    plan.bytes = (uint64_t)((double)left * share);
    snprintf(plan.why, sizeof plan.why,
             "%" PRIu64 " MiB are free, the weights take %" PRIu64
             " MiB of them, the KV cache may have %.0f %% of the "
             "rest: %" PRIu64 " MiB",
             MIB(free_bytes), MIB(weight_bytes), share * 100, MIB(plan.bytes));
    return plan;
}

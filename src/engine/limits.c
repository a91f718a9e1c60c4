/* Limits: what the user gave, what the model and the memory allow, and TGI's rules between them. */
#include "engine/engine_int.h"

static uint32_t least(uint64_t a, uint64_t b)
{
    uint64_t x = a < b ? a : b;
    return x > UINT32_MAX ? UINT32_MAX : (uint32_t)x;
}

/* Rounded up: what is missing is never nothing. */
static unsigned long long mib(uint64_t bytes)
{
    return (bytes + (1u << 20) - 1) >> 20;
}

static enum status check_rules(const struct engine_limits *l, uint64_t page_bytes, struct err *e)
{
    if (l->max_input_tokens >= l->max_total_tokens)
        return err_set(e, ST_INVALID, "`max_input_tokens`(%u) must be < `max_total_tokens`(%u)",
                       l->max_input_tokens, l->max_total_tokens);
    if (l->max_total_tokens > l->max_batch_total_tokens) {
        uint64_t pages = ((uint64_t)l->max_total_tokens + l->page_tokens - 1) / l->page_tokens;
        return err_set(
            e, ST_LIMIT,
            "Not enough memory to handle `max_total_tokens=%u`: one such request needs %llu MiB of KV "
            "cache, which may hold %u tokens in %llu MiB, %llu MiB too few. Give it more (--kv-memory, a "
            "larger limit of the container), or lower --max-total-tokens",
            l->max_total_tokens, mib(pages * page_bytes), l->max_batch_total_tokens, mib(l->kv_bytes),
            mib(pages * page_bytes - l->kv_bytes));
    }
    return ST_OK;
}

enum status engine_derive_limits(const struct model_config *cfg, uint32_t page_tokens, uint64_t page_bytes,
                                 uint32_t max_rows, const struct engine_options *o, struct engine_limits *out,
                                 struct err *e)
{
    uint64_t by_memory = o->kv_memory_bytes / page_bytes, n_page = by_memory;
    if (o->max_batch_total_tokens && o->max_total_tokens > o->max_batch_total_tokens)
        return err_set(e, ST_INVALID,
                       "`max_total_tokens` must be <= `max_batch_total_tokens`. Given: %u and %u",
                       o->max_total_tokens, o->max_batch_total_tokens);
    if (o->max_batch_total_tokens)
        n_page = least(n_page, ((uint64_t)o->max_batch_total_tokens + page_tokens - 1) / page_tokens);
    if (n_page < 2)
        return err_set(e, ST_LIMIT,
                       "the KV cache may take %llu bytes, but one page of %u tokens takes %llu: give it more "
                       "(--kv-memory, "
                       "--max-batch-total-tokens)",
                       (unsigned long long)o->kv_memory_bytes, page_tokens, (unsigned long long)page_bytes);
    uint32_t total =
        o->max_total_tokens ? o->max_total_tokens : least(cfg->max_position, n_page * page_tokens);
    /* More pages than all requests together can fill would never be used. */
    n_page = least(n_page, (uint64_t)o->max_concurrent_requests * ((total + page_tokens - 1) / page_tokens));
    *out = (struct engine_limits){
        .max_total_tokens = total,
        .max_input_tokens = o->max_input_tokens ? o->max_input_tokens : total - 1,
        .max_batch_total_tokens = least(n_page * page_tokens, UINT32_MAX),
        .max_batch_size = o->max_batch_size ? least(o->max_batch_size, o->max_concurrent_requests)
                                            : o->max_concurrent_requests,
        .n_page = (uint32_t)n_page,
        .page_tokens = page_tokens,
        .kv_bytes = n_page * page_bytes,
    };
    if (out->max_batch_size > (max_rows - 1) / (1 + o->speculate))
        out->max_batch_size = (max_rows - 1) / (1 + o->speculate);
    out->max_batch_prefill_tokens =
        o->max_batch_prefill_tokens ? o->max_batch_prefill_tokens : least(4096, cfg->max_position);
    return check_rules(out, page_bytes, e);
}

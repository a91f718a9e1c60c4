/* Bodies of generation requests: parsed, validated, or refused with a sentence. */
#include "api/gen_request.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct gen_limits limits = {.max_best_of = 2,
                                             .max_stop_sequences = 4,
                                             .max_top_n_tokens = 5,
                                             .max_input_tokens = 100,
                                             .max_total_tokens = 200};
    struct arena arena;
    struct gen_request r;
    struct err e = {0};
    uint32_t n_new;
    arena_init(&arena, 1u << 24);
    struct json_doc *doc = NULL;
    enum status st = shape_parse((struct str){(const char *)data, size}, &doc, &e);
    if (st == ST_OK)
        st = gen_request_read(json_root(doc), false, &arena, &r, &e);
    json_free(doc);
    if (st == ST_OK)
        st = gen_request_validate(&r, &limits, size % 2, &e);
    if (st == ST_OK)
        st = gen_request_fit(&r, &limits, 1 + (uint32_t)size % 150, &n_new, &e);
    if (st == ST_OK && (n_new == 0 || 1 + size % 150 + n_new > limits.max_total_tokens))
        abort();
    if (st != ST_OK && !*e.text)
        abort();
    arena_fini(&arena);
    return 0;
}

/* Bodies of the routes that generate: read as their route reads them, then validated, or refused with a
 * sentence. The first byte says which route. */
#include "api/generation_int.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char words[] =
    "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"a\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2}},"
    "\"added_tokens\":[]}";
static const char turns[] =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ tools }}{{ more }}";

static void model_new(struct api_model *m)
{
    static struct tokenizer *t;
    static struct chat *chat;
    struct err e;
    if (!t && (tokenizer_from_json(str_from(words), &t, &e) != ST_OK ||
               chat_from_source(str_from(turns), &chat, &e) != ST_OK))
        abort();
    m->tokenizer = t;
    m->chat = chat;
}

/* As generation.c's worker does. */
static void read_and_validate(struct generation *g)
{
    struct json_doc *doc;
    enum status st = shape_parse(g->body, &doc, &g->err);
    if (st == ST_OK) {
        st = g->wire->read(g, json_root(doc));
        json_free(doc);
        if (st == ST_OK && g->n_prompt == 0)
            abort();
    }
    for (uint32_t i = 0; i < g->n_prompt && st == ST_OK; i++) {
        struct gen_prompt *p = &g->prompt[i];
        st = gen_request_validate(&p->request, &g->api->limits, g->streams, &g->err);
        if (st == ST_OK)
            st = gen_request_fit(&p->request, &g->api->limits, 1 + (uint32_t)g->body.n % 150, &p->n_new,
                                 &g->err);
        if (st == ST_OK && p->n_new == 0)
            abort();
    }
    if (st != ST_OK && !*g->reason && g->failure != API_SUFFIX) /* that one's sentence is fixed */
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct gen_wire *const wires[] = {&wire_compat, &wire_chat, &wire_completions,
                                                   &wire_invocation, &wire_vertex};
    struct api a = {.o = {.model_id = "m", .max_client_batch_size = 4, .max_concurrent_requests = 8},
                    .limits = {.max_best_of = 2,
                               .max_stop_sequences = 4,
                               .max_top_n_tokens = 5,
                               .max_input_tokens = 100,
                               .max_total_tokens = 200},
                    .n_free = 0};
    struct generation *in_flight[1], *g = size ? calloc(1, sizeof *g) : NULL;
    uint32_t free_index[1];
    if (!g)
        return 0;
    a.in_flight = in_flight;
    a.free_index = free_index;
    a.o.strict_openai = data[0] & 0x80;
    model_new(&a.model);
    *g = (struct generation){.api = &a, .wire = wires[data[0] % 5], .failure = API_SHAPE_ERROR};
    g->reason = g->err.text;
    arena_init(&g->arena, 1u << 24);
    g->body = (struct str){(const char *)data + 1, size - 1};
    read_and_validate(g);
    generation_free(g);
    return 0;
}

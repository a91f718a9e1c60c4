/* GET /health, /ping and /: may requests be sent here?
 *
 * While answers come the engine is well, and nobody waits for it. After an answer has failed, a health check
 * asks for one token, as TGI does, and the response is what becomes of it. */
#include "api/api_int.h"
#include <stdlib.h>
#include <string.h>

static void respond(struct api *a, struct http_req *r, bool well)
{
    if (well)
        http_respond(r, 200, NULL, STR(""), NULL, 0);
    else
        api_respond_error(a, r, API_UNHEALTHY, NULL);
}

static enum status submit_probe(struct api *a)
{
    struct err e;
    struct tokens tokens;
    struct engine_handle h;
    enum status st =
        tokenizer_encode(a->model.tokenizer, STR("liveness"), TOKENIZER_ADD_SPECIAL, &tokens, &e);
    if (st != ST_OK)
        return st;
    struct engine_request er = {.ids = tokens.ids,
                                .n_ids = (uint32_t)tokens.n,
                                .max_new_tokens = 1,
                                .params = sample_params_default(),
                                .owner = a->events,
                                .tag = API_PROBE_TAG};
    bool fits = tokens.n > 0 && tokens.n < a->limits.max_total_tokens;
    st = fits ? engine_acquire(a->model.engine, &h) : ST_LIMIT;
    if (st == ST_OK) {
        st = engine_submit(a->model.engine, h, &er, &e);
        if (st == ST_OK)
            tokens.ids = NULL;
        else
            engine_release(a->model.engine, h);
    }
    tokens_fini(&tokens);
    return st;
}

void api_probe_ended(struct api *a, bool well)
{
    struct http_req *r = http_req_find(a->server, a->probe);
    a->probing = false;
    if (r)
        respond(a, r, well);
}

void handle_health(struct http_req *r, void *api)
{
    struct api *a = api;
    bool serves = a->ready && !http_server_draining(a->server);
    if (!serves || !a->failing) {
        respond(a, r, serves);
        return;
    }
    if (a->probing || submit_probe(a) != ST_OK) {
        respond(a, r, false);
        return;
    }
    a->probing = true;
    a->probe = http_req_handle(r);
}

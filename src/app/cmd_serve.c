/* prompteur serve: listen at once, load beside it, serve, drain.
 *
 * The main thread is the I/O loop. One background thread fetches and loads the model, reports it ready, then
 * puts the weights into their fastest form and computes their digest. */
#define LOG_MODULE "serve"
#include "api/api.h"
#include "app/build.h"
#include "app/commands.h"
#include "app/kv_memory.h"
#include "app/listen_host.h"
#include "app/load.h"
#include "app/memory.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_NS             5000000000u /* between two lines about it */
#define REQUESTS_BEYOND_PERMITS 1024        /* being tokenized or refused while all permits are taken */

struct serve {
    const struct options *o;
    struct model_source source; /* its folder is the loader thread's */
    uint64_t begin_ns;
    struct http_server *server;
    struct api *api;

    /* the loader thread's, until it is joined */
    struct thread loader;
    atomic_bool cancel;
    struct loaded_model lm;
    struct tokenizer *tokenizer;
    struct chat *chat; /* NULL: none, for this reason */
    char no_chat[ERR_TEXT_MAX];
    char fingerprint[CKPT_FINGERPRINT_BYTES];
    char digest[CKPT_DIGEST_HEX]; /* empty: not known yet */
    struct engine *engine;
    enum status load_status;
    struct inbox *load_inbox;
    struct inbox_node load_failed;

    unsigned n_signals;
};

/* ---- loading, on its own thread ---- */

static struct engine_options engine_options_from(const struct serve *s, uint64_t kv_bytes)
{
    const struct options *o = s->o;
    const struct model_config *cfg = model_config(s->lm.model);
    struct engine_options eo = {
        .max_concurrent_requests = (uint32_t)option_u64(o, OPT_MAX_CONCURRENT_REQUESTS, 128),
        .max_input_tokens = (uint32_t)option_u64(o, OPT_MAX_INPUT_TOKENS, 0),
        .max_total_tokens = (uint32_t)option_u64(o, OPT_MAX_TOTAL_TOKENS, 0),
        .max_batch_prefill_tokens = (uint32_t)option_u64(o, OPT_MAX_BATCH_PREFILL_TOKENS, 0),
        .max_batch_total_tokens = (uint32_t)option_u64(o, OPT_MAX_BATCH_TOTAL_TOKENS, 0),
        .max_batch_size = (uint32_t)option_u64(o, OPT_MAX_BATCH_SIZE, 0),
        .kv_memory_bytes = kv_bytes,
        .max_top_tokens = (uint32_t)option_u64(o, OPT_MAX_TOP_N_TOKENS, 5),
        .speculate = (uint32_t)option_u64(o, OPT_SPECULATE, 0),
        .prefix_caching = option_flag(o, OPT_PREFIX_CACHING),
        .n_eos = cfg->n_eos,
    };
    memcpy(eo.eos_id, cfg->eos_id, sizeof eo.eos_id);
    int32_t eos = tokenizer_eos(s->tokenizer);
    if (eo.n_eos <= 1 && eos >= 0) { /* TGI: generation_config's list, else the tokenizer's own token */
        eo.eos_id[0] = eos;
        eo.n_eos = 1;
    }
    return eo;
}

static enum status load(struct serve *s, struct err *e)
{
    enum status st = model_source_fetch(s->o, &s->source, false, &s->cancel, e);
    if (st == ST_OK)
        st = loaded_model_open(s->o, s->source.dir, &s->lm, e);
    if (st == ST_OK)
        st = model_source_verify(&s->source, s->lm.ckpt, &s->cancel, s->digest, e);
    if (st == ST_OK)
        st = tokenizer_open_with(s->source.dir, option_text(s->o, OPT_TOKENIZER_CONFIG_PATH), &s->tokenizer,
                                 e);
    if (st != ST_OK)
        return st;
    st = ckpt_fingerprint(s->lm.ckpt, build_name, s->fingerprint, e);
    if (st != ST_OK)
        return st;
    struct kv_memory kv = kv_memory_plan(s->o, model_weight_bytes(s->lm.model));
    struct engine_options eo = engine_options_from(s, kv.bytes);
    st = engine_new(s->lm.model, &eo, &s->engine, e);
    if (st != ST_OK)
        return st == ST_LIMIT ? err_prefix(e, "%s", kv.why) : st;
    const struct engine_limits *l = engine_limits(s->engine);
    if (!eo.max_batch_prefill_tokens)
        log_info("Default `max_batch_prefill_tokens` to %u", l->max_batch_prefill_tokens);
    log_info("KV cache: %" PRIu64
             " MiB reserved for %u tokens in %s; at most %u tokens a request, %u of them "
             "prompt; %u sequences at once (%s)",
             l->kv_bytes >> 20, l->max_batch_total_tokens,
             elem_format_get(model_backend(s->lm.model)->caps.kv)->name, l->max_total_tokens,
             l->max_input_tokens, l->max_batch_size, kv.why);
    return ST_OK;
}

/* A model without a usable chat template serves all the same; conversations are refused with the reason. */
static void load_chat(struct serve *s)
{
    struct err e;
    enum status st = chat_new(s->tokenizer, &s->chat, &e);
    snprintf(s->no_chat, sizeof s->no_chat, "%s", st == ST_NOT_FOUND ? "template not found" : e.text);
    if (st != ST_OK && st != ST_NOT_FOUND)
        log_warn("conversations are refused: %s", e.text);
}

static void tell_ready(const struct serve *s)
{
    const char *host = option_text(s->o, OPT_HOSTNAME);
    unsigned port = http_server_port(s->server);
    const struct backend_caps *caps = &model_backend(s->lm.model)->caps;
    log_info("Connected: ready after %" PRIu64 " ms on %s (%s)", (clock_ns() - s->begin_ns) / 1000000,
             caps->name, caps->description);
    if (s->source.origin == MODEL_DEMO)
        log_info("serving the embedded demo model, which tells small stories and knows a little about "
                 "prompteur; for a real one: prompteur --model-id DIR_OR_ID");
    log_info("listening on http://%s:%u; try: curl http://127.0.0.1:%u/generate -H 'Content-Type: "
             "application/json' -d "
             "'{\"inputs\":\"Once upon a time\",\"parameters\":{\"max_new_tokens\":40}}'",
             host, port, port);
    if (!option_flag(s->o, OPT_DISABLE_UI))
        log_info("talk to it in a browser: http://127.0.0.1:%u/ui", port);
}

static void log_progress(void *arg, uint32_t done, uint32_t total)
{
    uint64_t *told_ns = arg, now_ns = clock_ns();
    if (now_ns - *told_ns < PROGRESS_NS)
        return;
    *told_ns = now_ns;
    log_info("weights: %u of %u packed", done, total);
}

static void settle(struct serve *s)
{
    struct err e;
    uint64_t begin = clock_ns(), told = begin;
    enum status st = model_settle(s->lm.model, &s->cancel, log_progress, &told, &e);
    if (st == ST_OK)
        log_info("weights packed after %" PRIu64 " ms", (clock_ns() - begin) / 1000000);
    else if (st != ST_CANCELLED)
        log_warn("weights stay unpacked, answers are the same but slower: %s", e.text);
}

static void digest(struct serve *s)
{
    char dir[MODEL_DIR_MAX];
    struct err e;
    enum status st = ST_OK;
    if (!s->digest[0])
        st = ckpt_digest(s->lm.ckpt, digest_cache_dir(dir), &s->cancel, s->digest, &e);
    if (st == ST_OK) {
        log_info("weights sha256 %s", s->digest);
        api_post_digest(s->api, s->digest);
    } else if (st != ST_CANCELLED) {
        log_warn("the weights' digest could not be computed: %s", e.text);
    }
}

static void loader_main(void *arg)
{
    struct serve *s = arg;
    struct err e = {0};
    s->load_status = load(s, &e);
    if (s->load_status != ST_OK) {
        if (s->load_status == ST_CANCELLED) {
            log_info("%s", e.text);
            s->load_status = ST_OK; /* as asked */
        } else {
            log_error("%s", e.text);
        }
        inbox_post(s->load_inbox, &s->load_failed);
        return;
    }
    load_chat(s);
    /* Until then each step would quantise all weights anew. */
    bool settle_first = model_quant(s->lm.model)->on_the_fly;
    if (settle_first)
        settle(s);
    const struct api_model model = {.engine = s->engine,
                                    .tokenizer = s->tokenizer,
                                    .chat = s->chat,
                                    .no_chat = s->no_chat,
                                    .device = model_backend(s->lm.model)->caps.name,
                                    .dtype = model_config(s->lm.model)->dtype,
                                    .commit = s->source.commit[0] ? s->source.commit : NULL,
                                    .fingerprint = s->fingerprint};
    bool is_verified = s->digest[0] != '\0';
    if (is_verified)
        digest(s);
    api_post_ready(s->api, &model);
    tell_ready(s);
    if (!settle_first)
        settle(s);
    if (!is_verified)
        digest(s);
}

/* ---- the loop ---- */

static void on_load_failed(void *arg, struct inbox_node *node)
{
    struct serve *s = arg;
    (void)node;
    http_server_drain(s->server, 0);
}

static void on_signal(void *arg, int number)
{
    struct serve *s = arg;
    uint64_t seconds = option_u64(s->o, OPT_GRACEFUL_TIMEOUT, 90);
    atomic_store(&s->cancel, true);
    if (s->n_signals++) {
        log_warn("%s again: running requests are cut", strsignal(number));
        http_server_drain(s->server, 0);
        return;
    }
    log_info("%s: no new connections; running requests have %" PRIu64 " s to finish", strsignal(number),
             seconds);
    http_server_drain(s->server, (uint32_t)seconds * 1000);
}

/* A port for scrapers. Somebody else's there is no reason not to serve: the main port has the metrics too. */
static void open_metrics_port(struct serve *s)
{
    struct err e;
    size_t n;
    const struct http_route *routes = api_metrics_routes(&n);
    uint16_t port = (uint16_t)option_u64(s->o, OPT_PROMETHEUS_PORT, 9000);
    if (port == http_server_port(s->server))
        return;
    if (port && http_server_listen(s->server, port, routes, n, &e) != ST_OK)
        log_warn("no port for metrics alone: %s; they are at /metrics of port %u (another one: "
                 "--prometheus-port PORT, none: 0)",
                 e.text, http_server_port(s->server));
}

static struct api_options api_options_from(const struct serve *s)
{
    const struct options *o = s->o;
    uint32_t permits = (uint32_t)option_u64(o, OPT_MAX_CONCURRENT_REQUESTS, 128);
    return (struct api_options){
        .model_id = s->source.id,
        .version = PROMPTEUR_VERSION,
        .compute_type = option_text(o, OPT_COMPUTE_TYPE),
        .max_concurrent_requests = permits,
        .max_requests = permits + REQUESTS_BEYOND_PERMITS,
        .max_best_of = (uint32_t)option_u64(o, OPT_MAX_BEST_OF, 2),
        .strict_openai = option_flag(o, OPT_STRICT_OPENAI),
        .prefill_logprobs = option_flag(o, OPT_ENABLE_PREFILL_LOGPROBS),
        .disable_ui = option_flag(o, OPT_DISABLE_UI),
        .max_stop_sequences = (uint32_t)option_u64(o, OPT_MAX_STOP_SEQUENCES, 4),
        .max_top_n_tokens = (uint32_t)option_u64(o, OPT_MAX_TOP_N_TOKENS, 5),
        .max_client_batch_size = (uint32_t)option_u64(o, OPT_MAX_CLIENT_BATCH_SIZE, 4),
        .watermark_gamma = option_f64(o, OPT_WATERMARK_GAMMA, 0.5),
        .watermark_delta = (float)option_f64(o, OPT_WATERMARK_DELTA, 2),
        .validation_workers = (uint32_t)option_u64(o, OPT_VALIDATION_WORKERS, 2),
        .max_waiting_tokens = (uint32_t)option_u64(o, OPT_MAX_WAITING_TOKENS, 20),
        .waiting_served_ratio = option_f64(o, OPT_WAITING_SERVED_RATIO, 0.3),
        .predict_route = option_text(o, OPT_PREDICT_ROUTE),
        .health_route = option_text(o, OPT_HEALTH_ROUTE),
    };
}

static struct http_options http_options_from(const struct serve *s)
{
    const struct options *o = s->o;
    struct http_options ho = http_options_default();
    ho.host = listen_host(o);
    ho.port = (uint16_t)option_u64(o, OPT_PORT, 3000);
    ho.routes = api_routes(s->api, &ho.n_routes);
    ho.arg = s->api;
    ho.max_body_bytes = option_u64(o, OPT_PAYLOAD_LIMIT, 2000000);
    ho.max_connections = (uint32_t)option_u64(o, OPT_MAX_CONNECTIONS, ho.max_connections);
    ho.idle_timeout_ms = (uint32_t)(option_u64(o, OPT_IDLE_TIMEOUT, ho.idle_timeout_ms / 1000) * 1000);
    ho.api_key = option_text(o, OPT_API_KEY);
    ho.allow_origins = option_is_set(o, OPT_CORS_ALLOW_ORIGIN) ? o->value[OPT_CORS_ALLOW_ORIGIN].list : NULL;
    ho.n_allow_origins = o->value[OPT_CORS_ALLOW_ORIGIN].n_list;
    ho.metrics = api_metrics(s->api);
    return ho;
}

static enum status open_server(struct serve *s, struct err *e)
{
    const struct api_options ao = api_options_from(s);
    enum status st = api_new(&ao, &s->api, e);
    if (st != ST_OK)
        return st;
    const struct http_options ho = http_options_from(s);
    if (strcmp(ho.host, option_text(s->o, OPT_HOSTNAME)) != 0)
        log_warn("Invalid hostname, defaulting to %s: `%s` is no IP address", ho.host,
                 option_text(s->o, OPT_HOSTNAME));
    http_server_set_workers(ao.validation_workers);
    st = http_server_new(&ho, &s->server, e);
    if (st == ST_OK)
        open_metrics_port(s);
    if (st == ST_OK)
        st = api_attach(s->api, s->server, e);
    if (st == ST_OK)
        st = http_server_inbox(s->server, on_load_failed, s, &s->load_inbox, e);
    return st == ST_OK ? http_server_on_signal(s->server, on_signal, s, e) : st;
}

int command_serve(const struct options *o)
{
    struct serve *s = calloc(1, sizeof *s);
    struct err e = {0};
    if (!s)
        return EXIT_FAILURE;
    s->o = o;
    s->begin_ns = clock_ns();
    enum status st = model_source_read(o, &s->source, &e);
    if (st == ST_OK)
        st = open_server(s, &e);
    if (st == ST_OK)
        st = thread_start(&s->loader, "loader", loader_main, s, &e);
    if (st != ST_OK) {
        log_error("%s", e.text);
    } else {
        http_server_run(s->server);
        atomic_store(&s->cancel, true);
        thread_join(&s->loader);
        st = s->load_status;
        log_info("stopped");
    }
    engine_free(s->engine);
    api_free(s->api);
    http_server_free(s->server);
    chat_free(s->chat);
    tokenizer_free(s->tokenizer);
    loaded_model_close(&s->lm);
    free(s);
    return st == ST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Rules between options, in the order and words of TGI's launcher, router and shard.
 *
 * First other names of a setting are brought together, so that each rule and everybody who reads an option
 * sees one. Last comes what this version does not do: a contradiction is told before a missing feature. */
#include "app/options_int.h"
#include <inttypes.h>
#include <string.h>

static bool is_given(const struct options *o, enum option_id id)
{
    return o->value[id].source > OPTION_DEFAULT;
}

/* ---- names of one setting ---- */

static enum status fold_max_input(struct options *o, struct err *e)
{
    struct option_value *newer = &o->value[OPT_MAX_INPUT_TOKENS], *older = &o->value[OPT_MAX_INPUT_LENGTH];
    if (!is_given(o, OPT_MAX_INPUT_LENGTH))
        return ST_OK;
    if (is_given(o, OPT_MAX_INPUT_TOKENS))
        return err_set(e, ST_INVALID,
                       "Both `max_input_tokens` (%s) and `max_input_length` (%s) are set. Please define only "
                       "`max_input_tokens` as `max_input_length is deprecated for naming consistency.",
                       newer->text, older->text);
    *newer = *older;
    return ST_OK;
}

/* TGI's router takes its tokenizer from here and knows no other model. */
static enum status fold_tokenizer_name(struct options *o, struct err *e)
{
    const struct option_value *name = &o->value[OPT_TOKENIZER_NAME];
    if (!is_given(o, OPT_TOKENIZER_NAME))
        return ST_OK;
    if (is_given(o, OPT_MODEL_ID) && strcmp(o->value[OPT_MODEL_ID].text, name->text) != 0)
        return err_set(e, ST_UNSUPPORTED,
                       "--tokenizer-name `%s` and --model-id `%s` differ: a model is served with its own "
                       "tokenizer by this version",
                       name->text, o->value[OPT_MODEL_ID].text);
    o->value[OPT_MODEL_ID] = *name;
    return ST_OK;
}

/* SageMaker's containers listen on 8080 whatever their image says; Vertex AI tells the port. */
static void fold_port(struct options *o)
{
    struct option_value *port = &o->value[OPT_PORT];
    const char *model_from = o->value[OPT_MODEL_ID].variable;
    if (is_given(o, OPT_VERTEX_PORT))
        *port = o->value[OPT_VERTEX_PORT];
    else if (port->source != OPTION_FLAG && model_from && strcmp(model_from, "HF_MODEL_ID") == 0)
        *port = (struct option_value){
            .source = OPTION_ENVIRONMENT, .variable = model_from, .text = "8080", .u64 = 8080};
}

static void fold_log(struct options *o)
{
    if (is_given(o, OPT_LOGGER_LEVEL))
        o->value[OPT_LOG_LEVEL] = o->value[OPT_LOGGER_LEVEL];
    if (option_is_set(o, OPT_LOG_FORMAT) && o->value[OPT_JSON_OUTPUT].source != OPTION_FLAG)
        o->value[OPT_JSON_OUTPUT].flag |= strcmp(option_text(o, OPT_LOG_FORMAT), "json") == 0;
}

static enum status fold_names(struct options *o, struct err *e)
{
    enum status st = fold_max_input(o, e);
    if (st == ST_OK)
        st = fold_tokenizer_name(o, e);
    fold_port(o);
    fold_log(o);
    return st;
}

/* ---- contradictions ---- */

static enum status check_token_limits(const struct options *o, struct err *e)
{
    uint64_t input = option_u64(o, OPT_MAX_INPUT_TOKENS, 0),
             total = option_u64(o, OPT_MAX_TOTAL_TOKENS, UINT64_MAX),
             prefill = option_u64(o, OPT_MAX_BATCH_PREFILL_TOKENS, 0),
             batch = option_u64(o, OPT_MAX_BATCH_TOTAL_TOKENS, UINT64_MAX);
    if (input >= total)
        return err_set(e, ST_INVALID,
                       "`max_input_tokens`(%" PRIu64 ") must be < `max_total_tokens`(%" PRIu64 ")", input,
                       total);
    if (total != UINT64_MAX && total > batch)
        return err_set(e, ST_INVALID,
                       "`max_total_tokens` must be <= `max_batch_total_tokens`. Given: %" PRIu64
                       " and %" PRIu64,
                       total, batch);
    if (prefill > batch)
        return err_set(e, ST_INVALID,
                       "`max_batch_prefill_tokens` must be <= `max_batch_total_tokens`. Given: %" PRIu64
                       " and %" PRIu64,
                       prefill, batch);
    return ST_OK;
}

static enum status check_counts(const struct options *o, struct err *e)
{
    if (option_u64(o, OPT_VALIDATION_WORKERS, 1) == 0)
        return err_set(e, ST_INVALID, "`validation_workers` must be > 0");
    if (option_u64(o, OPT_MAX_BATCH_SIZE, 1) == 0)
        return err_set(e, ST_INVALID, "`max_batch_size` must be > 0");
    return ST_OK;
}

/* Entries of the first list of devices that is set; what only a driver could count ("all") is 0. */
static unsigned count_devices(const struct options *o)
{
    static const enum option_id lists[] = {OPT_CUDA_DEVICES, OPT_NVIDIA_DEVICES, OPT_INTEL_DEVICES};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const char *text = option_text(o, lists[i]);
        if (!text)
            continue;
        unsigned n = *text && strcmp(text, "all") != 0 && strcmp(text, "void") != 0;
        for (const char *p = text; n && (p = strchr(p, ',')); p++)
            n++;
        return n;
    }
    return 0;
}

static enum status check_shards(const struct options *o, struct err *e)
{
    uint64_t shards = option_u64(o, OPT_NUM_SHARD, 1);
    const char *quantize = option_text(o, OPT_QUANTIZE);
    if (quantize && strcmp(quantize, "exl2") == 0 && (option_flag(o, OPT_SHARDED) || shards > 1))
        return err_set(e, ST_INVALID, "Sharding is currently not supported with `exl2` quantization");
    if (option_flag(o, OPT_SHARDED) && is_given(o, OPT_NUM_SHARD) && shards <= 1)
        return err_set(e, ST_INVALID, "`sharded` is true but `num_shard` <= 1");
    if (option_flag(o, OPT_SHARDED) && !is_given(o, OPT_NUM_SHARD) && count_devices(o) <= 1)
        return err_set(e, ST_INVALID, "`sharded` is true but only found %u CUDA devices", count_devices(o));
    if (shards < 1)
        return err_set(e, ST_INVALID, "`num_shard` cannot be < 1");
    return ST_OK;
}

static enum status check_ngrok(const struct options *o, struct err *e)
{
    if (!option_flag(o, OPT_NGROK))
        return ST_OK;
    if (!option_is_set(o, OPT_NGROK_AUTHTOKEN))
        return err_set(e, ST_INVALID, "`ngrok-authtoken` must be set when using ngrok tunneling");
    if (!option_is_set(o, OPT_NGROK_EDGE))
        return err_set(e, ST_INVALID, "`ngrok-edge` must be set when using ngrok tunneling");
    return ST_OK;
}

/* "name", "name=path", "name=org/model@revision", comma between. */
static enum status check_lora(const struct options *o, struct err *e)
{
    const char *text = option_text(o, OPT_LORA_ADAPTERS);
    for (const char *p = text; p && *p;) {
        struct str entry = {p, strcspn(p, ",")};
        size_t at = str_find(entry, STR("@"), 0);
        if (at != SIZE_MAX && str_find(entry, STR("@"), at + 1) != SIZE_MAX)
            return err_set(e, ST_INVALID, "Invalid LoRA adapter format: " STR_FMT, STR_ARG(entry));
        p += entry.n;
        p += *p == ',';
    }
    return ST_OK;
}

static enum status check_number_types(const struct options *o, struct err *e)
{
    const char *quantize = option_text(o, OPT_QUANTIZE);
    if (option_is_set(o, OPT_DTYPE) && quantize && strncmp(quantize, "bitsandbytes", 12) != 0)
        return err_set(e, ST_INVALID,
                       "Only 1 can be set between `dtype` and `quantize`, as they both decide how goes the "
                       "final model.");
    return ST_OK;
}

/* ---- what only this program checks ---- */

static bool is_plain_text(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}

static enum status check_path(const struct options *o, enum option_id id, struct err *e)
{
    const char *path = option_text(o, id);
    if (path && (path[0] != '/' || !is_plain_text(path) || strpbrk(path, " ?#")))
        return err_set(e, ST_INVALID, "environment variable %s: `%s` is not a path such as /predict",
                       option_rows[id].env, path);
    return ST_OK;
}

static enum status check_texts(const struct options *o, struct err *e)
{
    const char *key = option_text(o, OPT_API_KEY);
    if (key && (!*key || !is_plain_text(key)))
        return err_set(e, ST_INVALID, "`api_key` is empty or has bytes that no header can carry");
    if (!is_plain_text(option_text(o, OPT_COMPUTE_TYPE)))
        return err_set(e, ST_INVALID, "COMPUTE_TYPE has bytes that no header can carry");
    enum status st = check_path(o, OPT_PREDICT_ROUTE, e);
    return st == ST_OK ? check_path(o, OPT_HEALTH_ROUTE, e) : st;
}

/* ---- what is not served ---- */

/* An empty text asks for nothing. Values are not repeated where they may be secrets. */
static enum status refuse(const struct options *o, enum option_id id, struct err *e)
{
    const struct option_row *row = &option_rows[id];
    const char *text = o->value[id].text;
    char name[OPTION_NAME_MAX];
    if (option_says_default(o, id) || (row->type == TEXT && !*text))
        return ST_OK;
    option_name(name, o, id);
    if (row->def && row->type != SWITCH)
        return err_set(e, ST_UNSUPPORTED, "%s: `%s` is not served by this version, only `%s` is. %s", name,
                       text, row->def, row->help);
    return err_set(e, ST_UNSUPPORTED, "%s is not served by this version; leave it out. %s", name, row->help);
}

static enum status check_served(const struct options *o, struct err *e)
{
    const char *scaling = option_text(o, OPT_ROPE_SCALING);
    if (scaling && strcmp(scaling, "dynamic") == 0)
        return err_set(e, ST_UNSUPPORTED,
                       "--rope-scaling: `dynamic` is not served by this version, only `linear` is");
    const char *quantize = option_text(o, OPT_QUANTIZE);
    if (quantize && (strcmp(quantize, "marlin") == 0 || strcmp(quantize, "exl2") == 0)) {
        char name[OPTION_NAME_MAX];
        option_name(name, o, OPT_QUANTIZE);
        return err_set(e, ST_UNSUPPORTED,
                       "%s: `%s` is a layout for one kind of GPU, not served by this version; give the "
                       "model's gptq, awq or 16-bit checkpoint",
                       name, quantize);
    }
    const char *bucket = option_text(o, OPT_STORAGE_URI);
    if (bucket && *bucket && !option_is_set(o, OPT_MODEL_ID))
        return err_set(
            e, ST_UNSUPPORTED,
            "environment variable AIP_STORAGE_URI: models are not read from buckets by this version; give "
            "the folder of one (MODEL_ID)");
    enum status st = ST_OK;
    for (unsigned id = 0; id < OPT_COUNT && st == ST_OK; id++)
        if (option_rows[id].state == NOT_YET)
            st = refuse(o, id, e);
    return st;
}

enum status options_check(struct options *o, struct err *e)
{
    static enum status (*const rules[])(const struct options *, struct err *) = {
        check_token_limits, check_counts,       check_shards, check_ngrok,
        check_lora,         check_number_types, check_texts,  check_served,
    };
    enum status st = fold_names(o, e);
    for (size_t i = 0; i < sizeof rules / sizeof *rules && st == ST_OK; i++)
        st = rules[i](o, e);
    return st;
}

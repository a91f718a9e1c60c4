/* config.json and generation_config.json in one checked form.
 *
 * Defaults are those of transformers' configuration classes, because files leave out what equals them: a
 * family whose architecture is served has a row in `families`. Of other families only the dimensions are
 * read, so that the model layer can say that it does not know the type; their settings are not judged. */
#include "base/buf.h"
#include "ckpt/model_config_int.h"
#include "ckpt/quant_config_int.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_FILE      "config.json"
#define GENERATION_FILE  "generation_config.json"
#define MAX_CONFIG_BYTES (16u << 20)
#define MAX_PATH_BYTES   4096
#define DEFAULT_BOS      1 /* of both families, when config.json says nothing */
#define DEFAULT_EOS      2
#define MAX_HEADS        4096
#define MAX_HEAD_DIM     4096
#define MAX_POSITIONS    (1u << 30)

struct family {
    const char *model_type;
    uint32_t n_kv_head; /* when absent; 0: as many as heads */
    uint32_t max_position;
    uint32_t sliding_window; /* when absent */
    bool has_window, has_biases;
};

static const struct family families[] = {
    {.model_type = "llama", .max_position = 2048, .has_biases = true},
    {.model_type = "mistral",
     .n_kv_head = 8,
     .max_position = 131072,
     .sliding_window = 4096,
     .has_window = true},
};

static const struct family *family_find(const char *model_type)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strcmp(families[i].model_type, model_type) == 0)
            return &families[i];
    return NULL;
}

/* A family that is not served rarely has the fields of one that is: then the family is the news. */
static void require(struct field_reader *r, const struct family *family, const struct model_config *out)
{
    static const char *const core[] = {"num_hidden_layers", "num_attention_heads", "hidden_size",
                                       "intermediate_size", "vocab_size"};
    for (size_t i = 0; i < sizeof core / sizeof core[0]; i++) {
        if (field_is_set(r, core[i]))
            continue;
        if (family)
            field_fail(r, ST_INVALID, "`%s` is missing", core[i]);
        else
            field_fail(r, ST_UNSUPPORTED, "model_type `%s` is not served (it has no `%s`)", out->model_type,
                       core[i]);
    }
}

static void read_dimensions(struct field_reader *r, const struct family *family, struct model_config *out)
{
    require(r, family, out);
    field_u32(r, "num_hidden_layers", 1, 1000, &out->n_layer);
    field_u32(r, "num_attention_heads", 1, MAX_HEADS, &out->n_head);
    field_u32(r, "hidden_size", 1, 1u << 20, &out->d_model);
    field_u32(r, "intermediate_size", 1, 1u << 22, &out->d_ff);
    field_u32(r, "vocab_size", 1, 1u << 24, &out->n_vocab);
    out->max_position = family ? family->max_position : 2048;
    field_u32(r, "max_position_embeddings", 1, MAX_POSITIONS, &out->max_position);
    if (r->status != ST_OK)
        return;
    bool kv_absent = field_is_absent(r, "num_key_value_heads");
    out->n_kv_head = kv_absent && family && family->n_kv_head ? family->n_kv_head : out->n_head;
    field_u32(r, "num_key_value_heads", 1, MAX_HEADS, &out->n_kv_head);
    if (out->n_head % out->n_kv_head)
        field_fail(r, ST_INVALID, "`num_attention_heads` %u is not a multiple of `num_key_value_heads` %u",
                   out->n_head, out->n_kv_head);
    out->d_head = out->d_model / out->n_head;
    if (!field_is_set(r, "head_dim") && out->d_model % out->n_head)
        field_fail(r, ST_INVALID, "`hidden_size` %u is not a multiple of `num_attention_heads` %u",
                   out->d_model, out->n_head);
    if (out->d_head > MAX_HEAD_DIM && !field_is_set(r, "head_dim"))
        field_fail(r, ST_INVALID, "`hidden_size` / `num_attention_heads` is %u, more than %d", out->d_head,
                   MAX_HEAD_DIM);
    field_u32(r, "head_dim", 1, MAX_HEAD_DIM, &out->d_head);
}

static void read_settings(struct field_reader *r, const struct family *family, struct model_config *out)
{
    char act[32] = "silu";
    out->norm_eps = 1e-6f;
    field_f32(r, "rms_norm_eps", 0, 1, &out->norm_eps);
    field_bool(r, "tie_word_embeddings", &out->tie_embeddings);
    if (family->has_biases) {
        field_bool(r, "attention_bias", &out->attention_bias);
        field_bool(r, "mlp_bias", &out->mlp_bias);
    }
    if (family->has_window) {
        out->sliding_window = field_is_absent(r, "sliding_window") ? family->sliding_window : 0;
        field_u32(r, "sliding_window", 1, UINT32_MAX, &out->sliding_window);
    }
    field_text(r, "hidden_act", act, sizeof act);
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        field_fail(r, ST_UNSUPPORTED, "`hidden_act` \"%s\" is not served for model_type `%s`; served is silu",
                   act, out->model_type);
    rope_config_read(r, out);
}

static void read_quant(struct field_reader *r, struct model_config *out)
{
    static const char *const names[][2] = {{"quantization_config", "quantization_config."},
                                           {"compression_config", "compression_config."}};
    for (size_t i = 0; i < sizeof names / sizeof *names && out->quant.method == QUANT_NONE; i++) {
        const struct json_val *q = field_object(r, names[i][0]);
        struct field_reader in = {.file = r->file, .path = names[i][1], .object = q, .e = r->e};
        if (!q)
            continue;
        quant_config_read(&in, &out->quant);
        if (r->status == ST_OK)
            r->status = in.status;
    }
}

static void read_dtype(struct field_reader *r, struct model_config *out)
{
    char text[64] = "";
    field_text(r, field_is_set(r, "dtype") ? "dtype" : "torch_dtype", text, sizeof text);
    const char *name = strncmp(text, "torch.", 6) == 0 ? text + 6 : text;
    snprintf(out->dtype, sizeof out->dtype, "%.*s", (int)sizeof out->dtype - 1, name);
}

/* -1 is an old spelling of "none". */
static bool token_id(struct field_reader *r, const char *name, const struct json_val *v, int32_t *out)
{
    int64_t id;
    if (!json_i64(v, &id) || id < -1 || id > INT32_MAX) {
        field_fail(r, ST_INVALID, "`%s` is not a token id or a list of them", name);
        return false;
    }
    *out = (int32_t)id;
    return true;
}

static void add_eos(struct field_reader *r, const struct json_val *v, struct model_config *out)
{
    int32_t id;
    if (!token_id(r, "eos_token_id", v, &id) || id < 0 || (uint32_t)id >= out->n_vocab)
        return; /* an id outside the vocabulary is never generated */
    for (uint32_t i = 0; i < out->n_eos; i++)
        if (out->eos_id[i] == id)
            return;
    if (out->n_eos == MODEL_MAX_EOS)
        field_fail(r, ST_LIMIT, "`eos_token_id` lists more than %d tokens", MODEL_MAX_EOS);
    else
        out->eos_id[out->n_eos++] = id;
}

static void read_eos(struct field_reader *r, struct model_config *out)
{
    const struct json_val *eos = json_get(r->object, STR("eos_token_id"));
    out->n_eos = 0;
    if (!json_is(eos, JSON_ARRAY)) {
        add_eos(r, eos, out);
        return;
    }
    struct json_iter it = json_iter(eos);
    const struct json_val *v;
    while ((v = json_next(&it, NULL)))
        add_eos(r, v, out);
}

/* Fields that are absent or null leave what is there. */
static void read_special_ids(struct field_reader *r, struct model_config *out)
{
    if (field_is_set(r, "eos_token_id"))
        read_eos(r, out);
    if (!field_is_set(r, "bos_token_id"))
        return;
    const struct json_val *bos = json_get(r->object, STR("bos_token_id"));
    if (token_id(r, "bos_token_id", json_is(bos, JSON_ARRAY) ? json_at(bos, 0) : bos, &out->bos_id) &&
        out->bos_id >= 0 && (uint32_t)out->bos_id >= out->n_vocab)
        field_fail(r, ST_INVALID, "`bos_token_id` %d is not below `vocab_size` %u", out->bos_id,
                   out->n_vocab);
}

static void default_special_ids(const struct field_reader *r, const struct family *family,
                                struct model_config *out)
{
    out->bos_id = -1;
    if (family && field_is_absent(r, "bos_token_id") && out->n_vocab > DEFAULT_BOS)
        out->bos_id = DEFAULT_BOS;
    if (family && field_is_absent(r, "eos_token_id") && out->n_vocab > DEFAULT_EOS)
        out->eos_id[out->n_eos++] = DEFAULT_EOS;
}

static enum status read_config(const struct json_val *root, struct model_config *out, struct err *e)
{
    struct field_reader r = {.file = CONFIG_FILE, .path = "", .object = root, .e = e};
    if (!json_is(root, JSON_OBJECT))
        field_fail(&r, ST_INVALID, "not a JSON object");
    field_text(&r, "model_type", out->model_type, sizeof out->model_type);
    if (!out->model_type[0])
        field_fail(&r, ST_INVALID, "`model_type` is missing");
    if (r.status != ST_OK)
        return r.status;
    const struct family *family = family_find(out->model_type);
    read_dimensions(&r, family, out);
    read_dtype(&r, out);
    if (family) {
        read_settings(&r, family, out);
        read_quant(&r, out);
    }
    default_special_ids(&r, family, out);
    read_special_ids(&r, out);
    return r.status;
}

static enum status document_parse(struct str text, const char *file, struct json_doc **out, struct err *e)
{
    enum status st = json_parse(text, 0, out, e);
    if (st != ST_OK)
        (void)err_prefix(e, "%s", file);
    return st;
}

enum status model_config_parse(struct str config, struct str generation, struct model_config *out,
                               struct err *e)
{
    *out = (struct model_config){.bos_id = -1};
    struct json_doc *doc;
    enum status st = document_parse(config, CONFIG_FILE, &doc, e);
    if (st != ST_OK)
        return st;
    st = read_config(json_root(doc), out, e);
    json_free(doc);
    if (st != ST_OK || generation.n == 0)
        return st;
    st = document_parse(generation, GENERATION_FILE, &doc, e);
    if (st != ST_OK)
        return st;
    struct field_reader r = {.file = GENERATION_FILE, .path = "", .object = json_root(doc), .e = e};
    if (!json_is(r.object, JSON_OBJECT))
        field_fail(&r, ST_INVALID, "not a JSON object");
    read_special_ids(&r, out);
    json_free(doc);
    return r.status;
}

/* A file that is not there leaves `b` empty; `present` tells. */
static enum status read_optional(const char *dir, const char *name, struct buf *b, bool *present,
                                 struct err *e)
{
    char path[MAX_PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || n >= MAX_PATH_BYTES)
        return err_set(e, ST_LIMIT, "%s: the path is longer than %d bytes", name, MAX_PATH_BYTES);
    *present = access(path, F_OK) == 0;
    return *present ? buf_read_file(b, path, e) : ST_OK;
}

/* GPTQ and AWQ once kept what config.json now has in `quantization_config` in files of their own. */
static enum status read_legacy_quant(const char *dir, struct model_config *out, struct err *e)
{
    static const char *const names[] = {"quantize_config.json", "quant_config.json"};
    enum status st = ST_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && st == ST_OK && out->quant.method == QUANT_NONE;
         i++) {
        struct buf text;
        struct json_doc *doc;
        bool present;
        buf_init(&text, MAX_CONFIG_BYTES);
        st = read_optional(dir, names[i], &text, &present, e);
        if (st == ST_OK && present && (st = document_parse(buf_str(&text), names[i], &doc, e)) == ST_OK) {
            struct field_reader r = {.file = names[i], .path = "", .object = json_root(doc), .e = e};
            quant_config_read(&r, &out->quant);
            st = r.status;
            json_free(doc);
        }
        buf_fini(&text);
    }
    return st;
}

enum status model_config_read(const char *dir, struct model_config *out, struct err *e)
{
    *out = (struct model_config){.bos_id = -1};
    struct buf config, generation;
    bool has_config, has_generation;
    buf_init(&config, MAX_CONFIG_BYTES);
    buf_init(&generation, MAX_CONFIG_BYTES);
    enum status st = read_optional(dir, CONFIG_FILE, &config, &has_config, e);
    if (st == ST_OK && !has_config)
        st = err_set(e, ST_NOT_FOUND, "no " CONFIG_FILE ": not a Hugging Face checkpoint folder");
    if (st == ST_OK)
        st = read_optional(dir, GENERATION_FILE, &generation, &has_generation, e);
    if (st == ST_OK && has_generation && generation.n == 0)
        st = err_set(e, ST_INVALID, GENERATION_FILE ": the file is empty");
    if (st == ST_OK)
        st = model_config_parse(buf_str(&config), buf_str(&generation), out, e);
    if (st == ST_OK)
        st = read_legacy_quant(dir, out, e);
    buf_fini(&config);
    buf_fini(&generation);
    return st;
}

/* Loading: options -> folder -> checkpoint -> device -> model. */
#define LOG_MODULE "load"
#include "app/load.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *compute_name(enum compute_type compute)
{
    return compute == COMPUTE_F32 ? "f32" : "bf16";
}

/* --compute decides, then --dtype, then the checkpoint: float32 weights deserve float32 sums of float32
 * products. */
static enum compute_type compute_choice(const struct options *o, const struct model_config *cfg)
{
    const char *compute = option_text(o, OPT_COMPUTE);
    if (compute)
        return strcmp(compute, "f32") == 0 ? COMPUTE_F32 : COMPUTE_BF16;
    if (option_is_set(o, OPT_DTYPE))
        return COMPUTE_BF16;
    return strcmp(cfg->dtype, "float32") == 0 ? COMPUTE_F32 : COMPUTE_BF16;
}

static enum kv_type kv_choice(const struct options *o)
{
    enum kv_type kv;
    BUG_ON(!kv_type_find(option_text(o, OPT_KV_CACHE_DTYPE), &kv)); /* options.def lists the same names */
    return kv;
}

/* As TGI reads the two flags: either alone means linear scaling, without a factor by 1. */
static void override_rope(const struct options *o, struct ckpt *c)
{
    if (option_is_set(o, OPT_ROPE_SCALING) || option_is_set(o, OPT_ROPE_FACTOR))
        ckpt_set_linear_rope(c, (float)option_f64(o, OPT_ROPE_FACTOR, 1));
}

/* What --quantize names; QUANT_NONE without it. */
static enum quant_method quantise_choice(const struct options *o)
{
    const char *name = option_text(o, OPT_QUANTIZE);
    enum quant_method method = QUANT_NONE;
    BUG_ON(name && !quant_method_find(str_from(name), &method)); /* the others were refused */
    return method;
}

static void log_weights(const struct model *m)
{
    const struct quant_config *q = model_quant(m);
    log_info("weights: %s%s, %" PRIu64 " MiB once they are packed",
             q->method == QUANT_NONE ? "as the checkpoint has them" : quant_method_name(q->method),
             q->on_the_fly ? ", quantised while loading" : "", model_weight_bytes(m) >> 20);
}

enum status checkpoint_open(const struct options *o, const char *dir, struct ckpt **out, struct err *e)
{
    const char *weights_dir = option_text(o, OPT_WEIGHTS_CACHE_OVERRIDE);
    return ckpt_open_with(dir, weights_dir && *weights_dir ? weights_dir : NULL, out, e);
}

enum status checkpoint_fetch(const struct options *o, struct model_source *s, struct ckpt **out,
                             struct err *e)
{
    *out = NULL;
    enum status st = model_source_read(o, s, e);
    if (st == ST_OK)
        st = model_source_fetch(o, s, false, NULL, e);
    return st == ST_OK ? checkpoint_open(o, s->dir, out, e) : st;
}

const char *digest_cache_dir(char out[MODEL_DIR_MAX])
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (base && *base)
        snprintf(out, MODEL_DIR_MAX, "%s/prompteur", base);
    else if (home && *home)
        snprintf(out, MODEL_DIR_MAX, "%s/.cache/prompteur", home);
    else
        return NULL;
    return out;
}

enum status loaded_model_open(const struct options *o, const char *dir, struct loaded_model *out,
                              struct err *e)
{
    *out = (struct loaded_model){0};
    enum status st = checkpoint_open(o, dir, &out->ckpt, e);
    if (st == ST_OK) {
        override_rope(o, out->ckpt);
        struct backend_options bo = {.compute = compute_choice(o, ckpt_config(out->ckpt)),
                                     .kv = kv_choice(o),
                                     .n_threads = (unsigned)option_u64(o, OPT_THREADS, 0),
                                     .isa = option_text(o, OPT_ISA)};
        st = backend_open(option_text(o, OPT_BACKEND), &bo, &out->backend, e);
    }
    if (st == ST_OK)
        st = model_load(out->ckpt, out->backend, quantise_choice(o), &out->model, e);
    if (st == ST_OK)
        log_weights(out->model);
    if (st != ST_OK)
        loaded_model_close(out);
    return st;
}

void loaded_model_close(struct loaded_model *lm)
{
    model_free(lm->model);
    backend_close(lm->backend);
    ckpt_close(lm->ckpt);
    *lm = (struct loaded_model){0};
}

/* quantization_config in all its spellings, range-checked, as one struct quant_config.
 *
 * Only what changes the meaning of a tensor is read. Lists of modules that were left alone (ignore,
 * modules_to_not_convert) are not: a module's own tensors tell (quant/matrix.c). What this build would read
 * wrongly is refused here, before a tensor is looked at. */
#include "ckpt/quant_config_int.h"
#include <stdio.h>
#include <string.h>

#define TEXT_MAX_BYTES 64
#define BLOCK_MAX      65536

static bool text_is(const char *text, const char *const *names)
{
    for (; *names; names++)
        if (str_eq_nocase(str_from(text), str_from(*names)))
            return true;
    return false;
}

#define TEXT_IS(text, ...) text_is(text, (const char *const[]){__VA_ARGS__, NULL})

/* The field must be one of the names when it is there. */
static void require_text(struct field_reader *r, const char *name, const char *const *served)
{
    char text[TEXT_MAX_BYTES] = "";
    field_text(r, name, text, sizeof text);
    if (r->status == ST_OK && text[0] && !text_is(text, served))
        field_fail(r, ST_UNSUPPORTED, "`%s%s` \"%s\" is not served; served is %s", r->path, name, text,
                   served[0]);
}

#define REQUIRE_TEXT(r, name, ...) require_text(r, name, (const char *const[]){__VA_ARGS__, NULL})

/* -1 and null: all of a row. */
static void read_group_size(struct field_reader *r, const char *name, uint32_t *out)
{
    int64_t n;
    *out = 0;
    if (!field_is_set(r, name))
        return;
    if (!json_i64(json_get(r->object, str_from(name)), &n) || n == 0 || n < -1 || n > QUANT_GROUP_MAX)
        field_fail(r, ST_INVALID, "`%s%s` is not -1 or a number of columns up to %u", r->path, name,
                   QUANT_GROUP_MAX);
    else
        *out = n < 0 ? 0 : (uint32_t)n;
}

static void read_bits(struct field_reader *r, const char *name, uint32_t *out)
{
    if (!field_is_set(r, name))
        field_fail(r, ST_INVALID, "`%s%s` is missing", r->path, name);
    field_u32(r, name, 1, 32, out);
    if (r->status == ST_OK && *out != 4 && *out != 8)
        field_fail(r, ST_UNSUPPORTED, "`%s%s` is %u; served are 4 and 8", r->path, name, *out);
}

/* Two sizes, as a list or, in old files, as text: [128, 128], "128x128". */
static void read_block(struct field_reader *r, const char *name, struct quant_config *out)
{
    const struct json_val *v = json_get(r->object, str_from(name));
    struct str text;
    uint64_t n[2] = {0, 0};
    bool ok = json_len(v) == 2 && json_u64(json_at(v, 0), &n[0]) && json_u64(json_at(v, 1), &n[1]);
    if (json_is_none(v))
        return;
    if (json_str(v, &text)) {
        size_t x = str_find(text, STR("x"), 0);
        ok = x != SIZE_MAX && str_to_u64((struct str){text.p, x}, &n[0]) &&
             str_to_u64((struct str){text.p + x + 1, text.n - x - 1}, &n[1]);
    }
    for (int i = 0; i < 2; i++)
        ok &= n[i] >= 1 && n[i] <= BLOCK_MAX;
    if (!ok)
        field_fail(r, ST_INVALID, "`%s%s` is not a pair of sizes from 1 to %d", r->path, name, BLOCK_MAX);
    out->block_rows = (uint32_t)n[0];
    out->block_cols = (uint32_t)n[1];
}

static void read_gptq(struct field_reader *r, struct quant_config *out)
{
    char format[TEXT_MAX_BYTES] = "gptq";
    bool marlin = false;
    out->method = QUANT_GPTQ;
    read_bits(r, "bits", &out->bits);
    read_group_size(r, "group_size", &out->group_size);
    field_bool(r, "is_marlin_format", &marlin);
    field_text(r, "checkpoint_format", format, sizeof format);
    REQUIRE_TEXT(r, "pack_dtype", "int32");
    out->plain_zeros = TEXT_IS(format, "gptq_v2");
    if (marlin || !TEXT_IS(format, "gptq", "gptq_v2"))
        field_fail(r, ST_UNSUPPORTED,
                   "`%scheckpoint_format` \"%s\" is not served; served are gptq and gptq_v2", r->path,
                   marlin ? "marlin" : format);
    if (json_len(json_get(r->object, STR("dynamic"))) > 0)
        field_fail(r, ST_UNSUPPORTED, "`%sdynamic`: settings of single modules are not served", r->path);
}

static void read_awq(struct field_reader *r, struct quant_config *out)
{
    bool legacy = field_is_set(r, "w_bit");
    out->method = QUANT_AWQ;
    read_bits(r, legacy ? "w_bit" : "bits", &out->bits);
    if (r->status == ST_OK && out->bits != 4)
        field_fail(r, ST_UNSUPPORTED, "`%sbits` is %u; AWQ is served with 4", r->path, out->bits);
    read_group_size(r, legacy ? "q_group_size" : "group_size", &out->group_size);
    REQUIRE_TEXT(r, "version", "gemm");
    REQUIRE_TEXT(r, "backend", "autoawq");
}

static void read_fp8(struct field_reader *r, struct quant_config *out)
{
    out->method = QUANT_FP8;
    REQUIRE_TEXT(r, "fmt", "e4m3");
    read_block(r, "weight_block_size", out);
}

static void read_bitsandbytes(struct field_reader *r, struct quant_config *out)
{
    char type[TEXT_MAX_BYTES] = "fp4"; /* transformers' default */
    bool in_8bit = false, in_4bit = false;
    field_bool(r, "load_in_8bit", &in_8bit);
    field_bool(r, "load_in_4bit", &in_4bit);
    field_text(r, "bnb_4bit_quant_type", type, sizeof type);
    REQUIRE_TEXT(r, "bnb_4bit_quant_storage", "uint8");
    if (in_8bit || !in_4bit)
        field_fail(r, ST_UNSUPPORTED,
                   "`%sload_in_8bit`: weights stored in bitsandbytes' 8 bits are not served; give the 16-bit "
                   "checkpoint with --quantize bitsandbytes",
                   r->path);
    if (!TEXT_IS(type, "nf4", "fp4"))
        field_fail(r, ST_UNSUPPORTED, "`%sbnb_4bit_quant_type` \"%s\" is not served; served are nf4 and fp4",
                   r->path, type);
    out->method = TEXT_IS(type, "nf4") ? QUANT_BITSANDBYTES_NF4 : QUANT_BITSANDBYTES_FP4;
}

/* ---- compressed-tensors ---- */

#define SERVED_FORMATS "float-quantized", "int-quantized", "pack-quantized", "naive-quantized", "dense"

/* The scheme of one group of modules. Where groups differ, the tensors' shapes must tell. */
static void read_scheme(struct field_reader *group, bool is_first, struct quant_config *out)
{
    struct field_reader r = *group;
    r.object = field_object(group, "weights");
    if (!r.object)
        return;
    struct quant_config c = {0};
    char type[TEXT_MAX_BYTES] = "int";
    uint32_t bits = 8;
    r.path = "quantization_config.config_groups.weights.";
    field_text(&r, "type", type, sizeof type);
    if (field_is_set(&r, "num_bits"))
        read_bits(&r, "num_bits", &bits);
    read_group_size(&r, "group_size", &c.group_size);
    read_block(&r, "block_structure", &c);
    if (!TEXT_IS(type, "int", "float") || (TEXT_IS(type, "float") && bits != 8))
        field_fail(&r, ST_UNSUPPORTED, "`%stype` \"%s\" of %u bits is not served", r.path, type, bits);
    out->bits = is_first || out->bits == bits ? bits : 0;
    out->group_size = is_first || out->group_size == c.group_size ? c.group_size : 0;
    out->block_rows = c.block_rows ? c.block_rows : out->block_rows;
    out->block_cols = c.block_cols ? c.block_cols : out->block_cols;
    group->status = r.status;
}

static void read_compressed(struct field_reader *r, struct quant_config *out)
{
    const struct json_val *groups = field_object(r, "config_groups"), *v;
    struct json_iter it = json_iter(groups);
    out->method = QUANT_COMPRESSED_TENSORS;
    REQUIRE_TEXT(r, "format", SERVED_FORMATS);
    REQUIRE_TEXT(r, "quantization_status", "compressed", "frozen");
    const struct json_val *sparsity = field_object(r, "sparsity_config");
    struct str format;
    if (json_str(json_get(sparsity, STR("format")), &format) && !str_eq(format, STR("dense")))
        field_fail(r, ST_UNSUPPORTED, "`%ssparsity_config`: sparse weights are not served", r->path);
    if (json_len(json_get(json_get(r->object, STR("transform_config")), STR("config_groups"))) > 0)
        field_fail(r, ST_UNSUPPORTED, "`%stransform_config`: transformed weights are not served", r->path);
    for (bool is_first = true; (v = json_next(&it, NULL)) && r->status == ST_OK; is_first = false) {
        struct field_reader group = *r;
        group.path = "quantization_config.config_groups.";
        group.object = v;
        REQUIRE_TEXT(&group, "format", SERVED_FORMATS);
        read_scheme(&group, is_first, out);
        r->status = group.status;
    }
}

/* ---- which it is ---- */

static const struct {
    const char *name;
    void (*read)(struct field_reader *r, struct quant_config *out);
} methods[] = {
    {"gptq", read_gptq}, {"awq", read_awq},        {"compressed-tensors", read_compressed},
    {"fp8", read_fp8},   {"fbgemm_fp8", read_fp8}, {"bitsandbytes", read_bitsandbytes},
};

/* For files from before quant_method was written. */
static const char *guessed_method(const struct field_reader *r)
{
    static const char *const marks[][2] = {{"w_bit", "awq"},
                                           {"config_groups", "compressed-tensors"},
                                           {"load_in_4bit", "bitsandbytes"},
                                           {"load_in_8bit", "bitsandbytes"},
                                           {"bits", "gptq"}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (field_is_set(r, marks[i][0]))
            return marks[i][1];
    return "";
}

void quant_config_read(struct field_reader *r, struct quant_config *out)
{
    char method[TEXT_MAX_BYTES];
    snprintf(method, sizeof method, "%s", guessed_method(r));
    field_text(r, "quant_method", method, sizeof method);
    if (r->status != ST_OK)
        return;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, method) == 0) {
            methods[i].read(r, out);
            return;
        }
    field_fail(
        r, ST_UNSUPPORTED,
        "`%squant_method` `%s` is not served; served are gptq, awq, compressed-tensors, fp8, fbgemm_fp8 "
        "and bitsandbytes (nf4, fp4)",
        r->path, method[0] ? method : "(not stated)");
}

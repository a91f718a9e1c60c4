/* quantization_config in its spellings, and one sentence for what is not served. */
#include "unit/ckpt/checkpoint_files.h"

#include "ckpt/model_config_int.h"

#define DIMS                                                                                                 \
    "\"model_type\":\"llama\",\"vocab_size\":512,\"hidden_size\":64,\"intermediate_size\":172,"              \
    "\"num_hidden_layers\":3,\"num_attention_heads\":4"
#define Q(fields)  "{" DIMS ",\"quantization_config\":{" fields "}}"
#define CT(fields) Q("\"quant_method\":\"compressed-tensors\"," fields)
#define INT4 "{\"num_bits\":4,\"type\":\"int\",\"strategy\":\"group\",\"group_size\":128,\"symmetric\":true}"
#define INT8 "{\"num_bits\":8,\"type\":\"int\",\"strategy\":\"channel\",\"group_size\":null}"
#define GROUPS(w) "\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],\"weights\":" w "}}"

static void test_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        struct quant_config want;
    } rows[] = {
        {"{" DIMS "}", {.method = QUANT_NONE}},
        {"{" DIMS ",\"quantization_config\":null}", {.method = QUANT_NONE}},
        {Q("\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":128"),
         {.method = QUANT_GPTQ, .bits = 4, .group_size = 128}},
        {Q("\"quant_method\":\"gptq\",\"bits\":8,\"group_size\":-1,\"checkpoint_format\":\"gptq\""),
         {.method = QUANT_GPTQ, .bits = 8}},
        {Q("\"bits\":4,\"group_size\":32,\"desc_act\":true,\"checkpoint_format\":\"gptq_v2\",\"dynamic\":{}"),
         {.method = QUANT_GPTQ, .bits = 4, .group_size = 32, .plain_zeros = true}},
        {Q("\"quant_method\":\"awq\",\"bits\":4,\"group_size\":64,\"version\":\"gemm\",\"zero_point\":true"),
         {.method = QUANT_AWQ, .bits = 4, .group_size = 64}},
        {Q("\"w_bit\":4,\"q_group_size\":128,\"version\":\"GEMM\""),
         {.method = QUANT_AWQ, .bits = 4, .group_size = 128}},
        {Q("\"quant_method\":\"fp8\",\"weight_block_size\":[128,64],\"fmt\":\"e4m3\""),
         {.method = QUANT_FP8, .block_rows = 128, .block_cols = 64}},
        {Q("\"quant_method\":\"fbgemm_fp8\",\"activation_scale_ub\":1200.0"), {.method = QUANT_FP8}},
        {Q("\"quant_method\":\"bitsandbytes\",\"load_in_4bit\":true,\"bnb_4bit_quant_type\":\"nf4\""),
         {.method = QUANT_BITSANDBYTES_NF4}},
        {Q("\"load_in_4bit\":true"), {.method = QUANT_BITSANDBYTES_FP4}},
        {CT("\"format\":\"pack-quantized\",\"quantization_status\":\"compressed\"," GROUPS(INT4)),
         {.method = QUANT_COMPRESSED_TENSORS, .bits = 4, .group_size = 128}},
        {CT("\"format\":\"int-quantized\",\"quantization_status\":\"frozen\"," GROUPS(INT8)),
         {.method = QUANT_COMPRESSED_TENSORS, .bits = 8}},
        {CT("\"config_groups\":{\"a\":{\"weights\":" INT4 "},\"b\":{\"weights\":" INT8
            "},\"c\":{\"weights\":null}}"),
         {.method = QUANT_COMPRESSED_TENSORS}},
        {CT(GROUPS("{\"num_bits\":8,\"type\":\"float\",\"block_structure\":\"128x64\"}")),
         {.method = QUANT_COMPRESSED_TENSORS, .bits = 8, .block_rows = 128, .block_cols = 64}},
        {"{" DIMS ",\"compression_config\":{" GROUPS(INT4) ",\"sparsity_config\":{\"format\":\"dense\"}}}",
         {.method = QUANT_COMPRESSED_TENSORS, .bits = 4, .group_size = 128}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model_config c;
        struct err e = {0};
        if (model_config_parse(str_from(rows[i].config), STR(""), &c, &e) != ST_OK)
            fail_msg("%s\n%s", rows[i].config, e.text);
        const struct quant_config *want = &rows[i].want, *got = &c.quant;
        if (got->method != want->method || got->bits != want->bits || got->group_size != want->group_size ||
            got->plain_zeros != want->plain_zeros || got->block_rows != want->block_rows ||
            got->block_cols != want->block_cols || got->on_the_fly)
            fail_msg("%s", rows[i].config);
    }
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        enum status status;
        const char *word;
    } rows[] = {
        {Q(""), ST_UNSUPPORTED, "`quantization_config.quant_method` `(not stated)` is not served"},
        {Q("\"quant_method\":\"hqq\""), ST_UNSUPPORTED, "`hqq` is not served; served are gptq, awq,"},
        {Q("\"quant_method\":\"mxfp4\""), ST_UNSUPPORTED, "`mxfp4`"},
        {Q("\"quant_method\":\"exl2\""), ST_UNSUPPORTED, "`exl2`"},
        {Q("\"quant_method\":\"gptq\""), ST_INVALID, "`quantization_config.bits` is missing"},
        {Q("\"bits\":3"), ST_UNSUPPORTED, "bits` is 3; served are 4 and 8"},
        {Q("\"bits\":99"), ST_INVALID, "bits` is 99"},
        {Q("\"bits\":\"4\""), ST_INVALID, "bits`"},
        {Q("\"bits\":4,\"group_size\":0"), ST_INVALID, "group_size`"},
        {Q("\"bits\":4,\"group_size\":-2"), ST_INVALID, "group_size`"},
        {Q("\"bits\":4,\"group_size\":1e9"), ST_INVALID, "group_size`"},
        {Q("\"bits\":4,\"group_size\":99999999"), ST_INVALID, "group_size`"},
        {Q("\"bits\":4,\"checkpoint_format\":\"marlin\""), ST_UNSUPPORTED, "checkpoint_format` \"marlin\""},
        {Q("\"bits\":4,\"checkpoint_format\":\"marlin_24\""), ST_UNSUPPORTED,
         "checkpoint_format` \"marlin_24\""},
        {Q("\"bits\":4,\"is_marlin_format\":true"), ST_UNSUPPORTED, "\"marlin\" is not served"},
        {Q("\"bits\":4,\"pack_dtype\":\"int8\""), ST_UNSUPPORTED, "pack_dtype` \"int8\""},
        {Q("\"bits\":4,\"dynamic\":{\"x\":{}}"), ST_UNSUPPORTED, "dynamic`"},
        {Q("\"w_bit\":8,\"q_group_size\":128"), ST_UNSUPPORTED, "is 8; AWQ is served with 4"},
        {Q("\"w_bit\":4,\"version\":\"GEMV\""), ST_UNSUPPORTED,
         "version` \"GEMV\" is not served; served is gemm"},
        {Q("\"w_bit\":4,\"version\":\"marlin\""), ST_UNSUPPORTED, "version` \"marlin\""},
        {Q("\"w_bit\":4,\"backend\":\"llm-awq\""), ST_UNSUPPORTED, "backend`"},
        {Q("\"quant_method\":\"fp8\",\"fmt\":\"e5m2\""), ST_UNSUPPORTED, "fmt` \"e5m2\""},
        {Q("\"quant_method\":\"fp8\",\"weight_block_size\":[128]"), ST_INVALID, "weight_block_size`"},
        {Q("\"quant_method\":\"fp8\",\"weight_block_size\":[0,128]"), ST_INVALID, "weight_block_size`"},
        {Q("\"quant_method\":\"fp8\",\"weight_block_size\":128"), ST_INVALID, "weight_block_size`"},
        {Q("\"quant_method\":\"fp8\",\"weight_block_size\":\"x\""), ST_INVALID, "weight_block_size`"},
        {Q("\"load_in_8bit\":true"), ST_UNSUPPORTED, "load_in_8bit`"},
        {Q("\"quant_method\":\"bitsandbytes\""), ST_UNSUPPORTED, "load_in_8bit`"},
        {Q("\"load_in_4bit\":true,\"bnb_4bit_quant_type\":\"int4\""), ST_UNSUPPORTED, "bnb_4bit_quant_type`"},
        {Q("\"load_in_4bit\":true,\"bnb_4bit_quant_storage\":\"bfloat16\""), ST_UNSUPPORTED,
         "quant_storage`"},
        {CT("\"format\":\"marlin-24\""), ST_UNSUPPORTED, "format` \"marlin-24\""},
        {CT("\"format\":\"nvfp4-pack-quantized\""), ST_UNSUPPORTED, "nvfp4"},
        {CT("\"quantization_status\":\"calibration\""), ST_UNSUPPORTED, "quantization_status`"},
        {CT("\"config_groups\":[]"), ST_INVALID, "config_groups`"},
        {CT(GROUPS("{\"num_bits\":2,\"type\":\"int\"}")), ST_UNSUPPORTED, "num_bits` is 2"},
        {CT(GROUPS("{\"num_bits\":4,\"type\":\"float\"}")), ST_UNSUPPORTED, "\"float\" of 4 bits"},
        {CT(GROUPS("{\"num_bits\":4,\"group_size\":-7}")), ST_INVALID, "group_size`"},
        {CT(GROUPS("7")), ST_INVALID, "weights`"},
        {CT("\"config_groups\":{\"a\":{\"format\":\"marlin-24\"}}"), ST_UNSUPPORTED, "marlin-24"},
        {CT("\"sparsity_config\":{\"format\":\"sparse-24-bitmask\"}"), ST_UNSUPPORTED, "sparsity_config`"},
        {CT("\"transform_config\":{\"config_groups\":{\"u\":{}}}"), ST_UNSUPPORTED, "transform_config`"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model_config c;
        struct err e = {0};
        enum status st = model_config_parse(str_from(rows[i].config), STR(""), &c, &e);
        if (st != rows[i].status || !strstr(e.text, rows[i].word))
            fail_msg("%s\ngives %s: %s", rows[i].config, status_name(st), e.text);
    }
}

/* AWQ and GPTQ once wrote files of their own. */
static void test_files_of_their_own(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        enum quant_method method;
    } rows[] = {{"quantize_config.json", "{\"bits\":4,\"group_size\":128,\"desc_act\":false}", QUANT_GPTQ},
                {"quant_config.json",
                 "{\"zero_point\":true,\"q_group_size\":128,\"w_bit\":4,\"version\":\"GEMM\"}", QUANT_AWQ}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct folder f = folder_new();
        folder_write_text(&f, "config.json", LLAMA_CONFIG);
        folder_write_text(&f, rows[i].name, rows[i].text);
        folder_write_safetensors(&f, "model.safetensors", "{}", 0);
        struct ckpt *c = assert_opens(&f);
        assert_int_equal(ckpt_config(c)->quant.method, rows[i].method);
        assert_int_equal(ckpt_config(c)->quant.group_size, 128);
        ckpt_close(c);
        folder_write_text(&f, rows[i].name, "{\"bits\":5}");
        assert_refused(&f, ST_UNSUPPORTED, WORDS(rows[i].name, "`bits` is 5"));
        folder_write_text(&f, rows[i].name, "[");
        assert_refused(&f, ST_INVALID, WORDS(rows[i].name));
        folder_write_text(&f, rows[i].name, "[]");
        assert_refused(&f, ST_UNSUPPORTED, WORDS(rows[i].name, "quant_method"));
        folder_remove(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_files_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

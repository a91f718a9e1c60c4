/* Configurations: defaults of each family, both spellings of the rotary settings, and one sentence per
 * mistake. */
#include "ckpt/model_config_int.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIMS                                                                                                 \
    "\"vocab_size\":512,\"hidden_size\":64,\"intermediate_size\":172,\"num_hidden_layers\":3,"               \
    "\"num_attention_heads\":4"
#define LLAMA(more)   "{\"model_type\":\"llama\"," DIMS more "}"
#define MISTRAL(more) "{\"model_type\":\"mistral\"," DIMS more "}"

static struct model_config parse_both(const char *config, const char *generation)
{
    struct model_config c;
    struct err e = {0};
    enum status st = model_config_parse(str_from(config), str_from(generation), &c, &e);
    if (st != ST_OK)
        print_message("%s\n%s\n", config, e.text);
    assert_int_equal(st, ST_OK);
    return c;
}

static struct model_config parse(const char *config)
{
    return parse_both(config, "");
}

static void test_llama_defaults(void **state)
{
    (void)state;
    struct model_config c = parse(LLAMA(""));
    assert_string_equal(c.model_type, "llama");
    assert_string_equal(c.dtype, "");
    assert_int_equal(c.n_layer, 3);
    assert_int_equal(c.n_head, 4);
    assert_int_equal(c.n_kv_head, 4);
    assert_int_equal(c.d_head, 16);
    assert_int_equal(c.d_model, 64);
    assert_int_equal(c.d_ff, 172);
    assert_int_equal(c.n_vocab, 512);
    assert_int_equal(c.max_position, 2048);
    assert_int_equal(c.sliding_window, 0);
    assert_true(c.norm_eps == 1e-6f);
    assert_int_equal(c.act, ACT_SILU);
    assert_int_equal(c.rope.kind, ROPE_PLAIN);
    assert_true(c.rope.theta == 10000.0f);
    assert_false(c.attention_bias || c.mlp_bias || c.tie_embeddings);
    assert_int_equal(c.bos_id, 1);
    assert_int_equal(c.n_eos, 1);
    assert_int_equal(c.eos_id[0], 2);
}

static void test_mistral_defaults(void **state)
{
    (void)state;
    struct model_config c =
        parse("{\"model_type\":\"mistral\",\"vocab_size\":512,\"hidden_size\":64,"
              "\"intermediate_size\":172,\"num_hidden_layers\":3,\"num_attention_heads\":16}");
    assert_int_equal(c.n_kv_head, 8);
    assert_int_equal(c.d_head, 4);
    assert_int_equal(c.sliding_window, 4096);
    assert_int_equal(c.max_position, 131072);
    assert_int_equal(parse(MISTRAL(",\"num_key_value_heads\":null")).n_kv_head, 4);
    assert_int_equal(parse(MISTRAL(",\"num_key_value_heads\":2,\"sliding_window\":null")).sliding_window, 0);
    assert_int_equal(parse(MISTRAL(",\"num_key_value_heads\":2,\"sliding_window\":16")).sliding_window, 16);
    assert_false(parse(MISTRAL(",\"num_key_value_heads\":2,\"attention_bias\":true")).attention_bias);
}

static void test_everything_stated(void **state)
{
    (void)state;
    struct model_config c =
        parse(LLAMA(",\"num_key_value_heads\":2,\"head_dim\":32,\"max_position_embeddings\":131072,"
                    "\"rms_norm_eps\":1e-05,\"rope_theta\":500000,\"attention_bias\":true,\"mlp_bias\":true,"
                    "\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\",\"bos_token_id\":509,"
                    "\"eos_token_id\":[511,509,511,600,-1],\"hidden_act\":\"silu\",\"sliding_window\":7,"
                    "\"quantization_config\":null,\"rope_scaling\":null,\"unknown\":{\"x\":[1]}"));
    assert_int_equal(c.n_kv_head, 2);
    assert_int_equal(c.d_head, 32);
    assert_int_equal(c.max_position, 131072);
    assert_true(c.norm_eps == 1e-5f && c.rope.theta == 500000.0f);
    assert_true(c.attention_bias && c.mlp_bias && c.tie_embeddings);
    assert_string_equal(c.dtype, "bfloat16");
    assert_int_equal(c.bos_id, 509);
    assert_int_equal(c.n_eos, 2); /* each once, none that cannot be generated */
    assert_true(c.eos_id[0] == 511 && c.eos_id[1] == 509);
    assert_int_equal(c.sliding_window, 0); /* llama has none */
    c = parse(LLAMA(",\"dtype\":\"torch.float16\",\"torch_dtype\":\"float32\""));
    assert_string_equal(c.dtype, "float16");
    c = parse(LLAMA(",\"torch_dtype\":\"float32\",\"dtype\":null"));
    assert_string_equal(c.dtype, "float32");
}

static void test_explicit_head_dim(void **state)
{
    (void)state;
    struct model_config c =
        parse("{\"model_type\":\"mistral\",\"vocab_size\":512,\"hidden_size\":60,"
              "\"intermediate_size\":172,\"num_hidden_layers\":3,\"num_attention_heads\":8,"
              "\"head_dim\":10,\"num_key_value_heads\":1}");
    assert_int_equal(c.d_head, 10);
}

static void test_generation_config(void **state)
{
    (void)state;
    struct model_config c = parse_both(LLAMA(""), "{\"bos_token_id\":3,\"eos_token_id\":[4,5]}");
    assert_int_equal(c.bos_id, 3);
    assert_int_equal(c.n_eos, 2);
    assert_true(c.eos_id[0] == 4 && c.eos_id[1] == 5);
    c = parse_both(LLAMA(",\"eos_token_id\":7"), "{\"temperature\":0.6,\"eos_token_id\":null}");
    assert_true(c.n_eos == 1 && c.eos_id[0] == 7);
    c = parse(LLAMA(",\"eos_token_id\":null,\"bos_token_id\":null"));
    assert_int_equal(c.n_eos, 0);
    assert_int_equal(c.bos_id, -1);
    c = parse(LLAMA(",\"eos_token_id\":-1,\"bos_token_id\":-1"));
    assert_int_equal(c.n_eos, 0);
    assert_int_equal(c.bos_id, -1);
}

static void check_llama3(const struct rope_config *r, uint32_t original)
{
    assert_int_equal(r->kind, ROPE_LLAMA3);
    assert_true(r->theta == 500000.0f && r->factor == 8.0f);
    assert_true(r->low_freq_factor == 1.0f && r->high_freq_factor == 4.0f);
    assert_int_equal(r->original_max_position, original);
}

#define L3 "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0"

static void test_rope_forms(void **state)
{
    (void)state;
    struct rope_config r;
    r = parse(LLAMA(",\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":\"llama3\"," L3
                    ",\"original_max_position_embeddings\":64}"))
            .rope;
    check_llama3(&r, 64);
    r = parse(LLAMA(",\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":500000," L3
                    ",\"original_max_position_embeddings\":64}"))
            .rope;
    check_llama3(&r, 64);
    r = parse(LLAMA(",\"max_position_embeddings\":128,\"rope_theta\":500000,\"rope_scaling\":{\"type\":"
                    "\"llama3\"," L3 "}"))
            .rope;
    check_llama3(&r, 128);
    r = parse(LLAMA(",\"rope_theta\":5,\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}")).rope;
    assert_true(r.kind == ROPE_LINEAR && r.factor == 4.0f && r.theta == 5.0f);
    r = parse(LLAMA(",\"rope_parameters\":{\"type\":\"linear\",\"factor\":2.5,\"rope_theta\":7}")).rope;
    assert_true(r.kind == ROPE_LINEAR && r.factor == 2.5f && r.theta == 7.0f);
    r = parse(LLAMA(",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":20000.0}")).rope;
    assert_true(r.kind == ROPE_PLAIN && r.theta == 20000.0f);
    r = parse(LLAMA(",\"rope_theta\":9,\"rope_parameters\":{\"rope_type\":\"default\"}")).rope;
    assert_true(r.kind == ROPE_PLAIN && r.theta == 9.0f);
    /* What is inside wins over what is beside; a non-empty rope_scaling over rope_parameters. */
    r = parse(LLAMA(",\"rope_theta\":9,\"rope_parameters\":{\"rope_theta\":11}")).rope;
    assert_true(r.kind == ROPE_PLAIN && r.theta == 11.0f);
    r = parse(LLAMA(",\"rope_scaling\":{\"type\":\"linear\",\"factor\":3},\"rope_parameters\":{\"rope_"
                    "theta\":11}"))
            .rope;
    assert_true(r.kind == ROPE_LINEAR && r.theta == 10000.0f);
    r = parse(LLAMA(",\"rope_scaling\":{},\"rope_parameters\":{\"rope_theta\":11}")).rope;
    assert_true(r.kind == ROPE_PLAIN && r.theta == 11.0f);
    r = parse(LLAMA(",\"rope_scaling\":{\"type\":\"linear\",\"rope_type\":\"default\"},\"partial_rotary_"
                    "factor\":1.0"))
            .rope;
    assert_int_equal(r.kind, ROPE_PLAIN);
}

/* Of a family without a row only the dimensions count: the model layer says that it does not know the type.
 */
static void test_other_families(void **state)
{
    (void)state;
    struct model_config c =
        parse("{\"model_type\":\"qwen2\",\"hidden_act\":\"gelu\",\"sliding_window\":\"x\","
              "\"rope_scaling\":{\"type\":\"yarn\"}," DIMS "}");
    assert_string_equal(c.model_type, "qwen2");
    assert_int_equal(c.n_layer, 3);
    assert_int_equal(c.n_eos, 0);
    struct err e;
    assert_int_equal(model_config_parse(STR("{\"model_type\":\"gpt2\",\"n_layer\":3}"), STR(""), &c, &e),
                     ST_UNSUPPORTED);
    assert_non_null(strstr(e.text, "model_type `gpt2` is not served"));
}

static const struct mistake {
    const char *config;
    enum status status;
    const char *word; /* besides the file's name */
} mistakes[] = {
    {"", ST_INVALID, "EOF"},
    {"{", ST_INVALID, "line 1"},
    {"[]", ST_INVALID, "not a JSON object"},
    {"{}", ST_INVALID, "`model_type` is missing"},
    {"{\"model_type\":7}", ST_INVALID, "`model_type` is not a string"},
    {"{\"model_type\":\"llama\",\"model_type\":\"mistral\"}", ST_INVALID, "duplicate field `model_type`"},
    {"{\"model_type\":\"llama\"}", ST_INVALID, "`num_hidden_layers` is missing"},
    {"{\"model_type\":\"llama\",\"num_hidden_layers\":3,\"num_attention_heads\":4,\"hidden_size\":64,"
     "\"intermediate_size\":null,\"vocab_size\":5}",
     ST_INVALID, "`intermediate_size` is missing"},
    {"{\"model_type\":\"llama\",\"num_hidden_layers\":1001,\"num_attention_heads\":4,\"hidden_size\":64,"
     "\"intermediate_size\":8,\"vocab_size\":5}",
     ST_INVALID, "`num_hidden_layers` is 1001, outside 1..1000"},
    {"{\"model_type\":\"llama\",\"num_hidden_layers\":\"3\",\"num_attention_heads\":4,\"hidden_size\":64,"
     "\"intermediate_size\":8,\"vocab_size\":5}",
     ST_INVALID, "`num_hidden_layers` is not a non-negative integer (found: string)"},
    {"{\"model_type\":\"llama\",\"num_hidden_layers\":3,\"num_attention_heads\":0,\"hidden_size\":64,"
     "\"intermediate_size\":8,\"vocab_size\":5}",
     ST_INVALID, "`num_attention_heads` is 0"},
    {"{\"model_type\":\"llama\",\"num_hidden_layers\":3,\"num_attention_heads\":3,\"hidden_size\":64,"
     "\"intermediate_size\":8,\"vocab_size\":5}",
     ST_INVALID, "`hidden_size` 64 is not a multiple of `num_attention_heads` 3"},
    {"{\"model_type\":\"llama\",\"num_hidden_layers\":3,\"num_attention_heads\":1,\"hidden_size\":8192,"
     "\"intermediate_size\":8,\"vocab_size\":5}",
     ST_INVALID, "more than 4096"},
    {LLAMA(",\"num_key_value_heads\":3"), ST_INVALID, "not a multiple of `num_key_value_heads` 3"},
    {LLAMA(",\"num_key_value_heads\":8"), ST_INVALID, "not a multiple of `num_key_value_heads` 8"},
    {LLAMA(",\"num_key_value_heads\":0"), ST_INVALID, "`num_key_value_heads` is 0"},
    {MISTRAL(""), ST_INVALID, "`num_key_value_heads` 8"},
    {LLAMA(",\"head_dim\":-1"), ST_INVALID, "`head_dim`"},
    {LLAMA(",\"head_dim\":4097"), ST_INVALID, "`head_dim` is 4097"},
    {LLAMA(",\"head_dim\":16.0"), ST_INVALID, "`head_dim` is not a non-negative integer"},
    {LLAMA(",\"max_position_embeddings\":99999999999"), ST_INVALID, "`max_position_embeddings`"},
    {LLAMA(",\"rms_norm_eps\":0"), ST_INVALID, "`rms_norm_eps` is 0"},
    {LLAMA(",\"rms_norm_eps\":\"1e-5\""), ST_INVALID, "`rms_norm_eps` is not a number"},
    {LLAMA(",\"rope_theta\":-1"), ST_INVALID, "`rope_theta`"},
    {LLAMA(",\"attention_bias\":1"), ST_INVALID, "`attention_bias` is not true or false"},
    {LLAMA(",\"tie_word_embeddings\":\"yes\""), ST_INVALID, "`tie_word_embeddings`"},
    {LLAMA(",\"hidden_act\":\"gelu\""), ST_UNSUPPORTED, "`hidden_act` \"gelu\" is not served"},
    {LLAMA(",\"hidden_act\":3"), ST_INVALID, "`hidden_act`"},
    {LLAMA(",\"torch_dtype\":[]"), ST_INVALID, "`torch_dtype`"},
    {MISTRAL(",\"num_key_value_heads\":2,\"sliding_window\":0"), ST_INVALID, "`sliding_window`"},
    {MISTRAL(",\"num_key_value_heads\":2,\"sliding_window\":true"), ST_INVALID, "`sliding_window`"},
    {LLAMA(",\"eos_token_id\":\"2\""), ST_INVALID, "`eos_token_id`"},
    {LLAMA(",\"eos_token_id\":[2,null]"), ST_INVALID, "`eos_token_id`"},
    {LLAMA(",\"eos_token_id\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]"), ST_LIMIT, "`eos_token_id`"},
    {LLAMA(",\"eos_token_id\":-2"), ST_INVALID, "`eos_token_id`"},
    {LLAMA(",\"bos_token_id\":512"), ST_INVALID, "`bos_token_id` 512 is not below `vocab_size` 512"},
    {LLAMA(",\"bos_token_id\":[]"), ST_INVALID, "`bos_token_id`"},
    {LLAMA(",\"bos_token_id\":1.5"), ST_INVALID, "`bos_token_id`"},
    {LLAMA(",\"rope_scaling\":\"linear\""), ST_INVALID, "`rope_scaling` is not an object"},
    {LLAMA(",\"rope_scaling\":{\"type\":\"linear\"}"), ST_INVALID, "`rope_scaling.factor` is missing"},
    {LLAMA(",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}"), ST_INVALID, "`rope_scaling.factor` is 0"},
    {LLAMA(",\"rope_scaling\":{\"type\":3}"), ST_INVALID, "`rope_scaling.type` is not a string"},
    {LLAMA(",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}"), ST_UNSUPPORTED,
     "\"dynamic\" is not served"},
    {LLAMA(",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2}"), ST_UNSUPPORTED,
     "\"yarn\" is not served"},
    {LLAMA(",\"rope_parameters\":{\"rope_type\":\"longrope\"}"), ST_UNSUPPORTED,
     "`rope_parameters.rope_type`"},
    {LLAMA(",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1}"), ST_INVALID,
     "`rope_scaling.high_freq_factor` is missing"},
    {LLAMA(",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_"
           "factor\":4}"),
     ST_INVALID, "is not above"},
    {LLAMA(",\"rope_scaling\":{\"rope_type\":\"llama3\"," L3 ",\"original_max_position_embeddings\":0}"),
     ST_INVALID, "`rope_scaling.original_max_position_embeddings`"},
    {LLAMA(",\"partial_rotary_factor\":0.5"), ST_UNSUPPORTED, "`partial_rotary_factor` 0.5"},
    {LLAMA(",\"rope_parameters\":{\"partial_rotary_factor\":0.25}"), ST_UNSUPPORTED, "0.25 is not served"},
    {LLAMA(",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1}}"), ST_UNSUPPORTED, "by layer type"},
    {LLAMA(",\"quantization_config\":4"), ST_INVALID, "`quantization_config` is not an object"},
    {LLAMA(",\"quantization_config\":{\"quant_method\":4}"), ST_INVALID,
     "`quantization_config.quant_method`"},
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        struct model_config c;
        struct err e = {0};
        enum status st = model_config_parse(str_from(mistakes[i].config), STR(""), &c, &e);
        if (st != mistakes[i].status || !strstr(e.text, mistakes[i].word))
            print_message("%s\ngives %s: %s\n", mistakes[i].config, status_name(st), e.text);
        assert_int_equal(st, mistakes[i].status);
        assert_non_null(strstr(e.text, mistakes[i].word));
        assert_true(str_has_prefix(str_from(e.text), STR("config.json: ")));
        /* The sentence is optional, the answer is the same. */
        assert_int_equal(model_config_parse(str_from(mistakes[i].config), STR(""), &c, NULL),
                         mistakes[i].status);
    }
}

static void test_generation_mistakes(void **state)
{
    (void)state;
    static const char *const rows[] = {"x", "[]", "{\"eos_token_id\":{}}", "{\"bos_token_id\":\"<s>\"}",
                                       "{\"bos_token_id\":512}"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct model_config c;
        struct err e;
        assert_int_equal(model_config_parse(STR(LLAMA("")), str_from(rows[i]), &c, &e), ST_INVALID);
        assert_true(str_has_prefix(str_from(e.text), STR("generation_config.json: ")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama_defaults),      cmocka_unit_test(test_mistral_defaults),
        cmocka_unit_test(test_everything_stated),   cmocka_unit_test(test_explicit_head_dim),
        cmocka_unit_test(test_generation_config),   cmocka_unit_test(test_rope_forms),
        cmocka_unit_test(test_other_families),      cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_generation_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Sharded checkpoints: the index against the shards, and what a hostile index cannot do. */
#include "unit/ckpt/checkpoint_files.h"

#define INDEX "model.safetensors.index.json"
#define ONE   "model-00001-of-00002.safetensors"
#define TWO   "model-00002-of-00002.safetensors"
#define W4    "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}"

static struct folder sharded(const char *index)
{
    struct folder f = folder_new();
    folder_write_text(&f, "config.json", LLAMA_CONFIG);
    folder_write_safetensors(&f, ONE, "{\"a\":" W4 "}", 4);
    folder_write_safetensors(&f, TWO, "{\"b\":" W4 "}", 4);
    folder_write_text(&f, INDEX, index);
    return f;
}

static void test_opens(void **state)
{
    (void)state;
    struct folder f =
        sharded("{\"metadata\":{\"total_size\":8},\"weight_map\":{\"b\":\"" TWO "\",\"a\":\"" ONE "\"}}");
    struct ckpt *c = assert_opens(&f);
    assert_int_equal(ckpt_n_tensors(c), 2);
    assert_int_equal(ckpt_weight_bytes(c), 8);
    assert_string_equal(ckpt_find(c, STR("a"))->file, ONE);
    assert_string_equal(ckpt_find(c, STR("b"))->file, TWO);
    const struct ckpt_tensor *t;
    struct err e;
    assert_int_equal(ckpt_require(c, STR("c"), 0, NULL, &t, &e), ST_NOT_FOUND);
    assert_string_equal(e.text, INDEX ": tensor `c` is missing");
    ckpt_close(c);
    folder_remove(&f);
}

static void test_single_file_wins(void **state)
{
    (void)state;
    struct folder f = sharded("not even JSON");
    folder_write_safetensors(&f, "model.safetensors", "{\"z\":" W4 "}", 4);
    struct ckpt *c = assert_opens(&f);
    assert_int_equal(ckpt_n_tensors(c), 1);
    ckpt_close(c);
    folder_remove(&f);
}

static const struct {
    const char *index;
    enum status status;
    const char *word[3];
} damages[] = {
    {"", ST_INVALID, {"EOF"}},
    {"{\"weight_map\":", ST_INVALID, {"line 1"}},
    {"[]", ST_INVALID, {"weight_map"}},
    {"{}", ST_INVALID, {"weight_map"}},
    {"{\"weight_map\":{}}", ST_INVALID, {"weight_map"}},
    {"{\"weight_map\":[\"a\"]}", ST_INVALID, {"weight_map"}},
    {"{\"weight_map\":{\"a\":1}}", ST_INVALID, {"`a`", "not a string"}},
    {"{\"weight_map\":{\"a\":\"" ONE "\",\"a\":\"" TWO "\"}}", ST_INVALID, {"duplicate field `a`"}},
    {"{\"weight_map\":{\"a\":\"../" ONE "\"}}", ST_INVALID, {"`a`", "../" ONE, "plain name"}},
    {"{\"weight_map\":{\"a\":\"/etc/model.safetensors\"}}", ST_INVALID, {"`a`", "/etc/", "plain name"}},
    {"{\"weight_map\":{\"a\":\"..\"}}", ST_INVALID, {"`a`", "plain name"}},
    {"{\"weight_map\":{\"a\":\"sub/x.safetensors\"}}", ST_INVALID, {"`a`", "plain name"}},
    {"{\"weight_map\":{\"a\":\"\"}}", ST_INVALID, {"`a`", "plain name"}},
    {"{\"weight_map\":{\"a\":\".hidden.safetensors\"}}", ST_INVALID, {"`a`", ".hidden", "plain name"}},
    {"{\"weight_map\":{\"a\":\"config.json\"}}", ST_INVALID, {"`a`", "config.json", "plain name"}},
    {"{\"weight_map\":{\"a\":\"x\\u0000/../y.safetensors\"}}", ST_INVALID, {"`a`", "plain name"}},
    {"{\"weight_map\":{\"a\":\"missing.safetensors\"}}",
     ST_NOT_FOUND,
     {"missing.safetensors", "cannot open"}},
    {"{\"weight_map\":{\"a\":\"" TWO "\",\"b\":\"" TWO "\"}}", ST_INVALID, {"`a`", TWO, "no shard has it"}},
    {"{\"weight_map\":{\"a\":\"" TWO "\",\"b\":\"" ONE "\"}}", ST_INVALID, {"`a`", ONE, TWO}},
    {"{\"weight_map\":{\"a\":\"" ONE "\",\"b\":\"" TWO "\",\"c\":\"" TWO "\"}}", ST_INVALID, {"`c`", TWO}},
};

static void test_damages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct folder f = sharded(damages[i].index);
        for (size_t k = 0; k < 3 && damages[i].word[k]; k++)
            assert_refused(&f, damages[i].status, WORDS(f.path, damages[i].word[k]));
        if (damages[i].status == ST_INVALID)
            assert_refused(&f, ST_INVALID, WORDS(INDEX));
        folder_remove(&f);
    }
}

static void test_same_tensor_twice(void **state)
{
    (void)state;
    struct folder f = sharded("{\"weight_map\":{\"a\":\"" ONE "\",\"b\":\"" TWO "\"}}");
    folder_write_safetensors(
        &f, TWO, "{\"b\":" W4 ",\"a\":{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[4,4]}}", 4);
    assert_refused(&f, ST_INVALID, WORDS("`a`", "two files", ONE, TWO));
    folder_remove(&f);
}

static void test_damaged_shard(void **state)
{
    (void)state;
    struct folder f = sharded("{\"weight_map\":{\"a\":\"" ONE "\",\"b\":\"" TWO "\"}}");
    folder_write_safetensors(&f, TWO, "{\"b\":" W4 "}", 3);
    assert_refused(&f, ST_INVALID, WORDS(TWO ": ", "`b`", "past the end"));
    folder_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens),         cmocka_unit_test(test_single_file_wins),
        cmocka_unit_test(test_damages),       cmocka_unit_test(test_same_tensor_twice),
        cmocka_unit_test(test_damaged_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The reference checkpoints: every one of the families served opens, the others are refused in one clear
 * sentence. */
#include "testdata.h"
#include "unit/ckpt/checkpoint_files.h"

static enum status open_reference(const char *name, struct ckpt **c, struct err *e)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/checkpoints/%s", testdata_dir(), name);
    *e = (struct err){0};
    return ckpt_open(path, c, e);
}

static void test_served(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned n_layer, d_head, n_kv_head, window;
        enum rope_kind rope;
        float theta;
    } rows[] = {
        {"llama", 3, 16, 2, 0, ROPE_PLAIN, 10000},
        {"llama-sharded", 4, 16, 2, 0, ROPE_PLAIN, 10000},
        {"llama-tied", 3, 16, 2, 0, ROPE_PLAIN, 10000},
        {"llama-f32", 2, 16, 2, 0, ROPE_PLAIN, 10000},
        {"llama-bias", 3, 16, 4, 0, ROPE_PLAIN, 10000},
        {"llama3-rope", 3, 32, 2, 0, ROPE_LLAMA3, 500000},
        {"llama-q-base", 2, 32, 2, 0, ROPE_PLAIN, 10000},
        {"llama-linear-rope", 3, 16, 2, 0, ROPE_LINEAR, 10000},
        {"mistral", 3, 16, 2, 16, ROPE_PLAIN, 10000},
        {"llama-rope-parameters", 3, 16, 2, 0, ROPE_PLAIN, 20000},
        {"mistral-nemo", 3, 32, 2, 0, ROPE_PLAIN, 1e6f},
        {"stories260K", 5, 8, 4, 0, ROPE_PLAIN, 10000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ckpt *c;
        struct err e;
        enum status st = open_reference(rows[i].name, &c, &e);
        if (st != ST_OK)
            print_message("%s\n", e.text);
        assert_int_equal(st, ST_OK);
        const struct model_config *m = ckpt_config(c);
        assert_int_equal(m->n_layer, rows[i].n_layer);
        assert_int_equal(m->d_head, rows[i].d_head);
        assert_int_equal(m->n_kv_head, rows[i].n_kv_head);
        assert_int_equal(m->sliding_window, rows[i].window);
        assert_int_equal(m->rope.kind, rows[i].rope);
        assert_true(m->rope.theta == rows[i].theta);
        const struct ckpt_tensor *t;
        uint64_t dims[2] = {m->n_vocab, m->d_model};
        assert_int_equal(ckpt_require(c, STR("model.embed_tokens.weight"), 2, dims, &t, &e), ST_OK);
        ckpt_close(c);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *word;
    } rows[] = {
        {"llama-bin", "pytorch_model.bin"},
        {"gpt2", "`gpt2`"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ckpt *c;
        struct err e;
        assert_int_equal(open_reference(rows[i].name, &c, &e), ST_UNSUPPORTED);
        assert_non_null(strstr(e.text, rows[i].word));
        assert_non_null(strstr(e.text, rows[i].name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_served), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The model module on a tiny checkpoint: damage is named, steps do not depend on how a prompt is cut. */
#include "model/model.h"
#include "tiny_checkpoint.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define N_TOK   40
#define N_PAGES 64

struct open_model {
    char dir[64];
    struct ckpt *ck;
    struct backend *be;
    struct model *m;
};

static enum status try_open(struct open_model *o, const struct tiny_shape *s, const char *device,
                            enum compute_type compute, enum quant_method quantise, struct err *e)
{
    struct backend_options options = {.compute = compute, .n_threads = 2};
    *o = (struct open_model){0};
    tiny_checkpoint(o->dir, s);
    enum status st = ckpt_open(o->dir, &o->ck, e);
    if (st == ST_OK)
        st = backend_open(device, &options, &o->be, e);
    if (st == ST_OK)
        st = model_load(o->ck, o->be, quantise, &o->m, e);
    return st;
}

static void close_model(struct open_model *o)
{
    model_free(o->m);
    backend_close(o->be);
    ckpt_close(o->ck);
    tiny_remove(o->dir);
}

/* Logits of the last of N_TOK tokens, the prompt computed in chunks of `chunk`, on pages in descending order.
 */
static void last_logits(struct model *m, unsigned chunk, float *out)
{
    uint32_t page[N_PAGES], pos[N_TOK], row[] = {0};
    int32_t id[N_TOK];
    uint32_t page_tokens = model_backend(m)->caps.page_tokens;
    const float *logits = NULL;
    struct err e;
    for (uint32_t i = 0; i < N_PAGES; i++)
        page[i] = N_PAGES - 1 - i;
    for (uint32_t i = 0; i < N_TOK; i++) {
        id[i] = (int32_t)(i * 7 % 96);
        pos[i] = i;
    }
    for (uint32_t at = 0; at < N_TOK; at += chunk) {
        uint32_t n = N_TOK - at < chunk ? N_TOK - at : chunk;
        struct batch b = {.n_tok = n,
                          .n_seq = 1,
                          .n_out = 1,
                          .id = id + at,
                          .pos = pos + at,
                          .row_begin = (uint32_t[]){0, n},
                          .page_begin = (uint32_t[]){0, (at + n + page_tokens - 1) / page_tokens},
                          .page = page,
                          .out_row = row};
        row[0] = n - 1;
        assert_int_equal(model_step(m, &b, &logits, &e), ST_OK);
    }
    memcpy(out, logits, 96 * sizeof *out);
}

static void chunks_do_not_matter(const char *device, enum compute_type compute, const struct tiny_shape *s,
                                 enum quant_method quantise)
{
    struct open_model o;
    struct err e = {0};
    float whole[96], cut[96];
    atomic_bool cancel = false;
    assert_int_equal(try_open(&o, s, device, compute, quantise, &e), ST_OK);
    assert_int_equal(model_reserve(o.m, N_PAGES, N_TOK, 4, &e), ST_OK);
    last_logits(o.m, N_TOK, whole);
    for (unsigned i = 0; i < 96; i++)
        assert_true(isfinite(whole[i]));
    last_logits(o.m, 1, cut);
    assert_memory_equal(whole, cut, sizeof whole);
    assert_int_equal(model_settle(o.m, &cancel, NULL, NULL, &e), ST_OK);
    last_logits(o.m, 7, cut);
    assert_memory_equal(whole, cut, sizeof whole);
    close_model(&o);
}

static void test_chunks(void **state)
{
    (void)state;
    struct tiny_shape windowed = tiny_default, tied = tiny_default;
    windowed.model_type = "mistral";
    windowed.window = 5;
    tied.tie = true;
    const struct tiny_shape *shapes[] = {&tiny_default, &windowed, &tied};
    for (unsigned i = 0; i < 3; i++)
        for (unsigned c = 0; c < 2; c++) {
            chunks_do_not_matter("ref", c ? COMPUTE_BF16 : COMPUTE_F32, shapes[i], QUANT_NONE);
            chunks_do_not_matter("cpu", c ? COMPUTE_BF16 : COMPUTE_F32, shapes[i], QUANT_NONE);
        }
}

/* Before and after settling, and whatever part of the prompt is computed at once. */
static void test_chunks_of_quantised_models(void **state)
{
    (void)state;
    for (unsigned q = QUANT_NONE + 1; q < QUANT_METHOD_COUNT; q++)
        for (unsigned c = 0; c < 2 && quant_method_is_on_the_fly((enum quant_method)q); c++) {
            chunks_do_not_matter("ref", c ? COMPUTE_BF16 : COMPUTE_F32, &tiny_default, (enum quant_method)q);
            chunks_do_not_matter("cpu", c ? COMPUTE_BF16 : COMPUTE_F32, &tiny_default, (enum quant_method)q);
        }
}

static void test_plain_checkpoints_cannot_be_made_everything(void **state)
{
    (void)state;
    struct open_model o;
    struct err e = {0};
    assert_int_equal(try_open(&o, &tiny_default, "ref", COMPUTE_F32, QUANT_AWQ, &e), ST_INVALID);
    assert_non_null(strstr(e.text, "--quantize awq: the checkpoint is not quantised"));
    close_model(&o);
    assert_int_equal(try_open(&o, &tiny_default, "cpu", COMPUTE_BF16, QUANT_EETQ, &e), ST_OK);
    assert_true(model_quant(o.m)->on_the_fly && model_quant(o.m)->method == QUANT_EETQ);
    uint64_t eetq = model_weight_bytes(o.m);
    close_model(&o);
    assert_int_equal(try_open(&o, &tiny_default, "cpu", COMPUTE_BF16, QUANT_NONE, &e), ST_OK);
    assert_int_equal(model_quant(o.m)->method, QUANT_NONE);
    assert_true(eetq < model_weight_bytes(o.m));
    close_model(&o);
}

static void refused(const struct tiny_shape *s, const char *word)
{
    struct open_model o;
    struct err e = {0};
    assert_int_not_equal(try_open(&o, s, "ref", COMPUTE_F32, QUANT_NONE, &e), ST_OK);
    assert_non_null(strstr(e.text, word));
    close_model(&o);
}

static void test_damage_is_named(void **state)
{
    (void)state;
    struct tiny_shape s = tiny_default;
    s.leave_out = "model.layers.1.mlp.up_proj.weight";
    refused(&s, s.leave_out);
    s = tiny_default;
    s.cut_short = "model.layers.0.self_attn.k_proj.weight";
    refused(&s, s.cut_short);
    s = tiny_default;
    s.model_type = "starfish";
    refused(&s, "starfish");
}

static void test_settle_can_be_cancelled(void **state)
{
    (void)state;
    struct open_model o;
    struct err e = {0};
    atomic_bool cancel = true;
    assert_int_equal(try_open(&o, &tiny_default, "ref", COMPUTE_F32, QUANT_NONE, &e), ST_OK);
    assert_int_equal(model_settle(o.m, &cancel, NULL, NULL, &e), ST_CANCELLED);
    close_model(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_chunks_of_quantised_models),
        cmocka_unit_test(test_plain_checkpoints_cannot_be_made_everything),
        cmocka_unit_test(test_damage_is_named),
        cmocka_unit_test(test_settle_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

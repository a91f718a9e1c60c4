/* Quantised matrices: every damage is refused with the tensor's name, rows come out the same in any order,
 * and the formats made while loading follow their rules. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "quant_module.h"

#define N_ROW 24
#define N_COL 96

static const struct quant_config gptq4 = {.method = QUANT_GPTQ, .bits = 4, .group_size = 32};
static const struct quant_config awq4 = {.method = QUANT_AWQ, .bits = 4, .group_size = 32};
static const struct quant_config ct = {.method = QUANT_COMPRESSED_TENSORS, .bits = 4, .group_size = 32};
static const struct quant_config fp8 = {.method = QUANT_FP8};
static const struct quant_config nf4 = {.method = QUANT_BITSANDBYTES_NF4};
static const struct quant_config none = {.method = QUANT_NONE};

static void make_packed(struct quant_module *m)
{
    module_add(m, "weight_packed", DTYPE_I32, 2, N_ROW, N_COL / 8);
    module_add(m, "weight_scale", DTYPE_BF16, 2, N_ROW, 3);
    module_add(m, "weight_zero_point", DTYPE_I32, 2, N_ROW / 8, 3);
    module_fill(m, "weight_packed", 1, 0);
    module_fill(m, "weight_scale", 2, 0.1f);
    module_fill(m, "weight_zero_point", 3, 0);
}

#define BNB_STATE "quant_type=nf4 blocksize=64 dtype=bfloat16 nested_blocksize=16 nested_offset=0.25 "

static void make_nf4(struct quant_module *m, const char *state)
{
    const uint32_t n_block = N_ROW * N_COL / 64;
    module_add(m, "weight", DTYPE_U8, 2, N_ROW * N_COL / 2, 1);
    module_add(m, "weight.absmax", DTYPE_U8, 1, n_block, 0);
    float *map = module_add(m, "weight.quant_map", DTYPE_F32, 1, 16, 0);
    module_add(m, "weight.nested_absmax", DTYPE_F32, 1, (n_block - 1) / 16 + 1, 0);
    float *nested = module_add(m, "weight.nested_quant_map", DTYPE_F32, 1, 256, 0);
    char *text = module_add(m, "weight.quant_state.bitsandbytes__nf4", DTYPE_U8, 1, strlen(state) + 1, 0);
    module_fill(m, "weight", 1, 0);
    module_fill(m, "weight.absmax", 2, 0);
    module_fill(m, "weight.nested_absmax", 3, 0.5f);
    memcpy(map, quant_code_get(CODE_NF4)->value, 16 * sizeof *map);
    for (int i = 0; i < 256; i++)
        nested[i] = (float)i / 255;
    strcpy(text, state);
}

static void make(struct quant_module *m, const struct quant_config *c)
{
    m->n = 0;
    switch (c->method) {
    case QUANT_GPTQ:
        module_gptq(m, c, N_ROW, N_COL, true);
        break;
    case QUANT_AWQ:
        module_awq(m, c, N_ROW, N_COL);
        break;
    case QUANT_COMPRESSED_TENSORS:
        make_packed(m);
        break;
    case QUANT_FP8:
        module_fp8(m, c, N_ROW, N_COL);
        break;
    default:
        make_nf4(m, BNB_STATE);
    }
}

static float *decode(const struct quant_matrix *m)
{
    void *memory = malloc(quant_rows_bytes(m, m->n_row));
    struct quant_rows rows = quant_rows_place(m, m->n_row, memory);
    float *y = malloc((size_t)m->n_row * m->n_col * sizeof *y);
    quant_matrix_rows(m, 0, m->n_row, &rows);
    quant_rows_decode(m, &rows, m->n_row, y);
    free(memory);
    return y;
}

static void test_rows_come_in_any_order(void **state)
{
    (void)state;
    const struct quant_config *configs[] = {&gptq4, &awq4, &ct, &fp8, &nf4};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        struct quant_module module;
        struct quant_matrix *m;
        struct err e;
        make(&module, configs[i]);
        if (module_open(&module, configs[i], N_ROW, N_COL, &m, &e) != ST_OK)
            fail_msg("%s", e.text);
        float *all = decode(m), some[5 * N_COL];
        void *memory = malloc(quant_rows_bytes(m, 5));
        for (uint32_t n = 5; n > 0; n--)
            for (uint32_t r = N_ROW - n; r < N_ROW; r -= 3) {
                struct quant_rows rows = quant_rows_place(m, n, memory);
                quant_matrix_rows(m, r, n, &rows);
                quant_rows_decode(m, &rows, n, some);
                assert_memory_equal(some, all + (size_t)r * N_COL, (size_t)n * N_COL * sizeof *some);
            }
        for (uint32_t k = 0; k < N_ROW * N_COL; k++)
            assert_true(isfinite(all[k]));
        free(memory);
        free(all);
        quant_matrix_close(m);
        module_free(&module);
    }
}

/* ---- damage ---- */

enum damage { SHORT_DIM, WRONG_DTYPE, MISSING, NAN_NUMBER, BIG_NUMBER, MINUS_ONE, EXTRA_DIM };

static void damage(struct quant_module *m, const char *suffix, enum damage how)
{
    struct quant_tensor *t = module_tensor(m, suffix);
    uint8_t *p = (uint8_t *)(uintptr_t)t->data;
    switch (how) {
    case SHORT_DIM:
        t->dim[0]--;
        break;
    case WRONG_DTYPE:
        t->dtype = t->dtype == DTYPE_I64 ? DTYPE_F32 : DTYPE_I64;
        break;
    case MISSING:
        module_remove(m, suffix);
        break;
    case NAN_NUMBER: /* the last element: all bits */
    case BIG_NUMBER:
        memset(p + t->n_bytes - tensor_dtype_get(t->dtype)->bytes, how == NAN_NUMBER ? 0xff : 0x7f,
               tensor_dtype_get(t->dtype)->bytes);
        break;
    case MINUS_ONE:
        memset(p + 4, 0xff, 4);
        break;
    case EXTRA_DIM:
        t->dim[t->n_dim++] = 1;
        break;
    }
}

static void check_refused(struct quant_module *m, const struct quant_config *c, const char *what,
                          const char *word)
{
    struct quant_matrix *q;
    struct err e = {0};
    enum status st = module_open(m, c, N_ROW, N_COL, &q, &e);
    if (st == ST_OK || !strstr(e.text, word) || !strstr(e.text, "`p."))
        fail_msg("%s: %s: %s", what, status_name(st), e.text);
    assert_null(q);
    module_free(m);
}

static void test_damage_is_named(void **state)
{
    (void)state;
    static const struct {
        const struct quant_config *c;
        const char *suffix;
        enum damage how;
        const char *word;
    } rows[] = {
        {&gptq4, "qweight", SHORT_DIM, "`p.qweight`: expected shape [12, 24], found [11, 24]"},
        {&gptq4, "qweight", EXTRA_DIM, "expected shape [12, 24], found [12, 24, 1]"},
        {&gptq4, "qweight", WRONG_DTYPE, "`p.qweight` is missing"},
        {&gptq4, "qzeros", SHORT_DIM, "`p.qzeros`: expected shape [3, 3], found [2, 3]"},
        {&gptq4, "qzeros", MISSING, "`p.qzeros` is missing"},
        {&gptq4, "scales", MISSING, "`p.scales` is missing"},
        {&gptq4, "scales", SHORT_DIM, "`p.scales`: expected shape [3, 24]"},
        {&gptq4, "scales", WRONG_DTYPE, "`p.scales`: dtype I64"},
        {&gptq4, "scales", NAN_NUMBER, "`p.scales`: not all of its numbers are finite"},
        {&gptq4, "g_idx", SHORT_DIM, "`p.g_idx`: expected shape [96], found [95]"},
        {&gptq4, "g_idx", BIG_NUMBER, "`p.g_idx`: group 2139062143 of column 95 is not one of 3"},
        {&gptq4, "g_idx", MINUS_ONE, "`p.g_idx`: group -1 of column 1 is not one of 3"},
        {&gptq4, "g_idx", WRONG_DTYPE, "`p.g_idx`: dtype I64"},
        {&awq4, "qweight", SHORT_DIM, "`p.qweight`: expected shape [96, 3], found [95, 3]"},
        {&awq4, "qzeros", SHORT_DIM, "`p.qzeros`: expected shape [3, 3]"},
        {&awq4, "scales", NAN_NUMBER, "`p.scales`"},
        {&ct, "weight_packed", SHORT_DIM, "`p.weight_packed`: expected shape [24, 12], found [23, 12]"},
        {&ct, "weight_scale", SHORT_DIM, "`p.weight_scale`: expected shape [24, 3], found [23, 3]"},
        {&ct, "weight_scale", MISSING, "`p.weight_scale` is missing"},
        {&ct, "weight_scale", NAN_NUMBER, "`p.weight_scale`: not all"},
        {&ct, "weight_zero_point", SHORT_DIM, "`p.weight_zero_point`: expected shape [3, 3], found [2, 3]"},
        {&ct, "weight_zero_point", WRONG_DTYPE, "`p.weight_zero_point`: dtype I64"},
        {&fp8, "weight", SHORT_DIM, "`p.weight`: expected shape [24, 96], found [23, 96]"},
        {&fp8, "weight_scale", SHORT_DIM, "`p.weight_scale`: expected shape"},
        {&fp8, "weight_scale", MISSING, "neither its weight_scale nor its weight_scale_inv"},
        {&fp8, "weight_scale", NAN_NUMBER, "`p.weight_scale`: not all"},
        {&nf4, "weight", SHORT_DIM, "`p.weight`: expected shape [1152, 1]"},
        {&nf4, "weight.absmax", SHORT_DIM, "`p.weight.absmax`: expected shape [36], found [35]"},
        {&nf4, "weight.absmax", WRONG_DTYPE, "`p.weight.absmax`: dtype I64"},
        {&nf4, "weight.nested_absmax", SHORT_DIM, "`p.weight.nested_absmax`: expected shape [3], found [2]"},
        {&nf4, "weight.nested_absmax", NAN_NUMBER, "`p.weight.nested_absmax`: not all"},
        {&nf4, "weight.nested_absmax", MISSING, "nested_absmax or nested_quant_map is missing"},
        {&nf4, "weight.nested_quant_map", NAN_NUMBER, "`p.weight.nested_quant_map`: not all"},
        {&nf4, "weight.quant_map", BIG_NUMBER, "`p.weight.quant_map`: not the table of nf4"},
        {&nf4, "weight.quant_state.bitsandbytes__nf4", MISSING, "quant_state.bitsandbytes__nf4"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct quant_module m;
        make(&m, rows[i].c);
        damage(&m, rows[i].suffix, rows[i].how);
        check_refused(&m, rows[i].c, rows[i].suffix, rows[i].word);
    }
}

static void test_broken_states_are_named(void **state)
{
    (void)state;
    static const char *const states[][2] = {
        {"", "`blocksize`"},
        {"blocksize=0 dtype=float16 ", "`blocksize`"},
        {"blocksize=64.5 dtype=float16 ", "`blocksize`"},
        {"blocksize=1e30 dtype=float16 ", "`blocksize`"},
        {"blocksize=64 ", "`dtype`"},
        {"blocksize=64 dtype=int8 ", "`dtype`"},
        {"blocksize=64 dtype=float16 ", "`nested_blocksize`"},
        {"blocksize=64 dtype=float16 nested_blocksize=16 ", "`nested_offset`"},
        {"blocksize=64 dtype=float16 nested_blocksize=16 nested_offset=1e300 ", "`nested_offset`"},
        {"blocksize=32 dtype=float16 nested_blocksize=16 nested_offset=1 ", "`p.weight.absmax`"},
    };
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        struct quant_module m = {.n = 0};
        make_nf4(&m, states[i][0]);
        check_refused(&m, &nf4, states[i][0], states[i][1]);
    }
}

/* A module that was left alone has a plain weight: not this module's business. */
static void test_plain_modules_stay_plain(void **state)
{
    (void)state;
    const struct quant_config *configs[] = {&gptq4, &awq4, &ct, &fp8, &nf4, &none};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        struct quant_module m = {.n = 0};
        struct quant_matrix *q;
        module_plain(&m, DTYPE_BF16, N_ROW, N_COL);
        assert_int_equal(module_open(&m, configs[i], N_ROW, N_COL, &q, NULL), ST_OK);
        assert_null(q);
        module_free(&m);
    }
}

static void test_symmetric_zeros_are_not_kept(void **state)
{
    (void)state;
    for (unsigned bits = 4; bits <= 8; bits += 4)
        for (unsigned plain = 0; plain < 2; plain++) {
            struct quant_config c = {
                .method = QUANT_GPTQ, .bits = bits, .group_size = 32, .plain_zeros = plain};
            struct quant_module m = {.n = 0};
            struct quant_matrix *q;
            module_gptq(&m, &c, N_ROW, N_COL, false);
            struct quant_tensor *zeros = module_tensor(&m, "qzeros");
            memset((void *)(uintptr_t)zeros->data,
                   bits == 4 ? plain ? 0x88 : 0x77
                   : plain   ? 0x80
                             : 0x7f,
                   zeros->n_bytes);
            assert_int_equal(module_open(&m, &c, N_ROW, N_COL, &q, NULL), ST_OK);
            assert_false(q->has_zeros);
            assert_null(q->group_of);
            quant_matrix_close(q);
            module_free(&m);
        }
}

/* ---- made while loading ---- */

static float *make_and_decode(struct quant_module *m, enum quant_method method)
{
    const struct quant_config c = {.method = method, .on_the_fly = true};
    struct quant_matrix *q;
    struct err e;
    assert_true(quant_method_is_on_the_fly(method));
    if (module_open(m, &c, N_ROW, N_COL, &q, &e) != ST_OK)
        fail_msg("%s", e.text);
    float *y = decode(q);
    quant_matrix_close(q);
    return y;
}

/* No number is further from its weight than half the widest step there. */
static void test_what_is_made_is_near(void **state)
{
    (void)state;
    static const struct {
        enum quant_method method;
        float step; /* of the largest of a row */
    } rows[] = {{QUANT_EETQ, 0.51f / 127},
                {QUANT_BITSANDBYTES, 0.51f / 127},
                {QUANT_FP8, 16.1f / 448},
                {QUANT_BITSANDBYTES_NF4, 0.153f},
                {QUANT_BITSANDBYTES_FP4, 0.168f}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct quant_module m = {.n = 0};
        module_plain(&m, DTYPE_F32, N_ROW, N_COL);
        float *w = (float *)(uintptr_t)m.tensor[0].data;
        memset(w + 5 * N_COL, 0, N_COL * sizeof *w); /* a row of nothing */
        float *y = make_and_decode(&m, rows[i].method), largest = 0;
        for (uint32_t k = 0; k < N_ROW * N_COL; k++)
            largest = fmaxf(largest, fabsf(w[k]));
        for (uint32_t k = 0; k < N_ROW * N_COL; k++)
            assert_true(fabsf(y[k] - w[k]) <= rows[i].step * largest);
        for (uint32_t k = 5 * N_COL; k < 6 * N_COL; k++)
            assert_true(y[k] == 0);
        free(y);
        module_free(&m);
    }
}

static void test_methods_have_names(void **state)
{
    (void)state;
    for (unsigned i = QUANT_NONE + 1; i < QUANT_METHOD_COUNT; i++) {
        enum quant_method found;
        assert_true(quant_method_find(str_from(quant_method_name((enum quant_method)i)), &found));
        assert_int_equal(found, i);
    }
    enum quant_method found;
    assert_false(quant_method_find(STR("none"), &found));
    assert_false(quant_method_find(STR("marlin"), &found));
    assert_false(quant_method_is_on_the_fly(QUANT_GPTQ));
    assert_false(quant_method_is_on_the_fly(QUANT_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_come_in_any_order),       cmocka_unit_test(test_damage_is_named),
        cmocka_unit_test(test_broken_states_are_named),      cmocka_unit_test(test_plain_modules_stay_plain),
        cmocka_unit_test(test_symmetric_zeros_are_not_kept), cmocka_unit_test(test_what_is_made_is_near),
        cmocka_unit_test(test_methods_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

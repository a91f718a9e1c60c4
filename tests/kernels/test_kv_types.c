/* What a KV store makes of numbers: the codes of a row, and codes read back at every level. */
#include "backend/cpu/cpu_int.h"
#include "kernels/harness.h"
#include "quant/convert.h"
#include <math.h>

/* Codes of every pattern, by rows and by columns, at odd addresses: code * scale, to the bit, at every level.
 */
static void every_code_reads_the_same_at_every_level(void **state)
{
    (void)state;
    static const enum elem_type types[] = {ELEM_F16, ELEM_FP8_E4M3, ELEM_FP8_E5M2, ELEM_INT8};
    enum { N_COL = 48, N_ROW = 1376, N = N_ROW * N_COL }; /* 65,536 patterns and a few again */
    const char *isa[ISA_MAX];
    unsigned n_isa = isa_list(isa);
    uint8_t *codes = malloc(2 * N + 1);
    float *want = malloc(N * sizeof *want), *got = aligned_alloc(64, N * sizeof *got), scale[N_ROW];
    for (uint32_t i = 0; i < N_ROW; i++)
        scale[i] = i % 17 ? 0.01f * (float)i : 1;
    for (unsigned i = 0; i < n_isa * 8; i++) {
        const struct kernel_level *level;
        const struct elem_format *f = elem_format_get(types[i / 2 % 4]);
        assert_int_equal(isa_select(isa[i / 8], &level, NULL), ST_OK);
        for (uint32_t j = 0; j < N; j++)
            memcpy(codes + 1 + j * f->elem_bytes, &(uint16_t){(uint16_t)j}, f->elem_bytes);
        struct dequantise_tile t = {.type = f->type,
                                    .x = codes + 1,
                                    .y = got,
                                    .n_row = N_ROW,
                                    .n_col = N_COL,
                                    .by_row = i % 2,
                                    .scale = scale};
        level->attention->dequantise(&t);
        f->decode(want, codes + 1, N);
        for (uint32_t j = 0; j < N; j++) {
            want[j] *= scale[t.by_row ? j / N_COL : j % N_COL % 16];
            if (isnan(want[j]))
                assert_true(isnan(got[j]));
            else
                assert_int_equal(f32_bits(got[j]), f32_bits(want[j]));
        }
    }
    free(codes);
    free(want);
    free(got);
}

static float read_back(enum elem_type type, float x, float fixed)
{
    float row[3] = {x, 0, -x / 2}, y[3], scale = kv_row_scale(type, row, 3, fixed);
    uint8_t codes[12];
    kv_row_encode(type, codes, row, 3, scale);
    elem_format_get(type)->decode(y, codes, 3);
    return y[0] * scale;
}

/* Nothing finite becomes infinite, nothing that is not finite becomes a number. */
static void rows_saturate(void **state)
{
    (void)state;
    static const float largest[ELEM_TYPE_COUNT] = {
        [ELEM_F16] = 65504, [ELEM_FP8_E4M3] = 448, [ELEM_FP8_E5M2] = 57344};
    for (unsigned type = 0; type < ELEM_TYPE_COUNT; type++) {
        enum elem_type t = (enum elem_type)type;
        float top = read_back(t, 3e38f, 1);
        assert_true(!isfinite(read_back(t, INFINITY, 1)) && !isfinite(read_back(t, -INFINITY, 1)));
        assert_true(isnan(read_back(t, NAN, 1)));
        assert_true(read_back(t, 0, 1) == 0);
        if (largest[type] > 0)
            assert_true(top == largest[type] && read_back(t, -3e38f, 1) == -top);
        else
            assert_true(fabsf(top - 3e38f) <= 3e38f * 0x1p-8f);
        if (t == ELEM_FP8_E4M3 || t == ELEM_FP8_E5M2)
            assert_true(read_back(t, 3e38f, 0.25f) == top / 4);
    }
}

/* int8: the error is at most half of the row's largest number / 127, and the row decides alone. */
static void int8_rows_have_their_own_scale(void **state)
{
    (void)state;
    enum { N = 100 };
    for (int exp = -120; exp <= 120; exp += 10) {
        float x[N], y[N], max = ldexpf(1.7f, exp);
        int8_t codes[N];
        for (int i = 0; i < N; i++)
            x[i] = max * (float)(i - 50) / 50;
        float scale = kv_row_scale(ELEM_INT8, x, N, 1);
        kv_row_encode(ELEM_INT8, codes, x, N, scale);
        elem_format_get(ELEM_INT8)->decode(y, codes, N);
        if (max < 0x1p-100f)
            assert_true(scale == 0);
        else
            assert_true(codes[0] == -127 && fabsf(scale * 127 - max) <= max * 0x1p-23f);
        for (int i = 0; i < N; i++)
            assert_true(fabsf(y[i] * scale - x[i]) <= fmaxf(0.5001f * max / 127, scale == 0 ? max : 0));
    }
}

static void types_have_names(void **state)
{
    (void)state;
    enum kv_type t;
    assert_true(kv_type_find("auto", &t) && t == KV_AS_COMPUTE);
    assert_true(kv_type_find("bfloat16", &t) && t == KV_BFLOAT16);
    assert_true(kv_type_find("fp8_e4m3fn", &t) && t == KV_FP8_E4M3FN);
    assert_true(kv_type_find("int8", &t) && t == KV_INT8);
    assert_false(kv_type_find("", &t));
    assert_false(kv_type_find("fp8", &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_reads_the_same_at_every_level),
        cmocka_unit_test(rows_saturate),
        cmocka_unit_test(int8_rows_have_their_own_scale),
        cmocka_unit_test(types_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Element formats: every 16-bit pattern both ways, rounding at ties, and decoding from unaligned memory. */
#include "quant/convert.h"
#include "quant/quant.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define N_HALF 65536

static void test_lookup(void **state)
{
    (void)state;
    static const struct {
        enum elem_type type;
        struct str dtype;
        uint32_t elem_bytes;
    } rows[] = {{ELEM_F32, STR("F32"), 4}, {ELEM_F16, STR("F16"), 2}, {ELEM_BF16, STR("BF16"), 2}};
    for (size_t i = 0; i < ELEM_TYPE_COUNT; i++) {
        const struct elem_format *f = elem_format_get(rows[i].type);
        assert_int_equal(f->type, rows[i].type);
        assert_int_equal(f->elem_bytes, rows[i].elem_bytes);
        assert_ptr_equal(elem_format_by_safetensors_name(rows[i].dtype), f);
    }
    assert_null(elem_format_by_safetensors_name(STR("I64")));
    assert_null(elem_format_by_safetensors_name(STR("f32")));
    assert_null(elem_format_by_safetensors_name(STR("F3")));
    assert_null(elem_format_by_safetensors_name(STR("")));
}

/* decode, then encode, gives the same bits back; NaNs stay NaNs. Source and target lie at odd addresses. */
static void check_round_trip(const struct elem_format *f)
{
    unsigned char *bytes = malloc(2 * N_HALF + 1), *again = malloc(2 * N_HALF + 1);
    float *x = malloc(N_HALF * sizeof *x);
    for (uint32_t i = 0; i < N_HALF; i++) {
        uint16_t h = (uint16_t)i;
        memcpy(bytes + 1 + 2 * i, &h, 2);
    }
    f->decode(x, bytes + 1, N_HALF);
    f->encode(again + 1, x, N_HALF);
    for (uint32_t i = 0; i < N_HALF; i++) {
        uint16_t h;
        memcpy(&h, again + 1 + 2 * i, 2);
        if (isnan(x[i])) {
            float y;
            f->decode(&y, &h, 1);
            assert_true(isnan(y));
        } else {
            assert_int_equal(h, i);
        }
    }
    free(bytes);
    free(again);
    free(x);
}

static void test_round_trip(void **state)
{
    (void)state;
    check_round_trip(elem_format_get(ELEM_F16));
    check_round_trip(elem_format_get(ELEM_BF16));
}

/* The value of a half by its definition, computed another way than the code under test. */
static double f16_value(unsigned h)
{
    int exp = (int)(h >> 10 & 31), frac = (int)(h & 1023);
    double mag = exp ? ldexp(1024 + frac, exp - 25) : ldexp(frac, -24);
    return h & 0x8000 ? -mag : mag;
}

static void test_f16_values(void **state)
{
    (void)state;
    for (unsigned h = 0; h < N_HALF; h++) {
        float x = f32_from_f16((uint16_t)h);
        bool special = (h >> 10 & 31) == 31;
        if (!special)
            assert_true((double)x == f16_value(h) && !signbit(x) == !(h & 0x8000));
        else if (h & 1023)
            assert_true(isnan(x));
        else
            assert_true(isinf(x) && !signbit(x) == !(h & 0x8000));
    }
}

/* Between each pair of neighbours: just below the middle goes down, the middle to the even one, just above
 * up. */
static void check_ties(float (*decode)(uint16_t), uint16_t (*encode)(float), unsigned n_finite)
{
    for (unsigned h = 0; h + 1 < n_finite; h++) {
        double lo = (double)decode((uint16_t)h), hi = (double)decode((uint16_t)(h + 1));
        float middle = (float)((lo + hi) / 2); /* exact: a float has more than one bit to spare */
        unsigned even = h & 1 ? h + 1 : h;
        for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000) {
            float s = sign ? -1 : 1;
            assert_int_equal(encode(s * middle), even | sign);
            assert_int_equal(encode(s * nextafterf(middle, 0)), h | sign);
            assert_int_equal(encode(s * nextafterf(middle, INFINITY)), (h + 1) | sign);
        }
    }
}

static void test_ties(void **state)
{
    (void)state;
    check_ties(f32_from_f16, f16_from_f32, 0x7c00);
    check_ties(f32_from_bf16, bf16_from_f32, 0x7f80);
}

static void test_overflow(void **state)
{
    (void)state;
    assert_int_equal(f16_from_f32(65504.0f), 0x7bff);
    assert_int_equal(f16_from_f32(65519.996f), 0x7bff);
    assert_int_equal(f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(f16_from_f32(-1e30f), 0xfc00);
    assert_int_equal(f16_from_f32(INFINITY), 0x7c00);
    assert_int_equal(bf16_from_f32(INFINITY), 0x7f80);
    assert_int_equal(bf16_from_f32(3.4028235e38f), 0x7f80);
    assert_int_equal(f16_from_f32(1e-30f), 0);
    assert_int_equal(f16_from_f32(-0.0f), 0x8000);
    assert_true(
        isnan(f32_from_bf16(bf16_from_f32(f32_from_bits(0x7f800001u))))); /* not rounded to infinity */
    assert_true(isnan(f32_from_f16(f16_from_f32(f32_from_bits(0xffffffffu)))));
}

static void test_f32(void **state)
{
    (void)state;
    const struct elem_format *f = elem_format_get(ELEM_F32);
    const float x[3] = {1.5f, -0.0f, 1e-42f};
    unsigned char bytes[13];
    float y[3];
    f->encode(bytes + 1, x, 3);
    f->decode(y, bytes + 1, 3);
    assert_memory_equal(x, y, sizeof x);
    f->encode(NULL, NULL, 0);
    f->decode(NULL, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_f16_values),
        cmocka_unit_test(test_ties),   cmocka_unit_test(test_overflow),   cmocka_unit_test(test_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

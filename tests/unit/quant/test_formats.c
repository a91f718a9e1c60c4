/* Element formats: every 16-bit and 8-bit pattern both ways, rounding at ties, and decoding from unaligned
 * memory. */
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
    } rows[ELEM_TYPE_COUNT] = {{ELEM_F32, STR("F32"), 4},   {ELEM_F16, STR("F16"), 2},
                               {ELEM_BF16, STR("BF16"), 2}, {ELEM_FP8_E4M3, {0}, 1},
                               {ELEM_FP8_E5M2, {0}, 1},     {ELEM_INT8, {0}, 1}};
    for (size_t i = 0; i < ELEM_TYPE_COUNT; i++) {
        const struct elem_format *f = elem_format_get(rows[i].type);
        assert_int_equal(f->type, rows[i].type);
        assert_int_equal(f->elem_bytes, rows[i].elem_bytes);
        if (f->safetensors_name)
            assert_ptr_equal(elem_format_by_safetensors_name(rows[i].dtype), f);
        else
            assert_null(rows[i].dtype.p);
    }
    assert_null(elem_format_by_safetensors_name(STR("I64")));
    assert_null(elem_format_by_safetensors_name(STR("I8")));
    assert_null(elem_format_by_safetensors_name(STR("F8_E4M3")));
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

static unsigned encode_one(const struct elem_format *f, float x)
{
    uint16_t code = 0;
    f->encode(&code, &x, 1);
    return code;
}

static float decode_one(const struct elem_format *f, unsigned code)
{
    uint16_t h = (uint16_t)code;
    float x;
    f->decode(&x, &h, 1);
    return x;
}

/* Between each pair of neighbours: just below the middle goes down, the middle to the even one, just above
 * up. */
static void check_ties(enum elem_type type, unsigned n_finite)
{
    const struct elem_format *f = elem_format_get(type);
    unsigned minus = 1u << (8 * f->elem_bytes - 1);
    for (unsigned h = 0; h + 1 < n_finite; h++) {
        double lo = (double)decode_one(f, h), hi = (double)decode_one(f, h + 1);
        float middle = (float)((lo + hi) / 2); /* exact: a float has more than one bit to spare */
        unsigned even = h & 1 ? h + 1 : h;
        for (unsigned sign = 0; sign <= minus; sign += minus) {
            float s = sign ? -1 : 1;
            assert_int_equal(encode_one(f, s * middle), even | sign);
            assert_int_equal(encode_one(f, s * nextafterf(middle, 0)), h | sign);
            assert_int_equal(encode_one(f, s * nextafterf(middle, INFINITY)), (h + 1) | sign);
        }
    }
}

static void test_ties(void **state)
{
    (void)state;
    check_ties(ELEM_F16, 0x7c00);
    check_ties(ELEM_BF16, 0x7f80);
    check_ties(ELEM_FP8_E4M3, 0x7f);
    check_ties(ELEM_FP8_E5M2, 0x7c);
}

/* An 8-bit float by its definition: n_exp bits of exponent, the rest fraction. */
static double fp8_value(unsigned code, int n_exp)
{
    int n_frac = 7 - n_exp, bias = (1 << (n_exp - 1)) - 1;
    int exp = (int)(code & 0x7f) >> n_frac, frac = (int)code & ((1 << n_frac) - 1);
    double mag = exp ? ldexp((1 << n_frac) + frac, exp - bias - n_frac) : ldexp(frac, 1 - bias - n_frac);
    return code & 0x80 ? -mag : mag;
}

static void check_fp8(enum elem_type type, int n_exp, unsigned first_special, unsigned infinity, float max)
{
    const struct elem_format *f = elem_format_get(type);
    for (unsigned code = 0; code < 256; code++) {
        float x = decode_one(f, code);
        assert_int_equal(!signbit(x), !(code & 0x80));
        if ((code & 0x7f) == infinity) {
            assert_true(isinf(x));
        } else if ((code & 0x7f) >= first_special) {
            assert_true(isnan(x) && isnan(decode_one(f, encode_one(f, x))));
            continue;
        } else {
            assert_true((double)x == fp8_value(code, n_exp));
        }
        assert_int_equal(encode_one(f, x), code);
    }
    assert_true(decode_one(f, first_special - 1) == max);
    for (int sign = -1; sign <= 1; sign += 2) {
        float s = (float)sign;
        assert_true(decode_one(f, encode_one(f, s * 1.2f * max)) == s * max);
        assert_true(decode_one(f, encode_one(f, s * 3e38f)) == s * max);
        assert_true(!isfinite(decode_one(f, encode_one(f, s * INFINITY))));
        assert_true(decode_one(f, encode_one(f, s * 1e-45f)) == 0);
    }
}

static void test_fp8_values(void **state)
{
    (void)state;
    check_fp8(ELEM_FP8_E4M3, 4, 0x7f, 0x80, 448);
    check_fp8(ELEM_FP8_E5M2, 5, 0x7c, 0x7c, 57344);
}

static void test_int8(void **state)
{
    (void)state;
    const struct elem_format *f = elem_format_get(ELEM_INT8);
    for (int n = -127; n <= 127; n++) {
        float x = decode_one(f, (uint8_t)n), up = x + 0.5f;
        int even = n % 2 ? n + 1 : n;
        assert_true(x == (float)n);
        assert_int_equal((int8_t)encode_one(f, x), n);
        assert_int_equal((int8_t)encode_one(f, nextafterf(up, -INFINITY)), n);
        assert_int_equal((int8_t)encode_one(f, up), even < 127 ? even : 127);
    }
    assert_int_equal((int8_t)encode_one(f, 3e38f), 127);
    assert_int_equal((int8_t)encode_one(f, INFINITY), 127);
    assert_int_equal((int8_t)encode_one(f, -INFINITY), -127);
    assert_int_equal((int8_t)encode_one(f, -127.5f), -127);
    assert_int_equal((int8_t)encode_one(f, NAN), 0);
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
        cmocka_unit_test(test_lookup),   cmocka_unit_test(test_round_trip), cmocka_unit_test(test_f16_values),
        cmocka_unit_test(test_ties),     cmocka_unit_test(test_fp8_values), cmocka_unit_test(test_int8),
        cmocka_unit_test(test_overflow), cmocka_unit_test(test_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

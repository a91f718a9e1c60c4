/* Single numbers between float and the 16-bit and 8-bit formats, for kernels and decoders. */
#ifndef QUANT_CONVERT_H
#define QUANT_CONVERT_H

#include <stdint.h>
#include <string.h>

static inline uint32_t f32_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float f32_from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float f32_from_bf16(uint16_t h)
{
    return f32_from_bits((uint32_t)h << 16);
}

/* Nearest, ties to even; a NaN stays a (quiet) NaN. */
static inline uint16_t bf16_from_f32(float x)
{
    uint32_t u = f32_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((u >> 16) | 0x0040u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

static inline float f32_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = (h >> 10) & 0x1fu, frac = h & 0x3ffu;
    if (exp == 0x1f)
        return f32_from_bits(sign | 0x7f800000u | (frac << 13));
    if (exp != 0)
        return f32_from_bits(sign | ((exp + 112u) << 23) | (frac << 13));
    float small = (float)frac * 0x1p-24f; /* subnormal or zero: exact */
    return f32_from_bits(sign | f32_bits(small));
}

/* Nearest, ties to even; too large becomes infinity. */
static inline uint16_t f16_from_f32(float x)
{
    uint32_t u = f32_bits(x), sign = (u >> 16) & 0x8000u, mag = u & 0x7fffffffu;
    if (mag > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (mag >= 0x477ff000u) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00u);
    if (mag < 0x38800000u) { /* below 2^-14: adding 0.5 aligns and rounds the fraction */
        float f = f32_from_bits(mag) + 0.5f;
        return (uint16_t)(sign | (f32_bits(f) - 0x3f000000u));
    }
    mag += 0xfffu + ((mag >> 13) & 1u);
    return (uint16_t)(sign | ((mag - 0x38000000u) >> 13));
}

/* ---- 8-bit floats ----
 *
 * e4m3fn: 4 bits of exponent, 3 of fraction, no infinity, one NaN of each sign, up to 448.
 * e5m2: 5 bits of exponent, 2 of fraction, the upper half of an f16, up to 57344.
 * Encoding: nearest, ties to even. A finite number that is too large becomes the largest; what is not finite
 * stays not finite. */

static inline float f32_from_fp8_e4m3(uint8_t code)
{
    uint32_t sign = code & 0x80u, mag = code & 0x7fu;
    if (mag == 0x7f)
        return f32_from_bits(sign << 24 | 0x7fc00000u);
    return f32_from_f16((uint16_t)(sign << 8 | mag << 7)) * 0x1p8f; /* the bias is 7, that of f16 is 15 */
}

static inline float f32_from_fp8_e5m2(uint8_t code)
{
    return f32_from_f16((uint16_t)(code << 8));
}

/* n_frac bits of fraction and 7 - n_frac of exponent; `max`: the code of the largest number. */
static inline uint8_t fp8_from_f32(float x, unsigned n_frac, uint32_t max, uint32_t infinity)
{
    uint32_t u = f32_bits(x), sign = (u >> 24) & 0x80u, mag = u & 0x7fffffffu, code;
    uint32_t bias = (1u << (6 - n_frac)) - 1, shift = 23 - n_frac;
    uint32_t normal = (128 - bias) << 23;         /* the smallest normal number */
    uint32_t align = (151 - bias - n_frac) << 23; /* one whose last bit is the smallest number */
    if (mag >= 0x7f800000u)
        return (uint8_t)(sign | (mag == 0x7f800000u ? infinity : 0x7fu));
    if (mag < normal) {
        code = f32_bits(f32_from_bits(mag) + f32_from_bits(align)) - align;
    } else {
        mag += (1u << (shift - 1)) - 1 + ((mag >> shift) & 1u);
        code = ((mag - normal) >> shift) + (1u << n_frac);
    }
    return (uint8_t)(sign | (code < max ? code : max));
}

static inline uint8_t fp8_e4m3_from_f32(float x)
{
    return fp8_from_f32(x, 3, 0x7e, 0x7f);
}

static inline uint8_t fp8_e5m2_from_f32(float x)
{
    return fp8_from_f32(x, 2, 0x7b, 0x7c);
}

/* ---- 8-bit whole numbers, -127 .. 127: nearest, ties to even, saturating; NaN becomes 0 ---- */

static inline int8_t int8_from_f32(float x)
{
    const float magic = 0x1.8p23f; /* one whose last bit counts 1 */
    if (!(x >= -127))
        return (int8_t)(x < -127 ? -127 : 0);
    return (int8_t)((x < 127 ? x : 127) + magic - magic);
}

#endif

/* Decoding panels of codes into panels that linear tiles multiply: one body, compiled once per
 * instruction-set level.
 *
 * A line of 64 bytes holds the codes of 16 columns, 32 bits each: 8 of 4 bits or 4 of 8 bits, in k order but
 * that the high halves of bytes come after all low ones (what an 8-bit dot product wants). Every number is
 * computed by the operations that quant/matrix.h states, so the bytes are the same at every level. */
#include "backend/cpu/kernels/kernels_int.h"
#include "quant/convert.h"
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define STEP 8 /* columns of a row that are decoded together */

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef uint32_t vu __attribute__((vector_size(64)));
typedef int8_t vb __attribute__((vector_size(16)));

/* How codes become values. */
enum kind { KIND_TABLE, KIND_INT8, KIND_FP8 };

static ALWAYS_INLINE vu load_line(const void *p)
{
    vu v;
    memcpy(&v, p, sizeof v);
    return v;
}

static ALWAYS_INLINE vf choose(vi mask, vf a, vf b)
{
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

/* table[index % 16] */
static ALWAYS_INLINE vf look_up(const float *table, vu index)
{
#if defined(__AVX512F__)
    return (vf)_mm512_permutexvar_ps((__m512i)index, _mm512_loadu_ps(table));
#elif defined(__AVX2__)
    __m256 low = _mm256_loadu_ps(table), high = _mm256_loadu_ps(table + 8);
    __m256i half[2];
    vf y;
    memcpy(half, &index, sizeof half);
    for (int i = 0; i < 2; i++) {
        __m256 v =
            _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, half[i]), _mm256_permutevar8x32_ps(high, half[i]),
                             _mm256_castsi256_ps(_mm256_slli_epi32(half[i], 28)));
        memcpy((char *)&y + 32 * i, &v, sizeof v);
    }
    return y;
#else
    vf y;
    for (int i = 0; i < PANEL_COLS; i++)
        y[i] = table[index[i] & 15];
    return y;
#endif
}

static ALWAYS_INLINE vf fp8_values(vu byte)
{
    vu mag = byte & 0x7f;
    vf normal = (vf)((mag << 20) + (120u << 23)), small = __builtin_convertvector((vi)mag, vf) * 0x1p-9f;
    vf y = choose((vi)(mag < 8), small, normal);
    y = choose((vi)(mag == 0x7f), (vf)(mag * 0 + 0x7fc00000u), y);
    return (vf)((vu)y | (byte & 0x80) << 24);
}

/* The values of column k + i of a step whose lines begin at `line`. */
static ALWAYS_INLINE vf values(const uint8_t *line, int i, enum kind kind, const float *table)
{
    if (kind == KIND_TABLE)
        return look_up(table, load_line(line) >> (unsigned)(i < 4 ? 8 * i : 8 * i - 28));
    vu x = load_line(line + i / 4 * 64);
    unsigned at = 8 * ((unsigned)i % 4);
    if (kind == KIND_INT8)
        return __builtin_convertvector((vi)(x << (24 - at)) >> 24, vf);
    return fp8_values(x >> at & 0xff);
}

/* 16 numbers of 16 bits as float32. */
static ALWAYS_INLINE vf load_f16(const uint16_t *p)
{
#if defined(__AVX512F__)
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#else
    vf y;
    for (int i = 0; i < PANEL_COLS; i++)
        y[i] = f32_from_f16(p[i]);
    return y;
#endif
}

static ALWAYS_INLINE vf load_scale(const struct decode_tile *t, uint32_t group)
{
    size_t at = (size_t)group * PANEL_COLS;
    vf y;
    if (t->scale_type == ELEM_F16)
        return load_f16((const uint16_t *)t->scale + at);
    if (t->scale_type == ELEM_F32) {
        memcpy(&y, (const float *)t->scale + at, sizeof y);
        return y;
    }
    for (int i = 0; i < PANEL_COLS; i++)
        y[i] = f32_from_bf16(((const uint16_t *)t->scale)[at + (size_t)i]);
    return y;
}

static ALWAYS_INLINE vf load_zero(const struct decode_tile *t, uint32_t group)
{
    vb z;
    if (!t->zero)
        return (vf){0};
    memcpy(&z, t->zero + (size_t)group * PANEL_COLS, sizeof z);
    return __builtin_convertvector(z, vf);
}

/* Rounded to bf16: in the upper half of each lane, the lower half is zero. */
static ALWAYS_INLINE vu bf16_bits(vf x, bool maybe_nan)
{
    vu u = (vu)x, rounded = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
    if (!maybe_nan)
        return rounded;
    vi nan = (vi)((u & 0x7fffffff) > 0x7f800000);
    return (vu)choose(nan, (vf)((u & 0xffff0000u) | 0x00400000u), (vf)rounded);
}

static ALWAYS_INLINE vf as_f16(vf x)
{
#if defined(__AVX512F__)
    return (vf)_mm512_cvtph_ps(_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(__F16C__)
    __m256 half[2];
    memcpy(half, &x, sizeof half);
    for (int i = 0; i < 2; i++)
        half[i] = _mm256_cvtph_ps(_mm256_cvtps_ph(half[i], _MM_FROUND_TO_NEAREST_INT));
    memcpy(&x, half, sizeof x);
    return x;
#else
    for (int i = 0; i < PANEL_COLS; i++)
        x[i] = f32_from_f16(f16_from_f32(x[i]));
    return x;
#endif
}

/* What only some formats do to a number. */
static ALWAYS_INLINE vf finish(const struct decode_tile *t, vf x)
{
    if (t->divisor != 1)
        x /= t->divisor;
    if (t->value_type == ELEM_F16)
        return as_f16(x);
    return t->value_type == ELEM_BF16 ? (vf)bf16_bits(x, true) : x;
}

static ALWAYS_INLINE void store_step(const struct decode_tile *t, uint32_t k, const vf *x, enum kind kind,
                                     enum elem_type to)
{
    bool maybe_nan = kind == KIND_FP8;
    uint32_t n = t->k - k < STEP ? t->k - k : STEP;
    if (to == ELEM_F32) {
        memcpy((float *)t->panel + (size_t)k * PANEL_COLS, x, n * sizeof *x);
        return;
    }
    vu pairs[STEP / 2];
    for (int i = 0; i < STEP; i += 2)
        pairs[i / 2] = bf16_bits(x[i], maybe_nan) >> 16 | bf16_bits(x[i + 1], maybe_nan);
    if (n % 2)
        pairs[n / 2] &= 0xffff;
    memcpy((uint16_t *)t->panel + (size_t)k * PANEL_COLS, pairs, (n + 1) / 2 * sizeof *pairs);
}

/* Groups of whole steps, and nothing to finish. */
static ALWAYS_INLINE void decode_even(const struct decode_tile *t, enum kind kind, enum elem_type to)
{
    const uint8_t *line = t->codes;
    uint32_t group = 0, left = t->group_size;
    vf scale = load_scale(t, 0), zero = load_zero(t, 0), x[STEP];
    for (uint32_t k = 0; k < t->k; k += STEP, line += kind == KIND_TABLE ? 64 : 128) {
        if (left == 0) {
            group++;
            left = t->group_size;
            scale = load_scale(t, group);
            zero = load_zero(t, group);
        }
        left -= left < STEP ? left : STEP;
#pragma GCC unroll 8
        for (int i = 0; i < STEP; i++)
            x[i] = (values(line, i, kind, t->table) - zero) * scale;
        store_step(t, k, x, kind, to);
    }
}

static ALWAYS_INLINE void decode_any(const struct decode_tile *t, enum kind kind, enum elem_type to)
{
    const uint8_t *line = t->codes;
    vf x[STEP];
    for (uint32_t k = 0; k < t->k; k += STEP, line += kind == KIND_TABLE ? 64 : 128) {
#pragma GCC unroll 8
        for (int i = 0; i < STEP; i++) {
            uint32_t at = k + (uint32_t)i < t->k ? k + (uint32_t)i : t->k - 1;
            uint32_t group = t->group_of ? t->group_of[at] : at / t->group_size;
            x[i] = finish(t, (values(line, i, kind, t->table) - load_zero(t, group)) * load_scale(t, group));
        }
        store_step(t, k, x, kind, to);
    }
}

static bool is_even(const struct decode_tile *t)
{
    return !t->group_of && (t->group_size % STEP == 0 || t->group_size == t->k) && t->divisor == 1 &&
           (t->value_type == ELEM_F32 || t->value_type == t->to);
}

static ALWAYS_INLINE void decode_kind(const struct decode_tile *t, enum kind kind)
{
    if (is_even(t) && t->to == ELEM_BF16)
        decode_even(t, kind, ELEM_BF16);
    else if (is_even(t) && t->value_type == ELEM_F32)
        decode_even(t, kind, ELEM_F32);
    else if (t->to == ELEM_BF16)
        decode_any(t, kind, ELEM_BF16);
    else
        decode_any(t, kind, ELEM_F32);
}

static void decode(const struct decode_tile *t)
{
    if (t->table)
        decode_kind(t, KIND_TABLE);
    else if (t->code == CODE_INT8)
        decode_kind(t, KIND_INT8);
    else
        decode_kind(t, KIND_FP8);
}

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

const struct decode_kernels JOIN(decode_, KERNEL_LEVEL) = {.decode = decode};

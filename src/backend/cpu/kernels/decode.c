/* Decoding panels of codes into panels that linear tiles multiply: one body, compiled once per
 * instruction-set level.
 *
 * A line of 64 bytes holds the codes of 16 columns, 32 bits each: 8 of 4 bits or 4 of 8 bits, in k order but
 * that the high halves of bytes come after all low ones (what an 8-bit dot product wants). As many columns as
 * a register has lanes are decoded at once, for all k. Every number is computed by the operations that
 * quant/matrix.h states, so the bytes are the same at every level. */
#include "backend/cpu/kernels/kernels_int.h"
#include "quant/convert.h"
#ifdef __AVX2__
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#define STEP 8 /* k that are decoded together */
#if LANES > 4
#define UNROLL_STEP _Pragma("GCC unroll 8")
#else
#define UNROLL_STEP _Pragma("GCC unroll 1") /* table look-ups lane by lane are long enough */
#endif

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * LANES)));

/* What a loop knows when it is compiled. */
struct shape {
    enum { KIND_TABLE, KIND_INT8, KIND_FP8 } kind; /* how codes become values */
    /* Groups of whole steps; of any number of k; or listed for each k. */
    enum { GROUPS_OF_STEPS, GROUPS_IN_ORDER, GROUPS_LISTED } groups;
    enum elem_type to;
    bool plain; /* value * scale is the number */
    /* The numbers go into the panel; or are multiplied by a row of float32, or of bf16 pairs. */
    enum { TO_PANEL, BY_FLOATS, BY_PAIRS } use;
};

#if defined(__AVX512BF16__)
#define HAS_PAIRS true
#else
#define HAS_PAIRS false
#endif

static ALWAYS_INLINE vu load_line(const void *p)
{
    vu v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Lane by lane, mag < bound ? below : else_; all are below 2^31. */
static ALWAYS_INLINE vf where_less(vu mag, int32_t bound, vf below, vf else_)
{
#if defined(__AVX512F__)
    return (vf)_mm512_mask_blend_ps(_mm512_cmplt_epi32_mask((__m512i)mag, _mm512_set1_epi32(bound)),
                                    (__m512)else_, (__m512)below);
#elif defined(__AVX2__)
    __m256i less = _mm256_cmpgt_epi32(_mm256_set1_epi32(bound), (__m256i)mag);
    return (vf)_mm256_blendv_ps((__m256)else_, (__m256)below, (__m256)less);
#else
    vi less = (vi)mag < bound;
    return (vf)(((vi)below & less) | ((vi)else_ & ~less));
#endif
}

static ALWAYS_INLINE vu splat(uint32_t x)
{
    return x - (vu){0};
}

/* table[index % 16] */
static ALWAYS_INLINE vf look_up(const float *table, vu index)
{
#if defined(__AVX512F__)
    return (vf)_mm512_permutexvar_ps((__m512i)index, _mm512_loadu_ps(table));
#elif defined(__AVX2__)
    __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), (__m256i)index);
    __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), (__m256i)index);
    return (vf)_mm256_blendv_ps(low, high, (__m256)(index << 28));
#else
    vf y;
    for (int i = 0; i < LANES; i++)
        y[i] = table[index[i] & 15];
    return y;
#endif
}

static ALWAYS_INLINE vf fp8_values(vu byte)
{
    vu mag = byte & 0x7f;
    vf normal = (vf)((mag << 20) + (120u << 23)), small = __builtin_convertvector((vi)mag, vf) * 0x1p-9f;
    vf y = where_less(mag, 0x7f, where_less(mag, 8, small, normal), (vf)splat(0x7fc00000));
    return (vf)((vu)y | (byte & 0x80) << 24);
}

/* The values of k + i of the step whose lines begin at `line`. */
static ALWAYS_INLINE vf values(const uint8_t *line, uint32_t i, struct shape s, const float *table)
{
    unsigned at = 8 * (i % 4);
    if (s.kind == KIND_TABLE)
        return look_up(table, load_line(line) >> (i < 4 ? at : at + 4));
    vu x = load_line(line + i / 4 * 64);
    if (s.kind == KIND_INT8)
        return __builtin_convertvector((vi)(x << (24 - at)) >> 24, vf);
    return fp8_values(x >> at & 0xff);
}

/* Numbers of 16 bits as float32. */
static ALWAYS_INLINE vf load_halves(const uint16_t *p, enum elem_type type)
{
    vh h;
    memcpy(&h, p, sizeof h);
    if (type == ELEM_BF16)
        return (vf)(__builtin_convertvector(h, vu) << 16);
#if defined(__AVX512F__)
    return (vf)_mm512_cvtph_ps((__m256i)h);
#elif defined(__AVX2__)
    return (vf)_mm256_cvtph_ps((__m128i)h);
#else
    vf y;
    for (int i = 0; i < LANES; i++)
        y[i] = f32_from_f16(h[i]);
    return y;
#endif
}

static ALWAYS_INLINE vf load_scale(const struct decode_tile *t, uint32_t group, uint32_t column)
{
    size_t at = (size_t)group * PANEL_COLS + column;
    if (t->scale_type != ELEM_F32)
        return load_halves((const uint16_t *)t->scale + at, t->scale_type);
    vf y;
    memcpy(&y, (const float *)t->scale + at, sizeof y);
    return y;
}

static ALWAYS_INLINE vf load_zero(const struct decode_tile *t, uint32_t group, uint32_t column)
{
    if (!t->zero)
        return (vf){0};
    const int8_t *p = t->zero + (size_t)group * PANEL_COLS + column;
#if defined(__AVX512F__)
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
#elif defined(__AVX2__)
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
#else
    vf y;
    for (int i = 0; i < LANES; i++)
        y[i] = p[i];
    return y;
#endif
}

/* Rounded to bf16: in the upper half of each lane, the lower half is zero. The only NaN is the common one,
 * which rounds to itself. */
static ALWAYS_INLINE vu bf16_bits(vf x)
{
    vu u = (vu)x;
    return (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
}

static ALWAYS_INLINE vf as_f16(vf x)
{
#if defined(__AVX512F__)
    return (vf)_mm512_cvtph_ps(_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(__AVX2__)
    return (vf)_mm256_cvtph_ps(_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT));
#else
    for (int i = 0; i < LANES; i++)
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
    return t->value_type == ELEM_BF16 ? (vf)bf16_bits(x) : x;
}

static ALWAYS_INLINE void store_step(const struct decode_tile *t, uint32_t k, uint32_t column, const vf *x,
                                     struct shape s)
{
    uint32_t n = t->k - k < STEP ? t->k - k : STEP;
    if (s.to == ELEM_F32) {
        float *to = (float *)t->panel + (size_t)k * PANEL_COLS + column;
        for (uint32_t i = 0; i < n; i++, to += PANEL_COLS)
            memcpy(to, &x[i], sizeof *x);
        return;
    }
    uint32_t *to = (uint32_t *)t->panel + (size_t)(k / 2) * PANEL_COLS + column;
    UNROLL_STEP
    for (uint32_t i = 0; i < STEP; i += 2, to += PANEL_COLS) {
        vu pairs = bf16_bits(x[i]) >> 16 | bf16_bits(x[i + 1]);
        if (i + 1 == n)
            pairs &= 0xffff;
        if (i < n)
            memcpy(to, &pairs, sizeof pairs);
    }
}

/* sum + a * w, rounded once as this level's linear tiles do it. */
static ALWAYS_INLINE vf multiply_add(float a, vf w, vf sum)
{
#if defined(__AVX512F__)
    return (vf)_mm512_fmadd_ps(_mm512_set1_ps(a), (__m512)w, (__m512)sum);
#elif defined(__AVX2__)
    return (vf)_mm256_fmadd_ps(_mm256_set1_ps(a), (__m256)w, (__m256)sum);
#else
    return a * w + sum;
#endif
}

static ALWAYS_INLINE vf multiply_pairs(int a, vu w, vf sum)
{
#if HAS_PAIRS
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(a), (__m512bh)w);
#else
    (void)a;
    (void)w;
    return sum;
#endif
}

/* Adds the products of a step's k, in k order. */
static ALWAYS_INLINE vf multiply_step(const void *a, uint32_t k, uint32_t n, const vf *x, vf sum,
                                      struct shape s)
{
    UNROLL_STEP
    for (uint32_t i = 0; i < STEP; i++) {
        if (i >= n)
            break;
        if (s.use == BY_FLOATS)
            sum =
                multiply_add(((const float *)a)[k + i], s.to == ELEM_BF16 ? (vf)bf16_bits(x[i]) : x[i], sum);
        else if (i % 2 == 0)
            sum = multiply_pairs(((const int *)a)[(k + i) / 2],
                                 bf16_bits(x[i]) >> 16 | (i + 1 < n ? bf16_bits(x[i + 1]) : splat(0)), sum);
    }
    return sum;
}

static ALWAYS_INLINE void store_sums(const struct linear_tile *row, uint32_t column, vf sum)
{
    uint32_t left = row->n_col > column ? row->n_col - column : 0, n = left < LANES ? left : LANES;
    vf bias = {0}, y = {0};
    if (row->bias)
        memcpy(&bias, row->bias + column, n * sizeof *row->bias);
    sum += bias;
    if (row->accumulate) {
        memcpy(&y, row->y + column, n * sizeof *row->y);
        sum += y;
    }
    memcpy(row->y + column, &sum, n * sizeof *row->y);
}

/* The scales and zeros that hold for some k on. */
struct group {
    uint32_t number, left; /* left: k until the next one */
    vf scale, zero;
};

static ALWAYS_INLINE void group_load(struct group *g, const struct decode_tile *t, uint32_t number,
                                     uint32_t column)
{
    g->number = number;
    g->left = t->group_size;
    g->scale = load_scale(t, number, column);
    g->zero = load_zero(t, number, column);
}

static ALWAYS_INLINE void decode_columns(const struct decode_tile *t, const struct linear_tile *row,
                                         uint32_t column, struct shape s)
{
    const uint8_t *line = t->codes + (size_t)column * 4;
    struct group g;
    vf x[STEP], sum = {0};
    group_load(&g, t, 0, column);
    for (uint32_t k = 0; k < t->k; k += STEP, line += s.kind == KIND_TABLE ? 64 : 128) {
        if (s.groups == GROUPS_OF_STEPS && g.left == 0)
            group_load(&g, t, g.number + 1, column);
        if (s.groups == GROUPS_OF_STEPS)
            g.left -= g.left < STEP ? g.left : STEP;
        UNROLL_STEP
        for (uint32_t i = 0; i < STEP; i++) {
            if (s.groups == GROUPS_LISTED && k + i < t->k)
                group_load(&g, t, t->group_of[k + i], column);
            if (s.groups == GROUPS_IN_ORDER && g.left == 0 && k + i < t->k)
                group_load(&g, t, g.number + 1, column);
            if (s.groups == GROUPS_IN_ORDER)
                g.left -= g.left > 0;
            x[i] = (values(line, i, s, t->table) - g.zero) * g.scale;
            if (!s.plain)
                x[i] = finish(t, x[i]);
        }
        if (s.use == TO_PANEL)
            store_step(t, k, column, x, s);
        else
            sum = multiply_step(row->a, k, t->k - k < STEP ? t->k - k : STEP, x, sum, s);
    }
    if (s.use != TO_PANEL)
        store_sums(row, column, sum);
}

static ALWAYS_INLINE void decode_shape(const struct decode_tile *t, const struct linear_tile *row,
                                       struct shape s)
{
    for (uint32_t column = 0; column < PANEL_COLS; column += LANES)
        decode_columns(t, row, column, s);
}

static unsigned groups_of(const struct decode_tile *t)
{
    bool whole_steps = t->group_size % STEP == 0 || t->group_size == t->k;
    return t->group_of ? GROUPS_LISTED : whole_steps ? GROUPS_OF_STEPS : GROUPS_IN_ORDER;
}

/* Whether finish() leaves a number as it is, where `to` is what comes of it anyway. */
static bool is_plain(const struct decode_tile *t)
{
    return t->divisor == 1 && (t->value_type == ELEM_F32 || t->value_type == t->to);
}

static ALWAYS_INLINE void decode_kind(const struct decode_tile *t, struct shape s)
{
    unsigned groups = groups_of(t), plain = is_plain(t), to_f32 = t->to == ELEM_F32;
#pragma GCC unroll 12
    for (unsigned i = 0; i < 12; i++) {
        s.groups = i / 4;
        s.plain = i / 2 % 2;
        s.to = i % 2 ? ELEM_F32 : ELEM_BF16;
        if (i == groups * 4 + plain * 2 + to_f32)
            decode_shape(t, NULL, s);
    }
}

static void decode(const struct decode_tile *t)
{
    if (t->table)
        decode_kind(t, (struct shape){.kind = KIND_TABLE});
    else if (t->code == CODE_INT8)
        decode_kind(t, (struct shape){.kind = KIND_INT8});
    else
        decode_kind(t, (struct shape){.kind = KIND_FP8});
}

#if LANES > 4

static ALWAYS_INLINE void multiply_kind(const struct decode_tile *t, const struct linear_tile *row,
                                        bool pairs, struct shape s)
{
    unsigned plain = is_plain(t), to_f32 = t->to == ELEM_F32;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4 && !pairs; i++) {
        s.plain = i / 2;
        s.to = i % 2 ? ELEM_F32 : ELEM_BF16;
        s.use = BY_FLOATS;
        if (i == plain * 2 + to_f32)
            decode_shape(t, row, s);
    }
#pragma GCC unroll 2
    for (unsigned i = 0; i < 2 && pairs && HAS_PAIRS; i++) {
        s.plain = i;
        s.to = ELEM_BF16;
        s.use = BY_PAIRS;
        if (i == plain)
            decode_shape(t, row, s);
    }
}

static bool multiply(const struct decode_tile *t, const struct linear_tile *row, bool pairs)
{
    if (groups_of(t) != GROUPS_OF_STEPS || (pairs && !HAS_PAIRS))
        return false;
    if (t->table)
        multiply_kind(t, row, pairs, (struct shape){.kind = KIND_TABLE});
    else if (t->code == CODE_INT8)
        multiply_kind(t, row, pairs, (struct shape){.kind = KIND_INT8});
    else
        multiply_kind(t, row, pairs, (struct shape){.kind = KIND_FP8});
    return true;
}

#else

static bool multiply(const struct decode_tile *t, const struct linear_tile *row, bool pairs)
{
    (void)t;
    (void)row;
    (void)pairs;
    return false;
}

#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

const struct decode_kernels JOIN(decode_, KERNEL_LEVEL) = {.decode = decode, .multiply = multiply};

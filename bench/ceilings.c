/* Ceilings: how fast this machine's threads read memory and multiply in registers.
 *
 * Stream: every thread sums its part of a large buffer, once as one sequence and once as four with prefetch
 * (how a product of one row with a matrix reads). Peaks: independent accumulators and no memory. */
#include "base/clock.h"
#include "bench.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PEAK_ITERATIONS 12000000l

struct ceiling_rig {
    struct team *team;
    uint8_t *buffer;
    size_t bytes;
    bool avx512, avx512_bf16, avx2;
    _Atomic uint64_t sink; /* keeps sums alive */
};

void samples_add(struct samples *s, double v)
{
    if (s->n < SAMPLES_MAX)
        s->v[s->n++] = v;
}

int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double samples_median(const struct samples *s)
{
    double v[SAMPLES_MAX];
    if (!s->n)
        return 0;
    memcpy(v, s->v, s->n * sizeof *v);
    qsort(v, s->n, sizeof *v, compare_doubles);
    return s->n % 2 ? v[s->n / 2] : (v[s->n / 2 - 1] + v[s->n / 2]) / 2;
}

/* ---- stream ---- */

static void member_slice(const struct ceiling_rig *r, unsigned member, size_t *at, size_t *n)
{
    size_t n_block = r->bytes / 4096, n_member = team_size(r->team);
    *at = n_block * member / n_member * 4096;
    *n = n_block * (member + 1) / n_member * 4096 - *at;
}

#if defined(__x86_64__)

__attribute__((target("avx512f"))) static uint64_t sum_sequence_avx512(const uint8_t *p, size_t n)
{
    __m512i s[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                    _mm512_setzero_si512()};
    for (size_t i = 0; i + 512 <= n; i += 512)
#pragma GCC unroll 8
        for (size_t j = 0; j < 8; j++)
            s[j % 4] = _mm512_add_epi64(s[j % 4], _mm512_load_si512(p + i + 64 * j));
    return (uint64_t)_mm512_reduce_add_epi64(
        _mm512_add_epi64(_mm512_add_epi64(s[0], s[1]), _mm512_add_epi64(s[2], s[3])));
}

__attribute__((target("avx512f"))) static uint64_t sum_streams_avx512(const uint8_t *p, size_t n)
{
    size_t quarter = n / 4 / 256 * 256;
    __m512i s[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                    _mm512_setzero_si512()};
    for (size_t i = 0; i < quarter; i += 128)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const uint8_t *a = p + j * quarter + i;
            _mm_prefetch((const char *)a + 1024, _MM_HINT_T0);
            _mm_prefetch((const char *)a + 1088, _MM_HINT_T0);
            s[j] = _mm512_add_epi64(s[j], _mm512_load_si512(a));
            s[j] = _mm512_add_epi64(s[j], _mm512_load_si512(a + 64));
        }
    return (uint64_t)_mm512_reduce_add_epi64(
        _mm512_add_epi64(_mm512_add_epi64(s[0], s[1]), _mm512_add_epi64(s[2], s[3])));
}

#endif

typedef uint64_t lanes __attribute__((vector_size(32)));

static uint64_t sum_sequence_plain(const uint8_t *p, size_t n)
{
    lanes s[4] = {{0}};
    for (size_t i = 0; i + 128 <= n; i += 128)
        for (size_t j = 0; j < 4; j++)
            s[j] += *(const lanes *)(p + i + 32 * j);
    lanes t = s[0] + s[1] + s[2] + s[3];
    return t[0] + t[1] + t[2] + t[3];
}

static uint64_t sum_streams_plain(const uint8_t *p, size_t n)
{
    size_t quarter = n / 4 / 256 * 256;
    lanes s[4] = {{0}};
    for (size_t i = 0; i < quarter; i += 64)
        for (size_t j = 0; j < 4; j++) {
            const uint8_t *a = p + j * quarter + i;
            __builtin_prefetch(a + 1024);
            s[j] += *(const lanes *)a;
            s[j] += *(const lanes *)(a + 32);
        }
    lanes t = s[0] + s[1] + s[2] + s[3];
    return t[0] + t[1] + t[2] + t[3];
}

static void read_sequence(void *ctx, unsigned member)
{
    struct ceiling_rig *r = ctx;
    size_t at, n;
    member_slice(r, member, &at, &n);
#if defined(__x86_64__)
    if (r->avx512) {
        atomic_fetch_add(&r->sink, sum_sequence_avx512(r->buffer + at, n));
        return;
    }
#endif
    atomic_fetch_add(&r->sink, sum_sequence_plain(r->buffer + at, n));
}

static void read_streams(void *ctx, unsigned member)
{
    struct ceiling_rig *r = ctx;
    size_t at, n;
    member_slice(r, member, &at, &n);
#if defined(__x86_64__)
    if (r->avx512) {
        atomic_fetch_add(&r->sink, sum_streams_avx512(r->buffer + at, n));
        return;
    }
#endif
    atomic_fetch_add(&r->sink, sum_streams_plain(r->buffer + at, n));
}

static void touch(void *ctx, unsigned member)
{
    struct ceiling_rig *r = ctx;
    size_t at, n;
    member_slice(r, member, &at, &n);
    memset(r->buffer + at, (int)member + 1, n);
}

/* ---- peaks: loops in assembly, so that no compiler moves an accumulator ---- */

#if defined(__x86_64__)

#define ON_12(X) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)
#define ON_16(X) ON_12(X) X(14) X(15) X(16) X(17)
#define REGISTERS(r)                                                                                         \
    r "0", r "1", r "2", r "3", r "4", r "5", r "6", r "7", r "8", r "9", r "10", r "11", r "12", r "13"
#define ZERO(n)      "vpxor %%xmm" #n ",%%xmm" #n ",%%xmm" #n "\n\t"
#define ZERO_512(n)  "vpxord %%zmm" #n ",%%zmm" #n ",%%zmm" #n "\n\t"
#define FMA_512(n)   "vfmadd231ps %%zmm0,%%zmm1,%%zmm" #n "\n\t"
#define FMA_256(n)   "vfmadd231ps %%ymm0,%%ymm1,%%ymm" #n "\n\t"
#define DOT_512(n)   "vdpbf16ps %%zmm0,%%zmm1,%%zmm" #n "\n\t"
#define LOOP_512(op) ZERO(0) ZERO(1) ON_16(ZERO_512) ".p2align 5\n1:\n\t" ON_16(op) "dec %0\n\tjnz 1b\n"
#define LOOP_256(op) ZERO(0) ZERO(1) ON_12(ZERO) ".p2align 5\n1:\n\t" ON_12(op) "dec %0\n\tjnz 1b\n"

__attribute__((target("avx512f"))) static void fma_avx512(void *ctx, unsigned member)
{
    long n = PEAK_ITERATIONS;
    (void)ctx;
    (void)member;
    __asm__ volatile(LOOP_512(FMA_512) : "+r"(n)::REGISTERS("zmm"), "zmm14", "zmm15", "zmm16", "zmm17", "cc");
}

__attribute__((target("avx512f"))) static void dot_avx512(void *ctx, unsigned member)
{
    long n = PEAK_ITERATIONS;
    (void)ctx;
    (void)member;
    __asm__ volatile(LOOP_512(DOT_512) : "+r"(n)::REGISTERS("zmm"), "zmm14", "zmm15", "zmm16", "zmm17", "cc");
}

__attribute__((target("avx2"))) static void fma_avx2(void *ctx, unsigned member)
{
    long n = PEAK_ITERATIONS;
    (void)ctx;
    (void)member;
    __asm__ volatile(LOOP_256(FMA_256) : "+r"(n)::REGISTERS("ymm"), "cc");
}

#endif

/* Flops of one iteration: chains * lanes * 2, and pairs count twice. */
#define FLOPS_FMA_512 (16 * 16 * 2)
#define FLOPS_FMA_256 (12 * 8 * 2)
#define FLOPS_DOT_512 (16 * 32 * 2)

/* ---- measuring ---- */

static double seconds_of(struct ceiling_rig *r, void (*fn)(void *ctx, unsigned member))
{
    uint64_t start = clock_ns();
    team_run(r->team, fn, r);
    return (double)(clock_ns() - start) * 1e-9;
}

enum status ceiling_rig_new(unsigned n_threads, size_t stream_bytes, struct ceiling_rig **out, struct err *e)
{
    struct ceiling_rig *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ST_NO_MEMORY, "no memory for the ceilings' measurement");
    enum status st = team_new(n_threads, true, &r->team, e);
    r->bytes = stream_bytes;
    r->buffer = mmap(NULL, stream_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r->buffer == MAP_FAILED) {
        r->buffer = NULL;
        st = err_set(e, ST_NO_MEMORY, "no memory for a stream of %zu bytes", stream_bytes);
    }
    if (st != ST_OK) {
        ceiling_rig_free(r);
        return st;
    }
    madvise(r->buffer, stream_bytes, MADV_HUGEPAGE);
#if defined(__x86_64__)
    r->avx512 = __builtin_cpu_supports("avx512f");
    r->avx512_bf16 = r->avx512 && __builtin_cpu_supports("avx512bf16");
    r->avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    team_run(r->team, touch, r);
    *out = r;
    return ST_OK;
}

void ceiling_rig_free(struct ceiling_rig *r)
{
    if (!r)
        return;
    team_free(r->team);
    if (r->buffer)
        munmap(r->buffer, r->bytes);
    free(r);
}

void ceilings_measure(struct ceiling_rig *r, struct ceilings *c)
{
    double sequence = seconds_of(r, read_sequence), streams = seconds_of(r, read_streams);
    samples_add(&c->stream, (double)r->bytes / (sequence < streams ? sequence : streams) * 1e-9);
#if defined(__x86_64__)
    double work = (double)PEAK_ITERATIONS * team_size(r->team) * 1e-9;
    if (r->avx512)
        samples_add(&c->fma, work * FLOPS_FMA_512 / seconds_of(r, fma_avx512));
    else if (r->avx2)
        samples_add(&c->fma, work * FLOPS_FMA_256 / seconds_of(r, fma_avx2));
    if (r->avx512_bf16)
        samples_add(&c->dot, work * FLOPS_DOT_512 / seconds_of(r, dot_avx512));
#endif
}

static double samples_best(const struct samples *s)
{
    double best = 0;
    for (unsigned i = 0; i < s->n; i++)
        best = s->v[i] > best ? s->v[i] : best;
    return best;
}

double ceilings_bf16_peak(const struct ceilings *c)
{
    return c->dot.n ? samples_median(&c->dot) : samples_median(&c->fma);
}

void ceilings_print(const struct ceilings *c)
{
    printf("ceilings, median and best of %u:\n", c->stream.n);
    printf("  stream                 %8.1f %8.1f GB/s\n", samples_median(&c->stream),
           samples_best(&c->stream));
    printf("  float32 multiply-add   %8.0f %8.0f GFLOP/s\n", samples_median(&c->fma), samples_best(&c->fma));
    if (c->dot.n)
        printf("  bf16 dot (vdpbf16ps)   %8.0f %8.0f GFLOP/s\n", samples_median(&c->dot),
               samples_best(&c->dot));
}

/* Instruction-set levels: which kernels this machine can run, and which it runs best.
 *
 * A level counts only when the CPU has every instruction its objects were compiled for and the operating
 * system saves the registers. The choice depends on the machine alone, never on timing: the same machine
 * gives the same bytes at every start. */
#include "backend/cpu/cpu_int.h"
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum {
    HAS_AVX2 = 1,        /* and FMA, F16C */
    HAS_AVX512 = 2,      /* F, BW, DQ, VL */
    HAS_AVX512_BF16 = 4, /* on top of HAS_AVX512 */
    HAS_SLOW_DOT = 8,    /* vdpbf16ps does less work a cycle than float32 multiply-add */
};

static const struct {
    struct kernel_level level;
    unsigned needs;
} levels[] = {
    {{"scalar", &elementwise_scalar, &linear_scalar, &linear_scalar, &attention_scalar, &decode_scalar}, 0},
#if defined(__x86_64__)
    {{"avx2", &elementwise_avx2, &linear_avx2, &linear_avx2, &attention_avx2, &decode_avx2}, HAS_AVX2},
    {{"avx512", &elementwise_avx512, &linear_avx512, &linear_avx512, &attention_avx512, &decode_avx512},
     HAS_AVX2 | HAS_AVX512},
    {{"avx512_bf16", &elementwise_avx512, &linear_avx512, &linear_avx512_bf16, &attention_avx512,
      &decode_avx512_bf16},
     HAS_AVX2 | HAS_AVX512 | HAS_AVX512_BF16},
#endif
};

#define N_LEVEL (sizeof levels / sizeof *levels)

const char *backend_isa_names(void)
{
    return "scalar, avx2, avx512, avx512_bf16";
}

#if defined(__x86_64__)

static uint64_t enabled_registers(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool is_intel(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(0, &a, &b, &c, &d) && b == signature_INTEL_ebx;
}

static unsigned machine_features(void)
{
    unsigned a, b, c, d, has = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA) || !(c & bit_F16C))
        return 0;
    uint64_t registers = enabled_registers();
    bool ymm = (registers & 0x6) == 0x6, zmm = (registers & 0xe6) == 0xe6;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if (ymm && (b & bit_AVX2))
        has |= HAS_AVX2;
    if (zmm && (b & avx512) == avx512)
        has |= HAS_AVX512;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bit_AVX512BF16))
        has |= HAS_AVX512_BF16;
    /* Measured on Sapphire Rapids (docs/speed-log.md): half the rate. AMD's cores have twice the rate. */
    if (is_intel())
        has |= HAS_SLOW_DOT;
    return has;
}

#else

static unsigned machine_features(void)
{
    return 0;
}

#endif

static const struct kernel_level *best_level(unsigned has)
{
    const struct kernel_level *best = &levels[0].level;
    for (size_t i = 0; i < N_LEVEL; i++) {
        bool slow = (levels[i].needs & HAS_AVX512_BF16) && (has & HAS_SLOW_DOT);
        if ((levels[i].needs & has) == levels[i].needs && !slow)
            best = &levels[i].level;
    }
    return best;
}

static void available_names(unsigned has, char *text, size_t n)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < N_LEVEL && used < n; i++)
        if ((levels[i].needs & has) == levels[i].needs)
            used += (size_t)snprintf(text + used, n - used, "%s%s", used ? ", " : "", levels[i].level.name);
}

enum status isa_select(const char *name, const struct kernel_level **out, struct err *e)
{
    unsigned has = machine_features();
    if (!name) {
        *out = best_level(has);
        return ST_OK;
    }
    for (size_t i = 0; i < N_LEVEL; i++)
        if (strcmp(levels[i].level.name, name) == 0 && (levels[i].needs & has) == levels[i].needs) {
            *out = &levels[i].level;
            return ST_OK;
        }
    char names[96];
    available_names(has, names, sizeof names);
    return err_set(e, ST_INVALID, "instruction set `%s` cannot be used here; this machine has: %s", name,
                   names);
}

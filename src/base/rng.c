/* Philox 4x32-10: ten rounds of multiply and xor over a 128-bit counter with a 64-bit key. */
#include "base/rng.h"
#include "base/err.h"
#include <errno.h>
#include <sys/random.h>

void rng_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4])
{
    uint32_t c[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)stream,
                     (uint32_t)(stream >> 32)};
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xd2511f53u * c[0], b = (uint64_t)0xcd9e8d57u * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k1,
                            (uint32_t)a};
        for (int i = 0; i < 4; i++)
            c[i] = next[i];
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    for (int i = 0; i < 4; i++)
        out[i] = c[i];
}

uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint32_t r[4];
    rng_block(seed, stream, counter, r);
    return (uint64_t)r[1] << 32 | r[0];
}

/* An odd multiple of 2^-53: 53 bits are all that a double has, so nothing is rounded up to 1. */
double rng_unit_of(uint64_t bits)
{
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;
}

double rng_unit(uint64_t seed, uint64_t stream, uint64_t counter)
{
    return rng_unit_of(rng_u64(seed, stream, counter));
}

uint64_t rng_entropy(void)
{
    uint64_t x;
    while (getrandom(&x, sizeof x, 0) != sizeof x)
        if (errno != EINTR)
            BUG("the kernel gives no random numbers");
    return x;
}

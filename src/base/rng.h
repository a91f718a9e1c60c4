/* Counter-based random numbers: the value is a function of (seed, stream, counter), no state anywhere.
 * Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11). */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

/* 128 random bits. */
void rng_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);
uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t counter);
/* Uniform in (0, 1), 52 bits, never 0 nor 1. */
double rng_unit(uint64_t seed, uint64_t stream, uint64_t counter);
/* The number in (0, 1) that rng_unit() makes of 64 random bits. */
double rng_unit_of(uint64_t bits);
/* From the operating system, for seeds that nobody gave. */
uint64_t rng_entropy(void);

#endif

/* What the replaying sampler shares with the measurement. */
#ifndef BENCH_SPECULATION_H
#define BENCH_SPECULATION_H

#include <stdint.h>

/* The text repeats what stood this many tokens before; 0: noise, in which nothing stood before. */
extern uint32_t replay_period;

#endif

/* Time. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_ns(void);      /* monotonic */
uint64_t clock_wall_ms(void); /* since 1970-01-01 UTC */
uint64_t clock_thread_cpu_ns(void);

#endif

/* The compute team: threads that run one function together and sleep when there is none.
 *
 * team_run() makes every member, the calling thread included as number 0, call fn(ctx, member). Inside,
 * members meet at team_barrier(). Members spin for a short bounded time after a run (work usually follows at
 * once), then sleep in the kernel: an idle team costs no CPU. One caller at a time. */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include "base/err.h"
#include <stdbool.h>

struct team;

/* CPUs this process may really use: min(affinity mask, cgroup v1/v2 quota rounded down), at least 1. */
unsigned team_usable_cpus(void);

/* n_threads >= 1, the caller counted. `pin` binds member i > 0 to the i-th allowed CPU when there is one for
 * each. */
MUST_CHECK enum status team_new(unsigned n_threads, bool pin, struct team **out, struct err *e);
void team_free(struct team *t); /* joins; not from inside a run */
unsigned team_size(const struct team *t);
void team_run(struct team *t, void (*fn)(void *ctx, unsigned member), void *ctx);
/* All members of the current run must call it; memory written before is visible after. */
void team_barrier(struct team *t);

#endif

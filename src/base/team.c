/* The compute team: a generation number starts a run, a counter ends it, futexes put waiters to sleep.
 *
 * Waiting is the same everywhere: look for a bounded time (work usually follows at once), then sleep in the
 * kernel until the word changes. When there are more members than CPUs nobody looks: the CPU is needed by
 * whoever works. It must never burn CPU without a run. */
#include "base/team.h"
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/thread.h"
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPIN_NS    100000 /* about the gap between two steps */
#define CACHE_LINE 64

/* A word that threads wait on, with the number of sleepers, so that waking is free when nobody sleeps. */
struct gate {
    _Alignas(CACHE_LINE) _Atomic uint32_t word;
    _Atomic uint32_t sleepers;
};

struct member {
    struct team *team;
    struct thread thread;
    unsigned number;
};

struct team {
    struct gate run;     /* generation of the run */
    struct gate done;    /* members still inside the run */
    struct gate barrier; /* generation of the barrier */
    _Alignas(CACHE_LINE) _Atomic uint32_t arrived;
    void (*fn)(void *ctx, unsigned member);
    void *ctx;
    unsigned n_members, spin_rounds;
    bool stop, pin;
    struct member *member; /* [n_members], [0] is the caller */
};

/* ---- waiting ---- */

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* How often cpu_relax() fits in SPIN_NS: one `pause` takes 10 to 150 cycles, depending on the processor. */
static unsigned spin_rounds_measure(void)
{
    enum { SAMPLE = 256, TRIES = 4 };
    uint64_t least_ns = UINT64_MAX;
    for (int n = 0; n < TRIES; n++) {
        uint64_t start = clock_ns();
        for (int i = 0; i < SAMPLE; i++)
            cpu_relax();
        uint64_t ns = clock_ns() - start;
        least_ns = ns < least_ns ? ns : least_ns;
    }
    return (unsigned)((uint64_t)SPIN_NS * SAMPLE / (least_ns < SAMPLE ? SAMPLE : least_ns));
}

static void gate_wake(struct gate *g)
{
    if (atomic_load(&g->sleepers))
        syscall(SYS_futex, &g->word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Returns once the word differs from `old`. */
static void gate_wait(struct gate *g, uint32_t old, unsigned spin_rounds)
{
    for (unsigned i = 0; i < spin_rounds; i++) {
        if (atomic_load_explicit(&g->word, memory_order_acquire) != old)
            return;
        cpu_relax();
    }
    atomic_fetch_add(&g->sleepers, 1);
    while (atomic_load(&g->word) == old)
        syscall(SYS_futex, &g->word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&g->sleepers, 1);
}

void team_barrier(struct team *t)
{
    if (t->n_members == 1)
        return;
    uint32_t generation = atomic_load_explicit(&t->barrier.word, memory_order_acquire);
    if (atomic_fetch_add(&t->arrived, 1) + 1 == t->n_members) {
        atomic_store(&t->arrived, 0);
        atomic_fetch_add(&t->barrier.word, 1);
        gate_wake(&t->barrier);
    } else {
        gate_wait(&t->barrier, generation, t->spin_rounds);
    }
}

/* ---- members ---- */

/* The i-th CPU that this process may use. */
static void pin_to(unsigned i)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || i--)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

static void member_main(void *arg)
{
    struct member *m = arg;
    struct team *t = m->team;
    uint32_t generation = 0;
    if (t->pin)
        pin_to(m->number);
    for (;;) {
        gate_wait(&t->run, generation, t->spin_rounds);
        generation = atomic_load_explicit(&t->run.word, memory_order_acquire);
        if (t->stop)
            return;
        t->fn(t->ctx, m->number);
        if (atomic_fetch_sub(&t->done.word, 1) == 1)
            gate_wake(&t->done);
    }
}

void team_run(struct team *t, void (*fn)(void *ctx, unsigned member), void *ctx)
{
    if (t->n_members == 1) {
        fn(ctx, 0);
        return;
    }
    t->fn = fn;
    t->ctx = ctx;
    atomic_store(&t->done.word, t->n_members - 1);
    atomic_fetch_add(&t->run.word, 1);
    gate_wake(&t->run);
    fn(ctx, 0);
    for (uint32_t left; (left = atomic_load_explicit(&t->done.word, memory_order_acquire)) != 0;)
        gate_wait(&t->done, left, t->spin_rounds);
}

unsigned team_size(const struct team *t)
{
    return t->n_members;
}

enum status team_new(unsigned n_threads, bool pin, struct team **out, struct err *e)
{
    BUG_ON(n_threads == 0);
    struct team *t = aligned_alloc(CACHE_LINE, sizeof *t);
    struct member *members = calloc(n_threads, sizeof *members);
    if (!t || !members) {
        free(t);
        free(members);
        return err_set(e, ST_NO_MEMORY, "no memory for a team of %u threads", n_threads);
    }
    memset(t, 0, sizeof *t);
    unsigned cpus = team_usable_cpus();
    t->member = members;
    t->n_members = 1;
    t->spin_rounds = n_threads <= cpus ? spin_rounds_measure() : 0;
    t->pin = pin && n_threads <= cpus;
    for (unsigned i = 1; i < n_threads; i++) {
        char name[16];
        snprintf(name, sizeof name, "compute-%u", i % 100000);
        members[i] = (struct member){.team = t, .number = i};
        enum status st = thread_start(&members[i].thread, name, member_main, &members[i], e);
        if (st != ST_OK) {
            team_free(t);
            return st;
        }
        t->n_members++;
    }
    *out = t;
    return ST_OK;
}

void team_free(struct team *t)
{
    if (!t)
        return;
    t->stop = true;
    atomic_fetch_add(&t->run.word, 1);
    gate_wake(&t->run);
    for (unsigned i = 1; i < t->n_members; i++)
        thread_join(&t->member[i].thread);
    free(t->member);
    free(t);
}

/* ---- CPUs ---- */

static bool read_line(const char *path, char *line, size_t n)
{
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(line, (int)n, f);
    if (f)
        fclose(f);
    return ok;
}

/* Whole CPUs of a quota, or UINT_MAX. */
static unsigned quota_cpus(const char *folder)
{
    char path[PATH_MAX + 32], line[128];
    long long quota = -1, period = 0;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (read_line(path, line, sizeof line)) {
        if (sscanf(line, "%lld %lld", &quota, &period) != 2)
            return UINT_MAX;
    } else {
        snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
        if (!read_line(path, line, sizeof line) || sscanf(line, "%lld", &quota) != 1)
            return UINT_MAX;
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
        if (!read_line(path, line, sizeof line) || sscanf(line, "%lld", &period) != 1)
            return UINT_MAX;
    }
    if (quota <= 0 || period <= 0)
        return UINT_MAX;
    return quota < period ? 1 : (unsigned)(quota / period);
}

static void keep_least(void *arg, const char *folder)
{
    unsigned cpus = quota_cpus(folder), *least = arg;
    if (cpus < *least)
        *least = cpus;
}

unsigned team_usable_cpus(void)
{
    cpu_set_t allowed;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned cpus = online > 0 ? (unsigned)online : 1, quota = UINT_MAX;
    cgroup_each("cpu", keep_least, &quota);
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) /* fails where CPUs outnumber the mask's bits */
        cpus = (unsigned)CPU_COUNT(&allowed);
    if (quota < cpus)
        cpus = quota;
    return cpus ? cpus : 1;
}

/* The compute team and the inbox under load. */
#include "base/clock.h"
#include "base/inbox.h"
#include "base/team.h"
#include "base/thread.h"
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define N_ROUNDS 300

struct work {
    struct team *team;
    unsigned n;
    int value[8], sum[8];
};

/* Each member writes, meets, reads all, meets: a broken barrier shows as a wrong sum (or to the thread
 * sanitizer). */
static void member(void *ctx, unsigned number)
{
    struct work *w = ctx;
    for (int round = 1; round <= 5; round++) {
        w->value[number] = round;
        team_barrier(w->team);
        int sum = 0;
        for (unsigned i = 0; i < w->n; i++)
            sum += w->value[i];
        w->sum[number] += sum;
        team_barrier(w->team);
    }
}

static void test_team(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 8; n++) {
        struct work w = {.n = n};
        struct err e;
        assert_int_equal(team_new(n, true, &w.team, &e), ST_OK);
        assert_int_equal(team_size(w.team), n);
        for (unsigned round = 0; round < N_ROUNDS; round++)
            team_run(w.team, member, &w);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(w.sum[i], N_ROUNDS * 15 * (int)n);
        team_free(w.team);
    }
}

static uint64_t process_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void test_an_idle_team_sleeps(void **state)
{
    (void)state;
    struct work w = {.n = 4};
    struct err e;
    assert_int_equal(team_new(4, false, &w.team, &e), ST_OK);
    team_run(w.team, member, &w);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* past the spinning */
    uint64_t before = process_cpu_ns();
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    assert_true(process_cpu_ns() - before < 20000000);
    team_free(w.team);
}

static void test_usable_cpus(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_true(team_usable_cpus() >= 1);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_true(team_usable_cpus() <= (unsigned)CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(team_usable_cpus(), 1);
    /* Three members on one CPU: they must hand it over, not look at it until their time slice ends. */
    struct work w = {.n = 3};
    struct err e;
    assert_int_equal(team_new(3, true, &w.team, &e), ST_OK);
    uint64_t start = clock_ns();
    for (unsigned round = 0; round < N_ROUNDS; round++)
        team_run(w.team, member, &w);
    assert_true(clock_ns() - start < 10000000000u);
    assert_int_equal(w.sum[2], N_ROUNDS * 15 * 3);
    team_free(w.team);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

/* Runs after pauses of all lengths around the spinning time: members are found looking, falling asleep and
 * asleep. */
static void test_runs_after_pauses(void **state)
{
    (void)state;
    struct work w = {.n = 2};
    struct err e;
    int sum = 0;
    assert_int_equal(team_new(2, false, &w.team, &e), ST_OK);
    for (unsigned round = 0; round < 400; round++) {
        for (uint64_t until = clock_ns() + round * 1000; clock_ns() < until;)
            ;
        team_run(w.team, member, &w);
        sum += 15 * 2;
        assert_int_equal(w.sum[0], sum);
        assert_int_equal(w.sum[1], sum);
    }
    team_free(w.team);
}

static void test_teams_come_and_go(void **state)
{
    (void)state;
    struct err e;
    for (unsigned round = 0; round < 200;
         round++) { /* ended before, while and after members first look for work */
        struct work w = {.n = 1 + round % 4};
        assert_int_equal(team_new(w.n, round % 2, &w.team, &e), ST_OK);
        if (round % 3)
            team_run(w.team, member, &w);
        team_free(w.team);
    }
    team_free(NULL);
}

#define N_POSTERS 4
#define N_POSTS   20000

struct message {
    struct inbox_node node;
    unsigned poster, number;
};

struct poster {
    struct inbox *inbox;
    struct message *message;
};

static void poster_main(void *arg)
{
    struct poster *p = arg;
    for (unsigned i = 0; i < N_POSTS; i++)
        inbox_post(p->inbox, &p->message[i].node);
}

static void count_wake(void *arg)
{
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static void test_inbox(void **state)
{
    (void)state;
    struct inbox inbox;
    struct poster poster[N_POSTERS];
    struct thread thread[N_POSTERS];
    unsigned next[N_POSTERS] = {0}, seen = 0;
    atomic_uint wakes = 0;
    struct err e;
    inbox_init(&inbox, count_wake, &wakes);
    for (unsigned p = 0; p < N_POSTERS; p++) {
        poster[p] = (struct poster){&inbox, calloc(N_POSTS, sizeof(struct message))};
        for (unsigned i = 0; i < N_POSTS; i++)
            poster[p].message[i] = (struct message){.poster = p, .number = i};
        assert_int_equal(thread_start(&thread[p], "poster", poster_main, &poster[p], &e), ST_OK);
    }
    while (seen < N_POSTERS * N_POSTS)
        for (struct inbox_node *n = inbox_take(&inbox), *after; n; n = after) {
            struct message *m = (struct message *)n;
            after = n->next;
            assert_int_equal(m->number, next[m->poster]++); /* a poster's order is kept */
            seen++;
        }
    for (unsigned p = 0; p < N_POSTERS; p++) {
        thread_join(&thread[p]);
        free(poster[p].message);
    }
    assert_true(inbox_empty(&inbox));
    assert_true(wakes >= 1 && wakes <= N_POSTERS * N_POSTS);
}

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool awake;
};

static void wake_waiter(void *arg)
{
    struct waiter *w = arg;
    pthread_mutex_lock(&w->lock);
    w->awake = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

/* An owner that sleeps until it is woken gets every message: a lost wake-up would leave it asleep for ever.
 */
static void test_a_sleeping_owner_is_woken(void **state)
{
    (void)state;
    struct inbox inbox;
    struct waiter waiter = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    struct poster poster[2];
    struct thread thread[2];
    struct err e;
    unsigned seen = 0;
    inbox_init(&inbox, wake_waiter, &waiter);
    for (unsigned p = 0; p < 2; p++) {
        poster[p] = (struct poster){&inbox, calloc(N_POSTS, sizeof(struct message))};
        assert_int_equal(thread_start(&thread[p], "poster", poster_main, &poster[p], &e), ST_OK);
    }
    while (seen < 2 * N_POSTS) {
        pthread_mutex_lock(&waiter.lock);
        while (!waiter.awake)
            pthread_cond_wait(&waiter.cond, &waiter.lock);
        waiter.awake = false;
        pthread_mutex_unlock(&waiter.lock);
        for (struct inbox_node *n = inbox_take(&inbox); n; n = n->next)
            seen++;
    }
    for (unsigned p = 0; p < 2; p++) {
        thread_join(&thread[p]);
        free(poster[p].message);
    }
}

static void look_at_signals(void *arg)
{
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    *(bool *)arg =
        sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGINT) && sigismember(&blocked, SIGHUP);
}

static void test_threads_block_signals(void **state)
{
    (void)state;
    struct thread t;
    struct err e;
    bool all_blocked = false;
    sigset_t mine;
    assert_int_equal(thread_start(&t, "looker", look_at_signals, &all_blocked, &e), ST_OK);
    thread_join(&t);
    assert_true(all_blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    assert_false(sigismember(&mine, SIGTERM)); /* the caller's own mask is as before */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_team),
        cmocka_unit_test(test_an_idle_team_sleeps),
        cmocka_unit_test(test_usable_cpus),
        cmocka_unit_test(test_runs_after_pauses),
        cmocka_unit_test(test_teams_come_and_go),
        cmocka_unit_test(test_inbox),
        cmocka_unit_test(test_a_sleeping_owner_is_woken),
        cmocka_unit_test(test_threads_block_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

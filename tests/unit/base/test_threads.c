/* The compute team and the inbox under load. */
#include "base/clock.h"
#include "base/inbox.h"
#include "base/team.h"
#include "base/thread.h"
#include <setjmp.h>
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
    assert_true(team_usable_cpus() >= 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_team),
        cmocka_unit_test(test_an_idle_team_sleeps),
        cmocka_unit_test(test_usable_cpus),
        cmocka_unit_test(test_inbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

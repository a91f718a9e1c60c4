/* The engine with a fake model: right answers in any company, cancels that race, failures that stay where
 * they belong. */
#include "base/clock.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "fake_model.h"
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX_CONCURRENT 16

struct loop { /* stands for the I/O loop: one thread that reads one inbox */
    struct inbox inbox;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool woken;
};

static void loop_wake(void *arg)
{
    struct loop *l = arg;
    pthread_mutex_lock(&l->mutex);
    l->woken = true;
    pthread_cond_signal(&l->cond);
    pthread_mutex_unlock(&l->mutex);
}

static void loop_init(struct loop *l)
{
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->cond, NULL);
    l->woken = false;
    inbox_init(&l->inbox, loop_wake, l);
}

static struct inbox_node *loop_wait(struct loop *l)
{
    pthread_mutex_lock(&l->mutex);
    while (!l->woken)
        pthread_cond_wait(&l->cond, &l->mutex);
    l->woken = false;
    pthread_mutex_unlock(&l->mutex);
    return inbox_take(&l->inbox);
}

static const struct engine_options small = {.max_concurrent_requests = MAX_CONCURRENT,
                                            .max_batch_prefill_tokens = 7,
                                            .max_total_tokens = 60,
                                            .kv_memory_bytes = 60000, /* 60 pages: four full requests */
                                            .eos_id = {9},
                                            .n_eos = 1};

static struct model model;

struct ask {
    int32_t ids[160];
    uint32_t n_prompt, n_new, n_got;
    struct engine_handle handle;
    bool cancelled_by_us;
    enum engine_finish finish;
    enum status status;
    bool wants_prompt; /* logprobs of the prompt */
    uint64_t salt;
    uint32_t n_reused;
};

/* A prompt from a seed; one of four beginnings, as system prompts are. */
static void ask_make(struct ask *a, uint64_t seed)
{
    memset(a, 0, sizeof *a);
    a->n_prompt = 1 + (uint32_t)(rng_unit(seed, 1, 0) * 30);
    a->n_new = 1 + (uint32_t)(rng_unit(seed, 1, 1) * 25);
    for (uint32_t i = 0; i < a->n_prompt; i++)
        a->ids[i] = (int32_t)(rng_u64(2 * i < a->n_prompt ? seed % 4 : seed, 2, i) % FAKE_VOCAB);
}

static bool submit(struct engine *en, struct loop *l, struct ask *a, uint64_t tag, bool ignore_eos)
{
    struct err e;
    if (engine_acquire(en, &a->handle) != ST_OK)
        return false;
    struct engine_request r = {.ids = malloc(a->n_prompt * sizeof *a->ids),
                               .n_ids = a->n_prompt,
                               .max_new_tokens = a->n_new,
                               .params = sample_params_default(),
                               .ignore_eos = ignore_eos,
                               .prompt_logprobs = a->wants_prompt,
                               .cache_salt = {a->salt},
                               .owner = &l->inbox,
                               .tag = tag};
    memcpy(r.ids, a->ids, a->n_prompt * sizeof *a->ids);
    assert_int_equal(engine_submit(en, a->handle, &r, &e), ST_OK);
    return true;
}

/* The fake model gives its answer 5 and all others 0. */
static void check_prompt_logprobs(const struct ask *a, const float *logprob)
{
    double all = log(exp(5) + FAKE_VOCAB - 1);
    assert_true(isnan(logprob[0]));
    for (uint32_t i = 1; i < a->n_prompt; i++) {
        double want = a->ids[i] == fake_answer(&model, a->ids, i) ? 5 - all : -all;
        assert_true(fabs(logprob[i] - want) < 1e-5);
    }
}

/* Each token must be the model's own answer to what came before, in order. */
static bool take_event(struct engine *en, struct ask *asks, struct inbox_node *node)
{
    struct token_event *ev = (struct token_event *)node;
    struct ask *a = &asks[ev->tag];
    assert_int_equal(a->finish, ENGINE_RUNNING);
    if (ev->has_token) {
        uint32_t n = a->n_prompt + a->n_got;
        assert_int_equal(ev->index, a->n_got);
        assert_int_equal(ev->prompt_logprob != NULL, a->wants_prompt && a->n_got == 0);
        if (ev->prompt_logprob)
            check_prompt_logprobs(a, ev->prompt_logprob);
        a->n_reused = ev->n_reused;
        assert_int_equal(ev->id, fake_answer(&model, a->ids, n));
        a->ids[n] = ev->id;
        a->n_got++;
    }
    a->finish = ev->finish;
    a->status = ev->status;
    bool last = ev->finish != ENGINE_RUNNING;
    engine_event_free(en, ev);
    return last;
}

static void expect_end(const struct ask *a, bool ignore_eos)
{
    if (a->finish == ENGINE_FINISH_CANCELLED) {
        assert_true(a->cancelled_by_us);
    } else if (a->finish == ENGINE_FINISH_EOS) {
        assert_false(ignore_eos);
        assert_int_equal(a->ids[a->n_prompt + a->n_got - 1], 9);
        assert_true(a->n_got < a->n_new);
    } else {
        assert_int_equal(a->finish, ENGINE_FINISH_LENGTH);
        assert_int_equal(a->n_got, a->n_new);
    }
}

/* Keeps MAX_CONCURRENT requests in flight until n_asks are done; cancels one in `cancel_one_in` at a random
 * time. */
static void run_many(struct engine *en, uint32_t n_asks, uint32_t cancel_one_in, bool ignore_eos)
{
    struct loop l;
    struct ask *asks = calloc(n_asks, sizeof *asks);
    uint32_t next = 0, done = 0;
    loop_init(&l);
    while (done < n_asks) {
        for (; next < n_asks; next++) {
            ask_make(&asks[next], next);
            asks[next].wants_prompt = next % 7 == 3;
            if (!submit(en, &l, &asks[next], next, ignore_eos))
                break;
            if (cancel_one_in && next % cancel_one_in == 0) {
                uint32_t victim = next - (uint32_t)(rng_unit(3, 3, next) * (next < 5 ? next : 5));
                asks[victim].cancelled_by_us = true;
                engine_cancel(en, asks[victim].handle); /* perhaps it has long ended: then nothing happens */
            }
        }
        for (struct inbox_node *n = loop_wait(&l), *after; n; n = after) {
            after = n->next;
            done += take_event(en, asks, n);
        }
    }
    for (uint32_t i = 0; i < n_asks; i++)
        expect_end(&asks[i], ignore_eos);
    free(asks);
}

static struct engine *engine_small(void)
{
    struct engine *en;
    struct err e;
    fake_model_init(&model);
    assert_int_equal(engine_new(&model, &small, &en, &e), ST_OK);
    return en;
}

static void test_many(void **state)
{
    (void)state;
    struct engine_stats st;
    struct engine *en = engine_small();
    run_many(en, 400, 0, false);
    run_many(en, 400, 0, true);
    engine_stats_read(en, &st);
    assert_int_equal(st.finished, 800);
    engine_free(en);
}

/* Requests of few beginnings, little memory, guesses: the same answers, and each mechanism was at work. */
static void test_many_with_little_memory(void **state)
{
    (void)state;
    struct engine_options o = small;
    struct engine_stats st;
    struct engine *en;
    struct err e;
    o.prefix_caching = true;
    o.speculate = 3;
    o.kv_memory_bytes = 18000; /* 18 pages; one full request needs 15 */
    for (unsigned echoes = 0; echoes < 2; echoes++) {
        fake_model_init(&model);
        model.echoes = echoes;
        assert_int_equal(engine_new(&model, &o, &en, &e), ST_OK);
        run_many(en, 400, 5, true);
        run_many(en, 400, 0, true); /* the same prompts once more */
        engine_stats_read(en, &st);
        assert_true(st.set_back > 10);
        assert_true(st.prefix_tokens_reused > 0 && st.prefix_tokens_reused < st.prefix_tokens_looked_up);
        if (echoes)
            assert_true(st.guesses_accepted > st.tokens_generated / 3);
        assert_true(st.guesses_accepted <= st.tokens_guessed);
        engine_free(en);
    }
}

static void run_one(struct engine *en, struct ask *a)
{
    struct loop l;
    loop_init(&l);
    a->n_got = 0;
    a->finish = ENGINE_RUNNING;
    assert_true(submit(en, &l, a, 0, true));
    for (bool last = false; !last;)
        for (struct inbox_node *n = loop_wait(&l), *after; n; n = after) {
            after = n->next;
            last = take_event(en, a, n);
        }
}

static void test_prefix_reuse(void **state)
{
    (void)state;
    struct engine_options o = small;
    struct engine *en;
    struct err e;
    struct ask a;
    o.prefix_caching = true;
    fake_model_init(&model);
    assert_int_equal(engine_new(&model, &o, &en, &e), ST_OK);
    ask_make(&a, 5);
    a.n_prompt = 13;
    a.n_new = 10;
    run_one(en, &a);
    assert_int_equal(a.n_reused, 0);
    run_one(en, &a);
    assert_int_equal(a.n_reused, 12);
    a.n_prompt = 12; /* one token is always computed */
    run_one(en, &a);
    assert_int_equal(a.n_reused, 8);
    a.n_prompt = 22; /* the answer is part of the next prompt, as in a conversation */
    run_one(en, &a);
    assert_int_equal(a.n_reused, 20);
    a.salt = 1; /* somebody else's */
    run_one(en, &a);
    assert_int_equal(a.n_reused, 0);
    a.salt = 0;
    a.wants_prompt = true; /* all of the prompt's logits are wanted */
    run_one(en, &a);
    assert_int_equal(a.n_reused, 0);
    engine_free(en);
}

static void test_cancels_race_with_ends(void **state)
{
    (void)state;
    struct engine_stats st;
    struct engine *en = engine_small();
    run_many(en, 600, 2, true);
    for (unsigned i = 0; i < 1000; i++) { /* counters are written just after the last event */
        engine_stats_read(en, &st);
        if (st.kv_pages_used == 0 && st.running == 0)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(st.submitted, 600);
    assert_int_equal(st.finished + st.cancelled, 600);
    assert_int_equal(st.kv_pages_used, 0);
    engine_free(en);
}

static void test_slots_run_out(void **state)
{
    (void)state;
    struct engine *en = engine_small();
    struct engine_handle h[MAX_CONCURRENT], more;
    for (unsigned i = 0; i < MAX_CONCURRENT; i++)
        assert_int_equal(engine_acquire(en, &h[i]), ST_OK);
    assert_int_equal(engine_acquire(en, &more), ST_UNAVAILABLE);
    engine_release(en, h[3]);
    engine_release(en, h[3]); /* the handle is old now: nothing happens */
    assert_int_equal(engine_acquire(en, &more), ST_OK);
    assert_int_equal(engine_acquire(en, &h[3]), ST_UNAVAILABLE);
    engine_release(en, more);
    engine_drain(en);
    assert_int_equal(engine_acquire(en, &more), ST_UNAVAILABLE);
    engine_free(en);
}

/* An inbox may never be read again: what its events hold goes with the engine. */
static void test_events_that_nobody_reads(void **state)
{
    (void)state;
    struct engine *en = engine_small();
    struct loop l;
    struct ask a;
    loop_init(&l);
    ask_make(&a, 4);
    a.wants_prompt = true;
    assert_true(submit(en, &l, &a, 0, true));
    while (inbox_empty(&l.inbox))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    engine_free(en); /* the address sanitizer looks for what is left */
}

static void test_failures_stay_where_they_belong(void **state)
{
    (void)state;
    struct engine *en = engine_small();
    struct loop l;
    struct ask asks[3];
    unsigned left = 3;
    loop_init(&l);
    for (unsigned i = 0; i < 3; i++)
        ask_make(&asks[i], 100 + i);
    asks[1].ids[asks[1].n_prompt - 1] = 33;
    asks[0].ids[asks[0].n_prompt - 1] = asks[2].ids[asks[2].n_prompt - 1] = 1;
    model.nan_token = 33;
    for (unsigned i = 0; i < 3; i++)
        assert_true(submit(en, &l, &asks[i], i, true));
    while (left)
        for (struct inbox_node *n = loop_wait(&l), *after; n; n = after) {
            after = n->next;
            left -= take_event(en, asks, n);
        }
    assert_int_equal(asks[1].finish, ENGINE_FINISH_FAILED);
    assert_int_equal(asks[1].status, ST_NUMERIC);
    for (unsigned i = 0; i < 3; i += 2) /* they fail only if they reach token 33 themselves */
        assert_true(asks[i].finish == ENGINE_FINISH_LENGTH ||
                    asks[i].ids[asks[i].n_prompt + asks[i].n_got - 1] == 33);
    model.nan_token = -1;
    model.fail_next = 1;
    ask_make(&asks[0], 7);
    assert_true(submit(en, &l, &asks[0], 0, true));
    for (bool last = false; !last;)
        for (struct inbox_node *n = loop_wait(&l), *after; n; n = after) {
            after = n->next;
            last = take_event(en, asks, n);
        }
    assert_int_equal(asks[0].finish, ENGINE_FINISH_FAILED);
    assert_int_equal(asks[0].status, ST_IO);
    run_many(en, 20, 0, true); /* and the engine goes on */
    engine_free(en);
}

static uint64_t tokens_when_still(struct engine *en)
{
    struct engine_stats before, now;
    do {
        engine_stats_read(en, &before);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        engine_stats_read(en, &now);
    } while (now.steps != before.steps || now.steps == 0);
    return now.tokens_generated;
}

/* Nobody reads: the pool runs dry and the engine sleeps. A failure meanwhile is still told as one, and what
 * waited goes on. */
static void test_unread_events_hold_the_engine(void **state)
{
    (void)state;
    struct engine *en;
    struct err e;
    struct loop l;
    struct ask asks[2];
    struct engine_options o = small;
    unsigned left = 2;
    o.max_concurrent_requests = 2;
    o.max_total_tokens = 150;
    loop_init(&l);
    fake_model_init(&model);
    assert_int_equal(engine_new(&model, &o, &en, &e), ST_OK);
    ask_make(&asks[0], 1);
    asks[0].n_prompt = 5;
    asks[0].n_new = 70;
    assert_true(submit(en, &l, &asks[0], 0, true));
    assert_int_equal(tokens_when_still(en), 64);
    ask_make(&asks[1], 2);
    asks[1].n_prompt = 20; /* its first chunk says nothing, so it is computed */
    model.fail_next = 1;
    assert_true(submit(en, &l, &asks[1], 1, true));
    assert_int_equal(tokens_when_still(en), 64);
    while (left)
        for (struct inbox_node *n = loop_wait(&l), *after; n; n = after) {
            after = n->next;
            left -= take_event(en, asks, n);
        }
    assert_int_equal(asks[0].finish, ENGINE_FINISH_LENGTH);
    assert_int_equal(asks[0].n_got, 70);
    assert_int_equal(asks[1].finish, ENGINE_FINISH_FAILED);
    assert_int_equal(asks[1].status, ST_IO);
    engine_free(en);
}

static void test_ends_with_work_in_flight(void **state)
{
    (void)state;
    struct engine *en = engine_small();
    struct loop l;
    struct ask asks[8];
    loop_init(&l);
    model.step_us = 200;
    for (unsigned i = 0; i < 8; i++) {
        ask_make(&asks[i], i);
        assert_true(submit(en, &l, &asks[i], i, true));
    }
    engine_free(en); /* events point into the engine's pool: nobody looks at them any more */
}

static void test_limits(void **state)
{
    (void)state;
    struct engine *en;
    struct err e;
    struct engine_options o = small;
    fake_model_init(&model);
    o.kv_memory_bytes = 5000;
    assert_int_equal(engine_new(&model, &o, &en, &e), ST_LIMIT);
    assert_non_null(strstr(e.text, "--kv-memory"));
    o = small;
    o.max_input_tokens = 60;
    assert_int_equal(engine_new(&model, &o, &en, &e), ST_INVALID);
    assert_string_equal(e.text, "`max_input_tokens`(60) must be < `max_total_tokens`(60)");
    o = small;
    o.max_total_tokens = 0;
    o.kv_memory_bytes = 1 << 30;
    assert_int_equal(engine_new(&model, &o, &en, &e), ST_OK);
    assert_int_equal(engine_limits(en)->max_total_tokens, 200);
    assert_int_equal(engine_limits(en)->max_input_tokens, 199);
    assert_int_equal(engine_limits(en)->n_page, MAX_CONCURRENT * 50);
    engine_free(en);
    o = small;
    o.max_total_tokens = o.max_batch_total_tokens = 59; /* no multiple of a page */
    assert_int_equal(engine_new(&model, &o, &en, &e), ST_OK);
    assert_int_equal(engine_limits(en)->n_page, 15);
    engine_free(en);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_many_with_little_memory),
        cmocka_unit_test(test_prefix_reuse),
        cmocka_unit_test(test_cancels_race_with_ends),
        cmocka_unit_test(test_slots_run_out),
        cmocka_unit_test(test_events_that_nobody_reads),
        cmocka_unit_test(test_failures_stay_where_they_belong),
        cmocka_unit_test(test_unread_events_hold_the_engine),
        cmocka_unit_test(test_ends_with_work_in_flight),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

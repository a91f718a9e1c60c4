/* The engine thread asks the heap for nothing, whatever it is given to do: prompts in chunks, decoding, every
 * processor of the sampler, alternatives, guesses, sequences set back, cancels, failures. What a request
 * needs was allocated by whoever submitted it.
 *
 * This executable is linked with --wrap for the allocators, so that it can count what other threads than the
 * test's own ask for. */
#include "base/rng.h"
#include "engine/engine.h"
#include "fake_model.h"
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define N_REQUESTS 300
#define CONCURRENT 12
#define N_PROMPT   18
#define N_NEW      24

static _Thread_local bool is_test_thread;
static atomic_uint n_alloc;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);

static void count(void)
{
    if (!is_test_thread)
        atomic_fetch_add(&n_alloc, 1);
}

void *__wrap_malloc(size_t n)
{
    count();
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t each)
{
    count();
    return __real_calloc(n, each);
}

void *__wrap_realloc(void *p, size_t n)
{
    count();
    return __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    count();
    return __real_aligned_alloc(align, n);
}

static struct model model;
static sem_t woken;

static void wake(void *arg)
{
    sem_post(arg);
}

/* Request i has the i-th mix of parameters. */
static struct sample_params mix(uint32_t i)
{
    static const struct sample_bias bias[] = {{3, 1.5f}, {40, -100}};
    struct sample_params p = sample_params_default();
    p.seed = i;
    p.do_sample = i % 2;
    p.temperature = i % 4 == 3 ? 0.7f : 1;
    p.top_k = i % 8 >= 4 ? 20 : 0;
    p.top_p = i % 16 >= 8 ? 0.9f : 1;
    p.typical_p = i % 32 >= 16 ? 0.95f : 1;
    p.repetition_penalty = i % 3 ? 1 : 1.2f;
    p.frequency_penalty = i % 5 ? 0 : 0.3f;
    p.presence_penalty = i % 6 ? 0 : 0.2f;
    p.min_p = i % 7 ? 0 : 0.05f;
    p.watermark = i % 11 == 0;
    p.watermark_gamma = 0.5;
    p.watermark_delta = 2;
    p.no_logprob = i % 13 == 0;
    p.top_n = i % 3;
    p.bias = bias;
    p.n_bias = i % 9 ? 0 : 2;
    return p;
}

static struct engine_handle submit(struct engine *en, struct inbox *owner, uint32_t i)
{
    struct engine_handle h;
    struct err e;
    struct engine_request r = {.ids = malloc(N_PROMPT * sizeof *r.ids),
                               .n_ids = N_PROMPT,
                               .max_new_tokens = N_NEW,
                               .params = mix(i),
                               .choice = i % 2,
                               .prompt_logprobs = i % 10 == 0,
                               .owner = owner,
                               .tag = i};
    for (uint32_t k = 0; k < N_PROMPT; k++)
        r.ids[k] = (int32_t)(rng_u64(2 * k < N_PROMPT ? i % 4 : i, 1, k) % FAKE_VOCAB);
    assert_int_equal(engine_acquire(en, &h), ST_OK);
    assert_int_equal(engine_submit(en, h, &r, &e), ST_OK);
    return h;
}

/* Keeps the engine full until all requests have ended; every seventh is cancelled right away, every 25th step
 * of the device fails. */
static void run(struct engine *en)
{
    struct inbox inbox;
    uint32_t next = 0, done = 0;
    inbox_init(&inbox, wake, &woken);
    while (done < N_REQUESTS) {
        for (; next < N_REQUESTS && next - done < CONCURRENT; next++) {
            struct engine_handle h = submit(en, &inbox, next);
            if (next % 7 == 0)
                engine_cancel(en, h);
            if (next % 25 == 0)
                model.fail_next = 1;
        }
        sem_wait(&woken);
        for (struct inbox_node *node = inbox_take(&inbox), *after; node; node = after) {
            struct token_event *ev = (struct token_event *)node;
            after = node->next;
            done += ev->finish != ENGINE_RUNNING;
            engine_event_free(en, ev);
        }
    }
}

static void test_the_engine_thread_allocates_nothing(void **state)
{
    (void)state;
    struct engine_options o = {.max_concurrent_requests = CONCURRENT + 1,
                               .max_total_tokens = N_PROMPT + N_NEW,
                               .max_batch_prefill_tokens = 7,
                               .kv_memory_bytes = 40000, /* pages for less than four whole requests */
                               .max_top_tokens = 5,
                               .speculate = 3,
                               .prefix_caching = true,
                               .eos_id = {9},
                               .n_eos = 1};
    struct engine_stats st;
    struct engine *en;
    struct err e;
    for (unsigned echoes = 0; echoes < 2; echoes++) {
        fake_model_init(&model);
        model.echoes = echoes;
        assert_int_equal(engine_new(&model, &o, &en, &e), ST_OK);
        run(en);
        engine_stats_read(en, &st);
        engine_free(en);
        assert_int_equal(atomic_load(&n_alloc), 0);
        assert_true(st.set_back && st.prefix_tokens_reused && st.tokens_guessed && st.failed && st.cancelled);
    }
}

static void *allocates_once(void *arg)
{
    void *volatile p = malloc(8); /* volatile: a compiler may leave out a malloc whose result is not used */
    free(p);
    return arg;
}

/* The count counts. */
static void test_other_threads_are_counted(void **state)
{
    (void)state;
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, allocates_once, NULL), 0);
    pthread_join(other, NULL);
    assert_int_equal(atomic_exchange(&n_alloc, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_threads_are_counted),
        cmocka_unit_test(test_the_engine_thread_allocates_nothing),
    };
    is_test_thread = true;
    sem_init(&woken, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

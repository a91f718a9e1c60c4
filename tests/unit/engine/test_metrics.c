/* What the engine says of itself: right numbers, readable while a step runs. */
#include "engine/engine.h"
#include "fake_model.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct model model;

struct reader { /* stands for the I/O loop */
    struct inbox inbox;
    sem_t woken;
};

static void reader_wake(void *arg)
{
    struct reader *r = arg;
    sem_post(&r->woken);
}

static void wait_on(sem_t *s)
{
    while (sem_wait(s) != 0)
        ;
}

static void submit(struct engine *en, struct reader *r, uint32_t n_ids, uint32_t max_new_tokens)
{
    struct err e;
    struct engine_handle h;
    struct engine_request ask = {.ids = malloc(n_ids * sizeof *ask.ids),
                                 .n_ids = n_ids,
                                 .max_new_tokens = max_new_tokens,
                                 .params = sample_params_default(),
                                 .ignore_eos = true,
                                 .owner = &r->inbox};
    for (uint32_t i = 0; i < n_ids; i++)
        ask.ids[i] = (int32_t)(i % FAKE_ECHO);
    assert_int_equal(engine_acquire(en, &h), ST_OK);
    assert_int_equal(engine_submit(en, h, &ask, &e), ST_OK);
}

static void wait_ends(struct engine *en, struct reader *r, unsigned n)
{
    while (n) {
        wait_on(&r->woken);
        for (struct inbox_node *node = inbox_take(&r->inbox), *next; node; node = next) {
            struct token_event *ev = (struct token_event *)node;
            next = node->next;
            n -= ev->finish != ENGINE_RUNNING;
            engine_event_free(en, ev);
        }
    }
}

static bool tells(const struct metrics *m, const char *line)
{
    struct buf out;
    char want[256];
    snprintf(want, sizeof want, "\n%s\n", line);
    buf_init(&out, 1u << 20);
    metrics_render(m, &out);
    buf_put_char(&out, '\0');
    bool found = strstr(out.p, want) != NULL;
    buf_fini(&out);
    return found;
}

static void fill(sem_t *s)
{
    for (int i = 0; i < 1000; i++)
        sem_post(s);
}

/* The engine thread writes a step's numbers after the events that tell of its ends. */
static bool comes_to_tell(const struct metrics *m, const char *line)
{
    for (int i = 0; i < 5000 && !tells(m, line); i++)
        usleep(1000);
    return tells(m, line);
}

static void start(struct engine **en, struct metrics **m, struct reader *r, uint32_t speculate)
{
    struct err e;
    struct engine_options o = {.max_concurrent_requests = 4,
                               .max_total_tokens = 100,
                               .max_batch_total_tokens = 200,
                               .kv_memory_bytes = 1 << 20,
                               .speculate = speculate};
    sem_init(&r->woken, 0, 0);
    inbox_init(&r->inbox, reader_wake, r);
    assert_int_equal(engine_new(&model, &o, en, &e), ST_OK);
    assert_int_equal(metrics_new(m), ST_OK);
    assert_int_equal(engine_metrics_add(*en, *m), ST_OK);
}

/* The step is in the model and stays there; the numbers are read all the same, and are those of now. */
static void test_reading_never_waits_for_a_step(void **state)
{
    (void)state;
    struct engine *en;
    struct metrics *m;
    struct reader r;
    sem_t entered, may_end;
    sem_init(&entered, 0, 0);
    sem_init(&may_end, 0, 0);
    fake_model_init(&model);
    model.entered = &entered;
    model.may_end = &may_end;
    start(&en, &m, &r, 0);
    assert_true(tells(m, "tgi_batch_max_total_tokens 200"));
    assert_true(tells(m, "prompteur_kv_pages 50") && tells(m, "prompteur_kv_page_tokens 4"));
    submit(en, &r, 8, 3);
    wait_on(&entered);
    assert_true(tells(m, "tgi_batch_current_size 1") && tells(m, "prompteur_sequences_running 1"));
    assert_true(tells(m, "tgi_batch_inference_count{method=\"prefill\"} 0"));
    assert_true(tells(m, "tgi_batch_next_size_count 1") &&
                tells(m, "tgi_batch_concat{reason=\"chunking\"} 0"));
    submit(en, &r, 5, 2); /* joins at the next step */
    sem_post(&may_end);
    wait_on(&entered);
    assert_true(tells(m, "tgi_batch_current_size 2") && tells(m, "tgi_queue_size 0"));
    assert_true(tells(m, "tgi_batch_concat{reason=\"chunking\"} 1"));
    assert_true(tells(m, "tgi_batch_concat{reason=\"backpressure\"} 0"));
    assert_true(tells(m, "tgi_batch_concat_duration_count{method=\"decode\"} 1"));
    assert_true(tells(m, "tgi_batch_inference_success{method=\"prefill\"} 1"));
    assert_true(tells(m, "prompteur_kv_pages_used 5") && tells(m, "tgi_batch_current_max_tokens 20"));
    fill(&may_end);
    wait_ends(en, &r, 2);
    assert_true(comes_to_tell(m, "prompteur_prompt_tokens_total 13"));
    assert_true(comes_to_tell(m, "prompteur_generated_tokens_total 5"));
    assert_true(comes_to_tell(m, "prompteur_steps_total 3"));
    assert_true(comes_to_tell(m, "tgi_batch_filter_duration_count{method=\"decode\"} 1"));
    assert_true(comes_to_tell(m, "tgi_request_skipped_tokens_bucket{le=\"0\"} 5"));
    assert_true(comes_to_tell(m, "prompteur_sequences_submitted_total 2"));
    assert_true(comes_to_tell(m, "prompteur_sequences_finished_total 2"));
    engine_free(en);
    metrics_free(m);
}

/* One value for each step of a sequence: the tokens it got beyond the one. */
static void test_skipped_tokens(void **state)
{
    (void)state;
    struct engine *en;
    struct engine_stats s;
    struct metrics *m;
    struct reader r;
    char line[80];
    fake_model_init(&model);
    model.echoes = true;
    start(&en, &m, &r, 4);
    submit(en, &r, 20, 40);
    wait_ends(en, &r, 1);
    assert_true(comes_to_tell(m, "prompteur_generated_tokens_total 40"));
    engine_stats_read(en, &s);
    assert_true(s.guesses_accepted > 20);
    snprintf(line, sizeof line, "tgi_request_skipped_tokens_sum %u", 40 - (unsigned)s.steps);
    assert_true(comes_to_tell(m, line));
    snprintf(line, sizeof line, "tgi_request_skipped_tokens_count %u", (unsigned)s.steps);
    assert_true(comes_to_tell(m, line));
    snprintf(line, sizeof line, "prompteur_speculation_guessed_tokens_total %u", (unsigned)s.tokens_guessed);
    assert_true(comes_to_tell(m, line));
    engine_free(en);
    metrics_free(m);
}

static void test_failures(void **state)
{
    (void)state;
    struct engine *en;
    struct metrics *m;
    struct reader r;
    fake_model_init(&model);
    model.fail_next = 1;
    start(&en, &m, &r, 0);
    submit(en, &r, 8, 3);
    wait_ends(en, &r, 1);
    assert_true(comes_to_tell(m, "tgi_batch_inference_failure{method=\"prefill\"} 1"));
    assert_true(comes_to_tell(m, "tgi_batch_inference_success{method=\"prefill\"} 0"));
    assert_true(comes_to_tell(m, "prompteur_sequences_failed_total 1"));
    engine_free(en);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading_never_waits_for_a_step),
        cmocka_unit_test(test_skipped_tokens),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The scheduler and the page pool in a random world: arrivals, cancels, tiny limits; invariants after each
 * step. */
#include "base/rng.h"
#include "engine/engine_int.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_SEQ   24
#define MAX_PAGES 40
#define N_STEPS   1000000

struct world {
    struct sched s;
    struct plan plan;
    struct seq seq[MAX_SEQ];
    uint32_t page[MAX_SEQ][MAX_PAGES];
    uint64_t arrived[MAX_SEQ], order, last_admitted;
    uint64_t seed, draw;
};

static uint32_t draw(struct world *w, uint32_t below)
{
    return (uint32_t)(rng_u64(w->seed, 9, w->draw++) % below);
}

static void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->s.limits = (struct sched_limits){
        .max_running = 1 + draw(w, 8), .max_prefill_rows = 1 + draw(w, 9), .page_tokens = 1 + draw(w, 4)};
    assert_int_equal(page_pool_init(&w->s.pages, 10 + draw(w, MAX_PAGES - 10)), ST_OK);
    seq_list_init(&w->s.waiting);
    seq_list_init(&w->s.running);
    w->plan.item = calloc(MAX_SEQ, sizeof *w->plan.item);
    for (uint32_t i = 0; i < MAX_SEQ; i++)
        w->seq[i].page = w->page[i];
}

static void world_fini(struct world *w)
{
    page_pool_fini(&w->s.pages);
    free(w->plan.item);
}

static void arrive(struct world *w)
{
    uint32_t i = draw(w, MAX_SEQ);
    struct seq *seq = &w->seq[i];
    uint32_t room = w->s.pages.n_page * w->s.limits.page_tokens;
    if (seq->state != SEQ_FREE)
        return;
    seq->n_prompt = seq->n_ids = 1 + draw(w, room - 1);
    seq->request.max_new_tokens = 1 + draw(w, room - seq->n_prompt);
    seq->n_computed = seq->n_page = seq->n_reserved = 0;
    seq->state = SEQ_WAITING;
    w->arrived[i] = ++w->order;
    seq_list_push(&w->s.waiting, seq);
}

static void leave(struct world *w, struct seq *seq)
{
    sched_remove(&w->s, seq);
    seq->state = SEQ_FREE;
}

static void step(struct world *w)
{
    uint32_t may_emit = draw(w, 4) ? MAX_SEQ : draw(w, 3);
    sched_plan(&w->s, may_emit, &w->plan);
    assert_true(w->plan.n_out <= may_emit);
    assert_true(w->plan.n_prefill <= w->s.limits.max_prefill_rows);
    uint32_t rows = 0;
    for (uint32_t i = 0; i < w->plan.n_item; i++) {
        struct plan_item *item = &w->plan.item[i];
        struct seq *seq = item->seq;
        rows += item->n_tok;
        assert_true(item->n_tok > 0 && seq->n_computed + item->n_tok <= seq->n_ids);
        assert_true(seq->n_page * w->s.limits.page_tokens >= seq->n_computed + item->n_tok);
        seq->n_computed += item->n_tok;
        assert_int_equal(item->wants_logits, seq->n_computed == seq->n_ids);
        if (!item->wants_logits)
            continue;
        seq->n_ids++;
        if (seq->n_ids - seq->n_prompt == seq->request.max_new_tokens || draw(w, 20) == 0)
            leave(w, seq);
    }
    assert_int_equal(rows, w->plan.n_tok);
    if (may_emit == MAX_SEQ && w->s.running.n) /* somebody always moves */
        assert_true(w->plan.n_item > 0);
}

static void check(struct world *w)
{
    bool used[MAX_PAGES] = {false};
    uint32_t reserved = 0, held = 0, running = 0;
    for (uint32_t i = 0; i < MAX_SEQ; i++) {
        struct seq *seq = &w->seq[i];
        if (seq->state != SEQ_RUNNING)
            continue;
        running++;
        reserved += seq->n_reserved;
        held += seq->n_page;
        assert_true(seq->n_page <= seq->n_reserved);
        for (uint32_t k = 0; k < seq->n_page; k++) {
            assert_true(seq->page[k] < w->s.pages.n_page && !used[seq->page[k]]); /* no page twice */
            used[seq->page[k]] = true;
        }
    }
    assert_int_equal(running, w->s.running.n);
    assert_true(running <= w->s.limits.max_running);
    assert_int_equal(reserved, w->s.pages.n_reserved);
    assert_true(reserved <= w->s.pages.n_page);
    assert_int_equal(held + w->s.pages.n_free, w->s.pages.n_page); /* no page lost */
}

/* First come, first served: whoever is admitted came before all who still wait. */
static void admit(struct world *w)
{
    sched_admit(&w->s, 1);
    uint64_t first_waiting = UINT64_MAX;
    for (const struct seq *seq = w->s.waiting.first; seq; seq = seq->next) {
        uint64_t at = w->arrived[seq - w->seq];
        assert_true(first_waiting == UINT64_MAX || at > first_waiting);
        if (first_waiting == UINT64_MAX)
            first_waiting = at;
    }
    for (const struct seq *seq = w->s.running.first; seq; seq = seq->next)
        assert_true(w->arrived[seq - w->seq] < first_waiting);
    if (w->s.waiting.n) /* nobody waits beside an empty machine */
        assert_true(w->s.running.n > 0);
}

static void test_random_world(void **state)
{
    (void)state;
    struct world *w = malloc(sizeof *w);
    for (uint64_t seed = 0, done = 0; done < N_STEPS; seed++) {
        world_init(w, seed);
        for (unsigned i = 0; i < 5000; i++, done++) {
            if (draw(w, 3) == 0)
                arrive(w);
            struct seq *victim = &w->seq[draw(w, MAX_SEQ)];
            if (draw(w, 30) == 0 && victim->state != SEQ_FREE)
                leave(w, victim);
            admit(w);
            step(w);
            check(w);
        }
        world_fini(w);
    }
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_world)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

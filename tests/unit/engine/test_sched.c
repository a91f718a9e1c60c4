/* The scheduler and the page pool in random worlds: arrivals, cancels, tiny limits, shared beginnings,
 * guesses; invariants after each step. */
#include "base/rng.h"
#include "engine/sched_int.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_SEQ    24
#define MAX_PAGES  40
#define MAX_TOKENS (4 * MAX_PAGES)
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define N_STEPS 1000000
#else
#define N_STEPS 10000000
#endif
#define WORLD 5000 /* steps of one world */

struct world {
    struct sched s;
    struct plan plan;
    struct seq seq[MAX_SEQ];
    uint32_t page[MAX_SEQ][MAX_PAGES];
    struct page_key key[MAX_SEQ][MAX_PAGES];
    int32_t ids[MAX_SEQ][MAX_TOKENS];
    uint64_t arrived[MAX_SEQ], order;
    uint64_t state; /* of draw() */
    /* What the pages would hold: the whole text up to each of their positions, as a hash; a page that is
     * found must hold what the sequence expects. */
    uint64_t held[MAX_PAGES][4];
};

/* A fast generator: the world draws a billion times. */
static uint32_t draw(struct world *w, uint32_t below)
{
    w->state ^= w->state << 13;
    w->state ^= w->state >> 7;
    w->state ^= w->state << 17;
    return (uint32_t)((w->state >> 32) * below >> 32);
}

static void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->state = rng_u64(seed, 9, 0) | 1;
    w->s.limits = (struct sched_limits){.max_running = 1 + draw(w, 8),
                                        .max_prefill_rows = 1 + draw(w, 9),
                                        .page_tokens = 1 + draw(w, 4),
                                        .max_scored_rows = 1 + draw(w, 4)};
    w->s.reuse = draw(w, 4) > 0;
    w->s.secret[0] = seed;
    w->s.secret[1] = seed + 1;
    assert_int_equal(page_pool_init(&w->s.pages, 6 + draw(w, MAX_PAGES - 6)), ST_OK);
    seq_list_init(&w->s.waiting);
    seq_list_init(&w->s.running);
    w->plan.item = calloc(MAX_SEQ, sizeof *w->plan.item);
    for (uint32_t i = 0; i < MAX_SEQ; i++) {
        w->seq[i].page = w->page[i];
        w->seq[i].key = w->key[i];
        w->seq[i].ids = w->ids[i];
    }
}

static void world_fini(struct world *w)
{
    page_pool_fini(&w->s.pages);
    free(w->plan.item);
}

/* Few different tokens and texts that begin alike: much is shared. */
static void arrive(struct world *w)
{
    uint32_t i = draw(w, MAX_SEQ), room = w->s.pages.n_page * w->s.limits.page_tokens;
    struct seq *seq = &w->seq[i];
    if (seq->state != SEQ_FREE)
        return;
    seq->n_prompt = seq->n_ids = 1 + draw(w, draw(w, 3) ? (room - 1) / 3 + 1 : room - 1);
    seq->request.max_new_tokens = 1 + draw(w, room - seq->n_prompt);
    seq->request.cache_salt[0] = draw(w, 8) == 0;
    seq->request.prompt_logprobs = draw(w, 8) == 0;
    seq->first_out = seq->request.prompt_logprobs ? 0 : seq->n_prompt - 1;
    uint32_t same = draw(w, seq->n_prompt + 1);
    for (uint32_t k = 0; k < seq->n_prompt; k++)
        seq->ids[k] = k < same ? 0 : (int32_t)draw(w, 2);
    seq->n_computed = seq->n_page = seq->n_key = seq->n_published = seq->n_draft = 0;
    seq->started_ns = 0;
    seq->state = SEQ_WAITING;
    w->arrived[i] = ++w->order;
    seq_list_push(&w->s.waiting, seq);
}

static void leave(struct world *w, struct seq *seq)
{
    sched_remove(&w->s, seq);
    seq->state = SEQ_FREE;
}

/* The text of a sequence up to and with position `pos`, and whose it is. */
static uint64_t text_hash(const struct seq *seq, uint32_t pos)
{
    uint64_t h = seq->request.cache_salt[0] + 1;
    for (uint32_t i = 0; i <= pos; i++)
        h = (h ^ (uint64_t)(seq->ids[i] + 7)) * 0x9e3779b97f4a7c15u;
    return h;
}

static uint64_t *cell(struct world *w, const struct seq *seq, uint32_t pos)
{
    uint32_t n = w->s.limits.page_tokens;
    return &w->held[seq->page[pos / n]][pos % n];
}

/* "Computes" the item: writes its positions, and looks at all positions before them, as attention does. */
static void compute(struct world *w, const struct plan_item *item)
{
    struct seq *seq = item->seq;
    uint32_t end = seq->n_computed + item->n_tok;
    assert_true(item->n_tok > 0 && end <= seq->n_ids + seq->n_draft);
    assert_true(seq->n_page * w->s.limits.page_tokens >= end);
    if (draw(w, 8) == 0)
        for (uint32_t pos = 0; pos < seq->n_computed; pos++)
            assert_true(*cell(w, seq, pos) == text_hash(seq, pos));
    for (uint32_t pos = seq->n_computed; pos < end; pos++) {
        assert_int_equal(page_refs(&w->s.pages, seq->page[pos / w->s.limits.page_tokens]),
                         1); /* nobody else's */
        *cell(w, seq, pos) = text_hash(seq, pos);
    }
}

/* What the engine does with the logits. */
static void take(struct world *w, const struct plan_item *item)
{
    struct seq *seq = item->seq;
    uint32_t end = seq->n_computed + item->n_tok, known = seq->n_ids, draft = seq->n_draft;
    seq->n_draft = 0;
    for (uint32_t pos = end - item->n_out; pos < end; pos++) {
        assert_int_equal(pos, seq->first_out); /* each wanted row once, in order */
        if (pos + 1 < known) {
            seq->first_out = pos + 1;
            continue;
        }
        bool right = draft && pos + 1 < end && draw(w, 2);
        if (!right)
            seq->ids[pos + 1] = (int32_t)draw(w, 2);
        seq->first_out = ++seq->n_ids - 1;
        if (seq->n_ids - seq->n_prompt == seq->request.max_new_tokens || draw(w, 20) == 0) {
            leave(w, seq);
            return;
        }
        if (!right)
            break;
    }
    sched_computed(&w->s, seq, end < seq->n_ids ? end : seq->n_ids - 1);
    uint32_t most = seq->n_prompt + seq->request.max_new_tokens - seq->n_ids - 1;
    if (seq->n_ids > known && most && draw(w, 3) == 0) {
        seq->n_draft = 1 + draw(w, most < 3 ? most : 3);
        for (uint32_t i = 0; i < seq->n_draft; i++)
            seq->ids[seq->n_ids + i] = (int32_t)draw(w, 2);
    }
}

static void step(struct world *w)
{
    uint32_t may_emit = draw(w, 4) ? 4 * MAX_SEQ : draw(w, 3), rows = 0, outs = 0;
    struct seq *oldest = w->s.running.first;
    sched_plan(&w->s, may_emit, &w->plan);
    assert_true(w->plan.n_event <= may_emit);
    assert_true(w->plan.n_prefill <= w->s.limits.max_prefill_rows);
    assert_true(w->plan.n_scored <= w->s.limits.max_scored_rows);
    assert_int_equal(w->plan.n_out, w->plan.n_event + w->plan.n_scored);
    for (uint32_t i = 0; i < w->plan.n_item; i++)
        compute(w, &w->plan.item[i]);
    for (uint32_t i = 0; i < w->plan.n_item; i++) {
        const struct plan_item item = w->plan.item[i];
        rows += item.n_tok;
        outs += item.n_out;
        take(w, &item);
    }
    assert_int_equal(rows, w->plan.n_tok);
    assert_int_equal(outs, w->plan.n_out);
    if (may_emit == 4 * MAX_SEQ && oldest) { /* the oldest always moves: so everybody's turn comes */
        assert_true(w->plan.n_item > 0);
        assert_ptr_equal(w->plan.item[0].seq, oldest);
    }
}

static void check_pages(struct world *w)
{
    uint32_t refs[MAX_PAGES] = {0}, held = 0;
    for (uint32_t i = 0; i < MAX_SEQ; i++) {
        struct seq *seq = &w->seq[i];
        assert_true(seq->state == SEQ_RUNNING || seq->n_page == 0 || seq->state == SEQ_FREE);
        if (seq->state != SEQ_RUNNING)
            continue;
        for (uint32_t k = 0; k < seq->n_page; k++) {
            assert_true(seq->page[k] < w->s.pages.n_page);
            refs[seq->page[k]]++;
        }
    }
    for (uint32_t k = 0; k < w->s.pages.n_page; k++) {
        assert_int_equal(refs[k], page_refs(&w->s.pages, k));
        held += refs[k] > 0;
    }
    assert_int_equal(held + page_pool_available(&w->s.pages), w->s.pages.n_page); /* no page lost */
}

/* First come, first served: all who run came before all who wait, and each list is in order. */
static void check_order(struct world *w)
{
    uint64_t last = 0;
    uint32_t n = 0;
    for (const struct seq *seq = w->s.running.first; seq; seq = seq->next, n++) {
        assert_true(w->arrived[seq - w->seq] > last);
        last = w->arrived[seq - w->seq];
    }
    assert_int_equal(n, w->s.running.n);
    assert_true(n <= w->s.limits.max_running);
    for (const struct seq *seq = w->s.waiting.first; seq; seq = seq->next, n++) {
        assert_true(w->arrived[seq - w->seq] > last);
        last = w->arrived[seq - w->seq];
    }
    assert_int_equal(n, w->s.running.n + w->s.waiting.n);
    if (w->s.waiting.n) /* nobody waits beside an empty machine */
        assert_true(w->s.running.n > 0);
}

static void test_random_worlds(void **state)
{
    (void)state;
    struct world *w = malloc(sizeof *w);
    uint64_t set_back = 0, reused = 0, evicted = 0;
    for (uint64_t seed = 0, done = 0; done < N_STEPS; seed++) {
        world_init(w, seed);
        uint32_t busy = 2 + draw(w, 6);
        for (unsigned i = 0; i < WORLD; i++, done++) {
            if (draw(w, busy) == 0)
                arrive(w);
            struct seq *victim = &w->seq[draw(w, MAX_SEQ)];
            if (draw(w, 30) == 0 && victim->state != SEQ_FREE)
                leave(w, victim);
            sched_admit(&w->s, 1);
            check_order(w);
            step(w);
            check_pages(w);
        }
        set_back += w->s.n_set_back;
        reused += w->s.n_reused;
        evicted += w->s.pages.n_evicted;
        world_fini(w);
    }
    print_message("%llu sequences set back, %llu tokens reused, %llu pages evicted\n",
                  (unsigned long long)set_back, (unsigned long long)reused, (unsigned long long)evicted);
    assert_true(set_back > N_STEPS / 1000 && reused > N_STEPS / 10 && evicted > N_STEPS / 100);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_worlds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Decoding with and without guesses, of a text that repeats its prompt and of one that repeats nothing.
 *
 * The whole engine on a model of random weights; only what is sampled is given. Both engines take turns,
 * medians are compared. */
#include "base/clock.h"
#include "base/rng.h"
#include "bench.h"
#include "engine/engine.h"
#include "speculation.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PROMPT  96
#define N_NEW     192
#define ROUNDS    5
#define SPECULATE 4

/* The reader of the engine's events. */
struct reader {
    struct inbox inbox;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool woken;
};

static void reader_wake(void *arg)
{
    struct reader *r = arg;
    pthread_mutex_lock(&r->mutex);
    r->woken = true;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->mutex);
}

static struct inbox_node *reader_wait(struct reader *r)
{
    pthread_mutex_lock(&r->mutex);
    while (!r->woken)
        pthread_cond_wait(&r->cond, &r->mutex);
    r->woken = false;
    pthread_mutex_unlock(&r->mutex);
    return inbox_take(&r->inbox);
}

/* Seconds from the first token to the last. */
static enum status answer_seconds(struct engine *en, uint32_t n_vocab, double *seconds, struct err *e)
{
    struct reader r = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct engine_handle h;
    struct engine_request rq = {.ids = malloc(N_PROMPT * sizeof *rq.ids),
                                .n_ids = N_PROMPT,
                                .max_new_tokens = N_NEW,
                                .params = sample_params_default(),
                                .ignore_eos = true,
                                .owner = &r.inbox};
    uint64_t first = 0, last = 0;
    inbox_init(&r.inbox, reader_wake, &r);
    if (!rq.ids)
        return err_set(e, ST_NO_MEMORY, "no memory for a prompt");
    for (uint32_t i = 0; i < N_PROMPT; i++)
        rq.ids[i] = (int32_t)(rng_u64(5, 0, i) % n_vocab);
    enum status st = engine_acquire(en, &h);
    if (st == ST_OK)
        st = engine_submit(en, h, &rq, e);
    if (st != ST_OK) {
        free(rq.ids);
        return st;
    }
    for (bool ended = false; !ended;)
        for (struct inbox_node *n = reader_wait(&r), *after; n; n = after) {
            struct token_event *ev = (struct token_event *)n;
            after = n->next;
            last = clock_ns();
            first = first ? first : last;
            ended = ev->finish != ENGINE_RUNNING;
            if (ended && ev->finish != ENGINE_FINISH_LENGTH)
                st = err_set(e, ST_INTERNAL, "the answer ended early");
            engine_event_free(en, ev);
        }
    *seconds = (double)(last - first) * 1e-9;
    return st;
}

/* An engine of its own on a model of its own: one that guesses, one that does not. */
struct side {
    struct backend *backend;
    struct model *model;
    struct engine *engine;
};

static enum status side_open(const struct ckpt *ck, uint32_t speculate, struct side *s, struct err *e)
{
    const atomic_bool never = false;
    struct backend_options bo = {.compute = COMPUTE_BF16};
    struct engine_options o = {.max_concurrent_requests = 1,
                               .max_total_tokens = N_PROMPT + N_NEW,
                               .kv_memory_bytes = 1ull << 30,
                               .speculate = speculate};
    enum status st = backend_open("cpu", &bo, &s->backend, e);
    if (st == ST_OK)
        st = model_load(ck, s->backend, QUANT_NONE, &s->model, e);
    if (st == ST_OK)
        st = engine_new(s->model, &o, &s->engine, e);
    return st == ST_OK ? model_settle(s->model, &never, NULL, NULL, e) : st;
}

static void side_close(struct side *s)
{
    engine_free(s->engine);
    model_free(s->model);
    backend_close(s->backend);
}

static enum status measure(struct side *s, struct samples *tokens_s, struct err *e)
{
    double seconds = 0;
    enum status st = answer_seconds(s->engine, model_config(s->model)->n_vocab, &seconds, e);
    if (st == ST_OK)
        samples_add(tokens_s, (N_NEW - 1) / seconds);
    return st;
}

static enum status compare(struct side *plain, struct side *guessing, const char *what, uint32_t period,
                           struct err *e)
{
    struct samples slow = {.n = 0}, fast = {.n = 0}, ratio = {.n = 0};
    struct engine_stats before, after;
    enum status st = ST_OK;
    replay_period = period; /* both engines are idle */
    engine_stats_read(guessing->engine, &before);
    for (unsigned i = 0; i < ROUNDS && st == ST_OK; i++) {
        st = measure(plain, &slow, e);
        if (st == ST_OK)
            st = measure(guessing, &fast, e);
        if (st == ST_OK)
            samples_add(&ratio, fast.v[i] / slow.v[i]);
    }
    engine_stats_read(guessing->engine, &after);
    if (st == ST_OK)
        printf("%-20s %8.2f tok/s plain %8.2f guessing   ratio %.2f   (of %llu guesses %llu were right)\n",
               what, samples_median(&slow), samples_median(&fast), samples_median(&ratio),
               (unsigned long long)(after.tokens_guessed - before.tokens_guessed),
               (unsigned long long)(after.guesses_accepted - before.guesses_accepted));
    return st;
}

static enum status run(const char *dir, struct err *e)
{
    struct ckpt *ck = NULL;
    struct side plain = {0}, guessing = {0};
    enum status st = ckpt_open(dir, &ck, e);
    if (st == ST_OK)
        st = side_open(ck, 0, &plain, e);
    if (st == ST_OK)
        st = side_open(ck, SPECULATE, &guessing, e);
    if (st == ST_OK)
        st = compare(&plain, &guessing, "repeats its prompt", N_PROMPT, e);
    if (st == ST_OK)
        st = compare(&plain, &guessing, "repeats nothing", 0, e);
    side_close(&plain);
    side_close(&guessing);
    ckpt_close(ck);
    return st;
}

int main(int argc, char **argv)
{
    const char *shape = argc > 1 ? argv[1] : "M";
    char dir[] = "/tmp/prompteur-bench-XXXXXX";
    struct err e = {0};
    if (argc > 2 || shape[0] == '-') {
        fprintf(stderr,
                "Usage: prompteur-bench-speculation [S|M]   random weights: 135M or 1.1B parameters\n");
        return 2;
    }
    enum status st = mkdtemp(dir) ? synthetic_write(shape, dir, &e)
                                  : err_set(&e, ST_IO, "cannot make a folder like %s", dir);
    if (st == ST_OK) {
        printf("one stream, %d prompt and %d new tokens, up to %d guesses a step, medians of %d turns\n",
               N_PROMPT, N_NEW, SPECULATE, ROUNDS);
        st = run(dir, &e);
        synthetic_remove(dir);
    }
    if (st != ST_OK)
        fprintf(stderr, "prompteur-bench-speculation: %s\n", e.text);
    return st == ST_OK ? 0 : 1;
}

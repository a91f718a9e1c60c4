/* A model of a few lines in the place of the real one: the archive's members with these names are not linked
 * when a test defines them. A token's successor depends on all tokens before it, through a "KV store" on
 * pages, so that a wrong page, a missing position or a mixed-up row shows as a wrong answer. */
#ifndef TESTS_FAKE_MODEL_H
#define TESTS_FAKE_MODEL_H

#include "model/model.h"
#include <semaphore.h>
#include <string.h>
#include <time.h>

#define FAKE_VOCAB       64
#define FAKE_PAGE_TOKENS 4
#define FAKE_MAX_PAGES   4096
#define FAKE_MAX_OUT     256
#define FAKE_ECHO        6

struct model {
    struct model_config cfg;
    struct backend be;
    uint32_t kv[FAKE_MAX_PAGES][FAKE_PAGE_TOKENS];
    float logits[FAKE_MAX_OUT][FAKE_VOCAB];
    uint32_t n_page;
    _Atomic uint32_t fail_next; /* this many steps fail */
    _Atomic int nan_token;      /* a sequence whose last token is this gets NaN logits; -1: none */
    unsigned step_us;
    sem_t *entered, *may_end; /* a step tells that it began and waits until it may end; NULL: it does not */
    bool echoes;              /* says again what stood FAKE_ECHO tokens before */
};

static inline uint32_t fake_next(uint32_t state)
{
    return (state * 2654435761u >> 7) % FAKE_VOCAB;
}

/* What the fake model says after these tokens. */
static inline int32_t fake_answer(const struct model *m, const int32_t *ids, uint32_t n)
{
    uint32_t state = 17;
    if (m->echoes && n >= FAKE_ECHO)
        return ids[n - FAKE_ECHO];
    for (uint32_t i = 0; i < n; i++)
        state = state * 31 + (uint32_t)ids[i] + 1;
    return (int32_t)fake_next(state);
}

const struct model_config *model_config(const struct model *m)
{
    return &m->cfg;
}

const struct backend *model_backend(const struct model *m)
{
    return &m->be;
}

uint64_t model_kv_page_bytes(const struct model *m)
{
    (void)m;
    return 1000;
}

enum status model_reserve(struct model *m, uint32_t n_page, uint32_t max_rows, uint32_t max_out,
                          struct err *e)
{
    (void)max_rows;
    (void)e;
    m->n_page = n_page;
    return n_page <= FAKE_MAX_PAGES && max_out <= FAKE_MAX_OUT ? ST_OK : ST_NO_MEMORY;
}

static inline uint32_t *fake_slot(struct model *m, const struct batch *b, uint32_t s, uint32_t pos)
{
    uint32_t page = b->page[b->page_begin[s] + pos / FAKE_PAGE_TOKENS];
    BUG_ON(page >= m->n_page || b->page_begin[s] + pos / FAKE_PAGE_TOKENS >= b->page_begin[s + 1]);
    return &m->kv[page][pos % FAKE_PAGE_TOKENS];
}

enum status model_step(struct model *m, const struct batch *b, const float **logits, struct err *e)
{
    uint32_t out = 0;
    if (m->may_end) {
        sem_post(m->entered);
        while (sem_wait(m->may_end) != 0)
            ;
    }
    if (m->step_us)
        nanosleep(&(struct timespec){.tv_nsec = m->step_us * 1000l}, NULL);
    if (m->fail_next) {
        m->fail_next--;
        return err_set(e, ST_IO, "the fake device failed");
    }
    for (uint32_t s = 0; s < b->n_seq; s++)
        for (uint32_t r = b->row_begin[s]; r < b->row_begin[s + 1]; r++)
            *fake_slot(m, b, s, b->pos[r]) = (uint32_t)b->id[r] + 1;
    for (uint32_t s = 0; s < b->n_seq; s++)
        for (uint32_t r = b->row_begin[s]; r < b->row_begin[s + 1]; r++) {
            if (out == b->n_out || b->out_row[out] != r)
                continue;
            int32_t ids[256];
            BUG_ON(b->pos[r] >= 256);
            for (uint32_t pos = 0; pos <= b->pos[r]; pos++)
                ids[pos] = (int32_t)*fake_slot(m, b, s, pos) - 1;
            int32_t answer = fake_answer(m, ids, b->pos[r] + 1);
            for (int32_t i = 0; i < FAKE_VOCAB; i++)
                m->logits[out][i] = m->nan_token == b->id[r] ? 0.0f / 0.0f : i == answer ? 5 : 0;
            out++;
        }
    BUG_ON(out != b->n_out);
    *logits = m->logits[0];
    return ST_OK;
}

static inline void fake_model_init(struct model *m)
{
    memset(m, 0, sizeof *m);
    m->cfg.n_vocab = FAKE_VOCAB;
    m->cfg.max_position = 200;
    m->be.caps.page_tokens = FAKE_PAGE_TOKENS;
    m->be.caps.max_rows = 1000;
    m->nan_token = -1;
}

#endif

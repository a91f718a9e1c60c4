/* One step: plan -> batch -> model -> tokens -> events. Nothing here allocates. */
#include "base/clock.h"
#include "engine/engine_int.h"
#include <string.h>

static void build_batch(struct engine *en, const struct plan *p, struct batch *b)
{
    uint32_t row = 0, page = 0, out = 0;
    for (uint32_t i = 0; i < p->n_item; i++) {
        const struct plan_item *item = &p->item[i];
        const struct seq *seq = item->seq;
        en->b_row_begin[i] = row;
        en->b_page_begin[i] = page;
        memcpy(en->b_page + page, seq->page, seq->n_page * sizeof *en->b_page);
        page += seq->n_page;
        for (uint32_t k = 0; k < item->n_tok; k++, row++) {
            en->b_id[row] = seq->ids[seq->n_computed + k];
            en->b_pos[row] = seq->n_computed + k;
        }
        for (uint32_t k = item->n_out; k > 0; k--)
            en->b_out_row[out++] = row - k;
    }
    en->b_row_begin[p->n_item] = row;
    en->b_page_begin[p->n_item] = page;
    *b = (struct batch){.n_tok = row,
                        .n_seq = p->n_item,
                        .n_out = out,
                        .id = en->b_id,
                        .pos = en->b_pos,
                        .row_begin = en->b_row_begin,
                        .page_begin = en->b_page_begin,
                        .page = en->b_page,
                        .out_row = en->b_out_row};
}

static bool is_eos(const struct engine *en, int32_t id)
{
    for (uint32_t i = 0; i < en->o.n_eos; i++)
        if (en->o.eos_id[i] == id)
            return true;
    return false;
}

/* TGI's order: the length first, even when the last token ends the text. */
static enum engine_finish finish_of(const struct engine *en, const struct seq *seq, int32_t id)
{
    if (seq->n_ids - seq->n_prompt == seq->request.max_new_tokens)
        return ENGINE_FINISH_LENGTH;
    return !seq->request.ignore_eos && is_eos(en, id) ? ENGINE_FINISH_EOS : ENGINE_RUNNING;
}

/* Samples the sequence's next token. False when the sequence has ended and must not be touched. */
static bool take_token(struct engine *en, struct seq *seq, const float *logits)
{
    struct sampled token;
    const struct sample_context context = {.ids = seq->ids, .n_prompt = seq->n_prompt, .n_ids = seq->n_ids};
    enum status st = sampler_pick(en->sampler, logits, &seq->request.params, &context, seq->request.choice,
                                  seq->n_ids, &token);
    if (st != ST_OK) {
        emit_end(en, seq, ENGINE_FINISH_FAILED, st);
        return false;
    }
    seq->ids[seq->n_ids++] = token.id;
    seq->first_out = seq->n_ids - 1;
    atomic_fetch_add_explicit(&en->n_generated, 1, memory_order_relaxed);
    enum engine_finish finish = finish_of(en, seq, token.id);
    emit_token(en, seq, &token, finish);
    return finish == ENGINE_RUNNING;
}

/* Logits inside the prompt: what they say of the token that follows. */
static void score_prompt(const struct engine *en, struct seq *seq, uint32_t pos, const float *logits)
{
    seq->prompt_logprob[pos + 1] = sample_logprob(logits, en->n_vocab, seq->ids[pos + 1]);
    seq->first_out = pos + 1;
}

/* Guesses are right as long as each is what was sampled in its place; what was computed behind a wrong one is
 * computed again. */
static void take_item(struct engine *en, const struct plan_item *item, const float *logits)
{
    struct seq *seq = item->seq;
    uint32_t end = seq->n_computed + item->n_tok, n_known = seq->n_ids, n_draft = seq->n_draft, n_made = 0;
    bool right = true;
    seq->n_draft = 0;
    for (uint32_t pos = end - item->n_out; pos < end && right; pos++, logits += en->n_vocab) {
        if (pos + 1 < n_known) {
            score_prompt(en, seq, pos, logits);
            continue;
        }
        int32_t guess = pos + 1 < end ? seq->ids[pos + 1] : -1;
        n_made++;
        if (!take_token(en, seq, logits)) {
            engine_metrics_skipped(en, n_made - 1);
            return;
        }
        right = seq->ids[pos + 1] == guess;
    }
    sched_computed(&en->sched, seq, end < seq->n_ids ? end : seq->n_ids - 1);
    if (n_draft)
        seq_guessed(en, seq, n_draft, n_made - 1);
    if (n_made) {
        engine_metrics_skipped(en, n_made - 1);
        seq_guess(en, seq);
    }
}

static void take_results(struct engine *en, const struct plan *p, const float *logits)
{
    for (uint32_t i = 0; i < p->n_item; i++) {
        const struct plan_item item = p->item[i];
        take_item(en, &item, logits); /* the sequence may be gone after this */
        logits += (size_t)item.n_out * en->n_vocab;
    }
}

/* A device that fails takes the step's sequences with it, and nobody else. */
static void fail_plan(struct engine *en, const struct plan *p, enum status status)
{
    for (uint32_t i = 0; i < p->n_item; i++)
        if (!emit_end(en, p->item[i].seq, ENGINE_FINISH_FAILED, status))
            p->item[i].seq->failed = status; /* told at a later step */
}

bool engine_step(struct engine *en)
{
    struct batch b;
    const float *logits;
    struct step_times t = {.begin_ns = clock_ns()};
    sched_plan(&en->sched, en->n_free_event, &en->plan);
    engine_metrics_gauges(en); /* with the pages that this step took, before it takes its time */
    if (en->plan.n_item == 0)
        return false;
    build_batch(en, &en->plan, &b);
    enum status st = model_step(en->model, &b, &logits, NULL);
    t.forward_ns = clock_ns();
    atomic_fetch_add_explicit(&en->steps, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&en->n_prefilled, en->plan.n_prefill, memory_order_relaxed);
    if (st == ST_OK)
        take_results(en, &en->plan, logits);
    else
        fail_plan(en, &en->plan, st);
    t.sample_ns = clock_ns();
    emit_flush(en);
    t.end_ns = clock_ns();
    engine_metrics_step(en, &en->plan, st, &t);
    return true;
}

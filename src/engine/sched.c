/* The scheduler: continuous batching, first come first served, prompts in chunks beside the decoding.
 *
 * Pure: it looks at lists, counts and pages, never at tokens, clocks or threads. */
#include "engine/engine_int.h"

void seq_list_init(struct seq_list *l)
{
    *l = (struct seq_list){.last = NULL};
    l->last = &l->first;
}

void seq_list_push(struct seq_list *l, struct seq *s)
{
    s->next = NULL;
    *l->last = s;
    l->last = &s->next;
    l->n++;
}

static bool seq_list_remove(struct seq_list *l, struct seq *s)
{
    for (struct seq **at = &l->first; *at; at = &(*at)->next) {
        if (*at != s)
            continue;
        *at = s->next;
        if (l->last == &s->next)
            l->last = at;
        l->n--;
        return true;
    }
    return false;
}

uint32_t seq_pages_needed(const struct sched_limits *l, uint32_t n_tok)
{
    return (n_tok + l->page_tokens - 1) / l->page_tokens;
}

void sched_admit(struct sched *s, uint64_t now_ns)
{
    struct seq *seq;
    while ((seq = s->waiting.first) && s->running.n < s->limits.max_running) {
        /* The last generated token is never computed: its keys are nobody's. */
        uint32_t need = seq_pages_needed(&s->limits, seq->n_prompt + seq->request.max_new_tokens - 1);
        if (!page_pool_reserve(&s->pages, need))
            return; /* the oldest waits at the head; nobody overtakes it */
        seq_list_remove(&s->waiting, seq);
        seq->n_reserved = need;
        seq->state = SEQ_RUNNING;
        seq->started_ns = now_ns;
        seq_list_push(&s->running, seq);
    }
}

static void plan_add(struct sched *s, struct plan *p, struct seq *seq, uint32_t n_tok)
{
    bool last = seq->n_computed + n_tok == seq->n_ids;
    while (seq->n_page < seq_pages_needed(&s->limits, seq->n_computed + n_tok)) {
        BUG_ON(seq->n_page == seq->n_reserved);
        seq->page[seq->n_page++] = page_pool_take(&s->pages);
    }
    p->item[p->n_item++] = (struct plan_item){seq, n_tok, last};
    p->n_tok += n_tok;
    p->n_out += last;
    if (seq->n_ids == seq->n_prompt)
        p->n_prefill += n_tok;
}

void sched_plan(struct sched *s, uint32_t may_emit, struct plan *p)
{
    p->n_item = p->n_tok = p->n_out = p->n_prefill = 0;
    for (struct seq *seq = s->running.first; seq; seq = seq->next)
        if (seq->n_ids > seq->n_prompt && p->n_out < may_emit)
            plan_add(s, p, seq, 1);
    for (struct seq *seq = s->running.first; seq; seq = seq->next) {
        if (seq->n_ids > seq->n_prompt || p->n_prefill == s->limits.max_prefill_rows)
            continue;
        uint32_t left = seq->n_ids - seq->n_computed, room = s->limits.max_prefill_rows - p->n_prefill;
        if (left <= room && p->n_out >= may_emit)
            continue;
        plan_add(s, p, seq, left < room ? left : room);
    }
}

void sched_remove(struct sched *s, struct seq *seq)
{
    if (seq->state == SEQ_WAITING) {
        BUG_ON(!seq_list_remove(&s->waiting, seq));
        return;
    }
    BUG_ON(!seq_list_remove(&s->running, seq));
    for (uint32_t i = 0; i < seq->n_page; i++)
        page_pool_give(&s->pages, seq->page[i]);
    page_pool_unreserve(&s->pages, seq->n_reserved);
    seq->n_page = seq->n_reserved = 0;
}

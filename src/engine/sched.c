/* The scheduler: continuous batching, first come first served, prompts in chunks beside the decoding, pages
 * on demand.
 *
 * The running list is in order of arrival and every running sequence is older than every waiting one. The
 * oldest can always have the page it needs, at the cost of the youngest: so it always finishes, and then the
 * next is the oldest. */
#include "base/map.h"
#include "engine/sched_int.h"

/* ---- lists ---- */

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

static void seq_list_push_front(struct seq_list *l, struct seq *s)
{
    s->next = l->first;
    if (!l->first)
        l->last = &s->next;
    l->first = s;
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

static struct seq *seq_list_youngest(const struct seq_list *l)
{
    struct seq *s = l->first;
    while (s && s->next)
        s = s->next;
    return s;
}

/* ---- prefixes ---- */

struct page_key page_key_root(const uint64_t secret[2], const uint64_t salt[2])
{
    return page_key_next(secret, (struct page_key){{salt[0], salt[1]}}, NULL, 0);
}

struct page_key page_key_next(const uint64_t secret[2], struct page_key parent, const int32_t *ids,
                              uint32_t n)
{
    struct page_key key;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t own = ids ? hash_bytes(ids, n * sizeof *ids, secret[i]) : 0;
        key.half[i] = hash_bytes((uint64_t[]){parent.half[0], parent.half[1], own}, 24, ~secret[i]);
    }
    return key;
}

/* Computes the keys of the first n pages that are not known yet; their tokens are. */
static void know_keys(const struct sched *s, struct seq *seq, uint32_t n)
{
    uint32_t tokens = s->limits.page_tokens;
    for (; seq->n_key < n; seq->n_key++) {
        uint32_t k = seq->n_key;
        struct page_key parent = k ? seq->key[k - 1] : page_key_root(s->secret, seq->request.cache_salt);
        seq->key[k] = page_key_next(s->secret, parent, seq->ids + (size_t)k * tokens, tokens);
    }
}

/* Holds the pages that already have the sequence's first tokens. At least one token is left to compute, and
 * all of them when the prompt's logits are wanted. */
static void find_prefix(struct sched *s, struct seq *seq)
{
    uint32_t known = seq->first_out < seq->n_ids - 1 ? seq->first_out : seq->n_ids - 1;
    uint32_t n = known / s->limits.page_tokens, page;
    if (!s->reuse)
        return;
    know_keys(s, seq, n);
    while (seq->n_page < n && (page = page_find(&s->pages, seq->key[seq->n_page])) != PAGE_NONE) {
        page_hold(&s->pages, page);
        seq->page[seq->n_page++] = page;
    }
    seq->n_published = seq->n_page;
    seq->n_computed = seq->n_page * s->limits.page_tokens;
}

void sched_computed(struct sched *s, struct seq *seq, uint32_t n_computed)
{
    seq->n_computed = n_computed;
    uint32_t full = n_computed / s->limits.page_tokens;
    if (!s->reuse || full <= seq->n_published)
        return;
    know_keys(s, seq, full);
    for (; seq->n_published < full; seq->n_published++)
        page_publish(&s->pages, seq->page[seq->n_published], seq->key[seq->n_published]);
}

/* ---- pages ---- */

uint32_t seq_pages_needed(const struct sched_limits *l, uint32_t n_tok)
{
    return (n_tok + l->page_tokens - 1) / l->page_tokens;
}

static void drop_pages(struct sched *s, struct seq *seq)
{
    while (seq->n_page)
        page_drop(&s->pages, seq->page[--seq->n_page]);
    seq->n_computed = seq->n_published = 0;
}

/* The youngest sequence steps back for older ones. */
static void set_back(struct sched *s, struct seq *seq)
{
    BUG_ON(!seq_list_remove(&s->running, seq));
    drop_pages(s, seq);
    seq->n_draft = 0;
    seq->state = SEQ_WAITING;
    seq_list_push_front(&s->waiting, seq);
    s->n_set_back++;
}

/* Takes pages for positions below `end`; returns how far they reach. */
static uint32_t take_pages(struct sched *s, struct seq *seq, uint32_t end)
{
    while (seq->n_page < seq_pages_needed(&s->limits, end)) {
        uint32_t page = page_take(&s->pages);
        if (page != PAGE_NONE) {
            seq->page[seq->n_page++] = page;
            continue;
        }
        struct seq *youngest = seq_list_youngest(&s->running);
        if (youngest == seq)
            return seq->n_page * s->limits.page_tokens;
        set_back(s, youngest);
    }
    return end;
}

/* ---- admission ---- */

/* Pages that running sequences still need for tokens they know. */
static uint32_t pages_owed(const struct sched *s)
{
    uint32_t owed = 0;
    for (const struct seq *seq = s->running.first; seq; seq = seq->next) {
        uint32_t need = seq_pages_needed(&s->limits, seq->n_ids);
        owed += need > seq->n_page ? need - seq->n_page : 0;
    }
    return owed;
}

void sched_admit(struct sched *s, uint64_t now_ns)
{
    struct seq *seq;
    uint32_t owed = s->waiting.n && s->running.n < s->limits.max_running ? pages_owed(s) : 0;
    while ((seq = s->waiting.first) && s->running.n < s->limits.max_running) {
        find_prefix(s, seq);
        uint32_t need = seq_pages_needed(&s->limits, seq->n_ids) - seq->n_page;
        if (need + owed > page_pool_available(&s->pages)) {
            drop_pages(s, seq);
            return; /* the oldest waits at the head; nobody overtakes it */
        }
        if (!seq->started_ns) {
            seq->n_reused = seq->n_computed;
            s->n_reused += seq->n_computed;
            s->n_looked_up += seq->n_prompt;
            seq->started_ns = now_ns;
        }
        owed += need;
        BUG_ON(!seq_list_remove(&s->waiting, seq));
        seq->state = SEQ_RUNNING;
        seq_list_push(&s->running, seq);
    }
}

/* ---- the plan ---- */

static bool is_decoding(const struct seq *seq)
{
    return seq->n_ids > seq->n_prompt && seq->n_computed + 1 == seq->n_ids;
}

static uint32_t outputs(const struct seq *seq, uint32_t n_tok)
{
    uint32_t end = seq->n_computed + n_tok, from = seq->n_computed;
    from = seq->first_out > from ? seq->first_out : from;
    return end > from ? end - from : 0;
}

/* How many positions of the sequence this step may carry. */
static uint32_t share(const struct sched *s, const struct plan *p, const struct seq *seq, uint32_t may_emit)
{
    uint32_t left = seq->n_ids + seq->n_draft - seq->n_computed;
    uint32_t may = may_emit - p->n_event;
    if (is_decoding(seq))
        return left <= may ? left : may;
    uint32_t room = s->limits.max_prefill_rows - p->n_prefill, n = left < room ? left : room;
    if (seq->first_out + 1 < seq->n_ids) { /* the prompt's own logits */
        uint32_t skip = seq->first_out > seq->n_computed ? seq->first_out - seq->n_computed : 0;
        uint32_t most = skip + s->limits.max_scored_rows - p->n_scored;
        n = n < most ? n : most;
    }
    return n == left && may == 0 ? n - 1 : n;
}

static void plan_add(struct plan *p, struct seq *seq, uint32_t n_tok)
{
    struct plan_item item = {seq, n_tok, outputs(seq, n_tok)};
    uint32_t end = seq->n_computed + n_tok, events = end >= seq->n_ids ? end - seq->n_ids + 1 : 0;
    p->n_prefill += is_decoding(seq) ? 0 : n_tok;
    p->item[p->n_item++] = item;
    p->n_tok += n_tok;
    p->n_out += item.n_out;
    p->n_event += events;
    p->n_scored += item.n_out - events;
}

void sched_plan(struct sched *s, uint32_t may_emit, struct plan *p)
{
    p->n_item = p->n_tok = p->n_out = p->n_prefill = p->n_event = p->n_scored = 0;
    for (struct seq *seq = s->running.first; seq; seq = seq->next) {
        uint32_t n = share(s, p, seq, may_emit);
        uint32_t end = n ? take_pages(s, seq, seq->n_computed + n) : 0;
        if (end > seq->n_computed)
            plan_add(p, seq, end - seq->n_computed);
    }
}

void sched_remove(struct sched *s, struct seq *seq)
{
    if (seq->state == SEQ_WAITING) {
        BUG_ON(!seq_list_remove(&s->waiting, seq));
        return;
    }
    BUG_ON(!seq_list_remove(&s->running, seq));
    drop_pages(s, seq);
}

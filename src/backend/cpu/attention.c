/* Attention over the paged KV store.
 *
 * An item is a few consecutive rows of one sequence and one KV head; all query heads that read that head are
 * folded into it, so that keys and values pass once for all of them. For each split of 256 positions, counted
 * from 0, an item computes scores, weights and a weighted sum of its own, and merges them in order: prefill
 * and decode run the same loop. A row's chain covers exactly the positions that it sees, in order; what else
 * is in its item does not matter. Nothing outside a row's positions is ever multiplied, so stale numbers in a
 * page cannot leak. A store of smaller numbers is made float32 a split at a time, so that one kernel serves
 * all. */
#include "backend/cpu/cpu_int.h"
#include <math.h>
#include <string.h>

#define QUERIES_MAX  64 /* rows x heads of one pass */
#define SPLIT_BLOCKS (ATTENTION_SPLIT_TOKENS / PANEL_COLS)

_Static_assert(CPU_PAGE_TOKENS == PANEL_COLS, "a page is one panel of keys");
_Static_assert(ATTENTION_SPLIT_TOKENS % CPU_PAGE_TOKENS == 0, "splits end where pages end");

/* The queries of one pass: query i belongs to row i / n_head of the item and its head i % n_head. */
struct pass {
    const struct run *run;
    const struct op_attention *op;
    const struct kv *kv;
    uint32_t seq, row, n_row;
    uint32_t kv_head, head, n_head;  /* first query head and how many */
    float *queries;                  /* interleaved in tiles, scaled */
    float *score;                    /* [n_query][256] */
    float *part, *sum;               /* [n_query][d_value]: of this split, of all splits so far */
    float *max, *total;              /* [n_query] of all splits so far */
    float *widened;                  /* [16 * 16][d_value]: keys or values of a split, where they need it */
    enum elem_type type;             /* of the panels */
    const void *panel[SPLIT_BLOCKS]; /* keys, then values of the split's blocks */
};

/* Positions [begin, end). */
struct span {
    uint32_t begin, end;
};

static struct span span_meet(struct span a, struct span b)
{
    struct span s = {a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};
    if (s.end < s.begin)
        s.end = s.begin;
    return s;
}

static struct span visible(const struct pass *a, uint32_t row)
{
    uint32_t end = a->run->in->pos[a->row + row] + 1, window = a->op->window;
    return (struct span){window && end > window ? end - window : 0, end};
}

/* What kernels multiply as it lies; all else becomes float32 first. */
static bool is_direct(enum elem_type kv_type)
{
    return kv_type == ELEM_F32 || kv_type == ELEM_BF16;
}

static uint32_t rows_per_item(const struct op_attention *o)
{
    uint32_t group = o->n_head / o->n_kv_head;
    return group >= QUERIES_MAX ? 1 : QUERIES_MAX / group;
}

static size_t padded(uint32_t d)
{
    return round_up(d, PANEL_COLS);
}

enum status attention_reserve(struct cpu *cpu, const struct program *p, const struct op_attention *o,
                              struct err *e)
{
    size_t d = padded(o->d_head);
    size_t floats = QUERIES_MAX * (d + ATTENTION_SPLIT_TOKENS + 2 * d + 2);
    if (!is_direct(p->kv->type))
        floats += ATTENTION_SPLIT_TOKENS * d;
    enum status st = ST_OK;
    for (unsigned m = 0; m < cpu->n_member && st == ST_OK; m++)
        st = scratch_reserve(&cpu->member[m].attention, floats * sizeof(float), e);
    return st;
}

static void load_queries(struct pass *a)
{
    uint32_t n_query = a->n_row * a->n_head, d = a->op->d_head,
             tile = a->run->cpu->level->linear_f32->max_rows;
    for (uint32_t first = 0; first < n_query; first += tile) {
        uint32_t n = n_query - first < tile ? n_query - first : tile;
        float *to = a->queries + (size_t)first * d;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t row = a->row + (first + i) / a->n_head, head = a->head + (first + i) % a->n_head;
            const float *q = run_row(a->run, a->op->q, row) + (size_t)head * d;
            for (uint32_t k = 0; k < d; k++)
                to[(size_t)k * n + i] = q[k] * a->op->scale;
        }
    }
}

enum part { KEYS, VALUES };

/* Keys or values of the blocks, float32 or bf16: where they lie, or made float32. */
static void load_panels(struct pass *a, enum part part, uint32_t block, uint32_t n_block)
{
    const struct kv *kv = a->kv;
    const uint32_t *page = a->run->in->page + a->run->in->page_begin[a->seq];
    for (uint32_t b = 0; b < n_block; b++) {
        uint8_t *base = kv_block(kv, a->op->layer, page[block + b], a->kv_head);
        const uint8_t *codes = part == KEYS ? base : base + kv->key_bytes;
        a->panel[b] = codes;
        if (is_direct(kv->type))
            continue;
        const struct block_scales *scales = kv_scales(kv, a->op->layer, base);
        struct dequantise_tile tile = {
            .type = kv->type,
            .x = codes,
            .y = a->widened + (size_t)b * PANEL_COLS * kv->d_value,
            .n_row = part == KEYS ? a->op->d_head : CPU_PAGE_TOKENS,
            .n_col = part == KEYS ? PANEL_COLS : kv->d_value,
            .by_row = part == VALUES,
            .scale = part == KEYS ? scales->key : scales->value,
        };
        a->run->cpu->level->attention->dequantise(&tile);
        a->panel[b] = tile.y;
    }
}

/* Scores of all queries with the blocks' positions, into columns from 0. */
static void compute_scores(struct pass *a, uint32_t n_block)
{
    const struct linear_kernels *linear = a->run->cpu->level->linear_f32;
    uint32_t n_query = a->n_row * a->n_head, d = a->op->d_head;
    for (uint32_t first = 0; first < n_query; first += linear->max_rows) {
        uint32_t n = n_query - first < linear->max_rows ? n_query - first : linear->max_rows;
        struct linear_tile tile = {
            .a = a->queries + (size_t)first * d,
            .n_row = n,
            .k = d,
            .n_col = n_block * PANEL_COLS,
            .panels = a->panel,
            .y = a->score + (size_t)first * ATTENTION_SPLIT_TOKENS,
            .y_stride = ATTENTION_SPLIT_TOKENS,
        };
        linear->tile[a->type](&tile);
    }
}

/* Adds the values of columns `cols` to the parts of n queries. */
static void weigh(struct pass *a, uint32_t query, uint32_t n, struct span cols)
{
    const struct attention_kernels *kernels = a->run->cpu->level->attention;
    struct attention_tile tile = {
        .p = a->score + (size_t)query * ATTENTION_SPLIT_TOKENS,
        .p_stride = ATTENTION_SPLIT_TOKENS,
        .v = a->panel,
        .begin = cols.begin,
        .end = cols.end,
        .n_row = n,
        .d = a->kv->d_value,
        .acc = a->part + (size_t)query * a->kv->d_value,
    };
    if (cols.begin >= cols.end)
        return;
    if (a->type == ELEM_BF16)
        kernels->weigh_bf16(&tile);
    else
        kernels->weigh_f32(&tile);
}

/* Folds the split's part of one query into what came before it. */
static void merge(struct pass *a, uint32_t query, bool is_first, float max, float total)
{
    const struct elementwise_kernels *kernels = a->run->cpu->level->elementwise;
    uint32_t d = a->kv->d_value;
    float *sum = a->sum + (size_t)query * d, *part = a->part + (size_t)query * d;
    if (is_first) {
        memcpy(sum, part, d * sizeof *sum);
        a->max[query] = max;
        a->total[query] = total;
        return;
    }
    float top = max > a->max[query] ? max : a->max[query];
    float keep = expf(a->max[query] - top), take = expf(max - top);
    kernels->blend(sum, keep, part, take, d);
    a->total[query] = a->total[query] * keep + total * take;
    a->max[query] = top;
}

/* Scores become weights: columns outside the row's span count nothing. */
static void weights_of_row(struct pass *a, uint32_t row, struct span cols, uint32_t n_col, float *max,
                           float *total)
{
    for (uint32_t h = 0; h < a->n_head; h++) {
        uint32_t query = row * a->n_head + h;
        float *score = a->score + (size_t)query * ATTENTION_SPLIT_TOKENS;
        for (uint32_t c = 0; c < cols.begin; c++)
            score[c] = -INFINITY;
        for (uint32_t c = cols.end; c < n_col; c++)
            score[c] = -INFINITY;
        a->run->cpu->level->elementwise->softmax(score, n_col, &max[query], &total[query]);
    }
}

/* One split: `tokens` are its positions that any row sees. */
static void run_split(struct pass *a, struct span tokens)
{
    uint32_t block = tokens.begin / PANEL_COLS, n_block = ceil_div(tokens.end, PANEL_COLS) - block;
    uint32_t base = block * PANEL_COLS, n_col = n_block * PANEL_COLS, split = base / ATTENTION_SPLIT_TOKENS;
    struct span cols[QUERIES_MAX], common = {0, n_col};
    float max[QUERIES_MAX], total[QUERIES_MAX];
    uint32_t active = a->n_row, active_end = 0;
    load_panels(a, KEYS, block, n_block);
    compute_scores(a, n_block);
    load_panels(a, VALUES, block, n_block);
    for (uint32_t r = 0; r < a->n_row; r++) {
        struct span seen = span_meet(visible(a, r), tokens);
        cols[r] = (struct span){seen.begin - base, seen.end - base};
        if (seen.begin == seen.end)
            continue;
        weights_of_row(a, r, cols[r], n_col, max, total);
        common = span_meet(common, cols[r]);
        active = r < active ? r : active;
        active_end = r + 1;
    }
    memset(a->part, 0, (size_t)a->n_row * a->n_head * a->kv->d_value * sizeof *a->part);
    /* Each row's own columns before the common ones, the common ones together, the rest: in order for every
     * row. */
    for (uint32_t r = active; r < active_end; r++)
        weigh(a, r * a->n_head, a->n_head,
              (struct span){cols[r].begin, common.begin < cols[r].end ? common.begin : cols[r].end});
    weigh(a, active * a->n_head, (active_end - active) * a->n_head, common);
    for (uint32_t r = active; r < active_end; r++) {
        uint32_t begin = common.end > cols[r].begin ? common.end : cols[r].begin;
        weigh(a, r * a->n_head, a->n_head, (struct span){begin, cols[r].end});
        bool is_first = visible(a, r).begin / ATTENTION_SPLIT_TOKENS == split;
        for (uint32_t q = r * a->n_head; q < (r + 1) * a->n_head; q++)
            merge(a, q, is_first, max[q], total[q]);
    }
}

static void run_pass(struct pass *a)
{
    uint32_t end = visible(a, a->n_row - 1).end, d = a->op->d_head;
    load_queries(a);
    for (uint32_t t = visible(a, 0).begin; t < end;) {
        uint32_t split_end = (t / ATTENTION_SPLIT_TOKENS + 1) * ATTENTION_SPLIT_TOKENS;
        run_split(a, (struct span){t, end < split_end ? end : split_end});
        t = split_end;
    }
    for (uint32_t q = 0; q < a->n_row * a->n_head; q++) {
        float *y = run_row(a->run, a->op->y, a->row + q / a->n_head) + (size_t)(a->head + q % a->n_head) * d;
        a->run->cpu->level->elementwise->scale(y, a->sum + (size_t)q * a->kv->d_value, 1 / a->total[q], d);
    }
}

/* All query heads of the item's KV head, at most QUERIES_MAX queries at a time. */
static void run_item(const struct run *run, const struct op_attention *o, unsigned member, uint32_t seq,
                     uint32_t row, uint32_t n_row, uint32_t kv_head)
{
    uint32_t group = o->n_head / o->n_kv_head, at_once = group < QUERIES_MAX ? group : QUERIES_MAX;
    size_t d = padded(o->d_head);
    float *memory = run->cpu->member[member].attention.p;
    for (uint32_t h = 0; h < group; h += at_once) {
        struct pass a = {
            .run = run,
            .op = o,
            .kv = run->p->kv,
            .type = is_direct(run->p->kv->type) ? run->p->kv->type : ELEM_F32,
            .seq = seq,
            .row = row,
            .n_row = n_row,
            .kv_head = kv_head,
            .head = kv_head * group + h,
            .n_head = group - h < at_once ? group - h : at_once,
            .queries = memory,
            .score = memory + QUERIES_MAX * d,
            .part = memory + QUERIES_MAX * (d + ATTENTION_SPLIT_TOKENS),
            .sum = memory + QUERIES_MAX * (2 * d + ATTENTION_SPLIT_TOKENS),
            .max = memory + QUERIES_MAX * (3 * d + ATTENTION_SPLIT_TOKENS),
            .total = memory + QUERIES_MAX * (3 * d + ATTENTION_SPLIT_TOKENS + 1),
            .widened = memory + QUERIES_MAX * (3 * d + ATTENTION_SPLIT_TOKENS + 2),
        };
        run_pass(&a);
    }
}

/* Items are numbered sequence by sequence and taken from the last to the first: a prefill's late rows cost
 * most. The cursor over sequences only moves down. */
void attention_run(const struct run *run, const struct op_attention *o, struct ticket *ticket,
                   unsigned member)
{
    const struct batch *in = run->in;
    uint32_t rows = rows_per_item(o), n_item = 0, number, seq = in->n_seq;
    for (uint32_t s = 0; s < in->n_seq; s++)
        n_item += ceil_div(in->row_begin[s + 1] - in->row_begin[s], rows) * o->n_kv_head;
    uint32_t seq_first = n_item;
    while ((number = atomic_fetch_add_explicit(&ticket->next, 1, memory_order_relaxed)) < n_item) {
        uint32_t item = n_item - 1 - number;
        while (item < seq_first) {
            seq--;
            seq_first -= ceil_div(in->row_begin[seq + 1] - in->row_begin[seq], rows) * o->n_kv_head;
        }
        uint32_t row = in->row_begin[seq] + (item - seq_first) / o->n_kv_head * rows;
        uint32_t left = in->row_begin[seq + 1] - row;
        run_item(run, o, member, seq, row, left < rows ? left : rows, (item - seq_first) % o->n_kv_head);
    }
}

/* Linear operations: who multiplies what, and where the operands lie meanwhile.
 *
 * Activations are first interleaved into row tiles (and rounded, in bf16 compute). Then members take blocks
 * of weight panels from a ticket until none is left: a block stays in the core's L2 while all row tiles pass
 * over it, so that weights are read from memory once, whatever the number of rows. Only outputs are split,
 * never k: neither the number of members nor who takes which block can be seen in the result. */
#include "backend/cpu/cpu_int.h"

#define WIDE_PANELS      4 /* what a tile of few rows reads side by side */
#define BLOCK_PANELS_MAX 16
#define PRIVATE_MAX      8192 /* activations up to here are interleaved by every member for itself */
#define K_CHUNK          1024

struct linear_plan {
    const struct op_linear *op;
    uint32_t n_row, k, k_padded;
    uint32_t n_tile;       /* row tiles, their sizes differ by at most one */
    uint32_t block_panels; /* panels in an item */
    uint32_t n_row_part;   /* row tiles are dealt out in this many parts */
    uint32_t n_block;      /* over all weights of the operation */
};

static uint32_t part_panels(const struct linear_part *part)
{
    return ceil_div(part->weight->n_row, PANEL_COLS);
}

static uint32_t count_blocks(const struct op_linear *o, uint32_t block_panels)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n_part; i++)
        n += ceil_div(part_panels(&o->part[i]), block_panels);
    return n;
}

static struct linear_plan plan_linear(const struct cpu *cpu, const struct program *p,
                                      const struct op_linear *o)
{
    const struct value *x = &p->value[o->x];
    struct linear_plan plan = {.op = o, .n_row = x->n_row, .k = x->n_col, .n_row_part = 1};
    size_t widest = 1;
    uint32_t enough = 4 * cpu->n_member, block = WIDE_PANELS;
    plan.k_padded = cpu->linear->bf16_activations ? (x->n_col + 1) / 2 * 2 : x->n_col;
    plan.n_tile = ceil_div(x->n_row, cpu->linear->max_rows);
    for (uint32_t i = 0; i < o->n_part; i++)
        widest = o->part[i].weight->panel_bytes > widest ? o->part[i].weight->panel_bytes : widest;
    if (plan.n_tile > 1) {
        size_t fit = cpu->l2_bytes / 2 / widest;
        block = fit >= BLOCK_PANELS_MAX ? BLOCK_PANELS_MAX : fit < 2 ? 2 : (uint32_t)fit / 2 * 2;
    }
    while (block > 2 && count_blocks(o, block) < enough)
        block /= 2;
    plan.block_panels = block;
    plan.n_block = count_blocks(o, block);
    while (plan.n_block * plan.n_row_part < enough && plan.n_row_part * 8 <= plan.n_tile)
        plan.n_row_part *= 2;
    return plan;
}

static uint32_t tile_begin(const struct linear_plan *plan, uint32_t tile)
{
    return (uint32_t)((uint64_t)plan->n_row * tile / plan->n_tile);
}

static size_t input_bytes(const struct cpu *cpu, const struct linear_plan *plan)
{
    return (size_t)plan->n_row * plan->k_padded * (cpu->linear->bf16_activations ? 2 : 4);
}

static bool is_private(const struct linear_plan *plan)
{
    return (uint64_t)plan->n_row * plan->k <= PRIVATE_MAX;
}

/* One row of unrounded floats is interleaved as it lies. */
static bool is_in_place(const struct cpu *cpu, const struct linear_plan *plan)
{
    return plan->n_row == 1 && cpu->compute == COMPUTE_F32;
}

enum status linear_reserve(struct cpu *cpu, const struct program *p, const struct op_linear *o, struct err *e)
{
    struct linear_plan plan = plan_linear(cpu, p, o);
    enum status st = ST_OK;
    if (!is_private(&plan))
        st = scratch_reserve(&cpu->inputs, input_bytes(cpu, &plan), e);
    for (uint32_t i = 0; i < o->n_part; i++)
        for (unsigned m = 0; m < cpu->n_member && st == ST_OK; m++) {
            /* A smaller batch may use wider blocks than this one. */
            size_t block = plan.block_panels > WIDE_PANELS ? plan.block_panels : WIDE_PANELS;
            st = weight_scratch_reserve(&cpu->member[m], o->part[i].weight, block, e);
            if (st == ST_OK)
                st = scratch_reserve(&cpu->member[m].inputs,
                                     (PRIVATE_MAX + 2 * TILE_ROWS_MAX) * sizeof(float), e);
        }
    return st;
}

/* ---- activations ---- */

static void interleave(const struct run *run, const struct linear_plan *plan, void *to, uint32_t tile,
                       uint32_t k, uint32_t n_k)
{
    const struct elementwise_kernels *kernels = run->cpu->level->elementwise;
    uint32_t row = tile_begin(plan, tile), n_row = tile_begin(plan, tile + 1) - row;
    size_t at = (size_t)row * plan->k_padded + (size_t)k * n_row;
    const float *x = run_row(run, plan->op->x, row) + k;
    if (run->cpu->linear->bf16_activations)
        kernels->interleave_bf16((uint16_t *)to + at, x, plan->k, n_row, n_k);
    else
        kernels->interleave_f32((float *)to + at, x, plan->k, n_row, n_k, run->cpu->compute == COMPUTE_BF16);
}

static const void *prepare_inputs(const struct run *run, const struct linear_plan *plan, unsigned member)
{
    struct cpu *cpu = run->cpu;
    if (is_in_place(cpu, plan))
        return run_row(run, plan->op->x, 0);
    if (is_private(plan)) {
        void *to = cpu->member[member].inputs.p;
        for (uint32_t t = 0; t < plan->n_tile; t++)
            interleave(run, plan, to, t, 0, plan->k);
        return to;
    }
    uint32_t n_chunk = ceil_div(plan->k, K_CHUNK), begin, end;
    member_share(run, member, plan->n_tile * n_chunk, &begin, &end);
    for (uint32_t i = begin; i < end; i++) {
        uint32_t k = i % n_chunk * K_CHUNK, left = plan->k - k;
        interleave(run, plan, cpu->inputs.p, i / n_chunk, k, left < K_CHUNK ? left : K_CHUNK);
    }
    team_barrier(cpu->team);
    return cpu->inputs.p;
}

/* ---- products ---- */

struct linear_item {
    const struct linear_part *part;
    uint32_t panel, n_panel;
    uint32_t tile, tile_end;
};

static struct linear_item find_item(const struct linear_plan *plan, uint32_t number)
{
    uint32_t block = number / plan->n_row_part, row_part = number % plan->n_row_part;
    const struct linear_part *part = plan->op->part;
    for (;; part++) {
        uint32_t n = ceil_div(part_panels(part), plan->block_panels);
        if (block < n)
            break;
        block -= n;
    }
    uint32_t panel = block * plan->block_panels, left = part_panels(part) - panel;
    return (struct linear_item){
        .part = part,
        .panel = panel,
        .n_panel = left < plan->block_panels ? left : plan->block_panels,
        .tile = (uint32_t)((uint64_t)plan->n_tile * row_part / plan->n_row_part),
        .tile_end = (uint32_t)((uint64_t)plan->n_tile * (row_part + 1) / plan->n_row_part),
    };
}

/* One row by codes: multiplied as they are decoded. False, and nothing done, where that cannot be. */
static bool run_codes(const struct run *run, const struct linear_plan *plan, const struct linear_item *item,
                      const void *inputs, struct member *member)
{
    const struct weight *w = item->part->weight;
    if (!w->quant || plan->n_row != 1)
        return false;
    for (uint32_t p = item->panel; p < item->panel + item->n_panel; p++) {
        uint32_t first = p * PANEL_COLS, left = w->n_row - first;
        struct linear_tile row = {
            .a = inputs,
            .n_row = 1,
            .k = plan->k,
            .n_col = left < PANEL_COLS ? left : PANEL_COLS,
            .y = run_row(run, item->part->y, 0) + first,
            .bias = item->part->bias ? item->part->bias->vector + first : NULL,
            .accumulate = item->part->accumulate,
        };
        if (!quant_multiply_panel(run->cpu, w, weight_codes(w, p, member), &row))
            return false;
    }
    return true;
}

static void run_item(const struct run *run, const struct linear_plan *plan, const struct linear_item *item,
                     const void *inputs, struct member *member)
{
    const struct cpu *cpu = run->cpu;
    const struct weight *w = item->part->weight;
    uint32_t first = item->panel * PANEL_COLS, left = w->n_row - first, cols = item->n_panel * PANEL_COLS;
    size_t elem_bytes = cpu->linear->bf16_activations ? 2 : 4;
    struct linear_tile tile = {
        .k = plan->k,
        .n_col = left < cols ? left : cols,
        .w = weight_panels(cpu, w, item->panel, item->n_panel, member),
        .panel_bytes = w->panel_bytes,
        .y_stride = w->n_row,
        .bias = item->part->bias ? item->part->bias->vector + first : NULL,
        .accumulate = item->part->accumulate,
    };
    for (uint32_t t = item->tile; t < item->tile_end; t++) {
        uint32_t row = tile_begin(plan, t);
        tile.n_row = tile_begin(plan, t + 1) - row;
        tile.a = (const uint8_t *)inputs + (size_t)row * plan->k_padded * elem_bytes;
        tile.y = run_row(run, item->part->y, row) + first;
        cpu->linear->tile[w->store](&tile);
    }
}

void linear_run(const struct run *run, const struct op_linear *o, struct ticket *ticket, unsigned member)
{
    struct linear_plan plan = plan_linear(run->cpu, run->p, o);
    const void *inputs = prepare_inputs(run, &plan, member);
    uint32_t n_item = plan.n_block * plan.n_row_part, number;
    while ((number = atomic_fetch_add_explicit(&ticket->next, 1, memory_order_relaxed)) < n_item) {
        struct linear_item item = find_item(&plan, number);
        if (!run_codes(run, &plan, &item, inputs, &run->cpu->member[member]))
            run_item(run, &plan, &item, inputs, &run->cpu->member[member]);
    }
}

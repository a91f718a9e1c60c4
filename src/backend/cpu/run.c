/* Running a program: the whole list of operations in one region of the team.
 *
 * Every member walks the same list and does its share of each operation; a barrier between operations makes
 * what one wrote visible to all. Rows are split, or elements where rows do not depend on one another; a row's
 * sum is never split. Working memory is reserved before, nothing is allocated on the way. */
#include "backend/cpu/cpu_int.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct cpu *cpu_of(struct backend *b)
{
    return (struct cpu *)b;
}

/* ---- working memory ---- */

static enum status reserve_values(struct cpu *cpu, const struct program *p, struct err *e)
{
    if (p->n_value > cpu->n_value) {
        struct scratch *value = realloc(cpu->value, p->n_value * sizeof *value);
        if (!value)
            return err_set(e, ST_NO_MEMORY, "no memory for %u values", p->n_value);
        memset(value + cpu->n_value, 0, (p->n_value - cpu->n_value) * sizeof *value);
        cpu->value = value;
        cpu->n_value = p->n_value;
    }
    enum status st = ST_OK;
    for (uint32_t i = 0; i < p->n_value && st == ST_OK; i++)
        st =
            scratch_reserve(&cpu->value[i], (size_t)p->value[i].n_row * p->value[i].n_col * sizeof(float), e);
    return st;
}

enum status cpu_reserve(struct backend *b, const struct program *p, struct err *e)
{
    struct cpu *cpu = cpu_of(b);
    enum status st = reserve_values(cpu, p, e);
    if (st == ST_OK)
        st = scratch_reserve(&cpu->row_seq, p->n_tok * sizeof(uint32_t), e);
    if (st == ST_OK)
        st = scratch_reserve(&cpu->tickets, p->n_op * sizeof(struct ticket), e);
    for (uint32_t i = 0; i < p->n_op && st == ST_OK; i++)
        if (p->op[i].kind == OP_LINEAR)
            st = linear_reserve(cpu, p, &p->op[i].linear, e);
        else if (p->op[i].kind == OP_ATTENTION)
            st = attention_reserve(cpu, p, &p->op[i].attention, e);
    return st;
}

/* ---- operations: a member's share of each ---- */

static void run_embed(const struct run *run, const struct op_embed *o, unsigned member)
{
    uint32_t begin, end;
    member_share(run, member, run->p->n_tok, &begin, &end);
    for (uint32_t r = begin; r < end; r++)
        weight_row(run->cpu, o->table, (uint32_t)run->in->id[r], run_row(run, o->y, r));
}

static void run_rms_norm(const struct run *run, const struct op_rms_norm *o, unsigned member)
{
    const struct value *shape = &run->p->value[o->x];
    uint32_t begin, end;
    member_share(run, member, shape->n_row, &begin, &end);
    for (uint32_t r = begin; r < end; r++)
        run->cpu->level->elementwise->rms_norm(run_row(run, o->y, r), run_row(run, o->x, r), o->scale->vector,
                                               shape->n_col, o->eps);
}

static void run_rope_table(const struct run *run, const struct op_rope_table *o, unsigned member)
{
    uint32_t half = run->p->value[o->y].n_col / 2, begin, end;
    member_share(run, member, run->p->n_tok, &begin, &end);
    for (uint32_t r = begin; r < end; r++) {
        float *y = run_row(run, o->y, r), pos = (float)run->in->pos[r];
        for (uint32_t i = 0; i < half; i++) {
            float angle = pos * o->inv_freq->vector[i];
            y[i] = cosf(angle) * o->scale;
            y[half + i] = sinf(angle) * o->scale;
        }
    }
}

/* Shares are (row, KV head) pairs, each with the query heads of that group. */
static void run_rope_kv(const struct run *run, const struct op_rope_kv *o, unsigned member)
{
    const struct elementwise_kernels *kernels = run->cpu->level->elementwise;
    uint32_t group = o->n_head / o->n_kv_head, begin, end;
    member_share(run, member, run->p->n_tok * o->n_kv_head, &begin, &end);
    for (uint32_t i = begin; i < end; i++) {
        uint32_t row = i / o->n_kv_head, head = i % o->n_kv_head, pos = run->in->pos[row];
        const float *table = run_row(run, o->table, row);
        float *q = run_row(run, o->q, row) + (size_t)head * group * o->d_head;
        float *k = run_row(run, o->k, row) + (size_t)head * o->d_head;
        for (uint32_t j = 0; j < group; j++)
            kernels->rotate(q + (size_t)j * o->d_head, table, o->d_rope / 2);
        kernels->rotate(k, table, o->d_rope / 2);
        uint32_t page = run->in->page[run->in->page_begin[run->row_seq[row]] + pos / CPU_PAGE_TOKENS];
        kv_write(run->cpu, run->p->kv, o->layer, page, head, pos % CPU_PAGE_TOKENS, k,
                 run_row(run, o->v, row) + (size_t)head * o->d_head);
    }
}

/* Shares of an elementwise operation, in whole cache lines. */
static void element_share(const struct run *run, uint32_t value, unsigned member, size_t *begin, size_t *n)
{
    const struct value *shape = &run->p->value[value];
    size_t total = (size_t)shape->n_row * shape->n_col, line = 64 / sizeof(float);
    size_t n_line = (total + line - 1) / line, n_member = run->cpu->n_member;
    size_t end = n_line * (member + 1) / n_member * line;
    *begin = n_line * member / n_member * line;
    *n = (end < total ? end : total) - *begin;
}

static void run_gated_act(const struct run *run, const struct op_gated_act *o, unsigned member)
{
    size_t at, n;
    element_share(run, o->y, member, &at, &n);
    run->cpu->level->elementwise->gate_silu(run_row(run, o->y, 0) + at, run_row(run, o->gate, 0) + at,
                                            run_row(run, o->up, 0) + at, n);
}

static void run_add(const struct run *run, const struct op_add *o, unsigned member)
{
    size_t at, n;
    element_share(run, o->y, member, &at, &n);
    run->cpu->level->elementwise->add(run_row(run, o->y, 0) + at, run_row(run, o->x, 0) + at, n);
}

static void run_gather_rows(const struct run *run, const struct op_gather_rows *o, unsigned member)
{
    uint32_t begin, end;
    member_share(run, member, run->p->n_out, &begin, &end);
    for (uint32_t i = begin; i < end; i++)
        memcpy(run_row(run, o->y, i), run_row(run, o->x, run->in->out_row[i]),
               run->p->value[o->y].n_col * sizeof(float));
}

static void run_op(const struct run *run, uint32_t index, unsigned member)
{
    const struct op *op = &run->p->op[index];
    switch (op->kind) {
    case OP_EMBED:
        run_embed(run, &op->embed, member);
        break;
    case OP_RMS_NORM:
        run_rms_norm(run, &op->rms_norm, member);
        break;
    case OP_LINEAR:
        linear_run(run, &op->linear, &run->ticket[index], member);
        break;
    case OP_ROPE_TABLE:
        run_rope_table(run, &op->rope_table, member);
        break;
    case OP_ROPE_KV:
        run_rope_kv(run, &op->rope_kv, member);
        break;
    case OP_ATTENTION:
        attention_run(run, &op->attention, &run->ticket[index], member);
        break;
    case OP_GATED_ACT:
        run_gated_act(run, &op->gated_act, member);
        break;
    case OP_ADD:
        run_add(run, &op->add, member);
        break;
    case OP_GATHER_ROWS:
        run_gather_rows(run, &op->gather_rows, member);
        break;
    case OP_KIND_COUNT:
        BUG("no such operation");
    }
}

static void run_member(void *ctx, unsigned member)
{
    const struct run *run = ctx;
    for (uint32_t i = 0; i < run->p->n_op; i++) {
        run_op(run, i, member);
        if (i + 1 < run->p->n_op)
            team_barrier(run->cpu->team);
    }
}

enum status cpu_run(struct backend *b, const struct program *p, const struct batch *in, struct err *e)
{
    struct cpu *cpu = cpu_of(b);
    /* Free when the program fits what was reserved. */
    enum status st = cpu_reserve(b, p, e);
    if (st != ST_OK)
        return st;
    uint32_t *row_seq = cpu->row_seq.p;
    struct ticket *tickets = cpu->tickets.p;
    for (uint32_t s = 0; s < in->n_seq; s++)
        for (uint32_t r = in->row_begin[s]; r < in->row_begin[s + 1]; r++)
            row_seq[r] = s;
    for (uint32_t i = 0; i < p->n_op; i++)
        atomic_init(&tickets[i].next, 0);
    struct run run = {.cpu = cpu, .p = p, .in = in, .row_seq = row_seq, .ticket = tickets};
    team_run(cpu->team, run_member, &run);
    return ST_OK;
}

const float *cpu_read(struct backend *b, const struct program *p, uint32_t value)
{
    (void)p;
    return cpu_of(b)->value[value].p;
}

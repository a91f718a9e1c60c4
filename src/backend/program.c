/* Programs: building and checking them. A program is plain data in the step's arena; nothing here runs
 * anything. */
#include "backend/program.h"
#include <string.h>

static const char *const op_names[OP_KIND_COUNT] = {
    [OP_EMBED] = "embed",           [OP_RMS_NORM] = "rms_norm", [OP_LINEAR] = "linear",
    [OP_ROPE_TABLE] = "rope_table", [OP_ROPE_KV] = "rope_kv",   [OP_ATTENTION] = "attention",
    [OP_GATED_ACT] = "gated_act",   [OP_ADD] = "add",           [OP_GATHER_ROWS] = "gather_rows",
};

const char *op_kind_name(enum op_kind kind)
{
    return (unsigned)kind < OP_KIND_COUNT ? op_names[kind] : "unknown";
}

void program_init(struct program *p, struct arena *arena, struct kv *kv, uint32_t n_tok, uint32_t n_out)
{
    *p = (struct program){.arena = arena, .kv = kv, .n_tok = n_tok, .n_out = n_out};
}

/* Room for one more item in an arena array: doubles, leaving the old copy to die with the arena. */
static void *array_grow(struct program *p, void *items, uint32_t n, uint32_t *cap, size_t item_bytes)
{
    if (n < *cap)
        return items;
    uint32_t cap_new = *cap ? *cap * 2 : 256;
    void *grown = arena_array(p->arena, cap_new, item_bytes);
    if (!grown) {
        p->failed = true;
        return NULL;
    }
    if (n)
        memcpy(grown, items, n * item_bytes);
    *cap = cap_new;
    return grown;
}

uint32_t program_value(struct program *p, uint32_t n_row, uint32_t n_col)
{
    struct value *values = array_grow(p, p->value, p->n_value, &p->cap_value, sizeof *values);
    if (!values)
        return 0;
    p->value = values;
    values[p->n_value] = (struct value){.n_row = n_row, .n_col = n_col};
    return p->n_value++;
}

struct op *program_op(struct program *p, enum op_kind kind)
{
    static _Thread_local struct op scratch;
    struct op *ops = array_grow(p, p->op, p->n_op, &p->cap_op, sizeof *ops);
    struct op *op = &scratch;
    if (ops) {
        p->op = ops;
        op = &ops[p->n_op++];
    }
    memset(op, 0, sizeof *op);
    op->kind = kind;
    return op;
}

enum status program_check(const struct program *p, struct err *e)
{
    if (p->failed)
        return err_set(e, ST_NO_MEMORY, "the step's arena (%zu bytes) is too small for the forward pass",
                       p->arena->max_bytes);
    return ST_OK;
}

/* ---- validation: each operation's values exist and have the shapes that program.h states ---- */

struct shape_check {
    const struct program *p;
    bool ok;
};

static void expect(struct shape_check *c, uint32_t value, uint32_t n_row, uint32_t n_col)
{
    if (value >= c->p->n_value || c->p->value[value].n_row != n_row || c->p->value[value].n_col != n_col)
        c->ok = false;
}

static uint32_t cols(struct shape_check *c, uint32_t value)
{
    if (value >= c->p->n_value) {
        c->ok = false;
        return 0;
    }
    return c->p->value[value].n_col;
}

static uint32_t rows(struct shape_check *c, uint32_t value)
{
    if (value >= c->p->n_value) {
        c->ok = false;
        return 0;
    }
    return c->p->value[value].n_row;
}

static void check_linear(struct shape_check *c, const struct op_linear *o)
{
    if (o->n_part < 1 || o->n_part > LINEAR_MAX_PARTS) {
        c->ok = false;
        return;
    }
    for (uint32_t i = 0; i < o->n_part; i++) {
        expect(c, o->part[i].y, rows(c, o->x), cols(c, o->part[i].y));
        if (!o->part[i].weight || o->part[i].y == o->x)
            c->ok = false;
    }
}

static void check_rope_kv(struct shape_check *c, const struct op_rope_kv *o)
{
    uint32_t n = c->p->n_tok;
    expect(c, o->q, n, o->n_head * o->d_head);
    expect(c, o->k, n, o->n_kv_head * o->d_head);
    expect(c, o->v, n, o->n_kv_head * o->d_head);
    expect(c, o->table, n, o->d_rope);
    if (!c->p->kv || o->d_rope > o->d_head || o->d_rope % 2)
        c->ok = false;
}

static void check_attention(struct shape_check *c, const struct op_attention *o)
{
    expect(c, o->q, c->p->n_tok, o->n_head * o->d_head);
    expect(c, o->y, c->p->n_tok, o->n_head * o->d_head);
    if (!c->p->kv || o->q == o->y || o->n_kv_head == 0 || o->n_head % o->n_kv_head)
        c->ok = false;
}

static bool op_shapes_ok(const struct program *p, const struct op *op)
{
    struct shape_check c = {p, true};
    switch (op->kind) {
    case OP_EMBED:
        expect(&c, op->embed.y, p->n_tok, cols(&c, op->embed.y));
        break;
    case OP_RMS_NORM:
        expect(&c, op->rms_norm.y, rows(&c, op->rms_norm.x), cols(&c, op->rms_norm.x));
        break;
    case OP_LINEAR:
        check_linear(&c, &op->linear);
        break;
    case OP_ROPE_TABLE:
        expect(&c, op->rope_table.y, p->n_tok, cols(&c, op->rope_table.y));
        break;
    case OP_ROPE_KV:
        check_rope_kv(&c, &op->rope_kv);
        break;
    case OP_ATTENTION:
        check_attention(&c, &op->attention);
        break;
    case OP_GATED_ACT:
        expect(&c, op->gated_act.up, rows(&c, op->gated_act.gate), cols(&c, op->gated_act.gate));
        expect(&c, op->gated_act.y, rows(&c, op->gated_act.gate), cols(&c, op->gated_act.gate));
        break;
    case OP_ADD:
        expect(&c, op->add.y, rows(&c, op->add.x), cols(&c, op->add.x));
        break;
    case OP_GATHER_ROWS:
        expect(&c, op->gather_rows.x, p->n_tok, cols(&c, op->gather_rows.y));
        expect(&c, op->gather_rows.y, p->n_out, cols(&c, op->gather_rows.x));
        break;
    case OP_KIND_COUNT:
        c.ok = false;
        break;
    }
    return c.ok;
}

enum status program_validate(const struct program *p, struct err *e)
{
    for (uint32_t i = 0; i < p->n_op; i++)
        if (!op_shapes_ok(p, &p->op[i]))
            return err_set(e, ST_INTERNAL, "operation %u (%s) does not fit its values", i,
                           op_kind_name(p->op[i].kind));
    return program_check(p, e);
}

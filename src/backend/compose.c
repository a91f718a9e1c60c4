/* Composition: what a device lacks, built from what it has, on the same device.
 *
 * A program passes through unchanged when the device knows all its forms. Nothing moves to another device. */
#include "backend/backend.h"

static bool op_is_known(const struct op *op, const struct backend_caps *caps)
{
    if (!(caps->ops & 1u << op->kind))
        return false;
    if (op->kind != OP_LINEAR)
        return true;
    bool accumulates = false;
    for (uint32_t i = 0; i < op->linear.n_part; i++)
        accumulates |= op->linear.part[i].accumulate;
    return (caps->linear_parts || op->linear.n_part == 1) && (caps->linear_accumulate || !accumulates);
}

static bool program_is_known(const struct program *p, const struct backend_caps *caps)
{
    for (uint32_t i = 0; i < p->n_op; i++)
        if (!op_is_known(&p->op[i], caps))
            return false;
    return true;
}

/* One single-part linear for each part; an accumulating one goes through a value of its own and an add. */
static void compose_linear(const struct op_linear *in, const struct backend_caps *caps, struct program *out)
{
    for (uint32_t i = 0; i < in->n_part; i++) {
        struct linear_part part = in->part[i];
        bool via_add = part.accumulate && !caps->linear_accumulate;
        uint32_t target = part.y;
        if (via_add) {
            part.y = program_value(out, out->value[target].n_row, out->value[target].n_col);
            part.accumulate = false;
        }
        struct op *linear = program_op(out, OP_LINEAR);
        linear->linear = (struct op_linear){.x = in->x, .n_part = 1, .part = {part}};
        if (via_add) {
            struct op *add = program_op(out, OP_ADD);
            add->add = (struct op_add){.x = part.y, .y = target};
        }
    }
}

enum status program_compose(const struct program *in, const struct backend_caps *caps, struct program *out,
                            struct err *e)
{
    *out = *in;
    if (program_is_known(in, caps))
        return program_check(in, e);
    out->op = NULL;
    out->n_op = out->cap_op = 0;
    out->cap_value = out->n_value; /* growing copies: `in` keeps its own array */
    for (uint32_t i = 0; i < in->n_op; i++) {
        const struct op *op = &in->op[i];
        if (!(caps->ops & 1u << op->kind))
            return err_set(e, ST_UNSUPPORTED,
                           "device %s has no operation %s, and nothing else can stand in for it", caps->name,
                           op_kind_name(op->kind));
        if (op_is_known(op, caps))
            *program_op(out, op->kind) = *op;
        else
            compose_linear(&op->linear, caps, out);
    }
    return program_check(out, e);
}

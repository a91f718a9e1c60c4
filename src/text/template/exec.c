/* Statements: text is appended to the output as it comes; what a block captures is cut off its end again. */
#include "text/template/template_int.h"
#include <string.h>

/* ---- output ---- */

static void put_output(struct run *r, struct str s)
{
    run_spend_bytes(r, s.n);
    buf_put(r->out, s.p, s.n);
    if (r->out->failed)
        fail_limit(r, "the text is longer than %zu bytes", r->out->max);
}

void put_value(struct run *r, struct value v)
{
    put_output(r, value_text(value_to_str(r, v)));
}

struct value capture(struct run *r, size_t begin)
{
    struct str s = r->out->n > begin ? (struct str){r->out->p + begin, r->out->n - begin} : STR("");
    struct value v = value_str_copy(r, s);
    r->out->n = begin;
    return v;
}

/* ---- scopes ---- */

struct frame *frame_new(struct run *r, struct frame *parent, uint32_t n_slot)
{
    size_t n_bytes = sizeof(struct frame) + n_slot * sizeof(struct value);
    struct frame *f = run_alloc(r, n_bytes);
    memset(f, 0, n_bytes);
    f->parent = parent;
    return f;
}

void scope_enter(struct run *r, const struct scope *s)
{
    run_spend(r, s->n_load / 4);
    for (uint32_t i = 0; i < s->n_load; i++) {
        const struct load *l = &s->load[i];
        if (l->kind == LOAD_RESOLVE)
            r->frame->slot[l->slot] = resolve_global(r, l->name);
        else if (l->kind == LOAD_ALIAS)
            r->frame->slot[l->slot] = *slot_at(r, l->source);
        else if (l->kind == LOAD_UNDEFINED)
            r->frame->slot[l->slot] = MISSING;
    }
}

void scope_leave(struct run *r, const struct scope *s)
{
    for (uint32_t i = 0; i < s->n_load; i++)
        r->frame->slot[s->load[i].slot] = MISSING;
}

/* ---- assignment ---- */

static void assign_attr(struct run *r, const struct node *target, struct value v)
{
    struct value ns = *slot_at(r, target->place);
    if (str_has_prefix(target->attr, STR("_")))
        fail(r,
             "chat templates cannot store underscore-prefixed attributes on a namespace, but got '" STR_FMT
             "'",
             STR_ARG(target->attr));
    dict_put(r, &ns.ns->attrs, value_str(r, target->attr), v);
}

static void assign_tuple(struct run *r, const struct node *target, struct value v)
{
    uint32_t n = target->list[0].n;
    const struct list *l = NULL;
    if (v.kind == V_UNDEFINED || iterable(v))
        l = list_of(r, v);
    else
        fail(r, "cannot unpack non-iterable %s object", type_name(v));
    if (l->n != n)
        fail(r,
             l->n < n ? "not enough values to unpack (expected %u, got %u)"
                      : "too many values to unpack (expected %u, got %u)",
             n, l->n);
    for (uint32_t i = 0; i < n; i++)
        assign(r, target->list[0].at[i], l->at[i]);
}

void assign(struct run *r, const struct node *target, struct value v)
{
    if (target->type == N_NSREF) {
        assign_attr(r, target, v);
    } else if (target->type == N_TUPLE) {
        assign_tuple(r, target, v);
    } else {
        *slot_at(r, target->place) = v;
        if (target->toplevel && r->exports)
            r->exports[target->name] = v;
    }
}

/* Attributes may be set on namespaces only; that is checked before the value is computed. */
static void check_target(struct run *r, const struct node *target)
{
    if (target->type == N_NSREF && slot_at(r, target->place)->kind != V_NAMESPACE)
        fail(r, "cannot assign attribute on non-namespace object");
    for (uint32_t i = 0; i < target->list[0].n; i++)
        check_target(r, target->list[0].at[i]);
}

static void exec_assign(struct run *r, const struct node *n)
{
    check_target(r, n->x);
    assign(r, n->x, eval(r, n->y));
}

/* ---- blocks ---- */

static enum flow exec_if(struct run *r, const struct node *n)
{
    if (value_true(r, eval(r, n->x)))
        return exec_list(r, n->list[0]);
    for (uint32_t i = 0; i < n->list[1].n; i++) {
        const struct node *elif = n->list[1].at[i];
        if (value_true(r, eval(r, elif->x)))
            return exec_list(r, elif->list[0]);
    }
    return exec_list(r, n->list[2]);
}

static enum flow exec_with(struct run *r, const struct node *n)
{
    scope_enter(r, &n->scopes->body);
    for (uint32_t i = 0; i < n->list[0].n; i++)
        assign(r, n->list[0].at[i], eval(r, n->list[1].at[i]));
    enum flow flow = exec_list(r, n->list[2]);
    if (flow == FLOW_NEXT)
        scope_leave(r, &n->scopes->body);
    return flow;
}

static struct value filter_text(struct run *r, const struct node *filter, struct value text)
{
    struct value outer = r->block_text;
    r->block_text = text;
    struct value v = eval(r, filter);
    r->block_text = outer;
    return v;
}

/* Filter blocks and set blocks. A break or continue inside drops what was captured. */
static enum flow exec_capture(struct run *r, const struct node *n)
{
    size_t begin = r->out->n;
    const struct node *filter = n->type == N_FILTER_BLOCK ? n->x : n->y;
    scope_enter(r, &n->scopes->body);
    enum flow flow = exec_list(r, n->list[0]);
    struct value v = capture(r, begin);
    if (flow != FLOW_NEXT)
        return flow;
    if (n->type == N_ASSIGN_BLOCK)
        check_target(r, n->x);
    if (filter)
        v = filter_text(r, filter, v);
    if (n->type == N_ASSIGN_BLOCK)
        assign(r, n->x, v);
    else
        put_value(r, v);
    scope_leave(r, &n->scopes->body);
    return FLOW_NEXT;
}

static void exec_block(struct run *r, const struct node *n)
{
    struct frame *outer = r->frame;
    r->frame = frame_new(r, NULL, n->scopes->n_slot);
    scope_enter(r, &n->scopes->body);
    exec_list(r, n->list[0]);
    r->frame = outer;
}

static void exec_macro(struct run *r, const struct node *n)
{
    struct value m = macro_new(r, n);
    *slot_at(r, n->place) = m;
    if (n->toplevel && r->exports)
        r->exports[n->name] = m;
}

static void exec_call_block(struct run *r, const struct node *n)
{
    struct value caller = macro_new(r, n);
    if (n->x)
        put_value(r, call_node(r, n->x, &(struct keyword){STR("caller"), caller}));
    else
        put_value(r, macro_call(r, caller.macro, &(struct call){0}));
}

static void exec_output(struct run *r, const struct node *n)
{
    for (uint32_t i = 0; i < n->list[0].n; i++) {
        const struct node *part = n->list[0].at[i];
        r->line = part->line;
        if (part->type == N_TEXT)
            put_output(r, value_text(part->value));
        else
            put_value(r, eval(r, part));
    }
}

static enum flow exec(struct run *r, const struct node *n)
{
    r->line = n->line;
    switch (n->type) {
    case N_OUTPUT:
        exec_output(r, n);
        return FLOW_NEXT;
    case N_FOR:
        return exec_for(r, n);
    case N_IF:
        return exec_if(r, n);
    case N_MACRO:
        exec_macro(r, n);
        return FLOW_NEXT;
    case N_CALL_BLOCK:
        exec_call_block(r, n);
        return FLOW_NEXT;
    case N_FILTER_BLOCK:
    case N_ASSIGN_BLOCK:
        return exec_capture(r, n);
    case N_WITH:
        return exec_with(r, n);
    case N_BLOCK:
        exec_block(r, n);
        return FLOW_NEXT;
    case N_ASSIGN:
        exec_assign(r, n);
        return FLOW_NEXT;
    case N_BREAK:
        return FLOW_BREAK;
    case N_CONTINUE:
        return FLOW_CONTINUE;
    default:
        BUG("node %d is no statement", n->type);
    }
}

enum flow exec_list(struct run *r, struct nodes body)
{
    enum flow flow = FLOW_NEXT;
    run_enter(r);
    for (uint32_t i = 0; i < body.n && flow == FLOW_NEXT; i++) {
        run_step(r);
        flow = exec(r, body.at[i]);
    }
    run_leave(r);
    return flow;
}

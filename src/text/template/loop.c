/* `for` and the `loop` variable. The iterable is read one value at a time, as Python does: loop.last and
 * loop.nextitem look one ahead, loop.length reads what has no length to its end. */
#include "text/template/template_int.h"

/* ---- the test of a loop ---- */

struct test_state {
    const struct node *node;
    struct frame *frame;
};

/* Rebuilds what the target holds, as Python's generated generator yields it. */
static struct value target_value(struct run *r, const struct node *target)
{
    if (target->type != N_TUPLE)
        return *slot_at(r, target->place);
    struct list_maker m = {.r = r};
    for (uint32_t i = 0; i < target->list[0].n; i++)
        list_add(&m, target_value(r, target->list[0].at[i]));
    return value_list(V_TUPLE, list_done(&m));
}

static bool next_tested(struct run *r, struct iter *it, struct value *out)
{
    const struct test_state *s = it->self;
    const struct node *n = s->node;
    struct frame *outer = r->frame;
    bool found = false;
    r->frame = s->frame;
    if (!it->started) {
        it->started = true;
        scope_enter(r, &n->scopes->test);
        it->from = iter_new(r, it->source);
    }
    while (!found && iter_next(r, it->from, out)) {
        assign(r, n->scopes->test_target, *out);
        found = value_true(r, eval(r, n->z));
        if (found)
            *out = target_value(r, n->scopes->test_target);
    }
    r->frame = outer;
    return found;
}

static struct value tested(struct run *r, const struct node *n, struct frame *lexical, struct value iterable)
{
    struct test_state *s = run_alloc(r, sizeof *s);
    *s = (struct test_state){n, frame_new(r, lexical, n->scopes->n_test_slot)};
    return value_iter(iter_make(r, "generator", next_tested, iterable, s));
}

/* ---- running ---- */

static bool loop_next(struct run *r, struct loop *l)
{
    struct value v = l->after;
    if (!given(v) && !iter_next(r, l->it, &v))
        return false;
    l->after = MISSING;
    l->index0++;
    l->before = l->current;
    l->current = v;
    return true;
}

/* The loop in the frame that is already there. */
static enum flow run_loop(struct run *r, const struct node *n, struct loop *l)
{
    const struct node_scopes *scopes = n->scopes;
    struct value loop_value = {.kind = V_LOOP, .loop = l};
    bool completed = false;
    while (loop_next(r, l)) {
        assign(r, n->x, l->current);
        if (scopes->loop.slot != NO_SLOT)
            *slot_at(r, scopes->loop) = loop_value;
        scope_enter(r, &scopes->body);
        enum flow flow = exec_list(r, n->list[0]);
        completed |= flow == FLOW_NEXT;
        if (flow == FLOW_BREAK)
            break;
    }
    scope_leave(r, &scopes->body);
    if (completed || !n->list[1].n)
        return FLOW_NEXT;
    scope_enter(r, &scopes->other);
    enum flow flow = exec_list(r, n->list[1]);
    scope_leave(r, &scopes->other);
    return flow;
}

static enum flow start_loop(struct run *r, const struct node *n, struct frame *lexical, struct value iterable,
                            int64_t depth0)
{
    struct frame *outer = r->frame;
    struct loop *l = run_alloc(r, sizeof *l);
    if (n->z)
        iterable = tested(r, n, lexical, iterable);
    *l = (struct loop){
        .node = n, .lexical = lexical, .iterable = iterable, .index0 = -1, .length = -1, .depth0 = depth0};
    l->it = iter_new(r, iterable);
    if (n->flag)
        r->frame = frame_new(r, lexical, n->scopes->n_slot);
    enum flow flow = run_loop(r, n, l);
    r->frame = outer;
    return flow;
}

enum flow exec_for(struct run *r, const struct node *n)
{
    return start_loop(r, n, r->frame, eval(r, n->y), 0);
}

struct value loop_call(struct run *r, struct loop *l, const struct call *c)
{
    if (!l->node->flag)
        fail(r, "The loop must have the 'recursive' marker to be called recursively.");
    if (c->n_arg != 1 || c->n_kw)
        fail(r, "loop() takes one argument");
    size_t begin = r->out->n;
    run_enter(r);
    start_loop(r, l->node, l->lexical, c->arg[0], l->depth0 + 1);
    run_leave(r);
    return capture(r, begin);
}

/* ---- the variable ---- */

static int64_t length(struct run *r, struct loop *l)
{
    if (l->length >= 0 || value_len(r, l->iterable, &l->length))
        return l->length;
    struct list_maker m = {.r = r};
    struct value v;
    while (iter_next(r, l->it, &v))
        list_add(&m, v);
    l->it = iter_new(r, value_list(V_LIST, list_done(&m)));
    l->length = (int64_t)m.n + l->index0 + 1 + given(l->after);
    return l->length;
}

static bool peek(struct run *r, struct loop *l)
{
    struct value v;
    if (!given(l->after) && iter_next(r, l->it, &v))
        l->after = v;
    return given(l->after);
}

struct value loop_attr(struct run *r, struct loop *l, struct str name)
{
    if (str_eq(name, STR("index0")))
        return value_int(l->index0);
    if (str_eq(name, STR("index")))
        return value_int(l->index0 + 1);
    if (str_eq(name, STR("first")))
        return value_bool(l->index0 == 0);
    if (str_eq(name, STR("last")))
        return value_bool(!peek(r, l));
    if (str_eq(name, STR("length")))
        return value_int(length(r, l));
    if (str_eq(name, STR("revindex")))
        return value_int(length(r, l) - l->index0);
    if (str_eq(name, STR("revindex0")))
        return value_int(length(r, l) - l->index0 - 1);
    if (str_eq(name, STR("depth")))
        return value_int(l->depth0 + 1);
    if (str_eq(name, STR("depth0")))
        return value_int(l->depth0);
    if (str_eq(name, STR("previtem")))
        return l->index0 == 0 ? value_undefined(r, "there is no previous item") : l->before;
    if (str_eq(name, STR("nextitem")))
        return peek(r, l) ? l->after : value_undefined(r, "there is no next item");
    return MISSING;
}

static struct value loop_cycle(struct run *r, struct value *arg, const struct call *c)
{
    if (c->n_kw || c->n_arg < 2)
        fail(r, "no items for cycling given");
    return arg[1 + arg[0].loop->index0 % (c->n_arg - 1)];
}

static struct value loop_changed(struct run *r, struct value *arg, const struct call *c)
{
    struct loop *l = arg[0].loop;
    struct list *now = run_alloc(r, sizeof *now);
    if (c->n_kw)
        fail(r, "changed() takes no keyword arguments");
    *now = (struct list){.n = c->n_arg - 1, .at = arg + 1};
    struct value v = value_list(V_TUPLE, now);
    bool changed = !given(l->changed) || !value_equal(r, l->changed, v);
    l->changed = v;
    return value_bool(changed);
}

const struct native methods_loop[] = {
    {"cycle", NULL, 0, loop_cycle},
    {"changed", NULL, 0, loop_changed},
    {NULL, NULL, 0, NULL},
};

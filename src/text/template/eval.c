/* Expressions to values: a walk over the tree. Its depth is bounded by the tree's height and by run_enter()
 * around everything that may call back. */
#include "text/template/template_int.h"
#include <string.h>

/* ---- names ---- */

struct value *slot_at(struct run *r, struct place p)
{
    struct frame *f = r->frame;
    for (unsigned up = p.up; up; up--)
        f = f->parent;
    return &f->slot[p.slot];
}

static struct value look_up(struct run *r, struct str name)
{
    for (size_t i = r->ctx->n_vars; i > 0; i--) {
        const struct template_var *v = &r->ctx->vars[i - 1];
        if (!str_eq(v->name, name))
            continue;
        if (v->is_text)
            return value_str(r, v->text);
        return v->json ? value_from_json(r, v->json) : NONE;
    }
    const struct native *g = native_find(globals_table, name);
    return g ? (struct value){.kind = V_GLOBAL, .native = g} : MISSING;
}

struct value resolve_global(struct run *r, uint32_t name)
{
    if (r->exports && given(r->exports[name]))
        return r->exports[name];
    if (!r->looked_up[name]) {
        r->globals[name] = look_up(r, r->t->names[name]);
        r->looked_up[name] = true;
    }
    return r->globals[name];
}

static struct value eval_name(struct run *r, const struct node *n)
{
    struct value v = *slot_at(r, n->place);
    return given(v) ? v : value_undefined(r, "'" STR_FMT "' is undefined", STR_ARG(n->attr));
}

/* ---- literals ---- */

static struct value eval_items(struct run *r, const struct node *n)
{
    struct list *l = run_alloc(r, sizeof *l);
    *l = (struct list){.n = n->list[0].n, .at = run_alloc(r, (n->list[0].n + 1) * sizeof *l->at)};
    for (uint32_t i = 0; i < l->n; i++)
        l->at[i] = eval(r, n->list[0].at[i]);
    return value_list(n->type == N_LIST ? V_LIST : V_TUPLE, l);
}

static struct value eval_dict(struct run *r, const struct node *n)
{
    struct dict *d = dict_new(r);
    for (uint32_t i = 0; i < n->list[0].n; i++) {
        struct value key = eval(r, n->list[0].at[i]);
        dict_put(r, d, key, eval(r, n->list[1].at[i]));
    }
    return value_dict(d);
}

/* ---- calls ---- */

static void add_keyword(struct run *r, struct call *c, struct str name, struct value v)
{
    for (uint32_t i = 0; i < c->n_kw; i++)
        if (str_eq(c->kw[i].name, name))
            fail(r, "got multiple values for keyword argument '" STR_FMT "'", STR_ARG(name));
    c->kw[c->n_kw++] = (struct keyword){name, v};
}

void eval_args(struct run *r, const struct node *n, const struct value *first, const struct keyword *extra,
               struct call *c)
{
    struct list_maker args = {.r = r};
    if (first)
        list_add(&args, *first);
    for (uint32_t i = 0; i < n->list[0].n; i++)
        list_add(&args, eval(r, n->list[0].at[i]));
    if (n->y) {
        const struct list *more = list_of(r, eval(r, n->y));
        for (uint32_t i = 0; i < more->n; i++)
            list_add(&args, more->at[i]);
    }
    *c = (struct call){.arg = args.at, .n_arg = args.n};
    if (!n->list[1].n && !extra && !n->z)
        return;
    struct value named = n->z ? eval(r, n->z) : NONE;
    if (n->z && named.kind != V_DICT)
        fail(r, "argument after ** must be a mapping, not %s", type_name(named));
    uint32_t cap = n->list[1].n + (n->z ? named.dict->n : 0) + 1;
    if (cap > 1000)
        fail_limit(r, "more than 1000 keyword arguments");
    c->kw = run_alloc(r, cap * sizeof *c->kw);
    for (uint32_t i = 0; i < n->list[1].n; i++)
        add_keyword(r, c, n->list[1].at[i]->attr, eval(r, n->list[1].at[i]->x));
    if (extra)
        add_keyword(r, c, extra->name, extra->value);
    for (uint32_t i = 0; n->z && i < named.dict->n; i++)
        add_keyword(r, c, want_str(r, named.dict->key[i], "a keyword"), named.dict->val[i]);
}

static struct value call_method(struct run *r, const struct method *m, const struct call *c)
{
    struct call with_self = *c;
    with_self.n_arg = c->n_arg + 1;
    with_self.arg = run_alloc(r, with_self.n_arg * sizeof *with_self.arg);
    with_self.arg[0] = m->self;
    if (c->n_arg)
        memcpy(with_self.arg + 1, c->arg, c->n_arg * sizeof *c->arg);
    return native_call(r, m->native, &with_self);
}

static struct value call_joiner(struct run *r, struct joiner *j, const struct call *c)
{
    if (c->n_arg || c->n_kw)
        fail(r, "a joiner takes no arguments");
    bool used = j->used;
    j->used = true;
    return used ? j->separator : value_ascii("");
}

struct value call_value(struct run *r, struct value f, const struct call *c)
{
    switch (f.kind) {
    case V_METHOD:
        return call_method(r, f.method, c);
    case V_GLOBAL:
        return native_call(r, f.native, c);
    case V_MACRO:
        return macro_call(r, f.macro, c);
    case V_LOOP:
        return loop_call(r, f.loop, c);
    case V_JOINER:
        return call_joiner(r, f.joiner, c);
    case V_UNDEFINED:
        fail_undefined(r, f);
    default:
        fail(r, "'%s' object is not callable", type_name(f));
    }
}

struct value call_node(struct run *r, const struct node *n, const struct keyword *extra)
{
    struct call c;
    struct value f = eval(r, n->x);
    eval_args(r, n, NULL, extra, &c);
    r->line = n->line;
    return call_value(r, f, &c);
}

static struct value eval_filter(struct run *r, const struct node *n)
{
    struct call c;
    struct value v = n->x ? eval(r, n->x) : r->block_text;
    eval_args(r, n, &v, NULL, &c);
    r->line = n->line;
    if (!n->native)
        fail(r, "No %s named '" STR_FMT "' found.", n->type == N_FILTER ? "filter" : "test",
             STR_ARG(n->attr));
    return native_call(r, n->native, &c);
}

/* ---- operators ---- */

static struct value eval_compare(struct run *r, const struct node *n)
{
    struct value left = eval(r, n->x);
    bool ok = true;
    for (uint32_t i = 0; i < n->list[0].n && ok; i++) {
        const struct node *operand = n->list[0].at[i];
        struct value right = eval(r, operand->x);
        ok = op_compare(r, operand->op, left, right);
        left = right;
    }
    return value_bool(ok);
}

static struct value eval_concat(struct run *r, const struct node *n)
{
    struct text t = {.r = r};
    for (uint32_t i = 0; i < n->list[0].n; i++)
        put_str(&t, eval(r, n->list[0].at[i]));
    return text_done(&t);
}

static struct value eval_binary(struct run *r, const struct node *n)
{
    struct value left = eval(r, n->x);
    struct value right = eval(r, n->y);
    return op_binary(r, n->op, left, right);
}

static struct value eval_item(struct run *r, const struct node *n)
{
    struct value of = eval(r, n->x);
    if (n->y->type != N_SLICE)
        return get_item(r, of, eval(r, n->y));
    const struct node *s = n->y;
    struct value start = s->x ? eval(r, s->x) : NONE;
    struct value stop = s->y ? eval(r, s->y) : NONE;
    return slice_get(r, of, start, stop, s->z ? eval(r, s->z) : NONE);
}

static struct value eval_cond(struct run *r, const struct node *n)
{
    if (value_true(r, eval(r, n->x)))
        return eval(r, n->y);
    if (n->z)
        return eval(r, n->z);
    return value_undefined(
        r, "the inline if-expression on line %u evaluated to false and no else section was defined.",
        n->line);
}

static struct value eval_logic(struct run *r, const struct node *n)
{
    struct value left = eval(r, n->x);
    return value_true(r, left) == (n->type == N_OR) ? left : eval(r, n->y);
}

static struct value eval_node(struct run *r, const struct node *n)
{
    switch (n->type) {
    case N_TEXT:
    case N_CONST:
        return n->value;
    case N_NAME:
        return eval_name(r, n);
    case N_TUPLE:
    case N_LIST:
        return eval_items(r, n);
    case N_DICT:
        return eval_dict(r, n);
    case N_COND:
        return eval_cond(r, n);
    case N_FILTER:
    case N_TEST:
        return eval_filter(r, n);
    case N_CALL:
        return call_node(r, n, NULL);
    case N_GETATTR:
        return get_attr(r, eval(r, n->x), n->attr);
    case N_GETITEM:
        return eval_item(r, n);
    case N_CONCAT:
        return eval_concat(r, n);
    case N_COMPARE:
        return eval_compare(r, n);
    case N_NOT:
        return value_bool(!value_true(r, eval(r, n->x)));
    case N_NEG:
        return op_negate(r, eval(r, n->x));
    case N_POS:
        return op_plus(r, eval(r, n->x));
    case N_AND:
    case N_OR:
        return eval_logic(r, n);
    case N_BINARY:
        return eval_binary(r, n);
    default:
        BUG("node %d is no expression", n->type);
    }
}

struct value eval(struct run *r, const struct node *n)
{
    run_step(r);
    run_enter(r);
    struct value v = eval_node(r, n);
    run_leave(r);
    return v;
}

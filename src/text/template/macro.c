/* Macros, call blocks and generation blocks: functions of the template, closed over the frame they were made
 * in. */
#include "text/template/template_int.h"

struct value macro_new(struct run *r, const struct node *n)
{
    struct macro *m = run_alloc(r, sizeof *m);
    *m = (struct macro){n, r->frame};
    return (struct value){.kind = V_MACRO, .macro = m};
}

/* Takes a keyword out of the call; V_MISSING: it is not there. */
static struct value pop_keyword(struct call *c, struct str name)
{
    for (uint32_t i = 0; i < c->n_kw; i++) {
        struct value v = c->kw[i].value;
        if (!str_eq(c->kw[i].name, name))
            continue;
        for (uint32_t k = i + 1; k < c->n_kw; k++)
            c->kw[k - 1] = c->kw[k];
        c->n_kw--;
        return v;
    }
    return MISSING;
}

/* What is left of the call behind the parameters: caller, kwargs, varargs. */
static void bind_rest(struct run *r, const struct node *n, struct call *c, bool found_caller, struct frame *f)
{
    const struct node_scopes *s = n->scopes;
    uint32_t n_param = n->list[0].n;
    if (s->caller != NO_SLOT && !found_caller) {
        struct value v = pop_keyword(c, STR("caller"));
        f->slot[s->caller] = given_not_none(v) ? v : value_undefined(r, "No caller defined");
    }
    if (s->kwargs != NO_SLOT) {
        struct dict *d = dict_new(r);
        for (uint32_t i = 0; i < c->n_kw; i++)
            dict_put(r, d, value_str(r, c->kw[i].name), c->kw[i].value);
        f->slot[s->kwargs] = value_dict(d);
    } else if (c->n_kw) {
        fail(r, "macro '" STR_FMT "' takes no keyword argument '" STR_FMT "'", STR_ARG(n->attr),
             STR_ARG(c->kw[0].name));
    }
    if (s->varargs != NO_SLOT) {
        struct list *l = run_alloc(r, sizeof *l);
        *l = (struct list){.n = c->n_arg > n_param ? c->n_arg - n_param : 0, .at = c->arg + n_param};
        f->slot[s->varargs] = value_list(V_TUPLE, l);
    } else if (c->n_arg > n_param) {
        fail(r, "macro '" STR_FMT "' takes not more than %u argument(s)", STR_ARG(n->attr), n_param);
    }
}

static void bind_params(struct run *r, const struct node *n, const struct call *given_call, struct frame *f)
{
    struct call c = *given_call;
    bool all_positional = c.n_arg >= n->list[0].n, found_caller = false;
    c.kw = c.n_kw ? run_alloc(r, c.n_kw * sizeof *c.kw) : NULL;
    for (uint32_t i = 0; i < c.n_kw; i++)
        c.kw[i] = given_call->kw[i];
    for (uint32_t i = 0; i < n->list[0].n; i++) {
        const struct node *param = n->list[0].at[i];
        bool is_caller = str_eq(param->attr, STR("caller"));
        if (i < c.n_arg)
            f->slot[param->place.slot] = c.arg[i];
        else
            f->slot[param->place.slot] = pop_keyword(&c, param->attr);
        found_caller |= is_caller && (all_positional || i >= c.n_arg);
    }
    bind_rest(r, n, &c, found_caller, f);
}

static void fill_defaults(struct run *r, const struct node *n)
{
    uint32_t n_required = n->list[0].n - n->list[1].n;
    for (uint32_t i = 0; i < n->list[0].n; i++) {
        const struct node *param = n->list[0].at[i];
        struct value *slot = &r->frame->slot[param->place.slot];
        if (given(*slot))
            continue;
        if (i >= n_required)
            *slot = eval(r, n->list[1].at[i - n_required]);
        else
            *slot = value_undefined(r, "parameter '" STR_FMT "' was not provided", STR_ARG(param->attr));
    }
}

struct value macro_call(struct run *r, const struct macro *m, const struct call *c)
{
    const struct node *n = m->node;
    struct frame *outer = r->frame;
    size_t begin = r->out->n;
    struct frame *f = frame_new(r, m->lexical, n->scopes->n_slot);
    run_enter(r);
    bind_params(r, n, c, f);
    r->frame = f;
    scope_enter(r, &n->scopes->body);
    fill_defaults(r, n);
    exec_list(r, n->list[2]);
    r->frame = outer;
    run_leave(r);
    return capture(r, begin);
}

struct value macro_attr(struct run *r, const struct macro *m, struct str name)
{
    const struct node *n = m->node;
    if (str_eq(name, STR("name")))
        return n->type == N_MACRO ? value_str(r, n->attr) : NONE;
    if (str_eq(name, STR("catch_kwargs")))
        return value_bool(n->scopes->kwargs != NO_SLOT);
    if (str_eq(name, STR("catch_varargs")))
        return value_bool(n->scopes->varargs != NO_SLOT);
    if (str_eq(name, STR("caller")))
        return value_bool(n->scopes->caller != NO_SLOT);
    if (!str_eq(name, STR("arguments")))
        return MISSING;
    struct list_maker args = {.r = r};
    for (uint32_t i = 0; i < n->list[0].n; i++)
        list_add(&args, value_str(r, n->list[0].at[i]->attr));
    return value_list(V_TUPLE, list_done(&args));
}

/* Global functions: jinja2's, and what transformers adds. */
#include "text/template/template_int.h"
#include <string.h>

#define MAX_RANGE 100000 /* jinja2's sandbox */

static int64_t range_length(struct run *r, int64_t start, int64_t stop, int64_t step)
{
    __int128 span = step > 0 ? (__int128)stop - start : (__int128)start - stop;
    __int128 size = step > 0 ? step : -(__int128)step;
    __int128 n = span > 0 ? (span + size - 1) / size : 0;
    if (n > MAX_RANGE)
        fail(r, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", MAX_RANGE);
    return (int64_t)n;
}

static struct value global_range(struct run *r, struct value *arg, const struct call *c)
{
    struct range *g = run_alloc(r, sizeof *g);
    bool one = !given(arg[1]);
    (void)c;
    *g = (struct range){.start = one ? 0 : want_int(r, arg[0], "range: start"),
                        .stop = want_int(r, one ? arg[0] : arg[1], "range: stop"),
                        .step = given(arg[2]) ? want_int(r, arg[2], "range: step") : 1};
    if (g->step == 0)
        fail(r, "range() arg 3 must not be zero");
    g->n = range_length(r, g->start, g->stop, g->step);
    return (struct value){.kind = V_RANGE, .range = g};
}

/* dict(positional, **keywords) of Python. */
static void fill_dict(struct run *r, struct dict *d, const struct call *c)
{
    if (c->n_arg > 1)
        fail(r, "dict expected at most 1 argument, got %u", c->n_arg);
    if (c->n_arg)
        dict_update(r, d, c->arg[0].kind == V_NAMESPACE ? MISSING : c->arg[0]);
    for (uint32_t i = 0; i < c->n_kw; i++)
        dict_put(r, d, value_str(r, c->kw[i].name), c->kw[i].value);
}

static struct value global_dict(struct run *r, struct value *arg, const struct call *c)
{
    struct dict *d = dict_new(r);
    (void)arg;
    fill_dict(r, d, c);
    return value_dict(d);
}

static struct value global_namespace(struct run *r, struct value *arg, const struct call *c)
{
    struct namespace *ns = run_alloc(r, sizeof *ns);
    (void)arg;
    *ns = (struct namespace){0};
    fill_dict(r, &ns->attrs, c);
    for (uint32_t i = 0; i < ns->attrs.n; i++)
        if (is_str(ns->attrs.key[i]) && str_has_prefix(value_text(ns->attrs.key[i]), STR("_")))
            fail(r, "chat templates cannot store underscore-prefixed attributes on a namespace");
    return (struct value){.kind = V_NAMESPACE, .ns = ns};
}

static struct value global_cycler(struct run *r, struct value *arg, const struct call *c)
{
    struct cycler *cycler = run_alloc(r, sizeof *cycler);
    struct list *items = run_alloc(r, sizeof *items);
    if (c->n_arg == 0 || c->n_kw)
        fail(r, "at least one item has to be provided");
    *items = (struct list){.n = c->n_arg, .at = arg};
    *cycler = (struct cycler){.items = items};
    return (struct value){.kind = V_CYCLER, .cycler = cycler};
}

static struct value global_joiner(struct run *r, struct value *arg, const struct call *c)
{
    struct joiner *joiner = run_alloc(r, sizeof *joiner);
    (void)c;
    *joiner = (struct joiner){.separator = given(arg[0]) ? arg[0] : value_ascii(", ")};
    return (struct value){.kind = V_JOINER, .joiner = joiner};
}

static struct value global_raise(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    fail_raised(r, value_text(value_to_str(r, arg[0])));
}

static struct value global_strftime(struct run *r, struct value *arg, const struct call *c)
{
    (void)c;
    return time_format(r, want_str(r, arg[0], "strftime_now: the format"));
}

static struct value global_lipsum(struct run *r, struct value *arg, const struct call *c)
{
    (void)arg;
    (void)c;
    fail(r, "lipsum() is not supported: it is random");
}

const struct native globals_table[] = {
    {"range", "start stop step /", 1, global_range},
    {"dict", NULL, 0, global_dict},
    {"namespace", NULL, 0, global_namespace},
    {"cycler", NULL, 0, global_cycler},
    {"joiner", "sep", 0, global_joiner},
    {"raise_exception", "message", 1, global_raise},
    {"strftime_now", "format", 1, global_strftime},
    {"lipsum", NULL, 0, global_lipsum},
    {NULL, NULL, 0, NULL},
};

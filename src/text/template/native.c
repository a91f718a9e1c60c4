/* Calling what is written in C: arguments by position and by name onto the parameters of a row, with Python's
 * errors. */
#include "text/template/template_int.h"
#include <string.h>

const struct native *native_find(const struct native *table, struct str name)
{
    for (; table->name; table++)
        if (str_eq(name, str_from(table->name)))
            return table;
    return NULL;
}

/* The next word of "a b / c"; false at the end. */
static bool next_word(const char **at, struct str *word)
{
    while (**at == ' ')
        (*at)++;
    *word = (struct str){*at, strcspn(*at, " ")};
    *at += word->n;
    return word->n > 0;
}

struct params {
    struct str name[MAX_PARAMS];
    unsigned n, n_positional_only;
};

static struct params params_of(const struct native *f)
{
    struct params p = {0};
    const char *at = f->params;
    struct str word;
    while (next_word(&at, &word)) {
        if (str_eq(word, STR("/")))
            p.n_positional_only = p.n;
        else if (p.n == MAX_PARAMS)
            BUG("%s has too many parameters", f->name);
        else
            p.name[p.n++] = word;
    }
    return p;
}

static void bind_keyword(struct run *r, const struct native *f, const struct params *p,
                         const struct keyword *k, struct value *arg)
{
    for (unsigned i = p->n_positional_only; i < p->n; i++) {
        if (!str_eq(p->name[i], k->name))
            continue;
        if (given(arg[i]))
            fail(r, "%s() got multiple values for argument '" STR_FMT "'", f->name, STR_ARG(k->name));
        arg[i] = k->value;
        return;
    }
    fail(r, "%s() got an unexpected keyword argument '" STR_FMT "'", f->name, STR_ARG(k->name));
}

struct value native_call(struct run *r, const struct native *f, const struct call *c)
{
    struct value arg[MAX_PARAMS];
    run_step(r);
    if (!f->params)
        return f->run(r, c->arg, c);
    struct params p = params_of(f);
    if (c->n_arg > p.n)
        fail(r, "%s() takes at most %u arguments (%u given)", f->name, p.n, c->n_arg);
    for (unsigned i = 0; i < MAX_PARAMS; i++)
        arg[i] = i < c->n_arg ? c->arg[i] : MISSING;
    for (uint32_t i = 0; i < c->n_kw; i++)
        bind_keyword(r, f, &p, &c->kw[i], arg);
    for (unsigned i = 0; i < f->min; i++)
        if (!given(arg[i]))
            fail(r, "%s() is missing the argument '" STR_FMT "'", f->name, STR_ARG(p.name[i]));
    return f->run(r, arg, c);
}

const struct native *filter_find(struct str name)
{
    static const struct native *const tables[] = {filters_text, filters_markup, filters_number, filters_seq,
                                                  filters_lazy};
    const struct native *found = NULL;
    for (size_t i = 0; i < sizeof tables / sizeof *tables && !found; i++)
        found = native_find(tables[i], name);
    return found;
}

const struct native *test_find(struct str name)
{
    return native_find(tests_table, name);
}

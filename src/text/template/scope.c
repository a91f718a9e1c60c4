/* Names to slots, by the rules of jinja2's compiler (idtracking): which scope a name belongs to is decided
 * before anything runs. A name that a scope assigns is the scope's own from its start on: a copy of the outer
 * one, or undefined. A name that is only read comes from the nearest scope that knows it, or from the
 * context.
 *
 * A function (root, macro, call block, block, recursive loop, loop test) has one array of slots; scopes
 * inside it use slots of their own. Two passes over each scope: analyze() finds its names, bind() gives nodes
 * their slots. */
#include "text/template/template_int.h"
#include <stdlib.h>
#include <string.h>

#define MAX_WORK 50000000u

struct function {
    const struct function *parent;
    uint16_t n_slot;
};

struct entry {
    uint32_t name;
    uint8_t load;
    bool stored, has_slot;
    uint16_t slot;
};

struct symbols {
    struct symbols *parent;
    struct function *function;
    struct entry *at;
    uint32_t n, cap;
};

/* What a node sees around it while names are bound. */
struct around {
    struct symbols *symbols;
    bool soft;     /* inside `if`: an unknown filter is an error only when it is used */
    bool toplevel; /* assignments are visible to blocks */
    bool in_loop;  /* break and continue make sense */
    bool in_for;   /* `loop` must not be assigned */
};

static void work(struct compile *c, uint64_t n)
{
    c->work += n;
    if (c->work > MAX_WORK)
        compile_fail(c, ST_LIMIT, 1, "too many names in too many branches");
}

/* ---- symbols ---- */

static struct entry *find_here(struct compile *c, const struct symbols *s, uint32_t name)
{
    work(c, s->n / 8 + 1);
    for (uint32_t i = 0; i < s->n; i++)
        if (s->at[i].name == name)
            return &s->at[i];
    return NULL;
}

/* The entry of the nearest scope that knows the name; *owner is that scope. */
static struct entry *find(struct compile *c, struct symbols *s, uint32_t name, struct symbols **owner)
{
    for (; s; s = s->parent) {
        struct entry *e = find_here(c, s, name);
        if (e) {
            *owner = s;
            return e;
        }
    }
    return NULL;
}

static struct entry *define(struct compile *c, struct symbols *s, uint32_t name, enum load_kind load)
{
    struct entry *e = find_here(c, s, name);
    if (!e) {
        if (s->n == s->cap) {
            uint32_t cap = s->cap ? s->cap * 2 : 8;
            struct entry *more = compile_scratch(c, cap * sizeof *more);
            if (s->n)
                memcpy(more, s->at, s->n * sizeof *more);
            s->at = more;
            s->cap = cap;
        }
        e = &s->at[s->n++];
        *e = (struct entry){.name = name};
    }
    e->load = (uint8_t)load;
    return e;
}

static void declare_parameter(struct compile *c, struct symbols *s, uint32_t name)
{
    define(c, s, name, LOAD_PARAM)->stored = true;
}

static void store(struct compile *c, struct symbols *s, uint32_t name)
{
    struct symbols *owner;
    struct entry *e = find_here(c, s, name);
    if (!e)
        e = define(c, s, name, s->parent && find(c, s->parent, name, &owner) ? LOAD_ALIAS : LOAD_UNDEFINED);
    e->stored = true;
}

static void load(struct compile *c, struct symbols *s, uint32_t name)
{
    struct symbols *owner;
    if (!find(c, s, name, &owner))
        define(c, s, name, LOAD_RESOLVE);
}

static struct symbols *symbols_new(struct compile *c, struct symbols *parent, struct function *f)
{
    struct symbols *s = compile_scratch(c, sizeof *s);
    *s = (struct symbols){.parent = parent, .function = f};
    return s;
}

static struct symbols *symbols_copy(struct compile *c, const struct symbols *from)
{
    struct symbols *s = compile_scratch(c, sizeof *s);
    work(c, from->n + 1);
    *s = *from;
    s->cap = from->n;
    s->at = compile_scratch(c, (from->n + 1) * sizeof *s->at);
    if (from->n)
        memcpy(s->at, from->at, from->n * sizeof *s->at);
    return s;
}

/* What the branches of an `if` know becomes known; a name that only some of them assign keeps its outer
 * value. */
static void merge(struct compile *c, struct symbols *s, struct symbols *const branch[3])
{
    uint32_t n_before = s->n;
    bool *was_stored = compile_scratch(c, n_before + 1);
    for (uint32_t i = 0; i < n_before; i++)
        was_stored[i] = s->at[i].stored;
    for (unsigned b = 0; b < 3; b++)
        for (uint32_t i = 0; i < branch[b]->n; i++) {
            const struct entry *from = &branch[b]->at[i];
            define(c, s, from->name, from->load)->stored |= from->stored;
        }
    for (uint32_t i = 0; i < s->n; i++) {
        struct symbols *owner;
        struct entry *e = &s->at[i];
        if (e->stored && !(i < n_before && was_stored[i]))
            e->load = s->parent && find(c, s->parent, e->name, &owner) ? LOAD_ALIAS : LOAD_RESOLVE;
    }
}

/* ---- first pass: the names of one scope ---- */

static void analyze(struct compile *c, struct symbols *s, const struct node *n);

static void analyze_all(struct compile *c, struct symbols *s, struct nodes list)
{
    for (uint32_t i = 0; i < list.n; i++)
        analyze(c, s, list.at[i]);
}

static void analyze_parts(struct compile *c, struct symbols *s, const struct node *n)
{
    analyze(c, s, n->x);
    analyze(c, s, n->y);
    analyze(c, s, n->z);
    for (unsigned k = 0; k < 3; k++)
        analyze_all(c, s, n->list[k]);
}

static void analyze_if(struct compile *c, struct symbols *s, const struct node *n)
{
    struct symbols *branch[3];
    analyze(c, s, n->x);
    for (unsigned k = 0; k < 3; k++) {
        branch[k] = symbols_copy(c, s);
        analyze_all(c, branch[k], n->list[k]);
    }
    merge(c, s, branch);
}

static void analyze_target_as_param(struct compile *c, struct symbols *s, const struct node *n)
{
    if (n->type == N_NAME)
        declare_parameter(c, s, n->name);
    for (uint32_t i = 0; i < n->list[0].n; i++)
        analyze_target_as_param(c, s, n->list[0].at[i]);
}

static void analyze(struct compile *c, struct symbols *s, const struct node *n)
{
    if (!n)
        return;
    work(c, 1);
    switch (n->type) {
    case N_NAME:
        (n->op == USE_PARAM ? declare_parameter : n->op == USE_STORE ? store : load)(c, s, n->name);
        break;
    case N_NSREF:
        load(c, s, n->name);
        break;
    case N_IF:
        analyze_if(c, s, n);
        break;
    case N_MACRO:
        store(c, s, n->name);
        break;
    case N_ASSIGN:
        analyze(c, s, n->y);
        analyze(c, s, n->x);
        break;
    case N_FOR:
        analyze(c, s, n->y);
        break;
    case N_CALL_BLOCK:
    case N_FILTER_BLOCK:
    case N_ASSIGN_BLOCK:
        analyze(c, s, n->x);
        break;
    case N_WITH:
        analyze_all(c, s, n->list[1]);
        break;
    case N_BLOCK:
        break;
    default:
        analyze_parts(c, s, n);
    }
}

/* ---- names that are used without being set ---- */

struct undeclared {
    uint32_t name[3];
    bool watched[3], used[3];
};

static void look_for(const struct node *n, struct undeclared *u);

static void look_in(struct nodes list, struct undeclared *u)
{
    for (uint32_t i = 0; i < list.n; i++)
        look_for(list.at[i], u);
}

static void look_for(const struct node *n, struct undeclared *u)
{
    if (!n || n->type == N_BLOCK)
        return;
    if (n->type == N_NAME) {
        for (unsigned i = 0; i < 3; i++) {
            if (u->name[i] != n->name)
                continue;
            if (n->op == USE_LOAD && u->watched[i])
                u->used[i] = true;
            else
                u->watched[i] = false;
        }
        return;
    }
    bool filter_last = n->type == N_FILTER_BLOCK; /* the order of jinja2's visitor */
    look_for(filter_last ? NULL : n->x, u);
    look_for(n->y, u);
    for (unsigned k = 0; k < 3; k++)
        look_in(n->list[k], u);
    look_for(n->z, u);
    look_for(filter_last ? n->x : NULL, u);
}

static bool uses_name(struct nodes body, uint32_t name)
{
    struct undeclared u = {.name = {name, UINT32_MAX, UINT32_MAX}, .watched = {true, false, false}};
    look_in(body, &u);
    return u.used[0];
}

/* ---- second pass: slots ---- */

static void bind(struct compile *c, const struct around *a, struct node *n);

static void bind_all(struct compile *c, const struct around *a, struct nodes list)
{
    for (uint32_t i = 0; i < list.n; i++)
        bind(c, a, list.at[i]);
}

static uint16_t entry_slot(struct compile *c, struct entry *e, struct function *f)
{
    if (!e->has_slot) {
        if (f->n_slot == NO_SLOT - 1)
            compile_fail(c, ST_LIMIT, 1, "too many names");
        e->has_slot = true;
        e->slot = f->n_slot++;
    }
    return e->slot;
}

static struct place place_of(struct compile *c, struct symbols *s, const struct function *from, uint32_t name,
                             uint32_t line)
{
    struct symbols *owner = NULL;
    struct entry *e = find(c, s, name, &owner);
    if (!e)
        compile_fail(c, ST_INVALID, line, "jinja2 cannot tell what `" STR_FMT "` is here",
                     STR_ARG(c->t->names[name]));
    struct place p = {.slot = entry_slot(c, e, owner->function)};
    for (; from != owner->function; from = from->parent)
        p.up++;
    return p;
}

static struct place place_here(struct compile *c, const struct around *a, uint32_t name, uint32_t line)
{
    return place_of(c, a->symbols, a->symbols->function, name, line);
}

static struct scope scope_done(struct compile *c, struct symbols *s)
{
    struct scope out = {.n_load = s->n, .load = compile_alloc(c, (s->n + 1) * sizeof *out.load)};
    for (uint32_t i = 0; i < s->n; i++) {
        struct entry *e = &s->at[i];
        struct load *l = &out.load[i];
        *l = (struct load){.kind = e->load, .slot = entry_slot(c, e, s->function), .name = e->name};
        if (e->load == LOAD_ALIAS)
            l->source = place_of(c, s->parent, s->function, e->name, 1);
    }
    return out;
}

static struct node_scopes *scopes_new(struct compile *c, struct node *n)
{
    n->scopes = compile_alloc(c, sizeof *n->scopes);
    n->scopes->loop.slot = n->scopes->caller = n->scopes->kwargs = n->scopes->varargs = NO_SLOT;
    return n->scopes;
}

static struct function *function_new(struct compile *c, const struct function *parent)
{
    struct function *f = compile_scratch(c, sizeof *f);
    f->parent = parent;
    return f;
}

static struct around inner(const struct around *a, struct symbols *s)
{
    return (struct around){.symbols = s, .in_loop = a->in_loop, .in_for = a->in_for};
}

static struct node *clone_target(struct compile *c, const struct node *n)
{
    struct node *out = compile_alloc(c, sizeof *out);
    *out = *n;
    out->list[0].at = compile_alloc(c, (n->list[0].n + 1) * sizeof *out->list[0].at);
    for (uint32_t i = 0; i < n->list[0].n; i++)
        out->list[0].at[i] = clone_target(c, n->list[0].at[i]);
    return out;
}

static void bind_test(struct compile *c, const struct around *a, struct node *n)
{
    struct function *f = function_new(c, a->symbols->function);
    struct symbols *s = symbols_new(c, a->symbols, f);
    analyze_target_as_param(c, s, n->x);
    analyze(c, s, n->z);
    struct around in = inner(a, s);
    in.in_for = true;
    n->scopes->test_target = clone_target(c, n->x);
    bind(c, &in, n->scopes->test_target);
    bind(c, &in, n->z);
    n->scopes->test = scope_done(c, s);
    n->scopes->n_test_slot = f->n_slot;
}

static void bind_for(struct compile *c, const struct around *a, struct node *n)
{
    struct node_scopes *scopes = scopes_new(c, n);
    struct function *f = n->flag ? function_new(c, a->symbols->function) : a->symbols->function;
    struct symbols *body = symbols_new(c, a->symbols, f), *other = symbols_new(c, a->symbols, f);
    bool uses_loop = n->flag || uses_name(n->list[0], c->id_loop);
    if (uses_loop)
        declare_parameter(c, body, c->id_loop);
    analyze_target_as_param(c, body, n->x);
    analyze_all(c, body, n->list[0]);
    analyze_all(c, other, n->list[1]);
    if (n->z)
        bind_test(c, a, n);
    bind(c, a, n->y);
    struct around in = inner(a, body), in_other = inner(a, other);
    in.in_loop = in.in_for = in_other.in_for = true;
    in_other.in_loop = a->in_loop && !n->flag;
    bind(c, &in, n->x);
    if (uses_loop)
        scopes->loop = place_here(c, &in, c->id_loop, n->line);
    bind_all(c, &in, n->list[0]);
    bind_all(c, &in_other, n->list[1]);
    scopes->body = scope_done(c, body);
    scopes->other = scope_done(c, other);
    if (n->flag)
        scopes->n_slot = f->n_slot;
}

static void bind_if(struct compile *c, const struct around *a, struct node *n)
{
    struct around soft = *a;
    soft.soft = true;
    bind(c, &soft, n->x);
    for (unsigned k = 0; k < 3; k++)
        bind_all(c, &soft, n->list[k]);
}

/* Macros and call blocks: everything but their names and calls. */
static void bind_macro(struct compile *c, const struct around *a, struct node *n)
{
    struct node_scopes *scopes = scopes_new(c, n);
    struct function *f = function_new(c, a->symbols->function);
    struct symbols *s = symbols_new(c, a->symbols, f);
    struct undeclared u = {.name = {c->id_caller, c->id_kwargs, c->id_varargs},
                           .watched = {true, true, true}};
    uint16_t *special[3] = {&scopes->caller, &scopes->kwargs, &scopes->varargs};
    bool declared[3] = {false};
    look_in(n->list[2], &u);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned k = 0; k < 3; k++)
            analyze_all(c, s, n->list[k]);
        for (unsigned i = 0; i < 3 && pass == 0; i++) {
            uint32_t is_arg = UINT32_MAX;
            for (uint32_t k = 0; k < n->list[0].n; k++)
                if (n->list[0].at[k]->name == u.name[i])
                    is_arg = k;
            if (u.used[i] && is_arg == UINT32_MAX) {
                declare_parameter(c, s, u.name[i]);
                declared[i] = true;
            } else if (u.used[i] && i == 0 && is_arg + n->list[1].n < n->list[0].n) {
                compile_fail(c, ST_INVALID, n->line,
                             "the special \"caller\" argument must be omitted or be given a default");
            }
        }
    }
    struct around in = inner(a, s);
    in.in_loop = false;
    for (unsigned i = 0; i < 3; i++)
        if (declared[i])
            *special[i] = place_here(c, &in, u.name[i], n->line).slot;
    for (unsigned k = 0; k < 3; k++)
        bind_all(c, &in, n->list[k]);
    scopes->body = scope_done(c, s);
    scopes->n_slot = f->n_slot;
}

static void bind_with(struct compile *c, const struct around *a, struct node *n)
{
    struct node_scopes *scopes = scopes_new(c, n);
    struct symbols *s = symbols_new(c, a->symbols, a->symbols->function);
    struct around in = inner(a, s);
    analyze_all(c, s, n->list[0]);
    analyze_all(c, s, n->list[2]);
    bind_all(c, &in, n->list[0]);
    bind_all(c, a, n->list[1]);
    bind_all(c, &in, n->list[2]);
    scopes->body = scope_done(c, s);
}

/* Filter blocks and set blocks. */
static void bind_capture(struct compile *c, const struct around *a, struct node *n, struct node *filter)
{
    struct node_scopes *scopes = scopes_new(c, n);
    struct symbols *s = symbols_new(c, a->symbols, a->symbols->function);
    struct around in = inner(a, s);
    analyze_all(c, s, n->list[0]);
    if (n->type == N_FILTER_BLOCK)
        analyze(c, s, filter);
    bind_all(c, &in, n->list[0]);
    bind(c, &in, filter);
    scopes->body = scope_done(c, s);
}

static void bind_block(struct compile *c, struct node *n)
{
    struct node_scopes *scopes = scopes_new(c, n);
    struct function *f = function_new(c, NULL);
    struct symbols *s = symbols_new(c, NULL, f);
    struct around in = {.symbols = s};
    analyze_all(c, s, n->list[0]);
    bind_all(c, &in, n->list[0]);
    scopes->body = scope_done(c, s);
    scopes->n_slot = f->n_slot;
}

static void bind_name(struct compile *c, const struct around *a, struct node *n)
{
    if (n->op == USE_STORE && a->in_for && n->name == c->id_loop)
        compile_fail(c, ST_INVALID, n->line, "Can't assign to special loop variable in for-loop target");
    if (n->op == USE_LOAD && (n->name == c->id_self || n->name == c->id_super))
        compile_fail(c, ST_UNSUPPORTED, n->line, "`" STR_FMT "` is not supported", STR_ARG(n->attr));
    n->place = place_here(c, a, n->name, n->line);
    n->toplevel = a->toplevel && n->op == USE_STORE;
}

static void bind_parts(struct compile *c, const struct around *a, struct node *n)
{
    struct node *const part[] = {n->x, n->y, n->z};
    for (unsigned i = 0; i < 3; i++)
        if (part[i])
            bind(c, a, part[i]);
    for (unsigned k = 0; k < 3; k++)
        bind_all(c, a, n->list[k]);
}

static void bind_filter(struct compile *c, const struct around *a, struct node *n)
{
    if (!n->native && !a->soft)
        compile_fail(c, ST_INVALID, n->line, "No %s named '" STR_FMT "'.",
                     n->type == N_FILTER ? "filter" : "test", STR_ARG(n->attr));
    bind_parts(c, a, n);
}

static void bind(struct compile *c, const struct around *a, struct node *n)
{
    if (!n)
        return;
    struct around soft = *a;
    soft.soft = true;
    switch (n->type) {
    case N_NAME:
        bind_name(c, a, n);
        break;
    case N_NSREF:
        n->place = place_here(c, a, n->name, n->line);
        break;
    case N_FOR:
        bind_for(c, a, n);
        break;
    case N_IF:
        bind_if(c, a, n);
        break;
    case N_MACRO:
        bind_macro(c, a, n);
        n->place = place_here(c, a, n->name, n->line);
        n->toplevel = a->toplevel;
        break;
    case N_CALL_BLOCK:
        bind_macro(c, a, n);
        bind(c, a, n->x);
        break;
    case N_FILTER_BLOCK:
        bind_capture(c, a, n, n->x);
        break;
    case N_ASSIGN_BLOCK:
        bind_capture(c, a, n, n->y);
        bind(c, a, n->x);
        break;
    case N_WITH:
        bind_with(c, a, n);
        break;
    case N_BLOCK:
        bind_block(c, n);
        break;
    case N_FILTER:
    case N_TEST:
        bind_filter(c, a, n);
        break;
    case N_COND:
        bind_parts(c, &soft, n);
        break;
    case N_BREAK:
    case N_CONTINUE:
        if (!a->in_loop)
            compile_fail(c, ST_INVALID, n->line, "'%s' outside loop",
                         n->type == N_BREAK ? "break" : "continue");
        break;
    default:
        bind_parts(c, a, n);
    }
}

static void no_block_twice(struct compile *c, struct nodes list, bool *seen)
{
    for (uint32_t i = 0; i < list.n; i++) {
        const struct node *n = list.at[i];
        if (n->type == N_BLOCK && seen[n->name])
            compile_fail(c, ST_INVALID, n->line, "block '" STR_FMT "' defined twice", STR_ARG(n->attr));
        if (n->type == N_BLOCK)
            seen[n->name] = true;
        for (unsigned k = 0; k < 3; k++)
            no_block_twice(c, n->list[k], seen);
    }
}

void resolve_names(struct compile *c)
{
    struct function *f = function_new(c, NULL);
    struct symbols *s = symbols_new(c, NULL, f);
    struct around a = {.symbols = s, .toplevel = true};
    if (c->t->has_blocks)
        no_block_twice(c, c->t->body, compile_scratch(c, c->t->n_names + 1));
    analyze_all(c, s, c->t->body);
    bind_all(c, &a, c->t->body);
    c->t->scope = scope_done(c, s);
    c->t->n_slot = f->n_slot;
}

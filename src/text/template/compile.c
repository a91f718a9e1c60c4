/* From source to an immutable template: lexer, parser, names. One setjmp() catches every error of these. */
#include "text/template/template_int.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TREE_BYTES    (256u << 20)
#define SCRATCH_BYTES (256u << 20)

void compile_fail(struct compile *c, enum status st, uint32_t line, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_set(c->e, st, "chat template, line %u: %s", line, text);
    longjmp(c->escape, (int)st);
}

static void *alloc_from(struct compile *c, struct arena *a, size_t n_bytes)
{
    void *p = arena_zalloc(a, n_bytes);
    if (!p)
        compile_fail(c, ST_LIMIT, 1, "the template takes more memory than it may");
    return p;
}

void *compile_alloc(struct compile *c, size_t n_bytes)
{
    return alloc_from(c, c->memory, n_bytes);
}

void *compile_scratch(struct compile *c, size_t n_bytes)
{
    return alloc_from(c, &c->scratch, n_bytes);
}

uint32_t name_intern(struct compile *c, struct str s)
{
    uint64_t id;
    if (map_get(&c->names, s, &id))
        return (uint32_t)id;
    if (c->t->n_names == MAX_NAMES)
        compile_fail(c, ST_LIMIT, c->tokens ? token_now(c)->line : 1, "more than %d different names",
                     MAX_NAMES);
    if (map_put(&c->names, s, c->t->n_names) != ST_OK)
        compile_fail(c, ST_NO_MEMORY, 1, "no memory for names");
    c->t->names[c->t->n_names] = s;
    return c->t->n_names++;
}

static void intern_special(struct compile *c)
{
    c->t->names = compile_alloc(c, MAX_NAMES * sizeof *c->t->names);
    c->id_loop = name_intern(c, STR("loop"));
    c->id_caller = name_intern(c, STR("caller"));
    c->id_kwargs = name_intern(c, STR("kwargs"));
    c->id_varargs = name_intern(c, STR("varargs"));
    c->id_self = name_intern(c, STR("self"));
    c->id_super = name_intern(c, STR("super"));
}

/* The only frame of setjmp(): nothing here changes between it and a longjmp(). */
static enum status compile_all(struct compile *c, struct str source)
{
    int escaped = setjmp(c->escape);
    if (escaped)
        return (enum status)escaped;
    intern_special(c);
    lex(c, source);
    c->t->body = parse_template(c);
    resolve_names(c);
    return ST_OK;
}

enum status chat_template_compile(struct str source, struct chat_template **out, struct err *e)
{
    if (source.n > TEMPLATE_MAX_SOURCE_BYTES)
        return err_set(e, ST_LIMIT, "the chat template is longer than %u bytes", TEMPLATE_MAX_SOURCE_BYTES);
    if (!utf8_valid(source))
        return err_set(e, ST_INVALID, "the chat template is not UTF-8");
    struct chat_template *t = calloc(1, sizeof *t);
    struct compile *c = calloc(1, sizeof *c);
    enum status st = t && c ? map_init(&c->names, 256) : ST_NO_MEMORY;
    if (st != ST_OK) {
        free(c);
        free(t);
        return err_set(e, ST_NO_MEMORY, "no memory for a chat template");
    }
    arena_init(&t->memory, TREE_BYTES);
    arena_init(&c->scratch, SCRATCH_BYTES);
    c->t = t;
    c->e = e;
    c->memory = &t->memory;
    st = compile_all(c, source);
    map_fini(&c->names);
    arena_fini(&c->scratch);
    free(c);
    if (st == ST_OK)
        *out = t;
    else
        chat_template_free(t);
    return st;
}

void chat_template_free(struct chat_template *t)
{
    if (t) {
        arena_fini(&t->memory);
        free(t);
    }
}

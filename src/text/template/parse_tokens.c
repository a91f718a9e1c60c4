/* What the parsers are written with: the tokens ahead, and nodes whose height is bounded. */
#include "text/template/template_int.h"
#include <string.h>

#define MAX_NESTING 200 /* of expressions in brackets and of statements */

/* ---- tokens ---- */

const struct token *token_now(const struct compile *c)
{
    return &c->tokens[c->at];
}

const struct token *token_next(const struct compile *c)
{
    return &c->tokens[c->at + (c->at + 1 < c->n_tokens)];
}

bool token_is(const struct token *t, const char *text, enum token_type type)
{
    return t->type == type && str_eq(t->text, str_from(text));
}

bool at_name(const struct compile *c, const char *name)
{
    return token_is(token_now(c), name, T_NAME);
}

bool at_op(const struct compile *c, const char *op)
{
    return token_is(token_now(c), op, T_OPERATOR);
}

void token_skip(struct compile *c)
{
    c->at += c->at + 1 < c->n_tokens;
}

bool skip_name(struct compile *c, const char *name)
{
    bool here = at_name(c, name);
    if (here)
        token_skip(c);
    return here;
}

bool skip_op(struct compile *c, const char *op)
{
    bool here = at_op(c, op);
    if (here)
        token_skip(c);
    return here;
}

static const char *const token_names[] = {
    [T_EOF] = "end of template",
    [T_DATA] = "template data / text",
    [T_BLOCK_BEGIN] = "begin of statement block",
    [T_BLOCK_END] = "end of statement block",
    [T_VARIABLE_BEGIN] = "begin of print statement",
    [T_VARIABLE_END] = "end of print statement",
    [T_NAME] = "name",
    [T_STRING] = "string",
    [T_INTEGER] = "integer",
    [T_FLOAT] = "float",
    [T_OPERATOR] = "operator",
};

struct str token_text(const struct token *t)
{
    return t->type == T_NAME || t->type == T_OPERATOR ? t->text : str_from(token_names[t->type]);
}

const struct token *expect(struct compile *c, enum token_type type, const char *text)
{
    const struct token *t = token_now(c);
    if (t->type != type || (text && !str_eq(t->text, str_from(text))))
        compile_fail(c, ST_INVALID, t->line, "expected '%s', got '" STR_FMT "'",
                     text ? text : token_names[type], STR_ARG(token_text(t)));
    token_skip(c);
    return t;
}

/* ---- nodes ---- */

struct node *node_new(struct compile *c, enum node_type type, uint32_t line)
{
    struct node *n = compile_alloc(c, sizeof *n);
    n->type = (uint8_t)type;
    n->line = line;
    n->height = 1;
    return n;
}

static void seal_part(struct compile *c, struct node *n, const struct node *part)
{
    if (part && part->height >= n->height)
        n->height = (uint16_t)(part->height + 1);
    if (n->height > MAX_HEIGHT)
        compile_fail(c, ST_LIMIT, n->line, "an expression or statement of more than %d levels", MAX_HEIGHT);
}

struct node *node_seal(struct compile *c, struct node *n)
{
    seal_part(c, n, n->x);
    seal_part(c, n, n->y);
    seal_part(c, n, n->z);
    for (unsigned k = 0; k < 3; k++)
        for (uint32_t i = 0; i < n->list[k].n; i++)
            seal_part(c, n, n->list[k].at[i]);
    return n;
}

void nodes_add(struct compile *c, struct list_builder *b, struct node *n)
{
    if (b->n == b->cap) {
        uint32_t cap = b->cap ? b->cap * 2 : 4;
        struct node **more = compile_alloc(c, cap * sizeof *more);
        if (b->n)
            memcpy(more, b->at, b->n * sizeof *more);
        b->at = more;
        b->cap = cap;
    }
    b->at[b->n++] = n;
}

struct nodes nodes_done(const struct list_builder *b)
{
    return (struct nodes){b->at, b->n};
}

void parse_enter(struct compile *c)
{
    if (++c->depth > MAX_NESTING)
        compile_fail(c, ST_LIMIT, token_now(c)->line, "nested more than %d deep", MAX_NESTING);
}

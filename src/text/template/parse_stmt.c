/* Statements and the text between them. What needs other templates is refused here, by name. */
#include "text/template/template_int.h"
#include <string.h>

static struct nodes parse_until(struct compile *c, const char *const ends[]);

static bool at_end(const struct compile *c, const char *const ends[])
{
    for (; ends && *ends; ends++)
        if (at_name(c, *ends))
            return true;
    return false;
}

/* ": %}" and a body up to one of the names, which is left for the caller. */
static struct nodes parse_body(struct compile *c, const char *const ends[])
{
    skip_op(c, ":");
    expect(c, T_BLOCK_END, NULL);
    struct nodes body = parse_until(c, ends);
    if (token_now(c)->type == T_EOF)
        compile_fail(c, ST_INVALID, token_now(c)->line, "unexpected end of template: '%s' is missing",
                     ends[0]);
    return body;
}

static struct nodes parse_body_to(struct compile *c, const char *end)
{
    struct nodes body = parse_body(c, (const char *const[]){end, NULL});
    expect(c, T_NAME, end);
    return body;
}

/* ---- targets ---- */

static void make_target(struct compile *c, struct node *n, enum name_use use)
{
    if (n->type == N_NAME) {
        n->op = (uint8_t)use;
    } else if (n->type == N_TUPLE) {
        for (uint32_t i = 0; i < n->list[0].n; i++)
            make_target(c, n->list[0].at[i], use);
    } else if (n->type != N_NSREF) {
        compile_fail(c, ST_INVALID, n->line, "can't assign to '%s'",
                     n->type == N_CONST ? "const" : "expression");
    }
}

static struct node *parse_target(struct compile *c, bool with_namespace)
{
    struct node *n = parse_tuple(c, TUPLE_SIMPLE | (with_namespace ? TUPLE_NAMESPACE : 0));
    make_target(c, n, USE_STORE);
    return n;
}

static struct node *parse_target_name(struct compile *c, enum name_use use)
{
    static const char *const reserved[] = {"true", "false", "none", "True", "False", "None"};
    const struct token *t = expect(c, T_NAME, NULL);
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (str_eq(t->text, str_from(reserved[i])))
            compile_fail(c, ST_INVALID, t->line, "can't assign to '%s'", reserved[i]);
    struct node *n = node_new(c, N_NAME, t->line);
    n->name = name_intern(c, t->text);
    n->attr = t->text;
    n->op = (uint8_t)use;
    return n;
}

/* ---- statements: each is called behind its name ---- */

static struct node *parse_for(struct compile *c, uint32_t line)
{
    struct node *n = node_new(c, N_FOR, line);
    n->x = parse_target(c, false);
    expect(c, T_NAME, "in");
    n->y = parse_tuple(c, TUPLE_NO_COND);
    if (skip_name(c, "if"))
        n->z = parse_expression(c, true);
    n->flag = skip_name(c, "recursive");
    n->list[0] = parse_body(c, (const char *const[]){"endfor", "else", NULL});
    if (!skip_name(c, "endfor")) {
        expect(c, T_NAME, "else");
        n->list[1] = parse_body_to(c, "endfor");
    }
    return n;
}

static struct node *parse_if(struct compile *c, uint32_t line)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct node *first = node_new(c, N_IF, line), *n = first;
    struct list_builder elifs = {0};
    for (;;) {
        n->x = parse_tuple(c, TUPLE_NO_COND);
        n->list[0] = parse_body(c, ends);
        if (n != first)
            node_seal(c, n);
        if (!skip_name(c, "elif"))
            break;
        n = node_new(c, N_IF, token_now(c)->line);
        nodes_add(c, &elifs, n);
    }
    if (skip_name(c, "else"))
        first->list[2] = parse_body_to(c, "endif");
    else
        expect(c, T_NAME, "endif");
    first->list[1] = nodes_done(&elifs);
    return first;
}

static struct node *parse_set(struct compile *c, uint32_t line)
{
    struct node *n = node_new(c, N_ASSIGN, line);
    n->x = parse_target(c, true);
    if (skip_op(c, "=")) {
        n->y = parse_tuple(c, 0);
        return n;
    }
    n->type = N_ASSIGN_BLOCK;
    n->y = parse_filters(c, NULL, false);
    n->list[0] = parse_body_to(c, "endset");
    return n;
}

static struct node *parse_with(struct compile *c, uint32_t line)
{
    struct node *n = node_new(c, N_WITH, line);
    struct list_builder targets = {0}, values = {0};
    while (token_now(c)->type != T_BLOCK_END) {
        if (targets.n)
            expect(c, T_OPERATOR, ",");
        struct node *target = parse_target(c, false);
        make_target(c, target, USE_PARAM);
        nodes_add(c, &targets, target);
        expect(c, T_OPERATOR, "=");
        nodes_add(c, &values, parse_expression(c, true));
    }
    n->list[0] = nodes_done(&targets);
    n->list[1] = nodes_done(&values);
    n->list[2] = parse_body_to(c, "endwith");
    return n;
}

static void parse_signature(struct compile *c, struct node *n)
{
    struct list_builder args = {0}, defaults = {0};
    expect(c, T_OPERATOR, "(");
    while (!at_op(c, ")")) {
        if (args.n)
            expect(c, T_OPERATOR, ",");
        struct node *arg = parse_target_name(c, USE_PARAM);
        for (uint32_t i = 0; i < args.n; i++)
            if (args.at[i]->name == arg->name)
                compile_fail(c, ST_INVALID, arg->line, "duplicate argument '" STR_FMT "'",
                             STR_ARG(arg->attr));
        if (skip_op(c, "="))
            nodes_add(c, &defaults, parse_expression(c, true));
        else if (defaults.n)
            compile_fail(c, ST_INVALID, arg->line, "non-default argument follows default argument");
        nodes_add(c, &args, arg);
    }
    expect(c, T_OPERATOR, ")");
    n->list[0] = nodes_done(&args);
    n->list[1] = nodes_done(&defaults);
}

static struct node *parse_macro(struct compile *c, uint32_t line)
{
    struct node *n = node_new(c, N_MACRO, line);
    struct node *name = parse_target_name(c, USE_STORE);
    n->name = name->name;
    n->attr = name->attr;
    parse_signature(c, n);
    n->list[2] = parse_body_to(c, "endmacro");
    return n;
}

static struct node *parse_call_block(struct compile *c, uint32_t line)
{
    struct node *n = node_new(c, N_CALL_BLOCK, line);
    if (at_op(c, "("))
        parse_signature(c, n);
    n->x = parse_expression(c, true);
    if (n->x->type != N_CALL)
        compile_fail(c, ST_INVALID, line, "expected call");
    n->list[2] = parse_body_to(c, "endcall");
    return n;
}

static struct node *parse_generation(struct compile *c, uint32_t line)
{
    struct node *n = node_new(c, N_CALL_BLOCK, line);
    n->list[2] = parse_body_to(c, "endgeneration");
    return n;
}

static struct node *parse_filter_block(struct compile *c, uint32_t line)
{
    struct node *n = node_new(c, N_FILTER_BLOCK, line);
    n->x = parse_filters(c, NULL, true);
    n->list[0] = parse_body_to(c, "endfilter");
    return n;
}

static struct node *parse_block(struct compile *c, uint32_t line)
{
    struct node *n = node_new(c, N_BLOCK, line);
    const struct token *name = expect(c, T_NAME, NULL);
    n->name = name_intern(c, name->text);
    n->attr = name->text;
    if (skip_name(c, "scoped") || skip_name(c, "required"))
        compile_fail(c, ST_UNSUPPORTED, line, "scoped and required blocks are not supported");
    n->list[0] = parse_body_to(c, "endblock");
    if (token_now(c)->type == T_NAME && str_eq(token_now(c)->text, n->attr))
        expect(c, T_NAME, NULL);
    c->t->has_blocks = true;
    return n;
}

static struct node *parse_print(struct compile *c, uint32_t line)
{
    struct node *n = node_new(c, N_OUTPUT, line);
    struct list_builder b = {0};
    while (token_now(c)->type != T_BLOCK_END) {
        if (b.n)
            expect(c, T_OPERATOR, ",");
        nodes_add(c, &b, parse_expression(c, true));
    }
    n->list[0] = nodes_done(&b);
    return n;
}

static struct node *parse_break(struct compile *c, uint32_t line)
{
    return node_new(c, N_BREAK, line);
}

static struct node *parse_continue(struct compile *c, uint32_t line)
{
    return node_new(c, N_CONTINUE, line);
}

static _Noreturn struct node *refuse(struct compile *c, uint32_t line)
{
    compile_fail(c, ST_UNSUPPORTED, line,
                 "the tag '" STR_FMT "' is not supported: a chat template is one file without escaping",
                 STR_ARG(c->tokens[c->at - 1].text));
}

static const struct {
    const char *name;
    struct node *(*parse)(struct compile *c, uint32_t line);
} statements[] = {
    {"for", parse_for},
    {"if", parse_if},
    {"set", parse_set},
    {"with", parse_with},
    {"macro", parse_macro},
    {"call", parse_call_block},
    {"filter", parse_filter_block},
    {"block", parse_block},
    {"print", parse_print},
    {"break", parse_break},
    {"continue", parse_continue},
    {"generation", parse_generation},
    {"include", refuse},
    {"import", refuse},
    {"from", refuse},
    {"extends", refuse},
    {"autoescape", refuse},
};

static struct node *parse_statement(struct compile *c)
{
    const struct token *t = expect(c, T_NAME, NULL);
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (str_eq(t->text, str_from(statements[i].name))) {
            parse_enter(c);
            struct node *n = statements[i].parse(c, t->line);
            c->depth--;
            return node_seal(c, n);
        }
    compile_fail(c, ST_INVALID, t->line, "Encountered unknown tag '" STR_FMT "'.", STR_ARG(t->text));
}

/* Text and "{{ }}" side by side are one node. */
static void add_output(struct compile *c, struct list_builder *body, struct list_builder *parts)
{
    if (!parts->n)
        return;
    struct node *n = node_new(c, N_OUTPUT, parts->at[0]->line);
    n->list[0] = nodes_done(parts);
    nodes_add(c, body, node_seal(c, n));
    *parts = (struct list_builder){0};
}

static struct nodes parse_until(struct compile *c, const char *const ends[])
{
    struct list_builder body = {0}, parts = {0};
    while (token_now(c)->type != T_EOF) {
        const struct token *t = token_now(c);
        if (t->type == T_DATA) {
            struct node *n = node_new(c, N_TEXT, t->line);
            n->value = (struct value){.kind = V_STR, .n = (uint32_t)t->text.n, .p = t->text.p};
            nodes_add(c, &parts, n);
            c->at++;
        } else if (t->type == T_VARIABLE_BEGIN) {
            c->at++;
            nodes_add(c, &parts, parse_tuple(c, 0));
            expect(c, T_VARIABLE_END, NULL);
        } else {
            add_output(c, &body, &parts);
            expect(c, T_BLOCK_BEGIN, NULL);
            if (at_end(c, ends))
                return nodes_done(&body);
            nodes_add(c, &body, parse_statement(c));
            expect(c, T_BLOCK_END, NULL);
        }
    }
    add_output(c, &body, &parts);
    return nodes_done(&body);
}

struct nodes parse_template(struct compile *c)
{
    return parse_until(c, NULL);
}

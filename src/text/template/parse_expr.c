/* Expressions: a recursive-descent parser with jinja2's precedences.
 *
 * Recursion is bounded by parse_enter(); the height of what is built is bounded by node_seal(), because
 * chains such as a + a + a ... grow trees without recursion here, and the evaluator recurses over trees. */
#include "text/template/template_int.h"
#include <string.h>

static struct node *node_of(struct compile *c, enum node_type type, uint32_t line, struct node *x,
                            struct node *y)
{
    struct node *n = node_new(c, type, line);
    n->x = x;
    n->y = y;
    return node_seal(c, n);
}

static struct node *node_const(struct compile *c, uint32_t line, struct value v)
{
    struct node *n = node_new(c, N_CONST, line);
    n->value = v;
    return n;
}

static struct value text_value(struct str s)
{
    return (struct value){
        .kind = V_STR, .flags = text_is_ascii(s) ? FLAG_ASCII : 0, .n = (uint32_t)s.n, .p = s.p};
}

/* ---- primary expressions ---- */

static struct node *parse_unary(struct compile *c, bool with_filter);
static struct node *parse_or(struct compile *c);

static struct node *parse_name(struct compile *c, bool with_namespace)
{
    static const struct {
        const char *name;
        struct value v;
    } words[] = {
        {"true", {.kind = V_BOOL, .i = 1}}, {"True", {.kind = V_BOOL, .i = 1}}, {"false", {.kind = V_BOOL}},
        {"False", {.kind = V_BOOL}},        {"none", {.kind = V_NONE}},         {"None", {.kind = V_NONE}},
    };
    const struct token *t = expect(c, T_NAME, NULL);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(t->text, str_from(words[i].name)))
            return node_const(c, t->line, words[i].v);
    struct node *n = node_new(c, N_NAME, t->line);
    n->name = name_intern(c, t->text);
    n->attr = t->text;
    if (with_namespace && skip_op(c, ".")) {
        n->type = N_NSREF;
        n->attr = expect(c, T_NAME, NULL)->text;
    }
    return n;
}

static struct node *parse_string(struct compile *c)
{
    const struct token *first = token_now(c);
    size_t n = 0, count = 0;
    for (; c->tokens[c->at + count].type == T_STRING; count++)
        n += c->tokens[c->at + count].text.n;
    struct str s = first->text;
    if (count > 1) {
        char *p = compile_alloc(c, n + 1);
        s = (struct str){p, n};
        for (size_t i = 0; i < count; i++) {
            struct str part = c->tokens[c->at + i].text;
            memcpy(p, part.p, part.n);
            p += part.n;
        }
    }
    c->at += (uint32_t)count;
    return node_const(c, first->line, text_value(s));
}

/* What stands between brackets: expressions with commas, one may follow the last. */
static struct nodes parse_items(struct compile *c, const char *end)
{
    struct list_builder b = {0};
    while (!at_op(c, end)) {
        if (b.n)
            expect(c, T_OPERATOR, ",");
        if (at_op(c, end))
            break;
        nodes_add(c, &b, parse_expression(c, true));
    }
    expect(c, T_OPERATOR, end);
    return nodes_done(&b);
}

static struct node *parse_dict(struct compile *c)
{
    struct list_builder keys = {0}, values = {0};
    struct node *n = node_new(c, N_DICT, expect(c, T_OPERATOR, "{")->line);
    while (!at_op(c, "}")) {
        if (keys.n)
            expect(c, T_OPERATOR, ",");
        if (at_op(c, "}"))
            break;
        nodes_add(c, &keys, parse_expression(c, true));
        expect(c, T_OPERATOR, ":");
        nodes_add(c, &values, parse_expression(c, true));
    }
    expect(c, T_OPERATOR, "}");
    n->list[0] = nodes_done(&keys);
    n->list[1] = nodes_done(&values);
    return node_seal(c, n);
}

static struct node *parse_primary(struct compile *c, bool with_namespace)
{
    const struct token *t = token_now(c);
    switch (t->type) {
    case T_NAME:
        return parse_name(c, with_namespace);
    case T_STRING:
        return parse_string(c);
    case T_INTEGER:
        token_skip(c);
        return node_const(c, t->line, value_int(t->i));
    case T_FLOAT:
        token_skip(c);
        return node_const(c, t->line, value_float(t->f));
    default:
        break;
    }
    if (skip_op(c, "(")) {
        struct node *n = parse_tuple(c, TUPLE_PARENTHESES);
        expect(c, T_OPERATOR, ")");
        return n;
    }
    if (skip_op(c, "[")) {
        struct node *n = node_new(c, N_LIST, t->line);
        n->list[0] = parse_items(c, "]");
        return node_seal(c, n);
    }
    if (at_op(c, "{"))
        return parse_dict(c);
    compile_fail(c, ST_INVALID, t->line, "unexpected '" STR_FMT "'", STR_ARG(token_text(t)));
}

/* ---- what follows a primary expression ---- */

static struct node *parse_slice_part(struct compile *c)
{
    return at_op(c, "]") || at_op(c, ",") || at_op(c, ":") ? NULL : parse_expression(c, true);
}

static struct node *parse_subscribed(struct compile *c)
{
    uint32_t line = token_now(c)->line;
    struct node *first = at_op(c, ":") ? NULL : parse_expression(c, true);
    if (!skip_op(c, ":"))
        return first;
    struct node *n = node_new(c, N_SLICE, line);
    n->x = first;
    n->y = parse_slice_part(c);
    if (skip_op(c, ":"))
        n->z = parse_slice_part(c);
    return node_seal(c, n);
}

static struct node *parse_subscript(struct compile *c, struct node *of)
{
    uint32_t line = token_now(c)->line;
    if (skip_op(c, ".")) {
        const struct token *t = token_now(c);
        if (t->type != T_NAME && t->type != T_INTEGER)
            compile_fail(c, ST_INVALID, t->line, "expected name or number");
        token_skip(c);
        if (t->type == T_INTEGER)
            return node_of(c, N_GETITEM, line, of, node_const(c, t->line, value_int(t->i)));
        struct node *n = node_of(c, N_GETATTR, line, of, NULL);
        n->attr = t->text;
        return n;
    }
    struct list_builder b = {0};
    expect(c, T_OPERATOR, "[");
    while (!at_op(c, "]")) {
        if (b.n)
            expect(c, T_OPERATOR, ",");
        nodes_add(c, &b, parse_subscribed(c));
    }
    expect(c, T_OPERATOR, "]");
    if (b.n == 1)
        return node_of(c, N_GETITEM, line, of, b.at[0]);
    struct node *key = node_new(c, N_TUPLE, line);
    key->list[0] = nodes_done(&b);
    for (uint32_t i = 0; i < b.n; i++)
        if (b.at[i]->type == N_SLICE)
            compile_fail(c, ST_UNSUPPORTED, line, "a slice among several subscripts");
    return node_of(c, N_GETITEM, line, of, node_seal(c, key));
}

static void ensure_call(struct compile *c, bool ok, uint32_t line)
{
    if (!ok)
        compile_fail(c, ST_INVALID, line, "invalid syntax for function call expression");
}

/* "(...)" into list[0], list[1], y and z of `n`. */
static void parse_call_args(struct compile *c, struct node *n)
{
    struct list_builder args = {0}, kwargs = {0};
    uint32_t line = expect(c, T_OPERATOR, "(")->line;
    bool more = false;
    while (!at_op(c, ")")) {
        if (more)
            expect(c, T_OPERATOR, ",");
        if (at_op(c, ")"))
            break;
        more = true;
        if (skip_op(c, "*")) {
            ensure_call(c, !n->y && !n->z, line);
            n->y = parse_expression(c, true);
        } else if (skip_op(c, "**")) {
            ensure_call(c, !n->z, line);
            n->z = parse_expression(c, true);
        } else if (token_now(c)->type == T_NAME && token_is(token_next(c), "=", T_OPERATOR)) {
            ensure_call(c, !n->z, line);
            struct node *k = node_new(c, N_KEYWORD, line);
            k->attr = expect(c, T_NAME, NULL)->text;
            token_skip(c);
            k->x = parse_expression(c, true);
            for (uint32_t i = 0; i < kwargs.n; i++)
                if (str_eq(kwargs.at[i]->attr, k->attr))
                    compile_fail(c, ST_INVALID, line, "keyword argument repeated: " STR_FMT,
                                 STR_ARG(k->attr));
            nodes_add(c, &kwargs, node_seal(c, k));
        } else {
            ensure_call(c, !n->y && !n->z && !kwargs.n, line);
            nodes_add(c, &args, parse_expression(c, true));
        }
    }
    expect(c, T_OPERATOR, ")");
    n->list[0] = nodes_done(&args);
    n->list[1] = nodes_done(&kwargs);
}

static struct node *parse_call(struct compile *c, struct node *callee)
{
    struct node *n = node_new(c, N_CALL, token_now(c)->line);
    n->x = callee;
    parse_call_args(c, n);
    return node_seal(c, n);
}

static struct node *parse_postfix(struct compile *c, struct node *n)
{
    for (;;) {
        if (at_op(c, ".") || at_op(c, "["))
            n = parse_subscript(c, n);
        else if (at_op(c, "("))
            n = parse_call(c, n);
        else
            return n;
    }
}

static struct str parse_dotted(struct compile *c)
{
    struct str name = expect(c, T_NAME, NULL)->text;
    while (skip_op(c, ".")) {
        struct str part = expect(c, T_NAME, NULL)->text;
        char *p = compile_alloc(c, name.n + part.n + 1);
        memcpy(p, name.p, name.n);
        p[name.n] = '.';
        memcpy(p + name.n + 1, part.p, part.n);
        name = (struct str){p, name.n + part.n + 1};
    }
    return name;
}

struct node *parse_filters(struct compile *c, struct node *of, bool start_inline)
{
    while (start_inline || skip_op(c, "|")) {
        start_inline = false;
        struct node *n = node_new(c, N_FILTER, token_now(c)->line);
        n->x = of;
        n->attr = parse_dotted(c);
        n->native = filter_find(n->attr);
        if (at_op(c, "("))
            parse_call_args(c, n);
        of = node_seal(c, n);
    }
    return of;
}

/* "is x y": does an argument follow without parentheses? */
static bool at_bare_argument(const struct compile *c)
{
    const struct token *t = token_now(c);
    if (t->type == T_NAME)
        return !at_name(c, "else") && !at_name(c, "or") && !at_name(c, "and");
    return t->type == T_STRING || t->type == T_INTEGER || t->type == T_FLOAT || at_op(c, "[") ||
           at_op(c, "{");
}

static struct node *parse_test(struct compile *c, struct node *of)
{
    uint32_t line = expect(c, T_NAME, "is")->line;
    bool negated = skip_name(c, "not");
    struct node *n = node_new(c, N_TEST, line);
    n->x = of;
    n->attr = parse_dotted(c);
    n->native = test_find(n->attr);
    if (at_op(c, "(")) {
        parse_call_args(c, n);
    } else if (at_bare_argument(c)) {
        if (at_name(c, "is"))
            compile_fail(c, ST_INVALID, line, "You cannot chain multiple tests with is");
        struct list_builder b = {0};
        nodes_add(c, &b, parse_postfix(c, parse_primary(c, false)));
        n->list[0] = nodes_done(&b);
    }
    node_seal(c, n);
    return negated ? node_of(c, N_NOT, line, n, NULL) : n;
}

static struct node *parse_filter_expr(struct compile *c, struct node *n)
{
    for (;;) {
        if (at_op(c, "|"))
            n = parse_filters(c, n, false);
        else if (at_name(c, "is"))
            n = parse_test(c, n);
        else if (at_op(c, "("))
            n = parse_call(c, n);
        else
            return n;
    }
}

/* ---- operators, from the strongest to the weakest ---- */

static struct node *parse_unary(struct compile *c, bool with_filter)
{
    uint32_t line = token_now(c)->line;
    struct node *n;
    parse_enter(c);
    if (skip_op(c, "-"))
        n = node_of(c, N_NEG, line, parse_unary(c, false), NULL);
    else if (skip_op(c, "+"))
        n = node_of(c, N_POS, line, parse_unary(c, false), NULL);
    else
        n = parse_primary(c, false);
    n = parse_postfix(c, n);
    if (with_filter)
        n = parse_filter_expr(c, n);
    c->depth--;
    return n;
}

struct operator_row {
    const char *text;
    enum operator op;
};

static const struct operator_row powers[] = {{"**", OP_POW}, {NULL, 0}};
static const struct operator_row products[] = {
    {"*", OP_MUL}, {"/", OP_DIV}, {"//", OP_FLOORDIV}, {"%", OP_MOD}, {NULL, 0}};
static const struct operator_row sums[] = {{"+", OP_ADD}, {"-", OP_SUB}, {NULL, 0}};
static const struct operator_row comparisons[] = {{"==", OP_EQ}, {"!=", OP_NE}, {"<", OP_LT}, {"<=", OP_LE},
                                                  {">", OP_GT},  {">=", OP_GE}, {NULL, 0}};

static const struct operator_row *skip_operator(struct compile *c, const struct operator_row *rows)
{
    for (; rows->text; rows++)
        if (skip_op(c, rows->text))
            return rows;
    return NULL;
}

static struct node *parse_operand(struct compile *c)
{
    return parse_unary(c, true);
}

/* operand (op operand)*, to the left. */
static struct node *parse_chain(struct compile *c, const struct operator_row *rows,
                                struct node *(*part)(struct compile *))
{
    uint32_t line = token_now(c)->line;
    struct node *left = part(c);
    const struct operator_row *row;
    while ((row = skip_operator(c, rows))) {
        left = node_of(c, N_BINARY, line, left, part(c));
        left->op = (uint8_t)row->op;
        line = token_now(c)->line;
    }
    return left;
}

static struct node *parse_pow(struct compile *c)
{
    return parse_chain(c, powers, parse_operand);
}

static struct node *parse_product(struct compile *c)
{
    return parse_chain(c, products, parse_pow);
}

static struct node *parse_concat(struct compile *c)
{
    uint32_t line = token_now(c)->line;
    struct node *first = parse_product(c);
    if (!at_op(c, "~"))
        return first;
    struct list_builder b = {0};
    nodes_add(c, &b, first);
    while (skip_op(c, "~"))
        nodes_add(c, &b, parse_product(c));
    struct node *n = node_new(c, N_CONCAT, line);
    n->list[0] = nodes_done(&b);
    return node_seal(c, n);
}

static struct node *parse_sum(struct compile *c)
{
    return parse_chain(c, sums, parse_concat);
}

static struct node *parse_compare(struct compile *c)
{
    uint32_t line = token_now(c)->line;
    struct node *first = parse_sum(c);
    struct list_builder b = {0};
    for (;;) {
        const struct operator_row *row = skip_operator(c, comparisons);
        enum operator op = row ? row->op : OP_IN;
        if (!row && at_name(c, "not") && token_is(token_next(c), "in", T_NAME)) {
            token_skip(c);
            token_skip(c);
            op = OP_NOT_IN;
        } else if (!row && !skip_name(c, "in")) {
            break;
        }
        struct node *operand = node_of(c, N_OPERAND, line, parse_sum(c), NULL);
        operand->op = (uint8_t)op;
        nodes_add(c, &b, operand);
    }
    if (!b.n)
        return first;
    struct node *n = node_new(c, N_COMPARE, line);
    n->x = first;
    n->list[0] = nodes_done(&b);
    return node_seal(c, n);
}

static struct node *parse_not(struct compile *c)
{
    uint32_t line = token_now(c)->line;
    if (!skip_name(c, "not"))
        return parse_compare(c);
    parse_enter(c);
    struct node *n = node_of(c, N_NOT, line, parse_not(c), NULL);
    c->depth--;
    return n;
}

static struct node *parse_and(struct compile *c)
{
    uint32_t line = token_now(c)->line;
    struct node *left = parse_not(c);
    while (skip_name(c, "and"))
        left = node_of(c, N_AND, line, left, parse_not(c));
    return left;
}

static struct node *parse_or(struct compile *c)
{
    uint32_t line = token_now(c)->line;
    struct node *left = parse_and(c);
    while (skip_name(c, "or"))
        left = node_of(c, N_OR, line, left, parse_and(c));
    return left;
}

struct node *parse_expression(struct compile *c, bool with_cond)
{
    uint32_t line = token_now(c)->line;
    parse_enter(c);
    struct node *n = parse_or(c);
    while (with_cond && skip_name(c, "if")) {
        struct node *cond = node_new(c, N_COND, line);
        cond->y = n;
        cond->x = parse_or(c);
        if (skip_name(c, "else"))
            cond->z = parse_expression(c, true);
        n = node_seal(c, cond);
    }
    c->depth--;
    return n;
}

struct node *parse_tuple(struct compile *c, unsigned flags)
{
    const struct token *first = token_now(c);
    struct list_builder b = {0};
    bool is_tuple = false;
    for (;;) {
        if (b.n)
            expect(c, T_OPERATOR, ",");
        const struct token *t = token_now(c);
        if (t->type == T_VARIABLE_END || t->type == T_BLOCK_END || at_op(c, ")"))
            break;
        nodes_add(c, &b,
                  flags & TUPLE_SIMPLE ? parse_primary(c, flags & TUPLE_NAMESPACE)
                                       : parse_expression(c, !(flags & TUPLE_NO_COND)));
        if (!at_op(c, ","))
            break;
        is_tuple = true;
    }
    if (!is_tuple && b.n)
        return b.at[0];
    if (!is_tuple && !(flags & TUPLE_PARENTHESES))
        compile_fail(c, ST_INVALID, first->line, "Expected an expression, got '" STR_FMT "'",
                     STR_ARG(token_text(token_now(c))));
    struct node *n = node_new(c, N_TUPLE, first->line);
    n->list[0] = nodes_done(&b);
    return node_seal(c, n);
}

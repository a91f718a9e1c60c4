/* Inside of the template interpreter: source -> tokens (lexer.c) -> tree (parse_*.c) -> tree with every name
 * resolved to a slot (scope.c) -> text (exec.c, eval.c).
 *
 * Errors leave by longjmp: fail() and its like never return. That is safe because everything a compilation or
 * a render allocates is in its arena or in the output buffer, both owned by the one function that called
 * setjmp(). */
#ifndef TEXT_TEMPLATE_TEMPLATE_INT_H
#define TEXT_TEMPLATE_TEMPLATE_INT_H

#include "base/arena.h"
#include "base/map.h"
#include "text/template.h"
#include <setjmp.h>

/* ---- values ---- */

enum value_kind {
    V_MISSING, /* no value at all: a slot not yet set, an argument not given */
    V_UNDEFINED,
    V_NONE,
    V_BOOL,
    V_INT,
    V_UINT, /* an integer above INT64_MAX from JSON: may be printed and passed on, not computed with */
    V_FLOAT,
    V_STR,
    V_LIST,
    V_TUPLE,
    V_DICT,
    V_VIEW, /* keys(), values(), items() of a dict */
    V_RANGE,
    V_ITER, /* what Python makes lazily and only once */
    V_NAMESPACE,
    V_MACRO,
    V_METHOD, /* bound to its receiver */
    V_GLOBAL, /* a global function */
    V_LOOP,
    V_CYCLER,
    V_JOINER,
};

enum value_flag {
    FLAG_ASCII = 1,  /* of a V_STR: bytes are code points */
    FLAG_MARKUP = 2, /* of a V_STR: markupsafe.Markup */
    FLAG_GROUP = 4,  /* of a V_TUPLE: made by groupby, has .grouper and .list */
    FLAG_UNSAFE = 8, /* of a V_UNDEFINED: what the sandbox hides */
};

enum view_kind { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS };

struct value {
    uint8_t kind, flags;
    uint8_t view;
    uint32_t n; /* V_STR: bytes */
    union {
        int64_t i; /* V_BOOL, V_INT */
        uint64_t u;
        double f;
        const char *p;
        const struct list *list; /* V_LIST, V_TUPLE */
        const struct dict *dict; /* V_DICT, V_VIEW */
        const struct range *range;
        const struct undefined *undefined;
        struct iter *iter;
        struct namespace *ns;
        const struct macro *macro;
        const struct method *method;
        const struct native *native; /* V_GLOBAL */
        struct loop *loop;
        struct cycler *cycler;
        struct joiner *joiner;
    };
};

struct list {
    uint32_t n;
    struct value *at;
};

/* In the order of insertion; the index is there from some size on. */
struct dict {
    uint32_t n, cap;
    struct value *key, *val;
    uint32_t *slot; /* [n_slot] entry + 1, or NULL */
    uint32_t n_slot;
};

struct range {
    int64_t start, stop, step, n;
};

/* Why a value is undefined, for the message when it is used. */
struct undefined {
    struct str text;
};

struct namespace
{
    struct dict attrs;
};

struct joiner {
    struct value separator;
    bool used;
};

struct cycler {
    const struct list *items;
    uint32_t pos;
};

/* ---- the tree ---- */

enum node_type {
    /* statements */
    N_OUTPUT,       /* list[0] */
    N_FOR,          /* x target, y iterable, z test, list[0] body, list[1] else, flag recursive */
    N_IF,           /* x test, list[0] body, list[1] elif nodes, list[2] else */
    N_MACRO,        /* name, list[0] parameters, list[1] defaults of the last ones, list[2] body */
    N_CALL_BLOCK,   /* the same, x call; without it: generation */
    N_FILTER_BLOCK, /* x filter, list[0] body */
    N_WITH,         /* list[0] targets, list[1] values, list[2] body */
    N_BLOCK,        /* name, list[0] body */
    N_ASSIGN,       /* x target, y expression */
    N_ASSIGN_BLOCK, /* x target, y filter or NULL, list[0] body */
    N_BREAK,
    N_CONTINUE,
    /* expressions */
    N_TEXT, /* value: template data */
    N_CONST,
    N_NAME,    /* name, op: enum name_use */
    N_NSREF,   /* name, attr: target ns.attr */
    N_TUPLE,   /* list[0] */
    N_LIST,    /* list[0] */
    N_DICT,    /* list[0] keys, list[1] values */
    N_COND,    /* x test, y then, z else or NULL */
    N_FILTER,  /* attr its name, x value (NULL: text of the block), list[0] args, list[1] keywords, y *args, z
                **kwargs */
    N_TEST,    /* the same */
    N_CALL,    /* the same, x callee */
    N_KEYWORD, /* attr, x */
    N_GETATTR, /* x, attr */
    N_GETITEM, /* x, y */
    N_SLICE,   /* x, y, z each or NULL */
    N_CONCAT,  /* list[0] */
    N_COMPARE, /* x, list[0] operands */
    N_OPERAND, /* op, x */
    N_NOT,
    N_NEG,
    N_POS,
    N_AND,
    N_OR,
    N_BINARY, /* op, x, y */
};

enum name_use { USE_LOAD, USE_STORE, USE_PARAM };

enum operator{
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOORDIV,
    OP_MOD,
    OP_POW,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOT_IN
};

struct nodes {
    struct node **at;
    uint32_t n;
};

/* Where a value lives: `up` functions out, slot `slot` there. */
struct place {
    uint16_t up, slot;
};

enum load_kind { LOAD_PARAM, LOAD_RESOLVE, LOAD_ALIAS, LOAD_UNDEFINED };

/* What entering a scope does to each of its names. */
struct load {
    uint8_t kind;
    uint16_t slot;
    uint32_t name;       /* LOAD_RESOLVE */
    struct place source; /* LOAD_ALIAS */
};

struct scope {
    struct load *load;
    uint32_t n_load;
};

#define NO_SLOT UINT16_MAX

/* Of nodes that open scopes or functions. */
struct node_scopes {
    struct scope body, other, test; /* other: else of a loop */
    struct place loop;              /* the slot of `loop` in the body; slot NO_SLOT: not used */
    struct node *test_target;       /* a loop's target as its test sees it */
    uint16_t n_slot;      /* of the function that the node makes: macro, call block, block, recursive loop */
    uint16_t n_test_slot; /* of a loop's test */
    uint16_t caller, kwargs, varargs;
};

struct node {
    uint8_t type, op;
    bool flag;
    bool toplevel; /* of assignments and macros: blocks see the name */
    uint16_t height;
    uint32_t line, name;
    struct str attr;
    struct place place;
    struct node *x, *y, *z;
    struct nodes list[3];
    struct value value;
    const struct native *native; /* of a filter or test; NULL: there is none of this name */
    struct node_scopes *scopes;
};

#define MAX_HEIGHT 250 /* of the tree */
#define MAX_NAMES  4096

struct chat_template {
    struct arena memory;
    struct str *names;
    uint32_t n_names;
    struct nodes body;
    struct scope scope;
    uint16_t n_slot;
    bool has_blocks;
};

/* ---- compiling ---- */

enum token_type {
    T_EOF,
    T_DATA,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_VARIABLE_BEGIN,
    T_VARIABLE_END,
    T_NAME,
    T_STRING,
    T_INTEGER,
    T_FLOAT,
    T_OPERATOR, /* `text` tells which */
};

struct token {
    uint8_t type;
    uint32_t line;
    struct str text; /* of strings: unescaped */
    int64_t i;
    double f;
};

struct compile {
    struct chat_template *t;
    struct err *e;
    jmp_buf escape;
    struct arena *memory; /* the template's */
    struct arena scratch; /* dies with the compilation */
    struct token *tokens;
    uint32_t n_tokens, cap_tokens, at;
    unsigned depth;
    struct map names;
    uint64_t work; /* of resolving names */
    uint32_t id_loop, id_caller, id_kwargs, id_varargs, id_self, id_super;
};

_Noreturn void compile_fail(struct compile *c, enum status st, uint32_t line, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void *compile_alloc(struct compile *c, size_t n_bytes);   /* zeroed, in the template */
void *compile_scratch(struct compile *c, size_t n_bytes); /* zeroed, until the end of the compilation */
uint32_t name_intern(struct compile *c, struct str s);

void lex(struct compile *c, struct str source);
struct str unescape(struct compile *c, struct str body, uint32_t line);

/* parse_tokens.c; `c->at` is at the next token */
const struct token *token_now(const struct compile *c);
const struct token *token_next(const struct compile *c); /* the one behind it */
void token_skip(struct compile *c);
struct str token_text(const struct token *t); /* for messages */
bool token_is(const struct token *t, const char *op_or_name_text, enum token_type type);
bool at_name(const struct compile *c, const char *name);
bool at_op(const struct compile *c, const char *op);
bool skip_name(struct compile *c, const char *name);
bool skip_op(struct compile *c, const char *op);
const struct token *expect(struct compile *c, enum token_type type, const char *text);
struct node *node_new(struct compile *c, enum node_type type, uint32_t line);
/* To be called when the node's parts are in place: bounds the tree's height. */
struct node *node_seal(struct compile *c, struct node *n);
struct list_builder {
    struct node **at;
    uint32_t n, cap;
};
void nodes_add(struct compile *c, struct list_builder *b, struct node *n);
struct nodes nodes_done(const struct list_builder *b);
void parse_enter(struct compile *c); /* bounds recursion; its end is c->depth-- */

/* parse_expr.c */
struct node *parse_expression(struct compile *c, bool with_cond);
enum tuple_flag { TUPLE_SIMPLE = 1, TUPLE_NO_COND = 2, TUPLE_PARENTHESES = 4, TUPLE_NAMESPACE = 8 };
struct node *parse_tuple(struct compile *c, unsigned flags);
struct node *parse_filters(struct compile *c, struct node *node, bool start_inline);

struct nodes parse_template(struct compile *c);
void resolve_names(struct compile *c); /* scope.c */

/* ---- rendering ---- */

struct frame {
    struct frame *parent; /* lexically */
    struct value slot[];
};

struct run {
    const struct chat_template *t;
    const struct template_context *ctx;
    struct err *e;
    jmp_buf escape;
    struct arena memory;
    struct buf *out;
    size_t out_begin;
    uint64_t steps_left, hash_key;
    unsigned depth;
    uint32_t line;
    struct frame *frame;
    struct value
        *globals; /* [n_names] what a name means outside of all scopes; V_MISSING: not looked up yet */
    bool *looked_up;
    struct value *exports;   /* [n_names] what the top level set, when there are blocks */
    struct value block_text; /* what a filter block filters */
};

#define MAX_DEPTH 1200 /* of evaluation; bounds the C stack */

_Noreturn void fail(struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
_Noreturn void fail_limit(struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
_Noreturn void fail_memory(struct run *r);
/* raise_exception() of the template. */
_Noreturn void fail_raised(struct run *r, struct str message);
/* Using an undefined value is an error that says why it is undefined. */
_Noreturn void fail_undefined(struct run *r, struct value v);

void *run_alloc(struct run *r, size_t n_bytes);
void run_spend(struct run *r, uint64_t steps);
void run_spend_bytes(struct run *r, size_t n_bytes);
static inline void run_step(struct run *r)
{
    if (r->steps_left-- == 0) {
        r->steps_left = 0;
        fail_limit(r, "more steps than a render may take");
    }
}
static inline void run_enter(struct run *r)
{
    if (++r->depth > MAX_DEPTH)
        fail_limit(r, "nested too deeply: recursion of a macro or loop, or of a value");
}
static inline void run_leave(struct run *r)
{
    r->depth--;
}

/* value.c */
#define NONE    ((struct value){.kind = V_NONE})
#define MISSING ((struct value){.kind = V_MISSING})
static inline struct value value_bool(bool b)
{
    return (struct value){.kind = V_BOOL, .i = b};
}
static inline struct value value_int(int64_t i)
{
    return (struct value){.kind = V_INT, .i = i};
}
static inline struct value value_float(double f)
{
    return (struct value){.kind = V_FLOAT, .f = f};
}
static inline struct str value_text(struct value v) /* of a V_STR */
{
    return (struct str){v.p, v.n};
}
bool text_is_ascii(struct str s);
struct value value_str(struct run *r, struct str s);      /* borrows; finds out whether it is ASCII */
struct value value_str_copy(struct run *r, struct str s); /* into the render's memory */
struct value value_ascii(const char *literal);            /* borrows */
struct value value_list(enum value_kind kind, const struct list *l);
struct value value_pair(struct run *r, struct value a, struct value b);
struct value value_undefined(struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct value value_from_json(struct run *r, const struct json_val *v);
const char *type_name(struct value v);
bool value_true(struct run *r, struct value v);
bool value_equal(struct run *r, struct value a, struct value b);
bool value_same(struct value a, struct value b);
/* -1, 0 or 1 for orderable values; an error for others, naming `op`. Unordered numbers (nan) give 2. */
int value_compare(struct run *r, struct value a, struct value b, const char *op);
bool value_less(struct run *r, struct value a, struct value b);
bool value_contains(struct run *r, struct value container, struct value item);
bool value_len(struct run *r, struct value v, int64_t *n); /* false: it has no len() */
static inline bool is_str(struct value v)
{
    return v.kind == V_STR;
}
static inline bool is_int(struct value v) /* bool is one */
{
    return v.kind == V_INT || v.kind == V_BOOL;
}
static inline bool is_number(struct value v)
{
    return is_int(v) || v.kind == V_FLOAT;
}
static inline bool is_seq(struct value v)
{
    return v.kind == V_LIST || v.kind == V_TUPLE;
}
double value_as_float(struct value v); /* of a number */
int64_t want_int(struct run *r, struct value v, const char *what);
struct str want_str(struct run *r, struct value v, const char *what);

struct list_maker {
    struct run *r;
    struct value *at;
    uint32_t n, cap;
};
void list_add(struct list_maker *m, struct value v);
const struct list *list_done(const struct list_maker *m);
const struct list *list_of(struct run *r, struct value iterable); /* list(iterable) */
struct value list_at(struct value seq, uint32_t i);
void list_sort(struct run *r, struct value *keys, struct value *items, uint32_t n, bool reverse); /* stable */

/* dict.c */
void dict_put(struct run *r, struct dict *d, struct value key, struct value val);
bool dict_get(struct run *r, const struct dict *d, struct value key, struct value *out);
bool dict_get_text(struct run *r, const struct dict *d, struct str key, struct value *out);
struct dict *dict_new(struct run *r);
struct value value_dict(const struct dict *d);
/* dict(argument): of a dict or of pairs. */
void dict_update(struct run *r, struct dict *d, struct value from);

/* iter.c */
struct iter {
    bool (*next)(struct run *r, struct iter *it, struct value *out);
    const char *type; /* Python's name of it */
    struct value source;
    struct iter *from;
    int64_t i, n;
    size_t byte;
    bool started;
    const void *self; /* what `next` needs */
};
struct iter *iter_new(struct run *r, struct value v); /* iter(v), or an error */
bool iterable(struct value v);
bool iter_next(struct run *r, struct iter *it, struct value *out);
struct iter *iter_make(struct run *r, const char *type,
                       bool (*next)(struct run *, struct iter *, struct value *), struct value source,
                       const void *self);
struct value value_iter(struct iter *it);
struct value value_reversed(struct run *r, struct value v); /* V_MISSING: not reversible */

/* text.c: strings by code points */
size_t text_count(struct value s);
size_t text_offset(struct value s, size_t index); /* byte of the index-th code point; index <= count */
struct value text_sub(struct value s, size_t from_byte, size_t to_byte);
struct value text_concat(struct run *r, struct value a,
                         struct value b); /* a + b: escapes what is no markup */
struct value text_repeat(struct run *r, struct value s, int64_t times);
struct value text_escape(struct run *r, struct value v); /* markupsafe.escape() */
struct value text_soft(struct run *r, struct value v); /* soft_str(): strings as they are, others as str() */
bool cp_is_space(uint32_t cp);
bool cp_is_word(uint32_t cp); /* \w of Python's re */
bool cp_is_digit(uint32_t cp);
bool cp_is_printable(uint32_t cp);
struct str text_strip(struct str s, bool left, bool right);
struct str text_strip_set(struct run *r, struct str s, struct str set, bool left, bool right);
uint32_t text_cp(struct str s, size_t i, unsigned *len);
struct value slice_get(struct run *r, struct value v, struct value start, struct value stop,
                       struct value step);
struct value index_get(struct run *r, struct value v, int64_t i); /* V_MISSING: out of range */

enum pad_side { PAD_LEFT, PAD_RIGHT, PAD_BOTH };
struct value text_pad(struct run *r, struct value s, int64_t width, struct value fill, enum pad_side side);
struct value text_lines(struct run *r, struct value v, bool keep_ends);
struct value text_replace(struct run *r, struct value s, struct str old, struct str by,
                          int64_t count); /* count < 0: all */

struct value fold_case(struct run *r, struct value v,
                       struct value case_sensitive); /* lower(), unless it is true */

/* A string under construction in the render's memory. */
struct text {
    struct run *r;
    char *p;
    size_t n, cap;
};
void text_put(struct text *t, struct str s);
void text_put_char(struct text *t, char c);
void text_put_cp(struct text *t, uint32_t cp);
void text_put_fill(struct text *t, struct str fill, int64_t times);
struct value text_done(const struct text *t);

/* repr.c */
void put_str(struct text *t, struct value v);
void put_repr(struct text *t, struct value v);
void put_text_repr(struct text *t, struct str s);
void put_text_ascii(struct text *t, struct str s); /* ascii() of a repr */
size_t float_repr(double f, char out[40]);
struct value value_to_str(struct run *r, struct value v); /* str(v): V_STR without markup */
struct value pretty(struct run *r, struct value v);
void put_json(struct text *t, struct value v, struct value ensure_ascii, struct value indent,
              struct value separators, struct value sort_keys);

/* ops.c */
struct value op_binary(struct run *r, enum operator op, struct value a, struct value b);
struct value op_negate(struct run *r, struct value v);
struct value op_plus(struct run *r, struct value v);
bool op_compare(struct run *r, enum operator op, struct value a, struct value b);
const char *op_symbol(enum operator op);
struct value parse_int_text(struct run *r, struct str s, int base); /* V_MISSING: ValueError */
struct value parse_float_text(struct str s);                        /* V_MISSING: ValueError */

/* format.c */
struct value format_percent(struct run *r, struct value fmt, struct value args);
struct call;
struct value format_braces(struct run *r, struct value fmt,
                           const struct call *c);                       /* arg[0] is not an argument */
void put_integer(struct text *t, int64_t v, unsigned base, bool upper); /* without sign */

/* native.c: functions written here */
struct keyword {
    struct str name;
    struct value value;
};
struct call {
    struct value *arg;
    uint32_t n_arg;
    struct keyword *kw;
    uint32_t n_kw;
};
struct native {
    const char *name;
    /* Names of the parameters, "/" after those that are positional only; NULL: takes calls as they are. */
    const char *params;
    unsigned min;
    /* `arg` has as many values as there are parameters, V_MISSING where not given. */
    struct value (*run)(struct run *r, struct value *arg, const struct call *c);
};
#define MAX_PARAMS 8
struct value native_call(struct run *r, const struct native *f, const struct call *c);
const struct native *native_find(const struct native *table,
                                 struct str name); /* a table ends with a NULL name */
const struct native *filter_find(struct str name);
const struct native *test_find(struct str name);
extern const struct native filters_text[], filters_markup[], filters_number[], filters_seq[], filters_lazy[],
    tests_table[], globals_table[];
extern const struct native methods_str[], methods_case[], methods_find[], methods_dict[], methods_seq[],
    methods_number[], methods_other[];

static inline bool given(struct value v)
{
    return v.kind != V_MISSING;
}
static inline bool given_not_none(struct value v)
{
    return v.kind != V_MISSING && v.kind != V_NONE;
}

struct method {
    struct value self;
    const struct native *native;
};

/* attr.c */
struct value get_attr(struct run *r, struct value v, struct str name);
struct value get_item(struct run *r, struct value v, struct value key);
struct value get_own_attr(struct run *r, struct value v,
                          struct str name); /* V_MISSING: Python's getattr() fails */
/* Follows "a.b.0" from each value: what filters call an attribute. */
struct value get_path(struct run *r, struct value v, struct value path, struct value dflt);

/* eval.c */
struct value eval(struct run *r, const struct node *n);
struct value call_value(struct run *r, struct value f, const struct call *c);
/* Arguments of a call, filter or test; `first` and `extra` are put in front and behind when they are not
 * NULL. */
void eval_args(struct run *r, const struct node *n, const struct value *first, const struct keyword *extra,
               struct call *out);
struct value call_node(struct run *r, const struct node *n, const struct keyword *extra);
struct value *slot_at(struct run *r, struct place p);
struct value resolve_global(struct run *r, uint32_t name);

/* exec.c */
enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };
enum flow exec_list(struct run *r, struct nodes body);
void put_value(struct run *r, struct value v); /* to the output */
void assign(struct run *r, const struct node *target, struct value v);
void scope_enter(struct run *r, const struct scope *s);
void scope_leave(struct run *r, const struct scope *s);
struct frame *frame_new(struct run *r, struct frame *parent, uint32_t n_slot);
/* Takes what was written since `begin` out of the output, as a string. */
struct value capture(struct run *r, size_t begin);

/* loop.c */
struct loop {
    const struct node *node;
    struct frame *lexical;
    struct value iterable;
    struct iter *it;
    int64_t index0, length; /* length -1: not known yet */
    int64_t depth0;
    struct value after, current, before, changed;
};
enum flow exec_for(struct run *r, const struct node *n);
struct value loop_attr(struct run *r, struct loop *l, struct str name);
struct value loop_call(struct run *r, struct loop *l, const struct call *c);
extern const struct native methods_loop[];

/* macro.c */
struct macro {
    const struct node *node;
    struct frame *lexical;
};
struct value macro_new(struct run *r, const struct node *n);
struct value macro_call(struct run *r, const struct macro *m, const struct call *c);
struct value macro_attr(struct run *r, const struct macro *m, struct str name);

/* strftime.c */
struct value time_format(struct run *r, struct str format);

#endif

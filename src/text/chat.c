/* Chats: which template a conversation gets, and what it sees. What the templates mean is template/'s
 * business. */
#include "text/chat.h"
#include <stdlib.h>
#include <sys/time.h>

enum { N_FIXED = 4 };

struct chat {
    const struct tokenizer *tokenizer;           /* NULL: no special tokens */
    struct chat_template *template, *with_tools; /* NULL: as the other */
    struct json_doc *booleans;                   /* [false, true] */
};

static enum status chat_alloc(const struct tokenizer *t, struct chat **out, struct err *e)
{
    struct chat *c = calloc(1, sizeof *c);
    if (!c || json_parse(STR("[false,true]"), 0, &c->booleans, NULL) != ST_OK) {
        free(c);
        return err_set(e, ST_NO_MEMORY, "no memory for a chat template");
    }
    c->tokenizer = t;
    *out = c;
    return ST_OK;
}

static enum status compile(const struct tokenizer *t, const char *name, struct chat_template **out,
                           struct err *e)
{
    struct str source = tokenizer_template(t, str_from(name));
    if (source.n == 0)
        return ST_OK;
    enum status st = chat_template_compile(source, out, e);
    if (st != ST_OK)
        err_prefix(e, "chat template `%s`", name);
    return st;
}

enum status chat_new(const struct tokenizer *t, struct chat **out, struct err *e)
{
    struct chat *c;
    enum status st = chat_alloc(t, &c, e);
    if (st != ST_OK)
        return st;
    st = compile(t, "default", &c->template, e);
    if (st == ST_OK)
        st = compile(t, "tool_use", &c->with_tools, e);
    if (st == ST_OK && !c->template && !c->with_tools)
        st = err_set(e, ST_NOT_FOUND, "the model has no chat template");
    if (st != ST_OK) {
        chat_free(c);
        return st;
    }
    *out = c;
    return ST_OK;
}

enum status chat_from_source(struct str source, struct chat **out, struct err *e)
{
    struct chat *c;
    enum status st = chat_alloc(NULL, &c, e);
    if (st != ST_OK)
        return st;
    st = chat_template_compile(source, &c->template, e);
    if (st != ST_OK) {
        chat_free(c);
        return st;
    }
    *out = c;
    return ST_OK;
}

void chat_free(struct chat *c)
{
    if (!c)
        return;
    chat_template_free(c->template);
    chat_template_free(c->with_tools);
    json_free(c->booleans);
    free(c);
}

bool chat_mentions(const struct chat *c, struct str word)
{
    struct str source = c->tokenizer ? tokenizer_template(c->tokenizer, STR("default")) : STR("");
    return str_find(source, word, 0) != SIZE_MAX;
}

/* Special tokens first: whoever calls may say otherwise. */
static size_t put_special(const struct chat *c, struct template_var *vars)
{
    size_t n = 0;
    while (c->tokenizer && tokenizer_special(c->tokenizer, n, &vars[n].name, &vars[n].text))
        vars[n++].is_text = true;
    return n;
}

static size_t count_special(const struct chat *c)
{
    struct str name, text;
    size_t n = 0;
    while (c->tokenizer && tokenizer_special(c->tokenizer, n, &name, &text))
        n++;
    return n;
}

static void set_now(const struct chat_input *in, struct template_context *ctx)
{
    struct timeval tv;
    if (in->now) {
        ctx->now = *in->now;
        ctx->now_us = in->now_us;
        return;
    }
    gettimeofday(&tv, NULL);
    localtime_r(&tv.tv_sec, &ctx->now);
    ctx->now_us = (int)tv.tv_usec;
}

enum status chat_render(const struct chat *c, const struct chat_input *in, struct buf *out, struct err *e)
{
    struct template_context ctx = {0};
    struct template_var *vars = calloc(count_special(c) + 1 + N_FIXED + in->n_more, sizeof *vars);
    if (!vars)
        return err_set(e, ST_NO_MEMORY, "no memory for the variables of a chat template");
    size_t n = put_special(c, vars);
    vars[n++] = (struct template_var){.name = STR("messages"), .json = in->messages};
    vars[n++] = (struct template_var){.name = STR("tools"), .json = in->tools};
    vars[n++] = (struct template_var){.name = STR("documents"), .json = in->documents};
    vars[n++] = (struct template_var){.name = STR("add_generation_prompt"),
                                      .json = json_at(json_root(c->booleans), in->add_generation_prompt)};
    for (size_t i = 0; i < in->n_more; i++)
        vars[n++] = in->more[i];
    ctx.vars = vars;
    ctx.n_vars = n;
    ctx.max_steps = TEMPLATE_STEPS_FOR(in->n_bytes);
    set_now(in, &ctx);
    bool has_tools = !json_is_none(in->tools);
    bool use_tools = c->with_tools && (has_tools || !c->template);
    enum status st = chat_template_render(use_tools ? c->with_tools : c->template, &ctx, out, e);
    free(vars);
    return st;
}

/* One render: its limits, its memory, its errors. */
#include "base/rng.h"
#include "text/template/template_int.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BYTES_A_STEP 32

static _Noreturn void leave(struct run *r, enum status st, const char *text)
{
    err_set(r->e, st, "chat template, line %u: %s", r->line, text);
    longjmp(r->escape, (int)st);
}

void fail(struct run *r, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    leave(r, ST_UNSUPPORTED, text);
}

void fail_limit(struct run *r, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    leave(r, ST_LIMIT, text);
}

void fail_memory(struct run *r)
{
    fail_limit(r, "more memory than the %zu bytes that a render may take", r->memory.max_bytes);
}

void fail_undefined(struct run *r, struct value v)
{
    fail(r, STR_FMT, STR_ARG(v.undefined->text));
}

void fail_raised(struct run *r, struct str message)
{
    r->out->n = r->out_begin;
    buf_put_str(r->out, message);
    err_set(r->e, ST_INVALID, "%.*s", message.n > ERR_TEXT_MAX ? ERR_TEXT_MAX : (int)message.n, message.p);
    longjmp(r->escape, ST_INVALID);
}

void *run_alloc(struct run *r, size_t n_bytes)
{
    void *p = arena_alloc(&r->memory, n_bytes);
    if (!p)
        fail_memory(r);
    return p;
}

void run_spend(struct run *r, uint64_t steps)
{
    if (steps > r->steps_left)
        steps = r->steps_left;
    r->steps_left -= steps;
    run_step(r);
    r->steps_left++;
}

void run_spend_bytes(struct run *r, size_t n_bytes)
{
    if (n_bytes >= BYTES_A_STEP)
        run_spend(r, n_bytes / BYTES_A_STEP);
}

/* The only frame of setjmp(): nothing here changes between it and a longjmp(). */
static enum status run_template(struct run *r)
{
    int escaped = setjmp(r->escape);
    if (escaped)
        return (enum status)escaped;
    const struct chat_template *t = r->t;
    r->globals = run_alloc(r, t->n_names * sizeof *r->globals);
    r->looked_up = run_alloc(r, t->n_names);
    memset(r->looked_up, 0, t->n_names);
    if (t->has_blocks) {
        r->exports = run_alloc(r, t->n_names * sizeof *r->exports);
        memset(r->exports, 0, t->n_names * sizeof *r->exports);
    }
    r->frame = frame_new(r, NULL, t->n_slot);
    scope_enter(r, &t->scope);
    exec_list(r, t->body);
    return ST_OK;
}

enum status chat_template_render(const struct chat_template *t, const struct template_context *ctx,
                                 struct buf *out, struct err *e)
{
    struct run r = {.t = t,
                    .ctx = ctx,
                    .e = e,
                    .out = out,
                    .out_begin = out->n,
                    .line = 1,
                    .hash_key = rng_entropy(),
                    .steps_left = ctx->max_steps ? ctx->max_steps : TEMPLATE_DEFAULT_STEPS};
    arena_init(&r.memory, ctx->max_memory_bytes ? ctx->max_memory_bytes : TEMPLATE_DEFAULT_MEMORY_BYTES);
    enum status st = run_template(&r);
    arena_fini(&r.memory);
    if (st != ST_OK && st != ST_INVALID) {
        out->n = r.out_begin;
        out->failed = false;
    }
    return st;
}

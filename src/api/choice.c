/* Choices: events in, tokens with their texts out. */
#include "api/choice.h"
#include <stdlib.h>
#include <string.h>

#define TOKEN_TEXT_MAX_BYTES (1u << 20)

void choice_fini(struct choice *c)
{
    if (c->has_stream)
        stream_fini(&c->stream);
    free(c->token);
    free(c->top);
}

/* Room for `n` items more; the array at least doubles. */
static void *room_for(void *items, uint32_t used, uint32_t n, uint32_t *cap, size_t item_bytes)
{
    if (n <= *cap - used)
        return items;
    uint32_t more = *cap > n ? *cap : n > 64 ? n : 64;
    void *grown = realloc(items, ((size_t)*cap + more) * item_bytes);
    if (grown)
        *cap += more;
    return grown;
}

enum status choice_add(struct choice *c, const struct token_event *ev, bool *stopped)
{
    struct str delta;
    struct gen_token *token = room_for(c->token, c->n_token, 1, &c->cap_token, sizeof *token);
    c->token = token ? token : c->token;
    struct sample_top *top = room_for(c->top, c->n_top, ev->n_top, &c->cap_top, sizeof *top);
    c->top = top ? top : c->top;
    if (!token || (!top && ev->n_top))
        return ST_NO_MEMORY;
    enum status st = stream_push(&c->stream, ev->id, &delta, stopped);
    if (st != ST_OK)
        return st;
    c->token[c->n_token++] = (struct gen_token){.id = ev->id,
                                                .logprob = ev->logprob,
                                                .text_begin = (uint32_t)(c->stream.n_released - delta.n),
                                                .text_bytes = (uint32_t)delta.n,
                                                .top_begin = c->n_top,
                                                .n_top = ev->n_top};
    if (ev->n_top)
        memcpy(c->top + c->n_top, ev->top, ev->n_top * sizeof *top);
    c->n_top += ev->n_top;
    c->sum_logprob += ev->logprob;
    c->n_reused = ev->n_reused;
    return ST_OK;
}

enum status choice_finish_text(struct choice *c)
{
    struct str rest;
    enum status st = stream_finish(&c->stream, &rest);
    if (st == ST_OK && c->n_token)
        c->token[c->n_token - 1].text_bytes += (uint32_t)rest.n;
    return st;
}

static double mean_logprob(const struct choice *c)
{
    return c->sum_logprob / c->n_token;
}

const struct choice *choice_best(const struct choice *c, uint32_t n)
{
    const struct choice *best = c;
    for (uint32_t i = 1; i < n; i++)
        if (mean_logprob(&c[i]) > mean_logprob(best))
            best = &c[i];
    return best;
}

enum status lone_token_view(int32_t id, float logprob, const struct tokenizer *t, struct arena *arena,
                            struct token_view *out)
{
    struct buf text;
    buf_init(&text, TOKEN_TEXT_MAX_BYTES);
    tokenizer_decode(t, &id, 1, false, &text);
    *out = (struct token_view){.id = (uint32_t)id,
                               .text = arena_strdup(arena, buf_str(&text)),
                               .logprob = logprob,
                               .special = tokenizer_is_special(t, id)};
    if (!out->special)
        out->added = out->text;
    bool failed = text.failed || !out->text.p;
    buf_fini(&text);
    return failed ? ST_NO_MEMORY : ST_OK;
}

enum status choice_token_view(const struct choice *c, uint32_t i, const struct tokenizer *t,
                              struct arena *arena, struct token_view *out)
{
    const struct gen_token *token = &c->token[i];
    struct token_view *top = NULL;
    struct str added = {c->stream.text.p + token->text_begin, token->text_bytes};
    *out = (struct token_view){.id = (uint32_t)token->id,
                               .text = added,
                               .added = added,
                               .logprob = token->logprob,
                               .special = tokenizer_is_special(t, token->id)};
    if (out->special && c->stream.skip_special) /* it adds nothing to the text, but has a name */
        out->text = tokenizer_token_text(t, token->id);
    if (token->n_top == 0)
        return ST_OK;
    top = arena_array(arena, token->n_top, sizeof *top);
    enum status st = top ? ST_OK : ST_NO_MEMORY;
    for (uint32_t k = 0; k < token->n_top && st == ST_OK; k++) {
        const struct sample_top *x = &c->top[token->top_begin + k];
        st = lone_token_view(x->id, x->logprob, t, arena, &top[k]);
    }
    out->top = top;
    out->n_top = st == ST_OK ? token->n_top : 0;
    return st;
}

enum status choice_token_views(const struct choice *c, const struct tokenizer *t, struct arena *arena,
                               struct token_view **out)
{
    *out = arena_array(arena, c->n_token + 1, sizeof **out);
    enum status st = *out ? ST_OK : ST_NO_MEMORY;
    for (uint32_t i = 0; i < c->n_token && st == ST_OK; i++)
        st = choice_token_view(c, i, t, arena, &(*out)[i]);
    return st;
}

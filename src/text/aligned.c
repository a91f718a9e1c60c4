/* Aligned text: bytes that remember where they came from, in a call's arena. */
#include "text/text_int.h"
#include <string.h>

void scratch_no_memory(struct scratch *s)
{
    if (s->status == ST_OK)
        s->status = err_set(s->e, ST_LIMIT, "the text needs more memory than tokenizing may take");
}

bool aligned_reserve(struct aligned *a, struct scratch *s, size_t n)
{
    if (s->status != ST_OK)
        return false;
    if (n <= a->cap - a->n)
        return true;
    size_t cap = a->cap ? a->cap * 2 : 8; /* many sections are a character long */
    while (cap - a->n < n)
        cap *= 2;
    struct aligned grown = {.n = a->n, .cap = cap};
    grown.p = arena_alloc(&s->arena, cap);
    grown.begin = arena_array(&s->arena, cap, sizeof *grown.begin);
    grown.end = arena_array(&s->arena, cap, sizeof *grown.end);
    if (!grown.p || !grown.begin || !grown.end) {
        scratch_no_memory(s);
        return false;
    }
    if (a->n) {
        memcpy(grown.p, a->p, a->n);
        memcpy(grown.begin, a->begin, a->n * sizeof *a->begin);
        memcpy(grown.end, a->end, a->n * sizeof *a->end);
    }
    *a = grown;
    return true;
}

void aligned_put(struct aligned *a, struct scratch *s, const char *p, size_t n, uint32_t begin, uint32_t end)
{
    if (!aligned_reserve(a, s, n))
        return;
    for (size_t i = 0; i < n; i++) {
        a->p[a->n + i] = p[i];
        a->begin[a->n + i] = begin;
        a->end[a->n + i] = end;
    }
    a->n += n;
}

void aligned_copy(struct aligned *to, struct scratch *s, const struct aligned *from, size_t at, size_t n)
{
    if (n == 0 || !aligned_reserve(to, s, n))
        return;
    memcpy(to->p + to->n, from->p + at, n);
    memcpy(to->begin + to->n, from->begin + at, n * sizeof *from->begin);
    memcpy(to->end + to->n, from->end + at, n * sizeof *from->end);
    to->n += n;
}

void aligned_from(struct aligned *a, struct scratch *s, struct str text, uint32_t at)
{
    uint32_t cp;
    *a = (struct aligned){0};
    if (!aligned_reserve(a, s, text.n + 1))
        return;
    for (size_t i = 0; i < text.n;) {
        unsigned n = utf8_decode(text, i, &cp);
        aligned_put(a, s, text.p + i, n, at + (uint32_t)i, at + (uint32_t)i + n);
        i += n;
    }
}

struct str aligned_str(const struct aligned *a)
{
    return (struct str){a->p, a->n};
}

void section_piece(struct section *x, struct scratch *s, size_t begin, size_t end)
{
    if (begin == end || s->status != ST_OK)
        return;
    if (x->n_piece == x->cap_piece) {
        size_t cap = x->cap_piece ? x->cap_piece * 2 : 8;
        struct span *grown = arena_array(&s->arena, cap, sizeof *grown);
        if (!grown) {
            scratch_no_memory(s);
            return;
        }
        if (x->n_piece)
            memcpy(grown, x->piece, x->n_piece * sizeof *grown);
        x->piece = grown;
        x->cap_piece = cap;
    }
    x->piece[x->n_piece++] = (struct span){(uint32_t)begin, (uint32_t)end};
}

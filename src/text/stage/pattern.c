/* Patterns: literals and regular expressions as the tokenizers library's Oniguruma reads them, run by PCRE2.
 *
 * Bounds: steps at each place of a text and the time of a whole text, both in proportion to its length; a
 * hostile pattern ends with an error, not with a hang. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/clock.h"
#include "text/text_int.h"
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_MAX_BYTES    16384
#define TRANSLATED_MAX       (1u << 20)
#define MATCH_LIMIT_BASE     1000000u
#define MATCH_LIMIT_PER_BYTE 8u
#define HEAP_LIMIT_KIB       262144u
#define JIT_STACK_MIN_BYTES  (64u << 10)
#define JIT_STACK_MAX_BYTES  (256u << 20)
#define PLACES_AT_ONCE   16 /* where a match may begin, before the clock is looked at; doubled each time */
#define MATCHES_AT_ONCE  16
#define TIME_BASE_NS     2000000000u
#define TIME_NS_PER_BYTE 2000u

struct pattern {
    struct str literal;
    char *literal_text;
    pcre2_code *code;
};

static struct pattern *pattern_new(struct err *e)
{
    struct pattern *p = calloc(1, sizeof *p);
    if (!p)
        (void)err_set(e, ST_NO_MEMORY, "no memory for a pattern");
    return p;
}

static enum status compile(struct pattern *p, struct str text, struct err *e)
{
    int code;
    PCRE2_SIZE at;
    PCRE2_UCHAR reason[128] = "";
    pcre2_compile_context *how = pcre2_compile_context_create(NULL);
    if (!how)
        return err_set(e, ST_NO_MEMORY, "no memory for a pattern");
    pcre2_set_newline(how, PCRE2_NEWLINE_LF);
    pcre2_set_bsr(how, PCRE2_BSR_UNICODE);
    p->code = pcre2_compile((PCRE2_SPTR)(text.n ? text.p : ""), text.n,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
                                PCRE2_USE_OFFSET_LIMIT,
                            &code, &at, how);
    pcre2_compile_context_free(how);
    if (!p->code) {
        pcre2_get_error_message(code, reason, sizeof reason);
        return err_set(e, ST_UNSUPPORTED, "regular expression: %s", (char *)reason);
    }
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* where it is refused the interpreter serves */
    return ST_OK;
}

enum status pattern_compile(struct str regex, struct pattern **out, struct err *e)
{
    struct buf text;
    if (regex.n > PATTERN_MAX_BYTES)
        return err_set(e, ST_LIMIT, "the pattern is longer than %d bytes", PATTERN_MAX_BYTES);
    struct pattern *p = pattern_new(e);
    if (!p)
        return ST_NO_MEMORY;
    buf_init(&text, TRANSLATED_MAX);
    enum status st = pattern_translate(regex, &text, e);
    if (st == ST_OK)
        st = compile(p, buf_str(&text), e);
    buf_fini(&text);
    if (st != ST_OK) {
        pattern_free(p);
        return st;
    }
    *out = p;
    return ST_OK;
}

enum status pattern_literal(struct str text, struct pattern **out, struct err *e)
{
    if (text.n == 0) /* found everywhere */
        return pattern_compile(text, out, e);
    struct pattern *p = pattern_new(e);
    if (!p)
        return ST_NO_MEMORY;
    p->literal_text = malloc(text.n);
    if (!p->literal_text) {
        pattern_free(p);
        return err_set(e, ST_NO_MEMORY, "no memory for a pattern");
    }
    memcpy(p->literal_text, text.p, text.n);
    p->literal = (struct str){p->literal_text, text.n};
    *out = p;
    return ST_OK;
}

enum status pattern_read(const struct json_val *v, struct pattern **out, struct err *e)
{
    struct str text;
    if (json_str(json_get(v, STR("Regex")), &text))
        return pattern_compile(text, out, e);
    if (json_str(json_get(v, STR("String")), &text))
        return pattern_literal(text, out, e);
    return err_set(e, ST_INVALID, "`pattern` is neither a Regex nor a String");
}

void pattern_free(struct pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    free(p->literal_text);
    free(p);
}

void scratch_fini(struct scratch *s)
{
    pcre2_match_data_free(s->match_data);
    pcre2_match_context_free(s->match_context);
    pcre2_jit_stack_free(s->jit_stack);
    arena_fini(&s->arena);
}

/* ---- matching ---- */

/* PCRE2 may not know the youngest code points: where a text has some, the pattern sees older ones of the same
 * kind and length. */
static struct str with_stand_ins(struct str text, struct scratch *s)
{
    char *copy = NULL;
    for (size_t at = 0, n; at < text.n; at += n) {
        uint32_t cp, other;
        n = 1;
        if ((unsigned char)text.p[at] < 0xe0)
            continue;
        n = utf8_decode(text, at, &cp);
        if ((cp >= 0x3200 && cp < 0xa700) || (cp >= 0xac00 && cp <= 0xffff) ||
            !(other = unicode_stand_in(cp)))
            continue;
        if (!copy) {
            copy = arena_alloc(&s->arena, text.n);
            if (!copy) {
                scratch_no_memory(s);
                return text;
            }
            memcpy(copy, text.p, text.n);
        }
        utf8_encode(other, copy + at);
    }
    return copy ? (struct str){copy, text.n} : text;
}

struct matches matches_of(const struct pattern *p, struct scratch *s, struct str text)
{
    struct matches m = {.pattern = p, .text = text, .subject = text, .last_end = SIZE_MAX};
    if (p->code)
        m.subject = with_stand_ins(text, s);
    return m;
}

static bool give_up(struct scratch *s, int code)
{
    if (s->status == ST_OK)
        s->status = err_set(s->e, ST_LIMIT, "the tokenizer's pattern gave up on this text (code %d)", code);
    return false;
}

/* Every now and then: has matching this text taken longer than any honest pattern does? */
static bool in_time(struct scratch *s, size_t n_bytes)
{
    if (++s->n_matches % MATCHES_AT_ONCE != 0)
        return true;
    uint64_t now = clock_thread_cpu_ns(); /* a process that is held up is not at fault */
    if (!s->matching_since_ns)
        s->matching_since_ns = now;
    return now - s->matching_since_ns < TIME_BASE_NS + (uint64_t)n_bytes * TIME_NS_PER_BYTE || give_up(s, 0);
}

static bool matcher_ready(struct scratch *s)
{
    if (s->match_data && s->match_context)
        return true;
    s->match_data = pcre2_match_data_create(1, NULL);
    s->match_context = pcre2_match_context_create(NULL);
    if (!s->match_data || !s->match_context) {
        scratch_no_memory(s);
        return false;
    }
    pcre2_set_heap_limit(s->match_context, HEAP_LIMIT_KIB);
    return true;
}

/* One call of PCRE2, with more stack when what it has is not enough. */
static int match_at(const struct pattern *p, struct scratch *s, struct str text, size_t from, size_t limit)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)(text.n ? text.p : "");
    size_t steps = MATCH_LIMIT_BASE + MATCH_LIMIT_PER_BYTE * text.n;
    pcre2_set_match_limit(s->match_context, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    pcre2_set_offset_limit(s->match_context, limit);
    int n = pcre2_match(p->code, subject, text.n, from, PCRE2_NO_UTF_CHECK, s->match_data, s->match_context);
    if (n != PCRE2_ERROR_JIT_STACKLIMIT || s->jit_stack)
        return n;
    s->jit_stack = pcre2_jit_stack_create(JIT_STACK_MIN_BYTES, JIT_STACK_MAX_BYTES, NULL);
    pcre2_jit_stack_assign(s->match_context, NULL, s->jit_stack);
    return pcre2_match(p->code, subject, text.n, from, PCRE2_NO_UTF_CHECK, s->match_data, s->match_context);
}

/* The first match at or after `from`, empty or not. */
static bool find_match(const struct pattern *p, struct scratch *s, struct str text, size_t from,
                       size_t *begin, size_t *end)
{
    if (!p->code) {
        *begin = str_find(text, p->literal, from);
        *end = *begin + p->literal.n;
        return *begin != SIZE_MAX;
    }
    if (!matcher_ready(s))
        return false;
    for (size_t places = PLACES_AT_ONCE; from <= text.n && in_time(s, text.n); places *= 2) {
        size_t limit = text.n - from > places ? from + places : text.n;
        int n = match_at(p, s, text, from, limit);
        if (n >= 0) {
            const PCRE2_SIZE *match = pcre2_get_ovector_pointer(s->match_data);
            *begin = match[0];
            *end = match[1];
            return *begin <= *end || give_up(s, 0);
        }
        if (n != PCRE2_ERROR_NOMATCH)
            return give_up(s, n);
        s->n_matches |= MATCHES_AT_ONCE - 1; /* time to look at the clock */
        from = limit + 1;
        while (from < text.n && ((unsigned char)text.p[from] & 0xc0) == 0x80)
            from++;
    }
    return false;
}

bool matches_next(struct matches *m, struct scratch *s, size_t *begin, size_t *end)
{
    while (m->at <= m->text.n && m->text.n && s->status == ST_OK) {
        if (!find_match(m->pattern, s, m->subject, m->at, begin, end))
            return false;
        bool empty = *end == *begin, counts = !empty || *end != m->last_end;
        m->at = *end;
        if (counts)
            m->last_end = *end;
        if (empty)
            m->at++;
        while (empty && m->at < m->text.n && ((unsigned char)m->text.p[m->at] & 0xc0) == 0x80)
            m->at++;
        if (counts)
            return true;
    }
    return false;
}

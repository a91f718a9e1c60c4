/* Patterns: literals and regular expressions as the tokenizers library's Oniguruma reads them, run by PCRE2.
 *
 * A small translation goes first: \s means Unicode's White_Space exactly (PCRE2 counts U+180E too), \h is a
 * hexadecimal digit. What PCRE2 10.42 cannot express (nested classes, &&) is refused. Limits on every match:
 * a hostile pattern ends with an error, not with a hang. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/text_int.h"
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_MAX_BYTES 16384
#define MATCH_LIMIT       10000000u
#define HEAP_LIMIT_KIB    65536u

#define WHITE_SPACE                                                                                          \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{" \
    "3000}"

struct pattern {
    struct str literal;
    char *literal_text;
    pcre2_code *code;
    pcre2_match_context *context;
};

static enum status translate(struct str regex, struct buf *out, struct err *e)
{
    bool in_class = false;
    for (size_t i = 0; i < regex.n; i++) {
        char c = regex.p[i], next = i + 1 < regex.n ? regex.p[i + 1] : '\0';
        if (c == '\\' && next) {
            i++;
            if (next == 's')
                buf_printf(out, in_class ? "%s" : "[%s]", WHITE_SPACE);
            else if (next == 'S' && !in_class)
                buf_printf(out, "[^%s]", WHITE_SPACE);
            else if (next == 'h')
                buf_printf(out, in_class ? "%s" : "[%s]", "0-9a-fA-F");
            else if (next == 'S')
                return err_set(e, ST_UNSUPPORTED, "\\S inside a character class is not supported");
            else
                buf_put(out, (char[]){c, next}, 2);
            continue;
        }
        bool posix = in_class && c == '[' && next == ':';
        if (in_class && ((c == '[' && !posix) || (c == '&' && next == '&')))
            return err_set(e, ST_UNSUPPORTED, "nested character classes are not supported");
        if (posix) { /* [:alpha:] inside a class: copied whole */
            size_t close = str_find(regex, STR(":]"), i + 2);
            if (close == SIZE_MAX)
                return err_set(e, ST_INVALID, "a character class is not closed");
            buf_put(out, regex.p + i, close + 2 - i);
            i = close + 1;
            continue;
        }
        buf_put_char(out, c);
        if (!in_class && c == '[') {
            in_class = true;
            if (next == '^')
                buf_put_char(out, regex.p[++i]);
            if (i + 1 < regex.n && regex.p[i + 1] == ']') /* a leading ] stands for itself */
                buf_printf(out, "\\%c", regex.p[++i]);
        } else if (in_class && c == ']') {
            in_class = false;
        }
    }
    return out->failed ? err_set(e, ST_LIMIT, "the pattern is too long") : ST_OK;
}

enum status pattern_compile(struct str regex, struct pattern **out, struct err *e)
{
    struct buf text;
    int code;
    PCRE2_SIZE at;
    struct pattern *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, ST_NO_MEMORY, "no memory for a pattern");
    buf_init(&text, PATTERN_MAX_BYTES);
    enum status st = translate(regex, &text, e);
    if (st == ST_OK) {
        p->code = pcre2_compile((PCRE2_SPTR)text.p, text.n, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                                &code, &at, NULL);
        p->context = pcre2_match_context_create(NULL);
        if (!p->code) {
            PCRE2_UCHAR reason[128] = "";
            pcre2_get_error_message(code, reason, sizeof reason);
            st = err_set(e, ST_UNSUPPORTED, "regular expression: %s", (char *)reason);
        } else if (!p->context) {
            st = err_set(e, ST_NO_MEMORY, "no memory for a pattern");
        }
    }
    buf_fini(&text);
    if (st != ST_OK) {
        pattern_free(p);
        return st;
    }
    pcre2_set_match_limit(p->context, MATCH_LIMIT);
    pcre2_set_heap_limit(p->context, HEAP_LIMIT_KIB);
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* where it is refused the interpreter serves */
    *out = p;
    return ST_OK;
}

enum status pattern_read(const struct json_val *v, struct pattern **out, struct err *e)
{
    struct str text;
    if (json_str(json_get(v, STR("Regex")), &text))
        return pattern_compile(text, out, e);
    if (!json_str(json_get(v, STR("String")), &text) || text.n == 0)
        return err_set(e, ST_INVALID, "`pattern` is neither a Regex nor a non-empty String");
    struct pattern *p = calloc(1, sizeof *p);
    char *copy = malloc(text.n);
    if (!p || !copy) {
        free(p);
        free(copy);
        return err_set(e, ST_NO_MEMORY, "no memory for a pattern");
    }
    memcpy(copy, text.p, text.n);
    p->literal_text = copy;
    p->literal = (struct str){copy, text.n};
    *out = p;
    return ST_OK;
}

void pattern_free(struct pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    pcre2_match_context_free(p->context);
    free(p->literal_text);
    free(p);
}

void scratch_fini(struct scratch *s)
{
    pcre2_match_data_free(s->match_data);
    arena_fini(&s->arena);
}

bool pattern_next(const struct pattern *p, struct scratch *s, struct str text, size_t from, size_t *begin,
                  size_t *end)
{
    if (!p->code) {
        *begin = str_find(text, p->literal, from);
        *end = *begin + p->literal.n;
        return *begin != SIZE_MAX;
    }
    if (!s->match_data)
        s->match_data = pcre2_match_data_create(1, NULL);
    pcre2_match_data *data = s->match_data;
    if (!data) {
        scratch_no_memory(s);
        return false;
    }
    while (from <= text.n) {
        int n = pcre2_match(p->code, (PCRE2_SPTR)text.p, text.n, from, PCRE2_NO_UTF_CHECK, data, p->context);
        if (n == PCRE2_ERROR_NOMATCH)
            return false;
        if (n < 0) {
            if (s->status == ST_OK)
                s->status =
                    err_set(s->e, ST_LIMIT, "the tokenizer's pattern gave up on this text (code %d)", n);
            return false;
        }
        const PCRE2_SIZE *match = pcre2_get_ovector_pointer(data);
        if (match[1] > match[0]) {
            *begin = match[0];
            *end = match[1];
            return true;
        }
        from = match[1] + 1; /* an empty match splits nothing */
        while (from < text.n && ((unsigned char)text.p[from] & 0xc0) == 0x80)
            from++;
    }
    return false;
}

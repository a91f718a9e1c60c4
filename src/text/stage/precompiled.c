/* SentencePiece's compiled normalization rules: a double-array trie from bytes to places in a pool of
 * replacements, in base64. As the tokenizers library applies it: a cluster of under six bytes that begins
 * with a rule's left side becomes the right side of the shortest such rule; else each of its characters does.
 *
 * The trie is somebody else's: no index of it is followed out of the array. */
#include "text/text_int.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define CHARSMAP_MAX_BYTES (64u << 20)
#define SHORT_CLUSTER      6

struct charsmap {
    char *memory;
    const uint32_t *unit;
    size_t n_unit;
    struct str pool; /* replacements, each ending in NUL */
};

void precompiled_free(void *data)
{
    struct charsmap *m = data;
    free(m->memory);
    free(m);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict: padded, no bits left over. False when it is not base64. */
static bool base64_decode(struct str text, char *out, size_t *n)
{
    *n = 0;
    if (text.n % 4)
        return false;
    size_t padding = text.n && text.p[text.n - 1] == '=' ? text.p[text.n - 2] == '=' ? 2 : 1 : 0;
    for (size_t i = 0; i < text.n; i += 4) {
        uint32_t bits = 0;
        size_t pad = i + 4 == text.n ? padding : 0;
        for (size_t k = 0; k < 4; k++) {
            int v = k >= 4 - pad ? 0 : base64_value(text.p[i + k]);
            if (v < 0)
                return false;
            bits = bits << 6 | (uint32_t)v;
        }
        if (bits & ((1u << 8 * pad) - 1))
            return false;
        for (size_t k = 0; k < 3 - pad; k++)
            out[(*n)++] = (char)(bits >> (16 - 8 * k));
    }
    return true;
}

/* u32 bytes of the trie, the trie, the pool. */
static bool charsmap_take(struct charsmap *m, size_t n)
{
    uint32_t trie_bytes;
    if (n < 4)
        return false;
    memcpy(&trie_bytes, m->memory, 4);
    trie_bytes &= ~3u;
    if (trie_bytes == 0 || trie_bytes > n - 4)
        return false;
    m->unit = (const uint32_t *)(const void *)(m->memory + 4);
    m->n_unit = trie_bytes / 4;
    m->pool = (struct str){m->memory + 4 + trie_bytes, n - 4 - trie_bytes};
    return utf8_valid(m->pool);
}

enum status precompiled_read(const struct json_val *v, struct step *out, struct err *e)
{
    struct str text;
    size_t n = 0;
    if (!json_str(json_get(v, STR("precompiled_charsmap")), &text))
        return err_set(e, ST_INVALID, "`precompiled_charsmap` is not a string");
    if (text.n > CHARSMAP_MAX_BYTES)
        return err_set(e, ST_LIMIT, "`precompiled_charsmap` is too long");
    struct charsmap *m = calloc(1, sizeof *m);
    if (!m || !(m->memory = malloc(text.n + 4))) {
        free(m);
        return err_set(e, ST_NO_MEMORY, "no memory for a charsmap");
    }
    out->data = m;
    if (!base64_decode(text, m->memory, &n) || !charsmap_take(m, n))
        return err_set(e, ST_INVALID, "`precompiled_charsmap` cannot be read");
    return ST_OK;
}

static size_t unit_offset(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/* The replacement of the shortest rule that `key` begins with; false: there is none. */
static bool charsmap_find(const struct charsmap *m, struct str key, struct str *out)
{
    size_t at = unit_offset(m->unit[0]);
    for (size_t i = 0; i < key.n && key.p[i]; i++) {
        unsigned char c = (unsigned char)key.p[i];
        at ^= c;
        if (at >= m->n_unit || (m->unit[at] & (1u << 31 | 0xff)) != c)
            return false;
        uint32_t unit = m->unit[at];
        at ^= unit_offset(unit);
        if (!(unit >> 8 & 1))
            continue;
        size_t place = at < m->n_unit ? m->unit[at] & ~(1u << 31) : SIZE_MAX;
        if (place > m->pool.n)
            return false;
        const char *end = place < m->pool.n ? memchr(m->pool.p + place, '\0', m->pool.n - place) : NULL;
        *out = (struct str){m->pool.p + place, end ? (size_t)(end - m->pool.p) - place : m->pool.n - place};
        return utf8_valid(*out);
    }
    return false;
}

/* A run over a text. The last character is held back: a replacement of nothing counts as its. */
struct charsmap_run {
    struct rewrite r;
    struct str text;
    size_t kept; /* what is before it has been written */
    uint32_t last;
    int last_change;
    bool held;
};

static void hold(struct charsmap_run *run, struct scratch *s, uint32_t cp, int change)
{
    if (run->held)
        rewrite_put(&run->r, s, run->last, run->last_change);
    run->last = cp;
    run->last_change = change;
    run->held = true;
}

/* What no rule changes, up to `end`. */
static void keep_until(struct charsmap_run *run, struct scratch *s, size_t end)
{
    uint32_t cp;
    size_t last = end;
    if (end == run->kept)
        return;
    do
        last--;
    while (((unsigned char)run->text.p[last] & 0xc0) == 0x80);
    if (run->held)
        rewrite_put(&run->r, s, run->last, run->last_change);
    run->held = false;
    rewrite_keep(&run->r, s, run->kept, last - run->kept);
    utf8_decode(run->text, last, &cp);
    hold(run, s, cp, 0);
    run->kept = end;
}

/* One character replaces one; what is more is added, what is less goes with the last one. */
static void put_replacement(struct charsmap_run *run, struct scratch *s, struct str from, struct str to)
{
    size_t n_from = utf8_count(from), n_to = 0;
    for (size_t at = 0; at < to.n && s->status == ST_OK; n_to++) {
        uint32_t cp;
        at += utf8_decode(to, at, &cp);
        hold(run, s, cp, n_to >= n_from);
    }
    if (run->held && n_to < n_from)
        run->last_change -= (int)(n_from - n_to);
}

/* End of the grapheme cluster that begins at `at`. */
static size_t cluster_end(struct str text, size_t at)
{
    uint32_t cp, next;
    utf8proc_int32_t state = 0;
    at += utf8_decode(text, at, &cp);
    while (at < text.n) {
        unsigned n = utf8_decode(text, at, &next);
        if (cp < 0x80 && next < 0x80 && cp != '\r')
            return at;
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)cp, (utf8proc_int32_t)next, &state))
            return at;
        cp = next;
        at += n;
    }
    return at;
}

/* A short cluster that a rule begins, else each of its characters. */
static bool put_cluster(const struct charsmap *m, struct charsmap_run *run, struct scratch *s, size_t at,
                        size_t end)
{
    struct str to, whole = {run->text.p + at, end - at};
    bool is_whole = whole.n < SHORT_CLUSTER && charsmap_find(m, whole, &to), changed = false;
    for (size_t n; at < end; at += n) {
        uint32_t cp;
        n = is_whole ? whole.n : utf8_decode(run->text, at, &cp);
        struct str part = {run->text.p + at, n};
        if (!is_whole && (n == whole.n || !charsmap_find(m, part, &to))) /* one alone was looked up above */
            continue;
        keep_until(run, s, at);
        put_replacement(run, s, part, to);
        run->kept = at + n;
        changed = true;
    }
    return changed;
}

void precompiled_run(const struct step *step, struct section *x, struct scratch *s)
{
    struct charsmap_run run = {.r.from = x, .text = aligned_str(&x->text)};
    bool changed = false;
    for (size_t at = 0, end; at < run.text.n && s->status == ST_OK; at = end) {
        end = cluster_end(run.text, at);
        changed |= put_cluster(step->data, &run, s, at, end);
    }
    if (!changed)
        return;
    keep_until(&run, s, run.text.n);
    if (run.held)
        rewrite_put(&run.r, s, run.last, run.last_change);
    x->text = run.r.out;
}

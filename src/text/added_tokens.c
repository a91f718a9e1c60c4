/* Added tokens: cut out of the text before anything else, longest match first, by a byte trie.
 *
 * Tokens with `normalized` false are looked for in the text as given, the others in the normalized text
 * (their own contents normalized too). */
#include "text/text_int.h"
#include <stdlib.h>
#include <string.h>

static enum status read_token(const struct json_val *v, struct added_token *out, struct err *e)
{
    uint64_t id;
    *out = (struct added_token){0};
    if (!json_u64(json_get(v, STR("id")), &id) || id > INT32_MAX)
        return err_set(e, ST_INVALID, "tokenizer.json: an added token has no valid `id`");
    if (!json_str(json_get(v, STR("content")), &out->content) || out->content.n == 0 ||
        out->content.n > ADDED_TOKEN_MAX_BYTES)
        return err_set(e, ST_INVALID, "tokenizer.json: added token %llu has no valid `content`",
                       (unsigned long long)id);
    out->id = (int32_t)id;
    json_bool(json_get(v, STR("single_word")), &out->single_word);
    json_bool(json_get(v, STR("lstrip")), &out->lstrip);
    json_bool(json_get(v, STR("rstrip")), &out->rstrip);
    json_bool(json_get(v, STR("normalized")), &out->normalized);
    json_bool(json_get(v, STR("special")), &out->special);
    return ST_OK;
}

enum status added_tokens_read(const struct json_val *v, struct added_tokens *out, struct err *e)
{
    struct json_iter it = json_iter(v);
    const struct json_val *item;
    out->token = calloc(json_len(v) + 1, sizeof *out->token);
    if (!out->token)
        return err_set(e, ST_NO_MEMORY, "no memory for added tokens");
    while ((item = json_next(&it, NULL))) {
        enum status st = read_token(item, &out->token[out->n], e);
        if (st != ST_OK)
            return st;
        out->n++;
    }
    return ST_OK;
}

/* ---- the trie ---- */

static uint32_t trie_child(const struct trie *t, uint32_t node, unsigned char byte)
{
    uint32_t at = node == UINT32_MAX ? t->first[byte] : t->node[node].child;
    while (at != UINT32_MAX && t->node[at].byte != byte)
        at = t->node[at].sibling;
    return at;
}

static uint32_t trie_add_child(struct trie *t, uint32_t node, unsigned char byte)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 256;
        struct trie_node *grown = realloc(t->node, cap * sizeof *grown);
        if (!grown)
            return UINT32_MAX;
        t->node = grown;
        t->cap = cap;
    }
    uint32_t *link = node == UINT32_MAX ? &t->first[byte] : &t->node[node].child;
    uint32_t sibling = node == UINT32_MAX ? UINT32_MAX : *link, made = (uint32_t)t->n++;
    t->node[made] = (struct trie_node){.token = -1, .child = UINT32_MAX, .sibling = sibling, .byte = byte};
    *link = made;
    return made;
}

static enum status trie_add(struct trie *t, struct str key, int32_t token)
{
    uint32_t at = UINT32_MAX;
    for (size_t i = 0; i < key.n; i++) {
        uint32_t next = trie_child(t, at, (unsigned char)key.p[i]);
        if (next == UINT32_MAX)
            next = trie_add_child(t, at, (unsigned char)key.p[i]);
        if (next == UINT32_MAX)
            return ST_NO_MEMORY;
        at = next;
    }
    if (key.n && t->node[at].token < 0)
        t->node[at].token = token;
    return ST_OK;
}

/* The longest token that starts at text[at], or -1. */
static int32_t trie_longest(const struct trie *t, struct str text, size_t at, size_t *length)
{
    int32_t found = -1;
    uint32_t node = UINT32_MAX;
    for (size_t i = at; i < text.n; i++) {
        node = trie_child(t, node, (unsigned char)text.p[i]);
        if (node == UINT32_MAX)
            break;
        if (t->node[node].token >= 0) {
            found = t->node[node].token;
            *length = i + 1 - at;
        }
    }
    return found;
}

enum status added_tokens_prepare(struct added_tokens *a, const struct steps *normalizers, struct err *e)
{
    enum status st = ST_OK;
    memset(a->raw.first, 0xff, sizeof a->raw.first);
    memset(a->normalized.first, 0xff, sizeof a->normalized.first);
    for (size_t i = 0; i < a->n && st == ST_OK; i++) {
        struct added_token *t = &a->token[i];
        if (!t->normalized) {
            st = trie_add(&a->raw, t->content, (int32_t)i);
            continue;
        }
        struct scratch s = {.e = e};
        struct section x = {0};
        arena_init(&s.arena, 4u << 20);
        aligned_from(&x.text, &s, t->content, 0);
        steps_run(normalizers, &x, &s);
        st = s.status == ST_OK ? trie_add(&a->normalized, aligned_str(&x.text), (int32_t)i) : s.status;
        scratch_fini(&s);
    }
    return st == ST_NO_MEMORY ? err_set(e, st, "no memory for added tokens") : st;
}

void added_tokens_fini(struct added_tokens *a)
{
    free(a->token);
    free(a->raw.node);
    free(a->normalized.node);
    *a = (struct added_tokens){0};
}

/* ---- matching ---- */

static bool is_white(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == 0x20 || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
           cp == 0x3000;
}

/* Start of the character that ends at `end`. */
static size_t char_before(struct str text, size_t end)
{
    size_t at = end - 1;
    while (at > 0 && ((unsigned char)text.p[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static bool word_before(struct str text, size_t at)
{
    uint32_t cp;
    return at > 0 && utf8_decode(text, char_before(text, at), &cp) && unicode_is_word(cp);
}

static bool word_after(struct str text, size_t at)
{
    uint32_t cp;
    return at < text.n && utf8_decode(text, at, &cp) && unicode_is_word(cp);
}

static size_t strip_left(struct str text, size_t at, size_t least)
{
    uint32_t cp;
    while (at > least) {
        size_t before = char_before(text, at);
        if (before < least || !utf8_decode(text, before, &cp) || !is_white(cp))
            break;
        at = before;
    }
    return at;
}

static size_t strip_right(struct str text, size_t at)
{
    uint32_t cp;
    while (at < text.n) {
        unsigned n = utf8_decode(text, at, &cp);
        if (!n || !is_white(cp))
            break;
        at += n;
    }
    return at;
}

struct added_match added_tokens_next(const struct added_tokens *a, const struct trie *trie, struct str text,
                                     size_t from, size_t *at)
{
    size_t length = 0;
    for (; *at < text.n; ++*at) {
        if (trie->first[(unsigned char)text.p[*at]] == UINT32_MAX)
            continue;
        int32_t index = trie_longest(trie, text, *at, &length);
        if (index < 0)
            continue;
        const struct added_token *t = &a->token[index];
        size_t begin = *at, end = *at + length;
        if (t->single_word && (word_before(text, begin) || word_after(text, end))) {
            *at = end - 1; /* as the library does: the search goes on behind the refused match */
            continue;
        }
        if (t->lstrip)
            begin = strip_left(text, begin, from);
        if (t->rstrip)
            end = strip_right(text, end);
        *at = end;
        return (struct added_match){begin, end, t};
    }
    return (struct added_match){from, text.n, NULL};
}

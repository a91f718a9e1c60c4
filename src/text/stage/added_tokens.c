/* Added tokens: cut out of the text before anything else, longest match first, by a byte trie.
 *
 * Tokens with `normalized` false are looked for in the text as given, the others in the normalized text
 * (their own contents normalized too). */
#include "text/model/model_int.h"
#include <stdlib.h>
#include <string.h>

static enum status read_token(const struct json_val *v, struct added_token *out, struct err *e)
{
    *out = (struct added_token){0};
    if (!json_str(json_get(v, STR("content")), &out->content) || out->content.n > ADDED_TOKEN_MAX_BYTES)
        return err_set(e, ST_INVALID, "tokenizer.json: an added token has no valid `content`");
    json_bool(json_get(v, STR("single_word")), &out->single_word);
    json_bool(json_get(v, STR("lstrip")), &out->lstrip);
    json_bool(json_get(v, STR("rstrip")), &out->rstrip);
    json_bool(json_get(v, STR("normalized")), &out->normalized);
    json_bool(json_get(v, STR("special")), &out->special);
    out->once_normalized = out->normalized;
    return ST_OK;
}

static struct str id_key(const struct added_token *t)
{
    return (struct str){(const char *)&t->id, sizeof t->id};
}

/* Gives a token its id, as the library does whatever the file says: that of an equal token, of the model's,
 * or the next one behind all others. A later token with the same id takes the place of the earlier. */
static enum status place_token(struct added_tokens *a, struct added_token t, const struct token_model *model,
                               uint64_t *next, struct map *by_content, struct map *by_id)
{
    uint64_t slot = a->n;
    if (map_get(by_content, t.content, &slot)) {
        t.id = a->token[slot].id;
        t.special |= a->token[slot].special; /* once special, always special */
        t.once_normalized |= a->token[slot].once_normalized;
    } else {
        t.id = model_id(model, t.content);
        if (t.id < 0)
            t.id = (int32_t)*next;
        if ((uint64_t)t.id >= *next)
            *next = (uint64_t)t.id + 1;
        if (!map_get(by_id, id_key(&t), &slot))
            slot = a->n;
    }
    a->token[slot] = t;
    if (slot < a->n)
        return map_put(by_content, t.content, slot);
    a->n++;
    enum status st = map_put(by_content, t.content, slot);
    return st == ST_OK ? map_put(by_id, id_key(&a->token[slot]), slot) : st;
}

enum status added_tokens_read(const struct json_val *v, const struct token_model *model,
                              struct added_tokens *out, struct err *e)
{
    struct json_iter it = json_iter(v);
    const struct json_val *item;
    struct map by_content = {0}, by_id = {0};
    uint64_t next = model_vocab_size(model);
    enum status st = ST_OK;
    out->token = calloc(json_len(v) + 1, sizeof *out->token);
    if (!out->token || map_init(&by_content, json_len(v)) != ST_OK || map_init(&by_id, json_len(v)) != ST_OK)
        st = ST_NO_MEMORY;
    while (st == ST_OK && (item = json_next(&it, NULL))) {
        struct added_token t;
        st = read_token(item, &t, e);
        if (st == ST_OK && t.content.n)
            st = place_token(out, t, model, &next, &by_content, &by_id);
    }
    map_fini(&by_content);
    map_fini(&by_id);
    return st == ST_NO_MEMORY ? err_set(e, st, "no memory for added tokens") : st;
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

/* What the token is looked for as in normalized text, and decoded as. */
static enum status normalize_token(struct added_token *t, const struct steps *normalizers, struct err *e)
{
    struct scratch s = {.e = e};
    struct section x = {0};
    arena_init(&s.arena, 16u << 20);
    aligned_from(&x.text, &s, t->content, 0);
    steps_run(normalizers, &x, &s);
    struct str normal = aligned_str(&x.text);
    if (s.status == ST_OK && !str_eq(normal, t->content)) {
        t->memory = malloc(normal.n + 1);
        if (t->memory && normal.n)
            memcpy(t->memory, normal.p, normal.n);
        else if (!t->memory)
            scratch_no_memory(&s);
        t->normal = (struct str){t->memory, normal.n};
    }
    scratch_fini(&s);
    return s.status;
}

static enum status prepare_token(struct added_tokens *a, size_t i, const struct steps *normalizers,
                                 struct err *e)
{
    struct added_token *t = &a->token[i];
    enum status st = ST_OK;
    t->normal = t->content;
    if (t->normalized || t->once_normalized)
        st = normalize_token(t, normalizers, e);
    if (st != ST_OK)
        return st;
    return t->normalized ? trie_add(&a->normalized, t->normal, (int32_t)i)
                         : trie_add(&a->raw, t->content, (int32_t)i);
}

enum status added_tokens_prepare(struct added_tokens *a, const struct steps *normalizers, struct err *e)
{
    enum status st = ST_OK;
    memset(a->raw.first, 0xff, sizeof a->raw.first);
    memset(a->normalized.first, 0xff, sizeof a->normalized.first);
    for (size_t i = 0; i < a->n && st == ST_OK; i++)
        st = prepare_token(a, i, normalizers, e);
    return st == ST_NO_MEMORY ? err_set(e, st, "no memory for added tokens") : st;
}

void added_tokens_fini(struct added_tokens *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->token[i].memory);
    free(a->token);
    free(a->raw.node);
    free(a->normalized.node);
    *a = (struct added_tokens){0};
}

/* ---- matching ---- */

static bool is_of(uint32_t cp, enum unicode_class class)
{
    return unicode_classes(cp) & class;
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
    return at > 0 && utf8_decode(text, char_before(text, at), &cp) && is_of(cp, UNICODE_WORD);
}

static bool word_after(struct str text, size_t at)
{
    uint32_t cp;
    return at < text.n && utf8_decode(text, at, &cp) && is_of(cp, UNICODE_WORD);
}

static size_t strip_left(struct str text, size_t at, size_t least)
{
    uint32_t cp;
    while (at > least) {
        size_t before = char_before(text, at);
        if (before < least || !utf8_decode(text, before, &cp) || !is_of(cp, UNICODE_WHITE))
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
        if (!n || !is_of(cp, UNICODE_WHITE))
            break;
        at += n;
    }
    return at;
}

/* The search goes on behind what was found, not behind the white space stripped with it or a match refused;
 * so a token found may begin before `from`. */
struct added_match added_tokens_next(const struct added_tokens *a, const struct trie *trie, struct str text,
                                     size_t from, size_t *at)
{
    size_t length = 0;
    while (*at < text.n) {
        int32_t index = trie->first[(unsigned char)text.p[*at]] == UINT32_MAX
                            ? -1
                            : trie_longest(trie, text, *at, &length);
        if (index < 0) {
            ++*at;
            continue;
        }
        const struct added_token *t = &a->token[index];
        size_t begin = *at, end = *at + length;
        *at = end;
        if (t->single_word && (word_before(text, begin) || word_after(text, end)))
            continue;
        if (t->lstrip) {
            begin = begin > from ? strip_left(text, begin, from) : from;
        }
        if (t->rstrip)
            end = strip_right(text, end);
        if (begin < end)
            return (struct added_match){begin, end, t};
    }
    return (struct added_match){from, text.n, NULL};
}

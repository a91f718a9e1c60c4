/* Decoders: token texts on their way to one text. A list of items is rewritten by each decoder in turn.
 *
 * Bytes that are no UTF-8 become U+FFFD at the very end only where the library makes them so. */
#include "text/text_int.h"
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

bool decode_list_add(struct decode_list *l, const char *p, size_t n)
{
    if (l->failed)
        return false;
    if (n > l->cap_text - l->n_text) {
        size_t cap = l->cap_text ? l->cap_text * 2 : 1024;
        while (cap - l->n_text < n)
            cap *= 2;
        char *grown = arena_alloc(&l->arena, cap);
        if (!grown) {
            l->failed = true;
            return false;
        }
        if (l->n_text)
            memcpy(grown, l->text, l->n_text);
        l->text = grown;
        l->cap_text = cap;
    }
    if (l->n_item == l->cap_item) {
        size_t cap = l->cap_item ? l->cap_item * 2 : 64;
        struct decode_item *grown = arena_array(&l->arena, cap, sizeof *grown);
        if (!grown) {
            l->failed = true;
            return false;
        }
        if (l->n_item)
            memcpy(grown, l->item, l->n_item * sizeof *grown);
        l->item = grown;
        l->cap_item = cap;
    }
    if (n)
        memcpy(l->text + l->n_text, p, n);
    l->item[l->n_item++] = (struct decode_item){(uint32_t)l->n_text, (uint32_t)n};
    l->n_text += n;
    return true;
}

static struct str item_str(const struct decode_list *l, size_t i)
{
    return l->item[i].n ? (struct str){l->text + l->item[i].begin, l->item[i].n} : STR("");
}

/* Starts a new list in the old one's arena; the old one's text stays readable. */
static struct decode_list successor(const struct decode_list *l)
{
    return (struct decode_list){.arena = l->arena, .failed = l->failed};
}

/* Invalid sequences become one U+FFFD for each maximal part of a sequence, as Rust's lossy conversion does.
 */
static void put_lossy(struct buf *out, struct str text)
{
    uint32_t cp;
    for (size_t i = 0; i < text.n;) {
        unsigned n = utf8_decode(text, i, &cp);
        if (n) {
            buf_put(out, text.p + i, n);
            i += n;
            continue;
        }
        buf_put(out, REPLACEMENT, 3);
        i += utf8_invalid_length(text, i);
    }
}

/* ---- ByteLevel ---- */

size_t byte_level_bytes(struct str token, char *out)
{
    size_t n = 0;
    uint32_t cp;
    for (size_t i = 0; i < token.n;) {
        unsigned k = utf8_decode(token, i, &cp);
        int byte = k ? byte_level_decode(cp) : -1;
        if (byte < 0) {
            memcpy(out, token.p, token.n);
            return token.n;
        }
        out[n++] = (char)byte;
        i += k;
    }
    return n;
}

static void decode_byte_level(const struct step *step, struct decode_list *l)
{
    (void)step;
    struct decode_list out = successor(l);
    struct buf text;
    size_t n = 0;
    char *all = arena_alloc(&out.arena, l->n_text + 1);
    buf_init(&text, 3 * l->n_text + 16);
    for (size_t i = 0; all && i < l->n_item; i++)
        n += byte_level_bytes(item_str(l, i), all + n);
    if (all)
        put_lossy(&text, (struct str){all, n});
    if (!all || text.failed)
        out.failed = true;
    decode_list_add(&out, text.p, text.n);
    buf_fini(&text);
    *l = out;
}

/* ---- ByteFallback ---- */

int fallback_byte(struct str token)
{
    static const char digits[] = "0123456789abcdef";
    if (token.n != 6 || memcmp(token.p, "<0x", 3) != 0 || token.p[5] != '>')
        return -1;
    int value = 0;
    for (int i = token.p[3] == '+' ? 4 : 3; i < 5; i++) { /* Rust reads a sign */
        char c = token.p[i] >= 'A' && token.p[i] <= 'F' ? (char)(token.p[i] + 32) : token.p[i];
        const char *at = c ? strchr(digits, c) : NULL;
        if (!at)
            return -1;
        value = value * 16 + (int)(at - digits);
    }
    return value;
}

static void flush_bytes(struct decode_list *out, char *bytes, size_t *n)
{
    if (*n && utf8_valid((struct str){bytes, *n}))
        decode_list_add(out, bytes, *n);
    else
        for (size_t i = 0; i < *n; i++)
            decode_list_add(out, REPLACEMENT, 3);
    *n = 0;
}

static void decode_byte_fallback(const struct step *step, struct decode_list *l)
{
    (void)step;
    struct decode_list out = successor(l);
    char *bytes = arena_alloc(&out.arena, l->n_item + 1);
    size_t n = 0;
    out.failed |= !bytes;
    for (size_t i = 0; i < l->n_item && !out.failed; i++) {
        int byte = fallback_byte(item_str(l, i));
        if (byte >= 0) {
            bytes[n++] = (char)byte;
            continue;
        }
        flush_bytes(&out, bytes, &n);
        decode_list_add(&out, item_str(l, i).p, l->item[i].n);
    }
    if (!out.failed)
        flush_bytes(&out, bytes, &n);
    *l = out;
}

/* ---- the smaller ones ---- */

static void decode_fuse(const struct step *step, struct decode_list *l)
{
    (void)step;
    struct decode_list out = successor(l);
    char *all = arena_alloc(&out.arena, l->n_text + 1);
    size_t n = 0;
    out.failed |= !all;
    for (size_t i = 0; i < l->n_item && all; i++) {
        memcpy(all + n, item_str(l, i).p, l->item[i].n);
        n += l->item[i].n;
    }
    if (l->n_item)
        decode_list_add(&out, all, n);
    *l = out;
}

static void decode_replace(const struct step *step, struct decode_list *l)
{
    struct decode_list out = successor(l);
    struct scratch s = {.e = NULL};
    struct buf text;
    arena_init(&s.arena, 1u << 20);
    buf_init(&text, SIZE_MAX / 2);
    for (size_t i = 0; i < l->n_item && !out.failed; i++) {
        struct str item = item_str(l, i);
        struct matches matches = matches_of(step->pattern, &s, item);
        size_t at = 0, begin, end;
        buf_clear(&text);
        while (matches_next(&matches, &s, &begin, &end)) {
            buf_put(&text, item.p + at, begin - at);
            buf_put_str(&text, step->text);
            at = end;
        }
        buf_put(&text, item.p + at, item.n - at);
        out.failed |= text.failed || s.status != ST_OK;
        decode_list_add(&out, text.p, text.n);
    }
    buf_fini(&text);
    scratch_fini(&s);
    *l = out;
}

static enum status read_strip(const struct json_val *v, struct step *out, struct err *e)
{
    uint64_t start = 0, stop = 0;
    if (!json_str(json_get(v, STR("content")), &out->text) || utf8_count(out->text) != 1)
        return err_set(e, ST_INVALID, "`content` is not a character");
    json_u64(json_get(v, STR("start")), &start);
    json_u64(json_get(v, STR("stop")), &stop);
    out->start = start > UINT32_MAX ? UINT32_MAX : (unsigned)start;
    out->stop = stop > UINT32_MAX ? UINT32_MAX : (unsigned)stop;
    return ST_OK;
}

static void decode_strip(const struct step *step, struct decode_list *l)
{
    for (size_t i = 0; i < l->n_item; i++) {
        struct str item = item_str(l, i);
        for (unsigned k = 0; k < step->start && str_has_prefix(item, step->text); k++) {
            item.p += step->text.n;
            item.n -= step->text.n;
        }
        for (unsigned k = 0; k < step->stop && str_has_suffix(item, step->text); k++)
            item.n -= step->text.n;
        l->item[i] = (struct decode_item){(uint32_t)(item.p - l->text), (uint32_t)item.n};
    }
}

/* Text with every `from` replaced, as Rust replaces: an empty `from` is found before each character and at
 * the end. */
static void put_replaced(struct buf *out, struct str text, struct str from, struct str to)
{
    size_t at = 0, found;
    uint32_t cp;
    while (from.n && (found = str_find(text, from, at)) != SIZE_MAX) {
        buf_put(out, text.p + at, found - at);
        buf_put_str(out, to);
        at = found + from.n;
    }
    while (!from.n && at < text.n) {
        unsigned n = utf8_decode(text, at, &cp);
        buf_put_str(out, to);
        buf_put(out, text.p + at, n ? n : 1);
        at += n ? n : 1;
    }
    if (!from.n)
        buf_put_str(out, to);
    if (at < text.n)
        buf_put(out, text.p + at, text.n - at);
}

/* Rewrites each item by itself; an item that `change` says no to goes. */
static void change_items(const struct step *step, struct decode_list *l,
                         bool (*change)(const struct step *step, const struct decode_list *l, size_t i,
                                        struct buf *out))
{
    struct decode_list out = successor(l);
    struct buf text;
    buf_init(&text, SIZE_MAX / 2);
    for (size_t i = 0; i < l->n_item && !out.failed; i++) {
        buf_clear(&text);
        if (change(step, l, i, &text))
            decode_list_add(&out, text.p, text.n);
        out.failed |= text.failed;
    }
    buf_fini(&text);
    *l = out;
}

/* ---- Metaspace ---- */

/* The first token's spaces are taken for those that encoding put in front. */
static bool change_metaspace(const struct step *step, const struct decode_list *l, size_t i, struct buf *out)
{
    bool drop = i == 0 && step->option != PREPEND_NEVER;
    put_replaced(out, item_str(l, i), step->text, drop ? STR("") : STR(" "));
    return true;
}

static void decode_metaspace(const struct step *step, struct decode_list *l)
{
    change_items(step, l, change_metaspace);
}

/* ---- BPEDecoder ---- */

static enum status read_bpe(const struct json_val *v, struct step *out, struct err *e)
{
    return json_str(json_get(v, STR("suffix")), &out->text)
               ? ST_OK
               : err_set(e, ST_INVALID, "`suffix` is not a string");
}

static bool change_bpe(const struct step *step, const struct decode_list *l, size_t i, struct buf *out)
{
    put_replaced(out, item_str(l, i), step->text, i + 1 == l->n_item ? STR("") : STR(" "));
    return true;
}

static void decode_bpe(const struct step *step, struct decode_list *l)
{
    change_items(step, l, change_bpe);
}

/* ---- WordPiece, CTC ---- */

/* English as people space it, one rule after the other. */
static void clean_up(struct buf *text)
{
    static const char *const rules[][2] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    struct buf other;
    if (!text->n || !memchr(text->p, ' ', text->n))
        return;
    buf_init(&other, text->max);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (str_find(buf_str(text), str_from(rules[i][0]), 0) == SIZE_MAX)
            continue;
        buf_clear(&other);
        put_replaced(&other, buf_str(text), str_from(rules[i][0]), str_from(rules[i][1]));
        struct buf swap = *text;
        *text = other;
        other = swap;
    }
    text->failed |= other.failed;
    buf_fini(&other);
}

static enum status read_word_piece(const struct json_val *v, struct step *out, struct err *e)
{
    if (!json_str(json_get(v, STR("prefix")), &out->text) ||
        !json_bool(json_get(v, STR("cleanup")), &out->flag))
        return err_set(e, ST_INVALID, "`prefix` or `cleanup` is missing or of a wrong kind");
    return ST_OK;
}

static bool change_word_piece(const struct step *step, const struct decode_list *l, size_t i, struct buf *out)
{
    struct str item = item_str(l, i);
    bool continues = i && str_has_prefix(item, step->text);
    size_t skip = continues ? step->text.n : 0;
    if (i && !continues)
        buf_put_char(out, ' ');
    buf_put(out, item.p + skip, item.n - skip);
    if (step->flag)
        clean_up(out);
    return true;
}

static void decode_word_piece(const struct step *step, struct decode_list *l)
{
    change_items(step, l, change_word_piece);
}

static enum status read_ctc(const struct json_val *v, struct step *out, struct err *e)
{
    if (!json_str(json_get(v, STR("pad_token")), &out->text) ||
        !json_str(json_get(v, STR("word_delimiter_token")), &out->other) ||
        !json_bool(json_get(v, STR("cleanup")), &out->flag))
        return err_set(e, ST_INVALID,
                       "`pad_token`, `word_delimiter_token` or `cleanup` is missing or of a wrong kind");
    return ST_OK;
}

static bool change_ctc(const struct step *step, const struct decode_list *l, size_t i, struct buf *out)
{
    struct str item = item_str(l, i);
    struct buf text;
    if (i && str_eq(item, item_str(l, i - 1)))
        return false;
    buf_init(&text, out->max);
    put_replaced(&text, item, step->text, STR(""));
    if (step->flag)
        clean_up(&text);
    if (step->flag)
        put_replaced(out, buf_str(&text), step->other, STR(" "));
    else
        buf_put_str(out, buf_str(&text));
    out->failed |= text.failed;
    buf_fini(&text);
    return out->n > 0;
}

static void decode_ctc(const struct step *step, struct decode_list *l)
{
    change_items(step, l, change_ctc);
}

static const struct step_kind kinds[] = {
    {.type = "ByteLevel", .decode = decode_byte_level},
    {.type = "ByteFallback", .decode = decode_byte_fallback},
    {.type = "Fuse", .decode = decode_fuse},
    {.type = "Replace", .read = step_read_replace, .decode = decode_replace},
    {.type = "Strip", .read = read_strip, .decode = decode_strip},
    {.type = "Metaspace", .read = metaspace_read, .decode = decode_metaspace},
    {.type = "BPEDecoder", .read = read_bpe, .decode = decode_bpe},
    {.type = "WordPiece", .read = read_word_piece, .decode = decode_word_piece},
    {.type = "CTC", .read = read_ctc, .decode = decode_ctc},
};

enum status decoders_read(const struct json_val *v, struct steps *out, struct err *e)
{
    return steps_read(v, "decoder", "decoders", kinds, sizeof kinds / sizeof *kinds, out, e);
}

void decode_tokens(const struct steps *decoders, struct decode_list *l, struct buf *out)
{
    for (unsigned i = 0; i < decoders->n; i++)
        decoders->step[i].kind->decode(&decoders->step[i], l);
    for (size_t i = 0; i < l->n_item; i++) {
        if (i && !decoders->given) /* without a decoder the library joins with spaces */
            buf_put_char(out, ' ');
        put_lossy(out, item_str(l, i));
    }
    out->failed |= l->failed;
}

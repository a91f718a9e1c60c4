/* Pieces of a vocabulary and the merges that follow from them, and the small writing that all sources need.
 *
 * A file that has no merges still defines them: every way to make a piece of two others, the lowest made id
 * first. The work is bounded: a piece of n bytes costs n looked-up parts of up to n bytes each. */
#include "text/source/source_int.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PIECES_MAX (4u << 20)
#define MERGE_MAX_BYTES                                                                                      \
    (1ull << 32) /* bytes of parts looked up in all; real vocabularies need a hundredth                      \
                  */

void pieces_fini(struct pieces *p)
{
    free(p->text);
    free(p->id);
    map_fini(&p->map);
    buf_fini(&p->memory);
    *p = (struct pieces){0};
}

enum status pieces_add(struct pieces *p, struct str text, int32_t id, struct err *e)
{
    if (p->n == PIECES_MAX)
        return err_set(e, ST_LIMIT, "more than %u pieces", PIECES_MAX);
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 4096;
        struct str *text_grown = realloc(p->text, cap * sizeof *text_grown);
        if (text_grown)
            p->text = text_grown;
        int32_t *id_grown = realloc(p->id, cap * sizeof *id_grown);
        if (id_grown)
            p->id = id_grown;
        if (!text_grown || !id_grown)
            return err_set(e, ST_NO_MEMORY, "no memory for a vocabulary");
        p->cap = cap;
    }
    p->text[p->n] = text;
    p->id[p->n++] = id;
    return ST_OK;
}

enum status pieces_index(struct pieces *p, struct err *e)
{
    enum status st = map_init(&p->map, p->n);
    for (size_t i = 0; i < p->n && st == ST_OK; i++)
        st = map_put(&p->map, p->text[i], i);
    return st == ST_OK ? st : err_set(e, ST_NO_MEMORY, "no memory for a vocabulary");
}

/* Of equal pieces the last one counts. */
static bool is_last(const struct pieces *p, size_t i)
{
    uint64_t last;
    return map_get(&p->map, p->text[i], &last) && last == i;
}

void pieces_write_vocab(const struct pieces *p, struct buf *out)
{
    buf_put_char(out, '{');
    for (size_t i = 0; i < p->n; i++) {
        if (!is_last(p, i))
            continue;
        write_comma(out, '{');
        write_json_str(out, p->text[i]);
        buf_printf(out, ":%d", (int)p->id[i]);
    }
    buf_put_char(out, '}');
}

/* ---- merges ---- */

struct part {
    int32_t left, right; /* ids */
    uint32_t at;         /* bytes of the left one */
};

static int by_ids(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return (x->right > y->right) - (x->right < y->right);
}

struct ordered {
    int32_t id;
    uint32_t index;
};

static int by_made_id(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* All ways to cut piece i into two pieces, leftmost cut first. */
static size_t find_parts(const struct pieces *p, size_t i, struct part *out)
{
    struct str s = p->text[i];
    size_t n = 0;
    uint64_t left, right;
    uint32_t cp;
    for (size_t at = s.n ? utf8_decode(s, 0, &cp) : 0; at < s.n; at += utf8_decode(s, at, &cp)) {
        if (map_get(&p->map, (struct str){s.p, at}, &left) &&
            map_get(&p->map, (struct str){s.p + at, s.n - at}, &right))
            out[n++] = (struct part){p->id[left], p->id[right], (uint32_t)at};
    }
    return n;
}

static void write_parts(struct str s, const struct part *part, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        write_comma(out, '[');
        buf_put_char(out, '[');
        write_json_str(out, (struct str){s.p, part[i].at});
        buf_put_char(out, ',');
        write_json_str(out, (struct str){s.p + part[i].at, s.n - part[i].at});
        buf_put_char(out, ']');
    }
}

static enum status check_work(const struct pieces *p, size_t *longest, struct err *e)
{
    uint64_t work = 0;
    *longest = 1;
    for (size_t i = 0; i < p->n; i++) {
        uint64_t n = p->text[i].n;
        *longest = n > *longest ? n : *longest;
        work = n > UINT32_MAX ? UINT64_MAX / 2 : work + n * n;
        if (work > MERGE_MAX_BYTES)
            return err_set(e, ST_LIMIT, "the pieces are too long to find the merges that make them");
    }
    return ST_OK;
}

enum status pieces_write_merges(const struct pieces *p, enum merge_order order, struct buf *out,
                                struct err *e)
{
    size_t longest;
    enum status st = check_work(p, &longest, e);
    if (st != ST_OK)
        return st;
    struct ordered *by = malloc((p->n + 1) * sizeof *by);
    struct part *part = malloc(longest * sizeof *part);
    if (!by || !part) {
        free(by);
        free(part);
        return err_set(e, ST_NO_MEMORY, "no memory for merges");
    }
    for (size_t i = 0; i < p->n; i++)
        by[i] = (struct ordered){p->id[i], (uint32_t)i};
    qsort(by, p->n, sizeof *by, by_made_id);
    buf_put_char(out, '[');
    for (size_t i = 0; i < p->n && !out->failed; i++) {
        if (!is_last(p, by[i].index))
            continue;
        size_t n = find_parts(p, by[i].index, part);
        if (order == MERGE_BY_ID)
            qsort(part, n, sizeof *part, by_ids);
        write_parts(p->text[by[i].index], part, n, out);
    }
    buf_put_char(out, ']');
    free(by);
    free(part);
    return ST_OK;
}

void pieces_put_byte_level(struct pieces *p, struct str bytes)
{
    char c[2];
    for (size_t i = 0; i < bytes.n; i++)
        buf_put(&p->memory, c, byte_level_encode((unsigned char)bytes.p[i], c));
}

/* ---- lines and writing ---- */

bool read_line(struct str *file, struct str *line)
{
    if (file->n == 0)
        return false;
    const char *end = memchr(file->p, '\n', file->n);
    size_t n = end ? (size_t)(end - file->p) : file->n;
    *line = (struct str){file->p, n};
    n += end != NULL;
    file->p += n;
    file->n -= n;
    if (end && line->n && line->p[line->n - 1] == '\r')
        line->n--;
    return true;
}

void write_json_str(struct buf *out, struct str s)
{
    struct json_writer w;
    jw_init(&w, out);
    jw_str(&w, s);
}

void write_comma(struct buf *out, char open)
{
    if (out->n && out->p[out->n - 1] != open)
        buf_put_char(out, ',');
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void write_base64(struct buf *out, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t n = bytes.n - i < 3 ? bytes.n - i : 3;
        uint32_t group = 0;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < n ? (unsigned char)bytes.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            buf_put_char(out, k <= n ? base64_digits[group >> (18 - 6 * k) & 63] : '=');
    }
}

bool read_base64(struct buf *out, struct str text)
{
    uint32_t group = 0;
    unsigned bits = 0;
    while (text.n && text.p[text.n - 1] == '=')
        text.n--;
    for (size_t i = 0; i < text.n; i++) {
        const char *digit = text.p[i] ? strchr(base64_digits, text.p[i]) : NULL;
        if (!digit)
            return false;
        group = (group << 6 | (uint32_t)(digit - base64_digits)) & 0xffffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_put_char(out, (char)(group >> bits & 255));
        }
    }
    return bits < 6; /* a last digit by itself is half a byte */
}

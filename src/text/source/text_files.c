/* Vocabularies in plain text: vocab.json with merges.txt (GPT-2 and what came of it) and vocab.txt (BERT),
 * read as the tokenizers library reads them. */
#include "text/source/source_int.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- vocab.json and merges.txt ---- */

static enum status write_merges(const char *path, struct str file, struct buf *out, struct err *e)
{
    struct str line;
    buf_put_char(out, '[');
    for (unsigned number = 1; read_line(&file, &line); number++) {
        if (str_has_prefix(line, STR("#version")))
            continue;
        size_t space = str_find(line, STR(" "), 0);
        if (space == SIZE_MAX || str_find(line, STR(" "), space + 1) != SIZE_MAX)
            return err_set(e, ST_INVALID, "%s: line %u is not two parts with a space between", path, number);
        write_comma(out, '[');
        buf_put_char(out, '[');
        write_json_str(out, (struct str){line.p, space});
        buf_put_char(out, ',');
        write_json_str(out, (struct str){line.p + space + 1, line.n - space - 1});
        buf_put_char(out, ']');
    }
    buf_put_char(out, ']');
    return ST_OK;
}

static enum status write_merges_file(const struct source_input *in, struct buf *out, struct err *e)
{
    char path[PATH_MAX];
    const char *slash = strrchr(in->path, '/');
    int dir = slash ? (int)(slash - in->path) + 1 : 0;
    struct buf file;
    if (snprintf(path, sizeof path, "%.*smerges.txt", dir, in->path) >= (int)sizeof path)
        return err_set(e, ST_INVALID, "the folder's name is too long");
    buf_init(&file, SOURCE_MAX_BYTES);
    enum status st = buf_read_file(&file, path, e);
    if (st == ST_OK)
        st = write_merges(path, buf_str(&file), out, e);
    else
        err_prefix(e, "a vocab.json needs its merges.txt beside it");
    buf_fini(&file);
    return st;
}

enum status gpt2_files_write(struct source_input *in, struct str file, struct buf *out, struct err *e)
{
    struct json_doc *doc;
    struct json_writer w;
    enum status st = json_parse(file, JSON_ALLOW_DUPLICATES, &doc, e);
    if (st != ST_OK)
        return err_prefix(e, "%s", in->path);
    if (!in->class)
        in->class = tokenizer_class_find(STR("GPT2Tokenizer"));
    struct class_values v = {.class = in->class, .config = in->config};
    buf_put_char(out, '{');
    class_write_stages(&v, out);
    buf_put_str(out, STR(",\"model\":{\"type\":\"BPE\""));
    class_write_options(&v, out);
    buf_put_str(out, STR(",\"vocab\":"));
    jw_init(&w, out);
    jw_value(&w, json_root(doc));
    buf_put_str(out, STR(",\"merges\":"));
    st = write_merges_file(in, out, e);
    buf_put_str(out, STR("}}"));
    json_free(doc);
    return st;
}

/* ---- vocab.txt ---- */

/* White space as Unicode has it, which the library takes off a line's end. */
static size_t white_at_end(struct str line)
{
    static const char *const wide[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80",
                                       "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84",
                                       "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88",
                                       "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9",
                                       "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
    char last = line.n ? line.p[line.n - 1] : 'x';
    if (last == ' ' || (last >= 9 && last <= 13))
        return 1;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (str_has_suffix(line, str_from(wide[i])))
            return strlen(wide[i]);
    return 0;
}

static enum status read_lines(struct pieces *p, struct str file, struct err *e)
{
    struct str line;
    size_t white;
    enum status st = ST_OK;
    for (int32_t id = 0; st == ST_OK && read_line(&file, &line); id++) {
        while ((white = white_at_end(line)))
            line.n -= white;
        st = utf8_valid(line) ? pieces_add(p, line, id, e)
                              : err_set(e, ST_INVALID, "line %d is not valid UTF-8", (int)id + 1);
    }
    return st == ST_OK ? pieces_index(p, e) : st;
}

enum status wordpiece_write(struct source_input *in, struct str file, struct buf *out, struct err *e)
{
    struct pieces p = {0};
    if (!in->class)
        in->class = tokenizer_class_find(STR("BertTokenizer"));
    struct class_values v = {.class = in->class, .config = in->config};
    enum status st = read_lines(&p, file, e);
    buf_put_char(out, '{');
    class_write_stages(&v, out);
    buf_put_str(out, STR(",\"model\":{\"type\":\"WordPiece\""));
    class_write_options(&v, out);
    buf_put_str(out, STR(",\"vocab\":"));
    if (st == ST_OK)
        pieces_write_vocab(&p, out);
    buf_put_str(out, STR("}}"));
    pieces_fini(&p);
    return st == ST_OK ? st : err_prefix(e, "%s", in->path);
}

/* Post-processing: what stands around a text's tokens (bos, eos, ...), and how often offsets are trimmed.
 *
 * Processors in a sequence hand on a list of parts, as the library's do: a template makes each of its pieces
 * a part, and what follows treats the first and the later parts each in its own way. Read twice, for texts
 * with and without special tokens. */
#include "text/text_int.h"
#include <string.h>

static enum status frame_add(struct frame *f, int32_t item, struct err *e)
{
    if (f->n == MAX_FRAME)
        return err_set(e, ST_LIMIT, "tokenizer.json: the post-processor adds more than %d tokens", MAX_FRAME);
    f->part[f->n] = f->n_parts;
    f->item[f->n++] = item;
    f->n_text += item == FRAME_TEXT;
    return ST_OK;
}

/* Puts one part of what was there before into the part being made. */
static enum status frame_add_part(struct frame *f, const struct frame *from, unsigned part, struct err *e)
{
    enum status st = ST_OK;
    for (unsigned i = 0; i < from->n && st == ST_OK; i++)
        if (from->part[i] == part)
            st = frame_add(f, from->item[i], e);
    return st;
}

static enum status frame_add_id(struct frame *f, const struct json_val *v, struct err *e)
{
    uint64_t id;
    if (!json_u64(v, &id) || id > INT32_MAX)
        return err_set(e, ST_INVALID, "tokenizer.json: a token of the post-processor has no valid id");
    return frame_add(f, (int32_t)id, e);
}

static void frame_restart(struct frame *f)
{
    f->n = f->n_text = f->n_parts = 0;
}

static enum status add_special(struct frame *f, const struct json_val *tokens, struct str name, struct err *e)
{
    const struct json_val *ids = json_get(json_get(tokens, name), STR("ids")), *v;
    enum status st = ST_OK;
    if (!json_is(ids, JSON_ARRAY))
        return err_set(e, ST_INVALID,
                       "tokenizer.json: the template names `" STR_FMT "`, which is not defined",
                       STR_ARG(name));
    for (struct json_iter it = json_iter(ids); f->special && st == ST_OK && (v = json_next(&it, NULL));)
        st = frame_add_id(f, v, e);
    f->n_parts += f->special;
    return st;
}

static enum status add_piece(struct frame *f, const struct frame *from, const struct json_val *piece,
                             const struct json_val *tokens, struct err *e)
{
    struct str name;
    if (json_str(json_get(json_get(piece, STR("SpecialToken")), STR("id")), &name))
        return add_special(f, tokens, name, e);
    if (!json_str(json_get(json_get(piece, STR("Sequence")), STR("id")), &name) ||
        !(str_eq(name, STR("A")) || (str_eq(name, STR("B")) && from->n_parts == 2)))
        return err_set(e, ST_INVALID, "tokenizer.json: the template has a piece of an unknown kind");
    enum status st = frame_add_part(f, from, str_eq(name, STR("B")), e);
    f->n_parts++;
    return st;
}

static enum status read_template(const struct json_val *v, struct frame *f, struct err *e)
{
    const struct json_val *pieces = json_get(v, f->n_parts == 2 ? STR("pair") : STR("single")), *piece;
    const struct frame from = *f;
    enum status st = ST_OK;
    if (from.n_parts != 1 && from.n_parts != 2)
        return err_set(e, ST_UNSUPPORTED,
                       "tokenizer.json: a template of more than two parts is not supported");
    if (!json_is(pieces, JSON_ARRAY))
        return err_set(e, ST_INVALID, "tokenizer.json: the template has no list of pieces");
    frame_restart(f);
    for (struct json_iter it = json_iter(pieces); st == ST_OK && (piece = json_next(&it, NULL));)
        st = add_piece(f, &from, piece, json_get(v, STR("special_tokens")), e);
    return st;
}

/* cls and sep, ["[CLS]", 101]: cls A sep, then for later parts B sep or sep B sep. */
static enum status add_around(const struct json_val *v, struct frame *f, bool sep_before, struct err *e)
{
    const struct json_val *cls = json_at(json_get(v, STR("cls")), 1),
                          *sep = json_at(json_get(v, STR("sep")), 1);
    const struct frame from = *f;
    enum status st = ST_OK;
    frame_restart(f);
    for (unsigned part = 0; part < from.n_parts && st == ST_OK; part++) {
        if (f->special && (part == 0 || sep_before))
            st = frame_add_id(f, part == 0 ? cls : sep, e);
        if (st == ST_OK)
            st = frame_add_part(f, &from, part, e);
        if (st == ST_OK && f->special)
            st = frame_add_id(f, sep, e);
        f->n_parts++;
    }
    return st;
}

static enum status read_bert(const struct json_val *v, struct frame *f, struct err *e)
{
    return add_around(v, f, false, e);
}

static enum status read_byte_level(const struct json_val *v, struct frame *f, struct err *e)
{
    bool trim = true, add_prefix_space = true, leads = false;
    json_bool(json_get(v, STR("trim_offsets")), &trim);
    json_bool(json_get(v, STR("add_prefix_space")), &add_prefix_space);
    for (unsigned i = 0; i < f->n; i++)
        if (f->item[i] == FRAME_TEXT)
            leads |= i == 0 || f->part[i] != f->part[i - 1];
    if (!trim)
        return ST_OK;
    if (f->n_trim == MAX_TRIM)
        return err_set(e, ST_LIMIT, "tokenizer.json: offsets are trimmed more than %d times", MAX_TRIM);
    f->trim[f->n_trim++] = (struct trim){add_prefix_space, leads};
    return ST_OK;
}

static enum status read_roberta(const struct json_val *v, struct frame *f, struct err *e)
{
    enum status st = read_byte_level(v, f, e);
    return st == ST_OK ? add_around(v, f, true, e) : st;
}

static enum status read_processor(const struct json_val *v, struct frame *f, struct err *e)
{
    static const struct {
        const char *type;
        enum status (*read)(const struct json_val *v, struct frame *f, struct err *e);
    } kinds[] = {{"TemplateProcessing", read_template},
                 {"BertProcessing", read_bert},
                 {"RobertaProcessing", read_roberta},
                 {"ByteLevel", read_byte_level}};
    struct str type = {0};
    const struct json_val *item;
    json_str(json_get(v, STR("type")), &type);
    if (str_eq(type, STR("Sequence"))) { /* no deeper than the document */
        struct json_iter it = json_iter(json_get(v, STR("processors")));
        enum status st = ST_OK;
        while (st == ST_OK && (item = json_next(&it, NULL)))
            st = read_processor(item, f, e);
        return st;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_eq(type, str_from(kinds[i].type)))
            return kinds[i].read(v, f, e);
    return err_set(e, ST_UNSUPPORTED,
                   "tokenizer.json: post-processor `" STR_FMT "` is not supported by this version",
                   STR_ARG(type));
}

enum status post_processor_read(const struct json_val *v, struct frame out[2], struct err *e)
{
    enum status st = ST_OK;
    for (unsigned special = 0; special < 2 && st == ST_OK; special++) {
        out[special] =
            (struct frame){.item = {FRAME_TEXT}, .n = 1, .n_text = 1, .n_parts = 1, .special = special};
        if (v && !json_is(v, JSON_NULL))
            st = read_processor(v, &out[special], e);
    }
    return st;
}

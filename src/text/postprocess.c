/* Post-processing: what stands around a text's tokens (bos, eos, ...), and whether offsets are trimmed.
 * Processors in a sequence each frame what the one before them made. */
#include "text/text_int.h"
#include <string.h>

static enum status frame_add(struct frame *f, int32_t item, struct err *e)
{
    if (f->n == MAX_FRAME)
        return err_set(e, ST_LIMIT, "tokenizer.json: the post-processor adds more than %d tokens", MAX_FRAME);
    f->item[f->n++] = item;
    f->n_text += item == FRAME_TEXT;
    return ST_OK;
}

/* Puts in all of what was there before. */
static enum status frame_add_inner(struct frame *f, const struct frame *inner, struct err *e)
{
    enum status st = ST_OK;
    for (unsigned i = 0; i < inner->n && st == ST_OK; i++)
        st = frame_add(f, inner->item[i], e);
    return st;
}

static enum status frame_add_id(struct frame *f, const struct json_val *v, struct err *e)
{
    uint64_t id;
    if (!json_u64(v, &id) || id > INT32_MAX)
        return err_set(e, ST_INVALID, "tokenizer.json: a token of the post-processor has no valid id");
    return frame_add(f, (int32_t)id, e);
}

static enum status add_special(struct frame *f, const struct json_val *tokens, struct str name, struct err *e)
{
    const struct json_val *ids = json_get(json_get(tokens, name), STR("ids")), *v;
    enum status st = ST_OK;
    if (!json_is(ids, JSON_ARRAY))
        return err_set(e, ST_INVALID,
                       "tokenizer.json: the template names `" STR_FMT "`, which is not defined",
                       STR_ARG(name));
    for (struct json_iter it = json_iter(ids); st == ST_OK && (v = json_next(&it, NULL));)
        st = frame_add_id(f, v, e);
    return st;
}

static enum status read_template(const struct json_val *v, struct frame *f, struct err *e)
{
    const struct json_val *special = json_get(v, STR("special_tokens")), *item;
    struct frame inner = *f;
    enum status st = ST_OK;
    f->n = f->n_text = 0;
    if (!json_is(json_get(v, STR("single")), JSON_ARRAY))
        return err_set(e, ST_INVALID, "tokenizer.json: the template has no list `single`");
    for (struct json_iter it = json_iter(json_get(v, STR("single")));
         st == ST_OK && (item = json_next(&it, NULL));) {
        struct str name;
        if (json_str(json_get(json_get(item, STR("Sequence")), STR("id")), &name) && str_eq(name, STR("A")))
            st = frame_add_inner(f, &inner, e);
        else if (json_str(json_get(json_get(item, STR("SpecialToken")), STR("id")), &name))
            st = add_special(f, special, name, e);
        else
            st = err_set(e, ST_INVALID, "tokenizer.json: the template has a piece of an unknown kind");
    }
    return st;
}

/* cls and sep: ["[CLS]", 101]. */
static enum status read_bert(const struct json_val *v, struct frame *f, struct err *e)
{
    struct frame inner = *f;
    f->n = f->n_text = 0;
    enum status st = frame_add_id(f, json_at(json_get(v, STR("cls")), 1), e);
    if (st == ST_OK)
        st = frame_add_inner(f, &inner, e);
    return st == ST_OK ? frame_add_id(f, json_at(json_get(v, STR("sep")), 1), e) : st;
}

static enum status read_byte_level(const struct json_val *v, struct frame *f, struct err *e)
{
    bool trim = true, add_prefix_space = true;
    json_bool(json_get(v, STR("trim_offsets")), &trim);
    json_bool(json_get(v, STR("add_prefix_space")), &add_prefix_space);
    if (!trim)
        return ST_OK;
    if (f->n_trim == MAX_TRIM)
        return err_set(e, ST_LIMIT, "tokenizer.json: offsets are trimmed more than %d times", MAX_TRIM);
    f->keeps_first_space[f->n_trim++] = add_prefix_space;
    return ST_OK;
}

static enum status read_roberta(const struct json_val *v, struct frame *f, struct err *e)
{
    enum status st = read_byte_level(v, f, e);
    return st == ST_OK ? read_bert(v, f, e) : st;
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
        enum status st = ST_OK;
        for (struct json_iter it = json_iter(json_get(v, STR("processors")));
             st == ST_OK && (item = json_next(&it, NULL));)
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

enum status post_processor_read(const struct json_val *v, struct frame *out, struct err *e)
{
    *out = (struct frame){.item = {FRAME_TEXT}, .n = 1, .n_text = 1};
    return v && !json_is(v, JSON_NULL) ? read_processor(v, out, e) : ST_OK;
}

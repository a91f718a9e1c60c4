/* Post-processing: what stands in front of and behind a text's tokens (bos, eos, ...), and trimmed offsets.
 */
#include "text/text_int.h"

static enum status frame_add(struct frame *f, bool behind, const struct json_val *ids, struct err *e)
{
    struct json_iter it = json_iter(ids);
    const struct json_val *v;
    uint64_t id;
    while ((v = json_next(&it, NULL))) {
        unsigned *n = behind ? &f->n_suffix : &f->n_prefix;
        if (!json_u64(v, &id) || id > INT32_MAX)
            return err_set(e, ST_INVALID, "tokenizer.json: a special token of the template has no valid id");
        if (*n == MAX_FRAME)
            return err_set(e, ST_LIMIT, "tokenizer.json: the template adds more than %d tokens", MAX_FRAME);
        (behind ? f->suffix : f->prefix)[(*n)++] = (int32_t)id;
    }
    return ST_OK;
}

static enum status read_template(const struct json_val *v, struct frame *out, struct err *e)
{
    const struct json_val *special = json_get(v, STR("special_tokens")), *item;
    struct json_iter it = json_iter(json_get(v, STR("single")));
    bool behind = false;
    while ((item = json_next(&it, NULL))) {
        struct str name;
        if (json_get(item, STR("Sequence"))) {
            behind = true;
            continue;
        }
        if (!json_str(json_get(json_get(item, STR("SpecialToken")), STR("id")), &name))
            return err_set(e, ST_INVALID, "tokenizer.json: the template has a piece of an unknown kind");
        const struct json_val *ids = json_get(json_get(special, name), STR("ids"));
        if (!ids)
            return err_set(e, ST_INVALID,
                           "tokenizer.json: the template names `" STR_FMT "`, which is not defined",
                           STR_ARG(name));
        enum status st = frame_add(out, behind, ids, e);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status read_one(const struct json_val *v, struct frame *out, struct err *e)
{
    struct str type = {0};
    json_str(json_get(v, STR("type")), &type);
    if (str_eq(type, STR("TemplateProcessing")))
        return read_template(v, out, e);
    if (str_eq(type, STR("ByteLevel"))) {
        out->trim_offsets = out->add_prefix_space = true;
        json_bool(json_get(v, STR("trim_offsets")), &out->trim_offsets);
        json_bool(json_get(v, STR("add_prefix_space")), &out->add_prefix_space);
        return ST_OK;
    }
    return err_set(e, ST_UNSUPPORTED,
                   "tokenizer.json: post-processor `" STR_FMT "` is not supported by this version",
                   STR_ARG(type));
}

enum status post_processor_read(const struct json_val *v, struct frame *out, struct err *e)
{
    struct str type = {0};
    if (!v || json_is(v, JSON_NULL))
        return ST_OK;
    json_str(json_get(v, STR("type")), &type);
    if (!str_eq(type, STR("Sequence")))
        return read_one(v, out, e);
    struct json_iter it = json_iter(json_get(v, STR("processors")));
    const struct json_val *item;
    while ((item = json_next(&it, NULL))) {
        enum status st = read_one(item, out, e);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* Stages as lists of steps: reading one from JSON by a table of kinds, and running it. */
#include "text/text_int.h"
#include <string.h>

static enum status step_read(const struct json_val *v, const char *stage, const struct step_kind *kinds,
                             size_t n_kinds, struct steps *out, struct err *e)
{
    struct str type;
    if (!json_str(json_get(v, STR("type")), &type))
        return err_set(e, ST_INVALID, "tokenizer.json: a %s has no `type`", stage);
    if (out->n == MAX_STEPS)
        return err_set(e, ST_LIMIT, "tokenizer.json: more than %d %ss", MAX_STEPS, stage);
    for (size_t i = 0; i < n_kinds; i++) {
        if (!str_eq(type, str_from(kinds[i].type)))
            continue;
        struct step *step = &out->step[out->n++];
        *step = (struct step){.kind = &kinds[i]};
        enum status st = kinds[i].read ? kinds[i].read(v, step, e) : ST_OK;
        if (st != ST_OK)
            err_prefix(e, "tokenizer.json: %s %s", stage, kinds[i].type);
        return st;
    }
    return err_set(e, ST_UNSUPPORTED, "tokenizer.json: %s `" STR_FMT "` is not supported by this version",
                   stage, STR_ARG(type));
}

enum status steps_read(const struct json_val *v, const char *stage, const char *list_key,
                       const struct step_kind *kinds, size_t n_kinds, struct steps *out, struct err *e)
{
    struct str type = {0};
    if (!v || json_is(v, JSON_NULL))
        return ST_OK;
    out->given = true;
    if (!json_str(json_get(v, STR("type")), &type) || !str_eq(type, STR("Sequence")))
        return step_read(v, stage, kinds, n_kinds, out, e);
    struct json_iter it = json_iter(json_get(v, str_from(list_key)));
    const struct json_val *item;
    while ((item = json_next(&it, NULL))) { /* a sequence in a sequence is no deeper than the document */
        enum status st = steps_read(item, stage, list_key, kinds, n_kinds, out, e);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status step_read_replace(const struct json_val *v, struct step *out, struct err *e)
{
    if (!json_str(json_get(v, STR("content")), &out->text))
        return err_set(e, ST_INVALID, "`content` is not a string");
    return pattern_read(json_get(v, STR("pattern")), &out->pattern, e);
}

enum status metaspace_read(const struct json_val *v, struct step *out, struct err *e)
{
    struct str scheme = STR("always");
    bool add_prefix_space = true;
    const struct json_val *given = json_get(v, STR("prepend_scheme"));
    if (!json_str(json_get(v, STR("replacement")), &out->text) || utf8_count(out->text) != 1)
        return err_set(e, ST_INVALID, "`replacement` is not a character");
    out->flag = true;
    json_bool(json_get(v, STR("split")), &out->flag);
    json_bool(json_get(v, STR("add_prefix_space")), &add_prefix_space);
    json_str(given, &scheme);
    if (str_eq(scheme, STR("always")))
        out->option = PREPEND_ALWAYS;
    else if (str_eq(scheme, STR("first")))
        out->option = PREPEND_FIRST;
    else if (str_eq(scheme, STR("never")))
        out->option = PREPEND_NEVER;
    else
        return err_set(e, ST_UNSUPPORTED, "prepend_scheme `" STR_FMT "` is not known", STR_ARG(scheme));
    if (!add_prefix_space && out->option != PREPEND_NEVER)
        return err_set(e, ST_INVALID, "`add_prefix_space` does not match `prepend_scheme`");
    return ST_OK;
}

void steps_fini(struct steps *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        pattern_free(s->step[i].pattern);
        if (s->step[i].data)
            s->step[i].kind->free_data(s->step[i].data);
    }
    s->n = 0;
}

void steps_run(const struct steps *steps, struct section *x, struct scratch *s)
{
    for (unsigned i = 0; i < steps->n && s->status == ST_OK; i++)
        steps->step[i].kind->run(&steps->step[i], x, s);
}

/* Reads what stands beside a tokenizer's vocabulary, with transformers' precedence: tokenizer_config.json
 * first; special_tokens_map.json and added_tokens.json only when it has no added_tokens_decoder; template
 * files in front of templates in JSON. Files that are missing say nothing; a broken one is an error that
 * names it. */
#include "text/tokenizer_config_int.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES  (16u << 20)
#define ARENA_MAX_BYTES (256u << 20)
#define ABSURD_LENGTH   1e15 /* transformers writes 1e30 for "no limit" */

const char *const standard_token_names[N_STANDARD_TOKENS] = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

/* The pairs of an object; none of anything else. */
static struct json_iter pairs(const struct json_val *v)
{
    return json_iter(json_is(v, JSON_OBJECT) ? v : NULL);
}

/* ---- tokens ---- */

bool added_token_from(const struct json_val *v, bool special, struct added_token *out)
{
    *out = (struct added_token){.special = true};
    if (json_str(v, &out->content))
        return true;
    out->special = special;
    if (!json_str(json_get(v, STR("content")), &out->content))
        return false;
    if (!special)
        json_bool(json_get(v, STR("special")), &out->special);
    json_bool(json_get(v, STR("single_word")), &out->single_word);
    json_bool(json_get(v, STR("lstrip")), &out->lstrip);
    json_bool(json_get(v, STR("rstrip")), &out->rstrip);
    out->normalized = !out->special;
    json_bool(json_get(v, STR("normalized")), &out->normalized);
    return true;
}

enum status named_token_put(struct named_token *list, unsigned *n, struct named_token token, struct err *e)
{
    unsigned i = 0;
    while (i < *n && !str_eq(list[i].name, token.name))
        i++;
    if (i == CONFIG_MAX_NAMED)
        return err_set(e, ST_LIMIT, "more than %d named special tokens", CONFIG_MAX_NAMED);
    list[i] = token;
    *n += i == *n;
    return ST_OK;
}

const struct named_token *tokenizer_config_named(const struct tokenizer_config *c, struct str name)
{
    for (unsigned i = 0; i < c->n_named; i++)
        if (str_eq(c->named[i].name, name))
            return &c->named[i];
    return NULL;
}

const struct json_val *tokenizer_config_option(const struct tokenizer_config *c, const char *name)
{
    return c->config ? json_get(json_root(c->config), str_from(name)) : NULL;
}

static bool is_standard(struct str name)
{
    for (size_t i = 0; i < N_STANDARD_TOKENS; i++)
        if (str_eq(name, str_from(standard_token_names[i])))
            return true;
    return false;
}

static enum status put_named(struct tokenizer_config *c, struct str name, const struct json_val *v,
                             bool special, struct err *e)
{
    struct named_token named = {.name = name};
    if (!json_is(v, JSON_NULL) && !added_token_from(v, special, &named.token))
        return err_set(e, ST_INVALID, "`" STR_FMT "` is neither a string nor a token", STR_ARG(name));
    return named_token_put(c->named, &c->n_named, named, e);
}

/* {"image_token": "<image>", ...} as an object of its own. */
static enum status put_named_object(struct tokenizer_config *c, const struct json_val *v, struct err *e)
{
    struct json_iter it = pairs(v);
    const struct json_val *item;
    struct str key;
    enum status st = ST_OK;
    while (st == ST_OK && (item = json_next(&it, &key)))
        st = put_named(c, key, item, false, e);
    return st;
}

/* Appends the list's tokens. */
static enum status read_extra(struct tokenizer_config *c, const struct json_val *v, struct err *e)
{
    struct json_iter it = json_iter(v);
    const struct json_val *item;
    struct added_token *grown = arena_array(&c->arena, c->n_extra + json_len(v) + 1, sizeof *grown);
    if (!grown)
        return err_set(e, ST_NO_MEMORY, "no memory for special tokens");
    if (c->n_extra)
        memcpy(grown, c->extra, c->n_extra * sizeof *grown);
    c->extra = grown;
    while ((item = json_next(&it, NULL)))
        if (added_token_from(item, false, &c->extra[c->n_extra]))
            c->n_extra++;
    return ST_OK;
}

/* The list under its newer name, else under its older one; as an object it gives names. */
static enum status read_extra_of(struct tokenizer_config *c, const struct json_val *root, struct err *e)
{
    const struct json_val *newer = json_get(root, STR("extra_special_tokens"));
    const struct json_val *older = json_get(root, STR("additional_special_tokens"));
    if (json_is(newer, JSON_OBJECT) && json_len(newer))
        return put_named_object(c, newer, e);
    if (older && json_len(newer) == 0)
        newer = older;
    c->has_extra = json_is(newer, JSON_ARRAY);
    return c->has_extra ? read_extra(c, newer, e) : ST_OK;
}

static bool is_token_key(struct str key)
{
    return key.n > 6 && str_has_suffix(key, STR("_token"));
}

/* The seven standard names in their order, then what else ends in _token and is a text. */
static enum status read_named(struct tokenizer_config *c, const struct json_val *root, struct err *e)
{
    enum status st = ST_OK;
    for (size_t i = 0; i < N_STANDARD_TOKENS && st == ST_OK; i++) {
        const struct json_val *v = json_get(root, str_from(standard_token_names[i]));
        if (v)
            st = put_named(c, str_from(standard_token_names[i]), v, false, e);
    }
    struct json_iter it = pairs(root);
    const struct json_val *item;
    struct str key;
    while (st == ST_OK && (item = json_next(&it, &key)))
        if (is_token_key(key) && !is_standard(key) &&
            (json_is(item, JSON_STRING) || json_get(item, STR("__type"))))
            st = put_named(c, key, item, false, e);
    return st;
}

static int by_id(const void *a, const void *b)
{
    const struct added_token *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* {"32000": {"content": ...}, ...} */
static enum status read_decoder(struct tokenizer_config *c, const struct json_val *v, struct err *e)
{
    struct json_iter it = pairs(v);
    const struct json_val *item;
    struct str key;
    uint64_t id;
    c->decoder = arena_array(&c->arena, json_len(v) + 1, sizeof *c->decoder);
    if (!c->decoder)
        return err_set(e, ST_NO_MEMORY, "no memory for added tokens");
    while ((item = json_next(&it, &key))) {
        struct added_token *token = &c->decoder[c->n_decoder];
        if (!str_to_u64(key, &id) || id > INT32_MAX || !json_is(item, JSON_OBJECT) ||
            !added_token_from(item, false, token))
            return err_set(e, ST_INVALID, "added_tokens_decoder: entry `" STR_FMT "` is not a token",
                           STR_ARG(key));
        token->id = (int32_t)id;
        c->n_decoder++;
    }
    qsort(c->decoder, c->n_decoder, sizeof *c->decoder, by_id);
    return ST_OK;
}

/* The texts that added_tokens.json's tokens are special by. */
static enum status special_texts(const struct tokenizer_config *c, struct map *out)
{
    enum status st = map_init(out, c->n_named + c->n_extra);
    for (unsigned i = 0; i < c->n_named && st == ST_OK; i++)
        if (is_standard(c->named[i].name) && c->named[i].token.content.n)
            st = map_put(out, c->named[i].token.content, i);
    for (size_t i = 0; c->has_extra && i < c->n_extra && st == ST_OK; i++)
        st = map_put(out, c->extra[i].content, i);
    return st;
}

/* added_tokens.json: {"<pad>": 32000, ...} */
static enum status read_added(struct tokenizer_config *c, struct err *e)
{
    const struct json_val *root = json_root(c->added), *item;
    struct json_iter it = pairs(root);
    struct map special_by = {0};
    struct str key;
    uint64_t id, at;
    c->decoder_is_older = true;
    c->decoder = arena_array(&c->arena, json_len(root) + 1, sizeof *c->decoder);
    enum status st = c->decoder ? special_texts(c, &special_by) : ST_NO_MEMORY;
    if (st != ST_OK)
        err_set(e, st, "no memory for added tokens");
    while (st == ST_OK && (item = json_next(&it, &key))) {
        if (!json_u64(item, &id) || id > INT32_MAX) {
            st = err_set(e, ST_INVALID, "added_tokens.json: `" STR_FMT "` has no valid id", STR_ARG(key));
            break;
        }
        bool special = map_get(&special_by, key, &at);
        c->decoder[c->n_decoder++] = (struct added_token){
            .content = key, .id = (int32_t)id, .special = special, .normalized = !special};
    }
    map_fini(&special_by);
    if (st == ST_OK)
        qsort(c->decoder, c->n_decoder, sizeof *c->decoder, by_id);
    return st;
}

/* special_tokens_map.json stands over the config; its tokens are special whatever they say. Its list under
 * the older name is weak: what the vocabulary's own file lists comes first (has_extra stays false). */
static enum status read_special_map(struct tokenizer_config *c, struct err *e)
{
    const struct json_val *root = json_root(c->special_map), *item;
    struct json_iter it = pairs(root);
    struct str key;
    enum status st = ST_OK;
    while (st == ST_OK && (item = json_next(&it, &key)))
        if (is_token_key(key))
            st = put_named(c, key, item, true, e);
    const struct json_val *newer = json_get(root, STR("extra_special_tokens"));
    if (st == ST_OK && json_is(newer, JSON_OBJECT))
        return put_named_object(c, newer, e);
    c->has_extra |= json_is(newer, JSON_ARRAY);
    if (!c->has_extra)
        newer = json_get(root, STR("additional_special_tokens"));
    return st == ST_OK && json_is(newer, JSON_ARRAY) ? read_extra(c, newer, e) : st;
}

/* ---- chat templates ---- */

static enum status put_template(struct tokenizer_config *c, struct str name, struct str text, struct err *e)
{
    unsigned i = 0;
    while (i < c->n_template && !str_eq(c->template[i].name, name))
        i++;
    if (i == CONFIG_MAX_TEMPLATES)
        return err_set(e, ST_LIMIT, "more than %d chat templates", CONFIG_MAX_TEMPLATES);
    c->template[i] = (struct chat_template){name, text};
    c->n_template += i == c->n_template;
    return ST_OK;
}

/* A string, a list of {"name", "template"}, or an object of templates by name. */
static enum status read_template_value(struct tokenizer_config *c, const struct json_val *v, struct err *e)
{
    struct str name, text;
    if (json_str(v, &text))
        return put_template(c, STR("default"), text, e);
    bool by_name = json_is(v, JSON_OBJECT);
    struct json_iter it = json_iter(v);
    const struct json_val *item;
    enum status st = ST_OK;
    while (st == ST_OK && (item = json_next(&it, by_name ? &name : NULL))) {
        bool ok = by_name ? json_str(item, &text)
                          : json_str(json_get(item, STR("name")), &name) &&
                                json_str(json_get(item, STR("template")), &text);
        st = ok ? put_template(c, name, text, e)
                : err_set(e, ST_INVALID, "chat_template: an entry has no name or no text");
    }
    return st;
}

/* Line ends as Python reads a text file: all become \n. */
static void unify_lines(struct buf *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->n; i++) {
        if (text->p[i] == '\r' && i + 1 < text->n && text->p[i + 1] == '\n')
            continue;
        text->p[n++] = text->p[i];
        if (text->p[n - 1] == '\r')
            text->p[n - 1] = '\n';
    }
    text->n = n;
}

/* A template file; ST_NOT_FOUND when there is none. */
static enum status read_template_file(struct tokenizer_config *c, const char *path, struct str name,
                                      struct err *e)
{
    struct buf text;
    buf_init(&text, FILE_MAX_BYTES);
    enum status st = buf_read_file(&text, path, e);
    if (st == ST_OK && !utf8_valid(buf_str(&text)))
        st = err_set(e, ST_INVALID, "%s is not valid UTF-8", path);
    if (st == ST_OK) {
        unify_lines(&text);
        struct str copy = arena_strdup(&c->arena, buf_str(&text)), key = arena_strdup(&c->arena, name);
        st = copy.p && key.p ? put_template(c, key, copy, e)
                             : err_set(e, ST_NO_MEMORY, "no memory for a chat template");
    }
    buf_fini(&text);
    return st;
}

static enum status read_template_folder(struct tokenizer_config *c, const char *dir, struct err *e)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/additional_chat_templates", dir) >= (int)sizeof path)
        return err_set(e, ST_INVALID, "the folder's name is too long");
    DIR *folder = opendir(path);
    const struct dirent *entry;
    enum status st = ST_OK;
    while (folder && st == ST_OK && (entry = readdir(folder))) {
        struct str name = str_from(entry->d_name);
        if (!str_has_suffix(name, STR(".jinja")) || name.p[0] == '.')
            continue;
        name.n -= 6;
        if (snprintf(path, sizeof path, "%s/additional_chat_templates/%s", dir, entry->d_name) >=
            (int)sizeof path)
            st = err_set(e, ST_INVALID, "the folder's name is too long");
        else
            st = read_template_file(c, path, name, e);
    }
    if (folder)
        closedir(folder);
    return st;
}

/* Files replace what tokenizer_config.json has, unless somebody has named another one; the file of processors
 * is for folders that have nothing else. */
static enum status read_templates(struct tokenizer_config *c, const char *dir, bool config_first,
                                  struct err *e)
{
    char path[PATH_MAX];
    const struct json_val *own = tokenizer_config_option(c, "chat_template");
    if (config_first && own)
        return read_template_value(c, own, e);
    if (snprintf(path, sizeof path, "%s/chat_template.jinja", dir) >= (int)sizeof path)
        return err_set(e, ST_INVALID, "the folder's name is too long");
    enum status st = read_template_file(c, path, STR("default"), e);
    if (st == ST_OK || st == ST_NOT_FOUND)
        st = read_template_folder(c, dir, e);
    if (st == ST_OK && c->n_template == 0)
        st = read_template_value(c, own, e);
    if (st == ST_OK && c->n_template == 0 && c->template_json)
        st = read_template_value(c, json_get(json_root(c->template_json), STR("chat_template")), e);
    return st;
}

/* ---- files ---- */

static enum status open_file(const char *dir, const char *name, struct json_doc **out, struct err *e)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return err_set(e, ST_INVALID, "the folder's name is too long");
    enum status st = json_parse_file(path, FILE_MAX_BYTES, JSON_ALLOW_DUPLICATES, out, e);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static enum status open_files(struct tokenizer_config *c, const char *dir, const char *config_path,
                              struct err *e)
{
    struct {
        const char *name;
        struct json_doc **doc;
    } files[] = {
        {"tokenizer_config.json", &c->config},      {"special_tokens_map.json", &c->special_map},
        {"added_tokens.json", &c->added},           {"config.json", &c->model},
        {"generation_config.json", &c->generation}, {"chat_template.json", &c->template_json},
    };
    enum status st = ST_OK;
    if (config_path)
        st = json_parse_file(config_path, FILE_MAX_BYTES, JSON_ALLOW_DUPLICATES, &c->config, e);
    for (size_t i = config_path != NULL; i < sizeof files / sizeof *files && st == ST_OK; i++)
        st = open_file(dir, files[i].name, files[i].doc, e);
    return st;
}

static enum status read_tokens(struct tokenizer_config *c, struct err *e)
{
    const struct json_val *root = c->config ? json_root(c->config) : NULL;
    const struct json_val *decoder = json_get(root, STR("added_tokens_decoder"));
    enum status st = read_named(c, root, e);
    if (st == ST_OK)
        st = read_extra_of(c, root, e);
    if (st != ST_OK)
        return err_prefix(e, "tokenizer_config.json");
    if (decoder) {
        st = read_decoder(c, decoder, e);
        return st == ST_OK ? st : err_prefix(e, "tokenizer_config.json");
    }
    if (c->special_map && (st = read_special_map(c, e)) != ST_OK)
        return err_prefix(e, "special_tokens_map.json");
    return c->added ? read_added(c, e) : ST_OK;
}

static void read_options(struct tokenizer_config *c)
{
    const struct json_val *root = c->config ? json_root(c->config) : NULL;
    const struct json_val *model = c->model ? json_root(c->model) : NULL;
    double length;
    if (!json_str(json_get(root, STR("tokenizer_class")), &c->class_name))
        json_str(json_get(model, STR("tokenizer_class")), &c->class_name);
    json_str(json_get(model, STR("model_type")), &c->model_type);
    if (json_f64(json_get(root, STR("model_max_length")), &length) && length >= 1 && length < ABSURD_LENGTH)
        c->max_length = (uint64_t)length;
    json_bool(json_get(root, STR("clean_up_tokenization_spaces")), &c->clean_up_spaces);
}

enum status tokenizer_config_empty(struct tokenizer_config **out, struct err *e)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return err_set(e, ST_NO_MEMORY, "no memory for a tokenizer");
    arena_init(&(*out)->arena, ARENA_MAX_BYTES);
    return ST_OK;
}

enum status tokenizer_config_read(struct tokenizer_config *c, struct err *e)
{
    read_options(c);
    return read_tokens(c, e);
}

enum status tokenizer_config_open(const char *dir, const char *config_path, struct tokenizer_config **out,
                                  struct err *e)
{
    enum status st = tokenizer_config_empty(out, e);
    if (st != ST_OK)
        return st;
    st = open_files(*out, dir, config_path, e);
    if (st == ST_OK)
        st = tokenizer_config_read(*out, e);
    if (st == ST_OK)
        st = read_templates(*out, dir, config_path != NULL, e);
    if (st != ST_OK)
        tokenizer_config_free(*out);
    return st;
}

void tokenizer_config_free(struct tokenizer_config *c)
{
    if (!c)
        return;
    json_free(c->config);
    json_free(c->special_map);
    json_free(c->added);
    json_free(c->model);
    json_free(c->generation);
    json_free(c->template_json);
    arena_fini(&c->arena);
    free(c);
}

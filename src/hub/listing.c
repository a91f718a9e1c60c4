/* The two JSON texts that say which files there are: the hub's answer about a revision, and the index of
 * weights.
 *
 * Both are hostile. A name that is not a plain relative path ends everything: a hub that sends one is broken
 * or worse, and fetching the rest from it would be no better idea. */
#include "hub/hub_int.h"
#include "json/json.h"
#include <stdlib.h>
#include <string.h>

#define MAX_LISTED 200000 /* files of a repository */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct str *)a)->p,
                  ((const struct str *)b)->p); /* arena_strdup() ends them in NUL */
}

static enum status add_path(struct arena *a, struct str path, struct str *out, size_t *n, struct err *e)
{
    if (!is_safe_path(path))
        return err_set(e, ST_INVALID,
                       "the hub lists a file called `" STR_FMT "`, which is no plain relative path",
                       STR_ARG(path));
    out[*n] = arena_strdup(a, path);
    if (!out[*n].p)
        return err_set(e, ST_NO_MEMORY, "no memory for the list of files");
    ++*n;
    return ST_OK;
}

static enum status read_siblings(const struct json_val *siblings, struct arena *a, struct listing *out,
                                 struct err *e)
{
    if (!json_is(siblings, JSON_ARRAY))
        return err_set(e, ST_INVALID, "the hub's answer lists no files (`siblings`)");
    if (json_len(siblings) > MAX_LISTED)
        return err_set(e, ST_LIMIT, "the hub lists more than %d files", MAX_LISTED);
    out->path = arena_array(a, json_len(siblings) + 1, sizeof *out->path);
    if (!out->path)
        return err_set(e, ST_NO_MEMORY, "no memory for the list of files");
    struct json_iter it = json_iter(siblings);
    const struct json_val *v;
    enum status st = ST_OK;
    while (st == ST_OK && (v = json_next(&it, NULL))) {
        struct str path;
        st = json_str(json_get(v, STR("rfilename")), &path)
                 ? add_path(a, path, out->path, &out->n, e)
                 : err_set(e, ST_INVALID, "the hub lists a file without a name (`rfilename`)");
    }
    qsort(out->path, out->n, sizeof *out->path, by_name);
    return st;
}

enum status listing_parse(struct str text, struct arena *a, struct listing *out, struct err *e)
{
    *out = (struct listing){0};
    struct json_doc *doc;
    struct str sha;
    enum status st = json_parse(text, JSON_ALLOW_DUPLICATES, &doc, e);
    if (st != ST_OK)
        return err_prefix(e, "the hub's answer is no JSON");
    if (!json_str(json_get(json_root(doc), STR("sha")), &sha) || !is_commit(sha))
        st = err_set(e, ST_INVALID, "the hub's answer names no commit (`sha`)");
    else
        memcpy(out->commit, sha.p, sha.n); /* the rest is zero */
    if (st == ST_OK)
        st = read_siblings(json_get(json_root(doc), STR("siblings")), a, out, e);
    json_free(doc);
    return st;
}

enum status index_files(struct str text, struct arena *a, struct str **out, size_t *n, struct err *e)
{
    *n = 0;
    struct json_doc *doc;
    enum status st = json_parse(text, JSON_ALLOW_DUPLICATES, &doc, e);
    if (st != ST_OK)
        return err_prefix(e, "the index of weights");
    const struct json_val *map = json_get(json_root(doc), STR("weight_map")), *v;
    size_t len = json_is(map, JSON_OBJECT) ? json_len(map) : 0;
    *out = len ? arena_array(a, len, sizeof **out) : NULL;
    if (!*out)
        st = err_set(e, len ? ST_NO_MEMORY : ST_INVALID, "the index of weights has no `weight_map`");
    struct json_iter it = json_iter(map);
    struct str last = {0};
    while (st == ST_OK && (v = json_next(&it, NULL))) {
        struct str file;
        if (!json_str(v, &file)) {
            st = err_set(e, ST_INVALID, "the index of weights names a file that is no string");
        } else if (!str_eq(file, last)) { /* most follow one of the same file: copied once */
            st = add_path(a, file, *out, n, e);
            last = file;
        }
    }
    if (st == ST_OK)
        qsort(*out, *n, sizeof **out, by_name);
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (!kept || !str_eq((*out)[i], (*out)[kept - 1]))
            (*out)[kept++] = (*out)[i];
    *n = kept;
    json_free(doc);
    return st;
}

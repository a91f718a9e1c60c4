/* model.safetensors.index.json: which shard holds which tensor.
 *
 * The index is believed in nothing: a shard's name must be a plain file name in the same folder, so that no
 * index can make the server map files elsewhere; whether the tensors are really there is checked against the
 * shards. */
#include "ckpt/ckpt_int.h"
#include "json/json.h"
#include <stdlib.h>
#include <string.h>

#define MAX_SHARDS     4096
#define MAX_FILE_BYTES 255 /* NAME_MAX of every Linux file system that matters */
#define MAX_TENSORS    1000000

static bool is_plain_file_name(struct str s)
{
    if (s.n == 0 || s.n > MAX_FILE_BYTES || s.p[0] == '.')
        return false;
    return !memchr(s.p, '/', s.n) && !memchr(s.p, '\0', s.n);
}

static enum status no_memory(struct err *e)
{
    return err_set(e, ST_NO_MEMORY, INDEX_FILE ": no memory for the list of tensors");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Distinct shard names, copied and sorted. */
static enum status collect_files(const struct json_val *weight_map, struct arena *arena,
                                 struct shard_index *out, struct err *e)
{
    enum status st = ST_OK;
    struct map seen;
    if (map_init(&seen, 64) != ST_OK)
        return no_memory(e);
    out->file = arena_array(arena, MAX_SHARDS, sizeof *out->file);
    if (!out->file)
        st = no_memory(e);
    struct json_iter it = json_iter(weight_map);
    struct str tensor, file;
    const struct json_val *v;
    while (st == ST_OK && (v = json_next(&it, &tensor))) {
        uint64_t known;
        if (!json_str(v, &file)) {
            st = err_set(e, ST_INVALID,
                         INDEX_FILE ": weight_map: the shard of tensor `" STR_FMT "` is not a string",
                         STR_ARG(tensor));
        } else if (!is_plain_file_name(file) || !str_has_suffix(file, STR(".safetensors"))) {
            st = err_set(e, ST_INVALID,
                         INDEX_FILE ": weight_map: the shard `" STR_FMT "` of tensor `" STR_FMT
                                    "` is not the plain name of a .safetensors file in the same folder",
                         STR_ARG(file), STR_ARG(tensor));
        } else if (!map_get(&seen, file, &known)) {
            struct str copy = arena_strdup(arena, file);
            if (out->n_file == MAX_SHARDS)
                st = err_set(e, ST_LIMIT, INDEX_FILE ": more than %d shards", MAX_SHARDS);
            else if (!copy.p || map_put(&seen, copy, 1) != ST_OK)
                st = no_memory(e);
            else
                out->file[out->n_file++] = (char *)copy.p;
        }
    }
    map_fini(&seen);
    if (st == ST_OK)
        qsort(out->file, out->n_file, sizeof *out->file, by_name);
    return st;
}

static enum status collect_entries(const struct json_val *weight_map, struct arena *arena,
                                   struct shard_index *out, struct err *e)
{
    struct map number;
    enum status st = map_init(&number, out->n_file);
    if (st != ST_OK)
        return no_memory(e);
    for (size_t i = 0; i < out->n_file && st == ST_OK; i++)
        st = map_put(&number, str_from(out->file[i]), i);
    out->entry = arena_array(arena, json_len(weight_map), sizeof *out->entry);
    if (st != ST_OK || !out->entry)
        st = no_memory(e);
    struct json_iter it = json_iter(weight_map);
    struct str tensor, file;
    const struct json_val *v;
    while (st == ST_OK && (v = json_next(&it, &tensor))) {
        uint64_t at = 0;
        BUG_ON(!json_str(v, &file) || !map_get(&number, file, &at));
        struct shard_entry *x = &out->entry[out->n_entry++];
        *x = (struct shard_entry){.tensor = arena_strdup(arena, tensor), .file = (size_t)at};
        if (!x->tensor.p)
            st = no_memory(e);
    }
    map_fini(&number);
    return st;
}

enum status shard_index_parse(struct str text, struct arena *arena, struct shard_index *out, struct err *e)
{
    *out = (struct shard_index){0};
    struct json_doc *doc;
    enum status st = json_parse(text, 0, &doc, e);
    if (st != ST_OK) {
        (void)err_prefix(e, INDEX_FILE);
        return st;
    }
    const struct json_val *weight_map = json_get(json_root(doc), STR("weight_map"));
    if (!json_is(weight_map, JSON_OBJECT) || json_len(weight_map) == 0)
        st = err_set(e, ST_INVALID, INDEX_FILE ": weight_map is missing, empty or no object");
    else if (json_len(weight_map) > MAX_TENSORS)
        st = err_set(e, ST_LIMIT, INDEX_FILE ": weight_map lists more than %d tensors", MAX_TENSORS);
    if (st == ST_OK)
        st = collect_files(weight_map, arena, out, e);
    if (st == ST_OK)
        st = collect_entries(weight_map, arena, out, e);
    json_free(doc);
    return st;
}

/* The header of a safetensors file, turned into checked tensors.
 *
 * The format's own rules are kept in full: tensors lie one behind the other without holes or overlaps and end
 * with the file, and each is exactly as large as shape and dtype say. So a wrong length, a cut file or a
 * shifted offset is always found here, before any byte of data is looked at. A dtype that this build does not
 * know is no damage: it matters only to whoever asks for that tensor. Nothing here may read outside [bytes,
 * bytes + n_bytes), whatever the header claims. */
#include "ckpt/safetensors_int.h"
#include "json/json.h"
#include <inttypes.h>
#include <stdlib.h>

#define LENGTH_BYTES     8
#define MAX_HEADER_BYTES (100u << 20)
#define MAX_TENSORS      1000000
#define MAX_NAME_BYTES   512
#define MAX_DTYPE_BYTES  32

struct header {
    const char *file;
    const unsigned char *bytes;
    uint64_t data_start, data_bytes;
    struct arena *arena;
};

static enum status tensor_error(const struct header *h, struct str name, const char *what, struct err *e)
{
    return err_set(e, ST_INVALID, "%s: tensor `" STR_FMT "`: %s", h->file, STR_ARG(name), what);
}

static enum status read_dtype(const struct header *h, const struct json_val *v, struct safetensors_entry *x,
                              struct err *e)
{
    struct str dtype;
    if (!json_str(v, &dtype))
        return tensor_error(h, x->t.name, v ? "dtype is not a string" : "dtype is missing", e);
    if (dtype.n == 0 || dtype.n > MAX_DTYPE_BYTES)
        return tensor_error(h, x->t.name, "dtype is empty or longer than 32 bytes", e);
    x->dtype = arena_strdup(h->arena, dtype);
    if (!x->dtype.p)
        return err_set(e, ST_NO_MEMORY, "%s: no memory for tensor names", h->file);
    if (!tensor_dtype_find(dtype, &x->stored)) {
        x->problem = TENSOR_DTYPE;
        return ST_OK;
    }
    const struct tensor_dtype_info *info = tensor_dtype_get(x->stored);
    if (info->is_number)
        x->t.type = info->elem;
    else
        x->problem = TENSOR_CODES;
    return ST_OK;
}

static enum status read_shape(const struct header *h, const struct json_val *v, struct safetensors_entry *x,
                              struct err *e)
{
    if (!v || !json_is(v, JSON_ARRAY))
        return tensor_error(h, x->t.name, v ? "shape is not an array" : "shape is missing", e);
    if (json_len(v) > CKPT_MAX_DIMS)
        return tensor_error(h, x->t.name, "shape has more than 8 dimensions", e);
    struct json_iter it = json_iter(v);
    const struct json_val *dim;
    while ((dim = json_next(&it, NULL)))
        if (!json_u64(dim, &x->t.dim[x->t.n_dim++]))
            return tensor_error(h, x->t.name, "shape holds something else than non-negative integers", e);
    return ST_OK;
}

static enum status read_offsets(const struct header *h, const struct json_val *v, struct safetensors_entry *x,
                                struct err *e)
{
    uint64_t begin, end;
    if (!v || !json_is(v, JSON_ARRAY))
        return tensor_error(h, x->t.name, v ? "data_offsets is not an array" : "data_offsets is missing", e);
    if (json_len(v) != 2 || !json_u64(json_at(v, 0), &begin) || !json_u64(json_at(v, 1), &end))
        return tensor_error(h, x->t.name, "data_offsets is not a pair of non-negative integers", e);
    if (begin > end)
        return err_set(e, ST_INVALID,
                       "%s: tensor `" STR_FMT "`: data_offsets [%" PRIu64 ", %" PRIu64 "] run backwards",
                       h->file, STR_ARG(x->t.name), begin, end);
    if (end > h->data_bytes)
        return err_set(e, ST_INVALID,
                       "%s: tensor `" STR_FMT "`: data_offsets [%" PRIu64 ", %" PRIu64
                       "] reach past the end of the file, which holds %" PRIu64
                       " bytes of data: the file is cut short or damaged",
                       h->file, STR_ARG(x->t.name), begin, end, h->data_bytes);
    x->offset = h->data_start + begin;
    x->t.n_bytes = end - begin;
    x->t.data = h->bytes + x->offset;
    return ST_OK;
}

static enum status check_size(const struct header *h, struct safetensors_entry *x, struct err *e)
{
    if (x->problem == TENSOR_DTYPE)
        return ST_OK;
    uint64_t elem_bytes = tensor_dtype_get(x->stored)->bytes, need = elem_bytes;
    bool overflow = false;
    for (uint32_t i = 0; i < x->t.n_dim; i++)
        overflow |= __builtin_mul_overflow(need, x->t.dim[i], &need);
    if (overflow)
        return tensor_error(h, x->t.name, "shape is too large for any file", e);
    if (need != x->t.n_bytes)
        return err_set(e, ST_INVALID,
                       "%s: tensor `" STR_FMT "`: shape and dtype " STR_FMT " need %" PRIu64
                       " bytes, data_offsets give %" PRIu64,
                       h->file, STR_ARG(x->t.name), STR_ARG(x->dtype), need, x->t.n_bytes);
    if (x->offset % elem_bytes)
        x->problem = TENSOR_UNALIGNED;
    return ST_OK;
}

static enum status read_entry(const struct header *h, struct str name, const struct json_val *v,
                              struct safetensors_entry *x, struct err *e)
{
    *x = (struct safetensors_entry){.t = {.name = name, .file = h->file}};
    if (name.n == 0 || name.n > MAX_NAME_BYTES)
        return tensor_error(h, name, "the name is empty or longer than 512 bytes", e);
    if (!json_is(v, JSON_OBJECT))
        return tensor_error(h, name, "its description is not an object", e);
    x->t.name = arena_strdup(h->arena, name);
    if (!x->t.name.p)
        return err_set(e, ST_NO_MEMORY, "%s: no memory for tensor names", h->file);
    enum status st = read_dtype(h, json_get(v, STR("dtype")), x, e);
    if (st == ST_OK)
        st = read_shape(h, json_get(v, STR("shape")), x, e);
    if (st == ST_OK)
        st = read_offsets(h, json_get(v, STR("data_offsets")), x, e);
    if (st == ST_OK)
        st = check_size(h, x, e);
    return st;
}

static int by_offset(const void *a, const void *b)
{
    const struct safetensors_entry *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->t.n_bytes > y->t.n_bytes) - (x->t.n_bytes < y->t.n_bytes);
}

/* Sorted tensors must tile the data exactly. */
static enum status check_tiling(const struct header *h, const struct safetensors_list *l, struct err *e)
{
    uint64_t at = h->data_start;
    for (size_t i = 0; i < l->n; i++) {
        const struct safetensors_entry *x = &l->entry[i];
        if (x->offset < at)
            return err_set(e, ST_INVALID,
                           "%s: the data of tensor `" STR_FMT "` overlaps that of tensor `" STR_FMT "`",
                           h->file, STR_ARG(x->t.name), STR_ARG(l->entry[i - 1].t.name));
        if (x->offset > at)
            return err_set(e, ST_INVALID,
                           "%s: %" PRIu64 " bytes before tensor `" STR_FMT
                           "` belong to no tensor: wrong data_offsets",
                           h->file, x->offset - at, STR_ARG(x->t.name));
        at += x->t.n_bytes;
    }
    uint64_t left = h->data_start + h->data_bytes - at;
    if (left)
        return err_set(e, ST_INVALID, "%s: %" PRIu64 " bytes after the last tensor belong to no tensor",
                       h->file, left);
    return ST_OK;
}

static enum status read_entries(const struct header *h, const struct json_val *root,
                                struct safetensors_list *out, struct err *e)
{
    if (!json_is(root, JSON_OBJECT))
        return err_set(e, ST_INVALID, "%s: the header is not a JSON object", h->file);
    size_t n_max = json_len(root);
    if (n_max > MAX_TENSORS)
        return err_set(e, ST_LIMIT, "%s: the header lists %zu tensors, more than %d", h->file, n_max,
                       MAX_TENSORS);
    out->entry = arena_array(h->arena, n_max ? n_max : 1, sizeof *out->entry);
    if (!out->entry)
        return err_set(e, ST_NO_MEMORY, "%s: no memory for %zu tensors", h->file, n_max);
    struct json_iter it = json_iter(root);
    struct str name;
    const struct json_val *v;
    while ((v = json_next(&it, &name))) {
        if (str_eq(name, STR("__metadata__")))
            continue;
        enum status st = read_entry(h, name, v, &out->entry[out->n], e);
        if (st != ST_OK)
            return st;
        out->n++;
    }
    qsort(out->entry, out->n, sizeof *out->entry, by_offset);
    return check_tiling(h, out, e);
}

static uint64_t le64(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

enum status safetensors_parse(const void *bytes, size_t n_bytes, const char *file, struct arena *arena,
                              struct safetensors_list *out, struct err *e)
{
    *out = (struct safetensors_list){0};
    if (n_bytes < LENGTH_BYTES)
        return err_set(e, ST_INVALID, "%s: %zu bytes are too few for a safetensors file", file, n_bytes);
    uint64_t header_bytes = le64(bytes);
    if (header_bytes > MAX_HEADER_BYTES)
        return err_set(e, ST_INVALID,
                       "%s: the header claims %" PRIu64
                       " bytes, more than the format allows (100 MB): not a safetensors "
                       "file, or damaged",
                       file, header_bytes);
    if (header_bytes > n_bytes - LENGTH_BYTES)
        return err_set(e, ST_INVALID,
                       "%s: the header claims %" PRIu64 " bytes, the file has %zu: cut short or damaged",
                       file, header_bytes, n_bytes);
    struct header h = {.file = file,
                       .bytes = bytes,
                       .data_start = LENGTH_BYTES + header_bytes,
                       .data_bytes = n_bytes - LENGTH_BYTES - header_bytes,
                       .arena = arena};
    struct str text = {(const char *)h.bytes + LENGTH_BYTES, (size_t)header_bytes};
    struct json_doc *doc;
    enum status st = json_parse(text, 0, &doc, e);
    if (st != ST_OK) {
        (void)err_prefix(e, "%s: the header is not valid JSON", file);
        return st;
    }
    st = read_entries(&h, json_root(doc), out, e);
    json_free(doc);
    return st;
}

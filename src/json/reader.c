/* Reading JSON: yyjson parses, this file adds what it leaves to its user: depth, duplicate keys, one error
 * sentence.
 *
 * struct json_val is yyjson_val under a name of our own, so that no other file depends on the library. */
#include "json/json.h"
#include "json/number_int.h"
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

/* Objects up to this size are searched for duplicates pair by pair, larger ones sorted. */
#define SMALL_OBJECT 16

struct json_doc {
    yyjson_doc *doc;
};

static yyjson_val *yy(const struct json_val *v)
{
    return (yyjson_val *)v;
}

static const struct json_val *ours(yyjson_val *v)
{
    return (const struct json_val *)v;
}

/* ---- checks ---- */

/* Values lie one behind the other in memory; a container knows where it ends. The stack of open ends is the
 * depth. */
static bool depth_ok(yyjson_val *root, size_t n_values)
{
    uintptr_t end[JSON_MAX_DEPTH];
    unsigned depth = 0;
    yyjson_val *v = root;
    for (size_t i = 0; i < n_values; i++, v++) {
        while (depth && (uintptr_t)v >= end[depth - 1])
            depth--;
        if (!unsafe_yyjson_is_ctn(v))
            continue;
        if (depth == JSON_MAX_DEPTH)
            return false;
        end[depth++] = (uintptr_t)unsafe_yyjson_get_next(v);
    }
    return true;
}

static int key_compare(const void *a, const void *b)
{
    yyjson_val *x = *(yyjson_val *const *)a, *y = *(yyjson_val *const *)b;
    size_t nx = yyjson_get_len(x), ny = yyjson_get_len(y);
    int order = memcmp(yyjson_get_str(x), yyjson_get_str(y), nx < ny ? nx : ny);
    return order ? order : (nx > ny) - (nx < ny);
}

/* The first key found twice in this object, or NULL; *no_memory when it could not be looked for. */
static yyjson_val *duplicate_key(yyjson_val *obj, bool *no_memory)
{
    size_t n = unsafe_yyjson_get_len(obj), k = 0;
    yyjson_val *few[SMALL_OBJECT], **keys = n <= SMALL_OBJECT ? few : malloc(n * sizeof *keys), *found = NULL;
    if (!keys) {
        *no_memory = true;
        return NULL;
    }
    yyjson_obj_iter it = yyjson_obj_iter_with(obj);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it));)
        keys[k++] = key;
    if (n > SMALL_OBJECT)
        qsort(keys, k, sizeof *keys, key_compare);
    for (size_t i = 0; i + 1 < k && !found; i++)
        for (size_t j = i + 1; j < (n > SMALL_OBJECT ? i + 2 : k) && !found; j++)
            if (key_compare(&keys[i], &keys[j]) == 0)
                found = keys[i];
    if (keys != few)
        free(keys);
    return found;
}

static enum status check_duplicates(yyjson_val *root, size_t n_values, struct err *e)
{
    yyjson_val *v = root;
    bool no_memory = false;
    for (size_t i = 0; i < n_values; i++, v++) {
        if (!unsafe_yyjson_is_obj(v))
            continue;
        yyjson_val *key = duplicate_key(v, &no_memory);
        if (key)
            return err_set(e, ST_INVALID, "duplicate field `%.*s`",
                           yyjson_get_len(key) > 128 ? 128 : (int)yyjson_get_len(key), yyjson_get_str(key));
        if (no_memory)
            return err_set(e, ST_NO_MEMORY, "no memory to check a JSON object");
    }
    return ST_OK;
}

/* Raw texts of numbers become numbers. */
static enum status read_numbers(yyjson_val *root, size_t n_values, struct err *e)
{
    struct number_powers powers = {{0}};
    yyjson_val *v = root;
    for (size_t i = 0; i < n_values; i++, v++) {
        if (!unsafe_yyjson_is_raw(v))
            continue;
        struct number x = number_read((struct str){yyjson_get_raw(v), yyjson_get_len(v)}, &powers);
        if (x.kind == NUMBER_OUT_OF_RANGE)
            return err_set(e, ST_INVALID, "number out of range: %.*s",
                           yyjson_get_len(v) > 64 ? 64 : (int)yyjson_get_len(v), yyjson_get_raw(v));
        if (x.kind == NUMBER_UINT)
            unsafe_yyjson_set_uint(v, x.u);
        else if (x.kind == NUMBER_INT)
            unsafe_yyjson_set_sint(v, x.i);
        else
            unsafe_yyjson_set_real(v, x.real);
    }
    return ST_OK;
}

static enum status syntax_error(struct str text, const yyjson_read_err *yerr, struct err *e)
{
    size_t line = 1, column = 1, pos = yerr->pos < text.n ? yerr->pos : text.n;
    for (size_t i = 0; i < pos; i++) {
        column = text.p[i] == '\n' ? 1 : column + 1;
        line += text.p[i] == '\n';
    }
    return err_set(e, yerr->code == YYJSON_READ_ERROR_MEMORY_ALLOCATION ? ST_NO_MEMORY : ST_INVALID,
                   "%s at line %zu column %zu", yerr->msg, line, column);
}

enum status json_parse(struct str text, unsigned flags, struct json_doc **out, struct err *e)
{
    yyjson_read_err yerr;
    struct json_doc *d = malloc(sizeof *d);
    if (!d)
        return err_set(e, ST_NO_MEMORY, "no memory for a JSON document");
    if (text.n == 0) {
        free(d);
        return err_set(e, ST_INVALID, "EOF while parsing a value at line 1 column 0");
    }
    yyjson_read_flag how = flags & JSON_SERDE_NUMBERS ? YYJSON_READ_NUMBER_AS_RAW : YYJSON_READ_NOFLAG;
    d->doc = yyjson_read_opts((char *)text.p, text.n, how, NULL, &yerr);
    if (!d->doc) {
        free(d);
        return syntax_error(text, &yerr, e);
    }
    yyjson_val *root = yyjson_doc_get_root(d->doc);
    size_t n_values = yyjson_doc_get_val_count(d->doc);
    enum status st = ST_OK;
    if (!depth_ok(root, n_values))
        st = err_set(e, ST_INVALID, "recursion limit exceeded: more than %d levels", JSON_MAX_DEPTH);
    else if (!(flags & JSON_ALLOW_DUPLICATES))
        st = check_duplicates(root, n_values, e);
    if (st == ST_OK && flags & JSON_SERDE_NUMBERS)
        st = read_numbers(root, n_values, e);
    if (st != ST_OK) {
        json_free(d);
        return st;
    }
    *out = d;
    return ST_OK;
}

enum status json_parse_file(const char *path, size_t max_bytes, unsigned flags, struct json_doc **out,
                            struct err *e)
{
    struct buf text;
    buf_init(&text, max_bytes);
    enum status st = buf_read_file(&text, path, e);
    if (st == ST_OK) {
        st = json_parse(buf_str(&text), flags, out, e);
        if (st != ST_OK)
            err_prefix(e, "%s", path);
    }
    buf_fini(&text);
    return st;
}

void json_free(struct json_doc *d)
{
    if (d) {
        yyjson_doc_free(d->doc);
        free(d);
    }
}

const struct json_val *json_root(const struct json_doc *d)
{
    return ours(yyjson_doc_get_root(d->doc));
}

/* ---- values ---- */

enum json_kind json_kind(const struct json_val *v)
{
    switch (yyjson_get_type(yy(v))) {
    case YYJSON_TYPE_BOOL:
        return JSON_BOOL;
    case YYJSON_TYPE_NUM:
        return yyjson_is_uint(yy(v)) ? JSON_UINT : yyjson_is_sint(yy(v)) ? JSON_INT : JSON_REAL;
    case YYJSON_TYPE_STR:
        return JSON_STRING;
    case YYJSON_TYPE_ARR:
        return JSON_ARRAY;
    case YYJSON_TYPE_OBJ:
        return JSON_OBJECT;
    default:
        return JSON_NULL;
    }
}

const char *json_kind_name(const struct json_val *v)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",      [JSON_BOOL] = "boolean",        [JSON_UINT] = "integer",
        [JSON_INT] = "integer",    [JSON_REAL] = "floating point", [JSON_STRING] = "string",
        [JSON_ARRAY] = "sequence", [JSON_OBJECT] = "map",
    };
    return names[json_kind(v)];
}

bool json_is(const struct json_val *v, enum json_kind k)
{
    return v && json_kind(v) == k;
}

bool json_is_none(const struct json_val *v)
{
    return json_kind(v) == JSON_NULL;
}

bool json_is_number(const struct json_val *v)
{
    return yyjson_is_num(yy(v));
}

bool json_bool(const struct json_val *v, bool *out)
{
    if (!yyjson_is_bool(yy(v)))
        return false;
    *out = yyjson_get_bool(yy(v));
    return true;
}

bool json_u64(const struct json_val *v, uint64_t *out)
{
    if (!yyjson_is_uint(yy(v)))
        return false;
    *out = yyjson_get_uint(yy(v));
    return true;
}

bool json_i64(const struct json_val *v, int64_t *out)
{
    if (!yyjson_is_int(yy(v)) || (yyjson_is_uint(yy(v)) && yyjson_get_uint(yy(v)) > INT64_MAX))
        return false;
    *out = yyjson_get_sint(yy(v));
    return true;
}

bool json_f64(const struct json_val *v, double *out)
{
    if (!yyjson_is_num(yy(v)))
        return false;
    *out = yyjson_get_num(yy(v));
    return true;
}

bool json_str(const struct json_val *v, struct str *out)
{
    if (!yyjson_is_str(yy(v)))
        return false;
    *out = (struct str){yyjson_get_str(yy(v)), yyjson_get_len(yy(v))};
    return true;
}

size_t json_len(const struct json_val *v)
{
    return yyjson_is_ctn(yy(v)) ? unsafe_yyjson_get_len(yy(v)) : 0;
}

const struct json_val *json_get(const struct json_val *obj, struct str key)
{
    return ours(yyjson_obj_getn(yy(obj), key.p, key.n));
}

const struct json_val *json_at(const struct json_val *arr, size_t i)
{
    return ours(yyjson_arr_get(yy(arr), i));
}

struct json_iter json_iter(const struct json_val *container)
{
    struct json_iter it = {.left = json_len(container), .is_object = yyjson_is_obj(yy(container))};
    if (it.left)
        it.next = ours(unsafe_yyjson_get_first(yy(container)));
    return it;
}

const struct json_val *json_next(struct json_iter *it, struct str *key)
{
    if (it->left == 0)
        return NULL;
    yyjson_val *v = yy(it->next);
    it->left--;
    if (it->is_object) {
        it->cur_key = ours(v);
        if (key)
            *key = (struct str){yyjson_get_str(v), yyjson_get_len(v)};
        v = unsafe_yyjson_get_next(v);
    }
    it->next = ours(unsafe_yyjson_get_next(v));
    return ours(v);
}

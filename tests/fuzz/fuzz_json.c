/* JSON: what parses is walked, written again and parses; a copy of it is copied to the same text. */
#include "json/json.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rewrite(const struct json_val *v, struct json_writer *w)
{
    struct json_iter it = json_iter(v);
    const struct json_val *item;
    struct str s;
    double d;
    bool b;
    switch (json_kind(v)) {
    case JSON_ARRAY:
    case JSON_OBJECT:
        (json_is(v, JSON_ARRAY) ? jw_array : jw_object)(w);
        while ((item = json_next(&it, &s))) {
            if (json_is(v, JSON_OBJECT) && !json_str(item, &s) && json_len(item) > 1000000)
                abort();
            if (json_is(v, JSON_OBJECT))
                jw_key(w, "k");
            if (w->depth < 60)
                rewrite(item, w);
            else
                jw_null(w);
        }
        (json_is(v, JSON_ARRAY) ? jw_end_array : jw_end_object)(w);
        return;
    case JSON_STRING:
        json_str(v, &s);
        jw_str(w, s);
        return;
    case JSON_UINT:
    case JSON_INT:
    case JSON_REAL:
        json_f64(v, &d);
        jw_f64(w, d);
        return;
    case JSON_BOOL:
        json_bool(v, &b);
        jw_bool(w, b);
        return;
    case JSON_NULL:
        jw_null(w);
    }
}

/* A copied value parses, and its copy is the same text: nothing is lost, changed or left unescaped. */
static void copy(const struct json_val *v)
{
    struct json_doc *doc;
    struct json_writer w;
    struct buf once, twice;
    struct err e;
    buf_init(&once, 1u << 26);
    buf_init(&twice, 1u << 26);
    jw_init(&w, &once);
    jw_value(&w, v);
    if (!once.failed) {
        if (json_parse(buf_str(&once), 0, &doc, &e) != ST_OK)
            abort();
        jw_init(&w, &twice);
        jw_value(&w, json_root(doc));
        if (!str_eq(buf_str(&once), buf_str(&twice)))
            abort();
        json_free(doc);
    }
    buf_fini(&once);
    buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_doc *doc, *again;
    struct err e;
    struct buf text;
    struct json_writer w;
    if (json_parse((struct str){(const char *)data, size}, 0, &doc, &e) != ST_OK)
        return 0;
    buf_init(&text, 1u << 26);
    jw_init(&w, &text);
    rewrite(json_root(doc), &w);
    copy(json_root(doc));
    if (!text.failed) {
        if (json_parse(buf_str(&text), JSON_ALLOW_DUPLICATES, &again, &e) != ST_OK)
            abort();
        json_free(again);
    }
    buf_fini(&text);
    json_free(doc);
    return 0;
}

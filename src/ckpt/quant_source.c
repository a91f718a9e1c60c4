/* Tensors of a checkpoint as the quantised formats look for them. */
#include "ckpt/ckpt_int.h"
#include "json/json.h"
#include <stdio.h>

#define MAX_JSON_TENSOR (1u << 16)

static bool find(void *arg, struct str name, struct quant_tensor *out)
{
    return ckpt_find_stored(arg, name, out);
}

/* The document must be freed; NULL when the bytes are no JSON object with that field. */
static struct json_doc *json_of(const struct quant_tensor *t, const char *field, const struct json_val **v)
{
    struct json_doc *doc;
    if (t->n_bytes > MAX_JSON_TENSOR ||
        json_parse((struct str){t->data, (size_t)t->n_bytes}, 0, &doc, NULL) != ST_OK)
        return NULL;
    *v = json_get(json_root(doc), str_from(field));
    return doc;
}

static bool json_number(void *arg, const struct quant_tensor *t, const char *field, double *out)
{
    (void)arg;
    const struct json_val *v;
    struct json_doc *doc = json_of(t, field, &v);
    bool ok = doc && json_f64(v, out);
    json_free(doc);
    return ok;
}

static bool json_text(void *arg, const struct quant_tensor *t, const char *field, char *out, size_t out_bytes)
{
    (void)arg;
    const struct json_val *v;
    struct str s;
    struct json_doc *doc = json_of(t, field, &v);
    bool ok = doc && json_str(v, &s) && s.n < out_bytes;
    if (ok)
        snprintf(out, out_bytes, STR_FMT, STR_ARG(s));
    json_free(doc);
    return ok;
}

struct quant_source ckpt_quant_source(const struct ckpt *c)
{
    return (struct quant_source){
        .find = find, .number = json_number, .text = json_text, .arg = (void *)(uintptr_t)c};
}

/* The OpenAPI document: openapi/document.json with what other tables know put in.
 *
 * Paths come from the routes that the server has, errors from the table of errors, sampling parameters from
 * sample/params.def; the file has what nobody else says: texts and schemas. In its schemas the property
 * "x-shared" names lists of properties (its own member "shared") that stand in its place. Nothing here
 * depends on requests or the model. */
#include "api/api_int.h"
#include "api/embedded_int.h"
#include "api/openapi_int.h"
#include <stdio.h>
#include <string.h>

#define DOCUMENT_MAX_BYTES (4u << 20)

/* ---- sampling parameters ---- */

struct bound {
    bool given, open; /* open: the bound itself is not allowed */
    double at;
};

struct param {
    const char *name, *meaning;
    bool is_integer;
    double neutral, example;
    struct bound lower, upper;
    struct {
        bool given;
        double from, to;
    } off;
};

static const struct param params[] = {
#define IS_INTEGER_F32 false
#define IS_INTEGER_I32 true
#define OVER(b)        {true, true, b}
#define FROM(b)        {true, false, b}
#define UNDER(b)       {true, true, b}
#define TO(b)          {true, false, b}
#define FINITE         {false, false, 0}
#define OFF(from, to)  {true, from, to}
#define NEVER          {false, 0, 0}
#define PARAM(type, name, neutral, lower, upper, off, is_random, example, text, meaning)                     \
    {#name, meaning, IS_INTEGER_##type, neutral, example, lower, upper, off},
#include "sample/params.def"
#undef PARAM
};

static void put_number(struct json_writer *w, const struct param *p, double x)
{
    if (p->is_integer)
        jw_i64(w, (int64_t)x);
    else
        jw_f64(w, x);
}

static void put_bound(struct json_writer *w, const struct param *p, struct bound b, const char *name,
                      const char *open_name)
{
    if (!b.given)
        return;
    jw_key(w, name);
    put_number(w, p, b.at);
    if (b.open) {
        jw_key(w, open_name);
        jw_bool(w, true);
    }
}

static void put_param(struct json_writer *w, const struct param *p, bool openai)
{
    struct bound lower = p->lower, upper = p->upper;
    struct buf text;
    if (openai && p->off.given && p->off.from <= lower.at)
        lower = (struct bound){true, false, p->off.from};
    if (openai && p->off.given && upper.given && p->off.to >= upper.at)
        upper = (struct bound){true, false, p->off.to};
    buf_init(&text, 1024);
    buf_printf(&text, "%s Absent or null: %g.", p->meaning, p->neutral);
    jw_key(w, p->name);
    jw_object(w);
    jw_key(w, "type");
    jw_cstr(w, p->is_integer ? "integer" : "number");
    jw_key(w, "format");
    jw_cstr(w, p->is_integer ? "int32" : "float");
    jw_key(w, "nullable");
    jw_bool(w, true);
    put_bound(w, p, lower, "minimum", "exclusiveMinimum");
    put_bound(w, p, upper, "maximum", "exclusiveMaximum");
    jw_key(w, "description");
    jw_str(w, buf_str(&text));
    w->out->failed |= text.failed;
    jw_key(w, "example");
    put_number(w, p, p->example);
    jw_end_object(w);
    buf_fini(&text);
}

/* ---- schemas ---- */

static bool names(const struct json_val *list, struct str name)
{
    const struct json_val *v;
    struct str s;
    struct json_iter it = json_iter(list);
    while ((v = json_next(&it, NULL)))
        if (json_str(v, &s) && str_eq(s, name))
            return true;
    return false;
}

static void put_members(struct json_writer *w, const struct json_val *object)
{
    const struct json_val *v;
    struct str key;
    struct json_iter it = json_iter(object);
    while ((v = json_next(&it, &key))) {
        jw_name(w, key);
        jw_value(w, v);
    }
}

static void put_shared(struct json_writer *w, const struct json_val *shared, const struct json_val *lists)
{
    const struct json_val *v;
    struct str list;
    struct json_iter it = json_iter(lists);
    bool openai = names(lists, STR("openai"));
    while ((v = json_next(&it, NULL))) {
        BUG_ON(!json_str(v, &list) || !json_get(shared, list));
        for (size_t i = 0; str_eq(list, STR("sampling")) && i < sizeof params / sizeof *params; i++)
            put_param(w, &params[i], openai);
        put_members(w, json_get(shared, list));
    }
}

static void put_properties(struct json_writer *w, const struct json_val *shared,
                           const struct json_val *properties)
{
    const struct json_val *v;
    struct str key;
    struct json_iter it = json_iter(properties);
    jw_object(w);
    while ((v = json_next(&it, &key))) {
        if (str_eq(key, STR("x-shared"))) {
            put_shared(w, shared, v);
        } else {
            jw_name(w, key);
            jw_value(w, v);
        }
    }
    jw_end_object(w);
}

static void put_schemas(struct json_writer *w, const struct json_val *shared, const struct json_val *schemas)
{
    const struct json_val *schema, *v;
    struct str name, key;
    struct json_iter it = json_iter(schemas), members;
    jw_object(w);
    while ((schema = json_next(&it, &name))) {
        jw_name(w, name);
        jw_object(w);
        members = json_iter(schema);
        while ((v = json_next(&members, &key))) {
            jw_name(w, key);
            if (str_eq(key, STR("properties")))
                put_properties(w, shared, v);
            else
                jw_value(w, v);
        }
        jw_end_object(w);
    }
    jw_end_object(w);
}

/* ---- one body ---- */

static void put_ref(struct json_writer *w, const char *schema)
{
    struct buf ref;
    buf_init(&ref, 256);
    buf_printf(&ref, "#/components/schemas/%s", schema);
    jw_object(w);
    jw_key(w, "$ref");
    jw_str(w, buf_str(&ref));
    w->out->failed |= ref.failed;
    jw_end_object(w);
    buf_fini(&ref);
}

/* Opens "TYPE": {"schema": ...}; schema NULL: a text. */
static void open_media(struct json_writer *w, const char *type, const char *schema, bool is_list)
{
    jw_key(w, type);
    jw_object(w);
    jw_key(w, "schema");
    if (schema && !is_list) {
        put_ref(w, schema);
        return;
    }
    jw_object(w);
    jw_key(w, "type");
    jw_cstr(w, schema ? "array" : "string");
    if (schema) {
        jw_key(w, "items");
        put_ref(w, schema);
    }
    jw_end_object(w);
}

static void put_media(struct json_writer *w, const char *type, const char *schema, bool is_list)
{
    open_media(w, type, schema, is_list);
    jw_end_object(w);
}

/* ---- responses ---- */

enum fault_body { BODY_NONE, BODY_TEXT, BODY_SHAPE, BODY_ERROR };

/* By status; rows of one status are one response, described by its last row that applies. BODY_SHAPE is text,
 * but with --strict-openai an error of OpenAI's. */
static const struct {
    unsigned status, faults;
    enum fault_body body;
    enum api_error kind; /* of BODY_ERROR: it has that status */
    const char *description, *example;
} failures[] = {
    {400, FAULT_BODY, BODY_SHAPE, 0, "The body is no JSON", NULL},
    {401, FAULT_KEY, BODY_NONE, 0, "The API key is missing or another one", NULL},
    {413, FAULT_BODY, BODY_TEXT, 0, "The body is longer than --payload-limit", NULL},
    {415, FAULT_BODY, BODY_TEXT, 0, "The content type is not application/json", NULL},
    {422, FAULT_BODY, BODY_SHAPE, 0, "The JSON has another shape", NULL},
    {422, FAULT_VALUES, BODY_ERROR, API_VALIDATION, "Input validation error, or JSON of another shape",
     "`temperature` must be strictly positive"},
    {424, FAULT_ENGINE, BODY_ERROR, API_GENERATION, "Generation error", "the device failed"},
    {429, FAULT_BUSY, BODY_ERROR, API_OVERLOADED, "Model is overloaded", NULL},
    {500, FAULT_ENGINE, BODY_ERROR, API_INCOMPLETE, "Incomplete generation", NULL},
    {503, FAULT_LOADING, BODY_ERROR, API_LOADING, "The model is still loading", NULL},
    {503, FAULT_HEALTH, BODY_ERROR, API_UNHEALTHY, "No requests should be sent here: it loads, fails or ends",
     NULL},
};

#define N_FAILURES (sizeof failures / sizeof *failures)

struct response {
    bool text, error;
    size_t row; /* the last one that applies */
};

static void put_error_media(struct json_writer *w, size_t row, bool openai_error)
{
    struct buf example;
    open_media(w, "application/json", openai_error ? "OpenAiErrorResponse" : "ErrorResponse", false);
    if (!openai_error) {
        struct json_doc *doc;
        struct err e;
        buf_init(&example, 1024);
        api_error_render(failures[row].kind, failures[row].example, &example);
        if (json_parse(buf_str(&example), 0, &doc, &e) == ST_OK) {
            jw_key(w, "example");
            jw_value(w, json_root(doc));
            json_free(doc);
        }
        buf_fini(&example);
    }
    jw_end_object(w);
}

static void open_response(struct json_writer *w, unsigned status, const char *description)
{
    char text[16];
    snprintf(text, sizeof text, "%u", status);
    jw_key(w, text);
    jw_object(w);
    jw_key(w, "description");
    jw_cstr(w, description);
}

static void put_failure(struct json_writer *w, const struct response *r, bool openai_error)
{
    open_response(w, failures[r->row].status, failures[r->row].description);
    if (r->text || r->error) {
        jw_key(w, "content");
        jw_object(w);
        if (r->error)
            put_error_media(w, r->row, openai_error);
        if (r->text)
            put_media(w, "text/plain", NULL, false);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static void put_failures(struct json_writer *w, unsigned faults, bool openai_error)
{
    for (size_t i = 0; i < N_FAILURES;) {
        struct response r = {.row = N_FAILURES};
        unsigned status = failures[i].status;
        for (; i < N_FAILURES && failures[i].status == status; i++) {
            enum fault_body body = failures[i].body;
            if (!(faults & failures[i].faults))
                continue;
            r.row = i;
            BUG_ON(body == BODY_ERROR && api_error_http_status(failures[i].kind) != status);
            r.text |= body == BODY_TEXT || (body == BODY_SHAPE && !openai_error);
            r.error |= body == BODY_ERROR || (body == BODY_SHAPE && openai_error);
        }
        if (r.row < N_FAILURES)
            put_failure(w, &r, openai_error);
    }
}

static void put_events(struct json_writer *w, const struct api_doc *d)
{
    if (!d->error_events) {
        put_media(w, "text/event-stream", d->events, false);
        return;
    }
    jw_key(w, "text/event-stream");
    jw_object(w);
    jw_key(w, "schema");
    jw_object(w);
    jw_key(w, "anyOf");
    jw_array(w);
    put_ref(w, d->events);
    put_ref(w, d->error_events);
    jw_end_array(w);
    jw_end_object(w);
    jw_end_object(w);
}

static void put_answer(struct json_writer *w, const struct api_doc *d)
{
    open_response(w, 200, d->answered);
    if (d->type || d->events) {
        jw_key(w, "content");
        jw_object(w);
        if (d->type)
            put_media(w, d->type, d->schema, d->is_list);
        if (d->events)
            put_events(w, d);
        jw_end_object(w);
    }
    jw_end_object(w);
}

/* ---- paths ---- */

/* A key, or nothing where the server has none. */
static void put_security(struct json_writer *w)
{
    jw_key(w, "security");
    jw_array(w);
    jw_object(w);
    jw_key(w, "ApiKey");
    jw_array(w);
    jw_end_array(w);
    jw_end_object(w);
    jw_object(w);
    jw_end_object(w);
    jw_end_array(w);
}

static void put_request(struct json_writer *w, const struct api_doc *d)
{
    jw_key(w, "requestBody");
    jw_object(w);
    jw_key(w, "required");
    jw_bool(w, true);
    jw_key(w, "content");
    jw_object(w);
    put_media(w, "application/json", d->request, false);
    jw_end_object(w);
    jw_end_object(w);
}

static void put_tags(struct json_writer *w, const struct api_doc *d)
{
    jw_key(w, "tags");
    jw_array(w);
    jw_cstr(w, "Text Generation Inference");
    jw_cstr(w, d->group);
    jw_end_array(w);
}

static void put_operation(struct json_writer *w, const struct api_route *route, bool strict)
{
    const struct api_doc *d = &route->doc;
    bool is_protected = route->http.flags & HTTP_ROUTE_PROTECTED;
    const char *method = route->http.method;
    jw_key(w, strcmp(method, "POST") == 0 ? "post" : "get");
    jw_object(w);
    put_tags(w, d);
    jw_key(w, "summary");
    jw_cstr(w, d->summary);
    jw_key(w, "operationId");
    jw_cstr(w, d->id);
    if (is_protected)
        put_security(w);
    if (d->request)
        put_request(w, d);
    jw_key(w, "responses");
    jw_object(w);
    put_answer(w, d);
    put_failures(w, d->faults | (is_protected ? FAULT_KEY : 0), strict && strcmp(d->group, "OpenAI") == 0);
    jw_end_object(w);
    jw_end_object(w);
}

/* Is there an earlier route of that path (and, where it is given, that method)? */
static bool stands_before(const struct api_route *routes, size_t i, const char *method)
{
    for (size_t k = 0; k < i; k++)
        if (routes[k].doc.id && strcmp(routes[k].http.path, routes[i].http.path) == 0 &&
            (!method || strcmp(routes[k].http.method, method) == 0))
            return true;
    return false;
}

static void put_paths(struct json_writer *w, const struct api_route *routes, size_t n, bool strict)
{
    jw_object(w);
    for (size_t i = 0; i < n; i++) {
        if (!routes[i].doc.id || stands_before(routes, i, NULL))
            continue;
        jw_name(w, str_from(routes[i].http.path));
        jw_object(w);
        for (size_t k = i; k < n; k++)
            if (routes[k].doc.id && strcmp(routes[k].http.path, routes[i].http.path) == 0 &&
                !stands_before(routes, k, routes[k].http.method))
                put_operation(w, &routes[k], strict);
        jw_end_object(w);
    }
    jw_end_object(w);
}

/* ---- the whole ---- */

static void put_info(struct json_writer *w, const struct json_val *info, const char *version)
{
    jw_object(w);
    put_members(w, info);
    jw_key(w, "version");
    jw_cstr(w, version);
    jw_end_object(w);
}

static void put_components(struct json_writer *w, const struct json_val *root)
{
    jw_key(w, "components");
    jw_object(w);
    jw_key(w, "securitySchemes");
    jw_value(w, json_get(root, STR("securitySchemes")));
    jw_key(w, "schemas");
    put_schemas(w, json_get(root, STR("shared")), json_get(root, STR("schemas")));
    jw_end_object(w);
}

void openapi_render(const struct api_route *routes, size_t n, const char *version, bool strict,
                    struct buf *out)
{
    const struct embedded *frame = embedded_find(STR("/openapi/document.json"));
    struct json_writer w;
    struct json_doc *doc;
    struct err e;
    BUG_ON(!frame);
    if (json_parse((struct str){(const char *)frame->bytes, frame->n_bytes}, 0, &doc, &e) != ST_OK) {
        BUG_ON(e.status != ST_NO_MEMORY);
        out->failed = true;
        return;
    }
    const struct json_val *root = json_root(doc);
    jw_init(&w, out);
    jw_object(&w);
    jw_key(&w, "openapi");
    jw_value(&w, json_get(root, STR("openapi")));
    jw_key(&w, "info");
    put_info(&w, json_get(root, STR("info")), version);
    jw_key(&w, "paths");
    put_paths(&w, routes, n, strict);
    put_components(&w, root);
    jw_key(&w, "tags");
    jw_value(&w, json_get(root, STR("tags")));
    jw_end_object(&w);
    json_free(doc);
}

void api_openapi(const struct api *a, struct buf *out)
{
    openapi_render(a->described, a->n_route, a->o.version, a->o.strict_openai, out);
}

void handle_openapi(struct http_req *r, void *api)
{
    struct buf body;
    buf_init(&body, DOCUMENT_MAX_BYTES);
    api_openapi(api, &body);
    http_respond(r, body.failed ? 500 : 200, "application/json", body.failed ? STR("") : buf_str(&body), NULL,
                 0);
    buf_fini(&body);
}

/* The pages for people: GET /ui and /docs/ and the files below them, served from the program itself.
 *
 * A page is bytes that the build embedded (src/api/ui, src/api/docs). The browser is told to load nothing
 * from elsewhere, to run no other script and to make no element from text: what a model writes stays text.
 * Nothing here depends on the request but its path, so that a page can be kept, and is fetched anew only when
 * the program changes. */
#include "api/api_int.h"
#include "api/embedded_int.h"

/* A client's copy is still good: its If-None-Match names our tag, strong or weak, alone or in a list. */
static bool is_current(struct http_req *r, const struct embedded *p)
{
    return str_find(http_req_header(r, "if-none-match"), str_from(p->etag), 0) != SIZE_MAX;
}

void handle_page(struct http_req *r, void *api)
{
    const struct api *a = api;
    struct str path = http_req_path(r);
    const struct embedded *p = embedded_find(path);
    if (!p || (a->o.disable_ui && str_has_prefix(path, STR("/ui")))) {
        http_respond(r, 404, NULL, STR(""), NULL, 0);
        return;
    }
    const struct http_header headers[] = {
        {STR("etag"), str_from(p->etag)},
        {STR("cache-control"), STR("no-cache")},
        {STR("content-security-policy"),
         STR("default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for "
             "'script'; "
             "trusted-types 'none'")},
        {STR("x-content-type-options"), STR("nosniff")},
        {STR("referrer-policy"), STR("no-referrer")},
    };
    bool current = is_current(r, p);
    http_respond(r, current ? 304 : 200, p->type,
                 current ? STR("") : (struct str){(const char *)p->bytes, p->n_bytes}, headers,
                 sizeof headers / sizeof *headers);
}

/* As TGI: the page is at /docs/, so that its files stand beside it. Relative, for proxies that add a path. */
void handle_docs(struct http_req *r, void *api)
{
    (void)api;
    http_respond(r, 303, NULL, STR(""), &(struct http_header){STR("location"), STR("docs/")}, 1);
}

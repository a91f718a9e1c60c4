/* GET /ui and the files below it: a page for people, served from the program itself.
 *
 * The page is bytes that the build embedded (src/api/ui). The browser is told to load nothing from elsewhere,
 * to run no other script and to make no element from text: what a model writes stays text. Nothing here
 * depends on the request but its path, so that the page can be kept, and is fetched anew only when the
 * program changes. */
#include "api/api_int.h"
#include "api/ui_int.h"

static const struct ui_file *find(struct str path)
{
    for (size_t i = 0; i < n_ui_files; i++)
        if (str_eq(path, str_from(ui_files[i].path)))
            return &ui_files[i];
    return NULL;
}

/* A client's copy is still good: its If-None-Match names our tag, strong or weak, alone or in a list. */
static bool is_current(struct http_req *r, const struct ui_file *f)
{
    return str_find(http_req_header(r, "if-none-match"), str_from(f->etag), 0) != SIZE_MAX;
}

void handle_ui(struct http_req *r, void *api)
{
    const struct api *a = api;
    const struct ui_file *f = a->o.disable_ui ? NULL : find(http_req_path(r));
    if (!f) {
        http_respond(r, 404, NULL, STR(""), NULL, 0);
        return;
    }
    const struct http_header headers[] = {
        {STR("etag"), str_from(f->etag)},
        {STR("cache-control"), STR("no-cache")},
        {STR("content-security-policy"),
         STR("default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for "
             "'script'; "
             "trusted-types 'none'")},
        {STR("x-content-type-options"), STR("nosniff")},
        {STR("referrer-policy"), STR("no-referrer")},
    };
    bool current = is_current(r, f);
    http_respond(r, current ? 304 : 200, f->type,
                 current ? STR("") : (struct str){(const char *)f->bytes, f->n_bytes}, headers,
                 sizeof headers / sizeof *headers);
}

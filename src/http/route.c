/* Routing: exact paths from one table; CORS and the API key, because both are about who may call a route. */
#include "http/http_int.h"
#include <openssl/crypto.h>
#include <string.h>

struct str http_req_method(const struct http_req *r)
{
    return str_from(http_parse_method(&r->conn->parse));
}

/* A proxy's client sends the whole URI: the path begins after the host. */
static struct str target_path(struct str target)
{
    size_t host = str_has_prefix(target, STR("http")) ? str_find(target, STR("://"), 0) : SIZE_MAX;
    if (host == SIZE_MAX)
        return target;
    size_t path = str_find(target, STR("/"), host + 3);
    return path == SIZE_MAX ? STR("/") : (struct str){target.p + path, target.n - path};
}

struct str http_req_path(const struct http_req *r)
{
    struct str target = target_path(http_parse_target(&r->conn->parse));
    size_t query = str_find(target, STR("?"), 0);
    if (query != SIZE_MAX)
        target.n = query;
    return target;
}

struct str http_req_body(const struct http_req *r)
{
    return buf_str(&r->conn->parse.body);
}

struct str http_req_header(const struct http_req *r, const char *name)
{
    return http_parse_header_value(&r->conn->parse, str_from(name));
}

struct arena *http_req_arena(struct http_req *r)
{
    return &r->arena;
}

struct http_handle http_req_handle(const struct http_req *r)
{
    return (struct http_handle){r->conn->slot, r->conn->generation};
}

struct http_server *http_req_server(const struct http_req *r)
{
    return r->conn->server;
}

struct http_req *http_req_find(struct http_server *s, struct http_handle h)
{
    struct conn *c = h.generation && h.slot < s->o.max_connections ? s->conn[h.slot] : NULL;
    return c && c->generation == h.generation ? &c->req : NULL;
}

void http_req_on_gone(struct http_req *r, void (*fn)(void *arg), void *arg)
{
    r->gone = fn;
    r->gone_arg = arg;
}

/* ---- CORS ---- */

size_t cors_headers(const struct http_req *r, struct http_header out[3])
{
    const struct http_options *o = &r->conn->server->o;
    struct str origin = http_parse_header_value(&r->conn->parse, STR("origin"));
    size_t n = 0;
    if (!o->allow_origins) {
        out[n++] = (struct http_header){STR("access-control-allow-origin"), STR("*")};
    } else {
        for (size_t i = 0; i < o->n_allow_origins; i++)
            if (str_eq(origin, str_from(o->allow_origins[i])))
                out[n++] =
                    (struct http_header){STR("access-control-allow-origin"), str_from(o->allow_origins[i])};
    }
    out[n++] = (struct http_header){
        STR("vary"), STR("origin, access-control-request-method, access-control-request-headers")};
    return n;
}

static void preflight(struct http_req *r)
{
    static const struct http_header allow[] = {
        {{"access-control-allow-methods", 28}, {"GET,POST", 8}},
        {{"access-control-allow-headers", 28}, {"content-type,authorization", 26}},
    };
    http_respond(r, 200, NULL, STR(""), allow, 2);
}

/* ---- the API key ---- */

static bool key_ok(const struct http_req *r)
{
    const char *key = r->conn->server->o.api_key;
    struct str given = http_req_header(r, "authorization");
    if (!key)
        return true;
    if (!str_has_prefix(given, STR("Bearer ")))
        return false;
    given.p += 7;
    given.n -= 7;
    return given.n == strlen(key) && CRYPTO_memcmp(given.p, key, given.n) == 0;
}

/* ---- routes ---- */

static bool method_fits(const struct http_route *route, struct str method)
{
    return str_eq(method, str_from(route->method)) ||
           (str_eq(method, STR("HEAD")) && strcmp(route->method, "GET") == 0);
}

static void method_not_allowed(struct http_req *r, struct str path)
{
    const struct listener *l = r->conn->listener;
    char allow[64] = "";
    for (size_t i = 0; i < l->n_routes; i++) {
        if (!str_eq(path, str_from(l->routes[i].path)) || strstr(allow, l->routes[i].method))
            continue;
        if (*allow)
            strcat(allow, ",");
        strcat(allow, strcmp(l->routes[i].method, "GET") == 0 ? "GET,HEAD" : l->routes[i].method);
    }
    http_respond(r, 405, NULL, STR(""), &(struct http_header){STR("allow"), str_from(allow)}, 1);
}

void route_request(struct conn *c)
{
    struct http_req *r = &c->req;
    const struct listener *l = c->listener;
    struct str path = http_req_path(r), method = http_req_method(r);
    bool known_path = false;
    if (str_eq(method, STR("OPTIONS")) && http_req_header(r, "access-control-request-method").n) {
        preflight(r);
        return;
    }
    for (size_t i = 0; i < l->n_routes; i++) {
        const struct http_route *route = &l->routes[i];
        if (!str_eq(path, str_from(route->path)))
            continue;
        known_path = true;
        if (!method_fits(route, method))
            continue;
        if ((route->flags & HTTP_ROUTE_PROTECTED) && !key_ok(r))
            http_respond(r, 401, NULL, STR(""), NULL, 0);
        else
            route->handle(r, c->server->o.arg);
        return;
    }
    if (known_path)
        method_not_allowed(r, path);
    else
        http_respond(r, 404, NULL, STR(""), NULL, 0);
}

/* Questions to the hub, one at a time: about a revision, about a file.
 *
 * Redirects are followed here and not by libcurl, so that one place decides who gets the token (the endpoint,
 * by scheme, host and port) and where a redirect may lead (never from https to http). Every question has a
 * time limit and every answer a size limit. */
#define LOG_MODULE "hub"
#include "base/clock.h"
#include "base/log.h"
#include "hub/request_int.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_ANSWER_BYTES ((size_t)64 << 20)
#define MAX_WAIT_S       300 /* that a hub may ask for before it counts as unavailable */

struct session {
    const struct hub_options *o;
    char id[HUB_ID_MAX], revision[HUB_PATH_MAX], origin[300], agent[300];
    CURL *easy;
    struct curl_slist *plain, *with_token;
};

/* ---- life ---- */

static enum status make_headers(struct session *s, struct err *e)
{
    char line[4096];
    s->plain = curl_slist_append(NULL, "Accept-Encoding: identity");
    s->with_token = curl_slist_append(NULL, "Accept-Encoding: identity");
    if (s->with_token && s->o->token) {
        int n = snprintf(line, sizeof line, "Authorization: Bearer %s", s->o->token);
        if (n < 0 || n >= (int)sizeof line || strpbrk(s->o->token, "\r\n"))
            return err_set(e, ST_INVALID, "the hub's token (HF_TOKEN) is too long or has line breaks in it");
        struct curl_slist *more = curl_slist_append(s->with_token, line);
        s->with_token = more ? more : s->with_token;
    }
    return s->plain && s->with_token ? ST_OK : err_set(e, ST_NO_MEMORY, "no memory for a request");
}

enum status session_new(const struct hub_options *o, const char *id, const char *revision,
                        struct session **out, struct err *e)
{
    *out = NULL;
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ST_NO_MEMORY, "no memory for a request");
    s->o = o;
    snprintf(s->id, sizeof s->id, "%s", id);
    snprintf(s->revision, sizeof s->revision, "%s", revision);
    snprintf(s->agent, sizeof s->agent, "prompteur/" PROMPTEUR_VERSION "%s%.200s",
             o->origin ? "; origin/" : "", o->origin ? o->origin : "");
    url_origin(s->origin, o->endpoint);
    enum status st = ST_OK;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !(s->easy = curl_easy_init()))
        st = err_set(e, ST_INTERNAL, "libcurl cannot be set up");
    if (st == ST_OK && strncmp(s->origin, "https://", 8) != 0 && strncmp(s->origin, "http://", 7) != 0)
        st = err_set(e, ST_INVALID,
                     "the hub's address (HF_ENDPOINT) `%s` begins with neither https:// nor http://",
                     o->endpoint);
    if (st == ST_OK)
        st = make_headers(s, e);
    if (st != ST_OK) {
        session_free(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

void session_free(struct session *s)
{
    if (!s)
        return;
    curl_easy_cleanup(s->easy);
    curl_slist_free_all(s->plain);
    curl_slist_free_all(s->with_token);
    curl_global_cleanup();
    free(s);
}

const struct hub_options *session_options(const struct session *s)
{
    return s->o;
}

const char *session_id(const struct session *s)
{
    return s->id;
}

const char *session_revision(const struct session *s)
{
    return s->revision;
}

bool session_is_cancelled(const struct session *s)
{
    return s->o->cancel && atomic_load(s->o->cancel);
}

/* ---- one request ---- */

static size_t on_header(char *p, size_t size, size_t n, void *reply)
{
    return reply_header(reply, (struct str){p, size * n}) ? size * n : 0;
}

static int on_tick(void *session, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return session_is_cancelled(session);
}

/* libcurl reads the other variables by itself, but this one only in lower case. */
static const char *upper_case_proxy(const char *url)
{
    const char *proxy = getenv("HTTP_PROXY");
    return strncmp(url, "http://", 7) == 0 && !getenv("http_proxy") && proxy && *proxy ? proxy : NULL;
}

void request_prepare(const struct session *s, CURL *easy, struct reply *r, const char *url,
                     char curl_error[CURL_ERROR_SIZE])
{
    char origin[300];
    struct stat ca;
    url_origin(origin, url);
    reply_init(r, url);
    curl_error[0] = '\0';
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)CURL_HTTP_VERSION_1_1); /* several connections are wanted */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, s->agent);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, curl_error);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_tick);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, (void *)s);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)s->o->metadata_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, strcmp(origin, s->origin) == 0 ? s->with_token : s->plain);
    if (s->o->ca_path && stat(s->o->ca_path, &ca) == 0 && S_ISDIR(ca.st_mode))
        curl_easy_setopt(easy, CURLOPT_CAPATH, s->o->ca_path);
    else if (s->o->ca_path)
        curl_easy_setopt(easy, CURLOPT_CAINFO, s->o->ca_path);
    if (upper_case_proxy(url))
        curl_easy_setopt(easy, CURLOPT_PROXY, upper_case_proxy(url));
}

void request_ended(CURL *easy, struct reply *r)
{
    char *to = NULL;
    curl_off_t wait = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &r->status);
    curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &to);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &wait);
    r->retry_after_s = wait > 0 ? (uint64_t)wait : 0;
    r->location[0] = '\0';
    if (to && strlen(to) < sizeof r->location)
        memcpy(r->location, to, strlen(to) + 1);
}

enum status redirect_check(const struct session *s, const char *from, const char *to, struct err *e)
{
    char origin[300];
    url_origin(origin, to);
    bool is_https = strncmp(origin, "https://", 8) == 0, was_https = strncmp(from, "https://", 8) == 0;
    if (!origin[0] || (!is_https && strncmp(origin, "http://", 7) != 0))
        return err_set(e, ST_INVALID, "`%s`: %s redirects to an address that is neither https:// nor http://",
                       s->id, s->origin);
    if (was_https && !is_https)
        return err_set(e, ST_INVALID, "`%s`: refused: a redirect from https to the unprotected %s", s->id,
                       origin);
    return ST_OK;
}

static size_t on_body(char *p, size_t size, size_t n, void *body)
{
    struct buf *b = body;
    buf_put(b, p, size * n);
    return b->failed ? 0 : size * n;
}

static enum status ask_once(struct session *s, const char *url, bool head, struct buf *body, struct reply *r,
                            struct err *e)
{
    char curl_error[CURL_ERROR_SIZE];
    request_prepare(s, s->easy, r, url, curl_error);
    buf_clear(body);
    curl_easy_setopt(s->easy, CURLOPT_NOBODY, head ? 1L : 0L);
    curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, 3L * (long)s->o->metadata_timeout_ms);
    CURLcode code = curl_easy_perform(s->easy);
    request_ended(s->easy, r);
    if (body->failed)
        return err_set(e, ST_LIMIT, "`%s`: an answer of %s is longer than %zu MiB", s->id, s->origin,
                       MAX_ANSWER_BYTES >> 20);
    return code == CURLE_OK ? ST_OK : explain_curl(s, code, curl_error, url, e);
}

static bool is_redirect(const struct reply *r)
{
    return r->status >= 300 && r->status < 400 && r->location[0];
}

/* Follows redirects. With `head`, to the answer that has the file's etag, which may itself be a redirect. */
static enum status ask_along(struct session *s, const char *first, bool head, struct buf *body,
                             struct reply *r, struct err *e)
{
    char url[URL_MAX];
    snprintf(url, sizeof url, "%s", first);
    for (unsigned hops = 0; hops <= MAX_REDIRECTS; hops++) {
        enum status st = ask_once(s, url, head, body, r, e);
        if (st != ST_OK || !is_redirect(r))
            return st;
        st = redirect_check(s, url, r->location, e);
        if (st != ST_OK || (head && (r->linked_etag[0] || r->has_bad_etag)))
            return st;
        snprintf(url, sizeof url, "%s", r->location);
    }
    return err_set(e, ST_INVALID, "`%s`: %s redirects in a circle: more than %d times", s->id, s->origin,
                   MAX_REDIRECTS);
}

/* ---- patience ---- */

uint64_t backoff_ms(unsigned n)
{
    static const uint64_t ms[] = {200, 1000, 2000, 4000, 8000, 16000, 30000};
    return ms[n - 1 < 6 ? n - 1 : 6];
}

bool reply_may_pass(const struct reply *r)
{
    return r->status == 408 || r->status == 425 || r->status == 429 || (r->status >= 500 && r->status != 501);
}

/* False: cancelled. */
static bool wait_ms(const struct session *s, uint64_t ms)
{
    uint64_t until = clock_ns() + ms * 1000000;
    while (clock_ns() < until) {
        const struct timespec slice = {.tv_nsec = 50000000};
        if (session_is_cancelled(s))
            return false;
        (void)nanosleep(&slice, NULL);
    }
    return true;
}

static enum status ask(struct session *s, const char *url, bool head, unsigned n_tries, const char *what,
                       struct buf *body, struct reply *r, struct err *e)
{
    for (unsigned n = 1;; n++) {
        enum status st = ask_along(s, url, head, body, r, e);
        bool answered = st == ST_OK, may_pass = answered ? reply_may_pass(r) : st == ST_UNAVAILABLE;
        if (answered && r->status >= 200 && r->status < 400)
            return ST_OK;
        if (answered)
            st = explain_reply(s, r, what, e);
        uint64_t ms = answered && r->retry_after_s ? r->retry_after_s * 1000 : backoff_ms(n);
        if (!may_pass || n >= n_tries || (answered && r->retry_after_s > MAX_WAIT_S))
            return st;
        log_info("%s; trying again in %.1f s", e->text, (double)ms / 1e3);
        if (!wait_ms(s, ms))
            return err_set(e, ST_CANCELLED, "the download was cancelled");
    }
}

/* ---- questions ---- */

enum status session_ask_revision(struct session *s, unsigned n_tries, struct buf *body, struct err *e)
{
    struct buf url;
    struct reply r;
    buf_init(&url, URL_MAX);
    buf_init(body, MAX_ANSWER_BYTES);
    buf_printf(&url, "%s/api/models/%s/revision/", s->o->endpoint, s->id);
    url_put_quoted(&url, str_from(s->revision), false);
    buf_put_char(&url, '\0');
    enum status st = url.failed ? err_set(e, ST_LIMIT, "the hub's address is too long")
                                : ask(s, url.p, false, n_tries, NULL, body, &r, e);
    buf_fini(&url);
    return st;
}

void session_file_url(const struct session *s, const char *commit, struct str path, char out[URL_MAX])
{
    struct buf url;
    buf_init(&url, URL_MAX - 1);
    buf_printf(&url, "%s/%s/resolve/%s/", s->o->endpoint, s->id, commit);
    url_put_quoted(&url, path, true);
    snprintf(out, URL_MAX, "%.*s", (int)url.n, url.p ? url.p : "");
    buf_fini(&url);
}

enum status session_ask_file(struct session *s, const char *commit, struct str path, struct file_meta *out,
                             struct err *e)
{
    char url[URL_MAX], name[FILE_PATH_MAX];
    struct reply r;
    struct buf body;
    buf_init(&body, MAX_ANSWER_BYTES);
    snprintf(name, sizeof name, STR_FMT, STR_ARG(path));
    session_file_url(s, commit, path, url);
    enum status st = ask(s, url, true, s->o->tries, name, &body, &r, e);
    buf_fini(&body);
    if (st != ST_OK)
        return st;
    const char *etag = r.linked_etag[0] ? r.linked_etag : r.etag;
    uint64_t n_bytes = r.linked_length != UINT64_MAX ? r.linked_length
                       : r.location[0]               ? UINT64_MAX
                                                     : r.length;
    if (r.commit[0] && strcmp(r.commit, commit) != 0)
        return err_set(e, ST_INVALID, "`%s`: asked for %s of commit %s, the hub answers with commit %s",
                       s->id, name, commit, r.commit);
    if (!etag[0] || r.has_bad_etag || n_bytes == UINT64_MAX)
        return err_set(
            e, ST_INVALID,
            "`%s`: %s tells no %s of %s: it does not speak the hub's API; check HF_ENDPOINT and proxies",
            s->id, s->origin, etag[0] && !r.has_bad_etag ? "size" : "usable etag", name);
    *out = (struct file_meta){.n_bytes = n_bytes};
    snprintf(out->etag, sizeof out->etag, "%s", etag);
    snprintf(out->url, sizeof out->url, "%s", r.location[0] ? r.location : r.url);
    return ST_OK;
}

/* Which names may become part of a path or a URL.
 *
 * Ids and revisions come from a person, file names and etags from a hub that may be hostile. Each is either
 * plain enough to be used as it stands or refused; nothing is repaired. */
#include "hub/hub_int.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define COMPONENT_MAX 255 /* NAME_MAX of every Linux file system that matters */
#define REVISION_MAX  200

static bool all_in(struct str s, const char *extra)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && !(s.p[i] && strchr(extra, s.p[i])))
            return false;
    return true;
}

bool is_commit(struct str s)
{
    if (s.n != HUB_COMMIT_MAX - 1)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("0123456789abcdef", s.p[i]) || !s.p[i])
            return false;
    return true;
}

bool is_safe_etag(struct str s)
{
    return s.n > 0 && s.n < ETAG_MAX && all_in(s, "-_");
}

static bool is_safe_component(struct str s)
{
    if (s.n == 0 || s.n > COMPONENT_MAX || str_eq(s, STR(".")) || str_eq(s, STR("..")))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f || s.p[i] == '\\')
            return false;
    return true;
}

bool is_safe_path(struct str s)
{
    if (s.n == 0 || s.n >= FILE_PATH_MAX || !utf8_valid(s))
        return false;
    for (size_t at = 0; at <= s.n;) {
        size_t end = str_find(s, STR("/"), at);
        end = end == SIZE_MAX ? s.n : end;
        if (!is_safe_component((struct str){s.p + at, end - at}))
            return false;
        at = end + 1;
    }
    return true;
}

/* One half of an id: what huggingface_hub's expression allows between its word boundaries. */
static bool is_id_part(struct str s)
{
    return s.n > 0 && s.n <= 96 && all_in(s, "-_.") && !strchr("-.", s.p[0]) && !strchr("-.", s.p[s.n - 1]);
}

enum status hub_id_check(const char *id, struct err *e)
{
    struct str s = str_from(id);
    size_t slash = str_find(s, STR("/"), 0);
    struct str owner = {s.p, slash == SIZE_MAX ? 0 : slash}, name = s;
    if (slash != SIZE_MAX)
        name = (struct str){s.p + slash + 1, s.n - slash - 1};
    if (!is_id_part(name) || (slash != SIZE_MAX && !is_id_part(owner)))
        return err_set(
            e, ST_INVALID,
            "`%s` is no folder and cannot be a model of a hub either: those are called OWNER/NAME, each "
            "of letters, digits, `-`, `_` and `.`, at most 96 of them",
            id);
    if (str_find(s, STR("--"), 0) != SIZE_MAX || str_find(s, STR(".."), 0) != SIZE_MAX ||
        str_has_suffix(s, STR(".git")))
        return err_set(
            e, ST_INVALID,
            "`%s` is no folder and cannot be a model of a hub either: no name there has `--` or `..` in "
            "it or ends in `.git`",
            id);
    return ST_OK;
}

enum status revision_check(const char *revision, struct err *e)
{
    struct str s = str_from(revision);
    bool ok = s.n <= REVISION_MAX && is_safe_path(s) && !strpbrk(revision, " ~^:?*[") &&
              !str_has_suffix(s, STR(".lock")) && str_find(s, STR(".."), 0) == SIZE_MAX;
    return ok ? ST_OK
              : err_set(e, ST_INVALID,
                        "revision `%s` cannot be one of a hub: give a branch, a tag, a commit or refs/pr/N",
                        revision);
}

void repo_folder_name(char out[HUB_ID_MAX + 16], const char *id)
{
    const char *slash = strchr(id, '/');
    if (slash)
        snprintf(out, HUB_ID_MAX + 16, "models--%.*s--%s", (int)(slash - id), id, slash + 1);
    else
        snprintf(out, HUB_ID_MAX + 16, "models--%s", id);
}

void url_put_quoted(struct buf *out, struct str s, bool keep_slashes)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x80 && isalnum(c)) || (c && strchr("-._~", c)) || (keep_slashes && c == '/'))
            buf_put_char(out, (char)c);
        else
            buf_printf(out, "%%%02X", c);
    }
}

void url_origin(char out[300], const char *url)
{
    const char *host = strstr(url, "://");
    out[0] = '\0';
    if (!host)
        return;
    host += 3;
    size_t n = strcspn(host, "/?#");
    struct str authority = {host, n};
    for (size_t at = str_find(authority, STR("@"), 0); at != SIZE_MAX; at = str_find(authority, STR("@"), 0))
        authority = (struct str){authority.p + at + 1, authority.n - at - 1};
    int len = snprintf(out, 300, "%.*s" STR_FMT, (int)(host - url), url, STR_ARG(authority));
    if (len < 0 || len >= 300)
        out[0] = '\0';
    for (char *p = out; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    static const char *const defaults[][2] = {{"https://", ":443"}, {"http://", ":80"}};
    for (size_t i = 0; i < 2; i++)
        if (str_has_prefix(str_from(out), str_from(defaults[i][0])) &&
            str_has_suffix(str_from(out), str_from(defaults[i][1])))
            out[strlen(out) - strlen(defaults[i][1])] = '\0';
}

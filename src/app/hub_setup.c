/* Where the cache is, who we are and how far away the hub is: huggingface_hub's variables with its rules. */
#include "app/hub_setup.h"
#include "base/buf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MAX_TOKEN_BYTES 2000

/* Set to something. */
static const char *text_of(const struct options *o, enum option_id id)
{
    const char *text = option_text(o, id);
    return text && *text ? text : NULL;
}

/* What huggingface_hub takes for yes. */
static bool says_yes(const char *text)
{
    static const char *const yes[] = {"1", "on", "yes", "true"};
    for (size_t i = 0; text && i < sizeof yes / sizeof *yes; i++)
        if (strcasecmp(text, yes[i]) == 0)
            return true;
    return false;
}

static enum status join(char out[HUB_PATH_MAX], const char *dir, const char *below, struct err *e)
{
    const char *home = getenv("HOME");
    bool is_home = dir[0] == '~' && (dir[1] == '/' || dir[1] == '\0') && home && *home;
    int n = snprintf(out, HUB_PATH_MAX, "%s%s%s", is_home ? home : "", dir + is_home, below);
    if (n < 0 || n >= HUB_PATH_MAX)
        return err_set(e, ST_INVALID, "the hub's cache folder has too long a name");
    while (n > 1 && out[n - 1] == '/')
        out[--n] = '\0';
    return ST_OK;
}

/* HF_HOME, or the place that huggingface_hub has instead. */
static enum status hf_home(const struct options *o, char out[HUB_PATH_MAX], struct err *e)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (text_of(o, OPT_HF_HOME))
        return join(out, text_of(o, OPT_HF_HOME), "", e);
    if (xdg && *xdg)
        return join(out, xdg, "/huggingface", e);
    if (home && *home)
        return join(out, home, "/.cache/huggingface", e);
    return err_set(
        e, ST_INVALID,
        "there is no place for models: neither --huggingface-hub-cache nor HF_HOME nor HOME is set");
}

enum status hub_cache_dir(const struct options *o, const char *id, char out[HUB_PATH_MAX], struct err *e)
{
    const char *newer = text_of(o, OPT_HF_HUB_CACHE), *older = text_of(o, OPT_HUB_CACHE);
    bool is_flag = o->value[OPT_HUB_CACHE].source == OPTION_FLAG;
    if (is_flag && older)
        return join(out, older, "", e);
    if (newer || older)
        return join(out, newer ? newer : older, "", e);
    char home[HUB_PATH_MAX];
    enum status st = hf_home(o, home, e);
    if (st == ST_OK)
        st = join(out, home, "/hub", e);
    if (st == ST_OK && id && text_of(o, OPT_HF_HOME) && !hub_cache_has(out, id) && hub_cache_has(home, id))
        return join(out, home, "", e);
    return st;
}

/* The variables, then the file that `hf auth login` writes. White space around is no part of a token. */
static enum status read_token(const struct options *o, char out[2048], struct err *e)
{
    static const enum option_id names[] = {OPT_HF_TOKEN, OPT_HF_TOKEN_OLD, OPT_HF_API_TOKEN};
    struct buf file;
    struct str token = {0};
    char path[HUB_PATH_MAX], home[HUB_PATH_MAX];
    buf_init(&file, MAX_TOKEN_BYTES);
    for (size_t i = 0; i < sizeof names / sizeof *names && !token.n; i++)
        token = str_trim(str_from(text_of(o, names[i])));
    enum status st = ST_OK;
    if (!token.n) {
        if (text_of(o, OPT_HF_TOKEN_PATH))
            st = join(path, text_of(o, OPT_HF_TOKEN_PATH), "", e);
        else if ((st = hf_home(o, home, NULL)) == ST_OK)
            st = join(path, home, "/token", e);
        if (st == ST_OK && access(path, R_OK) == 0 && buf_read_file(&file, path, NULL) == ST_OK)
            token = str_trim(buf_str(&file));
        st = ST_OK;
    }
    if (token.n > MAX_TOKEN_BYTES)
        st = err_set(e, ST_INVALID, "the hub's token (HF_TOKEN) is longer than %d bytes", MAX_TOKEN_BYTES);
    else
        snprintf(out, 2048, "%.*s", (int)token.n, token.n ? token.p : "");
    buf_fini(&file);
    for (const char *p = out; st == ST_OK && *p; p++)
        if (*p <= ' ' || *p > '~')
            st = err_set(e, ST_INVALID, "the hub's token (HF_TOKEN) has bytes that no header can carry");
    return st;
}

enum status hub_setup(const struct options *o, const char *id, struct hub_setup *out, struct err *e)
{
    static const enum option_id bundles[] = {OPT_REQUESTS_CA_BUNDLE, OPT_CURL_CA_BUNDLE, OPT_SSL_CERT_FILE};
    const char *endpoint = text_of(o, OPT_HF_ENDPOINT), *offline = text_of(o, OPT_HF_HUB_OFFLINE);
    *out = (struct hub_setup){0};
    int n =
        snprintf(out->endpoint, sizeof out->endpoint, "%s", endpoint ? endpoint : "https://huggingface.co");
    if (n >= (int)sizeof out->endpoint)
        return err_set(e, ST_INVALID, "the hub's address (HF_ENDPOINT) is too long");
    while (n > 1 && out->endpoint[n - 1] == '/')
        out->endpoint[--n] = '\0';
    enum status st = hub_cache_dir(o, id, out->cache_dir, e);
    if (st == ST_OK)
        st = read_token(o, out->token, e);
    if (st != ST_OK)
        return st;
    out->o = (struct hub_options){
        .endpoint = out->endpoint,
        .cache_dir = out->cache_dir,
        .token = out->token[0] ? out->token : NULL,
        .origin = text_of(o, OPT_HF_USER_AGENT),
        .offline = says_yes(offline ? offline : text_of(o, OPT_TRANSFORMERS_OFFLINE)),
        .metadata_timeout_ms = (uint32_t)option_u64(o, OPT_HF_ETAG_TIMEOUT, 10) * 1000,
        .stall_timeout_ms = (uint32_t)option_u64(o, OPT_HF_DOWNLOAD_TIMEOUT, 10) * 1000,
        .connections = (unsigned)option_u64(o, OPT_DOWNLOAD_CONNECTIONS, 8),
        .tries = (unsigned)option_u64(o, OPT_DOWNLOAD_TRIES, 6),
    };
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles && !out->o.ca_path; i++)
        out->o.ca_path = text_of(o, bundles[i]);
    return ST_OK;
}

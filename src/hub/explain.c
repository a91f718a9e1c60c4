/* What went wrong, in a sentence that says what to do. One place, so that each cause has one sentence. */
#include "hub/request_int.h"
#include <inttypes.h>
#include <string.h>

/* The hub answers 401 for models that do not exist too, so that private names stay private. */
static enum status explain_no_access(const struct session *s, const struct reply *r, struct err *e)
{
    const struct hub_options *o = session_options(s);
    const char *id = session_id(s);
    if (strcmp(r->error_code, "GatedRepo") == 0 || (r->status == 403 && !r->error_code[0]))
        return err_set(e, ST_NOT_FOUND, "`%s` is gated (%ld): ask for access at %s/%s, %s", id, r->status,
                       o->endpoint, id,
                       o->token ? "with the account that the given token (HF_TOKEN) belongs to"
                                : "then give a token of that account in HF_TOKEN");
    if (strstr(r->error_message, "Invalid credentials"))
        return err_set(e, ST_NOT_FOUND,
                       "`%s`: the hub does not accept the token it was given (%ld): make a new one at "
                       "%s/settings/tokens and give it in HF_TOKEN",
                       id, r->status, o->endpoint);
    return err_set(e, ST_NOT_FOUND, "`%s`: %s has no such model, or it is private (%ld): check the name%s",
                   id, o->endpoint, r->status,
                   o->token ? ", and that the given token (HF_TOKEN) may read it"
                            : "; for a private one give a token in HF_TOKEN");
}

static enum status explain_missing(const struct session *s, const struct reply *r, const char *what,
                                   struct err *e)
{
    const char *id = session_id(s), *endpoint = session_options(s)->endpoint;
    if (strcmp(r->error_code, "RevisionNotFound") == 0)
        return err_set(e, ST_INVALID,
                       "`%s` has no revision `%s`: see %s/%s/tree/main for its branches and commits", id,
                       session_revision(s), endpoint, id);
    if (what)
        return err_set(e, ST_NOT_FOUND,
                       "`%s`: the hub lists the file %s but does not have it (404); try again later", id,
                       what);
    return err_set(e, ST_NOT_FOUND, "`%s`: %s has no such model (404); check the name, or give a folder", id,
                   endpoint);
}

enum status explain_reply(const struct session *s, const struct reply *r, const char *what, struct err *e)
{
    const char *id = session_id(s);
    char origin[300];
    url_origin(origin, r->url);
    if (r->status == 404)
        return explain_missing(s, r, what, e);
    if (r->status == 401 || r->status == 403)
        return explain_no_access(s, r, e);
    if (r->status == 429 && r->retry_after_s)
        return err_set(
            e, ST_UNAVAILABLE,
            "`%s`: %s limits how often it may be asked (429) and wants us to wait %" PRIu64
            " s: try again later%s",
            id, origin, r->retry_after_s,
            session_options(s)->token ? "" : ", or give a token (HF_TOKEN): accounts may ask more often");
    if (r->status == 429)
        return err_set(
            e, ST_UNAVAILABLE, "`%s`: %s limits how often it may be asked (429): try again later%s", id,
            origin,
            session_options(s)->token ? "" : ", or give a token (HF_TOKEN): accounts may ask more often");
    if (reply_may_pass(r))
        return err_set(e, ST_UNAVAILABLE, "`%s`: %s is in trouble (%ld): try again later", id, origin,
                       r->status);
    return err_set(e, ST_UNAVAILABLE,
                   "`%s`: %s answers %ld, which no hub should; check HF_ENDPOINT and proxies%s%s", id, origin,
                   r->status, r->error_message[0] ? "; it says: " : "", r->error_message);
}

enum status explain_curl(const struct session *s, CURLcode code, const char *curl_error, const char *url,
                         struct err *e)
{
    const char *id = session_id(s), *why = curl_error[0] ? curl_error : curl_easy_strerror(code);
    char origin[300];
    url_origin(origin, url);
    if (session_is_cancelled(s))
        return err_set(e, ST_CANCELLED, "the download was cancelled");
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return err_set(
            e, ST_NOT_FOUND, /* trying again is of no use */
            "`%s`: the certificate of %s cannot be trusted (%s): a proxy that opens TLS needs its own "
            "certificate named in SSL_CERT_FILE; also check this machine's clock",
            id, origin, why);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return err_set(
            e, ST_UNAVAILABLE,
            "`%s`: %s cannot be reached (%s): check the network and HTTPS_PROXY, or give a folder; with a "
            "model in the cache HF_HUB_OFFLINE=1 asks nobody",
            id, origin, why);
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(e, ST_UNAVAILABLE,
                       "`%s`: %s takes too long (%s): check the network, or try again later", id, origin,
                       why);
    case CURLE_WRITE_ERROR: /* ours: on_header() or a body function had enough */
        return err_set(e, ST_UNAVAILABLE, "`%s`: %s sends an answer that no hub should: too long", id,
                       origin);
    default:
        return err_set(e, ST_UNAVAILABLE, "`%s`: the connection to %s broke (%s)", id, origin, why);
    }
}

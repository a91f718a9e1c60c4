/* The head of one HTTP answer, read line by line as curl hands it over. Values that do not fit or do not
 * parse count as not said. */
#include "hub/hub_int.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX ((size_t)128 << 10)

void reply_init(struct reply *r, const char *url)
{
    *r = (struct reply){.length = UINT64_MAX,
                        .linked_length = UINT64_MAX,
                        .range_begin = UINT64_MAX,
                        .range_end = UINT64_MAX,
                        .range_total = UINT64_MAX};
    snprintf(r->url, sizeof r->url, "%s", url);
}

bool etag_read(char out[ETAG_MAX], struct str value)
{
    value = str_trim(value);
    if (str_has_prefix(value, STR("W/")))
        value = (struct str){value.p + 2, value.n - 2};
    if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
        value = (struct str){value.p + 1, value.n - 2};
    bool ok = is_safe_etag(value);
    snprintf(out, ETAG_MAX, STR_FMT, ok ? (int)value.n : 0, value.p);
    return ok;
}

/* "bytes 0-99/1234" */
static void read_range(struct reply *r, struct str v)
{
    uint64_t first, last, total = UINT64_MAX;
    size_t dash = str_find(v, STR("-"), 0), slash = str_find(v, STR("/"), 0);
    if (!str_has_prefix(v, STR("bytes ")) || dash == SIZE_MAX || slash == SIZE_MAX || dash > slash ||
        !str_to_u64((struct str){v.p + 6, dash - 6}, &first) ||
        !str_to_u64((struct str){v.p + dash + 1, slash - dash - 1}, &last) || last < first ||
        last == UINT64_MAX)
        return;
    (void)str_to_u64((struct str){v.p + slash + 1, v.n - slash - 1}, &total);
    r->range_begin = first;
    r->range_end = last + 1;
    r->range_total = total;
}

static void copy(char *out, size_t cap, struct str v)
{
    snprintf(out, cap, STR_FMT, STR_ARG(v));
}

static void read_field(struct reply *r, struct str name, struct str v)
{
    if (str_eq_nocase(name, STR("etag")))
        (void)etag_read(r->etag, v);
    else if (str_eq_nocase(name, STR("x-linked-etag")))
        r->has_bad_etag |= !etag_read(r->linked_etag, v);
    else if (str_eq_nocase(name, STR("x-linked-size")))
        (void)str_to_u64(v, &r->linked_length);
    else if (str_eq_nocase(name, STR("content-length")))
        (void)str_to_u64(v, &r->length);
    else if (str_eq_nocase(name, STR("content-range")))
        read_range(r, v);
    else if (str_eq_nocase(name, STR("content-encoding")))
        r->is_encoded = !str_eq_nocase(v, STR("identity"));
    else if (str_eq_nocase(name, STR("x-repo-commit")) && is_commit(v))
        copy(r->commit, sizeof r->commit, v);
    else if (str_eq_nocase(name, STR("x-error-code")))
        copy(r->error_code, sizeof r->error_code, v);
    else if (str_eq_nocase(name, STR("x-error-message")))
        copy(r->error_message, sizeof r->error_message, v);
}

bool reply_header(struct reply *r, struct str line)
{
    r->head_bytes += line.n;
    if (r->head_bytes > HEAD_MAX)
        return false;
    size_t colon = str_find(line, STR(":"), 0);
    if (colon != SIZE_MAX)
        read_field(r, str_trim((struct str){line.p, colon}),
                   str_trim((struct str){line.p + colon + 1, line.n - colon - 1}));
    return true;
}

/* Reading and writing lock files. Everything in one is checked: it decides which weights may answer. */
#include "app/lock_file.h"
#include "base/file.h"
#include "json/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES ((size_t)64 << 10)

bool is_digest(const char *text)
{
    return strlen(text) == CKPT_DIGEST_HEX - 1 && strspn(text, "0123456789abcdef") == CKPT_DIGEST_HEX - 1;
}

/* An absent or null field is empty. */
static bool field(const struct json_val *root, const char *key, char *out, size_t cap)
{
    const struct json_val *v = json_get(root, str_from(key));
    struct str s = {0};
    out[0] = '\0';
    if (json_is_none(v))
        return true;
    if (!json_str(v, &s) || s.n >= cap || memchr(s.p, '\0', s.n))
        return false;
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return true;
}

enum status lock_file_read(const char *path, struct lock_file *out, struct err *e)
{
    struct json_doc *doc;
    uint64_t version = 0;
    *out = (struct lock_file){0};
    enum status st = json_parse_file(path, MAX_BYTES, 0, &doc, e);
    if (st != ST_OK)
        return err_prefix(e, "lock file");
    const struct json_val *root = json_root(doc);
    if (!json_u64(json_get(root, STR("version")), &version) || version != 1)
        st = err_set(e, ST_INVALID, "lock file %s: no `version` 1: write it anew with prompteur lock", path);
    else if (!field(root, "model_id", out->model_id, sizeof out->model_id) || !out->model_id[0] ||
             !field(root, "revision", out->revision, sizeof out->revision) ||
             !field(root, "weights_sha256", out->digest, sizeof out->digest) || !is_digest(out->digest))
        st = err_set(e, ST_INVALID,
                     "lock file %s: `model_id`, `revision` or `weights_sha256` is missing or wrong: write it "
                     "anew with "
                     "prompteur lock",
                     path);
    json_free(doc);
    return st;
}

enum status lock_file_write(const char *path, const struct lock_file *l, struct err *e)
{
    struct buf text;
    struct json_writer w;
    buf_init(&text, MAX_BYTES);
    jw_init(&w, &text);
    jw_object(&w);
    jw_key(&w, "version");
    jw_u64(&w, 1);
    jw_key(&w, "model_id");
    jw_cstr(&w, l->model_id);
    jw_key(&w, "revision");
    jw_cstr(&w, l->revision[0] ? l->revision : NULL);
    jw_key(&w, "weights_sha256");
    jw_cstr(&w, l->digest);
    jw_end_object(&w);
    buf_put_char(&text, '\n');
    enum status st = text.failed ? err_set(e, ST_NO_MEMORY, "no memory to write it")
                                 : file_replace(path, buf_str(&text), e);
    if (st != ST_OK)
        (void)err_prefix(e, "lock file");
    buf_fini(&text);
    return st;
}

/* What a hub says, from hostile bytes: its list of files, an index of weights, a head. No name that is
 * accepted may lead out of a folder. */
#include "hub/hub_int.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(struct str path)
{
    BUG_ON(!path.n || path.p[0] == '/' || strlen(path.p) != path.n);
    for (size_t at = 0; at <= path.n;) {
        size_t end = str_find(path, STR("/"), at);
        end = end == SIZE_MAX ? path.n : end;
        struct str part = {path.p + at, end - at};
        BUG_ON(!part.n || str_eq(part, STR(".")) || str_eq(part, STR("..")));
        at = end + 1;
    }
}

static void read_head(struct str text)
{
    static struct reply r;
    reply_init(&r, "http://hub");
    while (text.n) {
        size_t end = str_find(text, STR("\n"), 0), n = end == SIZE_MAX ? text.n : end + 1;
        (void)reply_header(&r, (struct str){text.p, n});
        text = (struct str){text.p + n, text.n - n};
    }
    BUG_ON(strchr(r.etag, '/') || strchr(r.linked_etag, '/') || strchr(r.linked_etag, '.'));
    BUG_ON(r.range_begin != UINT64_MAX && r.range_end <= r.range_begin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size}, *file;
    struct arena a;
    struct listing l;
    struct err e;
    size_t n;
    arena_init(&a, (size_t)64 << 20);
    if (listing_parse(text, &a, &l, &e) == ST_OK) {
        BUG_ON(!is_commit(str_from(l.commit)));
        for (size_t i = 0; i < l.n; i++)
            check_path(l.path[i]);
        struct str *chosen = arena_array(&a, l.n + 1, sizeof *chosen);
        BUG_ON(chosen && choose_weights(&l, chosen) > l.n);
        (void)choose_index(&l);
    }
    if (index_files(text, &a, &file, &n, &e) == ST_OK)
        for (size_t i = 0; i < n; i++)
            check_path(file[i]);
    read_head(text);
    arena_fini(&a);
    return 0;
}

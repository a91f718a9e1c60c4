/* The cache's layout on disk, to the byte as huggingface_hub has it.
 *
 * Others use the cache at the same time. A blob appears whole by rename, a link after its blob, a reference
 * by rename; whatever moment the power fails at, each name either is not there or leads to the right bytes.
 */
#include "base/file.h"
#include "hub/hub_int.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAX_INDEX_BYTES ((size_t)128 << 20)

enum status path_format(char out[HUB_PATH_MAX], struct err *e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(out, HUB_PATH_MAX, fmt, args);
    va_end(args);
    return n >= 0 && n < HUB_PATH_MAX
               ? ST_OK
               : err_set(e, ST_LIMIT, "a path of the cache is longer than %d bytes: %.80s...", HUB_PATH_MAX,
                         out);
}

enum status repo_cache_init(struct repo_cache *c, const char *cache_dir, const char *id, struct err *e)
{
    char name[HUB_ID_MAX + 16];
    repo_folder_name(name, id);
    enum status st = path_format(c->dir, e, "%s/%s", cache_dir, name);
    return st == ST_OK ? path_format(c->locks, e, "%s/.locks/%s", cache_dir, name) : st;
}

/* ---- references ---- */

bool ref_read(const struct repo_cache *c, const char *revision, char commit[HUB_COMMIT_MAX])
{
    char path[HUB_PATH_MAX];
    struct buf text;
    buf_init(&text, 256);
    bool ok = path_format(path, NULL, "%s/refs/%s", c->dir, revision) == ST_OK &&
              buf_read_file(&text, path, NULL) == ST_OK;
    struct str s = str_trim(buf_str(&text));
    ok = ok && is_commit(s);
    if (ok) {
        memcpy(commit, s.p, s.n);
        commit[s.n] = '\0';
    }
    buf_fini(&text);
    return ok;
}

enum status ref_write(const struct repo_cache *c, const char *revision, const char *commit, struct err *e)
{
    char path[HUB_PATH_MAX], known[HUB_COMMIT_MAX];
    if (strcmp(revision, commit) == 0 || (ref_read(c, revision, known) && strcmp(known, commit) == 0))
        return ST_OK;
    enum status st = path_format(path, e, "%s/refs/%s", c->dir, revision);
    if (st == ST_OK)
        st = file_make_parents(path, e);
    return st == ST_OK ? file_replace(path, str_from(commit), e) : st;
}

/* ---- blobs and links ---- */

bool blob_exists(const struct repo_cache *c, const char *etag, uint64_t n_bytes)
{
    char path[HUB_PATH_MAX];
    struct stat s;
    return path_format(path, NULL, "%s/blobs/%s", c->dir, etag) == ST_OK && stat(path, &s) == 0 &&
           S_ISREG(s.st_mode) && (uint64_t)s.st_size == n_bytes;
}

bool snapshot_has(const struct repo_cache *c, const char *commit, struct str path)
{
    char full[HUB_PATH_MAX];
    return path_format(full, NULL, "%s/snapshots/%s/" STR_FMT, c->dir, commit, STR_ARG(path)) == ST_OK &&
           access(full, F_OK) == 0;
}

enum status snapshot_link(const struct repo_cache *c, const char *commit, struct str path, const char *etag,
                          struct err *e)
{
    char link[HUB_PATH_MAX], target[HUB_PATH_MAX], tmp[HUB_PATH_MAX];
    struct buf up;
    buf_init(&up, HUB_PATH_MAX);
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] == '/')
            buf_put_str(&up, STR("../"));
    enum status st = path_format(link, e, "%s/snapshots/%s/" STR_FMT, c->dir, commit, STR_ARG(path));
    if (st == ST_OK)
        st = path_format(target, e, STR_FMT "../../blobs/%s", STR_ARG(buf_str(&up)), etag);
    if (st == ST_OK)
        st = path_format(tmp, e, "%s.%ld.tmp", link, (long)getpid());
    buf_fini(&up);
    if (st == ST_OK)
        st = file_make_parents(link, e);
    if (st != ST_OK || access(link, F_OK) == 0)
        return st;
    if (symlink(target, link) == 0 || (errno == EEXIST && access(link, F_OK) == 0))
        return ST_OK;
    (void)unlink(tmp); /* there is one that leads nowhere */
    if (symlink(target, tmp) == 0 && rename(tmp, link) == 0)
        return ST_OK;
    st = err_set(e, ST_IO, "cannot link %s: %s", link, strerror(errno));
    (void)unlink(tmp);
    return st;
}

/* ---- whole? ---- */

/* The top-level names of a snapshot that lead to files. */
static enum status snapshot_list(const char *dir, struct arena *a, struct listing *out)
{
    *out = (struct listing){0};
    DIR *d = opendir(dir);
    if (!d)
        return ST_NOT_FOUND;
    out->path = arena_array(a, MAX_FILES, sizeof *out->path);
    for (struct dirent *x; out->path && out->n < MAX_FILES && (x = readdir(d));) {
        struct stat s;
        if (x->d_name[0] == '.' || fstatat(dirfd(d), x->d_name, &s, 0) != 0 || !S_ISREG(s.st_mode))
            continue;
        struct str name = arena_strdup(a, str_from(x->d_name));
        if (name.p)
            out->path[out->n++] = name;
    }
    closedir(d);
    return out->path ? ST_OK : ST_NO_MEMORY;
}

static bool has_weights(const char *dir, const struct listing *l, struct arena *a)
{
    struct str index = choose_index(l), *file = arena_array(a, l->n + 1, sizeof *file);
    if (!index.n)
        return file && choose_weights(l, file) > 0;
    char path[HUB_PATH_MAX];
    size_t n = 0;
    struct buf text;
    buf_init(&text, MAX_INDEX_BYTES);
    bool ok = path_format(path, NULL, "%s/" STR_FMT, dir, STR_ARG(index)) == ST_OK &&
              buf_read_file(&text, path, NULL) == ST_OK &&
              index_files(buf_str(&text), a, &file, &n, NULL) == ST_OK;
    for (size_t i = 0; i < n && ok; i++)
        ok = listing_has(l, file[i]);
    buf_fini(&text);
    return ok;
}

bool snapshot_is_whole(const struct repo_cache *c, const char *commit, bool without_weights)
{
    char dir[HUB_PATH_MAX];
    struct listing l;
    struct arena a;
    arena_init(&a, (size_t)256 << 20);
    bool ok = path_format(dir, NULL, "%s/snapshots/%s", c->dir, commit) == ST_OK &&
              snapshot_list(dir, &a, &l) == ST_OK && listing_has(&l, STR("config.json")) &&
              (without_weights || has_weights(dir, &l, &a));
    arena_fini(&a);
    return ok;
}

uint64_t free_bytes_at(const char *path)
{
    char at[HUB_PATH_MAX];
    struct statvfs v;
    if (path_format(at, NULL, "%s", path) != ST_OK)
        return UINT64_MAX;
    while (statvfs(at, &v) != 0) {
        char *slash = strrchr(at, '/');
        if (!slash || slash == at)
            return UINT64_MAX;
        *slash = '\0';
    }
    return (uint64_t)v.f_bavail * v.f_frsize;
}

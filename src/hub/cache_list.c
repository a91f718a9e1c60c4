/* What is in the cache. Folders are walked without following links: another program may be changing them at
 * the same time. */
#include "hub/hub_int.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_REF_DEPTH 8

/* "models--owner--name" -> "owner/name"; false: no model's folder. */
static bool id_of_folder(const char *folder, char id[HUB_ID_MAX])
{
    struct str s = str_from(folder);
    if (!str_has_prefix(s, STR("models--")) || s.n - 8 >= HUB_ID_MAX)
        return false;
    s = (struct str){s.p + 8, s.n - 8};
    size_t dashes = str_find(s, STR("--"), 0);
    if (dashes == SIZE_MAX)
        snprintf(id, HUB_ID_MAX, STR_FMT, STR_ARG(s));
    else
        snprintf(id, HUB_ID_MAX, "%.*s/%s", (int)dashes, s.p, s.p + dashes + 2);
    return hub_id_check(id, NULL) == ST_OK;
}

static void count_blobs(const char *dir, struct hub_cached *m)
{
    char path[HUB_PATH_MAX];
    DIR *d = path_format(path, NULL, "%s/blobs", dir) == ST_OK ? opendir(path) : NULL;
    for (struct dirent *x; d && (x = readdir(d));) {
        struct stat s;
        if (x->d_name[0] == '.' || fstatat(dirfd(d), x->d_name, &s, 0) != 0 || !S_ISREG(s.st_mode))
            continue;
        bool is_whole = !str_has_suffix(str_from(x->d_name), STR(".incomplete"));
        m->n_bytes += is_whole ? (uint64_t)s.st_size : (uint64_t)s.st_blocks * 512;
        m->n_unfinished += !is_whole && !str_has_suffix(str_from(x->d_name), STR(".map.incomplete"));
    }
    if (d)
        closedir(d);
}

static void walk_refs(const char *path, const char *prefix, unsigned depth,
                      void (*each)(void *arg, const char *revision), void *arg)
{
    DIR *d = opendir(path);
    for (struct dirent *x; d && (x = readdir(d));) {
        char below[HUB_PATH_MAX], name[HUB_PATH_MAX];
        struct stat s;
        if (x->d_name[0] == '.' || str_has_suffix(str_from(x->d_name), STR(".tmp")) ||
            fstatat(dirfd(d), x->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0 ||
            path_format(below, NULL, "%s/%s", path, x->d_name) != ST_OK ||
            path_format(name, NULL, "%s%s%s", prefix, x->d_name, S_ISDIR(s.st_mode) ? "/" : "") != ST_OK)
            continue;
        if (S_ISDIR(s.st_mode) && depth < MAX_REF_DEPTH)
            walk_refs(below, name, depth + 1, each, arg);
        else if (S_ISREG(s.st_mode))
            each(arg, name);
    }
    if (d)
        closedir(d);
}

void refs_each(const struct repo_cache *c, void (*each)(void *arg, const char *revision), void *arg)
{
    char path[HUB_PATH_MAX];
    if (path_format(path, NULL, "%s/refs", c->dir) == ST_OK)
        walk_refs(path, "", 0, each, arg);
}

static void add_revision(void *arg, const char *revision)
{
    struct hub_cached *m = arg;
    size_t n = strlen(m->revisions);
    snprintf(m->revisions + n, sizeof m->revisions - n, "%s%s", n ? ", " : "", revision);
}

static size_t count_folders(const char *path)
{
    size_t n = 0;
    DIR *d = opendir(path);
    for (struct dirent *x; d && (x = readdir(d));)
        n += is_commit(str_from(x->d_name));
    if (d)
        closedir(d);
    return n;
}

enum status hub_cache_list(const char *cache_dir, void (*each)(void *arg, const struct hub_cached *m),
                           void *arg, struct err *e)
{
    DIR *d = opendir(cache_dir);
    if (!d)
        return errno == ENOENT ? ST_OK : err_set(e, ST_IO, "%s: %s", cache_dir, strerror(errno));
    for (struct dirent *x; (x = readdir(d));) {
        struct hub_cached m = {0};
        struct repo_cache c;
        char snapshots[HUB_PATH_MAX];
        if (!id_of_folder(x->d_name, m.id) || repo_cache_init(&c, cache_dir, m.id, NULL) != ST_OK)
            continue;
        count_blobs(c.dir, &m);
        refs_each(&c, add_revision, &m);
        if (path_format(snapshots, NULL, "%s/snapshots", c.dir) == ST_OK)
            m.n_snapshots = count_folders(snapshots);
        each(arg, &m);
    }
    closedir(d);
    return ST_OK;
}

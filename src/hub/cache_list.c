/* What is in the cache, and taking a model out of it. Folders are walked without following links, to a
 * bounded depth: another program may be changing them at the same time, and nothing outside the cache may
 * ever be removed. */
#include "hub/hub_int.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 64

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

/* ---- listing ---- */

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

static void list_refs(const char *path, const char *prefix, unsigned depth, struct hub_cached *m)
{
    DIR *d = opendir(path);
    for (struct dirent *x; d && (x = readdir(d));) {
        char below[HUB_PATH_MAX], name[HUB_PATH_MAX];
        struct stat s;
        if (x->d_name[0] == '.' || str_has_suffix(str_from(x->d_name), STR(".tmp")) ||
            fstatat(dirfd(d), x->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0 ||
            path_format(below, NULL, "%s/%s", path, x->d_name) != ST_OK ||
            path_format(name, NULL, "%s%s", prefix, x->d_name) != ST_OK)
            continue;
        size_t n = strlen(m->revisions);
        if (S_ISDIR(s.st_mode) && depth < 4 && path_format(name, NULL, "%s%s/", prefix, x->d_name) == ST_OK)
            list_refs(below, name, depth + 1, m);
        else if (S_ISREG(s.st_mode))
            snprintf(m->revisions + n, sizeof m->revisions - n, "%s%s", n ? ", " : "", name);
    }
    if (d)
        closedir(d);
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
        char dir[HUB_PATH_MAX], part[HUB_PATH_MAX];
        if (!id_of_folder(x->d_name, m.id) || path_format(dir, NULL, "%s/%s", cache_dir, x->d_name) != ST_OK)
            continue;
        count_blobs(dir, &m);
        if (path_format(part, NULL, "%s/refs", dir) == ST_OK)
            list_refs(part, "", 0, &m);
        if (path_format(part, NULL, "%s/snapshots", dir) == ST_OK)
            m.n_snapshots = count_folders(part);
        each(arg, &m);
    }
    closedir(d);
    return ST_OK;
}

/* ---- removing ---- */

static enum status remove_below(int parent, const char *name, unsigned depth, uint64_t *freed, struct err *e)
{
    struct stat s;
    if (fstatat(parent, name, &s, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? ST_OK : err_set(e, ST_IO, "%s: %s", name, strerror(errno));
    if (!S_ISDIR(s.st_mode)) {
        *freed += (uint64_t)s.st_blocks * 512;
        return unlinkat(parent, name, 0) == 0 || errno == ENOENT
                   ? ST_OK
                   : err_set(e, ST_IO, "%s cannot be removed: %s", name, strerror(errno));
    }
    int fd = depth < MAX_DEPTH ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return err_set(e, ST_IO, "%s cannot be read: %s", name, strerror(errno));
    }
    enum status st = ST_OK;
    for (struct dirent *x; st == ST_OK && (x = readdir(d));)
        if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0)
            st = remove_below(fd, x->d_name, depth + 1, freed, e);
    closedir(d);
    if (st == ST_OK && unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        st = err_set(e, ST_IO, "%s cannot be removed: %s", name, strerror(errno));
    return st;
}

bool hub_cache_has(const char *cache_dir, const char *id)
{
    struct repo_cache c;
    return hub_id_check(id, NULL) == ST_OK && repo_cache_init(&c, cache_dir, id, NULL) == ST_OK &&
           access(c.dir, F_OK) == 0;
}

/* Snapshots go first: nobody then finds half a model. */
enum status hub_cache_remove(const char *cache_dir, const char *id, uint64_t *freed_bytes, struct err *e)
{
    struct repo_cache c;
    char snapshots[HUB_PATH_MAX];
    *freed_bytes = 0;
    enum status st = hub_id_check(id, e);
    if (st == ST_OK)
        st = repo_cache_init(&c, cache_dir, id, e);
    if (st == ST_OK && access(c.dir, F_OK) != 0)
        st = err_set(e, ST_NOT_FOUND, "`%s` is not in the cache %s; see prompteur list", id, cache_dir);
    if (st == ST_OK)
        st = path_format(snapshots, e, "%s/snapshots", c.dir);
    if (st == ST_OK)
        st = remove_below(AT_FDCWD, snapshots, 0, freed_bytes, e);
    if (st == ST_OK)
        st = remove_below(AT_FDCWD, c.dir, 0, freed_bytes, e);
    return st == ST_OK ? remove_below(AT_FDCWD, c.locks, 0, freed_bytes, e) : st;
}

/* Taking a model, or one revision of it, out of the cache. Folders are walked without following links, to a
 * bounded depth: another program may be changing them at the same time, and nothing outside the cache may
 * ever be removed. */
#include "base/map.h"
#include "hub/hub_int.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH       64
#define MAX_ARENA_BYTES ((size_t)64 << 20)

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

/* ---- one revision ---- */

/* The names of the blobs that a snapshot's links lead to. */
static enum status collect_blobs(const char *path, unsigned depth, struct arena *a, struct map *out,
                                 struct err *e)
{
    enum status st = ST_OK;
    DIR *d = opendir(path);
    for (struct dirent *x; d && st == ST_OK && (x = readdir(d));) {
        char below[HUB_PATH_MAX], target[HUB_PATH_MAX];
        struct stat s;
        if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0 ||
            fstatat(dirfd(d), x->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        st = path_format(below, e, "%s/%s", path, x->d_name);
        if (st == ST_OK && S_ISDIR(s.st_mode))
            st = depth < MAX_DEPTH ? collect_blobs(below, depth + 1, a, out, e)
                                   : err_set(e, ST_LIMIT, "%s: too deep", below);
        ssize_t n = S_ISLNK(s.st_mode) ? readlink(below, target, sizeof target - 1) : -1;
        if (st != ST_OK || n <= 0)
            continue;
        target[n] = '\0';
        const char *slash = strrchr(target, '/');
        struct str name = arena_strdup(a, str_from(slash ? slash + 1 : target));
        if (!name.p || map_put(out, name, 1) != ST_OK)
            st = err_set(e, ST_NO_MEMORY, "no memory for the list of blobs");
    }
    if (d)
        closedir(d);
    return st;
}

/* Those of all snapshots but one. */
static enum status collect_others(const struct repo_cache *c, const char *commit, struct arena *a,
                                  struct map *out, struct err *e)
{
    char path[HUB_PATH_MAX];
    enum status st = path_format(path, e, "%s/snapshots", c->dir);
    DIR *d = st == ST_OK ? opendir(path) : NULL;
    for (struct dirent *x; d && st == ST_OK && (x = readdir(d));) {
        char below[HUB_PATH_MAX];
        if (x->d_name[0] == '.' || strcmp(x->d_name, commit) == 0)
            continue;
        st = path_format(below, e, "%s/%s", path, x->d_name);
        if (st == ST_OK)
            st = collect_blobs(below, 0, a, out, e);
    }
    if (d)
        closedir(d);
    return st;
}

/* Blobs of `mine` that no other snapshot has. */
static enum status remove_blobs(const struct repo_cache *c, const struct map *mine, const struct map *others,
                                uint64_t *freed, struct err *e)
{
    char path[HUB_PATH_MAX];
    enum status st = path_format(path, e, "%s/blobs", c->dir);
    DIR *d = st == ST_OK ? opendir(path) : NULL;
    for (struct dirent *x; d && st == ST_OK && (x = readdir(d));) {
        uint64_t found;
        struct str name = str_from(x->d_name);
        if (map_get(mine, name, &found) && !map_get(others, name, &found))
            st = remove_below(dirfd(d), x->d_name, MAX_DEPTH, freed, e);
    }
    if (d)
        closedir(d);
    return st;
}

static enum status remove_commit(const struct repo_cache *c, const char *commit, uint64_t *freed,
                                 struct err *e)
{
    char snapshot[HUB_PATH_MAX];
    struct map mine = {0}, others = {0};
    struct arena a;
    arena_init(&a, MAX_ARENA_BYTES);
    enum status st = path_format(snapshot, e, "%s/snapshots/%s", c->dir, commit);
    if (st == ST_OK && (map_init(&mine, 64) != ST_OK || map_init(&others, 64) != ST_OK))
        st = err_set(e, ST_NO_MEMORY, "no memory for the list of blobs");
    if (st == ST_OK)
        st = collect_blobs(snapshot, 0, &a, &mine, e);
    if (st == ST_OK)
        st = collect_others(c, commit, &a, &others, e);
    if (st == ST_OK)
        st = remove_below(AT_FDCWD, snapshot, 0, freed, e);
    if (st == ST_OK)
        st = remove_blobs(c, &mine, &others, freed, e);
    map_fini(&mine);
    map_fini(&others);
    arena_fini(&a);
    return st;
}

struct ref_search {
    const struct repo_cache *c;
    const char *commit;
    bool found;
};

static void compare_ref(void *arg, const char *revision)
{
    struct ref_search *s = arg;
    char commit[HUB_COMMIT_MAX];
    s->found |= ref_read(s->c, revision, commit) && strcmp(commit, s->commit) == 0;
}

static bool ref_names_commit(const struct repo_cache *c, const char *commit)
{
    struct ref_search s = {.c = c, .commit = commit};
    refs_each(c, compare_ref, &s);
    return s.found;
}

/* A branch that stands for the same commit keeps it. */
static enum status remove_revision(const struct repo_cache *c, const char *id, const char *revision,
                                   uint64_t *freed, struct err *e)
{
    char commit[HUB_COMMIT_MAX], path[HUB_PATH_MAX];
    enum status st = revision_check(revision, e);
    if (st != ST_OK)
        return st;
    bool is_ref = ref_read(c, revision, commit);
    if (!is_ref && is_commit(str_from(revision)))
        snprintf(commit, sizeof commit, "%s", revision);
    else if (!is_ref)
        return err_set(e, ST_NOT_FOUND, "`%s` has no revision `%s` in the cache; see prompteur list", id,
                       revision);
    st = path_format(path, e, "%s/refs/%s", c->dir, revision);
    if (st == ST_OK && is_ref)
        st = remove_below(AT_FDCWD, path, MAX_DEPTH, freed, e);
    if (st == ST_OK && ref_names_commit(c, commit))
        return is_ref ? ST_OK
                      : err_set(e, ST_INVALID, "commit %s is what a branch or tag stands for: remove that",
                                commit);
    return st == ST_OK ? remove_commit(c, commit, freed, e) : st;
}

/* ---- all ---- */

/* Snapshots go first: nobody then finds half a model. */
static enum status remove_all(const struct repo_cache *c, uint64_t *freed, struct err *e)
{
    char snapshots[HUB_PATH_MAX];
    enum status st = path_format(snapshots, e, "%s/snapshots", c->dir);
    if (st == ST_OK)
        st = remove_below(AT_FDCWD, snapshots, 0, freed, e);
    if (st == ST_OK)
        st = remove_below(AT_FDCWD, c->dir, 0, freed, e);
    return st == ST_OK ? remove_below(AT_FDCWD, c->locks, 0, freed, e) : st;
}

enum status hub_cache_remove(const char *cache_dir, const char *id, const char *revision,
                             uint64_t *freed_bytes, struct err *e)
{
    struct repo_cache c;
    *freed_bytes = 0;
    enum status st = hub_id_check(id, e);
    if (st == ST_OK)
        st = repo_cache_init(&c, cache_dir, id, e);
    if (st == ST_OK && access(c.dir, F_OK) != 0)
        st = err_set(e, ST_NOT_FOUND, "`%s` is not in the cache %s; see prompteur list", id, cache_dir);
    if (st != ST_OK)
        return st;
    return revision ? remove_revision(&c, id, revision, freed_bytes, e) : remove_all(&c, freed_bytes, e);
}

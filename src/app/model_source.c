/* From --model-id to a folder: the demo model's, one that is named, or a snapshot of a hub. */
#define LOG_MODULE "download"
#include "app/model_source.h"
#include "app/fetch_progress.h"
#include "app/hub_setup.h"
#include "app/lock_file.h"
#include "base/clock.h"
#include "base/log.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where installation and build tree put the demo model, seen from the executable's folder. */
#define DEMO_FROM_BIN "../share/prompteur/models/demo"

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static enum status find_demo(char dir[MODEL_DIR_MAX], struct err *e)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return err_set(e, ST_IO, "cannot find out where this program is (/proc/self/exe)");
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    int len = snprintf(dir, MODEL_DIR_MAX, "%s/" DEMO_FROM_BIN, self);
    if (len < 0 || len >= MODEL_DIR_MAX || !is_dir(dir))
        return err_set(
            e, ST_NOT_FOUND,
            "the embedded demo model is not installed beside this program; give --model-id DIR_OR_ID");
    return ST_OK;
}

/* ---- what is meant ---- */

/* What can only be meant as a folder. */
static bool is_path_like(const char *id)
{
    return id[0] == '/' || id[0] == '~' || strncmp(id, "./", 2) == 0 || strncmp(id, "../", 3) == 0 ||
           strcmp(id, ".") == 0 || strcmp(id, "..") == 0 || str_has_suffix(str_from(id), STR("/"));
}

static enum status read_id(struct model_source *s, struct err *e)
{
    if (is_dir(s->id)) {
        s->origin = MODEL_FOLDER;
        memcpy(s->dir, s->id, sizeof s->dir);
        return ST_OK;
    }
    s->origin = MODEL_HUB;
    if (is_path_like(s->id))
        return err_set(e, ST_NOT_FOUND, "--model-id `%s`: there is no such folder", s->id);
    enum status st = hub_id_check(s->id, e);
    return st == ST_OK ? ST_OK : err_prefix(e, "--model-id");
}

/* A lock that is about another model than the one that is asked for is a mistake somewhere. */
static enum status apply_lock(struct model_source *s, const char *path, struct err *e)
{
    struct lock_file l;
    enum status st = lock_file_read(path, &l, e);
    if (st != ST_OK)
        return st;
    if (s->origin == MODEL_DEMO) {
        snprintf(s->id, sizeof s->id, "%s", l.model_id);
        st = read_id(s, e);
    }
    if (st == ST_OK && s->origin == MODEL_HUB && strcmp(s->id, l.model_id) != 0)
        st = err_set(e, ST_INVALID, "--model-id `%s`, but the lock file %s is about `%s`", s->id, path,
                     l.model_id);
    if (st == ST_OK && s->origin == MODEL_HUB && s->revision[0] && strcmp(s->revision, l.revision) != 0)
        st = err_set(e, ST_INVALID, "--revision `%s`, but the lock file %s is about commit %s", s->revision,
                     path, l.revision);
    if (st == ST_OK && s->digest[0] && strcmp(s->digest, l.digest) != 0)
        st = err_set(e, ST_INVALID, "--expect-digest and the lock file %s name different digests", path);
    if (st != ST_OK)
        return st;
    snprintf(s->revision, sizeof s->revision, "%s", l.revision);
    memcpy(s->digest, l.digest, sizeof s->digest);
    return ST_OK;
}

enum status model_source_read(const struct options *o, struct model_source *out, struct err *e)
{
    const char *id = option_text(o, OPT_MODEL_ID), *revision = option_text(o, OPT_REVISION),
               *digest = option_text(o, OPT_EXPECT_DIGEST), *lock = option_text(o, OPT_LOCK_FILE);
    *out = (struct model_source){.origin = MODEL_DEMO};
    if (id && (!*id || strlen(id) >= MODEL_DIR_MAX))
        return err_set(e, ST_INVALID, "--model-id: the name is empty or too long");
    if (digest && !is_digest(digest))
        return err_set(e, ST_INVALID, "--expect-digest: `%s` is not 64 hexadecimal digits in lower case",
                       digest);
    if (revision && strlen(revision) >= sizeof out->revision)
        return err_set(e, ST_INVALID, "--revision: the name is too long");
    snprintf(out->revision, sizeof out->revision, "%s", revision ? revision : "");
    memcpy(out->digest, digest ? digest : "", digest ? sizeof out->digest : 1);
    enum status st = ST_OK;
    if (id) {
        snprintf(out->id, sizeof out->id, "%s", id);
        st = read_id(out, e);
    }
    if (st == ST_OK && lock)
        st = apply_lock(out, lock, e);
    if (st == ST_OK && revision && out->origin != MODEL_HUB)
        log_warn("--revision `%s` has no effect: it is about models of a hub, and this one is a folder",
                 revision);
    if (st == ST_OK && out->origin == MODEL_DEMO) {
        snprintf(out->id, sizeof out->id, "prompteur/demo");
        st = find_demo(out->dir, e);
    }
    return st;
}

/* ---- where it lies ---- */

static void take(struct model_source *s, const struct hub_snapshot *found)
{
    memcpy(s->dir, found->dir, sizeof s->dir);
    memcpy(s->commit, found->commit, sizeof s->commit);
}

enum status model_source_fetch(const struct options *o, struct model_source *s, bool without_weights,
                               const atomic_bool *cancel, struct err *e)
{
    if (s->origin != MODEL_HUB)
        return ST_OK;
    struct hub_setup setup;
    struct hub_snapshot found;
    struct fetch_progress progress;
    enum status st = hub_setup(o, s->id, &setup, e);
    if (st != ST_OK)
        return st;
    const char *elsewhere = option_text(o, OPT_WEIGHTS_CACHE_OVERRIDE);
    fetch_progress_init(&progress, o);
    setup.o.without_weights = without_weights || (elsewhere && *elsewhere);
    setup.o.cancel = cancel;
    setup.o.on_progress = fetch_progress_show;
    setup.o.arg = &progress;
    uint64_t begin = clock_ns();
    st = hub_snapshot_get(&setup.o, s->id, s->revision[0] ? s->revision : NULL, &found, e);
    fetch_progress_end(&progress);
    if (st != ST_OK)
        return st;
    take(s, &found);
    s->fetched_bytes = progress.fetched_bytes;
    if (found.is_stale)
        log_warn("the hub could not be asked whether there is a newer `%s`; the one in the cache, commit %s, "
                 "is used. "
                 "The reason: %s",
                 s->id, s->commit, found.why_stale);
    if (s->fetched_bytes)
        log_info("Downloaded %.1f MB in %zu files in %.1f s: `%s`, commit %s", (double)s->fetched_bytes / 1e6,
                 progress.n_files, (double)(clock_ns() - begin) / 1e9, s->id, s->commit);
    return ST_OK;
}

enum status model_source_look(const struct options *o, struct model_source *s, struct err *e)
{
    char cache[HUB_PATH_MAX];
    struct hub_snapshot found;
    if (s->origin != MODEL_HUB)
        return ST_OK;
    enum status st = hub_cache_dir(o, s->id, cache, e);
    if (st == ST_OK)
        st = hub_snapshot_find(cache, s->id, s->revision[0] ? s->revision : NULL, false, &found, e);
    if (st == ST_NOT_FOUND)
        return err_set(
            e, st, "`%s` is no folder and not in the cache %s; fetch it with prompteur download-weights %s",
            s->id, cache, s->id);
    if (st == ST_OK)
        take(s, &found);
    return st;
}

enum status model_dir_find(const struct options *o, bool without_weights, char dir[MODEL_DIR_MAX],
                           struct err *e)
{
    struct model_source s;
    enum status st = model_source_read(o, &s, e);
    if (st == ST_OK)
        st = model_source_fetch(o, &s, without_weights, NULL, e);
    if (st == ST_OK)
        memcpy(dir, s.dir, sizeof s.dir);
    return st;
}

enum status model_source_verify(const struct model_source *s, const struct ckpt *c, const atomic_bool *cancel,
                                char hex[CKPT_DIGEST_HEX], struct err *e)
{
    hex[0] = '\0';
    if (!s->digest[0])
        return ST_OK;
    log_info("checking the weights' digest before the first answer");
    enum status st = ckpt_digest(c, NULL, cancel, hex, e); /* no remembered one: these bytes, now */
    if (st == ST_OK && strcmp(hex, s->digest) != 0)
        st = err_set(
            e, ST_INVALID,
            "`%s`: refused: the weights' digest is %s, but %s is expected (--expect-digest, --lock-file)",
            s->id, hex, s->digest);
    return st;
}

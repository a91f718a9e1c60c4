/* From a revision to a snapshot: ask which files there are, fetch the small ones, then the weights, write
 * down what the revision stood for. The order matters to those who come after an interruption: a snapshot
 * that has its weights has everything else, and a reference names a snapshot that is whole. */
#define LOG_MODULE "hub"
#include "base/log.h"
#include "hub/hub_int.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MAX_ARENA_BYTES  ((size_t)512 << 20)
#define MAX_INDEX_BYTES  ((size_t)128 << 20)
#define MAX_CONFIG_BYTES ((uint64_t)512 << 20) /* of a file that holds no weights */
#define SPARE_BYTES      ((uint64_t)16 << 20)  /* left free beside what is fetched */

struct snapshot_job {
    const struct hub_options *o;
    struct session *s;
    const struct repo_cache *c;
    struct listing listing;
    struct arena arena;
};

/* ---- room ---- */

static uint64_t bytes_on_disk(const struct repo_cache *c, const char *etag)
{
    char path[HUB_PATH_MAX];
    struct stat s;
    if (path_format(path, NULL, "%s/blobs/%s.parts.incomplete", c->dir, etag) != ST_OK || stat(path, &s) != 0)
        return 0;
    return (uint64_t)s.st_blocks * 512;
}

static enum status check_room(const struct snapshot_job *j, const struct want *want, size_t n, struct err *e)
{
    uint64_t need = 0, there = free_bytes_at(j->c->dir);
    for (size_t i = 0; i < n; i++) {
        const struct file_meta *m = &want[i].meta;
        uint64_t has = bytes_on_disk(j->c, m->etag);
        if (!blob_exists(j->c, m->etag, m->n_bytes) && m->n_bytes > has)
            need += m->n_bytes - has;
    }
    if (need == 0 || there == UINT64_MAX || (there > SPARE_BYTES && there - SPARE_BYTES >= need))
        return ST_OK;
    return err_set(
        e, ST_IO,
        "the model needs %.1f GB more, but only %.1f GB are free at %s: make room there, or name another "
        "folder with --huggingface-hub-cache (HF_HOME)",
        (double)need / 1e9, (double)there / 1e9, j->o->cache_dir);
}

/* ---- phases ---- */

/* One etag, one blob: it cannot stand for files of different lengths. */
static enum status check_etags(const struct session *s, const struct want *want, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (want[i].meta.n_bytes != want[k].meta.n_bytes &&
                strcmp(want[i].meta.etag, want[k].meta.etag) == 0)
                return err_set(e, ST_INVALID, "`%s`: the hub gives " STR_FMT " and " STR_FMT " the same etag",
                               session_id(s), STR_ARG(want[k].path), STR_ARG(want[i].path));
    return ST_OK;
}

static enum status fetch_paths(struct snapshot_job *j, const struct str *path, size_t n, uint64_t max_bytes,
                               struct err *e)
{
    const char *commit = j->listing.commit;
    struct want *want = calloc(n + 1, sizeof *want);
    size_t n_want = 0;
    enum status st = want ? ST_OK : err_set(e, ST_NO_MEMORY, "no memory for the list of files");
    for (size_t i = 0; i < n && st == ST_OK; i++) {
        if (snapshot_has(j->c, commit, path[i]))
            continue;
        struct want *w = &want[n_want++];
        w->path = path[i];
        st = session_ask_file(j->s, commit, path[i], &w->meta, e);
        if (st == ST_OK && w->meta.n_bytes > max_bytes)
            st = err_set(e, ST_LIMIT,
                         "`%s`: the hub says that " STR_FMT " has %" PRIu64 " bytes, which is absurd",
                         session_id(j->s), STR_ARG(path[i]), w->meta.n_bytes);
    }
    if (st == ST_OK)
        st = check_etags(j->s, want, n_want, e);
    if (st == ST_OK)
        st = check_room(j, want, n_want, e);
    if (st == ST_OK && n_want)
        st = fetch_files(j->s, j->c, commit, want, n_want, e);
    free(want);
    return st;
}

static enum status fetch_configs(struct snapshot_job *j, struct err *e)
{
    const struct listing *l = &j->listing;
    struct str index = j->o->without_weights ? (struct str){0} : choose_index(l);
    struct str *path = arena_array(&j->arena, l->n + 2, sizeof *path);
    size_t n = 0;
    if (!path)
        return err_set(e, ST_NO_MEMORY, "no memory for the list of files");
    for (size_t i = 0; i < l->n; i++)
        if (is_needed_config(l->path[i]))
            path[n++] = l->path[i];
    if (index.n)
        path[n++] = index;
    if (n > MAX_FILES)
        return err_set(e, ST_LIMIT, "`%s` has more than %d files of configuration", session_id(j->s),
                       MAX_FILES);
    return fetch_paths(j, path, n, MAX_CONFIG_BYTES, e);
}

/* The files that the index, now in the snapshot, names; each must be one that the hub lists. */
static enum status read_index(struct snapshot_job *j, struct str index, struct str **path, size_t *n,
                              struct err *e)
{
    char file[HUB_PATH_MAX];
    struct buf text;
    buf_init(&text, MAX_INDEX_BYTES);
    enum status st =
        path_format(file, e, "%s/snapshots/%s/" STR_FMT, j->c->dir, j->listing.commit, STR_ARG(index));
    if (st == ST_OK)
        st = buf_read_file(&text, file, e);
    if (st == ST_OK)
        st = index_files(buf_str(&text), &j->arena, path, n, e);
    for (size_t i = 0; st == ST_OK && i < *n; i++)
        if (!listing_has(&j->listing, (*path)[i]))
            st = err_set(e, ST_INVALID, STR_FMT " names " STR_FMT ", which the hub does not list",
                         STR_ARG(index), STR_ARG((*path)[i]));
    buf_fini(&text);
    return st;
}

static enum status fetch_weights(struct snapshot_job *j, struct err *e)
{
    const struct listing *l = &j->listing;
    struct str index = choose_index(l), *path = NULL;
    size_t n = 0;
    if (index.n) {
        enum status st = read_index(j, index, &path, &n, e);
        if (st != ST_OK)
            return err_prefix(e, "`%s`", session_id(j->s));
    } else {
        path = arena_array(&j->arena, l->n + 1, sizeof *path);
        if (!path)
            return err_set(e, ST_NO_MEMORY, "no memory for the list of files");
        n = choose_weights(l, path);
    }
    if (n == 0)
        return err_set(
            e, ST_NOT_FOUND,
            "`%s` has no weights that could be served: neither safetensors nor PyTorch files (*.bin) are in "
            "its first folder",
            session_id(j->s));
    if (n > MAX_FILES)
        return err_set(e, ST_LIMIT, "`%s` has more than %d files of weights", session_id(j->s), MAX_FILES);
    return fetch_paths(j, path, n, UINT64_MAX, e);
}

static enum status refresh(struct snapshot_job *j, bool has_other, struct err *e)
{
    struct buf answer;
    enum status st = session_ask_revision(j->s, has_other ? 1 : j->o->tries, &answer, e);
    if (st == ST_OK) {
        st = listing_parse(buf_str(&answer), &j->arena, &j->listing, e);
        if (st != ST_OK) {
            (void)err_prefix(e, "`%s`: %s (check HF_ENDPOINT and proxies)", session_id(j->s), j->o->endpoint);
            st = ST_UNAVAILABLE; /* a proxy's page, say: whoever answered, it was no hub */
        }
    }
    buf_fini(&answer);
    const char *revision = session_revision(j->s);
    if (st == ST_OK && is_commit(str_from(revision)) && strcmp(revision, j->listing.commit) != 0)
        st = err_set(e, ST_INVALID, "`%s`: asked for commit %s, the hub answers with commit %s",
                     session_id(j->s), revision, j->listing.commit);
    if (st == ST_OK)
        st = fetch_configs(j, e);
    if (st == ST_OK && !j->o->without_weights)
        st = fetch_weights(j, e);
    struct err ignored;
    if (st == ST_OK && ref_write(j->c, revision, j->listing.commit, &ignored) != ST_OK)
        log_warn("%s", ignored.text); /* a cache that cannot be written serves what it has */
    return st;
}

/* ---- from the cache ---- */

static enum status snapshot_set(const struct repo_cache *c, const char *commit, struct hub_snapshot *out,
                                struct err *e)
{
    snprintf(out->commit, sizeof out->commit, "%s", commit);
    return path_format(out->dir, e, "%s/snapshots/%s", c->dir, commit);
}

/* Whether the cache has the whole snapshot that the revision last stood for. */
static bool find_whole(const struct repo_cache *c, const char *revision, bool without_weights,
                       char commit[HUB_COMMIT_MAX])
{
    if (is_commit(str_from(revision)))
        snprintf(commit, HUB_COMMIT_MAX, "%s", revision);
    else if (!ref_read(c, revision, commit))
        return false;
    return snapshot_is_whole(c, commit, without_weights);
}

static enum status check_names(const char *id, const char **revision, const char *cache_dir,
                               struct repo_cache *c, struct err *e)
{
    *revision = *revision ? *revision : "main";
    enum status st = hub_id_check(id, e);
    if (st == ST_OK)
        st = revision_check(*revision, e);
    return st == ST_OK ? repo_cache_init(c, cache_dir, id, e) : st;
}

enum status hub_snapshot_find(const char *cache_dir, const char *id, const char *revision,
                              bool without_weights, struct hub_snapshot *out, struct err *e)
{
    struct repo_cache c;
    char commit[HUB_COMMIT_MAX];
    *out = (struct hub_snapshot){0};
    enum status st = check_names(id, &revision, cache_dir, &c, e);
    if (st != ST_OK)
        return st;
    if (!find_whole(&c, revision, without_weights, commit))
        return err_set(e, ST_NOT_FOUND, "`%s` (revision %s) is not, or not wholly, in the cache %s", id,
                       revision, cache_dir);
    return snapshot_set(&c, commit, out, e);
}

/* ---- from the hub ---- */

/* Failures that a snapshot in the cache makes up for: huggingface_hub's choice too. A revision that does not
 * exist and a full disk are not among them. */
static bool is_made_up_for(enum status st)
{
    return st == ST_UNAVAILABLE || st == ST_NOT_FOUND;
}

static enum status get_online(const struct hub_options *o, const struct repo_cache *c, const char *id,
                              const char *revision, struct hub_snapshot *out, struct err *e)
{
    char known[HUB_COMMIT_MAX];
    bool has_other = find_whole(c, revision, o->without_weights, known);
    struct snapshot_job j = {.o = o, .c = c};
    arena_init(&j.arena, MAX_ARENA_BYTES);
    enum status st = session_new(o, id, revision, &j.s, e);
    if (st == ST_OK)
        st = refresh(&j, has_other, e);
    session_free(j.s);
    arena_fini(&j.arena);
    if (st == ST_OK)
        return snapshot_set(c, j.listing.commit, out, e);
    if (!has_other || !is_made_up_for(st))
        return st;
    out->is_stale = true;
    if (e)
        snprintf(out->why_stale, sizeof out->why_stale, "%s", e->text);
    return snapshot_set(c, known, out, e);
}

enum status hub_snapshot_get(const struct hub_options *o, const char *id, const char *revision,
                             struct hub_snapshot *out, struct err *e)
{
    struct repo_cache c;
    char commit[HUB_COMMIT_MAX];
    struct err why;
    *out = (struct hub_snapshot){0};
    enum status st = check_names(id, &revision, o->cache_dir, &c, e);
    if (st != ST_OK)
        return st;
    if ((o->offline || is_commit(str_from(revision))) && find_whole(&c, revision, o->without_weights, commit))
        return snapshot_set(&c, commit, out, e);
    if (o->offline)
        return err_set(
            e, ST_NOT_FOUND,
            "`%s` (revision %s) is not, or not wholly, in the cache %s, and HF_HUB_OFFLINE forbids to "
            "fetch it: run once without it, or copy the model's folder there",
            id, revision, o->cache_dir);
    /* a connection that breaks must not end the process, which libcurl leaves to its caller */
    sigset_t pipe, before;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    st = get_online(o, &c, id, revision, out, e ? e : &why);
    const struct timespec at_once = {0};
    while (!sigismember(&before, SIGPIPE) && sigtimedwait(&pipe, NULL, &at_once) == SIGPIPE)
        ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return st;
}

/* A model's name on a hub -> a folder on disk, in the cache that Hugging Face's own tools read and write:
 *
 *   CACHE/models--OWNER--NAME/refs/REVISION       the commit a branch or tag stood for when last asked
 *                            /blobs/ETAG          a file's bytes, once
 *                            /snapshots/COMMIT/F  a relative link to the blob
 *   CACHE/.locks/models--OWNER--NAME/ETAG.lock    held (flock) while a blob is being written
 *
 * Nothing that a hub says is believed: names, sizes, lengths and bytes are checked, waits and bodies bounded.
 * One thread does it all. It only ever speaks to the network in hub_snapshot_get(). */
#ifndef HUB_HUB_H
#define HUB_HUB_H

#include "base/str.h"
#include <stdatomic.h>

#define HUB_PATH_MAX   4096
#define HUB_ID_MAX     200
#define HUB_COMMIT_MAX 41

struct hub_progress {
    const char *file; /* one that is being fetched; NULL: none at the moment */
    size_t n_files, n_done;
    uint64_t total_bytes;   /* of all of them */
    uint64_t done_bytes;    /* on disk, those of earlier runs included */
    uint64_t fetched_bytes; /* by this run */
};

struct hub_options {
    const char *endpoint;  /* "https://huggingface.co", no slash at the end */
    const char *cache_dir; /* made when missing */
    const char *token;     /* NULL: none. Only ever sent to the endpoint */
    const char *ca_path;   /* file or folder of certificates; NULL: the system's */
    const char *origin;    /* added to the user agent; NULL: nothing */
    bool offline;          /* no network call at all */
    bool without_weights;  /* only configuration, tokenizer and templates */
    uint32_t metadata_timeout_ms, stall_timeout_ms;
    unsigned connections;      /* at once, at least 1 */
    unsigned tries;            /* of what fails and brings nothing, at least 1; pauses grow to 30 s */
    const atomic_bool *cancel; /* polled; NULL: never */
    void (*on_progress)(void *arg, const struct hub_progress *p); /* at most 10 a second; NULL: not told */
    void *arg;
};

struct hub_snapshot {
    char dir[HUB_PATH_MAX];
    char commit[HUB_COMMIT_MAX];
    bool is_stale;                /* the hub could not be asked whether there is a newer one: */
    char why_stale[ERR_TEXT_MAX]; /* the reason */
};

/* "owner/name" or "name", as the hub allows them. ST_INVALID: the sentence says what is wrong. */
MUST_CHECK enum status hub_id_check(const char *id, struct err *e);

/* The snapshot of a revision (NULL: main): branch, tag, commit or refs/pr/N. What is missing is fetched; a
 * whole snapshot of a commit asks nobody, and one of a branch is good enough when the hub cannot be asked.
 * ST_CANCELLED when *cancel became true; what was fetched until then stays, the next call goes on from there.
 */
MUST_CHECK enum status hub_snapshot_get(const struct hub_options *o, const char *id, const char *revision,
                                        struct hub_snapshot *out, struct err *e);
/* The same from the cache alone. ST_NOT_FOUND: none, or one that lacks files. */
MUST_CHECK enum status hub_snapshot_find(const char *cache_dir, const char *id, const char *revision,
                                         bool without_weights, struct hub_snapshot *out, struct err *e);

/* ---- the cache's content ---- */

struct hub_cached {
    char id[HUB_ID_MAX];
    uint64_t n_bytes; /* of its blobs, unfinished ones included */
    size_t n_snapshots;
    size_t n_unfinished; /* blobs */
    char revisions[256]; /* "main, v1.0", cut when long */
};

/* Every model of the cache, in no order. A missing cache has none. */
MUST_CHECK enum status hub_cache_list(const char *cache_dir,
                                      void (*each)(void *arg, const struct hub_cached *m), void *arg,
                                      struct err *e);
/* Removes a model with all its revisions, or one revision (not NULL) and what only it needs. ST_NOT_FOUND: it
 * is not there. */
MUST_CHECK enum status hub_cache_remove(const char *cache_dir, const char *id, const char *revision,
                                        uint64_t *freed_bytes, struct err *e);
/* Whether the cache has anything of the model. */
bool hub_cache_has(const char *cache_dir, const char *id);

#endif

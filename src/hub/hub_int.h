/* The parts of a download, shared by this module's files. */
#ifndef HUB_HUB_INT_H
#define HUB_HUB_INT_H

#include "base/arena.h"
#include "base/buf.h"
#include "hub/hub.h"

#define ETAG_MAX      129
#define FILE_PATH_MAX 512
#define URL_MAX       8192
#define MAX_FILES     4096 /* that a snapshot may need */

/* ---- names.c: what may become part of a path or a URL ---- */

bool is_commit(struct str s); /* 40 lower-case hexadecimal digits */
bool is_safe_etag(struct str s);
/* A relative path of plain components: nothing that leads out of a folder. */
bool is_safe_path(struct str s);
MUST_CHECK enum status revision_check(const char *revision, struct err *e);
/* "models--owner--name" of a checked id. */
void repo_folder_name(char out[HUB_ID_MAX + 16], const char *id);
/* Percent-encodes all but unreserved characters, and slashes when they are kept. */
void url_put_quoted(struct buf *out, struct str s, bool keep_slashes);
/* "https://host:port" of a URL, lower case; empty when there is none. */
void url_origin(char out[300], const char *url);

/* ---- digest.c ---- */

enum digest_kind { DIGEST_NONE, DIGEST_SHA256, DIGEST_GIT_SHA1 };

/* What an etag promises about the bytes. */
enum digest_kind digest_kind_of(struct str etag);

struct digest;
MUST_CHECK enum status digest_new(enum digest_kind kind, uint64_t n_bytes, struct digest **out,
                                  struct err *e);
void digest_add(struct digest *d, const void *p, size_t n);
/* Whether the bytes are those of the etag. */
bool digest_matches(struct digest *d, struct str etag);
void digest_free(struct digest *d);

/* ---- listing.c: what the hub's JSON says ---- */

struct listing {
    char commit[HUB_COMMIT_MAX];
    struct str *path; /* only safe ones, in the arena, in name order */
    size_t n;
};

MUST_CHECK enum status listing_parse(struct str text, struct arena *a, struct listing *out, struct err *e);
/* The distinct safe file names of a weight map, in name order. */
MUST_CHECK enum status index_files(struct str text, struct arena *a, struct str **out, size_t *n,
                                   struct err *e);

/* ---- choose.c: which files a server needs ---- */

bool listing_has(const struct listing *l, struct str path);
/* Configuration, tokenizer and templates: all but the weights themselves. */
bool is_needed_config(struct str path);
/* The index that names the weights, empty: none does and choose_weights() picks by name. */
struct str choose_index(const struct listing *l);
/* The weight files by their names alone, in `out` of at least l->n; returns their number. */
size_t choose_weights(const struct listing *l, struct str *out);

/* ---- cache.c: the layout on disk ---- */

struct repo_cache {
    char dir[HUB_PATH_MAX];   /* CACHE/models--... */
    char locks[HUB_PATH_MAX]; /* CACHE/.locks/models--... */
};

MUST_CHECK enum status repo_cache_init(struct repo_cache *c, const char *cache_dir, const char *id,
                                       struct err *e);
MUST_CHECK enum status path_format(char out[HUB_PATH_MAX], struct err *e, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* The commit of a revision as last written down, false: none. */
bool ref_read(const struct repo_cache *c, const char *revision, char commit[HUB_COMMIT_MAX]);
/* Written whole or not at all; nothing is written when it says so already. */
MUST_CHECK enum status ref_write(const struct repo_cache *c, const char *revision, const char *commit,
                                 struct err *e);
bool snapshot_has(const struct repo_cache *c, const char *commit, struct str path);
/* Whole: of that size. */
bool blob_exists(const struct repo_cache *c, const char *etag, uint64_t n_bytes);
/* snapshots/COMMIT/PATH -> the blob, by a relative link. Replaces one that leads nowhere. */
MUST_CHECK enum status snapshot_link(const struct repo_cache *c, const char *commit, struct str path,
                                     const char *etag, struct err *e);
/* Whether the snapshot has configuration and weights. */
bool snapshot_is_whole(const struct repo_cache *c, const char *commit, bool without_weights);
/* Bytes that may still be written where the path, or the nearest folder above it, lies; UINT64_MAX: unknown.
 */
uint64_t free_bytes_at(const char *path);

/* Every revision that is written down. */
void refs_each(const struct repo_cache *c, void (*each)(void *arg, const char *revision), void *arg);

/* ---- lock.c: between processes, as huggingface_hub's filelock does it ---- */

enum lock_answer { LOCK_TAKEN, LOCK_BUSY, LOCK_FAILED };
/* *fd: to be closed by lock_drop(). A file system without locks gives LOCK_TAKEN with -1: positional writes
 * of the same bytes need none. */
enum lock_answer lock_try(const char *path, int *fd, struct err *e);
void lock_drop(int fd);

/* ---- partial.c: a blob that is not whole yet ---- */

struct partial;

/* ETAG.parts.incomplete with what an earlier run left, or new. */
MUST_CHECK enum status partial_open(const char *blob_path, struct str etag, uint64_t n_bytes,
                                    struct partial **out, struct err *e);
void partial_close(struct partial *p);
/* A range that nobody fetches yet; false: none is left. It is the caller's until partial_give_back(). */
bool partial_take(struct partial *p, size_t *piece, uint64_t *begin, uint64_t *end);
void partial_give_back(struct partial *p, size_t piece);
/* n bytes that belong at `offset`, which is where the piece's bytes ended so far. */
MUST_CHECK enum status partial_write(struct partial *p, uint64_t offset, const void *bytes, size_t n,
                                     struct err *e);
/* Forgets all bytes. No piece may be taken. */
MUST_CHECK enum status partial_reset(struct partial *p, struct err *e);
uint64_t partial_done_bytes(const struct partial *p);
bool partial_is_full(const struct partial *p);
/* Hashes some of what is there in order; true: there is more that could be hashed now. */
MUST_CHECK enum status partial_hash(struct partial *p, bool *more, struct err *e);
/* Full and hashed: whether the bytes are right. */
bool partial_is_right(struct partial *p);
/* Becomes the blob, safe against power loss. */
MUST_CHECK enum status partial_finish(struct partial *p, struct err *e);

/* ---- reply.c: one answer's head, as curl hands it over ---- */

struct reply {
    long status;
    char url[URL_MAX];      /* that was asked */
    char location[URL_MAX]; /* of a redirect, absolute; empty: none */
    char etag[ETAG_MAX], linked_etag[ETAG_MAX], commit[HUB_COMMIT_MAX];
    char error_code[64], error_message[256];
    uint64_t length, linked_length;               /* UINT64_MAX: not said */
    uint64_t range_begin, range_end, range_total; /* of Content-Range; end exclusive; UINT64_MAX: not said */
    uint64_t retry_after_s;
    size_t head_bytes;
    bool is_encoded;   /* gzip and the like */
    bool has_bad_etag; /* one was said that cannot be a file name */
};

void reply_init(struct reply *r, const char *url);
/* One header line; false: the head is too long. */
bool reply_header(struct reply *r, struct str line);
/* ETag as a file name: without W/ and quotes; false, and empty, when it cannot be one. */
bool etag_read(char out[ETAG_MAX], struct str value);

/* ---- request.c: libcurl ---- */

struct session; /* one model on one hub: options, reused connections */

MUST_CHECK enum status session_new(const struct hub_options *o, const char *id, const char *revision,
                                   struct session **out, struct err *e);
void session_free(struct session *s);
const struct hub_options *session_options(const struct session *s);
const char *session_id(const struct session *s);
const char *session_revision(const struct session *s);
bool session_is_cancelled(const struct session *s);
/* ENDPOINT/ID/resolve/COMMIT/PATH */
void session_file_url(const struct session *s, const char *commit, struct str path, char out[URL_MAX]);

/* The hub's answer about the revision, as text in `body`. n_tries: of a hub that cannot be reached. */
MUST_CHECK enum status session_ask_revision(struct session *s, unsigned n_tries, struct buf *body,
                                            struct err *e);

/* What the hub knows of a file. */
struct file_meta {
    char etag[ETAG_MAX];
    uint64_t n_bytes;
    char url[URL_MAX]; /* where its bytes are */
};
MUST_CHECK enum status session_ask_file(struct session *s, const char *commit, struct str path,
                                        struct file_meta *out, struct err *e);

/* Whether a redirect may be followed; the sentence says why not. */
MUST_CHECK enum status redirect_check(const struct session *s, const char *from, const char *to,
                                      struct err *e);

/* ---- explain.c: what went wrong and what to do ---- */

/* Of an answer that is an error. ST_UNAVAILABLE: may pass; ST_NOT_FOUND: the model; ST_INVALID: the revision.
 */
MUST_CHECK enum status explain_reply(const struct session *s, const struct reply *r, const char *what,
                                     struct err *e);

/* ---- fetch.c: bytes, over several connections ---- */

struct want {
    struct str path;
    struct file_meta meta;
};
/* Fetches what is missing of the files, verified and linked into the snapshot. */
MUST_CHECK enum status fetch_files(struct session *s, const struct repo_cache *c, const char *commit,
                                   const struct want *want, size_t n, struct err *e);

#endif

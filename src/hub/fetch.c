/* The bytes of files, over several connections at once, on one thread.
 *
 * A loop: files are opened in order (lock, what an earlier run left), idle connections take the next missing
 * range of an open file, bytes go to their places, what is there in order is hashed, and a file that is full
 * and right becomes a blob with a link in the snapshot. Locks are only ever tried, never waited for while
 * others are held.
 *
 * A hub may do anything: end early, send other ranges than asked for, more, less, or nothing. Only bytes of
 * an answer whose head fits the question are written; a file's failures are counted, with growing pauses, and
 * forgotten when it has come on by a good part. */
#define LOG_MODULE "hub"
#include "base/clock.h"
#include "base/log.h"
#include "hub/request_int.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_CONNECTIONS    32
#define COMES_ON_BYTES     ((uint64_t)1 << 20)
#define MAX_WAIT_S         300
#define ERROR_BODY_MAX     ((size_t)64 << 10)
#define STALL_BYTES_SECOND 1024
#define LOCK_RETRY_MS      200
#define PROGRESS_MS        100

enum file_state { FILE_WAITING, FILE_OPEN, FILE_DONE };

struct file {
    const struct want *want;
    enum file_state state;
    int lock_fd;
    struct partial *partial;
    bool asks_hub;    /* what the hub said of where the bytes are holds no longer */
    bool is_unranged; /* the server knows no ranges: one connection, from the start */
    bool was_wrong, said_busy;
    unsigned n_conn, n_failures;
    uint64_t mark_bytes; /* when failures were last counted */
    uint64_t ready_ms;   /* nothing is asked before */
};

struct conn {
    struct fetch *f;
    CURL *easy;
    struct file *file; /* NULL: idle */
    size_t piece;
    uint64_t pos, end;
    unsigned n_hops;
    bool is_checked; /* the head fits */
    bool is_unranged_answer;
    size_t n_dropped;
    struct reply reply;
    struct err err; /* .status set: why the answer was refused or could not be written */
    char curl_error[CURL_ERROR_SIZE];
};

struct fetch {
    struct session *s;
    const struct repo_cache *cache;
    const char *commit;
    struct file *file;
    size_t n_file, n_done;
    CURLM *multi;
    struct conn *conn;
    unsigned n_conn;
    uint64_t fetched_bytes, told_ms;
};

static uint64_t now_ms(void)
{
    return clock_ns() / 1000000;
}

/* ---- an answer's bytes ---- */

static bool refuse(struct conn *c, const char *why)
{
    (void)err_set(&c->err, ST_UNAVAILABLE, "`%s`: " STR_FMT ": the server %s", session_id(c->f->s),
                  STR_ARG(c->file->want->path), why);
    return false;
}

/* Whether the head fits what was asked. */
static bool check_head(struct conn *c)
{
    const struct reply *r = &c->reply;
    uint64_t n_bytes = c->file->want->meta.n_bytes;
    bool is_all = c->pos == 0 && c->end == n_bytes;
    if (r->is_encoded)
        return refuse(c, "sends it compressed, which it was asked not to");
    if (r->status == 206) {
        if (r->range_begin != c->pos || r->range_end != c->end)
            return refuse(c, "sends another range than it was asked for");
        if (r->range_total != UINT64_MAX && r->range_total != n_bytes)
            return refuse(c, "and the hub differ about its size");
        return true;
    }
    if (!is_all) {
        c->is_unranged_answer = true;
        return refuse(c, "knows no ranges");
    }
    return r->length == UINT64_MAX || r->length == n_bytes || refuse(c, "and the hub differ about its size");
}

static size_t on_body(char *p, size_t size, size_t n, void *conn)
{
    struct conn *c = conn;
    size_t given = size * n;
    if (!c->is_checked) {
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &c->reply.status);
        if (c->reply.status != 200 && c->reply.status != 206) {
            c->n_dropped += given; /* the text of an error or a redirect */
            return c->n_dropped <= ERROR_BODY_MAX ? given : 0;
        }
        if (!check_head(c))
            return 0;
        c->is_checked = true;
    }
    size_t fits = given < c->end - c->pos ? given : (size_t)(c->end - c->pos);
    struct err e;
    if (fits && partial_write(c->file->partial, c->pos, p, fits, &e) != ST_OK) {
        c->err = e;
        return 0;
    }
    c->pos += fits;
    c->f->fetched_bytes += fits;
    return fits == given ? given : 0;
}

/* ---- requests ---- */

static enum status request_start(struct conn *c, const char *url, struct err *e)
{
    const struct hub_options *o = session_options(c->f->s);
    uint64_t n_bytes = c->file->want->meta.n_bytes;
    char range[64];
    request_prepare(c->f->s, c->easy, &c->reply, url, c->curl_error);
    c->is_checked = c->is_unranged_answer = false;
    c->n_dropped = 0;
    c->err.status = ST_OK;
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
    curl_easy_setopt(c->easy, CURLOPT_BUFFERSIZE, 512L << 10);
    curl_easy_setopt(c->easy, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_SECOND);
    curl_easy_setopt(c->easy, CURLOPT_LOW_SPEED_TIME, (long)((o->stall_timeout_ms + 999) / 1000));
    if (c->pos != 0 || c->end != n_bytes) {
        snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, c->pos, c->end - 1);
        curl_easy_setopt(c->easy, CURLOPT_RANGE, range);
    }
    if (curl_multi_add_handle(c->f->multi, c->easy) == CURLM_OK)
        return ST_OK;
    return err_set(e, ST_INTERNAL, "libcurl cannot take another transfer");
}

/* A new question about the connection's range. */
static enum status request_again(struct conn *c, struct err *e)
{
    const struct file *x = c->file;
    char url[URL_MAX];
    c->n_hops = 0;
    if (!x->asks_hub)
        return request_start(c, x->want->meta.url, e);
    session_file_url(c->f->s, c->f->commit, x->want->path, url);
    return request_start(c, url, e);
}

static void conn_drop(struct conn *c)
{
    curl_multi_remove_handle(c->f->multi, c->easy);
    partial_give_back(c->file->partial, c->piece);
    c->file->n_conn--;
    c->file = NULL;
}

static void drop_all(struct fetch *f, const struct file *x)
{
    for (unsigned i = 0; i < f->n_conn; i++)
        if (f->conn[i].file && (!x || f->conn[i].file == x))
            conn_drop(&f->conn[i]);
}

/* ---- failures ---- */

/* Counts one; ST_OK: it will be tried again. Those that come while a pause is already due are one with the
 * first. */
static enum status count_failure(const struct fetch *f, struct file *x, const struct err *why,
                                 uint64_t wait_ms, struct err *e)
{
    uint64_t done = partial_done_bytes(x->partial), now = now_ms();
    if (now < x->ready_ms)
        return ST_OK;
    if (done >= x->mark_bytes + COMES_ON_BYTES || done < x->mark_bytes)
        x->n_failures = 0;
    x->mark_bytes = done;
    if (++x->n_failures >= session_options(f->s)->tries) {
        if (e)
            *e = *why;
        return err_prefix(e, "given up after %u tries", x->n_failures);
    }
    x->ready_ms = now + (wait_ms ? wait_ms : backoff_ms(x->n_failures));
    log_debug("%s; trying again", why->text);
    return ST_OK;
}

/* Answers that are no bytes: a redirect is followed, an error is told or waited for. */
static enum status handle_answer(struct conn *c, struct err *e)
{
    struct fetch *f = c->f;
    struct file *x = c->file;
    struct err why;
    char home[300], here[300], name[FILE_PATH_MAX];
    if (c->reply.status >= 300 && c->reply.status < 400 && c->reply.location[0]) {
        enum status st = redirect_check(f->s, c->reply.url, c->reply.location, e);
        if (st != ST_OK)
            return st;
        if (++c->n_hops > MAX_REDIRECTS)
            return err_set(e, ST_INVALID, "`%s`: " STR_FMT ": redirected in a circle: more than %d times",
                           session_id(f->s), STR_ARG(x->want->path), MAX_REDIRECTS);
        char to[URL_MAX];
        memcpy(to, c->reply.location, sizeof to);
        curl_multi_remove_handle(f->multi, c->easy);
        return request_start(c, to, e);
    }
    snprintf(name, sizeof name, STR_FMT, STR_ARG(x->want->path));
    enum status st = explain_reply(f->s, &c->reply, name, &why);
    url_origin(home, session_options(f->s)->endpoint);
    url_origin(here, c->reply.url);
    bool is_hub = strcmp(home, here) == 0, may_pass = reply_may_pass(&c->reply) || c->reply.status == 416;
    uint64_t wait_s = c->reply.retry_after_s;
    if (is_hub && !may_pass) {
        *e = why;
        return st;
    }
    conn_drop(c);
    x->asks_hub = true; /* signed addresses of a store expire: the hub gives a new one */
    if (wait_s > MAX_WAIT_S) {
        *e = why;
        return st;
    }
    return count_failure(f, x, &why, wait_s * 1000, e);
}

/* ST_OK: the loop goes on. */
static enum status conn_ended(struct conn *c, CURLcode code, struct err *e)
{
    struct fetch *f = c->f;
    struct file *x = c->file;
    struct err why = {0};
    request_ended(c->easy, &c->reply);
    if (c->err.status == ST_IO) { /* the disk's, not the network's */
        *e = c->err;
        return e->status;
    }
    if (c->pos == c->end) {
        conn_drop(c);
        return ST_OK;
    }
    if (c->is_unranged_answer && !x->is_unranged) {
        drop_all(f, x);
        x->is_unranged = true;
        return ST_OK;
    }
    bool has_status = c->reply.status != 0 && c->reply.status != 200 && c->reply.status != 206;
    if (has_status && (code == CURLE_OK || code == CURLE_WRITE_ERROR))
        return handle_answer(c, e);
    if (c->err.status != ST_OK)
        why = c->err;
    else if (code != CURLE_OK) {
        if (explain_curl(f->s, code, c->curl_error, c->reply.url, &why) == ST_CANCELLED) {
            *e = why;
            return ST_CANCELLED;
        }
    } else {
        (void)err_set(&why, ST_UNAVAILABLE, "`%s`: " STR_FMT ": the answer ended early", session_id(f->s),
                      STR_ARG(x->want->path));
    }
    conn_drop(c);
    x->asks_hub = true;
    return count_failure(f, x, &why, 0, e);
}

/* ---- files ---- */

static void file_close(struct file *x)
{
    partial_close(x->partial);
    x->partial = NULL;
    lock_drop(x->lock_fd);
    x->lock_fd = -1;
}

static enum status file_done(struct fetch *f, struct file *x, struct err *e)
{
    file_close(x);
    x->state = FILE_DONE;
    f->n_done++;
    return snapshot_link(f->cache, f->commit, x->want->path, x->want->meta.etag, e);
}

/* Files of equal bytes share a blob: the first of them fetches it for all. */
static bool is_fetched_here(const struct fetch *f, const char *etag)
{
    for (size_t i = 0; i < f->n_file; i++)
        if (f->file[i].state == FILE_OPEN && strcmp(f->file[i].want->meta.etag, etag) == 0)
            return true;
    return false;
}

/* Another process's turn, or ours. */
static enum status file_open(struct fetch *f, struct file *x, struct err *e)
{
    const struct file_meta *m = &x->want->meta;
    char blob[HUB_PATH_MAX], lock[HUB_PATH_MAX];
    enum status st = path_format(blob, e, "%s/blobs/%s", f->cache->dir, m->etag);
    if (st == ST_OK)
        st = path_format(lock, e, "%s/%s.lock", f->cache->locks, m->etag);
    if (st != ST_OK)
        return st;
    if (blob_exists(f->cache, m->etag, m->n_bytes))
        return file_done(f, x, e);
    if (is_fetched_here(f, m->etag)) {
        x->ready_ms = now_ms() + LOCK_RETRY_MS;
        return ST_OK;
    }
    enum lock_answer answer = lock_try(lock, &x->lock_fd, e);
    if (answer == LOCK_FAILED)
        return ST_IO;
    if (answer == LOCK_BUSY) {
        if (!x->said_busy)
            log_info(STR_FMT ": another process fetches it; waiting", STR_ARG(x->want->path));
        x->said_busy = true;
        x->ready_ms = now_ms() + LOCK_RETRY_MS;
        return ST_OK;
    }
    if (blob_exists(f->cache, m->etag, m->n_bytes)) /* since the question above */
        return file_done(f, x, e);
    st = partial_open(blob, str_from(m->etag), m->n_bytes, &x->partial, e);
    if (st != ST_OK)
        return st;
    if (partial_done_bytes(x->partial))
        log_info(STR_FMT ": going on after %" PRIu64 " of %" PRIu64 " bytes", STR_ARG(x->want->path),
                 partial_done_bytes(x->partial), m->n_bytes);
    if (digest_kind_of(str_from(m->etag)) == DIGEST_NONE)
        log_warn(STR_FMT ": the hub promises no hash: only its size is checked", STR_ARG(x->want->path));
    x->mark_bytes = partial_done_bytes(x->partial);
    x->state = FILE_OPEN;
    return ST_OK;
}

/* Hashes a slice; a full file is judged. */
static enum status file_check(struct fetch *f, struct file *x, bool *more, struct err *e)
{
    enum status st = partial_hash(x->partial, more, e);
    if (st != ST_OK || *more || !partial_is_full(x->partial) || x->n_conn)
        return st;
    if (partial_is_right(x->partial)) {
        st = partial_finish(x->partial, e);
        return st == ST_OK ? file_done(f, x, e) : st;
    }
    st = partial_reset(x->partial, e);
    if (st == ST_OK && x->was_wrong)
        return err_set(e, ST_INVALID,
                       "`%s`: " STR_FMT
                       ": twice other bytes came than the hub promises (%s): something between here "
                       "and the hub changes them, or the hub is damaged",
                       session_id(f->s), STR_ARG(x->want->path), x->want->meta.etag);
    log_warn(STR_FMT ": the bytes are not what the hub promises: fetched again", STR_ARG(x->want->path));
    x->was_wrong = x->asks_hub = true;
    x->mark_bytes = 0;
    return st;
}

/* ---- the loop ---- */

static enum status assign(struct fetch *f, struct conn *c, struct err *e)
{
    uint64_t now = now_ms();
    for (size_t i = 0; i < f->n_file; i++) {
        struct file *x = &f->file[i];
        if (x->state != FILE_OPEN || now < x->ready_ms || (x->is_unranged && x->n_conn))
            continue;
        if (x->is_unranged && partial_done_bytes(x->partial) && !partial_is_full(x->partial)) {
            enum status st = partial_reset(x->partial, e);
            if (st != ST_OK)
                return st;
        }
        if (!partial_take(x->partial, &c->piece, &c->pos, &c->end))
            continue;
        if (x->is_unranged)
            c->end = x->want->meta.n_bytes;
        c->file = x;
        x->n_conn++;
        return request_again(c, e);
    }
    return ST_OK;
}

static enum status open_files(struct fetch *f, struct err *e)
{
    unsigned n_open = 0;
    uint64_t now = now_ms();
    enum status st = ST_OK;
    for (size_t i = 0; i < f->n_file; i++)
        n_open += f->file[i].state == FILE_OPEN;
    for (size_t i = 0; i < f->n_file && n_open < f->n_conn && st == ST_OK; i++) {
        struct file *x = &f->file[i];
        if (x->state == FILE_WAITING && now >= x->ready_ms) {
            st = file_open(f, x, e);
            n_open += x->state == FILE_OPEN;
        }
    }
    for (unsigned i = 0; i < f->n_conn && st == ST_OK; i++)
        if (!f->conn[i].file)
            st = assign(f, &f->conn[i], e);
    return st;
}

static enum status move_bytes(struct fetch *f, struct err *e)
{
    int running, left;
    enum status st = ST_OK;
    CURLMsg *m;
    if (curl_multi_perform(f->multi, &running) != CURLM_OK)
        return err_set(e, ST_INTERNAL, "libcurl cannot go on");
    while (st == ST_OK && (m = curl_multi_info_read(f->multi, &left))) {
        struct conn *c = NULL;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
        if (m->msg == CURLMSG_DONE && c && c->file)
            st = conn_ended(c, code, e);
    }
    return st;
}

static enum status check_files(struct fetch *f, bool *more, struct err *e)
{
    enum status st = ST_OK;
    *more = false;
    for (size_t i = 0; i < f->n_file && st == ST_OK; i++) {
        bool file_more = false;
        if (f->file[i].state == FILE_OPEN)
            st = file_check(f, &f->file[i], &file_more, e);
        *more |= file_more;
    }
    return st;
}

static void tell_progress(struct fetch *f, bool at_once)
{
    const struct hub_options *o = session_options(f->s);
    struct hub_progress p = {.n_files = f->n_file, .n_done = f->n_done, .fetched_bytes = f->fetched_bytes};
    char name[FILE_PATH_MAX];
    if (!o->on_progress || (!at_once && now_ms() < f->told_ms + PROGRESS_MS))
        return;
    f->told_ms = now_ms();
    for (size_t i = 0; i < f->n_file; i++) {
        const struct file *x = &f->file[i];
        p.total_bytes += x->want->meta.n_bytes;
        p.done_bytes += x->state == FILE_DONE   ? x->want->meta.n_bytes
                        : x->state == FILE_OPEN ? partial_done_bytes(x->partial)
                                                : 0;
        if (x->state == FILE_OPEN && !p.file) {
            snprintf(name, sizeof name, STR_FMT, STR_ARG(x->want->path));
            p.file = name;
        }
    }
    o->on_progress(o->arg, &p);
}

static enum status run(struct fetch *f, struct err *e)
{
    enum status st = ST_OK;
    while (st == ST_OK && f->n_done < f->n_file) {
        bool more = false;
        if (session_is_cancelled(f->s))
            return err_set(e, ST_CANCELLED, "the download was cancelled");
        st = open_files(f, e);
        if (st == ST_OK)
            st = move_bytes(f, e);
        if (st == ST_OK)
            st = check_files(f, &more, e);
        tell_progress(f, f->n_done == f->n_file);
        if (st == ST_OK && f->n_done < f->n_file)
            (void)curl_multi_poll(f->multi, NULL, 0, more ? 0 : 50, NULL);
    }
    return st;
}

static enum status fetch_init(struct fetch *f, struct session *s, const struct want *want, size_t n,
                              struct err *e)
{
    unsigned n_conn = session_options(s)->connections;
    f->n_conn = n_conn < 1 ? 1 : n_conn > MAX_CONNECTIONS ? MAX_CONNECTIONS : n_conn;
    f->file = calloc(n + 1, sizeof *f->file);
    f->conn = calloc(f->n_conn, sizeof *f->conn);
    f->multi = curl_multi_init();
    if (!f->file || !f->conn || !f->multi)
        return err_set(e, ST_NO_MEMORY, "no memory for a download");
    f->n_file = n;
    for (size_t i = 0; i < n; i++)
        f->file[i] = (struct file){.want = &want[i], .lock_fd = -1};
    for (unsigned i = 0; i < f->n_conn; i++) {
        f->conn[i].f = f;
        f->conn[i].easy = curl_easy_init();
        if (!f->conn[i].easy)
            return err_set(e, ST_NO_MEMORY, "no memory for a connection");
    }
    return ST_OK;
}

static void fetch_fini(struct fetch *f)
{
    if (f->conn && f->multi)
        drop_all(f, NULL);
    for (unsigned i = 0; f->conn && i < f->n_conn; i++)
        curl_easy_cleanup(f->conn[i].easy);
    curl_multi_cleanup(f->multi);
    for (size_t i = 0; i < f->n_file; i++)
        file_close(&f->file[i]);
    free(f->conn);
    free(f->file);
}

enum status fetch_files(struct session *s, const struct repo_cache *c, const char *commit,
                        const struct want *want, size_t n, struct err *e)
{
    struct fetch f = {.s = s, .cache = c, .commit = commit};
    enum status st = fetch_init(&f, s, want, n, e);
    if (st == ST_OK)
        st = run(&f, e);
    fetch_fini(&f);
    return st;
}

/* A blob that is not whole yet: its bytes at their places in ETAG.parts.incomplete, and beside it a map of
 * what is there.
 *
 * Several connections fill one file, so its length says nothing. The map (a line that names the file's
 * length, then for each piece how many of its first bytes are there) is written after the bytes it speaks of:
 * a killed process leaves a map that claims too little, never too much. After a power failure it may claim
 * what the disk never got; the hash finds that out, and the download begins again. The name is one that
 * huggingface_hub never goes on from, since it would take the file's length for the bytes that are there;
 * what an older one left (ETAG.incomplete, a plain beginning) is taken over.
 *
 * Bytes are hashed in order while others still arrive. Writes are positional and of bytes that never change,
 * so two processes without a lock between them do each other no harm. */
#include "base/file.h"
#include "hub/hub_int.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECES_WANTED    16 /* of a file, as long as they are within: */
#define PIECE_MIN_BYTES  ((uint64_t)64 << 10)
#define PIECE_MAX_BYTES  ((uint64_t)32 << 20)
#define MAX_BLOB_BYTES   ((uint64_t)1 << 40)
#define MAP_HEAD_BYTES   64
#define HASH_SLICE_BYTES ((size_t)4 << 20)

struct partial {
    int fd, map_fd;
    char blob_path[HUB_PATH_MAX], path[HUB_PATH_MAX], map_path[HUB_PATH_MAX];
    char etag[ETAG_MAX];
    uint64_t n_bytes, piece_bytes, n_done, n_hashed;
    size_t n_piece;
    uint32_t *done; /* first bytes of each piece that are there */
    bool *taken;
    struct digest *digest;
    unsigned char *slice;
};

static uint64_t piece_end(const struct partial *p, size_t i)
{
    uint64_t end = (i + 1) * p->piece_bytes;
    return end < p->n_bytes ? end : p->n_bytes;
}

static uint64_t piece_length(const struct partial *p, size_t i)
{
    return piece_end(p, i) - i * p->piece_bytes;
}

static enum status io_error(const char *path, struct err *e)
{
    if (errno == ENOSPC || errno == EDQUOT)
        return err_set(e, ST_IO,
                       "%s: %s; make room there, or name another folder with --huggingface-hub-cache", path,
                       strerror(errno));
    return err_set(e, ST_IO, "%s: %s", path, strerror(errno));
}

static enum status write_at(int fd, const char *path, uint64_t offset, const void *bytes, size_t n,
                            struct err *e)
{
    for (const char *from = bytes; n;) {
        ssize_t k = pwrite(fd, from, n, (off_t)offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return io_error(path, e);
        from += k;
        n -= (size_t)k;
        offset += (uint64_t)k;
    }
    return ST_OK;
}

/* ---- the map ---- */

static void map_head(const struct partial *p, char out[MAP_HEAD_BYTES])
{
    memset(out, 0, MAP_HEAD_BYTES);
    snprintf(out, MAP_HEAD_BYTES, "prompteur-parts-1 %" PRIu64 " %" PRIu64 "\n", p->n_bytes, p->piece_bytes);
}

static enum status map_write(struct partial *p, struct err *e)
{
    char head[MAP_HEAD_BYTES];
    map_head(p, head);
    if (ftruncate(p->map_fd, 0) != 0)
        return io_error(p->map_path, e);
    enum status st =
        write_at(p->map_fd, p->map_path, MAP_HEAD_BYTES, p->done, p->n_piece * sizeof *p->done, e);
    return st == ST_OK ? write_at(p->map_fd, p->map_path, 0, head, sizeof head, e) : st;
}

/* What an earlier run left; false: nothing of use. */
static bool map_read(struct partial *p)
{
    char head[MAP_HEAD_BYTES], expected[MAP_HEAD_BYTES];
    struct stat s;
    size_t n = p->n_piece * sizeof *p->done;
    map_head(p, expected);
    bool ok = fstat(p->fd, &s) == 0 && (uint64_t)s.st_size == p->n_bytes &&
              pread(p->map_fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
              memcmp(head, expected, sizeof head) == 0 &&
              pread(p->map_fd, p->done, n, MAP_HEAD_BYTES) == (ssize_t)n;
    p->n_done = 0;
    for (size_t i = 0; i < p->n_piece && ok; i++) {
        ok = p->done[i] <= piece_length(p, i);
        p->n_done += p->done[i];
    }
    return ok;
}

/* The beginning of the file is there. */
static void map_set_prefix(struct partial *p, uint64_t n)
{
    p->n_done = n;
    for (size_t i = 0; i < p->n_piece; i++) {
        uint64_t begin = i * p->piece_bytes, length = piece_length(p, i);
        p->done[i] = n <= begin ? 0 : (uint32_t)(n - begin < length ? n - begin : length);
    }
}

/* ---- opening ---- */

/* What huggingface_hub before version 1 left: nothing there (0), or the length of a plain beginning. */
static uint64_t adopt_plain(struct partial *p)
{
    char plain[HUB_PATH_MAX];
    struct stat s;
    if (path_format(plain, NULL, "%s.incomplete", p->blob_path) != ST_OK || lstat(plain, &s) != 0 ||
        !S_ISREG(s.st_mode) || (uint64_t)s.st_size > p->n_bytes || access(p->path, F_OK) == 0)
        return 0;
    return rename(plain, p->path) == 0 ? (uint64_t)s.st_size : 0;
}

static enum status open_files(struct partial *p, struct err *e)
{
    uint64_t prefix = adopt_plain(p);
    int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
    p->fd = open(p->path, flags, 0666);
    if (p->fd < 0)
        return io_error(p->path, e);
    p->map_fd = open(p->map_path, flags, 0666);
    if (p->map_fd < 0)
        return io_error(p->map_path, e);
    if (!prefix && map_read(p))
        return ST_OK;
    map_set_prefix(p, prefix);
    if ((!prefix && ftruncate(p->fd, 0) != 0) || ftruncate(p->fd, (off_t)p->n_bytes) != 0)
        return io_error(p->path, e);
    return map_write(p, e);
}

static enum status alloc_pieces(struct partial *p, struct err *e)
{
    uint64_t piece = (p->n_bytes / PIECES_WANTED + 0xffff) & ~(uint64_t)0xffff;
    p->piece_bytes = piece < PIECE_MIN_BYTES   ? PIECE_MIN_BYTES
                     : piece > PIECE_MAX_BYTES ? PIECE_MAX_BYTES
                                               : piece;
    p->n_piece = (size_t)((p->n_bytes + p->piece_bytes - 1) / p->piece_bytes);
    p->done = calloc(p->n_piece + 1, sizeof *p->done);
    p->taken = calloc(p->n_piece + 1, sizeof *p->taken);
    p->slice = malloc(HASH_SLICE_BYTES);
    return p->done && p->taken && p->slice ? ST_OK : err_set(e, ST_NO_MEMORY, "no memory for a download");
}

enum status partial_open(const char *blob_path, struct str etag, uint64_t n_bytes, struct partial **out,
                         struct err *e)
{
    *out = NULL;
    if (n_bytes > MAX_BLOB_BYTES)
        return err_set(e, ST_LIMIT,
                       "a file of %" PRIu64 " bytes is larger than anything this version fetches", n_bytes);
    struct partial *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, ST_NO_MEMORY, "no memory for a download");
    p->fd = p->map_fd = -1;
    p->n_bytes = n_bytes;
    snprintf(p->etag, sizeof p->etag, STR_FMT, STR_ARG(etag));
    enum status st = alloc_pieces(p, e);
    if (st == ST_OK)
        st = path_format(p->blob_path, e, "%s", blob_path);
    if (st == ST_OK)
        st = path_format(p->path, e, "%s.parts.incomplete", blob_path);
    if (st == ST_OK)
        st = path_format(p->map_path, e, "%s.map.incomplete", blob_path);
    if (st == ST_OK)
        st = file_make_parents(blob_path, e);
    if (st == ST_OK)
        st = digest_new(digest_kind_of(etag), n_bytes, &p->digest, e);
    if (st == ST_OK)
        st = open_files(p, e);
    if (st != ST_OK) {
        partial_close(p);
        return st;
    }
    *out = p;
    return ST_OK;
}

void partial_close(struct partial *p)
{
    if (!p)
        return;
    if (p->fd >= 0)
        close(p->fd);
    if (p->map_fd >= 0)
        close(p->map_fd);
    digest_free(p->digest);
    free(p->done);
    free(p->taken);
    free(p->slice);
    free(p);
}

/* ---- filling ---- */

bool partial_take(struct partial *p, size_t *piece, uint64_t *begin, uint64_t *end)
{
    for (size_t i = 0; i < p->n_piece; i++)
        if (!p->taken[i] && p->done[i] < piece_length(p, i)) {
            p->taken[i] = true;
            *piece = i;
            *begin = i * p->piece_bytes + p->done[i];
            *end = piece_end(p, i);
            return true;
        }
    return false;
}

void partial_give_back(struct partial *p, size_t piece)
{
    p->taken[piece] = false;
}

/* Bytes may run over the end of a piece into the next ones, which a connection without ranges does. */
enum status partial_write(struct partial *p, uint64_t offset, const void *bytes, size_t n, struct err *e)
{
    BUG_ON(offset + n > p->n_bytes);
    enum status st = write_at(p->fd, p->path, offset, bytes, n, e);
    while (st == ST_OK && n) {
        size_t i = (size_t)(offset / p->piece_bytes);
        BUG_ON(offset != i * p->piece_bytes + p->done[i]);
        uint64_t left = piece_end(p, i) - offset, k = n < left ? n : left;
        p->done[i] += (uint32_t)k;
        p->n_done += k;
        st = write_at(p->map_fd, p->map_path, MAP_HEAD_BYTES + i * sizeof *p->done, &p->done[i],
                      sizeof *p->done, e);
        offset += k;
        n -= (size_t)k;
    }
    return st;
}

enum status partial_reset(struct partial *p, struct err *e)
{
    map_set_prefix(p, 0);
    p->n_hashed = 0;
    digest_free(p->digest);
    p->digest = NULL;
    enum status st = map_write(p, e);
    if (st == ST_OK && (ftruncate(p->fd, 0) != 0 || ftruncate(p->fd, (off_t)p->n_bytes) != 0))
        st = io_error(p->path, e);
    return st == ST_OK ? digest_new(digest_kind_of(str_from(p->etag)), p->n_bytes, &p->digest, e) : st;
}

uint64_t partial_done_bytes(const struct partial *p)
{
    return p->n_done;
}

bool partial_is_full(const struct partial *p)
{
    return p->n_done == p->n_bytes;
}

/* ---- checking ---- */

/* Where the bytes that are there in order end. */
static uint64_t prefix_end(const struct partial *p)
{
    size_t i = (size_t)(p->n_hashed / p->piece_bytes);
    while (i < p->n_piece && p->done[i] == piece_length(p, i))
        i++;
    return i < p->n_piece ? i * p->piece_bytes + p->done[i] : p->n_bytes;
}

enum status partial_hash(struct partial *p, bool *more, struct err *e)
{
    uint64_t end = prefix_end(p), left = end > p->n_hashed ? end - p->n_hashed : 0;
    *more = false;
    if (!left)
        return ST_OK;
    ssize_t k =
        pread(p->fd, p->slice, left < HASH_SLICE_BYTES ? (size_t)left : HASH_SLICE_BYTES, (off_t)p->n_hashed);
    if (k < 0 && errno == EINTR)
        k = 0;
    else if (k <= 0)
        return err_set(e, ST_IO, "%s: cannot be read back: %s", p->path,
                       k < 0 ? strerror(errno) : "it became shorter");
    digest_add(p->digest, p->slice, (size_t)k);
    /* the disk begins now, so that partial_finish() does not wait for all of it */
    (void)sync_file_range(p->fd, (off_t)p->n_hashed, k, SYNC_FILE_RANGE_WRITE);
    p->n_hashed += (uint64_t)k;
    *more = p->n_hashed < end;
    return ST_OK;
}

bool partial_is_right(struct partial *p)
{
    BUG_ON(p->n_hashed != p->n_bytes);
    return digest_matches(p->digest, str_from(p->etag));
}

static void sync_folder_of(const char *path)
{
    char dir[HUB_PATH_MAX];
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd); /* not every file system can; the file itself is safe */
        close(fd);
    }
}

enum status partial_finish(struct partial *p, struct err *e)
{
    if (fsync(p->fd) != 0 || rename(p->path, p->blob_path) != 0)
        return io_error(p->path, e);
    (void)unlink(p->map_path);
    sync_folder_of(p->blob_path);
    return ST_OK;
}

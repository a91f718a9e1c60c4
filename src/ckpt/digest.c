/* Identity of the weights: SHA-256 of every weight file, and of the list of them.
 *
 * Hashing a large checkpoint takes seconds to minutes, so a file's digest is remembered in a small text file
 * named after the file's real path, with size and modification time; any doubt about it means hashing again.
 * The pages that hashing reads are the very pages that the weights are mapped from: they are never dropped
 * from the page cache here, and not counted as used either. */
#include "base/buf.h"
#include "base/file.h"
#include "ckpt/ckpt_int.h"
#include "ckpt/digest_int.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PATH_BYTES  4096
#define CHUNK_BYTES     (1u << 20)
#define CACHE_VERSION   "prompteur-sha256-1"
#define MAX_CACHE_BYTES (MAX_PATH_BYTES + 256)

struct file_identity {
    char path[MAX_PATH_BYTES]; /* real path */
    uint64_t n_bytes;
    uint64_t mtime_ns;
};

enum status digest_finish(EVP_MD_CTX *md, char out[CKPT_DIGEST_HEX], struct err *e)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(md, sum, &n) != 1 || 2 * n + 1 != CKPT_DIGEST_HEX)
        return err_set(e, ST_INTERNAL, "SHA-256 failed in libcrypto");
    hex_encode(out, sum, n);
    return ST_OK;
}

EVP_MD_CTX *digest_start(struct err *e)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1)
        return md;
    EVP_MD_CTX_free(md);
    (void)err_set(e, ST_INTERNAL, "libcrypto offers no SHA-256");
    return NULL;
}

static void identity_of(const struct stat *s, struct file_identity *id)
{
    id->n_bytes = (uint64_t)s->st_size;
    id->mtime_ns = (uint64_t)s->st_mtim.tv_sec * 1000000000u + (uint64_t)s->st_mtim.tv_nsec;
}

/* ---- cache: one line "version size mtime_ns hex path" per weight file ---- */

static bool cache_path(char out[MAX_PATH_BYTES], const char *cache_dir, const struct file_identity *id)
{
    int n = snprintf(out, MAX_PATH_BYTES, "%s/%016" PRIx64 ".sha256", cache_dir,
                     hash_bytes(id->path, strlen(id->path), 0));
    return n > 0 && n < MAX_PATH_BYTES;
}

static void cache_line(struct buf *b, const struct file_identity *id, const char *hex)
{
    buf_printf(b, CACHE_VERSION " %" PRIu64 " %" PRIu64 " %s %s\n", id->n_bytes, id->mtime_ns, hex, id->path);
}

static bool is_hex_digest(const char *p)
{
    return strspn(p, "0123456789abcdef") == CKPT_DIGEST_HEX - 1;
}

/* The line is written again with the digest it claims to hold, and must be the same byte for byte. */
static bool cache_load(const char *cache_dir, const struct file_identity *id, char out[CKPT_DIGEST_HEX])
{
    char path[MAX_PATH_BYTES], hex[CKPT_DIGEST_HEX] = "";
    if (!cache_dir || !cache_path(path, cache_dir, id))
        return false;
    struct buf found, expected;
    buf_init(&found, MAX_CACHE_BYTES);
    buf_init(&expected, MAX_CACHE_BYTES);
    bool hit = false;
    if (buf_read_file(&found, path, NULL) == ST_OK) {
        cache_line(&expected, id, ""); /* up to the digest, then " path\n" */
        size_t tail = strlen(id->path) + 2, head = expected.n - tail;
        if (!expected.failed && found.n == expected.n + CKPT_DIGEST_HEX - 1) {
            memcpy(hex, found.p + head, CKPT_DIGEST_HEX - 1);
            buf_clear(&expected);
            cache_line(&expected, id, hex);
            hit = is_hex_digest(hex) && str_eq(buf_str(&expected), buf_str(&found));
        }
    }
    buf_fini(&found);
    buf_fini(&expected);
    if (hit)
        memcpy(out, hex, CKPT_DIGEST_HEX);
    return hit;
}

/* Failure only means hashing again next time. */
static void cache_store(const char *cache_dir, const struct file_identity *id, const char *hex)
{
    char path[MAX_PATH_BYTES];
    struct buf line;
    if (!cache_dir || !cache_path(path, cache_dir, id))
        return;
    buf_init(&line, MAX_CACHE_BYTES);
    cache_line(&line, id, hex);
    if (!line.failed && file_make_parents(path, NULL) == ST_OK)
        (void)!file_replace(path, buf_str(&line), NULL);
    buf_fini(&line);
}

/* ---- hashing ---- */

static enum status hash_fd(int fd, const char *name, const atomic_bool *cancel, char out[CKPT_DIGEST_HEX],
                           struct err *e)
{
    enum status st = ST_OK;
    unsigned char *chunk = malloc(CHUNK_BYTES);
    EVP_MD_CTX *md = digest_start(e);
    if (!chunk || !md)
        st = chunk ? ST_INTERNAL : err_set(e, ST_NO_MEMORY, "%s: no memory to hash", name);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_NOREUSE);
    while (st == ST_OK) {
        if (cancel && *cancel) {
            st = err_set(e, ST_CANCELLED, "%s: hashing was cancelled", name);
            break;
        }
        ssize_t n = read(fd, chunk, CHUNK_BYTES);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            st = err_set(e, ST_IO, "%s: read: %s", name, strerror(errno));
        if (n > 0 && EVP_DigestUpdate(md, chunk, (size_t)n) != 1)
            st = err_set(e, ST_INTERNAL, "SHA-256 failed in libcrypto");
    }
    if (st == ST_OK)
        st = digest_finish(md, out, e);
    EVP_MD_CTX_free(md);
    free(chunk);
    return st;
}

static enum status file_digest(const char *dir, const char *name, const char *cache_dir,
                               const atomic_bool *cancel, char out[CKPT_DIGEST_HEX], struct err *e)
{
    char path[MAX_PATH_BYTES];
    int len = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (len < 0 || len >= MAX_PATH_BYTES)
        return err_set(e, ST_LIMIT, "%s: the path is longer than %d bytes", name, MAX_PATH_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(e, ST_IO, "%s: cannot open: %s", name, strerror(errno));
    enum status st = ST_OK;
    struct stat s;
    struct file_identity before, after;
    if (fstat(fd, &s) != 0 || !realpath(path, before.path)) {
        st = err_set(e, ST_IO, "%s: %s", name, strerror(errno));
        goto done;
    }
    identity_of(&s, &before);
    if (cache_load(cache_dir, &before, out))
        goto done;
    st = hash_fd(fd, name, cancel, out, e);
    if (st != ST_OK)
        goto done;
    if (fstat(fd, &s) == 0)
        identity_of(&s, &after);
    else
        after = (struct file_identity){0};
    if (after.n_bytes == before.n_bytes && after.mtime_ns == before.mtime_ns)
        cache_store(cache_dir, &before, out);
    else
        st = err_set(e, ST_IO, "%s: the file changed while it was being hashed", name);
done:
    close(fd);
    return st;
}

enum status ckpt_digest(const struct ckpt *c, const char *cache_dir, const atomic_bool *cancel,
                        char out[CKPT_DIGEST_HEX], struct err *e)
{
    EVP_MD_CTX *list = digest_start(e);
    if (!list)
        return ST_INTERNAL;
    enum status st = ST_OK;
    for (size_t i = 0; i < c->n_file && st == ST_OK; i++) {
        const char *name = c->file[i].name;
        char hex[CKPT_DIGEST_HEX];
        st = file_digest(c->dir, name, cache_dir, cancel, hex, e);
        if (st == ST_OK &&
            (EVP_DigestUpdate(list, hex, CKPT_DIGEST_HEX - 1) != 1 || EVP_DigestUpdate(list, "  ", 2) != 1 ||
             EVP_DigestUpdate(list, name, strlen(name)) != 1 || EVP_DigestUpdate(list, "\n", 1) != 1))
            st = err_set(e, ST_INTERNAL, "SHA-256 failed in libcrypto");
    }
    if (st == ST_OK)
        st = digest_finish(list, out, e);
    EVP_MD_CTX_free(list);
    return st;
}

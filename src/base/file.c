/* Replacing files by rename, and the folders they stand in. */
#include "base/file.h"
#include "base/rng.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_BYTES 4096
#define TMP_MAX_BYTES  (PATH_MAX_BYTES + 32)

static bool write_whole(int fd, struct str text)
{
    while (text.n) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text.p += n;
        text.n -= (size_t)n;
    }
    return fsync(fd) == 0;
}

enum status file_replace(const char *path, struct str text, struct err *e)
{
    char tmp[TMP_MAX_BYTES];
    int n = snprintf(tmp, sizeof tmp, "%s.%016" PRIx64 ".tmp", path, rng_entropy());
    if (n < 0 || n >= TMP_MAX_BYTES)
        return err_set(e, ST_LIMIT, "the path is longer than %d bytes: %.80s...", PATH_MAX_BYTES, path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && write_whole(fd, text);
    if (fd >= 0 && close(fd) != 0)
        ok = false;
    if (ok && rename(tmp, path) == 0)
        return ST_OK;
    (void)err_set(e, ST_IO, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        (void)unlink(tmp);
    return ST_IO;
}

enum status file_make_parents(const char *path, struct err *e)
{
    char part[PATH_MAX_BYTES];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return err_set(e, ST_LIMIT, "the path is longer than %d bytes: %.80s...", PATH_MAX_BYTES, path);
    memcpy(part, path, n + 1);
    for (char *p = part + (n > 0); (p = strchr(p, '/')); p++) {
        *p = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST && access(part, F_OK) != 0)
            return err_set(e, ST_IO, "cannot make the folder %s: %s", part, strerror(errno));
        *p = '/';
    }
    return ST_OK;
}

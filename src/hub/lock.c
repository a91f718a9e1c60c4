/* Locks between processes, the way huggingface_hub's filelock takes them: flock on a file that stays. A file
 * that was removed while we waited is no lock any more, since another process may hold its successor. */
#include "base/file.h"
#include "hub/hub_int.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_still_there(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

enum lock_answer lock_try(const char *path, int *fd, struct err *e)
{
    *fd = -1;
    if (file_make_parents(path, e) != ST_OK)
        return LOCK_FAILED;
    int f = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                 0664); /* other users wait for it too */
    if (f < 0) {
        (void)err_set(e, ST_IO, "cannot open the lock %s: %s", path, strerror(errno));
        return LOCK_FAILED;
    }
    bool taken = flock(f, LOCK_EX | LOCK_NB) == 0,
         has_locks = taken || (errno != ENOSYS && errno != EOPNOTSUPP);
    if (taken && is_still_there(f, path)) {
        *fd = f;
        return LOCK_TAKEN;
    }
    close(f);
    return has_locks ? LOCK_BUSY : LOCK_TAKEN;
}

void lock_drop(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* prompteur lock: writes down which model, commit and weights are there now, for serve --lock-file. */
#define LOG_MODULE "download"
#include "app/commands.h"
#include "app/load.h"
#include "app/lock_file.h"
#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int command_lock(const struct options *o)
{
    struct err e = {0};
    struct model_source s;
    struct lock_file l = {0};
    struct ckpt *c = NULL;
    const char *path = option_text(o, OPT_OUTPUT);
    enum status st = checkpoint_fetch(o, &s, &c, &e);
    if (st == ST_OK)
        st = ckpt_digest(c, NULL, NULL, l.digest,
                         &e); /* of the bytes that are there, not of remembered ones */
    if (st == ST_OK && s.digest[0] && strcmp(s.digest, l.digest) != 0)
        st = err_set(&e, ST_INVALID, "`%s`: the weights' digest is %s, but %s is expected", s.id, l.digest,
                     s.digest);
    if (st == ST_OK) {
        memcpy(l.model_id, s.id, sizeof l.model_id);
        memcpy(l.revision, s.commit, sizeof l.revision);
        st = lock_file_write(path, &l, &e);
    }
    if (st == ST_OK)
        log_info("%s: `%s`%s%s with weights %s", path, s.id, s.commit[0] ? ", commit " : "", s.commit,
                 l.digest);
    else
        log_error("%s", e.text);
    ckpt_close(c);
    return st == ST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

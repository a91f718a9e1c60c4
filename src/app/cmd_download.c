/* prompteur download-weights: makes a model ready before the server starts, as TGI's command of that name. A
 * hub's model is fetched into the cache; either kind is ready when the server could read it. */
#define LOG_MODULE "download"
#include "app/commands.h"
#include "app/load.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdlib.h>

int command_download_weights(const struct options *o)
{
    struct err e = {0};
    struct model_source s;
    struct ckpt *c = NULL;
    char hex[CKPT_DIGEST_HEX];
    enum status st = checkpoint_fetch(o, &s, &c, &e);
    if (st == ST_OK)
        st = model_source_verify(&s, c, NULL, hex, &e);
    if (st == ST_OK)
        log_info("%s (%zu tensors, %" PRIu64 " MiB in %s)",
                 s.fetched_bytes ? "The model is ready."
                                 : "Files are already present on the host. Skipping download.",
                 ckpt_n_tensors(c), ckpt_weight_bytes(c) >> 20, s.dir);
    else
        log_error("%s", e.text);
    ckpt_close(c);
    return st == ST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

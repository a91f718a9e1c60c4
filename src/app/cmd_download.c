/* prompteur download-weights: TGI's word for making a model ready before the server starts. Folders are ready
 * when the server could read them; hubs are not asked yet. */
#define LOG_MODULE "download"
#include "app/commands.h"
#include "app/load.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdlib.h>

int command_download_weights(const struct options *o)
{
    struct err e = {0};
    char dir[MODEL_DIR_MAX];
    bool is_demo;
    struct ckpt *c = NULL;
    enum status st = model_dir_find(o, dir, &is_demo, &e);
    if (st == ST_OK)
        st = ckpt_open(dir, &c, &e);
    if (st == ST_OK)
        log_info("Files are already present on the host. Skipping download. (%zu tensors, %" PRIu64
                 " MiB in %s)",
                 ckpt_n_tensors(c), ckpt_weight_bytes(c) >> 20, dir);
    else
        log_error("%s", e.text);
    ckpt_close(c);
    return st == ST_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* From the command line and the environment to what the hub module wants to know. */
#ifndef APP_HUB_SETUP_H
#define APP_HUB_SETUP_H

#include "app/options.h"
#include "hub/hub.h"

struct hub_setup {
    struct hub_options o;
    char cache_dir[HUB_PATH_MAX], endpoint[2048], token[2048];
};

/* The cache folder by --huggingface-hub-cache, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub,
 * XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub, in this order. When HF_HOME decides, a model that
 * lies directly in it, where TGI's images before 2.3 had their models, is used there. `id`: NULL for none. */
MUST_CHECK enum status hub_cache_dir(const struct options *o, const char *id, char out[HUB_PATH_MAX],
                                     struct err *e);
/* Everything but cancel, progress and without_weights. Points into *out and the options. */
MUST_CHECK enum status hub_setup(const struct options *o, const char *id, struct hub_setup *out,
                                 struct err *e);

#endif

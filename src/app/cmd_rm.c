/* prompteur rm: takes a model out of the hub's cache, with all its revisions or (--revision) one. Folders
 * that a person made are never touched: only an id of the hub names something to remove. */
#include "app/commands.h"
#include "app/hub_setup.h"
#include <stdio.h>
#include <stdlib.h>

static enum status remove_model(const struct options *o, uint64_t *freed, struct err *e)
{
    const char *id = option_text(o, OPT_MODEL_ID);
    char cache[HUB_PATH_MAX];
    if (o->value[OPT_MODEL_ID].source != OPTION_FLAG)
        return err_set(e, ST_INVALID,
                       "name the model to remove: prompteur rm OWNER/NAME; prompteur list shows them");
    enum status st = hub_cache_dir(o, id, cache, e);
    return st == ST_OK ? hub_cache_remove(cache, id, option_text(o, OPT_REVISION), freed, e) : st;
}

int command_rm(const struct options *o)
{
    struct err e = {0};
    uint64_t freed = 0;
    if (remove_model(o, &freed, &e) != ST_OK) {
        fprintf(stderr, "prompteur: %s\n", e.text);
        return EXIT_FAILURE;
    }
    printf("removed %s: %.2f GB are free again\n", option_text(o, OPT_MODEL_ID), (double)freed / 1e9);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

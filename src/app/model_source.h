/* Which model is meant, and where it lies: --model-id, --revision, --lock-file and --expect-digest together.
 */
#ifndef APP_MODEL_SOURCE_H
#define APP_MODEL_SOURCE_H

#include "app/options.h"
#include "ckpt/ckpt.h"
#include "hub/hub.h"

#define MODEL_DIR_MAX 4096

enum model_origin { MODEL_DEMO, MODEL_FOLDER, MODEL_HUB };

struct model_source {
    enum model_origin origin;
    char id[MODEL_DIR_MAX];       /* "prompteur/demo", a folder, a hub's id */
    char revision[MODEL_DIR_MAX]; /* of a hub's model; empty: its default */
    char digest[CKPT_DIGEST_HEX]; /* that the weights must have; empty: any */

    /* set by model_source_fetch() */
    char dir[MODEL_DIR_MAX];
    char commit[HUB_COMMIT_MAX]; /* empty: not a hub's */
    uint64_t fetched_bytes;
};

/* Reads the lock file and checks names; asks no network. */
MUST_CHECK enum status model_source_read(const struct options *o, struct model_source *out, struct err *e);
/* Finds the folder, fetches what is missing. *cancel as hub_snapshot_get() has it. */
MUST_CHECK enum status model_source_fetch(const struct options *o, struct model_source *s,
                                          bool without_weights, const atomic_bool *cancel, struct err *e);
/* Both, for who only needs the folder. */
MUST_CHECK enum status model_dir_find(const struct options *o, bool without_weights, char dir[MODEL_DIR_MAX],
                                      struct err *e);
/* The folder from disk alone, for what only looks: ST_NOT_FOUND when it is not there. */
MUST_CHECK enum status model_source_look(const struct options *o, struct model_source *s, struct err *e);

/* Refuses weights of another digest than the source wants. They are read whole; `hex` is theirs, empty when
 * none is wanted. */
MUST_CHECK enum status model_source_verify(const struct model_source *s, const struct ckpt *c,
                                           const atomic_bool *cancel, char hex[CKPT_DIGEST_HEX],
                                           struct err *e);

#endif

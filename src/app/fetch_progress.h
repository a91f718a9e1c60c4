/* How a download comes on: a bar where a person looks, now and then a line where a log is read. */
#ifndef APP_FETCH_PROGRESS_H
#define APP_FETCH_PROGRESS_H

#include "app/options.h"
#include "hub/hub.h"

struct fetch_progress {
    bool is_bar, is_drawn;
    uint64_t begin_ns, told_ns;
    uint64_t fetched_bytes; /* by all phases that are over */
    uint64_t phase_bytes;
    size_t n_files;
};

void fetch_progress_init(struct fetch_progress *p, const struct options *o);
/* For struct hub_options; `progress` is a struct fetch_progress. */
void fetch_progress_show(void *progress, const struct hub_progress *now);
/* Leaves the terminal's line, if there is one. */
void fetch_progress_end(struct fetch_progress *p);

#endif

/* Questions about text that need no engine: a body goes to a worker, its answer or an error comes back. */
#ifndef API_TEXT_JOB_H
#define API_TEXT_JOB_H

#include "api/api_int.h"

struct text_job {
    struct api *api;
    struct http_handle http;
    enum status (*run)(struct text_job *j, const struct json_val *root);
    struct arena arena;
    struct str body;
    struct buf answer; /* JSON */
    enum status status;
    enum api_error failure; /* of a failed run: which kind it is */
    const char *reason;     /* err.text, or something longer in the arena */
    struct err err;
};

/* `run`, on a worker: reads the body and writes the answer; sets `failure` (API_SHAPE_ERROR so far) before
 * what may fail otherwise. */
void text_job_start(struct http_req *r, struct api *a,
                    enum status (*run)(struct text_job *j, const struct json_val *root));

#endif

/* prompteur print-schema: the OpenAPI document on standard output, as TGI's router has it. What
 * --strict-openai and the platforms' variables change is in it; no model is read. */
#include "api/api.h"
#include "app/commands.h"
#include <stdio.h>
#include <stdlib.h>

#define DOCUMENT_MAX_BYTES (4u << 20)

int command_print_schema(const struct options *o)
{
    const struct api_options ao = {.version = PROMPTEUR_VERSION,
                                   .strict_openai = option_flag(o, OPT_STRICT_OPENAI),
                                   .predict_route = option_text(o, OPT_PREDICT_ROUTE),
                                   .health_route = option_text(o, OPT_HEALTH_ROUTE),
                                   .max_requests = 1};
    struct api *a;
    struct err e;
    struct buf text;
    if (api_new(&ao, &a, &e) != ST_OK) {
        fprintf(stderr, "prompteur: %s\n", e.text);
        return EXIT_FAILURE;
    }
    buf_init(&text, DOCUMENT_MAX_BYTES);
    api_openapi(a, &text);
    buf_put_char(&text, '\n');
    fwrite(text.p, 1, text.n, stdout);
    bool failed = text.failed || fflush(stdout);
    buf_fini(&text);
    api_free(a);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

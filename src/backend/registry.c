/* The devices of this build: one row each. */
#include "backend/backend_int.h"
#include <string.h>

static const struct {
    const char *name;
    enum status (*open)(const struct backend_options *o, struct backend **out, struct err *e);
} backends[] = {
    {"cpu", backend_cpu_open},
    {"ref", backend_ref_open},
};

const char *backend_names(void)
{
    return "cpu, ref";
}

enum status backend_open(const char *name, const struct backend_options *o, struct backend **out,
                         struct err *e)
{
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strcmp(backends[i].name, name) == 0)
            return backends[i].open(o, out, e);
    return err_set(e, ST_INVALID, "unknown backend `%s`; this build has: %s", name, backend_names());
}

void backend_close(struct backend *b)
{
    if (b)
        b->vt->close(b);
}

/* prompteur healthcheck: asks the server on this machine whether it is ready, for the probes of containers
 * that have no curl. It reads the same flags and variables as the server, so that it finds the same port.
 * One line, exit code 0 or 1. */
#include "app/commands.h"
#include "app/listen_host.h"
#include "http/probe.h"
#include <stdio.h>
#include <stdlib.h>

int command_healthcheck(const struct options *o)
{
    struct err e = {0};
    unsigned code = 0;
    uint64_t port = option_u64(o, OPT_PORT, 3000);
    if (port == 0) {
        fprintf(stderr, "unhealthy: port 0 names no server; give --port\n");
        return EXIT_FAILURE;
    }
    enum status st = http_probe(listen_host(o), (uint16_t)port, "/health",
                                (uint32_t)option_u64(o, OPT_TIMEOUT, 5) * 1000, &code, &e);
    if (st != ST_OK) {
        fprintf(stderr, "unhealthy: %s\n", e.text);
        return EXIT_FAILURE;
    }
    if (code != 200) {
        fprintf(stderr, "unhealthy: /health answers %u%s\n", code,
                code == 503 ? " (loading, draining or failed)" : "");
        return EXIT_FAILURE;
    }
    return puts("healthy") < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

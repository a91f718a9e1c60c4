/* The address that --hostname means. */
#ifndef APP_LISTEN_HOST_H
#define APP_LISTEN_HOST_H

#include "app/options.h"

/* Containers set HOSTNAME to a name; TGI then listens everywhere: what is no IP address becomes 0.0.0.0. */
const char *listen_host(const struct options *o);

#endif

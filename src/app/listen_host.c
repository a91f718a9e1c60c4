/* The address to listen on, and to ask for health: server and probe must agree. */
#include "app/listen_host.h"
#include <arpa/inet.h>

const char *listen_host(const struct options *o)
{
    const char *host = option_text(o, OPT_HOSTNAME);
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1 ? host
                                                                                             : "0.0.0.0";
}

/* A health probe: connect, ask, read the status line, all before one deadline. Nothing else of the answer is
 * looked at. Must never wait without a bound: a probe that hangs is worse than one that fails. */
#include "http/probe.h"
#include "base/clock.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STATUS_LINE_BYTES 12 /* "HTTP/1.1 200" */

struct probe {
    int fd;
    uint64_t deadline_ns;
    char host[INET6_ADDRSTRLEN]; /* as it is asked, for messages */
    uint16_t port;
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool address_from(const char *host, uint16_t port, union address *a, socklen_t *n)
{
    memset(a, 0, sizeof *a);
    if (inet_pton(AF_INET, host, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(port);
        if (a->v4.sin_addr.s_addr == htonl(INADDR_ANY))
            a->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        *n = sizeof a->v4;
        return true;
    }
    if (inet_pton(AF_INET6, host, &a->v6.sin6_addr) != 1)
        return false;
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = htons(port);
    if (IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr))
        a->v6.sin6_addr = in6addr_loopback;
    *n = sizeof a->v6;
    return true;
}

/* Until the socket is ready for `events`, or has failed: the next call tells. */
static enum status await(const struct probe *p, short events, struct err *e)
{
    struct pollfd pfd = {.fd = p->fd, .events = events};
    for (;;) {
        uint64_t now = clock_ns();
        int left_ms = now < p->deadline_ns ? (int)((p->deadline_ns - now) / 1000000) : 0;
        int n = poll(&pfd, 1, left_ms);
        if (n > 0)
            return ST_OK;
        if (n == 0)
            return err_set(e, ST_UNAVAILABLE, "%s port %u: no answer in time", p->host, p->port);
        if (errno != EINTR)
            return err_set(e, ST_IO, "poll: %s", strerror(errno));
    }
}

static enum status open_connection(struct probe *p, const char *host, struct err *e)
{
    union address a;
    socklen_t n;
    if (!address_from(host, p->port, &a, &n))
        return err_set(e, ST_INVALID, "`%s` is no IP address", host);
    const void *bits = a.any.sa_family == AF_INET ? (const void *)&a.v4.sin_addr : &a.v6.sin6_addr;
    (void)inet_ntop(a.any.sa_family, bits, p->host, sizeof p->host);
    p->fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd < 0)
        return err_set(e, ST_IO, "socket: %s", strerror(errno));
    int problem = connect(p->fd, &a.any, n) == 0 ? 0 : errno;
    if (problem == EINPROGRESS) {
        enum status st = await(p, POLLOUT, e);
        socklen_t size = sizeof problem;
        if (st != ST_OK)
            return st;
        if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &problem, &size) != 0)
            problem = errno;
    }
    if (problem)
        return err_set(e, ST_IO, "%s port %u: %s", p->host, p->port, strerror(problem));
    return ST_OK;
}

/* The request fits the socket's empty buffer: one write takes it whole. */
static enum status ask(const struct probe *p, const char *path, struct err *e)
{
    char request[512];
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    if (n < 0 || n >= (int)sizeof request)
        return err_set(e, ST_INVALID, "the path is too long");
    return send(p->fd, request, (size_t)n, MSG_NOSIGNAL) == n
               ? ST_OK
               : err_set(e, ST_IO, "%s port %u: %s", p->host, p->port, strerror(errno));
}

static enum status read_code(const struct probe *p, unsigned *code, struct err *e)
{
    char line[STATUS_LINE_BYTES];
    size_t n = 0;
    while (n < sizeof line) {
        enum status st = await(p, POLLIN, e);
        if (st != ST_OK)
            return st;
        ssize_t got = recv(p->fd, line + n, sizeof line - n, 0);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
            return err_set(e, ST_UNAVAILABLE, "%s port %u: the connection ended without an answer", p->host,
                           p->port);
        n += got > 0 ? (size_t)got : 0;
    }
    uint64_t number;
    if (memcmp(line, "HTTP/1.", 7) != 0 || !str_to_u64((struct str){line + 9, 3}, &number))
        return err_set(e, ST_UNAVAILABLE, "%s port %u: the answer is not HTTP", p->host, p->port);
    *code = (unsigned)number;
    return ST_OK;
}

enum status http_probe(const char *host, uint16_t port, const char *path, uint32_t timeout_ms, unsigned *code,
                       struct err *e)
{
    struct probe p = {.fd = -1, .port = port};
    p.deadline_ns = clock_ns() + (uint64_t)timeout_ms * 1000000;
    enum status st = open_connection(&p, host, e);
    if (st == ST_OK)
        st = ask(&p, path, e);
    if (st == ST_OK)
        st = read_code(&p, code, e);
    if (p.fd >= 0)
        close(p.fd);
    return st;
}

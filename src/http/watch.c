/* Clients that leave while nothing is read from them.
 *
 * While reading pauses libuv reports no end of a connection. So a connection whose request is in flight then
 * stands in an epoll set of its own that asks for ends only, and the loop watches the set itself. */
#include "http/http_int.h"
#include <sys/epoll.h>
#include <unistd.h>

#define ENDS_A_TURN 64

static void on_ends(uv_poll_t *poll, int status, int events)
{
    struct http_server *s = poll->data;
    struct epoll_event ends[ENDS_A_TURN];
    int n = status < 0 || !(events & UV_READABLE) ? 0 : epoll_wait(s->watch_fd, ends, ENDS_A_TURN, 0);
    for (int i = 0; i < n; i++) {
        struct conn *c = s->conn[ends[i].data.u32]; /* an earlier one's end may have taken this one along */
        if (c && c->watched)
            conn_close(c);
    }
}

bool watch_open(struct http_server *s)
{
    s->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->watch_fd < 0 || uv_poll_init(&s->loop, &s->watch, s->watch_fd) != 0)
        return false;
    s->watch.data = s;
    return uv_poll_start(&s->watch, UV_READABLE, on_ends) == 0;
}

void watch_close(struct http_server *s)
{
    if (s->watch_fd >= 0)
        close(s->watch_fd);
}

void conn_watch(struct conn *c, bool on)
{
    struct epoll_event ev = {.events = EPOLLRDHUP, .data.u32 = c->slot};
    int fd;
    if (on == c->watched || uv_fileno((const uv_handle_t *)&c->tcp, &fd) != 0)
        return;
    int code = epoll_ctl(c->server->watch_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &ev);
    c->watched = on && code == 0;
}

/* Inbox: a lock-free stack that the owner takes whole and turns around. */
#include "base/inbox.h"
#include <stddef.h>

void inbox_init(struct inbox *in, void (*wake)(void *), void *wake_arg)
{
    atomic_init(&in->head, NULL);
    in->wake = wake;
    in->wake_arg = wake_arg;
}

void inbox_post(struct inbox *in, struct inbox_node *node)
{
    inbox_post_chain(in, node, node);
}

void inbox_post_chain(struct inbox *in, struct inbox_node *newest, struct inbox_node *oldest)
{
    struct inbox_node *head = atomic_load_explicit(&in->head, memory_order_relaxed);
    do
        oldest->next = head;
    while (!atomic_compare_exchange_weak_explicit(&in->head, &head, newest, memory_order_release,
                                                  memory_order_relaxed));
    if (!head && in->wake)
        in->wake(in->wake_arg);
}

struct inbox_node *inbox_take(struct inbox *in)
{
    struct inbox_node *newest = atomic_exchange_explicit(&in->head, NULL, memory_order_acquire),
                      *oldest = NULL;
    while (newest) {
        struct inbox_node *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

bool inbox_empty(const struct inbox *in)
{
    return !atomic_load_explicit(&((struct inbox *)in)->head, memory_order_acquire);
}

/* Inbox: many threads post, one owner takes all. The only way data crosses between threads.
 *
 * Lock-free push (intrusive nodes, memory belongs to whoever posts until it is taken), order of one poster
 * kept. `wake` is called by a poster when the inbox was empty before; it must be safe from any thread
 * (uv_async_send, a futex or condition variable). */
#ifndef BASE_INBOX_H
#define BASE_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>

struct inbox_node {
    struct inbox_node *next;
};

struct inbox {
    _Atomic(struct inbox_node *) head;
    void (*wake)(void *arg);
    void *wake_arg;
};

void inbox_init(struct inbox *in, void (*wake)(void *), void *wake_arg);
void inbox_post(struct inbox *in, struct inbox_node *node); /* gives the node away */
/* Several at once, one wake: `newest` leads to `oldest` through `next`, each node to the one before it. */
void inbox_post_chain(struct inbox *in, struct inbox_node *newest, struct inbox_node *oldest);
/* Everything posted so far, oldest first, or NULL. Owner thread only. */
struct inbox_node *inbox_take(struct inbox *in);
bool inbox_empty(const struct inbox *in);

#endif

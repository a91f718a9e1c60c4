/* A named thread with an error instead of errno, signals blocked. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base/err.h"
#include <pthread.h>

struct thread {
    pthread_t id;
};

/* `name` at most 15 bytes. All signals are blocked in the new thread: the I/O loop receives them. */
MUST_CHECK enum status thread_start(struct thread *t, const char *name, void (*fn)(void *), void *arg,
                                    struct err *e);
void thread_join(struct thread *t);

#endif

/* Threads: a name, blocked signals, an error sentence. */
#include "base/thread.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct start {
    void (*fn)(void *);
    void *arg;
};

static void *thread_main(void *p)
{
    struct start s = *(struct start *)p;
    free(p);
    s.fn(s.arg);
    return NULL;
}

enum status thread_start(struct thread *t, const char *name, void (*fn)(void *), void *arg, struct err *e)
{
    sigset_t all, before;
    struct start *s = malloc(sizeof *s);
    if (!s)
        return err_set(e, ST_NO_MEMORY, "no memory for thread %s", name);
    *s = (struct start){fn, arg};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&t->id, NULL, thread_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code) {
        free(s);
        return err_set(e, ST_UNAVAILABLE, "cannot start thread %s: %s", name, strerror(code));
    }
    pthread_setname_np(t->id, name);
    return ST_OK;
}

void thread_join(struct thread *t)
{
    pthread_join(t->id, NULL);
}

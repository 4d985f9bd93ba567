#include "rt/thread.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

/* The sanitizer's red zones take room of their own. */
#ifdef __SANITIZE_ADDRESS__
#define STACK_BYTES ((size_t)1 << 20)
#else
#define STACK_BYTES ((size_t)256 << 10)
#endif

struct Thread {
        pthread_t thread;
        void (*fn)(void *context);
        void *context;
        char name[THREAD_NAME_MAX + 1];
};

static void *run(void *context) {
        Thread *t = context;
        (void)pthread_setname_np(pthread_self(), t->name);
        t->fn(t->context);
        return NULL;
}

/* The new thread has the mask of who starts it, from its first instruction. */
static int start_without_signals(Thread *t, const pthread_attr_t *attributes) {
        sigset_t all, before;
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        int error = pthread_create(&t->thread, attributes, run, t);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -error;
}

int thread_start(const char *name, void (*fn)(void *context), void *context, Thread **ret_thread) {
        size_t len = strlen(name);
        assert(len > 0 && len <= THREAD_NAME_MAX);
        CLEANUP_FREE Thread *t = malloc(sizeof *t);
        pthread_attr_t attributes;
        if (!t || pthread_attr_init(&attributes) != 0)
                return -ENOMEM;
        *t = (Thread){ .fn = fn, .context = context };
        memcpy(t->name, name, len);
        int r = -pthread_attr_setstacksize(&attributes, STACK_BYTES);
        if (r == 0)
                r = start_without_signals(t, &attributes);
        (void)pthread_attr_destroy(&attributes);
        if (r == 0)
                *ret_thread = TAKE_PTR(t);
        return r;
}

Thread *thread_join(Thread *t) {
        if (!t)
                return NULL;
        int error = pthread_join(t->thread, NULL);
        assert(error == 0);
        free(t);
        return NULL;
}

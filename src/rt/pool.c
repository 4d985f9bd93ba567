/* One lock for everything: jobs are long (a query), so taking one is rare. A source has a queue of its own; the sources
 * that have something waiting stand in a ring, and whoever is served goes to its end.
 *
 * A call of pool_parallel() is a group: its caller and idle threads take the next number of it until there is none. */
#include "rt/pool.h"

#include "rt/lock.h"
#include "rt/thread.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#define SOURCE_MAX 63u
#define THREADS_MAX 256u

typedef struct Job {
        struct Job *next;
        struct Source *source;
        PoolWork work;
        PoolDone done;
        void *context;
        MonoTime submitted;
} Job;

typedef struct JobQueue {
        Job *head, **tail;
} JobQueue;

/* Exists while it has a job that waits or runs. */
typedef struct Source {
        struct Source *next;      /* of all */
        struct Source *ring_next; /* of those with waiting jobs */
        char name[SOURCE_MAX + 1];
        JobQueue queue;
        unsigned waiting, running;
} Source;

typedef struct Group {
        struct Group *next;
        void (*fn)(void *context, size_t i);
        void *context;
        size_t n;
        atomic_size_t taken; /* may run over n */
        unsigned helpers;
} Group;

struct Pool {
        PoolOptions options;
        int eventfd;
        LoopFd *watch;
        Thread **threads;
        unsigned n_threads;

        Lock lock; /* for what is below */
        Signal wanted; /* a job or a group */
        Signal helped; /* a helper has left its group */
        bool stop;
        Source *sources;
        Source *ring, **ring_tail;
        JobQueue finished;
        Group *groups;
        PoolStats stats;
};

static void queue_init(JobQueue *q) {
        *q = (JobQueue){ .tail = &q->head };
}

static void queue_push(JobQueue *q, Job *j) {
        j->next = NULL;
        *q->tail = j;
        q->tail = &j->next;
}

static Job *queue_pop(JobQueue *q) {
        Job *j = q->head;
        q->head = j->next;
        if (!q->head)
                q->tail = &q->head;
        return j;
}

/* ---- Sources; under the lock ---- */

static Source *source_find(Pool *p, const char *name) {
        for (Source *s = p->sources; s; s = s->next)
                if (strncmp(s->name, name, SOURCE_MAX) == 0)
                        return s;
        return NULL;
}

static Source *source_get(Pool *p, const char *name) {
        Source *s = source_find(p, name);
        if (s)
                return s;
        s = calloc(1, sizeof *s);
        if (!s)
                return NULL;
        (void)snprintf(s->name, sizeof s->name, "%s", name);
        queue_init(&s->queue);
        s->next = p->sources;
        p->sources = s;
        return s;
}

static void source_put(Pool *p, Source *s) {
        if (s->waiting || s->running)
                return;
        Source **at = &p->sources;
        while (*at != s)
                at = &(*at)->next;
        *at = s->next;
        free(s);
}

static void ring_push(Pool *p, Source *s) {
        s->ring_next = NULL;
        *p->ring_tail = s;
        p->ring_tail = &s->ring_next;
}

static void ring_remove(Pool *p, Source **at) {
        Source *s = *at;
        *at = s->ring_next;
        if (!*at)
                p->ring_tail = at;
}

static bool may_run(const Pool *p, const Source *s) {
        return !p->options.max_running_source || s->running < p->options.max_running_source;
}

/* The next job of the source whose turn it is, or NULL. */
static Job *take_job(Pool *p) {
        Source **at = &p->ring;
        while (*at && !may_run(p, *at))
                at = &(*at)->ring_next;
        Source *s = *at;
        if (!s)
                return NULL;
        Job *j = queue_pop(&s->queue);
        ring_remove(p, at);
        s->running++;
        if (--s->waiting)
                ring_push(p, s);
        p->stats.waiting--;
        p->stats.running++;
        p->stats.waited.ns += mono_since(mono_now(), j->submitted).ns;
        return j;
}

/* ---- Groups ---- */

static void group_work(Group *g) {
        for (;;) {
                size_t i = atomic_fetch_add(&g->taken, 1);
                if (i >= g->n)
                        return;
                g->fn(g->context, i);
        }
}

static Group *group_open(const Pool *p) {
        for (Group *g = p->groups; g; g = g->next)
                if (atomic_load(&g->taken) < g->n)
                        return g;
        return NULL;
}

static void group_remove(Pool *p, const Group *g) {
        Group **at = &p->groups;
        while (*at != g)
                at = &(*at)->next;
        *at = g->next;
}

void pool_parallel(Pool *p, void (*fn)(void *context, size_t i), void *context, size_t n) {
        Group g = { .fn = fn, .context = context, .n = n };
        if (!p || n < 2) {
                group_work(&g);
                return;
        }
        lock(&p->lock);
        g.next = p->groups;
        p->groups = &g;
        signal_notify_all(&p->wanted);
        unlock(&p->lock);
        group_work(&g);
        lock(&p->lock);
        group_remove(p, &g);
        while (g.helpers)
                (void)signal_wait(&p->helped, &p->lock, SIGNAL_FOR_EVER);
        unlock(&p->lock);
}

/* ---- Threads ---- */

static void wake_loop(const Pool *p) {
        uint64_t one = 1;
        ssize_t n = write(p->eventfd, &one, sizeof one);
        (void)n; /* full means that it will wake anyway */
}

static void run_job(Pool *p, Job *j) {
        unlock(&p->lock);
        j->work(j->context);
        lock(&p->lock);
        Source *s = j->source;
        j->source = NULL;
        s->running--;
        source_put(p, s);
        p->stats.running--;
        p->stats.done++;
        queue_push(&p->finished, j);
        unlock(&p->lock); /* who is woken wants it */
        wake_loop(p);
        lock(&p->lock);
}

static void help(Pool *p, Group *g) {
        g->helpers++;
        unlock(&p->lock);
        group_work(g);
        lock(&p->lock);
        if (--g->helpers == 0)
                signal_notify_all(&p->helped);
}

static void thread_loop(void *context) {
        Pool *p = context;
        /* Of this thread alone, on Linux. Where it is not allowed, work is done all the same. */
        if (p->options.nice)
                (void)setpriority(PRIO_PROCESS, 0, p->options.nice);
        lock(&p->lock);
        while (!p->stop) {
                Job *j = take_job(p);
                Group *g = j ? NULL : group_open(p);
                if (j)
                        run_job(p, j);
                else if (g)
                        help(p, g);
                else
                        (void)signal_wait(&p->wanted, &p->lock, SIGNAL_FOR_EVER);
        }
        unlock(&p->lock);
}

/* ---- The loop's side ---- */

static void call_done(JobQueue *q) {
        while (q->head) {
                Job *j = queue_pop(q);
                j->done(j->context);
                free(j);
        }
}

static void take_finished(Pool *p, JobQueue *ret) {
        queue_init(ret);
        LOCK_SCOPE(&p->lock);
        while (p->finished.head)
                queue_push(ret, queue_pop(&p->finished));
}

static void on_wake(void *context, int events) {
        Pool *p = context;
        JobQueue finished;
        uint64_t n;
        (void)events;
        ssize_t got = read(p->eventfd, &n, sizeof n);
        (void)got;
        take_finished(p, &finished);
        call_done(&finished);
}

static bool is_full(const Pool *p, const char *name) {
        const Source *s = source_find((Pool *)(uintptr_t)p, name);
        return p->stop || p->stats.waiting >= p->options.max_waiting ||
               (s && s->waiting >= p->options.max_waiting_source);
}

static int add_job(Pool *p, const char *source, PoolWork work, PoolDone done, void *job) {
        LOCK_SCOPE(&p->lock);
        if (is_full(p, source)) {
                p->stats.refused++;
                return -EBUSY;
        }
        CLEANUP_FREE Job *j = malloc(sizeof *j);
        Source *s = j ? source_get(p, source) : NULL;
        if (!s)
                return -ENOMEM;
        *j = (Job){ .source = s, .work = work, .done = done, .context = job, .submitted = mono_now() };
        queue_push(&s->queue, TAKE_PTR(j));
        if (s->waiting++ == 0)
                ring_push(p, s);
        p->stats.waiting++;
        return 0;
}

int pool_submit(Pool *p, const char *source, PoolWork work, PoolDone done, void *job) {
        int r = add_job(p, source, work, done, job);
        if (r == 0)
                signal_notify(&p->wanted); /* without the lock, which who is woken wants */
        return r;
}

void pool_stats(Pool *p, PoolStats *ret_stats) {
        LOCK_SCOPE(&p->lock);
        *ret_stats = p->stats;
}

static int start_threads(Pool *p) {
        for (unsigned i = 0; i < p->options.threads; i++) {
                char name[THREAD_NAME_MAX + 1];
                (void)snprintf(name, sizeof name, "%.10s-%u", p->options.name, i % THREADS_MAX);
                int r = thread_start(name, thread_loop, p, &p->threads[i]);
                if (r < 0)
                        return r;
                p->n_threads++;
        }
        return 0;
}

int pool_new(Loop *loop, const PoolOptions *o, Pool **ret_pool) {
        assert(o->threads > 0 && o->threads <= THREADS_MAX && o->max_waiting > 0 && o->max_waiting_source > 0);
        Pool *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        p->options = *o;
        lock_init(&p->lock, "pool");
        signal_init(&p->wanted);
        signal_init(&p->helped);
        queue_init(&p->finished);
        p->ring_tail = &p->ring;
        p->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = p->eventfd < 0 ? -errno : 0;
        p->threads = r == 0 ? calloc(o->threads, sizeof(Thread *)) : NULL;
        if (r == 0 && !p->threads)
                r = -ENOMEM;
        if (r == 0)
                r = loop_fd(loop, p->eventfd, LOOP_READ, on_wake, p, &p->watch);
        if (r == 0)
                r = start_threads(p);
        if (r == 0)
                *ret_pool = p;
        else
                (void)pool_free(p);
        return r;
}

/* What waits goes to the finished ones, without having been run. */
static void drop_waiting(Pool *p) {
        LOCK_SCOPE(&p->lock);
        p->stop = true;
        signal_notify_all(&p->wanted);
        while (p->ring) {
                Source *s = p->ring;
                ring_remove(p, &p->ring);
                while (s->queue.head)
                        queue_push(&p->finished, queue_pop(&s->queue));
                p->stats.waiting -= s->waiting;
                s->waiting = 0;
                source_put(p, s);
        }
}

Pool *pool_free(Pool *p) {
        if (!p)
                return NULL;
        drop_waiting(p);
        for (unsigned i = 0; i < p->n_threads; i++)
                p->threads[i] = thread_join(p->threads[i]);
        p->watch = loop_fd_stop(p->watch);
        call_done(&p->finished);
        assert(!p->sources && !p->groups);
        if (p->eventfd >= 0)
                (void)close(p->eventfd);
        signal_deinit(&p->helped);
        signal_deinit(&p->wanted);
        lock_deinit(&p->lock);
        free(p->threads);
        free(p);
        return NULL;
}

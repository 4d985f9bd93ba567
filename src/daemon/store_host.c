#include "daemon/store_host.h"

#include "base/number.h"
#include "rt/lock.h"
#include "rt/log.h"
#include "rt/thread.h"

#include <assert.h>
#include <sys/eventfd.h>

#define IDLE SECONDS(1)
#define KEEP_IDLE SECONDS(2)
#define LOOK SECONDS(5)
#define EVENTS_MAX 32u

/* What a thread wants logged: only the loop's thread logs. */
typedef struct Event {
        StoreEventKind kind;
        bool good;
        char text[256];
} Event;

struct StoreHost {
        Store *store;
        StoreHostOps ops;
        void *context;
        StoreOptions options;
        StoreResolution *resolutions;
        int eventfd;
        LoopFd *watch;
        LoopTimer *look; /* whether the disk hangs */
        Thread *commit_thread, *keep_thread;

        Lock lock; /* for what is below */
        Signal commit_wanted, keep_wanted;
        bool stop, wanted;
        int commit_error;
        bool committed; /* and the loop was not told yet */
        Event events[EVENTS_MAX];
        size_t n_events;
        uint64_t events_lost;
        StoreJobFn job;
        StoreJobDone job_done;
        void *job_context;
        enum { JOB_NONE, JOB_WAITS, JOB_RUNS, JOB_ENDED } job_state;
        int job_result;
};

/* ---- From the threads to the loop ---- */

static void wake_loop(StoreHost *h) {
        uint64_t one = 1;
        ssize_t n = write(h->eventfd, &one, sizeof one);
        (void)n; /* full means that it will wake anyway */
}

static void on_event(void *context, StoreEventKind kind, bool good, const char *text) {
        StoreHost *h = context;
        LOCK_SCOPE(&h->lock);
        if (h->n_events == EVENTS_MAX) {
                h->events_lost++;
        } else {
                Event *e = &h->events[h->n_events++];
                *e = (Event){ .kind = kind, .good = good };
                (void)snprintf(e->text, sizeof e->text, "%s", text);
        }
        wake_loop(h);
}

static void log_events(StoreHost *h) {
        static const char *const IDS[] = { [STORE_EVENT_DAMAGE] = "store.damage", [STORE_EVENT_DISK] = "store.disk", [STORE_EVENT_LOG] = "store.log",
                                           [STORE_EVENT_RETENTION] = "store.retention" };
        Event events[EVENTS_MAX];
        lock(&h->lock);
        size_t n = h->n_events;
        memcpy(events, h->events, n * sizeof *events);
        uint64_t lost = h->events_lost;
        h->n_events = 0;
        h->events_lost = 0;
        unlock(&h->lock);
        for (size_t i = 0; i < n; i++)
                if (events[i].good)
                        LOG(LOG_NOTICE, IDS[events[i].kind], LOG_S("what", events[i].text));
                else
                        LOG_LIMITED(LOG_ERROR, IDS[events[i].kind], events[i].text, LOG_S("what", events[i].text));
        if (lost)
                LOG(LOG_WARN, "store.events_lost", LOG_I("records", lost));
}

/* ---- Threads ---- */

static int commit(StoreHost *h) {
        if (h->ops.before_commit)
                h->ops.before_commit(h->context);
        return store_commit(h->store);
}

static void commit_loop(void *context) {
        StoreHost *h = context;
        lock(&h->lock);
        while (!h->stop) {
                if (!h->wanted)
                        (void)signal_wait(&h->commit_wanted, &h->lock, mono_add(mono_now(), IDLE));
                h->wanted = false;
                unlock(&h->lock);
                bool pending = store_commit_pending(h->store) || (h->ops.commit_wanted && h->ops.commit_wanted(h->context));
                int r = pending ? commit(h) : 0;
                lock(&h->lock);
                h->commit_error = r;
                h->committed |= pending && r == 0;
                if (pending)
                        wake_loop(h);
        }
        unlock(&h->lock);
}

static void run_job(StoreHost *h) {
        h->job_state = JOB_RUNS;
        StoreJobFn fn = h->job;
        unlock(&h->lock);
        int r = fn(h->store, h->job_context);
        lock(&h->lock);
        h->job_result = r;
        h->job_state = JOB_ENDED;
        wake_loop(h);
}

static void keep_loop(void *context) {
        StoreHost *h = context;
        lock(&h->lock);
        while (!h->stop) {
                if (h->job_state == JOB_WAITS)
                        run_job(h);
                unlock(&h->lock);
                int r = store_maintain(h->store);
                lock(&h->lock);
                if (r <= 0 && !h->stop && h->job_state != JOB_WAITS)
                        (void)signal_wait(&h->keep_wanted, &h->lock, mono_add(mono_now(), KEEP_IDLE));
        }
        unlock(&h->lock);
}

/* ---- The loop's side ---- */

static void end_job(StoreHost *h) {
        lock(&h->lock);
        bool ended = h->job_state == JOB_ENDED;
        StoreJobDone done = h->job_done;
        void *context = h->job_context;
        int result = h->job_result;
        if (ended)
                h->job_state = JOB_NONE;
        unlock(&h->lock);
        if (ended)
                done(context, result);
}

static void on_wake(void *context, int events) {
        StoreHost *h = context;
        uint64_t n;
        (void)events;
        ssize_t got = read(h->eventfd, &n, sizeof n);
        (void)got;
        log_events(h);
        lock(&h->lock);
        int error = h->commit_error;
        bool committed = h->committed;
        h->committed = false;
        unlock(&h->lock);
        if (committed)
                h->ops.durable(h->context);
        if (error < 0)
                h->ops.failed(h->context, error);
        end_job(h);
}

/* Those who wait for a disk that hangs are told to come again, before their connections are cut off. */
static void on_look(void *context) {
        StoreHost *h = context;
        if (store_hangs(h->store))
                h->ops.failed(h->context, -ETIMEDOUT);
}

void store_host_kick(StoreHost *h) {
        LOCK_SCOPE(&h->lock);
        h->wanted = true;
        signal_notify(&h->commit_wanted);
}

int store_host_run(StoreHost *h, StoreJobFn fn, StoreJobDone done, void *context) {
        LOCK_SCOPE(&h->lock);
        if (h->job_state != JOB_NONE)
                return -EBUSY;
        h->job = fn;
        h->job_done = done;
        h->job_context = context;
        h->job_state = JOB_WAITS;
        signal_notify(&h->keep_wanted);
        return 0;
}

Store *store_host_store(StoreHost *h) {
        return h->store;
}

/* ---- Opening ---- */

static int take_options(StoreHost *h, const Settings *settings) {
        const StoreSettings *s = &settings->store;
        StoreOptions *o = &h->options;
        store_options_default(o);
        o->ack = strcmp(s->ack, "interval") == 0 ? ACK_INTERVAL : ACK_SYNCED;
        o->ack_interval = s->ack_interval;
        o->out_of_order = s->out_of_order;
        o->floor_bytes = s->free_floor;
        o->memory = s->memory;
        o->flush_interval = s->flush_interval;
        o->max_series = (uint32_t)s->max_series;
        o->max_series_source = (uint32_t)s->max_series_source;
        o->max_series_vm = (uint32_t)s->max_series_vm;
        o->new_series_source = (uint32_t)s->new_series_source;
        o->new_series_vm = (uint32_t)s->new_series_vm;
        o->max_exemplars = (uint32_t)s->max_exemplars;
        o->vm_label = s->vm_label;
        for (size_t i = 0; i < STORE_TIER_COUNT; i++) {
                o->keep[i] = s->keep[i];
                o->max_bytes[i] = s->max_bytes[i];
        }
        h->resolutions = calloc(s->n_resolutions + 1, sizeof *h->resolutions);
        if (!h->resolutions)
                return -ENOMEM;
        for (size_t i = 0; i < s->n_resolutions; i++) {
                h->resolutions[i].name = s->resolutions[i].metric;
                int r = number_parse(s->resolutions[i].step, strlen(s->resolutions[i].step), &h->resolutions[i].resolution);
                if (r < 0)
                        return r;
        }
        o->resolutions = h->resolutions;
        o->n_resolutions = s->n_resolutions;
        return 0;
}

static int open_store(StoreHost *h, Vfs *vfs, const char *directory) {
        PartDamage damage = { "" };
        int r = store_open(vfs, &h->options, on_event, h, &h->store, &damage);
        log_events(h);
        if (r == -EWOULDBLOCK)
                LOG(LOG_ERROR, "store.open_failed", LOG_S("directory", directory), LOG_S("error", "another parallaxd has it"));
        else if (r < 0)
                LOG(LOG_ERROR, "store.open_failed", LOG_S("directory", directory), LOG_E("error", r), LOG_S("what", damage.text));
        return r;
}

int store_host_open(Loop *loop, const Settings *s, Vfs *vfs, const StoreHostOps *ops, void *context, StoreHost **ret_host) {
        StoreHost *h = calloc(1, sizeof *h);
        if (!h) {
                (void)vfs_free(vfs);
                return -ENOMEM;
        }
        h->ops = *ops;
        h->context = context;
        lock_init(&h->lock, "store host");
        signal_init(&h->commit_wanted);
        signal_init(&h->keep_wanted);
        h->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = h->eventfd < 0 ? -errno : take_options(h, s);
        if (r == 0)
                r = open_store(h, vfs, s->store.directory);
        else
                (void)vfs_free(vfs);
        if (r == 0)
                r = loop_fd(loop, h->eventfd, LOOP_READ, on_wake, h, &h->watch);
        if (r == 0)
                r = loop_timer(loop, LOOK, LOOK, on_look, h, &h->look);
        if (r == 0)
                r = thread_start("store-commit", commit_loop, h, &h->commit_thread);
        if (r == 0)
                r = thread_start("store-keep", keep_loop, h, &h->keep_thread);
        if (r < 0) {
                (void)store_host_close(h);
                return r;
        }
        *ret_host = h;
        return 0;
}

StoreHost *store_host_close(StoreHost *h) {
        if (!h)
                return NULL;
        lock(&h->lock);
        h->stop = true;
        signal_notify(&h->commit_wanted);
        signal_notify(&h->keep_wanted);
        unlock(&h->lock);
        h->commit_thread = thread_join(h->commit_thread);
        h->keep_thread = thread_join(h->keep_thread);
        h->watch = loop_fd_stop(h->watch);
        h->look = loop_timer_stop(h->look);
        h->store = store_close(h->store);
        log_events(h);
        if (h->eventfd >= 0)
                (void)close(h->eventfd);
        signal_deinit(&h->commit_wanted);
        signal_deinit(&h->keep_wanted);
        lock_deinit(&h->lock);
        free(h->resolutions);
        free(h);
        return NULL;
}

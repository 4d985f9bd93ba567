/* A place is in one of these states: empty (pid 0), waiting until start_at; running (pid and channel); dying
 * (pid without channel), waiting to be reaped. Only the tick starts and reaps, so there is no other way
 * from one to the next. */
#include "sensor/worker_pool.h"

#include "rt/channel.h"
#include "rt/log.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* What a worker is sent is small; one that does not read at all is dead anyway. */
#define QUEUE_LIMIT ((size_t)256 << 10)
#define ASK_FD 3

extern char **environ;

typedef struct Place {
        WorkerPool *pool;
        WorkerRole role;
        pid_t pid;
        Channel *channel;
        FrameWriter writer;
        FrameAssembler assembler;
        bool greeted, busy;
        uint32_t serial;
        WorkerAsk ask;
        MonoTime start_at;
        Duration backoff;
} Place;

struct WorkerPool {
        Loop *loop;
        char *program, *uri;
        WorkerOptions options;
        Sink *sink;
        const WorkerOps *ops;
        void *context;
        WorkerCounts counts;
        size_t n_places;
        Place places[1 + WORKER_MONITORS_MAX];
};

static const char *role_name(WorkerRole role) {
        return role == WORKER_STATES ? "states" : "monitor";
}

static void emit(void *context, const void *packet, size_t n) {
        Place *p = context;
        if (p->channel)
                channel_send(p->channel, packet, n);
}

int worker_pool_new(Loop *loop, const WorkerOptions *options, Sink *sink, const WorkerOps *ops, void *context,
                    WorkerPool **ret_pool) {
        assert(options->monitors <= WORKER_MONITORS_MAX);
        WorkerPool *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        p->loop = loop;
        p->options = *options;
        p->program = strdup(options->program);
        p->uri = strdup(options->uri);
        p->sink = sink;
        p->ops = ops;
        p->context = context;
        p->n_places = 1 + options->monitors;
        for (size_t i = 0; i < p->n_places; i++) {
                p->places[i] = (Place){ .pool = p, .role = i == 0 ? WORKER_STATES : WORKER_MONITOR };
                frame_writer_init(&p->places[i].writer, emit, &p->places[i]);
        }
        if (!p->program || !p->uri) {
                (void)worker_pool_free(p);
                return -ENOMEM;
        }
        *ret_pool = p;
        return 0;
}

/* Ends a worker that runs: its channel goes now, its process with a later tick. */
static void stop(Place *p) {
        p->channel = channel_free(p->channel);
        if (p->pid > 0)
                (void)kill(p->pid, SIGKILL);
        p->greeted = false;
        frame_assembler_deinit(&p->assembler);
        p->assembler = (FrameAssembler){ 0 };
}

WorkerPool *worker_pool_free(WorkerPool *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->n_places; i++)
                stop(&p->places[i]);
        for (size_t i = 0; i < p->n_places; i++) {
                Place *place = &p->places[i];
                while (place->pid > 0 && waitpid(place->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
                frame_writer_deinit(&place->writer);
        }
        free(p->program);
        free(p->uri);
        free(p);
        return NULL;
}

/* The worker is of no use any more; whoever asked is told. */
static void lose(Place *p, bool deadline) {
        WorkerPool *pool = p->pool;
        stop(p);
        if (!p->busy)
                return;
        p->busy = false;
        pool->counts.lost++;
        WorkerAsk ask = p->ask;
        pool->ops->lost(pool->context, &ask, deadline);
}

static void answer(Place *p, const DoneBody *done) {
        WorkerPool *pool = p->pool;
        if (done->serial == 0) {
                pool->ops->done(pool->context, p->role, NULL, done);
                return;
        }
        p->busy = false;
        p->backoff = (Duration){ 0 };
        pool->counts.answers[done->state]++;
        WorkerAsk ask = p->ask;
        pool->ops->done(pool->context, p->role, &ask, done);
}

/* False for what a worker has no business to send. */
static bool take_frame(Place *p, const Frame *f) {
        if (!p->greeted) {
                p->greeted = f->type == FRAME_HELLO && frame_hello_matches(&f->hello);
                return p->greeted;
        }
        switch (f->type) {
        case FRAME_BATCH:
        case FRAME_ENTITY:
        case FRAME_GONE:
        case FRAME_GROUP_GONE:
        case FRAME_BLOB:
                return frame_to_sink(&p->assembler, f, p->pool->sink) == 0;
        case FRAME_DONE:
                if (f->done.serial != 0 && (!p->busy || f->done.serial != p->serial || f->done.what != p->ask.what))
                        return false;
                answer(p, &f->done);
                return true;
        default:
                return false;
        }
}

static bool on_packet(void *context, const void *bytes, size_t n) {
        Place *p = context;
        FrameReader reader = { bytes, (const uint8_t *)bytes + n };
        Frame f;
        int r;
        while ((r = frame_next(&reader, &f)) > 0)
                if (!take_frame(p, &f))
                        return false;
        return r == 0;
}

static void on_closed(void *context, int error) {
        Place *p = context;
        bool broke = error == -EBADMSG || error == -EMSGSIZE;
        if (broke)
                p->pool->counts.refused++;
        else
                p->pool->counts.exits++;
        LOG_LIMITED(LOG_WARN, "sensor.worker.ended", role_name(p->role), LOG_S("role", role_name(p->role)),
                    LOG_I("pid", p->pid), LOG_E("error", error));
        lose(p, false);
}

static const ChannelOps CHANNEL_OPS = { .packet = on_packet, .closed = on_closed };

/* The child has its end as descriptor 3 and no other above standard error. */
static int spawn(const Place *p, int fd, pid_t *ret_pid) {
        char *argv[] = { p->pool->program, (char *)role_name(p->role), p->pool->uri, NULL };
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t none, all;
        (void)sigemptyset(&none);
        (void)sigfillset(&all);
        int r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attr);
        if (r != 0) {
                (void)posix_spawn_file_actions_destroy(&actions);
                return -r;
        }
        r = posix_spawn_file_actions_adddup2(&actions, fd, ASK_FD);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(&actions, ASK_FD + 1);
        if (r == 0)
                r = posix_spawnattr_setsigmask(&attr, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(&attr, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        if (r == 0)
                r = posix_spawn(ret_pid, p->pool->program, &actions, &attr, argv, environ);
        (void)posix_spawnattr_destroy(&attr);
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
}

static int start(Place *p) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        CLEANUP_FD int ours = pair[0], theirs = pair[1];
        pid_t pid = 0;
        int r = spawn(p, theirs, &pid);
        if (r < 0)
                return r;
        p->pid = pid;
        r = channel_new(p->pool->loop, TAKE_FD(ours), &CHANNEL_OPS, p, QUEUE_LIMIT, &p->channel);
        if (r < 0)
                (void)kill(pid, SIGKILL);
        return r;
}

static void back_off(Place *p, MonoTime now) {
        const WorkerOptions *o = &p->pool->options;
        p->backoff.ns = p->backoff.ns ? p->backoff.ns * 2 : o->backoff_min.ns;
        if (p->backoff.ns > o->backoff_max.ns)
                p->backoff = o->backoff_max;
        p->start_at = mono_add(now, p->backoff);
}

static void try_start(Place *p, MonoTime now) {
        int r = start(p);
        if (r == 0) {
                p->pool->counts.starts++;
                return;
        }
        p->pool->counts.start_failures++;
        LOG_LIMITED(LOG_ERROR, "sensor.worker.start", role_name(p->role), LOG_S("program", p->pool->program),
                    LOG_E("error", r));
        if (p->pid == 0)
                back_off(p, now);
}

static void tick_place(Place *p, MonoTime now) {
        WorkerPool *pool = p->pool;
        if (p->channel && p->busy && mono_since(now, p->ask.asked).ns >= pool->options.deadline.ns) {
                pool->counts.kills++;
                LOG(LOG_WARN, "sensor.worker.killed", LOG_S("role", role_name(p->role)), LOG_I("pid", p->pid),
                    LOG_I("after_ms", mono_since(now, p->ask.asked).ns / NS_PER_MS));
                lose(p, true);
        }
        if (p->pid > 0 && !p->channel && waitpid(p->pid, NULL, WNOHANG) != 0) {
                p->pid = 0;
                back_off(p, now);
        }
        if (p->pid == 0 && now.ns >= p->start_at.ns)
                try_start(p, now);
}

void worker_pool_tick(WorkerPool *p, MonoTime now) {
        for (size_t i = 0; i < p->n_places; i++)
                tick_place(&p->places[i], now);
}

static bool ready(const Place *p, WorkerRole role) {
        return p->role == role && p->channel && p->greeted && !p->busy;
}

int worker_pool_ask(WorkerPool *p, WorkerRole role, EntityKey key, Ask what, uint32_t flags, MonoTime now) {
        for (size_t i = 0; i < p->n_places; i++) {
                Place *place = &p->places[i];
                if (!ready(place, role))
                        continue;
                place->busy = true;
                place->ask = (WorkerAsk){ role, key, what, flags, now };
                if (++place->serial == 0)
                        place->serial = 1;
                frame_put_ask(&place->writer, key, &(AskBody){ what, place->serial, flags });
                frame_flush(&place->writer);
                return 0;
        }
        return -EAGAIN;
}

bool worker_pool_idle(const WorkerPool *p, WorkerRole role) {
        for (size_t i = 0; i < p->n_places; i++)
                if (ready(&p->places[i], role))
                        return true;
        return false;
}

size_t worker_pool_busy(const WorkerPool *p, WorkerRole role) {
        size_t n = 0;
        for (size_t i = 0; i < p->n_places; i++)
                n += p->places[i].role == role && p->places[i].busy;
        return n;
}

const WorkerCounts *worker_pool_counts(const WorkerPool *p) {
        return &p->counts;
}

size_t worker_pool_places(const WorkerPool *p) {
        return p->n_places;
}

pid_t worker_pool_pid(const WorkerPool *p, size_t place, WorkerRole *ret_role) {
        assert(place < p->n_places);
        *ret_role = p->places[place].role;
        return p->places[place].pid;
}

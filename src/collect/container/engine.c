/* One request at a time: connect, send, read until the engine closes, all by a non-blocking socket with
 * one deadline. The answer is bytes to pass on: its end is the connection's end, which HTTP/1.0 asks for. */
#include "collect/container/engine.h"

#include "base/buf.h"
#include "rt/loop.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static const char REQUEST[] = "GET /containers/json?all=1 HTTP/1.0\r\nHost: localhost\r\n\r\n";

#define DEADLINE SECONDS(2)
#define EVERY SECONDS(60)
#define AT_LEAST SECONDS(2)
#define CONFIG_LIMIT ((size_t)1 << 20)
#define READS_A_STEP 16 /* so that a fast engine does not hold the loop */

/* A file that was sent, and which state of it. */
typedef struct SentFile {
        EntityKey key;
        ino_t inode; /* engines write a new file and rename it */
        struct timespec changed;
        bool seen; /* in the round under way */
} SentFile;

struct EngineFetch {
        Engine engine;
        char *root, *socket, *storage;
        EntityKey host;
        const Containers *known;
        Sink *sink;
        EngineState state;
        int fd; /* -1 when idle */
        bool sending;
        size_t sent;
        Buf answer;
        MonoTime deadline, asked; /* asked.ns 0: never */
        bool wanted;
        SentFile *files;
        size_t n_files, cap_files;
};

EngineFetch *engine_free(EngineFetch *e) {
        if (!e)
                return NULL;
        if (e->fd >= 0)
                (void)close(e->fd);
        buf_deinit(&e->answer);
        free(e->files);
        free(e->root);
        free(e->socket);
        free(e->storage);
        free(e);
        return NULL;
}

int engine_new(const EngineOptions *options, Sink *sink, EngineFetch **ret_fetch) {
        assert(options->engine == ENGINE_DOCKER || options->engine == ENGINE_PODMAN);
        CLEANUP(engine_freep) EngineFetch *e = calloc(1, sizeof *e);
        if (!e)
                return -ENOMEM;
        e->engine = options->engine;
        e->host = options->host;
        e->known = options->known;
        e->sink = sink;
        e->fd = -1;
        e->answer.limit = BLOB_MAX;
        size_t n = strlen(options->root);
        while (n > 0 && options->root[n - 1] == '/')
                n--;
        e->root = strndup(options->root, n);
        e->socket = strdup(options->socket);
        e->storage = strdup(options->storage);
        if (!e->root || !e->socket || !e->storage)
                return -ENOMEM;
        *ret_fetch = TAKE_PTR(e);
        return 0;
}

void engine_refresh(EngineFetch *e) {
        e->wanted = true;
}

void engine_resync(EngineFetch *e) {
        e->n_files = 0;
        e->wanted = true;
}

int engine_fd(const EngineFetch *e) {
        return e->fd;
}

int engine_events(const EngineFetch *e) {
        return e->sending ? LOOP_WRITE : LOOP_READ;
}

EngineState engine_state(const EngineFetch *e) {
        return e->state;
}

static void finish(EngineFetch *e, EngineState state) {
        if (e->fd >= 0)
                (void)close(e->fd);
        e->fd = -1;
        e->sending = false;
        e->sent = 0;
        /* Answers are rare and can be large: their memory is not kept. */
        buf_deinit(&e->answer);
        e->state = state;
}

/* ---- files */

static SentFile *file_of(EngineFetch *e, const EntityKey *key) {
        for (size_t i = 0; i < e->n_files; i++)
                if (entity_key_equal(&e->files[i].key, key))
                        return &e->files[i];
        if (e->n_files == e->cap_files) {
                size_t cap = e->cap_files ? e->cap_files * 2 : 16;
                SentFile *files = reallocarray(e->files, cap, sizeof *files);
                if (!files)
                        return NULL;
                e->files = files;
                e->cap_files = cap;
        }
        e->files[e->n_files] = (SentFile){ .key = *key };
        return &e->files[e->n_files++];
}

/* Sends the file's bytes if they are others than last time; whether the file is there. */
static bool file_send(EngineFetch *e, EntityKey key, BlobType type, const char *path, size_t limit) {
        CLEANUP(buf_deinit) Buf text = BUF_WITH_LIMIT(limit + 4096);
        struct stat st;
        if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
                return false;
        SentFile *f = file_of(e, &key);
        if (!f)
                return true;
        f->seen = true;
        bool same = f->inode == st.st_ino && f->changed.tv_sec == st.st_ctim.tv_sec &&
                    f->changed.tv_nsec == st.st_ctim.tv_nsec;
        if (same || buf_read_file(&text, AT_FDCWD, path, limit) < 0)
                return true;
        f->inode = st.st_ino;
        f->changed = st.st_ctim;
        sink_blob(e->sink, key, type, text.data, text.len);
        return true;
}

typedef struct FileRound {
        EngineFetch *e;
        bool any;
} FileRound;

static void docker_config(void *context, EntityKey key, const char *id) {
        FileRound *round = context;
        char path[PATH_MAX];
        int n = snprintf(path, sizeof path, "%s%s/containers/%s/config.v2.json", round->e->root, round->e->storage, id);
        if (n < (int)sizeof path)
                round->any |= file_send(round->e, key, BLOB_DOCKER_CONFIG, path, CONFIG_LIMIT);
}

static void files_forget_unseen(EngineFetch *e) {
        size_t kept = 0;
        for (size_t i = 0; i < e->n_files; i++)
                if (e->files[i].seen)
                        e->files[kept++] = e->files[i];
        e->n_files = kept;
}

/* The list lies in a folder of the storage driver's name. */
static bool podman_configs(EngineFetch *e) {
        static const char *const DRIVERS[] = { "overlay", "vfs", "btrfs", "zfs" };
        char path[PATH_MAX];
        for (size_t i = 0; i < ARRAY_LEN(DRIVERS); i++) {
                int n = snprintf(path, sizeof path, "%s%s/%s-containers/containers.json", e->root, e->storage, DRIVERS[i]);
                if (n < (int)sizeof path && file_send(e, e->host, BLOB_PODMAN_CONFIGS, path, BLOB_MAX))
                        return true;
        }
        return false;
}

static EngineState files_read(EngineFetch *e) {
        FileRound round = { .e = e };
        for (size_t i = 0; i < e->n_files; i++)
                e->files[i].seen = false;
        if (e->engine == ENGINE_DOCKER && e->known)
                container_each(e->known, ENGINE_DOCKER, docker_config, &round);
        if (e->engine == ENGINE_PODMAN)
                round.any = podman_configs(e);
        files_forget_unseen(e);
        return round.any ? ENGINE_STATE_FILES : ENGINE_STATE_ABSENT;
}

/* ---- socket */

/* 0 connected or under way, else negative errno. */
static int dial(EngineFetch *e) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int n = snprintf(address.sun_path, sizeof address.sun_path, "%s%s", e->root, e->socket);
        if (e->socket[0] == '\0')
                return -ENOENT;
        if (n >= (int)sizeof address.sun_path)
                return -ENAMETOOLONG;
        CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        /* A full backlog answers EAGAIN at once: a Unix socket never is "in progress". */
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
                return -errno;
        e->fd = TAKE_FD(fd);
        return 0;
}

static void begin(EngineFetch *e, MonoTime now) {
        e->wanted = false;
        e->asked = now;
        int r = dial(e);
        if (r == 0) {
                e->deadline = mono_add(now, DEADLINE);
                e->sending = true;
                e->sent = 0;
                return;
        }
        /* Nobody listens on it: the engine's files are the next best. */
        EngineState state = files_read(e);
        if (state == ENGINE_STATE_ABSENT && r != -ENOENT && r != -ENOTDIR && r != -ECONNREFUSED)
                state = ENGINE_STATE_FAILED;
        e->state = state;
}

/* The socket's peer failed us: what the files say is better than nothing. */
static void fail(EngineFetch *e) {
        finish(e, ENGINE_STATE_FAILED);
        (void)files_read(e);
}

/* Whether to go on now. */
static bool step_send(EngineFetch *e) {
        ssize_t n = send(e->fd, REQUEST + e->sent, sizeof REQUEST - 1 - e->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
                return true;
        if (n < 0) {
                if (errno != EAGAIN)
                        fail(e);
                return false;
        }
        e->sent += (size_t)n;
        e->sending = e->sent < sizeof REQUEST - 1;
        return true;
}

static bool step_read(EngineFetch *e) {
        size_t want = BLOB_MAX - e->answer.len < (64u << 10) ? BLOB_MAX - e->answer.len : 64u << 10;
        char spare;
        char *at = want > 0 ? buf_reserve(&e->answer, want) : &spare;
        if (!at) {
                fail(e);
                return false;
        }
        ssize_t n = recv(e->fd, at, want > 0 ? want : 1, 0);
        if (n < 0 && errno == EINTR)
                return true;
        if (n < 0) {
                if (errno != EAGAIN)
                        fail(e);
                return false;
        }
        if (n == 0) {
                if (e->answer.len > 0)
                        sink_blob(e->sink, e->host, e->engine == ENGINE_DOCKER ? BLOB_DOCKER_LIST : BLOB_PODMAN_LIST,
                                  e->answer.data, e->answer.len);
                finish(e, e->answer.len > 0 ? ENGINE_STATE_SOCKET : ENGINE_STATE_FAILED);
                return false;
        }
        if (want == 0) {
                fail(e); /* more than a blob may hold */
                return false;
        }
        e->answer.len += (size_t)n;
        return true;
}

void engine_step(EngineFetch *e, MonoTime now) {
        if (e->fd < 0) {
                Duration waited = mono_since(now, e->asked);
                if (e->asked.ns == 0 || waited.ns >= EVERY.ns || (e->wanted && waited.ns >= AT_LEAST.ns))
                        begin(e, now);
        } else if (mono_since(now, e->deadline).ns >= 0) {
                fail(e);
                return;
        }
        for (int i = 0; i < READS_A_STEP && e->fd >= 0; i++)
                if (!(e->sending ? step_send(e) : step_read(e)))
                        return;
}

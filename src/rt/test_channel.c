#include "rt/channel.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

typedef struct End {
        struct Bench *bench;
        Channel *channel;
        unsigned packets, closings;
        int error;
        size_t last_len;
        char last[16];
        unsigned refuse_at, free_at, stop_at, answer_at; /* at which packet; 0 = never */
        bool free_when_closed;
} End;

typedef struct Bench {
        Loop *loop;
        LoopTimer *guard;
        End a, b;
        int fds[2];
        char dir[40], path[64];
        bool late;
} Bench;

static bool on_packet(void *context, const void *bytes, size_t n) {
        End *e = context;
        assert_int_equal((uintptr_t)bytes % 8, 0);
        e->packets++;
        e->last_len = n;
        memcpy(e->last, bytes, n < sizeof e->last ? n : sizeof e->last);
        if (e->packets == e->answer_at)
                channel_send(e->channel, "answer", 6);
        if (e->packets == e->free_at)
                e->channel = channel_free(e->channel);
        if (e->packets == e->stop_at)
                loop_stop(e->bench->loop);
        return e->packets != e->refuse_at;
}

static void on_closed(void *context, int error) {
        End *e = context;
        e->closings++;
        e->error = error;
        if (e->free_when_closed)
                e->channel = channel_free(e->channel);
        loop_stop(e->bench->loop);
}

static const ChannelOps OPS = { .packet = on_packet, .closed = on_closed };

static void give_up(void *context) {
        Bench *t = context;
        t->late = true;
        loop_stop(t->loop);
}

static int begin(void **state) {
        Bench *t = calloc(1, sizeof *t);
        *state = t;
        if (!t || loop_new(&t->loop) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, t->fds) < 0)
                return -1;
        t->a.bench = t->b.bench = t;
        strcpy(t->dir, "/tmp/test_channel.XXXXXX");
        if (!mkdtemp(t->dir))
                return -1;
        (void)snprintf(t->path, sizeof t->path, "%s/socket", t->dir);
        return loop_timer(t->loop, SECONDS(10), (Duration){ 0 }, give_up, t, &t->guard);
}

static int end(void **state) {
        Bench *t = *state;
        t->a.channel = channel_free(t->a.channel);
        t->b.channel = channel_free(t->b.channel);
        t->loop = loop_free(t->loop);
        for (int i = 0; i < 2; i++)
                if (t->fds[i] >= 0)
                        (void)close(t->fds[i]);
        (void)unlink(t->path);
        (void)rmdir(t->dir);
        free(t);
        return 0;
}

#define QUEUE ((size_t)1 << 20)

static void open_end(Bench *t, End *e, int which, size_t queue_limit) {
        assert_int_equal(channel_new(t->loop, TAKE_FD(t->fds[which]), &OPS, e, queue_limit, &e->channel), 0);
}

static void open_both(Bench *t) {
        open_end(t, &t->a, 0, QUEUE);
        open_end(t, &t->b, 1, QUEUE);
}

static void run(Bench *t) {
        assert_int_equal(loop_run(t->loop), 0);
        if (t->late)
                fail_msg("the test took too long");
}

static void packets_arrive_whole_and_in_order(void **state) {
        Bench *t = *state;
        open_both(t);
        t->b.stop_at = 3;
        t->b.answer_at = 2;
        t->a.stop_at = 1;
        channel_send(t->a.channel, "one", 3);
        channel_send(t->a.channel, "two", 3);
        channel_send(t->a.channel, "three", 5);
        run(t);
        if (t->b.packets < 3 || t->a.packets < 1)
                run(t);
        assert_int_equal(t->b.packets, 3);
        assert_memory_equal(t->b.last, "three", 5);
        assert_int_equal(t->a.packets, 1);
        assert_memory_equal(t->a.last, "answer", 6);
        assert_int_equal(t->a.closings + t->b.closings, 0);
}

static void the_largest_packet_fits(void **state) {
        Bench *t = *state;
        open_both(t);
        CLEANUP_FREE char *bytes = calloc(1, CHANNEL_PACKET_MAX);
        t->b.stop_at = 1;
        channel_send(t->a.channel, bytes, CHANNEL_PACKET_MAX);
        run(t);
        assert_int_equal(t->b.last_len, CHANNEL_PACKET_MAX);
}

static void what_the_socket_does_not_take_is_queued(void **state) {
        Bench *t = *state;
        enum { COUNT = 400 };
        open_end(t, &t->a, 0, COUNT * (size_t)9000);
        CLEANUP_FREE char *bytes = calloc(1, 8192);
        for (unsigned i = 1; i <= COUNT; i++) {
                memcpy(bytes, &i, sizeof i);
                channel_send(t->a.channel, bytes, 8192); /* 3.2 MB: far beyond the socket's buffer */
        }
        open_end(t, &t->b, 1, QUEUE);
        t->b.stop_at = COUNT;
        run(t);
        unsigned last;
        memcpy(&last, t->b.last, sizeof last);
        assert_int_equal(last, COUNT);
        assert_int_equal(t->a.closings, 0);
        t->b.stop_at = COUNT + 1;
        channel_send(t->a.channel, "after", 5);
        run(t);
        assert_memory_equal(t->b.last, "after", 5);
}

static void a_stuck_peer_closes_the_channel_once_and_not_within_send(void **state) {
        Bench *t = *state;
        open_end(t, &t->a, 0, 100000);
        CLEANUP_FREE char *bytes = calloc(1, 8192);
        for (unsigned i = 0; i < 1000; i++)
                channel_send(t->a.channel, bytes, 8192);
        assert_int_equal(t->a.closings, 0);
        assert_non_null(t->a.channel);
        t->a.free_when_closed = true;
        run(t);
        assert_int_equal(t->a.closings, 1);
        assert_int_equal(t->a.error, -ENOBUFS);
        assert_null(t->a.channel);
}

static void a_peer_that_closes_ends_it(void **state) {
        Bench *t = *state;
        open_both(t);
        t->a.channel = channel_free(t->a.channel);
        run(t);
        assert_int_equal(t->b.error, -EPIPE);
        assert_int_equal(t->b.closings, 1);
        channel_send(t->b.channel, "x", 1); /* nothing happens any more */
        assert_int_equal(t->b.closings, 1);
}

/* A worker answers and exits; what it said must not be lost because we were talking at the same time. */
static void the_last_words_of_a_peer_arrive(void **state) {
        Bench *t = *state;
        open_end(t, &t->a, 0, QUEUE);
        assert_int_equal(send(t->fds[1], "last", 4, 0), 4);
        assert_int_equal(send(t->fds[1], "words", 5, 0), 5);
        (void)close(TAKE_FD(t->fds[1]));
        channel_send(t->a.channel, "x", 1);
        channel_send(t->a.channel, "y", 1);
        run(t);
        assert_int_equal(t->a.packets, 2);
        assert_memory_equal(t->a.last, "words", 5);
        assert_int_equal(t->a.error, -EPIPE);
        assert_int_equal(t->a.closings, 1);
}

/* As before, but the peer leaves something unread, so that the kernel calls it a reset. */
static void the_last_words_arrive_after_a_reset_too(void **state) {
        Bench *t = *state;
        open_end(t, &t->a, 0, QUEUE);
        channel_send(t->a.channel, "unread", 6);
        assert_int_equal(send(t->fds[1], "words", 5, 0), 5);
        (void)close(TAKE_FD(t->fds[1]));
        run(t);
        assert_int_equal(t->a.packets, 1);
        assert_memory_equal(t->a.last, "words", 5);
        assert_int_equal(t->a.error, -EPIPE);
}

static void a_packet_that_is_too_long_ends_it(void **state) {
        Bench *t = *state;
        open_end(t, &t->a, 0, QUEUE);
        CLEANUP_FREE char *bytes = calloc(1, CHANNEL_PACKET_MAX + 1);
        assert_int_equal(send(t->fds[1], bytes, CHANNEL_PACKET_MAX + 1, 0), (ssize_t)CHANNEL_PACKET_MAX + 1);
        run(t);
        assert_int_equal(t->a.error, -EMSGSIZE);
        assert_int_equal(t->a.packets, 0);
}

static void a_refused_packet_ends_it(void **state) {
        Bench *t = *state;
        open_end(t, &t->a, 0, QUEUE);
        t->a.refuse_at = 2;
        for (int i = 0; i < 3; i++)
                assert_int_equal(send(t->fds[1], "p", 1, 0), 1);
        run(t);
        assert_int_equal(t->a.error, -EBADMSG);
        assert_int_equal(t->a.packets, 2);
        assert_int_equal(t->a.closings, 1);
}

static void it_may_be_freed_while_it_hands_over_a_packet(void **state) {
        Bench *t = *state;
        open_end(t, &t->a, 0, QUEUE);
        t->a.free_at = t->a.stop_at = 1;
        for (int i = 0; i < 3; i++)
                assert_int_equal(send(t->fds[1], "p", 1, 0), 1);
        run(t);
        assert_int_equal(t->a.packets, 1);
        assert_int_equal(t->a.closings, 0);
        assert_null(t->a.channel);
        char byte;
        assert_int_equal(recv(t->fds[1], &byte, 1, MSG_DONTWAIT), -1); /* two were unread: a reset */
        assert_int_equal(errno, ECONNRESET);
}

static unsigned open_descriptors(void) {
        unsigned n = 0;
        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static void descriptors_that_come_along_are_closed(void **state) {
        Bench *t = *state;
        open_end(t, &t->a, 0, QUEUE);
        CLEANUP_FD int gift = open("/dev/null", O_RDONLY | O_CLOEXEC);
        char control[CMSG_SPACE(sizeof gift)] = { 0 };
        struct iovec part = { "p", 1 };
        struct msghdr m = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
        };
        *CMSG_FIRSTHDR(&m) = (struct cmsghdr){ CMSG_LEN(sizeof gift), SOL_SOCKET, SCM_RIGHTS };
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &gift, sizeof gift);
        t->a.stop_at = 1;
        assert_int_equal(sendmsg(t->fds[1], &m, 0), 1);
        unsigned before = open_descriptors();
        run(t);
        assert_int_equal(open_descriptors(), before);
}

static void a_descriptor_is_taken_even_on_failure(void **state) {
        Bench *t = *state;
        CLEANUP_FD int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        unsigned before = open_descriptors();
        assert_true(channel_new(t->loop, TAKE_FD(file), &OPS, &t->a, QUEUE, &t->a.channel) < 0);
        assert_int_equal(open_descriptors(), before - 1);
        assert_null(channel_free(NULL));
}

static void listening_and_connecting(void **state) {
        Bench *t = *state;
        CLEANUP_FD int listener = -1, client = -1, server = -1;
        mode_t before = umask(0022);
        assert_int_equal(channel_connect(t->path, &client), -ENOENT);
        assert_int_equal(channel_listen(t->path, 0660, &listener), 0);
        assert_int_equal(umask(before), 0022);
        struct stat st;
        assert_int_equal(stat(t->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);
        assert_true(fcntl(listener, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(channel_connect(t->path, &client), 0);
        server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(server >= 0);
        uid_t uid = 4711;
        assert_int_equal(channel_peer_uid(server, &uid), 0);
        assert_int_equal(uid, geteuid());
        assert_int_equal(channel_peer_uid(9999, &uid), -EBADF);
        t->fds[0] = (close(t->fds[0]), TAKE_FD(server));
        t->fds[1] = (close(t->fds[1]), TAKE_FD(client));
        open_both(t);
        t->a.stop_at = 1;
        channel_send(t->b.channel, "hello", 5);
        run(t);
        assert_memory_equal(t->a.last, "hello", 5);
}

static void only_a_stale_socket_is_replaced(void **state) {
        Bench *t = *state;
        CLEANUP_FD int first = -1, second = -1;
        assert_int_equal(channel_listen(t->path, 0600, &first), 0);
        assert_int_equal(channel_listen(t->path, 0600, &second), -EADDRINUSE);
        (void)close(TAKE_FD(first)); /* as kill -9 would: the file stays */
        assert_int_equal(channel_connect(t->path, &second), -ECONNREFUSED);
        assert_int_equal(channel_listen(t->path, 0600, &second), 0);
        (void)close(TAKE_FD(second));
        /* A file that is no socket is somebody's. */
        assert_int_equal(unlink(t->path), 0);
        CLEANUP_FD int file = open(t->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(file >= 0);
        assert_int_equal(channel_listen(t->path, 0600, &second), -EADDRINUSE);
        struct stat st;
        assert_int_equal(stat(t->path, &st), 0);
        assert_true(S_ISREG(st.st_mode));
}

static void addresses_that_cannot_be(void **state) {
        (void)state;
        char path[200];
        memset(path, 'p', sizeof path - 1);
        path[0] = '/';
        path[sizeof path - 1] = '\0';
        int fd = -1;
        assert_int_equal(channel_listen(path, 0600, &fd), -ENAMETOOLONG);
        assert_int_equal(channel_connect(path, &fd), -ENAMETOOLONG);
        assert_int_equal(channel_listen("", 0600, &fd), -EINVAL);
        assert_int_equal(channel_listen("/nonexistent/dir/socket", 0600, &fd), -ENOENT);
        assert_int_equal(fd, -1);
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_BENCH(packets_arrive_whole_and_in_order),
                ON_BENCH(the_largest_packet_fits),
                ON_BENCH(what_the_socket_does_not_take_is_queued),
                ON_BENCH(a_stuck_peer_closes_the_channel_once_and_not_within_send),
                ON_BENCH(a_peer_that_closes_ends_it),
                ON_BENCH(the_last_words_of_a_peer_arrive),
                ON_BENCH(the_last_words_arrive_after_a_reset_too),
                ON_BENCH(a_packet_that_is_too_long_ends_it),
                ON_BENCH(a_refused_packet_ends_it),
                ON_BENCH(it_may_be_freed_while_it_hands_over_a_packet),
                ON_BENCH(descriptors_that_come_along_are_closed),
                ON_BENCH(a_descriptor_is_taken_even_on_failure),
                ON_BENCH(listening_and_connecting),
                ON_BENCH(only_a_stale_socket_is_replaced),
                cmocka_unit_test(addresses_that_cannot_be),
        };
        return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}

/* Each test enters a sandbox in a child, since there is no way out, and reads its verdict from the exit status. */
#include "rt/sandbox.h"

#include "rt/channel.h"
#include "rt/log.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { PASSED = 0, SKIPPED = 77 };

static char *own_path;

/* In the child an assertion of cmocka would jump into the parent's stack: say what failed, and leave. */
#define CHECK(condition)                                                                                               \
        do {                                                                                                           \
                if (!(condition)) {                                                                                    \
                        (void)dprintf(2, "%s:%d: %s, errno %d\n", __FILE__, __LINE__, #condition, errno);              \
                        _exit(1);                                                                                      \
                }                                                                                                      \
        } while (0)

#define CHECK_DENIED(call)                                                                                             \
        do {                                                                                                           \
                errno = 0;                                                                                             \
                CHECK((call) < 0);                                                                                     \
                CHECK(errno == EPERM);                                                                                 \
        } while (0)

static void in_child(void (*body)(void)) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void)alarm(20);
                body();
                _exit(PASSED);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
                skip();
        if (!WIFEXITED(status) || WEXITSTATUS(status) != PASSED)
                fail_msg("the child ended with status %#x", (unsigned)status);
}

static void enter_role(SandboxRole role) {
        SandboxReport report;
        CHECK(sandbox_enter(&(SandboxPlan){ .role = role }, &report) == 0);
        if (report.filter == SANDBOX_FILTER_UNAVAILABLE) {
                (void)dprintf(2, "no seccomp here: %s\n", log_errno_text(report.filter_error));
                _exit(SKIPPED);
        }
        CHECK(report.filter == SANDBOX_FILTER_ON && report.filter_error == 0);
}

static void need_root(void) {
        if (geteuid() != 0)
                _exit(SKIPPED);
}

/* One line of /proc/self/status as a number of the given base. */
static unsigned long long status_field(const char *name, int base) {
        CLEANUP_FILE FILE *f = fopen("/proc/self/status", "re");
        char line[256];
        CHECK(f);
        while (fgets(line, sizeof line, f))
                if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
                        return strtoull(line + strlen(name) + 1, NULL, base);
        CHECK(!"no such field");
        return 0;
}

static void plain_body(void) {
        SandboxReport report;
        SandboxPlan plan = { .role = SANDBOX_NO_FILTER };
        CHECK(sandbox_enter(&plan, &report) == 0);
        CHECK(report.filter == SANDBOX_FILTER_SKIPPED && !report.step && report.missing == 0);
        struct rlimit core;
        CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
        CHECK(status_field("NoNewPrivs", 10) == 1);
        CHECK(status_field("Seccomp", 10) == 0);
        CHECK(status_field("CapPrm", 16) == 0 && status_field("CapEff", 16) == 0);
        CHECK(status_field("CapInh", 16) == 0 && status_field("CapAmb", 16) == 0);
        /* A second time, by a worker for instance, changes nothing. */
        CHECK(sandbox_enter(&plan, &report) == 0);
}

static void privileges_go_without_a_filter_too(void **state) {
        (void)state;
        in_child(plain_body);
}

static void user_body(void) {
        need_root();
        SandboxReport report;
        static const int KEEP[] = { CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE };
        SandboxPlan plan = { .user = "nobody", .keep = KEEP, .n_keep = ARRAY_LEN(KEEP) };
        CHECK(sandbox_enter(&plan, &report) == 0);
        CHECK(getuid() != 0 && geteuid() == getuid() && getgid() != 0);
        CHECK(getgroups(0, NULL) <= 1);
        uint64_t want = 1u << CAP_DAC_READ_SEARCH | 1u << CAP_SYS_PTRACE;
        CHECK((status_field("CapPrm", 16) | report.missing) == want &&
              status_field("CapEff", 16) == status_field("CapPrm", 16));
        CHECK((status_field("CapBnd", 16) & ~want) == 0);
        CHECK(setuid(0) < 0 && seteuid(0) < 0 && setgid(0) < 0 && setgroups(0, NULL) < 0);
        /* The capability is more than a bit: only it opens a file of root's. */
        CLEANUP_FD int fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        CHECK(open("/etc/shadow", O_WRONLY | O_CLOEXEC) < 0);
}

static void another_user_keeps_only_what_is_listed(void **state) {
        (void)state;
        in_child(user_body);
}

static void numbers_body(void) {
        need_root();
        SandboxReport report;
        SandboxPlan plan = { .user = "54321", .group = "54322" };
        CHECK(sandbox_enter(&plan, &report) == 0);
        CHECK(getuid() == 54321 && getgid() == 54322 && getgroups(0, NULL) == 0);
        CHECK(open("/etc/shadow", O_RDONLY | O_CLOEXEC) < 0);
}

static void a_user_may_be_a_number(void **state) {
        (void)state;
        in_child(numbers_body);
}

static void unknown_body(void) {
        static const char *const BAD[] = { "no-such-user", "-1", "4294967295", "99999999999", "0x0", "1 ", "nobody\n" };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                SandboxReport report;
                CHECK(sandbox_enter(&(SandboxPlan){ .user = BAD[i] }, &report) == -ENOENT);
                CHECK(strcmp(report.step, "user") == 0);
                CHECK(sandbox_enter(&(SandboxPlan){ .group = BAD[i] }, &report) == -ENOENT);
        }
        CHECK(status_field("NoNewPrivs", 10) == 0); /* nothing half done */
}

static void unknown_users_are_refused(void **state) {
        (void)state;
        in_child(unknown_body);
}

static void unprivileged_body(void) {
        need_root();
        SandboxReport report;
        CHECK(sandbox_enter(&(SandboxPlan){ .user = "54321" }, &report) == 0);
        /* From here we are nobody special. */
        CHECK(sandbox_enter(&(SandboxPlan){ .user = "nobody" }, &report) == -EPERM);
        CHECK(strcmp(report.step, "change of user") == 0);
        static const int KEEP[] = { CAP_SYS_PTRACE, 63, -1, 1000 };
        CHECK(sandbox_enter(&(SandboxPlan){ .user = "54321", .keep = KEEP, .n_keep = ARRAY_LEN(KEEP) }, &report) == 0);
        CHECK(report.missing == (UINT64_C(1) << CAP_SYS_PTRACE | UINT64_C(1) << 63));
}

static void without_privileges_it_says_what_is_missing(void **state) {
        (void)state;
        in_child(unprivileged_body);
}

/* What every program does all day. */
static void do_ordinary_things(void) {
        for (size_t n = 1; n < (size_t)64 << 20; n *= 4) {
                char *p = malloc(n);
                CHECK(p);
                memset(p, 1, n < 4096 ? n : 4096);
                p = realloc(p, n * 2);
                CHECK(p);
                free(p);
        }
        char byte;
        CLEANUP_FD int fd = openat(AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0 && read(fd, &byte, 1) == 1 && pread(fd, &byte, 1, 0) == 1);
        DIR *d = opendir("/proc/self");
        CHECK(d && readdir(d));
        (void)closedir(d);
        char link[256];
        CHECK(readlink("/proc/self/exe", link, sizeof link) > 0);
        CHECK(access("/proc", R_OK) == 0);
        struct rlimit files;
        CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
        LOG(LOG_DEBUG, "left.out");
        CHECK(isatty(0) >= 0);
        CHECK(prctl(PR_SET_NAME, "sandboxed") == 0);
}

static bool got_packet(void *context, const void *bytes, size_t n) {
        (void)bytes;
        (void)n;
        loop_stop(context);
        return true;
}

static void got_end(void *context, int error) {
        (void)error;
        loop_stop(context);
}

static void got_signal(void *context, int signo) {
        (void)signo;
        loop_stop(context);
}

static void raise_usr1(void *context) {
        (void)context;
        CHECK(raise(SIGUSR1) == 0);
}

/* The loop and a channel, made after the filter: a reload and a reconnect do so. */
static void use_the_loop(void) {
        Loop *loop = NULL;
        Channel *a = NULL, *b = NULL;
        LoopTimer *timer = NULL;
        LoopSignal *usr1 = NULL;
        static const ChannelOps OPS = { .packet = got_packet, .closed = got_end };
        int fds[2];
        CHECK(loop_new(&loop) == 0);
        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
        CHECK(channel_new(loop, fds[0], &OPS, loop, 1 << 20, &a) == 0);
        CHECK(channel_new(loop, fds[1], &OPS, loop, 1 << 20, &b) == 0);
        channel_send(a, "packet", 6);
        CHECK(loop_run(loop) == 0);
        CHECK(loop_signal(loop, SIGUSR1, got_signal, loop, &usr1) == 0);
        CHECK(loop_timer(loop, MILLISECONDS(1), (Duration){ 0 }, raise_usr1, NULL, &timer) == 0);
        CHECK(loop_run(loop) == 0);
        a = channel_free(a);
        b = channel_free(b);
        loop = loop_free(loop);
}

static void listen_on_a_path(void) {
        char path[64];
        (void)snprintf(path, sizeof path, "/tmp/test_sandbox.%d", (int)getpid());
        CLEANUP_FD int listener = -1, client = -1, server = -1, again = -1;
        CHECK(channel_listen(path, 0660, &listener) == 0);
        CHECK(channel_connect(path, &client) == 0);
        server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        CHECK(server >= 0);
        uid_t uid;
        CHECK(channel_peer_uid(server, &uid) == 0 && uid == geteuid());
        (void)close(TAKE_FD(listener));
        CHECK(channel_listen(path, 0660, &again) == 0); /* replaces the stale one */
        CHECK(unlink(path) == 0);
}

static void nothing_of_power_is_left(void) {
        CHECK_DENIED(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
        CHECK_DENIED(unshare(CLONE_NEWUSER));
        CHECK_DENIED(syscall(SYS_mount, "none", "/", "none", 0, NULL));
        CHECK_DENIED(syscall(SYS_bpf, 0, NULL, 0));
        CHECK_DENIED(syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0));
        CHECK_DENIED(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
        CHECK_DENIED(syscall(SYS_io_uring_setup, 1, NULL));
        CHECK_DENIED(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0));
        CHECK_DENIED(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
        CHECK_DENIED(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
        CHECK_DENIED(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
        CHECK_DENIED(prctl(PR_SET_MM, 0L, 0L, 0L, 0L));
        errno = 0;
        CHECK(syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS);
}

static void *thread_body(void *argument) {
        free(malloc(100000));
        return argument;
}

static void use_a_thread(void) {
        pthread_t thread;
        void *result = NULL;
        CHECK(pthread_create(&thread, NULL, thread_body, &result) == 0);
        CHECK(pthread_join(thread, &result) == 0 && result == &result);
}

static void daemon_body(void) {
        enter_role(SANDBOX_DAEMON);
        do_ordinary_things();
        use_the_loop();
        listen_on_a_path();
        use_a_thread();
        CLEANUP_FD int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&any, sizeof any) == 0 && listen(listener, 4) == 0);
        nothing_of_power_is_left();
        char *const argv[] = { (char *)"true", NULL };
        CHECK_DENIED(execv("/bin/true", argv));
        CHECK_DENIED(kill(getppid(), 0));
        CHECK_DENIED(syscall(SYS_vfork));
        struct rlimit more = { 0, 0 };
        CHECK_DENIED(setrlimit(RLIMIT_CORE, &more));
}

static void the_daemon_can_do_its_work_and_no_more(void **state) {
        (void)state;
        in_child(daemon_body);
}

static void run_program(char *const argv[], int expected) {
        pid_t pid = -1;
        int status = 0;
        extern char **environ;
        CHECK(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) == 0);
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status));
        if (WEXITSTATUS(status) == SKIPPED)
                _exit(SKIPPED);
        CHECK(WEXITSTATUS(status) == expected);
}

static void sensor_body(void) {
        enter_role(SANDBOX_SENSOR);
        do_ordinary_things();
        use_the_loop();
        listen_on_a_path();
        CLEANUP_FD int route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
        CHECK(route >= 0);
        CHECK_DENIED(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        CHECK_DENIED(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        CHECK_DENIED(mkdir("/tmp/test_sandbox.dir", 0700));
        CHECK_DENIED(rename("/tmp/test_sandbox.a", "/tmp/test_sandbox.b"));
        nothing_of_power_is_left();
        /* A worker that hangs is killed. */
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
                for (;;)
                        (void)pause();
        int status = 0;
        CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
        /* The worker enters a sandbox of its own inside ours. */
        char *const argv[] = { own_path, (char *)"--virt", NULL };
        run_program(argv, PASSED);
}

static void the_sensor_can_start_a_worker_that_has_its_own_filter(void **state) {
        (void)state;
        in_child(sensor_body);
}

static void virt_body(void) {
        enter_role(SANDBOX_VIRT);
        do_ordinary_things();
        use_the_loop();
        use_a_thread();
        nothing_of_power_is_left();
        CHECK_DENIED(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        CHECK_DENIED(kill(getppid(), SIGTERM));
        CHECK_DENIED(unlink("/tmp/test_sandbox.nothing"));
        char *const argv[] = { (char *)"true", NULL };
        CHECK_DENIED(execv("/bin/true", argv));
}

static void the_worker_can_do_its_work_and_no_more(void **state) {
        (void)state;
        in_child(virt_body);
}

/* A filter around us that forbids more filters, as some containers have: the program goes on and says so. */
static void nested_body(void) {
        scmp_filter_ctx around = seccomp_init(SCMP_ACT_ALLOW);
        CHECK(around);
        CHECK(seccomp_rule_add(around, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(seccomp), 0) == 0);
        CHECK(seccomp_rule_add(around, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1,
                               SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP, 0)) == 0);
        if (seccomp_load(around) < 0)
                _exit(SKIPPED);
        seccomp_release(around);
        SandboxReport report;
        CHECK(sandbox_enter(&(SandboxPlan){ .role = SANDBOX_DAEMON }, &report) == 0);
        CHECK(report.filter == SANDBOX_FILTER_UNAVAILABLE && report.filter_error < 0);
        CHECK(status_field("NoNewPrivs", 10) == 1 && status_field("CapPrm", 16) == 0);
}

static void a_filter_that_cannot_be_is_said(void **state) {
        (void)state;
        in_child(nested_body);
}

static void names(void **state) {
        (void)state;
        assert_string_equal(sandbox_filter_name(SANDBOX_FILTER_ON), "on");
        assert_string_equal(sandbox_filter_name(SANDBOX_FILTER_UNAVAILABLE), "unavailable");
        assert_string_equal(sandbox_filter_name(SANDBOX_FILTER_SKIPPED), "skipped");
        assert_string_equal(sandbox_cap_name(CAP_SYS_PTRACE), "cap_sys_ptrace");
        assert_null(sandbox_cap_name(-1));
        assert_null(sandbox_cap_name(1000));
        assert_null(sandbox_cap_name(CAP_MKNOD));
}

int main(int argc, char **argv) {
        if (argc == 2 && strcmp(argv[1], "--virt") == 0) {
                virt_body();
                _exit(PASSED);
        }
        own_path = argv[0];
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(privileges_go_without_a_filter_too),
                cmocka_unit_test(another_user_keeps_only_what_is_listed),
                cmocka_unit_test(a_user_may_be_a_number),
                cmocka_unit_test(unknown_users_are_refused),
                cmocka_unit_test(without_privileges_it_says_what_is_missing),
                cmocka_unit_test(the_daemon_can_do_its_work_and_no_more),
                cmocka_unit_test(the_sensor_can_start_a_worker_that_has_its_own_filter),
                cmocka_unit_test(the_worker_can_do_its_work_and_no_more),
                cmocka_unit_test(a_filter_that_cannot_be_is_said),
                cmocka_unit_test(names),
        };
        return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}

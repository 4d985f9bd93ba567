#include "rt/sandbox_table.h"

#include <asm/termbits.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define CALL(name) { .call = name }
/* Allowed with this value of the argument, of which only the low 32 bits count where the kernel says int. */
#define WITH(name, arg, v) \
        { .call = name, .conditional = true, .argument = (arg), .mask = UINT32_MAX, .value = (v) }
#define WITH_BITS(name, arg, bits) \
        { .call = name, .conditional = true, .argument = (arg), .mask = (bits), .value = (bits) }
#define WITHOUT(name, arg) { .call = name, .conditional = true, .argument = (arg), .mask = UINT64_MAX, .value = 0 }

/* clang-format off: lists, packed by subject */

/* What libc, malloc, libuv and reading files need. */
static const SandboxRule COMMON[] = {
        /* memory */
        CALL("brk"), CALL("mmap"), CALL("mmap2"), CALL("munmap"), CALL("mremap"), CALL("mprotect"), CALL("madvise"),
        CALL("mincore"), CALL("membarrier"), CALL("memfd_create"),
        /* files; permissions decide what opens */
        CALL("open"), CALL("openat"), CALL("openat2"), CALL("close"), CALL("close_range"), CALL("read"), CALL("readv"),
        CALL("pread64"), CALL("preadv"), CALL("preadv2"), CALL("write"), CALL("writev"), CALL("pwrite64"),
        CALL("pwritev"), CALL("lseek"), CALL("_llseek"), CALL("stat"), CALL("stat64"), CALL("lstat"), CALL("lstat64"),
        CALL("fstat"), CALL("fstat64"), CALL("newfstatat"), CALL("fstatat64"), CALL("statx"), CALL("statfs"),
        CALL("statfs64"), CALL("fstatfs"), CALL("fstatfs64"), CALL("access"), CALL("faccessat"), CALL("faccessat2"),
        CALL("readlink"), CALL("readlinkat"), CALL("getdents"), CALL("getdents64"), CALL("getcwd"), CALL("fcntl"),
        CALL("fcntl64"), CALL("fadvise64"), CALL("dup"), CALL("dup2"), CALL("dup3"), CALL("pipe"), CALL("pipe2"),
        CALL("umask"), CALL("flock"), CALL("copy_file_range"), CALL("sendfile"), CALL("sendfile64"),
        WITH("ioctl", 1, FIONREAD), WITH("ioctl", 1, FIONBIO), WITH("ioctl", 1, FIOCLEX), WITH("ioctl", 1, FIONCLEX),
        WITH("ioctl", 1, TCGETS), WITH("ioctl", 1, TIOCGWINSZ), WITH("ioctl", 1, SIOCOUTQ),
        /* waiting */
        CALL("poll"), CALL("ppoll"), CALL("ppoll_time64"), CALL("select"), CALL("_newselect"), CALL("pselect6"),
        CALL("pselect6_time64"), CALL("epoll_create"), CALL("epoll_create1"), CALL("epoll_ctl"), CALL("epoll_wait"),
        CALL("epoll_pwait"), CALL("epoll_pwait2"), CALL("eventfd"), CALL("eventfd2"), CALL("timerfd_create"),
        CALL("timerfd_settime"), CALL("timerfd_gettime"), CALL("signalfd"), CALL("signalfd4"), CALL("inotify_init1"),
        CALL("inotify_add_watch"), CALL("inotify_rm_watch"), CALL("futex"), CALL("futex_time64"), CALL("futex_waitv"),
        CALL("nanosleep"), CALL("clock_nanosleep"), CALL("clock_nanosleep_time64"), CALL("pause"),
        CALL("restart_syscall"), CALL("sched_yield"),
        /* time */
        CALL("clock_gettime"), CALL("clock_gettime64"), CALL("clock_getres"), CALL("clock_getres_time64"),
        CALL("gettimeofday"), CALL("time"), CALL("times"),
        /* signals; kill is the sensor's */
        CALL("rt_sigaction"), CALL("rt_sigprocmask"), CALL("rt_sigreturn"), CALL("sigreturn"), CALL("rt_sigpending"),
        CALL("rt_sigsuspend"), CALL("rt_sigtimedwait"), CALL("rt_sigtimedwait_time64"), CALL("sigaltstack"),
        CALL("tgkill"),
        /* oneself */
        CALL("getpid"), CALL("getppid"), CALL("gettid"), CALL("getpgrp"), CALL("getpgid"), CALL("getsid"),
        CALL("getuid"),
        CALL("geteuid"), CALL("getgid"), CALL("getegid"), CALL("getresuid"), CALL("getresgid"), CALL("getgroups"),
        CALL("capget"), CALL("uname"), CALL("sysinfo"), CALL("getrusage"), CALL("getrlimit"), CALL("ugetrlimit"),
        CALL("getpriority"), CALL("sched_getaffinity"), CALL("sched_getparam"), CALL("sched_getscheduler"),
        WITH("setpriority", 1, 0), /* its own */
        CALL("sched_getattr"), CALL("getcpu"), CALL("getrandom"), CALL("rseq"), CALL("set_robust_list"),
        CALL("get_robust_list"), CALL("set_tid_address"), CALL("arch_prctl"), CALL("exit"), CALL("exit_group"),
        WITHOUT("prlimit64", 2), /* reading limits */
        WITH("prctl", 0, PR_SET_NAME), WITH("prctl", 0, PR_GET_NAME), WITH("prctl", 0, PR_SET_PDEATHSIG),
        WITH("prctl", 0, PR_GET_DUMPABLE), WITH("prctl", 0, PR_SET_DUMPABLE), WITH("prctl", 0, PR_GET_NO_NEW_PRIVS),
        WITH("prctl", 0, PR_SET_NO_NEW_PRIVS), WITH("prctl", 0, PR_GET_SECCOMP), WITH("prctl", 0, PR_CAPBSET_READ),
        WITH("prctl", 0, PR_CAP_AMBIENT), WITH("prctl", 0, PR_SET_VMA),
        /* sockets, whichever families there may be */
        CALL("socketcall"), CALL("bind"), CALL("listen"), CALL("accept"), CALL("accept4"), CALL("connect"),
        CALL("shutdown"), CALL("getsockname"), CALL("getpeername"), CALL("getsockopt"), CALL("setsockopt"),
        CALL("send"),
        CALL("sendto"), CALL("sendmsg"), CALL("sendmmsg"), CALL("recv"), CALL("recvfrom"), CALL("recvmsg"),
        CALL("recvmmsg"), CALL("recvmmsg_time64"), WITH("socket", 0, AF_UNIX), WITH("socketpair", 0, AF_UNIX),
        /* AF_NETLINK beyond the sensor: getifaddrs() and getaddrinfo() ask for the addresses there are. */
        WITH("socket", 0, AF_NETLINK),
};

static const SandboxRule INTERNET[] = {
        WITH("socket", 0, AF_INET),
        WITH("socket", 0, AF_INET6),
};

/* Unix sockets that a reload opens or closes; files are root's or the unit's, and permissions hold. */
static const SandboxRule SOCKET_FILES[] = {
        CALL("unlink"), CALL("unlinkat"), CALL("chmod"), CALL("fchmod"), CALL("fchmodat"), CALL("fchmodat2"),
};

/* The store's files: one directory of its user's. */
static const SandboxRule STORE_FILES[] = {
        CALL("ftruncate"), CALL("ftruncate64"), CALL("fsync"), CALL("fdatasync"), CALL("rename"), CALL("renameat"),
        CALL("renameat2"), CALL("link"), CALL("linkat"), CALL("mkdir"), CALL("mkdirat"),
};

/* Threads, not processes. clone3 hides its flags from a filter: ENOSYS makes libc use clone. */
static const SandboxRule THREADS[] = {
        WITH_BITS("clone", 0, CLONE_VM | CLONE_THREAD),
};

/* Starting, entering the sandbox of, and killing a worker. No new namespaces: clone's and unshare's flags for
 * them are what a filter is for. */
static const SandboxRule WORKERS[] = {
        { .call = "clone",
          .conditional = true,
          .argument = 0,
          .mask = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
          CLONE_NEWNET,
          .value = 0 },
        CALL("fork"), CALL("vfork"), CALL("execve"), CALL("execveat"), CALL("wait4"), CALL("waitpid"), CALL("waitid"),
        CALL("kill"), CALL("tkill"), CALL("pidfd_open"), CALL("pidfd_send_signal"), CALL("setsid"), CALL("setpgid"),
        CALL("chdir"), CALL("fchdir"), CALL("prlimit64"), CALL("setrlimit"), CALL("setpriority"),
        CALL("sched_setaffinity"), CALL("sched_setscheduler"), CALL("sched_setparam"), CALL("setuid"), CALL("setgid"),
        CALL("setresuid"), CALL("setresgid"), CALL("setgroups"), CALL("capset"), CALL("seccomp"),
        WITH("prctl", 0, PR_SET_SECCOMP), WITH("prctl", 0, PR_SET_KEEPCAPS), WITH("prctl", 0, PR_CAPBSET_DROP),
};

/* What collectors ask beyond files: cgroup ids, and extended attributes of what holds a container. */
static const SandboxRule COLLECTING[] = {
        CALL("name_to_handle_at"), CALL("getxattr"), CALL("lgetxattr"), CALL("fgetxattr"),
        /* Reading the kernel's clock discipline; setting it needs CAP_SYS_TIME, which is not kept. */
        CALL("adjtimex"), CALL("clock_adjtime"),
};

/* clang-format on */

#define TABLE(list) { (list), ARRAY_LEN(list) }

const SandboxTable SANDBOX_LISTS[SANDBOX_ROLE_COUNT][SANDBOX_LISTS_MAX] = {
        [SANDBOX_DAEMON] = { TABLE(COMMON), TABLE(INTERNET), TABLE(SOCKET_FILES), TABLE(STORE_FILES), TABLE(THREADS) },
        [SANDBOX_SENSOR] = { TABLE(COMMON), TABLE(WORKERS), TABLE(COLLECTING), TABLE(SOCKET_FILES) },
        [SANDBOX_VIRT] = { TABLE(COMMON), TABLE(THREADS) },
};

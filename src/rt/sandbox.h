/* Gives up what a program does not need, once, at the end of its start-up, before it reads anything
 * from outside:
 *
 *   1. no core dumps (they would hold what guests and tenants wrote),
 *   2. another user and group, with that user's supplementary groups,
 *   3. no capability but those of a list, and no way to get one by exec,
 *   4. PR_SET_NO_NEW_PRIVS,
 *   5. a system call filter: what the role's list (sandbox_table.h) does not have fails with EPERM. It
 *      does not kill, so that a new version of a library degrades instead of dying in a loop.
 *
 * A filter is inherited and can only get narrower: the sensor's list holds all of its worker's. The filter
 * covers the calling thread and what it starts later, so enter before there is a second thread. Files,
 * sockets and directories that need root are opened before. */
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum SandboxRole {
        SANDBOX_NO_FILTER = 0, /* step 5 left out: sanitizer builds, `seccomp: off` */
        SANDBOX_DAEMON,        /* parallaxd: TCP and Unix sockets; starts nothing */
        SANDBOX_SENSOR,        /* parallax-sensor: files, Unix and netlink sockets; starts and kills workers */
        SANDBOX_VIRT,          /* parallax-virt: Unix sockets; threads, as libvirt likes */
        SANDBOX_ROLE_COUNT
} SandboxRole;

typedef struct SandboxPlan {
        const char *user;  /* name or number; NULL or "" = stay */
        const char *group; /* NULL or "" = the user's own */
        const int *keep;   /* CAP_* of <linux/capability.h> */
        size_t n_keep;
        SandboxRole role;
} SandboxPlan;

typedef enum SandboxFilter {
        SANDBOX_FILTER_ON,
        SANDBOX_FILTER_SKIPPED,     /* SANDBOX_NO_FILTER was asked for */
        SANDBOX_FILTER_UNAVAILABLE, /* the kernel or what is around us does not let us; see filter_error */
} SandboxFilter;

typedef struct SandboxReport {
        const char *step; /* of sandbox_enter() when it failed: "user", "capabilities", ...; static */
        SandboxFilter filter;
        int filter_error; /* negative errno of SANDBOX_FILTER_UNAVAILABLE */
        uint64_t missing; /* bit c: capability c is in `keep`, but this process never had it */
} SandboxReport;

/* Does all of it. 0 also when the filter is unavailable (the report says so, the program logs it) and when
 * capabilities are missing. Negative errno when a step that takes privileges away failed: the caller must exit.
 *   -ENOENT  no such user or group          -EPERM  another user was asked for without the right to switch
 * The report is always written. */
int sandbox_enter(const SandboxPlan *plan, SandboxReport *ret_report) MUST_USE;

/* "on", "skipped", "unavailable". */
const char *sandbox_filter_name(SandboxFilter f);
/* "cap_sys_ptrace"; NULL for one that no program of ours would keep. Static. */
const char *sandbox_cap_name(int cap);

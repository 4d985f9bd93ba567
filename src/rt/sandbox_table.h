/* The system calls that each program may use. Names, not numbers: what an architecture does not have is left
 * out there. Lists are generous about how libraries do ordinary things (libc, libuv, libmicrohttpd and malloc
 * choose between openat and openat2, poll and ppoll) and strict about what gives power: no ptrace, mount,
 * bpf, perf_event_open, keyctl, io_uring, namespaces, modules, and sockets of the named families alone. */
#pragma once

#include "rt/sandbox.h"

#include <seccomp.h>

/* One call; with an argument when `conditional`: allowed if (argument & mask) == value. */
typedef struct SandboxRule {
        const char *call;
        bool conditional;
        unsigned argument;
        uint64_t mask, value;
} SandboxRule;

typedef struct SandboxTable {
        const SandboxRule *rules;
        size_t n;
} SandboxTable;

/* Lists of a role, all of them together; ends with an empty table. */
#define SANDBOX_LISTS_MAX 6
extern const SandboxTable SANDBOX_LISTS[SANDBOX_ROLE_COUNT][SANDBOX_LISTS_MAX];

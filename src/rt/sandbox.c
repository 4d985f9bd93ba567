/* The order matters: each step needs a privilege that a later one takes away, and the filter comes last because
 * it forbids the calls of all the others. */
#include "rt/sandbox.h"

#include "rt/sandbox_table.h"

#include <assert.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/types.h>

typedef struct Identity {
        uid_t uid;
        gid_t gid;
        const char *name; /* for the supplementary groups; NULL = a number without an entry, so none */
        bool change;
} Identity;

static void cleanup_cap(cap_t *c) {
        if (*c)
                (void)cap_free(*c);
}

static void cleanup_filter(scmp_filter_ctx *f) {
        if (*f)
                seccomp_release(*f);
}

static bool is_set(const char *s) {
        return s && *s;
}

static bool parse_id(const char *text, unsigned *ret_id) {
        char *end;
        errno = 0;
        unsigned long v = strtoul(text, &end, 10);
        if (errno || *end || text[0] < '0' || text[0] > '9' || v >= UINT32_MAX)
                return false;
        *ret_id = (unsigned)v;
        return true;
}

/* Who to become. getpwnam's static entry stays valid until the next lookup, which is after initgroups(). */
static int find_identity(const SandboxPlan *plan, Identity *ret_who) {
        Identity who = { .uid = geteuid(), .gid = getegid() };
        if (is_set(plan->user)) {
                unsigned id;
                errno = 0;
                struct passwd *pw = parse_id(plan->user, &id) ? getpwuid(id) : getpwnam(plan->user);
                if (!pw && !parse_id(plan->user, &id))
                        return -ENOENT;
                who.uid = pw ? pw->pw_uid : id;
                who.gid = pw ? pw->pw_gid : id;
                who.name = pw ? pw->pw_name : NULL;
        }
        if (is_set(plan->group)) {
                unsigned id;
                struct group *gr = parse_id(plan->group, &id) ? NULL : getgrnam(plan->group);
                if (!gr && !parse_id(plan->group, &id))
                        return -ENOENT;
                who.gid = gr ? gr->gr_gid : id;
        }
        uid_t r, e, s;
        gid_t rg, eg, sg;
        (void)getresuid(&r, &e, &s);
        (void)getresgid(&rg, &eg, &sg);
        who.change = who.uid != r || who.uid != e || who.uid != s || who.gid != rg || who.gid != eg || who.gid != sg;
        *ret_who = who;
        return 0;
}

static int forbid_core_dumps(void) {
        struct rlimit none = { 0, 0 };
        return setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

static bool is_kept(const SandboxPlan *plan, int cap) {
        for (size_t i = 0; i < plan->n_keep; i++)
                if (plan->keep[i] == cap)
                        return true;
        return false;
}

/* Without CAP_SETPCAP it cannot be done; NO_NEW_PRIVS then says the same. */
static int drop_bounding(const SandboxPlan *plan) {
        for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
                if (!is_kept(plan, cap) && prctl(PR_CAPBSET_DROP, cap) < 0 && errno != EPERM)
                        return -errno;
        return 0;
}

static int change_identity(const Identity *who) {
        if (!who->change)
                return 0;
        /* The permitted set survives the change of user; keep_capabilities() then cuts it down. */
        if (prctl(PR_SET_KEEPCAPS, 1L, 0L, 0L, 0L) < 0)
                return -errno;
        int r = who->name ? initgroups(who->name, who->gid) : setgroups(0, NULL);
        if (r < 0 || setresgid(who->gid, who->gid, who->gid) < 0 || setresuid(who->uid, who->uid, who->uid) < 0)
                return -errno;
        return prctl(PR_SET_KEEPCAPS, 0L, 0L, 0L, 0L) < 0 ? -errno : 0;
}

/* Permitted and effective become what the plan keeps of what we have; inheritable and ambient become empty. */
static int keep_capabilities(const SandboxPlan *plan, uint64_t *ret_missing) {
        CLEANUP(cleanup_cap) cap_t have = cap_get_proc();
        CLEANUP(cleanup_cap) cap_t want = cap_init();
        if (!have || !want)
                return -errno;
        uint64_t missing = 0;
        for (size_t i = 0; i < plan->n_keep; i++) {
                cap_value_t cap = plan->keep[i];
                cap_flag_value_t on = CAP_CLEAR;
                if (cap_get_flag(have, cap, CAP_PERMITTED, &on) < 0 || on == CAP_CLEAR) {
                        if (cap >= 0 && cap < 64)
                                missing |= UINT64_C(1) << cap;
                        continue;
                }
                if (cap_set_flag(want, CAP_PERMITTED, 1, &cap, CAP_SET) < 0 ||
                    cap_set_flag(want, CAP_EFFECTIVE, 1, &cap, CAP_SET) < 0)
                        return -errno;
        }
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L) < 0 && errno != EINVAL)
                return -errno;
        if (cap_set_proc(want) < 0)
                return -errno;
        *ret_missing = missing;
        return 0;
}

/* Trusting the calls above is not enough: the way back must be closed. */
static int check_no_return(const Identity *who, uid_t before) {
        if (before == who->uid)
                return 0;
        return setresuid((uid_t)-1, before, (uid_t)-1) == 0 ? -EPERM : 0;
}

static int forbid_new_privileges(void) {
        return prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0 ? -errno : 0;
}

static int add_rule(scmp_filter_ctx filter, const SandboxRule *rule) {
        int nr = seccomp_syscall_resolve_name(rule->call);
        /* Negative: not on this architecture, or newer than the library. */
        if (nr < 0)
                return 0;
        struct scmp_arg_cmp compare = SCMP_CMP64(rule->argument, SCMP_CMP_MASKED_EQ, rule->mask, rule->value);
        return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, nr, rule->conditional ? 1 : 0, &compare);
}

static int add_rules(scmp_filter_ctx filter, const SandboxTable *lists) {
        for (size_t l = 0; l < SANDBOX_LISTS_MAX; l++)
                for (size_t i = 0; i < lists[l].n; i++) {
                        int r = add_rule(filter, &lists[l].rules[i]);
                        /* -EEXIST: two lists of the role have it. */
                        if (r < 0 && r != -EEXIST)
                                return r;
                }
        int clone3 = seccomp_syscall_resolve_name("clone3");
        return clone3 < 0 ? 0 : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), clone3, 0);
}

/* 0 or why there is no filter. */
static int load_filter(SandboxRole role) {
        CLEANUP(cleanup_filter) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        if (!filter)
                return -ENOMEM;
        int r = add_rules(filter, SANDBOX_LISTS[role]);
        if (r < 0)
                return r;
        /* A binary search over the numbers instead of a walk: the filter is in the way of every call. Old
         * libraries cannot, and do well enough. */
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
        /* The kernel's own errno rather than the library's ECANCELED. */
        (void)seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
        return seccomp_load(filter);
}

static void enter_filter(SandboxRole role, SandboxReport *report) {
        if (role == SANDBOX_NO_FILTER) {
                report->filter = SANDBOX_FILTER_SKIPPED;
                return;
        }
        report->filter_error = load_filter(role);
        report->filter = report->filter_error < 0 ? SANDBOX_FILTER_UNAVAILABLE : SANDBOX_FILTER_ON;
}

static int failed(SandboxReport *report, const char *step, int error) {
        report->step = step;
        return error;
}

int sandbox_enter(const SandboxPlan *plan, SandboxReport *ret_report) {
        assert(plan->role < SANDBOX_ROLE_COUNT);
        SandboxReport *report = ret_report;
        *report = (SandboxReport){ .filter = SANDBOX_FILTER_SKIPPED };
        uid_t before = geteuid();
        Identity who;
        int r = find_identity(plan, &who);
        if (r < 0)
                return failed(report, "user", r);
        if ((r = forbid_core_dumps()) < 0)
                return failed(report, "core dumps", r);
        if ((r = drop_bounding(plan)) < 0)
                return failed(report, "bounding set", r);
        if ((r = change_identity(&who)) < 0)
                return failed(report, "change of user", r);
        if ((r = keep_capabilities(plan, &report->missing)) < 0)
                return failed(report, "capabilities", r);
        /* CAP_SETUID, when it is one of the kept, is a way back that was asked for. */
        if (!is_kept(plan, CAP_SETUID) && (r = check_no_return(&who, before)) < 0)
                return failed(report, "way back", r);
        if ((r = forbid_new_privileges()) < 0)
                return failed(report, "no new privileges", r);
        enter_filter(plan->role, report);
        return 0;
}

const char *sandbox_filter_name(SandboxFilter f) {
        switch (f) {
        case SANDBOX_FILTER_ON:
                return "on";
        case SANDBOX_FILTER_SKIPPED:
                return "skipped";
        case SANDBOX_FILTER_UNAVAILABLE:
                return "unavailable";
        }
        return "unknown";
}

const char *sandbox_cap_name(int cap) {
        static const char *const NAMES[] = {
                [CAP_CHOWN] = "cap_chown",
                [CAP_DAC_OVERRIDE] = "cap_dac_override",
                [CAP_DAC_READ_SEARCH] = "cap_dac_read_search",
                [CAP_KILL] = "cap_kill",
                [CAP_SETGID] = "cap_setgid",
                [CAP_SETUID] = "cap_setuid",
                [CAP_SETPCAP] = "cap_setpcap",
                [CAP_NET_BIND_SERVICE] = "cap_net_bind_service",
                [CAP_NET_ADMIN] = "cap_net_admin",
                [CAP_NET_RAW] = "cap_net_raw",
                [CAP_SYS_PTRACE] = "cap_sys_ptrace",
                [CAP_SYS_ADMIN] = "cap_sys_admin",
                [CAP_SYS_NICE] = "cap_sys_nice",
                [CAP_SYS_RESOURCE] = "cap_sys_resource",
                [CAP_SYSLOG] = "cap_syslog",
                [CAP_PERFMON] = "cap_perfmon",
                [CAP_BPF] = "cap_bpf",
        };
        return cap >= 0 && (size_t)cap < ARRAY_LEN(NAMES) ? NAMES[cap] : NULL;
}

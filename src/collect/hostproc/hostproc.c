/* The list of collectors and the look over them.
 *
 * Each group has a batch builder of its own, so that a collector that is not due has its last values
 * written again under the time at which they were read: a reader that came late (or lost its table)
 * has everything after one look, and the age stays true. */
#include "collect/hostproc/hostproc_priv.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>

#define MINUTE (60 * NS_PER_SEC)
/* A heavy collector that took t of CPU rests for HEAVY_REST * t. */
#define HEAVY_REST 10000

#define TEXT(table) .files = table, .n_files = ARRAY_LEN(table)

static const Collector COLLECTORS[] = {
        { .name = "arp", .look = arp_look },
        { .name = "bonding", .look = bonding_look },
        { .name = "conntrack", .look = conntrack_look },
        { .name = "cpu", .look = cpu_look }, /* of the same file as stat, so they stand together */
        { .name = "stat", TEXT(TEXT_STAT) },
        { .name = "cpufreq", .look = cpufreq_look },
        { .name = "diskstats", .look = diskstats_look },
        { .name = "disk_info", .look = disk_info_look, .every_ns = MINUTE },
        { .name = "dmi", .look = dmi_look, .every_ns = MINUTE },
        { .name = "edac", .look = edac_look },
        { .name = "entropy", TEXT(TEXT_ENTROPY) },
        { .name = "filefd", TEXT(TEXT_FILEFD) },
        { .name = "filesystem", .look = filesystem_look },
        { .name = "hwmon", .look = hwmon_look },
        { .name = "interrupts", .look = interrupts_look },
        { .name = "kernel_hung", TEXT(TEXT_HUNG) },
        { .name = "loadavg", TEXT(TEXT_LOADAVG) },
        { .name = "meminfo", TEXT(TEXT_MEMINFO) },
        /* netdev finds the interfaces that netclass reads. */
        { .name = "netdev", .look = netdev_look },
        { .name = "netclass", .look = netclass_look },
        { .name = "netstat", TEXT(TEXT_NETSTAT) },
        { .name = "nvme", .look = nvme_look },
        { .name = "os", .look = os_look, .every_ns = MINUTE },
        { .name = "powersupplyclass", .look = power_look },
        { .name = "pressure", TEXT(TEXT_PRESSURE) },
        { .name = "processes", .look = processes_look, .heavy = true },
        { .name = "schedstat", .look = schedstat_look },
        { .name = "selinux", .look = selinux_look, .every_ns = MINUTE },
        { .name = "sockstat", TEXT(TEXT_SOCKSTAT) },
        { .name = "softnet", .look = softnet_look },
        { .name = "tcpstat", .look = tcpstat_look, .heavy = true },
        { .name = "thermal_zone", .look = thermal_look },
        { .name = "time", .look = time_look },
        { .name = "clocksource", .look = clocksource_look, .every_ns = MINUTE },
        { .name = "timex", .look = timex_look },
        { .name = "udp_queues", .look = udp_look, .heavy = true },
        { .name = "uname", .look = uname_look, .every_ns = MINUTE },
        { .name = "vmstat", TEXT(TEXT_VMSTAT) },
};
#define N_COLLECTORS ARRAY_LEN(COLLECTORS)
_Static_assert(N_COLLECTORS < UINT8_MAX, "the owner of a group is a uint8_t");

static const char *const FILE_PATHS[FILE_COUNT] = {
        [FILE_STAT] = "proc/stat",
        [FILE_SCHEDSTAT] = "proc/schedstat",
        [FILE_SOFTNET] = "proc/net/softnet_stat",
        [FILE_INTERRUPTS] = "proc/interrupts",
        [FILE_DISKSTATS] = "proc/diskstats",
        [FILE_MOUNTINFO] = "proc/1/mountinfo",
        [FILE_NETDEV] = "proc/net/dev",
        [FILE_ARP] = "proc/net/arp",
        [FILE_TCP] = "proc/net/tcp",
        [FILE_TCP6] = "proc/net/tcp6",
        [FILE_UDP] = "proc/net/udp",
        [FILE_UDP6] = "proc/net/udp6",
        [FILE_CONNTRACK] = "proc/net/stat/nf_conntrack",
};
_Static_assert(FILE_COUNT <= ARRAY_LEN(((HostProc *)0)->files), "room for every kept file");

static size_t kept_fds_allowed(void) {
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return 0;
        return limit.rlim_cur / 2 < HOSTPROC_MAX_KEPT_FDS ? (size_t)limit.rlim_cur / 2 : HOSTPROC_MAX_KEPT_FDS;
}

static int alloc_tables(HostProc *h) {
        h->batches = calloc(GROUP_COUNT, sizeof *h->batches);
        h->owner = calloc(GROUP_COUNT, sizeof *h->owner);
        h->written = calloc(GROUP_COUNT, sizeof *h->written);
        h->kept = calloc(N_COLLECTORS, sizeof *h->kept);
        h->due = calloc(N_COLLECTORS, sizeof *h->due);
        h->cost_ns = calloc(N_COLLECTORS, sizeof *h->cost_ns);
        h->failed = calloc(N_COLLECTORS, sizeof *h->failed);
        if (!h->batches || !h->owner || !h->written || !h->kept || !h->due || !h->cost_ns || !h->failed)
                return -ENOMEM;
        for (size_t c = 0; c < N_COLLECTORS; c++) {
                size_t n = COLLECTORS[c].n_files;
                if (n == 0)
                        continue;
                h->kept[c] = calloc(n, sizeof **h->kept);
                if (!h->kept[c])
                        return -ENOMEM;
                for (size_t i = 0; i < n; i++)
                        h->kept[c][i] = (Kept){ COLLECTORS[c].files[i].path, -1 };
        }
        return 0;
}

static void cleanup_host(HostProc **h) {
        (void)hostproc_free(*h);
}

int hostproc_new(const char *root, EntityKey host, HostProc **ret_h) {
        CLEANUP(cleanup_host) HostProc *h = calloc(1, sizeof *h);
        if (!h)
                return -ENOMEM;
        h->root_fd = h->link_events = -1;
        h->key = host;
        h->max_kept_fds = kept_fds_allowed();
        h->live = strcmp(root, "/") == 0;
        h->text = BUF_WITH_LIMIT(HOST_TEXT_MAX);
        for (size_t i = 0; i < FILE_COUNT; i++)
                h->files[i] = (Kept){ FILE_PATHS[i], -1 };
        h->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (h->root_fd < 0)
                return -errno;
        int r = alloc_tables(h);
        if (r < 0)
                return r;
        *ret_h = TAKE_PTR(h);
        return 0;
}

HostProc *hostproc_free(HostProc *h) {
        if (!h)
                return NULL;
        net_deinit(h);
        sets_deinit(h);
        for (size_t i = 0; i < FILE_COUNT; i++)
                if (h->files[i].path)
                        kept_close(h, &h->files[i]);
        for (size_t c = 0; h->kept && c < N_COLLECTORS; c++) {
                for (size_t i = 0; h->kept[c] && i < COLLECTORS[c].n_files; i++)
                        kept_close(h, &h->kept[c][i]);
                free(h->kept[c]);
        }
        for (size_t g = 0; h->batches && g < GROUP_COUNT; g++)
                batch_deinit(&h->batches[g]);
        free(h->batches);
        free(h->owner);
        free(h->written);
        free(h->kept);
        free(h->due);
        free(h->cost_ns);
        free(h->failed);
        buf_deinit(&h->text);
        buf_deinit(&h->scratch);
        if (h->root_fd >= 0)
                (void)close(h->root_fd);
        free(h);
        return NULL;
}

BatchBuilder *begin(HostProc *h, GroupId g) {
        batch_begin(&h->batches[g], h->key, g, h->wall, h->mono);
        return &h->batches[g];
}

void finish(HostProc *h, BatchBuilder *b) {
        if (b->n_rows == 0)
                return;
        sink_build(h->sink, b);
        h->owner[b->group] = (uint8_t)(h->collector + 1);
        h->written[b->group] = true;
}

static int64_t thread_cpu_ns(void) {
        struct timespec ts;
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

/* Groups that the collector wrote once and not now cannot be had any more. */
static void drop_unwritten(HostProc *h) {
        for (size_t g = 0; g < GROUP_COUNT; g++) {
                if (h->owner[g] != h->collector + 1)
                        continue;
                if (!h->written[g]) {
                        h->owner[g] = 0;
                        sink_group_gone(h->sink, h->key, (GroupId)g);
                }
                h->written[g] = false;
        }
}

static void write_again(HostProc *h) {
        for (size_t g = 0; g < GROUP_COUNT; g++)
                if (h->owner[g] == h->collector + 1)
                        sink_build(h->sink, &h->batches[g]);
}

static void run(HostProc *h, const Collector *c) {
        MonoTime start = mono_now();
        int64_t before = c->heavy ? thread_cpu_ns() : 0;
        int r = c->look ? c->look(h) : text_look(h, c);
        int64_t rest = c->heavy ? (thread_cpu_ns() - before) * HEAVY_REST : c->every_ns;
        h->due[h->collector] = (MonoTime){ h->mono.ns + rest };
        h->cost_ns[h->collector] = mono_since(mono_now(), start).ns;
        h->failed[h->collector] = r < 0;
        drop_unwritten(h);
}

void hostproc_look(HostProc *h, WallTime wall, MonoTime mono, Sink *sink) {
        h->wall = wall;
        h->mono = mono;
        h->sink = sink;
        h->text_path = NULL;
        BatchBuilder *self = begin(h, GROUP_NODE_SCRAPE);
        for (size_t i = 0; i < N_COLLECTORS; i++) {
                const Collector *c = &COLLECTORS[i];
                h->collector = i;
                if (h->due[i].ns > mono.ns)
                        write_again(h);
                else
                        run(h, c);
                batch_row1(self, c->name, strlen(c->name));
                batch_set(self, M_NODE_SCRAPE_DURATION, (double)h->cost_ns[i]);
                batch_set(self, M_NODE_SCRAPE_SUCCESS, !h->failed[i]);
        }
        sink_build(sink, self);
        h->sink = NULL;
}

/* The node_* collector on two recorded hosts, and on copies of them that are cut, garbled or changed. */
#include "collect/hostproc/hostproc.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#ifndef TEST_ROOTS
#define TEST_ROOTS "tests/roots"
#endif

#define MAX_KEPT 128

typedef struct Kept {
        GroupId group;
        int64_t mono;
        uint32_t n_rows;
        uint8_t *labels;
        size_t labels_len;
        double *values;
} Kept;

/* Keeps the last batch of each group. */
typedef struct Recorder {
        Sink sink;
        Kept kept[MAX_KEPT];
        size_t n, batches, gone;
} Recorder;

static Kept *kept_of(Recorder *r, GroupId g) {
        for (size_t i = 0; i < r->n; i++)
                if (r->kept[i].group == g)
                        return &r->kept[i];
        return NULL;
}

static void kept_clear(Kept *k) {
        free(k->labels);
        free(k->values);
        *k = (Kept){ .group = k->group };
}

static void record_batch(Sink *s, const Batch *b) {
        Recorder *r = (Recorder *)s;
        assert_int_equal(batch_check(b), 0);
        Kept *k = kept_of(r, b->group);
        if (!k) {
                assert_true(r->n < MAX_KEPT);
                k = &r->kept[r->n++];
                *k = (Kept){ .group = b->group };
        }
        kept_clear(k);
        size_t size = b->n_rows * group_columns(b->group) * sizeof(double);
        k->n_rows = b->n_rows;
        k->mono = b->mono.ns;
        k->labels_len = b->labels_len;
        k->labels = malloc(b->labels_len + 1);
        k->values = malloc(size + 1);
        assert_non_null(k->labels);
        assert_non_null(k->values);
        if (b->labels_len)
                memcpy(k->labels, b->labels, b->labels_len);
        memcpy(k->values, b->values, size);
        r->batches++;
}

static void record_group_gone(Sink *s, EntityKey key, GroupId group) {
        (void)key;
        Recorder *r = (Recorder *)s;
        Kept *k = kept_of(r, group);
        assert_non_null(k);
        kept_clear(k);
        r->gone++;
}

static void recorder_init(Recorder *r) {
        *r = (Recorder){ .sink = { .batch = record_batch, .group_gone = record_group_gone } };
}

static void recorder_deinit(Recorder *r) {
        for (size_t i = 0; i < r->n; i++)
                kept_clear(&r->kept[i]);
}

static void cleanup_host(HostProc **h) {
        *h = hostproc_free(*h);
}

static HostProc *open_host(const char *root) {
        HostProc *h = NULL;
        assert_int_equal(hostproc_new(root, (EntityKey){ ENTITY_HOST, UUID_NULL }, &h), 0);
        return h;
}

static MonoTime at_second(int64_t s) {
        return (MonoTime){ s * NS_PER_SEC };
}

static void look(HostProc *h, Recorder *r, int64_t second) {
        hostproc_look(h, (WallTime){ (1700000000 + second) * NS_PER_SEC }, at_second(second), &r->sink);
}

/* Exposed value of a metric in the row whose labels, joined with '|', are `labels`; NaN when there is no
 * such row, or it is absent there. */
static double value(Recorder *r, MetricId m, const char *labels) {
        Kept *k = kept_of(r, METRICS[m].group);
        const GroupDesc *g = &GROUPS[METRICS[m].group];
        LabelCursor c = { k ? k->labels : NULL, k ? k->labels + k->labels_len : NULL };
        for (uint32_t row = 0; k && row < k->n_rows; row++) {
                CLEANUP(buf_deinit) Buf joined = BUF_NULL;
                for (size_t i = 0; i < g->n_keys; i++) {
                        Span label;
                        assert_true(label_next(&c, &label));
                        buf_put_str(&joined, i ? "|" : "");
                        buf_put(&joined, label.text, label.len);
                }
                if (strcmp(buf_cstr(&joined), labels) != 0)
                        continue;
                double v = k->values[row * group_columns(k->group) + metric_column(m)];
                return value_is_absent(v) ? (double)NAN : unit_expose(METRICS[m].unit, v);
        }
        return (double)NAN;
}

static uint32_t rows(Recorder *r, GroupId g) {
        Kept *k = kept_of(r, g);
        return k ? k->n_rows : 0;
}

typedef struct Expected {
        MetricId metric;
        const char *labels;
        double value; /* NAN: absent */
} Expected;

static void check(Recorder *r, const Expected *expected, size_t n) {
        for (size_t i = 0; i < n; i++) {
                double v = value(r, expected[i].metric, expected[i].labels);
                if (isnan(v) && isnan(expected[i].value))
                        continue;
                if (!(fabs(v - expected[i].value) <= 1e-12 * fabs(v)))
                        fail_msg("%s{%s} [%s]: %.17g, expected %.17g", METRICS[expected[i].metric].name,
                                 METRICS[expected[i].metric].label, expected[i].labels, v, expected[i].value);
        }
}

static void test_host_a(void **state) {
        (void)state;
        CLEANUP(recorder_deinit) Recorder r;
        recorder_init(&r);
        CLEANUP(cleanup_host) HostProc *h = open_host(TEST_ROOTS "/host-a");
        look(h, &r, 10);
        static const Expected EXPECTED[] = {
                { M_NODE_CPU_USER, "0", 279.34 },
                { M_NODE_CPU_STEAL, "1", 1.14 },
                { M_NODE_CPU_GUEST_USER, "1", 0 },
                { M_NODE_STAT_INTR, "", 1139371 },
                { M_NODE_STAT_CTXT, "", 2354594 },
                { M_NODE_STAT_BTIME, "", 1795426661 },
                { M_NODE_STAT_FORKS, "", 25495 },
                { M_NODE_STAT_RUNNING, "", 4 },
                { M_NODE_STAT_BLOCKED, "", 0 },
                { M_NODE_LOAD_L1, "", 0.89 },
                { M_NODE_LOAD_L15, "", 0.30 },
                { M_NODE_MEM_MEMTOTAL, "", 24684096.0 * 1024 },
                { M_NODE_MEM_HIGHTOTAL, "", NAN },
                { M_NODE_FILEFD_ALLOCATED, "", 1570 },
                { M_NODE_FILEFD_MAXIMUM, "", 2466193 },
                { M_NODE_PRESSURE_CPU_WAITING, "", 36.896936 },
                { M_NODE_PRESSURE_IO_STALLED, "", 19.337044 },
                { M_NODE_PRESSURE_IRQ_STALLED, "", NAN },
                { M_NODE_SOFTNET_PROCESSED, "1", 0x3944 },
                { M_NODE_SOFTNET_RPS, "0", 0 },
                { M_NODE_DISK_READ_BYTES, "vda", 5813354.0 * 512 },
                { M_NODE_DISK_IO_WEIGHTED, "vda", 142.455 },
                { M_NODE_DISK_FLUSH_TIME, "vda", 0.085 },
                { M_NODE_DISK_READS, "loop0", NAN },
                { M_NODE_DISK_READS, "zram0", 0 },
                { M_NODE_DISK_INFO_INFO, "vda|254|0|||||", 1 },
                { M_NODE_NETDEV_RX_BYTES, "eth0", 177937136 },
                { M_NODE_NETDEV_TX_PACKETS, "lo", 1801 },
                { M_NODE_NETDEV_RX_NOHANDLER, "eth0", 0 },
                { M_NODE_NETCLASS_UP, "eth0", 1 },
                { M_NODE_NETCLASS_UP, "lo", 0 },
                { M_NODE_NETCLASS_SPEED, "eth0", NAN },
                { M_NODE_NETCLASS_FLAGS, "lo", 9 },
                { M_NODE_NETCLASS_CARRIER, "ifb0", NAN },
                { M_NODE_NETCLASS_TYPE, "lo", 772 },
                { M_NODE_NET_INFO_INFO, "eth0|up|52:54:00:aa:bb:01|ff:ff:ff:ff:ff:ff|unknown|", 1 },
                { M_NODE_ARP_ENTRIES, "eth0", 1 },
                { M_NODE_SOCKSTAT_SOCKETS_USED, "", 78 },
                { M_NODE_SOCKSTAT_TCP6_INUSE, "", 0 },
                { M_NODE_TCP_ESTABLISHED, "", 2 },
                { M_NODE_TCP_LISTEN, "", 1 },
                { M_NODE_TCP_TIME_WAIT, "", 1 },
                { M_NODE_TCP_CLOSING, "", 0 },
                { M_NODE_TCP_RX_QUEUED_BYTES, "", 2560 },
                { M_NODE_TCP_TX_QUEUED_BYTES, "", 16 },
                { M_NODE_UDP_RX, "v4", 768 },
                { M_NODE_UDP_RX, "v6", 0 },
                { M_NODE_PROCS_PIDS, "", 2 },
                { M_NODE_PROCS_THREADS, "", 3 },
                { M_NODE_PROCS_S_S, "", 2 },
                { M_NODE_PROCS_T_S, "", 2 },
                { M_NODE_PROCS_T_R, "", 1 },
                { M_NODE_PROCS_S_Z, "", 0 },
                { M_NODE_PROCS_MAX_PROCESSES, "", 32768 },
                { M_NODE_INTERRUPTS_COUNT, "1|26|IO-APIC|4-edge ttyS0", 10 },
                { M_NODE_FS_READONLY, "/dev/vda|/|ext4", 0 },
                { M_NODE_FS_ERROR, "/dev/vda|/|ext4", 0 },
                { M_NODE_FS_READONLY, "tools|/mnt/tools and\\more|tmpfs", 1 },
                { M_NODE_FS_READONLY, "/dev/vda|/var/lib/docker|ext4", 0 },
                { M_NODE_FS_READONLY, "server.example:/export|/srv/nfs|nfs4", 0 },
                { M_NODE_FS_SIZE, "server.example:/export|/srv/nfs|nfs4", NAN },
                { M_NODE_FS_ERROR, "server.example:/export|/srv/nfs|nfs4", NAN },
                { M_NODE_UNAME_INFO,
                  "Linux|6.1.0-18-amd64|#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)|x86_64|host-a|(none)", 1 },
                { M_NODE_OS_INFO,
                  "|debian||||Debian GNU/Linux|Debian GNU/Linux 12 (bookworm)|||12 (bookworm)|bookworm|12", 1 },
                { M_NODE_OS_VERSION_VERSION, "debian||Debian GNU/Linux", 12 },
                { M_NODE_SELINUX_ENABLED, "", 0 },
                { M_NODE_TIME_NOW, "", 1700000010 },
                { M_NODE_SCRAPE_SUCCESS, "meminfo", 1 },
                { M_NODE_SCRAPE_SUCCESS, "schedstat", 0 },
                { M_NODE_SCRAPE_SUCCESS, "timex", 0 },
        };
        check(&r, EXPECTED, ARRAY_LEN(EXPECTED));
        assert_int_equal(rows(&r, GROUP_NODE_FS), 4);
        assert_int_equal(rows(&r, GROUP_NODE_CPU), 2);
        assert_int_equal(rows(&r, GROUP_NODE_NETDEV), 3);
        assert_int_equal(rows(&r, GROUP_NODE_TIMEX), 0);
}

static void test_host_b(void **state) {
        (void)state;
        CLEANUP(recorder_deinit) Recorder r;
        recorder_init(&r);
        CLEANUP(cleanup_host) HostProc *h = open_host(TEST_ROOTS "/host-b");
        look(h, &r, 10);
        static const Expected EXPECTED[] = {
                { M_NODE_CPU_USER, "3", 10.03 },
                { M_NODE_CPU_USER, "2", NAN },
                { M_NODE_CPU_GUEST_NICE, "3", 0.03 },
                { M_NODE_SCHEDSTAT_RUNNING, "0", 2 },
                { M_NODE_SCHEDSTAT_WAITING, "3", 0.7 },
                { M_NODE_SCHEDSTAT_TIMESLICES, "1", 888 },
                { M_NODE_MEM_ACTIVE_ANON, "", 500000.0 * 1024 },
                { M_NODE_MEM_HUGEPAGES_TOTAL, "", 512 },
                { M_NODE_MEM_SWAPTOTAL, "", 8388604.0 * 1024 },
                { M_NODE_MEM_DIRECTMAP1G, "", 60817408.0 * 1024 },
                { M_NODE_VMSTAT_PSWPOUT, "", 40 },
                { M_NODE_VMSTAT_OOM_KILL, "", 7 },
                { M_NODE_DISK_WRITTEN_BYTES, "nvme0n1", 160000.0 * 512 },
                { M_NODE_DISK_IO_NOW, "nvme0n1", 2 },
                { M_NODE_DISK_DISCARD_TIME, "nvme0n1", 0.008 },
                { M_NODE_DISK_READS, "nvme0n1p1", NAN },
                { M_NODE_DISK_READS, "sda1", NAN },
                { M_NODE_DISK_READS, "sda", 100 },
                { M_NODE_DISK_DISCARDS, "sda", NAN },
                { M_NODE_DISK_FLUSHES, "dm-0", NAN },
                { M_NODE_DISK_DISCARD_TIME, "dm-0", 0.015 },
                { M_NODE_DISK_INFO_INFO, "nvme0n1|259|0|pci-0000:01:00.0-nvme-1|eui.0025|ACME SSD \"1\"|S123|1.0", 1 },
                { M_NODE_INTERRUPTS_COUNT, "3|16|IO-APIC|16-fasteoi ehci_hcd:usb1, i801_smbus", 7 },
                { M_NODE_INTERRUPTS_COUNT, "0|NMI|Non-maskable interrupts|", 1 },
                { M_NODE_NETDEV_RX_BYTES, "eno2", 18446744073709551615.0 },
                { M_NODE_NETDEV_RX_MULTICAST, "eno1", 6 },
                { M_NODE_NETDEV_RX_COMPRESSED, "eno1", 5 },
                { M_NODE_NETDEV_TX_COLLS, "eno1", 10 },
                { M_NODE_NETDEV_TX_CARRIER, "eno1", 11 },
                { M_NODE_NETDEV_RX_NOHANDLER, "bond0", 104 },
                { M_NODE_NETCLASS_SPEED, "eno1", 1.25e9 },
                { M_NODE_NETCLASS_SPEED, "eno2", NAN },
                { M_NODE_NETCLASS_MTU, "bond0", 9000 },
                { M_NODE_NETCLASS_UP, "eno2", 0 },
                { M_NODE_NETCLASS_FLAGS, "eno1", 0x1803 },
                { M_NODE_NET_INFO_INFO, "eno1|up|52:54:00:00:00:02|ff:ff:ff:ff:ff:ff|full|uplink \"A\"", 1 },
                { M_NODE_BONDING_SLAVES, "bond0", 2 },
                { M_NODE_BONDING_ACTIVE, "bond0", 1 },
                { M_NODE_ARP_ENTRIES, "bond0", 2 },
                { M_NODE_ARP_ENTRIES, "eno1", 1 },
                { M_NODE_SOFTNET_PROCESSED, "3", 64 },
                { M_NODE_SOFTNET_COLLISION, "0", 3 },
                { M_NODE_SOFTNET_RPS, "0", 4 },
                { M_NODE_SOFTNET_FLOW_LIMIT, "0", 5 },
                { M_NODE_SOFTNET_BACKLOG, "0", 6 },
                { M_NODE_NETSTAT_TCP_MAXCONN, "", -1 },
                { M_NODE_NETSTAT_TCP_CURRESTAB, "", 9 },
                { M_NODE_NETSTAT_TCP_OUTRSTS, "", 5 },
                { M_NODE_NETSTAT_ICMP_INERRORS, "", 12 },
                { M_NODE_NETSTAT_UDP_SNDBUFERRORS, "", 26 },
                { M_NODE_NETSTAT_UDPLITE_INERRORS, "", 1 },
                { M_NODE_NETSTAT_TCPEXT_SYNCOOKIESFAILED, "", 3 },
                { M_NODE_NETSTAT_TCPEXT_TCPOFOQUEUE, "", 9 },
                { M_NODE_NETSTAT_IPEXT_OUTOCTETS, "", 987654321098 },
                { M_NODE_NETSTAT_IP6_INOCTETS, "", NAN },
                { M_NODE_SOCKSTAT_TCP_MEM, "", 4 },
                { M_NODE_SOCKSTAT_TCP_MEM_BYTES, "", 16384 },
                { M_NODE_SOCKSTAT_UDP_MEM_BYTES, "", 24576 },
                { M_NODE_SOCKSTAT_TCP6_INUSE, "", NAN },
                { M_NODE_PRESSURE_MEMORY_STALLED, "", 0.5 },
                { M_NODE_PRESSURE_IRQ_STALLED, "", 0.75 },
                { M_NODE_HUNG_TASKS, "", 2 },
                { M_NODE_ENTROPY_POOL, "", 4096 },
                { M_NODE_CPUFREQ_CUR, "3", 2400003000 },
                { M_NODE_CPUFREQ_HW_MAX, "0", 3600000000 },
                { M_NODE_CPUFREQ_HW_CUR, "0", NAN },
                { M_NODE_HWMON_CHIP_NAMES, "platform_coretemp_0|coretemp", 1 },
                { M_NODE_HWMON_LABEL_LABEL, "platform_coretemp_0|temp1|Package id 0", 1 },
                { M_NODE_HWMON_TEMP_INPUT, "platform_coretemp_0|temp1", 45 },
                { M_NODE_HWMON_TEMP_MAX, "platform_coretemp_0|temp1", 80 },
                { M_NODE_HWMON_TEMP_CRIT, "platform_coretemp_0|temp1", 100 },
                { M_NODE_HWMON_TEMP_CRIT_ALARM, "platform_coretemp_0|temp1", 0 },
                { M_NODE_HWMON_TEMP_MAX, "platform_coretemp_0|temp2", NAN },
                { M_NODE_HWMON_TEMP_INPUT, "platform_coretemp_0|temp10", -5 },
                { M_NODE_HWMON_FAN_INPUT, "platform_coretemp_0|fan1", 1200 },
                { M_NODE_HWMON_FAN_MIN, "platform_coretemp_0|fan1", 300 },
                { M_NODE_HWMON_IN_INPUT, "platform_coretemp_0|in0", 1.104 },
                { M_NODE_COOLING_CUR, "0|Processor", 1 },
                { M_NODE_COOLING_MAX, "0|Processor", 10 },
                { M_NODE_THERMAL_TEMP, "0|x86_pkg_temp", 46.5 },
                { M_NODE_POWER_ONLINE, "AC", 1 },
                { M_NODE_EDAC_CE, "0", 3 },
                { M_NODE_EDAC_UE, "0", 1 },
                { M_NODE_NVME_INFO, "nvme0|1.0|ACME SSD|S123|live", 1 },
                { M_NODE_DMI_INFO, "01/02/2023||||||||||||||Box 3000|||||ACME", 1 },
                { M_NODE_OS_VERSION_VERSION, "ubuntu|debian|Ubuntu", 22.04 },
                { M_NODE_FS_READONLY, "/dev/sda1|/srv/images|ext4", 1 },
                { M_NODE_FS_ERROR, "/dev/sda1|/srv/images|ext4", 1 },
                { M_NODE_FS_ERROR, "192.0.2.9:/vol|/srv/shared disk|nfs", NAN },
                { M_NODE_FS_ERROR, "share|/srv/9p|9p", NAN },
                { M_NODE_FS_ERROR, "user@host:|/home/x|fuse.sshfs", NAN },
                { M_NODE_UNAME_INFO, "Linux|5.10.0-28-amd64|#1 SMP Debian 5.10.209-2||host-b|(none)", 1 },
        };
        check(&r, EXPECTED, ARRAY_LEN(EXPECTED));
        assert_int_equal(rows(&r, GROUP_NODE_CPUFREQ), 3);
        assert_int_equal(rows(&r, GROUP_NODE_INTERRUPTS), 9);
        assert_int_equal(rows(&r, GROUP_NODE_TCP), 0);
}

/* A copy of a recorded host in a temporary directory, to be changed. */
static char copy_root[64];
static size_t copy_from;
static char copied[512][PATH_MAX];
static size_t n_copied;

static void copy_file(const char *from, const char *to) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        CLEANUP_FD int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(buf_read_file(&text, AT_FDCWD, from, 1 << 20), 0);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text.data, text.len), (ssize_t)text.len);
        assert_true(n_copied < ARRAY_LEN(copied));
        (void)snprintf(copied[n_copied++], PATH_MAX, "%s", to);
}

static int copy_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void)st;
        (void)ftw;
        char to[PATH_MAX], target[PATH_MAX];
        (void)snprintf(to, sizeof to, "%.60s%.3900s", copy_root, path + copy_from);
        if (type == FTW_D)
                (void)mkdir(to, 0700);
        else if (type == FTW_F)
                copy_file(path, to);
        else if (type == FTW_SL || type == FTW_SLN) {
                ssize_t n = readlink(path, target, sizeof target - 1);
                assert_true(n > 0);
                target[n] = '\0';
                assert_int_equal(symlink(target, to), 0);
        }
        return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void)st;
        (void)type;
        (void)ftw;
        return remove(path);
}

static void copy_host(const char *from) {
        (void)snprintf(copy_root, sizeof copy_root, "/tmp/test_hostproc.XXXXXX");
        assert_non_null(mkdtemp(copy_root));
        copy_from = strlen(from);
        n_copied = 0;
        assert_int_equal(nftw(from, copy_entry, 16, FTW_PHYS), 0);
}

static int remove_copy(void **state) {
        (void)state;
        if (*copy_root)
                (void)nftw(copy_root, remove_entry, 16, FTW_PHYS | FTW_DEPTH);
        *copy_root = '\0';
        return 0;
}

/* In place, so that kept descriptors see it, as they see a changing /proc. */
static void write_over(const char *path, const char *text, size_t n) {
        CLEANUP_FD int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, n), (ssize_t)n);
}

static void in_copy(const char *path, char out[PATH_MAX]) {
        (void)snprintf(out, PATH_MAX, "%s/%s", copy_root, path);
}

static void rewrite(const char *path, const char *text) {
        char full[PATH_MAX];
        in_copy(path, full);
        write_over(full, text, strlen(text));
}

static void test_changes_are_seen(void **state) {
        (void)state;
        copy_host(TEST_ROOTS "/host-b");
        CLEANUP(recorder_deinit) Recorder r;
        recorder_init(&r);
        CLEANUP(cleanup_host) HostProc *h = open_host(copy_root);
        look(h, &r, 10);
        rewrite("proc/loadavg", "9.5 1.0 1.0 1/2 3\n");
        rewrite("sys/class/net/eno2/operstate", "up\n");
        rewrite("etc/os-release", "ID=other\nNAME=Other\nVERSION_ID=7\n");
        rewrite("sys/class/hwmon/hwmon3/temp1_input", "50000\n");
        look(h, &r, 20);
        assert_float_equal(value(&r, M_NODE_LOAD_L1, ""), 9.5, 0);
        assert_float_equal(value(&r, M_NODE_NETCLASS_UP, "eno2"), 1, 0);
        assert_float_equal(value(&r, M_NODE_HWMON_TEMP_INPUT, "platform_coretemp_0|temp1"), 50, 1e-9);
        /* Identities are looked at once a minute, and say so by their time. */
        assert_float_equal(value(&r, M_NODE_OS_VERSION_VERSION, "ubuntu|debian|Ubuntu"), 22.04, 0);
        assert_int_equal(kept_of(&r, GROUP_NODE_OS)->mono, at_second(10).ns);
        assert_int_equal(kept_of(&r, GROUP_NODE_LOAD)->mono, at_second(20).ns);
        look(h, &r, 100);
        assert_float_equal(value(&r, M_NODE_OS_VERSION_VERSION, "other||Other"), 7, 0);
        assert_int_equal(r.gone, 0);
}

static void test_slow_properties_come_in_turn(void **state) {
        (void)state;
        copy_host(TEST_ROOTS "/host-b");
        CLEANUP(recorder_deinit) Recorder r;
        recorder_init(&r);
        CLEANUP(cleanup_host) HostProc *h = open_host(copy_root);
        look(h, &r, 10);
        rewrite("sys/class/net/eno1/mtu", "1500\n");
        rewrite("sys/class/net/eno1/ifalias", "other\n");
        for (int64_t i = 1; i <= 16; i++)
                look(h, &r, 10 + i);
        assert_float_equal(value(&r, M_NODE_NETCLASS_MTU, "eno1"), 1500, 0);
        assert_float_equal(value(&r, M_NODE_NET_INFO_INFO, "eno1|up|52:54:00:00:00:02|ff:ff:ff:ff:ff:ff|full|other"), 1,
                           0);
}

static void test_interfaces_come_and_go(void **state) {
        (void)state;
        copy_host(TEST_ROOTS "/host-b");
        CLEANUP(recorder_deinit) Recorder r;
        recorder_init(&r);
        CLEANUP(cleanup_host) HostProc *h = open_host(copy_root);
        look(h, &r, 10);
        /* bond0 first, eno2 gone, a tap that /sys does not know (yet), a name that leads elsewhere. */
        rewrite("proc/net/dev",
                "head\nhead\n bond0: 1 1 0 0 0 0 0 0 2 2 0 0 0 0 0 0\n vnet0: 5 1 0 0 0 0 0 0 6 2 0 0 0 0 0 0\n"
                "  eno1: 3 1 0 0 0 0 0 0 4 2 0 0 0 0 0 0\n  ../..: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eno1: 9\n");
        look(h, &r, 20);
        assert_int_equal(rows(&r, GROUP_NODE_NETDEV), 3);
        assert_int_equal(rows(&r, GROUP_NODE_NETCLASS), 2);
        assert_float_equal(value(&r, M_NODE_NETDEV_RX_NOHANDLER, "bond0"), 104, 0);
        assert_float_equal(value(&r, M_NODE_NETDEV_RX_NOHANDLER, "eno1"), 102, 0);
        assert_float_equal(value(&r, M_NODE_NETDEV_RX_BYTES, "vnet0"), 5, 0);
        assert_true(isnan(value(&r, M_NODE_NETDEV_RX_NOHANDLER, "vnet0")));
        assert_float_equal(value(&r, M_NODE_NETCLASS_IFINDEX, "eno1"), 2, 0);
}

static void test_vanished_source_takes_its_group(void **state) {
        (void)state;
        char path[PATH_MAX];
        copy_host(TEST_ROOTS "/host-b");
        CLEANUP(recorder_deinit) Recorder r;
        recorder_init(&r);
        CLEANUP(cleanup_host) HostProc *h = open_host(copy_root);
        look(h, &r, 10);
        assert_int_equal(rows(&r, GROUP_NODE_BONDING), 1);
        in_copy("sys/class/net/bonding_masters", path);
        assert_int_equal(unlink(path), 0);
        look(h, &r, 20);
        assert_int_equal(r.gone, 1);
        assert_int_equal(rows(&r, GROUP_NODE_BONDING), 0);
        look(h, &r, 30);
        assert_int_equal(r.gone, 1);
}

static void test_half_written_is_absent(void **state) {
        (void)state;
        copy_host(TEST_ROOTS "/host-b");
        CLEANUP(recorder_deinit) Recorder r;
        recorder_init(&r);
        CLEANUP(cleanup_host) HostProc *h = open_host(copy_root);
        rewrite("proc/meminfo", "MemTotal:  1000 kB\nMemFree:     10");
        rewrite("proc/stat", "cpu  1 2\ncpu0 100 200\nctxt\nbtime x\nprocesses 99999999999999999999999\n");
        rewrite("proc/net/snmp", "Tcp: MaxConn InSegs\nUdp: 1 2\nTcp: MaxConn InSegs\nTcp: 1 2\n");
        rewrite("proc/sys/fs/file-nr", "12x 0 -\n");
        look(h, &r, 10);
        static const Expected EXPECTED[] = {
                { M_NODE_MEM_MEMTOTAL, "", 1024000 }, { M_NODE_MEM_MEMFREE, "", NAN },
                { M_NODE_CPU_USER, "0", 1 },          { M_NODE_CPU_SYSTEM, "0", NAN },
                { M_NODE_STAT_CTXT, "", NAN },        { M_NODE_STAT_BTIME, "", NAN },
                { M_NODE_STAT_FORKS, "", NAN },       { M_NODE_NETSTAT_TCP_INSEGS, "", NAN },
                { M_NODE_FILEFD_ALLOCATED, "", NAN }, { M_NODE_FILEFD_MAXIMUM, "", NAN },
        };
        check(&r, EXPECTED, ARRAY_LEN(EXPECTED));
}

/* Looks at the host with one file cut at several lengths and with bytes of it garbled; the sink checks
 * every batch, the sanitizers the rest. */
static void mutate(HostProc *h, Recorder *r, const char *path, int64_t *second, uint32_t *seed) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        assert_int_equal(buf_read_file(&text, AT_FDCWD, path, 1 << 20), 0);
        size_t step = text.len / 10 + 1;
        for (size_t n = 0; n < text.len; n += step) {
                write_over(path, text.data, n);
                look(h, r, *second += 61);
        }
        for (int i = 0; i < 3; i++) {
                CLEANUP(buf_deinit) Buf odd = BUF_NULL;
                buf_put(&odd, text.data, text.len);
                for (size_t at = 0; at < odd.len; at += 1 + *seed % 13) {
                        *seed = *seed * 1664525u + 1013904223u;
                        odd.data[at] = (char)(*seed >> 24);
                }
                write_over(path, odd.data, odd.len);
                look(h, r, *second += 61);
        }
        write_over(path, text.data, text.len);
}

static void mutate_all(const char *from) {
        copy_host(from);
        CLEANUP(recorder_deinit) Recorder r;
        recorder_init(&r);
        CLEANUP(cleanup_host) HostProc *h = open_host(copy_root);
        int64_t second = 0;
        uint32_t seed = 1;
        for (size_t i = 0; i < n_copied; i++)
                mutate(h, &r, copied[i], &second, &seed);
        /* Nothing of it sticks. */
        look(h, &r, second += 61);
        assert_float_equal(value(&r, M_NODE_SCRAPE_SUCCESS, "meminfo"), 1, 0);
        assert_true(value(&r, M_NODE_MEM_MEMTOTAL, "") > 1e9);
        assert_true(rows(&r, GROUP_NODE_NETCLASS) >= 3);
}

static void test_mutated_host_a(void **state) {
        (void)state;
        mutate_all(TEST_ROOTS "/host-a");
}

static void test_mutated_host_b(void **state) {
        (void)state;
        mutate_all(TEST_ROOTS "/host-b");
}

/* In a namespace of its own, where there is but lo: what the kernel told of is read at the next look. */
static int watch_changes(void) {
        if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
                return 77;
        CLEANUP(recorder_deinit) Recorder r;
        recorder_init(&r);
        CLEANUP(cleanup_host) HostProc *h = open_host("/");
        /* The second look is the first that nothing was told before. */
        look(h, &r, 10);
        look(h, &r, 20);
        double before = value(&r, M_NODE_NETCLASS_MTU, "lo");
        write_over("/sys/class/net/lo/mtu", "4321", 4);
        look(h, &r, 30);
        return before != 4321 && value(&r, M_NODE_NETCLASS_MTU, "lo") == 4321 ? 0 : 1;
}

static void test_changes_of_interfaces_are_told(void **state) {
        (void)state;
        pid_t child = fork();
        if (child == 0)
                _exit(watch_changes());
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                skip();
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_empty_root(void **state) {
        (void)state;
        (void)snprintf(copy_root, sizeof copy_root, "/tmp/test_hostproc.XXXXXX");
        assert_non_null(mkdtemp(copy_root));
        CLEANUP(recorder_deinit) Recorder r;
        recorder_init(&r);
        CLEANUP(cleanup_host) HostProc *h = open_host(copy_root);
        look(h, &r, 10);
        /* Only the time, SELinux (known to be off) and the collectors' own. */
        assert_int_equal(r.n, 3);
        HostProc *none = NULL;
        assert_int_equal(hostproc_new("/nonexistent/root", (EntityKey){ ENTITY_HOST, UUID_NULL }, &none), -ENOENT);
        assert_null(none);
}

static size_t open_descriptors(void) {
        size_t n = 0;
        for (int fd = 0; fd < 1024; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

/* On the machine that runs the test: no descriptor stays behind, none more at each look. */
static void test_live_descriptors(void **state) {
        (void)state;
        size_t before = open_descriptors();
        CLEANUP(recorder_deinit) Recorder r;
        recorder_init(&r);
        HostProc *h = open_host("/");
        look(h, &r, 10);
        size_t first = open_descriptors();
        look(h, &r, 100);
        look(h, &r, 200);
        assert_true(open_descriptors() <= first + 8);
        assert_true(first - before <= HOSTPROC_MAX_KEPT_FDS + 1);
        h = hostproc_free(h);
        assert_int_equal(open_descriptors(), before);
        assert_false(isnan(value(&r, M_NODE_TIMEX_TICK, "")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_host_a),
                cmocka_unit_test(test_host_b),
                cmocka_unit_test_teardown(test_changes_are_seen, remove_copy),
                cmocka_unit_test_teardown(test_slow_properties_come_in_turn, remove_copy),
                cmocka_unit_test_teardown(test_interfaces_come_and_go, remove_copy),
                cmocka_unit_test_teardown(test_vanished_source_takes_its_group, remove_copy),
                cmocka_unit_test_teardown(test_half_written_is_absent, remove_copy),
                cmocka_unit_test_teardown(test_mutated_host_a, remove_copy),
                cmocka_unit_test_teardown(test_mutated_host_b, remove_copy),
                cmocka_unit_test(test_changes_of_interfaces_are_told),
                cmocka_unit_test_teardown(test_empty_root, remove_copy),
                cmocka_unit_test(test_live_descriptors),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

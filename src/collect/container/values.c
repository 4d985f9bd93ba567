/* One function a group: the files of v1 or of v2 become one batch in the units of their source.
 * What a file does not say stays absent. */
#include "collect/container/container_priv.h"

#include <math.h>

#define IO_ROWS_MAX 256
/* v1 writes "no limit" as the largest multiple of the page size. */
#define V1_UNLIMITED ((uint64_t)1 << 62)
#define TICK_NS 1e7

void ctr_begin(Containers *c, const Container *k, GroupId group) {
        batch_begin(&c->batch, k->key, group, c->wall, c->mono);
        if (GROUPS[group].n_keys == 0)
                batch_row(&c->batch, NULL);
}

void ctr_end(Containers *c, Container *k, GroupId group, bool any) {
        uint32_t bit = UINT32_C(1) << (group - GROUP_CTR_START);
        if (any) {
                sink_build(c->sink, &c->batch);
                k->sent |= bit;
        } else if (k->sent & bit) {
                sink_group_gone(c->sink, k->key, group);
                k->sent &= ~bit;
        }
}

/* A word that is a number and nothing else. */
static bool scan_number(Scan *s, uint64_t *ret_v) {
        Span word;
        return scan_word(s, &word) && span_u64(word, ret_v);
}

/* A file that is one number. */
static bool read_number(Containers *c, Container *k, CtrFile f, uint64_t *ret_v) {
        Scan s;
        return ctr_read(c, k, f, &s) && scan_number(&s, ret_v);
}

static bool set_number(Containers *c, Container *k, CtrFile f, MetricId m) {
        uint64_t v;
        if (!read_number(c, k, f, &v))
                return false;
        batch_set(&c->batch, m, (double)v);
        return true;
}

typedef struct FlatRow {
        const char *key;
        MetricId metric;
        double factor;
} FlatRow;

/* Sets the metrics whose keys are in a "key value" file; whether there was any. */
static bool set_flat(Containers *c, Scan s, const FlatRow *rows, size_t n) {
        Span line, key;
        bool any = false;
        while (scan_line(&s, &line)) {
                Scan l = SCAN(line.text, line.len);
                uint64_t v;
                if (!scan_word(&l, &key) || !scan_number(&l, &v))
                        continue;
                for (size_t i = 0; i < n; i++)
                        if (span_is(key, rows[i].key)) {
                                batch_set(&c->batch, rows[i].metric, (double)v * rows[i].factor);
                                any = true;
                        }
        }
        return any;
}

/* ---- CPU */

static const FlatRow CPU_V2[] = {
        { "usage_usec", M_CTR_CPU_USAGE, 1000 },
        { "user_usec", M_CTR_CPU_USER, 1000 },
        { "system_usec", M_CTR_CPU_SYSTEM, 1000 },
};
static const FlatRow CPU_QUOTA[] = {
        { "nr_periods", M_CTR_CPU_PERIODS, 1 },         { "nr_throttled", M_CTR_CPU_THROTTLED_PERIODS, 1 },
        { "throttled_time", M_CTR_CPU_THROTTLED, 1 },   { "throttled_usec", M_CTR_CPU_THROTTLED, 1000 },
        { "nr_bursts", M_CTR_CPU_BURST_PERIODS, 1 },    { "burst_time", M_CTR_CPU_BURST, 1 },
        { "burst_usec", M_CTR_CPU_BURST, 1000 },
};
static const FlatRow CPU_ACCT[] = { { "user", M_CTR_CPU_USER, TICK_NS }, { "system", M_CTR_CPU_SYSTEM, TICK_NS } };

static double *spec_of(Container *k, MetricId m) {
        return &k->spec[metric_column(m)];
}

static void send_cpu(Containers *c, Container *k) {
        Scan s;
        ctr_begin(c, k, GROUP_CTR_CPU);
        bool any = false;
        if (ctr_read(c, k, F_CPU_STAT, &s)) {
                if (k->paths.v2[CGROUP_CPU])
                        any = set_flat(c, s, CPU_V2, ARRAY_LEN(CPU_V2));
                /* Without a quota the numbers are zeroes that mean nothing. */
                if (!value_is_absent(*spec_of(k, M_CTR_SPEC_CPU_QUOTA)))
                        any |= set_flat(c, s, CPU_QUOTA, ARRAY_LEN(CPU_QUOTA));
        }
        if (!k->paths.v2[CGROUP_CPUACCT]) {
                any |= set_number(c, k, F_CPU_USAGE, M_CTR_CPU_USAGE);
                if (ctr_read(c, k, F_CPU_ACCT, &s))
                        any |= set_flat(c, s, CPU_ACCT, ARRAY_LEN(CPU_ACCT));
        }
        ctr_end(c, k, GROUP_CTR_CPU, any);
}

static void send_cpu_per(Containers *c, Container *k) {
        Scan s;
        if (k->paths.v2[CGROUP_CPUACCT])
                return;
        ctr_begin(c, k, GROUP_CTR_CPU_PER);
        uint64_t v;
        unsigned cpu = 0;
        if (ctr_read(c, k, F_CPU_PER, &s))
                for (; scan_number(&s, &v); cpu++) {
                        char label[16];
                        int n = snprintf(label, sizeof label, "%u", cpu);
                        batch_row1(&c->batch, label, (size_t)n);
                        batch_set(&c->batch, M_CTR_CPU_PER_USAGE, (double)v);
                }
        ctr_end(c, k, GROUP_CTR_CPU_PER, cpu > 0);
}

/* ---- pressure */

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=123" */
static bool psi_line(Span line, const char *kind, uint64_t *ret_us) {
        Scan s = SCAN(line.text, line.len);
        Span word;
        if (!scan_word(&s, &word) || !span_is(word, kind))
                return false;
        while (scan_word(&s, &word))
                if (span_starts(word, "total="))
                        return span_u64((Span){ word.text + 6, word.len - 6 }, ret_us);
        return false;
}

static bool set_psi(Containers *c, Container *k, CtrFile f, const char *resource, MetricId waiting, MetricId stalled) {
        char path[64];
        Scan s;
        Span line;
        bool any = false;
        if (!ctr_read(c, k, f, &s)) {
                /* Older kernels keep the root's pressure in /proc alone. */
                (void)snprintf(path, sizeof path, "proc/pressure/%s", resource);
                if (strcmp(k->path, "/") != 0 || !ctr_read_root(c, path, &s))
                        return false;
        }
        while (scan_line(&s, &line)) {
                uint64_t us;
                if (psi_line(line, "some", &us))
                        batch_set(&c->batch, waiting, (double)us);
                else if (psi_line(line, "full", &us))
                        batch_set(&c->batch, stalled, (double)us);
                else
                        continue;
                any = true;
        }
        return any;
}

static void send_psi(Containers *c, Container *k) {
        ctr_begin(c, k, GROUP_CTR_PSI);
        bool any = set_psi(c, k, F_PSI_CPU, "cpu", M_CTR_PSI_CPU_WAITING, M_CTR_PSI_CPU_STALLED);
        any |= set_psi(c, k, F_PSI_MEMORY, "memory", M_CTR_PSI_MEMORY_WAITING, M_CTR_PSI_MEMORY_STALLED);
        any |= set_psi(c, k, F_PSI_IO, "io", M_CTR_PSI_IO_WAITING, M_CTR_PSI_IO_STALLED);
        ctr_end(c, k, GROUP_CTR_PSI, any);
}

/* ---- memory */

static const FlatRow MEM_V1[] = {
        { "total_rss", M_CTR_MEM_RSS, 1 },
        { "total_cache", M_CTR_MEM_CACHE, 1 },
        { "total_swap", M_CTR_MEM_SWAP, 1 },
        { "total_mapped_file", M_CTR_MEM_MAPPED_FILE, 1 },
        { "total_active_file", M_CTR_MEM_ACTIVE_FILE, 1 },
        { "total_inactive_file", M_CTR_MEM_INACTIVE_FILE, 1 },
        { "total_dirty", M_CTR_MEM_DIRTY, 1 },
        { "total_writeback", M_CTR_MEM_WRITEBACK, 1 },
        { "total_workingset_refault_anon", M_CTR_MEM_REFAULT_ANON, 1 },
        { "total_workingset_refault_file", M_CTR_MEM_REFAULT_FILE, 1 },
};
static const FlatRow MEM_V2[] = {
        { "anon", M_CTR_MEM_RSS, 1 },
        { "file", M_CTR_MEM_CACHE, 1 },
        { "file_mapped", M_CTR_MEM_MAPPED_FILE, 1 },
        { "kernel", M_CTR_MEM_KERNEL, 1 },
        { "active_file", M_CTR_MEM_ACTIVE_FILE, 1 },
        { "inactive_file", M_CTR_MEM_INACTIVE_FILE, 1 },
        { "file_dirty", M_CTR_MEM_DIRTY, 1 },
        { "file_writeback", M_CTR_MEM_WRITEBACK, 1 },
        { "pgscan", M_CTR_MEM_PGSCAN, 1 },
        { "pgsteal", M_CTR_MEM_PGSTEAL, 1 },
        { "workingset_refault_anon", M_CTR_MEM_REFAULT_ANON, 1 },
        { "workingset_refault_file", M_CTR_MEM_REFAULT_FILE, 1 },
};
/* v1 has them with and without those below; v2 counts everything below. */
static const FlatRow FAULTS_V1[] = {
        { "pgfault", M_CTR_FAULTS_MINOR_CONTAINER, 1 },    { "total_pgfault", M_CTR_FAULTS_MINOR_HIERARCHY, 1 },
        { "pgmajfault", M_CTR_FAULTS_MAJOR_CONTAINER, 1 }, { "total_pgmajfault", M_CTR_FAULTS_MAJOR_HIERARCHY, 1 },
};
/* cAdvisor gives the hierarchy's number for both on v2, and dashboards ask for scope "container". */
static const FlatRow FAULTS_V2[] = {
        { "pgfault", M_CTR_FAULTS_MINOR_CONTAINER, 1 },    { "pgfault", M_CTR_FAULTS_MINOR_HIERARCHY, 1 },
        { "pgmajfault", M_CTR_FAULTS_MAJOR_CONTAINER, 1 }, { "pgmajfault", M_CTR_FAULTS_MAJOR_HIERARCHY, 1 },
};
static const FlatRow EVENTS_V1[] = { { "oom_kill", M_CTR_MEM_OOM, 1 } };
static const FlatRow EVENTS_V2[] = {
        { "oom_kill", M_CTR_MEM_OOM, 1 },
        { "high", M_CTR_MEM_EVENTS_HIGH, 1 },
        { "max", M_CTR_MEM_EVENTS_MAX, 1 },
};

static bool flat_value(Scan s, const char *wanted, uint64_t *ret_v) {
        Span line, key;
        while (scan_line(&s, &line)) {
                Scan l = SCAN(line.text, line.len);
                if (scan_word(&l, &key) && span_is(key, wanted))
                        return scan_number(&l, ret_v);
        }
        return false;
}

/* memory.stat is dear (the kernel sums up what each CPU counted): read once a look, kept for two groups. */
static void read_memory_stat(Containers *c, Container *k) {
        Scan s;
        buf_reset(&c->memory_stat);
        if (ctr_read(c, k, F_MEM_STAT, &s))
                buf_put(&c->memory_stat, s.at, (size_t)(s.end - s.at));
}

static Scan memory_stat(const Containers *c) {
        return SCAN(c->memory_stat.data, c->memory_stat.len);
}

/* The root of v2 has no memory.current: page cache and anonymous memory are what v1's root counts. */
static bool memory_used(Containers *c, Container *k, uint64_t *ret_v) {
        uint64_t anon, file;
        if (read_number(c, k, F_MEM_USAGE, ret_v))
                return true;
        if (strcmp(k->path, "/") != 0 || !k->paths.v2[CGROUP_MEMORY] ||
            !flat_value(memory_stat(c), "anon", &anon) || !flat_value(memory_stat(c), "file", &file))
                return false;
        *ret_v = anon + file;
        return true;
}

static void send_memory(Containers *c, Container *k) {
        bool v2 = k->paths.v2[CGROUP_MEMORY];
        uint64_t used, inactive = 0;
        Scan s;
        read_memory_stat(c, k);
        ctr_begin(c, k, GROUP_CTR_MEM);
        bool have_used = memory_used(c, k, &used), any = have_used;
        if (have_used)
                batch_set(&c->batch, M_CTR_MEM_USAGE, (double)used);
        any |= set_flat(c, memory_stat(c), v2 ? MEM_V2 : MEM_V1, v2 ? ARRAY_LEN(MEM_V2) : ARRAY_LEN(MEM_V1));
        if (have_used && flat_value(memory_stat(c), v2 ? "inactive_file" : "total_inactive_file", &inactive))
                batch_set(&c->batch, M_CTR_MEM_WORKING_SET, used > inactive ? (double)(used - inactive) : 0);
        any |= set_number(c, k, F_MEM_MAX, M_CTR_MEM_MAX_USAGE);
        any |= set_number(c, k, F_MEM_FAILCNT, M_CTR_MEM_FAILCNT);
        any |= set_number(c, k, F_MEM_KERNEL, M_CTR_MEM_KERNEL);
        any |= set_number(c, k, F_MEM_SWAP, M_CTR_MEM_SWAP);
        if (ctr_read(c, k, F_MEM_EVENTS, &s))
                any |= set_flat(c, s, v2 ? EVENTS_V2 : EVENTS_V1, v2 ? ARRAY_LEN(EVENTS_V2) : ARRAY_LEN(EVENTS_V1));
        ctr_end(c, k, GROUP_CTR_MEM, any);
}

static void send_faults(Containers *c, Container *k) {
        bool v2 = k->paths.v2[CGROUP_MEMORY];
        ctr_begin(c, k, GROUP_CTR_FAULTS);
        bool any = set_flat(c, memory_stat(c), v2 ? FAULTS_V2 : FAULTS_V1, 4);
        ctr_end(c, k, GROUP_CTR_FAULTS, any);
}

/* ---- block devices */

typedef struct IoRow {
        uint32_t major, minor;
        double values[4]; /* read bytes, written bytes, reads, writes */
} IoRow;

typedef struct IoRows {
        IoRow rows[IO_ROWS_MAX];
        size_t n;
} IoRows;

static IoRow *io_row(IoRows *io, uint64_t major, uint64_t minor) {
        for (size_t i = io->n; i > 0; i--)
                if (io->rows[i - 1].major == major && io->rows[i - 1].minor == minor)
                        return &io->rows[i - 1];
        if (io->n == IO_ROWS_MAX || major > UINT32_MAX || minor > UINT32_MAX)
                return NULL;
        double absent = value_absent();
        io->rows[io->n] = (IoRow){ (uint32_t)major, (uint32_t)minor, { absent, absent, absent, absent } };
        return &io->rows[io->n++];
}

/* "253:0 Read 4096" */
static void io_v1(IoRows *io, Scan s, size_t first_column) {
        Span line, word;
        while (scan_line(&s, &line)) {
                Scan l = SCAN(line.text, line.len);
                uint64_t major, minor, v;
                if (!scan_u64(&l, &major) || !scan_literal(&l, ":") || !scan_u64(&l, &minor) || !scan_word(&l, &word) ||
                    !scan_u64(&l, &v))
                        continue;
                size_t column = span_is(word, "Read") ? 0 : span_is(word, "Write") ? 1 : 2;
                IoRow *row = column < 2 ? io_row(io, major, minor) : NULL;
                if (row)
                        row->values[first_column + column] = (double)v;
        }
}

/* "253:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" */
static void io_v2(IoRows *io, Scan s) {
        static const char *const KEYS[4] = { "rbytes=", "wbytes=", "rios=", "wios=" };
        Span line, word;
        while (scan_line(&s, &line)) {
                Scan l = SCAN(line.text, line.len);
                uint64_t major, minor, v;
                if (!scan_u64(&l, &major) || !scan_literal(&l, ":") || !scan_u64(&l, &minor))
                        continue;
                IoRow *row = NULL;
                while (scan_word(&l, &word))
                        for (size_t i = 0; i < 4; i++) {
                                size_t n = strlen(KEYS[i]);
                                if (!span_starts(word, KEYS[i]) || !span_u64((Span){ word.text + n, word.len - n }, &v))
                                        continue;
                                row = row ? row : io_row(io, major, minor);
                                if (row)
                                        row->values[i] = (double)v;
                        }
        }
}

/* "/dev/sda" of 8:0, by the link in /sys/dev/block; the numbers where there is none. */
static const char *device_name(Containers *c, uint32_t major, uint32_t minor) {
        for (size_t i = 0; i < c->n_devices; i++)
                if (c->devices[i].major == major && c->devices[i].minor == minor)
                        return c->devices[i].name;
        size_t at = c->n_devices < DEVICE_CACHE ? c->n_devices++ : DEVICE_CACHE - 1;
        DeviceName *d = &c->devices[at];
        char link[PATH_MAX], target[PATH_MAX];
        d->major = major;
        d->minor = minor;
        (void)snprintf(d->name, sizeof d->name, "%u:%u", major, minor);
        int r = snprintf(link, sizeof link, "%s/sys/dev/block/%u:%u", c->root, major, minor);
        ssize_t n = r < (int)sizeof link ? readlink(link, target, sizeof target - 1) : -1;
        if (n <= 0)
                return d->name;
        target[n] = '\0';
        const char *slash = strrchr(target, '/');
        (void)snprintf(d->name, sizeof d->name, "/dev/%.50s", slash ? slash + 1 : target);
        /* "cciss!c0d0" stands for "cciss/c0d0". */
        for (char *p = d->name; *p; p++)
                if (*p == '!')
                        *p = '/';
        return d->name;
}

static void send_io_rows(Containers *c, Container *k, const IoRows *io) {
        ctr_begin(c, k, GROUP_CTR_IO);
        for (size_t i = 0; i < io->n; i++) {
                const char *name = device_name(c, io->rows[i].major, io->rows[i].minor);
                batch_row1(&c->batch, name, strlen(name));
                for (size_t j = 0; j < 4; j++)
                        batch_set(&c->batch, (MetricId)(M_CTR_IO_READS_BYTES + j), io->rows[i].values[j]);
        }
        ctr_end(c, k, GROUP_CTR_IO, io->n > 0);
}

static void send_blkio_rows(Containers *c, Container *k, const IoRows *io) {
        ctr_begin(c, k, GROUP_CTR_BLKIO);
        for (size_t i = 0; i < io->n; i++) {
                const IoRow *row = &io->rows[i];
                const char *name = device_name(c, row->major, row->minor);
                char major[16], minor[16];
                int a = snprintf(major, sizeof major, "%u", row->major);
                int b = snprintf(minor, sizeof minor, "%u", row->minor);
                batch_row(&c->batch, (Span[]){ { name, strlen(name) }, { major, (size_t)a }, { minor, (size_t)b } });
                batch_set(&c->batch, M_CTR_BLKIO_READ, row->values[0]);
                batch_set(&c->batch, M_CTR_BLKIO_WRITE, row->values[1]);
        }
        ctr_end(c, k, GROUP_CTR_BLKIO, io->n > 0);
}

static void send_io(Containers *c, Container *k) {
        IoRows io = { .n = 0 };
        Scan s;
        if (ctr_read(c, k, F_IO_BYTES, &s)) {
                if (k->paths.v2[CGROUP_IO])
                        io_v2(&io, s);
                else
                        io_v1(&io, s, 0);
        }
        if (!k->paths.v2[CGROUP_IO] && ctr_read(c, k, F_IO_OPS, &s))
                io_v1(&io, s, 2);
        send_io_rows(c, k, &io);
        send_blkio_rows(c, k, &io);
}

/* ---- limits */

/* A v1 or v2 limit; absent for "max", -1 and v1's largest number. */
static double read_limit(Containers *c, const Container *k, CgroupController ctl, const char *v1, const char *v2) {
        Scan s;
        uint64_t v;
        if (!ctr_read_once(c, k, ctl, v1, v2, &s) || !scan_number(&s, &v) || v >= V1_UNLIMITED)
                return value_absent();
        return (double)v;
}

static void read_cpu_limits(Containers *c, Container *k) {
        double *quota = spec_of(k, M_CTR_SPEC_CPU_QUOTA), *period = spec_of(k, M_CTR_SPEC_CPU_PERIOD);
        Scan s;
        Span word;
        uint64_t v;
        if (!k->paths.v2[CGROUP_CPU]) {
                *quota = read_limit(c, k, CGROUP_CPU, "cpu.cfs_quota_us", NULL);
                *period = read_limit(c, k, CGROUP_CPU, "cpu.cfs_period_us", NULL);
                *spec_of(k, M_CTR_SPEC_CPU_SHARES) = read_limit(c, k, CGROUP_CPU, "cpu.shares", NULL);
                return;
        }
        *quota = *period = value_absent();
        if (ctr_read_once(c, k, CGROUP_CPU, NULL, "cpu.max", &s) && scan_word(&s, &word)) {
                if (span_u64(word, &v))
                        *quota = (double)v;
                if (scan_number(&s, &v))
                        *period = (double)v;
        }
        /* The engines turn shares 2..262144 into weight 1..10000; this is the way back that cAdvisor takes. */
        double weight = read_limit(c, k, CGROUP_CPU, NULL, "cpu.weight");
        *spec_of(k, M_CTR_SPEC_CPU_SHARES) =
                value_is_absent(weight) ? weight : floor(2 + (weight - 1) * 262142 / 9999);
}

static void read_spec(Containers *c, Container *k) {
        read_cpu_limits(c, k);
        *spec_of(k, M_CTR_SPEC_MEMORY_LIMIT) =
                read_limit(c, k, CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max");
        *spec_of(k, M_CTR_SPEC_MEMORY_RESERVATION) =
                read_limit(c, k, CGROUP_MEMORY, "memory.soft_limit_in_bytes", "memory.low");
        /* v2 says "none" with 0 there. */
        if (*spec_of(k, M_CTR_SPEC_MEMORY_RESERVATION) == 0)
                *spec_of(k, M_CTR_SPEC_MEMORY_RESERVATION) = value_absent();
        *spec_of(k, M_CTR_SPEC_SWAP_LIMIT) =
                read_limit(c, k, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", "memory.swap.max");
}

static void send_spec(Containers *c, Container *k) {
        bool any = false;
        ctr_begin(c, k, GROUP_CTR_SPEC);
        for (size_t i = 0; i < SPEC_COUNT; i++) {
                batch_set(&c->batch, (MetricId)(GROUPS[GROUP_CTR_SPEC].first + i), k->spec[i]);
                any |= !value_is_absent(k->spec[i]);
        }
        ctr_end(c, k, GROUP_CTR_SPEC, any);
}

void ctr_send_values(Containers *c, Container *k) {
        static const Duration RECHECK = SECONDS(30);
        if (k->rechecked.ns == 0 || mono_since(c->mono, k->rechecked).ns >= RECHECK.ns) {
                ctr_recheck(k);
                read_spec(c, k);
                k->rechecked = c->mono;
        }
        send_cpu(c, k);
        send_cpu_per(c, k);
        send_psi(c, k);
        send_memory(c, k);
        send_faults(c, k);
        send_io(c, k);
        send_spec(c, k);
}

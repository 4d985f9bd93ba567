/* The kernel lane on a recorded host (tests/roots/qemu-a): lane-a runs under KVM in libvirt's v2 cgroup
 * with a tap, "lane,b" under software emulation in a session's cgroup with a macvtap. Each test works on
 * a copy that it mutates. */
#include "collect/qemu/qemu.h"

#include "base/buf.h"
#include "collect/qemu/netlink.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

#ifndef TEST_ROOTS
#define TEST_ROOTS "tests/roots"
#endif

#define MAX_VALUES 256

typedef struct Value {
        EntityKey key;
        MetricId metric;
        char label[32];
        double value;
} Value;

typedef struct Recorder {
        Sink sink;
        Value values[MAX_VALUES];
        size_t n_values;
        size_t n_entities, n_gone, n_group_gone;
        char name[64];
        uint32_t pid;
        int64_t started_ns;
        MonoTime net_mono; /* of the last DOM_NET */
} Recorder;

static void record_batch(Sink *s, const Batch *b) {
        Recorder *r = (Recorder *)s;
        assert_int_equal(batch_check(b), 0);
        if (b->group == GROUP_DOM_NET)
                r->net_mono = b->mono;
        LabelCursor labels = batch_labels(b);
        size_t columns = group_columns(b->group);
        for (uint32_t row = 0; row < b->n_rows; row++) {
                Span label = { "", 0 };
                if (GROUPS[b->group].n_keys > 0)
                        assert_true(label_next(&labels, &label));
                for (size_t i = 0; i < columns; i++) {
                        double value = b->values[row * columns + i];
                        if (value_is_absent(value))
                                continue;
                        assert_true(r->n_values < MAX_VALUES);
                        Value *v = &r->values[r->n_values++];
                        *v = (Value){ .key = b->key, .metric = (MetricId)(GROUPS[b->group].first + i), .value = value };
                        (void)snprintf(v->label, sizeof v->label, "%.*s", (int)label.len, label.text);
                }
        }
}

static void record_entity(Sink *s, const EntityInfo *info) {
        Recorder *r = (Recorder *)s;
        r->n_entities++;
        r->pid = info->pid;
        r->started_ns = info->started_ns;
        (void)snprintf(r->name, sizeof r->name, "%.*s", (int)info->name_len, info->name);
}

static void record_gone(Sink *s, EntityKey key) {
        (void)key;
        ((Recorder *)s)->n_gone++;
}

static void record_group_gone(Sink *s, EntityKey key, GroupId group) {
        (void)key;
        (void)group;
        ((Recorder *)s)->n_group_gone++;
}

#define RECORDER \
        ((Recorder){ .sink = { .batch = record_batch, .entity = record_entity, .gone = record_gone, \
                               .group_gone = record_group_gone } })

/* The value, or -1 when it is absent. */
static double value_of(const Recorder *r, MetricId m, const char *label) {
        for (size_t i = 0; i < r->n_values; i++)
                if (r->values[i].metric == m && strcmp(r->values[i].label, label) == 0)
                        return r->values[i].value;
        return -1;
}

#define assert_value(r, m, label, expected) assert_true(value_of((r), (m), (label)) == (expected))

static Uuid lane(unsigned char last) {
        Uuid u = { { 0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x43, 0x33, 0x84, 0x44, 0, 0, 0, 0, 0, last } };
        return u;
}

/* --- the copy of the tree --- */

typedef struct Tree {
        char root[64];
} Tree;

static void run(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void run(const char *fmt, ...) {
        char command[1024];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(command, sizeof command, fmt, ap);
        va_end(ap);
        assert_int_equal(system(command), 0);
}

static Tree tree_new(void) {
        Tree t;
        (void)snprintf(t.root, sizeof t.root, "/tmp/test_qemu.XXXXXX");
        assert_non_null(mkdtemp(t.root));
        run("cp -a '%s/qemu-a/.' '%s'", TEST_ROOTS, t.root);
        return t;
}

static void tree_free(Tree *t) {
        run("rm -rf '%s'", t->root);
}

static void write_file(const Tree *t, const char *path, const void *bytes, size_t n) {
        char full[512];
        (void)snprintf(full, sizeof full, "%s/%s", t->root, path);
        CLEANUP_FD int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, n), (ssize_t)n);
}

static void write_text(const Tree *t, const char *path, const char *text) {
        write_file(t, path, text, strlen(text));
}

static void write_cmdline(const Tree *t, const char *pid, const char *name, const char *uuid, const char *more) {
        char path[64];
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        (void)snprintf(path, sizeof path, "proc/%s/cmdline", pid);
        buf_printf(&b, "/usr/bin/qemu-system-x86_64%c-name%cguest=%s%c-uuid%c%s%c", 0, 0, name, 0, 0, uuid, 0);
        if (more)
                buf_printf(&b, "-netdev%c%s%c", 0, more, 0);
        assert_int_equal(buf_error(&b), 0);
        write_file(t, path, b.data, b.len);
}

static QemuCollector *collector(const Tree *t, size_t max) {
        QemuCollector *q = NULL;
        EntityKey host = { ENTITY_HOST, UUID_NULL };
        assert_int_equal(qemu_new(t->root, host, max, &q), 0);
        return q;
}

static int look(QemuCollector *q, unsigned char which, Recorder *r) {
        static int64_t seconds; /* looks are a second apart */
        Uuid id = lane(which);
        seconds++;
        return qemu_look(q, &id, (WallTime){ seconds * NS_PER_SEC }, (MonoTime){ seconds * NS_PER_SEC }, &r->sink);
}

/* --- tests --- */

static void test_finds_machines(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(qemu_count(q), 2);
        assert_int_equal(r.n_entities, 2);
        assert_string_equal(r.name, "lane,b");
        assert_int_equal(r.pid, 4343);
        assert_true(r.started_ns > 1795426600 * NS_PER_SEC);
        Uuid first = lane(1);
        assert_true(uuid_equal(qemu_at(q, 0), &first));
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(r.n_entities, 2);
        qemu_announce(q, &r.sink);
        assert_int_equal(r.n_entities, 4);
}

static void test_values(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(look(q, 1, &r), 0);
        assert_value(&r, M_DOM_VCPU_TIME, "0", 5412155354.0);
        assert_value(&r, M_DOM_VCPU_DELAY, "0", 2303496453.0);
        assert_value(&r, M_DOM_VCPU_TIME, "1", 12439564.0);
        assert_value(&r, M_DOM_VCPU_CPU, "0", 1);
        assert_value(&r, M_DOM_VCPU_STATE, "1", 1);
        assert_value(&r, M_DOM_VCPU_WAIT, "0", -1);
        assert_value(&r, M_DOM_CPU_TIME, "", 5444123000.0);
        assert_value(&r, M_DOM_CPU_USER, "", 24001000.0);
        assert_value(&r, M_DOM_CPU_DELAY, "", 2303496453.0 + 19776121.0);
        assert_value(&r, M_DOM_CPU_EMULATOR, "", 5444123000.0 - 5412155354.0 - 12439564.0);
        assert_value(&r, M_DOM_CPU_THROTTLED, "", 1500000.0);
        assert_value(&r, M_DOM_CPU_VCPUS, "", 2);
        assert_value(&r, M_DOM_CPU_THREADS, "", 5);
        assert_value(&r, M_DOM_HOSTMEM_RSS, "", 26232);
        assert_value(&r, M_DOM_HOSTMEM_SWAP, "", 0);
        assert_value(&r, M_DOM_HOSTMEM_CGROUP, "", 27262976);
        assert_value(&r, M_DOM_HOSTMEM_CGROUP_LIMIT, "", 67108864);
        assert_value(&r, M_DOM_HOSTMEM_MINFLT, "", 3417);
        assert_value(&r, M_DOM_IO_READ_BYTES, "", 0);
        assert_value(&r, M_DOM_IO_WRITE_BYTES, "", 360448);
        assert_value(&r, M_DOM_PSI_WAITING, "memory", 600);
        assert_value(&r, M_DOM_PSI_STALLED, "io", 20);
        assert_value(&r, M_DOM_NET_RX_BYTES, "plxc0", 2002);
        assert_value(&r, M_DOM_NET_TX_DROPS, "plxc0", 2);
}

static void test_without_cgroup_of_its_own(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(look(q, 2, &r), 0);
        /* utime + stime, not the session's cpu.stat. */
        assert_value(&r, M_DOM_CPU_TIME, "", 1750000000.0);
        assert_value(&r, M_DOM_HOSTMEM_CGROUP, "", -1);
        assert_value(&r, M_DOM_PSI_WAITING, "cpu", -1);
        /* A macvtap counts from the guest's side already. */
        assert_value(&r, M_DOM_NET_RX_BYTES, "macvtap0", 3003);
        assert_value(&r, M_DOM_NET_TX_BYTES, "macvtap0", 4004);
}

/* Values that are there must be those of the whole tree. */
static void assert_part_of(const Recorder *r, const Recorder *whole) {
        for (size_t i = 0; i < r->n_values; i++) {
                const Value *v = &r->values[i];
                double expected = value_of(whole, v->metric, v->label);
                if (v->value != expected)
                        fail_msg("%s[%s] is %f, not %f", METRICS[v->metric].name, v->label, v->value, expected);
        }
}

#define SCOPE "sys/fs/cgroup/machine.slice/machine-qemu\\x2d7\\x2dlane\\x2da.scope/"

static const char *const FILES[] = {
        "proc/4242/stat",          "proc/4242/io",           "proc/4242/status",         "proc/4242/task/24037/stat",
        "proc/4242/task/24037/schedstat", "proc/4242/task/24039/stat", "proc/4242/task/24039/schedstat",
        "proc/4242/fdinfo/14",     "proc/net/dev",           "proc/stat",                SCOPE "cpu.stat",
        SCOPE "memory.current",    SCOPE "memory.max",       SCOPE "cpu.pressure",       SCOPE "memory.pressure",
        SCOPE "io.pressure",
};

static void whole_look(const Tree *t, Recorder *r) {
        CLEANUP(qemu_freep) QemuCollector *q = collector(t, 10);
        assert_int_equal(qemu_discover(q, &r->sink), 0);
        assert_int_equal(look(q, 1, r), 0);
}

static void test_half_written_files(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        Recorder whole = RECORDER;
        whole_look(&t, &whole);
        for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
                CLEANUP(buf_deinit) Buf text = BUF_NULL;
                char path[512];
                (void)snprintf(path, sizeof path, "%s/%s", t.root, FILES[i]);
                assert_int_equal(buf_read_file(&text, AT_FDCWD, path, 1 << 20), 0);
                /* One collector had the whole file first, the others meet it cut. */
                CLEANUP(qemu_freep) QemuCollector *kept = collector(&t, 10);
                Recorder before = RECORDER;
                assert_int_equal(qemu_discover(kept, &before.sink), 0);
                for (size_t cut = text.len; cut-- > 0; cut -= cut > 300 ? 7 : 0) {
                        assert_int_equal(truncate(path, (off_t)cut), 0);
                        Recorder r = RECORDER;
                        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
                        assert_int_equal(qemu_discover(q, &r.sink), 0);
                        int result = look(q, 1, &r);
                        assert_true(result == 0 || result == -EAGAIN || result == -ENOENT);
                        assert_part_of(&r, &whole);
                        Recorder again = RECORDER;
                        result = look(kept, 1, &again);
                        assert_true(result == 0 || result == -EAGAIN);
                        assert_part_of(&again, &whole);
                }
                write_file(&t, FILES[i], text.data, text.len);
        }
}

static void test_vanished_files(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        Recorder whole = RECORDER;
        whole_look(&t, &whole);
        for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
                CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
                qemu_keep_descriptors(q, 0);
                Recorder r = RECORDER;
                assert_int_equal(qemu_discover(q, &r.sink), 0);
                run("mv '%s/%s' '%s/aside'", t.root, FILES[i], t.root);
                int result = look(q, 1, &r);
                assert_true(result == 0 || (i == 0 && result == -ESRCH));
                assert_part_of(&r, &whole);
                assert_true(r.n_values < whole.n_values || strstr(FILES[i], "status") || strstr(FILES[i], "fdinfo") ||
                            strcmp(FILES[i], "proc/stat") == 0);
                run("mv '%s/aside' '%s/%s'", t.root, t.root, FILES[i]);
        }
}

static void test_garbage_in_files(void **state) {
        (void)state;
        static const char *const GARBAGE[] = { "\n", "-1 -1 -1\n", "99999999999999999999999999 1 1\n", "\xff\xfe\n",
                                               "usage_usec\nread_bytes:\nsome total=\n", ") ) ) S\n" };
        for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
                CLEANUP(tree_free) Tree t = tree_new();
                CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
                Recorder r = RECORDER;
                assert_int_equal(qemu_discover(q, &r.sink), 0);
                for (size_t g = 0; g < ARRAY_LEN(GARBAGE); g++) {
                        write_text(&t, FILES[i], GARBAGE[g]);
                        Recorder again = RECORDER;
                        (void)look(q, 1, &again);
                        assert_int_equal(qemu_discover(q, &again.sink), 0);
                }
        }
}

typedef struct Changes {
        unsigned appeared, vanished;
        unsigned char last_vanished;
} Changes;

static void on_appeared(void *context, EntityKey key) {
        (void)key;
        ((Changes *)context)->appeared++;
}

static void on_vanished(void *context, EntityKey key) {
        ((Changes *)context)->vanished++;
        ((Changes *)context)->last_vanished = key.id.bytes[15];
}

static void watch(QemuCollector *q, Changes *c) {
        qemu_on_change(q, &(QemuChange){ on_appeared, on_vanished, c });
}

/* The pid comes back as another machine, while descriptors of the first one are kept. */
static void test_reused_pid(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Changes c = { 0 };
        watch(q, &c);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(look(q, 1, &r), 0);
        run("cd '%s/proc' && cp -a 4242 new && sed -i 's/ 703448 / 888888 /' new/stat && mv 4242 ../old && mv new 4242",
            t.root);
        write_cmdline(&t, "4242", "lane-c", "11111111-2222-4333-8444-000000000003", NULL);
        Recorder after = RECORDER;
        assert_int_equal(qemu_discover(q, &after.sink), 0);
        assert_int_equal(c.appeared, 3);
        assert_int_equal(c.vanished, 1);
        assert_int_equal(c.last_vanished, 1);
        assert_int_equal(after.n_gone, 0);
        assert_int_equal(look(q, 1, &after), -ENOENT);
        assert_int_equal(after.n_values, 0);
        assert_int_equal(look(q, 3, &after), 0);
}

/* Between two discoveries the look itself must notice. */
static void test_start_time_is_checked(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        qemu_keep_descriptors(q, 0);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        run("sed -i 's/ 703448 / 888888 /' '%s/proc/4242/stat'", t.root);
        assert_int_equal(look(q, 1, &r), -ESRCH);
        assert_int_equal(r.n_values, 0);
        Uuid id = lane(1);
        assert_int_equal(qemu_process_state(q, &id), 0);
}

static void test_ended_and_zombie(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Changes c = { 0 };
        watch(q, &c);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        run("rm -rf '%s/proc/4242'; sed -i 's/) S /) Z /' '%s/proc/4343/stat'", t.root, t.root);
        qemu_keep_descriptors(q, 0);
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(qemu_count(q), 0);
        assert_int_equal(c.vanished, 2);
        assert_int_equal(r.n_gone, 0);
        assert_int_equal(qemu_counts(q).descriptors, 3);
}

static void test_process_state(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        Uuid id = lane(1), other = lane(9);
        qemu_keep_descriptors(q, 0);
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(qemu_state_seen(q, &id), 0);
        assert_int_equal(qemu_process_state(q, &id), 'S');
        assert_int_equal(qemu_state_seen(q, &id), 'S');
        run("sed -i 's/) S /) T /' '%s/proc/4242/stat'", t.root);
        assert_int_equal(qemu_process_state(q, &id), 'T');
        assert_int_equal(qemu_process_state(q, &other), 0);
        assert_int_equal(qemu_pid(q, &id), 4242);
}

static void test_activity(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        Uuid id = lane(1), other = lane(9);
        QemuActivity then, now;
        qemu_keep_descriptors(q, 0);
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_false(qemu_activity(q, &id, &then));
        assert_int_equal(qemu_look(q, &id, (WallTime){ 1 }, (MonoTime){ 1 }, &r.sink), 0);
        assert_true(qemu_activity(q, &id, &then));
        assert_false(qemu_activity(q, &other, &now));
        assert_true(then.cpu_ns > 0 && then.cpu_ns % 10000000 == 0);
        write_text(&t, "proc/4242/io", "rchar: 1000\nwchar: 2000\nsyscr: 1\nread_bytes: 4096\nwrite_bytes: 8192\n");
        assert_int_equal(qemu_look(q, &id, (WallTime){ 2 }, (MonoTime){ 2 }, &r.sink), 0);
        assert_true(qemu_activity(q, &id, &now));
        assert_int_equal(now.io_bytes, 1000 + 2000 + 4096 + 8192);
        /* Another discovery, which looks for its cgroup again, forgets nothing. */
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_true(qemu_activity(q, &id, &now));
        assert_int_equal(now.cpu_ns, then.cpu_ns);
}

static void test_idle(void **state) {
        (void)state;
        QemuActivity then = { .cpu_ns = 7 * NS_PER_SEC, .io_bytes = 100000 }, now = then;
        assert_true(qemu_was_idle(&then, &now, SECONDS(60)));
        now.cpu_ns += 600 * NS_PER_MS;
        now.io_bytes += 16384;
        assert_true(qemu_was_idle(&then, &now, SECONDS(60)));
        assert_false(qemu_was_idle(&then, &now, SECONDS(59)));
        now.io_bytes++;
        assert_false(qemu_was_idle(&then, &now, SECONDS(60)));
        assert_false(qemu_was_idle(&now, &then, SECONDS(60)));
}

static int look_at(QemuCollector *q, int64_t seconds, Recorder *r) {
        Uuid id = lane(1);
        *r = RECORDER;
        return qemu_look(q, &id, (WallTime){ seconds * NS_PER_SEC }, (MonoTime){ seconds * NS_PER_SEC }, &r->sink);
}

/* Looks that are far apart read pressure at every third, looks that are close at each. */
static void test_slow_values(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        for (int64_t i = 0; i < 7; i++) {
                assert_int_equal(look_at(q, 100 + 10 * i, &r), 0);
                assert_value(&r, M_DOM_PSI_WAITING, "memory", i % 3 == 0 ? 600 : -1);
                assert_true(value_of(&r, M_DOM_CPU_TIME, "") > 0);
                assert_value(&r, M_DOM_VCPU_CPU, "0", 1);
                assert_int_equal(r.n_group_gone, 0);
        }
        qemu_all_wanted(q);
        assert_int_equal(look_at(q, 170, &r), 0);
        assert_value(&r, M_DOM_PSI_WAITING, "memory", 600);
        for (int64_t i = 1; i < 4; i++) {
                assert_int_equal(look_at(q, 170 + i, &r), 0);
                assert_value(&r, M_DOM_PSI_WAITING, "memory", 600);
        }
}

/* One dump of interfaces serves the looks of half a round, and says when it was. */
static void test_shared_dump(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        Uuid other = lane(2);
        assert_int_equal(look_at(q, 100, &r), 0);
        assert_int_equal(qemu_look(q, &other, (WallTime){ 1 }, (MonoTime){ 104 * NS_PER_SEC }, &r.sink), 0);
        assert_int_equal(look_at(q, 110, &r), 0);
        assert_value(&r, M_DOM_NET_RX_BYTES, "plxc0", 2002);
        run("sed -i 's/ 2002 / 3003 /' '%s/proc/net/dev'", t.root);
        Recorder later = RECORDER;
        assert_int_equal(qemu_look(q, &other, (WallTime){ 1 }, (MonoTime){ 114 * NS_PER_SEC }, &later.sink), 0);
        assert_int_equal(later.net_mono.ns, 110 * NS_PER_SEC);
        assert_int_equal(look_at(q, 120, &r), 0);
        assert_value(&r, M_DOM_NET_RX_BYTES, "plxc0", 3003);
        assert_int_equal(r.net_mono.ns, 120 * NS_PER_SEC);
}

/* A process that claims another one's UUID waits until that one ends; libvirt's own goes first. */
static void test_same_uuid(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        run("cd '%s/proc' && cp -a 4242 5000 && cp -a 4343 100", t.root);
        write_cmdline(&t, "100", "spoof", "11111111-2222-4333-8444-000000000001", NULL);
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Changes c = { 0 };
        watch(q, &c);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        Uuid id = lane(1);
        assert_int_equal(qemu_pid(q, &id), 4242);
        assert_int_equal(qemu_counts(q).conflicts, 2);
        run("rm -rf '%s/proc/4242' '%s/proc/100'", t.root, t.root);
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(qemu_pid(q, &id), 5000);
        assert_int_equal(c.vanished, 1);
        assert_int_equal(c.appeared, 3);
}

static void test_pid_file_takes_over(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        run("cd '%s' && mv run/libvirt/qemu/lane-a.pid . && cp -a proc/4242 proc/100", t.root);
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        Uuid id = lane(1);
        assert_int_equal(qemu_pid(q, &id), 100);
        run("cd '%s' && mv lane-a.pid run/libvirt/qemu/", t.root);
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(qemu_pid(q, &id), 4242);
}

/* A pid file finds an emulator with any name; a stale one finds nothing. */
static void test_pid_files(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        /* Octal with three digits: the UUID begins with one, too. */
        static const char UNNAMED[] = "/opt/wrapper\000-uuid\00011111111-2222-4333-8444-000000000007";
        write_file(&t, "proc/4242/cmdline", UNNAMED, sizeof UNNAMED);
        write_text(&t, "run/libvirt/qemu/stale.pid", "99");
        write_text(&t, "run/libvirt/qemu/nobody.pid", "31337");
        write_text(&t, "run/libvirt/qemu/bad.pid", "x");
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(qemu_count(q), 2);
        Uuid id = lane(7);
        assert_int_equal(qemu_pid(q, &id), 4242);
        assert_int_equal(qemu_counts(q).unidentified, 0);
}

/* What happens to pid files is told, what happens beside them is not; a folder that went is looked for again. */
static void test_pid_folder_is_watched(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        assert_true(qemu_watch_fd(q) >= 0);
        assert_false(qemu_watches(q));
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_true(qemu_watches(q));
        assert_false(qemu_watch_take(q));
        write_text(&t, "run/libvirt/qemu/lane-a.xml.new", "<domstatus/>");
        assert_false(qemu_watch_take(q));
        write_text(&t, "run/libvirt/qemu/new.pid", "31337");
        assert_true(qemu_watch_take(q));
        assert_false(qemu_watch_take(q));
        run("rm '%s/run/libvirt/qemu/new.pid'", t.root);
        assert_true(qemu_watch_take(q));
        run("rm -r '%s/run/libvirt/qemu'", t.root);
        assert_true(qemu_watch_take(q));
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_false(qemu_watches(q));
        while (qemu_unsettled(q))
                assert_int_equal(qemu_discover(q, &r.sink), 0);
        run("mkdir '%s/run/libvirt/qemu'", t.root);
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_true(qemu_watches(q));
        write_text(&t, "run/libvirt/qemu/lane-a.pid", "4242");
        assert_true(qemu_watch_take(q));
}

/* Discoveries are asked for until what was found had the time to become what it will be. */
static void test_settles(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        unsigned discoveries = 0;
        do {
                assert_int_equal(qemu_discover(q, &r.sink), 0);
                assert_true(++discoveries < 10);
        } while (qemu_unsettled(q));
        assert_true(discoveries > 1);
        write_text(&t, "run/libvirt/qemu/new.pid", "31337");
        assert_true(qemu_watch_take(q));
        assert_true(qemu_unsettled(q));
}

/* Seen between fork and exec: not a QEMU yet. */
static void test_exec_after_first_sight(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(buf_deinit) Buf cmdline = BUF_NULL;
        char path[128];
        (void)snprintf(path, sizeof path, "%s/proc/4343/cmdline", t.root);
        assert_int_equal(buf_read_file(&cmdline, AT_FDCWD, path, 65536), 0);
        write_file(&t, "proc/4343/cmdline", "sh\0-c", 6);
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(qemu_count(q), 1);
        write_file(&t, "proc/4343/cmdline", cmdline.data, cmdline.len);
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(qemu_count(q), 2);
}

static void test_too_many(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 1);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(qemu_count(q), 1);
        assert_int_equal(qemu_counts(q).refused, 1);
        run("rm -rf '%s/proc/4242'", t.root);
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        Uuid id = lane(2);
        assert_int_equal(qemu_pid(q, &id), 4343);
}

static void test_vcpu_plugged_and_unplugged(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        qemu_keep_descriptors(q, 0);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(look(q, 1, &r), 0);
        assert_int_equal(look(q, 1, &r), 0);
        run("cd '%s/proc/4242' && cp -a task/24039 task/30000 && echo CPU 2/KVM >task/30000/comm &&"
            " sed -i 's/ 20 0 5 0 703448 / 20 0 6 0 703448 /' stat", t.root);
        Recorder more = RECORDER;
        assert_int_equal(look(q, 1, &more), 0);
        assert_value(&more, M_DOM_CPU_VCPUS, "", 3);
        assert_value(&more, M_DOM_VCPU_TIME, "2", 12439564.0);
        run("cd '%s/proc/4242' && rm -r task/30000 && sed -i 's/ 20 0 6 0 703448 / 20 0 5 0 703448 /' stat", t.root);
        Recorder less = RECORDER;
        assert_int_equal(look(q, 1, &less), 0);
        assert_value(&less, M_DOM_CPU_VCPUS, "", 2);
        /* What the vCPU had waited stays in the machine's sum. */
        assert_true(value_of(&less, M_DOM_CPU_DELAY, "") == value_of(&more, M_DOM_CPU_DELAY, ""));
}

static void test_unresolved_interfaces(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        write_cmdline(&t, "4343", "b", "11111111-2222-4333-8444-000000000002", "vhost-user,chardev=c,id=n");
        run("rm '%s/proc/4343/fd/20'", t.root);
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        Uuid a = lane(1), b = lane(2);
        assert_true(qemu_nics_unresolved(q));
        assert_false(qemu_nics_unresolved_of(q, &a));
        assert_true(qemu_nics_unresolved_of(q, &b));
        assert_int_equal(look(q, 2, &r), 0);
        assert_value(&r, M_DOM_NET_RX_BYTES, "macvtap0", -1);
}

static void test_interface_unplugged(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        write_cmdline(&t, "4242", "a", "11111111-2222-4333-8444-000000000001", NULL);
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(look(q, 1, &r), 0);
        assert_value(&r, M_DOM_NET_RX_BYTES, "plxc0", 2002);
        run("rm '%s/proc/4242/fd/14'", t.root);
        Uuid id = lane(1);
        qemu_nics_changed(q, &id);
        Recorder after = RECORDER;
        assert_int_equal(look(q, 1, &after), 0);
        assert_value(&after, M_DOM_NET_RX_BYTES, "plxc0", -1);
        assert_int_equal(after.n_group_gone, 1);
}

/* A swapped-out part is read from status where the host has swap. */
static void test_swap(void **state) {
        (void)state;
        CLEANUP(tree_free) Tree t = tree_new();
        CLEANUP(qemu_freep) QemuCollector *q = collector(&t, 10);
        run("sed -i 's/^VmSwap:.*/VmSwap:\\t    128 kB/' '%s/proc/4242/status'", t.root);
        Recorder r = RECORDER;
        assert_int_equal(qemu_discover(q, &r.sink), 0);
        assert_int_equal(look(q, 1, &r), 0);
        assert_value(&r, M_DOM_HOSTMEM_SWAP, "", 128);
}

static void test_netlink_of_this_host(void **state) {
        (void)state;
        LinkTable *table = NULL;
        assert_int_equal(link_table_new("/", &table), 0);
        const Link *lo = link_by_name(table, "lo");
        assert_non_null(lo);
        uint32_t index = lo->index;
        link_table_begin(table, false);
        lo = link_by_index(table, index);
        assert_non_null(lo);
        assert_string_equal(lo->name, "lo");
        assert_int_equal(lo->rx_bytes, lo->tx_bytes);
        assert_null(link_by_index(table, 999999999));
        assert_null(link_by_name(table, "no-such-link"));
        table = link_table_free(table);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_finds_machines),
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_without_cgroup_of_its_own),
                cmocka_unit_test(test_half_written_files),
                cmocka_unit_test(test_vanished_files),
                cmocka_unit_test(test_garbage_in_files),
                cmocka_unit_test(test_reused_pid),
                cmocka_unit_test(test_start_time_is_checked),
                cmocka_unit_test(test_ended_and_zombie),
                cmocka_unit_test(test_process_state),
                cmocka_unit_test(test_activity),
                cmocka_unit_test(test_idle),
                cmocka_unit_test(test_slow_values),
                cmocka_unit_test(test_shared_dump),
                cmocka_unit_test(test_same_uuid),
                cmocka_unit_test(test_pid_file_takes_over),
                cmocka_unit_test(test_pid_files),
                cmocka_unit_test(test_pid_folder_is_watched),
                cmocka_unit_test(test_settles),
                cmocka_unit_test(test_exec_after_first_sight),
                cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_vcpu_plugged_and_unplugged),
                cmocka_unit_test(test_unresolved_interfaces),
                cmocka_unit_test(test_interface_unplugged),
                cmocka_unit_test(test_swap),
                cmocka_unit_test(test_netlink_of_this_host),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A table filled by hand for the tests of src/export and src/api: a host, five domains (two of them
 * hostile), three containers. Looks at 90 s and 100 s; tests read at 110 s. Header only, tests only. */
#pragma once

#include "export/attachment.h"
#include "export/export.h"
#include "model/batch.h"

#include <assert.h>

#define FIXTURE_NOW ((MonoTime){ 110 * NS_PER_SEC })

static const char FIXTURE_XML[] =
        "<domain type='kvm' id='3'><name>web-1</name><uuid>00000000-0000-0000-0000-000000000001</uuid>"
        "<title>The shop</title><metadata>"
        "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'><n:name>shop \"front\"</n:name>"
        "<n:flavor name='m1.small'><n:memory>512</n:memory></n:flavor>"
        "<n:owner><n:user uuid='u-1'>alice</n:user><n:project uuid='p-1'>acme</n:project></n:owner>"
        "<n:root type='image' uuid='r-1'/></n:instance>"
        "<t:tier xmlns:t='http://example.org/tier'>critical</t:tier></metadata>"
        "<memory unit='KiB'>524288</memory><vcpu placement='static' current='2'>4</vcpu>"
        "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>"
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' discard='unmap'/>"
        "<source file='/var/lib/libvirt/images/web-1.qcow2'/><target dev='vda' bus='virtio'/><serial>S1</serial>"
        "<iotune><total_bytes_sec>1048576</total_bytes_sec><read_iops_sec>500</read_iops_sec></iotune></disk>"
        "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"
        "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><target dev='vnet0'/>"
        "<model type='virtio'/><mtu size='1500'/></interface></devices></domain>";

typedef struct Fixture {
        Latest latest;
        SelfStats self;
        BatchBuilder batch;
} Fixture;

static inline EntityKey fixture_key(EntityKind kind, uint8_t n) {
        EntityKey k = { .kind = kind };
        k.id.bytes[15] = n;
        return k;
}

static inline void fixture_entity(Fixture *f, EntityKind kind, uint8_t n, Engine engine, const char *name, const char *path, const char *ident) {
        sink_entity(&f->latest.sink, &(EntityInfo){
                .key = fixture_key(kind, n), .engine = engine, .pid = 1000u + n, .started_ns = 1000 * NS_PER_SEC,
                .name = name, .name_len = strlen(name), .path = path, .path_len = strlen(path), .ident = ident, .ident_len = strlen(ident),
        });
}

static inline void fixture_begin(Fixture *f, EntityKind kind, uint8_t n, GroupId g, int second) {
        batch_begin(&f->batch, fixture_key(kind, n), g, (WallTime){ (1700000000 + second) * NS_PER_SEC }, (MonoTime){ second * NS_PER_SEC });
}

static inline void fixture_end(Fixture *f) {
        sink_build(&f->latest.sink, &f->batch);
}

/* Fills every metric of a group: base + column, times row + 1. */
static inline void fixture_fill(Fixture *f, EntityKind kind, uint8_t n, GroupId g, double base, size_t n_rows, const char *const rows[][4]) {
        for (int second = 90; second <= 100; second += 10) {
                fixture_begin(f, kind, n, g, second);
                for (size_t r = 0; r < n_rows; r++) {
                        Span labels[GROUP_MAX_KEYS] = { { "", 0 } };
                        for (size_t k = 0; k < GROUPS[g].n_keys; k++) {
                                const char *text = rows && k < 4 && rows[r][k] ? rows[r][k] : "";
                                labels[k] = (Span){ text, strlen(text) };
                        }
                        batch_row(&f->batch, GROUPS[g].n_keys ? labels : NULL);
                        for (size_t c = 0; c < group_columns(g); c++)
                                batch_set(&f->batch, (MetricId)(GROUPS[g].first + c), (base + (double)c) * (double)(r + 1) + second);
                }
                fixture_end(f);
        }
}

static inline void fixture_set(Fixture *f, EntityKind kind, uint8_t n, MetricId m, double before, double value) {
        for (int second = 90; second <= 100; second += 10) {
                fixture_begin(f, kind, n, METRICS[m].group, second);
                batch_row(&f->batch, NULL);
                batch_set(&f->batch, m, second == 90 ? before : value);
                fixture_end(f);
        }
}

static inline void fixture_gone(void *context, LatestEntity *e) {
        (void)context;
        e->attachment = attachment_free(e->attachment);
}

static inline void fixture_web(Fixture *f) {
        const EntityKind D = ENTITY_DOMAIN;
        fixture_entity(f, D, 1, ENGINE_NONE, "web-1", "", "");
        EntityKey key = fixture_key(D, 1);
        DomainDoc *doc = NULL;
        int error = domain_doc_parse(FIXTURE_XML, sizeof FIXTURE_XML - 1, 1024, &doc);
        assert(error == 0);
        Attachment *a = attachment_ensure(latest_find(&f->latest, &key));
        assert(a);
        attachment_set_domain(a, doc);
        a->tier = TIER_PERFORMANCE;
        static const char *const VCPUS[][4] = { { "0" }, { "1" } };
        static const char *const DISKS[][4] = { { "vda" }, { "sda" } };
        static const char *const NICS[][4] = { { "vnet0" } };
        fixture_fill(f, D, 1, GROUP_DOM_CPU, 5e9, 1, NULL);
        fixture_fill(f, D, 1, GROUP_DOM_VCPU, 2e9, 2, VCPUS);
        fixture_fill(f, D, 1, GROUP_DOM_HOSTMEM, 300000, 1, NULL);
        fixture_fill(f, D, 1, GROUP_DOM_IO, 4096, 1, NULL);
        fixture_fill(f, D, 1, GROUP_DOM_NET, 1000, 1, NICS);
        fixture_set(f, D, 1, M_DOM_STATE_STATE, 1, 1);
        fixture_fill(f, D, 1, GROUP_DOM_INFO, 524288, 1, NULL);
        fixture_fill(f, D, 1, GROUP_DOM_BALLOON, 400000, 1, NULL);
        fixture_fill(f, D, 1, GROUP_DOM_BLOCK, 7000, 2, DISKS);
        fixture_fill(f, D, 1, GROUP_DOM_JOB, 10, 1, NULL);
        fixture_set(f, D, 1, M_DOM_WATCH_STUCK, 0, 0);
}

static inline void fixture_hostile(Fixture *f) {
        const EntityKind D = ENTITY_DOMAIN;
        /* Two names that differ only in bytes that are not UTF-8, and one that pretends to carry a UUID. */
        fixture_entity(f, D, 2, ENGINE_NONE, "a\"b\\c\nd<script>\xff", "", "");
        fixture_entity(f, D, 3, ENGINE_NONE, "a\"b\\c\nd<script>\xfe", "", "");
        fixture_entity(f, D, 4, ENGINE_NONE, "x~00000000-0000-0000-0000-000000000001", "", "");
        fixture_entity(f, D, 5, ENGINE_NONE, "silent", "", "");
        static const char *const DISKS[][4] = { { "vd\"a\xff" }, { "vd\"a\xfe" } };
        for (uint8_t n = 2; n <= 4; n++) {
                fixture_set(f, D, n, M_DOM_CPU_TIME, n * 1e9, n * 2e9);
                fixture_set(f, D, n, M_DOM_STATE_STATE, 3, 3);
                fixture_set(f, D, n, M_DOM_WATCH_STUCK, 0, 2500);
        }
        fixture_fill(f, D, 2, GROUP_DOM_BLOCK, 100, 2, DISKS);
}

static inline void fixture_containers(Fixture *f) {
        const EntityKind C = ENTITY_CONTAINER;
        fixture_entity(f, C, 1, ENGINE_DOCKER, "0123456789ab", "/docker/0123456789abcdef", "0123456789abcdef");
        fixture_entity(f, C, 2, ENGINE_SYSTEMD, "cron.service", "/system.slice/cron.service", "cron.service");
        fixture_entity(f, C, 3, ENGINE_CGROUP, "/", "/", "");
        EngineLabel labels[] = { { (char *)"com.example/role", (char *)"we\"b" }, { (char *)"com.example.role", (char *)"twice" } };
        EntityKey key = fixture_key(C, 1);
        Attachment *a = attachment_ensure(latest_find(&f->latest, &key));
        int error = attachment_set_container(a, &(EngineContainer){
                .id = (char *)"0123456789abcdef", .name = (char *)"shop", .image = (char *)"busybox:latest", .state = (char *)"running",
                .status = (char *)"Up 5 minutes", .created = 1699999000, .labels = labels, .n_labels = 2,
        });
        assert(error == 0);
        static const char *const DEVICES[][4] = { { "sda", "8", "0" } };
        static const char *const NICS[][4] = { { "eth0" } };
        for (uint8_t n = 1; n <= 3; n++) {
                fixture_fill(f, C, n, GROUP_CTR_CPU, 1e9 * n, 1, NULL);
                fixture_fill(f, C, n, GROUP_CTR_MEM, 1e6 * n, 1, NULL);
        }
        fixture_fill(f, C, 1, GROUP_CTR_FAULTS, 10, 1, NULL);
        fixture_fill(f, C, 1, GROUP_CTR_IO, 8192, 1, DEVICES);
        fixture_fill(f, C, 1, GROUP_CTR_BLKIO, 8192, 1, DEVICES);
        fixture_fill(f, C, 1, GROUP_CTR_NET, 2000, 1, NICS);
        fixture_fill(f, C, 1, GROUP_CTR_SPEC, 1024, 1, NULL);
}

static inline void fixture_host(Fixture *f) {
        const EntityKind H = ENTITY_HOST;
        static const char *const POOLS[][4] = { { "default" } };
        static const char *const VERSIONS[][4] = { { "7.2.0", "9.0.0", "9.0.0" } };
        static const char *const CPUS[][4] = { { "0" }, { "1" } };
        fixture_entity(f, H, 1, ENGINE_NONE, "node-a", "", "");
        for (int second = 90; second <= 100; second += 10) {
                fixture_begin(f, H, 1, GROUP_HYP_UP, second);
                batch_row(&f->batch, NULL);
                batch_set(&f->batch, M_HYP_UP_UP, 1);
                batch_set(&f->batch, M_HYP_UP_DOMAINS, 5);
                batch_set(&f->batch, M_HYP_UP_RECONNECTS, 1);
                fixture_end(f);
                fixture_begin(f, H, 1, GROUP_HYP_VERSION, second);
                batch_row(&f->batch, (Span[]){ { VERSIONS[0][0], 5 }, { VERSIONS[0][1], 5 }, { VERSIONS[0][2], 5 } });
                batch_set(&f->batch, M_HYP_VERSION_INFO, 1);
                fixture_end(f);
        }
        fixture_fill(f, H, 1, GROUP_HYP_POOL, 1e9, 1, POOLS);
        fixture_fill(f, H, 1, GROUP_NODE_CPU, 1000, 2, CPUS);
        fixture_fill(f, H, 1, GROUP_NODE_LOAD, 1, 1, NULL);
        fixture_fill(f, H, 1, GROUP_NODE_TIME, 1.7e18, 1, NULL);
        fixture_fill(f, H, 1, GROUP_MACHINE, 2, 1, NULL);
}

static inline void fixture_init(Fixture *f) {
        *f = (Fixture){ .batch = { .n_rows = 0 } };
        latest_init(&f->latest, 1000);
        f->latest.on_gone = fixture_gone;
        f->self.value[SELF_SENSOR_CONNECTED] = 1;
        fixture_host(f);
        fixture_web(f);
        fixture_hostile(f);
        fixture_containers(f);
}

static inline void fixture_deinit(Fixture *f) {
        batch_deinit(&f->batch);
        latest_deinit(&f->latest);
}

static inline ExportContext fixture_context(const Fixture *f) {
        return (ExportContext){ .latest = &f->latest, .self = &f->self, .host_name = "node-a", .version = "1.2.3", .now = FIXTURE_NOW };
}

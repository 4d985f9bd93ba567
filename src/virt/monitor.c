#include "virt/monitor.h"

#include "virt/params.h"

#include <libvirt/virterror.h>

/* Handles save a lookup call each visit; more domains than this share the rest without being kept. */
#define HANDLES_MAX 8192u

/* Each call costs libvirtd about as much as all it does for a state. Events and the inventory keep DOM_INFO up to
 * date; only plugged vCPUs have no event, and those show as threads (DOM_CPU) at the next look. */
#define INFO_EVERY SECONDS(600)

typedef struct Handle {
        Uuid uuid;
        virDomainPtr domain;
        MonoTime info_at; /* DOM_INFO was read then */
} Handle;

struct VirtMonitor {
        Handle *handles;
        size_t n, cap;
        BatchBuilder batch;
};

int virt_monitor_new(VirtMonitor **ret_monitor) {
        VirtMonitor *m = calloc(1, sizeof *m);
        if (!m)
                return -ENOMEM;
        *ret_monitor = m;
        return 0;
}

void virt_monitor_detach(VirtMonitor *m) {
        for (size_t i = 0; i < m->n; i++)
                (void)virDomainFree(m->handles[i].domain);
        m->n = 0;
}

VirtMonitor *virt_monitor_free(VirtMonitor *m) {
        if (!m)
                return NULL;
        virt_monitor_detach(m);
        batch_deinit(&m->batch);
        free(m->handles);
        free(m);
        return NULL;
}

static void forget(VirtMonitor *m, const Uuid *uuid) {
        for (size_t i = 0; i < m->n; i++)
                if (uuid_equal(&m->handles[i].uuid, uuid)) {
                        (void)virDomainFree(m->handles[i].domain);
                        m->handles[i] = m->handles[--m->n];
                        return;
                }
}

static int keep(VirtMonitor *m, const Uuid *uuid, virDomainPtr domain) {
        if (m->n == HANDLES_MAX)
                forget(m, &m->handles[0].uuid);
        if (m->n == m->cap) {
                size_t cap = m->cap ? m->cap * 2 : 64;
                Handle *grown = reallocarray(m->handles, cap, sizeof *grown);
                if (!grown)
                        return -ENOMEM;
                m->handles = grown;
                m->cap = cap;
        }
        m->handles[m->n++] = (Handle){ *uuid, domain, { 0 } };
        return 0;
}

/* Borrowed from the table until it is touched; NULL with libvirt's error set. */
static Handle *handle_of(VirtMonitor *m, virConnectPtr conn, const Uuid *uuid) {
        for (size_t i = 0; i < m->n; i++)
                if (uuid_equal(&m->handles[i].uuid, uuid))
                        return &m->handles[i];
        virDomainPtr domain = virDomainLookupByUUID(conn, uuid->bytes);
        if (!domain)
                return NULL;
        if (keep(m, uuid, domain) < 0) {
                (void)virDomainFree(domain);
                return NULL;
        }
        return &m->handles[m->n - 1];
}

static void begin(BatchBuilder *b, const Uuid *uuid, GroupId group) {
        batch_begin(b, (EntityKey){ ENTITY_DOMAIN, *uuid }, group, wall_now(), mono_now());
}

VirtOutcome virt_info_look(virDomainPtr domain, const Uuid *uuid, BatchBuilder *b, Sink *sink) {
        virDomainInfo info;
        if (virDomainGetInfo(domain, &info) < 0)
                return virt_outcome_of_error();
        int max_vcpus = virDomainGetVcpusFlags(domain, VIR_DOMAIN_VCPU_MAXIMUM);
        begin(b, uuid, GROUP_DOM_INFO);
        batch_row(b, NULL);
        batch_set(b, M_DOM_INFO_MAX_MEMORY, (double)info.maxMem);
        batch_set(b, M_DOM_INFO_MEMORY, (double)info.memory);
        batch_set(b, M_DOM_INFO_VCPUS, info.nrVirtCpu);
        if (max_vcpus >= 0)
                batch_set(b, M_DOM_INFO_MAX_VCPUS, max_vcpus);
        sink_build(sink, b);
        return (VirtOutcome){ .state = VIRT_OK };
}

static VirtOutcome stats_look(VirtMonitor *m, virDomainPtr domain, const Uuid *uuid, Sink *sink) {
        virDomainStatsRecordPtr *records = NULL;
        int n = virDomainListGetStats((virDomainPtr[]){ domain, NULL },
                                      VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_BLOCK,
                                      &records, VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
        if (n < 0)
                return virt_outcome_of_error();
        for (int i = 0; i < n; i++) {
                Uuid got;
                if (virDomainGetUUID(records[i]->dom, got.bytes) < 0 || !uuid_equal(&got, uuid))
                        continue;
                begin(&m->batch, uuid, GROUP_DOM_BALLOON);
                if (params_balloon(records[i]->params, records[i]->nparams, &m->batch) > 0)
                        sink_build(sink, &m->batch);
                begin(&m->batch, uuid, GROUP_DOM_BLOCK);
                /* Names without a single counter: the job was taken meanwhile. The last look's values with
                 * their age are worth more than none. */
                if (params_block(records[i]->params, records[i]->nparams, &m->batch) > 0 || m->batch.n_rows == 0)
                        sink_build(sink, &m->batch);
        }
        virDomainStatsRecordListFree(records);
        return n > 0 ? (VirtOutcome){ .state = VIRT_OK } : (VirtOutcome){ .state = VIRT_GONE };
}

/* Control info has told whether there is a job; without one virDomainGetJobInfo gives type 0 and zeros. */
static void job_look(VirtMonitor *m, virDomainPtr domain, const Uuid *uuid, bool has_job, Sink *sink) {
        virDomainJobInfo job = { .type = VIR_DOMAIN_JOB_NONE };
        if (has_job && virDomainGetJobInfo(domain, &job) < 0)
                return;
        const struct {
                MetricId metric;
                double value;
        } values[] = {
                { M_DOM_JOB_TYPE, job.type },
                { M_DOM_JOB_TIME_ELAPSED, (double)job.timeElapsed },
                { M_DOM_JOB_TIME_REMAINING, (double)job.timeRemaining },
                { M_DOM_JOB_DATA_TOTAL, (double)job.dataTotal },
                { M_DOM_JOB_DATA_PROCESSED, (double)job.dataProcessed },
                { M_DOM_JOB_DATA_REMAINING, (double)job.dataRemaining },
                { M_DOM_JOB_MEMORY_TOTAL, (double)job.memTotal },
                { M_DOM_JOB_MEMORY_PROCESSED, (double)job.memProcessed },
                { M_DOM_JOB_MEMORY_REMAINING, (double)job.memRemaining },
                { M_DOM_JOB_FILE_TOTAL, (double)job.fileTotal },
                { M_DOM_JOB_FILE_PROCESSED, (double)job.fileProcessed },
                { M_DOM_JOB_FILE_REMAINING, (double)job.fileRemaining },
        };
        begin(&m->batch, uuid, GROUP_DOM_JOB);
        batch_row(&m->batch, NULL);
        for (size_t i = 0; i < ARRAY_LEN(values); i++)
                batch_set(&m->batch, values[i].metric, values[i].value);
        sink_build(sink, &m->batch);
}

static VirtOutcome values_look(VirtMonitor *m, Handle *h, bool has_job, Sink *sink) {
        VirtOutcome out = stats_look(m, h->domain, &h->uuid, sink);
        if (out.state != VIRT_OK)
                return out;
        job_look(m, h->domain, &h->uuid, has_job, sink);
        MonoTime now = mono_now();
        if (h->info_at.ns && mono_since(now, h->info_at).ns < INFO_EVERY.ns)
                return out;
        h->info_at = now;
        return virt_info_look(h->domain, &h->uuid, &m->batch, sink);
}

static VirtOutcome look(VirtMonitor *m, Handle *h, bool control_only, Sink *sink) {
        virDomainControlInfo control;
        if (virDomainGetControlInfo(h->domain, &control, 0) < 0)
                return virt_outcome_of_error();
        if (control.state == VIR_DOMAIN_CONTROL_OCCUPIED || control.state == VIR_DOMAIN_CONTROL_ERROR)
                return (VirtOutcome){ .state = VIRT_BUSY, .error = (int)control.state,
                                      .control = (int64_t)control.stateTime };
        if (!control_only) {
                VirtOutcome out = values_look(m, h, control.state == VIR_DOMAIN_CONTROL_JOB, sink);
                if (out.state != VIRT_OK)
                        return out;
        }
        return (VirtOutcome){ .state = VIRT_OK, .error = (int)control.state };
}

VirtOutcome virt_monitor_look(VirtMonitor *m, virConnectPtr conn, const Uuid *uuid, bool control_only, Sink *sink) {
        Handle *h = handle_of(m, conn, uuid);
        if (!h)
                return virt_outcome_of_error();
        VirtOutcome out = look(m, h, control_only, sink);
        if (out.state == VIRT_GONE)
                forget(m, uuid);
        return out;
}

static size_t version_text(unsigned long version, char out[32]) {
        return (size_t)snprintf(out, 32, "%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000);
}

static VirtOutcome versions_look(virConnectPtr conn, EntityKey host, BatchBuilder *b, Sink *sink) {
        unsigned long numbers[3] = { 0, 0, 0 };
        if (virConnectGetLibVersion(conn, &numbers[1]) < 0)
                return virt_outcome_of_error();
        (void)virConnectGetVersion(conn, &numbers[0]);
        (void)virGetVersion(&numbers[2], NULL, NULL);
        char text[3][32];
        Span labels[3];
        for (size_t i = 0; i < 3; i++)
                labels[i] = (Span){ text[i], numbers[i] ? version_text(numbers[i], text[i]) : 0 };
        batch_begin(b, host, GROUP_HYP_VERSION, wall_now(), mono_now());
        batch_row(b, labels);
        batch_set(b, M_HYP_VERSION_INFO, 1);
        sink_build(sink, b);
        return (VirtOutcome){ .state = VIRT_OK };
}

static void pool_row(virStoragePoolPtr pool, BatchBuilder *b) {
        virStoragePoolInfo info;
        const char *name = virStoragePoolGetName(pool);
        if (!name || virStoragePoolGetInfo(pool, &info) < 0)
                return;
        batch_row1(b, name, strlen(name));
        batch_set(b, M_HYP_POOL_STATE, info.state);
        /* An inactive pool has no sizes; libvirt gives zeros. */
        if (info.state == VIR_STORAGE_POOL_INACTIVE)
                return;
        batch_set(b, M_HYP_POOL_CAPACITY, (double)info.capacity);
        batch_set(b, M_HYP_POOL_ALLOCATION, (double)info.allocation);
        batch_set(b, M_HYP_POOL_AVAILABLE, (double)info.available);
}

static void pools_look(virConnectPtr conn, EntityKey host, BatchBuilder *b, Sink *sink) {
        virStoragePoolPtr *pools = NULL;
        int n = virConnectListAllStoragePools(conn, &pools, 0);
        if (n < 0)
                return;
        batch_begin(b, host, GROUP_HYP_POOL, wall_now(), mono_now());
        for (int i = 0; i < n; i++) {
                pool_row(pools[i], b);
                (void)virStoragePoolFree(pools[i]);
        }
        free(pools);
        sink_build(sink, b);
}

VirtOutcome virt_hypervisor_look(virConnectPtr conn, EntityKey host, Sink *sink) {
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        VirtOutcome out = versions_look(conn, host, &b, sink);
        if (out.state == VIRT_OK)
                pools_look(conn, host, &b, sink);
        return out;
}

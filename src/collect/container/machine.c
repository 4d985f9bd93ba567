/* The machine_* metrics: what the host is, as cAdvisor tells it. It hardly changes, so it is read
 * and sent once a minute (and again after a resync). */
#include "collect/container/container_priv.h"

#include <dirent.h>

static void cleanup_closedir(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

/* "cpu12" and no "cpufreq". */
static bool cpu_number(const char *name, uint64_t *ret_n) {
        return strncmp(name, "cpu", 3) == 0 && span_u64((Span){ name + 3, strlen(name + 3) }, ret_n);
}

static bool topology(Containers *c, uint64_t cpu, const char *file, uint64_t *ret_v) {
        char path[96];
        Scan s;
        (void)snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%llu/topology/%s", (unsigned long long)cpu, file);
        return ctr_read_root(c, path, &s) && scan_u64(&s, ret_v);
}

typedef struct IdSet {
        uint64_t *ids;
        size_t n;
} IdSet;

static void set_deinit(IdSet *s) {
        free(s->ids);
}

static void set_add(IdSet *s, uint64_t id) {
        for (size_t i = 0; i < s->n; i++)
                if (s->ids[i] == id)
                        return;
        uint64_t *ids = reallocarray(s->ids, s->n + 1, sizeof *ids);
        if (!ids)
                return;
        s->ids = ids;
        s->ids[s->n++] = id;
}

static bool set_cpus(Containers *c) {
        CLEANUP(set_deinit) IdSet cores = { .n = 0 };
        CLEANUP(set_deinit) IdSet sockets = { .n = 0 };
        char path[PATH_MAX];
        uint64_t cpu, core, socket;
        size_t n = 0;
        if (snprintf(path, sizeof path, "%s/sys/devices/system/cpu", c->root) >= (int)sizeof path)
                return false;
        CLEANUP(cleanup_closedir) DIR *d = opendir(path);
        for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
                if (!cpu_number(e->d_name, &cpu))
                        continue;
                /* A CPU that is off has no topology. */
                if (!topology(c, cpu, "physical_package_id", &socket) || !topology(c, cpu, "core_id", &core))
                        continue;
                n++;
                set_add(&sockets, socket);
                set_add(&cores, socket << 32 | (core & UINT32_MAX));
        }
        if (n == 0)
                return false;
        batch_set(&c->batch, M_MACHINE_CORES, (double)n);
        batch_set(&c->batch, M_MACHINE_PHYSICAL_CORES, (double)cores.n);
        batch_set(&c->batch, M_MACHINE_SOCKETS, (double)sockets.n);
        return true;
}

static bool set_memory(Containers *c) {
        Scan s;
        Span line, key;
        uint64_t kib;
        bool any = false;
        if (!ctr_read_root(c, "proc/meminfo", &s))
                return false;
        while (scan_line(&s, &line)) {
                Scan l = SCAN(line.text, line.len);
                if (!scan_word(&l, &key) || !scan_u64(&l, &kib))
                        continue;
                if (span_is(key, "MemTotal:"))
                        batch_set(&c->batch, M_MACHINE_MEMORY, (double)kib);
                else if (span_is(key, "SwapTotal:"))
                        batch_set(&c->batch, M_MACHINE_SWAP, (double)kib);
                else
                        continue;
                any = true;
        }
        return any;
}

void ctr_send_machine(Containers *c) {
        static const Duration EVERY = SECONDS(60);
        if (c->machine_read.ns != 0 && mono_since(c->mono, c->machine_read).ns < EVERY.ns)
                return;
        batch_begin(&c->batch, c->options.host, GROUP_MACHINE, c->wall, c->mono);
        batch_row(&c->batch, NULL);
        bool cpus = set_cpus(c);
        bool memory = set_memory(c);
        if (cpus || memory)
                sink_build(c->sink, &c->batch);
        c->machine_read = c->mono;
}

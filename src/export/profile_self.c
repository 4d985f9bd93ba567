/* What Parallax says of itself: its build, its counters, the table it answers from, its process. */
#include "export/domain_families.h"

#include "base/scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>

static void build_info(Render *r) {
        CLEANUP(buf_deinit) Buf labels = BUF_NULL;
        const char *version = r->context->version ? r->context->version : "";
        expo_put_label(&labels, 0, "version", version, strlen(version));
        expo_family(&r->expo, "parallax_build_info", METRIC_GAUGE, "Version of Parallax; always 1.");
        if (!buf_error(&labels))
                expo_sample(&r->expo, &(Span){ labels.data, labels.len }, 1, 1);
}

static void table_families(Render *r) {
        static const struct { EntityKind kind; Span label; } KINDS[] = {
                { ENTITY_HOST, { "kind=\"host\"", 11 } },
                { ENTITY_DOMAIN, { "kind=\"domain\"", 13 } },
                { ENTITY_CONTAINER, { "kind=\"container\"", 16 } },
        };
        const Latest *l = r->context->latest;
        expo_family(&r->expo, "parallax_entities", METRIC_GAUGE, "Entities in the latest-value table.");
        for (size_t i = 0; i < ARRAY_LEN(KINDS); i++) {
                size_t n = 0;
                (void)latest_range(l, KINDS[i].kind, &n);
                expo_sample(&r->expo, &KINDS[i].label, 1, (double)n);
        }
        render_plain(r, "parallax_entities_refused_total", METRIC_COUNTER,
                     "Entities left out because of max_domains or max_containers.", (double)l->refused);
        render_plain(r, "parallax_batches_total", METRIC_COUNTER, "Batches taken into the latest-value table.",
                     (double)l->batches);
        render_plain(r, "parallax_batches_orphaned_total", METRIC_COUNTER,
                     "Batches dropped because their entity is unknown.", (double)l->orphans);
        render_plain(r, "parallax_samples_total", METRIC_COUNTER, "Values taken into the latest-value table.",
                     (double)l->samples);
}

static void counter_families(Render *r) {
        static const struct { const char *name; MetricType type; const char *help; } ROWS[SELF_COUNT] = {
#define SELF(id, n, t, h) [SELF_##id] = { n, METRIC_##t, h },
#include "self.def"
#undef SELF
        };
        for (size_t i = 0; r->context->self && i < SELF_COUNT; i++)
                render_plain(r, ROWS[i].name, ROWS[i].type, ROWS[i].help, r->context->self->value[i]);
}

/* Fields of /proc/self/stat behind the command's name, counted from 3 as proc(5) does. */
typedef struct ProcessStat {
        uint64_t cpu_ticks, start_ticks, virtual_bytes, resident_pages;
} ProcessStat;

static bool read_stat(ProcessStat *ret_stat) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        if (buf_read_file(&text, AT_FDCWD, "/proc/self/stat", 4096) < 0)
                return false;
        const char *after = memrchr(text.data, ')', text.len);
        if (!after)
                return false;
        Scan s = { after + 1, text.data + text.len };
        uint64_t field[25] = { 0 };
        for (size_t i = 3; i < 25; i++) {
                Span word;
                if (!scan_word(&s, &word))
                        return false;
                (void)span_u64(word, &field[i]);
        }
        *ret_stat = (ProcessStat){ field[14] + field[15], field[22], field[23], field[24] };
        return true;
}

static double open_descriptors(void) {
        DIR *d = opendir("/proc/self/fd");
        if (!d)
                return value_absent();
        double n = -3; /* ".", ".." and the directory itself */
        while (readdir(d))
                n++;
        (void)closedir(d);
        return n;
}

static double boot_seconds(void) {
        struct timespec boot, wall;
        if (clock_gettime(CLOCK_BOOTTIME, &boot) < 0 || clock_gettime(CLOCK_REALTIME, &wall) < 0)
                return value_absent();
        return (double)(wall.tv_sec - boot.tv_sec) + (double)(wall.tv_nsec - boot.tv_nsec) / 1e9;
}

void profile_process(Render *r) {
        ProcessStat s;
        struct rlimit limit;
        if (read_stat(&s)) {
                double hz = (double)sysconf(_SC_CLK_TCK);
                render_plain(r, "process_cpu_seconds_total", METRIC_COUNTER, "CPU time of parallaxd, in seconds.",
                             (double)s.cpu_ticks / hz);
                render_plain(r, "process_resident_memory_bytes", METRIC_GAUGE, "Resident memory of parallaxd.",
                             (double)s.resident_pages * (double)sysconf(_SC_PAGESIZE));
                /* Steady between scrapes: whole hundredths, since the two clocks are not read at one instant. */
                render_plain(r, "process_start_time_seconds", METRIC_GAUGE,
                             "Start time of parallaxd since the Unix epoch, in seconds.",
                             (double)(int64_t)((boot_seconds() + (double)s.start_ticks / hz) * 10 + 0.5) / 10);
                render_plain(r, "process_virtual_memory_bytes", METRIC_GAUGE, "Virtual memory of parallaxd.",
                             (double)s.virtual_bytes);
        }
        if (getrlimit(RLIMIT_AS, &limit) == 0)
                render_plain(r, "process_virtual_memory_max_bytes", METRIC_GAUGE,
                             "Limit of the virtual memory of parallaxd.", (double)limit.rlim_cur);
        render_plain(r, "process_open_fds", METRIC_GAUGE, "Open file descriptors of parallaxd.", open_descriptors());
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
                render_plain(r, "process_max_fds", METRIC_GAUGE, "Limit of open file descriptors of parallaxd.",
                             (double)limit.rlim_cur);
}

void profile_self(Render *r) {
        build_info(r);
        counter_families(r);
        if (r->context->self_more)
                r->context->self_more(r->context->self_more_context, &r->expo);
        table_families(r);
        render_entities(r, ENTITY_HOST, NULL, NULL, NULL);
        render_prefix(r, ENTITY_HOST, "parallax_");
        profile_process(r);
}

#include "sensor/self.h"

#include <fcntl.h>

static const char *const NAMES[SELF_COLLECTOR_COUNT] = {
        [SELF_HOST] = "host",           [SELF_DOMAIN] = "domain", [SELF_DISCOVER] = "discovery",
        [SELF_CONTAINER] = "container", [SELF_ENGINE] = "engine",
};

int64_t self_cpu_ns(void) {
        struct timespec ts;
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

void self_write_looks(const SelfCost costs[SELF_COLLECTOR_COUNT], EntityKey host, BatchBuilder *b, Sink *sink) {
        batch_begin(b, host, GROUP_SENSOR_LOOK, wall_now(), mono_now());
        for (size_t i = 0; i < SELF_COLLECTOR_COUNT; i++) {
                batch_row1(b, NAMES[i], strlen(NAMES[i]));
                batch_set(b, M_SENSOR_LOOK_LOOKS, (double)costs[i].looks);
                batch_set(b, M_SENSOR_LOOK_CPU, (double)costs[i].cpu_ns);
        }
        sink_build(sink, b);
}

void self_begin_processes(EntityKey host, BatchBuilder *b) {
        batch_begin(b, host, GROUP_SENSOR_PROCESS, wall_now(), mono_now());
}

/* proc(5): field 14 is utime, 15 stime, 24 rss; the name in field 2 may hold anything, so count from the
 * last ')'. */
void self_add_process(BatchBuilder *b, const char *name, pid_t pid) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        if (buf_read_file(&text, AT_FDCWD, path, 4096) < 0)
                return;
        const char *after = memrchr(text.data, ')', text.len);
        if (!after)
                return;
        Scan s = { after + 1, text.data + text.len };
        uint64_t fields[25] = { 0 };
        Span word;
        for (unsigned field = 3; field < 25; field++) {
                if (!scan_word(&s, &word))
                        return;
                if (!span_u64(word, &fields[field]))
                        fields[field] = 0;
        }
        batch_row1(b, name, strlen(name));
        batch_set(b, M_SENSOR_PROCESS_CPU, (double)(fields[14] + fields[15]));
        batch_set(b, M_SENSOR_PROCESS_RSS, (double)fields[24]);
}

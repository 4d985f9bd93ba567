/* Files of /proc with a line or a column for each CPU. */
#include "collect/hostproc/hostproc_priv.h"

#define INTERRUPT_ROWS_MAX 16384u
#define CPUS_MAX 4096u

/* "cpu12": the number behind the word. */
static bool cpu_name(Span word, Span *ret_number) {
        uint64_t n;
        if (!span_starts(word, "cpu"))
                return false;
        *ret_number = (Span){ word.text + 3, word.len - 3 };
        return span_u64(*ret_number, &n);
}

int cpu_look(HostProc *h) {
        static const MetricId COLUMNS[] = {
                M_NODE_CPU_USER, M_NODE_CPU_NICE, M_NODE_CPU_SYSTEM, M_NODE_CPU_IDLE, M_NODE_CPU_IOWAIT,
                M_NODE_CPU_IRQ, M_NODE_CPU_SOFTIRQ, M_NODE_CPU_STEAL, M_NODE_CPU_GUEST_USER, M_NODE_CPU_GUEST_NICE,
        };
        Scan s;
        int r = file_read(h, FILE_STAT, &s);
        if (r < 0)
                return r;
        BatchBuilder *b = begin(h, GROUP_NODE_CPU);
        for (Span line; whole_line(&s, &line);) {
                Scan l = SCAN(line.text, line.len);
                Span word, cpu;
                uint64_t v;
                if (!scan_word(&l, &word) || !span_starts(word, "cpu"))
                        break;
                if (!cpu_name(word, &cpu))
                        continue; /* the total */
                batch_row(b, &cpu);
                for (size_t i = 0; i < ARRAY_LEN(COLUMNS) && scan_u64(&l, &v); i++)
                        batch_set(b, COLUMNS[i], (double)v);
        }
        finish(h, b);
        return b->n_rows > 0 ? 0 : -ENODATA;
}

/* Version 15 and later: nine numbers a CPU, the last three are time run, time waited, time slices. */
int schedstat_look(HostProc *h) {
        static const MetricId COLUMNS[] = { M_NODE_SCHEDSTAT_RUNNING, M_NODE_SCHEDSTAT_WAITING,
                                            M_NODE_SCHEDSTAT_TIMESLICES };
        Scan s;
        int r = file_read(h, FILE_SCHEDSTAT, &s);
        if (r < 0)
                return r;
        BatchBuilder *b = begin(h, GROUP_NODE_SCHEDSTAT);
        for (Span line; whole_line(&s, &line);) {
                Scan l = SCAN(line.text, line.len);
                Span word, cpu;
                uint64_t v;
                if (!scan_word(&l, &word) || !cpu_name(word, &cpu))
                        continue;
                batch_row(b, &cpu);
                for (size_t i = 0; i < 9 && scan_u64(&l, &v); i++)
                        if (i >= 6)
                                batch_set(b, COLUMNS[i - 6], (double)v);
        }
        finish(h, b);
        return b->n_rows > 0 ? 0 : -ENODATA;
}

static bool hex_word(Scan *s, uint64_t *ret_v) {
        Span word;
        if (!scan_word(s, &word) || word.len > 16)
                return false;
        uint64_t v = 0;
        for (size_t i = 0; i < word.len; i++) {
                char c = word.text[i];
                if (c >= '0' && c <= '9')
                        v = v << 4 | (uint64_t)(c - '0');
                else if (c >= 'a' && c <= 'f')
                        v = v << 4 | (uint64_t)(c - 'a' + 10);
                else
                        return false;
        }
        *ret_v = v;
        return true;
}

/* Hexadecimal columns, more of them with newer kernels; column 12 is the CPU's number, without which
 * the line's number stands for it. */
int softnet_look(HostProc *h) {
        enum { COLUMN_CPU = 12, COLUMN_END };
        static const struct {
                uint8_t column;
                MetricId metric;
        } COLUMNS[] = {
                { 0, M_NODE_SOFTNET_PROCESSED }, { 1, M_NODE_SOFTNET_DROPPED }, { 2, M_NODE_SOFTNET_SQUEEZED },
                { 8, M_NODE_SOFTNET_COLLISION }, { 9, M_NODE_SOFTNET_RPS },     { 10, M_NODE_SOFTNET_FLOW_LIMIT },
                { 11, M_NODE_SOFTNET_BACKLOG },
        };
        Scan s;
        int r = file_read(h, FILE_SOFTNET, &s);
        if (r < 0)
                return r;
        BatchBuilder *b = begin(h, GROUP_NODE_SOFTNET);
        uint64_t at = 0;
        for (Span line; whole_line(&s, &line); at++) {
                Scan l = SCAN(line.text, line.len);
                uint64_t v[COLUMN_END];
                size_t n = 0;
                while (n < COLUMN_END && hex_word(&l, &v[n]))
                        n++;
                char cpu[24];
                int len = snprintf(cpu, sizeof cpu, "%llu", (unsigned long long)(n > COLUMN_CPU ? v[COLUMN_CPU] : at));
                batch_row1(b, cpu, (size_t)len);
                for (size_t i = 0; i < ARRAY_LEN(COLUMNS); i++)
                        if (COLUMNS[i].column < n)
                                batch_set(b, COLUMNS[i].metric, (double)v[COLUMNS[i].column]);
        }
        finish(h, b);
        return b->n_rows > 0 ? 0 : -ENODATA;
}

/* The header, "  CPU0  CPU1": the numbers of the CPUs that are online, as text. */
static size_t interrupt_cpus(Scan *s, Span cpus[CPUS_MAX]) {
        Span line, word;
        size_t n = 0;
        if (!whole_line(s, &line))
                return 0;
        Scan l = SCAN(line.text, line.len);
        while (n < CPUS_MAX && scan_word(&l, &word) && span_starts(word, "CPU"))
                cpus[n++] = (Span){ word.text + 3, word.len - 3 };
        return n;
}

static Span trimmed(Span s) {
        while (s.len > 0 && s.text[0] == ' ')
                s = (Span){ s.text + 1, s.len - 1 };
        while (s.len > 0 && s.text[s.len - 1] == ' ')
                s.len--;
        return s;
}

/* Runs of blanks as one, as node_exporter joins the words; the result borrows h->scratch. */
static Span joined(HostProc *h, Scan rest) {
        buf_reset(&h->scratch);
        for (Span word; scan_word(&rest, &word);) {
                if (h->scratch.len > 0)
                        buf_put_char(&h->scratch, ' ');
                buf_put(&h->scratch, word.text, word.len);
        }
        return (Span){ h->scratch.data ? h->scratch.data : "", h->scratch.len };
}

static void interrupt_line(HostProc *h, BatchBuilder *b, Span line, const Span *cpus, size_t n_cpus) {
        Scan l = SCAN(line.text, line.len);
        Span type, info, devices = { "", 0 };
        if (!scan_until(&l, ':', &type))
                return;
        type = trimmed(type);
        Scan counts = l;
        uint64_t v, irq;
        for (size_t i = 0; i < n_cpus; i++)
                if (!scan_u64(&l, &v))
                        return; /* ERR and MIS: one total, no CPU */
        if (span_u64(type, &irq)) {
                if (!scan_word(&l, &info))
                        return;
                devices = joined(h, l);
        } else {
                info = joined(h, l);
        }
        for (size_t i = 0; i < n_cpus && scan_u64(&counts, &v); i++) {
                batch_row(b, (Span[]){ cpus[i], type, info, devices });
                batch_set(b, M_NODE_INTERRUPTS_COUNT, (double)v);
        }
}

int interrupts_look(HostProc *h) {
        Scan s;
        int r = file_read(h, FILE_INTERRUPTS, &s);
        if (r < 0)
                return r;
        CLEANUP_FREE Span *cpus = calloc(CPUS_MAX, sizeof *cpus);
        if (!cpus)
                return -ENOMEM;
        size_t n_cpus = interrupt_cpus(&s, cpus);
        BatchBuilder *b = begin(h, GROUP_NODE_INTERRUPTS);
        for (Span line; n_cpus > 0 && whole_line(&s, &line);) {
                if (b->n_rows + n_cpus > INTERRUPT_ROWS_MAX)
                        return -E2BIG;
                interrupt_line(h, b, line, cpus, n_cpus);
        }
        finish(h, b);
        return b->n_rows > 0 ? 0 : -ENODATA;
}

/* What the host is (uname, os-release, DMI) and what its clock says. */
#include "collect/hostproc/hostproc_priv.h"

#include <sys/timex.h>
#include <sys/utsname.h>

/* Labels of one row, each copied out of h->text, which the next read reuses. */
typedef struct Labels {
        Buf text;
        size_t start[GROUP_MAX_KEYS], len[GROUP_MAX_KEYS];
} Labels;

static void labels_deinit(Labels *l) {
        buf_deinit(&l->text);
}

static void label_put(Labels *l, size_t i, Span s) {
        l->start[i] = l->text.len;
        buf_put(&l->text, s.text, s.len);
        l->len[i] = buf_error(&l->text) ? 0 : s.len;
}

static void labels_row(const Labels *l, BatchBuilder *b) {
        Span spans[GROUP_MAX_KEYS];
        for (size_t i = 0; i < GROUP_MAX_KEYS; i++)
                spans[i] = l->len[i] ? (Span){ l->text.data + l->start[i], l->len[i] } : (Span){ "", 0 };
        batch_row(b, spans);
}

int uname_look(HostProc *h) {
        enum { MACHINE = 3, DOMAIN_NAME = 5 };
        static const char *const FILES[] = { "ostype", "osrelease", "version", "arch", "hostname", "domainname" };
        CLEANUP(labels_deinit) Labels labels = { 0 };
        struct utsname u;
        int r = 0;
        for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
                char path[64];
                Span word;
                (void)snprintf(path, sizeof path, "proc/sys/kernel/%s", FILES[i]);
                int one = path_word(h, path, &word);
                /* kernel.arch came with Linux 6.1. */
                if (one < 0 && i == MACHINE && h->live && uname(&u) == 0)
                        word = (Span){ u.machine, strlen(u.machine) };
                else if (one < 0 && i == 0)
                        r = one;
                if (one < 0 && i != MACHINE)
                        word = (Span){ "", 0 };
                else if (one < 0 && !h->live)
                        word = (Span){ "", 0 };
                label_put(&labels, i, word);
        }
        if (r < 0)
                return r;
        BatchBuilder *b = begin(h, GROUP_NODE_UNAME);
        labels_row(&labels, b);
        batch_set(b, M_NODE_UNAME_INFO, 1);
        finish(h, b);
        return 0;
}

static Span unquoted(Span s) {
        if (s.len >= 2 && (s.text[0] == '"' || s.text[0] == '\'') && s.text[s.len - 1] == s.text[0])
                return (Span){ s.text + 1, s.len - 2 };
        return s;
}

/* "22.04.1" -> 22.04, as node_exporter cuts it. */
static bool version_number(Span s, double *ret_v) {
        size_t n = 0, dots = 0;
        for (; n < s.len && ((s.text[n] >= '0' && s.text[n] <= '9') || s.text[n] == '.'); n++)
                if (s.text[n] == '.' && ++dots == 2)
                        break;
        Scan scan = SCAN(s.text, n);
        return scan_double(&scan, ret_v);
}

int os_look(HostProc *h) {
        /* In the order of the keys of NODE_OS. */
        enum { ID = 1, ID_LIKE = 2, NAME = 5, VERSION_ID = 11, N_KEYS = 12 };
        static const char *const KEYS[N_KEYS] = {
                "BUILD_ID=", "ID=", "ID_LIKE=", "IMAGE_ID=", "IMAGE_VERSION=", "NAME=",
                "PRETTY_NAME=", "VARIANT=", "VARIANT_ID=", "VERSION=", "VERSION_CODENAME=", "VERSION_ID=",
        };
        Scan s;
        int r = path_read(h, "etc/os-release", &s);
        if (r < 0)
                r = path_read(h, "usr/lib/os-release", &s);
        if (r < 0)
                return r;
        Span values[GROUP_MAX_KEYS] = { 0 };
        for (Span line; scan_line(&s, &line);)
                for (size_t i = 0; i < N_KEYS; i++)
                        if (span_starts(line, KEYS[i]))
                                values[i] = unquoted((Span){ line.text + strlen(KEYS[i]), line.len - strlen(KEYS[i]) });
        BatchBuilder *b = begin(h, GROUP_NODE_OS);
        batch_row(b, values);
        batch_set(b, M_NODE_OS_INFO, 1);
        finish(h, b);
        double version;
        if (version_number(values[VERSION_ID], &version)) {
                b = begin(h, GROUP_NODE_OS_VERSION);
                batch_row(b, (Span[]){ values[ID], values[ID_LIKE], values[NAME] });
                batch_set(b, M_NODE_OS_VERSION_VERSION, version);
                finish(h, b);
        }
        return 0;
}

/* The files have the names of the labels, all but the vendor's. Serial numbers need root. */
int dmi_look(HostProc *h) {
        CLEANUP(labels_deinit) Labels labels = { 0 };
        const GroupDesc *g = &GROUPS[GROUP_NODE_DMI];
        size_t found = 0;
        for (size_t i = 0; i < g->n_keys; i++) {
                char path[96];
                Span word;
                const char *file = strcmp(g->keys[i], "system_vendor") == 0 ? "sys_vendor" : g->keys[i];
                (void)snprintf(path, sizeof path, "sys/class/dmi/id/%s", file);
                if (path_word(h, path, &word) < 0)
                        continue;
                label_put(&labels, i, word);
                found++;
        }
        if (found == 0)
                return -ENOENT;
        BatchBuilder *b = begin(h, GROUP_NODE_DMI);
        labels_row(&labels, b);
        batch_set(b, M_NODE_DMI_INFO, 1);
        finish(h, b);
        return 0;
}

int time_look(HostProc *h) {
        BatchBuilder *b = begin(h, GROUP_NODE_TIME);
        batch_row(b, NULL);
        batch_set(b, M_NODE_TIME_NOW, (double)h->wall.ns);
        finish(h, b);
        return 0;
}

int clocksource_look(HostProc *h) {
        static const char DIRECTORY[] = "sys/devices/system/clocksource/clocksource0";
        char path[96];
        Span current = { "", 0 }, line, word;
        CLEANUP(labels_deinit) Labels labels = { 0 };
        (void)snprintf(path, sizeof path, "%s/current_clocksource", DIRECTORY);
        int r = path_word(h, path, &current);
        if (r < 0)
                return r;
        label_put(&labels, 0, current);
        (void)snprintf(path, sizeof path, "%s/available_clocksource", DIRECTORY);
        r = path_word(h, path, &line);
        if (r < 0)
                return r;
        BatchBuilder *b = begin(h, GROUP_NODE_CLOCKSOURCE);
        for (Scan s = SCAN(line.text, line.len); scan_word(&s, &word);) {
                batch_row(b, (Span[]){ { "0", 1 }, word });
                batch_set(b, M_NODE_CLOCKSOURCE_AVAILABLE, 1);
                if (word.len == labels.len[0] && memcmp(word.text, labels.text.data, word.len) == 0)
                        batch_set(b, M_NODE_CLOCKSOURCE_CURRENT, 1);
        }
        finish(h, b);
        return 0;
}

/* struct timex counts frequencies in 2^-16 parts per million, and some times in us or, with STA_NANO, in ns. */
int timex_look(HostProc *h) {
        static const double PPM16 = 65536.0 * 1e6;
        if (!h->live)
                return -ENOTSUP;
        struct timex t = { 0 };
        int state = adjtimex(&t);
        if (state < 0)
                return -errno;
        double unit = t.status & STA_NANO ? 1e9 : 1e6;
        BatchBuilder *b = begin(h, GROUP_NODE_TIMEX);
        batch_row(b, NULL);
        batch_set(b, M_NODE_TIMEX_OFFSET, (double)t.offset / unit);
        batch_set(b, M_NODE_TIMEX_FREQ, 1 + (double)t.freq / PPM16);
        batch_set(b, M_NODE_TIMEX_MAXERROR, (double)t.maxerror);
        batch_set(b, M_NODE_TIMEX_ESTERROR, (double)t.esterror);
        batch_set(b, M_NODE_TIMEX_STATUS, t.status);
        batch_set(b, M_NODE_TIMEX_CONSTANT, (double)t.constant);
        batch_set(b, M_NODE_TIMEX_TICK, (double)t.tick);
        batch_set(b, M_NODE_TIMEX_PPS_FREQ, (double)t.ppsfreq / PPM16);
        batch_set(b, M_NODE_TIMEX_PPS_JITTER, (double)t.jitter / unit);
        batch_set(b, M_NODE_TIMEX_PPS_SHIFT, t.shift);
        batch_set(b, M_NODE_TIMEX_PPS_STABILITY, (double)t.stabil / PPM16);
        batch_set(b, M_NODE_TIMEX_PPS_JITTERS, (double)t.jitcnt);
        batch_set(b, M_NODE_TIMEX_PPS_CALIBRATIONS, (double)t.calcnt);
        batch_set(b, M_NODE_TIMEX_PPS_ERRORS, (double)t.errcnt);
        batch_set(b, M_NODE_TIMEX_PPS_STABILITIES, (double)t.stbcnt);
        batch_set(b, M_NODE_TIMEX_TAI, t.tai);
        batch_set(b, M_NODE_TIMEX_SYNC, state != TIME_ERROR);
        finish(h, b);
        return 0;
}

int selinux_look(HostProc *h) {
        Scan s;
        double mode;
        bool enabled = path_read(h, "sys/fs/selinux/enforce", &s) == 0;
        BatchBuilder *b = begin(h, GROUP_NODE_SELINUX);
        batch_row(b, NULL);
        batch_set(b, M_NODE_SELINUX_ENABLED, enabled);
        if (enabled && file_number(s, &mode))
                batch_set(b, M_NODE_SELINUX_CURRENT, mode);
        finish(h, b);
        return 0;
}

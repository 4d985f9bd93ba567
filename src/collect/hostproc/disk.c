/* Block devices: /proc/diskstats, and their names from udev's database. */
#include "collect/hostproc/hostproc_priv.h"

static bool all_digits(const char *at, const char *end) {
        for (; at < end; at++)
                if (*at < '0' || *at > '9')
                        return false;
        return true;
}

/* [prefix][a letter]N, where the letter is there for disks: sda1 but not sda. */
static bool is_numbered(Span name, const char *prefix, bool letter) {
        size_t skip = strlen(prefix);
        if (!span_starts(name, prefix))
                return false;
        if (letter && (name.len <= skip || name.text[skip] < 'a' || name.text[skip] > 'z'))
                return false;
        skip += letter;
        return name.len > skip && all_digits(name.text + skip, name.text + name.len);
}

/* nvme0n1p2 */
static bool is_nvme_partition(Span name) {
        Scan s = SCAN(name.text, name.len);
        uint64_t n;
        return scan_literal(&s, "nvme") && scan_u64(&s, &n) && scan_literal(&s, "n") && scan_u64(&s, &n) &&
               scan_literal(&s, "p") && scan_u64(&s, &n) && s.at == s.end;
}

/* node_exporter's default: ^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$ */
static bool is_ignored(Span name) {
        static const char *const WHOLE[] = { "ram", "loop", "fd" }, *const DISKS[] = { "hd", "sd", "vd", "xvd" };
        for (size_t i = 0; i < ARRAY_LEN(WHOLE); i++)
                if (is_numbered(name, WHOLE[i], false))
                        return true;
        for (size_t i = 0; i < ARRAY_LEN(DISKS); i++)
                if (is_numbered(name, DISKS[i], true))
                        return true;
        return is_nvme_partition(name);
}

/* Takes major, minor and name; false for lines that are none and devices that are ignored. */
static bool disk_head(Scan *l, Span *ret_major, Span *ret_minor, Span *ret_name) {
        uint64_t n;
        return scan_word(l, ret_major) && span_u64(*ret_major, &n) && scan_word(l, ret_minor) &&
               span_u64(*ret_minor, &n) && scan_word(l, ret_name) && !is_ignored(*ret_name);
}

int diskstats_look(HostProc *h) {
        /* In the order of Documentation/admin-guide/iostats.rst; older kernels end earlier. */
        static const MetricId COLUMNS[] = {
                M_NODE_DISK_READS,       M_NODE_DISK_READS_MERGED,    M_NODE_DISK_READ_BYTES,
                M_NODE_DISK_READ_TIME,   M_NODE_DISK_WRITES,          M_NODE_DISK_WRITES_MERGED,
                M_NODE_DISK_WRITTEN_BYTES, M_NODE_DISK_WRITE_TIME,    M_NODE_DISK_IO_NOW,
                M_NODE_DISK_IO_TIME,     M_NODE_DISK_IO_WEIGHTED,     M_NODE_DISK_DISCARDS,
                M_NODE_DISK_DISCARDS_MERGED, M_NODE_DISK_DISCARDED_SECTORS, M_NODE_DISK_DISCARD_TIME,
                M_NODE_DISK_FLUSHES,     M_NODE_DISK_FLUSH_TIME,
        };
        Scan s;
        int r = file_read(h, FILE_DISKSTATS, &s);
        if (r < 0)
                return r;
        BatchBuilder *b = begin(h, GROUP_NODE_DISK);
        for (Span line; whole_line(&s, &line);) {
                Scan l = SCAN(line.text, line.len);
                Span major, minor, name;
                uint64_t v;
                if (!disk_head(&l, &major, &minor, &name))
                        continue;
                batch_row(b, &name);
                for (size_t i = 0; i < ARRAY_LEN(COLUMNS) && scan_u64(&l, &v); i++)
                        batch_set(b, COLUMNS[i], (double)v);
        }
        finish(h, b);
        return 0;
}

typedef enum UdevKey {
        UDEV_PATH,
        UDEV_WWN,
        UDEV_MODEL,
        UDEV_SCSI_SERIAL,
        UDEV_SERIAL_SHORT,
        UDEV_SERIAL,
        UDEV_REVISION,
        UDEV_COUNT
} UdevKey;

static void udev_read(HostProc *h, Span major, Span minor, Span ret_values[UDEV_COUNT]) {
        static const char *const KEYS[UDEV_COUNT] = {
                "E:ID_PATH=", "E:ID_WWN=", "E:ID_MODEL=", "E:SCSI_IDENT_SERIAL=", "E:ID_SERIAL_SHORT=",
                "E:ID_SERIAL=", "E:ID_REVISION=",
        };
        char path[96];
        Scan s;
        for (size_t i = 0; i < UDEV_COUNT; i++)
                ret_values[i] = (Span){ "", 0 };
        (void)snprintf(path, sizeof path, "run/udev/data/b%.*s:%.*s", (int)major.len, major.text, (int)minor.len,
                       minor.text);
        if (path_read(h, path, &s) < 0)
                return;
        for (Span line; whole_line(&s, &line);)
                for (size_t i = 0; i < UDEV_COUNT; i++)
                        if (span_starts(line, KEYS[i]))
                                ret_values[i] = (Span){ line.text + strlen(KEYS[i]), line.len - strlen(KEYS[i]) };
}

int disk_info_look(HostProc *h) {
        Scan s;
        int r = file_read(h, FILE_DISKSTATS, &s);
        if (r < 0)
                return r;
        /* Reading udev's files reuses h->text, so the list is copied. */
        CLEANUP(buf_deinit) Buf list = BUF_NULL;
        buf_put(&list, s.at, (size_t)(s.end - s.at));
        if (buf_error(&list))
                return buf_error(&list);
        s = SCAN(list.data, list.len);
        BatchBuilder *b = begin(h, GROUP_NODE_DISK_INFO);
        for (Span line; whole_line(&s, &line);) {
                Scan l = SCAN(line.text, line.len);
                Span major, minor, name, udev[UDEV_COUNT];
                if (!disk_head(&l, &major, &minor, &name))
                        continue;
                udev_read(h, major, minor, udev);
                Span serial = udev[UDEV_SCSI_SERIAL].len ? udev[UDEV_SCSI_SERIAL]
                            : udev[UDEV_SERIAL_SHORT].len ? udev[UDEV_SERIAL_SHORT] : udev[UDEV_SERIAL];
                batch_row(b, (Span[]){ name, major, minor, udev[UDEV_PATH], udev[UDEV_WWN], udev[UDEV_MODEL], serial,
                                       udev[UDEV_REVISION] });
                batch_set(b, M_NODE_DISK_INFO_INFO, 1);
        }
        finish(h, b);
        return 0;
}

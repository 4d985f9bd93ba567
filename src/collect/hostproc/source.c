/* Files below the root: kept descriptors read with pread, and the small forms of sysfs.
 *
 * A descriptor of /proc or /sys gives fresh contents from offset 0 at each pread, at a tenth of the cost of
 * opening. It outlives its device, though: then the read fails, and the next look opens by name again. */
#include "collect/hostproc/hostproc_priv.h"

#include <dirent.h>
#include <fcntl.h>

/* Whether a read that did not fill its buffer was the last: files of sysfs and sysctl, and those of /proc that
 * the kernel prints as one record. Others come in pieces of a page or so. */
static bool comes_whole(const char *path) {
        static const char *const RECORDS[] = { "proc/stat", "proc/meminfo", "proc/loadavg", "proc/net/snmp",
                                               "proc/net/netstat", "proc/net/snmp6", "proc/net/sockstat",
                                               "proc/net/sockstat6" };
        if (strncmp(path, "sys/", 4) == 0 || strncmp(path, "proc/sys/", 9) == 0 ||
            strncmp(path, "proc/pressure/", 14) == 0)
                return true;
        for (size_t i = 0; i < ARRAY_LEN(RECORDS); i++)
                if (strcmp(path, RECORDS[i]) == 0)
                        return true;
        return false;
}

static int read_all(Buf *text, int fd, bool whole) {
        buf_reset(text);
        for (;;) {
                /* Into what room there is; more of it only when a page would not fit. */
                size_t room = text->cap - text->len;
                size_t want = room > 4096 ? room - 1 : 16384; /* one byte stays free for a terminator */
                char *at = buf_reserve(text, want);
                if (!at)
                        return buf_error(text);
                ssize_t n = pread(fd, at, want, (off_t)text->len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
                text->len += (size_t)n;
                if (whole && (size_t)n < want)
                        return 0;
        }
}

static int open_below(HostProc *h, const char *path) {
        int fd = openat(h->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        return fd < 0 ? -errno : fd;
}

int path_read(HostProc *h, const char *path, Scan *ret_s) {
        CLEANUP_FD int fd = open_below(h, path);
        if (fd < 0)
                return fd;
        h->text_path = NULL;
        int r = read_all(&h->text, fd, comes_whole(path));
        if (r < 0)
                return r;
        *ret_s = SCAN(h->text.data, h->text.len);
        return 0;
}

int kept_read(HostProc *h, Kept *file, Scan *ret_s) {
        if (h->text_path && strcmp(h->text_path, file->path) == 0) {
                *ret_s = SCAN(h->text.data, h->text.len);
                return 0;
        }
        if (file->fd < 0) {
                if (h->kept_fds >= h->max_kept_fds)
                        return path_read(h, file->path, ret_s);
                int fd = open_below(h, file->path);
                if (fd < 0)
                        return fd;
                file->fd = fd;
                h->kept_fds++;
        }
        h->text_path = NULL;
        int r = read_all(&h->text, file->fd, comes_whole(file->path));
        if (r < 0) {
                /* EINVAL is how sysfs says "no value now" (carrier of an interface that is down). */
                if (r != -EINVAL)
                        kept_close(h, file);
                return r;
        }
        h->text_path = file->path;
        *ret_s = SCAN(h->text.data, h->text.len);
        return 0;
}

void kept_close(HostProc *h, Kept *file) {
        if (file->fd < 0)
                return;
        (void)close(file->fd);
        file->fd = -1;
        h->kept_fds--;
}

int file_read(HostProc *h, FileId id, Scan *ret_s) {
        return kept_read(h, &h->files[id], ret_s);
}

int path_word(HostProc *h, const char *path, Span *ret_word) {
        Scan s;
        int r = path_read(h, path, &s);
        if (r < 0)
                return r;
        Span line = { "", 0 };
        (void)scan_line(&s, &line);
        while (line.len > 0 && (line.text[line.len - 1] == ' ' || line.text[line.len - 1] == '\t'))
                line.len--;
        *ret_word = line;
        return 0;
}

bool whole_line(Scan *s, Span *ret_line) {
        return scan_until(s, '\n', ret_line);
}

static int hex_digit(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_number(Scan s, double *ret_v) {
        uint64_t v = 0;
        const char *start = s.at;
        for (; s.at < s.end && hex_digit(*s.at) >= 0; s.at++) {
                if (v >> 60)
                        return false;
                v = v << 4 | (uint64_t)hex_digit(*s.at);
        }
        if (s.at == start || (s.at < s.end && *s.at != '\n'))
                return false;
        *ret_v = (double)v;
        return true;
}

bool file_number(Scan s, double *ret_v) {
        scan_blank(&s);
        if (scan_literal(&s, "0x"))
                return hex_number(s, ret_v);
        int64_t i;
        if (!scan_i64(&s, &i)) {
                uint64_t u;
                if (!scan_u64(&s, &u))
                        return false;
                *ret_v = (double)u;
        } else {
                *ret_v = (double)i;
        }
        scan_blank(&s);
        return s.at == s.end || *s.at == '\n';
}

static int by_length_then_text(const void *a, const void *b) {
        const char *x = *(char *const *)a, *y = *(char *const *)b;
        size_t n = strlen(x), m = strlen(y);
        return n != m ? (n > m) - (n < m) : strcmp(x, y);
}

static void cleanup_dir(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

/* Packs the terminated names of `text` behind an array of pointers to them. */
static int pack_names(const Buf *text, size_t n, char ***ret_names) {
        char **names = malloc(n * sizeof *names + text->len + 1);
        if (!names)
                return -ENOMEM;
        char *at = (char *)(names + n);
        if (text->len > 0)
                memcpy(at, text->data, text->len);
        for (size_t i = 0; i < n; i++, at += strlen(at) + 1)
                names[i] = at;
        qsort(names, n, sizeof *names, by_length_then_text);
        *ret_names = names;
        return 0;
}

int list_names(HostProc *h, const char *path, const char *prefix, char ***ret_names, size_t *ret_n) {
        CLEANUP_FD int fd = openat(h->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        CLEANUP(cleanup_dir) DIR *dir = fdopendir(fd);
        if (!dir)
                return -errno;
        (void)TAKE_FD(fd);
        CLEANUP(buf_deinit) Buf text = BUF_WITH_LIMIT((size_t)1 << 20);
        size_t n = 0;
        for (struct dirent *e; (e = readdir(dir));) {
                if (e->d_name[0] == '.' || strncmp(e->d_name, prefix, strlen(prefix)) != 0)
                        continue;
                buf_put(&text, e->d_name, strlen(e->d_name) + 1);
                n++;
        }
        int r = buf_error(&text);
        if (r == 0)
                r = pack_names(&text, n, ret_names);
        if (r == 0)
                *ret_n = n;
        return r;
}

/* What the files of hostproc share: the object, its kept files, and building batches.
 *
 * A *collector* is what node_exporter calls so: a name, and a function that reads its files and fills
 * its groups. It returns 0 or a negative errno, which becomes node_scrape_collector_success. */
#pragma once

#include "base/scan.h"
#include "collect/hostproc/hostproc.h"

#define HOST_TEXT_MAX ((size_t)16 << 20)
#define HOST_NAME_MAX_LEN 63u

/* A file that is opened once and read with pread from then on. */
typedef struct Kept {
        const char *path; /* below the root; borrowed */
        int fd;           /* -1: not open */
} Kept;

/* One value of a device's directory in /sys. */
typedef struct SysCell {
        MetricId metric;
        Kept file;    /* path owned here; NULL: the value is `scale` itself */
        double scale; /* the file's number is multiplied with it */
} SysCell;

typedef struct SysRow {
        GroupId group;
        char *labels[GROUP_MAX_KEYS];
        SysCell *cells;
        size_t n_cells;
} SysRow;

/* The devices of one collector, looked up once a minute. */
typedef struct SysSet {
        SysRow *rows;
        size_t n, cap;
} SysSet;

typedef enum SysSetId { SET_CPUFREQ, SET_HWMON, SET_THERMAL, SET_POWER, SET_EDAC, SET_NVME, SET_COUNT } SysSetId;

typedef struct NetIf NetIf;
typedef struct Collector Collector;

typedef struct HostProc {
        EntityKey key;
        int root_fd;
        bool live; /* the root is "/": system calls tell about the same host */
        size_t kept_fds, max_kept_fds;
        Buf text; /* contents of the file being read */
        const char *text_path; /* the kept file of this look that it is of, for two collectors in a row; or NULL */
        Buf scratch;

        /* This look. */
        WallTime wall;
        MonoTime mono;
        Sink *sink;
        size_t collector; /* index of the one that runs */

        BatchBuilder *batches; /* one a group, GROUP_COUNT */
        uint8_t *owner;        /* collector that wrote the group last + 1; 0 = nobody */
        bool *written;         /* in this run of its collector */

        /* One a collector, hostproc_n_collectors. */
        Kept **kept; /* of the collector's TextFiles */
        MonoTime *due;
        int64_t *cost_ns; /* of its last run */
        bool *failed;

        SysSet sets[SET_COUNT];
        MonoTime sets_due[SET_COUNT];

        NetIf **nets;
        size_t n_nets, nets_cap;
        int link_events; /* the kernel's notices of changed interfaces; -1: not open, or there are none */
        unsigned net_turn;
        Kept files[16]; /* FileId */
} HostProc;

/* Files that a collector of its own reads; those of text.c are in its tables. */
typedef enum FileId {
        FILE_STAT,
        FILE_SCHEDSTAT,
        FILE_SOFTNET,
        FILE_INTERRUPTS,
        FILE_DISKSTATS,
        FILE_MOUNTINFO,
        FILE_NETDEV,
        FILE_ARP,
        FILE_TCP,
        FILE_TCP6,
        FILE_UDP,
        FILE_UDP6,
        FILE_CONNTRACK,
        FILE_COUNT
} FileId;

/* Reads a kept file whole into h->text; the scan borrows it until the next read. */
int kept_read(HostProc *h, Kept *file, Scan *ret_s) MUST_USE;
void kept_close(HostProc *h, Kept *file);
/* The same by opening and closing. */
int path_read(HostProc *h, const char *path, Scan *ret_s) MUST_USE;
int file_read(HostProc *h, FileId id, Scan *ret_s) MUST_USE;
/* First line of a file without blanks at its end. */
int path_word(HostProc *h, const char *path, Span *ret_word) MUST_USE;

/* A line with its newline: the last line of a half-written file is none. */
bool whole_line(Scan *s, Span *ret_line);
/* A number, decimal or 0x hexadecimal, with optional sign, of a file that holds nothing else. */
bool file_number(Scan s, double *ret_v);

/* Names in directory `path`, sorted so that cpu2 comes before cpu10; the array and the names are one
 * allocation. Names that begin with a dot are left out. */
int list_names(HostProc *h, const char *path, const char *prefix, char ***ret_names, size_t *ret_n) MUST_USE;

/* Begins the batch of a group; finish() sends it, if it has rows. */
BatchBuilder *begin(HostProc *h, GroupId g);
void finish(HostProc *h, BatchBuilder *b);

/* Table of text files with numbers, text.c. `section` is the line's first word where the format has
 * lines of several values, else NULL. */
typedef struct Field {
        const char *section, *key;
        uint8_t section_len, key_len;
        MetricId metric;
} Field;

#define KEY(k, m) { NULL, k, 0, sizeof(k) - 1, m }
#define KEY2(s, k, m) { s, k, sizeof(s) - 1, sizeof(k) - 1, m }

typedef enum Form {
        FORM_KEYED,  /* "key: value ..." */
        FORM_PAIRED, /* "Tcp: key key" above "Tcp: value value" */
        FORM_TAGGED, /* "TCP: key value key value", or with '=' between */
        FORM_WORDS,  /* values by position in the first line: the key is one letter, 'a' the first */
} Form;

typedef struct TextFile {
        const char *path;
        Form form;
        GroupId group;
        const Field *fields;
        size_t n;
} TextFile;

struct Collector {
        const char *name;
        int (*look)(HostProc *h); /* NULL: `files` alone */
        const TextFile *files;
        size_t n_files;
        int64_t every_ns; /* > 0: not more often than this */
        bool heavy;       /* not more often than keeps it below 0.01 % of one CPU */
};

/* Reads the table of the collector that runs. */
int text_look(HostProc *h, const Collector *c);
extern const TextFile TEXT_LOADAVG[1], TEXT_MEMINFO[1], TEXT_VMSTAT[1], TEXT_STAT[1], TEXT_ENTROPY[2], TEXT_HUNG[1],
        TEXT_FILEFD[1], TEXT_PRESSURE[4], TEXT_SOCKSTAT[2], TEXT_NETSTAT[3];

/* percpu.c */
int cpu_look(HostProc *h);
int schedstat_look(HostProc *h);
int softnet_look(HostProc *h);
int interrupts_look(HostProc *h);
/* disk.c */
int diskstats_look(HostProc *h);
int disk_info_look(HostProc *h);
/* filesystem.c */
int filesystem_look(HostProc *h);
/* net.c */
int netdev_look(HostProc *h);
int netclass_look(HostProc *h);
void net_deinit(HostProc *h);
/* sockets.c */
int arp_look(HostProc *h);
int bonding_look(HostProc *h);
int conntrack_look(HostProc *h);
int tcpstat_look(HostProc *h);
int udp_look(HostProc *h);
/* sysclass.c */
int cpufreq_look(HostProc *h);
int hwmon_look(HostProc *h);
int thermal_look(HostProc *h);
int power_look(HostProc *h);
int edac_look(HostProc *h);
int nvme_look(HostProc *h);
void sets_deinit(HostProc *h);
/* hwmon.c: what sensors there are. */
int hwmon_find(HostProc *h, SysSet *set);
SysRow *set_add(SysSet *set, GroupId g);
int row_label(SysRow *r, size_t i, const char *text, size_t n);
int row_cell(SysRow *r, MetricId m, const char *path, double scale);
/* procs.c */
int processes_look(HostProc *h);
/* identity.c */
int uname_look(HostProc *h);
int os_look(HostProc *h);
int dmi_look(HostProc *h);
int time_look(HostProc *h);
int clocksource_look(HostProc *h);
int timex_look(HostProc *h);
int selinux_look(HostProc *h);

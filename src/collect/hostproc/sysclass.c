/* Devices of /sys whose directory holds one number a file: a table row a class, a table row a file.
 *
 * Which devices and files there are is looked up once a minute; the files are kept open in between.
 * Those that a device does not have (or that are gone) are absent. */
#include "collect/hostproc/hostproc_priv.h"

typedef struct ClassFile {
        const char *file; /* below the device's directory; NULL: the metric is always `scale` */
        MetricId metric;
        double scale;
} ClassFile;

typedef struct SysClass {
        GroupId group;
        const char *dir, *prefix;
        bool numbered;                 /* only names that go on with a digit, and the label is from there on */
        const char *label_files[4];    /* labels after the first, which is the name */
        const ClassFile *files;
        size_t n;
} SysClass;

/* cpufreq counts in kHz. */
static const ClassFile CPUFREQ_FILES[] = {
        { "cpufreq/scaling_cur_freq", M_NODE_CPUFREQ_CUR, 1000 },
        { "cpufreq/scaling_min_freq", M_NODE_CPUFREQ_MIN, 1000 },
        { "cpufreq/scaling_max_freq", M_NODE_CPUFREQ_MAX, 1000 },
        { "cpufreq/cpuinfo_cur_freq", M_NODE_CPUFREQ_HW_CUR, 1000 },
        { "cpufreq/cpuinfo_min_freq", M_NODE_CPUFREQ_HW_MIN, 1000 },
        { "cpufreq/cpuinfo_max_freq", M_NODE_CPUFREQ_HW_MAX, 1000 },
};
static const ClassFile COOLING_FILES[] = { { "cur_state", M_NODE_COOLING_CUR, 1 },
                                           { "max_state", M_NODE_COOLING_MAX, 1 } };
static const ClassFile ZONE_FILES[] = { { "temp", M_NODE_THERMAL_TEMP, 1 } };
static const ClassFile POWER_FILES[] = {
        { "online", M_NODE_POWER_ONLINE, 1 },
        { "capacity", M_NODE_POWER_CAPACITY, 1 },
        { "present", M_NODE_POWER_PRESENT, 1 },
};
static const ClassFile EDAC_FILES[] = { { "ce_count", M_NODE_EDAC_CE, 1 }, { "ue_count", M_NODE_EDAC_UE, 1 } };
static const ClassFile NVME_FILES[] = { { NULL, M_NODE_NVME_INFO, 1 } };

#define FILES(table) .files = table, .n = ARRAY_LEN(table)

static const SysClass CPUFREQ = { GROUP_NODE_CPUFREQ, "sys/devices/system/cpu", "cpu", true,
                                  { NULL },           FILES(CPUFREQ_FILES) };
static const SysClass COOLING = { GROUP_NODE_COOLING, "sys/class/thermal", "cooling_device", true, { "type" },
                                  FILES(COOLING_FILES) };
static const SysClass ZONES = { GROUP_NODE_THERMAL, "sys/class/thermal", "thermal_zone", true,
                                { "type" },         FILES(ZONE_FILES) };
static const SysClass POWER = { GROUP_NODE_POWER, "sys/class/power_supply", "", false, { NULL }, FILES(POWER_FILES) };
static const SysClass EDAC = { GROUP_NODE_EDAC, "sys/devices/system/edac/mc", "mc", true, { NULL }, FILES(EDAC_FILES) };
static const SysClass NVME = { GROUP_NODE_NVME, "sys/class/nvme", "nvme", false,
                               { "firmware_rev", "model", "serial", "state" }, FILES(NVME_FILES) };

static void set_deinit(HostProc *h, SysSet *set) {
        for (size_t i = 0; i < set->n; i++) {
                SysRow *r = &set->rows[i];
                for (size_t k = 0; k < GROUP_MAX_KEYS; k++)
                        free(r->labels[k]);
                for (size_t k = 0; k < r->n_cells; k++) {
                        kept_close(h, &r->cells[k].file);
                        free((char *)r->cells[k].file.path);
                }
                free(r->cells);
        }
        free(set->rows);
        *set = (SysSet){ 0 };
}

void sets_deinit(HostProc *h) {
        for (size_t i = 0; i < SET_COUNT; i++)
                set_deinit(h, &h->sets[i]);
}

SysRow *set_add(SysSet *set, GroupId g) {
        if (set->n == set->cap) {
                size_t cap = set->cap ? set->cap * 2 : 8;
                SysRow *rows = reallocarray(set->rows, cap, sizeof *rows);
                if (!rows)
                        return NULL;
                set->rows = rows;
                set->cap = cap;
        }
        set->rows[set->n] = (SysRow){ .group = g };
        return &set->rows[set->n++];
}

int row_label(SysRow *r, size_t i, const char *text, size_t n) {
        free(r->labels[i]);
        r->labels[i] = strndup(text, n);
        return r->labels[i] ? 0 : -ENOMEM;
}

int row_cell(SysRow *r, MetricId m, const char *path, double scale) {
        SysCell *cells = reallocarray(r->cells, r->n_cells + 1, sizeof *cells);
        if (!cells)
                return -ENOMEM;
        r->cells = cells;
        CLEANUP_FREE char *copy = path ? strdup(path) : NULL;
        if (path && !copy)
                return -ENOMEM;
        r->cells[r->n_cells++] = (SysCell){ m, { TAKE_PTR(copy), -1 }, scale };
        return 0;
}

static int label_from_file(HostProc *h, SysRow *row, size_t i, const char *device, const char *file) {
        char path[512];
        Span word;
        (void)snprintf(path, sizeof path, "%s/%s", device, file);
        if (path_word(h, path, &word) < 0)
                word = (Span){ "", 0 };
        return row_label(row, i, word.text, word.len);
}

static int add_device(HostProc *h, SysSet *set, const SysClass *c, const char *name) {
        char device[256], path[512];
        const char *label = c->numbered ? name + strlen(c->prefix) : name;
        SysRow *row = set_add(set, c->group);
        if (!row)
                return -ENOMEM;
        (void)snprintf(device, sizeof device, "%s/%s", c->dir, name);
        int r = row_label(row, 0, label, strlen(label));
        for (size_t i = 0; r == 0 && i < ARRAY_LEN(c->label_files) && c->label_files[i]; i++)
                r = label_from_file(h, row, i + 1, device, c->label_files[i]);
        for (size_t i = 0; r == 0 && i < c->n; i++) {
                const ClassFile *f = &c->files[i];
                (void)snprintf(path, sizeof path, "%s/%s", device, f->file ? f->file : "");
                if (!f->file)
                        r = row_cell(row, f->metric, NULL, f->scale);
                else if (faccessat(h->root_fd, path, F_OK, 0) == 0)
                        r = row_cell(row, f->metric, path, f->scale);
        }
        if (r == 0 && row->n_cells == 0) { /* cpu3 without cpufreq */
                free(row->labels[0]);
                set->n--;
                for (size_t i = 1; i < GROUP_MAX_KEYS; i++)
                        free(row->labels[i]);
        }
        return r;
}

static int find_class(HostProc *h, SysSet *set, const SysClass *c) {
        CLEANUP_FREE char **names = NULL;
        size_t n = 0;
        int r = list_names(h, c->dir, c->prefix, &names, &n);
        for (size_t i = 0; r == 0 && i < n; i++) {
                char digit = names[i][strlen(c->prefix)];
                if (!c->numbered || (digit >= '0' && digit <= '9'))
                        r = add_device(h, set, c, names[i]);
        }
        return r;
}

static void fill_row(HostProc *h, BatchBuilder *b, const SysRow *row) {
        Span labels[GROUP_MAX_KEYS];
        for (size_t i = 0; i < GROUPS[row->group].n_keys; i++)
                labels[i] = row->labels[i] ? (Span){ row->labels[i], strlen(row->labels[i]) } : (Span){ "", 0 };
        batch_row(b, labels);
        for (size_t i = 0; i < row->n_cells; i++) {
                SysCell *c = &row->cells[i];
                Scan s;
                double v = 1;
                if (!c->file.path || (kept_read(h, &c->file, &s) == 0 && file_number(s, &v)))
                        batch_set(b, c->metric, v * c->scale);
        }
}

/* Rows of one group stand together in a set, in the order of the groups. */
static void fill_set(HostProc *h, const SysSet *set) {
        BatchBuilder *b = NULL;
        for (size_t i = 0; i < set->n; i++) {
                const SysRow *row = &set->rows[i];
                if (!b || b->group != row->group) {
                        if (b)
                                finish(h, b);
                        b = begin(h, row->group);
                }
                fill_row(h, b, row);
        }
        if (b)
                finish(h, b);
}

/* The set, looked up again when a minute is over. */
static SysSet *set_due(HostProc *h, SysSetId id) {
        if (h->sets_due[id].ns > h->mono.ns)
                return NULL;
        h->sets_due[id] = mono_add(h->mono, SECONDS(60));
        set_deinit(h, &h->sets[id]);
        return &h->sets[id];
}

static int class_look(HostProc *h, SysSetId id, const SysClass *first, const SysClass *second) {
        SysSet *set = set_due(h, id);
        int r = set ? find_class(h, set, first) : 0;
        if (set && second && r == 0)
                r = find_class(h, set, second);
        fill_set(h, &h->sets[id]);
        return r;
}

/* A host without such devices is no failure. */
static int optional(int r) {
        return r == -ENOENT ? 0 : r;
}

int cpufreq_look(HostProc *h) {
        return optional(class_look(h, SET_CPUFREQ, &CPUFREQ, NULL));
}

int thermal_look(HostProc *h) {
        return optional(class_look(h, SET_THERMAL, &COOLING, &ZONES));
}

int power_look(HostProc *h) {
        return optional(class_look(h, SET_POWER, &POWER, NULL));
}

int edac_look(HostProc *h) {
        return optional(class_look(h, SET_EDAC, &EDAC, NULL));
}

int nvme_look(HostProc *h) {
        return class_look(h, SET_NVME, &NVME, NULL);
}

int hwmon_look(HostProc *h) {
        SysSet *set = set_due(h, SET_HWMON);
        int r = set ? hwmon_find(h, set) : 0;
        fill_set(h, &h->sets[SET_HWMON]);
        return r < 0 ? r : h->sets[SET_HWMON].n > 0 ? 0 : -ENODATA;
}

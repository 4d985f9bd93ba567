/* parallax show: everything about one machine, a section a subject, then every value as it was read. */
#include "cli/cli.h"
#include "cli/human.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/text.h"

#include "base/escape.h"

#include <getopt.h>
#include <math.h>
#include <string.h>
#include <time.h>

/* A label and its value, values in one line below each other. */
static void put_line(Buf *out, TextId label, const char *value) {
        const char *l = text(label);
        size_t width = display_width(l);
        if (!*value)
                return;
        buf_printf(out, "  %s%*s", l, (int)(width < 22 ? 22 - width : 1), "");
        escape_terminal(out, value, strlen(value));
        buf_put_char(out, '\n');
}

static void put_title(Buf *out, TextId id) {
        buf_printf(out, "\n%s\n", text(id));
}

static json_t *find_group(json_t *doc, const char *id) {
        json_t *groups = field(doc, "groups");
        for (size_t i = 0; i < json_array_size(groups); i++) {
                json_t *g = json_array_get(groups, i);
                if (strcmp(field_text(g, "group"), id) == 0)
                        return g;
        }
        return NULL;
}

/* The column of a metric whose name ends in `suffix`. */
static double row_value(json_t *group, json_t *row, const char *suffix) {
        json_t *metrics = field(group, "metrics");
        size_t n = strlen(suffix);
        for (size_t i = 0; i < json_array_size(metrics); i++) {
                const char *name = field_text(json_array_get(metrics, i), "name");
                size_t len = strlen(name);
                json_t *v = json_array_get(field(row, "values"), i);
                if (len >= n && strcmp(name + len - n, suffix) == 0)
                        return json_is_number(v) ? json_number_value(v) : (double)NAN;
        }
        return NAN;
}

static json_t *row_by_label(json_t *group, const char *label, const char *value) {
        json_t *rows = field(group, "rows");
        for (size_t i = 0; i < json_array_size(rows); i++) {
                json_t *labels = field(json_array_get(rows, i), "labels");
                const char *found = json_string_value(json_object_get(labels, label));
                if (found && strcmp(found, value) == 0)
                        return json_array_get(rows, i);
        }
        return NULL;
}

#define MAX_COLUMNS 8

/* Column titles are one text, cut at its bars. */
typedef struct Titles {
        char text[160];
        TableColumn columns[MAX_COLUMNS];
        size_t n;
} Titles;

static void titles_init(Titles *t, TextId id, size_t first_right, size_t n_right) {
        (void)snprintf(t->text, sizeof t->text, "%s", text(id));
        t->n = 0;
        char *rest = t->text;
        for (char *title; t->n < MAX_COLUMNS && (title = strsep(&rest, "|")); t->n++)
                t->columns[t->n] = (TableColumn){ title, t->n >= first_right && t->n < first_right + n_right, 60 };
}

static void put_table(Buf *out, const Table *t) {
        CLEANUP(buf_deinit) Buf plain = BUF_NULL;
        table_print(t, true, &plain);
        for (const char *line = buf_cstr(&plain); *line;) {
                size_t n = strcspn(line, "\n");
                buf_put_str(out, "  ");
                buf_put(out, line, n);
                buf_put_char(out, '\n');
                line += n + (line[n] == '\n');
        }
}

static Human seconds_text(double v) {
        Human h = { "-" };
        if (!isnan(v))
                (void)snprintf(h.text, sizeof h.text, "%.2f", v);
        return h;
}

static const char *vcpu_state(double s) {
        return s == 0 ? "offline" : s == 1 ? "running" : s == 2 ? "blocked" : "-";
}

static void put_vcpus(Buf *out, json_t *doc) {
        json_t *group = find_group(doc, "DOM_VCPU"), *rows = field(group, "rows");
        CLEANUP(table_deinit) Table t;
        Titles titles;
        titles_init(&titles, TEXT_S_VCPU_TABLE, 2, 3);
        table_init(&t, titles.columns, titles.n);
        for (size_t i = 0; i < json_array_size(rows); i++) {
                json_t *row = json_array_get(rows, i);
                table_cell(&t, field_text(row, "labels.vcpu"));
                table_cell(&t, vcpu_state(row_value(group, row, "_vcpu_state")));
                table_cell(&t, seconds_text(row_value(group, row, "_vcpu_time_seconds_total")).text);
                table_cell(&t, seconds_text(row_value(group, row, "_vcpu_delay_seconds_total")).text);
                table_cell(&t, human_count(row_value(group, row, "_vcpu_cpu")).text);
        }
        if (t.n_cells)
                put_table(out, &t);
}

static void put_disk(Table *t, json_t *group, json_t *row, const char *target, const char *source) {
        table_cell(t, target);
        table_cell(t, human_bytes(row_value(group, row, "_read_bytes_total")).text);
        table_cell(t, human_bytes(row_value(group, row, "_write_bytes_total")).text);
        table_cell(t, human_count(row_value(group, row, "_read_requests_total")).text);
        table_cell(t, human_count(row_value(group, row, "_write_requests_total")).text);
        table_cell(t, human_bytes(row_value(group, row, "_capacity_bytes")).text);
        table_cell(t, source);
}

/* Disks of the definition with their counters; counters without a definition too. */
static void put_disks(Buf *out, json_t *doc) {
        json_t *group = find_group(doc, "DOM_BLOCK"), *disks = field(doc, "document.disks"),
               *rows = field(group, "rows");
        CLEANUP(table_deinit) Table t;
        Titles titles;
        titles_init(&titles, TEXT_S_DISK_TABLE, 1, 5);
        table_init(&t, titles.columns, titles.n);
        for (size_t i = 0; i < json_array_size(disks); i++) {
                json_t *disk = json_array_get(disks, i);
                const char *target = field_text(disk, "target");
                put_disk(&t, group, row_by_label(group, "target_device", target), target, field_text(disk, "source"));
        }
        for (size_t i = 0; !disks && i < json_array_size(rows); i++)
                put_disk(&t, group, json_array_get(rows, i),
                         field_text(json_array_get(rows, i), "labels.target_device"), "");
        if (!t.n_cells)
                return;
        put_title(out, TEXT_S_DISKS);
        put_table(out, &t);
}

static void put_nic(Table *t, json_t *group, json_t *row, const char *target, json_t *nic) {
        table_cell(t, target);
        table_cell(t, human_bytes(row_value(group, row, "_receive_bytes_total")).text);
        table_cell(t, human_bytes(row_value(group, row, "_transmit_bytes_total")).text);
        double rx = row_value(group, row, "_receive_drops_total"), tx = row_value(group, row, "_transmit_drops_total");
        table_cell(t, human_count(rx + tx).text);
        table_cell(t, field_text(nic, "mac"));
        table_cell(t, field_text(nic, "bridge"));
}

static void put_nics(Buf *out, json_t *doc) {
        json_t *group = find_group(doc, "DOM_NET"), *nics = field(doc, "document.interfaces"),
               *rows = field(group, "rows");
        CLEANUP(table_deinit) Table t;
        Titles titles;
        titles_init(&titles, TEXT_S_NIC_TABLE, 1, 3);
        table_init(&t, titles.columns, titles.n);
        for (size_t i = 0; i < json_array_size(nics); i++) {
                const char *target = field_text(json_array_get(nics, i), "target");
                put_nic(&t, group, row_by_label(group, "target_device", target), target, json_array_get(nics, i));
        }
        for (size_t i = 0; !nics && i < json_array_size(rows); i++)
                put_nic(&t, group, json_array_get(rows, i), field_text(json_array_get(rows, i), "labels.target_device"),
                        NULL);
        if (!t.n_cells)
                return;
        put_title(out, TEXT_S_NICS);
        put_table(out, &t);
}

static void put_identity(Buf *out, json_t *doc) {
        json_t *m = field(doc, "machine");
        char when[64] = "";
        double started = field_number(doc, "started"), stuck = field_number(m, "stuck_seconds");
        time_t seconds = (time_t)started;
        struct tm tm;
        if (!isnan(started) && localtime_r(&seconds, &tm))
                (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %z", &tm);
        put_line(out, TEXT_S_NAME, field_text(m, "name"));
        put_line(out, TEXT_S_KIND, field_text(m, "kind"));
        put_line(out, *field_text(m, "uuid") ? TEXT_S_UUID : TEXT_S_ID, field_text(m, "id"));
        put_line(out, TEXT_S_ENGINE, field_text(m, "engine"));
        put_line(out, TEXT_S_IMAGE, field_text(m, "image"));
        put_line(out, TEXT_S_TITLE, field_text(doc, "document.title"));
        if (stuck >= 1) {
                char state[64];
                (void)snprintf(state, sizeof state, text(TEXT_STUCK_FOR), human_age(stuck).text);
                put_line(out, TEXT_S_STATE, state);
        } else {
                put_line(out, TEXT_S_STATE, field_text(m, "state"));
        }
        put_line(out, TEXT_S_TIER, field_text(m, "tier"));
        if (!isnan(field_number(doc, "pid")))
                put_line(out, TEXT_S_PID, human_count(field_number(doc, "pid")).text);
        put_line(out, TEXT_S_STARTED, when);
        put_line(out, TEXT_S_CGROUP, field_text(doc, "cgroup"));
}

static void put_percent(Buf *out, TextId label, double v) {
        char value[HUMAN_MAX + 2];
        (void)snprintf(value, sizeof value, "%s%s", human_percent(v).text, isnan(v) ? "" : "%");
        put_line(out, label, value);
}

static void put_cpu(Buf *out, json_t *doc) {
        json_t *m = field(doc, "machine");
        put_title(out, TEXT_S_CPU);
        put_percent(out, TEXT_S_CPU_USED, field_number(m, "cpu_percent"));
        put_percent(out, TEXT_S_CPU_DELAY, field_number(m, "run_queue_delay_percent"));
        if (!isnan(field_number(m, "vcpus")))
                put_line(out, TEXT_S_VCPUS, human_count(field_number(m, "vcpus")).text);
        put_vcpus(out, doc);
}

static void put_memory(Buf *out, json_t *m) {
        put_title(out, TEXT_S_MEMORY);
        put_line(out, TEXT_S_MEM_GUEST, human_bytes(field_number(m, "memory.guest_used_bytes")).text);
        put_line(out, TEXT_S_MEM_HOST, human_bytes(field_number(m, "memory.host_rss_bytes")).text);
        put_line(out, TEXT_S_MEM_LIMIT, human_bytes(field_number(m, "memory.limit_bytes")).text);
}

static void put_rates(Buf *out, json_t *m) {
        put_title(out, TEXT_S_RATES);
        put_line(out, TEXT_COL_DISK_R, human_rate(field_number(m, "disk.read_bytes_per_second")).text);
        put_line(out, TEXT_COL_DISK_W, human_rate(field_number(m, "disk.write_bytes_per_second")).text);
        put_line(out, TEXT_COL_NET_RX, human_rate(field_number(m, "net.receive_bytes_per_second")).text);
        put_line(out, TEXT_COL_NET_TX, human_rate(field_number(m, "net.transmit_bytes_per_second")).text);
}

static void put_ages(Buf *out, json_t *m) {
        put_title(out, TEXT_S_AGES);
        put_line(out, TEXT_S_LANE_KERNEL, human_age(field_number(m, "ages.kernel")).text);
        if (strcmp(field_text(m, "kind"), "vm") != 0)
                return;
        put_line(out, TEXT_S_LANE_LIBVIRT, human_age(field_number(m, "ages.libvirt")).text);
        put_line(out, TEXT_S_LANE_MONITOR, human_age(field_number(m, "ages.monitor")).text);
}

static void put_series(Buf *out, json_t *metric, json_t *row, double v) {
        const char *key, *fixed = field_text(metric, "label");
        json_t *label, *labels = field(row, "labels");
        bool open = false;
        buf_printf(out, "    %s", field_text(metric, "name"));
        json_object_foreach(labels, key, label) {
                const char *value = json_string_value(label);
                buf_printf(out, "%s%s=\"", open ? "," : "{", key);
                escape_terminal(out, value ? value : "", value ? strlen(value) : 0);
                buf_put_char(out, '"');
                open = true;
        }
        if (*fixed)
                buf_printf(out, "%s%s", open ? "," : "{", fixed);
        buf_printf(out, "%s ", open || *fixed ? "}" : "");
        buf_put_double(out, v);
        buf_put_char(out, '\n');
}

static void put_group(Buf *out, json_t *group) {
        char ago[64];
        json_t *metrics = field(group, "metrics"), *rows = field(group, "rows");
        (void)snprintf(ago, sizeof ago, text(TEXT_S_AGO), human_age(field_number(group, "age_seconds")).text);
        buf_printf(out, "  %s (%s)\n", field_text(group, "help"), ago);
        for (size_t r = 0; r < json_array_size(rows); r++)
                for (size_t c = 0; c < json_array_size(metrics); c++) {
                        json_t *row = json_array_get(rows, r), *v = json_array_get(field(row, "values"), c);
                        if (json_is_number(v))
                                put_series(out, json_array_get(metrics, c), row, json_number_value(v));
                }
}

void show_render(json_t *doc, Buf *out) {
        json_t *m = field(doc, "machine"), *groups = field(doc, "groups");
        put_identity(out, doc);
        put_cpu(out, doc);
        put_memory(out, m);
        put_rates(out, m);
        put_disks(out, doc);
        put_nics(out, doc);
        put_ages(out, m);
        put_title(out, TEXT_S_VALUES);
        for (size_t i = 0; i < json_array_size(groups); i++)
                put_group(out, json_array_get(groups, i));
}

int verb_show(const Cli *cli, int argc, char **argv) {
        static const struct option LONG[] = { { "json", no_argument, NULL, 'j' }, { 0 } };
        CLEANUP(answer_deinit) Answer a = { 0 };
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        bool json = false;
        optind = 0;
        for (int c; (c = getopt_long(argc, argv, "", LONG, NULL)) != -1;) {
                if (c != 'j')
                        return cli_usage();
                json = true;
        }
        if (argc - optind != 1) {
                fputs(text(TEXT_ONE_NAME), stderr);
                return CLI_USAGE;
        }
        source_get_named(cli, "/api/v1/parallax/machines/", argv[optind], &a);
        if (answer_complain(&a, argv[optind]))
                return CLI_FAILED;
        if (json) {
                (void)json_dumpf(a.json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
                puts("");
        } else {
                show_render(a.json, &out);
                fputs(buf_cstr(&out), stdout);
        }
        return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

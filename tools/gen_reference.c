/* Writes the generated pages of docs/reference from tables/ into a folder. */
#include "model/group.h"
#include "rt/settings.h"

static const char *const LANE_TITLES[LANE_COUNT] = { "kernel", "libvirt", "monitor" };

static const char *const TYPE_TITLES[] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_UNTYPED] = "untyped",
};

static const char *kind_title(EntityKind k) {
        return k == ENTITY_HOST ? "the host" : k == ENTITY_DOMAIN ? "a domain" : "a container";
}

/* Text of a table's cell: a pipe would end it. */
static void put_cell(Buf *out, const char *s) {
        for (; *s; s++) {
                if (*s == '|')
                        buf_put_char(out, '\\');
                buf_put_char(out, *s);
        }
}

static void put_labels(Buf *out, const GroupDesc *g, const MetricDesc *m) {
        for (size_t i = 0; i < g->n_keys; i++)
                buf_printf(out, "%s`%s`", i ? ", " : "", g->keys[i]);
        if (*m->label) {
                buf_put_str(out, g->n_keys ? ", `" : "`");
                put_cell(out, m->label);
                buf_put_char(out, '`');
        }
        if (!g->n_keys && !*m->label)
                buf_put_str(out, " ");
}

static void put_metric(Buf *out, const MetricDesc *m) {
        buf_printf(out, "| `%s` | %s | ", m->name, TYPE_TITLES[m->type]);
        put_labels(out, &GROUPS[m->group], m);
        buf_printf(out, " | %s | ", m->unit == UNIT_ONE ? "none" : unit_name(m->unit));
        put_cell(out, m->help);
        buf_put_str(out, " |\n");
}

static void put_group(Buf *out, GroupId id) {
        const GroupDesc *g = &GROUPS[id];
        buf_printf(out, "\n## %s\n\nOf %s, lane %s. Read where: ", g->id, kind_title(g->kind), LANE_TITLES[g->lane]);
        buf_put_str(out, g->help);
        buf_put_str(out, ".\n\n| Metric | Type | Labels | Unit of the source | What it is |\n|---|---|---|---|---|\n");
        for (size_t i = 0; i < group_columns(id); i++)
                put_metric(out, &METRICS[g->first + i]);
}

static void metrics_reference(Buf *out) {
        buf_put_str(out,
                    "# Metrics\n\n<!-- Generated from tables/metrics.def by tools/gen_reference.c. -->\n\n"
                    "What Parallax collects, in the groups in which it is looked at: the metrics of a group are read\n"
                    "together and share one timestamp. Names promise base units (seconds, bytes); the unit of the\n"
                    "source is what the kernel or libvirt counts in. Beside the labels below, each series of a domain\n"
                    "or a container carries the labels of that domain or container. A value that cannot be had is\n"
                    "absent, never 0.\n");
        for (GroupId g = 0; g < GROUP_COUNT; g++)
                put_group(out, g);
}

static int write_page(const char *folder, const char *name, void (*page)(Buf *out)) {
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        CLEANUP_FREE char *path = NULL;
        if (asprintf(&path, "%s/%s", folder, name) < 0)
                return -ENOMEM;
        page(&out);
        CLEANUP_FILE FILE *f = buf_error(&out) < 0 ? NULL : fopen(path, "we");
        if (!f || fwrite(out.data, 1, out.len, f) != out.len || fflush(f) != 0) {
                fprintf(stderr, "gen-reference: %s: %s\n", path, strerror(errno));
                return -EIO;
        }
        return 0;
}

int main(int argc, char **argv) {
        if (argc != 2 || argv[1][0] == '-') {
                fputs("Usage: gen-reference FOLDER\n", stderr);
                return 2;
        }
        int r = write_page(argv[1], "configuration.md", settings_reference);
        if (r == 0)
                r = write_page(argv[1], "metrics.md", metrics_reference);
        return r < 0 ? 1 : 0;
}

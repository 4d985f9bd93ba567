/* Choosing, sorting and printing the rows of `parallax ls`. */
#include "cli/ls.h"

#include "cli/cli.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/text.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
        const char *key;
        const char *first, *second; /* the sum of both */
} SORTS[] = {
        { "name", NULL, NULL },
        { "cpu", "cpu_percent", NULL },
        { "delay", "run_queue_delay_percent", NULL },
        { "memory", "memory.host_rss_bytes", NULL },
        { "disk", "disk.read_bytes_per_second", "disk.write_bytes_per_second" },
        { "net", "net.receive_bytes_per_second", "net.transmit_bytes_per_second" },
};

static size_t sort_index(const char *key) {
        size_t i = 0;
        while (key && i < ARRAY_LEN(SORTS) && strcmp(SORTS[i].key, key) != 0)
                i++;
        return i;
}

bool ls_sort_known(const char *key) {
        return sort_index(key) < ARRAY_LEN(SORTS);
}

static bool wanted(json_t *m, const LsOptions *o) {
        bool vm = strcmp(field_text(m, "kind"), "vm") == 0;
        if ((o->vms || o->containers) && !(vm ? o->vms : o->containers))
                return false;
        for (size_t i = 0; i < o->n_patterns; i++)
                if (fnmatch(o->patterns[i], field_text(m, "name"), 0) == 0)
                        return true;
        return o->n_patterns == 0;
}

typedef struct Row {
        json_t *machine; /* borrowed */
        double weight;   /* unknown ones are last */
} Row;

static int compare_rows(const void *a, const void *b) {
        const Row *x = a, *y = b;
        if (x->weight != y->weight)
                return x->weight < y->weight ? 1 : -1;
        bool x_vm = strcmp(field_text(x->machine, "kind"), "vm") == 0,
             y_vm = strcmp(field_text(y->machine, "kind"), "vm") == 0;
        if (x_vm != y_vm)
                return x_vm ? -1 : 1;
        int names = strcmp(field_text(x->machine, "name"), field_text(y->machine, "name"));
        return names ? names : strcmp(field_text(x->machine, "id"), field_text(y->machine, "id"));
}

static double weight_of(json_t *m, size_t sort) {
        if (!SORTS[sort].first)
                return 0;
        double a = field_number(m, SORTS[sort].first), b = SORTS[sort].second ? field_number(m, SORTS[sort].second) : 0;
        if (isnan(a) && isnan(b))
                return -1;
        return (isnan(a) ? 0 : a) + (isnan(b) ? 0 : b);
}

json_t *ls_select(json_t *machines, const LsOptions *o) {
        size_t n = json_array_size(machines), kept = 0, sort = sort_index(o->sort);
        CLEANUP_FREE Row *rows = calloc(n ? n : 1, sizeof *rows);
        json_t *selected = json_array();
        if (!rows || !selected)
                return selected;
        for (size_t i = 0; i < n; i++) {
                json_t *m = json_array_get(machines, i);
                if (wanted(m, o))
                        rows[kept++] = (Row){ m, weight_of(m, sort) };
        }
        qsort(rows, kept, sizeof *rows, compare_rows);
        for (size_t i = 0; i < kept; i++)
                (void)json_array_append(selected, rows[i].machine);
        return selected;
}

static void put_state(Table *t, json_t *m) {
        char text_of[64];
        double stuck = field_number(m, "stuck_seconds");
        const char *state = field_text(m, "state");
        if (stuck >= 1)
                (void)snprintf(text_of, sizeof text_of, text(TEXT_STUCK_FOR), human_age(stuck).text);
        else
                (void)snprintf(text_of, sizeof text_of, "%s", *state ? state : "-");
        table_cell(t, text_of);
}

/* Ages in whole seconds while they are short: three of them share a column. */
static Human short_age(double age) {
        Human h = human_age(age);
        if (age >= 0 && age < 119.5)
                (void)snprintf(h.text, sizeof h.text, "%.0fs", age);
        return h;
}

static void put_ages(Table *t, json_t *m) {
        char out[3 * HUMAN_MAX + 3];
        Human kernel = short_age(field_number(m, "ages.kernel"));
        if (strcmp(field_text(m, "kind"), "vm") != 0) {
                table_cell(t, kernel.text);
                return;
        }
        (void)snprintf(out, sizeof out, "%s/%s/%s", kernel.text, short_age(field_number(m, "ages.libvirt")).text,
                       short_age(field_number(m, "ages.monitor")).text);
        table_cell(t, out);
}

static void put_row(Table *t, json_t *m) {
        table_cell(t, field_text(m, "name"));
        table_cell(t, field_text(m, "kind"));
        put_state(t, m);
        table_cell(t, human_count(field_number(m, "vcpus")).text);
        table_cell(t, human_percent(field_number(m, "cpu_percent")).text);
        table_cell(t, human_percent(field_number(m, "run_queue_delay_percent")).text);
        table_cell(t, human_bytes(field_number(m, "memory.guest_used_bytes")).text);
        table_cell(t, human_bytes(field_number(m, "memory.host_rss_bytes")).text);
        table_cell(t, human_bytes(field_number(m, "memory.limit_bytes")).text);
        table_cell(t, human_rate(field_number(m, "disk.read_bytes_per_second")).text);
        table_cell(t, human_rate(field_number(m, "disk.write_bytes_per_second")).text);
        table_cell(t, human_rate(field_number(m, "net.receive_bytes_per_second")).text);
        table_cell(t, human_rate(field_number(m, "net.transmit_bytes_per_second")).text);
        put_ages(t, m);
}

void ls_render(json_t *selected, Buf *out) {
        const TableColumn columns[] = {
                { text(TEXT_COL_NAME), false, 40 },  { text(TEXT_COL_KIND), false, 0 },
                { text(TEXT_COL_STATE), false, 20 }, { text(TEXT_COL_VCPU), true, 0 },
                { text(TEXT_COL_CPU), true, 0 },     { text(TEXT_COL_DELAY), true, 0 },
                { text(TEXT_COL_GUEST), true, 0 },   { text(TEXT_COL_HOST), true, 0 },
                { text(TEXT_COL_LIMIT), true, 0 },   { text(TEXT_COL_DISK_R), true, 0 },
                { text(TEXT_COL_DISK_W), true, 0 },  { text(TEXT_COL_NET_RX), true, 0 },
                { text(TEXT_COL_NET_TX), true, 0 },  { text(TEXT_COL_AGE), true, 0 },
        };
        CLEANUP(table_deinit) Table t;
        table_init(&t, columns, ARRAY_LEN(columns));
        for (size_t i = 0; i < json_array_size(selected); i++)
                put_row(&t, json_array_get(selected, i));
        if (t.n_cells)
                table_print(&t, true, out);
        else
                buf_put_str(out, text(TEXT_NONE));
}

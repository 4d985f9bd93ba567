/* `parallax store` on a directory that no parallaxd has open. What only reads opens it without its lock, so that it can also look at a
 * snapshot, or at a store that is read-only for us. */
#include "cli/store.h"
#include "cli/human.h"
#include "cli/table.h"

#include "base/escape.h"
#include "store/catalog.h"

#include <inttypes.h>
#include <string.h>

static void on_event(void *context, StoreEventKind kind, bool good, const char *what) {
        CLEANUP(buf_deinit) Buf clean = BUF_NULL;
        (void)context, (void)kind;
        if (good)
                return;
        escape_terminal(&clean, what, strlen(what));
        fprintf(stderr, "parallax: %s\n", buf_cstr(&clean));
}

static void store_closep(Store **s) {
        *s = store_close(*s);
}

static bool changes(const char *verb) {
        static const char *const NAMES[] = { "delete", "snapshot", "rollup", "compact" };
        for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
                if (strcmp(verb, NAMES[i]) == 0)
                        return true;
        return false;
}

static int open_store(const StoreArgs *a, Store **ret_store) {
        StoreOptions o;
        PartDamage damage = { "" };
        Vfs *vfs = NULL;
        store_options_default(&o);
        o.read_only = !changes(a->verb);
        o.max_series = 100000000;
        for (size_t i = 0; i < STORE_TIER_COUNT; i++) { /* what to delete is parallaxd's to know */
                o.keep[i] = (Duration){ INT64_MAX / 2 };
                o.max_bytes[i] = UINT64_MAX / 4;
        }
        int r = access(a->data_dir, F_OK) < 0 ? -errno : vfs_posix_new(a->data_dir, &vfs);
        if (r == 0)
                r = store_open(vfs, &o, on_event, NULL, ret_store, &damage);
        if (r == -EWOULDBLOCK)
                fprintf(stderr, text(TEXT_STORE_IN_USE), a->data_dir);
        else if (r == -ENOENT)
                fprintf(stderr, text(TEXT_STORE_NONE), a->data_dir);
        else if (r < 0)
                fprintf(stderr, text(TEXT_STORE_CANNOT_OPEN), a->data_dir, strerror(-r), damage.text);
        return r;
}

static int failed(const StoreArgs *a, int r) {
        fprintf(stderr, text(TEXT_STORE_FAILED), a->verb, strerror(-r));
        return CLI_FAILED;
}

/* ---- Verbs ---- */

static int info(const StoreArgs *a, Store *s) {
        CLEANUP(buf_deinit) Buf json = BUF_NULL, out = BUF_NULL;
        store_info_json(s, &json);
        json_t *parsed = json_loadb(json.data, json.len, 0, NULL);
        if (!parsed)
                return failed(a, -ENOMEM);
        if (a->json) {
                (void)json_dumpf(parsed, stdout, JSON_INDENT(2));
                puts("");
        } else {
                store_render_info(parsed, &out);
                fputs(buf_cstr(&out), stdout);
        }
        json_decref(parsed);
        return CLI_OK;
}

static int verify(Store *s) {
        return store_print_verified(store_verify(s));
}

static int emit(void *context, const char *piece, size_t n) {
        (void)context;
        return fwrite(piece, 1, n, stdout) == n ? 0 : -EIO;
}

typedef struct Matchers {
        Matcher at[STORE_MATCHERS_MAX];
        size_t n;
} Matchers;

static void matchers_deinit(Matchers *m) {
        for (size_t i = 0; i < m->n; i++)
                matcher_deinit(&m->at[i]);
}

static int take_matchers(const StoreArgs *a, Matchers *m) {
        for (; m->n < a->n_matchers; m->n++)
                if (matcher_from_text(a->matchers[m->n], &m->at[m->n]) < 0) {
                        fprintf(stderr, text(TEXT_STORE_BAD_MATCH), a->matchers[m->n]);
                        return CLI_USAGE;
                }
        return CLI_OK;
}

static int export(const StoreArgs *a, Store *s, const Matchers *m) {
        StoreExport x = { .tier = a->tier, .column = a->column, .matchers = m->at, .n_matchers = m->n, .begin_ms = a->begin_ms, .end_ms = a->end_ms };
        int64_t n = store_export(s, &x, emit, NULL);
        return n < 0 ? failed(a, (int)n) : fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static int change(const StoreArgs *a, Store *s, const Matchers *m) {
        int r = -EINVAL;
        if (strcmp(a->verb, "delete") == 0)
                r = store_delete(s, m->at, m->n, a->begin_ms, a->end_ms);
        else if (strcmp(a->verb, "snapshot") == 0)
                r = store_snapshot(s, a->operand);
        else if (strcmp(a->verb, "rollup") == 0)
                r = store_rollup_again(s);
        else if (strcmp(a->verb, "compact") == 0)
                r = store_flush(s, true);
        return r < 0 ? failed(a, r) : CLI_OK;
}

/* ---- Inspecting: files, whatever the manifest says ---- */

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_part(Vfs *vfs, const char *name, Table *t) {
        static const char *const TIERS[] = { "raw", "5m", "1h" };
        PartDamage damage = { "" };
        Part *p = NULL;
        char text_of[64];
        table_cell(t, name);
        if (part_open(vfs, name, &p, &damage) < 0) {
                table_cell(t, damage.text);
                for (int i = 0; i < 6; i++)
                        table_cell(t, "-");
                return;
        }
        const PartMeta *m = part_meta(p);
        table_cell(t, TIERS[m->tier]);
        table_cell(t, human_count(m->series).text);
        table_cell(t, human_count((double)m->samples).text);
        table_cell(t, human_bytes((double)m->bytes).text);
        (void)snprintf(text_of, sizeof text_of, "%.3f", m->samples ? (double)m->bytes / (double)m->samples : 0);
        table_cell(t, text_of);
        (void)snprintf(text_of, sizeof text_of, "%" PRId64, m->min_ms);
        table_cell(t, text_of);
        (void)snprintf(text_of, sizeof text_of, "%" PRId64, m->max_ms);
        table_cell(t, text_of);
        (void)part_close(p);
}

static int inspect(const StoreArgs *a) {
        const TableColumn columns[] = { { text(TEXT_STORE_FILE), false, 0 }, { text(TEXT_STORE_TIER), false, 0 }, { text(TEXT_STORE_SERIES), true, 0 },
                                        { text(TEXT_STORE_SAMPLES), true, 0 }, { text(TEXT_STORE_SIZE), true, 0 }, { text(TEXT_STORE_EACH), true, 0 },
                                        { text(TEXT_STORE_FROM), true, 0 }, { text(TEXT_STORE_TO), true, 0 } };
        CLEANUP(vfs_freep) Vfs *vfs = NULL;
        CLEANUP(buf_deinit) Buf names = BUF_NULL, out = BUF_NULL;
        CLEANUP(table_deinit) Table t = { 0 };
        CLEANUP_FREE char **order = NULL;
        size_t n = 0, count = 0;
        int r = access(a->data_dir, F_OK) < 0 ? -errno : vfs_posix_new(a->data_dir, &vfs);
        if (r == 0)
                r = vfs_list(vfs, &names);
        for (size_t i = 0; i < names.len; i++)
                count += names.data[i] == '\0';
        order = malloc((count + 1) * sizeof *order);
        if (r < 0 || !order)
                return failed(a, r < 0 ? r : -ENOMEM);
        for (char *at = names.data; at && at < names.data + names.len; at += strlen(at) + 1)
                if (strstr(at, ".part") && (!a->operand || strcmp(at, a->operand) == 0))
                        order[n++] = at;
        qsort(order, n, sizeof *order, compare_names);
        table_init(&t, columns, ARRAY_LEN(columns));
        for (size_t i = 0; i < n; i++)
                list_part(vfs, order[i], &t);
        table_print(&t, true, &out);
        fputs(buf_cstr(&out), stdout);
        return n || !a->operand ? CLI_OK : failed(a, -ENOENT);
}

int store_on_directory(const StoreArgs *a) {
        CLEANUP(store_closep) Store *s = NULL;
        CLEANUP(matchers_deinit) Matchers m = { .n = 0 };
        if (strcmp(a->verb, "inspect") == 0)
                return inspect(a);
        int r = take_matchers(a, &m);
        if (r != CLI_OK)
                return r;
        if (open_store(a, &s) < 0)
                return CLI_FAILED;
        if (strcmp(a->verb, "info") == 0)
                return info(a, s);
        if (strcmp(a->verb, "verify") == 0)
                return verify(s);
        return strcmp(a->verb, "export") == 0 ? export(a, s, &m) : change(a, s, &m);
}

#include "cli/query_answer.h"
#include "cli/table.h"
#include "cli/text.h"

#include "base/escape.h"
#include "base/number.h"

#include <math.h>
#include <string.h>
#include <time.h>

#define MEMORY_MAX ((size_t)2 << 30)
#define METRIC "__name__"

/* ---- Names ---- */

static int by_key(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of an object, sorted; in the arena. */
static const char **sorted_keys(Arena *a, json_t *object, size_t *ret_n) {
        const char **keys = ARENA_ARRAY(a, const char *, json_object_size(object) + 1);
        if (!keys)
                return NULL;
        const char *key;
        json_t *value;
        size_t n = 0;
        json_object_foreach(object, key, value) keys[n++] = key;
        qsort(keys, n, sizeof *keys, by_key);
        *ret_n = n;
        return keys;
}

/* Whether a name needs no quotes. */
static bool is_plain(const char *s, bool colons) {
        static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
        if (!*s || (!strchr(LETTERS, *s) && !(colons && *s == ':')))
                return false;
        for (; *s; s++)
                if (!strchr(LETTERS, *s) && (*s < '0' || *s > '9') && !(colons && *s == ':'))
                        return false;
        return true;
}

static void put_quoted(Buf *out, const char *s) {
        buf_put_char(out, '"');
        escape_label(out, s, strlen(s));
        buf_put_char(out, '"');
}

static void put_label(Buf *out, const char *name, const char *value, bool first) {
        if (!first)
                buf_put_char(out, ',');
        if (is_plain(name, false))
                buf_put_str(out, name);
        else
                put_quoted(out, name);
        buf_put_char(out, '=');
        put_quoted(out, value);
}

/* up{job="x"}, {"a.b",job="x"}, {job="x"}, {} */
static const char *series_name(Arena *a, json_t *labels) {
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        size_t n = 0;
        const char **keys = sorted_keys(a, labels, &n);
        if (!keys)
                return NULL;
        const char *metric = json_string_value(json_object_get(labels, METRIC));
        bool plain = metric && is_plain(metric, true);
        if (plain)
                buf_put_str(&out, metric);
        if (plain && n == 1)
                return arena_copy(a, out.data, out.len);
        buf_put_char(&out, '{');
        if (metric && !plain)
                put_quoted(&out, metric);
        bool first = !metric || plain;
        for (size_t i = 0; i < n; i++) {
                const char *value = json_string_value(json_object_get(labels, keys[i]));
                if (strcmp(keys[i], METRIC) == 0 || !value)
                        continue;
                put_label(&out, keys[i], value, first);
                first = false;
        }
        buf_put_char(&out, '}');
        return out.error ? NULL : arena_copy(a, out.data, out.len);
}

/* ---- Points ---- */

/* [time, "value"] */
static bool read_float(json_t *pair, QueryPoint *ret_point) {
        json_t *time = json_array_get(pair, 0);
        const char *value = json_string_value(json_array_get(pair, 1));
        if (!json_is_number(time) || !value)
                return false;
        *ret_point = (QueryPoint){ json_number_value(time), NAN, value };
        (void)number_parse(value, strlen(value), &ret_point->value);
        return true;
}

/* [time, {"count": "2", "sum": "3", ...}] */
static bool read_histogram(Arena *a, json_t *pair, QueryPoint *ret_point) {
        json_t *time = json_array_get(pair, 0), *histogram = json_array_get(pair, 1);
        const char *count = json_string_value(json_object_get(histogram, "count"));
        const char *sum = json_string_value(json_object_get(histogram, "sum"));
        if (!json_is_number(time) || !count || !sum)
                return false;
        char text[160];
        int n = snprintf(text, sizeof text, "count=%.60s sum=%.60s", count, sum);
        *ret_point = (QueryPoint){ json_number_value(time), NAN, arena_copy(a, text, (size_t)n) };
        return true;
}

static int by_time(const void *a, const void *b) {
        double x = ((const QueryPoint *)a)->time, y = ((const QueryPoint *)b)->time;
        return (x > y) - (x < y);
}

/* One series of "vector" or "matrix": floats and histograms apart, both in one list here. */
static int read_points(Arena *a, json_t *object, QuerySeries *s) {
        json_t *values = json_object_get(object, "values"), *histograms = json_object_get(object, "histograms");
        json_t *value = json_object_get(object, "value"), *histogram = json_object_get(object, "histogram");
        size_t n = json_array_size(values) + json_array_size(histograms) + 1;
        s->points = ARENA_ARRAY(a, QueryPoint, n);
        if (!s->points)
                return -ENOMEM;
        size_t i;
        json_t *pair;
        json_array_foreach(values, i, pair) if (!read_float(pair, &s->points[s->n++])) return -EBADMSG;
        json_array_foreach(histograms, i, pair) if (!read_histogram(a, pair, &s->points[s->n++])) return -EBADMSG;
        if (value && !read_float(value, &s->points[s->n++]))
                return -EBADMSG;
        if (!value && histogram && !read_histogram(a, histogram, &s->points[s->n++]))
                return -EBADMSG;
        qsort(s->points, s->n, sizeof *s->points, by_time);
        return a->error ? -ENOMEM : 0;
}

static int read_series(QueryAnswer *a, json_t *result) {
        a->series = ARENA_ARRAY(&a->arena, QuerySeries, json_array_size(result) + 1);
        if (!a->series)
                return -ENOMEM;
        size_t i;
        json_t *object;
        json_array_foreach(result, i, object) {
                QuerySeries *s = &a->series[a->n++];
                s->labels = json_object_get(object, "metric");
                if (!json_is_object(s->labels))
                        return -EBADMSG;
                s->name = series_name(&a->arena, s->labels);
                if (!s->name)
                        return -ENOMEM;
                int r = read_points(&a->arena, object, s);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_single(QueryAnswer *a, json_t *pair) {
        a->series = ARENA_NEW(&a->arena, QuerySeries);
        QueryPoint *point = ARENA_NEW(&a->arena, QueryPoint);
        if (!a->series || !point)
                return -ENOMEM;
        *a->series = (QuerySeries){ .name = "", .points = point, .n = 1 };
        a->n = 1;
        return read_float(pair, point) ? 0 : -EBADMSG;
}

int query_answer_read(json_t *data, QueryAnswer *ret_answer) {
        QueryAnswer *a = ret_answer;
        *a = (QueryAnswer){ .budget = ARENA_BUDGET(MEMORY_MAX) };
        a->arena = ARENA(&a->budget);
        const char *type = json_string_value(json_object_get(data, "resultType"));
        json_t *result = json_object_get(data, "result");
        if (!type || !json_is_array(result))
                return -EBADMSG;
        a->range = strcmp(type, "matrix") == 0;
        if (a->range || strcmp(type, "vector") == 0)
                return read_series(a, result);
        return strcmp(type, "scalar") == 0 || strcmp(type, "string") == 0 ? read_single(a, result) : -EBADMSG;
}

void query_answer_deinit(QueryAnswer *a) {
        if (a->arena.budget)
                arena_deinit(&a->arena);
}

/* ---- For people ---- */

void query_time_text(double seconds, char out[40]) {
        int64_t ms = fabs(seconds) < 9e12 ? llround(seconds * 1000) : 0;
        time_t t = (time_t)(ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000));
        int rest = (int)(ms - (int64_t)t * 1000);
        struct tm tm;
        size_t n = gmtime_r(&t, &tm) ? strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm) : 0;
        if (n == 0)
                (void)snprintf(out, 40, "%.3f", seconds);
        else
                (void)snprintf(out + n, 40 - n, rest ? ".%03dZ" : "Z", rest);
}

static void put_safe(Buf *out, const char *s) {
        escape_terminal(out, s, strlen(s));
}

static void render_points(const QuerySeries *s, Buf *out) {
        static const TableColumn COLUMNS[] = { { "", false, 0 }, { "", true, 0 } };
        CLEANUP(table_deinit) Table t;
        table_init(&t, COLUMNS, ARRAY_LEN(COLUMNS));
        for (size_t i = 0; i < s->n; i++) {
                char time[48] = "  ";
                query_time_text(s->points[i].time, time + 2);
                table_cell(&t, time);
                table_cell(&t, s->points[i].text);
        }
        put_safe(out, s->name);
        buf_put_char(out, '\n');
        table_print(&t, false, out);
}

void query_render_table(const QueryAnswer *a, Buf *out) {
        if (a->n == 0) {
                buf_put_str(out, text(TEXT_QUERY_NONE));
                return;
        }
        if (a->range) {
                for (size_t i = 0; i < a->n; i++)
                        render_points(&a->series[i], out);
                return;
        }
        if (!a->series[0].labels) {
                put_safe(out, a->series[0].points[0].text);
                buf_put_char(out, '\n');
                return;
        }
        const TableColumn columns[] = { { text(TEXT_COL_SERIES), false, 0 }, { text(TEXT_COL_VALUE), true, 0 } };
        CLEANUP(table_deinit) Table t;
        table_init(&t, columns, ARRAY_LEN(columns));
        for (size_t i = 0; i < a->n; i++) {
                table_cell(&t, a->series[i].name);
                table_cell(&t, a->series[i].n ? a->series[i].points[0].text : "");
        }
        table_print(&t, true, out);
}

/* ---- CSV ---- */

static void put_csv(Buf *out, const char *s) {
        if (!strpbrk(s, ",\"\r\n")) {
                buf_put_str(out, s);
                return;
        }
        buf_put_char(out, '"');
        for (; *s; s++) {
                if (*s == '"')
                        buf_put_char(out, '"');
                buf_put_char(out, *s);
        }
        buf_put_char(out, '"');
}

/* Every label that any series has, the metric's name first: the values are in an object that nobody else has. */
static json_t *all_labels(const QueryAnswer *a) {
        json_t *all = json_object();
        for (size_t i = 0; all && i < a->n; i++)
                (void)json_object_update(all, a->series[i].labels);
        return all;
}

static void csv_row(const QuerySeries *s, const QueryPoint *p, const char *const *keys, size_t n, Buf *out) {
        for (size_t i = 0; i < n; i++) {
                const char *value = json_string_value(json_object_get(s->labels, keys[i]));
                put_csv(out, value ? value : "");
                buf_put_char(out, ',');
        }
        buf_printf(out, "%.3f,", p->time);
        put_csv(out, p->text);
        buf_put_char(out, '\n');
}

static void cleanup_json(json_t **json) {
        json_decref(*json);
}

void query_render_csv(const QueryAnswer *a, Buf *out) {
        CLEANUP(cleanup_json) json_t *labels = all_labels(a);
        ArenaBudget budget = ARENA_BUDGET((size_t)16 << 20);
        CLEANUP(arena_deinit) Arena arena = ARENA(&budget);
        size_t n = 0;
        const char **keys = labels ? sorted_keys(&arena, labels, &n) : NULL;
        if (!keys) {
                out->error = -ENOMEM;
                return;
        }
        for (size_t i = 0; i < n; i++) {
                put_csv(out, keys[i]);
                buf_put_char(out, ',');
        }
        buf_put_str(out, "time,value\n");
        for (size_t i = 0; i < a->n; i++)
                for (size_t k = 0; k < a->series[i].n; k++)
                        csv_row(&a->series[i], &a->series[i].points[k], keys, n, out);
}

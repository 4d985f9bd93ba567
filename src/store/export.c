#include "store/export.h"

#include "base/escape.h"
#include "base/number.h"
#include "store/store_priv.h"
#include "model/stale.h"

#include <inttypes.h>
#include <math.h>

#define NAN_BITS UINT64_C(0x7ff8000000000000) /* what "NaN" reads back as */
#define PIECE ((size_t)64 << 10)
#define ALL_SERIES ((size_t)100000000)

typedef struct Export {
        const StoreExport *what;
        StoreView *view;
        StoreList *list;
        StoreSamples samples;
        StoreHistograms histograms;
        Buf series, text;
        StoreEmit emit;
        void *context;
        int64_t n;
} Export;

static void export_deinit(Export *x) {
        x->list = store_list_free(x->list);
        x->view = store_view_close(x->view);
        store_samples_deinit(&x->samples);
        store_histograms_deinit(&x->histograms);
        buf_deinit(&x->series);
        buf_deinit(&x->text);
}

static int flush(Export *x, size_t from) {
        if (x->text.len < from)
                return 0;
        int r = buf_error(&x->text);
        if (r == 0 && x->text.len)
                r = x->emit(x->context, x->text.data, x->text.len);
        buf_reset(&x->text);
        return r;
}

/* name{a="b"}, with names that are not plain in quotes, as Prometheus 3 writes them. */
static bool is_plain(Span name) {
        for (size_t i = 0; i < name.len; i++) {
                char c = name.text[i];
                bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
                if (!letter && !(i > 0 && c >= '0' && c <= '9'))
                        return false;
        }
        return name.len > 0;
}

static void put_quoted(Buf *out, Span s) {
        buf_put_char(out, '"');
        escape_label(out, s.text, s.len);
        buf_put_char(out, '"');
}

static void put_name(Buf *out, Span name) {
        if (is_plain(name) && !memchr(name.text, ':', name.len))
                buf_put(out, name.text, name.len);
        else
                put_quoted(out, name);
}

static void put_series(Buf *out, const uint8_t *run, size_t len) {
        Label labels[LABELS_MAX];
        Span metric = { "", 0 };
        size_t n = labels_split(run, len, labels), written = 0;
        bool plain = labels_get(run, len, METRIC_NAME_LABEL, &metric) && is_plain(metric);
        if (plain)
                buf_put(out, metric.text, metric.len);
        buf_put_char(out, '{');
        if (!plain && metric.len) {
                put_quoted(out, metric);
                written++;
        }
        for (size_t i = 0; i < n; i++) {
                if (span_is(labels[i].name, METRIC_NAME_LABEL))
                        continue;
                if (written++)
                        buf_put_char(out, ',');
                put_name(out, labels[i].name);
                buf_put_char(out, '=');
                put_quoted(out, labels[i].value);
        }
        buf_put_char(out, '}');
}

static void put_value(Buf *out, double v) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        if (!isnan(v))
                buf_put_double(out, v);
        else if (bits == STALE_BITS)
                buf_put_str(out, "StaleNaN");
        else if (bits == NAN_BITS)
                buf_put_str(out, "NaN");
        else
                buf_printf(out, "NaN(0x%016" PRIx64 ")", bits);
}

static int put_floats(Export *x) {
        int r = 0;
        for (size_t i = 0; r == 0 && i < x->samples.n; i++) {
                buf_put(&x->text, x->series.data, x->series.len);
                buf_put_char(&x->text, ' ');
                put_value(&x->text, x->samples.values[i]);
                buf_printf(&x->text, " %" PRId64 "\n", x->samples.times[i]);
                r = flush(x, PIECE);
        }
        x->n += (int64_t)x->samples.n;
        return r;
}

static int put_histograms(Export *x) {
        const StoreHistograms *h = &x->histograms;
        int r = 0;
        for (size_t i = 0; r == 0 && i < h->n; i++) {
                buf_put_str(&x->text, "# HISTOGRAM ");
                buf_put(&x->text, x->series.data, x->series.len);
                buf_printf(&x->text, " %" PRId64 " ", h->times[i]);
                for (uint32_t at = h->offsets[i]; at < h->offsets[i + 1]; at++)
                        buf_printf(&x->text, "%02x", (unsigned)(uint8_t)h->bytes.data[at]);
                buf_put_char(&x->text, '\n');
                r = flush(x, PIECE);
        }
        x->n += (int64_t)h->n;
        return r;
}

static int export_series(Export *x, size_t i) {
        size_t len;
        const uint8_t *run = store_list_run(x->list, i, &len);
        buf_reset(&x->series);
        put_series(&x->series, run, len);
        int r = store_list_floats(x->list, i, x->what->column, &x->samples);
        if (r == 0)
                r = put_floats(x);
        if (r == 0 && x->what->tier == STORE_RAW)
                r = store_list_histograms(x->list, i, &x->histograms);
        return r < 0 || x->what->tier != STORE_RAW ? r : put_histograms(x);
}

int64_t store_export(Store *s, const StoreExport *what, StoreEmit emit, void *context) {
        CLEANUP(export_deinit) Export x = { .what = what, .emit = emit, .context = context };
        const StoreLimits limits = { ALL_SERIES, SIZE_MAX };
        int r = store_view_open(s, &x.view);
        if (r == 0)
                r = store_select(x.view, what->tier, what->matchers, what->n_matchers, what->begin_ms, what->end_ms,
                                 &limits, &x.list);
        for (size_t i = 0; r == 0 && i < store_list_count(x.list); i++)
                r = export_series(&x, i);
        if (r == 0)
                r = flush(&x, 0);
        return r < 0 ? r : x.n;
}

/* ---- What it consists of ---- */

static void put_tier(const Store *s, const StoreStats *x, StoreTier tier, Buf *out) {
        static const char *const NAMES[STORE_TIER_COUNT] = { "raw", "5m", "1h" };
        const StoreTierStats *t = &x->tier[tier];
        buf_printf(out, "%s{\"tier\":\"%s\",\"parts\":%u,\"quarantined\":%u,\"bytes\":%" PRIu64 ",\"samples\":%" PRIu64,
                   tier ? "," : "", NAMES[tier], t->parts, t->quarantined, t->bytes, t->samples);
        if (t->parts)
                buf_printf(out, ",\"min_ms\":%" PRId64 ",\"max_ms\":%" PRId64, t->min_ms, t->max_ms);
        if (tier != STORE_RAW && x->rolled_ms[tier] != INT64_MIN)
                buf_printf(out, ",\"rolled_ms\":%" PRId64, x->rolled_ms[tier]);
        buf_printf(out, ",\"keep_seconds\":%" PRId64 ",\"max_bytes\":%" PRIu64 "}",
                   s->options.keep[tier].ns / NS_PER_SEC, s->options.max_bytes[tier]);
}

static void put_disk(const Store *s, Buf *out) {
        VfsSpace space;
        if (vfs_space(s->vfs, &space) == 0)
                buf_printf(out, ",\"free_bytes\":%" PRIu64 ",\"total_bytes\":%" PRIu64, space.free_bytes,
                           space.total_bytes);
        buf_printf(out, ",\"floor_bytes\":%" PRIu64 ",\"ack\":\"%s\",\"ack_interval_seconds\":%g",
                   s->options.floor_bytes, s->options.ack == ACK_SYNCED ? "synced" : "interval",
                   duration_seconds(s->options.ack_interval));
}

void store_info_json(Store *s, Buf *out) {
        StoreStats x;
        store_stats(s, &x);
        buf_put_str(out, "{\"tiers\":[");
        for (int t = 0; t < STORE_TIER_COUNT; t++)
                put_tier(s, &x, (StoreTier)t, out);
        buf_printf(out, "],\"head\":{\"series\":%u,\"samples\":%" PRIu64 ",\"bytes\":%zu", x.head_series,
                   x.head_samples, x.head_bytes);
        if (x.head_samples)
                buf_printf(out, ",\"min_ms\":%" PRId64 ",\"max_ms\":%" PRId64, x.head_min_ms, x.head_max_ms);
        buf_printf(out, "},\"log\":{\"bytes\":%" PRIu64 ",\"broken\":%s,\"hangs\":%s,\"lost_places\":%" PRIu64 "}",
                   x.wal.disk_bytes, x.log_broken ? "true" : "false", x.log_hangs ? "true" : "false", x.lost_log);
        put_disk(s, out);
        buf_printf(out, ",\"memory_bytes\":%zu,\"disk_full\":%s,\"damaged\":%" PRIu64 "}\n", x.memory_bytes,
                   x.disk_full ? "true" : "false", x.damaged);
}

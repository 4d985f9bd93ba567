/* Opening, closing, committing, counting. What opening does, in order:
 *
 *   1. lock the directory; load the manifest, or make one in an empty directory
 *   2. open its parts; what is damaged is quarantined, the rest is served
 *   3. replay the log from the manifest's first segment on
 *   4. sync the directory, so that the manifest that was read is the one that stays; remove files that it does not name:
 *      leftovers of a flush or merge that was cut off
 *   5. flush what was replayed to parts, so that nothing that is taken from now on relies on files that an earlier
 *      process may have failed to write without our knowing (invariant 5 of wal.c)
 *
 * A file of another version ends it before anything was changed. Any step may be cut off by a crash and done again:
 * only step 4 takes anything away, and only what nobody refers to. When 5 fails, the disk lets itself be read and not
 * written: the store is open all the same, serves what there is, takes nothing, and tries again every ten seconds. */
#include "store/store_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/random.h>

#define SEGMENT_BYTES ((size_t)32 << 20)
#define PENDING_BYTES ((size_t)48 << 20)

void store_options_default(StoreOptions *o) {
        *o = (StoreOptions){
                .ack = ACK_SYNCED,
                .ack_interval = SECONDS(5),
                .out_of_order = SECONDS(2 * 3600),
                .future = SECONDS(600),
                .keep = { SECONDS(30 * 86400), SECONDS(365 * 86400), SECONDS(3 * 365 * 86400) },
                .max_bytes = { UINT64_C(32) << 30, UINT64_C(8) << 30, UINT64_C(4) << 30 },
                .floor_bytes = UINT64_C(256) << 20,
                .memory = (size_t)64 << 20,
                .flush_interval = SECONDS(300),
                .max_series = 1000000,
                .max_series_source = 150000,
                .max_series_vm = 2000,
                .new_series_source = 300000,
                .new_series_vm = 4000,
                .max_exemplars = 10000,
                .vm_label = "uuid",
        };
}

WallTime store_wall(const Store *s) {
        return s->options.wall ? s->options.wall(s->options.clock_context) : wall_now();
}

MonoTime store_mono(const Store *s) {
        return s->options.mono ? s->options.mono(s->options.clock_context) : mono_now();
}

int64_t store_wall_ms(const Store *s) {
        return store_wall(s).ns / NS_PER_MS;
}

void store_count(Store *s, uint64_t *counter, uint64_t n) {
        LOCK_SCOPE(&s->lock);
        *counter += n;
}

void store_event(Store *s, StoreEventKind kind, bool good, const char *format, ...) {
        char text[512];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        if (s->event)
                s->event(s->event_context, kind, good, text);
}

/* ---- Opening ---- */

static int manifest_of(Store *s, PartDamage *ret_damage) {
        Uuid id;
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        int r = manifest_load(s->vfs, &s->manifest, ret_damage);
        if (r != -ENOENT)
                return r;
        r = vfs_list(s->vfs, &names);
        for (const char *at = names.data; r == 0 && at && at < names.data + names.len; at += strlen(at) + 1)
                if (strncmp(at, "wal-", 4) == 0 || strstr(at, ".part")) {
                        (void)snprintf(ret_damage->text, sizeof ret_damage->text,
                                       "the manifest is missing, but %.100s is there", at);
                        r = -EBADMSG; /* a new manifest would make the old data leftovers */
                }
        if (r == 0 && s->options.read_only)
                r = -ENOENT;
        if (r == 0 && getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id)
                r = -EIO;
        if (r == 0)
                r = manifest_new(id, store_wall_ms(s), &s->manifest);
        return r < 0 ? r : manifest_save(s->vfs, s->manifest);
}

static void on_damaged(void *context, const char *text) {
        Store *s = context;
        store_count(s, &s->stats.damaged, 1);
        store_event(s, STORE_EVENT_DAMAGE, false, "%s", text);
}

static bool is_named(const Manifest *m, const char *file) {
        char name[PART_NAME_MAX];
        for (size_t i = 0; i < m->n_parts; i++) {
                part_name(m->parts[i].meta.tier, m->parts[i].meta.id, name);
                if (strcmp(name, file) == 0)
                        return true;
        }
        return false;
}

int store_remove_leftovers(Store *s) {
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        int r = vfs_list(s->vfs, &names);
        for (const char *at = names.data; r == 0 && at && at < names.data + names.len; at += strlen(at) + 1) {
                const char *dot = strrchr(at, '.');
                if (dot && ((strcmp(dot, ".part") == 0 && !is_named(s->manifest, at)) || strcmp(dot, ".tmp") == 0))
                        r = vfs_unlink(s->vfs, at);
        }
        return r;
}

static int open_log(Store *s, PartDamage *ret_damage) {
        WalReport report = { 0 };
        int r = store_replay(s, &report);
        if (r == -EPROTONOSUPPORT)
                (void)snprintf(ret_damage->text, sizeof ret_damage->text, "%s", report.damage);
        if (r < 0 || s->options.read_only)
                return r;
        uint32_t next =
                report.last_segment >= s->manifest->wal_first ? report.last_segment + 1 : s->manifest->wal_first;
        WalOptions o = { .store = s->manifest->store, .segment_bytes = SEGMENT_BYTES, .pending_bytes = PENDING_BYTES,
                         .next_segment = next, .next_lsn = report.last_lsn + 1, .mono = s->options.mono,
                         .clock_context = s->options.clock_context, .moved = true };
        s->appended = s->acked = report.last_lsn;
        s->naming = report.last_lsn + 1;
        s->unmoved = report.records > 0;
        return wal_open(s->vfs, &o, &s->wal);
}

static int copy_options(Store *s, const StoreOptions *o) {
        s->options = *o;
        s->vm_label = strdup(o->vm_label ? o->vm_label : "");
        s->options.vm_label = s->vm_label;
        StoreResolution *list = calloc(o->n_resolutions + 1, sizeof *list);
        s->options.resolutions = list;
        s->options.n_resolutions = 0;
        if (!list || !s->vm_label)
                return -ENOMEM;
        for (size_t i = 0; i < o->n_resolutions; i++) {
                list[i] = (StoreResolution){ strdup(o->resolutions[i].name), o->resolutions[i].resolution };
                if (!list[i].name)
                        return -ENOMEM;
                s->options.n_resolutions++;
        }
        return 0;
}

static size_t count_quarantined(const Manifest *m) {
        size_t n = 0;
        for (size_t i = 0; i < m->n_parts; i++)
                n += m->parts[i].quarantined;
        return n;
}

void store_count_quarantined(Store *s) {
        for (int t = 0; t < STORE_TIER_COUNT; t++)
                s->stats.tier[t].quarantined = 0;
        for (size_t i = 0; i < s->manifest->n_parts; i++)
                s->stats.tier[s->manifest->parts[i].meta.tier].quarantined += s->manifest->parts[i].quarantined;
}

/* What is known of metrics is a convenience: what of it is damaged is given up. */
static int open_metadata(Store *s, PartDamage *ret_damage) {
        int r = metadata_load(&s->metadata, s->vfs);
        if (r == -EPROTONOSUPPORT)
                (void)snprintf(ret_damage->text, sizeof ret_damage->text, METADATA_NAME ": is of another version");
        if (r != -EBADMSG)
                return r;
        s->metadata.changed = true; /* to be written anew */
        on_damaged(s, METADATA_NAME ": is damaged; metrics are typed by their names");
        return 0;
}

/* The manifest that was read may be one whose renaming the process before did not see synced: a power cut would bring back the
 * one before it. It is made to stay before files go that only that one names. */
static void settle_manifest(Store *s, bool changed) {
        int r = changed ? manifest_save(s->vfs, s->manifest) : vfs_sync_directory(s->vfs);
        if (r < 0)
                s->unsure_id = s->next_id;
}

/* Everything that may be of another version is looked at before anything is changed. */
static int open_files(Store *s, PartDamage *ret_damage) {
        s->next_id = s->manifest->next_id;
        memcpy(s->stats.rolled_ms, s->manifest->rolled_ms, sizeof s->stats.rolled_ms);
        size_t before = count_quarantined(s->manifest);
        int r = catalog_build(s->vfs, s->manifest, NULL, on_damaged, s, &s->catalog, ret_damage);
        if (r == 0)
                r = open_metadata(s, ret_damage);
        if (r == 0)
                r = open_log(s, ret_damage);
        if (r < 0 || s->options.read_only)
                return r;
        /* What fails from here on is made up for later. */
        settle_manifest(s, before != count_quarantined(s->manifest));
        s->leftovers = s->unsure_id || store_remove_leftovers(s) < 0;
        return 0;
}

static void move_replayed(Store *s) {
        int r = s->unmoved ? keeper_flush(s) : 0;
        if (r < 0)
                store_event(s, STORE_EVENT_LOG, false,
                            "what was in the log cannot be written to files: %s; nothing is taken until it can",
                            strerror(-r));
}

int store_open(Vfs *vfs, const StoreOptions *o, StoreEvent event, void *context, Store **ret_store,
               PartDamage *ret_damage) {
        Store *s = calloc(1, sizeof *s);
        if (!s) {
                (void)vfs_free(vfs);
                return -ENOMEM;
        }
        s->vfs = vfs;
        s->event = event;
        s->event_context = context;
        lock_init(&s->lock, "store");
        lock_init(&s->log_lock, "store log");
        writer_init(s);
        exemplars_init(&s->exemplars, o->max_exemplars);
        int r = copy_options(s, o);
        if (r == 0)
                r = head_init(&s->head, o->max_series);
        if (r == 0 && !o->read_only)
                r = vfs_lock(vfs);
        if (r == 0)
                r = manifest_of(s, ret_damage);
        if (r == 0)
                r = open_files(s, ret_damage);
        if (r < 0) {
                s->options.read_only = true; /* nothing to flush */
                (void)store_close(s);
                return r;
        }
        quota_recount(&s->quotas, s->head.index);
        store_count_quarantined(s);
        s->last_flush = s->last_collect = store_mono(s);
        s->last_sync_ns = s->last_flush.ns;
        s->last_expiry = (MonoTime){ INT64_MIN / 2 };
        store_watch_space(s, true);
        move_replayed(s);
        *ret_store = s;
        return 0;
}

static void ignore(int r) {
        (void)r;
}

Store *store_close(Store *s) {
        if (!s)
                return NULL;
        assert(s->views == 0 && !s->writer.open);
        if (!s->options.read_only)
                ignore(store_flush(s, false)); /* what cannot be flushed is in the log */
        s->wal = wal_close(s->wal);
        head_deinit(&s->head);
        s->catalog = catalog_unref(s->catalog);
        s->manifest = manifest_free(s->manifest);
        metadata_deinit(&s->metadata);
        exemplars_deinit(&s->exemplars);
        quotas_deinit(&s->quotas);
        writer_deinit(s);
        for (size_t i = 0; i < s->options.n_resolutions; i++)
                free(s->options.resolutions[i].name);
        free((void *)(uintptr_t)s->options.resolutions);
        free(s->vm_label);
        free(s->quiet);
        s->vfs = vfs_free(s->vfs);
        lock_deinit(&s->lock);
        lock_deinit(&s->log_lock);
        free(s);
        return NULL;
}

SeriesSink *store_sink(Store *s) {
        return &s->sink;
}

/* ---- Committing ---- */

static bool sync_due(const Store *s, MonoTime now) {
        return now.ns - s->last_sync_ns >= s->options.ack_interval.ns;
}

bool store_commit_pending(const Store *s) {
        uint64_t durable = wal_durable(s->wal);
        if (s->options.ack == ACK_SYNCED || s->appended > s->acked)
                return s->appended > durable;
        /* What was written last is to be synced also when nothing more comes. */
        return s->appended > durable && sync_due(s, store_mono(s));
}

static int mend(Store *s) {
        int r = wal_mend(s->wal);
        if (r == 0)
                store_event(s, STORE_EVENT_LOG, true, "the log can be written again");
        return r;
}

int store_commit(Store *s) {
        LOCK_SCOPE(&s->log_lock);
        store_watch_space(s, false);
        bool broken = wal_broken(s->wal);
        int r = broken ? mend(s) : 0;
        if (r < 0)
                return r;
        MonoTime now = store_mono(s);
        uint64_t upto = s->appended;
        bool sync = s->options.ack == ACK_SYNCED || sync_due(s, now);
        r = wal_commit(s->wal, sync);
        if (r == 0) {
                s->acked = upto;
                if (sync)
                        s->last_sync_ns = now.ns;
        } else {
                store_event(s, STORE_EVENT_LOG, false, "the log cannot be written: %s", strerror(-r));
                store_watch_space(s, true);
        }
        return r;
}

/* ---- A disk that does not answer ---- */

/* Whoever called it is stuck in the call, so others look: the writer at each request, and the program now and then. */
bool store_hangs(Store *s) {
        if (!s->wal)
                return false;
        Duration waits = wal_waits(s->wal);
        bool hangs = waits.ns >= STORE_HANG.ns, before = atomic_exchange(&s->hangs, hangs);
        if (hangs && !before) {
                s->hang_count++;
                store_event(s, STORE_EVENT_LOG, false,
                            "the disk has not answered for %lld s: nothing is taken until it does",
                            (long long)(waits.ns / NS_PER_SEC));
        } else if (!hangs && before) {
                store_event(s, STORE_EVENT_LOG, true, "the disk answers again");
        }
        return hangs;
}

/* ---- Counting ---- */

static void tier_stats(const Store *s, StoreStats *x) {
        for (size_t i = 0; i < STORE_TIER_COUNT; i++)
                x->tier[i] = (StoreTierStats){ .min_ms = INT64_MAX, .max_ms = INT64_MIN };
        for (size_t i = 0; i < s->catalog->n_parts; i++) {
                const PartMeta *m = &s->catalog->parts[i]->entry.meta;
                StoreTierStats *t = &x->tier[m->tier];
                t->parts++;
                t->bytes += m->bytes;
                t->samples += m->samples;
                t->min_ms = m->min_ms < t->min_ms ? m->min_ms : t->min_ms;
                t->max_ms = m->max_ms > t->max_ms ? m->max_ms : t->max_ms;
                x->memory_bytes += part_memory(s->catalog->parts[i]->part);
        }
}

void store_stats(Store *s, StoreStats *ret_stats) {
        LOCK_SCOPE(&s->lock);
        StoreStats x = s->stats;
        const Head *h = &s->head;
        x.memory_bytes = 0;
        tier_stats(s, &x);
        for (size_t i = 0; i < STORE_TIER_COUNT; i++)
                x.tier[i].quarantined = s->stats.tier[i].quarantined;
        if (s->wal)
                wal_stats(s->wal, &x.wal);
        x.log_hangs = s->hangs;
        x.hangs = s->hang_count;
        x.log_broken = s->unmoved || (s->wal && wal_broken(s->wal));
        x.disk_full = s->disk_full;
        x.head_series = index_count(h->index);
        x.head_samples = h->current->samples + (h->frozen ? h->frozen->samples : 0);
        x.head_bytes = head_memory(h);
        x.memory_bytes +=
                x.head_bytes + (size_t)s->metadata.cap * sizeof(MetadataEntry) + exemplars_memory(&s->exemplars);
        x.exemplars = s->exemplars.n;
        x.head_min_ms = h->frozen && h->frozen->min_ms < h->current->min_ms ? h->frozen->min_ms : h->current->min_ms;
        x.head_max_ms = h->frozen && h->frozen->max_ms > h->current->max_ms ? h->frozen->max_ms : h->current->max_ms;
        *ret_stats = x;
}

/* ---- Metadata ---- */

bool store_metadata(Store *s, Span metric, MetricType *ret_type, Buf *ret_help, Buf *ret_unit) {
        LOCK_SCOPE(&s->lock);
        const MetadataEntry *e = metadata_get(&s->metadata, metric);
        if (!e)
                return false;
        *ret_type = e->type;
        if (ret_help)
                buf_put(ret_help, e->text + e->name_len + 1, e->help_len);
        if (ret_unit)
                buf_put(ret_unit, e->text + e->name_len + e->help_len + 2, e->unit_len);
        return true;
}

void store_metadata_each(Store *s, StoreMetadataVisit visit, void *context) {
        LOCK_SCOPE(&s->lock);
        for (uint32_t i = 0; i < s->metadata.n; i++) {
                const MetadataEntry *e = &s->metadata.entries[i];
                const char *help = e->text + e->name_len + 1, *unit = help + e->help_len + 1;
                if (!visit(context, (Span){ e->text, e->name_len }, e->type, (Span){ help, e->help_len },
                           (Span){ unit, e->unit_len }))
                        return;
        }
}

static bool ends_with(Span s, const char *end) {
        size_t n = strlen(end);
        return s.len >= n && memcmp(s.text + s.len - n, end, n) == 0;
}

/* Buckets of a gauge histogram go down as well; what they belong to is named without their suffix. */
static bool is_gauge_bucket(Store *s, Span name) {
        MetricType type;
        Span family = { name.text, name.len - strlen("_bucket") };
        return store_metadata(s, family, &type, NULL, NULL) && type == METRIC_GAUGE_HISTOGRAM;
}

bool store_is_counter(Store *s, const uint8_t *run, size_t len) {
        MetricType type = METRIC_UNTYPED;
        Span name;
        if (!labels_get(run, len, METRIC_NAME_LABEL, &name))
                return false;
        (void)store_metadata(s, name, &type, NULL, NULL);
        if (type == METRIC_COUNTER || type == METRIC_GAUGE || type == METRIC_INFO || type == METRIC_STATESET)
                return type == METRIC_COUNTER;
        if (ends_with(name, "_bucket"))
                return !is_gauge_bucket(s, name);
        return ends_with(name, "_total") || ends_with(name, "_count") || ends_with(name, "_sum");
}

/* ---- The greatest ---- */

typedef struct Top {
        StoreTop *top;
        size_t n, most;
} Top;

static void top_offer(Top *t, Span a, const char *between, Span b, uint64_t count) {
        size_t at = t->n < t->most ? t->n : t->most;
        while (at > 0 && t->top[at - 1].count < count)
                at--;
        if (at == t->most)
                return;
        if (t->n < t->most)
                t->n++;
        memmove(&t->top[at + 1], &t->top[at], (t->n - 1 - at) * sizeof *t->top);
        t->top[at].count = count;
        (void)snprintf(t->top[at].name, sizeof t->top[at].name, "%.*s%s%.*s", (int)a.len, a.text, between, (int)b.len,
                       b.text);
}

static void top_of_name(const HeadIndex *ix, uint32_t number, StoreTopKind kind, Top *t) {
        const LabelName *l;
        Span name = index_name(ix, number, &l), none = { "", 0 };
        bool metrics = span_is(name, METRIC_NAME_LABEL);
        if (kind == STORE_TOP_LABEL_VALUES)
                top_offer(t, name, "", none, l->n);
        else if (kind == STORE_TOP_LABEL_MEMORY)
                top_offer(t, name, "", none, l->value_bytes);
        else if (kind == STORE_TOP_PAIRS || metrics)
                for (uint32_t i = 0; i < l->n; i++) {
                        Span value;
                        const Pair *p = index_pair_at(ix, l->pairs[i], &value);
                        if (kind == STORE_TOP_METRICS)
                                top_offer(t, value, "", none, p->n);
                        else
                                top_offer(t, name, "=", value, p->n);
                }
}

size_t store_top(Store *s, StoreTopKind kind, StoreTop *ret_top, size_t most) {
        LOCK_SCOPE(&s->lock);
        Top t = { .top = ret_top, .most = most };
        for (uint32_t i = 0; most && i < index_names(s->head.index); i++)
                top_of_name(s->head.index, i, kind, &t);
        return t.n;
}

/* One batch is one request to the series sink: a table becomes rows * columns series. The labels that all of them share
 * are collected once a batch, those of a row once a row; labels_build() sorts. */
#include "ingest/local.h"

#include "base/escape.h"
#include "model/stale.h"

#include <assert.h>
#include <math.h>

#define NAME_CUT 1024u

/* Appends text as a label's value may be: valid UTF-8, no NUL, not too long. Returns where it is, by offset. */
typedef struct Place {
        size_t at, len;
} Place;

static size_t sequence_length(const char *text, size_t left) {
        for (size_t n = 1; n <= 4 && n <= left; n++)
                if (utf8_valid(text, n))
                        return n;
        return 0;
}

static Place put_clean(Buf *out, Span s) {
        Place p = { .at = out->len };
        if (s.len > NAME_CUT)
                s.len = NAME_CUT;
        if (utf8_valid(s.text, s.len) && !memchr(s.text, '\0', s.len)) {
                buf_put(out, s.text, s.len);
        } else {
                for (size_t i = 0; i < s.len;) {
                        size_t n = s.text[i] ? sequence_length(s.text + i, s.len - i) : 0;
                        buf_put(out, n ? s.text + i : "\xef\xbf\xbd", n ? n : 3);
                        i += n ? n : 1;
                }
        }
        p.len = out->len - p.at;
        return p;
}

/* ---- Labels of one batch ---- */

/* Names are static; values lie in the scratch text, by offset until it no longer grows. */
typedef struct LabelSet {
        Span names[LABELS_MAX];
        Place places[LABELS_MAX];
        size_t n;
        size_t text_len; /* of the scratch behind the last of them */
} LabelSet;

static Span span_of(const char *text) {
        return (Span){ text, strlen(text) };
}

static void add_label(LocalIngest *l, LabelSet *set, const char *name, Span value) {
        if (set->n == LABELS_MAX - 2 || value.len == 0)
                return;
        set->names[set->n] = span_of(name);
        set->places[set->n++] = put_clean(&l->text, value);
        set->text_len = l->text.len;
}

static void entity_labels(LocalIngest *l, const LatestEntity *e, LabelSet *set) {
        static const char *const JOBS[] = {
                [ENTITY_HOST] = "node", [ENTITY_DOMAIN] = "libvirt", [ENTITY_CONTAINER] = "cadvisor"
        };
        char uuid[UUID_TEXT_LEN + 1];
        *set = (LabelSet){ 0 };
        buf_reset(&l->text);
        add_label(l, set, "job", span_of(JOBS[e->key.kind]));
        add_label(l, set, "instance", span_of(l->host));
        add_label(l, set, "host", span_of(l->host));
        if (e->key.kind == ENTITY_DOMAIN) {
                uuid_format(&e->key.id, uuid);
                add_label(l, set, "domain", span_of(e->name));
                add_label(l, set, "uuid", span_of(uuid));
        } else if (e->key.kind == ENTITY_CONTAINER) {
                add_label(l, set, "id", span_of(e->path));
                add_label(l, set, "name", span_of(e->name));
        }
}

static void row_labels(LocalIngest *l, GroupId g, const Span *labels, const LabelSet *shared, LabelSet *set) {
        *set = *shared;
        l->text.len = shared->text_len;
        for (uint8_t k = 0; k < GROUPS[g].n_keys; k++)
                add_label(l, set, GROUPS[g].keys[k], labels[k]);
}

/* A fixed label of a column, `mode="user"`; several are separated by commas. */
static size_t fixed_labels(const char *text, Label *labels, size_t n) {
        while (*text && n < LABELS_MAX) {
                size_t name = strcspn(text, "=");
                const char *value = text + name + 2;
                size_t len = strcspn(value, "\"");
                labels[n++] = (Label){ { text, name }, { value, len } };
                text = value + len + (value[len] == '"');
                text += *text == ',';
        }
        return n;
}

/* A key of the group may repeat one of the entity's: the first one counts. */
static size_t collect(const LocalIngest *l, const LabelSet *set, MetricId m, Label labels[LABELS_MAX]) {
        size_t n = 0;
        labels[n++] = (Label){ span_of(METRIC_NAME_LABEL), span_of(METRICS[m].name) };
        for (size_t i = 0; i < set->n; i++) {
                bool again = false;
                for (size_t k = 0; k < n; k++)
                        again = again || (labels[k].name.len == set->names[i].len &&
                                          memcmp(labels[k].name.text, set->names[i].text, set->names[i].len) == 0);
                if (!again)
                        labels[n++] =
                                (Label){ set->names[i], { l->text.data + set->places[i].at, set->places[i].len } };
        }
        return fixed_labels(METRICS[m].label, labels, n);
}

static void write_sample(LocalIngest *l, const LabelSet *set, MetricId m, int64_t time_ms, double value) {
        Label labels[LABELS_MAX];
        SeriesRef ref;
        LabelsFault fault;
        size_t taken;
        buf_reset(&l->run);
        size_t n = collect(l, set, m, labels);
        if (labels_build(labels, n, &l->run) != LABELS_OK || buf_error(&l->run))
                return; /* a name that cannot be: the tables are checked, so only without memory */
        if (l->series->series(l->series, (const uint8_t *)l->run.data, l->run.len, &ref, &fault) == SAMPLE_OK)
                (void)l->series->floats(l->series, ref, &time_ms, &value, 1, &taken);
}

/* ---- Requests ---- */

static bool request_begin(LocalIngest *l) {
        assert(!l->open);
        l->open = l->series->begin(l->series, "local") == 0;
        l->refused += !l->open;
        return l->open;
}

static void request_end(LocalIngest *l) {
        uint64_t ticket;
        l->open = false;
        if (l->series->end(l->series, &ticket) == 0)
                l->ticket = ticket;
}

static void describe(LocalIngest *l, GroupId g) {
        if (l->group_described[g])
                return;
        l->group_described[g] = true;
        for (size_t c = 0; c < group_columns(g); c++) {
                const MetricDesc *m = &METRICS[GROUPS[g].first + c];
                l->series->metadata(l->series, span_of(m->name), m->type, span_of(m->help), (Span){ "", 0 });
        }
}

static void write_row(LocalIngest *l, GroupId g, const LabelSet *set, const double *values, int64_t time_ms,
                      bool stale) {
        for (size_t c = 0; c < group_columns(g); c++) {
                MetricId m = (MetricId)(GROUPS[g].first + c);
                if (!value_is_absent(values[c]))
                        write_sample(l, set, m, time_ms,
                                     stale ? stale_marker() : unit_expose(METRICS[m].unit, values[c]));
        }
}

static int64_t wall_ms(WallTime t) {
        return t.ns / NS_PER_MS;
}

/* The rows of what the table has of a group, each ended. `keep` has the rows that go on (NULL: none). */
static void end_rows(LocalIngest *l, const LatestEntity *e, GroupId g, const LatestGroup *old, int64_t time_ms,
                     const Batch *keep) {
        LabelSet shared, set;
        Span labels[GROUP_MAX_KEYS], kept[GROUP_MAX_KEYS];
        entity_labels(l, e, &shared);
        for (uint32_t row = 0; row < old->n_rows; row++) {
                bool goes_on = false;
                if (!latest_row_labels(e, g, row, labels))
                        return;
                if (keep) {
                        LabelCursor c = batch_labels(keep);
                        for (uint32_t i = 0; !goes_on && i < keep->n_rows; i++) {
                                bool same = true;
                                for (uint8_t k = 0; k < GROUPS[g].n_keys; k++)
                                        same = label_next(&c, &kept[k]) && same && kept[k].len == labels[k].len &&
                                               memcmp(kept[k].text, labels[k].text, kept[k].len) == 0;
                                goes_on = same;
                        }
                }
                if (goes_on)
                        continue;
                row_labels(l, g, labels, &shared, &set);
                write_row(l, g, &set, old->values + row * group_columns(g), time_ms, true);
        }
}

static void write_batch(LocalIngest *l, const LatestEntity *e, const Batch *b) {
        LabelSet shared, set;
        Span labels[GROUP_MAX_KEYS];
        LabelCursor cursor = batch_labels(b);
        describe(l, b->group);
        entity_labels(l, e, &shared);
        for (uint32_t row = 0; row < b->n_rows; row++) {
                for (uint8_t k = 0; k < GROUPS[b->group].n_keys; k++)
                        if (!label_next(&cursor, &labels[k]))
                                return;
                row_labels(l, b->group, labels, &shared, &set);
                write_row(l, b->group, &set, b->values + row * group_columns(b->group), wall_ms(b->wall), false);
        }
}

/* ---- The sink ---- */

static LocalIngest *of(Sink *s) {
        return (LocalIngest *)(void *)s;
}

static void on_batch(Sink *s, const Batch *b) {
        LocalIngest *l = of(s);
        const LatestEntity *e = l->series ? latest_find(l->latest, &b->key) : NULL;
        if (e && request_begin(l)) {
                const LatestGroup *old = latest_group(e, b->group);
                bool other_rows =
                        old && old->n_rows && GROUPS[b->group].n_keys &&
                        (old->labels_len != b->labels_len || memcmp(old->labels, b->labels, b->labels_len) != 0);
                if (other_rows)
                        end_rows(l, e, b->group, old, wall_ms(b->wall), b);
                write_batch(l, e, b);
                request_end(l);
        }
        sink_batch(&l->latest->sink, b);
}

static void on_entity(Sink *s, const EntityInfo *info) {
        sink_entity(&of(s)->latest->sink, info);
}

static void on_gone(Sink *s, EntityKey key) {
        sink_gone(&of(s)->latest->sink, key); /* the table calls local_ingest_gone() */
}

static void on_group_gone(Sink *s, EntityKey key, GroupId group) {
        LocalIngest *l = of(s);
        const LatestEntity *e = l->series ? latest_find(l->latest, &key) : NULL;
        const LatestGroup *old = e ? latest_group(e, group) : NULL;
        if (old && request_begin(l)) {
                end_rows(l, e, group, old, wall_ms(wall_now()), NULL);
                request_end(l);
        }
        sink_group_gone(&l->latest->sink, key, group);
}

static void on_blob(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n) {
        sink_blob(&of(s)->latest->sink, key, type, bytes, n);
}

void local_ingest_gone(LocalIngest *l, const LatestEntity *e) {
        if (!l->series || !request_begin(l))
                return;
        for (GroupId g = e->first_group; g < e->first_group + e->n_groups; g++) {
                const LatestGroup *old = latest_group(e, g);
                if (old)
                        end_rows(l, e, g, old, wall_ms(wall_now()), NULL);
        }
        request_end(l);
}

int local_ingest_init(LocalIngest *l, Latest *latest, SeriesSink *series, const char *host) {
        *l = (LocalIngest){ .latest = latest, .series = series, .host = host };
        l->sink = (Sink){ on_batch, on_entity, on_gone, on_group_gone, on_blob };
        l->group_described = calloc(GROUP_COUNT, sizeof *l->group_described);
        return l->group_described ? 0 : -ENOMEM;
}

void local_ingest_deinit(LocalIngest *l) {
        buf_deinit(&l->run);
        buf_deinit(&l->text);
        free(l->group_described);
        *l = (LocalIngest){ 0 };
}

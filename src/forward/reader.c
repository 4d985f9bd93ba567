#include "forward/reader.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

struct QueueView {
        unsigned refs;
        Vfs *vfs;
        VfsMap map;
        uint32_t number;
        QueueViewSeries *series;
        size_t n_series, cap_series;
        void *user;
        void (*free_user)(void *user);
};

struct QueueReader {
        Queue *queue;
        QueueView *view;      /* NULL: before the first segment */
        QueueSegment segment; /* of the view */
        uint64_t at;          /* of the next record in it */
        bool ended;           /* nothing more of this segment can be read */
        uint64_t next_seq, lost;
        uint64_t record_seq, record_end; /* of the next sample in the record; one above its last */
        QueueCursor cursor;
        bool in_record;
};

/* ---- Views ---- */

static QueueView *view_new(Vfs *vfs, uint32_t number) {
        QueueView *v = calloc(1, sizeof *v);
        if (v)
                *v = (QueueView){ .refs = 1, .vfs = vfs, .number = number };
        return v;
}

QueueView *queue_view_ref(QueueView *v) {
        v->refs++;
        return v;
}

QueueView *queue_view_unref(QueueView *v) {
        if (!v || --v->refs > 0)
                return NULL;
        if (v->user)
                v->free_user(v->user);
        vfs_unmap(v->vfs, &v->map);
        free(v->series);
        free(v);
        return NULL;
}

QueueViewSeries *queue_view_series(QueueView *v, uint32_t series) {
        assert(series < v->n_series);
        return &v->series[series];
}

const uint8_t *queue_view_bytes(const QueueView *v, uint32_t at) {
        assert(at < v->map.len);
        return v->map.bytes + at;
}

void **queue_view_user(QueueView *v, void (*free_user)(void *user)) {
        v->free_user = free_user;
        return &v->user;
}

static int view_map(QueueView *v) {
        char name[QUEUE_NAME_MAX];
        VfsMap map = { 0 };
        queue_segment_name(v->number, name);
        int r = vfs_map(v->vfs, name, &map);
        if (r < 0)
                return r;
        if (map.len < v->map.len || map.len > QUEUE_SEGMENT_MAX) { /* not by us */
                vfs_unmap(v->vfs, &map);
                return -EBADMSG;
        }
        vfs_unmap(v->vfs, &v->map);
        v->map = map;
        return 0;
}

static int view_room(QueueView *v, uint32_t series) {
        size_t cap = v->cap_series ? v->cap_series : 256;
        while (cap <= series)
                cap *= 2;
        if (cap > v->cap_series) {
                QueueViewSeries *more = reallocarray(v->series, cap, sizeof *more);
                if (!more)
                        return -ENOMEM;
                v->series = more;
                v->cap_series = cap;
        }
        while (v->n_series <= series)
                v->series[v->n_series++] = (QueueViewSeries){ .newest_ms = INT64_MIN };
        return 0;
}

/* A run that is not one makes its series unknown: its samples are left out. */
static int view_declare(QueueView *v, const QueueEntry *e) {
        Label labels[LABELS_MAX];
        size_t n, at;
        if (e->series > v->n_series + 1000000u) /* numbers are given in order; damage leaves gaps, but not such */
                return 0;
        int r = e->series < v->n_series ? 0 : view_room(v, e->series);
        if (r < 0)
                return r;
        LabelsFault fault = labels_parse(e->run, e->run_len, labels, &n, &at);
        if (fault == LABELS_OK)
                v->series[e->series] = (QueueViewSeries){
                        .at = (uint32_t)(e->run - v->map.bytes),
                        .len = (uint32_t)e->run_len,
                        .hash = (uint32_t)XXH3_64bits(e->run, e->run_len),
                        .newest_ms = INT64_MIN,
                };
        return 0;
}

/* ---- Moving on ---- */

static void skip_to(QueueReader *r, uint64_t seq) {
        if (seq > r->next_seq) {
                r->lost += seq - r->next_seq;
                r->next_seq = seq;
        }
}

static int enter(QueueReader *r, const QueueSegment *s) {
        QueueView *v = view_new(queue_vfs(r->queue), s->number);
        if (!v)
                return -ENOMEM;
        int e = view_map(v);
        if (e < 0 && e != -ENOMEM && e != -ENOENT && e != -EBADMSG && e != -EIO) {
                (void)queue_view_unref(v);
                return e;
        }
        (void)queue_view_unref(r->view);
        r->view = v;
        r->segment = *s;
        r->at = QUEUE_HEADER;
        r->ended = e < 0; /* it was removed, or cannot be read: what was in it is missing in the numbers */
        return 0;
}

/* 1: there is another segment to read now. */
static int next_segment(QueueReader *r) {
        QueueSegment s;
        bool found = r->view ? queue_segment_after(r->queue, r->segment.number, &s) :
                               queue_segment_of(r->queue, r->next_seq, &s) || queue_segment_after(r->queue, 0, &s);
        if (!found)
                return 0;
        int e = enter(r, &s);
        return e < 0 ? e : 1;
}

/* More of the segment is there than was known: 1. */
static int look_again(QueueReader *r) {
        QueueSegment now;
        if (!queue_segment_get(r->queue, r->segment.number, &now)) {
                r->segment.last = false; /* removed: it was not the last any more */
                return 0;
        }
        bool more = now.bytes > r->segment.bytes;
        r->segment = now;
        if (!more && r->view->map.len >= now.bytes)
                return 0;
        int e = view_map(r->view);
        if (e == -ENOMEM)
                return e;
        r->ended = e < 0;
        return e < 0 ? 0 : 1;
}

/* Begins the record at r->at: 1; 0: there is none (yet). */
static int begin_record(QueueReader *r) {
        const VfsMap *m = &r->view->map;
        uint64_t end = r->segment.bytes < m->len ? r->segment.bytes : m->len;
        QueueRecord record;
        if (r->ended || r->at + QUEUE_RECORD_HEADER > end)
                return 0;
        if (!queue_record_get(m->bytes + r->at, r->segment.number, &record) ||
            record.length > end - r->at - QUEUE_RECORD_HEADER) {
                r->ended = true;
                return 0;
        }
        const uint8_t *payload = m->bytes + r->at + QUEUE_RECORD_HEADER;
        r->at += QUEUE_RECORD_HEADER + record.length;
        if (queue_payload_crc(payload, record.length) != record.payload_crc ||
            record.first_seq < r->segment.first_seq || record.first_seq + record.samples > r->segment.end_seq)
                return 1; /* skipped: the next one's number tells how much is missing */
        skip_to(r, record.first_seq);
        r->record_seq = record.first_seq;
        r->record_end = record.first_seq + record.samples;
        r->cursor = QUEUE_CURSOR(payload, record.length);
        r->in_record = true;
        return 1;
}

/* 1: there is a record to read; 0: nothing is left now. */
static int next_record(QueueReader *r) {
        for (;;) {
                int e = r->view ? begin_record(r) : 0;
                if (r->in_record || e < 0)
                        return e < 0 ? e : 1;
                if (e > 0)
                        continue;
                e = r->view ? look_again(r) : 0;
                if (e < 0)
                        return e;
                if (e > 0 && !r->ended)
                        continue;
                if (r->view && r->segment.last && !r->ended)
                        return 0;
                e = next_segment(r);
                if (e <= 0)
                        return e;
        }
}

/* ---- Samples ---- */

static bool known(const QueueView *v, uint32_t series) {
        return series < v->n_series && v->series[series].len > 0;
}

static void fill(QueueReader *r, const QueueEntry *e, uint64_t seq, QueueSample *ret_sample) {
        QueueView *v = r->view;
        QueueViewSeries *s = &v->series[e->series];
        *ret_sample = (QueueSample){
                .seq = seq,
                .view = v,
                .series = e->series,
                .kind = e->kind,
                .at = e->len ? (uint32_t)(e->bytes - v->map.bytes) : 0,
                .len = (uint32_t)e->len,
                .time_ms = e->time_ms,
                .value = e->value,
                .late = e->kind != QUEUE_EXEMPLAR && e->time_ms <= s->newest_ms,
        };
        if (e->kind != QUEUE_EXEMPLAR && e->time_ms > s->newest_ms)
                s->newest_ms = e->time_ms;
}

/* 1 with a sample of the record; 0: the record is at its end. */
static int next_in_record(QueueReader *r, QueueSample *ret_sample) {
        for (;;) {
                QueueEntry e;
                int got = queue_cursor_next(&r->cursor, &e);
                if (got <= 0) {
                        r->in_record = false;
                        return 0;
                }
                if (e.declares) {
                        int error = view_declare(r->view, &e);
                        if (error < 0)
                                return error;
                        continue;
                }
                if (r->record_seq == r->record_end) { /* more than its header says */
                        r->in_record = false;
                        return 0;
                }
                uint64_t seq = r->record_seq++;
                if (!known(r->view, e.series)) {
                        if (seq >= r->next_seq)
                                skip_to(r, seq + 1);
                        continue;
                }
                fill(r, &e, seq, ret_sample);
                if (seq < r->next_seq)
                        continue;
                r->next_seq = seq + 1;
                return 1;
        }
}

int queue_reader_next(QueueReader *r, QueueSample *ret_sample) {
        for (;;) {
                int e = r->in_record ? next_in_record(r, ret_sample) : 0;
                if (e != 0)
                        return e;
                e = next_record(r);
                if (e <= 0)
                        return e;
        }
}

int queue_reader_new(Queue *q, uint64_t seq, QueueReader **ret_reader) {
        QueueSegment first;
        QueueReader *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        r->queue = q;
        r->next_seq = seq;
        if (seq == 0)
                r->next_seq = queue_segment_after(q, 0, &first) ? first.first_seq : queue_visible(q);
        *ret_reader = r;
        return 0;
}

QueueReader *queue_reader_free(QueueReader *r) {
        if (!r)
                return NULL;
        (void)queue_view_unref(r->view);
        free(r);
        return NULL;
}

uint64_t queue_reader_seq(const QueueReader *r) {
        return r->next_seq;
}

uint64_t queue_reader_lost(const QueueReader *r) {
        return r->lost;
}

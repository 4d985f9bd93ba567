/* The log back into the head, at the start. Refs of the log are those of the run that wrote it; each is declared before
 * it is used, and again after every flush, so a table from theirs to ours, begun anew with each naming, is all that is
 * needed. What a crash left of writes that nobody was promised may lack the declarations: such samples are left out.
 *
 * Everything in the log was acceptable when it was written, so no limits apply here, and no window: only the first of
 * two samples of one instant is kept, as then. */
#include "store/record.h"
#include "store/store_priv.h"

#define REF_MAX (1u << 24) /* a log's refs are dense from 0: one beyond is damage */

typedef struct Replay {
        Store *store;
        uint32_t *refs; /* ours + 1 */
        uint32_t n;
        uint64_t naming;
        uint64_t unknown; /* samples of a series whose declaration is lost */
} Replay;

static int reserve(Replay *p, uint32_t ref) {
        if (ref < p->n)
                return 0;
        if (ref >= REF_MAX)
                return -EBADMSG;
        uint32_t n = p->n ? p->n : 1024;
        while (n <= ref)
                n *= 2;
        uint32_t *refs = realloc(p->refs, (size_t)n * sizeof *refs);
        if (!refs)
                return -ENOMEM;
        memset(refs + p->n, 0, (size_t)(n - p->n) * sizeof *refs);
        p->refs = refs;
        p->n = n;
        return 0;
}

static void on_naming(void *context, uint64_t naming) {
        Replay *p = context;
        if (naming != p->naming && p->n)
                memset(p->refs, 0, (size_t)p->n * sizeof *p->refs);
        p->naming = naming;
}

static int on_series(void *context, uint32_t ref, const uint8_t *run, size_t len) {
        Replay *p = context;
        Store *s = p->store;
        Label labels[LABELS_MAX];
        size_t n, at;
        int r = reserve(p, ref);
        if (r < 0)
                return r;
        if (labels_parse(run, len, labels, &n, &at) != LABELS_OK)
                return -EBADMSG;
        RunHash h = index_hash(s->head.index, run, len);
        uint32_t ours = index_find(s->head.index, h);
        if (ours == SERIES_NONE) {
                r = index_add(s->head.index, h, run, len, &ours);
                if (r == 0) {
                        uint8_t source = 0;
                        Span metric = { "", 0 };
                        HeadSeries *x = index_series(s->head.index, ours);
                        r = quota_source(&s->quotas, SOURCE_LOG, &source);
                        (void)labels_get(run, len, METRIC_NAME_LABEL, &metric);
                        x->source = source;
                        x->resolution = store_resolution(s, metric);
                        x->seen = s->head.current->number;
                }
        }
        p->refs[ref] = r == 0 ? ours + 1 : 0;
        return r == -ENOSPC ? 0 : r; /* the limit was lowered: its samples are counted as unknown */
}

static bool known(Replay *p, uint32_t ref, uint32_t *ret_ours) {
        if (ref >= p->n || !p->refs[ref]) {
                p->unknown++;
                return false;
        }
        *ret_ours = p->refs[ref] - 1;
        return true;
}

static int on_floats(void *context, uint32_t ref, int64_t time_ms, double value) {
        Replay *p = context;
        uint32_t ours;
        bool same;
        if (!known(p, ref, &ours))
                return 0;
        return head_float(&p->store->head, ours, time_ms, value, INT64_MAX, &same) == SAMPLE_NO_MEMORY ? -ENOMEM : 0;
}

static int on_histogram(void *context, uint32_t ref, int64_t time_ms, const uint8_t *bytes, size_t n) {
        Replay *p = context;
        uint32_t ours;
        bool same;
        if (!known(p, ref, &ours))
                return 0;
        return head_histogram(&p->store->head, ours, time_ms, bytes, n, INT64_MAX, &same) == SAMPLE_NO_MEMORY ? -ENOMEM
                                                                                                              : 0;
}

static int on_metadata(void *context, const uint8_t *bytes, size_t n) {
        Replay *p = context;
        return metadata_read(&p->store->metadata, bytes, n);
}

static int on_record(void *context, uint64_t lsn, uint8_t type, const uint8_t *payload, size_t n) {
        static const RecordVisitor VISITOR = { on_naming, on_series, on_floats, on_histogram, on_metadata };
        Replay *p = context;
        (void)lsn;
        int r = record_visit(type, payload, n, &VISITOR, p);
        if (r == -EBADMSG) { /* its checksum was right: written by somebody else, or a defect of ours */
                store_event(p->store, STORE_EVENT_DAMAGE, false, "a record of type %u in the log is malformed", type);
                p->store->stats.lost_log++;
                r = 0;
        }
        return r;
}

int store_replay(Store *s, WalReport *ret_report) {
        Replay p = { .store = s };
        s->head.replaying = true;
        int r = wal_replay(s->vfs, s->manifest->store, s->manifest->wal_first, on_record, &p, ret_report);
        free(p.refs);
        s->head.replaying = false;
        s->want_flush = head_samples_memory(&s->head) > s->options.memory / 4;
        if (p.unknown && ret_report->damaged)
                store_event(s, STORE_EVENT_DAMAGE, false,
                            "%llu samples of the log belong to series whose names are lost",
                            (unsigned long long)p.unknown);
        s->stats.lost_log += ret_report->damaged;
        if (ret_report->damaged)
                store_event(s, STORE_EVENT_DAMAGE, false, "%s (and %llu more places)", ret_report->damage,
                            (unsigned long long)ret_report->damaged - 1);
        return r;
}

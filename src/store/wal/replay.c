/* Replay of the log: the reader's half of the essay on top of wal.c.
 *
 * The one idea: LSNs have no gaps, so what is missing is known exactly. Bad bytes are noted as a *place* with the range
 * of LSNs that is missing there, and it is decided afterwards, by what later records and segments claim, whether the
 * place was damaged or torn. Segments are read through a window of memory, not mapped: a sector that cannot be read is
 * an error code here, and would be a SIGBUS there. */
#include "base/crc32c.h"
#include "store/wal/segment.h"
#include "store/wal/wal.h"

#include <assert.h>
#include <inttypes.h>

/* Read at once. */
#define WINDOW_BYTES ((size_t)256 << 10)
/* Skipped after bytes that cannot be read: a page. */
#define UNREADABLE_STEP 4096
/* Undecided places; beyond these they count as damage without waiting for a claim. */
#define PLACES_MAX 1024

typedef struct Segment {
        uint32_t number;
        uint64_t size;
        bool good; /* the header is */
        SegmentHeader header;
        uint64_t first_lsn; /* by its header or its first record; LSN_MAX + 1: it has none */
        uint64_t limit;     /* records from this LSN on are in later segments, or should be */
        uint64_t rest;      /* offset where reading stopped for that; 0: it did not */
} Segment;

/* Bytes that are no valid record. */
typedef struct Place {
        uint32_t segment;
        uint64_t offset, bytes;
        uint64_t begin, end; /* missing LSNs: begin <= x < end */
        const char *what;
        bool header; /* nothing is missing: `begin` is the first record behind a damaged header */
        bool lost;
} Place;

typedef struct Window {
        VfsFile *file;
        uint64_t at, size; /* of what is in it; of the file */
        size_t len, cap;
        uint8_t *bytes;
} Window;

typedef int (*RecordFn)(void *context, uint64_t lsn, uint8_t type, const uint8_t *payload, size_t n);

typedef struct Replay {
        Vfs *vfs;
        Uuid store;
        uint32_t seed;
        RecordFn record;
        void *context;
        WalReport *report;

        uint32_t first; /* segment */
        Segment *segments;
        size_t n_segments;
        Segment *segment; /* being read */
        Window window;

        uint64_t expected; /* LSN; 0: unknown */
        uint64_t claim_begin; /* the "durable" of a record speaks for LSNs from here on */
        uint64_t claimed;  /* the last "durable" that was looked at */
        bool open;         /* the last place has no end yet */
        size_t n_places, n_undecided;
        Place places[PLACES_MAX];
} Replay;

/* ---- The window ---- */

/* Reads once more after an error, since not every one is for ever. */
static ssize_t read_twice(Replay *r, uint8_t *bytes, size_t n, uint64_t at) {
        ssize_t got = vfs_pread(r->vfs, r->window.file, bytes, n, at);
        return got < 0 ? vfs_pread(r->vfs, r->window.file, bytes, n, at) : got;
}

static int window_reserve(Window *w, size_t n) {
        if (n <= w->cap)
                return 0;
        uint8_t *bytes = realloc(w->bytes, n);
        if (!bytes)
                return -ENOMEM;
        w->bytes = bytes;
        w->cap = n;
        return 0;
}

/* Fills the window from `at` on with n bytes, or more when that works. */
static int window_fill(Replay *r, uint64_t at, size_t n) {
        Window *w = &r->window;
        size_t more = n > WINDOW_BYTES ? n : WINDOW_BYTES;
        int error = window_reserve(w, more);
        if (error < 0)
                return error;
        w->len = 0;
        ssize_t got = read_twice(r, w->bytes, more, at);
        if (got < 0 && more > n)
                got = read_twice(r, w->bytes, n, at);
        if (got < 0)
                return (int)got;
        w->at = at;
        w->len = (size_t)got;
        return w->len < n ? -EIO : 0; /* the file has become shorter */
}

/* n bytes at `at`, which the file has. 0, -EIO (or another error of reading), -ENOMEM. */
static int window_get(Replay *r, uint64_t at, size_t n, const uint8_t **ret_bytes) {
        Window *w = &r->window;
        assert(at % RECORD_ALIGN == 0 && at <= w->size && n <= w->size - at);
        if (at < w->at || at - w->at > w->len || n > w->len - (at - w->at)) {
                int error = window_fill(r, at, n);
                if (error < 0)
                        return error;
        }
        *ret_bytes = w->bytes + (at - w->at);
        return 0;
}

static bool is_unreadable(int error) {
        return error == -EIO || error == -EUCLEAN || error == -EBADMSG;
}

static int open_window(Replay *r, uint32_t number) {
        char name[SEGMENT_NAME_MAX];
        segment_name(number, name);
        Window *w = &r->window;
        w->file = vfs_close(r->vfs, w->file);
        w->len = 0;
        w->size = 0;
        int error = vfs_open(r->vfs, name, VFS_READ, &w->file);
        return error < 0 ? error : vfs_size(r->vfs, w->file, &w->size);
}

/* ---- Places and claims ---- */

static void decide(Replay *r, Place *p) {
        p->lost = true;
        r->n_undecided--;
}

/* LSNs from begin to end (inclusive) were there once. `synced`: by the process that wrote them, and with them what is
 * before them in the file; else an unsynced record was found by the next one, perhaps behind torn bytes. */
static void claim(Replay *r, uint64_t begin, uint64_t end, bool synced) {
        if (r->n_undecided == 0 || begin > end)
                return;
        for (size_t i = 0; i < r->n_places; i++) {
                Place *p = &r->places[i];
                bool closed = !r->open || i + 1 < r->n_places;
                if (closed && !p->lost && (synced || !p->header) && p->begin <= end && begin < p->end)
                        decide(r, p);
        }
}

static void name_damage(Replay *r, const Place *p) {
        if (r->report->damaged++ > 0)
                return;
        (void)snprintf(r->report->damage, sizeof r->report->damage, "wal-%08" PRIu32 " at byte %" PRIu64 ": %s",
                       p->segment, p->offset, p->what);
}

/* Makes room by counting the oldest as damage: there are far too many for a torn tail. */
static void drop_oldest(Replay *r) {
        if (!r->places[0].lost)
                r->n_undecided--;
        name_damage(r, &r->places[0]);
        r->n_places--;
        memmove(r->places, r->places + 1, r->n_places * sizeof r->places[0]);
}

/* A place where the LSNs from `begin` on are missing; it is open until the next valid record is seen. */
static void open_place(Replay *r, uint64_t offset, uint64_t begin, const char *what) {
        assert(!r->open);
        if (r->n_places == PLACES_MAX)
                drop_oldest(r);
        r->places[r->n_places++] = (Place){
                .segment = r->segment->number,
                .offset = offset,
                .begin = begin,
                .end = LSN_MAX + 1,
                .what = what,
        };
        r->n_undecided++;
        r->open = true;
}

/* Bad bytes up to `offset` of this segment belong to the open place. */
static void extend_place(Replay *r, uint64_t from, uint64_t to) {
        assert(r->open && from <= to);
        r->places[r->n_places - 1].bytes += to - from;
}

/* The next LSN that is there is `lsn`. */
static void close_place(Replay *r, uint64_t lsn) {
        if (!r->open)
                return;
        Place *p = &r->places[r->n_places - 1];
        p->end = lsn;
        r->open = false;
        if (p->begin < p->end)
                return;
        /* Nothing is missing: what was written there came again. */
        r->report->torn_bytes += p->bytes;
        r->n_places--;
        r->n_undecided--;
}

static void report_places(Replay *r) {
        for (size_t i = 0; i < r->n_places; i++) {
                const Place *p = &r->places[i];
                if (p->lost)
                        name_damage(r, p);
                else
                        r->report->torn_bytes += p->bytes;
        }
}

/* Something valid that says that the next record is `lsn`. */
static void arrive(Replay *r, uint64_t offset, uint64_t lsn) {
        if (!r->open && r->expected > 0 && lsn > r->expected)
                open_place(r, offset, r->expected, "records before it are missing");
        close_place(r, lsn);
        r->expected = lsn;
}

/* ---- Records ---- */

/* The valid record header at `offset`; 0: there is none. */
static int header_at(Replay *r, uint64_t offset, RecordHeader *ret_header) {
        if (r->window.size - offset < RECORD_HEADER)
                return 0;
        const uint8_t *bytes;
        int error = window_get(r, offset, RECORD_HEADER, &bytes);
        return error < 0 ? error : record_header_get(bytes, r->seed, ret_header);
}

/* No bound on the LSNs that a search may skip. */
#define ANYWHERE UINT64_MAX

/* The next valid header from *offset on whose LSN is at least `least`, and no more above it than there is room for
 * records behind the offset `from`. 1: *offset is there; 0: there is none, *offset is the end. */
static int search(Replay *r, uint64_t least, uint64_t from, uint64_t *offset, RecordHeader *ret_header) {
        uint64_t at = *offset;
        while (at < r->window.size) {
                RecordHeader h = { 0 };
                int found = header_at(r, at, &h);
                if (found < 0 && !is_unreadable(found))
                        return found;
                bool fits = from == ANYWHERE || h.lsn - least <= (at - from) / RECORD_HEADER;
                if (found == 1 && h.lsn >= least && fits) {
                        *offset = at;
                        *ret_header = h;
                        return 1;
                }
                at = found < 0 ? (at / UNREADABLE_STEP + 1) * UNREADABLE_STEP : at + RECORD_ALIGN;
        }
        *offset = r->window.size;
        return 0;
}

static int deliver(Replay *r, const RecordHeader *h, const uint8_t *payload) {
        r->report->records++;
        r->report->bytes += h->length;
        r->report->last_lsn = h->lsn;
        r->expected = h->lsn + 1;
        return r->record(r->context, h->lsn, h->type, payload, h->length);
}

/* The payload of a valid header. */
static int take_payload(Replay *r, uint64_t offset, const RecordHeader *h) {
        uint64_t left = r->window.size - offset;
        const char *what = "a record is cut off";
        if (left - RECORD_HEADER >= h->length) {
                const uint8_t *bytes;
                int error = window_get(r, offset, RECORD_HEADER + (size_t)h->length, &bytes);
                if (error < 0 && !is_unreadable(error))
                        return error;
                if (error == 0 && crc32c(0, bytes + RECORD_HEADER, h->length) == h->payload_crc)
                        return deliver(r, h, bytes + RECORD_HEADER);
                what = error < 0 ? "a record cannot be read" : "checksum of a record";
        }
        uint64_t size = record_size(h->length);
        open_place(r, offset, h->lsn, what);
        extend_place(r, offset, offset + (size < left ? size : left));
        return 0;
}

static int take_record(Replay *r, uint64_t offset, const RecordHeader *h) {
        if (r->expected > 0 && h->lsn < r->expected)
                return 0;
        arrive(r, offset, h->lsn);
        if (h->durable != r->claimed) {
                r->claimed = h->durable;
                claim(r, r->claim_begin, h->durable, true);
        }
        return take_payload(r, offset, h);
}

/* Steps over bytes that are no record. */
static int skip_bad(Replay *r, uint64_t *offset, const char *what) {
        uint64_t from = *offset;
        if (!r->open)
                open_place(r, from, r->expected, what);
        /* How many LSNs may be missing is known when the first of them was to be here. */
        const Place *p = &r->places[r->n_places - 1];
        bool here = p->segment == r->segment->number && p->begin > 0;
        RecordHeader h;
        int found = search(r, r->expected, here ? p->offset : ANYWHERE, offset, &h);
        if (found < 0)
                return found;
        extend_place(r, from, *offset);
        return 0;
}

static int read_records(Replay *r, uint64_t offset) {
        Segment *s = r->segment;
        s->rest = 0;
        while (offset < r->window.size) {
                RecordHeader h;
                int found = header_at(r, offset, &h);
                if ((found == 1 ? h.lsn : r->expected) >= s->limit) {
                        s->rest = offset;
                        return 0;
                }
                if (found == 1 && (!r->open || h.lsn >= r->expected)) {
                        int end = take_record(r, offset, &h);
                        if (end != 0)
                                return end;
                        offset += record_size(h.length);
                } else if (found >= 0 || is_unreadable(found)) {
                        int error = skip_bad(r, &offset, found < 0 ? "cannot be read" : "no valid record");
                        if (error < 0)
                                return error;
                } else {
                        return found;
                }
        }
        return 0;
}

/* ---- Segments ---- */

/* What a good header says of the LSNs before it. */
static void take_header(Replay *r, const SegmentHeader *h) {
        /* In front of it there was nothing: what is there was never finished. */
        if (r->open && r->expected == 0 && h->previous < r->first)
                r->places[r->n_places - 1].begin = h->first_lsn;
        if (h->first_lsn > r->expected)
                arrive(r, 0, h->first_lsn);
        else
                close_place(r, r->expected);
        if (h->first_lsn - 1 > r->report->last_lsn)
                r->report->last_lsn = h->first_lsn - 1;
        claim(r, h->run_lsn, h->first_lsn - 1, true);
        if (h->first_lsn > 1)
                claim(r, h->first_lsn - 1, h->first_lsn - 1, false);
}

/* Whose run a segment was is unknown without its header: its records speak for each other only. */
static void set_claims(Replay *r, const Segment *s) {
        r->claim_begin = s->good ? s->header.run_lsn : s->first_lsn;
        r->claimed = 0;
}

/* A damaged header is lost when the first record in the segment was durable, and torn otherwise. */
static void miss_header(Replay *r, const Segment *s) {
        if (s->first_lsn > LSN_MAX) {
                if (!r->open)
                        open_place(r, 0, r->expected, "header of the segment");
                extend_place(r, 0, s->size < SEGMENT_HEADER ? s->size : SEGMENT_HEADER);
                return;
        }
        if (r->open) {
                extend_place(r, 0, SEGMENT_HEADER);
        } else if (s->first_lsn < s->limit && s->first_lsn >= r->expected) {
                open_place(r, 0, s->first_lsn, "header of the segment");
                r->places[r->n_places - 1].header = true;
                extend_place(r, 0, SEGMENT_HEADER);
                close_place(r, s->first_lsn + 1);
        }
}

static int read_segment(Replay *r, Segment *s) {
        int error = open_window(r, s->number);
        if (error < 0 && !is_unreadable(error))
                return error;
        r->segment = s;
        if (s->good)
                take_header(r, &s->header);
        else
                miss_header(r, s);
        set_claims(r, s);
        return read_records(r, SEGMENT_HEADER);
}

static bool of_one_run(const Segment *a, const Segment *b) {
        return a->good && b->good && a->header.run == b->header.run;
}

/* After segment i: what it was to replace in those before it and does not have, since the process was killed while it
 * wrote it. (What a later process passed over was nothing to it, and its numbers were given again.) */
static int read_rests(Replay *r, size_t i) {
        const Segment *last = &r->segments[i];
        while (i > 0 && r->expected < last->limit) {
                Segment *s = &r->segments[--i];
                if (s->rest == 0 || !of_one_run(s, last))
                        continue;
                int error = open_window(r, s->number);
                if (error < 0)
                        return is_unreadable(error) ? 0 : error;
                r->segment = s;
                s->limit = last->limit;
                set_claims(r, s);
                error = read_records(r, s->rest);
                if (error != 0)
                        return error;
        }
        return 0;
}

/* -EPROTONOSUPPORT, with the name. */
static int refuse(Replay *r, const Segment *s, const char *what, uint32_t number) {
        (void)snprintf(r->report->damage, sizeof r->report->damage, "wal-%08" PRIu32 ": %s %" PRIu32, s->number, what,
                       number);
        return -EPROTONOSUPPORT;
}

static int look_at_header(Replay *r, Segment *s) {
        const uint8_t *bytes;
        if (s->size < SEGMENT_HEADER)
                return 0;
        int error = window_get(r, 0, SEGMENT_HEADER, &bytes);
        if (error < 0)
                return is_unreadable(error) ? 0 : error;
        SegmentHeader h;
        if (!segment_header_get(bytes, &h))
                return 0;
        if (h.version != WAL_VERSION)
                return refuse(r, s, "format version", h.version);
        if (!uuid_equal(&h.store, &r->store))
                return refuse(r, s, "belongs to another store, as segment", h.number);
        s->good = h.number == s->number;
        s->header = h;
        return 0;
}

/* Looks at one segment before any is read. */
static int look_at_segment(Replay *r, Segment *s) {
        int error = open_window(r, s->number);
        if (error < 0)
                return is_unreadable(error) ? 0 : error;
        s->size = r->window.size;
        error = look_at_header(r, s);
        if (error < 0)
                return error;
        if (s->good) {
                s->first_lsn = s->header.first_lsn;
                return 0;
        }
        uint64_t offset = SEGMENT_HEADER;
        RecordHeader h;
        int found = search(r, 1, ANYWHERE, &offset, &h);
        if (found == 1)
                s->first_lsn = h.lsn;
        return found < 0 ? found : 0;
}

static int plan(Replay *r, uint32_t first) {
        CLEANUP(buf_deinit) Buf numbers = BUF_NULL;
        int error = segment_list(r->vfs, &numbers);
        if (error < 0)
                return error;
        size_t n = numbers.len / sizeof(uint32_t);
        r->segments = calloc(n ? n : 1, sizeof *r->segments);
        if (!r->segments)
                return -ENOMEM;
        for (size_t i = 0; i < n && error == 0; i++) {
                Segment s = { .first_lsn = LSN_MAX + 1, .limit = LSN_MAX + 1 };
                memcpy(&s.number, numbers.data + i * sizeof(uint32_t), sizeof s.number);
                r->report->last_segment = s.number;
                if (s.number < first)
                        continue;
                error = look_at_segment(r, &s);
                r->segments[r->n_segments++] = s;
        }
        for (size_t i = r->n_segments; i > 1; i--) {
                const Segment *next = &r->segments[i - 1];
                r->segments[i - 2].limit = next->first_lsn < next->limit ? next->first_lsn : next->limit;
        }
        return error;
}

static int read_all(Replay *r, uint32_t first) {
        int error = plan(r, first);
        if (error < 0)
                return error;
        r->first = first > 0 || r->n_segments == 0 ? first : r->segments[0].number;
        if (r->n_segments > 0 && r->segments[0].number > r->first) {
                r->segment = &r->segments[0];
                open_place(r, 0, 0, "segments before it are missing");
        }
        for (size_t i = 0; i < r->n_segments && error == 0; i++) {
                error = read_segment(r, &r->segments[i]);
                if (error == 0)
                        error = read_rests(r, i);
        }
        report_places(r);
        return error;
}

static void replay_free(Replay **replay) {
        CLEANUP_FREE Replay *r = *replay;
        if (!r)
                return;
        (void)vfs_close(r->vfs, r->window.file);
        free(r->window.bytes);
        free(r->segments);
}

int wal_replay(Vfs *vfs, Uuid store, uint32_t first, RecordFn record, void *context, WalReport *ret_report) {
        *ret_report = (WalReport){ 0 };
        CLEANUP(replay_free) Replay *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        r->vfs = vfs;
        r->store = store;
        r->seed = record_seed(store);
        r->record = record;
        r->context = context;
        r->report = ret_report;
        return read_all(r, first);
}

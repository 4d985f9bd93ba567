/* The write-ahead log: layout, validity, replay, and why a crash loses nothing.
 *
 * LAYOUT. A segment is a file "wal-NNNNNNNN" (decimal, at least eight digits): a header, then records, each at a
 * multiple of 8. Numbers are little endian; CRCs are CRC-32C.
 *
 *      segment header, 64 bytes                          record
 *      off size                                          off size
 *        0   8  magic "PLXwal\r\n"                         0   4  CRC of bytes 4..32, begun with the store's uuid's
 *        8   4  version of the format: 1                   4   4  length of the payload
 *       12   4  number of the segment, as in its name      8   8  LSN
 *       16  16  uuid of the store                         16   8  "durable": records up to this LSN were durable when
 *       32   8  "first": LSN of the first record                  this one was collected; less than the LSN
 *       40   8  "run LSN": that of the first record       24   4  CRC of the payload
 *               of the process that wrote it              28   1  type, its user's
 *       48   4  "run": the process, by the number of      29   3  zero
 *               the first segment that it might make      32   n  payload, then zeros (not looked at) to the next 8
 *       52   4  "previous": number of the segment
 *               before that has records, or 0
 *       56   4  zero
 *       60   4  CRC of the bytes 0..60
 *
 * Every later version keeps the first 16 bytes, the size and the place of the CRC, so that it can be refused by name.
 *
 * VALIDITY. A header is valid by its CRC, a record's header by its own, a payload by the one in a valid header. So a
 * damaged payload costs one record, since the length is still to be trusted; a damaged header costs what is up to the
 * next valid one, which is searched for at every eighth byte. What is found so may skip no more LSNs than records fit
 * in between (32 bytes each): bytes of a payload that look like a record would have to know the store's uuid and the
 * place.
 *
 * INVARIANTS that the writer keeps:
 *   (1) LSNs ascend by one over records and segments, but for (3).
 *   (2) When a segment is created, every record below its "first" is durable, in segments with lower numbers.
 *   (3) After a failure the segment is never written or synced again; a part of a record that a failed write left is
 *       cut off. After a failed sync nothing since the last one that worked can be trusted. What was not durable is
 *       written to a new segment, whose "first" is by (2) the first of it; the records from there on in the failed
 *       segment have been replaced. They stay there all the same, since until all of them are in the new segment they
 *       are all that a kill of the process leaves, and whoever was told "written" (not "durable") was told that a kill
 *       takes nothing. Then a failed segment without anything durable is removed; a new segment that fails before is
 *       removed at once, and its number used again.
 *   (4) A record is reported durable after an fdatasync of its file returned 0 which began after the record was
 *       written, and after an fsync of the directory which began after the file was made.
 *   (5) No process relies on what an earlier one may have failed to write. It cannot know: a sync that fails leaves
 *       pages in memory that look as if they were on the disk, and when that process was killed the next one's sync of
 *       the same file succeeds and means nothing. So before the user of a log takes anything new, it moves everything
 *       that it has replayed elsewhere, durably, by files of its own (WalOptions.moved). A user who does not, and is
 *       not afraid of that case, has every segment synced when the log is opened, since they may not have been: an
 *       earlier process was killed between write and sync.
 *
 * REPLAY (replay.c) delivers each LSN once, ascending: of each segment, in the order of their numbers, the records
 * below the least "first" of all later segments (by (3), what is not below was replaced; where a header is damaged, the
 * first valid record speaks for it), and after a segment that replaced others of the same run, what it does not have of
 * theirs: the process was killed while it wrote it. Which LSNs are missing follows from (1) and "first". Bytes that are
 * no valid record are either a torn tail or damage:
 *   - missing LSNs are *lost* when something says that they were there: the "durable" of a later record (for LSNs from
 *     "run LSN" on: a process can only speak for itself), or the "first" of a later segment (all below of the same run
 *     by (2), and the one before it of the run before, which was the last that it found). Where a replay begins nothing
 *     is expected yet; there, a segment that is missing or has nothing valid matters when the "previous" of the first
 *     good one is not below it;
 *   - all other bytes are *torn*: a write that a crash interrupted, or that a failed segment kept. Nobody was told that
 *     they are durable. A file system may keep any of the sectors of unsynced writes, so there may be valid records
 *     behind torn ones; they are delivered, since the same picture may come from damage to the last commit, and what
 *     was never acknowledged harms nobody.
 *
 * CRASH ARGUMENT. Let record x be durable by (4): its bytes are in a file whose name is durable. The file is afterwards
 * appended to, truncated to no less than its durable size (3), or removed by wal_remove_before(), when x is in a part.
 * (A segment is removed by (3) only when nothing in it is durable.) So after any crash its bytes are there, and its
 * header is found: the bytes before it in the file are durable too, and valid. It is passed over only when a later
 * segment has a "first" of at most x, and then read when that one does not have it; by (2) and (3) that happens only to
 * records that are not durable there. Nothing is invented: what is delivered is valid by two CRCs, of this store, and
 * LSNs are used twice only for equal bytes (3) or for bytes that replay found invalid before.
 *
 * MEMORY AND LOCKS. wal_append() fills chunks under `lock`. wal_commit() moves all chunks to `flight` under `lock`,
 * which is all that they wait for each other; it writes and syncs under `io`. Chunks leave `flight` when they are
 * durable, not when they are written: that is what (3) rewrites. Both together never exceed pending_bytes, so a disk
 * that stalls costs no more. */
#include "store/wal/wal.h"

#include "base/crc32c.h"
#include "rt/lock.h"
#include "store/wal/segment.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

/* Usual size of a chunk; a larger record has one of its own. */
#define CHUNK_BYTES ((size_t)256 << 10)
/* Empty chunks that are kept: one is filled while another is written. */
#define SPARES_MAX 2

/* Records one after the other, as they are written. */
typedef struct Chunk Chunk;
struct Chunk {
        Chunk *next;
        size_t used, cap;
        uint64_t first_lsn, last_lsn;
        alignas(RECORD_ALIGN) uint8_t bytes[];
};

typedef struct ChunkList {
        Chunk *first, **end;
} ChunkList;

typedef struct SegmentSize {
        uint32_t number;
        uint64_t bytes;
} SegmentSize;

struct Wal {
        Vfs *vfs;
        WalOptions options;
        uint32_t seed;
        _Atomic uint64_t durable;
        _Atomic bool broken;
        _Atomic int64_t call_ns; /* when the call of the disk began that is under way; 0: none is */

        Lock lock; /* for what appenders and committers share: held for no longer than a copy */
        ChunkList collected;
        Chunk *last; /* of `collected`, or NULL */
        Chunk *spares;
        size_t n_spares;
        size_t pending; /* bytes of records in `collected` and `flight` */
        uint64_t next_lsn;
        WalStats stats;

        Lock io; /* for the files; taken before `lock` */
        ChunkList flight;  /* what is not durable, without what is in `collected` */
        Chunk *unwritten;  /* the first one of `flight` that is not in the segment; NULL: all are */
        uint32_t number;   /* of the segment that is open, or else of the next one */
        uint32_t previous; /* the last one that has records, but for the one that is open */
        VfsFile *file;     /* NULL: the next write begins a segment */
        uint64_t size, durable_size; /* of the file's whole records */
        bool untrusted; /* a sync of it failed */
        bool kept;     /* an abandoned segment shows what is being written again: all that a kill leaves until then */
        uint32_t held; /* that segment, when it has nothing durable and can go then; 0: none */
        SegmentSize *segments; /* of all files, ascending */
        size_t n_segments, cap_segments;
        int error; /* why it is broken */
};

/* ---- Chunks ---- */

static void list_init(ChunkList *l) {
        l->first = NULL;
        l->end = &l->first;
}

static void list_append(ChunkList *l, Chunk *c) {
        c->next = NULL;
        *l->end = c;
        l->end = &c->next;
}

static Chunk *list_take_first(ChunkList *l) {
        Chunk *c = l->first;
        l->first = c->next;
        if (!l->first)
                l->end = &l->first;
        return c;
}

static void list_free(ChunkList *l) {
        while (l->first)
                free(list_take_first(l));
}

static Chunk *chunk_new(Wal *w, size_t need) {
        lock_assert_held(&w->lock);
        Chunk *c = need <= CHUNK_BYTES ? w->spares : NULL;
        if (c) {
                w->spares = c->next;
                w->n_spares--;
        } else {
                size_t cap = need > CHUNK_BYTES ? need : CHUNK_BYTES;
                c = malloc(sizeof *c + cap);
                if (!c)
                        return NULL;
                c->cap = cap;
        }
        c->used = 0;
        c->first_lsn = w->next_lsn;
        return c;
}

static void chunk_release(Wal *w, Chunk *c) {
        lock_assert_held(&w->lock);
        w->pending -= c->used;
        if (c->cap != CHUNK_BYTES || w->n_spares >= SPARES_MAX) {
                free(c);
                return;
        }
        c->next = w->spares;
        w->spares = c;
        w->n_spares++;
}

/* ---- Collecting ---- */

/* The payload's length, or -E2BIG. */
static int64_t payload_length(const Wal *w, const WalBytes *parts, size_t n_parts) {
        size_t length = 0, most = w->options.pending_bytes - RECORD_HEADER - RECORD_ALIGN;
        for (size_t i = 0; i < n_parts; i++) {
                if (parts[i].n > most - length)
                        return -E2BIG;
                length += parts[i].n;
        }
        return (int64_t)length;
}

/* Room for n bytes at the end of what is collected, or NULL. */
static uint8_t *room_for(Wal *w, size_t n) {
        if (!w->last || w->last->cap - w->last->used < n) {
                Chunk *c = chunk_new(w, n);
                if (!c)
                        return NULL;
                list_append(&w->collected, c);
                w->last = c;
        }
        return w->last->bytes + w->last->used;
}

static void put_record(Wal *w, uint8_t *at, const RecordHeader *h, const WalBytes *parts, size_t n_parts) {
        record_header_put(at, w->seed, h);
        uint8_t *to = at + RECORD_HEADER;
        for (size_t i = 0; i < n_parts; i++) {
                if (parts[i].n > 0)
                        memcpy(to, parts[i].bytes, parts[i].n);
                to += parts[i].n;
        }
        size_t size = record_size(h->length);
        memset(to, 0, (size_t)(at + size - to));
        w->last->used += size;
        w->last->last_lsn = h->lsn;
        w->pending += size;
        w->stats.records++;
        w->stats.bytes += size;
}

int wal_append(Wal *w, uint8_t type, const WalBytes *parts, size_t n_parts, uint64_t *ret_lsn) {
        int64_t length = payload_length(w, parts, n_parts);
        if (length < 0)
                return (int)length;
        uint32_t crc = 0;
        for (size_t i = 0; i < n_parts; i++)
                crc = crc32c(crc, parts[i].bytes, parts[i].n);
        size_t size = record_size((uint32_t)length);

        LOCK_SCOPE(&w->lock);
        if (w->broken)
                return -EIO;
        if (size > w->options.pending_bytes - w->pending)
                return -ENOBUFS;
        uint8_t *at = room_for(w, size);
        if (!at)
                return -ENOMEM;
        RecordHeader h = {
                .length = (uint32_t)length,
                .payload_crc = crc,
                .lsn = w->next_lsn++,
                .durable = w->durable,
                .type = type,
        };
        put_record(w, at, &h, parts, n_parts);
        *ret_lsn = h.lsn;
        return 0;
}

/* ---- Time ---- */

static MonoTime now_of(const Wal *w) {
        return w->options.mono ? w->options.mono(w->options.clock_context) : mono_now();
}

/* The disk is called next. */
static void call(Wal *w) {
        int64_t ns = now_of(w).ns;
        w->call_ns = ns ? ns : 1;
}

Duration wal_waits(const Wal *w) {
        int64_t began = w->call_ns;
        return (Duration){ began ? now_of(w).ns - began : 0 };
}

/* ---- Segments ---- */

static void count_disk(Wal *w, int64_t bytes) {
        LOCK_SCOPE(&w->lock);
        w->stats.disk_bytes += (uint64_t)bytes;
}

static int reserve_segment(Wal *w) {
        if (w->n_segments < w->cap_segments)
                return 0;
        size_t cap = w->cap_segments ? 2 * w->cap_segments : 16;
        SegmentSize *segments = reallocarray(w->segments, cap, sizeof *segments);
        if (!segments)
                return -ENOMEM;
        w->segments = segments;
        w->cap_segments = cap;
        return 0;
}

static void note_segment(Wal *w, uint32_t number, uint64_t bytes) {
        assert(w->n_segments < w->cap_segments);
        w->segments[w->n_segments++] = (SegmentSize){ number, bytes };
        count_disk(w, (int64_t)bytes);
}

/* The open segment has `size` bytes now. */
static void note_size(Wal *w, uint64_t size) {
        SegmentSize *s = &w->segments[w->n_segments - 1];
        assert(s->number == w->number);
        count_disk(w, (int64_t)(size - s->bytes));
        s->bytes = size;
        w->size = size;
}

static int begin_segment(Wal *w) {
        lock_assert_held(&w->io);
        assert(!w->file && w->unwritten && w->unwritten == w->flight.first);
        assert(w->unwritten->first_lsn == w->durable + 1); /* (2) */
        if (w->number > SEGMENT_NUMBER_MAX)
                return -EOVERFLOW;
        char name[SEGMENT_NAME_MAX];
        segment_name(w->number, name);
        int r = reserve_segment(w);
        call(w);
        if (r == 0)
                r = vfs_open(w->vfs, name, VFS_CREATE, &w->file);
        if (r < 0)
                return r;
        w->size = w->durable_size = 0;
        w->untrusted = false;
        note_segment(w, w->number, 0);
        SegmentHeader h = {
                .version = WAL_VERSION,
                .number = w->number,
                .store = w->options.store,
                .first_lsn = w->unwritten->first_lsn,
                .run_lsn = w->options.next_lsn,
                .run = w->options.next_segment,
                .previous = w->previous,
        };
        uint8_t bytes[SEGMENT_HEADER];
        segment_header_put(bytes, &h);
        r = vfs_append(w->vfs, w->file, bytes, sizeof bytes);
        if (r < 0)
                return r;
        note_size(w, sizeof bytes);
        call(w);
        return vfs_sync_directory(w->vfs); /* (4) */
}

static void close_segment(Wal *w) {
        w->file = vfs_close(w->vfs, w->file);
        if (w->durable_size > 0)
                w->previous = w->number;
        w->number++;
}

static void count_failure(Wal *w, bool sealed) {
        LOCK_SCOPE(&w->lock);
        w->stats.failures++;
        w->stats.segments_sealed += sealed;
}

static void forget_segment(Wal *w, uint32_t number) {
        for (size_t i = 0; i < w->n_segments; i++)
                if (w->segments[i].number == number) {
                        count_disk(w, -(int64_t)w->segments[i].bytes);
                        memmove(&w->segments[i], &w->segments[i + 1], (w->n_segments - i - 1) * sizeof *w->segments);
                        w->n_segments--;
                        return;
                }
}

static int unlink_segment(Wal *w, uint32_t number) {
        char name[SEGMENT_NAME_MAX];
        segment_name(number, name);
        int r = vfs_unlink(w->vfs, name);
        if (r == 0)
                forget_segment(w, number);
        return r;
}

/* After a failure (3). */
static void abandon_segment(Wal *w) {
        count_failure(w, w->file);
        w->unwritten = w->flight.first;
        if (!w->file)
                return;
        /* A failed write may have left a part of a record. */
        if (!w->untrusted)
                (void)!vfs_truncate(w->vfs, w->file, w->size);
        bool durable = w->durable_size > SEGMENT_HEADER, shows = !w->kept && w->size > SEGMENT_HEADER;
        uint32_t number = w->number;
        close_segment(w);
        if (!durable && !shows) {
                if (unlink_segment(w, number) == 0)
                        w->number = number;
                return;
        }
        w->held = durable || w->kept ? w->held : number;
        w->kept = true;
}

/* What an abandoned segment showed is in later ones. One that cannot be removed does no harm: what it has was
 * replaced. */
static void settle(Wal *w) {
        if (w->held)
                (void)!unlink_segment(w, w->held);
        w->held = 0;
        w->kept = false;
}

/* ---- Committing ---- */

static void take_collected(Wal *w) {
        LOCK_SCOPE(&w->lock);
        if (!w->collected.first)
                return;
        if (!w->unwritten)
                w->unwritten = w->collected.first;
        *w->flight.end = w->collected.first;
        w->flight.end = w->collected.end;
        list_init(&w->collected);
        w->last = NULL;
}

/* Everything in front of `unwritten` is durable. */
static void release_durable(Wal *w) {
        LOCK_SCOPE(&w->lock);
        while (w->flight.first && w->flight.first != w->unwritten) {
                Chunk *c = list_take_first(&w->flight);
                assert(c->first_lsn == w->durable + 1);
                w->durable = c->last_lsn;
                chunk_release(w, c);
        }
}

static void count_sync(Wal *w, Duration took) {
        LOCK_SCOPE(&w->lock);
        w->stats.syncs++;
        w->stats.sync_ns += (uint64_t)took.ns;
}

static int sync_segment(Wal *w) {
        if (!w->file || w->size == w->durable_size)
                return 0;
        call(w);
        int r = vfs_sync(w->vfs, w->file);
        count_sync(w, wal_waits(w));
        w->untrusted = r < 0;
        if (r < 0)
                return r;
        w->durable_size = w->size;
        release_durable(w);
        return 0;
}

/* Whether the next chunk is for the next segment. */
static bool segment_is_full(const Wal *w) {
        return w->file && w->size > SEGMENT_HEADER && w->size + w->unwritten->used > w->options.segment_bytes;
}

static int write_chunk(Wal *w) {
        int r = 0;
        if (segment_is_full(w)) {
                r = sync_segment(w); /* (2) */
                if (r == 0)
                        close_segment(w);
        }
        if (r == 0 && !w->file)
                r = begin_segment(w);
        call(w);
        if (r == 0)
                r = vfs_append(w->vfs, w->file, w->unwritten->bytes, w->unwritten->used);
        if (r < 0)
                return r;
        note_size(w, w->size + w->unwritten->used);
        w->unwritten = w->unwritten->next;
        return 0;
}

/* One attempt; a failure ends the segment. */
static int write_out(Wal *w, bool sync) {
        int r = 0;
        while (r == 0 && w->unwritten)
                r = write_chunk(w);
        if (r == 0 && w->kept)
                settle(w);
        if (r == 0 && sync)
                r = sync_segment(w);
        if (r < 0)
                abandon_segment(w);
        w->call_ns = 0;
        return r;
}

/* What is written and not synced waits in memory as well: it must not keep new records out for ever. */
static bool sync_is_due(Wal *w) {
        LOCK_SCOPE(&w->lock);
        return w->pending > w->options.pending_bytes / 2;
}

static int commit(Wal *w, bool sync) {
        lock_assert_held(&w->io);
        if (w->broken)
                return w->error;
        take_collected(w);
        int r = write_out(w, sync || sync_is_due(w));
        /* A new segment, which is not trusted before it was synced. */
        if (r < 0)
                r = write_out(w, true);
        if (r < 0) {
                w->error = r;
                w->broken = true;
                return r;
        }
        LOCK_SCOPE(&w->lock);
        w->stats.commits++;
        return 0;
}

int wal_commit(Wal *w, bool sync) {
        LOCK_SCOPE(&w->io);
        return commit(w, sync);
}

int wal_mend(Wal *w) {
        LOCK_SCOPE(&w->io);
        if (!w->broken)
                return 0;
        take_collected(w);
        int r = write_out(w, true);
        w->error = r;
        w->broken = r < 0;
        return r;
}

int wal_rotate(Wal *w, uint32_t *ret_segment) {
        LOCK_SCOPE(&w->io);
        int r = commit(w, true);
        if (r < 0)
                return r;
        if (w->file)
                close_segment(w);
        *ret_segment = w->number;
        return 0;
}

int wal_remove_before(Wal *w, uint32_t segment) {
        LOCK_SCOPE(&w->io);
        assert(segment <= w->number);
        int result = 0;
        size_t kept = 0;
        for (size_t i = 0; i < w->n_segments; i++) {
                SegmentSize s = w->segments[i];
                char name[SEGMENT_NAME_MAX];
                segment_name(s.number, name);
                int r = s.number < segment ? vfs_unlink(w->vfs, name) : -EBUSY;
                if (r == 0 || r == -ENOENT) {
                        count_disk(w, -(int64_t)s.bytes);
                        continue;
                }
                if (s.number < segment)
                        result = r;
                w->segments[kept++] = s;
        }
        w->n_segments = kept;
        return result;
}

/* ---- The object ---- */

uint64_t wal_durable(const Wal *w) {
        return w->durable;
}

bool wal_broken(const Wal *w) {
        return w->broken;
}

void wal_stats(const Wal *w, WalStats *ret_stats) {
        Wal *locked = (Wal *)w;
        LOCK_SCOPE(&locked->lock);
        *ret_stats = w->stats;
}

/* Makes a segment that was found durable (5). */
static int adopt_file(Wal *w, uint32_t number, VfsFile *f) {
        uint64_t bytes = 0;
        int r = reserve_segment(w);
        if (r == 0 && !w->options.moved)
                r = vfs_sync(w->vfs, f);
        if (r == 0)
                r = vfs_size(w->vfs, f, &bytes);
        if (r < 0)
                return r;
        note_segment(w, number, bytes);
        /* One that cannot be read here has not been replayed either. */
        uint8_t header[SEGMENT_HEADER];
        SegmentHeader h;
        if (vfs_pread(w->vfs, f, header, sizeof header, 0) == sizeof header && segment_header_get(header, &h))
                w->previous = number;
        return 0;
}

static int adopt_segment(Wal *w, uint32_t number) {
        char name[SEGMENT_NAME_MAX];
        segment_name(number, name);
        VfsFile *f;
        int r = vfs_open(w->vfs, name, VFS_READ, &f);
        if (r < 0)
                return r;
        r = adopt_file(w, number, f);
        (void)vfs_close(w->vfs, f);
        return r;
}

static int adopt_segments(Wal *w) {
        CLEANUP(buf_deinit) Buf numbers = BUF_NULL;
        int r = segment_list(w->vfs, &numbers);
        for (size_t at = 0; r == 0 && at < numbers.len; at += sizeof(uint32_t)) {
                uint32_t number;
                memcpy(&number, numbers.data + at, sizeof number);
                r = number < w->number ? adopt_segment(w, number) : -EEXIST;
        }
        /* Removals as well: a segment that replay did not find must not come back. */
        return r < 0 || w->options.moved ? r : vfs_sync_directory(w->vfs);
}

static void wal_free(Wal **wal) {
        CLEANUP_FREE Wal *w = *wal;
        if (!w)
                return;
        w->file = vfs_close(w->vfs, w->file);
        list_free(&w->collected);
        list_free(&w->flight);
        while (w->spares) {
                CLEANUP_FREE Chunk *c = w->spares;
                w->spares = c->next;
        }
        lock_deinit(&w->io);
        lock_deinit(&w->lock);
        free(w->segments);
}

int wal_open(Vfs *vfs, const WalOptions *o, Wal **ret_wal) {
        assert(o->next_segment > 0 && o->next_lsn > 0);
        assert(o->pending_bytes >= 4096 && o->pending_bytes <= INT32_MAX && o->segment_bytes > 0);
        if (o->next_lsn > LSN_MAX / 2)
                return -EOVERFLOW;
        CLEANUP(wal_free) Wal *w = calloc(1, sizeof *w);
        if (!w)
                return -ENOMEM;
        w->vfs = vfs;
        w->options = *o;
        w->seed = record_seed(o->store);
        w->durable = o->next_lsn - 1;
        w->next_lsn = o->next_lsn;
        w->number = o->next_segment;
        lock_init(&w->lock, "wal");
        lock_init(&w->io, "wal-io");
        list_init(&w->collected);
        list_init(&w->flight);
        int r = adopt_segments(w);
        if (r < 0)
                return r;
        *ret_wal = TAKE_PTR(w);
        return 0;
}

Wal *wal_close(Wal *wal) {
        CLEANUP(wal_free) Wal *w = wal;
        if (w)
                (void)!wal_commit(w, true);
        return NULL;
}

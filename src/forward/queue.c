/* Writing and removing segments; the essay is on top of segment.c.
 *
 * Appends go into a record in memory, ended records into `pending`; a commit takes `pending` as it is and writes it
 * without the lock. At most one change of segment waits in `pending`, at `roll_at`. */
#include "forward/queue.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

/* A record ends at the next series when it has become so long. */
#define RECORD_ENOUGH ((size_t)256 << 10)
#define NO_ROLL SIZE_MAX
/* A segment becomes no older than this part of the bound of age, so that the bound has a meaning. */
#define AGE_PARTS 8
#define KEEP_PENDING ((size_t)1 << 20) /* bytes of a buffer that are kept for the next commit */

struct Queue {
        Vfs *vfs;
        QueueOptions options;
        Uuid id;

        /* The writer's. */
        Buf record;
        uint32_t record_samples, n_series, generation, number;
        int64_t record_time, record_newest;
        uint64_t next_seq, logical_size; /* of the segment being written */
        int64_t segment_created_ms;
        bool roll_wanted;

        /* The committer's. */
        Buf writing;
        VfsFile *file;

        atomic_bool give_up; /* what was declared in the current segment is lost: a new one */
        Lock lock;           /* for what is below */
        Buf pending;
        size_t roll_at;
        QueueSegment roll; /* the segment that begins there */
        uint64_t pending_end;
        QueueSegment *segments;
        size_t n_segments, cap_segments;
        uint64_t visible, released;
        QueueStats stats;
};

static int64_t wall_ms(const Queue *q) {
        return (q->options.wall ? q->options.wall() : wall_now()).ns / NS_PER_MS;
}

/* ---- Opening ---- */

static int add_segment(Queue *q, const QueueSegment *s) {
        if (q->n_segments == q->cap_segments) {
                size_t cap = q->cap_segments ? q->cap_segments * 2 : 16;
                QueueSegment *more = reallocarray(q->segments, cap, sizeof *more);
                if (!more)
                        return -ENOMEM;
                q->segments = more;
                q->cap_segments = cap;
        }
        q->segments[q->n_segments++] = *s;
        return 0;
}

static int read_header(Vfs *v, uint32_t number, QueueHeader *ret_header, uint64_t *ret_size) {
        char name[QUEUE_NAME_MAX];
        uint8_t bytes[QUEUE_HEADER];
        VfsFile *f = NULL;
        queue_segment_name(number, name);
        int r = vfs_open(v, name, VFS_READ, &f);
        if (r < 0)
                return r;
        ssize_t n = vfs_pread(v, f, bytes, sizeof bytes, 0);
        r = vfs_size(v, f, ret_size);
        (void)vfs_close(v, f);
        if (r < 0 || n < 0)
                return r < 0 ? r : (int)n;
        if (n != sizeof bytes || !queue_header_get(bytes, ret_header) || ret_header->number != number)
                return -EBADMSG;
        if (ret_header->version != QUEUE_VERSION)
                return -EPROTONOSUPPORT; /* somebody else's who will want it again */
        return *ret_size <= QUEUE_SEGMENT_MAX ? 0 : -EBADMSG;
}

/* One above the number of the last sample that is whole. */
static uint64_t end_of(Vfs *v, const QueueSegment *s) {
        char name[QUEUE_NAME_MAX];
        VfsMap map = { 0 };
        uint64_t end = s->first_seq;
        queue_segment_name(s->number, name);
        if (vfs_map(v, name, &map) < 0)
                return end;
        QueueRecord r;
        for (uint64_t at = QUEUE_HEADER;
             at + QUEUE_RECORD_HEADER <= map.len && queue_record_get(map.bytes + at, s->number, &r);
             at += QUEUE_RECORD_HEADER + r.length)
                end = r.first_seq + r.samples > end ? r.first_seq + r.samples : end;
        vfs_unmap(v, &map);
        return end;
}

/* A crash leaves such a file when it comes between making it and writing to it. */
static int remove_unreadable(Queue *q, uint32_t number) {
        char name[QUEUE_NAME_MAX];
        queue_segment_name(number, name);
        q->stats.damaged++;
        return vfs_unlink(q->vfs, name);
}

static int find_segment(Queue *q, uint32_t number) {
        QueueHeader h = { 0 };
        uint64_t size = 0;
        int r = read_header(q->vfs, number, &h, &size);
        q->number = number;
        if (r == -EBADMSG)
                return remove_unreadable(q, number);
        if (r < 0)
                return r;
        if (q->n_segments == 0)
                q->id = h.id;
        if (!uuid_equal(&h.id, &q->id) || h.first_seq < q->next_seq)
                return remove_unreadable(q, number);
        q->next_seq = h.first_seq;
        return add_segment(q, &(QueueSegment){ number, h.first_seq, h.created_ms, size, 0, false });
}

static int find_segments(Queue *q, uint64_t least_seq) {
        CLEANUP(buf_deinit) Buf numbers = BUF_NULL;
        int r = queue_segment_list(q->vfs, &numbers);
        if (r == 0 && getrandom(&q->id, sizeof q->id, 0) != (ssize_t)sizeof q->id)
                r = -EIO;
        for (size_t at = 0; r == 0 && at < numbers.len; at += sizeof(uint32_t)) {
                uint32_t number;
                memcpy(&number, numbers.data + at, sizeof number);
                r = find_segment(q, number);
        }
        if (r < 0)
                return r;
        if (q->n_segments)
                q->next_seq = end_of(q->vfs, &q->segments[q->n_segments - 1]);
        q->visible = q->next_seq;
        q->next_seq = least_seq > q->next_seq ? least_seq : q->next_seq;
        return q->number >= QUEUE_NUMBER_MAX || q->next_seq > QUEUE_SEQ_MAX ? -EOVERFLOW : 0;
}

int queue_open(Vfs *vfs, const QueueOptions *o, uint64_t least_seq, Queue **ret_queue) {
        Queue *q = calloc(1, sizeof *q);
        if (!q)
                return -ENOMEM;
        q->vfs = vfs;
        q->options = *o;
        q->next_seq = 1;
        q->roll_at = NO_ROLL;
        q->roll_wanted = true; /* never goes on in a segment of another process */
        lock_init(&q->lock, "queue");
        int r = find_segments(q, least_seq);
        if (r < 0) {
                (void)queue_close(q);
                return r;
        }
        *ret_queue = q;
        return 0;
}

Queue *queue_close(Queue *q) {
        if (!q)
                return NULL;
        queue_end(q);
        int r = queue_commit(q);
        (void)r; /* counted, and there is nobody left to tell */
        (void)vfs_close(q->vfs, q->file);
        buf_deinit(&q->record);
        buf_deinit(&q->writing);
        buf_deinit(&q->pending);
        free(q->segments);
        lock_deinit(&q->lock);
        free(q);
        return NULL;
}

/* ---- Writer ---- */

bool queue_full(Queue *q) {
        LOCK_SCOPE(&q->lock);
        return q->pending.len > q->options.pending_bytes;
}

uint64_t queue_next_seq(const Queue *q) {
        return q->next_seq + q->record_samples;
}

static void begin_segment(Queue *q) {
        q->roll_wanted = true;
        q->generation++;
        q->n_series = 0;
        q->logical_size = QUEUE_HEADER;
        q->segment_created_ms = wall_ms(q);
}

/* With the lock held: the next record begins a segment. False: one change waits already, so the record goes on in
 * it. */
static bool mark_roll(Queue *q) {
        if (q->roll_at != NO_ROLL || q->number == QUEUE_NUMBER_MAX)
                return false;
        q->number++;
        q->roll_at = q->pending.len;
        q->roll = (QueueSegment){ q->number, q->next_seq, q->segment_created_ms, QUEUE_HEADER, 0, true };
        q->roll_wanted = false;
        return true;
}

static void drop_record(Queue *q) {
        q->stats.lost += q->record_samples;
        q->next_seq += q->record_samples;
        q->record_samples = 0;
        buf_reset(&q->record);
}

static void put_record(Queue *q) {
        uint8_t header[QUEUE_RECORD_HEADER];
        QueueRecord r = {
                .length = (uint32_t)q->record.len,
                .payload_crc = queue_payload_crc(q->record.data, q->record.len),
                .first_seq = q->next_seq,
                .samples = q->record_samples,
                .newest_ms = q->record_newest,
        };
        queue_record_put(header, q->number, &r);
        size_t before = q->pending.len;
        buf_put(&q->pending, header, sizeof header);
        buf_put(&q->pending, q->record.data, q->record.len);
        if (buf_error(&q->pending)) {
                q->pending.len = before;
                q->pending.error = 0;
                atomic_store(&q->give_up, true); /* what it declared is missing */
                drop_record(q);
                return;
        }
        q->logical_size += sizeof header + q->record.len;
        q->next_seq += q->record_samples;
        q->pending_end = q->next_seq;
        q->record_samples = 0;
        buf_reset(&q->record);
}

void queue_end(Queue *q) {
        if (q->record_samples == 0) {
                buf_reset(&q->record);
                return;
        }
        LOCK_SCOPE(&q->lock);
        if (buf_error(&q->record) || atomic_load(&q->give_up)) {
                atomic_store(&q->give_up, true);
                drop_record(q);
                return;
        }
        if (q->roll_wanted && !mark_roll(q)) {
                drop_record(q); /* two changes of segment before one commit: only after a failure */
                atomic_store(&q->give_up, true);
                return;
        }
        put_record(q);
}

static bool segment_is_enough(const Queue *q) {
        int64_t age = q->options.max_age.ns / NS_PER_MS / AGE_PARTS;
        return q->logical_size >= q->options.segment_bytes || q->n_series >= QUEUE_SERIES_MAX ||
               (age > 0 && q->logical_size > QUEUE_HEADER && wall_ms(q) - q->segment_created_ms > age);
}

/* Whether the change of a segment that was marked last has been taken by a commit. */
static bool may_roll(Queue *q) {
        LOCK_SCOPE(&q->lock);
        return q->roll_at == NO_ROLL;
}

uint32_t queue_generation(Queue *q) {
        if (atomic_load(&q->give_up)) {
                lock(&q->lock);
                drop_record(q);
                unlock(&q->lock);
                begin_segment(q);
                atomic_store(&q->give_up, false);
        } else if (q->record_samples == 0 || q->record.len >= RECORD_ENOUGH) {
                queue_end(q);
                if (q->generation == 0 || (!q->roll_wanted && segment_is_enough(q) && may_roll(q)))
                        begin_segment(q);
        }
        return q->generation;
}

uint32_t queue_series(Queue *q, uint32_t id, const uint8_t *run, size_t run_len, size_t n) {
        if (run && q->n_series >= QUEUE_SERIES_MAX)
                return UINT32_MAX;
        if (q->record_samples == 0) {
                q->record_time = 0;
                q->record_newest = INT64_MIN;
        }
        queue_put_series(&q->record, run ? q->n_series : id, run, run_len, n);
        if (buf_error(&q->record))
                return UINT32_MAX;
        return run ? q->n_series++ : id;
}

static void count_sample(Queue *q, int64_t time_ms) {
        q->record_samples++;
        q->record_newest = time_ms > q->record_newest ? time_ms : q->record_newest;
}

void queue_float(Queue *q, int64_t time_ms, double value) {
        queue_put_float(&q->record, &q->record_time, time_ms, value);
        count_sample(q, time_ms);
}

void queue_histogram(Queue *q, int64_t time_ms, const uint8_t *bytes, size_t n) {
        queue_put_histogram(&q->record, &q->record_time, time_ms, bytes, n);
        count_sample(q, time_ms);
}

void queue_exemplar(Queue *q, int64_t time_ms, double value, const uint8_t *labels, size_t n) {
        queue_put_exemplar(&q->record, &q->record_time, time_ms, value, labels, n);
        count_sample(q, time_ms);
}

/* ---- Committer ---- */

bool queue_commit_pending(Queue *q) {
        LOCK_SCOPE(&q->lock);
        return q->pending.len > 0;
}

static int append(Queue *q, const char *bytes, size_t n) {
        if (n == 0)
                return 0;
        if (!q->file)
                return -EIO; /* its segment was given up */
        int r = vfs_append(q->vfs, q->file, bytes, n);
        return r == 0 && q->options.sync ? vfs_sync(q->vfs, q->file) : r;
}

static int create(Queue *q, const QueueSegment *s) {
        char name[QUEUE_NAME_MAX];
        uint8_t header[QUEUE_HEADER];
        QueueHeader h = { .version = QUEUE_VERSION,
                          .number = s->number,
                          .id = q->id,
                          .first_seq = s->first_seq,
                          .created_ms = s->created_ms };
        queue_segment_name(s->number, name);
        queue_header_put(header, &h);
        q->file = vfs_close(q->vfs, q->file);
        int r = vfs_open(q->vfs, name, VFS_CREATE, &q->file);
        if (r == 0)
                r = vfs_append(q->vfs, q->file, header, sizeof header);
        if (r == 0 && q->options.sync)
                r = vfs_sync_directory(q->vfs);
        return r;
}

/* With the lock held. */
static int show_roll(Queue *q, const QueueSegment *roll) {
        if (q->n_segments)
                q->segments[q->n_segments - 1].last = false;
        return add_segment(q, roll);
}

static int write_segment_end(Queue *q, size_t n) {
        int r = append(q, q->writing.data, n);
        if (r == 0 && n) {
                LOCK_SCOPE(&q->lock);
                q->segments[q->n_segments - 1].bytes += n;
        }
        return r;
}

static int write_roll(Queue *q, const QueueSegment *roll, size_t at) {
        int r = create(q, roll);
        if (r == 0)
                r = append(q, q->writing.data + at, q->writing.len - at);
        if (r < 0)
                return r;
        LOCK_SCOPE(&q->lock);
        r = show_roll(q, roll);
        if (r == 0)
                q->segments[q->n_segments - 1].bytes += q->writing.len - at;
        return r;
}

/* What was taken is not in the queue, and neither is what was collected meanwhile: it speaks of series that were
 * declared there. */
static void fail(Queue *q, uint64_t first, int error) {
        LOCK_SCOPE(&q->lock);
        q->file = vfs_close(q->vfs, q->file);
        q->stats.failures++;
        uint64_t end = q->pending.len ? q->pending_end : first;
        end = end > q->visible ? end : q->visible;
        q->stats.lost += end - q->visible;
        q->visible = end;
        buf_reset(&q->pending);
        q->roll_at = NO_ROLL;
        atomic_store(&q->give_up, true);
        (void)error;
}

static int write_taken(Queue *q) {
        lock(&q->lock);
        Buf taken = q->pending;
        q->pending = q->writing;
        buf_reset(&q->pending);
        q->writing = taken;
        size_t roll_at = q->roll_at;
        QueueSegment roll = q->roll;
        uint64_t end = q->pending_end;
        q->roll_at = NO_ROLL;
        unlock(&q->lock);
        if (q->writing.len == 0)
                return 0;
        bool rolls = roll_at != NO_ROLL;
        int r = write_segment_end(q, rolls ? roll_at : q->writing.len);
        if (r == 0 && rolls)
                r = write_roll(q, &roll, roll_at);
        if (q->writing.cap > KEEP_PENDING)
                buf_deinit(&q->writing);
        if (r < 0) {
                fail(q, end, r);
                return r;
        }
        LOCK_SCOPE(&q->lock);
        q->visible = end;
        return 0;
}

/* ---- Removal ---- */

static uint64_t bytes_of(const Queue *q) {
        uint64_t sum = 0;
        for (size_t i = 0; i < q->n_segments; i++)
                sum += q->segments[i].bytes;
        return sum;
}

/* With the lock held: whether the first segment is to go. */
static bool first_goes(Queue *q) {
        if (q->n_segments < 2)
                return false;
        const QueueSegment *next = &q->segments[1];
        if (next->first_seq <= q->released)
                return true;
        int64_t age = q->options.max_age.ns / NS_PER_MS;
        bool over = bytes_of(q) > q->options.max_bytes || (age > 0 && wall_ms(q) - next->created_ms > age);
        q->stats.removed += over;
        return over;
}

static int remove_first(Queue *q) {
        char name[QUEUE_NAME_MAX];
        lock(&q->lock);
        bool goes = first_goes(q);
        if (goes) {
                queue_segment_name(q->segments[0].number, name);
                memmove(q->segments, q->segments + 1, --q->n_segments * sizeof *q->segments);
        }
        unlock(&q->lock);
        if (!goes)
                return 0;
        int r = vfs_unlink(q->vfs, name);
        return r < 0 && r != -ENOENT ? r : 1;
}

int queue_commit(Queue *q) {
        int r = write_taken(q), removed;
        do
                removed = remove_first(q);
        while (removed > 0);
        return r < 0 ? r : removed;
}

/* ---- Reader ---- */

static bool give(const Queue *q, size_t i, QueueSegment *ret_segment) {
        *ret_segment = q->segments[i];
        ret_segment->end_seq = i + 1 < q->n_segments ? q->segments[i + 1].first_seq : QUEUE_SEQ_MAX;
        return true;
}

bool queue_segment_after(Queue *q, uint32_t after, QueueSegment *ret_segment) {
        LOCK_SCOPE(&q->lock);
        for (size_t i = 0; i < q->n_segments; i++)
                if (q->segments[i].number > after)
                        return give(q, i, ret_segment);
        return false;
}

bool queue_segment_of(Queue *q, uint64_t seq, QueueSegment *ret_segment) {
        LOCK_SCOPE(&q->lock);
        for (size_t i = q->n_segments; i-- > 0;)
                if (q->segments[i].first_seq <= seq)
                        return give(q, i, ret_segment);
        return false;
}

bool queue_segment_get(Queue *q, uint32_t number, QueueSegment *ret_segment) {
        LOCK_SCOPE(&q->lock);
        for (size_t i = q->n_segments; i-- > 0;)
                if (q->segments[i].number == number)
                        return give(q, i, ret_segment);
        return false;
}

Vfs *queue_vfs(const Queue *q) {
        return q->vfs;
}

Uuid queue_id(const Queue *q) {
        return q->id;
}

void queue_release(Queue *q, uint64_t seq) {
        LOCK_SCOPE(&q->lock);
        q->released = seq > q->released ? seq : q->released;
}

uint64_t queue_visible(Queue *q) {
        LOCK_SCOPE(&q->lock);
        return q->visible;
}

void queue_stats(Queue *q, QueueStats *ret_stats) {
        LOCK_SCOPE(&q->lock);
        *ret_stats = q->stats;
        ret_stats->bytes = bytes_of(q);
        ret_stats->segments = q->n_segments;
        ret_stats->first_seq = q->n_segments ? q->segments[0].first_seq : q->visible;
        ret_stats->end_seq = q->visible;
}

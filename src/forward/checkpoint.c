/* The checkpoint of a queue, "ack-NNNNNNNN": a file to which changes are appended, the last one of each shard counts.
 *
 *   offset size
 *        0    8  "PLXack\r\n"
 *        8    4  version: 1
 *       12    4  number of the file, as in its name
 *       16   44  0
 *       60    4  CRC-32C of the 60 bytes before
 *       64       changes of 24 bytes:
 *
 *        0    4  CRC-32C of the file's number (4 bytes) and of the change's bytes 4..24
 *        4    4  shard; or, with bit 31, how many shards there are from now on
 *        8    8  seq: the shard's, or every shard's, samples below are done with
 *       16    8  seq: end of the request under way; 0: none
 *
 * It is read up to the first change that is wrong: what a crash tore. When there are several files the one with the
 * highest number that has a good header and a first change (how many shards) is in force: a new file is begun with all
 * that is known, synced, and only then the older one removed.
 *
 * A change is written before the request that it speaks of is sent, and again when that was answered. So after the
 * death of the process the next one knows for each shard what is certainly delivered, and which samples were in the
 * request whose outcome is unknown; it sends exactly these in one request again, and nothing else twice. That matters
 * beyond traffic: a receiver may refuse a whole request because of one sample that is behind what it has; a repeated
 * request holds nothing that the first one did not, so refusing it loses nothing.
 *
 * After a power cut the file may be older than what was sent, by as much as was not synced. Then more is sent again
 * than need be. Without any readable file everything that the segments hold is sent. */
#include "forward/checkpoint.h"

#include "base/crc32c.h"
#include "base/protobuf.h"
#include "forward/segment.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define VERSION 1
#define HEADER 64
#define HEADER_CRC 60
#define CHANGE 24
#define LAYOUT_BIT UINT32_C(0x80000000)
#define PREFIX "ack-"
#define FILE_MAX ((uint64_t)64 << 10) /* then a new one is begun */
#define READ_MAX ((size_t)4 << 20)

static const char MAGIC[8] = "PLXack\r\n";

struct Checkpoint {
        Vfs *vfs;
        Lock lock; /* for what is below */
        CheckpointState state;
        VfsFile *file; /* NULL: none was begun by this process */
        uint32_t number; /* the highest there is */
        uint64_t size;
        bool dirty, failed; /* has changes that are not synced; is not to be written or synced any more */
        bool others;        /* there may be older files */
};

/* ---- Bytes ---- */

static void put_header(uint8_t out[HEADER], uint32_t number) {
        uint32_t version = VERSION;
        memset(out, 0, HEADER);
        memcpy(out, MAGIC, sizeof MAGIC);
        memcpy(out + 8, &version, 4);
        memcpy(out + 12, &number, 4);
        uint32_t crc = crc32c(0, out, HEADER_CRC);
        memcpy(out + HEADER_CRC, &crc, 4);
}

static uint32_t change_crc(uint32_t number, const uint8_t *change) {
        return crc32c(crc32c(0, &number, sizeof number), change + 4, CHANGE - 4);
}

static void put_change(uint8_t out[CHANGE], uint32_t number, uint32_t what, ShardMark mark) {
        memcpy(out + 4, &what, 4);
        memcpy(out + 8, &mark.acked, 8);
        memcpy(out + 16, &mark.sent, 8);
        uint32_t crc = change_crc(number, out);
        memcpy(out, &crc, 4);
}

static void set_layout(CheckpointState *s, uint32_t n, uint64_t seq) {
        s->n_shards = n;
        for (uint32_t i = 0; i < n; i++)
                s->shards[i] = (ShardMark){ .acked = seq };
}

/* False: wrong, and the end of what can be read. */
static bool read_change(const uint8_t *at, uint32_t number, CheckpointState *s) {
        uint32_t crc, what;
        memcpy(&crc, at, 4);
        memcpy(&what, at + 4, 4);
        ShardMark mark = { proto_load64(at + 8), proto_load64(at + 16) };
        if (crc != change_crc(number, at))
                return false;
        uint32_t n = what & ~LAYOUT_BIT;
        if (what & LAYOUT_BIT) {
                if (n == 0 || n > CHECKPOINT_SHARDS_MAX)
                        return false;
                set_layout(s, n, mark.acked);
                return true;
        }
        if (n >= s->n_shards)
                return false;
        s->shards[n] = mark;
        return true;
}

bool checkpoint_read(const uint8_t *bytes, size_t n, CheckpointState *ret_state) {
        uint32_t version, number, crc;
        if (n < HEADER || memcmp(bytes, MAGIC, sizeof MAGIC) != 0)
                return false;
        memcpy(&version, bytes + 8, 4);
        memcpy(&number, bytes + 12, 4);
        memcpy(&crc, bytes + HEADER_CRC, 4);
        if (crc != crc32c(0, bytes, HEADER_CRC) || version != VERSION)
                return false;
        ret_state->n_shards = 0;
        for (size_t at = HEADER; n - at >= CHANGE && read_change(bytes + at, number, ret_state); at += CHANGE)
                ;
        return ret_state->n_shards > 0;
}

/* ---- Opening ---- */

static bool read_file(Vfs *v, uint32_t number, CheckpointState *ret_state) {
        char name[QUEUE_NAME_MAX];
        VfsFile *f = NULL;
        CLEANUP_FREE uint8_t *bytes = malloc(READ_MAX);
        CLEANUP_FREE CheckpointState *state = calloc(1, sizeof *state);
        if (!bytes || !state)
                return false;
        queue_file_name(PREFIX, number, name);
        if (vfs_open(v, name, VFS_READ, &f) < 0)
                return false;
        ssize_t n = vfs_pread(v, f, bytes, READ_MAX, 0);
        (void)vfs_close(v, f);
        if (n <= 0 || !checkpoint_read(bytes, (size_t)n, state))
                return false;
        *ret_state = *state;
        return true;
}

static int list_files(Vfs *v, Buf *ret_numbers) {
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        int r = vfs_list(v, &names);
        for (size_t at = 0; r == 0 && at < names.len; at += strlen(names.data + at) + 1) {
                uint32_t number;
                if (queue_file_number(PREFIX, names.data + at, &number))
                        buf_put(ret_numbers, &number, sizeof number);
        }
        return r < 0 ? r : buf_error(ret_numbers);
}

/* The best file's contents; *ret_last is the highest number there is. */
static int find(Vfs *v, CheckpointState *s, uint32_t *ret_last) {
        CLEANUP(buf_deinit) Buf numbers = BUF_NULL;
        uint32_t best = 0;
        int r = list_files(v, &numbers);
        *ret_last = 0;
        for (size_t at = 0; r == 0 && at < numbers.len; at += sizeof(uint32_t)) {
                uint32_t number;
                memcpy(&number, numbers.data + at, sizeof number);
                *ret_last = number > *ret_last ? number : *ret_last;
                if (number > best && read_file(v, number, s))
                        best = number;
        }
        return r;
}

int checkpoint_open(Vfs *vfs, Checkpoint **ret_checkpoint) {
        Checkpoint *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->vfs = vfs;
        lock_init(&c->lock, "checkpoint");
        int r = find(vfs, &c->state, &c->number);
        if (r == 0 && c->number >= QUEUE_NUMBER_MAX)
                r = -EOVERFLOW;
        if (r < 0) {
                (void)checkpoint_close(c);
                return r;
        }
        *ret_checkpoint = c;
        return 0;
}

Checkpoint *checkpoint_close(Checkpoint *c) {
        if (!c)
                return NULL;
        (void)vfs_close(c->vfs, c->file);
        lock_deinit(&c->lock);
        free(c);
        return NULL;
}

const CheckpointState *checkpoint_state(const Checkpoint *c) {
        return &c->state;
}

/* ---- Changes ---- */

static uint64_t least_acked(const CheckpointState *s) {
        uint64_t least = UINT64_MAX;
        for (uint32_t i = 0; i < s->n_shards; i++)
                least = s->shards[i].acked < least ? s->shards[i].acked : least;
        return least;
}

/* The layout comes with what all shards have: it is true even when the rest is torn. */
static void put_state(const CheckpointState *s, uint32_t number, Buf *out) {
        uint8_t header[HEADER], change[CHANGE];
        put_header(header, number);
        buf_put(out, header, sizeof header);
        put_change(change, number, LAYOUT_BIT | s->n_shards, (ShardMark){ least_acked(s), 0 });
        buf_put(out, change, sizeof change);
        for (uint32_t i = 0; i < s->n_shards; i++) {
                put_change(change, number, i, s->shards[i]);
                buf_put(out, change, sizeof change);
        }
}

/* A file with all that is known, in force once it is written. The older one stays until the next commit. */
static int begin_file(Checkpoint *c) {
        char name[QUEUE_NAME_MAX];
        CLEANUP(buf_deinit) Buf bytes = BUF_NULL;
        VfsFile *f = NULL;
        if (c->number == QUEUE_NUMBER_MAX)
                return -EOVERFLOW;
        c->number++; /* one that failed is not tried again */
        put_state(&c->state, c->number, &bytes);
        queue_file_name(PREFIX, c->number, name);
        int r = buf_error(&bytes);
        if (r == 0)
                r = vfs_open(c->vfs, name, VFS_CREATE, &f);
        if (r == 0)
                r = vfs_append(c->vfs, f, bytes.data, bytes.len);
        if (r < 0) {
                (void)vfs_close(c->vfs, f);
                (void)vfs_unlink(c->vfs, name);
                return r;
        }
        (void)vfs_close(c->vfs, c->file);
        c->file = f;
        c->size = bytes.len;
        c->dirty = c->others = true;
        c->failed = false;
        return 0;
}

static int append(Checkpoint *c, uint32_t what, ShardMark mark) {
        uint8_t change[CHANGE];
        if (!c->file || c->failed)
                return begin_file(c); /* the state says it already */
        put_change(change, c->number, what, mark);
        int r = vfs_append(c->vfs, c->file, change, sizeof change);
        if (r < 0) {
                c->failed = true; /* a part of it may be there: nothing behind it would be read */
                return begin_file(c);
        }
        c->size += sizeof change;
        c->dirty = true;
        return 0;
}

int checkpoint_layout(Checkpoint *c, uint32_t n_shards, uint64_t seq) {
        LOCK_SCOPE(&c->lock);
        assert(n_shards > 0 && n_shards <= CHECKPOINT_SHARDS_MAX);
        set_layout(&c->state, n_shards, seq);
        return append(c, LAYOUT_BIT | n_shards, (ShardMark){ seq, 0 });
}

int checkpoint_shard(Checkpoint *c, uint32_t shard, ShardMark mark) {
        LOCK_SCOPE(&c->lock);
        assert(shard < c->state.n_shards);
        c->state.shards[shard] = mark;
        return append(c, shard, mark);
}

/* What came before the file that was just synced. Committer's thread. */
static int remove_older(Checkpoint *c, uint32_t below) {
        CLEANUP(buf_deinit) Buf numbers = BUF_NULL;
        int r = list_files(c->vfs, &numbers);
        for (size_t at = 0; r == 0 && at < numbers.len; at += sizeof(uint32_t)) {
                uint32_t number;
                char name[QUEUE_NAME_MAX];
                memcpy(&number, numbers.data + at, sizeof number);
                if (number >= below)
                        continue;
                queue_file_name(PREFIX, number, name);
                r = vfs_unlink(c->vfs, name);
        }
        return r;
}

/* By a handle of its own, so that the sender can go on writing meanwhile. */
static int sync_file(Checkpoint *c, uint32_t number) {
        char name[QUEUE_NAME_MAX];
        VfsFile *f = NULL;
        queue_file_name(PREFIX, number, name);
        int r = vfs_open(c->vfs, name, VFS_APPEND, &f);
        if (r == 0)
                r = vfs_sync(c->vfs, f);
        (void)vfs_close(c->vfs, f);
        return r < 0 ? r : vfs_sync_directory(c->vfs);
}

int checkpoint_commit(Checkpoint *c, bool sync) {
        lock(&c->lock);
        int r = 0;
        if (c->file && (c->size > FILE_MAX || c->failed))
                r = begin_file(c);
        bool wanted = r == 0 && c->file && c->dirty && (sync || c->others);
        uint32_t number = c->number;
        if (wanted)
                c->dirty = false;
        unlock(&c->lock);
        if (!wanted)
                return r;
        r = sync_file(c, number);
        if (r == 0)
                r = c->others ? remove_older(c, number) : 0;
        LOCK_SCOPE(&c->lock);
        if (r == 0 && c->number == number)
                c->others = false;
        if (r < 0 && c->number == number)
                c->failed = true; /* never again this file */
        return r;
}

/* The manifest's file.
 *
 * LAYOUT. Numbers are little endian; instants are signed milliseconds since 1970.
 *
 *      off size
 *        0   8  magic "PLXmani\n"
 *        8   4  version of the format: 1
 *       12   4  length of the whole file
 *       16  16  uuid of the store
 *       32   8  when the store was made
 *       40   8  next id of a part
 *       48   4  first segment of the log that is not yet in parts
 *       52   4  number of parts
 *       56   4  number of tombstones
 *       60   4  zero
 *       64  24  for each tier (raw, 5 minutes, 1 hour): complete up to here, or INT64_MIN
 *       88      the parts, 80 bytes each:
 *                 0 8 id   8 8 begin  16 8 end  24 8 first instant  32 8 last instant  40 8 samples  48 8 bytes
 *                56 4 series  60 4 level  64 1 tier  65 1 flags: 1 final, 2 quarantined, 4 rolled up  66 6 zero
 *                72 8 age
 *               the tombstones, each:
 *                 0 8 begin  8 8 end  16 8 below which part  24 4 number of matchers  28 4 bytes of their text
 *                32   each matcher's text, ended by NUL
 *      last  4  CRC-32C of everything before
 *
 * Every later version keeps magic, version, length and the place of the CRC, so that it can be refused by name.
 *
 * VALIDITY. The file has the length that it says, and the CRC holds; then every count fits, every tier and flag is
 * known, every id is below the next one. Anything else is damage: there is no half of a manifest.
 *
 * CRASH ARGUMENT. It is written with vfs_replace(): a temporary file, synced, renamed over the old one, directory
 * synced. So there is always one whole manifest, the old or the new. Parts are durable before the manifest that names
 * them is written, and removed after the one that does not name them any more is durable; so whichever is found, its
 * files are there. What a failed manifest_save() leaves is unknown (the rename may be there after a crash or not): the
 * files of both stay until the next success. */
#include "store/manifest/manifest.h"

#include "base/crc32c.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char MAGIC[8] = "PLXmani\n";
#define VERSION 1
/* A store of this many bytes of manifest would have a million parts. */
#define SIZE_LIMIT ((size_t)64 << 20)

enum {
        OFF_VERSION = 8,
        OFF_LENGTH = 12,
        OFF_BODY = 16,
        CRC_SIZE = 4,
        SIZE_MIN = 88 + CRC_SIZE,
        PART_SIZE = 80,
        TOMBSTONE_SIZE = 32,

        FLAG_FINAL = 1,
        FLAG_QUARANTINED = 2,
        FLAG_ROLLED = 4,
        FLAGS_KNOWN = 7,
};
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are stored as they are");
static_assert(STORE_TIER_COUNT == 3, "a further tier is a further version of the format");

void part_name(StoreTier tier, uint64_t id, char ret_name[PART_NAME_MAX]) {
        static const char *const names[STORE_TIER_COUNT] = { "raw", "5m", "1h" };
        assert(tier < STORE_TIER_COUNT);
        (void)snprintf(ret_name, PART_NAME_MAX, "%s-%08" PRIu64 ".part", names[tier], id);
}

int manifest_new(Uuid store, int64_t now_ms, Manifest **ret_manifest) {
        Manifest *m = calloc(1, sizeof *m);
        if (!m)
                return -ENOMEM;
        *m = (Manifest){ .store = store, .created_ms = now_ms, .next_id = 1, .wal_first = 1 };
        for (int i = 0; i < STORE_TIER_COUNT; i++)
                m->rolled_ms[i] = INT64_MIN;
        *ret_manifest = m;
        return 0;
}

static void tombstone_deinit(Tombstone *t) {
        for (size_t i = 0; i < t->n_matchers; i++)
                free(t->matchers[i]);
        free(t->matchers);
}

Manifest *manifest_free(Manifest *manifest) {
        CLEANUP_FREE Manifest *m = manifest;
        if (!m)
                return NULL;
        for (size_t i = 0; i < m->n_tombstones; i++)
                tombstone_deinit(&m->tombstones[i]);
        free(m->tombstones);
        free(m->parts);
        return NULL;
}

static void cleanup_manifest(Manifest **m) {
        (void)manifest_free(*m);
}

/* ---- Writing ---- */

#define PUT(type, b, value)                             \
        do {                                            \
                type put_ = (type)(value);              \
                buf_put((b), &put_, sizeof put_);       \
        } while (0)

static void put_part(Buf *b, const PartEntry *p) {
        static const uint8_t zeros[6];
        PUT(uint64_t, b, p->meta.id);
        PUT(int64_t, b, p->meta.begin_ms);
        PUT(int64_t, b, p->meta.end_ms);
        PUT(int64_t, b, p->meta.min_ms);
        PUT(int64_t, b, p->meta.max_ms);
        PUT(uint64_t, b, p->meta.samples);
        PUT(uint64_t, b, p->meta.bytes);
        PUT(uint32_t, b, p->meta.series);
        PUT(uint32_t, b, p->level);
        PUT(uint8_t, b, p->meta.tier);
        PUT(uint8_t, b,
            (p->final ? FLAG_FINAL : 0) | (p->quarantined ? FLAG_QUARANTINED : 0) | (p->rolled ? FLAG_ROLLED : 0));
        buf_put(b, zeros, sizeof zeros);
        PUT(uint64_t, b, p->age);
}

static void put_tombstone(Buf *b, const Tombstone *t) {
        size_t text = 0;
        for (size_t i = 0; i < t->n_matchers; i++)
                text += strlen(t->matchers[i]) + 1;
        PUT(int64_t, b, t->begin_ms);
        PUT(int64_t, b, t->end_ms);
        PUT(uint64_t, b, t->below_part);
        PUT(uint32_t, b, t->n_matchers);
        PUT(uint32_t, b, text);
        for (size_t i = 0; i < t->n_matchers; i++)
                buf_put(b, t->matchers[i], strlen(t->matchers[i]) + 1);
}

/* 0, -ENOMEM, -EFBIG. */
static int encode(Buf *b, const Manifest *m) {
        buf_put(b, MAGIC, sizeof MAGIC);
        PUT(uint32_t, b, VERSION);
        PUT(uint32_t, b, 0); /* the length, when it is known */
        buf_put(b, m->store.bytes, sizeof m->store.bytes);
        PUT(int64_t, b, m->created_ms);
        PUT(uint64_t, b, m->next_id);
        PUT(uint32_t, b, m->wal_first);
        PUT(uint32_t, b, m->n_parts);
        PUT(uint32_t, b, m->n_tombstones);
        PUT(uint32_t, b, 0);
        for (int i = 0; i < STORE_TIER_COUNT; i++)
                PUT(int64_t, b, m->rolled_ms[i]);
        for (size_t i = 0; i < m->n_parts; i++) {
                assert(m->parts[i].meta.id < m->next_id && m->parts[i].meta.tier < STORE_TIER_COUNT);
                put_part(b, &m->parts[i]);
        }
        for (size_t i = 0; i < m->n_tombstones; i++)
                put_tombstone(b, &m->tombstones[i]);
        PUT(uint32_t, b, 0);
        int r = buf_error(b);
        if (r < 0)
                return r;
        uint32_t length = (uint32_t)b->len;
        memcpy(b->data + OFF_LENGTH, &length, sizeof length);
        uint32_t crc = crc32c(0, b->data, b->len - CRC_SIZE);
        memcpy(b->data + b->len - CRC_SIZE, &crc, sizeof crc);
        return 0;
}

int manifest_save(Vfs *vfs, const Manifest *m) {
        CLEANUP(buf_deinit) Buf b = BUF_WITH_LIMIT(SIZE_LIMIT);
        int r = encode(&b, m);
        return r < 0 ? r : vfs_replace(vfs, MANIFEST_NAME, b.data, b.len);
}

/* ---- Reading ---- */

/* Takes numbers as long as there are any. What is taken from beyond the end is zero, and `short_of` says so. */
typedef struct Cursor {
        const uint8_t *at, *end;
        bool short_of;
} Cursor;

static bool has(const Cursor *c, size_t n) {
        return n <= (size_t)(c->end - c->at);
}

static void take_bytes(Cursor *c, void *to, size_t n) {
        memset(to, 0, n);
        if (!has(c, n)) {
                c->short_of = true;
                return;
        }
        memcpy(to, c->at, n);
        c->at += n;
}

#define TAKE(type, c)                                \
        ({                                           \
                type take_;                          \
                take_bytes((c), &take_, sizeof take_); \
                take_;                               \
        })

/* False when it is damaged. */
static bool take_part(Cursor *c, const Manifest *m, PartEntry *ret_part) {
        static const uint8_t zeros[6];
        PartMeta meta = { .store = m->store };
        meta.id = TAKE(uint64_t, c);
        meta.begin_ms = TAKE(int64_t, c);
        meta.end_ms = TAKE(int64_t, c);
        meta.min_ms = TAKE(int64_t, c);
        meta.max_ms = TAKE(int64_t, c);
        meta.samples = TAKE(uint64_t, c);
        meta.bytes = TAKE(uint64_t, c);
        meta.series = TAKE(uint32_t, c);
        uint32_t level = TAKE(uint32_t, c);
        uint8_t tier = TAKE(uint8_t, c);
        uint8_t flags = TAKE(uint8_t, c);
        uint8_t rest[sizeof zeros];
        take_bytes(c, rest, sizeof rest);
        uint64_t age = TAKE(uint64_t, c);
        meta.tier = (StoreTier)tier;
        *ret_part = (PartEntry){
                .meta = meta,
                .level = level,
                .final = flags & FLAG_FINAL,
                .quarantined = flags & FLAG_QUARANTINED,
                .rolled = flags & FLAG_ROLLED,
                .age = age,
        };
        return !c->short_of && tier < STORE_TIER_COUNT && flags <= FLAGS_KNOWN && age <= meta.id &&
               meta.id < m->next_id && memcmp(rest, zeros, sizeof rest) == 0;
}

/* One text, up to its NUL. */
static int take_matcher(Cursor *c, char **ret_text) {
        const void *nul = memchr(c->at, '\0', (size_t)(c->end - c->at));
        if (!nul)
                return -EBADMSG;
        char *text = strdup((const char *)c->at);
        if (!text)
                return -ENOMEM;
        c->at = (const uint8_t *)nul + 1;
        *ret_text = text;
        return 0;
}

static int take_tombstone(Cursor *c, Tombstone *t) {
        t->begin_ms = TAKE(int64_t, c);
        t->end_ms = TAKE(int64_t, c);
        t->below_part = TAKE(uint64_t, c);
        size_t n = TAKE(uint32_t, c), bytes = TAKE(uint32_t, c);
        if (c->short_of || !has(c, bytes) || n > bytes)
                return -EBADMSG;
        Cursor text = { .at = c->at, .end = c->at + bytes };
        c->at += bytes;
        t->matchers = calloc(n ? n : 1, sizeof *t->matchers);
        if (!t->matchers)
                return -ENOMEM;
        for (int r; t->n_matchers < n; t->n_matchers++)
                if ((r = take_matcher(&text, &t->matchers[t->n_matchers])) < 0)
                        return r;
        return text.at == text.end ? 0 : -EBADMSG;
}

static int take_lists(Cursor *c, Manifest *m, size_t n_parts, size_t n_tombstones) {
        size_t left = (size_t)(c->end - c->at);
        if (n_parts > left / PART_SIZE || n_tombstones > (left - n_parts * PART_SIZE) / TOMBSTONE_SIZE)
                return -EBADMSG;
        m->parts = calloc(n_parts ? n_parts : 1, sizeof *m->parts);
        m->tombstones = calloc(n_tombstones ? n_tombstones : 1, sizeof *m->tombstones);
        if (!m->parts || !m->tombstones)
                return -ENOMEM;
        for (; m->n_parts < n_parts; m->n_parts++)
                if (!take_part(c, m, &m->parts[m->n_parts]))
                        return -EBADMSG;
        int r = 0;
        while (r == 0 && m->n_tombstones < n_tombstones)
                r = take_tombstone(c, &m->tombstones[m->n_tombstones++]);
        return r < 0 || c->at == c->end ? r : -EBADMSG;
}

static int take_manifest(Cursor *c, Manifest *m) {
        take_bytes(c, m->store.bytes, sizeof m->store.bytes);
        m->created_ms = TAKE(int64_t, c);
        m->next_id = TAKE(uint64_t, c);
        m->wal_first = TAKE(uint32_t, c);
        size_t n_parts = TAKE(uint32_t, c), n_tombstones = TAKE(uint32_t, c);
        uint32_t zero = TAKE(uint32_t, c);
        for (int i = 0; i < STORE_TIER_COUNT; i++)
                m->rolled_ms[i] = TAKE(int64_t, c);
        if (c->short_of || zero != 0)
                return -EBADMSG;
        return take_lists(c, m, n_parts, n_tombstones);
}

static int refuse(PartDamage *ret_damage, int error, const char *what) {
        (void)snprintf(ret_damage->text, sizeof ret_damage->text, "%s: %s", MANIFEST_NAME, what);
        return error;
}

/* Bytes that are whole by magic, length and checksum; their version. */
static int check_whole(const uint8_t *bytes, size_t n, uint32_t *ret_version, PartDamage *ret_damage) {
        if (n < OFF_BODY + CRC_SIZE)
                return refuse(ret_damage, -EBADMSG, "too short");
        if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0)
                return refuse(ret_damage, -EBADMSG, "not a manifest");
        uint32_t length, crc;
        memcpy(&length, bytes + OFF_LENGTH, sizeof length);
        memcpy(&crc, bytes + n - CRC_SIZE, sizeof crc);
        if (length != n)
                return refuse(ret_damage, -EBADMSG, "length");
        if (crc != crc32c(0, bytes, n - CRC_SIZE))
                return refuse(ret_damage, -EBADMSG, "checksum");
        memcpy(ret_version, bytes + OFF_VERSION, sizeof *ret_version);
        return 0;
}

static int decode(const uint8_t *bytes, size_t n, Manifest **ret_manifest, PartDamage *ret_damage) {
        uint32_t version = 0;
        int r = check_whole(bytes, n, &version, ret_damage);
        if (r < 0)
                return r;
        if (version != VERSION) {
                (void)snprintf(ret_damage->text, sizeof ret_damage->text,
                               "%s: format version %" PRIu32 ", this program knows %d", MANIFEST_NAME, version,
                               VERSION);
                return -EPROTONOSUPPORT;
        }
        if (n < SIZE_MIN)
                return refuse(ret_damage, -EBADMSG, "too short");
        CLEANUP(cleanup_manifest) Manifest *m = calloc(1, sizeof *m);
        if (!m)
                return -ENOMEM;
        Cursor c = { .at = bytes + OFF_BODY, .end = bytes + n - CRC_SIZE };
        r = take_manifest(&c, m);
        if (r < 0)
                return r == -EBADMSG ? refuse(ret_damage, r, "contents that no version of ours has written") : r;
        *ret_manifest = TAKE_PTR(m);
        return 0;
}

static int read_file(Vfs *vfs, Buf *b) {
        VfsFile *f;
        int r = vfs_open(vfs, MANIFEST_NAME, VFS_READ, &f);
        if (r < 0)
                return r;
        uint64_t size = 0;
        r = vfs_size(vfs, f, &size);
        if (r == 0 && size > SIZE_LIMIT)
                r = -EBADMSG;
        char *at = r == 0 ? buf_reserve(b, size ? size : 1) : NULL;
        if (at) {
                ssize_t got = vfs_pread(vfs, f, at, size, 0);
                r = got < 0 ? (int)got : 0;
                b->len = got < 0 ? 0 : (size_t)got;
        }
        (void)vfs_close(vfs, f);
        return r < 0 ? r : buf_error(b);
}

int manifest_load(Vfs *vfs, Manifest **ret_manifest, PartDamage *ret_damage) {
        CLEANUP(buf_deinit) Buf b = BUF_WITH_LIMIT(SIZE_LIMIT + 1);
        int r = read_file(vfs, &b);
        if (r == -EBADMSG)
                return refuse(ret_damage, r, "too long");
        return r < 0 ? r : decode((const uint8_t *)b.data, b.len, ret_manifest, ret_damage);
}

Manifest *manifest_dup(const Manifest *m) {
        /* By way of the bytes: what can be saved can be copied. */
        CLEANUP(buf_deinit) Buf b = BUF_WITH_LIMIT(SIZE_LIMIT);
        Manifest *copy = NULL;
        PartDamage unused;
        if (encode(&b, m) < 0 || decode((const uint8_t *)b.data, b.len, &copy, &unused) < 0)
                return NULL;
        return copy;
}

/* The file "metadata", all numbers little end first:
 *
 *   offset  size  what
 *        0     8  "PLXMETA\1": magic and version
 *        8     4  CRC-32C of everything behind
 *       12     …  records
 *
 * A record: varint type, then name, help and unit, each a varint length and that many bytes. It is a convenience, not
 * data: when the file is damaged the metrics are typed by their names until their senders say again what they are. */
#include "store/metadata.h"

#include "base/crc32c.h"
#include "base/varint.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define FILE_MAX ((size_t)METADATA_MAX * (METADATA_TEXT_MAX + 512))

static const char MAGIC[8] = { 'P', 'L', 'X', 'M', 'E', 'T', 'A', 1 };

void metadata_deinit(Metadata *m) {
        for (uint32_t i = 0; i < m->n; i++)
                free(m->entries[i].text);
        free(m->entries);
        free(m->slots);
        *m = (Metadata){ 0 };
}

static uint32_t *slot_of(const Metadata *m, Span name) {
        uint32_t at = (uint32_t)XXH3_64bits(name.text, name.len) & (m->n_slots - 1);
        for (; m->slots[at]; at = (at + 1) & (m->n_slots - 1)) {
                const MetadataEntry *e = &m->entries[m->slots[at] - 1];
                if (e->name_len == name.len && memcmp(e->text, name.text, name.len) == 0)
                        break;
        }
        return &m->slots[at];
}

static Span entry_name(const MetadataEntry *e) {
        return (Span){ e->text, e->name_len };
}

static int reserve(Metadata *m) {
        if (m->n < m->cap)
                return 0;
        uint32_t cap = m->cap ? m->cap * 2 : 64;
        MetadataEntry *entries = realloc(m->entries, cap * sizeof *entries);
        if (!entries)
                return -ENOMEM;
        m->entries = entries;
        uint32_t *slots = calloc((size_t)cap * 2, sizeof *slots);
        if (!slots)
                return -ENOMEM;
        free(m->slots);
        m->slots = slots;
        m->n_slots = cap * 2;
        m->cap = cap;
        for (uint32_t i = 0; i < m->n; i++)
                *slot_of(m, entry_name(&m->entries[i])) = i + 1;
        return 0;
}

static bool says(const MetadataEntry *e, MetricType type, Span help, Span unit) {
        return e->type == type && e->help_len == help.len && e->unit_len == unit.len &&
               memcmp(e->text + e->name_len + 1, help.text, help.len) == 0 &&
               memcmp(e->text + e->name_len + e->help_len + 2, unit.text, unit.len) == 0;
}

static char *join(Span name, Span help, Span unit) {
        char *text = calloc(1, name.len + help.len + unit.len + 3);
        if (text) {
                memcpy(text, name.text, name.len);
                memcpy(text + name.len + 1, help.text, help.len);
                memcpy(text + name.len + help.len + 2, unit.text, unit.len);
        }
        return text;
}

int metadata_put(Metadata *m, Span name, MetricType type, Span help, Span unit) {
        if (name.len == 0 || name.len > 256 || unit.len > 256)
                return 0;
        if (help.len > METADATA_TEXT_MAX)
                help.len = METADATA_TEXT_MAX;
        if (help.len == 0)
                help.text = "";
        if (unit.len == 0)
                unit.text = "";
        uint32_t known = m->n_slots ? *slot_of(m, name) : 0;
        if ((known && says(&m->entries[known - 1], type, help, unit)) || (!known && m->n >= METADATA_MAX))
                return 0;
        CLEANUP_FREE char *text = join(name, help, unit);
        if (!text || (!known && reserve(m) < 0))
                return -ENOMEM;
        uint32_t at = known ? known - 1 : m->n;
        if (known)
                free(m->entries[at].text);
        else
                *slot_of(m, name) = ++m->n;
        m->entries[at] = (MetadataEntry){ .text = TAKE_PTR(text), .type = type,
                .name_len = (uint16_t)name.len, .help_len = (uint16_t)help.len, .unit_len = (uint16_t)unit.len };
        m->changed = true;
        return 1;
}

const MetadataEntry *metadata_get(const Metadata *m, Span name) {
        uint32_t known = m->n_slots ? *slot_of(m, name) : 0;
        return known ? &m->entries[known - 1] : NULL;
}

static void put_number(Buf *out, uint64_t v) {
        uint8_t bytes[VARINT_MAX];
        buf_put(out, bytes, varint_put(bytes, v));
}

static void put_text(Buf *out, const char *text, size_t n) {
        put_number(out, n);
        buf_put(out, text, n);
}

void metadata_write(const MetadataEntry *e, Buf *out) {
        put_number(out, (uint64_t)e->type);
        put_text(out, e->text, e->name_len);
        put_text(out, e->text + e->name_len + 1, e->help_len);
        put_text(out, e->text + e->name_len + e->help_len + 2, e->unit_len);
}

static bool get_text(const uint8_t **at, const uint8_t *end, Span *ret_text) {
        uint64_t n;
        if (!varint_get(at, end, &n) || n > (uint64_t)(end - *at))
                return false;
        *ret_text = (Span){ (const char *)*at, n };
        *at += n;
        return true;
}

int metadata_read(Metadata *m, const uint8_t *bytes, size_t n) {
        const uint8_t *at = bytes, *end = bytes + n;
        while (at < end) {
                uint64_t type;
                Span name, help, unit;
                if (!varint_get(&at, end, &type) || type >= METRIC_TYPE_COUNT || !get_text(&at, end, &name) ||
                    !get_text(&at, end, &help) || !get_text(&at, end, &unit))
                        return -EBADMSG;
                int r = metadata_put(m, name, (MetricType)type, help, unit);
                if (r < 0)
                        return r;
        }
        return 0;
}

void metadata_print(const Metadata *m, Buf *out) {
        size_t begin = out->len;
        uint32_t crc = 0;
        buf_put(out, MAGIC, sizeof MAGIC);
        buf_put(out, &crc, sizeof crc);
        for (uint32_t i = 0; i < m->n; i++)
                metadata_write(&m->entries[i], out);
        if (buf_error(out))
                return;
        size_t head = begin + sizeof MAGIC + sizeof crc;
        crc = crc32c(0, out->data + head, out->len - head);
        memcpy(out->data + begin + sizeof MAGIC, &crc, sizeof crc);
}

int metadata_load(Metadata *m, Vfs *vfs) {
        VfsMap map;
        uint32_t crc;
        int r = vfs_map(vfs, METADATA_NAME, &map);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        size_t head = sizeof MAGIC + sizeof crc;
        r = -EBADMSG;
        if (map.len >= sizeof MAGIC && memcmp(map.bytes, MAGIC, sizeof MAGIC - 1) == 0 &&
            map.bytes[sizeof MAGIC - 1] > (uint8_t)MAGIC[sizeof MAGIC - 1])
                r = -EPROTONOSUPPORT;
        else if (map.len >= head && map.len <= FILE_MAX && memcmp(map.bytes, MAGIC, sizeof MAGIC) == 0) {
                memcpy(&crc, map.bytes + sizeof MAGIC, sizeof crc);
                if (crc == crc32c(0, map.bytes + head, map.len - head))
                        r = metadata_read(m, map.bytes + head, map.len - head);
        }
        vfs_unmap(vfs, &map);
        m->changed = false;
        return r;
}

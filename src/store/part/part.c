/* Opening, checking, closing: header, footer, directory and names. Everything in them is checked for consistency before
 * it is believed, so that the rest of the reader has only to look at the piece in its hand. */
#include "store/part/part_priv.h"

#include "base/varint.h"

#include <assert.h>
#include <stdarg.h>

void part_damage(PartDamage *ret_damage, const char *name, const char *fmt, ...) {
        va_list ap;
        int n = snprintf(ret_damage->text, sizeof ret_damage->text, "%s: ", name);
        if (n < 0 || (size_t)n >= sizeof ret_damage->text)
                return;
        va_start(ap, fmt);
        (void)vsnprintf(ret_damage->text + n, sizeof ret_damage->text - (size_t)n, fmt, ap);
        va_end(ap);
}

/* ---- header and footer ---- */

static bool good_crc(const Part *p, uint32_t is, uint32_t expected) {
        return p->trusting || is == expected;
}

static int read_header(Part *p, PartDamage *ret_damage) {
        const uint8_t *h = p->map.bytes;
        if (p->map.len < LAYOUT_HEADER + LAYOUT_FOOTER || memcmp(h, LAYOUT_MAGIC, 8) != 0) {
                part_damage(ret_damage, p->name, "not a part");
                return -EBADMSG;
        }
        p->header_crc = crc32c(0, h, HEADER_CRC);
        if (!good_crc(p, p->header_crc, load32(h + HEADER_CRC))) {
                part_damage(ret_damage, p->name, "header at byte 0: checksum");
                return -EBADMSG;
        }
        uint32_t version = load32(h + HEADER_VERSION);
        if (version != LAYOUT_VERSION) {
                part_damage(ret_damage, p->name, "format version %u; this program knows %u", version, LAYOUT_VERSION);
                return -EPROTONOSUPPORT;
        }
        if (h[HEADER_TIER] >= STORE_TIER_COUNT) {
                part_damage(ret_damage, p->name, "header at byte 0: tier %u", h[HEADER_TIER]);
                return -EBADMSG;
        }
        p->meta.tier = (StoreTier)h[HEADER_TIER];
        memcpy(p->meta.store.bytes, h + HEADER_STORE, sizeof p->meta.store.bytes);
        p->meta.id = load64(h + HEADER_ID);
        p->meta.begin_ms = (int64_t)load64(h + HEADER_BEGIN);
        p->meta.end_ms = (int64_t)load64(h + HEADER_END);
        return 0;
}

/* Sections tile the file. */
static bool take_sections(Part *p, const uint8_t *footer) {
        uint64_t at = LAYOUT_HEADER, end = p->map.len - LAYOUT_FOOTER;
        for (unsigned i = 0; i < SECTION_COUNT; i++) {
                uint64_t len = load64(footer + (size_t)i * 8);
                if (len > end - at)
                        return false;
                p->begins[i] = at;
                at += len;
        }
        p->begins[SECTION_COUNT] = at;
        return at == end;
}

static uint64_t section_len(const Part *p, Section section) {
        return p->begins[section + 1] - p->begins[section];
}

static uint64_t times_len(uint32_t n) {
        return (uint64_t)n * TIME_ENTRY + ((uint64_t)n + TIME_PAGE - 1) / TIME_PAGE * CRC_SIZE;
}

/* Numbers that a section of its length cannot have would only make us ask for memory. */
static bool counts_are_sane(const Part *p) {
        return section_len(p, SECTION_SERIES) <= UINT32_MAX && section_len(p, SECTION_LABELS) <= UINT32_MAX &&
               p->meta.series <= section_len(p, SECTION_SERIES) && p->n_chunks <= section_len(p, SECTION_SERIES) &&
               p->n_chunks >= p->meta.series && section_len(p, SECTION_TIMES) == times_len(p->n_times) &&
               p->n_pairs <= section_len(p, SECTION_LABELS) && p->n_label_pages <= section_len(p, SECTION_DIRECTORY) &&
               p->n_series_pages <= section_len(p, SECTION_DIRECTORY) && p->n_names <= section_len(p, SECTION_NAMES) &&
               p->n_names <= p->n_label_pages && p->n_label_pages <= p->n_pairs;
}

static int read_footer(Part *p, PartDamage *ret_damage) {
        uint64_t at = p->map.len - LAYOUT_FOOTER;
        const uint8_t *f = p->map.bytes + at;
        bool good = memcmp(f + FOOTER_MAGIC, LAYOUT_END_MAGIC, 4) == 0 &&
                    good_crc(p, crc32c(p->header_crc, f, FOOTER_CRC), load32(f + FOOTER_CRC));
        if (!good) {
                part_damage(ret_damage, p->name, "footer at byte %llu: checksum", (unsigned long long)at);
                return -EBADMSG;
        }
        p->meta.series = load32(f + FOOTER_SERIES);
        p->n_chunks = load32(f + FOOTER_CHUNKS);
        p->n_times = load32(f + FOOTER_TIMES);
        p->n_pairs = load32(f + FOOTER_PAIRS);
        p->n_names = load32(f + FOOTER_NAMES);
        p->n_label_pages = load32(f + FOOTER_LABEL_PAGES);
        p->n_series_pages = (uint32_t)(((uint64_t)p->meta.series + SERIES_PAGE - 1) / SERIES_PAGE);
        p->meta.samples = load64(f + FOOTER_SAMPLES);
        p->meta.min_ms = (int64_t)load64(f + FOOTER_MIN);
        p->meta.max_ms = (int64_t)load64(f + FOOTER_MAX);
        p->meta.bytes = p->map.len;
        if (!take_sections(p, f) || !counts_are_sane(p)) {
                part_damage(ret_damage, p->name, "footer at byte %llu: contradicts itself", (unsigned long long)at);
                return -EBADMSG;
        }
        return 0;
}

/* ---- directory and names ---- */

/* The offsets of n pages from their lengths, which add up to the section's. */
static bool take_pages(const uint8_t **at, const uint8_t *end, uint32_t n, uint64_t section, uint32_t *offsets) {
        uint64_t sum = 0, len;
        for (uint32_t i = 0; i < n; i++) {
                if (!varint_get(at, end, &len) || len <= CRC_SIZE || len > section - sum)
                        return false;
                sum += len;
                offsets[i + 1] = (uint32_t)sum;
        }
        return sum == section;
}

static bool take_directory(Part *p) {
        const uint8_t *at = p->map.bytes + p->begins[SECTION_DIRECTORY], *end = p->map.bytes + p->begins[SECTION_COUNT];
        return take_pages(&at, end, p->n_series_pages, section_len(p, SECTION_SERIES), p->series_at) &&
               take_pages(&at, end, p->n_label_pages, section_len(p, SECTION_LABELS), p->label_at) && at == end;
}

static int span_order(Span a, Span b) {
        int r = memcmp(a.text, b.text, a.len < b.len ? a.len : b.len);
        return r ? r : a.len < b.len ? -1 : a.len > b.len;
}

static bool take_names(Part *p) {
        const uint8_t *at = p->map.bytes + p->begins[SECTION_NAMES], *end = p->map.bytes + p->begins[SECTION_DIRECTORY];
        uint64_t pairs = 0, pages = 0, len, n;
        for (uint32_t i = 0; i < p->n_names; i++) {
                if (!varint_get(&at, end, &len) || len == 0 || len > LABEL_NAME_MAX || len > (size_t)(end - at))
                        return false;
                Span text = { (const char *)at, len };
                at += len;
                if (!varint_get(&at, end, &n) || n == 0 || n > p->n_pairs - pairs)
                        return false;
                if (i > 0 && span_order(p->names[i - 1].text, text) >= 0)
                        return false;
                p->names[i] = (PartName){ text, (uint32_t)pairs, (uint32_t)n, (uint32_t)pages };
                pairs += n;
                pages += (n + LABEL_PAGE - 1) / LABEL_PAGE;
        }
        return at == end && pairs == p->n_pairs && pages == p->n_label_pages;
}

static uint64_t bits_of(const Part *p, CheckedKind kind) {
        switch (kind) {
        case CHECKED_VALUES: return p->n_chunks;
        case CHECKED_TIMES: return p->n_times;
        case CHECKED_SERIES: return p->n_series_pages;
        case CHECKED_LABELS: return p->n_label_pages;
        case CHECKED_TABLE: return ((uint64_t)p->n_times + TIME_PAGE - 1) / TIME_PAGE;
        case CHECKED_KIND_COUNT: break;
        }
        return 0;
}

static size_t checked_words(const Part *p) {
        uint64_t bits = 0;
        for (unsigned k = 0; k < CHECKED_KIND_COUNT; k++)
                bits += bits_of(p, (CheckedKind)k);
        return (size_t)(bits / 64 + 1);
}

static int make_tables(Part *p) {
        p->names = calloc((size_t)p->n_names + 1, sizeof *p->names);
        p->checked = calloc(checked_words(p), sizeof *p->checked);
        p->series_at = calloc((size_t)p->n_series_pages + 1, sizeof *p->series_at);
        p->label_at = calloc((size_t)p->n_label_pages + 1, sizeof *p->label_at);
        if (!p->names || !p->checked || !p->series_at || !p->label_at)
                return -ENOMEM;
        for (unsigned k = 1; k < CHECKED_KIND_COUNT; k++)
                p->checked_begin[k] = p->checked_begin[k - 1] + bits_of(p, (CheckedKind)(k - 1));
        return 0;
}

static int read_tables(Part *p, PartDamage *ret_damage) {
        const uint8_t *f = p->map.bytes + p->map.len - LAYOUT_FOOTER;
        unsigned long long names = p->begins[SECTION_NAMES], directory = p->begins[SECTION_DIRECTORY];
        int r = make_tables(p);
        if (r < 0)
                return r;
        bool good = good_crc(p, crc32c(0, p->map.bytes + names, directory - names), load32(f + FOOTER_NAMES_CRC));
        if (!good || !take_names(p)) {
                part_damage(ret_damage, p->name, "names at byte %llu: %s", names,
                            good ? "contradict themselves" : "checksum");
                return -EBADMSG;
        }
        good = good_crc(p, crc32c(0, p->map.bytes + directory, p->begins[SECTION_COUNT] - directory),
                        load32(f + FOOTER_DIRECTORY_CRC));
        if (good && take_directory(p))
                return 0;
        part_damage(ret_damage, p->name, "directory at byte %llu: %s", directory,
                    good ? "contradicts itself" : "checksum");
        return -EBADMSG;
}

/* ---- opening and closing ---- */

Part *part_close(Part *p) {
        if (!p)
                return NULL;
        vfs_unmap(p->vfs, &p->map);
        free(p->series_at);
        free(p->label_at);
        free(p->names);
        free((void *)p->checked);
        free(p->name);
        free(p);
        return NULL;
}

static void close_part(Part **p) {
        *p = part_close(*p);
}

int part_open_map(Vfs *vfs, const char *name, VfsMap map, bool trusting, Part **ret_part, PartDamage *ret_damage) {
        CLEANUP(close_part) Part *p = calloc(1, sizeof *p);
        if (!p) {
                vfs_unmap(vfs, &map);
                return -ENOMEM;
        }
        *p = (Part){ .vfs = vfs, .map = map, .trusting = trusting, .name = strdup(name) };
        if (!p->name)
                return -ENOMEM;
        int r = read_header(p, ret_damage);
        if (r == 0)
                r = read_footer(p, ret_damage);
        if (r == 0)
                r = read_tables(p, ret_damage);
        if (r == 0)
                *ret_part = TAKE_PTR(p);
        return r;
}

int part_open(Vfs *vfs, const char *name, Part **ret_part, PartDamage *ret_damage) {
        VfsMap map;
        int r = vfs_map(vfs, name, &map);
        if (r < 0) {
                part_damage(ret_damage, name, "%s", strerror(-r));
                return r;
        }
        return part_open_map(vfs, name, map, false, ret_part, ret_damage);
}

const PartMeta *part_meta(const Part *p) {
        return &p->meta;
}

size_t part_memory(const Part *p) {
        return sizeof *p + strlen(p->name) + 1 + ((size_t)p->n_series_pages + p->n_label_pages + 2) * sizeof(uint32_t) +
               ((size_t)p->n_names + 1) * sizeof(PartName) + checked_words(p) * sizeof(uint64_t);
}

void part_forget(const Part *p) {
        for (size_t i = 0; i < checked_words(p); i++)
                atomic_store_explicit(&p->checked[i], 0, memory_order_relaxed);
        vfs_forget(p->vfs, &p->map);
}

/* ---- pieces with a checksum ---- */

/* Whether `len` bytes at `at` have the CRC `expected`, begun with `seed`; remembers a yes. */
static bool check(const Part *p, CheckedKind kind, uint32_t number, uint32_t seed, const uint8_t *at, size_t len,
                  uint32_t expected) {
        uint64_t bit = p->checked_begin[kind] + number;
        _Atomic uint64_t *word = &p->checked[bit / 64];
        /* Nothing else hangs on the order of these. */
        if (atomic_load_explicit(word, memory_order_relaxed) >> bit % 64 & 1)
                return true;
        if (!good_crc(p, crc32c(seed, at, len), expected))
                return false;
        (void)atomic_fetch_or_explicit(word, UINT64_C(1) << bit % 64, memory_order_relaxed);
        return true;
}

static int check_page(const Part *p, CheckedKind kind, Seed seed, uint32_t page, Section section,
                      const uint32_t *offsets, Span *ret_bytes) {
        const uint8_t *at = p->map.bytes + p->begins[section] + offsets[page];
        size_t len = offsets[page + 1] - offsets[page] - CRC_SIZE;
        if (!check(p, kind, page, layout_seed(p->header_crc, seed, page), at + CRC_SIZE, len, load32(at)))
                return -EBADMSG;
        *ret_bytes = (Span){ (const char *)at + CRC_SIZE, len };
        return 0;
}

int part_series_page(const Part *p, uint32_t page, Span *ret_bytes) {
        assert(page < p->n_series_pages);
        return check_page(p, CHECKED_SERIES, SEED_SERIES, page, SECTION_SERIES, p->series_at, ret_bytes);
}

int part_label_page(const Part *p, uint32_t page, Span *ret_bytes) {
        assert(page < p->n_label_pages);
        return check_page(p, CHECKED_LABELS, SEED_LABELS, page, SECTION_LABELS, p->label_at, ret_bytes);
}

bool part_in_columns(const Part *p, uint64_t at, uint64_t len) {
        uint64_t begin = p->begins[SECTION_COLUMNS], end = p->begins[SECTION_COLUMNS + 1];
        return len > CRC_SIZE && at >= begin && at <= end && len <= end - at;
}

int part_time_entry(const Part *p, uint32_t number, TimeEntry *ret_entry) {
        assert(number < p->n_times);
        uint32_t page = number / TIME_PAGE, left = p->n_times - page * TIME_PAGE;
        size_t len = (size_t)(left < TIME_PAGE ? left : TIME_PAGE) * TIME_ENTRY;
        const uint8_t *at =
                p->map.bytes + p->begins[SECTION_TIMES] + (uint64_t)page * (TIME_PAGE * TIME_ENTRY + CRC_SIZE);
        if (!check(p, CHECKED_TABLE, page, layout_seed(p->header_crc, SEED_TABLE, page), at, len, load32(at + len)))
                return -EBADMSG;
        at += (size_t)(number % TIME_PAGE) * TIME_ENTRY;
        TimeEntry e = { .at = load64(at), .min_ms = (int64_t)load64(at + 8), .max_ms = (int64_t)load64(at + 16),
                        .len = load32(at + 24), .n = load32(at + 28) };
        if (!part_in_columns(p, e.at, e.len) || e.n == 0 || e.n > CODEC_MAX || e.min_ms > e.max_ms)
                return -EBADMSG;
        *ret_entry = e;
        return 0;
}

static int check_column(const Part *p, CheckedKind kind, Seed seed, uint32_t number, uint64_t offset, uint32_t whole,
                        Span *ret_bytes) {
        assert(part_in_columns(p, offset, whole));
        const uint8_t *at = p->map.bytes + offset;
        size_t len = whole - CRC_SIZE;
        if (!check(p, kind, number, layout_seed(p->header_crc, seed, number), at, len, load32(at + len)))
                return -EBADMSG;
        *ret_bytes = (Span){ (const char *)at, len };
        return 0;
}

int part_time_column(const Part *p, uint32_t number, const TimeEntry *e, Span *ret_bytes) {
        assert(number < p->n_times);
        return check_column(p, CHECKED_TIMES, SEED_TIMES, number, e->at, e->len, ret_bytes);
}

int part_value_column(const Part *p, const PartChunk *chunk, Span *ret_bytes) {
        assert(chunk->number < p->n_chunks);
        return check_column(p, CHECKED_VALUES, SEED_VALUES, chunk->number, chunk->values_at, chunk->values_len,
                            ret_bytes);
}

int part_list(const Part *p, uint32_t pair, uint64_t at, uint64_t len, Span *ret_bytes) {
        uint64_t whole = section_len(p, SECTION_POSTINGS);
        if (len <= CRC_SIZE || at > whole || len > whole - at)
                return -EBADMSG;
        const uint8_t *bytes = p->map.bytes + p->begins[SECTION_POSTINGS] + at;
        len -= CRC_SIZE;
        if (!good_crc(p, crc32c(layout_seed(p->header_crc, SEED_POSTINGS, pair), bytes, len), load32(bytes + len)))
                return -EBADMSG;
        *ret_bytes = (Span){ (const char *)bytes, len };
        return 0;
}

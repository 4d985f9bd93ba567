/* Layout of a part, format version 1.
 *
 * A part is one file, written once from its beginning to its end, synced, named by the manifest and never changed.
 * Numbers are little-endian; "varint" is base/varint.h; offsets are from the beginning of the file. The file is
 *
 *     header | columns | series | postings | labels | times | names | directory | footer
 *
 * without a gap: the footer has the sections' lengths, and they add up to the file's size.
 *
 * Header, 64 bytes
 *      0   8  magic "PLXPART\n"
 *      8   4  format version, 1
 *     12   1  tier (StoreTier)
 *     13   3  0
 *     16  16  UUID of the store
 *     32   8  id of the part
 *     40   8  begin_ms of its partition
 *     48   8  end_ms
 *     56   4  0
 *     60   4  CRC-32C of bytes 0..60
 * Every later version keeps bytes 0..12 and the CRC at 60, so that a version that is not known can be told from damage.
 *
 * Footer, the last 128 bytes
 *      0  56  lengths of the seven sections, 8 bytes each, in the order above
 *     56   4  series
 *     60   4  chunks
 *     64   4  time columns
 *     68   4  pairs
 *     72   4  names
 *     76   4  pages of labels
 *     80   8  samples (or windows) of all chunks
 *     88   8  min_ms: the first instant of all chunks
 *     96   8  max_ms: the last
 *    104   8  0
 *    112   4  CRC-32C of the names section
 *    116   4  CRC-32C of the directory
 *    120   4  magic "PEND"
 *    124   4  CRC-32C of bytes 0..124, begun with the header's CRC
 *
 * Checksums. Whatever is read by itself (a column, a page, a list of postings) has a CRC-32C of its own. It is begun
 * not with 0 but with a *seed* of the header's CRC, the kind of thing and its number, so that a good piece of another
 * part, or of another place of this one, is as bad as a flipped bit. Kinds are SEED_* below; see layout_seed().
 *
 * Columns. Value columns, in the order of series and chunks, and time columns, each before the first chunk that uses
 * it. Each is followed by its CRC (4 bytes, counted in its length). They tile the section.
 *   A chunk's values are one piece:
 *     floats      what values_encode() wrote
 *     histograms  varint number of blocks; for each: varint samples, varint length, varint packed length; then the
 *                 blocks. A block is, unpacked, the lengths of its samples (varints) and their bytes one after the
 *                 other; it is packed with zstd unless that does not make it smaller (then the two lengths are equal).
 *     rollups     for each column that the chunk has, in the order of ROLLUP_ORDER (rollup.c): varint (length << 1 |
 *                 beside); then the columns. beside: written with values_encode_beside() against what rollup.c derives
 *                 from the columns before it.
 *   A time column begins with its form:
 *     0 regular   varint step: instant i is min + i * step
 *     1 segments  SEGMENT_INSTANTS instants each (the last one what is left): for each segment but the first varint
 *                 (its first instant - the first instant of the segment before); for each varint (length << 1 |
 *                 packed); then the segments. One that is not packed is what times_encode() wrote. A packed one, which
 *                 a reader of one hour of a day needs not decode outside of that hour:
 *                   varint step; 1 byte width (0..32); then for each instant `width` bits p, lowest bit first.
 *                   Instant i is (first instant - p[0]) + i * step + p[i].
 *
 * Times. A table of all time columns: pages of TIME_PAGE entries of 32 bytes (the last one shorter), each page followed
 * by its CRC.
 *      0   8  offset of the column
 *      8   8  min_ms
 *     16   8  max_ms
 *     24   4  its length with CRC
 *     28   4  instants
 * Columns are in the order of their offsets. Series that were sampled at the same instants share one column.
 *
 * Pairs. A pair is a label's name and value. Pairs are numbered by name, then value (as bytes); the pairs of one name
 * are neighbours. A series is a list of ascending pair numbers, and no two of one name.
 *
 * Names: for each name, ascending: varint length, bytes, varint number of its pairs (1 or more).
 *
 * Labels: pages of LABEL_PAGE pairs; a page has pairs of one name only. The last page of a name is shorter.
 *      0   4  CRC of what follows
 *     then varint: offset in the postings section of the first list that is there
 *     then for each group of LABEL_GROUP pairs: 2 bytes its length, 4 bytes length of its lists in the postings section
 *     then the groups. A pair is
 *            value: the first of a group: varint length, bytes;
 *                   others: varint bytes shared with the first of the group, varint length of the rest, the rest
 *            varint (length of its postings << 1 | apart)
 *            its postings, or, when apart, nothing here: it is in the postings section, in the order of pairs
 *
 * Postings: lists of series. Those of more than POSTINGS_INLINE bytes are here, each followed by its CRC (counted in
 * its length).
 * A list is  varint (count << 2 | form),  then
 *     0 ordinals   varint the first; for each other varint (distance to the one before - 1)
 *     1 runs       for each run: varint (first - end of the run before), varint (length - 1)
 *     2 bits       varint number of the first byte; `count` bytes of a bitmap, lowest bit first
 *
 * Series: pages of SERIES_PAGE series (the last one shorter).
 *      0   4  CRC of what follows
 *     then varint: offset of the first chunk's values
 *     then varint: number of the first chunk
 *     then for each series
 *            varint head: bit 0 same: it has as many labels as the series before (never of the first of a page)
 *                         bit 1 one: it has one chunk
 *            same:     varint mask of the labels that differ; for each varint zigzag(pair - pair of the series before)
 *            not same: varint labels; varint first pair; for each other varint (pair - pair before - 1)
 *            not one:  varint chunks (1 or more)
 *            for each chunk
 *                  varint (zigzag(time column - that of the chunk before, or 0 at a page's beginning) << 2 | kind << 1
 *                  | gap)
 *                  gap:  varint bytes of columns between the end of the chunk before and this one
 *                  kind: varint (columns << 2 | ChunkKind); otherwise as the chunk before (floats at the beginning)
 *                  varint length of the values with CRC
 *
 * Directory: varint length of every page of series; varint length of every page of labels.
 *
 * Reading. To open: header, footer, directory and names are checked; nothing else is touched. A matcher: names (binary
 * search), a page of labels (binary search over the first values), a group, the list. A series: its page from the
 * beginning (32 at most), its pairs' values each by name, page and group, its chunks' instants from the table of times.
 * Samples: the segments of the time column and the sub-blocks of the value column that the window touches.
 *
 * Validity. What a checksum does not cover is checked where it is read; a reader never reads outside of the section and
 * asks for memory in proportion to the file only:
 *   P1  sections tile the file; pages tile their sections; columns tile theirs
 *   P2  a series has a label; its pair numbers ascend and are below the number of pairs
 *   P3  ordinals of a list ascend and are below the number of series; no list is empty
 *   P4  values of a name ascend; names ascend; no value is empty or longer than LABEL_VALUE_MAX
 *   P5  instants of a column strictly ascend from its min_ms to its max_ms; chunks of a series ascend and do not
 *       overlap
 *   P6  a chunk has as many values as its time column has instants
 *
 * Crashes. The file is written under its own name, which no manifest has yet: whatever a crash leaves of it is a
 * leftover. The manifest names it after the sync of part_writer_finish() and one of the directory; from then on it is
 * complete. */
#pragma once

#include "store/part/part.h"

#include "base/crc32c.h"

#include <assert.h>
#include <endian.h>

#define LAYOUT_MAGIC "PLXPART\n"
#define LAYOUT_END_MAGIC "PEND"

enum {
        LAYOUT_VERSION = 1,
        LAYOUT_HEADER = 64,
        LAYOUT_FOOTER = 128,

        HEADER_VERSION = 8,
        HEADER_TIER = 12,
        HEADER_STORE = 16,
        HEADER_ID = 32,
        HEADER_BEGIN = 40,
        HEADER_END = 48,
        HEADER_CRC = 60,

        FOOTER_SERIES = 56,
        FOOTER_CHUNKS = 60,
        FOOTER_TIMES = 64,
        FOOTER_PAIRS = 68,
        FOOTER_NAMES = 72,
        FOOTER_LABEL_PAGES = 76,
        FOOTER_SAMPLES = 80,
        FOOTER_MIN = 88,
        FOOTER_MAX = 96,
        FOOTER_NAMES_CRC = 112,
        FOOTER_DIRECTORY_CRC = 116,
        FOOTER_MAGIC = 120,
        FOOTER_CRC = 124,

        SERIES_PAGE = 32,
        LABEL_PAGE = 64,
        LABEL_GROUP = 8,
        LABEL_GROUP_HEAD = 6,
        TIME_PAGE = 64,
        TIME_ENTRY = 32,
        SEGMENT_INSTANTS = 512,
        POSTINGS_INLINE = 16,
        CRC_SIZE = 4,

        TIMES_REGULAR = 0,
        TIMES_SEGMENTS = 1,

        POSTINGS_ORDINALS = 0,
        POSTINGS_RUNS = 1,
        POSTINGS_BITS = 2,

        SERIES_SAME = 1,
        SERIES_ONE = 2,
        CHUNK_GAP = 1,
        CHUNK_OTHER_KIND = 2,
};

static_assert(LABEL_GROUP * (LABEL_VALUE_MAX + POSTINGS_INLINE + 16) <= UINT16_MAX,
              "a group's length fits its two bytes");

typedef enum Section {
        SECTION_COLUMNS,
        SECTION_SERIES,
        SECTION_POSTINGS,
        SECTION_LABELS,
        SECTION_TIMES,
        SECTION_NAMES,
        SECTION_DIRECTORY,
        SECTION_COUNT
} Section;

typedef enum Seed {
        SEED_VALUES,   /* number: of the chunk */
        SEED_TIMES,    /* of the time column */
        SEED_SERIES,   /* of the page */
        SEED_LABELS,   /* of the page */
        SEED_TABLE,    /* of the page of the table of times */
        SEED_POSTINGS, /* of the pair */
} Seed;

/* The beginning of a CRC. */
static inline uint32_t layout_seed(uint32_t header_crc, Seed kind, uint32_t number) {
        return header_crc + ((uint32_t)kind + 1) * UINT32_C(0x9E3779B9) + number * UINT32_C(0x85EBCA6B);
}

static inline uint16_t load16(const uint8_t *at) {
        uint16_t v;
        memcpy(&v, at, sizeof v);
        return le16toh(v);
}

static inline uint32_t load32(const uint8_t *at) {
        uint32_t v;
        memcpy(&v, at, sizeof v);
        return le32toh(v);
}

static inline uint64_t load64(const uint8_t *at) {
        uint64_t v;
        memcpy(&v, at, sizeof v);
        return le64toh(v);
}

static inline void store16(uint8_t *at, uint16_t v) {
        v = htole16(v);
        memcpy(at, &v, sizeof v);
}

static inline void store32(uint8_t *at, uint32_t v) {
        v = htole32(v);
        memcpy(at, &v, sizeof v);
}

static inline void store64(uint8_t *at, uint64_t v) {
        v = htole64(v);
        memcpy(at, &v, sizeof v);
}

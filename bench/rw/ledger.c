#include "rw/ledger.h"

#include "base/varint.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

typedef struct Entry {
        uint64_t hash, checksum, count;
        size_t run, len; /* in the heap of runs */
        int64_t first, last;
        double sum;
} Entry;

struct Ledger {
        Entry *entries;
        uint32_t n, cap;
        uint32_t *slots; /* number + 1, open addressing; twice as many as entries */
        Buf runs;
};

Ledger *ledger_new(void) {
        Ledger *l = calloc(1, sizeof *l);
        assert(l);
        l->runs = BUF_WITH_LIMIT((size_t)4 << 30);
        return l;
}

Ledger *ledger_free(Ledger *l) {
        if (l) {
                free(l->entries);
                free(l->slots);
                buf_deinit(&l->runs);
                free(l);
        }
        return NULL;
}

void ledger_freep(Ledger **l) {
        *l = ledger_free(*l);
}

uint32_t ledger_count(const Ledger *l) {
        return l->n;
}

Span ledger_run(const Ledger *l, uint32_t series) {
        return (Span){ l->runs.data + l->entries[series].run, l->entries[series].len };
}

static void grow(Ledger *l) {
        uint32_t cap = l->cap ? 2 * l->cap : 1024, mask = 2 * cap - 1;
        l->entries = reallocarray(l->entries, cap, sizeof *l->entries);
        free(l->slots);
        l->slots = calloc(2 * (size_t)cap, sizeof *l->slots);
        assert(l->entries && l->slots);
        l->cap = cap;
        for (uint32_t i = 0; i < l->n; i++) {
                uint32_t slot = (uint32_t)l->entries[i].hash & mask;
                while (l->slots[slot])
                        slot = (slot + 1) & mask;
                l->slots[slot] = i + 1;
        }
}

uint32_t ledger_series(Ledger *l, const char *run, size_t len) {
        if (l->n == l->cap)
                grow(l);
        uint64_t hash = XXH3_64bits(run, len);
        uint32_t mask = 2 * l->cap - 1, slot = (uint32_t)hash & mask;
        for (; l->slots[slot]; slot = (slot + 1) & mask) {
                const Entry *e = &l->entries[l->slots[slot] - 1];
                if (e->hash == hash && e->len == len && memcmp(l->runs.data + e->run, run, len) == 0)
                        return l->slots[slot] - 1;
        }
        l->entries[l->n] = (Entry){ .hash = hash, .run = l->runs.len, .len = len, .first = INT64_MAX, .last = INT64_MIN };
        buf_put(&l->runs, run, len);
        assert(buf_error(&l->runs) == 0);
        l->slots[slot] = ++l->n;
        return l->n - 1;
}

void ledger_add(Ledger *l, uint32_t series, int64_t ms, double value) {
        Entry *e = &l->entries[series];
        struct {
                int64_t ms;
                double value;
        } sample = { ms, isnan(value) ? (double)NAN : value };
        e->checksum += XXH3_64bits(&sample, sizeof sample);
        e->count++;
        e->first = ms < e->first ? ms : e->first;
        e->last = ms > e->last ? ms : e->last;
        e->sum += isnan(value) ? 0 : value;
}

/* Takes name and value of the next label; runs are of our own making. */
static bool next_label(const uint8_t **at, const uint8_t *end, Span *ret_name, Span *ret_value) {
        uint64_t n;
        if (*at == end)
                return false;
        Span *parts[] = { ret_name, ret_value };
        const uint8_t *p = *at + 1; /* key of the label */
        bool good = varint_get(&p, end, &n);
        for (size_t i = 0; i < 2 && good; i++) {
                p++; /* key of the part */
                good = p < end && varint_get(&p, end, &n) && n <= (uint64_t)(end - p);
                if (good) {
                        *parts[i] = (Span){ (const char *)p, (size_t)n };
                        p += n;
                }
        }
        assert(good);
        *at = p;
        return true;
}

static void put_quoted(Buf *out, Span text) {
        buf_put_char(out, '"');
        for (size_t i = 0; i < text.len; i++) {
                char c = text.text[i];
                if (c == '"' || c == '\\' || c == '\n')
                        buf_put_char(out, '\\');
                buf_put_char(out, c == '\n' ? 'n' : c);
        }
        buf_put_char(out, '"');
}

void ledger_print_run(Span run, Buf *out) {
        const uint8_t *at = (const uint8_t *)run.text, *end = at + run.len;
        Span name, value;
        for (const uint8_t *p = at; next_label(&p, end, &name, &value);)
                if (span_is(name, "__name__"))
                        buf_put(out, value.text, value.len);
        char before = '{';
        while (next_label(&at, end, &name, &value)) {
                if (span_is(name, "__name__"))
                        continue;
                buf_put_char(out, before);
                before = ',';
                buf_put(out, name.text, name.len);
                buf_put_char(out, '=');
                put_quoted(out, value);
        }
        buf_put_str(out, before == ',' ? "}" : "");
}

static int compare_runs(const void *a, const void *b, void *context) {
        const Ledger *l = context;
        const Entry *x = &l->entries[*(const uint32_t *)a], *y = &l->entries[*(const uint32_t *)b];
        size_t n = x->len < y->len ? x->len : y->len;
        int order = memcmp(l->runs.data + x->run, l->runs.data + y->run, n);
        return order ? order : (x->len > y->len) - (x->len < y->len);
}

int ledger_write(const Ledger *l, const char *path) {
        CLEANUP_FREE uint32_t *order = calloc(l->n + 1, sizeof *order);
        CLEANUP_FILE FILE *file = fopen(path, "we");
        CLEANUP(buf_deinit) Buf line = BUF_NULL;
        if (!file || !order)
                return file ? -ENOMEM : -errno;
        for (uint32_t i = 0; i < l->n; i++)
                order[i] = i;
        qsort_r(order, l->n, sizeof *order, compare_runs, (void *)(uintptr_t)l);
        for (uint32_t i = 0; i < l->n; i++) {
                const Entry *e = &l->entries[order[i]];
                buf_reset(&line);
                ledger_print_run(ledger_run(l, order[i]), &line);
                buf_printf(&line, "\t%" PRIu64 "\t%" PRId64 "\t%" PRId64 "\t%016" PRIx64 "\t%.17g\n", e->count, e->first, e->last, e->checksum, e->sum);
                (void)fwrite(line.data, 1, line.len, file);
        }
        if (buf_error(&line) < 0)
                return buf_error(&line);
        return ferror(file) || fflush(file) != 0 ? -EIO : 0;
}

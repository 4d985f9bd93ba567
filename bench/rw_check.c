/* Checks what a store says it has, given as text on standard input, a sample a line: `name{label="value",...} value ms`, as
 * promtool's dump (which has the name among the labels) and `parallax store export` print it. `#` begins a comment.
 *
 *   rw_check STREAM JOURNAL   against the requests sent and acknowledged according to rw_send's journal: no acknowledged
 *                             sample may be missing, none may be there that was not sent, or twice, or with another value
 *   rw_check --sums FILE      writes the ledger (rw/ledger.h) of what is there, to be compared with that of fleet_gen
 *
 * One line of JSON tells the counts; ends with 1 when something is wrong. */
#include "rw/ledger.h"
#include "rw/stream.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

#define LABELS_MAX 64
#define EXAMPLES 5 /* of each defect */

/* ---- Lines ---- */

typedef struct TextLabel {
        Span name, value; /* value: without quotes, escapes as written */
} TextLabel;

static bool take_labels(Scan *s, TextLabel *labels, size_t *n) {
        while (s->at < s->end && *s->at != '}') {
                if (*n == LABELS_MAX)
                        return false;
                TextLabel *l = &labels[(*n)++];
                (void)scan_literal(s, ",");
                scan_blank(s);
                if (!scan_until(s, '=', &l->name) || !scan_literal(s, "\""))
                        return false;
                l->value.text = s->at;
                while (s->at < s->end && *s->at != '"')
                        s->at += *s->at == '\\' ? 2 : 1;
                if (s->at >= s->end)
                        return false;
                l->value.len = (size_t)(s->at++ - l->value.text);
        }
        return scan_literal(s, "}");
}

static int compare_labels(const void *a, const void *b) {
        const TextLabel *x = a, *y = b;
        size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
        int order = memcmp(x->name.text, y->name.text, n);
        return order ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static void put_len(Buf *out, size_t len) {
        for (; len >= 0x80; len >>= 7)
                buf_put_char(out, (char)(len | 0x80));
        buf_put_char(out, (char)len);
}

/* The canonical run. `scratch` holds one label. */
static void put_label(const TextLabel *l, Buf *scratch, Buf *run) {
        CLEANUP(buf_deinit) Buf value = BUF_NULL;
        for (size_t i = 0; i < l->value.len; i++) {
                char c = l->value.text[i];
                if (c == '\\' && ++i < l->value.len)
                        c = l->value.text[i] == 'n' ? '\n' : l->value.text[i];
                buf_put_char(&value, c);
        }
        buf_reset(scratch);
        buf_put_char(scratch, 0x0a);
        put_len(scratch, l->name.len);
        buf_put(scratch, l->name.text, l->name.len);
        buf_put_char(scratch, 0x12);
        put_len(scratch, value.len);
        buf_put(scratch, value.data, value.len);
        buf_put_char(run, 0x0a);
        put_len(run, scratch->len);
        buf_put(run, scratch->data, scratch->len);
}

/* Takes the last word off a line, and the blank before it; false when it is the only one or longer than any number. */
static bool cut_word(Span *line, char ret_word[64]) {
        size_t at = line->len;
        while (at > 0 && line->text[at - 1] != ' ')
                at--;
        if (at < 2 || line->len - at >= 64)
                return false;
        memcpy(ret_word, line->text + at, line->len - at);
        ret_word[line->len - at] = '\0';
        line->len = at - 1;
        return true;
}

/* Takes time and value off a line; the series' text is left. */
static bool split_line(Span *line, double *ret_value, int64_t *ret_ms) {
        char time[64], value[64], *time_end, *value_end;
        if (!cut_word(line, time) || !cut_word(line, value))
                return false;
        *ret_ms = strtoll(time, &time_end, 10);
        *ret_value = strtod(value, &value_end);
        return time_end != time && *time_end == '\0' && value_end != value && *value_end == '\0';
}

static bool parse_series(Span text, Buf *scratch, Buf *run) {
        TextLabel labels[LABELS_MAX + 1];
        size_t n = 0;
        Scan s = SCAN(text.text, text.len);
        const char *brace = memchr(text.text, '{', text.len);
        size_t name = brace ? (size_t)(brace - text.text) : text.len;
        if (name > 0)
                labels[n++] = (TextLabel){ { "__name__", 8 }, { text.text, name } };
        s.at += name;
        if (brace && (!scan_literal(&s, "{") || !take_labels(&s, labels, &n)))
                return false;
        qsort(labels, n, sizeof *labels, compare_labels);
        buf_reset(run);
        for (size_t i = 0; i < n; i++)
                put_label(&labels[i], scratch, run);
        return n > 0 && buf_error(run) == 0;
}

typedef void (*TakeSample)(void *context, Span run, int64_t ms, double value);

/* All samples of the text; false at a line that is none. Series come in rows of samples, so the last one is kept. */
static bool read_samples(FILE *in, TakeSample take, void *context) {
        CLEANUP_FREE char *text = NULL, *last = NULL;
        CLEANUP(buf_deinit) Buf scratch = BUF_NULL, run = BUF_NULL;
        size_t cap = 0, last_len = 0;
        ssize_t len;
        for (uint64_t number = 1; (len = getline(&text, &cap, in)) >= 0; number++) {
                while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
                        len--;
                if (len == 0 || text[0] == '#')
                        continue;
                Span series = { text, (size_t)len };
                double value;
                int64_t ms;
                bool good = split_line(&series, &value, &ms);
                if (good && !(last && series.len == last_len && memcmp(series.text, last, last_len) == 0)) {
                        good = parse_series(series, &scratch, &run);
                        free(last);
                        last = memcpy(malloc(series.len + 1), series.text, series.len);
                        last_len = series.len;
                }
                if (!good) {
                        (void)fprintf(stderr, "rw_check: line %" PRIu64 " is no sample: %.*s\n", number, (int)(len < 200 ? len : 200), text);
                        return false;
                }
                take(context, (Span){ run.data, run.len }, ms, value);
        }
        return true;
}

/* ---- Sums ---- */

static void take_sum(void *context, Span run, int64_t ms, double value) {
        Ledger *l = context;
        ledger_add(l, ledger_series(l, run.text, run.len), ms, value);
}

static int write_sums(const char *path) {
        CLEANUP(ledger_freep) Ledger *l = ledger_new();
        if (!read_samples(stdin, take_sum, l))
                return 1;
        int r = ledger_write(l, path);
        if (r < 0)
                (void)fprintf(stderr, "rw_check: %s: %s\n", path, strerror(-r));
        return r < 0;
}

/* ---- Against a journal ---- */

enum { REQUEST_SENT = 1, REQUEST_ACKED = 2 };

typedef struct Expected {
        int64_t ms;
        double value;
        uint32_t series;
        bool used, acked, seen;
} Expected;

typedef struct Check {
        Ledger *series; /* names them */
        Expected *slots;
        size_t mask, n;
        bool acked; /* of the request that is being taken apart */
        uint64_t acked_samples, present, unacked_present, lost, invented, wrong, twice;
} Check;

static Expected *find(Check *c, uint32_t series, int64_t ms) {
        struct {
                int64_t ms, series;
        } key = { ms, series };
        size_t slot = XXH3_64bits(&key, sizeof key) & c->mask;
        while (c->slots[slot].used && (c->slots[slot].series != series || c->slots[slot].ms != ms))
                slot = (slot + 1) & c->mask;
        return &c->slots[slot];
}

static void complain(Check *c, uint64_t *counter, const char *what, uint32_t series, int64_t ms, double value) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        if ((*counter)++ >= EXAMPLES)
                return;
        ledger_print_run(ledger_run(c->series, series), &text);
        (void)fprintf(stderr, "rw_check: %s: %s %.17g %" PRId64 "\n", what, buf_cstr(&text), value, ms);
}

static void grow(Check *c) {
        Expected *old = c->slots;
        size_t n = old ? c->mask + 1 : 0;
        c->mask = old ? 2 * n - 1 : ((size_t)1 << 16) - 1;
        c->slots = calloc(c->mask + 1, sizeof *c->slots);
        assert(c->slots);
        for (size_t i = 0; i < n; i++)
                if (old[i].used)
                        *find(c, old[i].series, old[i].ms) = old[i];
        free(old);
}

static void take_expected(void *context, Span run, int64_t ms, double value) {
        Check *c = context;
        if (2 * c->n > c->mask)
                grow(c);
        uint32_t series = ledger_series(c->series, run.text, run.len);
        Expected *e = find(c, series, ms);
        if (!e->used)
                c->n++;
        *e = (Expected){ .ms = ms, .value = value, .series = series, .used = true, .acked = c->acked };
        c->acked_samples += c->acked;
}

static bool same_value(double a, double b) {
        return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void take_present(void *context, Span run, int64_t ms, double value) {
        Check *c = context;
        uint32_t series = ledger_series(c->series, run.text, run.len);
        Expected *e = find(c, series, ms);
        c->present++;
        if (!e->used)
                complain(c, &c->invented, "invented", series, ms, value);
        else if (e->seen)
                complain(c, &c->twice, "twice", series, ms, value);
        else if (!same_value(e->value, value))
                complain(c, &c->wrong, "another value", series, ms, value);
        c->unacked_present += e->used && !e->acked;
        if (e->used)
                e->seen = true;
}

/* Flags by request number; the last line may be cut off. */
static int read_journal(const char *path, uint8_t **ret_flags, size_t *ret_n) {
        CLEANUP_FILE FILE *in = fopen(path, "re");
        if (!in)
                return -errno;
        CLEANUP_FREE char *line = NULL;
        size_t cap = 0, n = 0;
        uint8_t *flags = NULL;
        while (getline(&line, &cap, in) >= 0) {
                uint64_t number;
                char what[8], newline;
                if (sscanf(line, "%7s %" SCNu64 "%c", what, &number, &newline) != 3)
                        continue;
                if (number >= n) {
                        size_t grown = number + 1024;
                        flags = realloc(flags, grown);
                        assert(flags);
                        memset(flags + n, 0, grown - n);
                        n = grown;
                }
                flags[number] |= strcmp(what, "acked") == 0 ? REQUEST_ACKED : REQUEST_SENT;
        }
        *ret_flags = flags;
        *ret_n = n;
        return 0;
}

static int load_expected(Check *c, const char *stream, const char *journal) {
        CLEANUP_FREE uint8_t *flags = NULL;
        CLEANUP(stream_close) StreamReader reader = STREAM_READER_NULL;
        size_t n = 0;
        int r = read_journal(journal, &flags, &n);
        if (r == 0)
                r = stream_open(&reader, stream);
        StreamRequest request;
        for (size_t i = 0; r >= 0 && i < n && (r = stream_next(&reader, &request)) > 0; i++) {
                c->acked = flags[i] & REQUEST_ACKED;
                if (flags[i])
                        r = request_walk(request.body, request.len, take_expected, c);
        }
        return r < 0 ? r : 0;
}

static int check(const char *stream, const char *journal) {
        CLEANUP(ledger_freep) Ledger *series = ledger_new();
        Check c = { .series = series };
        grow(&c);
        int r = load_expected(&c, stream, journal);
        if (r < 0)
                (void)fprintf(stderr, "rw_check: %s, %s: %s\n", stream, journal, strerror(-r));
        bool good = r == 0 && read_samples(stdin, take_present, &c);
        for (size_t i = 0; good && i <= c.mask; i++)
                if (c.slots[i].acked && !c.slots[i].seen)
                        complain(&c, &c.lost, "lost", c.slots[i].series, c.slots[i].ms, c.slots[i].value);
        free(c.slots);
        (void)printf("{\"acked\":%" PRIu64 ",\"present\":%" PRIu64 ",\"unacked_present\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"invented\":%" PRIu64 ",\"wrong\":%" PRIu64 ",\"twice\":%" PRIu64 "}\n",
                     c.acked_samples, c.present, c.unacked_present, c.lost, c.invented, c.wrong, c.twice);
        return !good || c.lost || c.invented || c.wrong || c.twice;
}

int main(int argc, char **argv) {
        if (argc != 3) {
                (void)fputs("usage: rw_check STREAM JOURNAL <EXPORT | rw_check --sums FILE <EXPORT\n", stderr);
                return 2;
        }
        return strcmp(argv[1], "--sums") == 0 ? write_sums(argv[2]) : check(argv[1], argv[2]);
}

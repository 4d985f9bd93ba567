/* Which tier a selector's samples come from, and how a function is calculated from rolled-up ones. docs/query.md has
 * the rules; the idea is that rolled-up rows become samples, at the ends of their windows, for which the function (or
 * another) gives what it would have given:
 *
 *   the last value, the least, the greatest, the sum: a column each, joined with the raw samples behind it
 *   count_over_time   the sum of the counts, where each raw sample is one
 *   avg_over_time     sum by count
 *   rate, increase    a counter made of the increases, which ends with the value that the raw samples behind it go on
 * from. A window's increase is what it grew between the window's ends, between two rows in proportion: exact where
 * windows are whole
 *
 * What no column says is read from raw data alone. */
#include "query/select.h"

#include <assert.h>
#include <inttypes.h>

typedef enum Use { USE_RAW, USE_LAST, USE_LEAST, USE_GREATEST, USE_SUM, USE_COUNT, USE_MEAN, USE_GROWTH } Use;

/* A tier is read although there is raw data when the steps are this many of its windows. */
#define STEP_WINDOWS 5

static int64_t window_ms(StoreTier t) {
        return t == STORE_1H ? INT64_C(3600000) : INT64_C(300000);
}

static Use use_of(const Node *n) {
        if (n->kind == NODE_SELECT)
                return n->takes_time || n->mode != RANGE_PLAIN ? USE_RAW : USE_LAST;
        if (n->kind != NODE_RANGE || n->mode != RANGE_PLAIN)
                return USE_RAW;
        switch (n->function) {
        case FUNCTION_LAST_OVER_TIME:
        case FUNCTION_PRESENT_OVER_TIME: return USE_LAST;
        case FUNCTION_MIN_OVER_TIME: return USE_LEAST;
        case FUNCTION_MAX_OVER_TIME: return USE_GREATEST;
        case FUNCTION_SUM_OVER_TIME: return USE_SUM;
        case FUNCTION_COUNT_OVER_TIME: return USE_COUNT;
        case FUNCTION_AVG_OVER_TIME: return USE_MEAN;
        case FUNCTION_RATE:
        case FUNCTION_INCREASE: return USE_GROWTH;
        default: return USE_RAW;
        }
}

/* ---- The plan ---- */

static int64_t floor_to(int64_t t, int64_t window) {
        int64_t r = t % window;
        return r < 0 ? t - r - window : t - r;
}

static const StoreStats *stats_of(Exec *x) {
        if (!x->has_store_stats)
                store_stats(x->store, &x->store_stats);
        x->has_store_stats = true;
        return &x->store_stats;
}

static int64_t raw_from(const StoreStats *s) {
        int64_t head = s->head_samples ? s->head_min_ms : INT64_MAX, parts = s->tier[STORE_RAW].min_ms;
        return head < parts ? head : parts;
}

/* Whether rows of a tier give exactly the windows that are asked for. */
static bool is_exact(const Exec *x, const Node *n, Use use, StoreTier t) {
        int64_t w = window_ms(t);
        if (n->steps.n < 2 || n->step_ms < STEP_WINDOWS * w || n->step_ms % w || n->first_ms % w)
                return false;
        return n->kind == NODE_SELECT ? use == USE_LAST && x->lookback_ms == w
                                      : n->range_ms > 0 && n->range_ms % w == 0;
}

/* The tier that is read as far as it goes although raw data may be there; STORE_RAW: none. */
static StoreTier preferred(Exec *x, const Node *n, Use use) {
        switch (x->request->tier) {
        case QUERY_TIER_RAW: return STORE_RAW;
        case QUERY_TIER_5M: return STORE_5M;
        case QUERY_TIER_1H: return STORE_1H;
        case QUERY_TIER_AUTO: break;
        }
        return is_exact(x, n, use, STORE_1H) ? STORE_1H : is_exact(x, n, use, STORE_5M) ? STORE_5M : STORE_RAW;
}

static bool has_rows(const StoreStats *s, StoreTier t) {
        return s->tier[t].parts > 0 && s->tier[t].min_ms <= s->tier[t].max_ms;
}

static int64_t rows_from(const StoreStats *s, StoreTier t) {
        return has_rows(s, t) ? s->tier[t].min_ms - window_ms(t) : INT64_MAX;
}

static int64_t earlier(int64_t a, int64_t b) {
        return a < b ? a : b;
}

/* Up to where rolled-up data is read. */
static int64_t rolled_until(Exec *x, const Node *n, Use use, const Selection *s, StoreTier want) {
        const StoreStats *stats = stats_of(x);
        if (want != STORE_RAW && has_rows(stats, want))
                return earlier(s->end_ms, stats->rolled_ms[want]);
        int64_t raw = raw_from(stats), rolled = earlier(rows_from(stats, STORE_5M), rows_from(stats, STORE_1H));
        if (raw <= s->begin_ms || rolled >= floor_to(raw - 1, window_ms(STORE_5M)))
                return s->begin_ms;
        return earlier(s->end_ms, floor_to(raw - 1, window_ms(has_rows(stats, STORE_5M) ? STORE_5M : STORE_1H)));
}

static void add_part(Selection *s, StoreTier t, int64_t begin_ms, int64_t end_ms) {
        if (begin_ms < end_ms)
                s->parts[s->n_parts++] = (SelectionPart){ .tier = t, .begin_ms = begin_ms, .end_ms = end_ms };
}

void tier_plan(Exec *x, const Node *n, Selection *s) {
        Use use = use_of(n);
        StoreTier want = preferred(x, n, use);
        int64_t until = x->request->tier == QUERY_TIER_RAW ? s->begin_ms : rolled_until(x, n, use, s, want);
        s->n_parts = 0;
        s->too_old = use == USE_RAW && until > s->begin_ms;
        if (use == USE_RAW || until <= s->begin_ms) {
                add_part(s, STORE_RAW, s->begin_ms, s->end_ms);
                return;
        }
        /* The hours before the five minutes begin. */
        const StoreStats *stats = stats_of(x);
        int64_t five = rows_from(stats, STORE_5M), hours_until = s->begin_ms;
        if (want == STORE_1H && has_rows(stats, STORE_1H))
                hours_until = floor_to(until, window_ms(STORE_1H));
        else if (five > s->begin_ms && rows_from(stats, STORE_1H) < five)
                hours_until = earlier(until, five == INT64_MAX ? until : floor_to(five, window_ms(STORE_1H)));
        add_part(s, STORE_1H, s->begin_ms, hours_until);
        add_part(s, STORE_5M, hours_until > s->begin_ms ? hours_until : s->begin_ms,
                 floor_to(until, window_ms(STORE_5M)));
        int64_t raw_begin = s->n_parts ? s->parts[s->n_parts - 1].end_ms : s->begin_ms;
        add_part(s, STORE_RAW, raw_begin, s->end_ms);
        /* A row may be needed that begins before the time asked for, or one that ends behind it. */
        SelectionPart *first = &s->parts[0], *last = &s->parts[s->n_parts - 1];
        if (use == USE_LAST && n->kind == NODE_SELECT && first->tier != STORE_RAW &&
            window_ms(first->tier) > x->lookback_ms)
                first->begin_ms -= window_ms(first->tier) - x->lookback_ms;
        if (use == USE_GROWTH && last->tier != STORE_RAW)
                last->end_ms += window_ms(last->tier);
}

bool tier_plan_equal(const Selection *a, const Selection *b) {
        if (a->n_parts != b->n_parts || a->too_old != b->too_old)
                return false;
        for (size_t i = 0; i < a->n_parts; i++)
                if (a->parts[i].tier != b->parts[i].tier || a->parts[i].begin_ms != b->parts[i].begin_ms ||
                    a->parts[i].end_ms != b->parts[i].end_ms)
                        return false;
        return true;
}

/* ---- What the answer says of it ---- */

static void put_time(Buf *out, int64_t ms) {
        time_t s = (time_t)(ms / 1000);
        struct tm tm;
        char text[40];
        if (ms % 1000 < 0 || !gmtime_r(&s, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
                buf_printf(out, "%" PRId64 " ms", ms);
        else
                buf_put_str(out, text);
}

static const char *tier_text(StoreTier t) {
        return t == STORE_RAW ? "raw" : t == STORE_5M ? "5-minute" : "1-hour";
}

void tier_say(Exec *x, const Selection *s) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        for (size_t i = 0; i < s->n_parts; i++)
                atomic_fetch_add_explicit(&x->tier_ms[s->parts[i].tier],
                                          (uint64_t)(s->parts[i].end_ms - s->parts[i].begin_ms), memory_order_relaxed);
        if (!s->too_old && selection_is_raw(s))
                return;
        selection_print(s, &text);
        if (s->too_old) {
                buf_put_str(&text,
                            ": what is asked for cannot be told from rolled-up data, so it begins with the raw data, ");
                put_time(&text, raw_from(&x->store_stats));
                notes_add(&x->notes, NOTE_WARNING, NOTE_NOWHERE, "PromQL warning: %s", buf_cstr(&text));
                return;
        }
        buf_put_str(&text, " was read from");
        for (size_t i = 0; i < s->n_parts; i++) {
                buf_printf(&text, "%s %s data up to ", i ? "," : "", tier_text(s->parts[i].tier));
                put_time(&text, s->parts[i].end_ms);
        }
        notes_add(&x->notes, NOTE_INFO, NOTE_NOWHERE, "PromQL info: %s", buf_cstr(&text));
}

/* ---- Rows ---- */

/* Samples of several tiers, one behind the other. */
typedef struct Joined {
        Arena *arena;
        int64_t *times;
        double *values;
        size_t n, cap;
} Joined;

typedef struct TierRow {
        Exec *x;
        Worker *w;
        Node *node;
        size_t series;
        Row *row;
        Use use;
        int64_t rolled_ms;  /* the end of the last row of rolled-up data; INT64_MIN: there was none */
        bool missing;       /* there are rows, but without the column that is needed */
        bool as_gauge;      /* growth of what has no increases: the last values are samples */
} TierRow;

static int joined_add(Joined *j, int64_t time, double v) {
        if (j->n == j->cap) {
                size_t cap = j->cap ? 2 * j->cap : 256;
                int64_t *times = arena_grow(j->arena, j->times, j->cap * sizeof *times, cap * sizeof *times);
                double *values = arena_grow(j->arena, j->values, j->cap * sizeof *values, cap * sizeof *values);
                if (!times || !values)
                        return j->arena->error;
                j->times = times;
                j->values = values;
                j->cap = cap;
        }
        j->times[j->n] = time;
        j->values[j->n++] = v;
        return 0;
}

static RollupColumn column_of(Use use) {
        switch (use) {
        case USE_LEAST: return ROLLUP_MIN;
        case USE_GREATEST: return ROLLUP_MAX;
        case USE_SUM: return ROLLUP_SUM;
        case USE_COUNT: return ROLLUP_COUNT;
        case USE_GROWTH: return ROLLUP_INCREASE;
        default: return ROLLUP_LAST;
        }
}

static int read_column(TierRow *t, size_t part, RollupColumn column, StoreSamples *to) {
        return selection_part_floats(t->x, t->node, t->node->selection, part, t->series, column, to);
}

/* A part's rows as they are. The counts of raw samples are one each. */
static int join_plain(TierRow *t, size_t part, Use use, Joined *j) {
        StoreTier tier = t->node->selection->parts[part].tier;
        StoreSamples *s = &t->w->samples;
        int r = read_column(t, part, tier == STORE_RAW ? ROLLUP_LAST : column_of(use), s);
        for (size_t i = 0; r == 0 && i < s->n; i++) {
                bool marker = is_stale(s->values[i]);
                if (marker && t->node->kind == NODE_RANGE)
                        continue;
                r = joined_add(j, s->times[i], tier == STORE_RAW && use == USE_COUNT ? 1 : s->values[i]);
        }
        if (r < 0 || tier == STORE_RAW)
                return r;
        if (s->n)
                t->rolled_ms = s->times[s->n - 1];
        else if (use != USE_LAST && use != USE_COUNT)
                r = read_column(t, part, ROLLUP_LAST, s);
        if (r == 0 && s->n && s->times[s->n - 1] > t->rolled_ms) {
                t->missing = true;
                t->rolled_ms = s->times[s->n - 1];
        }
        return r;
}

/* The counter that the increases of a part add up to. It ends with the last value, so that the samples behind it go on
 * from there. */
static int join_growth(TierRow *t, size_t part, Joined *j) {
        StoreTier tier = t->node->selection->parts[part].tier;
        StoreSamples *grown = &t->w->samples, *last = &t->w->column;
        if (tier == STORE_RAW)
                return join_plain(t, part, USE_LAST, j);
        int r = read_column(t, part, ROLLUP_INCREASE, grown);
        if (r == 0)
                r = read_column(t, part, ROLLUP_LAST, last);
        if (r < 0 || last->n == 0)
                return r;
        t->rolled_ms = last->times[last->n - 1];
        if (grown->n == 0) {
                t->as_gauge = true;
                for (size_t i = 0; r == 0 && i < last->n; i++)
                        r = joined_add(j, last->times[i], last->values[i]);
                return r;
        }
        double total = 0, at;
        for (size_t i = 0; i < grown->n; i++)
                total += grown->values[i];
        at = last->values[last->n - 1] - total;
        for (size_t i = 0; r == 0 && i < grown->n; i++) {
                int64_t begin = grown->times[i] - window_ms(tier);
                if (j->n == 0 || j->times[j->n - 1] < begin)
                        r = joined_add(j, begin, at);
                at = i + 1 == grown->n ? last->values[last->n - 1] : at + grown->values[i];
                if (r == 0)
                        r = joined_add(j, grown->times[i], at);
        }
        return r;
}

static int join(TierRow *t, Use use, Joined *j) {
        const Selection *s = t->node->selection;
        *j = (Joined){ .arena = &t->w->arena };
        t->rolled_ms = INT64_MIN;
        for (size_t p = 0; p < s->n_parts; p++) {
                int r = use == USE_GROWTH ? join_growth(t, p, j) : join_plain(t, p, use, j);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The first step whose window has nothing of what was rolled up. */
static size_t first_raw_step(const TierRow *t) {
        const Node *n = t->node;
        size_t k = 0;
        while (k < n->steps.n && n->first_ms + (int64_t)k * n->step_ms - n->range_ms < t->rolled_ms)
                k++;
        return k;
}

static int call(TierRow *t, const Joined *j, FunctionId f, RangeMode mode, size_t first, size_t end, Row *row) {
        const FunctionCall c = { .function = f, .mode = mode, .first = first, .end = end };
        const RangeSamples s = { .times = j->times, .values = j->values, .n = j->n };
        return function_steps(t->x, t->w, t->node, &c, &s, t->row->labels, row);
}

/* Windows in a gap of the data have no value, also where something came before and behind it: samples further apart
 * than their windows are long. */
static void clear_gaps(const TierRow *t, const Joined *j, size_t end) {
        const Node *n = t->node;
        const SelectionPart *oldest = &n->selection->parts[0];
        int64_t hours_end = oldest->tier == STORE_1H ? oldest->end_ms : INT64_MIN;
        size_t at = 0;
        for (size_t k = 0; k < end; k++) {
                int64_t to = n->first_ms + (int64_t)k * n->step_ms, from = to - n->range_ms;
                while (at < j->n && j->times[at] <= from)
                        at++;
                bool inside = at < j->n && j->times[at] <= to;
                int64_t window = at < j->n ? window_ms(j->times[at] <= hours_end ? STORE_1H : STORE_5M) : 0;
                if (!inside && (at == 0 || at == j->n || j->times[at] - j->times[at - 1] > window))
                        t->row->v[k] = ABSENT;
        }
}

static int growth_row(TierRow *t, const Joined *j) {
        const Node *n = t->node;
        size_t raw = first_raw_step(t);
        int r = call(t, j, n->function, t->as_gauge ? RANGE_PLAIN : RANGE_SMOOTHED, 0, raw, t->row);
        if (r == 0 && !t->as_gauge)
                clear_gaps(t, j, raw);
        return r < 0 ? r : call(t, j, n->function, RANGE_PLAIN, raw, n->steps.n, t->row);
}

/* The sum by the count. */
static int mean_row(TierRow *t) {
        Joined j;
        size_t n = t->node->steps.n;
        Row counts = { .v = values_new(&t->w->arena, &t->node->steps) };
        int r = counts.v ? join(t, USE_COUNT, &j) : t->w->arena.error;
        if (r == 0)
                r = call(t, &j, FUNCTION_SUM_OVER_TIME, RANGE_PLAIN, 0, n, &counts);
        if (r == 0)
                r = join(t, USE_SUM, &j);
        if (r == 0)
                r = call(t, &j, FUNCTION_SUM_OVER_TIME, RANGE_PLAIN, 0, n, t->row);
        for (size_t k = 0; r == 0 && k < n; k++)
                if (!is_absent(t->row->v[k]))
                        t->row->v[k] = is_absent(counts.v[k]) ? ABSENT : t->row->v[k] / counts.v[k];
        return r;
}

/* Where a row counts as fresh: it stands for all of its window. */
static void tier_select(const TierRow *t, const Joined *j) {
        const Node *n = t->node;
        size_t at = 0;
        int64_t window = window_ms(t->node->selection->parts[0].tier);
        for (size_t k = 0; k < n->steps.n; k++) {
                int64_t instant = n->first_ms + (int64_t)k * n->step_ms;
                while (at < j->n && j->times[at] <= instant)
                        at++;
                bool rolled = at > 0 && j->times[at - 1] <= t->rolled_ms;
                int64_t lookback = rolled && window > t->x->lookback_ms ? window : t->x->lookback_ms;
                t->row->v[k] = at > 0 && j->times[at - 1] > instant - lookback ? j->values[at - 1] : ABSENT;
        }
}

static void say_missing(TierRow *t) {
        static const Span METRIC = { METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 };
        Span name = labelset_get(t->row->labels, METRIC);
        const char *function = function_info(t->node->function)->name;
        if (t->as_gauge)
                notes_add(&t->w->notes, NOTE_INFO, t->node->expr->place,
                          "PromQL info: %s() of a gauge from rolled-up data sees one sample of each window, for metric "
                          "name \"%.*s\"",
                          function, (int)name.len, name.text);
        else if (t->missing)
                notes_add(&t->w->notes, NOTE_WARNING, t->node->expr->place,
                          "PromQL warning: %s() of a counter cannot be told from rolled-up data, steps that need it "
                          "are left out, for metric name "
                          "\"%.*s\"",
                          function, (int)name.len, name.text);
}

int tier_row(Exec *x, Worker *w, Node *n, size_t i, Row *row) {
        TierRow t = { .x = x, .w = w, .node = n, .series = i, .row = row, .use = use_of(n) };
        Joined j;
        int r = t.use == USE_MEAN ? mean_row(&t) : join(&t, t.use, &j);
        if (r < 0)
                return r;
        switch (t.use) {
        case USE_LAST:
                if (n->kind == NODE_SELECT)
                        tier_select(&t, &j);
                else
                        r = call(&t, &j, n->function, RANGE_PLAIN, 0, n->steps.n, row);
                break;
        case USE_COUNT: r = call(&t, &j, FUNCTION_SUM_OVER_TIME, RANGE_PLAIN, 0, n->steps.n, row); break;
        case USE_GROWTH: r = growth_row(&t, &j); break;
        case USE_MEAN: break;
        default: r = call(&t, &j, n->function, RANGE_PLAIN, 0, n->steps.n, row); break;
        }
        if (t.missing)
                for (size_t k = 0, raw = first_raw_step(&t); k < raw; k++)
                        row->v[k] = ABSENT;
        say_missing(&t);
        return r;
}

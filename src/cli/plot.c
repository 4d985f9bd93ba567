#include "cli/plot.h"
#include "cli/table.h"
#include "cli/text.h"

#include "base/escape.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define LABEL_MAX 24
#define TICKS_MAX 32
#define WIDTH_LEAST 16u

static const char MARKS[PLOT_SERIES_MAX + 1] = "abcdefghijkl";
/* Of the 16 colours those that are readable on black and on white. */
static const int COLORS[] = { 32, 35, 36, 33, 34, 31 };

typedef struct Axis {
        double low, high, step;
        double scale; /* of the labels: 1e6 for M */
        const char *suffix;
        int decimals;
} Axis;

typedef struct Canvas {
        size_t width, height; /* cells */
        uint8_t *dots;        /* bits of braille */
        uint8_t *owner;       /* series, from 1 */
} Canvas;

/* ---- The axis of values ---- */

/* 1, 2 or 5 times a power of ten, not below v. */
static double nice_step(double v) {
        double power = pow(10, floor(log10(v)));
        static const double NICE[] = { 1, 2, 5, 10 };
        for (size_t i = 0; i < ARRAY_LEN(NICE); i++)
                if (v <= NICE[i] * power * (1 + 1e-9))
                        return NICE[i] * power;
        return 10 * power;
}

static bool value_range(const QueryAnswer *a, double *ret_low, double *ret_high) {
        double low = INFINITY, high = -INFINITY;
        for (size_t i = 0; i < a->n && i < PLOT_SERIES_MAX; i++)
                for (size_t k = 0; k < a->series[i].n; k++) {
                        double v = a->series[i].points[k].value;
                        if (!isfinite(v))
                                continue;
                        low = fmin(low, v);
                        high = fmax(high, v);
                }
        *ret_low = low;
        *ret_high = high;
        return low <= high;
}

static void choose_unit(Axis *axis) {
        static const struct {
                double scale;
                const char *suffix;
        } UNITS[] = { { 1e15, "P" }, { 1e12, "T" }, { 1e9, "G" },  { 1e6, "M" },
                      { 1e3, "k" },  { 1, "" },     { 1e-3, "m" }, { 1e-6, "µ" } };
        double most = fmax(fabs(axis->low), fabs(axis->high));
        axis->scale = 1;
        axis->suffix = "";
        if (most >= 0.01 && most < 10000)
                return;
        for (size_t i = 0; i < ARRAY_LEN(UNITS); i++)
                if (most >= UNITS[i].scale || i + 1 == ARRAY_LEN(UNITS)) {
                        axis->scale = UNITS[i].scale;
                        axis->suffix = UNITS[i].suffix;
                        return;
                }
}

/* Round ends, and a label every four rows or so. */
static bool make_axis(const QueryAnswer *a, size_t rows, Axis *ret_axis) {
        double low, high;
        if (!value_range(a, &low, &high))
                return false;
        if (high - low <= fabs(high) * 1e-12) {
                double half = high != 0 ? fabs(high) / 2 : 1;
                low -= half;
                high += half;
        }
        if (!isfinite(high - low)) { /* the ends of what a double can be */
                low /= 4;
                high /= 4;
        }
        double want = (high - low) / fmax(1, (double)rows / 4);
        Axis axis = { .step = nice_step(want) };
        axis.low = floor(low / axis.step + 1e-9) * axis.step;
        axis.high = ceil(high / axis.step - 1e-9) * axis.step;
        if (!(axis.high > axis.low))
                axis.high = axis.low + axis.step;
        choose_unit(&axis);
        double places = -floor(log10(axis.step / axis.scale) + 1e-9);
        axis.decimals = places < 0 ? 0 : places > 6 ? 6 : (int)places;
        *ret_axis = axis;
        return true;
}

static void tick_label(const Axis *axis, double v, char out[LABEL_MAX]) {
        if (fabs(v) < axis->step * 1e-6)
                v = 0;
        (void)snprintf(out, LABEL_MAX, "%.*f%s", axis->decimals, v / axis->scale, v == 0 ? "" : axis->suffix);
}

/* The label of each row; "" for most. Returns the widest. */
static size_t row_labels(const Axis *axis, size_t rows, char (*labels)[LABEL_MAX]) {
        size_t widest = 0;
        size_t n = (size_t)fmin(TICKS_MAX, round((axis->high - axis->low) / axis->step));
        for (size_t i = 0; i <= n; i++) {
                double v = axis->low + (double)i * axis->step;
                size_t row = (size_t)round((axis->high - v) / (axis->high - axis->low) * (double)(rows - 1));
                if (row >= rows)
                        continue;
                tick_label(axis, v, labels[row]);
                size_t w = display_width(labels[row]);
                widest = w > widest ? w : widest;
        }
        return widest;
}

/* ---- Dots ---- */

static void set_dot(Canvas *c, long x, long y, uint8_t owner) {
        static const uint8_t BITS[2][4] = { { 0x01, 0x02, 0x04, 0x40 }, { 0x08, 0x10, 0x20, 0x80 } };
        if (x < 0 || y < 0 || x >= (long)c->width * 2 || y >= (long)c->height * 4)
                return;
        size_t cell = (size_t)(y / 4) * c->width + (size_t)(x / 2);
        c->dots[cell] |= BITS[x % 2][y % 4];
        c->owner[cell] = owner;
}

/* Bresenham's line. */
static void draw_line(Canvas *c, long x0, long y0, long x1, long y1, uint8_t owner) {
        long dx = labs(x1 - x0), dy = -labs(y1 - y0), sx = x0 < x1 ? 1 : -1, sy = y0 < y1 ? 1 : -1, error = dx + dy;
        for (;;) {
                set_dot(c, x0, y0, owner);
                if (x0 == x1 && y0 == y1)
                        return;
                long twice = 2 * error;
                if (twice >= dy) {
                        error += dy;
                        x0 += sx;
                }
                if (twice <= dx) {
                        error += dx;
                        y0 += sy;
                }
        }
}

/* A share of the way as a dot; what is far outside stays near, so that numbers fit. */
static long dot_of(double share, size_t dots) {
        return lround(fmax(-1, fmin(2, share)) * (double)(dots - 1));
}

static void draw_series(Canvas *c, const QuerySeries *s, const Axis *axis, const PlotOptions *o, uint8_t owner) {
        bool joined = false;
        long x = 0, y = 0;
        double last = 0, span = o->end > o->start ? o->end - o->start : 1;
        for (size_t i = 0; i < s->n; i++) {
                const QueryPoint *p = &s->points[i];
                if (!isfinite(p->value)) {
                        joined = false;
                        continue;
                }
                long px = dot_of((p->time - o->start) / span, c->width * 2);
                long py = dot_of((axis->high - p->value) / (axis->high - axis->low), c->height * 4);
                if (joined && (o->step <= 0 || p->time - last <= o->step * 1.5))
                        draw_line(c, x, y, px, py, owner);
                else
                        set_dot(c, px, py, owner);
                joined = true;
                x = px;
                y = py;
                last = p->time;
        }
}

/* ---- Text ---- */

static void put_color(Buf *out, bool color, unsigned owner) {
        if (color && owner)
                buf_printf(out, "\033[%dm", COLORS[(owner - 1) % ARRAY_LEN(COLORS)]);
        else if (color)
                buf_put_str(out, "\033[0m");
}

static void put_braille(Buf *out, uint8_t bits) {
        const char bytes[3] = { (char)0xE2, (char)(0xA0 | bits >> 6), (char)(0x80 | (bits & 0x3F)) };
        buf_put(out, bytes, sizeof bytes);
}

static void put_row(const Canvas *c, size_t row, bool color, bool letters, Buf *out) {
        const uint8_t *dots = c->dots + row * c->width, *owner = c->owner + row * c->width;
        size_t n = c->width;
        while (n > 0 && !dots[n - 1])
                n--;
        uint8_t last = 0;
        for (size_t i = 0; i < n; i++) {
                uint8_t now = dots[i] ? owner[i] : last;
                if (now != last)
                        put_color(out, color, now);
                last = now;
                if (!dots[i])
                        buf_put_char(out, ' ');
                else if (letters)
                        buf_put_char(out, MARKS[owner[i] - 1]);
                else
                        put_braille(out, dots[i]);
        }
        if (last)
                put_color(out, color, 0);
        buf_put_char(out, '\n');
}

static void put_repeated(Buf *out, const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                buf_put_str(out, s);
}

static size_t time_label(double seconds, const char *format, char out[40]) {
        time_t t = (time_t)fmax(-6e10, fmin(2e11, seconds));
        struct tm tm;
        size_t n = gmtime_r(&t, &tm) ? strftime(out, 40, format, &tm) : 0;
        out[n] = '\0';
        return n;
}

/* The times of the ends, and of the middle where there is room. */
static void put_times(const PlotOptions *o, size_t margin, size_t width, Buf *out) {
        char left[40], middle[40], right[40];
        bool wide = width >= 60, days = o->end - o->start >= 2 * 86400;
        const char *ends = wide ? "%Y-%m-%d %H:%M:%SZ" : days ? "%m-%d" : "%H:%M";
        size_t l = time_label(o->start, ends, left), r = time_label(o->end, ends, right);
        size_t m = time_label((o->start + o->end) / 2, days ? "%m-%d" : "%H:%M:%S", middle);
        size_t middle_at = (width - m) / 2;
        put_repeated(out, " ", margin);
        buf_put_str(out, left);
        if (middle_at > l + 1 && middle_at + m + 1 < width - r) {
                put_repeated(out, " ", middle_at - l);
                buf_put_str(out, middle);
                l = middle_at + m;
        }
        put_repeated(out, " ", width > l + r ? width - l - r : 1);
        buf_put_str(out, right);
        buf_put_char(out, '\n');
}

static void put_legend(const QueryAnswer *a, const PlotOptions *o, size_t shown, bool letters, Buf *out) {
        const TableColumn columns[] = { { "", false, 0 },
                                        { "", false, o->width > 40 ? o->width - 24 : 16 },
                                        { "", true, 0 } };
        for (size_t i = 0; i < shown; i++) {
                const QuerySeries *s = &a->series[i];
                CLEANUP(table_deinit) Table t;
                CLEANUP(buf_deinit) Buf row = BUF_NULL;
                char mark[4] = { letters ? MARKS[i] : '-', '\0' };
                table_init(&t, columns, ARRAY_LEN(columns));
                table_cell(&t, mark);
                table_cell(&t, *s->name ? s->name : "-");
                table_cell(&t, s->n ? s->points[s->n - 1].text : "-");
                table_print(&t, false, &row);
                put_color(out, o->color, (unsigned)i + 1);
                buf_put(out, row.data, row.len ? row.len - 1 : 0);
                put_color(out, o->color, 0);
                buf_put_char(out, '\n');
        }
        if (a->n > shown)
                buf_printf(out, text(TEXT_PLOT_MORE), a->n - shown);
}

static void put_plot(const Canvas *c, const PlotOptions *o, char (*labels)[LABEL_MAX], size_t margin, bool letters,
                     Buf *out) {
        for (size_t row = 0; row < c->height; row++) {
                put_repeated(out, " ", margin - display_width(labels[row]));
                buf_put_str(out, labels[row]);
                buf_put_str(out, labels[row][0] ? "┤" : "│");
                put_row(c, row, o->color, letters, out);
        }
        put_repeated(out, " ", margin);
        buf_put_str(out, "└");
        put_repeated(out, "─", c->width);
        buf_put_char(out, '\n');
        put_times(o, margin + 1, c->width, out);
}

void plot_render(const QueryAnswer *a, const PlotOptions *o, Buf *out) {
        assert(o->height > 1);
        Axis axis;
        if (!make_axis(a, o->height, &axis)) {
                buf_put_str(out, text(TEXT_QUERY_NONE));
                return;
        }
        CLEANUP_FREE char(*labels)[LABEL_MAX] = calloc(o->height, LABEL_MAX);
        if (!labels)
                return;
        size_t margin = row_labels(&axis, o->height, labels);
        Canvas c = { .height = o->height,
                     .width = o->width > margin + 1 + WIDTH_LEAST ? o->width - margin - 1 : WIDTH_LEAST };
        CLEANUP_FREE uint8_t *cells = calloc(c.width * c.height, 2);
        if (!cells)
                return;
        c.dots = cells;
        c.owner = cells + c.width * c.height;
        size_t shown = a->n < PLOT_SERIES_MAX ? a->n : PLOT_SERIES_MAX;
        bool letters = shown > 1 && !o->color;
        for (size_t i = 0; i < shown; i++)
                draw_series(&c, &a->series[i], &axis, o, (uint8_t)(i + 1));
        put_plot(&c, o, labels, margin, letters, out);
        put_legend(a, o, shown, letters, out);
}

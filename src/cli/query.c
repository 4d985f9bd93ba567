/* parallax query: one question in PromQL, to parallaxd or to whoever has the API of Prometheus. */
#include "cli/query.h"
#include "cli/cli.h"
#include "cli/plot.h"
#include "cli/query_answer.h"
#include "cli/table.h"

#include "base/duration.h"
#include "base/escape.h"
#include "base/scan.h"

#include <getopt.h>
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

typedef enum Format { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV, FORMAT_PLOT } Format;

typedef struct QueryArgs {
        Cli cli;
        const char *expression;
        Format format;
        double time, start, end, range, step; /* NaN: not given */
} QueryArgs;

/* ---- Times ---- */

/* "Z", "+08:00" or nothing; what is to be added to come to UTC. */
static bool parse_zone(const char *s, double *ret_offset) {
        int hours, minutes, end = 0;
        char sign;
        *ret_offset = 0;
        if (*s == '\0' || strcmp(s, "Z") == 0 || strcmp(s, "z") == 0)
                return true;
        if (sscanf(s, "%c%2d:%2d%n", &sign, &hours, &minutes, &end) != 3 || s[end] || (sign != '+' && sign != '-'))
                return false;
        *ret_offset = (sign == '+' ? -1 : 1) * (hours * 3600.0 + minutes * 60.0);
        return true;
}

bool query_parse_time(const char *s, double *ret_seconds) {
        struct tm tm = { 0 };
        char *end = NULL;
        double v = strtod(s, &end), fraction = 0, offset;
        if (end != s && *end == '\0' && fabs(v) < 9e12) {
                *ret_seconds = v;
                return true;
        }
        end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
        if (end && *end == '.')
                fraction = strtod(end, &end);
        if (!end)
                end = strptime(s, "%Y-%m-%d", &tm);
        if (!end || !parse_zone(end, &offset))
                return false;
        *ret_seconds = (double)timegm(&tm) + fraction + offset;
        return true;
}

static bool parse_span(const char *s, double *ret_seconds) {
        int64_t ns;
        char *end = NULL;
        double v = strtod(s, &end);
        if (duration_parse(s, &ns) == 0)
                v = (double)ns / 1e9;
        else if (end == s || *end)
                return false;
        *ret_seconds = v;
        return v > 0 && v < 9e12;
}

double query_default_step(double span, size_t points) {
        static const double NICE[] = { 1,   2,   5,    10,   15,   20,   30,    60,    120,   300,
                                       600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400 };
        double want = span / (double)(points ? points : 1);
        for (size_t i = 0; i < ARRAY_LEN(NICE); i++)
                if (want <= NICE[i])
                        return NICE[i];
        return ceil(want / 86400) * 86400;
}

/* ---- The terminal ---- */

static size_t terminal_width(void) {
        struct winsize size;
        const char *columns = getenv("COLUMNS");
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
                return size.ws_col;
        long n = columns ? strtol(columns, NULL, 10) : 0;
        return n >= 20 && n <= 1000 ? (size_t)n : 80;
}

static bool has_colors(void) {
        const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
        return isatty(STDOUT_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

/* ---- Errors ---- */

/* "12:3: ..." */
static bool take_place(const char *error, uint64_t *ret_line, uint64_t *ret_column) {
        Scan s = SCAN(error, strlen(error));
        return scan_u64(&s, ret_line) && scan_literal(&s, ":") && scan_u64(&s, ret_column) && scan_literal(&s, ":") &&
               *ret_line > 0 && *ret_column > 0;
}

static bool find_line(const char *text, uint64_t number, Span *ret_line) {
        Scan s = SCAN(text, strlen(text));
        Span line = { text, 0 };
        while (number > 0 && scan_line(&s, &line))
                number--;
        *ret_line = line;
        return number == 0;
}

/* A piece of the line, safe to print, blanks for tabs. */
static void put_piece(Buf *out, const char *bytes, size_t n) {
        for (size_t i = 0; i < n;) {
                size_t run = 0;
                while (i + run < n && bytes[i + run] != '\t')
                        run++;
                escape_terminal(out, bytes + i, run);
                i += run;
                if (i < n) {
                        buf_put_char(out, ' ');
                        i++;
                }
        }
}

/* Where to begin so that the mark is on the screen: at a whole character. */
static size_t first_shown(Span line, size_t at, size_t width) {
        size_t room = width > 24 ? width - 16 : 8;
        if (at <= room)
                return 0;
        size_t begin = at - room;
        while (begin < at && (line.text[begin] & 0xC0) == 0x80)
                begin++;
        return begin;
}

/* Cuts what does not fit on the screen, at a whole character. */
static size_t last_shown(Span line, size_t begin, size_t width) {
        size_t end = line.len - begin > width - 4 ? begin + width - 4 : line.len;
        while (end < line.len && end > begin && (line.text[end] & 0xC0) == 0x80)
                end--;
        return end;
}

void query_mark(const char *expression, const char *error, size_t width, Buf *out) {
        uint64_t number, column;
        Span line;
        if (!take_place(error, &number, &column) || !find_line(expression, number, &line))
                return;
        size_t at = column - 1 > line.len ? line.len : (size_t)column - 1;
        size_t begin = first_shown(line, at, width), end = last_shown(line, begin, width);
        CLEANUP(buf_deinit) Buf before = BUF_NULL;
        put_piece(&before, line.text + begin, at - begin);
        buf_put_str(out, "  ");
        put_piece(out, line.text + begin, (end > at ? end : at) - begin);
        buf_printf(out, "\n  %*s^\n", (int)display_width(buf_cstr(&before)), "");
}

static void print_texts(json_t *texts, TextId id) {
        CLEANUP(buf_deinit) Buf clean = BUF_NULL;
        size_t i;
        json_t *t;
        json_array_foreach(texts, i, t) {
                const char *s = json_string_value(t);
                buf_reset(&clean);
                escape_terminal(&clean, s ? s : "", s ? strlen(s) : 0);
                fprintf(stderr, text(id), buf_cstr(&clean));
        }
}

/* False when the answer is one. */
static bool complain(const QueryArgs *a, const Answer *answer) {
        static const char PARAMETER[] = "invalid parameter \"query\": ";
        const char *error = answer->error == 0 ? json_string_value(json_object_get(answer->json, "error")) : NULL;
        if (answer->error < 0 || (answer->status == 200 && answer->json) || !error)
                return answer_complain(answer, NULL);
        if (strncmp(error, PARAMETER, sizeof PARAMETER - 1) == 0)
                error += sizeof PARAMETER - 1;
        CLEANUP(buf_deinit) Buf clean = BUF_NULL, mark = BUF_NULL;
        escape_terminal(&clean, error, strlen(error));
        query_mark(a->expression, error, terminal_width(), &mark);
        fprintf(stderr, "parallax: %s\n%s", buf_cstr(&clean), buf_cstr(&mark));
        return true;
}

/* ---- Asking ---- */

static void put_parameter(Buf *out, const char *name, const char *value) {
        static const char UNRESERVED[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
        buf_printf(out, "%s%s=", out->len ? "&" : "", name);
        for (; *value; value++)
                if (strchr(UNRESERVED, *value))
                        buf_put_char(out, *value);
                else
                        buf_printf(out, "%%%02X", (unsigned)(unsigned char)*value);
}

static void put_seconds(Buf *out, const char *name, double seconds) {
        char number[40];
        (void)snprintf(number, sizeof number, "%.3f", seconds);
        put_parameter(out, name, number);
}

static void put_times(Buf *out, const QueryTimes *t) {
        if (!t->range) {
                put_seconds(out, "time", t->end);
                return;
        }
        put_seconds(out, "start", t->start);
        put_seconds(out, "end", t->end);
        put_seconds(out, "step", t->step);
}

static double now_seconds(void) {
        return floor((double)wall_now().ns / 1e6) / 1e3;
}

/* From what was given: an instant unless a range is asked for. */
static bool times_of(const QueryArgs *a, QueryTimes *ret_times) {
        double now = now_seconds(), end = !isnan(a->end) ? a->end : !isnan(a->time) ? a->time : now;
        bool range = !isnan(a->range) || !isnan(a->start) || a->format == FORMAT_PLOT;
        if (!range && (!isnan(a->end) || !isnan(a->step)))
                return false;
        double start = !isnan(a->start) ? a->start : end - (isnan(a->range) ? 3600 : a->range);
        size_t points = a->format == FORMAT_PLOT ? terminal_width() * 2 : 60;
        double step = isnan(a->step) ? query_default_step(end - start, points) : a->step;
        /* Whole steps, as Grafana does: the same points when it is asked again. */
        if (range && isnan(a->start) && isnan(a->end) && isnan(a->time)) {
                end = floor(end / step) * step;
                start = end - floor((isnan(a->range) ? 3600 : a->range) / step) * step;
        }
        *ret_times = (QueryTimes){ .range = range, .start = start, .end = end, .step = step };
        return !range || start <= end;
}

static int print_answer(const QueryArgs *a, const QueryTimes *t, json_t *json) {
        CLEANUP(buf_deinit) Buf out = BUF_WITH_LIMIT((size_t)1 << 30);
        CLEANUP(query_answer_deinit) QueryAnswer answer;
        int r = query_answer_read(json_object_get(json, "data"), &answer);
        if (r < 0) {
                fprintf(stderr, text(TEXT_QUERY_UNREADABLE), strerror(-r));
                return CLI_FAILED;
        }
        PlotOptions plot = { terminal_width(), 16, has_colors(), t->start, t->end, t->step };
        switch (a->format) {
        case FORMAT_CSV: query_render_csv(&answer, &out); break;
        case FORMAT_PLOT: plot_render(&answer, &plot, &out); break;
        default: query_render_table(&answer, &out);
        }
        bool ok = buf_error(&out) == 0 && fwrite(out.data ? out.data : "", 1, out.len, stdout) == out.len &&
                  fflush(stdout) == 0;
        return ok ? CLI_OK : CLI_FAILED;
}

static int run_query(const QueryArgs *a, const QueryTimes *t) {
        CLEANUP(answer_deinit) Answer answer = { 0 };
        CLEANUP(buf_deinit) Buf form = BUF_NULL, raw = BUF_WITH_LIMIT((size_t)1 << 30);
        put_parameter(&form, "query", a->expression);
        put_times(&form, t);
        source_post_form(&a->cli, t->range ? "/api/v1/query_range" : "/api/v1/query", &form, &answer, &raw);
        if (complain(a, &answer))
                return CLI_FAILED;
        print_texts(json_object_get(answer.json, "warnings"), TEXT_QUERY_WARNING);
        print_texts(json_object_get(answer.json, "infos"), TEXT_QUERY_INFO);
        if (a->format != FORMAT_JSON)
                return print_answer(a, t, answer.json);
        bool ok = fwrite(raw.data, 1, raw.len, stdout) == raw.len &&
                  (raw.data[raw.len - 1] == '\n' || putchar('\n') == '\n');
        return ok && fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

/* ---- Arguments ---- */

enum { OPT_TIME = 256, OPT_RANGE, OPT_START, OPT_END, OPT_STEP, OPT_PLOT };

static const struct option LONG[] = {
        { "server", required_argument, NULL, 's' },
        { "time", required_argument, NULL, OPT_TIME },
        { "range", required_argument, NULL, OPT_RANGE },
        { "start", required_argument, NULL, OPT_START },
        { "end", required_argument, NULL, OPT_END },
        { "step", required_argument, NULL, OPT_STEP },
        { "format", required_argument, NULL, 'f' },
        { "plot", no_argument, NULL, OPT_PLOT },
        { 0 },
};

static bool parse_format(const char *s, Format *ret_format) {
        static const char *const NAMES[] = { "table", "json", "csv" };
        for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
                if (strcmp(s, NAMES[i]) == 0) {
                        *ret_format = (Format)i;
                        return true;
                }
        return false;
}

static bool take_option(QueryArgs *a, int c) {
        switch (c) {
        case 's': a->cli.url = optarg; return true;
        case 'f': return parse_format(optarg, &a->format);
        case OPT_PLOT: a->format = FORMAT_PLOT; return true;
        case OPT_TIME: return query_parse_time(optarg, &a->time);
        case OPT_START: return query_parse_time(optarg, &a->start);
        case OPT_END: return query_parse_time(optarg, &a->end);
        case OPT_RANGE: return parse_span(optarg, &a->range);
        case OPT_STEP: return parse_span(optarg, &a->step);
        default: return false;
        }
}

/* CLI_OK, or the code to end with. */
static int parse_arguments(const Cli *cli, int argc, char **argv, QueryArgs *ret_args, QueryTimes *ret_times) {
        QueryArgs a = { .cli = *cli, .time = NAN, .start = NAN, .end = NAN, .range = NAN, .step = NAN };
        optind = 0; /* GNU: start anew */
        for (int c; (c = getopt_long(argc, argv, "s:f:", LONG, NULL)) != -1;) {
                if (c == '?')
                        return cli_usage();
                if (!take_option(&a, c)) {
                        fprintf(stderr, text(TEXT_STORE_BAD_VALUE), optarg);
                        return CLI_USAGE;
                }
        }
        if (optind + 1 != argc) {
                fprintf(stderr, text(TEXT_QUERY_ONE), argv[0]);
                return CLI_USAGE;
        }
        a.expression = argv[optind];
        if (!times_of(&a, ret_times)) {
                fputs(text(TEXT_QUERY_TIMES), stderr);
                return CLI_USAGE;
        }
        *ret_args = a;
        return CLI_OK;
}

int verb_query(const Cli *cli, int argc, char **argv) {
        QueryArgs a;
        QueryTimes t;
        int code = parse_arguments(cli, argc, argv, &a, &t);
        return code == CLI_OK ? run_query(&a, &t) : code;
}

int verb_explain(const Cli *cli, int argc, char **argv) {
        QueryArgs a;
        QueryTimes t;
        int code = parse_arguments(cli, argc, argv, &a, &t);
        if (code != CLI_OK)
                return code;
        CLEANUP(answer_deinit) Answer answer = { 0 };
        CLEANUP(buf_deinit) Buf form = BUF_NULL, path = BUF_NULL, plan = BUF_WITH_LIMIT((size_t)16 << 20);
        put_parameter(&form, "query", a.expression);
        put_times(&form, &t);
        buf_printf(&path, "/api/v1/parallax/explain?%s", buf_cstr(&form));
        source_get_raw(&a.cli, buf_cstr(&path), &answer, &plan);
        if (answer.error < 0 || answer.status != 200)
                return complain(&a, &answer) ? CLI_FAILED : CLI_OK;
        return fwrite(plan.data ? plan.data : "", 1, plan.len, stdout) == plan.len && fflush(stdout) == 0 ? CLI_OK
                                                                                                          : CLI_FAILED;
}

/* Writes the requests of a VM fleet to a stream file (rw/stream.h): the same options, the same bytes.
 * See --help; bench/store.py runs it. */
#include "fleet/fleet.h"
#include "fleet/report.h"
#include "rw/ledger.h"
#include "rw/stream.h"

#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define FLEET_SERIES 14207

static const char help[] =
        "fleet_gen [OPTIONS] --out FILE: remote-write requests of a fleet of virtual machines\n"
        "  --shape live|day   one sample or 60 samples per series and request (day)\n"
        "  --hours N          hours of samples (24; may be a fraction)\n"
        "  --rounds N         samples per series, instead of --hours\n"
        "  --series N         series at a time (14207: 10 hosts, 200 machines)\n"
        "  --per-request N    series per request (2000)\n"
        "  --step DURATION    between two samples (10s)\n"
        "  --end SECONDS      Unix time of the end (now); give it for equal bytes\n"
        "  --jitter DURATION  of the times, e.g. 5ms; all series of a host share the instant (0ms)\n"
        "  --resolutions      CPU time in microseconds, ratios in 1e-4\n"
        "  --labels lean|rich 3 or 4 labels of a VM, or 9 or 10 with uuid and project (lean)\n"
        "  --seed N           (1)\n"
        "  --oracle FILE      count, times, checksum and sum of every series, as rw_check reads them\n"
        "  --report           print shares and sizes by class, write nothing\n";

typedef struct Command {
        FleetOptions fleet;
        uint32_t rounds, window, per_request;
        double hours;
        int64_t end_ms;
        const char *out, *oracle;
        bool report;
} Command;

static int64_t parse_ms(const char *text) {
        char *unit;
        double v = strtod(text, &unit);
        return (int64_t)(strcmp(unit, "ms") == 0 ? v : v * 1000);
}

static bool parse_option(Command *c, int option, const char *value) {
        switch (option) {
        case 'h': c->hours = strtod(value, NULL); return c->hours > 0;
        case 'n': c->rounds = (uint32_t)strtoul(value, NULL, 10); return c->rounds > 0;
        case 's': c->fleet.series = (uint32_t)strtoul(value, NULL, 10); return c->fleet.series > 0;
        case 'p': c->per_request = (uint32_t)strtoul(value, NULL, 10); return c->per_request > 0;
        case 't': c->fleet.step_ms = parse_ms(value); return c->fleet.step_ms > 0;
        case 'e': c->end_ms = (int64_t)(strtod(value, NULL) * 1000); return c->end_ms > 0;
        case 'j': c->fleet.jitter_ms = parse_ms(value); return c->fleet.jitter_ms >= 0;
        case 'r': c->fleet.resolutions = true; return true;
        case 'x': c->fleet.seed = strtoull(value, NULL, 10); return true;
        case 'o': c->out = value; return true;
        case 'O': c->oracle = value; return true;
        case 'R': c->report = true; return true;
        case 'S':
                c->window = strcmp(value, "live") == 0 ? 1 : FLEET_WINDOW;
                return c->window == 1 || strcmp(value, "day") == 0;
        case 'l':
                c->fleet.rich_labels = strcmp(value, "rich") == 0;
                return c->fleet.rich_labels || strcmp(value, "lean") == 0;
        default: return false;
        }
}

static bool parse_command(int argc, char **argv, Command *ret_command) {
        static const struct option options[] = {
                { "shape", 1, NULL, 'S' },  { "hours", 1, NULL, 'h' },  { "rounds", 1, NULL, 'n' },      { "series", 1, NULL, 's' }, { "per-request", 1, NULL, 'p' },
                { "step", 1, NULL, 't' },   { "end", 1, NULL, 'e' },    { "jitter", 1, NULL, 'j' },      { "labels", 1, NULL, 'l' }, { "resolutions", 0, NULL, 'r' },
                { "seed", 1, NULL, 'x' },   { "out", 1, NULL, 'o' },    { "oracle", 1, NULL, 'O' },      { "report", 0, NULL, 'R' }, { 0 },
        };
        Command c = { .fleet = { .seed = 1, .series = FLEET_SERIES, .step_ms = 10000 }, .window = FLEET_WINDOW, .per_request = 2000, .hours = 24 };
        c.end_ms = (int64_t)time(NULL) * 1000;
        int option;
        while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
                if (!parse_option(&c, option, optarg))
                        return false;
        if ((!c.out && !c.report) || optind != argc || c.fleet.step_ms <= 2 * c.fleet.jitter_ms)
                return false;
        if (c.rounds == 0)
                c.rounds = (uint32_t)(c.hours * 3600000 / (double)c.fleet.step_ms);
        int64_t length = c.rounds * c.fleet.step_ms + c.fleet.step_ms; /* offsets of the hosts and jitter stay before the end */
        c.fleet.begin_ms = (c.end_ms - length) / c.fleet.step_ms * c.fleet.step_ms;
        *ret_command = c;
        return c.rounds > 0 && c.fleet.begin_ms > 0;
}

/* A series' samples of the window: one TimeSeries, two when another machine took the place. */
static void put_series(Fleet *f, uint32_t series, uint32_t n, RequestWriter *w, Buf *run, Ledger *oracle) {
        double values[FLEET_WINDOW];
        fleet_values(f, series, values);
        bool open = false;
        uint32_t incarnation = 0, entry = 0;
        for (uint32_t i = 0; i < n; i++) {
                if (fleet_presence(f, series, i) == FLEET_ABSENT)
                        continue;
                if (!open || incarnation != fleet_incarnation(f, series, i)) {
                        if (open)
                                request_series_end(w);
                        incarnation = fleet_incarnation(f, series, i);
                        buf_reset(run);
                        fleet_labels(f, series, incarnation, run);
                        request_series_begin(w, run->data, run->len);
                        open = true;
                        if (oracle)
                                entry = ledger_series(oracle, run->data, run->len);
                }
                int64_t ms = fleet_time(f, series, i);
                request_sample(w, ms, values[i]);
                if (oracle)
                        ledger_add(oracle, entry, ms, values[i]);
        }
        if (open)
                request_series_end(w);
}

static int put_window(Fleet *f, const Command *c, uint32_t n, RequestWriter *w, Buf *run, Ledger *oracle) {
        fleet_window(f, n);
        for (uint32_t s = 0; s < fleet_count(f); s++) {
                put_series(f, s, n, w, run, oracle);
                if ((s + 1) % c->per_request == 0 || s + 1 == fleet_count(f)) {
                        int r = request_end(w);
                        if (r < 0)
                                return r;
                }
        }
        return buf_error(run);
}

static int put_fleet(const Command *c, RequestWriter *w, Ledger *oracle) {
        CLEANUP(fleet_freep) Fleet *f = fleet_new(&c->fleet);
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        int r = 0;
        for (uint32_t at = 0; at < c->rounds && r == 0; at += c->window)
                r = put_window(f, c, c->rounds - at < c->window ? c->rounds - at : c->window, w, &run, oracle);
        return r;
}

static int write_stream(const Command *c) {
        CLEANUP(ledger_freep) Ledger *oracle = c->oracle ? ledger_new() : NULL;
        RequestWriter w;
        int r = request_writer_open(&w, c->out);
        if (r == 0)
                r = put_fleet(c, &w, oracle);
        int closed = request_writer_close(&w);
        if (r == 0)
                r = closed;
        if (r == 0 && oracle)
                r = ledger_write(oracle, c->oracle);
        if (r == 0)
                (void)printf("{\"requests\":%" PRIu64 ",\"samples\":%" PRIu64 ",\"raw_bytes\":%" PRIu64 ",\"wire_bytes\":%" PRIu64
                             ",\"begin_ms\":%" PRId64 ",\"end_ms\":%" PRId64 "}\n",
                             w.requests, w.total_samples, w.raw_bytes, w.wire_bytes, c->fleet.begin_ms, c->fleet.begin_ms + (c->rounds + 1) * c->fleet.step_ms);
        return r;
}

int main(int argc, char **argv) {
        Command c;
        if (!parse_command(argc, argv, &c)) {
                (void)fputs(help, stderr);
                return 2;
        }
        if (c.report) {
                fleet_report(&c.fleet, c.rounds, stdout);
                return 0;
        }
        int r = write_stream(&c);
        if (r < 0)
                (void)fprintf(stderr, "fleet_gen: %s: %s\n", c.out, strerror(-r));
        return r < 0;
}

/* Runs test scripts of PromQL in the language of Prometheus's own ones: `load`, `load_with_nhcb`, `clear`, `eval
 * instant at`, `eval range from to step`, with what is expected below. Each instant query is asked a second time as the
 * middle one of three steps of a range query: the answer must be the same.
 *
 * Of ours alone: `features NAME...` says which of PromQL's experiments are on from here (none: none; at the start all).
 */
#include "expect.h"
#include "world.h"

#include <assert.h>
#include <fcntl.h>
#include <getopt.h>

#define MINUTE_MS INT64_C(60000)
#define SCRIPT_MAX ((size_t)64 << 20)
#define ARENA_MAX ((size_t)2 << 30)
#define ALL_FEATURES                                                                                                   \
        (PROMQL_EXPERIMENTAL_FUNCTIONS | PROMQL_DURATION_EXPR | PROMQL_EXTENDED_RANGE | PROMQL_BINOP_FILL |            \
         PROMQL_DELAYED_NAME_REMOVAL)

static const char help[] = "promql_script [OPTIONS] FILE...: runs test scripts of PromQL\n"
                           "  --quiet        prints what fails and sums, not what passes\n"
                           "  --flush        queries read files instead of memory\n"
                           "  --epsilon E    how far values may differ, relatively (1e-6)\n"
                           "  --limit-ms N   time of a query (30000)\n";

typedef struct Eval {
        Span text;
        bool range;
        int64_t start_ms, end_ms, step_ms;
        unsigned line;
        Expectation expect;
} Eval;

typedef struct Script {
        World world;
        const char *name;
        Scan rest;
        Span line; /* trimmed; empty for comments */
        unsigned line_number;
        bool have_line; /* `line` is still to be read */
        bool quiet, flush;
        unsigned features;
        double epsilon;
        Duration timeout;
        unsigned passed, failed, seen_features;
} Script;

/* ---- Lines ---- */

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\r';
}

static Span trimmed(Span s) {
        while (s.len && is_blank(s.text[0])) {
                s.text++;
                s.len--;
        }
        while (s.len && is_blank(s.text[s.len - 1]))
                s.len--;
        if (s.len && s.text[0] == '#')
                s.len = 0;
        return s;
}

static bool next_line(Script *s) {
        if (s->have_line) {
                s->have_line = false;
                return true;
        }
        if (!scan_line(&s->rest, &s->line))
                return false;
        s->line = trimmed(s->line);
        s->line_number++;
        return true;
}

static void report(Script *s, const Eval *e, bool ok, const char *why) {
        if (ok)
                s->passed++;
        else
                s->failed++;
        if (ok && s->quiet)
                return;
        printf("%s %s:%u %.*s\n", ok ? "PASS" : "FAIL", s->name, e->line, (int)e->text.len, e->text.text);
        if (!ok)
                printf("     %s\n", why);
}

static int broken(Script *s, Buf *error) {
        printf("FAIL %s:%u: %s\n", s->name, s->line_number, buf_cstr(error));
        s->failed++;
        return -EINVAL;
}

/* ---- load ---- */

static void free_series(NotedSeries *list, size_t n) {
        for (size_t i = 0; i < n; i++)
                noted_series_deinit(&list[i]);
        free(list);
}

static int run_load(Script *s, Scan command, bool custom) {
        ArenaBudget budget = ARENA_BUDGET(ARENA_MAX);
        CLEANUP(arena_deinit) Arena arena = ARENA(&budget);
        CLEANUP(buf_deinit) Buf error = BUF_NULL;
        NotedSeries *list = NULL;
        size_t n = 0;
        int64_t step_ms;
        Span step;
        int r = 0;
        if (!scan_word(&command, &step) || !notation_duration(step, &step_ms)) {
                buf_put_str(&error, "expected load STEP");
                return broken(s, &error);
        }
        while (r == 0 && next_line(s) && s->line.len) {
                list = reallocarray(list, n + 1, sizeof *list);
                assert(list);
                r = notation_parse(&arena, s->line, &list[n], &error);
                n += r == 0;
        }
        if (r == 0)
                r = world_load(&s->world, list, n, step_ms, custom, &error);
        free_series(list, n);
        return r < 0 ? broken(s, &error) : 0;
}

/* ---- eval ---- */

static Query *ask(Script *s, const Eval *e, bool instant, int64_t start_ms, int64_t end_ms, int64_t step_ms) {
        QueryRequest request = {
                .text = e->text,
                .instant = instant,
                .start_ms = start_ms,
                .end_ms = end_ms,
                .step_ms = step_ms,
                .tier = QUERY_TIER_RAW,
                .features = s->features,
        };
        query_limits_default(&request.limits);
        request.limits.timeout = s->timeout;
        Query *q = query_run(s->world.store, &request);
        assert(q);
        return q;
}

static bool mentions(Span text, const char *what) {
        return memmem(text.text, text.len, what, strlen(what)) != NULL;
}

/* Whether it has the same answer at the middle of three steps. */
static bool is_steady(const Eval *e) {
        return !mentions(e->text, "start()") && !mentions(e->text, "end()") && !mentions(e->text, "step()") &&
               !mentions(e->text, "range()");
}

static bool holds_within_range(Script *s, const Eval *e, Buf *why) {
        Expectation unordered = e->expect;
        Query *q = ask(s, e, false, e->start_ms - MINUTE_MS, e->start_ms + MINUTE_MS, MINUTE_MS);
        const QueryResult *r = query_result(q);
        /* Notes of the other steps may come in addition, and their errors too. */
        unordered.count[EXPECT_NO_INFO] = unordered.count[EXPECT_NO_WARN] = unordered.count[EXPECT_ORDERED] = 0;
        unordered.n_lines = 0;
        unordered.count[EXPECT_WARN] = unordered.count[EXPECT_INFO] = 0;
        buf_put_str(why, "as a step of a range: ");
        bool ok = expectation_holds(&unordered, r, false, 1, why);
        (void)query_free(q);
        return ok;
}

static void evaluate(Script *s, Eval *e) {
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        e->expect.epsilon = s->epsilon;
        if (!e->expect.has_range_vector) {
                e->expect.from_ms = e->start_ms;
                e->expect.step_ms = e->step_ms;
        }
        Query *q = ask(s, e, !e->range, e->start_ms, e->end_ms, e->step_ms);
        const QueryResult *r = query_result(q);
        bool ok = expectation_holds(&e->expect, r, e->range, 0, &why);
        bool again = r->fault == QUERY_OK && !e->range && r->type != TYPE_MATRIX && r->type != TYPE_STRING &&
                     is_steady(e);
        (void)query_free(q);
        if (ok && again) {
                buf_reset(&why);
                ok = holds_within_range(s, e, &why);
        }
        report(s, e, ok, buf_cstr(&why));
}

static bool time_after(Scan *s, const char *word, int64_t *ret_ms) {
        Span own, time;
        return scan_word(s, &own) && span_is(own, word) && scan_word(s, &time) && notation_duration(time, ret_ms);
}

/* " instant at 5m EXPR" or " range from 0 to 1h step 5m EXPR". */
static bool parse_eval(Scan command, Eval *e) {
        Span word;
        if (!scan_word(&command, &word))
                return false;
        e->range = span_is(word, "range");
        bool ok = e->range ? time_after(&command, "from", &e->start_ms) && time_after(&command, "to", &e->end_ms) &&
                                     time_after(&command, "step", &e->step_ms)
                           : span_is(word, "instant") && time_after(&command, "at", &e->start_ms);
        scan_blank(&command);
        e->text = (Span){ command.at, (size_t)(command.end - command.at) };
        return ok && e->text.len > 0;
}

static int run_eval(Script *s, Scan command, Span modifier) {
        ArenaBudget budget = ARENA_BUDGET(ARENA_MAX);
        CLEANUP(arena_deinit) Arena arena = ARENA(&budget);
        CLEANUP(buf_deinit) Buf error = BUF_NULL;
        Eval e = { .line = s->line_number };
        int r = parse_eval(command, &e) && (!modifier.len || expectation_modifier(&e.expect, modifier)) ? 0 : -EINVAL;
        if (r < 0)
                buf_put_str(&error,
                            "expected eval instant at TIME EXPR or eval range from TIME to TIME step TIME EXPR");
        while (r == 0 && next_line(s) && s->line.len)
                r = expectation_line(&e.expect, &arena, s->line, &error);
        if (r == 0)
                evaluate(s, &e);
        expectation_deinit(&e.expect);
        return r < 0 ? broken(s, &error) : 0;
}

/* ---- Commands ---- */

static int run_features(Script *s, Scan command) {
        static const struct {
                const char *name;
                PromqlFeature feature;
        } NAMES[] = { { "promql-experimental-functions", PROMQL_EXPERIMENTAL_FUNCTIONS },
                      { "promql-duration-expr", PROMQL_DURATION_EXPR },
                      { "promql-extended-range-selectors", PROMQL_EXTENDED_RANGE },
                      { "promql-binop-fill-modifiers", PROMQL_BINOP_FILL },
                      { "promql-delayed-name-removal", PROMQL_DELAYED_NAME_REMOVAL } };
        Span word;
        s->features = 0;
        while (scan_word(&command, &word)) {
                if (span_is(word, "all"))
                        s->features = ALL_FEATURES;
                for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
                        if (span_is(word, NAMES[i].name))
                                s->features |= NAMES[i].feature;
        }
        return 0;
}

static int run_command(Script *s) {
        CLEANUP(buf_deinit) Buf error = BUF_NULL;
        Scan rest = SCAN(s->line.text, s->line.len);
        Span word;
        (void)scan_word(&rest, &word);
        if (span_is(word, "clear")) {
                world_clear(&s->world);
                return 0;
        }
        if (span_is(word, "features"))
                return run_features(s, rest);
        if (span_is(word, "load") || span_is(word, "load_with_nhcb"))
                return run_load(s, rest, word.len > 4);
        if (span_is(word, "eval"))
                return run_eval(s, rest, (Span){ NULL, 0 });
        if (span_starts(word, "eval_"))
                return run_eval(s, rest, (Span){ word.text + 5, word.len - 5 });
        buf_printf(&error, "unknown command %.*s", (int)word.len, word.text);
        return broken(s, &error);
}

static bool run_script(Script *s, const char *path) {
        CLEANUP(buf_deinit) Buf text = BUF_WITH_LIMIT(SCRIPT_MAX);
        int r = buf_read_file(&text, AT_FDCWD, path, SCRIPT_MAX);
        if (r < 0) {
                fprintf(stderr, "%s: %s\n", path, strerror(-r));
                return false;
        }
        s->name = path;
        s->rest = SCAN(text.data, text.len);
        s->line_number = s->passed = s->failed = 0;
        s->features = ALL_FEATURES;
        world_init(&s->world, s->flush);
        while (next_line(s))
                if (s->line.len)
                        (void)run_command(s);
        world_deinit(&s->world);
        printf("%s: %u passed, %u failed\n", path, s->passed, s->failed);
        (void)fflush(stdout);
        return s->failed == 0 && s->passed > 0;
}

static bool parse_options(int argc, char **argv, Script *s) {
        static const struct option options[] = { { "quiet", 0, NULL, 'q' },
                                                 { "flush", 0, NULL, 'f' },
                                                 { "epsilon", 1, NULL, 'e' },
                                                 { "limit-ms", 1, NULL, 'l' },
                                                 { 0 } };
        int option;
        while ((option = getopt_long(argc, argv, "q", options, NULL)) != -1) {
                switch (option) {
                case 'q':
                        s->quiet = true;
                        break;
                case 'f':
                        s->flush = true;
                        break;
                case 'e':
                        s->epsilon = strtod(optarg, NULL);
                        break;
                case 'l':
                        s->timeout = MILLISECONDS(strtol(optarg, NULL, 10));
                        break;
                default:
                        return false;
                }
        }
        return optind < argc;
}

int main(int argc, char **argv) {
        Script s = { .epsilon = 1e-6, .timeout = SECONDS(30) };
        bool ok = true;
        if (!parse_options(argc, argv, &s)) {
                fputs(help, stderr);
                return 2;
        }
        for (int i = optind; i < argc; i++)
                ok = run_script(&s, argv[i]) && ok;
        return ok ? 0 : 1;
}

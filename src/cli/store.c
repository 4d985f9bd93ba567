/* parallax store VERB: one table of verbs. With --data-dir it works on a directory itself, otherwise it asks parallaxd. */
#include "cli/store.h"
#include "cli/human.h"
#include "cli/table.h"

#include <getopt.h>
#include <math.h>
#include <string.h>
#include <time.h>

enum { NEEDS_NOTHING = 0, NEEDS_MATCH = 1, NEEDS_PATH = 2, NEEDS_DIRECTORY = 4, MAY_OPERAND = 8, POSTS = 16 };

static const struct {
        const char *name;
        unsigned needs;
} VERBS[] = {
        { "info", NEEDS_NOTHING },
        { "verify", POSTS },
        { "inspect", NEEDS_DIRECTORY | MAY_OPERAND },
        { "export", NEEDS_NOTHING },
        { "delete", NEEDS_MATCH | POSTS },
        { "snapshot", NEEDS_PATH | POSTS },
        { "rollup", POSTS },
        { "compact", POSTS },
};

static int usage(TextId id) {
        fputs(text(id), stderr);
        return cli_usage();
}

static int usage_of(TextId id, const char *what) {
        fprintf(stderr, text(id), what);
        return cli_usage();
}

/* ---- Times: seconds since 1970, or RFC 3339 ---- */

static bool parse_time(const char *s, int64_t *ret_ms) {
        struct tm tm = { 0 };
        char *end = NULL;
        double seconds = strtod(s, &end);
        if (end != s && *end == '\0' && fabs(seconds) < 9e12) {
                *ret_ms = (int64_t)llround(seconds * 1000);
                return true;
        }
        end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
        if (!end)
                end = strptime(s, "%Y-%m-%d", &tm);
        if (!end || (strcmp(end, "Z") != 0 && *end != '\0'))
                return false;
        *ret_ms = (int64_t)timegm(&tm) * 1000;
        return true;
}

/* ---- Asking parallaxd ---- */

static void put_encoded(Buf *out, const char *s) {
        for (; *s; s++)
                buf_printf(out, "%%%02X", (unsigned)(unsigned char)*s);
}

static void put_query(const StoreArgs *a, Buf *path) {
        static const char *const TIERS[] = { "raw", "5m", "1h" };
        static const char *const COLUMNS[] = { "count", "sum", "min", "max", "last", "increase" };
        buf_printf(path, "?tier=%s&column=%s", TIERS[a->tier], COLUMNS[a->column]);
        for (size_t i = 0; i < a->n_matchers; i++) {
                buf_printf(path, "&match%zu=", i);
                put_encoded(path, a->matchers[i]);
        }
        if (a->begin_ms != INT64_MIN)
                buf_printf(path, "&begin=%lld", (long long)a->begin_ms);
        if (a->end_ms != INT64_MAX)
                buf_printf(path, "&end=%lld", (long long)a->end_ms);
        if (a->operand) {
                buf_put_str(path, "&path=");
                put_encoded(path, a->operand);
        }
}

static bool is_under_way(json_t *job) {
        const char *state = field_text(job, "state");
        return strcmp(state, "waiting") == 0 || strcmp(state, "running") == 0;
}

/* A job is asked after until it has ended: often at first, since most are short. */
static void await_job(const Cli *cli, Answer *answer) {
        struct timespec wait = { 0, 20000000 };
        while (answer->status == 202 || (answer->status == 200 && is_under_way(answer->json))) {
                CLEANUP(buf_deinit) Buf path = BUF_NULL;
                buf_printf(&path, "/api/v1/parallax/store/job?id=%.0f", field_number(answer->json, "job"));
                (void)nanosleep(&wait, NULL);
                wait.tv_nsec = wait.tv_nsec < 500000000 ? wait.tv_nsec * 3 / 2 : 750000000;
                answer_deinit(answer);
                source_get(cli, buf_cstr(&path), answer);
        }
}

static int print_answer(const StoreArgs *a, json_t *json) {
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        double damaged = field_number(json, "damaged");
        if (strcmp(a->verb, "info") == 0 && !a->json) {
                store_render_info(json, &out);
                fputs(buf_cstr(&out), stdout);
        } else if (strcmp(a->verb, "info") == 0) {
                (void)json_dumpf(json, stdout, JSON_INDENT(2));
                puts("");
        } else if (strcmp(a->verb, "verify") == 0) {
                return store_print_verified(damaged > 0 ? (int)damaged : 0);
        }
        return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static int ask(const Cli *cli, const StoreArgs *a, bool posts) {
        CLEANUP(answer_deinit) Answer answer = { 0 };
        CLEANUP(buf_deinit) Buf path = BUF_NULL, raw = BUF_NULL;
        if (strcmp(a->verb, "export") == 0) {
                buf_put_str(&path, "/api/v1/parallax/export");
                put_query(a, &path);
                source_get_raw(cli, buf_cstr(&path), &answer, &raw);
                if (answer.status != 200 && answer_complain(&answer, NULL))
                        return CLI_FAILED;
                return fwrite(raw.data ? raw.data : "", 1, raw.len, stdout) == raw.len && fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
        }
        buf_put_str(&path, "/api/v1/parallax/store");
        if (posts) {
                buf_printf(&path, "/%s", a->verb);
                put_query(a, &path);
                source_post(cli, buf_cstr(&path), &answer);
                await_job(cli, &answer);
        } else {
                source_get(cli, buf_cstr(&path), &answer);
        }
        if (answer_complain(&answer, NULL))
                return CLI_FAILED;
        if (strcmp(field_text(answer.json, "state"), "failed") == 0) {
                fprintf(stderr, text(TEXT_STORE_FAILED), a->verb, field_text(answer.json, "error"));
                return CLI_FAILED;
        }
        return print_answer(a, answer.json);
}

/* ---- For people ---- */

int store_print_verified(int damaged) {
        if (damaged)
                printf(text(TEXT_STORE_DAMAGED), damaged);
        else
                fputs(text(TEXT_STORE_SOUND), stdout);
        return damaged ? CLI_FAILED : CLI_OK;
}

static void time_text(double ms, char out[32]) {
        time_t t = (time_t)floor(ms / 1000);
        struct tm tm;
        if (isnan(ms) || !gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%d %H:%M:%SZ", &tm))
                (void)strcpy(out, "-");
}

void store_render_info(json_t *info, Buf *out) {
        const TableColumn columns[] = { { text(TEXT_STORE_TIER), false, 0 }, { text(TEXT_STORE_FILES), true, 0 }, { text(TEXT_STORE_SIZE), true, 0 },
                                        { text(TEXT_STORE_SAMPLES), true, 0 }, { text(TEXT_STORE_FROM), false, 0 }, { text(TEXT_STORE_TO), false, 0 } };
        CLEANUP(table_deinit) Table t = { 0 };
        json_t *tiers = field(info, "tiers");
        table_init(&t, columns, ARRAY_LEN(columns));
        for (size_t i = 0; i < json_array_size(tiers); i++) {
                json_t *tier = json_array_get(tiers, i);
                char from[32], to[32];
                time_text(field_number(tier, "min_ms"), from);
                time_text(field_number(tier, "max_ms"), to);
                table_cell(&t, field_text(tier, "tier"));
                table_cell(&t, human_count(field_number(tier, "parts")).text);
                table_cell(&t, human_bytes(field_number(tier, "bytes")).text);
                table_cell(&t, human_count(field_number(tier, "samples")).text);
                table_cell(&t, from);
                table_cell(&t, to);
        }
        table_print(&t, true, out);
        buf_printf(out, text(TEXT_STORE_HEAD), human_count(field_number(info, "head.series")).text, human_count(field_number(info, "head.samples")).text,
                   human_bytes(field_number(info, "head.bytes")).text, human_bytes(field_number(info, "log.bytes")).text);
        if (json_is_true(field(info, "disk_full")))
                buf_put_str(out, text(TEXT_STORE_FULL));
        if (json_is_true(field(info, "log.broken")))
                buf_put_str(out, text(TEXT_STORE_BROKEN));
        if (field_number(info, "damaged") > 0 || field_number(info, "log.lost_places") > 0)
                buf_put_str(out, text(TEXT_STORE_HURT));
}

/* ---- Options ---- */

static bool take_tier(StoreArgs *a, const char *s) {
        static const char *const NAMES[] = { "raw", "5m", "1h" };
        for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
                if (strcmp(s, NAMES[i]) == 0) {
                        a->tier = (StoreTier)i;
                        return true;
                }
        return false;
}

static bool take_column(StoreArgs *a, const char *s) {
        static const char *const NAMES[] = { "count", "sum", "min", "max", "last", "increase" };
        for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
                if (strcmp(s, NAMES[i]) == 0) {
                        a->column = (RollupColumn)i;
                        return true;
                }
        return false;
}

static bool take_match(StoreArgs *a, const char *s) {
        if (a->n_matchers == STORE_MATCHERS_MAX)
                return false;
        a->matchers[a->n_matchers++] = s;
        return true;
}

static bool take_vm(StoreArgs *a, const char *uuid) {
        size_t n = strlen(uuid) + sizeof "uuid=";
        free(a->vm);
        a->vm = malloc(n);
        if (!a->vm)
                return false;
        (void)snprintf(a->vm, n, "uuid=%s", uuid);
        return take_match(a, a->vm);
}

static int take_options(StoreArgs *a, int argc, char **argv) {
        static const struct option LONG[] = { { "data-dir", required_argument, NULL, 'd' }, { "match", required_argument, NULL, 'm' },
                                              { "vm", required_argument, NULL, 'v' },       { "from", required_argument, NULL, 'f' },
                                              { "to", required_argument, NULL, 't' },       { "tier", required_argument, NULL, 'T' },
                                              { "column", required_argument, NULL, 'c' },   { "json", no_argument, NULL, 'j' }, { 0 } };
        optind = 0;
        for (int c; (c = getopt_long(argc, argv, "d:", LONG, NULL)) != -1;) {
                bool ok = c != '?';
                switch (c) {
                case 'd': a->data_dir = optarg; break;
                case 'j': a->json = true; break;
                case 'm': ok = take_match(a, optarg); break;
                case 'v': ok = take_vm(a, optarg); break;
                case 'f': ok = parse_time(optarg, &a->begin_ms); break;
                case 't': ok = parse_time(optarg, &a->end_ms); break;
                case 'T': ok = take_tier(a, optarg); break;
                case 'c': ok = take_column(a, optarg); break;
                default: return cli_usage();
                }
                if (!ok)
                        return usage_of(TEXT_STORE_BAD_VALUE, optarg ? optarg : "");
        }
        return CLI_OK;
}

static void args_deinit(StoreArgs *a) {
        free(a->vm);
}

int verb_store(const Cli *cli, int argc, char **argv) {
        CLEANUP(args_deinit) StoreArgs a = { .begin_ms = INT64_MIN, .end_ms = INT64_MAX, .column = ROLLUP_LAST };
        size_t v = 0;
        if (argc < 2)
                return usage(TEXT_STORE_NO_VERB);
        a.verb = argv[1];
        if (strcmp(a.verb, "import") == 0)
                return verb_import(cli, argc - 1, argv + 1);
        while (v < ARRAY_LEN(VERBS) && strcmp(a.verb, VERBS[v].name) != 0)
                v++;
        if (v == ARRAY_LEN(VERBS))
                return usage_of(TEXT_UNKNOWN_VERB, a.verb);
        int r = take_options(&a, argc - 1, argv + 1);
        if (r != CLI_OK)
                return r;
        char **operands = argv + 1 + optind;
        int n = argc - 1 - optind;
        unsigned needs = VERBS[v].needs;
        a.operand = n ? operands[0] : NULL;
        if (n > 1 || (n == 1 && !(needs & (NEEDS_PATH | MAY_OPERAND))))
                return usage_of(TEXT_STORE_TOO_MANY, operands[n - 1]);
        if ((needs & NEEDS_PATH && (!a.operand || *a.operand != '/')))
                return usage(TEXT_STORE_WANTS_PATH);
        if (needs & NEEDS_MATCH && a.n_matchers == 0)
                return usage(TEXT_STORE_WANTS_MATCH);
        if (needs & NEEDS_DIRECTORY && !a.data_dir)
                return usage(TEXT_STORE_WANTS_DIRECTORY);
        return a.data_dir ? store_on_directory(&a) : ask(cli, &a, needs & POSTS);
}

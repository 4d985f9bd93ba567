/* parallax ls: asks once, or again and again. */
#include "cli/ls.h"

#include "base/duration.h"
#include "base/time.h"
#include "cli/cli.h"
#include "cli/text.h"

#include <getopt.h>
#include <signal.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo) {
        (void)signo;
        interrupted = 1;
}

static int print_once(const Cli *cli, const LsOptions *o, bool clear) {
        CLEANUP(answer_deinit) Answer a = { 0 };
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        source_get(cli, o->all ? "/api/v1/parallax/machines?kind=all" : "/api/v1/parallax/machines", &a);
        if (answer_complain(&a, NULL))
                return CLI_FAILED;
        json_t *chosen = ls_select(field(a.json, "machines"), o);
        (void)json_object_set_new(a.json, "machines", chosen);
        if (o->json) {
                (void)json_dumpf(a.json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
                puts("");
        } else {
                ls_render(chosen, &out);
                if (clear)
                        fputs("\033[H\033[2J", stdout);
                fputs(buf_cstr(&out), stdout);
        }
        return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

/* Ends with the code of the last round. */
static int watch(const Cli *cli, const LsOptions *o, int64_t interval_ns) {
        struct sigaction action = { .sa_handler = on_interrupt };
        struct timespec pause = { .tv_sec = interval_ns / NS_PER_SEC, .tv_nsec = interval_ns % NS_PER_SEC };
        bool terminal = isatty(STDOUT_FILENO);
        int code = CLI_OK;
        (void)sigaction(SIGINT, &action, NULL);
        (void)sigaction(SIGTERM, &action, NULL);
        for (bool first = true; !interrupted; first = false) {
                if (!first && !terminal && !o->json)
                        puts("");
                code = print_once(cli, o, terminal && !o->json);
                if (!interrupted)
                        (void)nanosleep(&pause, NULL);
        }
        return code;
}

/* "ls --watch 5s": the interval is an argument of its own, if it is one at all. */
static bool take_interval(const char *s, int64_t *ret_ns) {
        int64_t ns;
        if (!s || duration_parse(s, &ns) < 0 || ns < 100 * NS_PER_MS || ns > 3600 * NS_PER_SEC)
                return false;
        *ret_ns = ns;
        return true;
}

enum { OPT_JSON = 256, OPT_VMS, OPT_CONTAINERS, OPT_SORT };

static const struct option LONG[] = {
        { "json", no_argument, NULL, OPT_JSON },
        { "watch", optional_argument, NULL, 'w' },
        { "vms", no_argument, NULL, OPT_VMS },
        { "containers", no_argument, NULL, OPT_CONTAINERS },
        { "all", no_argument, NULL, 'a' },
        { "sort", required_argument, NULL, OPT_SORT },
        { 0 },
};

int verb_ls(const Cli *cli, int argc, char **argv) {
        LsOptions o = { 0 };
        int64_t interval = 0;
        optind = 0; /* GNU: start anew */
        for (int c; (c = getopt_long(argc, argv, "w::a", LONG, NULL)) != -1;) {
                switch (c) {
                case OPT_JSON: o.json = true; break;
                case OPT_VMS: o.vms = true; break;
                case OPT_CONTAINERS: o.containers = true; break;
                case OPT_SORT: o.sort = optarg; break;
                case 'a': o.all = true; break;
                case 'w':
                        interval = 2 * NS_PER_SEC;
                        if (optarg && !take_interval(optarg, &interval)) {
                                fprintf(stderr, text(TEXT_BAD_INTERVAL), optarg);
                                return CLI_USAGE;
                        }
                        if (!optarg && take_interval(argv[optind], &interval))
                                optind++;
                        break;
                default: return cli_usage();
                }
        }
        if (o.sort && !ls_sort_known(o.sort)) {
                fprintf(stderr, text(TEXT_BAD_SORT), o.sort);
                return CLI_USAGE;
        }
        o.patterns = argv + optind;
        o.n_patterns = (size_t)(argc - optind);
        return interval ? watch(cli, &o, interval) : print_once(cli, &o, false);
}

#include "daemon/options.h"

#include "base/duration.h"

#include <getopt.h>
#include <string.h>

#define DEFAULT_CONFIG "/etc/parallax/parallax.yaml"

enum { OPT_CHECK_CONFIG = 256, OPT_RUNTIME_DIR, OPT_LOG_LEVEL, OPT_NO_SECCOMP, OPT_NO_COLLECT, OPT_DATA_DIR, OPT_ACK, OPT_OUT_OF_ORDER, OPT_RETENTION_RAW };

#define WINDOW_MAX (100 * INT64_C(365) * 86400 * NS_PER_SEC)

static const struct option LONG[] = {
        { "config", required_argument, NULL, 'c' },
        { "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
        { "listen", required_argument, NULL, 'l' },
        { "runtime-dir", required_argument, NULL, OPT_RUNTIME_DIR },
        { "log-level", required_argument, NULL, OPT_LOG_LEVEL },
        { "no-seccomp", no_argument, NULL, OPT_NO_SECCOMP },
        { "no-collect", no_argument, NULL, OPT_NO_COLLECT },
        { "data-dir", required_argument, NULL, OPT_DATA_DIR },
        { "ack", required_argument, NULL, OPT_ACK },
        { "out-of-order-window", required_argument, NULL, OPT_OUT_OF_ORDER },
        { "retention-raw", required_argument, NULL, OPT_RETENTION_RAW },
        { "version", no_argument, NULL, 'V' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

void daemon_help(FILE *out) {
        fputs("Usage: parallaxd [OPTION]...\n"
              "Keeps the values of this host's virtual machines and containers, and their history, and serves them over HTTP.\n\n"
              "  -c, --config FILE        read FILE instead of " DEFAULT_CONFIG "\n"
              "      --check-config       say what is wrong with the file and exit: 0 nothing, 1 something\n"
              "  -l, --listen ADDRESS[=METRICS]\n"
              "                           listen here instead of on the file's listeners; may be repeated.\n"
              "                           METRICS: all, libvirt, node, container or self\n"
              "      --runtime-dir DIR    directory of sensor.sock and api.sock\n"
              "      --log-level LEVEL    error, warn, notice, info or debug\n"
              "      --no-collect         the store and its API alone: wait for no sensor\n"
              "      --data-dir DIR       directory of the history, instead of the file's\n"
              "      --ack synced|interval\n"
              "                           acknowledge a write when it is synced, or when it is written\n"
              "      --out-of-order-window DURATION\n"
              "                           how far behind the newest of its series a sample may come: 0s to 100y\n"
              "      --retention-raw DURATION\n"
              "                           how long every sample is kept: 1d to 100y\n"
              "      --no-seccomp         do not filter system calls (for debuggers and sanitizers)\n"
              "  -V, --version            print the version and exit\n"
              "  -h, --help               print this help and exit\n\n"
              "SIGHUP reads the file again; a bad file leaves the old settings in force.\n"
              "See parallaxd(8) and parallax.yaml(5).\n",
              out);
}

static DaemonVerb usage_error(const char *message, const char *what) {
        fprintf(stderr, "parallaxd: %s%s\nTry 'parallaxd --help'.\n", message, what);
        return DAEMON_USAGE_ERROR;
}

static DaemonVerb take_listen(DaemonOptions *o, const char *address) {
        if (o->n_listen == OPTIONS_MAX_LISTEN)
                return usage_error("more than 16 times --listen", "");
        o->listen[o->n_listen++] = address;
        return o->verb;
}

static bool level_known(const char *level) {
        static const char *const KNOWN[] = { "error", "warn", "notice", "info", "debug" };
        for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++)
                if (strcmp(level, KNOWN[i]) == 0)
                        return true;
        return false;
}

static DaemonVerb take_duration(DaemonOptions *o, const char *what, int64_t least, Duration *ret_duration) {
        int64_t ns;
        if (duration_parse(optarg, &ns) < 0 || ns < least || ns > WINDOW_MAX)
                return usage_error(what, optarg);
        ret_duration->ns = ns;
        return o->verb;
}

static DaemonVerb take_store_option(DaemonOptions *o, int c) {
        switch (c) {
        case OPT_DATA_DIR:
                o->data_dir = optarg;
                return *optarg ? o->verb : usage_error("--data-dir wants a directory", "");
        case OPT_ACK:
                o->ack = optarg;
                return strcmp(optarg, "synced") == 0 || strcmp(optarg, "interval") == 0 ? o->verb : usage_error("--ack wants synced or interval, not ", optarg);
        case OPT_OUT_OF_ORDER:
                return take_duration(o, "--out-of-order-window wants a duration from 0s to 100y, such as 2h, not ", 0, &o->out_of_order);
        case OPT_RETENTION_RAW:
                return take_duration(o, "--retention-raw wants a duration from 1d to 100y, such as 30d, not ", SECONDS(86400).ns, &o->retention_raw);
        default:
                fputs("Try 'parallaxd --help'.\n", stderr);
                return DAEMON_USAGE_ERROR;
        }
}

static DaemonVerb take_option(DaemonOptions *o, int c) {
        switch (c) {
        case 'c':
                o->config = optarg;
                o->config_given = true;
                return o->verb;
        case OPT_CHECK_CONFIG:
                return DAEMON_CHECK_CONFIG;
        case 'l':
                return take_listen(o, optarg);
        case OPT_RUNTIME_DIR:
                o->runtime_dir = optarg;
                return optarg[0] == '/' ? o->verb : usage_error("--runtime-dir wants an absolute path, not ", optarg);
        case OPT_LOG_LEVEL:
                o->log_level = optarg;
                return level_known(optarg)
                               ? o->verb
                               : usage_error("--log-level wants error, warn, notice, info or debug, not ", optarg);
        case OPT_NO_SECCOMP:
                o->no_seccomp = true;
                return o->verb;
        case 'V':
                return DAEMON_VERSION;
        case 'h':
                return DAEMON_HELP;
        case OPT_NO_COLLECT:
                o->no_collect = true;
                return o->verb;
        default:
                return take_store_option(o, c);
        }
}

DaemonOptions daemon_options(int argc, char **argv) {
        DaemonOptions o = { .verb = DAEMON_RUN, .config = DEFAULT_CONFIG, .out_of_order = { -1 }, .retention_raw = { -1 } };
        optind = 1;
        for (int c; (c = getopt_long(argc, argv, "c:l:Vh", LONG, NULL)) != -1;) {
                o.verb = take_option(&o, c);
                if (o.verb == DAEMON_HELP || o.verb == DAEMON_VERSION || o.verb == DAEMON_USAGE_ERROR)
                        return o;
        }
        if (optind < argc)
                o.verb = usage_error("unexpected argument ", argv[optind]);
        return o;
}

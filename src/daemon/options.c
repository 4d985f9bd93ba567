#include "daemon/options.h"

#include <getopt.h>
#include <string.h>

#define DEFAULT_CONFIG "/etc/parallax/parallax.yaml"

enum { OPT_CHECK_CONFIG = 256, OPT_RUNTIME_DIR, OPT_LOG_LEVEL, OPT_NO_SECCOMP };

static const struct option LONG[] = {
        { "config", required_argument, NULL, 'c' },
        { "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
        { "listen", required_argument, NULL, 'l' },
        { "runtime-dir", required_argument, NULL, OPT_RUNTIME_DIR },
        { "log-level", required_argument, NULL, OPT_LOG_LEVEL },
        { "no-seccomp", no_argument, NULL, OPT_NO_SECCOMP },
        { "version", no_argument, NULL, 'V' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

void daemon_help(FILE *out) {
        fputs("Usage: parallaxd [OPTION]...\n"
              "Keeps the latest values of this host's virtual machines and containers and serves them over HTTP.\n\n"
              "  -c, --config FILE        read FILE instead of " DEFAULT_CONFIG "\n"
              "      --check-config       say what is wrong with the file and exit: 0 nothing, 1 something\n"
              "  -l, --listen ADDRESS[=METRICS]\n"
              "                           listen here instead of on the file's listeners; may be repeated.\n"
              "                           METRICS: all, libvirt, node, container or self\n"
              "      --runtime-dir DIR    directory of sensor.sock and api.sock\n"
              "      --log-level LEVEL    error, warn, notice, info or debug\n"
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
        default:
                fputs("Try 'parallaxd --help'.\n", stderr);
                return DAEMON_USAGE_ERROR;
        }
}

DaemonOptions daemon_options(int argc, char **argv) {
        DaemonOptions o = { .verb = DAEMON_RUN, .config = DEFAULT_CONFIG };
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

/* parallax-sensor: reads what only a privileged process can read and hands it to parallaxd. */
#include "rt/log.h"
#include "rt/notify.h"
#include "rt/sandbox.h"
#include "sensor/sensor.h"

#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>

#ifndef PARALLAX_VERSION
#define PARALLAX_VERSION "0.1.0"
#endif
#define DAEMON_GROUP "parallax"
#define DEFAULT_CONFIG "/etc/parallax/parallax.yaml"

enum { OPT_RUNTIME_DIR = 256, OPT_LOG_LEVEL, OPT_USER, OPT_NO_SECCOMP };

static const struct option LONG[] = {
        { "config", required_argument, NULL, 'c' },
        { "runtime-dir", required_argument, NULL, OPT_RUNTIME_DIR },
        { "log-level", required_argument, NULL, OPT_LOG_LEVEL },
        { "user", required_argument, NULL, OPT_USER },
        { "no-seccomp", no_argument, NULL, OPT_NO_SECCOMP },
        { "version", no_argument, NULL, 'V' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

static const char HELP[] =
        "Usage: parallax-sensor [OPTION]...\n"
        "Reads the values of this host, its virtual machines and containers, and sends them to parallaxd.\n\n"
        "  -c, --config FILE        read FILE instead of " DEFAULT_CONFIG "\n"
        "      --runtime-dir DIR    directory of parallaxd's sensor.sock\n"
        "      --log-level LEVEL    error, warn, notice, info or debug\n"
        "      --user USER          run as USER, keeping the capabilities that reading needs\n"
        "      --no-seccomp         do not filter system calls (for debuggers and sanitizers)\n"
        "  -V, --version            print the version and exit\n"
        "  -h, --help               print this help and exit\n\n"
        "SIGHUP reads the file again; a bad file leaves the old settings in force.\n"
        "See parallax-sensor(8) and parallax.yaml(5).\n";

/* What reading the processes of others takes: their /proc/PID/{io,fd} and files of the engines. */
static const int KEEP[] = { CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE };

typedef struct Program {
        const char *config, *runtime_dir, *log_level, *user;
        bool no_seccomp;
        Loop *loop;
        Sensor *sensor;
} Program;

/* -1: go on; else the exit status. */
static int read_options(Program *p, int argc, char **argv) {
        int c;
        while ((c = getopt_long(argc, argv, "c:Vh", LONG, NULL)) >= 0) {
                switch (c) {
                case 'c':
                        p->config = optarg;
                        break;
                case OPT_RUNTIME_DIR:
                        p->runtime_dir = optarg;
                        break;
                case OPT_LOG_LEVEL:
                        p->log_level = optarg;
                        break;
                case OPT_USER:
                        p->user = optarg;
                        break;
                case OPT_NO_SECCOMP:
                        p->no_seccomp = true;
                        break;
                case 'V':
                        puts("parallax-sensor " PARALLAX_VERSION);
                        return 0;
                case 'h':
                        fputs(HELP, stdout);
                        return 0;
                default:
                        fputs("Try 'parallax-sensor --help'.\n", stderr);
                        return 2;
                }
        }
        if (optind < argc) {
                fprintf(stderr, "parallax-sensor: unexpected argument: %s\nTry 'parallax-sensor --help'.\n",
                        argv[optind]);
                return 2;
        }
        return -1;
}

static int replace(char **text, const char *with) {
        if (!with)
                return 0;
        char *copy = strdup(with);
        if (!copy)
                return -ENOMEM;
        free(*text);
        *text = copy;
        return 0;
}

static void set_up_log(const Settings *s) {
        static const struct {
                const char *name;
                LogLevel level;
        } LEVELS[] = { { "error", LOG_ERROR }, { "warn", LOG_WARN }, { "notice", LOG_NOTICE }, { "info", LOG_INFO },
                       { "debug", LOG_DEBUG } };
        LogLevel level = LOG_INFO;
        for (size_t i = 0; i < ARRAY_LEN(LEVELS); i++)
                if (strcmp(s->log_level, LEVELS[i].name) == 0)
                        level = LEVELS[i].level;
        LogFormat format = strcmp(s->log_format, "json") == 0      ? LOG_FORMAT_JSON
                           : strcmp(s->log_format, "journal") == 0 ? LOG_FORMAT_JOURNAL
                                                                   : LOG_FORMAT_LOGFMT;
        log_setup("parallax-sensor", level, format);
}

/* The file and what the command line says over it; complaints go to standard error. */
static int load(const Program *p, Settings **ret_settings) {
        SettingsError error = { 0 };
        Settings *s = NULL;
        int r = settings_load(p->config ? p->config : DEFAULT_CONFIG, p->config != NULL, &s, &error);
        if (r < 0) {
                fprintf(stderr, "%s\n", error.text ? error.text : strerror(-r));
                free(error.text);
                return r;
        }
        free(error.text);
        r = replace(&s->runtime_dir, p->runtime_dir);
        if (r == 0)
                r = replace(&s->log_level, p->log_level);
        if (r < 0) {
                (void)settings_free(s);
                return r;
        }
        *ret_settings = s;
        return 0;
}

/* Root without its capabilities is nobody's friend: it may open sensor.sock as a member of the group whose parallaxd
 * listens on it. */
static void join_daemon_group(void) {
        gid_t groups[NGROUPS_MAX];
        const struct group *gr = getgrnam(DAEMON_GROUP);
        int n = gr ? getgroups(NGROUPS_MAX - 1, groups) : -1;
        if (n < 0)
                return;
        groups[n] = gr->gr_gid;
        if (setgroups((size_t)n + 1, groups) < 0)
                LOG(LOG_WARN, "sensor.group", LOG_S("group", DAEMON_GROUP), LOG_E("error", -errno));
}

static int confine(const Program *p) {
        SandboxReport report;
        SandboxPlan plan = { .user = p->user,
                             .keep = KEEP,
                             .n_keep = ARRAY_LEN(KEEP),
                             .role = p->no_seccomp ? SANDBOX_NO_FILTER : SANDBOX_SENSOR };
        if (!p->user && geteuid() == 0)
                join_daemon_group();
        int r = sandbox_enter(&plan, &report);
        if (r < 0) {
                LOG(LOG_ERROR, "sensor.sandbox", LOG_S("step", report.step), LOG_E("error", r));
                return r;
        }
        if (report.filter == SANDBOX_FILTER_UNAVAILABLE)
                LOG(LOG_WARN, "sensor.sandbox.filter", LOG_E("error", report.filter_error));
        for (size_t i = 0; i < ARRAY_LEN(KEEP); i++)
                if (report.missing >> KEEP[i] & 1)
                        LOG(LOG_WARN, "sensor.capability.missing", LOG_S("capability", sandbox_cap_name(KEEP[i])));
        return 0;
}

static void tell_status(const Program *p) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        sensor_status(p->sensor, &text);
        notify_status("%s", buf_cstr(&text));
}

static void on_signal(void *context, int signo) {
        Program *p = context;
        if (signo != SIGHUP) {
                LOG(LOG_INFO, "sensor.ending", LOG_I("signal", signo));
                notify_stopping();
                loop_stop(p->loop);
                return;
        }
        Settings *s;
        notify_reloading();
        if (load(p, &s) < 0) {
                LOG(LOG_ERROR, "sensor.reload.refused", LOG_S("file", p->config ? p->config : DEFAULT_CONFIG));
        } else {
                set_up_log(s);
                sensor_reload(p->sensor, s);
                LOG(LOG_NOTICE, "sensor.reloaded");
        }
        notify_ready();
}

static void on_status(void *context) {
        tell_status(context);
}

static int run(Program *p) {
        static const int SIGNALS[] = { SIGHUP, SIGTERM, SIGINT };
        LoopTimer *watchdog = NULL, *status = NULL;
        LoopSignal *unused;
        int r = 0;
        for (size_t i = 0; i < ARRAY_LEN(SIGNALS) && r == 0; i++)
                r = loop_signal(p->loop, SIGNALS[i], on_signal, p, &unused);
        if (r == 0)
                r = notify_watchdog(p->loop, &watchdog);
        if (r == 0)
                r = loop_timer(p->loop, SECONDS(10), SECONDS(10), on_status, p, &status);
        if (r < 0)
                return r;
        notify_ready();
        tell_status(p);
        return loop_run(p->loop);
}

static int serve(Program *p) {
        Settings *settings;
        int r = load(p, &settings);
        if (r < 0)
                return 1;
        set_up_log(settings);
        r = confine(p);
        if (r == 0)
                r = loop_new(&p->loop);
        if (r < 0) {
                (void)settings_free(settings);
                return 1;
        }
        r = sensor_new(p->loop, settings, &p->sensor);
        if (r == 0)
                r = run(p);
        if (r < 0)
                LOG(LOG_ERROR, "sensor.failed", LOG_E("error", r));
        p->sensor = sensor_free(p->sensor);
        p->loop = loop_free(p->loop);
        return r < 0;
}

int main(int argc, char **argv) {
        Program p = { 0 };
        int status = read_options(&p, argc, argv);
        if (status >= 0)
                return status;
        (void)signal(SIGPIPE, SIG_IGN);
        return serve(&p);
}

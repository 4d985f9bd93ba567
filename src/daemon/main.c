/* parallaxd: keeps the latest values of every virtual machine and container of this host, as
 * parallax-sensor sends them, and serves them over HTTP. Unprivileged; it is the one that parses what
 * guests and tenants wrote. */
#include "daemon/daemon.h"
#include "rt/log.h"
#include "rt/notify.h"
#include "rt/sandbox.h"

#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>

enum { EXIT_USAGE = 2 };

static void on_terminate(void *context, int signo) {
        Daemon *d = context;
        LOG(LOG_NOTICE, "stopping", LOG_I("signal", signo));
        notify_stopping();
        loop_stop(d->loop);
}

static void on_hangup(void *context, int signo) {
        (void)signo;
        reload(context);
}

static int signals_open(Daemon *d) {
        (void)signal(SIGPIPE, SIG_IGN);
        int r = loop_signal(d->loop, SIGTERM, on_terminate, d, &d->sigterm);
        if (r == 0)
                r = loop_signal(d->loop, SIGINT, on_terminate, d, &d->sigint);
        if (r == 0)
                r = loop_signal(d->loop, SIGHUP, on_hangup, d, &d->sighup);
        return r;
}

static void signals_close(Daemon *d) {
        d->sighup = loop_signal_stop(d->sighup);
        d->sigint = loop_signal_stop(d->sigint);
        d->sigterm = loop_signal_stop(d->sigterm);
}

static int runtime_dir_open(const Daemon *d) {
        const char *path = d->settings->runtime_dir;
        if (mkdir(path, 0755) == 0 || errno == EEXIST)
                return 0;
        int r = -errno;
        LOG(LOG_ERROR, "runtime_dir.failed", LOG_S("path", path), LOG_E("error", r));
        return r;
}

/* Sockets that root bound belong to the user who goes on, so that its group may connect. */
static void hand_over(const Daemon *d, const struct passwd *pw) {
        static const char *const SOCKETS[] = { "sensor.sock", "api.sock" };
        char path[128];
        for (size_t i = 0; i < ARRAY_LEN(SOCKETS); i++) {
                (void)snprintf(path, sizeof path, "%s/%s", d->settings->runtime_dir, SOCKETS[i]);
                if (chown(path, pw->pw_uid, pw->pw_gid) < 0)
                        LOG(LOG_WARN, "socket.chown.failed", LOG_S("path", path), LOG_E("error", -errno));
        }
}

static int privileges_drop(Daemon *d) {
        SandboxPlan plan = { .role = d->options.no_seccomp ? SANDBOX_NO_FILTER : SANDBOX_DAEMON };
        SandboxReport report = { 0 };
        const struct passwd *pw = geteuid() == 0 ? getpwnam(DAEMON_USER) : NULL;
        if (pw) {
                hand_over(d, pw);
                plan.user = DAEMON_USER;
        } else if (geteuid() == 0) {
                LOG(LOG_WARN, "privileges.root", LOG_S("reason", "there is no user " DAEMON_USER));
        }
        int r = history_prepare(d, pw ? pw->pw_uid : (uid_t)-1, pw ? pw->pw_gid : (gid_t)-1);
        if (r < 0)
                return r;
        r = sandbox_enter(&plan, &report);
        if (r < 0)
                LOG(LOG_ERROR, "privileges.failed", LOG_S("step", report.step), LOG_E("error", r));
        else if (report.filter != SANDBOX_FILTER_ON)
                LOG(LOG_WARN, "seccomp.off", LOG_S("filter", sandbox_filter_name(report.filter)),
                    LOG_E("error", report.filter_error));
        return r;
}

static int start(Daemon *d) {
        int r = loop_new(&d->loop);
        if (r == 0)
                r = signals_open(d);
        if (r == 0)
                r = runtime_dir_open(d);
        if (r == 0)
                r = intake_open(d);
        if (r == 0)
                r = serve_open(d);
        if (r == 0)
                r = privileges_drop(d);
        if (r == 0)
                r = history_open(d); /* its files are from outside, its threads are under the filter */
        if (r == 0)
                r = forwarding_open(d);
        if (r == 0)
                r = scraping_open(d); /* looks names up in threads, which are under the filter, too */
        if (r == 0)
                r = notify_watchdog(d->loop, &d->watchdog);
        return r;
}

static void stop(Daemon *d) {
        d->watchdog = loop_timer_stop(d->watchdog);
        serve_close(d);
        if (d->sensor || d->latest.max_entities)
                intake_close(d);
        scraping_close(d);
        history_close(d);
        signals_close(d);
        d->loop = loop_free(d->loop);
        d->settings = settings_free(d->settings);
        free(d->host_name);
}

static int run(const DaemonOptions *o) {
        Daemon d = { .options = *o, .started = mono_now(), .started_wall = wall_now() };
        if (settings_read(o, &d.settings) < 0)
                return EXIT_FAILURE;
        if (scraping_read(o, &d.scrape_config) < 0 || forwarding_read(o, &d.forward_config) < 0) {
                d.settings = settings_free(d.settings);
                d.scrape_config = scrape_config_free(d.scrape_config);
                return EXIT_FAILURE;
        }
        apply_log(d.settings);
        self_set(&d.self, SELF_CONFIG_OK, 1);
        d.host_name = host_name_of(d.settings);
        int r = d.host_name ? start(&d) : -ENOMEM;
        if (r == 0) {
                LOG(LOG_NOTICE, "started", LOG_S("version", PARALLAX_VERSION), LOG_I("listeners", d.n_fronts));
                notify_ready();
                r = loop_run(d.loop);
        } else {
                LOG(LOG_ERROR, "start.failed", LOG_E("error", r));
        }
        stop(&d);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int check_config(const DaemonOptions *o) {
        Settings *s = NULL;
        DaemonOptions strict = *o;
        strict.config_given = true;
        ScrapeConfig *scraping = NULL;
        ForwardConfig *forwarding = NULL;
        int r = settings_read(&strict, &s);
        if (r == 0) /* what all of them would say comes once */
                r = scraping_read(&strict, &scraping);
        int also = r < 0 ? r : forwarding_read(&strict, &forwarding);
        (void)settings_free(s);
        (void)scrape_config_free(scraping);
        (void)forward_config_free(forwarding);
        if (r < 0 || also < 0)
                return EXIT_FAILURE;
        printf("%s: ok\n", o->config);
        return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        DaemonOptions o = daemon_options(argc, argv);
        switch (o.verb) {
        case DAEMON_RUN:
                return run(&o);
        case DAEMON_CHECK_CONFIG:
                return check_config(&o);
        case DAEMON_VERSION:
                puts("parallaxd " PARALLAX_VERSION);
                return EXIT_SUCCESS;
        case DAEMON_HELP:
                daemon_help(stdout);
                return EXIT_SUCCESS;
        case DAEMON_USAGE_ERROR:
                return EXIT_USAGE;
        }
        return EXIT_FAILURE;
}

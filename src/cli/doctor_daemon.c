/* Checks whose answer parallaxd has: itself, its sensor, libvirt, each domain. */
#include "cli/doctor.h"
#include "cli/human.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* A guest that sends statistics does so at least this often. */
#define BALLOON_OLD_SECONDS 300

static void check_sensor(json_t *status, Report *r) {
        if (json_is_true(field(status, "sensor.connected")))
                report_add(r, VERDICT_OK, TEXT_D_SENSOR, TEXT_COUNT, NULL, text(TEXT_D_SENSOR_OK),
                           human_age(field_number(status, "sensor.age_seconds")).text);
        else
                report_add(r, VERDICT_MISSING, TEXT_D_SENSOR, TEXT_D_SENSOR_COST, "systemctl start parallax-sensor",
                           "%s", text(TEXT_D_SENSOR_NO));
}

static void check_libvirt(json_t *status, Report *r) {
        const char *uri = field_text(status, "libvirt.uri");
        if (!*uri)
                report_add(r, VERDICT_OK, TEXT_D_LIBVIRT, TEXT_COUNT, NULL, "%s", text(TEXT_D_LIBVIRT_OFF));
        else if (json_is_true(field(status, "libvirt.up")))
                report_add(r, VERDICT_OK, TEXT_D_LIBVIRT, TEXT_COUNT, NULL, text(TEXT_D_LIBVIRT_OK),
                           field_text(status, "libvirt.versions.libvirtd_running"),
                           field_text(status, "libvirt.versions.hypervisor_running"),
                           human_count(field_number(status, "libvirt.domains")).text);
        else
                report_add(r, VERDICT_MISSING, TEXT_D_LIBVIRT, TEXT_D_LIBVIRT_COST, "systemctl restart libvirtd",
                           text(TEXT_D_LIBVIRT_NO), uri);
}

/* A domain as an argument of virsh: its name where a shell and virsh take it as one, else its UUID. */
static const char *virsh_argument(json_t *m) {
        static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", REST[] = "0123456789-_.";
        const char *name = field_text(m, "name"), *at = name + strspn(name, LETTERS);
        if (at == name)
                return field_text(m, "uuid");
        while (*at && (strchr(LETTERS, *at) || strchr(REST, *at)))
                at++;
        return *at ? field_text(m, "uuid") : name;
}

static bool check_stuck(json_t *m, Report *r) {
        double stuck = field_number(m, "stuck_seconds");
        CLEANUP(buf_deinit) Buf mend = BUF_NULL;
        if (!(stuck >= 1))
                return false;
        buf_printf(&mend, "virsh domcontrol %s", virsh_argument(m));
        report_add(r, VERDICT_DEGRADED, TEXT_D_STUCK, TEXT_D_STUCK_COST, buf_cstr(&mend), text(TEXT_D_STUCK_ONE),
                   field_text(m, "name"), human_age(stuck).text);
        return true;
}

/* Seconds since the guest last sent statistics; NaN when it never did. */
static double balloon_age(const Cli *cli, json_t *m) {
        CLEANUP(answer_deinit) Answer a = { 0 };
        source_get_named(cli, "/api/v1/parallax/machines/", field_text(m, "uuid"), &a);
        json_t *groups = field(a.json, "groups");
        for (size_t i = 0; i < json_array_size(groups); i++) {
                json_t *g = json_array_get(groups, i), *metrics = field(g, "metrics");
                json_t *row = json_array_get(field(g, "rows"), 0);
                for (size_t c = 0; strcmp(field_text(g, "group"), "DOM_BALLOON") == 0 && c < json_array_size(metrics);
                     c++) {
                        json_t *v = json_array_get(field(row, "values"), c);
                        if (strstr(field_text(json_array_get(metrics, c), "name"), "_last_update_") &&
                            json_is_number(v) && json_number_value(v) > 0)
                                return difftime(time(NULL), (time_t)json_number_value(v));
                }
        }
        return NAN;
}

static bool check_balloon(const Cli *cli, json_t *m, Report *r) {
        CLEANUP(buf_deinit) Buf mend = BUF_NULL;
        const char *name = field_text(m, "name");
        double age = balloon_age(cli, m);
        if (age <= BALLOON_OLD_SECONDS)
                return false;
        buf_printf(&mend, "virsh dommemstat %s --period 10 --live", virsh_argument(m));
        if (isnan(age))
                report_add(r, VERDICT_DEGRADED, TEXT_D_BALLOON, TEXT_D_BALLOON_COST, buf_cstr(&mend),
                           text(TEXT_D_BALLOON_NO), name);
        else
                report_add(r, VERDICT_DEGRADED, TEXT_D_BALLOON, TEXT_D_BALLOON_COST, buf_cstr(&mend),
                           text(TEXT_D_BALLOON_OLD), name, human_age(age).text);
        return true;
}

static void check_machines(const Cli *cli, Report *r) {
        CLEANUP(answer_deinit) Answer a = { 0 };
        bool any_stuck = false, any_silent = false;
        size_t running = 0;
        source_get(cli, "/api/v1/parallax/machines?kind=vm", &a);
        json_t *machines = field(a.json, "machines");
        for (size_t i = 0; i < json_array_size(machines); i++)
                any_stuck |= check_stuck(json_array_get(machines, i), r);
        if (!any_stuck)
                report_add(r, VERDICT_OK, TEXT_D_STUCK, TEXT_COUNT, NULL, "%s", text(TEXT_D_STUCK_OK));
        for (size_t i = 0; i < json_array_size(machines); i++) {
                json_t *m = json_array_get(machines, i);
                if (strcmp(field_text(m, "state"), "running") != 0 || field_number(m, "stuck_seconds") >= 1)
                        continue;
                running++;
                any_silent |= check_balloon(cli, m, r);
        }
        if (!any_silent)
                report_add(r, VERDICT_OK, TEXT_D_BALLOON, TEXT_COUNT, NULL, text(TEXT_D_BALLOON_OK),
                           human_count((double)running).text);
}

static void check_store(const Cli *cli, Report *r) {
        CLEANUP(answer_deinit) Answer a = { 0 };
        source_get(cli, "/api/v1/parallax/store", &a);
        if (a.error == 0 && a.status == 200 && a.json)
                doctor_store(a.json, r);
        else
                report_add(r, VERDICT_OK, TEXT_D_STORE, TEXT_COUNT, NULL, "%s", text(TEXT_D_STORE_OFF));
}

void doctor_daemon(const Cli *cli, Report *r) {
        CLEANUP(answer_deinit) Answer a = { 0 };
        source_get(cli, "/api/v1/parallax/status", &a);
        if (a.error < 0 || a.status != 200 || !a.json) {
                report_add(r, VERDICT_MISSING, TEXT_D_DAEMON, TEXT_D_DAEMON_COST,
                           a.error == -EACCES ? text(TEXT_D_DENIED_MEND) : "systemctl start parallaxd",
                           text(TEXT_D_DAEMON_NO), a.where, a.error < 0 ? strerror(-a.error) : "HTTP");
                return;
        }
        report_add(r, VERDICT_OK, TEXT_D_DAEMON, TEXT_COUNT, NULL, text(TEXT_D_DAEMON_OK),
                   field_text(a.json, "version"));
        check_sensor(a.json, r);
        check_libvirt(a.json, r);
        check_machines(cli, r);
        check_store(cli, r);
}

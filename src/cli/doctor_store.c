/* Checks of the history, from what parallaxd says of its store. */
#include "cli/doctor.h"
#include "cli/human.h"

#include <math.h>
#include <string.h>

#define DAY_SECONDS 86400.0
/* So much more than the floor is no worry. */
#define FLOOR_TIMES 2

static void check_writing(json_t *store, Report *r) {
        bool broken = json_is_true(field(store, "log.broken")), hangs = json_is_true(field(store, "log.hangs"));
        if (hangs || broken)
                report_add(r, VERDICT_MISSING, TEXT_D_STORE, TEXT_D_STORE_COST, "journalctl -u parallaxd -g store; dmesg | tail", "%s",
                           text(hangs ? TEXT_D_STORE_HANGS : TEXT_D_STORE_BROKEN));
        else if (strcmp(field_text(store, "ack"), "interval") == 0)
                report_add(r, VERDICT_OK, TEXT_D_STORE, TEXT_COUNT, NULL, text(TEXT_D_STORE_INTERVAL),
                           human_age(field_number(store, "ack_interval_seconds")).text);
        else
                report_add(r, VERDICT_OK, TEXT_D_STORE, TEXT_COUNT, NULL, "%s", text(TEXT_D_STORE_SYNCED));
}

/* What the tiers have, and what they may have. */
static double sum_of(json_t *store, const char *key) {
        double sum = 0;
        json_t *tiers = field(store, "tiers");
        for (size_t i = 0; i < json_array_size(tiers); i++) {
                double v = field_number(json_array_get(tiers, i), key);
                sum += isnan(v) ? 0 : v;
        }
        return sum;
}

/* Whether the disk would be full before the caps make the store delete its oldest. */
static void check_disk(json_t *store, Report *r) {
        double free_bytes = field_number(store, "free_bytes"), floor = field_number(store, "floor_bytes");
        double growth = sum_of(store, "max_bytes") - sum_of(store, "bytes"), room = free_bytes - floor;
        CLEANUP(buf_deinit) Buf found = BUF_NULL;
        if (isnan(free_bytes) || isnan(floor))
                return;
        buf_printf(&found, text(TEXT_D_DISK_FOUND), human_bytes(free_bytes).text, human_bytes(sum_of(store, "bytes")).text,
                   human_bytes(sum_of(store, "max_bytes")).text, human_bytes(floor).text);
        if (json_is_true(field(store, "disk_full")))
                report_add(r, VERDICT_MISSING, TEXT_D_DISK, TEXT_D_STORE_COST, text(TEXT_D_DISK_MEND), "%s", buf_cstr(&found));
        else if (free_bytes < floor * FLOOR_TIMES)
                report_add(r, VERDICT_DEGRADED, TEXT_D_DISK, TEXT_D_DISK_NEAR, text(TEXT_D_DISK_MEND), "%s", buf_cstr(&found));
        else if (growth > room)
                report_add(r, VERDICT_DEGRADED, TEXT_D_DISK, TEXT_D_DISK_CAPS, text(TEXT_D_CAPS_MEND), "%s", buf_cstr(&found));
        else
                report_add(r, VERDICT_OK, TEXT_D_DISK, TEXT_COUNT, NULL, "%s", buf_cstr(&found));
}

static void check_damage(json_t *store, Report *r) {
        double quarantined = sum_of(store, "quarantined"), damaged = field_number(store, "damaged"), lost = field_number(store, "log.lost_places");
        if (quarantined > 0 || damaged > 0 || lost > 0)
                report_add(r, VERDICT_DEGRADED, TEXT_D_DAMAGE, TEXT_D_DAMAGE_COST, "parallax store verify", text(TEXT_D_DAMAGE_FOUND),
                           human_count(damaged).text, human_count(quarantined).text, human_count(lost).text);
        else
                report_add(r, VERDICT_OK, TEXT_D_DAMAGE, TEXT_COUNT, NULL, "%s", text(TEXT_D_DAMAGE_NONE));
}

/* How many days of raw samples the cap is enough for, at the rate of what there is; NaN while that is less than a day. */
static double days_of(json_t *raw) {
        double covered = (field_number(raw, "max_ms") - field_number(raw, "min_ms")) / 1000 / DAY_SECONDS, bytes = field_number(raw, "bytes");
        return covered >= 1 && bytes > 0 ? field_number(raw, "max_bytes") / (bytes / covered) : NAN;
}

static void check_retention(json_t *store, Report *r) {
        json_t *raw = json_array_get(field(store, "tiers"), 0);
        double days = days_of(raw), keep = field_number(raw, "keep_seconds") / DAY_SECONDS;
        if (isnan(days))
                report_add(r, VERDICT_OK, TEXT_D_KEEP, TEXT_COUNT, NULL, text(TEXT_D_KEEP_EARLY), human_count(keep).text);
        else if (days < keep)
                report_add(r, VERDICT_DEGRADED, TEXT_D_KEEP, TEXT_D_KEEP_COST, text(TEXT_D_CAPS_MORE), text(TEXT_D_KEEP_SHORT),
                           human_count(keep).text, human_count(floor(days)).text);
        else
                report_add(r, VERDICT_OK, TEXT_D_KEEP, TEXT_COUNT, NULL, text(TEXT_D_KEEP_OK), human_count(keep).text);
}

void doctor_store(json_t *store, Report *r) {
        check_writing(store, r);
        check_disk(store, r);
        check_retention(store, r);
        check_damage(store, r);
}

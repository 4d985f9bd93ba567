#include "cli/human.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static Human unknown(void) {
        return (Human){ "-" };
}

static Human scaled(double v, const char *suffix) {
        static const char UNITS[] = " KMGTPE";
        Human h;
        size_t unit = 0;
        if (isnan(v))
                return unknown();
        /* 1023.96 would print as 1024 */
        while (fabs(v) >= (unit ? 1023.95 : 1023.5) && UNITS[unit + 1]) {
                v /= 1024;
                unit++;
        }
        if (!unit)
                (void)snprintf(h.text, sizeof h.text, "%.0f%s", v, suffix);
        else
                (void)snprintf(h.text, sizeof h.text, "%.*f%c%s", fabs(v) < 9.95 ? 1 : 0, v, UNITS[unit], suffix);
        return h;
}

Human human_bytes(double v) {
        return scaled(v, "");
}

Human human_rate(double v) {
        return scaled(v, "/s");
}

Human human_percent(double v) {
        Human h;
        if (isnan(v))
                return unknown();
        (void)snprintf(h.text, sizeof h.text, "%.1f", v);
        return h;
}

Human human_count(double v) {
        Human h;
        if (isnan(v))
                return unknown();
        (void)snprintf(h.text, sizeof h.text, "%.0f", v);
        return h;
}

Human human_age(double s) {
        Human h;
        if (isnan(s) || s < 0)
                return unknown();
        if (s < 9.95)
                (void)snprintf(h.text, sizeof h.text, "%.1fs", s);
        else if (s < 120)
                (void)snprintf(h.text, sizeof h.text, "%.0fs", s);
        else if (s < 3600)
                (void)snprintf(h.text, sizeof h.text, "%dm%02ds", (int)s / 60, (int)s % 60);
        else if (s < 86400)
                (void)snprintf(h.text, sizeof h.text, "%dh%02dm", (int)s / 3600, (int)s / 60 % 60);
        else
                (void)snprintf(h.text, sizeof h.text, "%lldd%02dh", (long long)s / 86400,
                               (int)((long long)s / 3600 % 24));
        return h;
}

/* Sensor chips: which sensors /sys/class/hwmon has, and what node_exporter calls them.
 *
 * A file is TYPE, a number, '_' and what it is of the sensor: temp1_input, fan2_min. The chip's label comes
 * from where the device sits (platform_coretemp_0), not from the number of hwmonN, which changes
 * from boot to boot. */
#include "collect/hostproc/hostproc_priv.h"

static const Field SENSORS[] = {
        KEY2("temp", "input", M_NODE_HWMON_TEMP_INPUT),
        KEY2("temp", "min", M_NODE_HWMON_TEMP_MIN),
        KEY2("temp", "max", M_NODE_HWMON_TEMP_MAX),
        KEY2("temp", "crit", M_NODE_HWMON_TEMP_CRIT),
        KEY2("temp", "crit_hyst", M_NODE_HWMON_TEMP_CRIT_HYST),
        KEY2("temp", "max_hyst", M_NODE_HWMON_TEMP_MAX_HYST),
        KEY2("temp", "emergency", M_NODE_HWMON_TEMP_EMERGENCY),
        KEY2("temp", "crit_alarm", M_NODE_HWMON_TEMP_CRIT_ALARM),
        KEY2("temp", "alarm", M_NODE_HWMON_TEMP_ALARM),
        KEY2("fan", "input", M_NODE_HWMON_FAN_INPUT),
        KEY2("fan", "min", M_NODE_HWMON_FAN_MIN),
        KEY2("fan", "max", M_NODE_HWMON_FAN_MAX),
        KEY2("fan", "target", M_NODE_HWMON_FAN_TARGET),
        KEY2("fan", "alarm", M_NODE_HWMON_FAN_ALARM),
        KEY2("in", "input", M_NODE_HWMON_IN_INPUT),
        KEY2("in", "min", M_NODE_HWMON_IN_MIN),
        KEY2("in", "max", M_NODE_HWMON_IN_MAX),
        KEY2("curr", "input", M_NODE_HWMON_CURR_INPUT),
        KEY2("curr", "max", M_NODE_HWMON_CURR_MAX),
        KEY2("power", "input", M_NODE_HWMON_POWER_INPUT),
        KEY2("power", "average", M_NODE_HWMON_POWER_AVERAGE),
        KEY2("energy", "input", M_NODE_HWMON_ENERGY_INPUT),
};

/* temp1_crit_hyst -> type temp, sensor temp1, element crit_hyst. */
static bool split_sensor(const char *name, Span *ret_type, Span *ret_sensor, Span *ret_element) {
        size_t letters = strspn(name, "abcdefghijklmnopqrstuvwxyz");
        size_t digits = strspn(name + letters, "0123456789");
        const char *rest = name + letters + digits;
        if (letters == 0 || digits == 0 || *rest != '_')
                return false;
        *ret_type = (Span){ name, letters };
        *ret_sensor = (Span){ name, letters + digits };
        *ret_element = (Span){ rest + 1, strlen(rest + 1) };
        return true;
}

static const Field *known_sensor(Span type, Span element) {
        for (size_t i = 0; i < ARRAY_LEN(SENSORS); i++)
                if (span_is(type, SENSORS[i].section) && span_is(element, SENSORS[i].key))
                        return &SENSORS[i];
        return NULL;
}

/* Letters, digits, '_' and ':' stay, other bytes become '_', blanks and '_' at the ends go. */
static void clean_name(char *name) {
        size_t n = strlen(name), skip = 0;
        for (size_t i = 0; i < n; i++) {
                char *c = &name[i];
                if (*c >= 'A' && *c <= 'Z')
                        *c = (char)(*c - 'A' + 'a');
                if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == ':' || *c == '_'))
                        *c = '_';
        }
        while (n > 0 && name[n - 1] == '_')
                name[--n] = '\0';
        while (name[skip] == '_')
                skip++;
        memmove(name, name + skip, n - skip + 1);
}

static const char *last_part(const char *path) {
        const char *slash = strrchr(path, '/');
        return slash ? slash + 1 : path;
}

/* hwmonN/device -> .../platform/coretemp.0 -> "platform_coretemp_0", as node_exporter does. The link
 * is relative, so the part above the device may be missing: then hwmonN's own link is asked. */
static bool chip_from_link(HostProc *h, const char *dir, char *ret_chip, size_t size) {
        char path[288], target[512];
        (void)snprintf(path, sizeof path, "%s/device", dir);
        ssize_t n = readlinkat(h->root_fd, path, target, sizeof target - 1);
        if (n <= 0)
                return false;
        target[n] = '\0';
        char device[128], type[128] = "";
        (void)snprintf(device, sizeof device, "%.127s", last_part(target));
        n = readlinkat(h->root_fd, dir, target, sizeof target - 1);
        if (n > 0) {
                target[n] = '\0';
                /* .../TYPE/DEVICE/hwmon/hwmonN, or .../TYPE/DEVICE/hwmonN in old drivers */
                char *found = strstr(target, device);
                for (char *next = found; next; next = strstr(next + 1, device))
                        found = next;
                if (found && found > target && found[-1] == '/') {
                        found[-1] = '\0';
                        (void)snprintf(type, sizeof type, "%.127s", last_part(target));
                }
        }
        clean_name(device);
        clean_name(type);
        if (!*device)
                return false;
        (void)snprintf(ret_chip, size, "%s%s%s", type, *type ? "_" : "", device);
        return true;
}

static void chip_names(HostProc *h, const char *dir, char *ret_chip, char *ret_name, size_t size) {
        char path[288];
        Span word;
        (void)snprintf(path, sizeof path, "%s/name", dir);
        ret_name[0] = '\0';
        if (path_word(h, path, &word) == 0)
                (void)snprintf(ret_name, size, "%.*s", (int)word.len, word.text);
        clean_name(ret_name);
        if (chip_from_link(h, dir, ret_chip, size))
                return;
        (void)snprintf(ret_chip, size, "%s", *ret_name ? ret_name : last_part(dir));
}

/* The row of a sensor, made when its first file is seen; files of one sensor need not stand together. */
static SysRow *sensor_row(SysSet *set, size_t first, const char *chip, Span sensor) {
        for (size_t i = first; i < set->n; i++)
                if (set->rows[i].group == GROUP_NODE_HWMON && span_is(sensor, set->rows[i].labels[1]))
                        return &set->rows[i];
        SysRow *row = set_add(set, GROUP_NODE_HWMON);
        if (!row || row_label(row, 0, chip, strlen(chip)) < 0 || row_label(row, 1, sensor.text, sensor.len) < 0)
                return NULL;
        return row;
}

static int add_sensors(HostProc *h, SysSet *set, const char *dir, const char *chip) {
        CLEANUP_FREE char **names = NULL;
        size_t n = 0, first = set->n;
        int r = list_names(h, dir, "", &names, &n);
        for (size_t i = 0; r == 0 && i < n; i++) {
                char path[512];
                Span type, sensor, element;
                if (!split_sensor(names[i], &type, &sensor, &element))
                        continue;
                const Field *f = known_sensor(type, element);
                if (!f)
                        continue;
                SysRow *row = sensor_row(set, first, chip, sensor);
                (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
                r = row ? row_cell(row, f->metric, path, 1) : -ENOMEM;
        }
        return r;
}

static int add_chip(SysSet *set, const char *chip, const char *name) {
        SysRow *row = set_add(set, GROUP_NODE_HWMON_CHIP);
        if (!row)
                return -ENOMEM;
        int r = row_label(row, 0, chip, strlen(chip));
        if (r == 0)
                r = row_label(row, 1, name, strlen(name));
        return r < 0 ? r : row_cell(row, M_NODE_HWMON_CHIP_NAMES, NULL, 1);
}

static int add_labels(HostProc *h, SysSet *set, const char *dir, const char *chip) {
        CLEANUP_FREE char **names = NULL;
        size_t n = 0;
        int r = list_names(h, dir, "", &names, &n);
        for (size_t i = 0; r == 0 && i < n; i++) {
                char path[512];
                Span type, sensor, element, text;
                if (!split_sensor(names[i], &type, &sensor, &element) || !span_is(element, "label"))
                        continue;
                (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
                if (path_word(h, path, &text) < 0)
                        continue;
                SysRow *row = set_add(set, GROUP_NODE_HWMON_LABEL);
                r = row ? row_label(row, 0, chip, strlen(chip)) : -ENOMEM;
                if (r == 0)
                        r = row_label(row, 1, sensor.text, sensor.len);
                if (r == 0)
                        r = row_label(row, 2, text.text, text.len);
                if (r == 0)
                        r = row_cell(row, M_NODE_HWMON_LABEL_LABEL, NULL, 1);
        }
        return r;
}

/* Three passes, because the rows of a group stand together: chips, labels, sensors. */
int hwmon_find(HostProc *h, SysSet *set) {
        CLEANUP_FREE char **names = NULL;
        size_t n = 0;
        int r = list_names(h, "sys/class/hwmon", "hwmon", &names, &n);
        for (int pass = 0; pass < 3; pass++) {
                for (size_t i = 0; r == 0 && i < n; i++) {
                        char dir[224], chip[272], name[272];
                        (void)snprintf(dir, sizeof dir, "sys/class/hwmon/%.200s", names[i]);
                        chip_names(h, dir, chip, name, sizeof chip);
                        r = pass == 0 ? add_chip(set, chip, name)
                          : pass == 1 ? add_labels(h, set, dir, chip) : add_sensors(h, set, dir, chip);
                }
        }
        return r;
}

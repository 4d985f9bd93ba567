/* tables/config.def as data, and the values of its types as text. Private to the settings. */
#pragma once

#include "rt/settings.h"

typedef enum ConfigType {
        CONFIG_TEXT,
        CONFIG_PATH,
        CONFIG_ADDRESS,
        CONFIG_BOOL,
        CONFIG_DURATION,
        CONFIG_COUNT,
        CONFIG_BYTES,
        CONFIG_TIER,
} ConfigType;

typedef struct ConfigRow {
        const char *path;
        ConfigType type;
        size_t offset; /* in Settings, or in the item of the list that the path begins with */
        const char *fallback, *choices;
        int64_t min, max;
        const char *help;
} ConfigRow;

typedef struct ConfigList {
        const char *path;
        size_t item_size, items_offset, count_offset, most;
        const char *help;
} ConfigList;

/* A key that another part of parallaxd reads from the same file, in a form of its own. */
typedef struct ConfigSection {
        const char *path, *help;
} ConfigSection;

extern const ConfigSection CONFIG_SECTIONS[];
extern const size_t CONFIG_N_SECTIONS;
extern const ConfigRow CONFIG_ROWS[];
extern const size_t CONFIG_N_ROWS;
extern const ConfigList CONFIG_LISTS[];
extern const size_t CONFIG_N_LISTS;

const ConfigRow *config_row(const char *path);
const ConfigList *config_list(const char *path);
/* The list whose items hold `row`; NULL for a row of Settings. */
const ConfigList *config_row_list(const ConfigRow *row);

/* Reads `text` into the row's member of `owner`, freeing what was there.
 * 0; -EINVAL what it is not, -ERANGE out of range, -ENOMEM. */
int config_value_parse(const ConfigRow *row, const char *text, bool quoted, void *owner) MUST_USE;
/* The value as YAML. */
void config_value_print(const ConfigRow *row, const void *owner, Buf *out);
/* "a duration such as ...", with choices and limits: for messages and the reference. */
void config_value_expected(const ConfigRow *row, Buf *out);
void config_value_free(const ConfigRow *row, void *owner);
int config_defaults(const ConfigList *list, void *owner) MUST_USE;

struct YamlNode;
struct YamlErrors;
/* Fills `s`, which holds the defaults, from the tree. 0 or -ENOMEM; what is wrong goes to `errors`. */
int settings_bind(const struct YamlNode *root, struct YamlErrors *errors, Settings *s) MUST_USE;

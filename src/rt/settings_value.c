/* The rows of tables/config.def and the text forms of their values; see settings_table.h. */
#include "rt/settings_table.h"

#include "base/duration.h"
#include "base/escape.h"
#include "base/scan.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stddef.h>

const ConfigRow CONFIG_ROWS[] = {
#define CONFIG(owner, path, type, member, fallback, choices, min, max, help) \
        { path, CONFIG_##type, offsetof(owner, member), fallback, choices, min, max, help },
#define CONFIG_LIST(path, type, items, count, most, help)
#define CONFIG_SECTION(path, help)
#include "config.def"
#undef CONFIG
#undef CONFIG_LIST
#undef CONFIG_SECTION
};
const size_t CONFIG_N_ROWS = ARRAY_LEN(CONFIG_ROWS);

const ConfigList CONFIG_LISTS[] = {
#define CONFIG(owner, path, type, member, fallback, choices, min, max, help)
#define CONFIG_LIST(path, type, items, count, most, help) \
        { path, sizeof(type), offsetof(Settings, items), offsetof(Settings, count), most, help },
#define CONFIG_SECTION(path, help)
#include "config.def"
#undef CONFIG
#undef CONFIG_LIST
#undef CONFIG_SECTION
};
const size_t CONFIG_N_LISTS = ARRAY_LEN(CONFIG_LISTS);

const ConfigSection CONFIG_SECTIONS[] = {
#define CONFIG(owner, path, type, member, fallback, choices, min, max, help)
#define CONFIG_LIST(path, type, items, count, most, help)
#define CONFIG_SECTION(path, help) { path, help },
#include "config.def"
#undef CONFIG
#undef CONFIG_LIST
#undef CONFIG_SECTION
};
const size_t CONFIG_N_SECTIONS = ARRAY_LEN(CONFIG_SECTIONS);

static const char *const TIER_NAMES[TIER_COUNT] = { "basic", "performance", "diagnosis" };

const char *tier_name(Tier t) {
        assert(t < TIER_COUNT);
        return TIER_NAMES[t];
}

const ConfigRow *config_row(const char *path) {
        for (size_t i = 0; i < CONFIG_N_ROWS; i++)
                if (strcmp(CONFIG_ROWS[i].path, path) == 0)
                        return &CONFIG_ROWS[i];
        return NULL;
}

const ConfigList *config_list(const char *path) {
        for (size_t i = 0; i < CONFIG_N_LISTS; i++)
                if (strcmp(CONFIG_LISTS[i].path, path) == 0)
                        return &CONFIG_LISTS[i];
        return NULL;
}

const ConfigList *config_row_list(const ConfigRow *row) {
        for (size_t i = 0; i < CONFIG_N_LISTS; i++) {
                size_t n = strlen(CONFIG_LISTS[i].path);
                if (strncmp(row->path, CONFIG_LISTS[i].path, n) == 0 && row->path[n] == '[')
                        return &CONFIG_LISTS[i];
        }
        return NULL;
}

static bool choice_matches(const char *choices, const char *text) {
        size_t n = strlen(text);
        for (const char *at = choices; *at;) {
                size_t len = strcspn(at, "|");
                if (len == n && memcmp(at, text, n) == 0)
                        return true;
                at += len + (at[len] == '|');
        }
        return false;
}

static int text_check(const ConfigRow *row, const char *text) {
        size_t n = strlen(text);
        if (*row->choices && !choice_matches(row->choices, text))
                return -EINVAL;
        return n < (size_t)row->min || n > (size_t)row->max ? -ERANGE : 0;
}

static int path_check(const ConfigRow *row, const char *text) {
        if (*text ? text[0] != '/' : row->min > 0)
                return -EINVAL;
        return text_check(row, text);
}

static int host_check(const char *host, size_t n, int family) {
        char copy[INET6_ADDRSTRLEN];
        unsigned char bytes[16];
        if (n >= sizeof copy)
                return -EINVAL;
        memcpy(copy, host, n);
        copy[n] = '\0';
        return inet_pton(family, copy, bytes) == 1 ? 0 : -EINVAL;
}

static int address_check(const char *text) {
        const char *colon = strrchr(text, ':');
        uint64_t port;
        if (!colon || !span_u64((Span){ colon + 1, strlen(colon + 1) }, &port))
                return -EINVAL;
        if (port < 1 || port > 65535)
                return -ERANGE;
        size_t n = (size_t)(colon - text);
        if (n >= 2 && text[0] == '[' && text[n - 1] == ']')
                return host_check(text + 1, n - 2, AF_INET6);
        return host_check(text, n, AF_INET);
}

static int set_text(char **member, const char *text) {
        char *copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        free(*member);
        *member = copy;
        return 0;
}

static int parse_count(const ConfigRow *row, const char *text, size_t *member) {
        size_t n = strlen(text), factor = 1;
        if (row->type == CONFIG_BYTES && n > 3 && strcmp(text + n - 3, "KiB") == 0)
                factor = 1024;
        if (row->type == CONFIG_BYTES && n > 3 && strcmp(text + n - 3, "MiB") == 0)
                factor = 1024 * 1024;
        if (row->type == CONFIG_BYTES && n > 3 && strcmp(text + n - 3, "GiB") == 0)
                factor = (size_t)1024 * 1024 * 1024;
        if (factor > 1)
                n -= 3;
        uint64_t v;
        if (n && strspn(text, "0123456789") == n && n > 19)
                return -ERANGE;
        if (!span_u64((Span){ text, n }, &v))
                return -EINVAL;
        if (__builtin_mul_overflow(v, factor, &v) || v < (uint64_t)row->min || v > (uint64_t)row->max)
                return -ERANGE;
        *member = v;
        return 0;
}

static int parse_bool(const char *text, bool quoted, bool *member) {
        bool yes = strcmp(text, "true") == 0;
        if (quoted || (!yes && strcmp(text, "false") != 0))
                return -EINVAL;
        *member = yes;
        return 0;
}

static int parse_duration(const ConfigRow *row, const char *text, Duration *member) {
        int64_t ns;
        int r = duration_parse(text, &ns);
        if (r < 0)
                return r;
        if (ns < row->min * NS_PER_MS || ns > row->max * NS_PER_MS)
                return -ERANGE;
        member->ns = ns;
        return 0;
}

static int parse_tier(const char *text, Tier *member) {
        for (Tier t = 0; t < TIER_COUNT; t++)
                if (strcmp(text, TIER_NAMES[t]) == 0) {
                        *member = t;
                        return 0;
                }
        return -EINVAL;
}

int config_value_parse(const ConfigRow *row, const char *text, bool quoted, void *owner) {
        void *member = (char *)owner + row->offset;
        int r = 0;
        switch (row->type) {
        case CONFIG_TEXT:
                r = text_check(row, text);
                return r < 0 ? r : set_text(member, text);
        case CONFIG_PATH:
                r = path_check(row, text);
                return r < 0 ? r : set_text(member, text);
        case CONFIG_ADDRESS:
                r = address_check(text);
                return r < 0 ? r : set_text(member, text);
        case CONFIG_BOOL:
                return parse_bool(text, quoted, member);
        case CONFIG_DURATION:
                return parse_duration(row, text, member);
        case CONFIG_COUNT:
        case CONFIG_BYTES:
                return parse_count(row, text, member);
        case CONFIG_TIER:
                return parse_tier(text, member);
        }
        return -EINVAL;
}

void config_value_free(const ConfigRow *row, void *owner) {
        char **member = (char **)((char *)owner + row->offset);
        if (row->type == CONFIG_TEXT || row->type == CONFIG_PATH || row->type == CONFIG_ADDRESS) {
                free(*member);
                *member = NULL;
        }
}

int config_defaults(const ConfigList *list, void *owner) {
        for (size_t i = 0; i < CONFIG_N_ROWS; i++) {
                const ConfigRow *row = &CONFIG_ROWS[i];
                if (config_row_list(row) != list)
                        continue;
                int r = config_value_parse(row, row->fallback, false, owner);
                assert(r == 0 || r == -ENOMEM);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void print_bytes(size_t v, Buf *out) {
        if (v && v % ((size_t)1024 * 1024 * 1024) == 0)
                buf_printf(out, "%zuGiB", v / ((size_t)1024 * 1024 * 1024));
        else if (v && v % (1024 * 1024) == 0)
                buf_printf(out, "%zuMiB", v / (1024 * 1024));
        else if (v && v % 1024 == 0)
                buf_printf(out, "%zuKiB", v / 1024);
        else
                buf_printf(out, "%zu", v);
}

void config_value_print(const ConfigRow *row, const void *owner, Buf *out) {
        const void *member = (const char *)owner + row->offset;
        switch (row->type) {
        case CONFIG_TEXT:
        case CONFIG_PATH:
        case CONFIG_ADDRESS:
                buf_put_json_str(out, *(char *const *)member); /* JSON strings are YAML */
                break;
        case CONFIG_BOOL:
                buf_put_str(out, *(const bool *)member ? "true" : "false");
                break;
        case CONFIG_DURATION:
                duration_print(((const Duration *)member)->ns, out);
                break;
        case CONFIG_COUNT:
                buf_put_u64(out, *(const size_t *)member);
                break;
        case CONFIG_BYTES:
                print_bytes(*(const size_t *)member, out);
                break;
        case CONFIG_TIER:
                buf_put_str(out, tier_name(*(const Tier *)member));
                break;
        }
}

static void print_choices(const char *choices, Buf *out) {
        buf_put_str(out, "one of ");
        for (const char *c = choices; *c; c++) {
                if (*c == '|')
                        buf_put_str(out, ", ");
                else
                        buf_put_char(out, *c);
        }
}

void config_value_expected(const ConfigRow *row, Buf *out) {
        switch (row->type) {
        case CONFIG_TEXT:
        case CONFIG_TIER:
                if (*row->choices)
                        print_choices(row->choices, out);
                else
                        buf_printf(out, "a text of %lld to %lld bytes", (long long)row->min, (long long)row->max);
                break;
        case CONFIG_PATH:
                buf_printf(out, "an absolute path of at most %lld bytes%s", (long long)row->max,
                           row->min ? "" : ", or \"\"");
                break;
        case CONFIG_ADDRESS:
                buf_put_str(out, "a numeric address and a port from 1 to 65535, such as 127.0.0.1:9177 or [::1]:9177");
                break;
        case CONFIG_BOOL:
                buf_put_str(out, "true or false");
                break;
        case CONFIG_DURATION:
                buf_put_str(out, "a duration from ");
                duration_print(row->min * NS_PER_MS, out);
                buf_put_str(out, " to ");
                duration_print(row->max * NS_PER_MS, out);
                buf_put_str(out, ", such as 10s, 1m30s or 1500ms");
                break;
        case CONFIG_COUNT:
                buf_printf(out, "a whole number from %lld to %lld", (long long)row->min, (long long)row->max);
                break;
        case CONFIG_BYTES:
                buf_put_str(out, "a number of bytes from ");
                print_bytes((size_t)row->min, out);
                buf_put_str(out, " to ");
                print_bytes((size_t)row->max, out);
                buf_put_str(out, ", such as 4096, 64KiB or 2GiB");
                break;
        }
}

/* Structured log records on standard error: logfmt (default), JSON, or the journal's "<N>" prefix
 * with logfmt. One line a record; values are quoted and escaped, so bytes from outside are safe.
 *
 *   LOG(LOG_WARN, "sensor.worker.killed", LOG_S("domain", name), LOG_I("after_ms", ms));
 *
 * Programs log, once, where an error is consumed; library folders do not. LOG_LIMITED lets a record
 * with the same id and key through at most once in 60 s and says how many it held back. Values longer
 * than 2 KiB are cut and end in "…". Main thread only. */
#pragma once

#include "base/time.h"

#include <stdint.h>

typedef enum LogLevel { LOG_ERROR = 3, LOG_WARN = 4, LOG_NOTICE = 5, LOG_INFO = 6, LOG_DEBUG = 7 } LogLevel;
typedef enum LogFormat { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON, LOG_FORMAT_JOURNAL } LogFormat;

typedef struct LogField {
        const char *key; /* NULL ends the list */
        const char *text; /* NULL: the number */
        int64_t number;
} LogField;

/* A function, so that the value is evaluated once and may be an array. */
static inline const char *log_text(const char *text) {
        return text ? text : "";
}

#define LOG_S(k, v) ((LogField){ .key = (k), .text = log_text(v) })
#define LOG_I(k, v) ((LogField){ .key = (k), .number = (int64_t)(v) })
/* errno's text for a negative errno. */
#define LOG_E(k, negative_errno) ((LogField){ .key = (k), .text = log_errno_text(negative_errno) })

void log_setup(const char *program, LogLevel most_verbose, LogFormat format);
void log_emit(LogLevel level, const char *id, const LogField *fields);
/* As log_emit, held back when `id` and `key` were logged less than 60 s ago. */
void log_emit_limited(LogLevel level, const char *id, const char *key, const LogField *fields);
const char *log_errno_text(int negative_errno);
/* The clock of the 60 s, for tests; NULL = the monotonic one. */
void log_set_clock(MonoTime (*now)(void));

#define LOG(level, id, ...) log_emit((level), (id), (const LogField[]){ __VA_ARGS__ __VA_OPT__(,) { .key = 0 } })
#define LOG_LIMITED(level, id, limit_key, ...) \
        log_emit_limited((level), (id), (limit_key), (const LogField[]){ __VA_ARGS__ __VA_OPT__(,) { .key = 0 } })

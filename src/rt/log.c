/* A record is built whole in a bounded buffer and leaves with one write(), so that records of several
 * processes on one pipe do not mix. What came from outside is escaped twice over: once so that it
 * cannot end its quotes, once so that it cannot talk to a terminal.
 *
 * The state below is the one global of this folder: a program logs from wherever it consumes an error. */
#include "rt/log.h"

#include "base/escape.h"

#include <inttypes.h>
#include <string.h>

#define RECORD_MAX ((size_t)32 << 10)
#define VALUE_MAX ((size_t)2048)
#define LIMIT_SLOTS 256
#define CROWD_SLOTS 16
#define LIMIT_PERIOD SECONDS(60)

/* What was logged lately under LOG_LIMITED. When all slots are young, further keys of an id share one
 * of the crowd's slots, so that a flood of names cannot make a flood of records. */
typedef struct LimitSlot {
        char *id, *key; /* id NULL = free, or one of the crowd's */
        MonoTime passed;
        uint64_t held_back;
} LimitSlot;

static struct LogState {
        const char *program;
        LogLevel most_verbose;
        LogFormat format;
        MonoTime (*now)(void);
        LimitSlot slots[LIMIT_SLOTS];
        LimitSlot crowd[CROWD_SLOTS];
} state = { .program = "parallax", .most_verbose = LOG_INFO, .now = mono_now };

void log_setup(const char *program, LogLevel most_verbose, LogFormat format) {
        state.program = program;
        state.most_verbose = most_verbose;
        state.format = format;
}

void log_set_clock(MonoTime (*now)(void)) {
        state.now = now ? now : mono_now;
}

const char *log_errno_text(int negative_errno) {
        const char *text = strerrordesc_np(negative_errno < 0 ? -negative_errno : negative_errno);
        return text ? text : "unknown error";
}

static const char *level_name(LogLevel level) {
        switch (level) {
        case LOG_ERROR:
                return "error";
        case LOG_WARN:
                return "warn";
        case LOG_NOTICE:
                return "notice";
        case LOG_INFO:
                return "info";
        case LOG_DEBUG:
                return "debug";
        }
        return "error";
}

static void put_time(Buf *b) {
        WallTime now = wall_now();
        time_t seconds = (time_t)(now.ns / NS_PER_SEC);
        struct tm tm;
        char text[32];
        if (!gmtime_r(&seconds, &tm) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
                return;
        buf_printf(b, "%s.%03dZ", text, (int)(now.ns % NS_PER_SEC / NS_PER_MS));
}

/* Bytes of a value that are written: all, or up to the last whole character within VALUE_MAX. */
static size_t value_len(const char *text) {
        size_t n = strnlen(text, VALUE_MAX + 1);
        if (n <= VALUE_MAX)
                return n;
        n = VALUE_MAX;
        while (n > VALUE_MAX - 4 && ((unsigned char)text[n] & 0xC0) == 0x80)
                n--;
        return n;
}

static const char *cut_mark(const char *text, size_t n) {
        return text[n] ? "\xE2\x80\xA6" : "";
}

static bool is_bare(const char *text) {
        if (!*text)
                return false;
        for (const unsigned char *p = (const unsigned char *)text; *p; p++)
                if (*p <= ' ' || *p >= 0x7F || *p == '"' || *p == '=' || *p == '\\')
                        return false;
        return true;
}

static void put_logfmt_text(Buf *b, const char *text) {
        size_t n = value_len(text);
        if (is_bare(text) && !text[n]) {
                buf_put(b, text, n);
                return;
        }
        CLEANUP(buf_deinit) Buf quoted = BUF_WITH_LIMIT(RECORD_MAX);
        escape_label(&quoted, text, n);
        buf_put_char(b, '"');
        escape_terminal(b, quoted.data, quoted.len);
        buf_put_str(b, cut_mark(text, n));
        buf_put_char(b, '"');
}

static void put_logfmt(Buf *b, LogLevel level, const char *id, const LogField *fields, uint64_t held_back) {
        /* The journal has its own time, level and identifier. */
        if (state.format == LOG_FORMAT_JOURNAL) {
                buf_printf(b, "<%d>", (int)level);
        } else {
                buf_put_str(b, "ts=");
                put_time(b);
                buf_printf(b, " level=%s program=%s ", level_name(level), state.program);
        }
        buf_put_str(b, "id=");
        put_logfmt_text(b, id);
        for (const LogField *f = fields; f->key; f++) {
                buf_printf(b, " %s=", f->key);
                if (f->text)
                        put_logfmt_text(b, f->text);
                else
                        buf_printf(b, "%" PRId64, f->number);
        }
        if (held_back)
                buf_printf(b, " held_back=%" PRIu64, held_back);
}

static void put_json_text(Buf *b, const char *text) {
        size_t n = value_len(text);
        buf_put_char(b, '"');
        escape_json(b, text, n);
        buf_put_str(b, cut_mark(text, n));
        buf_put_char(b, '"');
}

static void put_json(Buf *b, LogLevel level, const char *id, const LogField *fields, uint64_t held_back) {
        buf_put_str(b, "{\"ts\":\"");
        put_time(b);
        buf_printf(b, "\",\"level\":\"%s\",\"program\":", level_name(level));
        put_json_text(b, state.program);
        buf_put_str(b, ",\"id\":");
        put_json_text(b, id);
        for (const LogField *f = fields; f->key; f++) {
                buf_printf(b, ",\"%s\":", f->key);
                if (f->text)
                        put_json_text(b, f->text);
                else
                        buf_printf(b, "%" PRId64, f->number);
        }
        if (held_back)
                buf_printf(b, ",\"held_back\":%" PRIu64, held_back);
        buf_put_char(b, '}');
}

static void write_record(const char *bytes, size_t n) {
        while (n > 0) {
                ssize_t r = write(STDERR_FILENO, bytes, n);
                if (r < 0 && errno == EINTR)
                        continue;
                if (r <= 0)
                        return; /* nobody to tell */
                bytes += r;
                n -= (size_t)r;
        }
}

static const LogField NO_FIELDS[] = { { .key = NULL } };

static void emit(LogLevel level, const char *id, const LogField *fields, uint64_t held_back) {
        int saved = errno;
        CLEANUP(buf_deinit) Buf line = BUF_WITH_LIMIT(RECORD_MAX);
        void (*put)(Buf *, LogLevel, const char *, const LogField *, uint64_t) =
                state.format == LOG_FORMAT_JSON ? put_json : put_logfmt;
        put(&line, level, id, fields, held_back);
        if (buf_error(&line)) {
                /* A record cut in its middle would be no JSON: the bare id says more than half a line. */
                buf_reset(&line);
                put(&line, level, id, NO_FIELDS, held_back);
        }
        buf_put_char(&line, '\n');
        if (buf_error(&line) == 0)
                write_record(line.data, line.len);
        errno = saved;
}

void log_emit(LogLevel level, const char *id, const LogField *fields) {
        if (level <= state.most_verbose)
                emit(level, id, fields, 0);
}

static bool slot_is_old(const LimitSlot *s, MonoTime now) {
        return mono_since(now, s->passed).ns >= LIMIT_PERIOD.ns;
}

static LimitSlot *slot_find(const char *id, const char *key) {
        for (size_t i = 0; i < LIMIT_SLOTS; i++)
                if (state.slots[i].id && strcmp(state.slots[i].id, id) == 0 && strcmp(state.slots[i].key, key) == 0)
                        return &state.slots[i];
        return NULL;
}

/* A slot for a key that has none: a free one, or the oldest of those whose time is over. */
static LimitSlot *slot_take(const char *id, const char *key, MonoTime now) {
        LimitSlot *best = NULL;
        for (size_t i = 0; i < LIMIT_SLOTS; i++) {
                LimitSlot *s = &state.slots[i];
                if (!s->id) {
                        best = s;
                        break;
                }
                if (slot_is_old(s, now) && (!best || s->passed.ns < best->passed.ns))
                        best = s;
        }
        if (!best)
                return NULL;
        CLEANUP_FREE char *own_id = strdup(id);
        CLEANUP_FREE char *own_key = strdup(key);
        if (!own_id || !own_key)
                return NULL;
        free(best->id);
        free(best->key);
        *best = (LimitSlot){ .id = TAKE_PTR(own_id), .key = TAKE_PTR(own_key) };
        return best;
}

static LimitSlot *slot_of_crowd(const char *id) {
        unsigned sum = 0;
        while (*id)
                sum = sum * 31 + (unsigned char)*id++;
        return &state.crowd[sum % CROWD_SLOTS];
}

/* Whether a record may pass; if so, how many were held back before it. */
static bool limit_pass(const char *id, const char *key, uint64_t *ret_held_back) {
        MonoTime now = state.now();
        LimitSlot *s = slot_find(id, key);
        if (!s)
                s = slot_take(id, key, now);
        if (!s)
                s = slot_of_crowd(id);
        if (s->passed.ns != 0 && !slot_is_old(s, now)) {
                s->held_back++;
                return false;
        }
        *ret_held_back = s->held_back;
        s->held_back = 0;
        s->passed = now;
        return true;
}

void log_emit_limited(LogLevel level, const char *id, const char *key, const LogField *fields) {
        uint64_t held_back;
        if (level <= state.most_verbose && limit_pass(id, key ? key : "", &held_back))
                emit(level, id, fields, held_back);
}

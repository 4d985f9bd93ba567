/* The lines are for the log of a sender: nothing in them is longer than a line should be, and no byte of a label gets
 * through that a terminal would obey. */
#include "ingest/faults.h"

#include "base/escape.h"
#include "base/protobuf.h"

#define LINES_MAX 10u
#define LABELS_SHOWN 16u
#define TEXT_SHOWN 120u

void ingest_faults_deinit(IngestFaults *f) {
        buf_deinit(&f->lines);
}

void ingest_faults_reset(IngestFaults *f) {
        memset(f->refused, 0, sizeof f->refused);
        f->total = 0;
        f->n_lines = 0;
        buf_reset(&f->lines);
}

static void put_text(Buf *out, Span s) {
        size_t n = s.len < TEXT_SHOWN ? s.len : TEXT_SHOWN;
        escape_terminal(out, s.text, n);
        if (n < s.len)
                buf_printf(out, "...(%zu bytes)", s.len);
}

/* Name and value of a label message, as far as there are any. */
static void label_of(const ProtoField *f, Span *ret_name, Span *ret_value) {
        ProtoReader r = PROTO_READER(f->bytes, f->len);
        ProtoField g;
        *ret_name = *ret_value = (Span){ "", 0 };
        while (proto_next(&r, &g) > 0)
                if (g.type == PROTO_BYTES && g.number <= 2)
                        *(g.number == 1 ? ret_name : ret_value) = (Span){ (const char *)g.bytes, g.len };
}

static void put_label(Buf *out, Span name, Span value) {
        put_text(out, name);
        buf_put_str(out, "=\"");
        put_text(out, value);
        buf_put_char(out, '"');
}

void ingest_print_series(const uint8_t *run, size_t len, Buf *out) {
        ProtoReader r = PROTO_READER(run, len);
        ProtoField f;
        size_t n = 0;
        buf_put_char(out, '{');
        for (; proto_next(&r, &f) > 0; n++) {
                Span name, value;
                if (f.number != 1 || f.type != PROTO_BYTES)
                        break;
                if (n == LABELS_SHOWN) {
                        buf_put_str(out, ", ...");
                        break;
                }
                label_of(&f, &name, &value);
                if (n)
                        buf_put_str(out, ", ");
                put_label(out, name, value);
        }
        buf_put_char(out, '}');
}

static void put_line(IngestFaults *f, const IngestFault *fault) {
        if (fault->line)
                buf_printf(&f->lines, "%u: ", fault->line);
        ingest_print_series(fault->run, fault->run_len, &f->lines);
        if (fault->has_time)
                buf_printf(&f->lines, " at %lld", (long long)fault->time_ms);
        buf_printf(&f->lines, ": %s",
                   fault->fault == SAMPLE_LABELS && fault->labels ? labels_fault_text(fault->labels)
                                                                  : sample_fault_text(fault->fault));
        if (fault->detail)
                buf_printf(&f->lines, ": %s", fault->detail);
        if (fault->n > 1)
                buf_printf(&f->lines, " (%llu samples)", (unsigned long long)fault->n);
        buf_put_char(&f->lines, '\n');
        f->n_lines++;
}

void ingest_faults_add(IngestFaults *f, const IngestFault *fault) {
        f->refused[fault->fault] += fault->n;
        f->total += fault->n;
        if (f->n_lines < LINES_MAX)
                put_line(f, fault);
}

int ingest_faults_status(const IngestFaults *f) {
        if (f->refused[SAMPLE_NO_MEMORY])
                return 503;
        for (SampleFault i = SAMPLE_OK; i < SAMPLE_FAULT_COUNT; i++)
                if (f->refused[i] && sample_fault_is_temporary(i))
                        return 429;
        return f->total ? 400 : 0;
}

void ingest_faults_print(const IngestFaults *f, uint64_t sent, Buf *out) {
        const char *between = ": ";
        buf_printf(out, "%llu of %llu samples were not taken", (unsigned long long)f->total, (unsigned long long)sent);
        for (SampleFault i = SAMPLE_OK; i < SAMPLE_FAULT_COUNT; i++) {
                if (!f->refused[i])
                        continue;
                buf_printf(out, "%s%llu %s", between, (unsigned long long)f->refused[i], sample_fault_name(i));
                between = ", ";
        }
        buf_put_char(out, '\n');
        buf_put(out, f->lines.data, f->lines.len);
        if (f->n_lines == LINES_MAX)
                buf_put_str(out, "...\n");
}

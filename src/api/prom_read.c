/* Remote read: samples in one block, or chunks in a stream of frames, as the client takes them. Chunks hold floats:
 * when a native histogram is among what is asked, a client that takes samples too gets those. */
#include "api/prom.h"

#include "wire/remote_read.h"
#include "wire/snappy.h"

#define FRAME_BYTES ((size_t)1 << 20)
/* A long series goes on in another piece with the same labels. */
#define PIECE_SAMPLES 60000u
#define STREAM_TYPE "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
#define RESPONSE_RESULTS 1
#define RESULT_SERIES 1
#define FRAME_SERIES 1

/* One query that is being answered. */
typedef struct Reading {
        PromJob *j;
        SeriesSet set;
        StoreSamples floats;
        StoreHistograms hists;
        Buf scratch;
} Reading;

static void reading_deinit(Reading *x) {
        series_set_deinit(&x->set);
        store_samples_deinit(&x->floats);
        store_histograms_deinit(&x->hists);
        buf_deinit(&x->scratch);
}

/* A condition on an external label that we would add is one on a label that is not there. */
static void drop_external(const PromJob *j, ReadQuery *q) {
        for (size_t i = 0; i < q->n; i++) {
                Matcher *m = &q->matchers[i];
                char name[LABEL_NAME_MAX + 1];
                Span value;
                (void)snprintf(name, sizeof name, "%.*s", (int)m->name.len, m->name.text);
                if (m->type == MATCH_EQUAL && j->settings.external_len &&
                    labels_get(j->settings.external, j->settings.external_len, name, &value) &&
                    value.len == m->value.len && memcmp(value.text, m->value.text, value.len) == 0)
                        m->value = (Span){ "", 0 };
        }
}

static int reading_begin(Reading *x, ReadQuery *q) {
        StoreSelector selector = { q->matchers, q->n };
        drop_external(x->j, q);
        int64_t begin = q->start_ms > INT64_MIN + 1 ? q->start_ms - 1 : q->start_ms;
        return series_set_select(x->j, &selector, 1, true, begin, q->end_ms, &x->set);
}

/* The samples of series i, counted against the limit: 0, -EFBIG, or the store's error. */
static int load(Reading *x, size_t i) {
        const SeriesEntry *e = &x->set.list[i];
        int r = prom_interrupted(x->j);
        if (r == 0)
                r = store_list_floats(e->list, e->index, ROLLUP_LAST, &x->floats);
        if (r == 0)
                r = store_list_histograms(e->list, e->index, &x->hists);
        x->j->samples += x->floats.n + x->hists.n;
        return r == 0 && x->j->samples > x->j->settings.limits.max_samples ? -EFBIG : r;
}

/* ---- Samples ---- */

static void put_series(Reading *x, const SeriesEntry *e, Buf *out) {
        size_t begin = read_message_begin(out, RESULT_SERIES);
        read_put_labels(out, e->run, e->len);
        for (size_t k = 0; k < x->floats.n; k++)
                read_put_sample(out, x->floats.times[k], x->floats.values[k]);
        for (size_t k = 0; k < x->hists.n; k++)
                read_put_histogram(out, x->hists.times[k], (const uint8_t *)x->hists.bytes.data + x->hists.offsets[k],
                                   x->hists.offsets[k + 1] - x->hists.offsets[k]);
        read_message_end(out, begin);
}

static int put_samples(PromJob *j, ReadQuery *q, Buf *out) {
        CLEANUP(reading_deinit) Reading x = { .j = j };
        int r = reading_begin(&x, q);
        size_t begin = read_message_begin(out, RESPONSE_RESULTS);
        for (size_t i = 0; r == 0 && i < x.set.n; i++) {
                r = load(&x, i);
                SeriesEntry e = prom_with_external(j, x.set.list[i], &x.scratch);
                if (r == 0 && x.floats.n + x.hists.n > 0)
                        put_series(&x, &e, out);
                if (r == 0)
                        r = buf_error(out);
        }
        read_message_end(out, begin);
        return r;
}

static int answer_samples(PromJob *j, ReadRequest *request) {
        CLEANUP(buf_deinit) Buf message = BUF_WITH_LIMIT(j->settings.max_answer);
        int r = 0;
        for (size_t i = 0; r == 0 && i < request->n; i++)
                r = put_samples(j, &request->queries[i], &message);
        if (r == 0)
                r = read_compress(&message, &j->response.body);
        j->response.content_type = "application/x-protobuf";
        j->response.extra_name = "Content-Encoding";
        j->response.extra_value = "snappy";
        j->response.final = true;
        return r;
}

/* ---- Chunks ---- */

static void flush_frame(Buf *frame, size_t query, size_t least, Buf *out) {
        if (frame->len < least || frame->len == 0)
                return;
        read_put_frame(out, frame, query);
        buf_reset(frame);
}

static void put_pieces(const Reading *x, const SeriesEntry *e, size_t query, Buf *frame, Buf *out) {
        for (size_t at = 0; at < x->floats.n; at += PIECE_SAMPLES) {
                size_t left = x->floats.n - at, n = left < PIECE_SAMPLES ? left : PIECE_SAMPLES;
                size_t begin = read_message_begin(frame, FRAME_SERIES);
                read_put_labels(frame, e->run, e->len);
                read_put_chunks(frame, x->floats.times + at, x->floats.values + at, n);
                read_message_end(frame, begin);
                flush_frame(frame, query, FRAME_BYTES, out);
        }
}

/* -EPROTOTYPE: there is a histogram, and the client would rather have samples. */
static int put_chunks(PromJob *j, const ReadRequest *request, size_t query, Buf *out) {
        CLEANUP(reading_deinit) Reading x = { .j = j };
        CLEANUP(buf_deinit) Buf frame = BUF_WITH_LIMIT(j->settings.max_answer);
        int r = reading_begin(&x, &request->queries[query]);
        for (size_t i = 0; r == 0 && i < x.set.n; i++) {
                r = load(&x, i);
                if (r == 0 && x.hists.n && request->samples)
                        r = -EPROTOTYPE;
                SeriesEntry e = prom_with_external(j, x.set.list[i], &x.scratch);
                if (r == 0)
                        put_pieces(&x, &e, query, &frame, out);
                if (r == 0)
                        r = buf_error(&frame) ? buf_error(&frame) : buf_error(out);
        }
        if (r == 0)
                flush_frame(&frame, query, 1, out);
        return r;
}

static int answer_chunks(PromJob *j, const ReadRequest *request) {
        int r = 0;
        for (size_t i = 0; r == 0 && i < request->n; i++)
                r = put_chunks(j, request, i, &j->response.body);
        j->response.content_type = STREAM_TYPE;
        j->response.final = true;
        return r;
}

/* ---- The request ---- */

static void refuse(PromJob *j, int status, const char *why) {
        buf_deinit(&j->response.body);
        j->response = (HttpResponse){ .status = status, .content_type = PLAIN_TYPE };
        buf_printf(&j->response.body, "%s\n", why);
}

static void answer_error(PromJob *j, int r) {
        if (r == -EFBIG && buf_error(&j->response.body) == 0)
                prom_error(&j->response, PROM_EXECUTION,
                           "more samples than query.max_samples (%llu), or a longer answer than query.max_answer (%zu "
                           "bytes)",
                           (unsigned long long)j->settings.limits.max_samples, j->settings.max_answer);
        else if (r < 0 && buf_error(&j->response.body) == 0)
                (void)prom_store_ok(j, r);
}

void prom_read(PromJob *j) {
        CLEANUP(read_request_deinit) ReadRequest request = { 0 };
        CLEANUP(buf_deinit) Buf message = BUF_NULL, reason = BUF_NULL;
        const char *why = NULL;
        if (snappy_block_decode(j->body, j->body_len, READ_REQUEST_MAX, &message, &why) < 0) {
                refuse(j, 400, why);
                return;
        }
        int r = read_request_parse((const uint8_t *)message.data, message.len, &request, &reason);
        if (r < 0) {
                refuse(j, r == -ENOMEM ? 503 : 400, r == -ENOMEM ? "no memory" : buf_cstr(&reason));
                return;
        }
        j->response.status = 200;
        r = request.chunks ? answer_chunks(j, &request) : -EPROTOTYPE;
        if (r == -EPROTOTYPE) {
                buf_reset(&j->response.body);
                r = answer_samples(j, &request);
        }
        answer_error(j, r);
}

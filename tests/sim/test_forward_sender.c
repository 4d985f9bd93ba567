/* The sender against a receiver that is a table: what it has is what was sent, in order, whatever it answered in
 * between, and whatever ended the process. */
#include "forward/sender.h"
#include "vfs_sim.h"
#include "wire/snappy.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "forward_writer.h"

#define SAMPLES_MAX 50000u
#define SHARDS 8

typedef struct Pending {
        bool busy;
        RwVersion version;
        Buf body; /* copy */
} Pending;

typedef struct World {
        VfsSim *sim;
        Vfs *vfs;
        Writer w;
        Checkpoint *checkpoint;
        Encoder encoder;
        Described described;
        SenderOptions o;
        Sender *sender;
        MonoTime now;
        uint64_t random;
        Pending pending[CHECKPOINT_SHARDS_MAX];
        /* The receiver. */
        unsigned times_received[SAMPLES_MAX]; /* by value */
        int64_t newest[64];                   /* by series: order */
        unsigned requests, complaints, dropped, order_faults;
        bool strict;             /* refuses a request with a sample that is behind its series, whole: 400 */
        size_t last_series, last_samples, last_metadata;
        bool cancelled;
} World;

static World *world;

static int post(void *context, const SenderPost *p) {
        World *w = context;
        assert_false(w->pending[p->shard].busy);
        w->pending[p->shard] = (Pending){ .busy = true, .version = p->version };
        buf_put(&w->pending[p->shard].body, p->body->data, p->body->len);
        w->requests++;
        return 0;
}

static void cancel(void *context, uint32_t shard) {
        World *w = context;
        assert_true(w->pending[shard].busy);
        w->pending[shard].busy = false;
        buf_deinit(&w->pending[shard].body);
        w->cancelled = true;
}

static void complaint(void *context, const SenderAnswer *answer, size_t samples, bool dropped) {
        World *w = context;
        (void)answer;
        w->complaints++;
        w->dropped += dropped ? (unsigned)samples : 0;
}

static unsigned series_of(RwRequest *q, size_t i) {
        const uint8_t *run;
        size_t len;
        Span value;
        uint64_t n;
        assert_int_equal(rw_series_run(q, &q->series[i], &run, &len), LABELS_OK);
        assert_true(labels_get(run, len, "s", &value) && span_u64(value, &n) && n < 64);
        return (unsigned)n;
}

/* What the receiver does with a body: false, it refuses it. */
static bool receive(World *w, const Pending *p) {
        CLEANUP(buf_deinit) Buf raw = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        const char *why = NULL;
        RwError e;
        assert_int_equal(snappy_block_decode((uint8_t *)p->body.data, p->body.len, 64 << 20, &raw, &why), 0);
        assert_int_equal(rw_parse((uint8_t *)raw.data, raw.len, p->version, &q, &e), 0);
        w->last_series = q.n_series;
        w->last_samples = q.n_floats;
        for (size_t i = 0; w->strict && i < q.n_series; i++) {
                unsigned s = series_of(&q, i);
                for (uint32_t k = 0; k < q.series[i].n_floats; k++)
                        if (q.times[q.series[i].first_float + k] < w->newest[s])
                                return false;
        }
        for (size_t i = 0; i < q.n_series; i++) {
                unsigned s = series_of(&q, i);
                for (uint32_t k = 0; k < q.series[i].n_floats; k++) {
                        size_t at = q.series[i].first_float + k;
                        w->order_faults += q.times[at] < w->newest[s];
                        w->newest[s] = q.times[at] > w->newest[s] ? q.times[at] : w->newest[s];
                        w->times_received[(size_t)q.values[at]]++;
                }
        }
        return true;
}

static void answer_with(World *w, uint32_t shard, SenderAnswer a) {
        Pending *p = &w->pending[shard];
        p->busy = false;
        buf_deinit(&p->body);
        sender_answer(w->sender, shard, &a, w->now);
}

static void accept_one(World *w, uint32_t shard) {
        bool good = receive(w, &w->pending[shard]);
        answer_with(w, shard,
                    (SenderAnswer){ .status = good ? 204 : 400, .tells_written = w->pending[shard].version == RW_2 });
}

static void step(World *w) {
        MonoTime next = { 0 };
        do
                next = sender_step(w->sender, w->now, (WallTime){ T * NS_PER_MS });
        while (next.ns <= w->now.ns);
}

/* Accepts everything until nothing more comes. */
static void settle(World *w) {
        bool more = true;
        while (more) {
                w->now.ns += 100 * NS_PER_MS;
                step(w);
                more = sender_stats(w->sender)->pending > 0;
                for (uint32_t i = 0; i < CHECKPOINT_SHARDS_MAX; i++)
                        if (w->pending[i].busy)
                                accept_one(w, i);
        }
}

static void start(World *w) {
        QueueOptions o = { .max_bytes = 1 << 30, .segment_bytes = 20000, .pending_bytes = 1 << 20, .sync = true };
        Transport t = { post, cancel, w };
        w->vfs = vfs_sim_open(w->sim);
        w->w = (Writer){ 0 };
        assert_int_equal(checkpoint_open(w->vfs, &w->checkpoint), 0);
        uint64_t least = 0;
        const CheckpointState *c = checkpoint_state(w->checkpoint);
        for (uint32_t i = 0; i < c->n_shards; i++) {
                least = c->shards[i].acked > least ? c->shards[i].acked : least;
                least = c->shards[i].sent > least ? c->shards[i].sent : least;
        }
        assert_int_equal(queue_open(w->vfs, &o, least, &w->w.q), 0);
        assert_int_equal(
                sender_new(w->w.q, w->checkpoint, &w->encoder, &w->described, &w->o, &t, complaint, w, &w->sender), 0);
}

static void stop(World *w) {
        w->sender = sender_free(w->sender);
        w->checkpoint = checkpoint_close(w->checkpoint);
        w->w.q = queue_close(w->w.q);
        w->vfs = vfs_free(w->vfs);
        for (uint32_t i = 0; i < CHECKPOINT_SHARDS_MAX; i++)
                assert_false(w->pending[i].busy);
}

static void commit(World *w) {
        queue_end(w->w.q);
        assert_int_equal(checkpoint_commit(w->checkpoint, true), 0);
        queue_release(w->w.q, sender_delivered(w->sender));
        assert_int_equal(queue_commit(w->w.q), 0);
}

/* The value is the sample's number among all of the test. */
static void write_samples(World *w, size_t first, size_t n) {
        for (size_t i = first; i < first + n; i++) {
                put(&w->w, (unsigned)(i % 20), T + (int64_t)i, (double)i);
                if (i % 100 == 99)
                        commit(w);
        }
        commit(w);
}

static void received(const World *w, size_t first, size_t n, unsigned times) {
        for (size_t i = first; i < first + n; i++)
                if (w->times_received[i] != times)
                        fail_msg("sample %zu was received %u times, not %u", i, w->times_received[i], times);
}

static int setup(void **state) {
        (void)state;
        world = calloc(1, sizeof *world);
        world->sim = vfs_sim_new(1);
        world->now = SECONDS(1000).ns ? (MonoTime){ SECONDS(1000).ns } : world->now;
        world->random = 1;
        world->o = (SenderOptions){ .capacity = 1000,
                                    .min_shards = 1,
                                    .max_shards = 1,
                                    .max_samples_per_send = 100,
                                    .batch_send_deadline = SECONDS(5),
                                    .min_backoff = MILLISECONDS(30),
                                    .max_backoff = SECONDS(5),
                                    .retry_on_429 = true,
                                    .version = RW_1 };
        return 0;
}

static int teardown(void **state) {
        (void)state;
        encoder_deinit(&world->encoder);
        described_deinit(&world->described);
        world->sim = vfs_sim_free(world->sim);
        free(world);
        return 0;
}

/* ---- Tests ---- */

static void all_is_sent_in_order(void **state) {
        (void)state;
        World *w = world;
        start(w);
        write_samples(w, 0, 1050);
        step(w);
        assert_true(w->requests == 1 && w->pending[0].busy);
        settle(w);
        received(w, 0, 1050, 1);
        assert_true(w->order_faults == 0 && w->requests >= 11 && w->requests <= 13);
        const SenderStats *s = sender_stats(w->sender);
        assert_true(s->sent == 1050 && s->pending == 0 && s->failed == 0 && s->newest_sent_ms == T + 1049);
        assert_int_equal(sender_delivered(w->sender), 1051);
        stop(w);
        start(w); /* nothing twice */
        settle(w);
        received(w, 0, 1050, 1);
        stop(w);
}

/* What does not fill a request waits for the deadline, no longer. */
static void deadline(void **state) {
        (void)state;
        World *w = world;
        start(w);
        write_samples(w, 0, 5);
        MonoTime next = sender_step(w->sender, w->now, (WallTime){ 0 });
        assert_int_equal(next.ns, w->now.ns + 5 * NS_PER_SEC);
        assert_int_equal(w->requests, 0);
        w->now = next;
        step(w);
        assert_int_equal(w->requests, 1);
        accept_one(w, 0);
        received(w, 0, 5, 1);
        stop(w);
}

/* Goes from one time to the next that the sender asks for, until it posts. */
static int64_t time_to_post(World *w) {
        int64_t begin = w->now.ns;
        for (;;) {
                MonoTime next = sender_step(w->sender, w->now, (WallTime){ 0 });
                if (w->pending[0].busy)
                        return w->now.ns - begin;
                w->now = next;
        }
}

static void pauses(void **state) {
        (void)state;
        World *w = world;
        start(w);
        write_samples(w, 0, 100);
        step(w);
        int64_t pause = 30 * NS_PER_MS;
        for (int i = 0; i < 12; i++) {
                assert_true(w->pending[0].busy);
                answer_with(w, 0, i % 2 ? (SenderAnswer){ .status = 503 } : (SenderAnswer){ .error = -ECONNREFUSED });
                assert_int_equal(time_to_post(w), pause);
                pause = pause * 2 < 5 * NS_PER_SEC ? pause * 2 : 5 * NS_PER_SEC;
        }
        answer_with(w, 0, (SenderAnswer){ .status = 429, .retry_after_s = 17 });
        assert_int_equal(time_to_post(w), 17 * NS_PER_SEC);
        settle(w);
        received(w, 0, 100, 1);
        assert_int_equal(sender_stats(w->sender)->retried, 1300);
        assert_int_equal(w->complaints, 13);
        stop(w);
}

static void refusals(void **state) {
        (void)state;
        World *w = world;
        start(w);
        write_samples(w, 0, 300);
        step(w);
        answer_with(w, 0, (SenderAnswer){ .status = 400, .why = "out of order sample" });
        step(w);
        answer_with(w, 0, (SenderAnswer){ .status = 404 });
        step(w);
        settle(w);
        received(w, 0, 200, 0);
        received(w, 200, 100, 1);
        const SenderStats *s = sender_stats(w->sender);
        assert_true(s->failed == 200 && s->sent == 100 && w->dropped == 200);
        stop(w);
        w->o.retry_on_429 = false;
        start(w);
        write_samples(w, 300, 100);
        step(w);
        answer_with(w, 0, (SenderAnswer){ .status = 429 });
        step(w);
        received(w, 300, 100, 0);
        assert_int_equal(sender_stats(w->sender)->failed, 100);
        stop(w);
}

static void falls_back_to_1(void **state) {
        (void)state;
        static const SenderAnswer ANSWERS[] = { { .status = 415 }, { .status = 400 }, { .status = 204 } };
        World *w = world;
        w->o.version = RW_2;
        w->o.min_shards = w->o.max_shards = 3;
        for (size_t i = 0; i < ARRAY_LEN(ANSWERS); i++) {
                start(w);
                write_samples(w, 1000 * i, 900);
                step(w);
                for (uint32_t shard = 0; shard < 3; shard++) {
                        assert_true(w->pending[shard].busy && w->pending[shard].version == RW_2);
                        answer_with(w, shard, ANSWERS[i]);
                }
                step(w);
                assert_int_equal(w->pending[0].version, RW_1);
                settle(w);
                received(w, 1000 * i, 900, 1);
                assert_int_equal(sender_stats(w->sender)->version, RW_1);
                stop(w);
        }
        start(w);
        write_samples(w, 5000, 300);
        settle(w);
        received(w, 5000, 300, 1);
        assert_int_equal(sender_stats(w->sender)->version, RW_2);
        stop(w);
}

/* 2.0 carries what the metrics are, and texts once. */
static void describes(void **state) {
        (void)state;
        World *w = world;
        w->o.version = RW_2;
        described_tell(&w->described, (Span){ "m", 1 }, METRIC_COUNTER, (Span){ "Help.", 5 }, (Span){ "seconds", 7 });
        start(w);
        write_samples(w, 0, 100);
        step(w);
        CLEANUP(buf_deinit) Buf raw = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        const char *why;
        RwError e;
        const Buf *body = &w->pending[0].body;
        assert_int_equal(snappy_block_decode((uint8_t *)body->data, body->len, 1 << 20, &raw, &why), 0);
        assert_int_equal(rw_parse((uint8_t *)raw.data, raw.len, RW_2, &q, &e), 0);
        assert_true(q.n_series == 100 && q.n_symbols == 26); /* "", names, m, help, unit, 20 values */
        assert_true(q.series[99].type == METRIC_COUNTER && span_is(q.symbols[q.series[99].help], "Help."));
        assert_true(span_is(q.symbols[q.series[99].unit], "seconds"));
        settle(w);
        stop(w);
        Buf packed = BUF_NULL;
        assert_int_equal(encode_metadata(&w->encoder, &w->described, 0, 10, &packed), 0);
        assert_int_equal(snappy_block_decode((uint8_t *)packed.data, packed.len, 1 << 20, &raw, &why), 0);
        assert_int_equal(rw_parse((uint8_t *)raw.data, raw.len, RW_1, &q, &e), 0);
        assert_true(q.n_metadata == 1 && span_is(q.metadata[0].help, "Help."));
        buf_deinit(&packed);
}

static void old_samples_are_left_out(void **state) {
        (void)state;
        World *w = world;
        w->o.sample_age_limit = SECONDS(1);
        start(w);
        for (size_t i = 0; i < 150; i++)
                put(&w->w, (unsigned)(i % 20), i < 120 ? T - 60000 + (int64_t)i : T + (int64_t)i, (double)i);
        commit(w);
        settle(w);
        received(w, 0, 120, 0);
        received(w, 120, 30, 1);
        assert_true(sender_stats(w->sender)->too_old == 120 && sender_stats(w->sender)->sent == 30);
        stop(w);
}

/* What a strict receiver refuses because it is late takes nothing else with it. */
static void late_samples_go_alone(void **state) {
        (void)state;
        World *w = world;
        w->strict = true;
        start(w);
        for (size_t i = 0; i < 300; i++)
                put(&w->w, (unsigned)(i % 20), i >= 100 && i < 120 ? T - 5 : T + (int64_t)i, (double)i);
        commit(w);
        settle(w);
        received(w, 0, 100, 1);
        received(w, 100, 20, 0);
        received(w, 120, 180, 1);
        assert_int_equal(sender_stats(w->sender)->failed, 20);
        stop(w);
}

/* Memory stays within the capacity while the receiver is away, and the rest waits on the disk. */
static void back_pressure(void **state) {
        (void)state;
        World *w = world;
        w->o.min_shards = w->o.max_shards = 3;
        start(w);
        for (int i = 0; i < 40; i++) {
                write_samples(w, (size_t)i * 1000, 1000);
                w->now.ns += 10 * NS_PER_SEC;
                step(w);
                for (uint32_t shard = 0; shard < 3; shard++)
                        if (w->pending[shard].busy)
                                answer_with(w, shard, (SenderAnswer){ .error = -ETIMEDOUT });
                assert_true(sender_stats(w->sender)->pending <= 3 * w->o.capacity);
        }
        assert_true(sender_stats(w->sender)->pending > 0);
        settle(w);
        received(w, 0, 40000, 1);
        assert_int_equal(w->order_faults, 0);
        QueueStats q;
        commit(w);
        queue_stats(w->w.q, &q);
        assert_true(q.segments <= 2);
        stop(w);
}

/* A slow receiver with a backlog gets more shards, a quick one fewer again; order and completeness stay. */
static void shards_follow_the_load(void **state) {
        (void)state;
        World *w = world;
        w->o.max_shards = SHARDS;
        start(w);
        uint32_t most = 0;
        for (size_t i = 0; i < 40; i++) {
                write_samples(w, i * 1000, 1000);
                for (int k = 0; k < 4; k++) {
                        step(w);
                        w->now.ns += 950 * NS_PER_MS; /* a request takes so long */
                        for (uint32_t shard = 0; shard < SHARDS; shard++)
                                if (w->pending[shard].busy)
                                        accept_one(w, shard);
                }
                most = sender_stats(w->sender)->shards > most ? sender_stats(w->sender)->shards : most;
        }
        assert_true(most >= 4);
        settle(w);
        for (int i = 0; i < 100; i++) {
                w->now.ns += NS_PER_SEC;
                step(w);
        }
        assert_int_equal(sender_stats(w->sender)->shards, 1);
        received(w, 0, 40000, 1);
        assert_int_equal(w->order_faults, 0);
        stop(w);
        start(w);
        assert_int_equal(sender_stats(w->sender)->shards, 1);
        stop(w);
}

/* Killed at any moment, with a strict receiver: the request of unknown outcome is sent again as it was, everything else
 * once. */
static void killed_at_any_moment(void **state) {
        (void)state;
        World *w = world;
        w->strict = true;
        size_t next = 0;
        for (int lives = 0; lives < 150; lives++) {
                w->o.min_shards = w->o.max_shards = (uint32_t)sim_below(&w->random, 4) + 1;
                w->o.max_samples_per_send = sim_below(&w->random, 90) + 20;
                start(w);
                for (uint64_t steps = sim_below(&w->random, 12); steps > 0; steps--) {
                        size_t n = sim_below(&w->random, 300);
                        if (next + n < SAMPLES_MAX) {
                                write_samples(w, next, n);
                                next += n;
                        }
                        w->now.ns += (int64_t)sim_below(&w->random, 12) * NS_PER_SEC;
                        step(w);
                        for (uint32_t shard = 0; shard < CHECKPOINT_SHARDS_MAX; shard++)
                                if (w->pending[shard].busy && sim_below(&w->random, 3))
                                        accept_one(w, shard);
                }
                /* Some requests arrive, and nobody hears of it. */
                for (uint32_t shard = 0; shard < CHECKPOINT_SHARDS_MAX; shard++)
                        if (w->pending[shard].busy && sim_below(&w->random, 2))
                                (void)receive(w, &w->pending[shard]);
                vfs_sim_kill(w->sim);
                stop(w);
        }
        start(w);
        settle(w);
        for (size_t i = 0; i < next; i++)
                if (w->times_received[i] == 0)
                        fail_msg("sample %zu of %zu is lost", i, next);
        assert_true(w->order_faults == 0 && next > 10000);
        assert_int_equal(sender_stats(w->sender)->lost, 0);
        stop(w);
}

/* After power cuts more may come twice, but nothing that was committed is lost for a receiver that takes everything. */
static void power_cuts(void **state) {
        (void)state;
        World *w = world;
        size_t next = 0;
        w->o.min_shards = w->o.max_shards = 2;
        for (int lives = 0; lives < 100; lives++) {
                start(w);
                for (uint64_t steps = sim_below(&w->random, 8); steps > 0; steps--) {
                        size_t n = sim_below(&w->random, 300);
                        if (next + n < SAMPLES_MAX) {
                                write_samples(w, next, n);
                                next += n;
                        }
                        w->now.ns += 6 * NS_PER_SEC;
                        step(w);
                        for (uint32_t shard = 0; shard < 2; shard++)
                                if (w->pending[shard].busy && sim_below(&w->random, 3))
                                        accept_one(w, shard);
                }
                vfs_sim_power_cut(w->sim, w->random);
                stop(w);
        }
        start(w);
        settle(w);
        for (size_t i = 0; i < next; i++)
                if (w->times_received[i] == 0)
                        fail_msg("sample %zu of %zu is lost", i, next);
        stop(w);
}

/* The bound was exceeded while the receiver was away: the oldest are missing, and counted. */
static void over_the_bound(void **state) {
        (void)state;
        World *w = world;
        start(w);
        w->w.q = (w->sender = sender_free(w->sender), queue_close(w->w.q));
        QueueOptions o = { .max_bytes = 60000, .segment_bytes = 8000, .pending_bytes = 1 << 20, .sync = true };
        Transport t = { post, cancel, w };
        assert_int_equal(queue_open(w->vfs, &o, 0, &w->w.q), 0);
        assert_int_equal(
                sender_new(w->w.q, w->checkpoint, &w->encoder, &w->described, &w->o, &t, complaint, w, &w->sender), 0);
        write_samples(w, 0, 20000);
        settle(w);
        size_t missing = 0;
        for (size_t i = 0; i < 20000; i++)
                missing += w->times_received[i] == 0;
        assert_true(missing > 5000 && missing == sender_stats(w->sender)->lost);
        received(w, 19000, 1000, 1);
        stop(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(all_is_sent_in_order, setup, teardown),
                cmocka_unit_test_setup_teardown(deadline, setup, teardown),
                cmocka_unit_test_setup_teardown(pauses, setup, teardown),
                cmocka_unit_test_setup_teardown(refusals, setup, teardown),
                cmocka_unit_test_setup_teardown(falls_back_to_1, setup, teardown),
                cmocka_unit_test_setup_teardown(describes, setup, teardown),
                cmocka_unit_test_setup_teardown(old_samples_are_left_out, setup, teardown),
                cmocka_unit_test_setup_teardown(late_samples_go_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(back_pressure, setup, teardown),
                cmocka_unit_test_setup_teardown(shards_follow_the_load, setup, teardown),
                cmocka_unit_test_setup_teardown(killed_at_any_moment, setup, teardown),
                cmocka_unit_test_setup_teardown(power_cuts, setup, teardown),
                cmocka_unit_test_setup_teardown(over_the_bound, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

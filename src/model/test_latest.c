#include "model/latest.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Calls {
        unsigned entities, gone, blobs;
        char last_gone[64];
        Latest *latest;
} Calls;

static void hook_entity(void *context, LatestEntity *e) {
        Calls *c = context;
        assert_ptr_equal(latest_find(c->latest, &e->key), e);
        c->entities++;
}

static void hook_gone(void *context, LatestEntity *e) {
        Calls *c = context;
        assert_null(latest_find(c->latest, &e->key));
        c->gone++;
        (void)snprintf(c->last_gone, sizeof c->last_gone, "%s", e->name);
        free(e->attachment);
}

static void hook_blob(void *context, EntityKey key, BlobType type, const void *bytes, size_t n) {
        Calls *c = context;
        assert_true(key.kind == ENTITY_DOMAIN && type == BLOB_DOMAIN_XML && n == 3);
        assert_memory_equal(bytes, "xml", 3);
        c->blobs++;
}

static EntityKey key_number(EntityKind kind, unsigned n) {
        EntityKey key = { .kind = kind };
        memcpy(key.id.bytes, &n, sizeof n);
        return key;
}

static void add_pid(Latest *l, EntityKey key, const char *name, uint32_t pid) {
        sink_entity(&l->sink, &(EntityInfo){ .key = key, .name = name, .name_len = strlen(name), .pid = pid });
}

static void add(Latest *l, EntityKey key, const char *name) {
        add_pid(l, key, name, 0);
}

/* A look at DOM_CPU at `seconds`, with a CPU time in ns. */
static void look(Latest *l, EntityKey key, double seconds, double time_ns) {
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        batch_begin(&b, key, GROUP_DOM_CPU, (WallTime){ 1 }, (MonoTime){ (int64_t)(seconds * 1e9) });
        batch_row(&b, NULL);
        batch_set(&b, M_DOM_CPU_TIME, time_ns);
        sink_build(&l->sink, &b);
}

/* A look at DOM_VCPU: a row for each letter of `rows`, its time `base` and ten more for each row. */
static void look_rows(Latest *l, EntityKey key, double seconds, const char *rows, double base) {
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        batch_begin(&b, key, GROUP_DOM_VCPU, (WallTime){ 1 }, (MonoTime){ (int64_t)(seconds * 1e9) });
        for (size_t i = 0; rows[i]; i++) {
                batch_row1(&b, &rows[i], 1);
                batch_set(&b, M_DOM_VCPU_TIME, base + (double)i * 10);
        }
        sink_build(&l->sink, &b);
}

static const EntityKey DOMAIN = { .kind = ENTITY_DOMAIN, .id = { { 1 } } };

static void values_and_ages(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, 10);
        add(&l, DOMAIN, "web");
        LatestEntity *e = latest_find(&l, &DOMAIN);
        assert_non_null(e);
        assert_null(latest_group(e, GROUP_DOM_CPU));
        assert_null(latest_group(e, GROUP_NODE_CPU)); /* of another kind */
        assert_true(value_is_absent(latest_value(e, M_DOM_CPU_TIME, 0)));
        assert_true(latest_group_age(e, GROUP_DOM_CPU, (MonoTime){ 5 }) < 0);
        assert_true(latest_lane_age(e, LANE_KERNEL, (MonoTime){ 5 }) < 0);
        look(&l, DOMAIN, 10, 5e9);
        assert_true(latest_value(e, M_DOM_CPU_TIME, 0) == 5e9); /* in the source's unit */
        assert_true(value_is_absent(latest_value(e, M_DOM_CPU_USER, 0)));
        assert_true(value_is_absent(latest_value(e, M_DOM_CPU_TIME, 1)));
        assert_true(value_is_absent(latest_rate(e, M_DOM_CPU_TIME, 0)));
        look_rows(&l, DOMAIN, 12, "01", 0);
        MonoTime now = { (int64_t)13e9 };
        assert_true(latest_group_age(e, GROUP_DOM_CPU, now) == 3);
        assert_true(latest_lane_age(e, LANE_KERNEL, now) == 1);
        assert_true(latest_lane_age(e, LANE_LIBVIRT, now) < 0);
        assert_true(latest_lane_age(e, LANE_KERNEL, (MonoTime){ 0 }) == 0);
        assert_true(l.batches == 2 && l.samples == 3 && l.orphans == 0);
}

static void rates_of_two_looks(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, 10);
        add(&l, DOMAIN, "web");
        LatestEntity *e = latest_find(&l, &DOMAIN);
        look(&l, DOMAIN, 10, 5e9);
        look(&l, DOMAIN, 12, 6e9);
        assert_true(latest_rate(e, M_DOM_CPU_TIME, 0) == 0.5); /* seconds of CPU a second */
        look(&l, DOMAIN, 16, 6e9);
        assert_true(latest_rate(e, M_DOM_CPU_TIME, 0) == 0); /* idle is 0, not absent */
        assert_true(value_is_absent(latest_rate(e, M_DOM_CPU_USER, 0)));
        assert_true(value_is_absent(latest_rate(e, M_DOM_CPU_TIME, 1)));
        look(&l, DOMAIN, 17, value_absent());
        assert_true(value_is_absent(latest_rate(e, M_DOM_CPU_TIME, 0)));
        look(&l, DOMAIN, 18, 7e9);
        assert_true(value_is_absent(latest_rate(e, M_DOM_CPU_TIME, 0)));
        look(&l, DOMAIN, 19, INFINITY);
        assert_true(value_is_absent(latest_rate(e, M_DOM_CPU_TIME, 0)));
}

static void a_counter_that_went_back_has_no_rate(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, 10);
        add(&l, DOMAIN, "web");
        LatestEntity *e = latest_find(&l, &DOMAIN);
        look(&l, DOMAIN, 10, 5e9);
        look(&l, DOMAIN, 11, 1e9);
        assert_true(value_is_absent(latest_rate(e, M_DOM_CPU_TIME, 0)));
        assert_true(latest_value(e, M_DOM_CPU_TIME, 0) == 1e9);
        look(&l, DOMAIN, 12, 2e9);
        assert_true(latest_rate(e, M_DOM_CPU_TIME, 0) == 1);
}

static void another_process_begins_anew(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, 10);
        add_pid(&l, DOMAIN, "web", 100);
        LatestEntity *e = latest_find(&l, &DOMAIN);
        look(&l, DOMAIN, 10, 1e9);
        look(&l, DOMAIN, 11, 2e9);
        add_pid(&l, DOMAIN, "web", 100); /* said again: nothing changed */
        assert_true(latest_rate(e, M_DOM_CPU_TIME, 0) == 1);
        add_pid(&l, DOMAIN, "web", 200);
        assert_true(value_is_absent(latest_rate(e, M_DOM_CPU_TIME, 0)));
        look(&l, DOMAIN, 12, 90e9); /* more than before, and yet no progress of this process */
        assert_true(value_is_absent(latest_rate(e, M_DOM_CPU_TIME, 0)));
        look(&l, DOMAIN, 13, 91e9);
        assert_true(latest_rate(e, M_DOM_CPU_TIME, 0) == 1);
        assert_true(e->pid == 200);
}

static void two_looks_at_one_instant_are_one(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, 10);
        add(&l, DOMAIN, "web");
        LatestEntity *e = latest_find(&l, &DOMAIN);
        look(&l, DOMAIN, 10, 1e9);
        look(&l, DOMAIN, 12, 2e9);
        look(&l, DOMAIN, 12, 3e9);
        assert_true(latest_rate(e, M_DOM_CPU_TIME, 0) == 1);
        look(&l, DOMAIN, 11, 9e9); /* late */
        assert_true(latest_value(e, M_DOM_CPU_TIME, 0) == 3e9 && l.late == 1);
}

static void rows_that_change(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, 10);
        add(&l, DOMAIN, "web");
        LatestEntity *e = latest_find(&l, &DOMAIN);
        look_rows(&l, DOMAIN, 10, "01", 0);
        look_rows(&l, DOMAIN, 11, "01", 1e9);
        assert_true(latest_rate(e, M_DOM_VCPU_TIME, 1) == 1);
        assert_true(latest_rate_sum(e, M_DOM_VCPU_TIME) == 2);
        assert_true(value_is_absent(latest_rate_sum(e, M_DOM_VCPU_WAIT)));
        look_rows(&l, DOMAIN, 12, "012", 2e9); /* one more */
        assert_true(latest_group(e, GROUP_DOM_VCPU)->n_rows == 3 &&
                    latest_group(e, GROUP_DOM_VCPU)->before_mono.ns == 0);
        assert_true(value_is_absent(latest_rate_sum(e, M_DOM_VCPU_TIME)));
        look_rows(&l, DOMAIN, 13, "013", 3e9); /* as many, another one */
        assert_true(value_is_absent(latest_rate(e, M_DOM_VCPU_TIME, 0)));
        look_rows(&l, DOMAIN, 14, "013", 4e9);
        assert_true(latest_rate_sum(e, M_DOM_VCPU_TIME) == 3);
        Span labels[GROUP_MAX_KEYS];
        assert_true(latest_row_labels(e, GROUP_DOM_VCPU, 2, labels) && span_is(labels[0], "3"));
        assert_true(latest_row_labels(e, GROUP_DOM_VCPU, 0, labels) && span_is(labels[0], "0"));
        assert_false(latest_row_labels(e, GROUP_DOM_VCPU, 3, labels));
        assert_false(latest_row_labels(e, GROUP_DOM_CPU, 0, labels));
        look_rows(&l, DOMAIN, 15, "", 0); /* looked at, and there is none */
        assert_true(latest_group(e, GROUP_DOM_VCPU)->n_rows == 0);
        assert_true(value_is_absent(latest_rate_sum(e, M_DOM_VCPU_TIME)));
        look_rows(&l, DOMAIN, 16, "", 0);
        sink_group_gone(&l.sink, DOMAIN, GROUP_DOM_VCPU);
        assert_null(latest_group(e, GROUP_DOM_VCPU));
        sink_group_gone(&l.sink, DOMAIN, GROUP_DOM_VCPU);
        sink_group_gone(&l.sink, key_number(ENTITY_DOMAIN, 999), GROUP_DOM_VCPU);
}

/* The usual look allocates nothing: the group stays where it is. */
static void the_same_rows_reuse_memory(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, 10);
        add(&l, DOMAIN, "web");
        look_rows(&l, DOMAIN, 10, "01", 0);
        const LatestGroup *g = latest_group(latest_find(&l, &DOMAIN), GROUP_DOM_VCPU);
        const double *first = g->values;
        look_rows(&l, DOMAIN, 11, "01", 5);
        assert_ptr_equal(latest_group(latest_find(&l, &DOMAIN), GROUP_DOM_VCPU), g);
        assert_ptr_equal(g->before, first);
        look_rows(&l, DOMAIN, 12, "01", 5);
        assert_ptr_equal(g->values, first);
}

static void gone_and_born_again_under_another_uuid(void **state) {
        (void)state;
        Calls calls = { 0 };
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, 10);
        l.on_gone = hook_gone;
        l.on_entity = hook_entity;
        l.on_blob = hook_blob;
        l.context = &calls;
        calls.latest = &l;
        EntityKey other = key_number(ENTITY_DOMAIN, 2);
        add(&l, DOMAIN, "web");
        look(&l, DOMAIN, 10, 1e9);
        latest_find(&l, &DOMAIN)->attachment = strdup("parsed");
        add(&l, other, "web"); /* both are there for a moment */
        assert_int_equal(l.n, 2);
        assert_null(latest_group(latest_find(&l, &other), GROUP_DOM_CPU));
        sink_gone(&l.sink, DOMAIN);
        assert_true(calls.gone == 1 && strcmp(calls.last_gone, "web") == 0 && calls.entities == 2);
        look(&l, DOMAIN, 11, 2e9); /* what was under way when it went */
        assert_int_equal(l.orphans, 1);
        assert_null(latest_find(&l, &DOMAIN));
        assert_true(value_is_absent(latest_value(latest_find(&l, &other), M_DOM_CPU_TIME, 0)));
        sink_gone(&l.sink, DOMAIN);
        assert_int_equal(calls.gone, 1);
        sink_blob(&l.sink, other, BLOB_DOMAIN_XML, "xml", 3);
        assert_int_equal(calls.blobs, 1);
        latest_clear(&l);
        assert_true(calls.gone == 2 && l.n == 0 && latest_find(&l, &other) == NULL);
        add(&l, other, "web");
        assert_int_equal(l.n, 1);
}

static void assert_names(const Latest *l, EntityKind kind, const char *names) {
        size_t n;
        LatestEntity **range = latest_range(l, kind, &n);
        char text[256] = "";
        for (size_t i = 0; i < n; i++)
                (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", range[i]->name);
        assert_string_equal(text, names);
}

static void entities_are_in_order(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, 10);
        assert_names(&l, ENTITY_DOMAIN, "");
        add(&l, key_number(ENTITY_CONTAINER, 1), "a");
        add(&l, key_number(ENTITY_DOMAIN, 4), "m");
        add(&l, key_number(ENTITY_DOMAIN, 5), "b");
        add(&l, key_number(ENTITY_HOST, 1), "z");
        add(&l, key_number(ENTITY_DOMAIN, 6), "x");
        assert_names(&l, ENTITY_HOST, "z ");
        assert_names(&l, ENTITY_DOMAIN, "b m x ");
        assert_names(&l, ENTITY_CONTAINER, "a ");
        EntityKey key = key_number(ENTITY_DOMAIN, 5);
        LatestEntity *e = latest_find(&l, &key);
        look(&l, key, 10, 1e9);
        add(&l, key, "y"); /* renamed: same entity, same address, same values */
        assert_names(&l, ENTITY_DOMAIN, "m x y ");
        assert_ptr_equal(latest_find(&l, &key), e);
        assert_true(latest_value(e, M_DOM_CPU_TIME, 0) == 1e9);
        sink_gone(&l.sink, key_number(ENTITY_DOMAIN, 6));
        assert_names(&l, ENTITY_DOMAIN, "m y ");
        assert_int_equal(l.n, 4);
}

static void texts_from_outside(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, 10);
        EntityInfo info = { .key = key_number(ENTITY_CONTAINER, 1),
                            .engine = ENGINE_DOCKER,
                            .started_ns = 7,
                            .name = "a\0b",
                            .name_len = 3,
                            .path = "/docker/x",
                            .path_len = 7,
                            .ident = NULL };
        sink_entity(&l.sink, &info);
        LatestEntity *e = latest_find(&l, &info.key);
        assert_string_equal(e->name, "a");
        assert_string_equal(e->path, "/docker");
        assert_string_equal(e->ident, "");
        assert_true(e->engine == ENGINE_DOCKER && e->started_ns == 7);
        info.ident = "unit";
        info.ident_len = 4;
        sink_entity(&l.sink, &info);
        assert_string_equal(e->ident, "unit");
}

static void too_many_are_counted(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, 3);
        for (unsigned i = 0; i < 5; i++)
                add(&l, key_number(ENTITY_DOMAIN, i), "x");
        assert_true(l.n == 3 && l.refused == 2);
        look(&l, key_number(ENTITY_DOMAIN, 4), 1, 1);
        assert_int_equal(l.orphans, 1);
        add(&l, key_number(ENTITY_DOMAIN, 1), "renamed"); /* one that is there may change */
        assert_int_equal(l.refused, 2);
        sink_gone(&l.sink, key_number(ENTITY_DOMAIN, 0));
        add(&l, key_number(ENTITY_DOMAIN, 4), "x");
        assert_true(l.n == 3 && l.refused == 2);
}

/* Against a plain list: thousands of random arrivals, renames and departures. */
static void churn(void **state) {
        (void)state;
        enum { KEYS = 600 };
        static int name_of[KEYS]; /* 0 = not there */
        CLEANUP(latest_deinit) Latest l;
        latest_init(&l, KEYS);
        uint32_t random = 1;
        size_t n = 0;
        for (int step = 0; step < 60000; step++) {
                random = random * 1664525 + 1013904223;
                unsigned k = (random >> 8) % KEYS;
                EntityKey key = key_number(k % 3 ? ENTITY_DOMAIN : ENTITY_CONTAINER, k);
                if (random >> 31) {
                        char name[16];
                        int number = 1 + (int)(random >> 4) % 50;
                        (void)snprintf(name, sizeof name, "n%02d", number);
                        add(&l, key, name);
                        n += name_of[k] == 0;
                        name_of[k] = number;
                } else {
                        sink_gone(&l.sink, key);
                        n -= name_of[k] != 0;
                        name_of[k] = 0;
                }
                assert_int_equal(l.n, n);
                assert_true((latest_find(&l, &key) != NULL) == (name_of[k] != 0));
        }
        for (unsigned k = 0; k < KEYS; k++) {
                EntityKey key = key_number(k % 3 ? ENTITY_DOMAIN : ENTITY_CONTAINER, k);
                LatestEntity *e = latest_find(&l, &key);
                assert_true((e != NULL) == (name_of[k] != 0));
                if (e)
                        assert_int_equal(atoi(e->name + 1), name_of[k]);
        }
        for (size_t i = 1; i < l.n; i++) {
                const LatestEntity *a = l.entities[i - 1], *b = l.entities[i];
                assert_true(a->key.kind <= b->key.kind);
                if (a->key.kind == b->key.kind)
                        assert_true(strcmp(a->name, b->name) <= 0);
        }
}

/* 200 domains, 8 groups each: a round of looks. Printed, not asserted: other work shares the machine. */
static void cost_of_a_round(void **state) {
        (void)state;
        static const GroupId LOOKS[] = { GROUP_DOM_CPU, GROUP_DOM_VCPU, GROUP_DOM_HOSTMEM, GROUP_DOM_IO,
                                         GROUP_DOM_PSI, GROUP_DOM_NET,  GROUP_DOM_STATE,   GROUP_DOM_INFO };
        CLEANUP(latest_deinit) Latest l;
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        latest_init(&l, 1000);
        for (unsigned i = 0; i < 200; i++)
                add(&l, key_number(ENTITY_DOMAIN, i), "domain");
        MonoTime begin = mono_now();
        enum { ROUNDS = 50 };
        int64_t in_sink = 0;
        for (int round = 0; round < ROUNDS; round++) {
                for (unsigned i = 0; i < 200 * ARRAY_LEN(LOOKS); i++) {
                        GroupId g = LOOKS[i % ARRAY_LEN(LOOKS)];
                        batch_begin(&b, key_number(ENTITY_DOMAIN, i / ARRAY_LEN(LOOKS)), g, (WallTime){ 1 },
                                    (MonoTime){ round + 1 });
                        if (GROUPS[g].n_keys)
                                batch_row1(&b, "0", 1);
                        else
                                batch_row(&b, NULL);
                        MonoTime before = mono_now();
                        sink_build(&l.sink, &b);
                        in_sink += mono_since(mono_now(), before).ns;
                }
        }
        print_message("a round of 1,600 batches: %.0f us in the sink, %.0f us in all\n", (double)in_sink / ROUNDS / 1e3,
                      duration_seconds(mono_since(mono_now(), begin)) * 1e6 / ROUNDS);
        assert_true(l.batches == ROUNDS * 1600 && l.orphans == 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_and_ages),
                cmocka_unit_test(rates_of_two_looks),
                cmocka_unit_test(a_counter_that_went_back_has_no_rate),
                cmocka_unit_test(another_process_begins_anew),
                cmocka_unit_test(two_looks_at_one_instant_are_one),
                cmocka_unit_test(rows_that_change),
                cmocka_unit_test(the_same_rows_reuse_memory),
                cmocka_unit_test(gone_and_born_again_under_another_uuid),
                cmocka_unit_test(entities_are_in_order),
                cmocka_unit_test(texts_from_outside),
                cmocka_unit_test(too_many_are_counted),
                cmocka_unit_test(churn),
                cmocka_unit_test(cost_of_a_round),
        };
        return cmocka_run_group_tests_name("latest", tests, NULL, NULL);
}

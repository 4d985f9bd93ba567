/* libvirt's typed parameters to rows, with what a driver may get wrong. */
#include "virt/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const EntityKey DOMAIN = { .kind = ENTITY_DOMAIN };

static virTypedParameter ull(const char *name, unsigned long long v) {
        virTypedParameter p = { .type = VIR_TYPED_PARAM_ULLONG, .value.ul = v };
        (void)snprintf(p.field, sizeof p.field, "%s", name);
        return p;
}

static virTypedParameter integer(const char *name, int v) {
        virTypedParameter p = { .type = VIR_TYPED_PARAM_INT, .value.i = v };
        (void)snprintf(p.field, sizeof p.field, "%s", name);
        return p;
}

static virTypedParameter text(const char *name, const char *v) {
        virTypedParameter p = { .type = VIR_TYPED_PARAM_STRING, .value.s = (char *)v };
        (void)snprintf(p.field, sizeof p.field, "%s", name);
        return p;
}

static double value(const BatchBuilder *b, uint32_t row, MetricId m) {
        Batch view;
        assert_true(batch_view(b, &view));
        assert_true(row < view.n_rows);
        return view.values[row * group_columns(b->group) + metric_column(m)];
}

static void begin(BatchBuilder *b, GroupId group) {
        batch_begin(b, DOMAIN, group, (WallTime){ 1 }, (MonoTime){ 1 });
}

static void what_is_not_given_is_absent(void **state) {
        (void)state;
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        virTypedParameter p[] = { ull("balloon.current", 1024), ull("balloon.maximum", 2048),
                                  ull("balloon.novelty", 7) };
        begin(&b, GROUP_DOM_BALLOON);
        assert_int_equal(params_balloon(p, ARRAY_LEN(p), &b), 2);
        assert_true(value(&b, 0, M_DOM_BALLOON_ACTUAL) == 1024);
        assert_true(value(&b, 0, M_DOM_BALLOON_MAXIMUM) == 2048);
        assert_true(value_is_absent(value(&b, 0, M_DOM_BALLOON_UNUSED)));
}

static void a_disk_is_a_row(void **state) {
        (void)state;
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        virTypedParameter p[] = {
                integer("block.count", 2),         text("block.0.name", "vda"),   text("block.0.path", "/x\ny"),
                ull("block.0.rd.bytes", 4096),     text("block.10.name", "sda"),  ull("block.10.rd.bytes", 512),
                ull("block.10.physical", 1 << 20),
        };
        begin(&b, GROUP_DOM_BLOCK);
        assert_int_equal(params_block(p, ARRAY_LEN(p), &b), 3);
        assert_int_equal(b.n_rows, 2);
        assert_true(value(&b, 0, M_DOM_BLOCK_RD_BYTES) == 4096);
        assert_true(value_is_absent(value(&b, 0, M_DOM_BLOCK_PHYSICAL)));
        assert_true(value(&b, 1, M_DOM_BLOCK_RD_BYTES) == 512);
        assert_true(value(&b, 1, M_DOM_BLOCK_PHYSICAL) == 1 << 20);
}

static void values_of_another_disk_are_nobodys(void **state) {
        (void)state;
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        virTypedParameter p[] = { ull("block.0.rd.bytes", 1),
                                  text("block.0.name", "vda"),
                                  ull("block.1.rd.bytes", 2),
                                  ull("block.x.rd.bytes", 3),
                                  ull("block.99999999999999999999.rd.bytes", 4),
                                  ull("block.", 5),
                                  ull("block. 0.rd.bytes", 6),
                                  text("block.0.wr.bytes", "7") };
        begin(&b, GROUP_DOM_BLOCK);
        assert_int_equal(params_block(p, ARRAY_LEN(p), &b), 0);
        assert_int_equal(b.n_rows, 1);
        assert_true(value_is_absent(value(&b, 0, M_DOM_BLOCK_RD_BYTES)));
}

static void an_interface_is_a_row(void **state) {
        (void)state;
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        virTypedParameter p[] = { text("net.0.name", "vnet0"), ull("net.0.rx.bytes", 10), ull("net.0.tx.drop", 3) };
        begin(&b, GROUP_DOM_NET);
        assert_int_equal(params_net(p, ARRAY_LEN(p), &b), 2);
        assert_true(value(&b, 0, M_DOM_NET_RX_BYTES) == 10);
        assert_true(value(&b, 0, M_DOM_NET_TX_DROPS) == 3);
}

static void minus_one_is_unknown(void **state) {
        (void)state;
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        virTypedParameter p[] = { integer("state.state", 1), integer("state.reason", -1) };
        begin(&b, GROUP_DOM_STATE);
        assert_int_equal(params_state(p, ARRAY_LEN(p), &b), 1);
        assert_true(value(&b, 0, M_DOM_STATE_STATE) == 1);
        assert_true(value_is_absent(value(&b, 0, M_DOM_STATE_REASON)));
}

static void a_perf_event_is_a_row(void **state) {
        (void)state;
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        virTypedParameter p[] = { ull("perf.cache_misses", 5), ull("state.state", 1) };
        begin(&b, GROUP_DOM_PERF);
        assert_int_equal(params_perf(p, ARRAY_LEN(p), &b), 1);
        assert_true(value(&b, 0, M_DOM_PERF_VALUE) == 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_not_given_is_absent), cmocka_unit_test(a_disk_is_a_row),
                cmocka_unit_test(values_of_another_disk_are_nobodys), cmocka_unit_test(an_interface_is_a_row),
                cmocka_unit_test(minus_one_is_unknown), cmocka_unit_test(a_perf_event_is_a_row),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "model/batch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DOMAIN ((EntityKey){ .kind = ENTITY_DOMAIN, .id = { { 1, 2, 3 } } })

static void begin(BatchBuilder *b, GroupId group) {
        batch_begin(b, DOMAIN, group, (WallTime){ 1000 }, (MonoTime){ 2000 });
}

static void a_group_without_keys_has_one_row(void **state) {
        (void)state;
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        begin(&b, GROUP_DOM_CPU);
        batch_row(&b, NULL);
        batch_set(&b, M_DOM_CPU_USER, 7);
        Batch v;
        assert_true(batch_view(&b, &v));
        assert_int_equal(v.n_rows, 1);
        assert_null(v.labels);
        assert_int_equal(v.labels_len, 0);
        assert_true(v.wall.ns == 1000 && v.mono.ns == 2000 && v.group == GROUP_DOM_CPU);
        for (size_t c = 0; c < group_columns(GROUP_DOM_CPU); c++) {
                if (c == metric_column(M_DOM_CPU_USER))
                        assert_true(v.values[c] == 7);
                else
                        assert_true(value_is_absent(v.values[c]));
        }
        assert_int_equal(batch_check(&v), 0);
}

static void rows_keep_their_labels_and_values(void **state) {
        (void)state;
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        begin(&b, GROUP_DOM_VCPU);
        for (unsigned i = 0; i < 300; i++) {
                char name[8];
                int n = snprintf(name, sizeof name, "%u", i);
                batch_row1(&b, name, (size_t)n);
                batch_set(&b, M_DOM_VCPU_TIME, i);
        }
        Batch v;
        assert_true(batch_view(&b, &v));
        assert_int_equal(v.n_rows, 300);
        assert_int_equal(batch_check(&v), 0);
        LabelCursor c = batch_labels(&v);
        size_t columns = group_columns(GROUP_DOM_VCPU);
        for (unsigned i = 0; i < 300; i++) {
                char name[8];
                (void)snprintf(name, sizeof name, "%u", i);
                Span label;
                assert_true(label_next(&c, &label) && span_is(label, name));
                assert_true(v.values[i * columns + metric_column(M_DOM_VCPU_TIME)] == i);
                assert_true(value_is_absent(v.values[i * columns + metric_column(M_DOM_VCPU_CPU)]));
        }
        Span label;
        assert_false(label_next(&c, &label));
}

static void a_builder_is_used_again_for_another_group(void **state) {
        (void)state;
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        begin(&b, GROUP_DOM_VCPU);
        batch_row1(&b, "0", 1);
        begin(&b, GROUP_DOM_CPU);
        batch_row(&b, NULL);
        Batch v;
        assert_true(batch_view(&b, &v));
        assert_null(v.labels);
        assert_int_equal(v.labels_len, 0);
        assert_int_equal(v.n_rows, 1);
        assert_true(value_is_absent(v.values[0]));
        begin(&b, GROUP_DOM_VCPU);
        assert_true(batch_view(&b, &v));
        assert_int_equal(v.n_rows, 0);
        assert_int_equal(batch_check(&v), 0);
}

static void labels_may_be_any_bytes(void **state) {
        (void)state;
        static const struct {
                const char *text;
                size_t n;
        } NAMES[] = { { NULL, 0 }, { "", 0 }, { "\0\0", 2 }, { "\xff\xfe", 2 }, { "a\nb\"c\x1b[2J", 9 } };
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        begin(&b, GROUP_DOM_VCPU);
        for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
                batch_row1(&b, NAMES[i].text, NAMES[i].n);
        Batch v;
        assert_true(batch_view(&b, &v));
        assert_int_equal(batch_check(&v), 0);
        LabelCursor c = batch_labels(&v);
        for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
                Span label;
                assert_true(label_next(&c, &label));
                assert_int_equal(label.len, NAMES[i].n);
                if (label.len)
                        assert_memory_equal(label.text, NAMES[i].text, label.len);
        }
}

static void long_labels_are_cut(void **state) {
        (void)state;
        size_t n = 100000; /* more than its u16 length could say */
        CLEANUP_FREE char *name = malloc(n);
        memset(name, 'n', n);
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        begin(&b, GROUP_DOM_VCPU);
        batch_row1(&b, name, n);
        batch_row1(&b, "next", 4);
        Batch v;
        assert_true(batch_view(&b, &v));
        assert_int_equal(batch_check(&v), 0);
        LabelCursor c = batch_labels(&v);
        Span label;
        assert_true(label_next(&c, &label));
        assert_int_equal(label.len, BATCH_LABEL_MAX);
        assert_true(label_next(&c, &label) && span_is(label, "next"));
}

static void too_many_rows_fail_the_batch(void **state) {
        (void)state;
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        begin(&b, GROUP_DOM_VCPU);
        Batch v;
        for (unsigned i = 0; i < BATCH_MAX_ROWS; i++)
                batch_row1(&b, "x", 1);
        assert_true(batch_view(&b, &v));
        batch_row1(&b, "x", 1);
        batch_set(&b, M_DOM_VCPU_TIME, 1);
        assert_false(batch_view(&b, &v));
        /* The next one is not affected. */
        begin(&b, GROUP_DOM_VCPU);
        batch_row1(&b, "x", 1);
        assert_true(batch_view(&b, &v));
}

static void memory_that_ran_out_fails_the_batch(void **state) {
        (void)state;
        CLEANUP(batch_deinit) BatchBuilder b = { .values = BUF_WITH_LIMIT(100) };
        begin(&b, GROUP_DOM_VCPU);
        for (unsigned i = 0; i < 10; i++) {
                batch_row1(&b, "x", 1);
                batch_set(&b, M_DOM_VCPU_TIME, 1); /* stays within what there is */
        }
        Batch v;
        assert_false(batch_view(&b, &v));
}

/* A block of labels from outside: `n` bytes in an allocation of exactly that size. */
static int check_block(GroupId group, EntityKind kind, uint32_t rows, const void *bytes, size_t n) {
        CLEANUP_FREE uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, bytes, n);
        Batch b = { .key = { .kind = kind }, .group = group, .n_rows = rows, .labels = exact, .labels_len = n };
        return batch_check(&b);
}

static void hostile_label_blocks_are_refused(void **state) {
        (void)state;
        static const uint16_t ONE_BYTE = 1, MAX = BATCH_LABEL_MAX, OVER = BATCH_LABEL_MAX + 1, HUGE_LEN = UINT16_MAX;
        uint8_t block[BATCH_LABEL_MAX + 8] = { 0 };
        const GroupId g = GROUP_DOM_VCPU;
        memcpy(block, &ONE_BYTE, 2);
        assert_int_equal(check_block(g, ENTITY_DOMAIN, 1, block, 3), 0);
        assert_int_equal(check_block(g, ENTITY_DOMAIN, 1, block, 2), -EBADMSG); /* cut in the label */
        assert_int_equal(check_block(g, ENTITY_DOMAIN, 1, block, 1), -EBADMSG); /* cut in the length */
        assert_int_equal(check_block(g, ENTITY_DOMAIN, 1, block, 0), -EBADMSG);
        assert_int_equal(check_block(g, ENTITY_DOMAIN, 1, block, 4), -EBADMSG); /* bytes left over */
        assert_int_equal(check_block(g, ENTITY_DOMAIN, 2, block, 3), -EBADMSG); /* a row too few */
        assert_int_equal(check_block(g, ENTITY_DOMAIN, 0, block, 3), -EBADMSG); /* a row too many */
        assert_int_equal(check_block(g, ENTITY_HOST, 1, block, 3), -EBADMSG);
        assert_int_equal(check_block(g, (EntityKind)77, 1, block, 3), -EBADMSG);
        assert_int_equal(check_block(GROUP_COUNT, ENTITY_DOMAIN, 1, block, 3), -EBADMSG);
        assert_int_equal(check_block(UINT16_MAX, ENTITY_DOMAIN, 1, block, 3), -EBADMSG);
        assert_int_equal(check_block(g, ENTITY_DOMAIN, UINT32_MAX, block, 3), -EBADMSG);
        memcpy(block, &MAX, 2);
        assert_int_equal(check_block(g, ENTITY_DOMAIN, 1, block, 2 + BATCH_LABEL_MAX), 0);
        memcpy(block, &OVER, 2);
        assert_int_equal(check_block(g, ENTITY_DOMAIN, 1, block, 3 + BATCH_LABEL_MAX), -EBADMSG);
        memcpy(block, &HUGE_LEN, 2);
        assert_int_equal(check_block(g, ENTITY_DOMAIN, 1, block, sizeof block), -EBADMSG);
        /* A group without keys has at most one row and no labels. */
        assert_int_equal(check_block(GROUP_DOM_CPU, ENTITY_DOMAIN, 1, block, 0), 0);
        assert_int_equal(check_block(GROUP_DOM_CPU, ENTITY_DOMAIN, 2, block, 0), -EBADMSG);
        assert_int_equal(check_block(GROUP_DOM_CPU, ENTITY_DOMAIN, 1, block, 2), -EBADMSG);
        Batch no_bytes = { .key = { .kind = ENTITY_DOMAIN }, .group = g, .n_rows = 0, .labels = NULL, .labels_len = 5 };
        assert_int_equal(batch_check(&no_bytes), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_group_without_keys_has_one_row),
                cmocka_unit_test(rows_keep_their_labels_and_values),
                cmocka_unit_test(a_builder_is_used_again_for_another_group),
                cmocka_unit_test(labels_may_be_any_bytes),
                cmocka_unit_test(long_labels_are_cut),
                cmocka_unit_test(too_many_rows_fail_the_batch),
                cmocka_unit_test(memory_that_ran_out_fails_the_batch),
                cmocka_unit_test(hostile_label_blocks_are_refused),
        };
        return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}

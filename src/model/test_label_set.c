#include "model/label_set.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect(const LabelDraft *s, const char *name, const char *value) {
        Span v = label_set_get(s, span_of(name));
        assert_int_equal(v.len, strlen(value));
        assert_memory_equal(v.text, value, v.len);
}

static void labels_change(void **state) {
        (void)state;
        CLEANUP(label_set_deinit) LabelDraft s = LABEL_SET_NULL;
        label_set_add(&s, span_of("a"), span_of("1"));
        label_set_add(&s, span_of("b"), span_of("2"));
        label_set_add(&s, span_of("none"), span_of(""));
        assert_int_equal(s.n, 2);
        expect(&s, "a", "1");
        expect(&s, "c", "");
        label_set_set(&s, span_of("a"), span_of("3"));
        expect(&s, "a", "3");
        assert_true(s.items[1].changed); /* behind those that were not touched */
        assert_memory_equal(s.items[1].label.name.text, "a", 1);
        label_set_set(&s, span_of("a"), span_of("4"));
        assert_int_equal(s.n, 2);
        label_set_set(&s, span_of("b"), span_of(""));
        label_set_remove(&s, span_of("b"));
        assert_int_equal(s.n, 1);
        label_set_settle(&s);
        assert_false(s.items[0].changed);
        assert_int_equal(s.error, 0);
}

static void what_is_set_is_copied(void **state) {
        (void)state;
        CLEANUP(label_set_deinit) LabelDraft s = LABEL_SET_NULL;
        char name[] = "name", value[] = "value";
        label_set_set(&s, span_of(name), span_of(value));
        memset(name, 'x', 4);
        memset(value, 'x', 5);
        expect(&s, "name", "value");
        label_set_reset(&s);
        assert_int_equal(s.n, 0);
        label_set_set(&s, span_of("again"), span_of("1"));
        expect(&s, "again", "1");
}

static void sets_are_bounded(void **state) {
        (void)state;
        CLEANUP(label_set_deinit) LabelDraft s = LABEL_SET_NULL;
        CLEANUP_FREE char *large = malloc(LABEL_SET_BYTES_MAX);
        assert_non_null(large);
        memset(large, 'x', LABEL_SET_BYTES_MAX);
        label_set_set(&s, span_of("a"), (Span){ large, LABEL_SET_BYTES_MAX });
        assert_int_equal(s.error, -E2BIG);
        label_set_reset(&s);
        for (unsigned i = 0; i <= LABEL_SET_MAX; i++) {
                char name[16];
                assert_int_equal(s.error, 0);
                (void)snprintf(name, sizeof name, "n%u", i);
                label_set_set(&s, span_of(name), span_of("x"));
        }
        assert_int_equal(s.error, -E2BIG);
        assert_int_equal(s.n, LABEL_SET_MAX);
}

static void runs_go_in_and_out(void **state) {
        (void)state;
        CLEANUP(label_set_deinit) LabelDraft s = LABEL_SET_NULL, t = LABEL_SET_NULL;
        CLEANUP(buf_deinit) Buf run = BUF_NULL, again = BUF_NULL;
        label_set_set(&s, span_of("z"), span_of("1"));
        label_set_set(&s, span_of("__name__"), span_of("up"));
        assert_int_equal(label_set_build(&s, &run), LABELS_OK);
        label_set_add_run(&t, (uint8_t *)run.data, run.len);
        expect(&t, "z", "1");
        assert_int_equal(label_set_build(&t, &again), LABELS_OK);
        assert_int_equal(again.len, run.len);
        assert_memory_equal(again.data, run.data, run.len);
        for (unsigned i = 0; i <= LABELS_MAX; i++) {
                char name[16];
                (void)snprintf(name, sizeof name, "n%u", i);
                label_set_set(&t, span_of(name), span_of("x"));
        }
        assert_int_equal(label_set_build(&t, &again), LABELS_TOO_MANY);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(labels_change),
                cmocka_unit_test(what_is_set_is_copied),
                cmocka_unit_test(sets_are_bounded),
                cmocka_unit_test(runs_go_in_and_out),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

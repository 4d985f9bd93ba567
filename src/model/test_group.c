#include "base/cleanup.h"
#include "base/escape.h"
#include "model/entity.h"
#include "model/group.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool is_name(const char *s) {
        if (!*s || (*s >= '0' && *s <= '9'))
                return false;
        for (; *s; s++)
                if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '_'))
                        return false;
        return true;
}

static void metrics_of_a_group_are_consecutive(void **state) {
        (void)state;
        size_t seen = 0;
        for (GroupId g = 0; g < GROUP_COUNT; g++) {
                if (GROUPS[g].first != seen)
                        fail_msg("%s does not begin where the group before it ends", GROUPS[g].id);
                if (group_columns(g) == 0)
                        fail_msg("%s has no metric", GROUPS[g].id);
                for (size_t c = 0; c < group_columns(g); c++) {
                        MetricId m = (MetricId)(GROUPS[g].first + c);
                        if (METRICS[m].group != g)
                                fail_msg("%s stands below another group's metrics", METRICS[m].name);
                        assert_int_equal(metric_column(m), c);
                }
                seen += group_columns(g);
        }
        assert_int_equal(seen, METRIC_COUNT);
}

static void groups_are_described(void **state) {
        (void)state;
        for (GroupId g = 0; g < GROUP_COUNT; g++) {
                const GroupDesc *d = &GROUPS[g];
                assert_true(is_name(d->id) && d->help[0]);
                assert_true(d->kind >= ENTITY_HOST && d->kind <= ENTITY_CONTAINER && d->lane < LANE_COUNT);
                assert_true(d->n_keys <= GROUP_MAX_KEYS);
                for (size_t k = 0; k < GROUP_MAX_KEYS; k++) {
                        if ((k < d->n_keys) != (d->keys[k] != NULL))
                                fail_msg("%s: keys and their number differ", d->id);
                        if (d->keys[k] && !is_name(d->keys[k]))
                                fail_msg("%s: \"%s\" is no label name", d->id, d->keys[k]);
                }
        }
}

/* The latest-value table has an array per entity from the kind's first group on: where there are many entities,
 * no other kind's groups may stand in between. There is one host, so its groups may be spread. */
static void groups_of_numerous_kinds_stand_together(void **state) {
        (void)state;
        for (EntityKind kind = ENTITY_DOMAIN; kind <= ENTITY_CONTAINER; kind++) {
                unsigned runs = 0;
                for (GroupId g = 0; g < GROUP_COUNT; g++)
                        runs += GROUPS[g].kind == kind && (g == 0 || GROUPS[g - 1].kind != kind);
                assert_int_equal(runs, 1);
        }
}

static void metrics_are_described(void **state) {
        (void)state;
        for (MetricId m = 0; m < METRIC_COUNT; m++) {
                const MetricDesc *d = &METRICS[m];
                if (!is_name(d->name) || !d->help[0] || d->unit >= UNIT_COUNT)
                        fail_msg("row %d (\"%s\") is not complete", m, d->name);
                if (!utf8_valid(d->help, strlen(d->help)) || strchr(d->help, '\n'))
                        fail_msg("%s: the help does not fit on a line", d->name);
                if (d->label[0] && (!strstr(d->label, "=\"") || d->label[strlen(d->label) - 1] != '"'))
                        fail_msg("%s: \"%s\" is no label", d->name, d->label);
        }
}

/* Two columns of one kind of entity with the same name must differ in a label, or be from other groups that
 * never both have a value; here only the first can be seen. */
static void series_of_a_group_are_distinct(void **state) {
        (void)state;
        for (MetricId m = 0; m < METRIC_COUNT; m++)
                for (MetricId o = (MetricId)(m + 1); o < METRIC_COUNT && METRICS[o].group == METRICS[m].group; o++)
                        if (strcmp(METRICS[m].name, METRICS[o].name) == 0 &&
                            strcmp(METRICS[m].label, METRICS[o].label) == 0)
                                fail_msg("%s{%s} is declared twice", METRICS[m].name, METRICS[m].label);
}

/* One name has one type wherever it is declared, or the exposition contradicts itself. */
static void a_name_has_one_type(void **state) {
        (void)state;
        for (MetricId m = 0; m < METRIC_COUNT; m++)
                for (MetricId o = (MetricId)(m + 1); o < METRIC_COUNT; o++)
                        if (METRICS[m].type != METRICS[o].type && strcmp(METRICS[m].name, METRICS[o].name) == 0)
                                fail_msg("%s is a counter here and a gauge there", METRICS[m].name);
}

static void units_are_exposed_exactly(void **state) {
        (void)state;
        assert_true(unit_expose(UNIT_MS, 100) == 0.1);
        assert_true(unit_expose(UNIT_NS, 1500000000) == 1.5);
        assert_true(unit_expose(UNIT_US, 1) == 0.000001);
        assert_true(unit_expose(UNIT_TICK, 7) == 0.07);
        assert_true(unit_expose(UNIT_KIB, 3) == 3072);
        assert_true(unit_expose(UNIT_PAGE, 2) == 8192);
        assert_true(unit_expose(UNIT_SECTOR, 2) == 1024);
        assert_true(unit_expose(UNIT_MIB, 1) == 1048576);
        assert_true(unit_expose(UNIT_MILLI, 45500) == 45.5);
        assert_true(unit_expose(UNIT_MICRO, 250000) == 0.25);
        assert_true(unit_expose(UNIT_PERCENT, 99) == 99);
        for (Unit u = 0; u < UNIT_COUNT; u++) {
                assert_non_null(unit_name(u));
                assert_true(unit_expose(u, 0) == 0);
        }
}

static void absent_is_told_from_any_measured_value(void **state) {
        (void)state;
        assert_true(value_is_absent(value_absent()));
        assert_true(isnan(value_absent()));
        assert_false(value_is_absent(0));
        assert_false(value_is_absent(NAN));
        assert_false(value_is_absent(-NAN));
        assert_false(value_is_absent(INFINITY));
}

static void engines_have_names(void **state) {
        (void)state;
        assert_string_equal(engine_name(ENGINE_NONE), "");
        for (Engine e = ENGINE_DOCKER; e < ENGINE_COUNT; e++)
                assert_true(is_name(engine_name(e)));
        assert_string_equal(engine_name(ENGINE_PODMAN), "podman");
        assert_string_equal(engine_name(ENGINE_COUNT), "");
        assert_string_equal(engine_name((Engine)-1), "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(metrics_of_a_group_are_consecutive),
                cmocka_unit_test(groups_are_described),
                cmocka_unit_test(groups_of_numerous_kinds_stand_together),
                cmocka_unit_test(metrics_are_described),
                cmocka_unit_test(series_of_a_group_are_distinct),
                cmocka_unit_test(a_name_has_one_type),
                cmocka_unit_test(units_are_exposed_exactly),
                cmocka_unit_test(absent_is_told_from_any_measured_value),
                cmocka_unit_test(engines_have_names),
        };
        return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}

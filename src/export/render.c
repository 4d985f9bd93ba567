#include "export/render.h"

void render_init(Render *r, const ExportContext *c, bool openmetrics, Buf *out) {
        *r = (Render){ .context = c, .expo = { .out = out, .openmetrics = openmetrics }, .rows_group = GROUP_COUNT };
}

void render_deinit(Render *r) {
        label_block_deinit(&r->names);
        label_block_deinit(&r->base);
        label_block_deinit(&r->rows);
        buf_deinit(&r->row_first);
}

int render_error(const Render *r) {
        int error = label_block_error(&r->names);
        if (!error)
                error = label_block_error(&r->base);
        if (!error)
                error = label_block_error(&r->rows);
        if (!error)
                error = buf_error(&r->row_first);
        return error ? error : buf_error(r->expo.out);
}

Span render_domain_name(const LatestEntity *e) {
        const char *name = e->name ? e->name : "";
        return (Span){ name, strlen(name) };
}

void render_entities(Render *r, EntityKind kind, EntityNameFn name, BaseLabelsFn base, RowLabelsFn row_labels) {
        r->entities = latest_range(r->context->latest, kind, &r->n);
        r->rows_group = GROUP_COUNT;
        r->row_labels = row_labels ? row_labels : render_group_keys;
        label_block_reset(&r->names);
        label_block_reset(&r->base);
        if (name)
                label_unique_names(&r->names, r->entities, r->n, name);
        for (size_t i = 0; i < r->n; i++) {
                size_t start = label_block_begin(&r->base);
                Span unique = { "", 0 };
                (void)label_block_get(&r->names, i, &unique);
                if (base)
                        base(r, r->entities[i], start, unique);
                label_block_end(&r->base, start);
        }
}

bool render_group_keys(Render *r, const LatestEntity *e, GroupId g, const Span *labels, size_t start) {
        (void)e;
        for (size_t k = 0; k < GROUPS[g].n_keys; k++)
                expo_put_label(&r->rows.text, start, GROUPS[g].keys[k], labels[k].text, labels[k].len);
        return true;
}

static void entity_rows(Render *r, const LatestEntity *e, GroupId g) {
        const LatestGroup *group = latest_group(e, g);
        if (!group || !group->labels)
                return;
        size_t first = label_block_count(&r->rows);
        LabelCursor c = { group->labels, group->labels + group->labels_len };
        for (uint32_t row = 0; row < group->n_rows; row++) {
                Span labels[GROUP_MAX_KEYS];
                for (size_t k = 0; k < GROUPS[g].n_keys; k++)
                        if (!label_next(&c, &labels[k]))
                                return;
                size_t start = label_block_begin(&r->rows);
                if (r->row_labels(r, e, g, labels, start))
                        label_block_end(&r->rows, start);
                else
                        label_block_drop(&r->rows);
        }
        label_block_dedupe(&r->rows, first);
}

static void prepare_rows(Render *r, GroupId g) {
        if (r->rows_group == g)
                return;
        r->rows_group = g;
        label_block_reset(&r->rows);
        buf_reset(&r->row_first);
        for (size_t i = 0; i < r->n; i++) {
                uint32_t first = (uint32_t)label_block_count(&r->rows);
                buf_put(&r->row_first, &first, sizeof first);
                entity_rows(r, r->entities[i], g);
        }
}

/* Values of a metric for one entity under the family that is open. */
static void entity_values(Render *r, size_t i, MetricId m) {
        const MetricDesc *d = &METRICS[m];
        const LatestGroup *group = latest_group(r->entities[i], d->group);
        if (!group || group->n_rows == 0)
                return;
        Span parts[3] = { { "", 0 }, { "", 0 }, { d->label, strlen(d->label) } };
        if (!label_block_get(&r->base, i, &parts[0]))
                return;
        size_t columns = group_columns(d->group), column = metric_column(m);
        uint32_t first = 0;
        if (GROUPS[d->group].n_keys > 0)
                memcpy(&first, r->row_first.data + i * sizeof first, sizeof first);
        for (uint32_t row = 0; row < group->n_rows; row++) {
                double v = group->values[row * columns + column];
                if (value_is_absent(v) ||
                    (GROUPS[d->group].n_keys > 0 && !label_block_get(&r->rows, first + row, &parts[1])))
                        continue;
                expo_sample(&r->expo, parts, 3, unit_expose(d->unit, v));
        }
}

static void metric_values(Render *r, MetricId m) {
        if (GROUPS[METRICS[m].group].n_keys > 0)
                prepare_rows(r, METRICS[m].group);
        if (render_error(r))
                return;
        for (size_t i = 0; i < r->n; i++)
                entity_values(r, i, m);
}

void render_metric(Render *r, const char *name, MetricType type, const char *help, MetricId m) {
        expo_family(&r->expo, name, type, help[0] ? help : METRICS[m].help);
        metric_values(r, m);
}

void render_families(Render *r, const Family *families, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const Family *f = &families[i];
                if (!f->function) {
                        render_metric(r, f->name, f->type, f->help, f->metric);
                        continue;
                }
                expo_family(&r->expo, f->name, f->type, f->help);
                f->function(r, f);
        }
}

/* The host's clock runs on between two looks. */
static void clock_values(Render *r) {
        for (size_t i = 0; i < r->n; i++) {
                double v = latest_value(r->entities[i], M_NODE_TIME_NOW, 0);
                double age = latest_group_age(r->entities[i], GROUP_NODE_TIME, r->context->now);
                if (!value_is_absent(v) && age >= 0)
                        render_sample(r, i, (Span){ "", 0 }, unit_expose(METRICS[M_NODE_TIME_NOW].unit, v) + age);
        }
}

static int by_name(const void *a, const void *b) {
        MetricId x = *(const MetricId *)a, y = *(const MetricId *)b;
        int order = strcmp(METRICS[x].name, METRICS[y].name);
        return order ? order : x < y ? -1 : x > y;
}

void render_prefix(Render *r, EntityKind kind, const char *prefix) {
        MetricId ids[METRIC_COUNT];
        size_t n = 0;
        for (MetricId m = 0; m < METRIC_COUNT; m++)
                if (GROUPS[METRICS[m].group].kind == kind && strncmp(METRICS[m].name, prefix, strlen(prefix)) == 0)
                        ids[n++] = m;
        qsort(ids, n, sizeof ids[0], by_name);
        for (size_t i = 0; i < n; i++) {
                const MetricDesc *d = &METRICS[ids[i]];
                if (i == 0 || strcmp(d->name, METRICS[ids[i - 1]].name) != 0)
                        expo_family(&r->expo, d->name, d->type, d->help);
                if (ids[i] == M_NODE_TIME_NOW)
                        clock_values(r);
                else
                        metric_values(r, ids[i]);
        }
}

void render_sample(Render *r, size_t i, Span more, double value) {
        Span parts[2] = { { "", 0 }, more };
        if (value_is_absent(value) || !label_block_get(&r->base, i, &parts[0]))
                return;
        expo_sample(&r->expo, parts, 2, value);
}

void render_plain(Render *r, const char *name, MetricType type, const char *help, double value) {
        if (value_is_absent(value))
                return;
        expo_family(&r->expo, name, type, help);
        expo_sample(&r->expo, NULL, 0, value);
}

#include "model/batch.h"

#include <assert.h>

void batch_begin(BatchBuilder *b, EntityKey key, GroupId group, WallTime wall, MonoTime mono) {
        assert(group < GROUP_COUNT && GROUPS[group].kind == key.kind);
        b->key = key;
        b->group = group;
        b->wall = wall;
        b->mono = mono;
        b->n_rows = 0;
        b->failed = false;
        buf_reset(&b->labels);
        buf_reset(&b->values);
}

void batch_deinit(BatchBuilder *b) {
        buf_deinit(&b->labels);
        buf_deinit(&b->values);
}

void batch_row(BatchBuilder *b, const Span *labels) {
        const GroupDesc *g = &GROUPS[b->group];
        assert(g->n_keys == 0 || labels);
        if (b->n_rows >= BATCH_MAX_ROWS) {
                b->failed = true;
                return;
        }
        for (size_t i = 0; i < g->n_keys; i++) {
                uint16_t len = (uint16_t)(labels[i].len > BATCH_LABEL_MAX ? BATCH_LABEL_MAX : labels[i].len);
                buf_put(&b->labels, &len, sizeof len);
                buf_put(&b->labels, labels[i].text, len);
        }
        double absent = value_absent();
        for (size_t i = 0; i < group_columns(b->group); i++)
                buf_put(&b->values, &absent, sizeof absent);
        b->n_rows++;
}

void batch_row1(BatchBuilder *b, const char *label, size_t len) {
        assert(GROUPS[b->group].n_keys == 1);
        batch_row(b, &(Span){ label, len });
}

void batch_set(BatchBuilder *b, MetricId m, double value) {
        assert(METRICS[m].group == b->group && b->n_rows > 0);
        size_t columns = group_columns(b->group);
        size_t at = ((b->n_rows - 1) * columns + metric_column(m)) * sizeof value;
        if (at + sizeof value <= b->values.len)
                memcpy(b->values.data + at, &value, sizeof value);
}

bool batch_view(const BatchBuilder *b, Batch *ret_view) {
        if (b->failed || buf_error(&b->labels) || buf_error(&b->values))
                return false;
        *ret_view = (Batch){
                .key = b->key,
                .group = b->group,
                .wall = b->wall,
                .mono = b->mono,
                .n_rows = b->n_rows,
                .labels = GROUPS[b->group].n_keys ? (const uint8_t *)b->labels.data : NULL,
                .labels_len = b->labels.len,
                .values = (const double *)(const void *)b->values.data,
        };
        return true;
}

bool label_next(LabelCursor *c, Span *ret_label) {
        uint16_t len;
        if ((size_t)(c->end - c->at) < sizeof len)
                return false;
        memcpy(&len, c->at, sizeof len);
        if (len > BATCH_LABEL_MAX || (size_t)(c->end - c->at) - sizeof len < len)
                return false;
        *ret_label = (Span){ (const char *)c->at + sizeof len, len };
        c->at += sizeof len + len;
        return true;
}

int batch_check(const Batch *b) {
        if (b->group >= GROUP_COUNT || GROUPS[b->group].kind != b->key.kind || b->n_rows > BATCH_MAX_ROWS)
                return -EBADMSG;
        const GroupDesc *g = &GROUPS[b->group];
        if (g->n_keys == 0)
                return b->n_rows <= 1 && b->labels_len == 0 ? 0 : -EBADMSG;
        if (!b->labels && b->labels_len > 0)
                return -EBADMSG;
        LabelCursor c = batch_labels(b);
        for (size_t i = 0; i < (size_t)b->n_rows * g->n_keys; i++) {
                Span label;
                if (!label_next(&c, &label))
                        return -EBADMSG;
        }
        return c.at == c.end ? 0 : -EBADMSG;
}

/* Parts of batches and blobs put together. What came in one part goes to the sink as it is, borrowed from
 * the packet; only what was cut is copied. Memory grows with what arrived, not with what was promised. */
#include "wire/frame.h"

#include <string.h>

/* Kept between things that come in parts; such things are rare. */
#define KEEP_MAX ((size_t)128 << 10)

static void shrink(Buf *b) {
        if (b->cap > KEEP_MAX)
                buf_deinit(b);
        else
                buf_reset(b);
}

static void drop_batch(FrameAssembler *a) {
        a->batch_total = 0;
        a->batch_part = 0;
        shrink(&a->batch.labels);
        shrink(&a->batch.values);
}

static void drop_blob(FrameAssembler *a) {
        a->blob_total = 0;
        shrink(&a->blob);
}

void frame_assembler_deinit(FrameAssembler *a) {
        batch_deinit(&a->batch);
        buf_deinit(&a->blob);
        *a = (FrameAssembler){ 0 };
}

static bool continues_batch(const FrameAssembler *a, const BatchPart *p) {
        const BatchBuilder *b = &a->batch;
        return p->part == a->batch_part && p->first_row == b->n_rows && p->total_rows == a->batch_total &&
               p->batch.group == b->group && entity_key_equal(&p->batch.key, &b->key) &&
               p->batch.wall.ns == b->wall.ns && p->batch.mono.ns == b->mono.ns;
}

static void begin_batch(FrameAssembler *a, const BatchPart *p) {
        /* A limit is never 0 here, so that a Buf cannot take its own default. */
        a->batch.labels.limit = FRAME_BATCH_LABELS_MAX;
        a->batch.values.limit = FRAME_BATCH_VALUES_MAX;
        batch_begin(&a->batch, p->batch.key, p->batch.group, p->batch.wall, p->batch.mono);
        a->batch_total = p->total_rows;
        a->batch_part = 0;
}

/* 0, or why what is under way cannot go on: -ENOMEM is ours, a limit passed is the peer's fault. */
static int append_rows(FrameAssembler *a, const Batch *rows) {
        BatchBuilder *b = &a->batch;
        buf_put(&b->labels, rows->labels, rows->labels_len);
        buf_put(&b->values, rows->values, (size_t)rows->n_rows * group_columns(rows->group) * sizeof(double));
        b->n_rows += rows->n_rows;
        a->batch_part++;
        int r = buf_error(&b->labels) ? buf_error(&b->labels) : buf_error(&b->values);
        return r == -EFBIG ? -EBADMSG : r;
}

static int add_batch(FrameAssembler *a, const BatchPart *p, Sink *sink) {
        bool under_way = a->batch_total > 0;
        if (p->part == 0 ? under_way : !under_way || !continues_batch(a, p)) {
                drop_batch(a);
                return -EBADMSG;
        }
        if (p->part == 0 && p->batch.n_rows == p->total_rows) {
                sink_batch(sink, &p->batch);
                return 0;
        }
        if (p->part == 0)
                begin_batch(a, p);
        int r = append_rows(a, &p->batch);
        bool whole = a->batch.n_rows == a->batch_total;
        if (r == 0 && whole)
                sink_build(sink, &a->batch);
        if (r < 0 || whole)
                drop_batch(a);
        return r;
}

static bool continues_blob(const FrameAssembler *a, const EntityKey *key, const BlobPart *p) {
        return p->offset == a->blob.len && p->total == a->blob_total && p->type == a->blob_type &&
               entity_key_equal(key, &a->blob_key);
}

static int add_blob(FrameAssembler *a, EntityKey key, const BlobPart *p, Sink *sink) {
        bool under_way = a->blob_total > 0;
        if (p->offset == 0 ? under_way : !under_way || !continues_blob(a, &key, p)) {
                drop_blob(a);
                return -EBADMSG;
        }
        if (p->offset == 0 && p->n == p->total) {
                sink_blob(sink, key, p->type, p->bytes, p->n);
                return 0;
        }
        if (p->offset == 0) {
                a->blob.limit = BLOB_MAX;
                a->blob_key = key;
                a->blob_type = p->type;
                a->blob_total = p->total;
        }
        buf_put(&a->blob, p->bytes, p->n);
        int r = buf_error(&a->blob) == -EFBIG ? -EBADMSG : buf_error(&a->blob);
        bool whole = a->blob.len == a->blob_total;
        if (r == 0 && whole)
                sink_blob(sink, key, a->blob_type, a->blob.data, a->blob.len);
        if (r < 0 || whole)
                drop_blob(a);
        return r;
}

int frame_to_sink(FrameAssembler *a, const Frame *f, Sink *sink) {
        switch (f->type) {
        case FRAME_BATCH: return add_batch(a, &f->batch, sink);
        case FRAME_BLOB: return add_blob(a, f->key, &f->blob, sink);
        case FRAME_ENTITY: sink_entity(sink, &f->entity); return 0;
        case FRAME_GONE: sink_gone(sink, f->key); return 0;
        case FRAME_GROUP_GONE: sink_group_gone(sink, f->key, f->group_gone); return 0;
        default: return -EPROTO;
        }
}

/* Checks every byte: each piece's checksum, that pieces tile their sections, and that everything can be decoded. */
#include "store/part/part_priv.h"
#include "store/part/strings.h"

#define STRINGS_AT_ONCE 256u

typedef struct Verify {
        const Part *p;
        PartDamage *damage;
        uint64_t next;       /* byte of the columns that comes next */
        uint32_t next_time;  /* time column that comes next */
        Buf chunks, strings;
        int64_t *times;      /* room for `room` of each */
        double *values;
        uint32_t room;
        uint32_t offsets[STRINGS_AT_ONCE + 1];
} Verify;

static void verify_deinit(Verify *v) {
        buf_deinit(&v->chunks);
        buf_deinit(&v->strings);
        free(v->times);
        free(v->values);
}

static int make_room(Verify *v, uint32_t n) {
        if (n <= v->room)
                return 0;
        int64_t *times = reallocarray(v->times, n, sizeof *times);
        if (times)
                v->times = times;
        double *values = reallocarray(v->values, n, sizeof *values);
        if (values)
                v->values = values;
        if (!times || !values)
                return -ENOMEM;
        v->room = n;
        return 0;
}

static int damaged(Verify *v, const char *what, uint64_t number, uint64_t at) {
        part_damage(v->damage, v->p->name, "%s %llu at byte %llu", what, (unsigned long long)number,
                    (unsigned long long)at);
        return -EBADMSG;
}

/* Time columns that lie before the byte `until` of the columns. */
static int verify_times(Verify *v, uint64_t until) {
        const Part *p = v->p;
        while (v->next < until) {
                TimeEntry e = { .at = v->next };
                uint32_t first, n, number = v->next_time;
                Span bytes;
                int r = number < p->n_times ? part_time_entry(p, number, &e) : -EBADMSG;
                if (r == 0 && e.at == v->next)
                        r = part_time_column(p, number, &e, &bytes);
                if (r < 0 || e.at != v->next)
                        return damaged(v, "time column", number, v->next);
                r = make_room(v, e.n);
                if (r < 0)
                        return r;
                r = time_column_window((const uint8_t *)bytes.text, bytes.len, &e, INT64_MIN, INT64_MAX, v->times,
                                       &first, &n);
                if (r < 0 || n != e.n || v->times[0] != e.min_ms || v->times[n - 1] != e.max_ms)
                        return damaged(v, "time column", number, e.at);
                v->next += e.len;
                v->next_time++;
        }
        return 0;
}

/* A few at a time: what is packed well may be large. */
static int decode_strings(Verify *v, const PartChunk *c) {
        Span bytes;
        int r = part_value_column(v->p, c, &bytes);
        for (uint32_t first = 0, n; r == 0 && first < c->n; first += n) {
                n = c->n - first < STRINGS_AT_ONCE ? c->n - first : STRINGS_AT_ONCE;
                buf_reset(&v->strings);
                r = strings_decode((const uint8_t *)bytes.text, bytes.len, c->n, first, n, &v->strings, v->offsets);
        }
        return r;
}

static int decode_chunk(Verify *v, const PartChunk *c) {
        uint32_t n;
        int r = make_room(v, c->n);
        if (r == 0 && c->kind == CHUNK_HISTOGRAMS)
                return decode_strings(v, c);
        unsigned columns = c->kind == CHUNK_ROLLUP ? c->columns : 1;
        for (unsigned k = 0; columns >> k && r == 0; k++)
                if (columns >> k & 1)
                        r = part_floats(v->p, c, (RollupColumn)k, INT64_MIN, INT64_MAX, NULL, v->values, &n);
        return r;
}

/* A chunk is where the columns go on, behind time columns that are new. */
static int verify_chunk(Verify *v, const PartChunk *c) {
        int r = verify_times(v, c->values_at);
        if (r < 0)
                return r;
        if (v->next != c->values_at || c->time_number >= v->next_time)
                return damaged(v, "chunk", c->number, c->values_at);
        r = decode_chunk(v, c);
        if (r == -EBADMSG)
                return damaged(v, "chunk", c->number, c->values_at);
        v->next += c->values_len;
        return r;
}

static int verify_series(Verify *v) {
        const Part *p = v->p;
        uint64_t samples = 0;
        uint32_t chunks = 0;
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        for (uint32_t i = 0; i < p->meta.series; i++) {
                buf_reset(&v->chunks);
                buf_reset(&run);
                int r = part_series(p, i, &run, &v->chunks);
                if (r == -EBADMSG)
                        return damaged(v, "series", i, p->begins[SECTION_SERIES] + p->series_at[i / SERIES_PAGE]);
                const PartChunk *c = (const PartChunk *)v->chunks.data, *end = c + v->chunks.len / sizeof *c;
                for (; r == 0 && c < end; c++) {
                        r = c->number == chunks++ ? verify_chunk(v, c) : damaged(v, "chunk", c->number, c->values_at);
                        samples += c->n;
                }
                if (r < 0)
                        return r;
        }
        if (chunks != p->n_chunks || samples != p->meta.samples)
                return damaged(v, "number of chunks", chunks, p->map.len - LAYOUT_FOOTER);
        int r = verify_times(v, p->begins[SECTION_COLUMNS + 1]);
        if (r == 0 && (v->next != p->begins[SECTION_COLUMNS + 1] || v->next_time != p->n_times))
                return damaged(v, "time column", v->next_time, v->next);
        return r;
}

/* The last value of a walk, to see that they ascend. */
typedef struct LastValue {
        char bytes[LABEL_VALUE_MAX];
        size_t len;
} LastValue;

static int verify_pair(const PairWalk *w, OrdinalSet *seen, LastValue *last, uint64_t *postings) {
        Span list;
        int r = pair_walk_list(w, &list);
        if (r == 0)
                r = postings_add((const uint8_t *)list.text, list.len, seen);
        if (r < 0)
                return r;
        if (w->is_apart && w->apart_at != *postings)
                return -EBADMSG;
        *postings += w->is_apart ? w->apart_len : 0;
        if (pair_text_order(&w->text, (Span){ last->bytes, last->len }) <= 0)
                return -EBADMSG;
        char room[LABEL_VALUE_MAX];
        Span value = pair_text_value(&w->text, room);
        memcpy(last->bytes, value.text, value.len);
        last->len = value.len;
        return 0;
}

static int verify_labels(Verify *v) {
        const Part *p = v->p;
        uint64_t postings = 0;
        CLEANUP(ordinal_set_deinit) OrdinalSet seen = ORDINAL_SET_NULL;
        int r = ordinal_set_init(&seen, p->meta.series);
        for (uint32_t i = 0; r == 0 && i < p->n_names; i++) {
                LastValue last = { .len = 0 };
                PairWalk w;
                r = pair_walk_begin(&w, p, &p->names[i], (Span){ "", 0 });
                while (r == 0 && (r = pair_walk_next(&w)) > 0)
                        r = verify_pair(&w, &seen, &last, &postings);
                uint32_t page = p->names[i].first_page + (w.number - p->names[i].first_pair) / LABEL_PAGE;
                if (r == -EBADMSG)
                        return damaged(v, "page of labels", page, p->begins[SECTION_LABELS] + p->label_at[page]);
        }
        if (r == 0 && postings != p->begins[SECTION_POSTINGS + 1] - p->begins[SECTION_POSTINGS])
                return damaged(v, "postings", postings, p->begins[SECTION_POSTINGS]);
        return r;
}

int part_verify(const Part *p, PartDamage *ret_damage) {
        CLEANUP(verify_deinit) Verify v = { .p = p, .damage = ret_damage, .next = p->begins[SECTION_COLUMNS] };
        /* What was checked before may have rotted since. */
        part_forget(p);
        int r = verify_series(&v);
        return r < 0 ? r : verify_labels(&v);
}

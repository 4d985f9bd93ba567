#include "forward/described.h"

#include <string.h>
#include <xxhash.h>

static void metric_deinit(DescribedMetric *m) {
        free(m->name);
        free(m->help);
        free(m->unit);
}

void described_deinit(Described *d) {
        for (size_t i = 0; i < d->n; i++)
                metric_deinit(&d->metrics[i]);
        free(d->metrics);
        free(d->table);
        *d = DESCRIBED_NULL;
}

/* The place in the table: of the metric, or the free one where it belongs. */
static size_t place_of(const Described *d, const char *name, size_t len) {
        size_t at = XXH3_64bits(name, len) & (d->table_size - 1);
        for (; d->table[at]; at = (at + 1) & (d->table_size - 1)) {
                const DescribedMetric *m = &d->metrics[d->table[at] - 1];
                if (m->name_len == len && memcmp(m->name, name, len) == 0)
                        break;
        }
        return at;
}

static bool make_room(Described *d) {
        if (d->n == d->cap) {
                size_t cap = d->cap ? d->cap * 2 : 64;
                DescribedMetric *more = reallocarray(d->metrics, cap, sizeof *more);
                if (!more)
                        return false;
                d->metrics = more;
                d->cap = cap;
        }
        if ((d->n + 1) * 2 <= d->table_size)
                return true;
        size_t size = d->table_size ? d->table_size * 2 : 128;
        uint32_t *table = calloc(size, sizeof *table);
        if (!table)
                return false;
        free(d->table);
        d->table = table;
        d->table_size = size;
        for (size_t i = 0; i < d->n; i++)
                d->table[place_of(d, d->metrics[i].name, d->metrics[i].name_len)] = (uint32_t)i + 1;
        return true;
}

/* A cut never parts a character. */
static size_t cut(Span text) {
        size_t n = text.len < DESCRIBED_TEXT_MAX ? text.len : DESCRIBED_TEXT_MAX;
        while (n < text.len && n > 0 && ((uint8_t)text.text[n] & 0xc0) == 0x80)
                n--;
        return n;
}

static bool set_text(char **member, size_t *member_len, Span text) {
        size_t n = cut(text);
        if (*member && *member_len == n && (n == 0 || memcmp(*member, text.text, n) == 0))
                return false;
        char *copy = malloc(n + 1);
        if (!copy)
                return false;
        if (n)
                memcpy(copy, text.text, n);
        copy[n] = '\0';
        free(*member);
        *member = copy;
        *member_len = n;
        return true;
}

static DescribedMetric *add(Described *d, Span metric) {
        if (d->n == DESCRIBED_MAX || !make_room(d))
                return NULL;
        DescribedMetric m = { .type = METRIC_UNTYPED };
        (void)set_text(&m.name, &m.name_len, metric);
        (void)set_text(&m.help, &m.help_len, (Span){ "", 0 });
        (void)set_text(&m.unit, &m.unit_len, (Span){ "", 0 });
        if (!m.name || !m.help || !m.unit) {
                metric_deinit(&m);
                return NULL;
        }
        d->metrics[d->n] = m;
        d->table[place_of(d, m.name, m.name_len)] = (uint32_t)++d->n;
        return &d->metrics[d->n - 1];
}

void described_tell(Described *d, Span metric, MetricType type, Span help, Span unit) {
        if (metric.len == 0 || metric.len > DESCRIBED_TEXT_MAX)
                return;
        DescribedMetric *m = described_find(d, metric);
        bool changed = !m;
        m = m ? m : add(d, metric);
        if (!m)
                return;
        changed |= type != m->type;
        m->type = type;
        changed |= set_text(&m->help, &m->help_len, help);
        changed |= set_text(&m->unit, &m->unit_len, unit);
        d->changes += changed;
}

DescribedMetric *described_find(const Described *d, Span metric) {
        if (d->n == 0)
                return NULL;
        uint32_t index = d->table[place_of(d, metric.text, metric.len)];
        return index ? &d->metrics[index - 1] : NULL;
}

#include "export/domain_families.h"

void host_up(Render *r, const Family *f) {
        (void)f;
        /* Without a host entity the sensor is away, and nobody looks at libvirt. */
        double up = r->n ? latest_value(r->entities[0], M_HYP_UP_UP, 0) : 0;
        expo_sample(&r->expo, NULL, 0, value_is_absent(up) ? 0 : up);
}

void memory_used_percent(Render *r, const Family *f) {
        (void)f;
        for (size_t i = 0; i < r->n; i++) {
                double available = latest_value(r->entities[i], M_DOM_BALLOON_AVAILABLE, 0);
                double usable = latest_value(r->entities[i], M_DOM_BALLOON_USABLE, 0);
                if (!value_is_absent(available) && !value_is_absent(usable) && available > 0)
                        render_sample(r, i, (Span){ "", 0 }, (available - usable) / available * 100);
        }
}

/* The words of inovex' and zhangjianweibj's exporters, which dashboards match on. */
static const char *state_text(double state) {
        static const char *const TEXTS[] = {
                "no state",
                "the domain is running",
                "the domain is blocked on resource",
                "the domain is paused by user",
                "the domain is being shut down",
                "the domain is shut off",
                "the domain is crashed",
                "the domain is suspended by guest power management",
        };
        return state >= 0 && state < (double)ARRAY_LEN(TEXTS) ? TEXTS[(size_t)state] : "unknown";
}

void domain_info_sample(Render *r, size_t i, const LabelPair *pairs) {
        /* The scratch end of the row block: cut off again, so the block stays what it was. */
        Buf *text = &r->rows.text;
        size_t start = text->len;
        for (; pairs->key; pairs++)
                expo_put_label(text, start, pairs->key, pairs->value, strlen(pairs->value));
        if (!buf_error(text))
                render_sample(r, i, (Span){ text->data + start, text->len - start }, 1);
        text->len = start;
}

void domain_state(Render *r, const char *key) {
        for (size_t i = 0; i < r->n; i++) {
                double state = latest_value(r->entities[i], M_DOM_STATE_STATE, 0);
                if (value_is_absent(state))
                        continue;
                Buf *text = &r->rows.text;
                size_t start = text->len;
                const char *words = state_text(state);
                expo_put_label(text, start, key, words, strlen(words));
                if (!buf_error(text))
                        render_sample(r, i, (Span){ text->data + start, text->len - start }, state);
                text->len = start;
        }
}

bool row_is_removable(const LatestEntity *e, GroupId g, const Span *labels) {
        if (g != GROUP_DOM_BLOCK)
                return false;
        const DomainDoc *doc = attachment_domain(e);
        const DomainDisk *disk = doc ? domain_doc_disk(doc, labels[0].text, labels[0].len) : NULL;
        return disk && !domain_disk_is_disk(disk);
}

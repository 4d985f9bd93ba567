/* An hour is one of the wall clock's, counted from 1970, so that what was made in it needs two numbers and no list. */
#include "store/quota.h"

#include <assert.h>

#define HOUR_MS (3600 * INT64_C(1000))

void quotas_deinit(Quotas *q) {
        free(q->sources);
        *q = (Quotas){ 0 };
}

int quota_source(Quotas *q, const char *name, uint8_t *ret_source) {
        for (uint32_t i = 0; i < q->n; i++)
                if (strncmp(q->sources[i].name, name, SOURCE_NAME_MAX - 1) == 0) {
                        *ret_source = (uint8_t)i;
                        return 0;
                }
        if (q->n == SOURCES_MAX) {
                *ret_source = SOURCES_MAX - 1;
                return 0;
        }
        Source *sources = realloc(q->sources, (q->n + 1) * sizeof *sources);
        if (!sources)
                return -ENOMEM;
        q->sources = sources;
        sources[q->n] = (Source){ 0 };
        (void)snprintf(sources[q->n].name, SOURCE_NAME_MAX, "%s", name);
        *ret_source = (uint8_t)q->n++;
        return 0;
}

SampleFault quota_take(Quotas *q, const QuotaLimits *l, uint8_t source, Pair *vm, int64_t now_ms) {
        assert(source < q->n);
        Source *s = &q->sources[source];
        uint32_t hour = (uint32_t)(now_ms / HOUR_MS);
        if (s->hour != hour)
                s->made = 0;
        s->hour = hour;
        if (vm && vm->churn_hour != hour)
                vm->churn = 0;
        if (vm)
                vm->churn_hour = hour;
        if (s->active >= l->active_source || (vm && vm->n >= l->active_vm))
                return SAMPLE_SERIES_LIMIT;
        if (s->made >= l->made_source || (vm && vm->churn >= l->made_vm))
                return SAMPLE_CHURN_LIMIT;
        s->active++;
        s->made++;
        if (vm)
                vm->churn++;
        return SAMPLE_OK;
}

void quota_return(Quotas *q, uint8_t source, Pair *vm) {
        q->sources[source].active--;
        q->sources[source].made--;
        if (vm)
                vm->churn--;
}

void quota_first(Pair *vm, int64_t now_ms) {
        if (!vm)
                return;
        vm->churn_hour = (uint32_t)(now_ms / HOUR_MS);
        vm->churn = 1;
}

void quota_adopt(Quotas *q, HeadSeries *x, uint8_t source) {
        assert(source < q->n && x->source < q->n);
        if (strcmp(q->sources[x->source].name, SOURCE_LOG) != 0)
                return;
        q->sources[x->source].active--;
        q->sources[source].active++;
        x->source = source;
}

void quota_recount(Quotas *q, const HeadIndex *ix) {
        for (uint32_t i = 0; i < q->n; i++)
                q->sources[i].active = 0;
        for (uint32_t ref = 0; ref < index_count(ix); ref++)
                q->sources[index_series(ix, ref)->source].active++;
}

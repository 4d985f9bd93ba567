#include "virt/params.h"

#define ROWS_MAX 4096u

typedef struct ParamMap {
        const char *name;
        MetricId metric;
} ParamMap;

static const ParamMap STATE_MAP[] = {
        { "state.state", M_DOM_STATE_STATE },
        { "state.reason", M_DOM_STATE_REASON },
};

static const ParamMap BALLOON_MAP[] = {
        { "balloon.current", M_DOM_BALLOON_ACTUAL },
        { "balloon.maximum", M_DOM_BALLOON_MAXIMUM },
        { "balloon.swap_in", M_DOM_BALLOON_SWAP_IN },
        { "balloon.swap_out", M_DOM_BALLOON_SWAP_OUT },
        { "balloon.major_fault", M_DOM_BALLOON_MAJOR_FAULT },
        { "balloon.minor_fault", M_DOM_BALLOON_MINOR_FAULT },
        { "balloon.unused", M_DOM_BALLOON_UNUSED },
        { "balloon.available", M_DOM_BALLOON_AVAILABLE },
        { "balloon.usable", M_DOM_BALLOON_USABLE },
        { "balloon.last-update", M_DOM_BALLOON_LAST_UPDATE },
        { "balloon.disk_caches", M_DOM_BALLOON_DISK_CACHES },
        { "balloon.hugetlb_pgalloc", M_DOM_BALLOON_HUGETLB_PGALLOC },
        { "balloon.hugetlb_pgfail", M_DOM_BALLOON_HUGETLB_PGFAIL },
};

static const ParamMap BLOCK_MAP[] = {
        { "rd.bytes", M_DOM_BLOCK_RD_BYTES },
        { "rd.reqs", M_DOM_BLOCK_RD_REQS },
        { "rd.times", M_DOM_BLOCK_RD_TIMES },
        { "wr.bytes", M_DOM_BLOCK_WR_BYTES },
        { "wr.reqs", M_DOM_BLOCK_WR_REQS },
        { "wr.times", M_DOM_BLOCK_WR_TIMES },
        { "fl.reqs", M_DOM_BLOCK_FL_REQS },
        { "fl.times", M_DOM_BLOCK_FL_TIMES },
        { "allocation", M_DOM_BLOCK_ALLOCATION },
        { "capacity", M_DOM_BLOCK_CAPACITY },
        { "physical", M_DOM_BLOCK_PHYSICAL },
};

static const ParamMap NET_MAP[] = {
        { "rx.bytes", M_DOM_NET_RX_BYTES },
        { "rx.pkts", M_DOM_NET_RX_PACKETS },
        { "rx.errs", M_DOM_NET_RX_ERRORS },
        { "rx.drop", M_DOM_NET_RX_DROPS },
        { "tx.bytes", M_DOM_NET_TX_BYTES },
        { "tx.pkts", M_DOM_NET_TX_PACKETS },
        { "tx.errs", M_DOM_NET_TX_ERRORS },
        { "tx.drop", M_DOM_NET_TX_DROPS },
};

/* Drivers give -1 as "unknown" for some signed counters. */
static bool number_of(const virTypedParameter *p, double *ret_v) {
        switch (p->type) {
        case VIR_TYPED_PARAM_INT:
                *ret_v = p->value.i;
                return p->value.i >= 0;
        case VIR_TYPED_PARAM_UINT:
                *ret_v = p->value.ui;
                return true;
        case VIR_TYPED_PARAM_LLONG:
                *ret_v = (double)p->value.l;
                return p->value.l >= 0;
        case VIR_TYPED_PARAM_ULLONG:
                *ret_v = (double)p->value.ul;
                return true;
        case VIR_TYPED_PARAM_DOUBLE:
                *ret_v = p->value.d;
                return true;
        case VIR_TYPED_PARAM_BOOLEAN:
                *ret_v = p->value.b ? 1 : 0;
                return true;
        default:
                return false;
        }
}

static bool set_by_name(BatchBuilder *b, const ParamMap *map, size_t n_map, const char *name,
                        const virTypedParameter *p) {
        double v;
        for (size_t i = 0; i < n_map; i++)
                if (strcmp(map[i].name, name) == 0) {
                        if (!number_of(p, &v))
                                return false;
                        batch_set(b, map[i].metric, v);
                        return true;
                }
        return false;
}

static size_t flat(const virTypedParameter *p, int n, BatchBuilder *b, const ParamMap *map, size_t n_map) {
        size_t set = 0;
        batch_row(b, NULL);
        for (int i = 0; i < n; i++)
                set += set_by_name(b, map, n_map, p[i].field, &p[i]);
        return set;
}

size_t params_state(const virTypedParameter *p, int n, BatchBuilder *b) {
        return flat(p, n, b, STATE_MAP, ARRAY_LEN(STATE_MAP));
}

size_t params_balloon(const virTypedParameter *p, int n, BatchBuilder *b) {
        return flat(p, n, b, BALLOON_MAP, ARRAY_LEN(BALLOON_MAP));
}

/* "block.12.rd.bytes" -> index 12, rest "rd.bytes". */
static const char *indexed(const char *field, const char *prefix, uint64_t *ret_index) {
        Scan s = SCAN(field, strnlen(field, VIR_TYPED_PARAM_FIELD_LENGTH));
        if (!scan_literal(&s, prefix) || s.at == s.end || *s.at == ' ' || !scan_u64(&s, ret_index) ||
            !scan_literal(&s, "."))
                return NULL;
        return s.at;
}

/* libvirt writes "name" first for each index; what comes before a row's name has no row to go to. */
static size_t rows(const virTypedParameter *p, int n, BatchBuilder *b, const char *prefix, const ParamMap *map,
                   size_t n_map) {
        size_t set = 0;
        uint64_t row = UINT64_MAX;
        for (int i = 0; i < n; i++) {
                uint64_t index;
                const char *name = indexed(p[i].field, prefix, &index);
                if (!name)
                        continue;
                if (strcmp(name, "name") == 0 && p[i].type == VIR_TYPED_PARAM_STRING && p[i].value.s &&
                    b->n_rows < ROWS_MAX) {
                        batch_row1(b, p[i].value.s, strlen(p[i].value.s));
                        row = index;
                } else if (index == row) {
                        set += set_by_name(b, map, n_map, name, &p[i]);
                }
        }
        return set;
}

size_t params_block(const virTypedParameter *p, int n, BatchBuilder *b) {
        return rows(p, n, b, "block.", BLOCK_MAP, ARRAY_LEN(BLOCK_MAP));
}

size_t params_net(const virTypedParameter *p, int n, BatchBuilder *b) {
        return rows(p, n, b, "net.", NET_MAP, ARRAY_LEN(NET_MAP));
}

size_t params_perf(const virTypedParameter *p, int n, BatchBuilder *b) {
        size_t set = 0;
        for (int i = 0; i < n; i++) {
                double v;
                if (strncmp(p[i].field, "perf.", 5) != 0 || !number_of(&p[i], &v))
                        continue;
                batch_row1(b, p[i].field + 5, strlen(p[i].field + 5));
                batch_set(b, M_DOM_PERF_VALUE, v);
                set++;
        }
        return set;
}

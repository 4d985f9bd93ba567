/* Classic histograms (m_bucket{le="..."}, m_count, m_sum) as native ones with custom buckets, m: what `load_with_nhcb`
 * adds. */
#pragma once

#include "notation.h"

typedef struct Custom {
        NotedSeries *series;
        size_t n;
        Arena arena;
        ArenaBudget budget;
} Custom;

/* 0 or -EINVAL with the reason: counts that fall, or differ from the last bucket's. */
int custom_collect(Custom *c, const NotedSeries *series, size_t n, Buf *ret_error) MUST_USE;
void custom_deinit(Custom *c);

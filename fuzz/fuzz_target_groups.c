/* Any bytes as an answer of HTTP service discovery: what is taken has as many targets as it says, each a terminated
 * text. */
#include "scrape/groups.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        CLEANUP(target_groups_deinit) TargetGroups g = TARGET_GROUPS_NULL;
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        size_t targets = 0;
        int r = target_groups_parse_json((const char *)bytes, n, &g, &why);
        if (r < 0) {
                assert((r == -EINVAL || r == -E2BIG) && why.len > 0 && g.n == 0);
                return 0;
        }
        for (size_t i = 0; i < g.n; i++) {
                assert(g.groups[i].names.n == g.groups[i].values.n);
                for (size_t k = 0; k < g.groups[i].targets.n; k++, targets++)
                        assert(strlen(g.groups[i].targets.texts[k]) > 0);
        }
        assert(targets == g.n_targets && targets <= TARGETS_MAX);
        return 0;
}

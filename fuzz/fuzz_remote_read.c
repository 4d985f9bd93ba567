/* Any bytes as a request of remote read: queries within the limits, each matcher usable; or a reason. */
#include "wire/remote_read.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        CLEANUP(read_request_deinit) ReadRequest r = { 0 };
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        int error = read_request_parse(bytes, n, &r, &why);
        assert(error == 0 || error == -ENOMEM || why.len > 0);
        assert(error < 0 || r.samples || r.chunks);
        for (size_t i = 0; i < r.n; i++)
                for (size_t k = 0; k < r.queries[i].n; k++)
                        (void)matcher_matches(&r.queries[i].matchers[k], (Span){ "value", 5 });
        return 0;
}

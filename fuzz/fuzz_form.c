/* Any bytes as a form: parameters that lie within what was decoded, each terminated, or an error. */
#include "net/form.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        CLEANUP(form_deinit) Form f = FORM_NULL;
        if (form_parse(&f, (const char *)bytes, n) < 0)
                return 0;
        size_t sum = 0;
        for (size_t i = 0; i < f.n; i++)
                sum += strlen(f.params[i].name) + strlen(f.params[i].value);
        assert(sum <= n);
        return 0;
}

/* Any bytes as a configuration file: settings or at least one error, never both, and what was accepted
 * prints as text that is accepted again. */
#include "rt/settings.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static int load_bytes(const void *bytes, size_t n, Settings **ret_s) {
        char path[64];
        SettingsError e = { 0 };
        CLEANUP_FD int fd = memfd_create("fuzz", MFD_CLOEXEC);
        assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int r = settings_load(path, true, ret_s, &e);
        assert((r == 0) == (e.text == NULL));
        assert(!e.text || *e.text);
        free(e.text);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        CLEANUP(buf_deinit) Buf printed = BUF_NULL;
        Settings *s = NULL;
        if (load_bytes(bytes, n, &s) < 0)
                return 0;
        settings_print(s, &printed);
        (void)settings_free(s);
        int r = load_bytes(printed.data, printed.len, &s);
        assert(r == 0);
        (void)settings_free(s);
        return 0;
}

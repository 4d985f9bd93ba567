/* Any bytes as a command line (any local process can have one) and as the small files of /proc and
 * cgroups that the kernel lane reads. The first byte chooses. */
#include "collect/qemu/cmdline.h"
#include "collect/qemu/procfile.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void command_line(const char *text, size_t n) {
        QemuCmdline c;
        (void)qemu_cmdline_is_qemu(text, n);
        qemu_cmdline_parse(text, n, &c);
        assert(c.name_len <= ENTITY_TEXT_MAX && c.name[c.name_len] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;
        /* A copy of the exact size, so that a read beyond it is seen. */
        size_t n = size - 1;
        CLEANUP_FREE char *text = malloc(n ? n : 1);
        assert(text);
        memcpy(text, data + 1, n);
        uint64_t a = 0, b = 0;
        ProcStat st;
        switch (data[0] % 7) {
        case 0:
                command_line(text, n);
                break;
        case 1:
                (void)parse_stat(text, n, &st);
                break;
        case 2:
                (void)parse_schedstat(text, n, &a, &b);
                break;
        case 3:
                (void)parse_field(text, n, "usage_usec", &a);
                break;
        case 4:
                (void)parse_wait_sum(text, n, &a);
                break;
        case 5:
                (void)parse_bytes(text, n, &a);
                break;
        default:
                assert(parse_pressure(text, n, &a, &b) <= 3);
        }
        return 0;
}

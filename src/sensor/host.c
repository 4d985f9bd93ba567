#include "sensor/host.h"

#include "base/buf.h"
#include "base/scan.h"

#include <fcntl.h>
#include <limits.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define FILE_LIMIT 4096

static bool first_word(const char *root, const char *file, Buf *text, Span *ret_word) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s%s", strcmp(root, "/") == 0 ? "" : root, file) >= (int)sizeof path)
                return false;
        if (buf_read_file(text, AT_FDCWD, path, FILE_LIMIT) < 0)
                return false;
        Scan s = SCAN(text->data, text->len);
        return scan_word(&s, ret_word);
}

EntityKey host_key(const char *root, const char *name) {
        EntityKey key = { .kind = ENTITY_HOST };
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        Span word;
        if (first_word(root, "/etc/machine-id", &text, &word) && uuid_parse(word.text, word.len, &key.id) == 0)
                return key;
        char named[HOST_NAME_LEN + 8];
        int n = snprintf(named, sizeof named, "host/%s", name);
        XXH128_canonical_t canonical;
        size_t len = (size_t)n < sizeof named ? (size_t)n : sizeof named - 1;
        XXH128_canonicalFromHash(&canonical, XXH3_128bits(named, len));
        memcpy(key.id.bytes, canonical.digest, sizeof key.id.bytes);
        return key;
}

void host_name(const char *root, const char *configured, char out[HOST_NAME_LEN]) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        Span word;
        if (configured && *configured)
                (void)snprintf(out, HOST_NAME_LEN, "%s", configured);
        else if (strcmp(root, "/") != 0 && first_word(root, "/etc/hostname", &text, &word))
                (void)snprintf(out, HOST_NAME_LEN, "%.*s", (int)word.len, word.text);
        else if (gethostname(out, HOST_NAME_LEN) < 0)
                (void)snprintf(out, HOST_NAME_LEN, "localhost");
        out[HOST_NAME_LEN - 1] = '\0';
}

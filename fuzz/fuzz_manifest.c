/* Any bytes as a manifest; with the first byte odd, length and checksum are put right before. What is accepted is written again
 * as the same bytes. */
#include "base/crc32c.h"
#include "store/manifest/manifest.h"
#include "vfs_sim.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void put_checksum(uint8_t *bytes, size_t n) {
        if (n < 20)
                return;
        memcpy(bytes, "PLXmani\n", 8);
        memcpy(bytes + 12, &(uint32_t){ (uint32_t)n }, 4);
        memcpy(bytes + n - 4, &(uint32_t){ crc32c(0, bytes, n - 4) }, 4);
}

static void check_same(Vfs *v, const Manifest *m, const uint8_t *bytes, size_t n) {
        int r = manifest_save(v, m);
        assert(r == 0);
        VfsMap map;
        r = vfs_map(v, MANIFEST_NAME, &map);
        assert(r == 0 && map.len == n && memcmp(map.bytes, bytes, n) == 0);
        vfs_unmap(v, &map);
        Manifest *copy = manifest_dup(m);
        assert(copy && copy->n_parts == m->n_parts && copy->n_tombstones == m->n_tombstones);
        (void)manifest_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        if (n < 1)
                return 0;
        CLEANUP_FREE uint8_t *file = malloc(n);
        assert(file);
        bool checksum = bytes[0] & 1;
        n--;
        memcpy(file, bytes + 1, n);
        if (checksum)
                put_checksum(file, n);
        VfsSim *s = vfs_sim_new(1);
        vfs_sim_put(s, MANIFEST_NAME, file, n);
        Vfs *v = vfs_sim_open(s);
        Manifest *m = NULL;
        PartDamage damage = { 0 };
        int r = manifest_load(v, &m, &damage);
        assert(r == 0 || ((r == -EBADMSG || r == -EPROTONOSUPPORT) && damage.text[0] != '\0' && !m));
        if (r == 0)
                check_same(v, m, file, n);
        (void)manifest_free(m);
        (void)vfs_free(v);
        (void)vfs_sim_free(s);
        return 0;
}

#include "store/manifest/manifest.h"

#include "base/crc32c.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const Uuid STORE = { { 0xaa, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xbb } };

typedef struct Fixture {
        char root[64], file[80];
        Vfs *vfs;
        Manifest *m;
} Fixture;

/* A manifest with one of everything. */
static Manifest *example(void) {
        Manifest *m = NULL;
        assert_int_equal(manifest_new(STORE, 1700000000000, &m), 0);
        m->next_id = 19;
        m->wal_first = 7;
        m->rolled_ms[STORE_5M] = 1699999999000;
        m->n_parts = 3;
        m->parts = calloc(m->n_parts, sizeof *m->parts);
        assert_non_null(m->parts);
        for (size_t i = 0; i < m->n_parts; i++)
                m->parts[i] = (PartEntry){
                        .meta = { .store = STORE, .id = 10 + i, .tier = (StoreTier)i, .begin_ms = -5, .end_ms = 7200000,
                                  .min_ms = INT64_MIN, .max_ms = INT64_MAX, .samples = UINT64_MAX, .bytes = 12345,
                                  .series = 77 },
                        .level = (uint32_t)i,
                        .final = i == 1,
                        .quarantined = i == 2,
                        .rolled = i == 1,
                        .age = 3 + i,
                };
        m->n_tombstones = 2;
        m->tombstones = calloc(m->n_tombstones, sizeof *m->tombstones);
        assert_non_null(m->tombstones);
        m->tombstones[0] = (Tombstone){ .begin_ms = 1, .end_ms = 2, .below_part = 12, .n_matchers = 2 };
        m->tombstones[0].matchers = calloc(2, sizeof(char *));
        assert_non_null(m->tombstones[0].matchers);
        m->tombstones[0].matchers[0] = strdup("uuid=3f2c");
        m->tombstones[0].matchers[1] = strdup("__name__=~node_.*|\xc3\xa4");
        m->tombstones[1] = (Tombstone){ .begin_ms = INT64_MIN, .end_ms = INT64_MAX, .below_part = 1 };
        return m;
}

static int set_up(void **state) {
        Fixture *x = calloc(1, sizeof *x);
        assert_non_null(x);
        (void)snprintf(x->root, sizeof x->root, "/tmp/parallax-manifest-XXXXXX");
        assert_non_null(mkdtemp(x->root));
        (void)snprintf(x->file, sizeof x->file, "%s/manifest", x->root);
        assert_int_equal(vfs_posix_new(x->root, &x->vfs), 0);
        x->m = example();
        *state = x;
        return 0;
}

static int tear_down(void **state) {
        CLEANUP_FREE Fixture *x = *state;
        x->m = manifest_free(x->m);
        (void)vfs_free(x->vfs);
        char command[128];
        (void)snprintf(command, sizeof command, "rm -rf '%s'", x->root);
        return system(command);
}

static void cleanup_manifest(Manifest **m) {
        (void)manifest_free(*m);
}

static void assert_equal(const Manifest *a, const Manifest *b) {
        assert_true(uuid_equal(&a->store, &b->store));
        assert_true(a->created_ms == b->created_ms && a->next_id == b->next_id && a->wal_first == b->wal_first);
        assert_memory_equal(a->rolled_ms, b->rolled_ms, sizeof a->rolled_ms);
        assert_int_equal(a->n_parts, b->n_parts);
        for (size_t i = 0; i < a->n_parts; i++) {
                const PartEntry *p = &a->parts[i], *q = &b->parts[i];
                assert_memory_equal(&p->meta, &q->meta, sizeof p->meta);
                assert_true(p->level == q->level && p->final == q->final && p->quarantined == q->quarantined);
                assert_true(p->rolled == q->rolled && p->age == q->age);
        }
        assert_int_equal(a->n_tombstones, b->n_tombstones);
        for (size_t i = 0; i < a->n_tombstones; i++) {
                const Tombstone *t = &a->tombstones[i], *u = &b->tombstones[i];
                assert_true(t->begin_ms == u->begin_ms && t->end_ms == u->end_ms && t->below_part == u->below_part);
                assert_int_equal(t->n_matchers, u->n_matchers);
                for (size_t k = 0; k < t->n_matchers; k++)
                        assert_string_equal(t->matchers[k], u->matchers[k]);
        }
}

static void is_read_as_it_was_saved(void **state) {
        Fixture *x = *state;
        PartDamage damage;
        CLEANUP(cleanup_manifest) Manifest *back = NULL;
        assert_int_equal(manifest_load(x->vfs, &back, &damage), -ENOENT);
        assert_int_equal(manifest_save(x->vfs, x->m), 0);
        assert_int_equal(manifest_load(x->vfs, &back, &damage), 0);
        assert_equal(x->m, back);
        CLEANUP(cleanup_manifest) Manifest *copy = manifest_dup(back);
        assert_non_null(copy);
        assert_equal(x->m, copy);
}

static void starts_empty(void **state) {
        Fixture *x = *state;
        CLEANUP(cleanup_manifest) Manifest *m = NULL, *back = NULL;
        PartDamage damage;
        assert_int_equal(manifest_new(STORE, 5, &m), 0);
        assert_true(m->next_id == 1 && m->wal_first == 1 && m->n_parts == 0 && m->created_ms == 5);
        assert_true(m->rolled_ms[STORE_1H] == INT64_MIN);
        assert_int_equal(manifest_save(x->vfs, m), 0);
        assert_int_equal(manifest_load(x->vfs, &back, &damage), 0);
        assert_equal(m, back);
        assert_null(manifest_free(NULL));
}

static void read_saved(const Fixture *x, Buf *bytes) {
        buf_reset(bytes);
        assert_int_equal(buf_read_file(bytes, AT_FDCWD, x->file, 1 << 20), 0);
}

static void write_raw(const Fixture *x, const void *bytes, size_t n) {
        CLEANUP_FD int fd = open(x->file, O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, n), n);
}

static int load(const Fixture *x, PartDamage *damage) {
        CLEANUP(cleanup_manifest) Manifest *m = NULL;
        *damage = (PartDamage){ 0 };
        return manifest_load(x->vfs, &m, damage);
}

static void finds_every_flip_and_cut(void **state) {
        Fixture *x = *state;
        CLEANUP(buf_deinit) Buf bytes = BUF_NULL;
        PartDamage damage;
        assert_int_equal(manifest_save(x->vfs, x->m), 0);
        read_saved(x, &bytes);
        for (size_t i = 0; i < 8 * bytes.len; i++) {
                bytes.data[i / 8] ^= (char)(1 << i % 8);
                write_raw(x, bytes.data, bytes.len);
                bytes.data[i / 8] ^= (char)(1 << i % 8);
                assert_int_equal(load(x, &damage), -EBADMSG);
                assert_memory_equal(damage.text, "manifest: ", 10);
        }
        for (size_t n = 0; n < bytes.len; n++) {
                write_raw(x, bytes.data, n);
                assert_int_equal(load(x, &damage), -EBADMSG);
        }
        buf_put_char(&bytes, 0);
        write_raw(x, bytes.data, bytes.len);
        assert_int_equal(load(x, &damage), -EBADMSG);
}

/* Changes one byte and makes the checksum right again. */
static int load_changed(const Fixture *x, const Buf *saved, size_t at, uint8_t value, PartDamage *damage) {
        CLEANUP(buf_deinit) Buf bytes = BUF_NULL;
        buf_put(&bytes, saved->data, saved->len);
        bytes.data[at] = (char)value;
        uint32_t crc = crc32c(0, bytes.data, bytes.len - 4);
        memcpy(bytes.data + bytes.len - 4, &crc, 4);
        write_raw(x, bytes.data, bytes.len);
        return load(x, damage);
}

static void believes_no_nonsense_with_a_checksum(void **state) {
        Fixture *x = *state;
        CLEANUP(buf_deinit) Buf bytes = BUF_NULL;
        PartDamage damage;
        assert_int_equal(manifest_save(x->vfs, x->m), 0);
        read_saved(x, &bytes);
        static const struct {
                size_t at;
                uint8_t value;
        } bad[] = {
                { 52, 2 },          { 52, 4 }, { 55, 0xff },       /* number of parts */
                { 56, 1 },          { 56, 3 }, { 59, 0xff },       /* of tombstones */
                { 60, 1 },          { 40, 12 },                    /* zero; an id that is not below the next one */
                { 88 + 64, 3 },     { 88 + 65, 8 }, { 88 + 66, 1 }, /* tier, flags, zeros of a part */
                { 88 + 240 + 24, 1 }, { 88 + 240 + 24, 3 }, { 88 + 240 + 27, 0xff }, /* number of matchers */
                { 88 + 240 + 28, 1 }, { 88 + 240 + 31, 0xff },     /* bytes of their text */
        };
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_int_equal(load_changed(x, &bytes, bad[i].at, bad[i].value, &damage), -EBADMSG);
        assert_int_equal(load_changed(x, &bytes, 8, 2, &damage), -EPROTONOSUPPORT);
        assert_string_equal(damage.text, "manifest: format version 2, this program knows 1");
        assert_int_equal(load_changed(x, &bytes, 32, 99, &damage), 0);
}

static void names_parts(void **state) {
        (void)state;
        char name[PART_NAME_MAX];
        part_name(STORE_RAW, 12, name);
        assert_string_equal(name, "raw-00000012.part");
        part_name(STORE_5M, 13, name);
        assert_string_equal(name, "5m-00000013.part");
        part_name(STORE_1H, UINT64_MAX, name);
        assert_string_equal(name, "1h-18446744073709551615.part");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH(is_read_as_it_was_saved),
                WITH(starts_empty),
                WITH(finds_every_flip_and_cut),
                WITH(believes_no_nonsense_with_a_checksum),
                cmocka_unit_test(names_parts),
        };
        return cmocka_run_group_tests_name("store: the manifest", tests, NULL, NULL);
}

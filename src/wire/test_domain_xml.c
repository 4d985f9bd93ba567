#include "wire/domain_xml.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static int parse(const char *xml, DomainDoc **ret) {
        return domain_doc_parse(xml, strlen(xml), 1024, ret);
}

static void test_whole(void **state) {
        (void)state;
        CLEANUP(domain_doc_freep) DomainDoc *d = NULL;
        assert_int_equal(
                parse("<?xml version='1.0'?><domain type='kvm'><name>a &amp; &lt;b&gt;</name><uuid>0123456789abcdef0123456789abcdef</uuid>"
                      "<title>T</title><memory unit='MiB'>8</memory><currentMemory>4096</currentMemory><vcpu current='1'>2</vcpu>"
                      "<os><type arch='x86_64' machine='pc'>hvm</type></os><metadata>"
                      "<nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.0'><nova:name>n</nova:name>"
                      "<nova:owner><nova:user uuid='uu'>u</nova:user></nova:owner></nova:instance>"
                      "<x:a xmlns:x='urn:a#b'><x:tier>gold</x:tier></x:a></metadata><devices>"
                      "<disk type='network' device='disk'><source protocol='rbd' name='pool/img'><host name='h'/></source>"
                      "<target dev='vda' bus='virtio'/><backingStore><source file='/other'/></backingStore>"
                      "<iotune><size_iops_sec>7</size_iops_sec></iotune></disk>"
                      "<disk type='block'><source dev='/dev/x'/><target dev='vdb'/></disk>"
                      "<interface type='bridge'><source bridge='b'/><virtualport><parameters interfaceid='i'/></virtualport><target dev='t'/></interface>"
                      "</devices></domain>",
                      &d),
                0);
        assert_string_equal(d->name, "a & <b>");
        assert_true(d->has_uuid && d->uuid.bytes[1] == 0x23);
        assert_int_equal(d->memory_bytes, 8 << 20);
        assert_int_equal(d->current_bytes, 4 << 20);
        assert_int_equal(d->max_vcpus, 2);
        assert_int_equal(d->current_vcpus, 1);
        assert_string_equal(d->os_machine, "pc");
        assert_true(d->has_nova);
        assert_string_equal(d->nova_user_uuid, "uu");
        assert_string_equal(d->nova_user, "u");
        assert_int_equal(d->n_disks, 2);
        assert_string_equal(domain_disk_source(&d->disks[0]), "pool/img");
        assert_string_equal(domain_disk_source(&d->disks[1]), "/dev/x");
        assert_int_equal(d->disks[0].iotune[IOTUNE_SIZE_IOPS], 7);
        assert_int_equal(d->disks[1].iotune[IOTUNE_SIZE_IOPS], 0);
        assert_string_equal(domain_doc_interface(d, "t", 1)->interface_id, "i");
        assert_null(domain_doc_disk(d, "vdc", 3));
        assert_string_equal(domain_doc_metadata(d, "urn:a#b#tier"), "gold");
        assert_string_equal(domain_doc_metadata(d, "tier"), "gold");
        assert_null(domain_doc_metadata(d, "urn:b#tier"));
}

/* An element of another namespace is not Nova's, whatever its prefix. */
static void test_foreign_nova(void **state) {
        (void)state;
        CLEANUP(domain_doc_freep) DomainDoc *d = NULL;
        assert_int_equal(
                parse("<domain><metadata><nova:instance xmlns:nova='urn:evil'><nova:name>root</nova:name></nova:instance></metadata></domain>",
                      &d),
                0);
        assert_false(d->has_nova);
        assert_string_equal(d->nova_name, "");
}

static void test_first_wins(void **state) {
        (void)state;
        CLEANUP(domain_doc_freep) DomainDoc *d = NULL;
        assert_int_equal(
                parse("<domain><name>one</name><metadata><name>two</name></metadata><name>three</name></domain>", &d),
                0);
        assert_string_equal(d->name, "one");
}

static void test_refused(void **state) {
        (void)state;
        static const char *const BAD[] = {
                "",
                "x",
                "<domain>",
                "<other/>",
                "<domain><name>\xff</name></domain>",
                "<domain>&unknown;</domain>",
                "<!DOCTYPE domain [<!ENTITY a 'x'>]><domain><name>&a;</name></domain>",
                "<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain/>",
                "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;'>]><domain>&c;</domain>",
                "<domain/><domain/>",
        };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                CLEANUP(domain_doc_freep) DomainDoc *d = NULL;
                if (parse(BAD[i], &d) != -EBADMSG)
                        fail_msg("taken: %s", BAD[i]);
        }
}

static void repeat(Buf *b, const char *text, size_t n) {
        while (n--)
                buf_put_str(b, text);
}

static void test_limits(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf deep = BUF_NULL, wide = BUF_NULL, huge = BUF_NULL;
        CLEANUP(domain_doc_freep) DomainDoc *d = NULL, *m = NULL, *h = NULL;
        buf_put_str(&deep, "<domain><metadata>");
        repeat(&deep, "<a>", 200);
        assert_int_equal(domain_doc_parse(deep.data, deep.len, 1024, &d), -EBADMSG);
        buf_put_str(&wide, "<domain><name>");
        repeat(&wide, "\xC3\xA9", 3000);
        buf_put_str(&wide, "</name><devices>");
        for (int i = 0; i < 400; i++)
                buf_printf(&wide, "<disk><target dev='d%d'/></disk>", i);
        buf_put_str(&wide, "</devices></domain>");
        assert_int_equal(domain_doc_parse(wide.data, wide.len, 1024, &d), 0);
        assert_true(d->truncated);
        assert_int_equal(strlen(d->name), DOMAIN_XML_TEXT_MAX);
        assert_int_equal(d->n_disks, DOMAIN_XML_DEVICES_MAX);
        assert_string_equal(d->disks[255].target, "d255");
        /* A mebibyte of a tenant's metadata, between facts that must survive it. */
        buf_put_str(&huge, "<domain><name>n</name><metadata><t xmlns='urn:t'>");
        repeat(&huge, "0123456789abcdef", 1 << 16);
        repeat(&huge, "<e>text</e>", 10000);
        buf_put_str(&huge, "</t></metadata><vcpu>3</vcpu></domain>");
        assert_int_equal(domain_doc_parse(huge.data, huge.len, 100, &m), 0);
        assert_int_equal(m->max_vcpus, 3);
        assert_int_equal(m->n_metadata, DOMAIN_XML_METADATA_MAX);
        repeat(&huge, " ", DOMAIN_XML_MAX);
        assert_int_equal(domain_doc_parse(huge.data, huge.len, 100, &h), -EFBIG);
}

static void test_metadata_is_cut(void **state) {
        (void)state;
        CLEANUP(domain_doc_freep) DomainDoc *d = NULL;
        const char *xml = "<domain><metadata><a xmlns='u'>abc\xC3\xA9</a></metadata></domain>";
        assert_int_equal(domain_doc_parse(xml, strlen(xml), 4, &d), 0);
        assert_string_equal(domain_doc_metadata(d, "u#a"), "abc");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole),      cmocka_unit_test(test_foreign_nova),
                cmocka_unit_test(test_first_wins), cmocka_unit_test(test_refused),
                cmocka_unit_test(test_limits),     cmocka_unit_test(test_metadata_is_cut),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "fleet/names.h"

#include "base/varint.h"
#include "fleet/random.h"

#include <string.h>

static void put_label(Buf *out, const char *name, const char *value) {
        uint8_t head[2 * VARINT_MAX];
        size_t name_len = strlen(name), value_len = strlen(value); /* names and values of the fleet are under 120 bytes */
        (void)varint_put(head, 4 + name_len + value_len);
        buf_put_char(out, 0x0a);
        buf_put(out, head, 4 + name_len + value_len < 128 ? 1 : 2);
        buf_put_char(out, 0x0a);
        buf_put_char(out, (char)name_len);
        buf_put(out, name, name_len);
        buf_put_char(out, 0x12);
        buf_put_char(out, (char)value_len);
        buf_put(out, value, value_len);
}

/* Name and value of the label that tells instances apart; false when there is one only. */
static bool instance_label(const FleetNames *n, bool rich, const char **ret_name, char ret_value[16]) {
        static const char *const lean_names[PER_COUNT] = { [PER_VCPU] = "cpu", [PER_DISK] = "dev", [PER_NIC] = "dev", [PER_HOST_CPU] = "cpu", [PER_HOST_DISK] = "dev", [PER_HOST_NIC] = "dev" };
        static const char *const rich_names[PER_COUNT] = { [PER_VCPU] = "vcpu", [PER_DISK] = "target_device", [PER_NIC] = "target_device", [PER_HOST_CPU] = "cpu", [PER_HOST_DISK] = "device", [PER_HOST_NIC] = "device" };
        FleetPer per = n->kind->per;
        *ret_name = rich ? rich_names[per] : lean_names[per];
        if (!*ret_name)
                return false;
        if (per == PER_DISK || per == PER_HOST_DISK)
                (void)snprintf(ret_value, 16, "%s%c", per == PER_DISK ? "vd" : "sd", 'a' + (int)n->index);
        else if (per == PER_NIC)
                (void)snprintf(ret_value, 16, "vnet%u", n->vm * 2 + n->index);
        else if (per == PER_HOST_NIC)
                (void)snprintf(ret_value, 16, "eno%u", n->index + 1);
        else
                (void)snprintf(ret_value, 16, "%u", n->index);
        return true;
}

static void put_lean(const FleetNames *n, Buf *out) {
        char text[96];
        bool vm = n->vm != UINT32_MAX;
        const char *name;
        char instance[16];
        (void)snprintf(text, sizeof text, "%s_%s", vm ? "vm" : "node", n->kind->name);
        put_label(out, "__name__", text);
        if (instance_label(n, false, &name, instance))
                put_label(out, name, instance);
        (void)snprintf(text, sizeof text, "hv%02u", n->host);
        put_label(out, "host", text);
        if (!vm)
                return;
        (void)snprintf(text, sizeof text, n->incarnation ? "vm-%04u-%u" : "vm-%04u", n->vm, n->incarnation);
        put_label(out, "vm", text);
}

static void put_uuid(const FleetNames *n, Buf *out) {
        char text[40];
        uint64_t a = random_mix(n->vm + 1), b = random_mix(a + n->incarnation);
        (void)snprintf(text, sizeof text, "%08x-%04x-4%03x-8%03x-%012llx", (uint32_t)a, (uint32_t)(a >> 32) & 0xffff, (uint32_t)(a >> 48) & 0xfff,
                       (uint32_t)b & 0xfff, (unsigned long long)(b >> 16));
        put_label(out, "uuid", text);
}

/* By ascending name: cpu/device before domain, target_device before uuid, vcpu after it. */
static void put_rich(const FleetNames *n, Buf *out) {
        char text[96];
        bool vm = n->vm != UINT32_MAX;
        const char *name;
        char instance[16];
        bool has_instance = instance_label(n, true, &name, instance);
        (void)snprintf(text, sizeof text, "%s_%s", vm ? "libvirt_domain" : "node", n->kind->name);
        put_label(out, "__name__", text);
        put_label(out, "cluster", "eu-west-1a");
        if (has_instance && !vm)
                put_label(out, name, instance);
        if (vm) {
                (void)snprintf(text, sizeof text, n->incarnation ? "instance-%08x-%u" : "instance-%08x", n->vm + 0x1a40, n->incarnation);
                put_label(out, "domain", text);
                put_label(out, "flavor", n->vm % 3 ? "m1.large" : "c2.xlarge");
        }
        (void)snprintf(text, sizeof text, "hv%02u.cloud.example", n->host);
        put_label(out, "host", text);
        (void)snprintf(text, sizeof text, "10.20.0.%u:%u", n->host + 10, vm ? 9177 : 9100);
        put_label(out, "instance", text);
        put_label(out, "job", vm ? "libvirt" : "node");
        if (!vm)
                return;
        (void)snprintf(text, sizeof text, "project-%02u", n->vm % 17);
        put_label(out, "project", text);
        if (has_instance && n->kind->per != PER_VCPU)
                put_label(out, name, instance);
        put_uuid(n, out);
        if (has_instance && n->kind->per == PER_VCPU)
                put_label(out, name, instance);
}

void fleet_names(const FleetNames *n, Buf *out) {
        if (n->rich)
                put_rich(n, out);
        else
                put_lean(n, out);
}

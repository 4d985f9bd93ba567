/* See cmdline.h. Options are those that libvirt and Proxmox write: -uuid, -name guest=..., -netdev
 * (JSON or key=value), -smp, -smbios type=1,uuid=... */
#include "collect/qemu/cmdline.h"

#include "base/scan.h"

static bool next_argument(Scan *s, Span *ret_arg) {
        return scan_until(s, '\0', ret_arg);
}

bool qemu_cmdline_is_qemu(const char *bytes, size_t n) {
        Scan s = SCAN(bytes, n);
        Span arg;
        if (!next_argument(&s, &arg))
                return false;
        const char *slash = memrchr(arg.text, '/', arg.len);
        Span base = slash ? (Span){ slash + 1, (size_t)(arg.text + arg.len - slash) - 1 } : arg;
        return span_starts(base, "qemu-system-") || span_is(base, "qemu-kvm") || span_is(base, "kvm");
}

/* Takes the next "key=value" of QEMU's option syntax, in which a comma within a value is doubled. The
 * span still has the doubled ones. */
static bool next_option(Scan *s, Span *ret_option) {
        if (s->at >= s->end)
                return false;
        const char *start = s->at, *at = start;
        while (at < s->end && (*at != ',' || (at + 1 < s->end && at[1] == ',')))
                at += *at == ',' ? 2 : 1;
        *ret_option = (Span){ start, (size_t)(at - start) };
        s->at = at < s->end ? at + 1 : at;
        return true;
}

static void take_name(Span value, QemuCmdline *c) {
        c->name_len = 0;
        for (size_t i = 0; i < value.len && c->name_len < ENTITY_TEXT_MAX; i++) {
                c->name[c->name_len++] = value.text[i];
                if (value.text[i] == ',')
                        i++;
        }
        c->name[c->name_len] = '\0';
}

static void parse_name(Span arg, QemuCmdline *c) {
        Scan s = SCAN(arg.text, arg.len);
        Span option;
        for (bool first = true; next_option(&s, &option); first = false)
                if (span_starts(option, "guest="))
                        take_name((Span){ option.text + 6, option.len - 6 }, c);
                else if (first && !memchr(option.text, '=', option.len))
                        take_name(option, c);
}

static void parse_smbios(Span arg, QemuCmdline *c) {
        Scan s = SCAN(arg.text, arg.len);
        Span option;
        bool type1 = false;
        while (next_option(&s, &option)) {
                type1 = type1 || span_is(option, "type=1");
                if (type1 && !c->has_uuid && span_starts(option, "uuid="))
                        c->has_uuid = uuid_parse(option.text + 5, option.len - 5, &c->uuid) == 0;
        }
}

/* Whether the host has counters for a netdev of this kind, or libvirt asks somebody who has. */
static bool netdev_on_host(Span arg) {
        static const char *const KINDS[] = { "tap", "vhost-user", "vhost-vdpa", "bridge" };
        for (size_t i = 0; i < ARRAY_LEN(KINDS); i++) {
                size_t n = strlen(KINDS[i]);
                if (span_starts(arg, KINDS[i]) && (arg.len == n || arg.text[n] == ','))
                        return true;
                char json[32];
                int len = snprintf(json, sizeof json, "\"type\":\"%s\"", KINDS[i]);
                if (arg.len > 0 && arg.text[0] == '{' && memmem(arg.text, arg.len, json, (size_t)len))
                        return true;
        }
        return false;
}

static void parse_smp(Span arg, QemuCmdline *c) {
        Span first;
        Scan s = SCAN(arg.text, arg.len);
        if (!next_option(&s, &first))
                return;
        if (span_starts(first, "cpus="))
                first = (Span){ first.text + 5, first.len - 5 };
        c->smp = !span_is(first, "1") || memmem(arg.text, arg.len, "maxcpus=", 8);
}

void qemu_cmdline_parse(const char *bytes, size_t n, QemuCmdline *ret) {
        *ret = (QemuCmdline){ 0 };
        Scan s = SCAN(bytes, n);
        Span option, value;
        if (!next_argument(&s, &option))
                return;
        Uuid uuid;
        while (next_argument(&s, &option)) {
                if (option.len < 2 || option.text[0] != '-')
                        continue;
                if (option.text[1] == '-')
                        option = (Span){ option.text + 1, option.len - 1 };
                bool known = span_is(option, "-uuid") || span_is(option, "-name") || span_is(option, "-netdev") ||
                             span_is(option, "-nic") || span_is(option, "-smp") || span_is(option, "-smbios");
                if (!known || !next_argument(&s, &value))
                        continue;
                if (span_is(option, "-uuid")) {
                        if (uuid_parse(value.text, value.len, &uuid) == 0) {
                                ret->uuid = uuid;
                                ret->has_uuid = true;
                        }
                } else if (span_is(option, "-name"))
                        parse_name(value, ret);
                else if (span_is(option, "-smp"))
                        parse_smp(value, ret);
                else if (span_is(option, "-smbios"))
                        parse_smbios(value, ret);
                else
                        ret->host_nics += netdev_on_host(value);
        }
}

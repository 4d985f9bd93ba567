/* SAX, no tree: where the parser stands is one path of local names ("/domain/devices/disk/target"), and
 * three tables say which texts and attributes at which path go into which field. Elements of Nova's
 * namespaces get the prefix "nova:" in the path whatever prefix the document gave them, so a foreign
 * element cannot pass for one of Nova's. */
#include "wire/domain_xml.h"

#include "base/buf.h"
#include "base/scan.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <string.h>

#define PATH_MAX_BYTES 256u

typedef struct DomainText DomainText;
struct DomainText {
        DomainText *next;
        size_t used, cap;
        char bytes[];
};

typedef struct Parser {
        DomainDoc *doc;
        xmlParserCtxtPtr ctxt;
        size_t metadata_limit;
        size_t kept;
        int error;
        unsigned depth;
        char path[PATH_MAX_BYTES];
        size_t path_len;
        bool device_dropped; /* the device that is open is beyond the limit */
        unsigned unpathed; /* levels below the last one that fits in `path` */
        Buf text;          /* of the element that is open, since its start */
        char memory_unit[8];
        char metadata_ns[512];
} Parser;

typedef enum Scope { SCOPE_DOC, SCOPE_DISK, SCOPE_INTERFACE } Scope;

typedef struct TextRule {
        const char *path;
        Scope scope;
        size_t field; /* offset of a const char * */
} TextRule;

typedef struct AttributeRule {
        const char *path, *attribute;
        Scope scope;
        size_t field;
} AttributeRule;

#define DOC(f) SCOPE_DOC, offsetof(DomainDoc, f)
#define DISK(f) SCOPE_DISK, offsetof(DomainDisk, f)
#define IFACE(f) SCOPE_INTERFACE, offsetof(DomainInterface, f)
#define NOVA "/domain/metadata/nova:instance"

static const TextRule TEXT_RULES[] = {
        { "/domain/name", DOC(name) },
        { "/domain/title", DOC(title) },
        { "/domain/os/type", DOC(os_type) },
        { NOVA "/nova:name", DOC(nova_name) },
        { NOVA "/nova:owner/nova:user", DOC(nova_user) },
        { NOVA "/nova:owner/nova:project", DOC(nova_project) },
        { "/domain/devices/disk/serial", DISK(serial) },
};

static const AttributeRule ATTRIBUTE_RULES[] = {
        { "/domain/os/type", "arch", DOC(os_arch) },
        { "/domain/os/type", "machine", DOC(os_machine) },
        { NOVA "/nova:flavor", "name", DOC(nova_flavor) },
        { NOVA "/nova:owner/nova:user", "uuid", DOC(nova_user_uuid) },
        { NOVA "/nova:owner/nova:project", "uuid", DOC(nova_project_uuid) },
        { NOVA "/nova:root", "type", DOC(nova_root_type) },
        { NOVA "/nova:root", "uuid", DOC(nova_root_uuid) },
        { "/domain/devices/disk", "type", DISK(type) },
        { "/domain/devices/disk", "device", DISK(device) },
        { "/domain/devices/disk/driver", "name", DISK(driver_name) },
        { "/domain/devices/disk/driver", "type", DISK(driver_type) },
        { "/domain/devices/disk/driver", "cache", DISK(cache) },
        { "/domain/devices/disk/driver", "discard", DISK(discard) },
        { "/domain/devices/disk/source", "file", DISK(source_file) },
        { "/domain/devices/disk/source", "dev", DISK(source_dev) },
        { "/domain/devices/disk/source", "protocol", DISK(source_protocol) },
        { "/domain/devices/disk/source", "name", DISK(source_name) },
        { "/domain/devices/disk/target", "dev", DISK(target) },
        { "/domain/devices/disk/target", "bus", DISK(bus) },
        { "/domain/devices/interface", "type", IFACE(type) },
        { "/domain/devices/interface/source", "bridge", IFACE(bridge) },
        { "/domain/devices/interface/target", "dev", IFACE(target) },
        { "/domain/devices/interface/mac", "address", IFACE(mac) },
        { "/domain/devices/interface/model", "type", IFACE(model) },
        { "/domain/devices/interface/mtu", "size", IFACE(mtu) },
        { "/domain/devices/interface/virtualport/parameters", "interfaceid", IFACE(interface_id) },
};

static const char *const IOTUNE_ELEMENTS[IOTUNE_COUNT] = {
#define IOTUNE(id, element) [IOTUNE_##id] = element,
#include "wire/iotune.def"
#undef IOTUNE
};

static void stop(Parser *p, int error) {
        if (!p->error)
                p->error = error;
        xmlStopParser(p->ctxt);
}

/* A terminated copy in the document's own memory; "" when nothing more may be kept. NULs cannot occur. */
static const char *keep(Parser *p, const char *text, size_t n, size_t limit) {
        if (n > limit) {
                n = limit;
                while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
                        n--;
                p->doc->truncated = true;
        }
        if (n == 0)
                return "";
        if (p->kept + n + 1 > DOMAIN_XML_KEPT_MAX) {
                p->doc->truncated = true;
                return "";
        }
        DomainText *t = p->doc->texts;
        if (!t || t->cap - t->used < n + 1) {
                size_t cap = n + 1 > 1000 ? n + 1 : 1000;
                t = malloc(sizeof *t + cap);
                if (!t) {
                        stop(p, -ENOMEM);
                        return "";
                }
                *t = (DomainText){ .next = p->doc->texts, .cap = cap };
                p->doc->texts = t;
        }
        char *copy = t->bytes + t->used;
        memcpy(copy, text, n);
        copy[n] = '\0';
        t->used += n + 1;
        p->kept += n + 1;
        return copy;
}

/* Every string field of a new object starts as "". */
static void init_disk(DomainDisk *d) {
        *d = (DomainDisk){ "", "", "", "", "", "", "", "", "", "", "", "", "", { 0 } };
}

static void init_interface(DomainInterface *i) {
        *i = (DomainInterface){ "", "", "", "", "", "", "" };
}

/* Room for one more of `size` bytes in an array that grows by doubling up to `max`. */
static void *grow(Parser *p, void *array, size_t n, size_t size, size_t max) {
        if (n >= max) {
                p->doc->truncated = true;
                return NULL;
        }
        if (n != 0 && (n & (n - 1)) != 0)
                return array;
        void *more = reallocarray(array, n ? n * 2 : 1, size);
        if (!more)
                stop(p, -ENOMEM);
        return more;
}

static void add_disk(Parser *p) {
        DomainDisk *more = grow(p, p->doc->disks, p->doc->n_disks, sizeof *more, DOMAIN_XML_DEVICES_MAX);
        p->device_dropped = !more;
        if (!more)
                return;
        p->doc->disks = more;
        init_disk(&more[p->doc->n_disks++]);
}

static void add_interface(Parser *p) {
        DomainInterface *more = grow(p, p->doc->interfaces, p->doc->n_interfaces, sizeof *more, DOMAIN_XML_DEVICES_MAX);
        p->device_dropped = !more;
        if (!more)
                return;
        p->doc->interfaces = more;
        init_interface(&more[p->doc->n_interfaces++]);
}

static void add_metadata(Parser *p, const char *element) {
        DomainMetadata *more = grow(p, p->doc->metadata, p->doc->n_metadata, sizeof *more, DOMAIN_XML_METADATA_MAX);
        if (!more)
                return;
        p->doc->metadata = more;
        more[p->doc->n_metadata++] = (DomainMetadata){
                .ns = keep(p, p->metadata_ns, strlen(p->metadata_ns), sizeof p->metadata_ns),
                .element = keep(p, element, strlen(element), 256),
                .text = keep(p, p->text.data ? p->text.data : "", p->text.len, p->metadata_limit),
        };
}

/* The object that a rule's field lies in: the device added last; NULL when that one was not kept. */
static const char **field_of(Parser *p, Scope scope, size_t field) {
        char *base = (char *)p->doc;
        if (scope != SCOPE_DOC && p->device_dropped)
                return NULL;
        if (scope == SCOPE_DISK)
                base = p->doc->n_disks ? (char *)&p->doc->disks[p->doc->n_disks - 1] : NULL;
        else if (scope == SCOPE_INTERFACE)
                base = p->doc->n_interfaces ? (char *)&p->doc->interfaces[p->doc->n_interfaces - 1] : NULL;
        return base ? (const char **)(void *)(base + field) : NULL;
}

/* First one wins: a second <name> cannot overwrite what was read. */
static void set_field(Parser *p, Scope scope, size_t field, const char *text, size_t n) {
        const char **slot = field_of(p, scope, field);
        if (slot && (*slot)[0] == '\0')
                *slot = keep(p, text, n, DOMAIN_XML_TEXT_MAX);
}

static Span trimmed(const Parser *p) {
        Span s = { p->text.data ? p->text.data : "", p->text.len };
        while (s.len && strchr(" \t\r\n", s.text[0]))
                s = (Span){ s.text + 1, s.len - 1 };
        while (s.len && strchr(" \t\r\n", s.text[s.len - 1]))
                s.len--;
        return s;
}

static uint64_t memory_scale(const char *unit) {
        static const struct { const char *unit; uint64_t bytes; } SCALES[] = {
                { "b", 1 }, { "bytes", 1 }, { "KB", 1000 }, { "k", 1024 }, { "KiB", 1024 }, { "MB", 1000000 },
                { "M", 1048576 }, { "MiB", 1048576 }, { "GB", 1000000000 }, { "G", 1073741824 }, { "GiB", 1073741824 },
                { "TB", 1000000000000 }, { "T", 1099511627776 }, { "TiB", 1099511627776 },
        };
        for (size_t i = 0; i < ARRAY_LEN(SCALES); i++)
                if (strcmp(unit, SCALES[i].unit) == 0)
                        return SCALES[i].bytes;
        return unit[0] == '\0' ? 1024 : 0;
}

static void set_memory(Parser *p, uint64_t *field) {
        uint64_t v, bytes;
        if (*field == 0 && span_u64(trimmed(p), &v) && !__builtin_mul_overflow(v, memory_scale(p->memory_unit), &bytes))
                *field = bytes;
}

static void set_vcpus(uint32_t *field, Span text) {
        uint64_t v;
        if (*field == 0 && span_u64(text, &v) && v <= 65536)
                *field = (uint32_t)v;
}

static void set_uuid(Parser *p) {
        Span s = trimmed(p);
        if (!p->doc->has_uuid && uuid_parse(s.text, s.len, &p->doc->uuid) == 0)
                p->doc->has_uuid = true;
}

static void set_iotune(Parser *p, const char *element) {
        if (p->doc->n_disks == 0 || p->device_dropped)
                return;
        DomainDisk *d = &p->doc->disks[p->doc->n_disks - 1];
        uint64_t v;
        for (size_t i = 0; i < IOTUNE_COUNT; i++)
                if (strcmp(element, IOTUNE_ELEMENTS[i]) == 0 && d->iotune[i] == 0 && span_u64(trimmed(p), &v))
                        d->iotune[i] = v;
}

/* What an element's text says, at its end. */
static void take_text(Parser *p, const char *element) {
        const char *path = p->path;
        if (strncmp(path, "/domain/", 8) != 0)
                return;
        for (size_t i = 0; i < ARRAY_LEN(TEXT_RULES); i++)
                if (strcmp(path, TEXT_RULES[i].path) == 0)
                        set_field(p, TEXT_RULES[i].scope, TEXT_RULES[i].field, p->text.data ? p->text.data : "",
                                  p->text.len);
        if (strcmp(path, "/domain/uuid") == 0)
                set_uuid(p);
        else if (strcmp(path, "/domain/vcpu") == 0)
                set_vcpus(&p->doc->max_vcpus, trimmed(p));
        else if (strcmp(path, "/domain/memory") == 0)
                set_memory(p, &p->doc->memory_bytes);
        else if (strcmp(path, "/domain/currentMemory") == 0)
                set_memory(p, &p->doc->current_bytes);
        else if (strncmp(path, "/domain/devices/disk/iotune/", 28) == 0)
                set_iotune(p, element);
}

static void take_attribute(Parser *p, const char *name, Span value) {
        for (size_t i = 0; i < ARRAY_LEN(ATTRIBUTE_RULES); i++) {
                const AttributeRule *r = &ATTRIBUTE_RULES[i];
                if (strcmp(name, r->attribute) == 0 && strcmp(p->path, r->path) == 0)
                        set_field(p, r->scope, r->field, value.text, value.len);
        }
        if (strcmp(name, "current") == 0 && strcmp(p->path, "/domain/vcpu") == 0)
                set_vcpus(&p->doc->current_vcpus, value);
        if (strcmp(name, "unit") == 0 && value.len < sizeof p->memory_unit) {
                memcpy(p->memory_unit, value.text, value.len);
                p->memory_unit[value.len] = '\0';
        }
}

static bool is_nova(const char *uri) {
        return uri && (strcmp(uri, "http://openstack.org/xmlns/libvirt/nova/1.0") == 0 ||
                       strcmp(uri, "http://openstack.org/xmlns/libvirt/nova/1.1") == 0);
}

static void path_push(Parser *p, const char *name, const char *uri) {
        const char *prefix = is_nova(uri) ? "nova:" : uri ? "?:" : "";
        size_t n = 1 + strlen(prefix) + strlen(name);
        if (p->unpathed || p->path_len + n >= sizeof p->path) {
                p->unpathed++;
                return;
        }
        (void)snprintf(p->path + p->path_len, sizeof p->path - p->path_len, "/%s%s", prefix, name);
        p->path_len += n;
}

static void path_pop(Parser *p) {
        if (p->unpathed) {
                p->unpathed--;
                return;
        }
        while (p->path_len > 0 && p->path[p->path_len - 1] != '/')
                p->path_len--;
        if (p->path_len > 0)
                p->path_len--;
        p->path[p->path_len] = '\0';
}

static void on_start(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int n_namespaces,
                     const xmlChar **namespaces, int n_attributes, int n_defaulted, const xmlChar **attributes) {
        (void)prefix, (void)n_namespaces, (void)namespaces, (void)n_defaulted;
        Parser *p = context;
        if (++p->depth > DOMAIN_XML_DEPTH || (p->depth == 1 && strcmp((const char *)name, "domain") != 0)) {
                stop(p, -EBADMSG);
                return;
        }
        path_push(p, (const char *)name, (const char *)uri);
        buf_reset(&p->text);
        p->memory_unit[0] = '\0';
        (void)snprintf(p->metadata_ns, sizeof p->metadata_ns, "%s", uri ? (const char *)uri : "");
        if (p->unpathed)
                return;
        if (strcmp(p->path, "/domain/devices/disk") == 0)
                add_disk(p);
        else if (strcmp(p->path, "/domain/devices/interface") == 0)
                add_interface(p);
        else if (strcmp(p->path, NOVA) == 0)
                p->doc->has_nova = true;
        /* libxml2 gives five pointers an attribute: name, prefix, URI, value, end of value. */
        for (int i = 0; i < n_attributes; i++, attributes += 5)
                if (!attributes[2])
                        take_attribute(p, (const char *)attributes[0],
                                       (Span){ (const char *)attributes[3], (size_t)(attributes[4] - attributes[3]) });
}

static void on_end(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri) {
        (void)prefix;
        Parser *p = context;
        if (!p->unpathed)
                take_text(p, (const char *)name);
        /* A policy may ask for any element below <metadata> that has text of its own. */
        if (strncmp(p->path, "/domain/metadata/", 17) == 0 && trimmed(p).len > 0) {
                (void)snprintf(p->metadata_ns, sizeof p->metadata_ns, "%s", uri ? (const char *)uri : "");
                add_metadata(p, (const char *)name);
        }
        path_pop(p);
        p->depth--;
        buf_reset(&p->text);
}

/* More than DOMAIN_XML_TEXT_MAX bytes are of no use to anybody: one more says that it was cut. */
static void on_text(void *context, const xmlChar *bytes, int n) {
        Parser *p = context;
        size_t room = DOMAIN_XML_TEXT_MAX + 4 - p->text.len;
        buf_put(&p->text, bytes, (size_t)n < room ? (size_t)n : room);
        if (buf_error(&p->text))
                stop(p, -ENOMEM);
}

static void on_dtd(void *context, const xmlChar *name, const xmlChar *external, const xmlChar *system) {
        (void)name, (void)external, (void)system;
        stop(context, -EBADMSG);
}

static xmlEntityPtr on_entity(void *context, const xmlChar *name) {
        xmlEntityPtr known = xmlGetPredefinedEntity(name);
        if (!known)
                stop(context, -EBADMSG);
        return known;
}

static void on_error(void *context, xmlErrorPtr error) {
        (void)context, (void)error; /* well-formedness is asked at the end; libxml2 must not print */
}

static DomainDoc *doc_new(void) {
        DomainDoc *d = calloc(1, sizeof *d);
        if (!d)
                return NULL;
        d->name = d->title = d->os_type = d->os_arch = d->os_machine = "";
        d->nova_name = d->nova_flavor = d->nova_user = d->nova_user_uuid = "";
        d->nova_project = d->nova_project_uuid = d->nova_root_type = d->nova_root_uuid = "";
        return d;
}

static int run(Parser *p, const char *bytes, size_t n) {
        xmlSAXHandler sax = {
                .initialized = XML_SAX2_MAGIC,
                .startElementNs = on_start,
                .endElementNs = on_end,
                .characters = on_text,
                .cdataBlock = on_text,
                .internalSubset = on_dtd,
                .getEntity = on_entity,
                .serror = on_error,
        };
        p->ctxt = xmlCreatePushParserCtxt(&sax, p, NULL, 0, NULL);
        if (!p->ctxt)
                return -ENOMEM;
        int error = -EBADMSG;
        if (xmlCtxtUseOptions(p->ctxt, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING) == 0) {
                int result = xmlParseChunk(p->ctxt, bytes, (int)n, 1);
                error = p->error ? p->error : result != 0 || !p->ctxt->wellFormed ? -EBADMSG : 0;
        }
        if (p->ctxt->myDoc)
                xmlFreeDoc(p->ctxt->myDoc);
        xmlFreeParserCtxt(p->ctxt);
        return error;
}

int domain_doc_parse(const char *bytes, size_t n, size_t metadata_limit, DomainDoc **ret_doc) {
        if (n > DOMAIN_XML_MAX)
                return -EFBIG;
        if (n == 0)
                return -EBADMSG;
        CLEANUP(domain_doc_freep) DomainDoc *doc = doc_new();
        if (!doc)
                return -ENOMEM;
        CLEANUP(buf_deinit) Buf text = BUF_WITH_LIMIT(DOMAIN_XML_TEXT_MAX + 8);
        Parser p = {
                .doc = doc,
                .metadata_limit = metadata_limit < DOMAIN_XML_TEXT_MAX ? metadata_limit : DOMAIN_XML_TEXT_MAX,
                .text = text,
        };
        int error = run(&p, bytes, n);
        text = p.text;
        if (error < 0)
                return error;
        *ret_doc = TAKE_PTR(doc);
        return 0;
}

DomainDoc *domain_doc_free(DomainDoc *d) {
        if (!d)
                return NULL;
        while (d->texts) {
                DomainText *next = d->texts->next;
                free(d->texts);
                d->texts = next;
        }
        free(d->disks);
        free(d->interfaces);
        free(d->metadata);
        free(d);
        return NULL;
}

const char *domain_doc_metadata(const DomainDoc *d, const char *key) {
        const char *hash = strrchr(key, '#');
        const char *element = hash ? hash + 1 : key;
        for (size_t i = 0; i < d->n_metadata; i++) {
                const DomainMetadata *m = &d->metadata[i];
                if (strcmp(m->element, element) != 0)
                        continue;
                if (!hash || (strlen(m->ns) == (size_t)(hash - key) && strncmp(m->ns, key, (size_t)(hash - key)) == 0))
                        return m->text;
        }
        return NULL;
}

const DomainDisk *domain_doc_disk(const DomainDoc *d, const char *target, size_t n) {
        for (size_t i = 0; d && i < d->n_disks; i++)
                if (strlen(d->disks[i].target) == n && memcmp(d->disks[i].target, target, n) == 0)
                        return &d->disks[i];
        return NULL;
}

const DomainInterface *domain_doc_interface(const DomainDoc *d, const char *target, size_t n) {
        for (size_t i = 0; d && i < d->n_interfaces; i++)
                if (strlen(d->interfaces[i].target) == n && memcmp(d->interfaces[i].target, target, n) == 0)
                        return &d->interfaces[i];
        return NULL;
}

const char *domain_disk_source(const DomainDisk *d) {
        return d->source_file[0] ? d->source_file : d->source_dev[0] ? d->source_dev : d->source_name;
}

bool domain_disk_is_disk(const DomainDisk *d) {
        return strcmp(d->device, "cdrom") != 0 && strcmp(d->device, "floppy") != 0;
}

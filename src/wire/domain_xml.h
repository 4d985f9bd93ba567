/* A libvirt domain's XML, read into the few facts that labels, policies and people need.
 *
 * Pure: bytes in, document out. The bytes are hostile (a tenant writes into <metadata>), so: no DTD, no
 * entities beyond XML's own five, no network, no files, at most DOMAIN_XML_MAX bytes and
 * DOMAIN_XML_DEPTH levels, each text and each list capped. What is cut is cut silently except for
 * `truncated`; what is not well-formed is refused whole. */
#pragma once

#include "base/cleanup.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOMAIN_XML_MAX ((size_t)4 << 20)
#define DOMAIN_XML_DEPTH 128u
#define DOMAIN_XML_TEXT_MAX 4096u      /* one name, path or attribute */
#define DOMAIN_XML_KEPT_MAX (256u << 10) /* all texts of a document */
#define DOMAIN_XML_DEVICES_MAX 256u    /* disks; interfaces */
#define DOMAIN_XML_METADATA_MAX 128u   /* elements that policies can ask for */

/* The limits of <iotune>, in the order of libvirt's XML names. */
typedef enum IoTune {
#define IOTUNE(id, element) IOTUNE_##id,
#include "wire/iotune.def"
#undef IOTUNE
        IOTUNE_COUNT
} IoTune;

/* Strings are never NULL: "" where the document says nothing. */
typedef struct DomainDisk {
        const char *type;        /* file, block, network, volume, ... */
        const char *device;      /* disk, cdrom, floppy, lun; "" means disk */
        const char *target, *bus, *serial;
        const char *source_file, *source_dev, *source_protocol, *source_name;
        const char *driver_name, *driver_type, *cache, *discard;
        uint64_t iotune[IOTUNE_COUNT]; /* 0 = no limit, as libvirt has it */
} DomainDisk;

typedef struct DomainInterface {
        const char *type; /* bridge, network, ethernet, ... */
        const char *target, *bridge, *mac, *model, *mtu, *interface_id;
} DomainInterface;

typedef struct DomainMetadata {
        const char *ns, *element, *text;
} DomainMetadata;

typedef struct DomainDoc {
        bool has_uuid, truncated;
        Uuid uuid;
        const char *name, *title;
        const char *os_type, *os_arch, *os_machine;
        uint32_t max_vcpus, current_vcpus;      /* 0 = not said */
        uint64_t memory_bytes, current_bytes;   /* 0 = not said */
        bool has_nova;
        const char *nova_name, *nova_flavor;
        const char *nova_user, *nova_user_uuid, *nova_project, *nova_project_uuid;
        const char *nova_root_type, *nova_root_uuid;
        DomainDisk *disks;
        size_t n_disks;
        DomainInterface *interfaces;
        size_t n_interfaces;
        DomainMetadata *metadata;
        size_t n_metadata;
        struct DomainText *texts; /* where the strings live */
} DomainDoc;

/* Texts of metadata elements are kept up to `metadata_limit` bytes each (at most DOMAIN_XML_TEXT_MAX).
 * 0; -EFBIG (too long), -EBADMSG (not well-formed, has a DTD, too deep, not a domain), -ENOMEM. */
int domain_doc_parse(const char *bytes, size_t n, size_t metadata_limit, DomainDoc **ret_doc) MUST_USE;
DomainDoc *domain_doc_free(DomainDoc *d);

static inline void domain_doc_freep(DomainDoc **d) {
        *d = domain_doc_free(*d);
}

/* The text of the first element in <metadata> called `key`, "namespace-uri#element" or "element" in any
 * namespace; NULL when there is none. */
const char *domain_doc_metadata(const DomainDoc *d, const char *key);
/* The device with this target name (not terminated); NULL when there is none. */
const DomainDisk *domain_doc_disk(const DomainDoc *d, const char *target, size_t n);
const DomainInterface *domain_doc_interface(const DomainDoc *d, const char *target, size_t n);
/* File, device or network name behind a disk, "" when it has no medium. */
const char *domain_disk_source(const DomainDisk *d);
/* Whether it is a disk proper, not a CD or floppy drive. */
bool domain_disk_is_disk(const DomainDisk *d);

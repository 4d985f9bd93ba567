/* Any bytes: a document or an error, never more. */
#include "wire/domain_xml.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        CLEANUP(domain_doc_freep) DomainDoc *d = NULL;
        if (domain_doc_parse((const char *)data, size, 256, &d) < 0) {
                assert(!d);
                return 0;
        }
        assert(strlen(d->name) <= DOMAIN_XML_TEXT_MAX && d->n_disks <= DOMAIN_XML_DEVICES_MAX);
        for (size_t i = 0; i < d->n_disks; i++)
                assert(domain_doc_disk(d, d->disks[i].target, strlen(d->disks[i].target)));
        for (size_t i = 0; i < d->n_metadata; i++)
                assert(domain_doc_metadata(d, d->metadata[i].element) && strlen(d->metadata[i].text) <= 256);
        return 0;
}

#include "daemon/policy.h"

#include <fnmatch.h>
#include <string.h>

static bool matches(const char *pattern, const char *text) {
        return fnmatch(pattern, text, 0) == 0;
}

/* The text is the tenant's, who may put anything there; it decides only how often it is looked at. */
static bool metadata_matches(const PolicySettings *p, const DomainDoc *doc) {
        if (!*p->metadata_key)
                return true;
        const char *text = doc ? domain_doc_metadata(doc, p->metadata_key) : NULL;
        return text && (!*p->metadata_value || matches(p->metadata_value, text));
}

Tier policy_tier(const Settings *s, const char *name, const DomainDoc *doc) {
        for (size_t i = 0; i < s->n_policies; i++) {
                const PolicySettings *p = &s->policies[i];
                if ((!*p->name || matches(p->name, name)) && metadata_matches(p, doc))
                        return p->tier;
        }
        return s->default_tier;
}

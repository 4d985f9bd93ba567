/* Which tier a domain gets: the first policy of the settings whose conditions all hold. */
#pragma once

#include "rt/settings.h"
#include "wire/domain_xml.h"

/* `doc` is NULL while the domain's definition is not known: then no metadata condition holds. */
Tier policy_tier(const Settings *s, const char *name, const DomainDoc *doc);

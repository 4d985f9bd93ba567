/* Families of domains that several libvirt profiles share. Private to src/export. */
#pragma once

#include "export/attachment.h"
#include "export/render.h"

void host_up(Render *r, const Family *f);
void memory_used_percent(Render *r, const Family *f);
/* The state with its description under the label `key`. */
void domain_state(Render *r, const char *key);
/* Labels of an entity's family under way: a sample of 1 with pairs (key, value), up to a NULL key. */
typedef struct LabelPair {
        const char *key, *value;
} LabelPair;
void domain_info_sample(Render *r, size_t i, const LabelPair *pairs);
/* Whether the row of a disk or an interface is one that exporters which read the XML would leave out. */
bool row_is_removable(const LatestEntity *e, GroupId g, const Span *labels);

/* The profiles. */
void profile_tinkoff(Render *r);
void profile_inovex(Render *r);
void profile_zhangjianweibj(Render *r);
void profile_container(Render *r);
void profile_self(Render *r);
void profile_process(Render *r);

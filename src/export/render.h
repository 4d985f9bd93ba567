/* The engine under the profiles: one kind of entity at a time, families in the order of a table. Private
 * to src/export.
 *
 * A family is a row: a metric of the table METRICS under some name, or a function. Rows' labels are made
 * once for each run of families of one group, since tables keep a group's families together. */
#pragma once

#include "export/export.h"
#include "export/labels.h"
#include "wire/expo.h"

typedef struct Render Render;

/* Adds an entity's own labels to r->base.text; `start` is where they begin; `name` is escaped and unique. */
typedef void (*BaseLabelsFn)(Render *r, const LatestEntity *e, size_t start, Span name);
/* Adds a row's labels to r->rows.text; false: the row has no series. */
typedef bool (*RowLabelsFn)(Render *r, const LatestEntity *e, GroupId g, const Span *labels, size_t start);

struct Render {
        const ExportContext *context;
        Expo expo;
        LatestEntity *const *entities; /* of the kind under way */
        size_t n;
        LabelBlock names, base, rows;
        GroupId rows_group; /* GROUP_COUNT: none */
        Buf row_first;      /* of uint32_t: first row in `rows` of each entity */
        RowLabelsFn row_labels;
};

typedef struct Family Family;
typedef void (*FamilyFn)(Render *r, const Family *f);

struct Family {
        const char *name;
        MetricType type;
        MetricId metric; /* when there is no function */
        FamilyFn function;
        const char *help; /* "" = the metric's own */
};

void render_init(Render *r, const ExportContext *c, bool openmetrics, Buf *out);
void render_deinit(Render *r);
/* Sets the entities, and the two functions that name them; row_labels NULL = the group's own keys. */
void render_entities(Render *r, EntityKind kind, EntityNameFn name, BaseLabelsFn base, RowLabelsFn row_labels);
/* One family of a metric: all entities, all rows. */
void render_metric(Render *r, const char *name, MetricType type, const char *help, MetricId m);
void render_families(Render *r, const Family *families, size_t n);
/* Every metric of `kind` whose name starts with `prefix`, by name; metrics of one name are one family. */
void render_prefix(Render *r, EntityKind kind, const char *prefix);
/* One sample of the family under way: the labels of entity i, then `more` (may be empty). Absent: nothing. */
void render_sample(Render *r, size_t i, Span more, double value);
/* A sample without labels. */
void render_plain(Render *r, const char *name, MetricType type, const char *help, double value);
int render_error(const Render *r);

/* Row labels as the group's keys have them. */
bool render_group_keys(Render *r, const LatestEntity *e, GroupId g, const Span *labels, size_t start);
/* Domains: the name. */
Span render_domain_name(const LatestEntity *e);

/* What `parallax doctor` found: one finding a check, in the order of the checks. */
#pragma once

#include "cli/cli.h"
#include "cli/text.h"

typedef enum Verdict { VERDICT_OK, VERDICT_DEGRADED, VERDICT_MISSING } Verdict;

typedef struct Finding {
        Verdict verdict;
        TextId check;
        char *found;
        char *cost, *mend; /* NULL when there is nothing to say */
} Finding;

typedef struct Report {
        Finding *findings;
        size_t n, cap;
} Report;

void report_deinit(Report *r);
/* `cost` is TEXT_COUNT and `mend` NULL when all is well. `found` is a format for what follows. */
void report_add(Report *r, Verdict v, TextId check, TextId cost, const char *mend, const char *found, ...)
        PRINTF_LIKE(6, 7);
/* The worst verdict. */
Verdict report_render(const Report *r, Buf *out);

/* doctor_host.c: what can be seen below `root` ("/"). */
void doctor_host(const char *root, Report *r);
/* doctor_store.c: what it says of its history, the JSON of /api/v1/parallax/store. */
void doctor_store(json_t *store, Report *r);
/* doctor_daemon.c: what parallaxd says. */
void doctor_daemon(const Cli *cli, Report *r);

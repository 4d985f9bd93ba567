/* Answers to requests of which nothing was taken. Private to src/ingest and src/api. */
#pragma once

#include "net/http_server.h"

#define INGEST_LIMIT_RETRY 60 /* seconds after which a limit of series may have room again */
#define INGEST_RETRY 5        /* ... disk, log or memory */

/* A status with a line of text (NULL: the caller writes it), Retry-After unless `retry` is 0. Returns false. */
bool ingest_refuse(HttpResponse *response, int status, unsigned retry, const char *text);
/* What a SeriesSink's begin() or end() says, as 503. */
void ingest_refuse_errno(HttpResponse *response, int error);

/* parallaxd's command line. */
#pragma once

#include "base/buf.h"
#include "base/time.h"

#define OPTIONS_MAX_LISTEN 16

typedef enum DaemonVerb { DAEMON_RUN, DAEMON_CHECK_CONFIG, DAEMON_VERSION, DAEMON_HELP, DAEMON_USAGE_ERROR } DaemonVerb;

typedef struct DaemonOptions {
        DaemonVerb verb;
        const char *config; /* path, always set */
        bool config_given;  /* then it must exist */
        const char *listen[OPTIONS_MAX_LISTEN]; /* "ADDRESS" or "ADDRESS=METRICS"; override the file's */
        size_t n_listen;
        const char *runtime_dir, *log_level; /* NULL: the file's */
        bool no_seccomp;
        bool no_collect; /* the store and its API alone: no sensor, no sockets of the runtime directory unless it is given */
        const char *data_dir, *ack;   /* NULL: the file's */
        Duration out_of_order, retention_raw; /* negative: the file's */
} DaemonOptions;

/* Borrows from argv. A usage error is printed to standard error. */
DaemonOptions daemon_options(int argc, char **argv);
void daemon_help(FILE *out);

/* Which host this is. */
#pragma once

#include "model/entity.h"

#define HOST_NAME_LEN 256

/* The key: the machine-id below `root`, else XXH3-128 of "host/" and the name. */
EntityKey host_key(const char *root, const char *name);
/* `configured` unless empty, else the kernel's name (below a root other than "/": that of ROOT/etc/hostname,
 * when there is one). */
void host_name(const char *root, const char *configured, char out[HOST_NAME_LEN]);

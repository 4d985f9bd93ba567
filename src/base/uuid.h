/* A 128-bit identifier: a domain's UUID, or a hash that stands for a container or a host. */
#pragma once

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define UUID_TEXT_LEN 36

typedef struct Uuid {
        uint8_t bytes[16];
} Uuid;

#define UUID_NULL ((Uuid){ { 0 } })

static inline bool uuid_equal(const Uuid *a, const Uuid *b) {
        return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", lower case, terminated. */
void uuid_format(const Uuid *u, char out[UUID_TEXT_LEN + 1]);
/* The whole of text[0..n), with the four hyphens or with none; 0 or -EINVAL. */
int uuid_parse(const char *text, size_t n, Uuid *ret_u) MUST_USE;

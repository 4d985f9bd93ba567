/* The transport of one target over HTTP: a POST for each shard and one for metadata. Private to src/forward. */
#pragma once

#include "forward/config.h"

#define POST_METADATA UINT32_MAX /* in the place of a shard */

typedef struct Poster Poster;

/* `answer` is called from the loop; `why` is the answer's first line. Borrows config, fetcher and version. */
int poster_new(HttpFetcher *fetcher, const ForwardTargetConfig *config, const char *version,
               void (*answer)(void *context, uint32_t shard, const SenderAnswer *answer), void *context,
               Poster **ret_poster) MUST_USE;
/* Cancels what is under way. */
Poster *poster_free(Poster *p);
/* As Transport's, with the poster as context. */
int poster_post(void *poster, const SenderPost *post) MUST_USE;
void poster_cancel(void *poster, uint32_t shard);

/* Seconds that a Retry-After asks for: a number, or a date; 0: nothing sensible. */
int64_t post_retry_after(const char *text, WallTime now);

/* Answers that wait for the disk: each belongs to a ticket of the sink, and goes out when all up to that ticket is
 * durable.
 *
 * Owned by the thread of the HTTP server's loop. Bounded: when it is full, requests are to be refused before
 * anything of them is taken. */
#pragma once

#include "net/http_server.h"

typedef struct AckQueue AckQueue;

/* 0, or -ENOMEM. */
int ack_queue_new(size_t capacity, AckQueue **ret_queue) MUST_USE;
/* Answers 503 to all who wait. Accepts NULL. */
AckQueue *ack_queue_free(AckQueue *q);

bool ack_queue_full(const AckQueue *q);
size_t ack_queue_length(const AckQueue *q);
/* Takes over `held` and the response's body. Tickets do not descend. Not when it is full. */
void ack_queue_add(AckQueue *q, uint64_t ticket, HttpHeld *held, HttpResponse *response);
/* Requests up to `durable` are on the disk: answers them. Cheap when there is nothing to do. */
void ack_queue_advance(AckQueue *q, uint64_t durable);
/* The log is broken: all who wait get `status` (503), for what was written may not be there. */
void ack_queue_fail(AckQueue *q, int status);

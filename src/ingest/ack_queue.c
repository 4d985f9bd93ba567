/* A ring. */
#include "ingest/ack_queue.h"

#include <assert.h>
#include <string.h>

#define RETRY_SECONDS 5

typedef struct Ack {
        uint64_t ticket;
        HttpHeld *held;
        HttpResponse response;
} Ack;

struct AckQueue {
        size_t first, n, capacity;
        uint64_t last_ticket;
        Ack acks[];
};

int ack_queue_new(size_t capacity, AckQueue **ret_queue) {
        assert(capacity > 0 && capacity <= SIZE_MAX / 2 / sizeof(Ack));
        AckQueue *q = calloc(1, sizeof *q + capacity * sizeof *q->acks);
        if (!q)
                return -ENOMEM;
        q->capacity = capacity;
        *ret_queue = q;
        return 0;
}

AckQueue *ack_queue_free(AckQueue *q) {
        if (q)
                ack_queue_fail(q, 503);
        free(q);
        return NULL;
}

bool ack_queue_full(const AckQueue *q) {
        return q->n == q->capacity;
}

size_t ack_queue_length(const AckQueue *q) {
        return q->n;
}

void ack_queue_add(AckQueue *q, uint64_t ticket, HttpHeld *held, HttpResponse *response) {
        assert(!ack_queue_full(q) && ticket >= q->last_ticket);
        q->acks[(q->first + q->n++) % q->capacity] = (Ack){ ticket, held, *response };
        q->last_ticket = ticket;
        response->body = BUF_WITH_LIMIT(response->body.limit);
}

/* Takes the first one off before it is answered. */
static Ack take_first(AckQueue *q) {
        Ack a = q->acks[q->first];
        q->first = (q->first + 1) % q->capacity;
        q->n--;
        return a;
}

void ack_queue_advance(AckQueue *q, uint64_t durable) {
        while (q->n > 0 && q->acks[q->first].ticket <= durable) {
                Ack a = take_first(q);
                a.held = http_held_answer(a.held, &a.response);
        }
}

void ack_queue_fail(AckQueue *q, int status) {
        while (q->n > 0) {
                Ack a = take_first(q);
                HttpResponse r = { .status = status,
                                   .content_type = "text/plain; charset=utf-8",
                                   .body = BUF_WITH_LIMIT(256) };
                buf_deinit(&a.response.body);
                buf_put_str(&r.body, "what was sent could not be brought to the disk; send it again\n");
                http_add_number(&r, "Retry-After", RETRY_SECONDS);
                a.held = http_held_answer(a.held, &r);
        }
}

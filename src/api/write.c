/* What is posted to the store: taken at once, answered when it is on the disk. */
#include "api/resource.h"

#include "ingest/refusal.h"

/* False with the response filled: nothing can be taken. Asked before anything of the request is looked at. */
static bool may_write(const ApiContext *c, const HttpRequest *request, HttpResponse *response) {
        if (!c->sink) {
                api_error(response, 404, "this parallaxd keeps no store");
                return false;
        }
        if (!http_header(request, "Content-Length") && !http_header(request, "Transfer-Encoding")) {
                api_error(response, 411, "a Content-Length is needed: something is to be written");
                return false;
        }
        return !ack_queue_full(c->acks) || ingest_refuse(response, 503, 1, "too many requests wait for the disk");
}

/* Sends the response now when the ticket is durable, else by the queue. */
static void answer_when_durable(ApiContext *c, const HttpRequest *request, HttpResponse *response, uint64_t ticket) {
        if (c->sink->durable(c->sink) >= ticket)
                return;
        HttpHeld *held = http_hold(request);
        if (held)
                ack_queue_add(c->acks, ticket, held, response);
        else {
                response->n_numbers = 0;
                (void)ingest_refuse(response, 503, 1, "no memory to wait for the disk; send it again");
        }
}

void api_write(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        uint64_t ticket = 0;
        (void)rest;
        if (may_write(c, request, response) && remote_write_take(c->remote_write, c->sink, request, response, &ticket))
                answer_when_durable(c, request, response, ticket);
}

void api_import(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        uint64_t ticket = 0;
        WallTime now = c->wall ? c->wall() : wall_now();
        (void)rest;
        if (may_write(c, request, response) && text_import_take(c->import, c->sink, now, request, response, &ticket))
                answer_when_durable(c, request, response, ticket);
}

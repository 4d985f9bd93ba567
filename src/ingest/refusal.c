#include "ingest/refusal.h"

bool ingest_refuse(HttpResponse *response, int status, unsigned retry, const char *text) {
        response->status = status;
        response->content_type = "text/plain; charset=utf-8";
        buf_reset(&response->body);
        if (retry)
                http_add_number(response, "Retry-After", retry);
        if (text) {
                buf_put_str(&response->body, text);
                buf_put_char(&response->body, '\n');
        }
        return false;
}

void ingest_refuse_errno(HttpResponse *response, int error) {
        const char *text = "the store cannot take anything now";
        unsigned retry = INGEST_RETRY;
        switch (error) {
        case -ENOSPC:
                text = "the disk is full, up to what is kept free";
                retry = 30;
                break;
        case -ETIMEDOUT: text = "the disk does not answer"; break;
        case -EROFS: text = "the store's log cannot be written"; break;
        case -ENOBUFS:
                text = "too much waits for the disk";
                retry = 1;
                break;
        case -ENOMEM: text = "no memory"; break;
        default: break;
        }
        (void)ingest_refuse(response, 503, retry, text);
}

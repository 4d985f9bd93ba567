/* The functions of http_server.h without a server: a request's connection is a FakeHttp. Header only, for one file of a test
 * program that does not link the server. */
#pragma once

#include "net/http_server.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

typedef struct FakeHttp {
        const char *query; /* "name=value" */
        const char *content_type, *content_encoding, *origin, *accept_encoding;
        bool no_memory;        /* http_hold() fails */
        unsigned held, answered;
        void (*gone)(void *context); /* of http_held_watch() */
        void *gone_context;
        HttpResponse answer;   /* the last that was held; its body is the test's to free */
} FakeHttp;

struct HttpHeld {
        FakeHttp *fake;
};

const char *http_query(const HttpRequest *r, const char *name) {
        const FakeHttp *f = r->connection;
        size_t n = strlen(name);
        for (size_t i = 0; i < r->n_params; i++)
                if (strcmp(r->params[i].name, name) == 0)
                        return r->params[i].value;
        return f && f->query && strncmp(f->query, name, n) == 0 && f->query[n] == '=' ? f->query + n + 1 : NULL;
}

const char *http_header(const HttpRequest *r, const char *name) {
        const FakeHttp *f = r->connection;
        if (strcasecmp(name, "Content-Type") == 0)
                return f->content_type;
        if (strcasecmp(name, "Content-Encoding") == 0)
                return f->content_encoding;
        if (strcasecmp(name, "Accept-Encoding") == 0)
                return f->accept_encoding;
        return strcasecmp(name, "Origin") == 0 ? f->origin : NULL;
}

void http_add_number(HttpResponse *r, const char *name, uint64_t value) {
        assert(r->n_numbers < HTTP_NUMBERS_MAX);
        r->numbers[r->n_numbers++] = (HttpNumberHeader){ name, value };
}

HttpHeld *http_hold(const HttpRequest *r) {
        FakeHttp *f = (FakeHttp *)(uintptr_t)r->connection;
        HttpHeld *h = f->no_memory ? NULL : calloc(1, sizeof *h);
        if (h)
                h->fake = f;
        f->held += h != NULL;
        return h;
}

HttpHeld *http_held_answer(HttpHeld *h, HttpResponse *response) {
        buf_deinit(&h->fake->answer.body);
        h->fake->answer = *response;
        h->fake->answered++;
        response->body = BUF_NULL;
        free(h);
        return NULL;
}

void http_held_watch(HttpHeld *h, Duration patience, void (*gone)(void *context), void *context) {
        (void)patience;
        h->fake->gone = gone;
        h->fake->gone_context = context;
}

/* A header that is a number; -1 when it is not there. */
static inline int64_t fake_number(const HttpResponse *r, const char *name) {
        for (size_t i = 0; i < r->n_numbers; i++)
                if (strcmp(r->numbers[i].name, name) == 0)
                        return (int64_t)r->numbers[i].value;
        return -1;
}

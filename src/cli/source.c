/* Asking parallaxd: its Unix socket, or the address that the user names. */
#include "cli/cli.h"
#include "cli/text.h"

#include "base/escape.h"
#include "net/http_client.h"

#include <string.h>

#define ANSWER_LIMIT ((size_t)256 << 20)

static void client_freep(HttpClient **c) {
        *c = http_client_free(*c);
}

void answer_deinit(Answer *a) {
        json_decref(a->json);
        a->json = NULL;
}

/* A question: GET, or POST with nothing in it. The answer's body is kept where somebody wants it as it is. */
typedef struct Question {
        const char *path;
        bool post;
        Duration timeout;
        Buf *raw; /* NULL: JSON is enough */
        const Buf *form; /* of a POST; NULL: nothing */
} Question;

static void ask(const char *address, const Question *q, Answer *a) {
        CLEANUP(client_freep) HttpClient *client = NULL;
        CLEANUP(buf_deinit) Buf own = BUF_WITH_LIMIT(ANSWER_LIMIT);
        Buf *body = q->raw ? q->raw : &own;
        (void)snprintf(a->where, sizeof a->where, "%s", address);
        a->error = http_client_new(address, q->timeout, &client);
        if (a->error == 0 && q->form)
                a->error = http_client_post(client, q->path, "application/x-www-form-urlencoded", q->form->data, q->form->len, body, &a->status);
        else if (a->error == 0 && q->post)
                a->error = http_client_post(client, q->path, "text/plain", "", 0, body, &a->status);
        else if (a->error == 0)
                a->error = http_client_get(client, q->path, body, &a->status);
        if (a->error == 0 && (!q->raw || q->form || a->status != 200))
                a->json = json_loadb(body->data ? body->data : "", body->len, 0, NULL);
}

static bool is_default(const Cli *cli) {
        return !cli->url && strcmp(cli->runtime_dir, CLI_RUNTIME_DIR) == 0;
}

static void socket_of(const Cli *cli, char path[512]) {
        CLEANUP_FREE char *folder = realpath(cli->runtime_dir, NULL);
        (void)snprintf(path, 512, "%s/api.sock", folder ? folder : cli->runtime_dir);
}

/* Whether somebody at this address answers anything. */
static int try_address(const char *address, Duration timeout, HttpClient **ret_client, char where[160]) {
        CLEANUP(client_freep) HttpClient *client = NULL;
        CLEANUP(buf_deinit) Buf body = BUF_WITH_LIMIT(ANSWER_LIMIT);
        int status;
        (void)snprintf(where, 160, "%s", address);
        int r = http_client_new(address, timeout, &client);
        if (r == 0)
                r = http_client_get(client, "/-/healthy", &body, &status);
        if (r == 0)
                *ret_client = TAKE_PTR(client);
        return r;
}

int source_connect(const Cli *cli, Duration timeout, HttpClient **ret_client, char where[160]) {
        char socket[512], other[160];
        if (cli->url)
                return try_address(cli->url, timeout, ret_client, where);
        socket_of(cli, socket);
        int r = try_address(socket, timeout, ret_client, where);
        return r < 0 && is_default(cli) && try_address(CLI_URL, timeout, ret_client, other) == 0 ? 0 : r;
}

static void source_ask(const Cli *cli, const Question *q, Answer *ret_answer) {
        char socket[512];
        Answer tcp = { 0 };
        if (cli->url) {
                ask(cli->url, q, ret_answer);
                return;
        }
        socket_of(cli, socket);
        ask(socket, q, ret_answer);
        if (ret_answer->error == 0 || !is_default(cli))
                return;
        /* A user who may not use the socket may use the loopback listener, if there is one. */
        ask(CLI_URL, q, &tcp);
        if (tcp.error == 0 && (tcp.json || q->raw))
                *ret_answer = tcp;
        else
                answer_deinit(&tcp);
}

void source_get(const Cli *cli, const char *path, Answer *ret_answer) {
        source_ask(cli, &(Question){ .path = path, .timeout = SECONDS(15) }, ret_answer);
}

void source_get_raw(const Cli *cli, const char *path, Answer *ret_answer, Buf *ret_body) {
        source_ask(cli, &(Question){ .path = path, .timeout = SECONDS(120), .raw = ret_body }, ret_answer);
}

void source_post_form(const Cli *cli, const char *path, const Buf *form, Answer *ret_answer, Buf *ret_body) {
        source_ask(cli, &(Question){ .path = path, .timeout = SECONDS(120), .raw = ret_body, .form = form }, ret_answer);
}

void source_post(const Cli *cli, const char *path, Answer *ret_answer) {
        source_ask(cli, &(Question){ .path = path, .timeout = SECONDS(15), .post = true }, ret_answer);
}

static void put_encoded(Buf *out, const char *s) {
        static const char UNRESERVED[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
        for (; *s; s++)
                if (strchr(UNRESERVED, *s))
                        buf_put_char(out, *s);
                else
                        buf_printf(out, "%%%02X", (unsigned)(unsigned char)*s);
}

void source_get_named(const Cli *cli, const char *path, const char *name, Answer *ret_answer) {
        CLEANUP(buf_deinit) Buf full = BUF_NULL;
        buf_put_str(&full, path);
        put_encoded(&full, name);
        source_get(cli, buf_cstr(&full), ret_answer);
}

/* What a server or an argument says may hold escape sequences. */
static const char *safe(Buf *out, const char *s) {
        buf_reset(out);
        escape_terminal(out, s, strlen(s));
        return buf_cstr(out);
}

bool answer_complain(const Answer *a, const char *name) {
        CLEANUP(buf_deinit) Buf clean = BUF_NULL;
        if (a->error < 0) {
                fprintf(stderr, text(TEXT_NO_ANSWER), safe(&clean, a->where), strerror(-a->error));
                fputs(text(TEXT_NO_ANSWER_HINT), stderr);
                return true;
        }
        if (a->status == 200 && a->json)
                return false;
        if (name && a->status == 404 && a->json)
                fprintf(stderr, text(TEXT_NOT_FOUND), safe(&clean, name));
        else if (name && a->status == 409)
                fprintf(stderr, text(TEXT_AMBIGUOUS), safe(&clean, name));
        else if (a->json)
                fprintf(stderr, text(TEXT_SERVER_SAYS), a->status, safe(&clean, field_text(a->json, "error")));
        else
                fprintf(stderr, text(TEXT_BAD_ANSWER), safe(&clean, a->where));
        return true;
}

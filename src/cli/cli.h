/* The `parallax` command: what its verbs share. A verb gets its own arguments (argv[0] is the verb) and
 * returns the exit code: 0, 1 (it failed, or doctor found something missing) or 2 (wrong usage). */
#pragma once

#include "base/buf.h"
#include "base/time.h"
#include "cli/text.h"
#include "net/http_client.h"

#include <jansson.h>

#define CLI_RUNTIME_DIR "/run/parallax"
#define CLI_URL "http://127.0.0.1:9177"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

typedef struct Cli {
        const char *url;         /* NULL: the socket, then CLI_URL when there is no socket */
        const char *runtime_dir;
} Cli;

int verb_ls(const Cli *cli, int argc, char **argv);
int verb_show(const Cli *cli, int argc, char **argv);
int verb_query(const Cli *cli, int argc, char **argv);
int verb_explain(const Cli *cli, int argc, char **argv);
int verb_import(const Cli *cli, int argc, char **argv);
int verb_doctor(const Cli *cli, int argc, char **argv);
int verb_store(const Cli *cli, int argc, char **argv);
int verb_completion(const Cli *cli, int argc, char **argv);
/* After getopt's own complaint. */
static inline int cli_usage(void) {
        fputs(text(TEXT_TRY_HELP), stderr);
        return CLI_USAGE;
}

/* source.c: one question to parallaxd. */
typedef struct Answer {
        int error;    /* negative errno: nobody answered as HTTP */
        int status;   /* of HTTP */
        json_t *json; /* owned; NULL when the body is no JSON */
        char where[160]; /* who was asked, for messages */
} Answer;

void answer_deinit(Answer *a);
void source_get(const Cli *cli, const char *path, Answer *ret_answer);
/* The same, for `parallax show`: name is put behind path, percent-encoded. */
void source_get_named(const Cli *cli, const char *path, const char *name, Answer *ret_answer);
/* A client of whoever answers, of those whom source_get() would ask. 0 or a negative errno; `where` names the last that was tried. */
int source_connect(const Cli *cli, Duration timeout, HttpClient **ret_client, char where[160]);
/* The same for a body that is no JSON: as it is, in ret_body; a->json is set when it is one. */
void source_get_raw(const Cli *cli, const char *path, Answer *ret_answer, Buf *ret_body);
/* Posts nothing. */
void source_post(const Cli *cli, const char *path, Answer *ret_answer);
/* Posts a form; the body as it came is in ret_body too. */
void source_post_form(const Cli *cli, const char *path, const Buf *form, Answer *ret_answer, Buf *ret_body);
/* Says on standard error what went wrong; false when nothing did. */
bool answer_complain(const Answer *a, const char *name);

/* fields.c: reading JSON. `path` is dotted ("memory.limit_bytes"). */
json_t *field(json_t *object, const char *path);
double field_number(json_t *object, const char *path);      /* NaN when absent */
const char *field_text(json_t *object, const char *path);   /* "" when absent */

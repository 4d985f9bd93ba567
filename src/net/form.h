/* Parameters of a request: what follows "?" in a URL, or a body of application/x-www-form-urlencoded (URL standard,
 * section 5). Names may repeat ("match[]"). */
#pragma once

#include "base/cleanup.h"

#include <stddef.h>

#define FORM_PARAMS_MAX 4096u

typedef struct HttpParam {
        const char *name, *value; /* decoded, terminated; never NULL */
} HttpParam;

typedef struct Form {
        char *bytes; /* of the decoded text */
        HttpParam *params;
        size_t n, cap;
} Form;

#define FORM_NULL ((Form){ 0 })

void form_deinit(Form *f);
/* Decodes text and adds what it has; once for a form. 0; -EINVAL: an escape is none, or is a NUL; -E2BIG: over
 * FORM_PARAMS_MAX; -ENOMEM. */
int form_parse(Form *f, const char *text, size_t n) MUST_USE;
/* One more; borrows both. -E2BIG, -ENOMEM. */
int form_add(Form *f, const char *name, const char *value) MUST_USE;
/* The first value of a name, NULL when there is none. */
const char *form_find(const HttpParam *params, size_t n, const char *name);

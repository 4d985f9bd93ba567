/* Byte strings kept once, however many hold them: labels and descriptions of metrics are much the same on every target.
 * Counted; one that nobody holds is forgotten. */
#pragma once

#include "base/buf.h"
#include "base/scan.h"

typedef struct Intern Intern;
typedef uint32_t InternId;

int intern_new(Intern **ret_intern) MUST_USE;
Intern *intern_free(Intern *i);
/* One more holder of these bytes. 0 or -ENOMEM. */
int intern_ref(Intern *i, const void *bytes, size_t n, InternId *ret_id) MUST_USE;
void intern_unref(Intern *i, InternId id);
/* Valid while somebody holds it. */
Span intern_get(const Intern *i, InternId id);
/* Different strings, and bytes of memory in all. */
size_t intern_count(const Intern *i);
size_t intern_memory(const Intern *i);

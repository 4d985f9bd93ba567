#include "malloc_fault.h"

#include <stdatomic.h>
#include <stdlib.h>

/* The one place where a test keeps static state: malloc() has no other. */
static _Atomic uint64_t countdown, count;
static _Atomic bool for_ever_;
static _Thread_local int exempt;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void malloc_fault_set(uint64_t nth, bool for_ever) {
        for_ever_ = for_ever;
        count = 0;
        countdown = nth;
}

uint64_t malloc_fault_count(void) {
        return count;
}

void malloc_fault_exempt(int delta) {
        exempt += delta;
}

static bool fails(void) {
        if (exempt > 0)
                return false;
        count++;
        uint64_t left = countdown;
        while (left > 0) {
                uint64_t next = left == 1 && for_ever_ ? 1 : left - 1;
                if (atomic_compare_exchange_weak(&countdown, &left, next))
                        return left == 1;
        }
        return false;
}

void *__wrap_malloc(size_t n) {
        return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size) {
        return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n) {
        return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size) {
        return fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s) {
        return fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n) {
        return fails() ? NULL : __real_strndup(s, n);
}

/* Makes the Nth allocation of the code under test fail, once or for ever. The build links the test with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=reallocarray,--wrap=strdup,--wrap=strndup, so only calls from our own objects
 * count: what libc and other libraries allocate for themselves does not fail. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The nth allocation from now on fails (1: the next one). 0: none does. */
void malloc_fault_set(uint64_t nth, bool for_ever);
/* Allocations since then that counted. */
uint64_t malloc_fault_count(void);
/* +1 and -1 around code of this thread that is not under test. */
void malloc_fault_exempt(int delta);

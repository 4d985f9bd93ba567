/* Numbers as a person reads them in a table. NaN is "-": not known, which is not 0. */
#pragma once

#include <stddef.h>

#define HUMAN_MAX 32

typedef struct Human {
        char text[HUMAN_MAX];
} Human;

/* "0", "812", "1.5K", "12M", "3.2G": powers of 1024. */
Human human_bytes(double v);
/* The same with "/s". */
Human human_rate(double v);
/* "0.0", "3.2", "134". */
Human human_percent(double v);
Human human_count(double v);
/* "0.4s", "12s", "3m20s", "5h03m", "2d04h". */
Human human_age(double seconds);

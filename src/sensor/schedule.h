/* When to look at what: each entity has a due time for each lane. Pure; the clock is a parameter.
 *
 * Looks at one lane of one entity happen at k * interval + phase, the phase being a hash of key and lane:
 * so the looks of many entities spread over the interval, stay spread, and are the same after a restart.
 * After a stall each is due once, not once for every look that was missed. A change to a shorter interval
 * is due at once.
 *
 * Lanes of one entity whose interval is 0 are not looked at. One thread. */
#pragma once

#include "base/time.h"
#include "model/entity.h"

typedef struct Schedule Schedule;

typedef struct ScheduleItem {
        EntityKey key;
        Lane lane;
        MonoTime due; /* when it was due */
} ScheduleItem;

int schedule_new(Schedule **ret_schedule) MUST_USE;
Schedule *schedule_free(Schedule *s);

/* Adds an entity's lane, due at once, or changes its interval. 0 ns removes it. 0 or -ENOMEM. */
int schedule_set(Schedule *s, EntityKey key, Lane lane, Duration interval, MonoTime now) MUST_USE;
/* Removes all lanes of an entity. */
void schedule_remove(Schedule *s, EntityKey key);
/* Takes the item that has been due longest and puts its next look after `now`; false when none is due. */
bool schedule_take(Schedule *s, MonoTime now, ScheduleItem *ret_item) MUST_USE;
/* Not before `when`, and then due at once: for what failed or was refused. */
void schedule_defer(Schedule *s, EntityKey key, Lane lane, MonoTime when);
/* When the next is due; false when there is nothing. */
bool schedule_next(const Schedule *s, MonoTime *ret_due);
size_t schedule_count(const Schedule *s);

/* The watch over one domain: whether its QEMU answers, since when not, and what may be asked of it. Pure.
 *
 * Three things tell that a QEMU is stuck: its process is stopped; a call that asks its monitor did not
 * return; libvirt says that its monitor has been entered for a while. A call that did not return still
 * occupies a thread of libvirtd after our worker was killed, so such a domain is only probed with
 * virDomainGetControlInfo, which asks neither job nor monitor, until that says that all is well. */
#pragma once

#include "base/time.h"
#include "wire/frame.h"

/* Values of the metric DOM_WATCH.CONTROL; 0 to 3 are virDomainControlState. */
enum {
        WATCH_OK = 0,
        WATCH_JOB = 1,
        WATCH_OCCUPIED = 2,
        WATCH_ERROR = 3,
        WATCH_STOPPED = 4,
        WATCH_SLEEPING = 5,
        WATCH_LOST = 6,
};

typedef enum WatchPermit { WATCH_ASK_NOTHING, WATCH_ASK_CONTROL, WATCH_ASK_ALL } WatchPermit;

#define WATCH_BACKOFF_MIN SECONDS(10)
#define WATCH_BACKOFF_MAX SECONDS(300)
/* A monitor is entered many times a day for some milliseconds. */
#define WATCH_BUSY_GRACE MILLISECONDS(1000)

/* Zero-initialised: nothing is known to be wrong. An instant of 0 is "not". */
typedef struct Watch {
        char process;           /* state letter of the QEMU process, 0 = unknown */
        int control;            /* of the last answer */
        MonoTime stopped_since;
        MonoTime lost_since;    /* a call that did not return was made then */
        MonoTime busy_since;
        MonoTime retry_at;
        Duration backoff;
} Watch;

/* The process was looked at. True when it was stopped, or asleep while its monitor did not answer, and is not
 * any more: ask again now. */
bool watch_process(Watch *w, char state, MonoTime now);
/* A call made at `asked` did not return in time. */
void watch_lost(Watch *w, MonoTime asked, MonoTime now);
/* An ask came back. True when the domain was stuck and is not any more: ask again now. */
bool watch_answer(Watch *w, const DoneBody *done, MonoTime now);
/* Another QEMU process: nothing of the old one holds. */
void watch_reset(Watch *w);

WatchPermit watch_permit(const Watch *w, MonoTime now);
/* Whether a call of ours may still occupy a thread of libvirtd. */
static inline bool watch_outstanding(const Watch *w) {
        return w->lost_since.ns != 0;
}
/* How long the domain has been stuck, 0 = it is not. */
Duration watch_stuck(const Watch *w, MonoTime now);
/* The worst of what is known, as DOM_WATCH.CONTROL. */
int watch_control(const Watch *w);

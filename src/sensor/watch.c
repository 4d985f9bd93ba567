#include "sensor/watch.h"

static bool stopped(char state) {
        return state == 'T' || state == 't';
}

static bool monitor_stuck(const Watch *w, MonoTime now) {
        return w->busy_since.ns && mono_since(now, w->busy_since).ns >= WATCH_BUSY_GRACE.ns;
}

static void forgive(Watch *w) {
        w->retry_at = (MonoTime){ 0 };
        w->backoff = (Duration){ 0 };
}

bool watch_process(Watch *w, char state, MonoTime now) {
        bool was = w->stopped_since.ns != 0;
        bool woke = w->process == 'D' && state != 'D' && (w->lost_since.ns || w->busy_since.ns);
        w->process = state;
        if (stopped(state)) {
                if (!was)
                        w->stopped_since = now;
                return false;
        }
        w->stopped_since = (MonoTime){ 0 };
        if (was || woke)
                forgive(w);
        return was || woke;
}

void watch_lost(Watch *w, MonoTime asked, MonoTime now) {
        if (!w->lost_since.ns)
                w->lost_since = asked;
        w->backoff.ns = w->backoff.ns ? w->backoff.ns * 2 : WATCH_BACKOFF_MIN.ns;
        if (w->backoff.ns > WATCH_BACKOFF_MAX.ns)
                w->backoff = WATCH_BACKOFF_MAX;
        w->retry_at = mono_add(now, w->backoff);
}

bool watch_answer(Watch *w, const DoneBody *done, MonoTime now) {
        bool was = w->lost_since.ns || w->busy_since.ns;
        switch (done->state) {
        case ASK_BUSY:
                w->control = done->error == WATCH_ERROR ? WATCH_ERROR : WATCH_OCCUPIED;
                if (!w->busy_since.ns)
                        w->busy_since = (MonoTime){ now.ns - (done->control > 0 ? done->control * NS_PER_MS : 0) };
                /* The probe came back: the next one need not wait long. */
                w->backoff = (Duration){ 0 };
                w->retry_at = mono_add(now, monitor_stuck(w, now) ? WATCH_BACKOFF_MIN : SECONDS(1));
                return false;
        case ASK_DOWN:
                return false; /* says nothing about the domain */
        default:
                w->control = done->state == ASK_OK && done->error == WATCH_JOB ? WATCH_JOB : WATCH_OK;
                w->lost_since = w->busy_since = (MonoTime){ 0 };
                forgive(w);
                return was;
        }
}

void watch_reset(Watch *w) {
        *w = (Watch){ 0 };
}

WatchPermit watch_permit(const Watch *w, MonoTime now) {
        if (w->stopped_since.ns || now.ns < w->retry_at.ns)
                return WATCH_ASK_NOTHING;
        return w->lost_since.ns || w->busy_since.ns ? WATCH_ASK_CONTROL : WATCH_ASK_ALL;
}

Duration watch_stuck(const Watch *w, MonoTime now) {
        MonoTime since = now;
        if (monitor_stuck(w, now))
                since = w->busy_since;
        if (w->lost_since.ns && w->lost_since.ns < since.ns)
                since = w->lost_since;
        if (w->stopped_since.ns && w->stopped_since.ns < since.ns)
                since = w->stopped_since;
        /* Just noticed is stuck already. */
        if (w->stopped_since.ns && since.ns == now.ns)
                return MILLISECONDS(1);
        return mono_since(now, since);
}

int watch_control(const Watch *w) {
        if (w->stopped_since.ns)
                return WATCH_STOPPED;
        if (w->lost_since.ns)
                return WATCH_LOST;
        if (w->control == WATCH_OK && w->process == 'D')
                return WATCH_SLEEPING;
        return w->control;
}

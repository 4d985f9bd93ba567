/* The machines' lives and the numbers that come of them. A series' number is an integer in the unit that the kernel counts
 * (ns, bytes, events, KiB, hundredths), and becomes a double as an exporter would print it. */
#include "fleet/fleet.h"

#include "fleet/names.h"
#include "fleet/random.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define VMS_PER_HOST 20
#define HOST_CPUS 8
#define HOST_DISKS 2
#define HOST_NICS 4
#define STALE_BITS UINT64_C(0x7ff0000000000002) /* Prometheus' staleness marker */

typedef enum Mood { MOOD_STOPPED, MOOD_IDLE, MOOD_BUSY } Mood;

typedef struct Owner {
        uint64_t random;
        uint32_t host, vm;      /* vm is a number in the fleet, UINT32_MAX for the host itself */
        Mood mood;
        double level;           /* of CPU use, 1 is a whole vCPU */
        double swing;           /* of the day */
        double noise;           /* slow */
        double burst;
        uint32_t burst_left, down_left, incarnations;
        bool restarted, replaced;
        bool asleep;            /* an idle machine does nothing at all most of the time */
        /* The window. */
        float drive[DRIVE_COUNT][FLEET_WINDOW], bursts[FLEET_WINDOW];
        uint8_t presence[FLEET_WINDOW];
        bool reset[FLEET_WINDOW];
        uint32_t incarnation[FLEET_WINDOW];
} Owner;

typedef struct Series {
        uint64_t random;
        int64_t number;
        double scale;
        double level; /* of a smoothed gauge */
        uint32_t owner;
        uint16_t kind, index;
} Series;

struct Fleet {
        FleetOptions o;
        Owner *owners;
        Series *series;
        uint32_t n_owners, n_series;
        uint64_t step; /* first of the window */
        uint32_t n;    /* steps of the window */
};

static uint32_t instances(const Owner *w, FleetPer per) {
        static const uint8_t vcpus[] = { 1, 2, 4, 2, 8, 4, 2, 4, 1, 6 }; /* 3.4 on average */
        bool vm = w->vm != UINT32_MAX;
        switch (per) {
        case PER_VM: return vm;
        case PER_VCPU: return vm ? vcpus[w->vm % 10] : 0;
        case PER_DISK: return vm ? 1 + (w->vm % 4 == 1) : 0;
        case PER_NIC: return vm ? 1 + (w->vm % 4 == 2) : 0;
        case PER_HOST: return !vm;
        case PER_HOST_CPU: return vm ? 0 : HOST_CPUS;
        case PER_HOST_DISK: return vm ? 0 : HOST_DISKS;
        case PER_HOST_NIC: return vm ? 0 : HOST_NICS;
        case PER_COUNT: break;
        }
        return 0;
}

static void owner_init(Owner *w, const FleetOptions *o, uint32_t host, uint32_t vm) {
        *w = (Owner){ .random = random_mix(o->seed ^ random_mix((uint64_t)host << 32 | vm)), .host = host, .vm = vm, .burst = 1 };
        double lot = vm == UINT32_MAX ? 1 : (double)(vm * 7 % 10) / 10; /* exact shares, spread over the hosts */
        w->mood = lot < 0.1 ? MOOD_STOPPED : lot < 0.4 ? MOOD_IDLE : MOOD_BUSY;
        w->level = w->mood == MOOD_BUSY ? 0.12 * exp(0.7 * random_normal(&w->random)) : 0.004 * exp(0.4 * random_normal(&w->random));
        w->swing = w->mood == MOOD_BUSY ? 0.6 * random_unit(&w->random) : 0.1;
        w->restarted = true;
}

static void series_init(Series *s, const FleetOptions *o, uint32_t number, uint32_t owner, size_t kind, uint32_t index) {
        *s = (Series){ .random = random_mix(o->seed + 1 + random_mix(number)), .owner = owner, .kind = (uint16_t)kind, .index = (uint16_t)index };
        s->scale = fleet_kinds[kind].scale * exp(0.3 * random_normal(&s->random));
        if (fleet_kinds[kind].class == CLASS_CONSTANT && fleet_kinds[kind].scale > 1)
                s->scale = fleet_kinds[kind].scale * (double)(1 + (random_next(&s->random) & 7));
        else if (fleet_kinds[kind].class != CLASS_NS_COUNTER && fleet_kinds[kind].class != CLASS_EVENT_COUNTER)
                s->scale = fleet_kinds[kind].scale;
}

static void add_owner(Fleet *f, uint32_t host, uint32_t vm) {
        Owner *w = &f->owners[f->n_owners];
        owner_init(w, &f->o, host, vm);
        for (size_t kind = 0; kind < fleet_kind_count; kind++)
                for (uint32_t i = 0; i < instances(w, fleet_kinds[kind].per) && f->n_series < f->o.series; i++, f->n_series++)
                        series_init(&f->series[f->n_series], &f->o, f->n_series, f->n_owners, kind, i);
        f->n_owners++;
}

Fleet *fleet_new(const FleetOptions *o) {
        assert(o->series > 0 && o->step_ms > 2 * o->jitter_ms);
        Fleet *f = calloc(1, sizeof *f);
        size_t most_owners = o->series + 2; /* every machine has a series */
        Owner *owners = f ? calloc(most_owners, sizeof *owners) : NULL;
        Series *series = f ? calloc(o->series, sizeof *series) : NULL;
        assert(owners && series); /* a tool's start-up */
        *f = (Fleet){ .o = *o, .owners = owners, .series = series };
        for (uint32_t host = 0; f->n_series < o->series; host++) {
                add_owner(f, host, UINT32_MAX);
                for (uint32_t i = 0; i < VMS_PER_HOST && f->n_series < o->series; i++)
                        add_owner(f, host, host * VMS_PER_HOST + i);
        }
        return f;
}

Fleet *fleet_free(Fleet *f) {
        if (f) {
                free(f->owners);
                free(f->series);
                free(f);
        }
        return NULL;
}

void fleet_freep(Fleet **f) {
        *f = fleet_free(*f);
}

uint32_t fleet_count(const Fleet *f) {
        return f->n_series;
}

FleetClass fleet_class(const Fleet *f, uint32_t series) {
        return fleet_kinds[f->series[series].kind].class;
}

/* ---- Machines ---- */

/* Whether the VM is there in this step: it restarts once a week and is replaced once a month. */
static FleetPresence owner_live(Owner *w, bool *ret_reset) {
        *ret_reset = false;
        if (w->down_left > 0) {
                if (--w->down_left == 0)
                        w->incarnations += w->replaced;
                w->restarted = true;
                return FLEET_ABSENT;
        }
        double lot = random_unit(&w->random);
        if (w->vm != UINT32_MAX && w->mood != MOOD_STOPPED && !w->restarted && lot < 1.0 / (7 * 8640) + 1.0 / (30 * 8640)) {
                w->down_left = 1 + (uint32_t)(random_next(&w->random) % 8);
                w->replaced = lot < 1.0 / (30 * 8640);
                return FLEET_STALE;
        }
        *ret_reset = w->restarted;
        w->restarted = false;
        return FLEET_PRESENT;
}

static double owner_burst(Owner *w) {
        if (w->burst_left > 0 && --w->burst_left == 0)
                w->burst = 1;
        else if (w->burst_left == 0 && random_unit(&w->random) < (w->mood == MOOD_BUSY ? 1.0 / 90 : 1.0 / 360)) {
                w->burst_left = 3 + (uint32_t)(-12 * log(1 - random_unit(&w->random)));
                w->burst = 2 + 6 * random_unit(&w->random);
        }
        return w->burst;
}

/* Requests or packets in a step: idle machines have some only now and then. */
static float owner_traffic(Owner *w, double mean, double chance) {
        double there = random_unit(&w->random) < chance ? 1 : 0;
        return (float)(there * mean * exp(0.25 * random_normal(&w->random)));
}

static void owner_step(Owner *w, uint32_t i, double hour) {
        w->presence[i] = (uint8_t)owner_live(w, &w->reset[i]);
        w->incarnation[i] = w->incarnations; /* of an absent step: of no meaning */
        w->noise = 0.98 * w->noise + 0.06 * random_normal(&w->random);
        double burst = owner_burst(w);
        w->bursts[i] = (float)burst;
        if (w->mood == MOOD_IDLE && random_unit(&w->random) < (w->asleep ? 1.0 / 120 : 1.0 / 10))
                w->asleep = !w->asleep;
        if (w->mood == MOOD_STOPPED || w->asleep) { /* the exporter goes on telling */
                for (size_t k = 0; k < DRIVE_COUNT; k++)
                        w->drive[k][i] = 0;
                return;
        }
        double lively = exp(w->noise) * burst * (1 + w->swing * cos((hour - 14) * (M_PI / 12)));
        double cpu = fmin(w->level * lively, 1);
        bool busy = w->mood == MOOD_BUSY;
        double io = busy ? 0.55 : 0.04, packets = busy ? 0.97 : 0.35;
        w->drive[DRIVE_CPU][i] = (float)cpu;
        w->drive[DRIVE_WAIT][i] = (float)(cpu * (0.1 + 0.5 * cpu) * exp(0.4 * random_normal(&w->random)));
        w->drive[DRIVE_READ][i] = owner_traffic(w, 12 * lively, io * 0.5);
        w->drive[DRIVE_WRITE][i] = owner_traffic(w, 25 * lively, io);
        w->drive[DRIVE_RECEIVE][i] = owner_traffic(w, (busy ? 60 : 3) * lively, packets);
        w->drive[DRIVE_SEND][i] = owner_traffic(w, (busy ? 50 : 2) * lively, packets);
}

void fleet_window(Fleet *f, uint32_t n) {
        assert(n > 0 && n <= FLEET_WINDOW);
        f->step += f->n;
        f->n = n;
        for (uint32_t k = 0; k < f->n_owners; k++)
                for (uint32_t i = 0; i < n; i++) {
                        int64_t ms = f->o.begin_ms + (int64_t)(f->step + i) * f->o.step_ms;
                        owner_step(&f->owners[k], i, (double)(ms % 86400000) / 3600000.0);
                }
}

/* ---- Numbers ---- */

static int64_t counter_growth(Series *s, FleetClass class, double drive) {
        if (drive <= 0)
                return 0;
        double mean = s->scale * drive, g = random_normal(&s->random);
        double grown;
        if (class == CLASS_NS_COUNTER)
                grown = mean * (1 + 0.15 * g);
        else if (class == CLASS_BYTE_COUNTER)
                grown = mean * (1 + 0.3 * g);
        else
                grown = mean + sqrt(mean) * g + 0.12 * mean * g;
        if (class == CLASS_BYTE_COUNTER && s->scale >= 4096) /* whole pages */
                grown = 4096 * round(grown / 4096);
        return grown > 0 ? (int64_t)(grown + 0.5) : 0;
}

static double counter_start(Series *s, FleetClass class) {
        return (class == CLASS_NS_COUNTER ? 1e5 : 1e6) * s->scale * 0.01 * random_unit(&s->random);
}

static double counter_value(int64_t number, FleetClass class, bool resolutions) {
        if (class != CLASS_NS_COUNTER)
                return (double)number;
        return resolutions ? (double)(number / 1000) / 1e6 : (double)number / 1e9; /* rounded once: as if read from text */
}

static void counter_values(const Fleet *f, Series *s, const Owner *w, double *ret_values) {
        const FleetKind *k = &fleet_kinds[s->kind];
        const float *drive = w->drive[k->drive];
        for (uint32_t i = 0; i < f->n; i++) {
                if (w->reset[i]) /* the first start was long before the first step */
                        s->number = f->step + i == 0 ? (int64_t)counter_start(s, k->class) & ~INT64_C(4095) : 0;
                s->number += counter_growth(s, k->class, drive[i]);
                ret_values[i] = counter_value(s->number, k->class, f->o.resolutions);
        }
}

static void memory_values(const Fleet *f, Series *s, const Owner *w, double *ret_values) {
        const FleetKind *k = &fleet_kinds[s->kind];
        for (uint32_t i = 0; i < f->n; i++) {
                if (w->reset[i])
                        s->number = 200000 + (int64_t)(random_next(&s->random) % 3000000);
                double move = w->mood == MOOD_BUSY ? 0.6 : 0.1;
                if (w->mood != MOOD_STOPPED && random_unit(&s->random) < move)
                        s->number += (int64_t)(random_normal(&s->random) * (w->mood == MOOD_BUSY ? 55 : 6) * fmin(w->bursts[i], 3));
                s->number = s->number < 1000 ? 1000 : s->number;
                ret_values[i] = (double)s->number * 1024 * k->scale;
        }
}

/* Percent of the time that something waited, smoothed over k->scale seconds as the kernel does. */
static void pressure_values(const Fleet *f, Series *s, const Owner *w, double *ret_values) {
        const FleetKind *k = &fleet_kinds[s->kind];
        const float *drive = w->drive[k->drive];
        double keep = exp(-10.0 / k->scale);
        for (uint32_t i = 0; i < f->n; i++) {
                if (w->reset[i])
                        s->level = 0;
                double x = k->drive == DRIVE_WAIT ? drive[i] * 20 : k->drive == DRIVE_CPU ? drive[i] * 8 : drive[i] * 0.004;
                x *= 1 + 0.2 * random_normal(&s->random);
                s->level = keep * s->level + (1 - keep) * (x > 0.02 ? fmin(x, 100) : 0);
                ret_values[i] = floor(s->level * 100) / 100;
        }
}

static void ratio_values(const Fleet *f, Series *s, const Owner *w, double *ret_values) {
        for (uint32_t i = 0; i < f->n; i++) {
                double x = w->drive[DRIVE_CPU][i] * (1 + 0.1 * random_normal(&s->random)) / 1.000237;
                x = x < 0 ? 0 : x;
                ret_values[i] = f->o.resolutions ? round(x * 1e4) / 1e4 : x;
        }
}

void fleet_values(Fleet *f, uint32_t series, double ret_values[FLEET_WINDOW]) {
        Series *s = &f->series[series];
        const Owner *w = &f->owners[s->owner];
        switch (fleet_kinds[s->kind].class) {
        case CLASS_NS_COUNTER:
        case CLASS_BYTE_COUNTER:
        case CLASS_EVENT_COUNTER:
                counter_values(f, s, w, ret_values);
                break;
        case CLASS_KIB_GAUGE:
                memory_values(f, s, w, ret_values);
                break;
        case CLASS_CENTI_GAUGE:
                pressure_values(f, s, w, ret_values);
                break;
        case CLASS_FULL_DOUBLE:
                ratio_values(f, s, w, ret_values);
                break;
        case CLASS_CONSTANT:
        case CLASS_COUNT:
                for (uint32_t i = 0; i < f->n; i++)
                        ret_values[i] = s->scale;
        }
        for (uint32_t i = 0; i < f->n; i++)
                if (w->presence[i] == FLEET_STALE) {
                        uint64_t bits = STALE_BITS;
                        memcpy(&ret_values[i], &bits, sizeof bits);
                }
}

/* ---- Times and names ---- */

int64_t fleet_time(const Fleet *f, uint32_t series, uint32_t step) {
        uint32_t host = f->owners[f->series[series].owner].host;
        uint64_t n = f->step + step;
        int64_t ms = f->o.begin_ms + (int64_t)n * f->o.step_ms + host * INT64_C(937) % f->o.step_ms; /* looks are spread over the interval */
        if (f->o.jitter_ms > 0)
                ms += (int64_t)(random_mix(f->o.seed ^ random_mix((uint64_t)host << 40 | n)) % (uint64_t)(2 * f->o.jitter_ms + 1)) - f->o.jitter_ms;
        return ms;
}

FleetPresence fleet_presence(const Fleet *f, uint32_t series, uint32_t step) {
        return f->owners[f->series[series].owner].presence[step];
}

uint32_t fleet_incarnation(const Fleet *f, uint32_t series, uint32_t step) {
        return f->owners[f->series[series].owner].incarnation[step];
}

void fleet_labels(const Fleet *f, uint32_t series, uint32_t incarnation, Buf *out) {
        const Series *s = &f->series[series];
        const Owner *w = &f->owners[s->owner];
        FleetNames names = { .host = w->host, .vm = w->vm, .incarnation = incarnation, .index = s->index, .kind = &fleet_kinds[s->kind], .rich = f->o.rich_labels };
        fleet_names(&names, out);
}

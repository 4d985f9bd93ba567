/* From what the sources of a job say to targets that are scraped. Every change reads all groups again: what is the same
 * target as before goes on as it was, what is no longer there ends. */
#include "scrape/pool.h"

#include <string.h>

static void complain(ScrapePool *p, const char *text) {
        if (p->complaint && strcmp(p->complaint, text) == 0)
                return;
        free(p->complaint);
        p->complaint = strdup(text);
        if (p->scrape->ops.complain)
                p->scrape->ops.complain(p->scrape->context, p->job->name, text);
}

/* ---- the list being made ---- */

typedef struct Sync {
        ScrapePool *pool;
        Target **targets; /* in order; those that stay and new ones */
        size_t n, cap;
        Target **table;   /* all of the pool and of the list, by hash: open addressing */
        size_t n_table;
        LabelDraft set;
        Buf *dropped;
        size_t n_dropped, all_dropped, failing, found;
        Buf why;
        int error;
} Sync;

static bool same_target(const Target *a, const Target *b) {
        return a->hash == b->hash && a->labels.len == b->labels.len && strcmp(a->url, b->url) == 0 &&
               (a->labels.len == 0 || memcmp(a->labels.data, b->labels.data, a->labels.len) == 0);
}

/* The place of the target, or the free one where it would be. */
static Target **place_of(Sync *s, const Target *t) {
        size_t i = t->hash & (s->n_table - 1);
        while (s->table[i] && !same_target(s->table[i], t))
                i = (i + 1) & (s->n_table - 1);
        return &s->table[i];
}

static size_t most_targets(const ScrapePool *p) {
        size_t n = p->n_targets + p->job->statics.n_targets;
        for (size_t i = 0; i < p->n_sources; i++)
                for (size_t k = 0; k < source_n_groups(p->sources[i]); k++)
                        n += source_groups(p->sources[i], k)->n_targets;
        return n;
}

static int sync_init(Sync *s, ScrapePool *p) {
        size_t most = most_targets(p), slots = 16;
        while (slots < 2 * most)
                slots *= 2;
        *s = (Sync){ .pool = p, .set = LABEL_SET_NULL, .cap = most, .n_table = slots };
        s->table = calloc(slots, sizeof(Target *));
        s->targets = reallocarray(NULL, most ? most : 1, sizeof(Target *));
        s->dropped = calloc(p->job->keep_dropped ? p->job->keep_dropped : 1, sizeof *s->dropped);
        if (!s->table || !s->targets || !s->dropped)
                return -ENOMEM;
        for (size_t i = 0; i < p->n_targets; i++) {
                p->targets[i]->found = false;
                *place_of(s, p->targets[i]) = p->targets[i];
        }
        return 0;
}

static void free_packed(Buf *packed, size_t n) {
        for (size_t i = 0; i < n; i++)
                buf_deinit(&packed[i]);
        free(packed);
}

static void sync_deinit(Sync *s) {
        free(s->table);
        free(s->targets);
        free_packed(s->dropped, s->n_dropped);
        label_set_deinit(&s->set);
        buf_deinit(&s->why);
}

static void drop_target(Sync *s) {
        s->all_dropped++;
        if (s->n_dropped == s->pool->job->keep_dropped)
                return;
        target_pack(&s->set, &s->dropped[s->n_dropped++]);
}

/* Interval and timeout may be others than before; the rest of a target that stays is as it was. */
static void keep_target(Sync *s, Target *known, Target *anew) {
        (void)s;
        known->found = true;
        known->interval = anew->interval;
        known->timeout = anew->timeout;
        Buf discovered = known->discovered;
        known->discovered = anew->discovered;
        anew->discovered = discovered;
        (void)target_free(anew);
}

/* One that discovery names twice is scraped once. */
static void list_target(Sync *s, Target *t) {
        Target **place = place_of(s, t);
        bool new = !*place, again = *place && (*place)->found;
        s->found++;
        if (again) {
                (void)target_free(t);
                return;
        }
        if (new) {
                *place = t;
                t->found = true;
                t->pool = s->pool;
        } else {
                keep_target(s, *place, t);
        }
        s->targets[s->n++] = *place;
}

static void add_target(Sync *s, const TargetGroup *group, const char *address) {
        const ScrapeJob *job = s->pool->job;
        Target *t = NULL;
        target_discovered(job, group, address, &s->set);
        if (s->set.error) {
                s->failing++;
                return;
        }
        int r = target_new(job, &s->set, s->pool->scrape->intern, &t, &s->why);
        if (r == 0) {
                target_discovered(job, group, address, &s->set); /* as it was before the rules */
                drop_target(s);
        } else if (r == -ENOMEM) {
                s->error = r;
        } else if (r < 0) {
                s->failing++;
                if (s->failing == 1)
                        buf_printf(&s->why, " (target %.100s)", address);
                else
                        s->why.len = 0;
        } else {
                list_target(s, t);
        }
}

static void add_groups(Sync *s, const TargetGroups *groups) {
        for (size_t i = 0; i < groups->n; i++)
                for (size_t k = 0; k < groups->groups[i].targets.n; k++)
                        add_target(s, &groups->groups[i], groups->groups[i].targets.texts[k]);
}

/* ---- taking it ---- */

static void end_target(Target *t, bool stale) {
        target_stop(t, stale);
        (void)target_free(t);
}

static void start_new(ScrapePool *p) {
        for (size_t i = 0; i < p->n_targets; i++)
                if (!p->targets[i]->timer && target_start(p->targets[i]) < 0)
                        complain(p, "no memory to scrape a target");
}

static void take_list(ScrapePool *p, Sync *s) {
        for (size_t i = 0; i < p->n_targets; i++)
                if (!p->targets[i]->found)
                        end_target(p->targets[i], true);
        free(p->targets);
        free_packed(p->dropped, p->n_dropped);
        p->targets = TAKE_PTR(s->targets);
        p->n_targets = s->n;
        p->dropped = TAKE_PTR(s->dropped);
        p->n_dropped = s->n_dropped;
        s->n_dropped = 0;
        p->all_dropped = s->all_dropped;
        p->failing = s->failing;
        p->found = s->n;
        p->over_limit = s->n > p->job->target_limit;
        start_new(p);
}

static void report_sync(ScrapePool *p, const Sync *s) {
        char text[256];
        if (p->over_limit)
                (void)snprintf(text, sizeof text, "target_limit exceeded (number of targets: %zu, limit: %llu)",
                               p->found,
                               (unsigned long long)p->job->target_limit);
        else if (s->failing)
                (void)snprintf(text, sizeof text, "%zu targets cannot be scraped: %s", s->failing,
                               buf_cstr((Buf *)(uintptr_t)&s->why));
        else
                return;
        complain(p, text);
}

/* New targets that were made before the memory went: the list is not taken, so they go. */
static void give_up(Sync *s) {
        for (size_t i = 0; i < s->n; i++)
                if (!s->targets[i]->timer)
                        (void)target_free(s->targets[i]);
        complain(s->pool, "no memory for the job's targets");
}

void pool_sync(ScrapePool *p) {
        CLEANUP(sync_deinit) Sync s;
        s.error = sync_init(&s, p);
        if (s.error == 0)
                add_groups(&s, &p->job->statics);
        for (size_t i = 0; s.error == 0 && i < p->n_sources; i++)
                for (size_t k = 0; k < source_n_groups(p->sources[i]); k++)
                        add_groups(&s, source_groups(p->sources[i], k));
        if (s.error < 0) {
                give_up(&s);
                return;
        }
        take_list(p, &s);
        report_sync(p, &s);
}

/* ---- a pool ---- */

static void on_changed(void *context) {
        pool_sync(context);
}

static void on_complaint(void *context, const char *text) {
        ScrapePool *p = context;
        if (p->scrape->ops.complain)
                p->scrape->ops.complain(p->scrape->context, p->job->name, text);
}

static int add_source(ScrapePool *p, const FileDiscovery *files, const HttpDiscovery *http) {
        static const SourceOps OPS = { on_changed, on_complaint };
        Source *source = NULL;
        int r = files ? source_new_files(p->scrape->discovery, files, &OPS, p, &source) :
                        source_new_http(p->scrape->discovery, http, &OPS, p, &source);
        if (r == 0)
                p->sources[p->n_sources++] = source;
        return r;
}

int scrape_pool_new(Scrape *s, const ScrapeJob *job, ScrapePool **ret_pool) {
        ScrapePool *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        *p = (ScrapePool){ .scrape = s, .job = job };
        p->sources = calloc(job->n_files + job->n_https + 1, sizeof(Source *));
        int r = p->sources ? 0 : -ENOMEM;
        for (size_t i = 0; r == 0 && i < job->n_files; i++)
                r = add_source(p, &job->files[i], NULL);
        for (size_t i = 0; r == 0 && i < job->n_https; i++)
                r = add_source(p, NULL, &job->https[i]);
        if (r < 0) {
                (void)scrape_pool_free(p, false);
                return r;
        }
        *ret_pool = p;
        return 0;
}

ScrapePool *scrape_pool_free(ScrapePool *p, bool stale) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->n_sources; i++)
                (void)source_free(p->sources[i]);
        free(p->sources);
        for (size_t i = 0; i < p->n_targets; i++)
                end_target(p->targets[i], stale);
        free(p->targets);
        free_packed(p->dropped, p->n_dropped);
        free(p->complaint);
        free(p);
        return NULL;
}

/* A target whose answers are read otherwise now knows nothing of its series: they end, and begin again where they are
 * the same. */
static void move_target(ScrapePool *p, Target *t, bool alike) {
        target_stop(t, !alike);
        if (!alike)
                series_cache_deinit(&t->series);
        t->pool = p;
}

void pool_take_over(ScrapePool *p, ScrapePool *old) {
        bool alike = scrape_job_reads_alike(p->job, old->job);
        for (size_t i = 0; i < p->n_sources; i++)
                for (size_t k = 0; k < old->n_sources; k++)
                        if (source_alike(p->sources[i], old->sources[k]))
                                source_take_over(p->sources[i], old->sources[k]);
        p->targets = TAKE_PTR(old->targets);
        p->n_targets = old->n_targets;
        old->n_targets = 0;
        for (size_t i = 0; i < p->n_targets; i++)
                move_target(p, p->targets[i], alike);
}

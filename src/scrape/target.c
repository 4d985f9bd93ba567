#include "scrape/target.h"

#include "base/duration.h"
#include "base/escape.h"

#include <assert.h>
#include <xxhash.h>

#define ADDRESS "__address__"
#define PARAM "__param_"
#define META "__meta_"

static bool starts(Span s, const char *prefix) {
        return span_starts(s, prefix);
}

/* ---- before relabelling ---- */

static bool is_taken(const LabelDraft *set, const char *name) {
        return label_set_get(set, span_of(name)).len > 0;
}

static void set_default(LabelDraft *set, const char *name, const char *value) {
        if (!is_taken(set, name))
                label_set_set(set, span_of(name), span_of(value));
}

static void set_duration(LabelDraft *set, const char *name, Duration d) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        duration_print(d.ns, &text);
        set_default(set, name, buf_cstr(&text));
}

void target_discovered(const ScrapeJob *job, const TargetGroup *group, const char *address, LabelDraft *set) {
        label_set_reset(set);
        label_set_set(set, span_of(ADDRESS), span_of(address));
        for (size_t i = 0; i < group->names.n; i++)
                set_default(set, group->names.texts[i], group->values.texts[i]);
        set_default(set, "job", job->name);
        set_duration(set, "__scrape_interval__", job->interval);
        set_duration(set, "__scrape_timeout__", job->timeout);
        set_default(set, "__metrics_path__", job->metrics_path);
        set_default(set, "__scheme__", job->scheme);
        for (size_t i = 0; i < job->n_params; i++) {
                CLEANUP(buf_deinit) Buf name = BUF_NULL;
                buf_printf(&name, PARAM "%s", job->params[i].name);
                if (job->params[i].values.n)
                        set_default(set, buf_cstr(&name), job->params[i].values.texts[0]);
        }
        label_set_settle(set);
}

void target_pack(const LabelDraft *set, Buf *out) {
        for (size_t i = 0; i < set->n; i++) {
                Label l = set->items[i].label;
                buf_put(out, l.name.text, l.name.len);
                buf_put_char(out, '\0');
                buf_put(out, l.value.text, l.value.len);
                buf_put_char(out, '\0');
        }
}

/* ---- the URL ---- */

/* As a query has it: a blank is a plus. */
static void put_escaped(Buf *out, Span s, bool path) {
        for (size_t i = 0; i < s.len; i++) {
                unsigned char c = (unsigned char)s.text[i];
                bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
                if (letter || (c && strchr(path ? "-_.~/$&+,:;=@" : "-_.~", c)))
                        buf_put_char(out, (char)c);
                else if (c == ' ' && !path)
                        buf_put_char(out, '+');
                else
                        buf_printf(out, "%%%02X", c);
        }
}

typedef struct Pair {
        Span name, value;
} Pair;

static int pair_order(const void *a, const void *b) {
        Span x = ((const Pair *)a)->name, y = ((const Pair *)b)->name;
        int r = memcmp(x.text, y.text, x.len < y.len ? x.len : y.len);
        return r ? r : (x.len > y.len) - (x.len < y.len);
}

static bool same(Span a, Span b) {
        return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

/* A job's parameters, whose first values the labels __param_* have replaced, and those that only labels have. */
static size_t collect_params(const ScrapeJob *job, const LabelDraft *set, Pair *pairs) {
        size_t n = 0;
        for (size_t i = 0; i < job->n_params; i++)
                for (size_t k = 1; k < job->params[i].values.n; k++)
                        pairs[n++] = (Pair){ span_of(job->params[i].name), span_of(job->params[i].values.texts[k]) };
        for (size_t i = 0; i < set->n; i++) {
                Label l = set->items[i].label;
                size_t skip = sizeof PARAM - 1;
                if (!starts(l.name, PARAM))
                        continue;
                Pair p = { { l.name.text + skip, l.name.len - skip }, l.value };
                /* Before the other values of the same name. */
                size_t at = 0;
                while (at < n && !same(pairs[at].name, p.name))
                        at++;
                memmove(&pairs[at + 1], &pairs[at], (n - at) * sizeof *pairs);
                pairs[at] = p;
                n++;
        }
        return n;
}

/* Stable, as values of one name keep their order: the lists are short. */
static void sort_pairs(Pair *pairs, size_t n) {
        for (size_t i = 1; i < n; i++)
                for (size_t k = i; k > 0 && pair_order(&pairs[k - 1], &pairs[k]) > 0; k--) {
                        Pair p = pairs[k];
                        pairs[k] = pairs[k - 1];
                        pairs[k - 1] = p;
                }
}

static int put_query(const ScrapeJob *job, const LabelDraft *set, Buf *url) {
        size_t most = set->n;
        for (size_t i = 0; i < job->n_params; i++)
                most += job->params[i].values.n;
        CLEANUP_FREE Pair *pairs = reallocarray(NULL, most ? most : 1, sizeof *pairs);
        if (!pairs)
                return -ENOMEM;
        size_t n = collect_params(job, set, pairs);
        sort_pairs(pairs, n);
        for (size_t i = 0; i < n; i++) {
                buf_put_char(url, i ? '&' : '?');
                put_escaped(url, pairs[i].name, false);
                buf_put_char(url, '=');
                put_escaped(url, pairs[i].value, false);
        }
        return 0;
}

static int make_url(const ScrapeJob *job, const LabelDraft *set, char **ret_url) {
        CLEANUP(buf_deinit) Buf url = BUF_WITH_LIMIT(64 << 10);
        Span scheme = label_set_get(set, span_of("__scheme__")), path = label_set_get(set, span_of("__metrics_path__"));
        Span address = label_set_get(set, span_of(ADDRESS));
        buf_put(&url, scheme.text, scheme.len);
        buf_put_str(&url, "://");
        buf_put(&url, address.text, address.len);
        if (path.len == 0 || path.text[0] != '/')
                buf_put_char(&url, '/');
        put_escaped(&url, path, true);
        int r = put_query(job, set, &url);
        if (r == 0)
                r = buf_error(&url);
        if (r < 0)
                return r;
        *ret_url = strdup(buf_cstr(&url));
        return *ret_url ? 0 : -ENOMEM;
}

/* ---- after relabelling ---- */

static int refuse(Buf *ret_error, const char *what) {
        buf_put_str(ret_error, what);
        return -EINVAL;
}

static int read_duration(const LabelDraft *set, const char *name, Duration *ret, Buf *ret_error) {
        char text[64];
        Span s = label_set_get(set, span_of(name));
        (void)snprintf(text, sizeof text, "%.*s", s.len < sizeof text ? (int)s.len : 0, s.text);
        if (duration_parse(text, &ret->ns) == 0 && ret->ns > 0)
                return 0;
        buf_printf(ret_error, "%s is \"%.*s\", which is no duration", name, (int)(s.len < 60 ? s.len : 60), s.text);
        return -EINVAL;
}

static int check(const LabelDraft *set, Target *t, Buf *ret_error) {
        Span address = label_set_get(set, span_of(ADDRESS)), scheme = label_set_get(set, span_of("__scheme__"));
        if (address.len == 0)
                return refuse(ret_error, "no address");
        if (memchr(address.text, '/', address.len) || memchr(address.text, ' ', address.len))
                return refuse(ret_error, "the address is not a host or host:port");
        if (!span_is(scheme, "http") && !span_is(scheme, "https"))
                return refuse(ret_error, "__scheme__ is neither http nor https");
        int r = read_duration(set, "__scrape_interval__", &t->interval, ret_error);
        if (r == 0)
                r = read_duration(set, "__scrape_timeout__", &t->timeout, ret_error);
        if (r == 0 && t->timeout.ns > t->interval.ns)
                return refuse(ret_error, "the scrape timeout is longer than the scrape interval");
        return r;
}

/* Labels that begin with two underscores end here. */
static int keep_public(const LabelDraft *set, Target *t, Buf *ret_error) {
        CLEANUP(label_set_deinit) LabelDraft public = LABEL_SET_NULL;
        for (size_t i = 0; i < set->n; i++)
                if (!starts(set->items[i].label.name, "__"))
                        label_set_add(&public, set->items[i].label.name, set->items[i].label.value);
        if (label_set_get(&public, span_of("instance")).len == 0)
                label_set_set(&public, span_of("instance"), label_set_get(set, span_of(ADDRESS)));
        if (public.error)
                return public.error;
        LabelsFault fault = label_set_build(&public, &t->labels);
        return fault ? refuse(ret_error, labels_fault_text(fault)) : buf_error(&t->labels);
}

static void target_freep(Target **t) {
        *t = target_free(*t);
}

int target_new(const ScrapeJob *job, LabelDraft *set, Intern *intern, Target **ret_target, Buf *ret_error) {
        CLEANUP(target_freep) Target *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        series_cache_init(&t->series, intern);
        target_pack(set, &t->discovered);
        int r = relabel_apply(&job->relabel, set);
        if (r <= 0)
                return r == -E2BIG ? refuse(ret_error, "relabelling makes too much of its labels") : r;
        r = check(set, t, ret_error);
        if (r == 0)
                r = keep_public(set, t, ret_error);
        if (r == 0)
                r = make_url(job, set, &t->url);
        if (r < 0)
                return r;
        Span address = label_set_get(set, span_of(ADDRESS));
        t->address = strndup(address.text, address.len);
        if (!t->address || buf_error(&t->discovered))
                return -ENOMEM;
        t->hash = XXH3_64bits_withSeed(t->labels.data, t->labels.len, XXH3_64bits(t->url, strlen(t->url)));
        *ret_target = TAKE_PTR(t);
        return 1;
}

void target_forget_metrics(Target *t) {
        for (size_t i = 0; i < t->n_metrics; i++) {
                intern_unref(t->series.intern, t->metrics[i].metric);
                intern_unref(t->series.intern, t->metrics[i].help);
                intern_unref(t->series.intern, t->metrics[i].unit);
        }
        free(t->metrics);
        t->metrics = NULL;
        t->n_metrics = 0;
}

Target *target_free(Target *t) {
        if (!t)
                return NULL;
        assert(!t->fetch && !t->timer);
        target_forget_metrics(t);
        series_cache_deinit(&t->series);
        buf_deinit(&t->discovered);
        buf_deinit(&t->labels);
        free(t->url);
        free(t->address);
        free(t->error);
        free(t);
        return NULL;
}

Span target_label(const Target *t, const char *name) {
        Span v;
        return labels_get((const uint8_t *)t->labels.data, t->labels.len, name, &v) ? v : (Span){ "", 0 };
}

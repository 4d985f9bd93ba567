/* The index of the head: three hash tables (runs, pairs, names) over arrays that only grow. The tables hold numbers and
 * are doubled when they are three quarters full; texts and lists of pairs lie in arenas of pages. */
#include "store/head/index.h"

#include "base/varint.h"

#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define TEXT_PAGE (1u << 18)
#define LIST_PAGE (1u << 16)
#define PAIR_PAGE 1024u
#define PAGES_MAX 16384u /* of texts, of lists, of pairs: 4 GiB, 1 G and 16 M of them */

/* Number + 1, so that 0 is an empty place. */
typedef struct Table {
        uint32_t *slots;
        uint32_t *tags; /* a piece of the hash, so that most misses end here */
        uint32_t n, cap;
} Table;

struct HeadIndex {
        HeadPages at; /* first: see index.h */
        uint64_t seed;
        uint32_t max_series;
        uint32_t n_pages, pages_cap;
        Pair **pairs; /* pages */
        uint32_t n_pairs, n_pair_pages;
        LabelName *names;
        uint32_t *name_pair; /* a pair that has the name, where its text is */
        uint32_t n_names, names_cap;
        char **texts; /* pages of TEXT_PAGE bytes */
        uint32_t n_texts;
        uint32_t text_at; /* next free byte over all pages */
        uint32_t **lists; /* pages of LIST_PAGE pair numbers */
        uint32_t n_lists;
        uint32_t list_at;
        Table by_run, by_pair, by_name;
        size_t postings_bytes;
};

static uint64_t random_seed(void) {
        uint64_t seed = 0;
        if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
                seed ^= (uint64_t)(uintptr_t)&seed; /* early boot: the address space's layout has to do */
        return seed;
}

int index_new(uint32_t max_series, HeadIndex **ret_index) {
        HeadIndex *ix = calloc(1, sizeof *ix);
        if (!ix)
                return -ENOMEM;
        ix->seed = random_seed();
        ix->max_series = max_series;
        ix->pages_cap = max_series / SERIES_PAGE + 1;
        ix->at.series = calloc(ix->pages_cap, sizeof *ix->at.series);
        ix->at.tails = calloc(ix->pages_cap, sizeof *ix->at.tails);
        ix->pairs = calloc(PAGES_MAX, sizeof *ix->pairs);
        ix->texts = calloc(PAGES_MAX, sizeof *ix->texts);
        ix->lists = calloc(PAGES_MAX, sizeof *ix->lists);
        if (!ix->at.series || !ix->at.tails || !ix->pairs || !ix->texts || !ix->lists) {
                (void)index_free(ix);
                return -ENOMEM;
        }
        *ret_index = ix;
        return 0;
}

static void table_deinit(Table *t) {
        free(t->slots);
        free(t->tags);
}

static Pair *pair_at(const HeadIndex *ix, uint32_t pair) {
        return &ix->pairs[pair / PAIR_PAGE][pair % PAIR_PAGE];
}

HeadIndex *index_free(HeadIndex *ix) {
        if (!ix)
                return NULL;
        for (uint32_t i = 0; i < ix->n_pages; i++) {
                free(ix->at.series[i]);
                free(ix->at.tails[i]);
        }
        for (uint32_t i = 0; i < ix->n_pairs; i++)
                if (pair_at(ix, i)->doubled)
                        free(pair_at(ix, i)->at.many);
        for (uint32_t i = 0; i < ix->n_pair_pages; i++)
                free(ix->pairs[i]);
        for (uint32_t i = 0; i < ix->n_names; i++)
                free(ix->names[i].pairs);
        for (uint32_t i = 0; i < ix->n_texts; i++)
                free(ix->texts[i]);
        for (uint32_t i = 0; i < ix->n_lists; i++)
                free(ix->lists[i]);
        free(ix->at.series);
        free(ix->at.tails);
        free(ix->pairs);
        free(ix->names);
        free(ix->name_pair);
        free(ix->texts);
        free(ix->lists);
        table_deinit(&ix->by_run);
        table_deinit(&ix->by_pair);
        table_deinit(&ix->by_name);
        free(ix);
        return NULL;
}

size_t index_memory(const HeadIndex *ix) {
        size_t tables = ((size_t)ix->by_run.cap + ix->by_pair.cap + ix->by_name.cap) * 2 * sizeof(uint32_t);
        return tables + (size_t)ix->n_pages * SERIES_PAGE * (sizeof(HeadSeries) + TAIL_MAX * sizeof(TailSample)) +
               (size_t)ix->n_texts * TEXT_PAGE + (size_t)ix->n_lists * LIST_PAGE * sizeof(uint32_t) +
               (size_t)ix->n_pair_pages * PAIR_PAGE * sizeof(Pair) + (size_t)ix->n_pairs * sizeof(uint32_t) * 5 / 4 +
               ix->postings_bytes;
}

/* ---- Tables ---- */

static void table_place(Table *t, uint32_t tag, uint32_t number) {
        uint32_t at = tag & (t->cap - 1);
        while (t->slots[at])
                at = (at + 1) & (t->cap - 1);
        t->slots[at] = number + 1;
        t->tags[at] = tag;
}

/* Room for one more. */
static int table_reserve(Table *t) {
        if ((uint64_t)(t->n + 1) * 4 <= (uint64_t)t->cap * 3)
                return 0;
        uint32_t cap = t->cap ? t->cap * 2 : 256;
        Table next = {
                .slots = calloc(cap, sizeof(uint32_t)), .tags = malloc(cap * sizeof(uint32_t)), .cap = cap, .n = t->n
        };
        if (!next.slots || !next.tags) {
                table_deinit(&next);
                return -ENOMEM;
        }
        for (uint32_t i = 0; i < t->cap; i++)
                if (t->slots[i])
                        table_place(&next, t->tags[i], t->slots[i] - 1);
        table_deinit(t);
        *t = next;
        return 0;
}

static void table_add(Table *t, uint32_t tag, uint32_t number) {
        assert(t->n < t->cap);
        table_place(t, tag, number);
        t->n++;
}

/* ---- Series by run ---- */

RunHash index_hash(const HeadIndex *ix, const uint8_t *run, size_t len) {
        XXH128_hash_t h = XXH3_128bits_withSeed(run, len, ix->seed);
        return (RunHash){ { h.low64, h.high64 } };
}

uint32_t index_find(const HeadIndex *ix, RunHash h) {
        const Table *t = &ix->by_run;
        uint32_t tag = (uint32_t)h.half[0];
        if (t->cap == 0)
                return SERIES_NONE;
        for (uint32_t at = tag & (t->cap - 1); t->slots[at]; at = (at + 1) & (t->cap - 1)) {
                if (t->tags[at] != tag)
                        continue;
                const HeadSeries *s = index_series(ix, t->slots[at] - 1);
                if (s->hash[0] == h.half[0] && s->hash[1] == h.half[1])
                        return t->slots[at] - 1;
        }
        return SERIES_NONE;
}

/* ---- Pairs ---- */

static const uint8_t *pair_text(const HeadIndex *ix, const Pair *p) {
        return (const uint8_t *)ix->texts[p->text / TEXT_PAGE] + p->text % TEXT_PAGE;
}

/* The label whose bytes begin at *at in a run that was checked; *at moves behind it. */
static Span next_label(const uint8_t **at, const uint8_t *end) {
        const uint8_t *begin = *at;
        uint64_t len = 0;
        *at = begin + 1;
        bool ok = varint_get(at, end, &len);
        assert(ok && begin[0] == 0x0a && len <= (uint64_t)(end - *at));
        *at += len;
        return (Span){ (const char *)begin, (size_t)(*at - begin) };
}

/* Name and value within a label's bytes. */
static Label label_of(Span text) {
        const uint8_t *at = (const uint8_t *)text.text + 1, *end = (const uint8_t *)text.text + text.len;
        uint64_t n = 0;
        Label l;
        bool ok = varint_get(&at, end, &n);
        at++;
        ok = ok && varint_get(&at, end, &n);
        l.name = (Span){ (const char *)at, n };
        at += n + 1;
        ok = ok && varint_get(&at, end, &n);
        l.value = (Span){ (const char *)at, n };
        assert(ok && at + n == end);
        return l;
}

static uint32_t find_pair(const HeadIndex *ix, uint32_t tag, Span text) {
        const Table *t = &ix->by_pair;
        if (t->cap == 0)
                return SERIES_NONE;
        for (uint32_t at = tag & (t->cap - 1); t->slots[at]; at = (at + 1) & (t->cap - 1)) {
                const Pair *p = pair_at(ix, t->slots[at] - 1);
                if (t->tags[at] == tag && p->text_len == text.len && memcmp(pair_text(ix, p), text.text, text.len) == 0)
                        return t->slots[at] - 1;
        }
        return SERIES_NONE;
}

static uint32_t hash_text(const HeadIndex *ix, Span text) {
        return (uint32_t)XXH3_64bits_withSeed(text.text, text.len, ix->seed);
}

uint32_t index_find_name(const HeadIndex *ix, Span name) {
        const Table *t = &ix->by_name;
        uint32_t tag = hash_text(ix, name);
        if (t->cap == 0)
                return SERIES_NONE;
        for (uint32_t at = tag & (t->cap - 1); t->slots[at]; at = (at + 1) & (t->cap - 1)) {
                Span other = index_name(ix, t->slots[at] - 1, NULL);
                if (t->tags[at] == tag && other.len == name.len && memcmp(other.text, name.text, name.len) == 0)
                        return t->slots[at] - 1;
        }
        return SERIES_NONE;
}

uint32_t index_names(const HeadIndex *ix) {
        return ix->n_names;
}

static Span pair_span(const HeadIndex *ix, uint32_t pair) {
        const Pair *p = pair_at(ix, pair);
        return (Span){ (const char *)pair_text(ix, p), p->text_len };
}

Span index_name(const HeadIndex *ix, uint32_t name, const LabelName **ret_label) {
        assert(name < ix->n_names);
        if (ret_label)
                *ret_label = &ix->names[name];
        return label_of(pair_span(ix, ix->name_pair[name])).name;
}

const Pair *index_pair_at(const HeadIndex *ix, uint32_t pair, Span *ret_value) {
        assert(pair < ix->n_pairs);
        if (ret_value)
                *ret_value = label_of(pair_span(ix, pair)).value;
        return pair_at(ix, pair);
}

/* Grows an array of `size`-byte elements for one more. */
static int reserve(void **array, uint32_t n, uint32_t *cap, size_t size, uint32_t first) {
        if (n < *cap)
                return 0;
        uint32_t more = *cap ? *cap + *cap / 2 + 1 : first;
        void *bigger = realloc(*array, more * size);
        if (!bigger)
                return -ENOMEM;
        *array = bigger;
        *cap = more;
        return 0;
}

/* A text never crosses a page. */
static int text_put(HeadIndex *ix, Span text, uint32_t *ret_at) {
        if (ix->text_at % TEXT_PAGE + text.len > TEXT_PAGE || ix->text_at / TEXT_PAGE >= ix->n_texts) {
                if (ix->n_texts == PAGES_MAX || !(ix->texts[ix->n_texts] = malloc(TEXT_PAGE)))
                        return -ENOMEM;
                ix->text_at = ix->n_texts++ * TEXT_PAGE;
        }
        memcpy(ix->texts[ix->text_at / TEXT_PAGE] + ix->text_at % TEXT_PAGE, text.text, text.len);
        *ret_at = ix->text_at;
        ix->text_at += (uint32_t)text.len;
        return 0;
}

/* The number of a name, made from the pair that first has it. There is room in its list for one more. */
static int name_for(HeadIndex *ix, Span name, uint32_t pair, uint32_t *ret_name) {
        uint32_t number = index_find_name(ix, name), cap = ix->names_cap;
        if (number == SERIES_NONE) {
                CLEANUP_FREE uint32_t *list = malloc(2 * sizeof *list);
                if (!list || reserve((void **)&ix->name_pair, ix->n_names, &cap, sizeof *ix->name_pair, 32) < 0 ||
                    reserve((void **)&ix->names, ix->n_names, &ix->names_cap, sizeof *ix->names, 32) < 0 ||
                    table_reserve(&ix->by_name) < 0)
                        return -ENOMEM;
                number = ix->n_names++;
                ix->names[number] = (LabelName){ .pairs = TAKE_PTR(list), .cap = 2 };
                ix->name_pair[number] = pair;
                table_add(&ix->by_name, hash_text(ix, name), number);
        }
        LabelName *l = &ix->names[number];
        *ret_name = number;
        return reserve((void **)&l->pairs, l->n, &l->cap, sizeof *l->pairs, 2);
}

static int pair_page_reserve(HeadIndex *ix) {
        if (ix->n_pairs < ix->n_pair_pages * PAIR_PAGE)
                return 0;
        if (ix->n_pair_pages == PAGES_MAX || !(ix->pairs[ix->n_pair_pages] = malloc(PAIR_PAGE * sizeof(Pair))))
                return -ENOMEM;
        ix->n_pair_pages++;
        return 0;
}

static int add_pair(HeadIndex *ix, uint32_t tag, Span text, uint32_t *ret_pair) {
        Label l = label_of(text);
        uint32_t number = ix->n_pairs;
        Pair p = { .text_len = (uint16_t)text.len };
        if (pair_page_reserve(ix) < 0 || table_reserve(&ix->by_pair) < 0 || text_put(ix, text, &p.text) < 0)
                return -ENOMEM;
        *pair_at(ix, number) = p; /* name_for() may hash the name from here */
        if (name_for(ix, l.name, number, &p.name) < 0)
                return -ENOMEM;
        LabelName *name = &ix->names[p.name];
        *pair_at(ix, number) = p;
        name->pairs[name->n++] = number;
        name->value_bytes += l.value.len;
        ix->n_pairs++;
        table_add(&ix->by_pair, tag, number);
        *ret_pair = number;
        return 0;
}

static uint32_t *postings(Pair *p) {
        return p->doubled ? p->at.many : p->at.few;
}

/* Room for one more posting. */
static int postings_reserve(HeadIndex *ix, Pair *p) {
        uint32_t cap = UINT32_C(2) << p->doubled;
        if (p->n < cap)
                return 0;
        uint32_t *many = malloc((size_t)cap * 2 * sizeof *many);
        if (!many)
                return -ENOMEM;
        memcpy(many, postings(p), (size_t)p->n * sizeof *many);
        ix->postings_bytes += (p->doubled ? cap : cap * 2) * sizeof *many;
        if (p->doubled)
                free(p->at.many);
        p->at.many = many;
        p->doubled++;
        return 0;
}

Pair *index_pair(const HeadIndex *ix, Span name, Span value) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        Label l = { name, value };
        if (labels_build(&l, 1, &text) != LABELS_OK && text.len == 0)
                return NULL;
        Span span = { text.data, text.len };
        uint32_t pair = find_pair(ix, hash_text(ix, span), span);
        return pair == SERIES_NONE ? NULL : pair_at(ix, pair);
}

void index_take_churn(HeadIndex *ix, const HeadIndex *before) {
        for (uint32_t i = 0; i < before->n_pairs; i++) {
                const Pair *p = pair_at(before, i);
                Span text = pair_span(before, i);
                uint32_t own = p->churn ? find_pair(ix, hash_text(ix, text), text) : SERIES_NONE;
                if (own == SERIES_NONE)
                        continue;
                pair_at(ix, own)->churn = p->churn;
                pair_at(ix, own)->churn_hour = p->churn_hour;
        }
}

/* ---- Adding ---- */

static int page_reserve(HeadIndex *ix) {
        if (ix->at.n_series < ix->n_pages * SERIES_PAGE)
                return 0;
        HeadSeries *page = malloc(SERIES_PAGE * sizeof *page);
        TailSample *tails = malloc((size_t)SERIES_PAGE * TAIL_MAX * sizeof *tails);
        if (!page || !tails) {
                free(page);
                free(tails);
                return -ENOMEM;
        }
        ix->at.series[ix->n_pages] = page;
        ix->at.tails[ix->n_pages++] = tails;
        return 0;
}

static int list_reserve(HeadIndex *ix, size_t n) {
        if (ix->list_at % LIST_PAGE + n <= LIST_PAGE && ix->list_at / LIST_PAGE < ix->n_lists)
                return 0;
        if (ix->n_lists == PAGES_MAX || !(ix->lists[ix->n_lists] = malloc(LIST_PAGE * sizeof(uint32_t))))
                return -ENOMEM;
        ix->list_at = ix->n_lists++ * LIST_PAGE;
        return 0;
}

static const uint32_t *pair_list(const HeadIndex *ix, const HeadSeries *s) {
        return ix->lists[s->pairs / LIST_PAGE] + s->pairs % LIST_PAGE;
}

/* Interns the labels of a run; *ret_n of them. */
static int intern(HeadIndex *ix, const uint8_t *run, size_t len, uint32_t pairs[LABELS_MAX], size_t *ret_n) {
        const uint8_t *at = run, *end = run + len;
        size_t n = 0;
        while (at < end) {
                assert(n < LABELS_MAX);
                Span text = next_label(&at, end);
                uint32_t tag = hash_text(ix, text);
                pairs[n] = find_pair(ix, tag, text);
                if (pairs[n] == SERIES_NONE && add_pair(ix, tag, text, &pairs[n]) < 0)
                        return -ENOMEM;
                n++;
        }
        *ret_n = n;
        return 0;
}

int index_add(HeadIndex *ix, RunHash h, const uint8_t *run, size_t len, uint32_t *ret_ref) {
        uint32_t pairs[LABELS_MAX];
        size_t n = 0;
        if (ix->at.n_series >= ix->max_series)
                return -ENOSPC;
        if (intern(ix, run, len, pairs, &n) < 0 || page_reserve(ix) < 0 || list_reserve(ix, n) < 0 ||
            table_reserve(&ix->by_run) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (postings_reserve(ix, pair_at(ix, pairs[i])) < 0)
                        return -ENOMEM;
        uint32_t ref = ix->at.n_series++;
        *index_series(ix, ref) = (HeadSeries){
                .hash = { h.half[0], h.half[1] }, .last_ms = INT64_MIN, .pairs = ix->list_at, .n_pairs = (uint8_t)n
        };
        memcpy(ix->lists[ix->list_at / LIST_PAGE] + ix->list_at % LIST_PAGE, pairs, n * sizeof *pairs);
        ix->list_at += (uint32_t)n;
        for (size_t i = 0; i < n; i++) {
                Pair *p = pair_at(ix, pairs[i]);
                postings(p)[p->n++] = ref;
        }
        table_add(&ix->by_run, (uint32_t)h.half[0], ref);
        *ret_ref = ref;
        return 0;
}

void index_run(const HeadIndex *ix, uint32_t ref, Buf *out) {
        const HeadSeries *s = &ix->at.series[ref / SERIES_PAGE][ref % SERIES_PAGE];
        const uint32_t *list = pair_list(ix, s);
        for (size_t i = 0; i < s->n_pairs; i++) {
                const Pair *p = pair_at(ix, list[i]);
                buf_put(out, pair_text(ix, p), p->text_len);
        }
}

Pair *index_pair_of(const HeadIndex *ix, uint32_t ref, Span name) {
        const HeadSeries *s = index_series(ix, ref);
        const uint32_t *list = pair_list(ix, s);
        uint32_t number = index_find_name(ix, name);
        for (size_t i = 0; i < s->n_pairs && number != SERIES_NONE; i++)
                if (pair_at(ix, list[i])->name == number)
                        return pair_at(ix, list[i]);
        return NULL;
}

/* ---- Selecting: a bitmap over all series, narrowed by one matcher after the other ---- */

static void mark(Pair *p, uint64_t *bits) {
        const uint32_t *at = postings(p);
        for (uint32_t i = 0; i < p->n; i++)
                bits[at[i] / 64] |= UINT64_C(1) << (at[i] % 64);
}

/* Marks the series that have the matcher's label with a value for which it answers `want`. */
static void mark_label(const HeadIndex *ix, const Matcher *m, bool want, uint64_t *bits) {
        if (m->type == MATCH_EQUAL && want) {
                Pair *p = m->value.len ? index_pair(ix, m->name, m->value) : NULL;
                if (p)
                        mark(p, bits);
                return;
        }
        uint32_t name = index_find_name(ix, m->name);
        if (name == SERIES_NONE)
                return;
        const LabelName *l = &ix->names[name];
        for (uint32_t i = 0; i < l->n; i++)
                if (matcher_matches(m, label_of(pair_span(ix, l->pairs[i])).value) == want)
                        mark(pair_at(ix, l->pairs[i]), bits);
}

int index_select(const HeadIndex *ix, const Matcher *matchers, size_t n, Buf *ret_refs) {
        size_t words = ((size_t)ix->at.n_series + 63) / 64;
        CLEANUP_FREE uint64_t *all = malloc((words + 1) * sizeof *all);
        CLEANUP_FREE uint64_t *one = malloc((words + 1) * sizeof *one);
        if (!all || !one)
                return -ENOMEM;
        memset(all, 0xff, words * sizeof *all);
        if (ix->at.n_series % 64)
                all[words - 1] = (UINT64_C(1) << (ix->at.n_series % 64)) - 1;
        for (size_t i = 0; i < n; i++) {
                /* A matcher that holds for "" holds for all series but those whose label says otherwise. */
                bool absent = matcher_matches(&matchers[i], (Span){ "", 0 });
                memset(one, 0, words * sizeof *one);
                mark_label(ix, &matchers[i], !absent, one);
                for (size_t w = 0; w < words; w++)
                        all[w] &= absent ? ~one[w] : one[w];
        }
        for (size_t w = 0; w < words; w++)
                for (uint64_t rest = all[w]; rest; rest &= rest - 1) {
                        uint32_t ref = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(rest);
                        buf_put(ret_refs, &ref, sizeof ref);
                }
        return buf_error(ret_refs);
}

/* ---- Sorting: pairs get ranks, series are compared by their ranks ---- */

static int compare_spans(Span a, Span b) {
        int c = memcmp(a.text, b.text, a.len < b.len ? a.len : b.len);
        return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int compare_pairs(const void *a, const void *b, void *context) {
        const HeadIndex *ix = context;
        Label x = label_of(pair_span(ix, *(const uint32_t *)a)), y = label_of(pair_span(ix, *(const uint32_t *)b));
        int c = compare_spans(x.name, y.name);
        return c ? c : compare_spans(x.value, y.value);
}

typedef struct Ranking {
        const HeadIndex *index;
        const uint32_t *rank; /* of each pair */
} Ranking;

static int compare_series(const void *a, const void *b, void *context) {
        const Ranking *r = context;
        const HeadIndex *ix = r->index;
        uint32_t ra = *(const uint32_t *)a, rb = *(const uint32_t *)b;
        const HeadSeries *x = &ix->at.series[ra / SERIES_PAGE][ra % SERIES_PAGE],
                         *y = &ix->at.series[rb / SERIES_PAGE][rb % SERIES_PAGE];
        const uint32_t *px = pair_list(ix, x), *py = pair_list(ix, y);
        for (size_t i = 0; i < x->n_pairs && i < y->n_pairs; i++)
                if (px[i] != py[i])
                        return r->rank[px[i]] < r->rank[py[i]] ? -1 : 1;
        return (x->n_pairs > y->n_pairs) - (x->n_pairs < y->n_pairs);
}

uint32_t index_pairs(const HeadIndex *ix) {
        return ix->n_pairs;
}

int index_sort(const HeadIndex *ix, uint32_t n, uint32_t n_pairs, uint32_t *ret_refs) {
        CLEANUP_FREE uint32_t *order = malloc(((size_t)n_pairs + 1) * sizeof *order);
        CLEANUP_FREE uint32_t *rank = malloc(((size_t)n_pairs + 1) * sizeof *rank);
        if (!order || !rank)
                return -ENOMEM;
        for (uint32_t i = 0; i < n_pairs; i++)
                order[i] = i;
        qsort_r(order, n_pairs, sizeof *order, compare_pairs, (void *)(uintptr_t)ix);
        for (uint32_t i = 0; i < n_pairs; i++)
                rank[order[i]] = i;
        for (uint32_t i = 0; i < n; i++)
                ret_refs[i] = i;
        Ranking r = { ix, rank };
        qsort_r(ret_refs, n, sizeof *ret_refs, compare_series, &r);
        return 0;
}

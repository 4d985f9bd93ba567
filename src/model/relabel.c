#include "model/relabel.h"

#include "base/escape.h"
#include "base/regex.h"

#include <assert.h>
#include <limits.h>
#include <locale.h>
#include <nettle/md5.h>
#include <wchar.h>
#include <wctype.h>

#define TEXT_MAX (64u << 10) /* bytes of one value that is put together */

struct RelabelRule {
        RelabelAction action;
        char **sources;
        size_t n_sources;
        char *separator, *target, *replacement;
        char *expression;
        Regex *regex;
        uint64_t modulus;
        bool target_varies; /* has groups in it */
        locale_t unicode;   /* for upper and lower case; (locale_t)0 otherwise */
};

/* What rules put together on their way through one set. */
typedef struct Work {
        Buf value, target, replacement;
} Work;

static const char *const ACTIONS[] = {
        [RELABEL_REPLACE] = "replace",     [RELABEL_KEEP] = "keep",           [RELABEL_DROP] = "drop",
        [RELABEL_KEEPEQUAL] = "keepequal", [RELABEL_DROPEQUAL] = "dropequal", [RELABEL_HASHMOD] = "hashmod",
        [RELABEL_LABELMAP] = "labelmap",   [RELABEL_LABELDROP] = "labeldrop", [RELABEL_LABELKEEP] = "labelkeep",
        [RELABEL_LOWERCASE] = "lowercase", [RELABEL_UPPERCASE] = "uppercase",
};
static_assert(ARRAY_LEN(ACTIONS) == RELABEL_ACTION_COUNT, "every action has a name");

const char *relabel_action_name(RelabelAction a) {
        assert((unsigned)a < RELABEL_ACTION_COUNT);
        return ACTIONS[a];
}

/* ---- making rules ---- */

static RelabelRule *rule_free(RelabelRule *r) {
        if (!r)
                return NULL;
        for (size_t i = 0; i < r->n_sources; i++)
                free(r->sources[i]);
        free(r->sources);
        free(r->separator);
        free(r->target);
        free(r->replacement);
        free(r->expression);
        (void)regex_free(r->regex);
        if (r->unicode)
                freelocale(r->unicode);
        free(r);
        return NULL;
}

static void rule_freep(RelabelRule **r) {
        (void)rule_free(*r);
}

void relabel_rules_deinit(RelabelRules *r) {
        for (size_t i = 0; i < r->n; i++)
                (void)rule_free(r->rules[i]);
        free(r->rules);
        *r = RELABEL_RULES_NULL;
}

static int refuse(Buf *ret_error, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int refuse(Buf *ret_error, const char *fmt, ...) {
        CLEANUP_FREE char *text = NULL;
        va_list args;
        va_start(args, fmt);
        int n = vasprintf(&text, fmt, args);
        va_end(args);
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        buf_put_str(ret_error, text);
        return -EINVAL;
}

static int find_action(const char *name, RelabelAction *ret_action, Buf *ret_error) {
        for (size_t i = 0; i < ARRAY_LEN(ACTIONS); i++)
                if (strcasecmp(name, ACTIONS[i]) == 0) {
                        *ret_action = (RelabelAction)i;
                        return 0;
                }
        buf_printf(ret_error, "unknown action \"%.40s\", expected one of ", name);
        for (size_t i = 0; i < ARRAY_LEN(ACTIONS); i++)
                buf_printf(ret_error, "%s%s", i ? ", " : "", ACTIONS[i]);
        return -EINVAL;
}

static bool is_name(Span s) {
        return s.len > 0 && utf8_valid(s.text, s.len) && !memchr(s.text, 0, s.len);
}

static bool writes_target(RelabelAction a) {
        return a == RELABEL_REPLACE || a == RELABEL_HASHMOD || a == RELABEL_LOWERCASE || a == RELABEL_UPPERCASE ||
               a == RELABEL_KEEPEQUAL || a == RELABEL_DROPEQUAL;
}

static bool differs(const char *text, const char *usual) {
        return text && strcmp(text, usual) != 0;
}

/* What an action has no use for is refused, as Prometheus does: it was meant for another action. */
static int check_spare(const RelabelSpec *s, RelabelAction a, Buf *ret_error) {
        const char *name = ACTIONS[a];
        bool cases = a == RELABEL_LOWERCASE || a == RELABEL_UPPERCASE, equal = a == RELABEL_KEEPEQUAL ||
                a == RELABEL_DROPEQUAL;
        bool other = s->modulus != 0 || differs(s->separator, ";") || differs(s->replacement, "$1");
        if (cases && differs(s->replacement, "$1"))
                return refuse(ret_error, "'replacement' can not be set for %s", name);
        if (equal && (other || s->regex))
                return refuse(ret_error, "%s takes 'source_labels' and 'target_label' and no other keys", name);
        if ((a == RELABEL_LABELDROP || a == RELABEL_LABELKEEP) &&
            (other || s->n_source_labels > 0 || (s->target_label && *s->target_label)))
                return refuse(ret_error, "%s takes 'regex' and no other keys", name);
        return 0;
}

static int check_spec(const RelabelSpec *s, RelabelAction a, Buf *ret_error) {
        const char *name = ACTIONS[a], *target = s->target_label ? s->target_label : "";
        const char *replacement = s->replacement ? s->replacement : "$1";
        if (a == RELABEL_HASHMOD && s->modulus == 0)
                return refuse(ret_error, "hashmod needs a 'modulus' that is not 0");
        if (writes_target(a) && !*target)
                return refuse(ret_error, "%s needs a 'target_label'", name);
        if (writes_target(a) && !is_name(span_of(target)))
                return refuse(ret_error, "the 'target_label' is not UTF-8");
        if (a == RELABEL_LABELMAP && !is_name(span_of(replacement)))
                return refuse(ret_error, "\"%.80s\" is no 'replacement' for labelmap, expected the name of a label",
                              replacement);
        if (s->n_source_labels > RELABEL_SOURCES_MAX)
                return refuse(ret_error, "%zu 'source_labels', expected at most %u", s->n_source_labels,
                              RELABEL_SOURCES_MAX);
        for (size_t i = 0; i < s->n_source_labels; i++)
                if (!is_name(span_of(s->source_labels[i])))
                        return refuse(ret_error, "an empty name in 'source_labels', expected the name of a label");
        return check_spare(s, a, ret_error);
}

static int copy_text(const char *text, const char *usual, char **ret_copy) {
        *ret_copy = strdup(text ? text : usual);
        return *ret_copy ? 0 : -ENOMEM;
}

static int copy_sources(RelabelRule *r, const RelabelSpec *s) {
        r->sources = calloc(s->n_source_labels ? s->n_source_labels : 1, sizeof *r->sources);
        if (!r->sources)
                return -ENOMEM;
        for (; r->n_sources < s->n_source_labels; r->n_sources++) {
                int n = copy_text(s->source_labels[r->n_sources], "", &r->sources[r->n_sources]);
                if (n < 0)
                        return n;
        }
        return 0;
}

static int compile(RelabelRule *r, Buf *ret_error) {
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        int n = regex_new(r->expression, strlen(r->expression), &why, &r->regex);
        if (n == -ENOMEM)
                return n;
        if (n < 0)
                return refuse(ret_error, "the 'regex' is not one: %s", buf_cstr(&why));
        return 0;
}

static int rule_new(const RelabelSpec *s, Buf *ret_error, RelabelRule **ret_rule) {
        RelabelAction action = RELABEL_REPLACE;
        int n = s->action ? find_action(s->action, &action, ret_error) : 0;
        if (n == 0)
                n = check_spec(s, action, ret_error);
        if (n < 0)
                return n;
        CLEANUP(rule_freep) RelabelRule *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        r->action = action;
        r->modulus = s->modulus;
        if (copy_sources(r, s) < 0 || copy_text(s->separator, ";", &r->separator) < 0 ||
            copy_text(s->target_label, "", &r->target) < 0 || copy_text(s->replacement, "$1", &r->replacement) < 0 ||
            copy_text(s->regex, "(.*)", &r->expression) < 0)
                return -ENOMEM;
        r->target_varies = action == RELABEL_REPLACE && strchr(r->target, '$');
        if (action == RELABEL_LOWERCASE || action == RELABEL_UPPERCASE)
                r->unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
        n = compile(r, ret_error);
        if (n < 0)
                return n;
        *ret_rule = TAKE_PTR(r);
        return 0;
}

int relabel_rules_add(RelabelRules *r, const RelabelSpec *spec, Buf *ret_error) {
        CLEANUP(rule_freep) RelabelRule *rule = NULL;
        if (r->n == RELABEL_RULES_MAX)
                return refuse(ret_error, "more than %u rules", RELABEL_RULES_MAX);
        int n = rule_new(spec, ret_error, &rule);
        if (n < 0)
                return n;
        RelabelRule **rules = reallocarray(r->rules, r->n + 1, sizeof *rules);
        if (!rules)
                return -ENOMEM;
        r->rules = rules;
        r->rules[r->n++] = TAKE_PTR(rule);
        return 0;
}

static bool rule_equal(const RelabelRule *a, const RelabelRule *b) {
        if (a->action != b->action || a->modulus != b->modulus || a->n_sources != b->n_sources ||
            strcmp(a->separator, b->separator) != 0 || strcmp(a->target, b->target) != 0 ||
            strcmp(a->replacement, b->replacement) != 0 || strcmp(a->expression, b->expression) != 0)
                return false;
        for (size_t i = 0; i < a->n_sources; i++)
                if (strcmp(a->sources[i], b->sources[i]) != 0)
                        return false;
        return true;
}

bool relabel_rules_equal(const RelabelRules *a, const RelabelRules *b) {
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++)
                if (!rule_equal(a->rules[i], b->rules[i]))
                        return false;
        return true;
}

/* ---- applying them ---- */

static Span buf_span(const Buf *b) {
        return (Span){ b->len ? b->data : "", b->len };
}

/* The values of the source labels, joined. One alone is not copied. */
static Span source_value(const RelabelRule *r, const LabelDraft *set, Buf *room) {
        if (r->n_sources == 0)
                return (Span){ "", 0 };
        if (r->n_sources == 1)
                return label_set_get(set, span_of(r->sources[0]));
        buf_reset(room);
        for (size_t i = 0; i < r->n_sources; i++) {
                Span v = label_set_get(set, span_of(r->sources[i]));
                if (i)
                        buf_put_str(room, r->separator);
                buf_put(room, v.text, v.len);
        }
        return buf_span(room);
}

static void replace(const RelabelRule *r, LabelDraft *set, Span value, Work *w) {
        Span target = span_of(r->target);
        buf_reset(&w->replacement);
        if (!regex_expand(r->regex, value.text, value.len, r->replacement, strlen(r->replacement), &w->replacement))
                return;
        if (r->target_varies) {
                buf_reset(&w->target);
                (void)regex_expand(r->regex, value.text, value.len, r->target, strlen(r->target), &w->target);
                target = buf_span(&w->target);
        }
        if (is_name(target))
                label_set_set(set, target, buf_span(&w->replacement));
}

/* What is no letter, or no UTF-8, stays as it is. */
static void put_case(const RelabelRule *r, Span value, Buf *out) {
        mbstate_t in = { 0 };
        locale_t before = r->unicode ? uselocale(r->unicode) : (locale_t)0;
        for (size_t i = 0; i < value.len;) {
                wchar_t c;
                char bytes[MB_LEN_MAX];
                size_t n = mbrtowc(&c, value.text + i, value.len - i, &in), written = (size_t)-1;
                if (n == 0 || n > value.len - i) {
                        buf_put_char(out, value.text[i++]);
                        memset(&in, 0, sizeof in);
                        continue;
                }
                mbstate_t state = { 0 };
                c = (wchar_t)(r->action == RELABEL_LOWERCASE ? towlower((wint_t)c) : towupper((wint_t)c));
                written = wcrtomb(bytes, c, &state);
                if (written != (size_t)-1)
                        buf_put(out, bytes, written);
                i += n;
        }
        if (r->unicode)
                (void)uselocale(before);
}

static void change_case(const RelabelRule *r, LabelDraft *set, Span value, Work *w) {
        buf_reset(&w->replacement);
        put_case(r, value, &w->replacement);
        label_set_set(set, span_of(r->target), buf_span(&w->replacement));
}

static void hash(const RelabelRule *r, LabelDraft *set, Span value) {
        struct md5_ctx md5;
        uint8_t digest[MD5_DIGEST_SIZE];
        uint64_t last = 0;
        char text[24];
        md5_init(&md5);
        md5_update(&md5, value.len, (const uint8_t *)value.text);
        md5_digest(&md5, sizeof digest, digest);
        for (size_t i = 8; i < sizeof digest; i++)
                last = last << 8 | digest[i];
        int n = snprintf(text, sizeof text, "%llu", (unsigned long long)(last % r->modulus));
        label_set_set(set, span_of(r->target), (Span){ text, (size_t)n });
}

/* The labels as they are now, for rules that change them on the way through. */
static LabelSetItem *snapshot(LabelDraft *set) {
        LabelSetItem *items = reallocarray(NULL, set->n ? set->n : 1, sizeof *items);
        if (!items)
                set->error = -ENOMEM;
        else if (set->n)
                memcpy(items, set->items, set->n * sizeof *items);
        return items;
}

/* Those that the set began with come first, then the others, as in Prometheus: later ones win. */
static void map_names(const RelabelRule *r, LabelDraft *set, Work *w) {
        size_t n = set->n;
        CLEANUP_FREE LabelSetItem *items = snapshot(set);
        for (size_t i = 0; items && i < n; i++) {
                Span name = items[i].label.name;
                buf_reset(&w->target);
                if (regex_expand(r->regex, name.text, name.len, r->replacement, strlen(r->replacement), &w->target) &&
                    is_name(buf_span(&w->target)))
                        label_set_set(set, buf_span(&w->target), items[i].label.value);
        }
}

static void filter_names(const RelabelRule *r, LabelDraft *set) {
        size_t kept = 0;
        for (size_t i = 0; i < set->n; i++) {
                Span name = set->items[i].label.name;
                if (regex_matches(r->regex, name.text, name.len) == (r->action == RELABEL_LABELKEEP))
                        set->items[kept++] = set->items[i];
        }
        set->n = kept;
}

/* False: the set is dropped. */
static bool apply(const RelabelRule *r, LabelDraft *set, Work *w) {
        Span value = source_value(r, set, &w->value), other;
        switch (r->action) {
        case RELABEL_REPLACE: replace(r, set, value, w); break;
        case RELABEL_KEEP: return regex_matches(r->regex, value.text, value.len);
        case RELABEL_DROP: return !regex_matches(r->regex, value.text, value.len);
        case RELABEL_KEEPEQUAL:
        case RELABEL_DROPEQUAL:
                other = label_set_get(set, span_of(r->target));
                return (other.len == value.len &&
                        memcmp(other.text, value.text, value.len) == 0) == (r->action == RELABEL_KEEPEQUAL);
        case RELABEL_HASHMOD: hash(r, set, value); break;
        case RELABEL_LABELMAP: map_names(r, set, w); break;
        case RELABEL_LABELDROP:
        case RELABEL_LABELKEEP: filter_names(r, set); break;
        case RELABEL_LOWERCASE:
        case RELABEL_UPPERCASE: change_case(r, set, value, w); break;
        case RELABEL_ACTION_COUNT: assert(!"an action"); break;
        }
        return true;
}

static void work_deinit(Work *w) {
        buf_deinit(&w->value);
        buf_deinit(&w->target);
        buf_deinit(&w->replacement);
}

static int work_error(const Work *w) {
        int r = buf_error(&w->value) ? buf_error(&w->value) :
                buf_error(&w->target) ? buf_error(&w->target) : buf_error(&w->replacement);
        return r == -EFBIG ? -E2BIG : r;
}

int relabel_apply(const RelabelRules *r, LabelDraft *set) {
        CLEANUP(work_deinit) Work w = { BUF_WITH_LIMIT(TEXT_MAX), BUF_WITH_LIMIT(TEXT_MAX), BUF_WITH_LIMIT(TEXT_MAX) };
        for (size_t i = 0; i < r->n && !set->error; i++) {
                bool keep = apply(r->rules[i], set, &w);
                int error = work_error(&w);
                if (error)
                        return error;
                if (!keep)
                        return set->error;
        }
        return set->error ? set->error : 1;
}

int relabel_run(const RelabelRules *r, const uint8_t *run, size_t len, LabelDraft *scratch, Buf *out,
                LabelsFault *ret_fault) {
        label_set_reset(scratch);
        label_set_add_run(scratch, run, len);
        int keep = relabel_apply(r, scratch);
        if (keep <= 0)
                return keep;
        Span name = label_set_get(scratch, span_of(METRIC_NAME_LABEL));
        LabelsFault fault = name.len ? label_set_build(scratch, out) : LABELS_NO_METRIC_NAME;
        if (fault) {
                *ret_fault = fault;
                return -EINVAL;
        }
        return buf_error(out) ? buf_error(out) : 1;
}

/* A small scanner finds where each element of a list begins and ends and how deep it is; jansson reads
 * one element at a time. So the tree that jansson builds is never larger than one element makes it. */
#include "wire/engine_json.h"

#include "base/buf.h"
#include "base/scan.h"

#include <assert.h>
#include <jansson.h>
#include <time.h>

#define JSON_FLAGS (JSON_ALLOW_NUL | JSON_DECODE_ANY)

static void container_deinit(EngineContainer *c) {
        for (size_t i = 0; i < c->n_labels; i++) {
                free(c->labels[i].key);
                free(c->labels[i].value);
        }
        free(c->labels);
        free(c->id);
        free(c->name);
        free(c->image);
        free(c->state);
        free(c->status);
        *c = (EngineContainer){ .id = NULL };
}

void engine_list_deinit(EngineList *l) {
        for (size_t i = 0; i < l->n; i++)
                container_deinit(&l->containers[i]);
        free(l->containers);
        *l = ENGINE_LIST_NULL;
}

const EngineContainer *engine_list_find(const EngineList *l, const char *id) {
        for (size_t i = 0; i < l->n; i++)
                if (strcmp(l->containers[i].id, id) == 0)
                        return &l->containers[i];
        return NULL;
}

/* Room for one more container, zeroed; NULL at the limit or without memory (*ret_error tells). */
static EngineContainer *list_add(EngineList *l, int *ret_error) {
        *ret_error = 0;
        if (l->n >= ENGINE_CONTAINERS_MAX) {
                l->skipped++;
                return NULL;
        }
        if ((l->n & (l->n - 1)) == 0) {
                size_t cap = l->n ? l->n * 2 : 1;
                EngineContainer *containers = reallocarray(l->containers, cap, sizeof *containers);
                if (!containers) {
                        *ret_error = -ENOMEM;
                        return NULL;
                }
                l->containers = containers;
        }
        l->containers[l->n] = (EngineContainer){ .id = NULL };
        return &l->containers[l->n];
}

/* ---- texts */

/* At most ENGINE_TEXT_MAX bytes, cut before a character that does not fit. */
static char *text_dup(const char *s) {
        size_t n = strnlen(s, ENGINE_TEXT_MAX + 1);
        if (n > ENGINE_TEXT_MAX)
                for (n = ENGINE_TEXT_MAX; n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80;)
                        n--;
        return strndup(s, n);
}

/* The text of a member, "" when it is none. NULL without memory. */
static char *member_text(const json_t *object, const char *key) {
        const char *s = json_string_value(json_object_get(object, key));
        return text_dup(s ? s : "");
}

static const char *strip_slash(const char *s) {
        return s[0] == '/' ? s + 1 : s;
}

/* Turns what is missing into "", checks that memory sufficed. */
static int container_check(const EngineContainer *c) {
        return c->id && c->name && c->image && c->state && c->status ? 0 : -ENOMEM;
}

static int labels_read(EngineContainer *c, json_t *labels) {
        const char *key;
        json_t *value;
        size_t n = json_object_size(labels);
        if (n == 0)
                return 0;
        if (n > ENGINE_LABELS_MAX)
                n = ENGINE_LABELS_MAX;
        c->labels = calloc(n, sizeof *c->labels);
        if (!c->labels)
                return -ENOMEM;
        json_object_foreach(labels, key, value) {
                if (c->n_labels == n)
                        break;
                if (!json_is_string(value))
                        continue;
                EngineLabel *l = &c->labels[c->n_labels++];
                l->key = text_dup(key);
                l->value = text_dup(json_string_value(value));
                if (!l->key || !l->value)
                        return -ENOMEM;
        }
        return 0;
}

static bool two_digits(const char *s, int *ret_v) {
        if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
                return false;
        *ret_v = (s[0] - '0') * 10 + (s[1] - '0');
        return true;
}

/* "2023-11-05T10:20:30.123456789Z" or with "+01:00"; 0 when it is something else or the year 1. */
static int64_t rfc3339(const char *s) {
        int century, year, month, day, hour, minute, second, zone_hour = 0, zone_minute = 0;
        if (!s || strlen(s) < 20 || !two_digits(s, &century) || !two_digits(s + 2, &year) || s[4] != '-' ||
            !two_digits(s + 5, &month) || s[7] != '-' || !two_digits(s + 8, &day) || s[10] != 'T' ||
            !two_digits(s + 11, &hour) || s[13] != ':' || !two_digits(s + 14, &minute) || s[16] != ':' ||
            !two_digits(s + 17, &second) || month < 1 || month > 12)
                return 0;
        const char *zone = s + 19 + strspn(s + 19, ".0123456789");
        int sign = *zone == '-' ? -1 : 1;
        if (*zone != 'Z' && (strlen(zone) < 6 || (*zone != '+' && *zone != '-') || !two_digits(zone + 1, &zone_hour) ||
                             !two_digits(zone + 4, &zone_minute)))
                return 0;
        struct tm tm = { .tm_year = century * 100 + year - 1900, .tm_mon = month - 1, .tm_mday = day,
                         .tm_hour = hour, .tm_min = minute, .tm_sec = second };
        int64_t t = (int64_t)timegm(&tm) - sign * (zone_hour * 3600 + zone_minute * 60);
        return t > 0 ? t : 0;
}

/* ---- one element each: 0, -EBADMSG when it is no container, -ENOMEM */

typedef int (*ElementFn)(json_t *element, EngineContainer *c);

/* Of GET /containers/json: {"Id", "Names": ["/x"], "Image", "ImageID", "Created": seconds, "State", "Status",
 * "Labels": {}}. */
static int read_listed(json_t *e, EngineContainer *c) {
        const char *name = json_string_value(json_array_get(json_object_get(e, "Names"), 0));
        const char *image = json_string_value(json_object_get(e, "Image"));
        const char *image_id = json_string_value(json_object_get(e, "ImageID"));
        c->id = member_text(e, "Id");
        c->name = text_dup(name ? strip_slash(name) : "");
        c->image = text_dup(image && image[0] ? image : image_id ? image_id : "");
        c->state = member_text(e, "State");
        c->status = member_text(e, "Status");
        json_t *created = json_object_get(e, "Created");
        c->created = json_is_integer(created) && json_integer_value(created) > 0 ? json_integer_value(created) : 0;
        if (container_check(c) < 0)
                return -ENOMEM;
        return c->id[0] == '\0' ? -EBADMSG : labels_read(c, json_object_get(e, "Labels"));
}

static const char *docker_state(const json_t *state) {
        static const char *const KEYS[][2] = {
                { "Restarting", "restarting" }, { "Paused", "paused" }, { "Running", "running" }, { "Dead", "dead" },
        };
        for (size_t i = 0; i < ARRAY_LEN(KEYS); i++)
                if (json_is_true(json_object_get(state, KEYS[i][0])))
                        return KEYS[i][1];
        return state ? "exited" : "";
}

/* config.v2.json: {"ID", "Name": "/x", "Created", "State": {"Running": true}, "Config": {"Image", "Labels"}}. */
static int read_docker_config(json_t *e, EngineContainer *c) {
        json_t *config = json_object_get(e, "Config");
        const char *name = json_string_value(json_object_get(e, "Name"));
        const char *image = json_string_value(json_object_get(config, "Image"));
        const char *image_id = json_string_value(json_object_get(e, "Image"));
        c->id = member_text(e, "ID");
        c->name = text_dup(name ? strip_slash(name) : "");
        c->image = text_dup(image && image[0] ? image : image_id ? image_id : "");
        c->state = text_dup(docker_state(json_object_get(e, "State")));
        c->status = strdup("");
        c->created = rfc3339(json_string_value(json_object_get(e, "Created")));
        if (container_check(c) < 0)
                return -ENOMEM;
        return c->id[0] == '\0' ? -EBADMSG : labels_read(c, json_object_get(config, "Labels"));
}

/* Whether jansson may read it: not nested too deep, not too long. Strings are skipped as JSON has them. */
static bool nesting_ok(Span s) {
        int depth = 0;
        bool string = false;
        if (s.len > ENGINE_ELEMENT_MAX)
                return false;
        for (size_t i = 0; i < s.len; i++) {
                char c = s.text[i];
                if (string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                string = false;
                } else if (c == '"')
                        string = true;
                else if (c == '{' || c == '[') {
                        if (++depth > ENGINE_DEPTH_MAX)
                                return false;
                } else if (c == '}' || c == ']')
                        depth--;
        }
        return true;
}

static json_t *load(Span s) {
        return nesting_ok(s) ? json_loadb(s.text, s.len, JSON_FLAGS, NULL) : NULL;
}

/* containers.json: {"id", "names": ["x"], "image", "created", "metadata": "{\"image-name\": ...}"}: labels
 * are elsewhere, in an artifact of each container. */
static int read_podman_config(json_t *e, EngineContainer *c) {
        json_t *metadata = json_object_get(e, "metadata");
        CLEANUP(json_decrefp) json_t *inner = NULL;
        if (json_is_string(metadata))
                inner = load((Span){ json_string_value(metadata), json_string_length(metadata) });
        const char *name = json_string_value(json_array_get(json_object_get(e, "names"), 0));
        const char *inner_name = json_string_value(json_object_get(inner, "name"));
        const char *image = json_string_value(json_object_get(inner, "image-name"));
        const char *image_id = json_string_value(json_object_get(e, "image"));
        c->id = member_text(e, "id");
        c->name = text_dup(name ? strip_slash(name) : inner_name ? inner_name : "");
        c->image = text_dup(image && image[0] ? image : image_id ? image_id : "");
        c->state = strdup("");
        c->status = strdup("");
        c->created = rfc3339(json_string_value(json_object_get(e, "created")));
        if (container_check(c) < 0)
                return -ENOMEM;
        return c->id[0] == '\0' ? -EBADMSG : 0;
}

/* Adds the container that `s` says; what is none is skipped. 0 or -ENOMEM. */
static int element_take(Span s, ElementFn read, EngineList *l) {
        CLEANUP(json_decrefp) json_t *e = load(s);
        int r;
        if (!json_is_object(e)) {
                l->skipped++;
                return 0;
        }
        EngineContainer *c = list_add(l, &r);
        if (!c)
                return r;
        r = read(e, c);
        if (r == 0) {
                l->n++;
                return 0;
        }
        container_deinit(c);
        if (r == -EBADMSG) {
                l->skipped++;
                return 0;
        }
        return r;
}

/* ---- lists */

static void skip_space(Scan *s) {
        while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
                s->at++;
}

/* Takes the bytes up to the comma or bracket that ends this element of the outermost list. */
static bool element_span(Scan *s, Span *ret_span) {
        const char *start = s->at;
        size_t depth = 0;
        bool string = false;
        for (const char *p = start; p < s->end; p++) {
                if (string) {
                        if (*p == '\\')
                                p++;
                        else if (*p == '"')
                                string = false;
                } else if (*p == '"')
                        string = true;
                else if (*p == '{' || *p == '[')
                        depth++;
                else if (depth == 0 && (*p == ',' || *p == ']')) {
                        *ret_span = (Span){ start, (size_t)(p - start) };
                        s->at = p;
                        return true;
                } else if (*p == '}' || *p == ']') {
                        if (depth == 0)
                                return false;
                        depth--;
                }
        }
        return false;
}

static int list_take(Scan s, ElementFn read, EngineList *l) {
        skip_space(&s);
        /* Podman without containers may answer "null". */
        if (scan_literal(&s, "null"))
                return 0;
        if (!scan_literal(&s, "["))
                return -EBADMSG;
        skip_space(&s);
        if (scan_literal(&s, "]"))
                return 0;
        for (;;) {
                Span element;
                skip_space(&s);
                if (!element_span(&s, &element))
                        return -EBADMSG;
                int r = element_take(element, read, l);
                if (r < 0)
                        return r;
                if (scan_literal(&s, "]"))
                        return 0;
                if (!scan_literal(&s, ","))
                        return -EBADMSG;
        }
}

static int parse_list(const void *bytes, size_t n, ElementFn read, EngineList *ret) {
        CLEANUP(engine_list_deinit) EngineList l = ENGINE_LIST_NULL;
        int r = n > 0 ? list_take(SCAN((const char *)bytes, n), read, &l) : -EBADMSG;
        if (r < 0)
                return r;
        *ret = l;
        l = ENGINE_LIST_NULL;
        return 0;
}

int engine_parse_list(const void *bytes, size_t n, EngineList *ret) {
        return parse_list(bytes, n, read_listed, ret);
}

int engine_parse_podman_configs(const void *bytes, size_t n, EngineList *ret) {
        return parse_list(bytes, n, read_podman_config, ret);
}

int engine_parse_docker_config(const void *bytes, size_t n, EngineList *ret) {
        CLEANUP(engine_list_deinit) EngineList l = ENGINE_LIST_NULL;
        int r = n > 0 ? element_take((Span){ bytes, n }, read_docker_config, &l) : -EBADMSG;
        if (r < 0)
                return r;
        if (l.n != 1)
                return -EBADMSG;
        *ret = l;
        l = ENGINE_LIST_NULL;
        return 0;
}

/* ---- HTTP */

static bool header_is(Span line, const char *name, const char *value) {
        size_t n = strlen(name);
        if (line.len <= n || strncasecmp(line.text, name, n) != 0 || line.text[n] != ':')
                return false;
        Scan s = SCAN(line.text + n + 1, line.len - n - 1);
        Span word;
        if (!scan_word(&s, &word))
                return false;
        if (word.text[word.len - 1] == '\r')
                word.len--;
        return word.len == strlen(value) && strncasecmp(word.text, value, word.len) == 0;
}

/* Status line and headers; leaves the scan at the body. */
static int head_take(Scan *s, bool *ret_chunked) {
        Span line;
        uint64_t status;
        *ret_chunked = false;
        if (!scan_line(s, &line) || !span_starts(line, "HTTP/1."))
                return -EBADMSG;
        Scan l = SCAN(line.text, line.len);
        Span version;
        if (!scan_word(&l, &version) || !scan_u64(&l, &status))
                return -EBADMSG;
        for (;;) {
                if (!scan_line(s, &line))
                        return -EBADMSG;
                if (line.len == 0 || (line.len == 1 && line.text[0] == '\r'))
                        return status == 200 ? 0 : -EREMOTEIO;
                *ret_chunked = *ret_chunked || header_is(line, "Transfer-Encoding", "chunked");
        }
}

static bool chunk_size(Span line, size_t *ret_n) {
        size_t v = 0, i = 0;
        for (; i < line.len && i < 8; i++) {
                char c = line.text[i];
                int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
                            c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
                if (digit < 0)
                        break;
                v = v << 4 | (size_t)digit;
        }
        *ret_n = v;
        return i > 0 && (i == line.len || line.text[i] == '\r' || line.text[i] == ';');
}

static int unchunk(Scan s, Buf *body) {
        for (;;) {
                Span line;
                size_t n;
                if (!scan_line(&s, &line) || !chunk_size(line, &n))
                        return -EBADMSG;
                if (n == 0)
                        return buf_error(body);
                if ((size_t)(s.end - s.at) < n)
                        return -EBADMSG;
                buf_put(body, s.at, n);
                s.at += n;
                if (!scan_line(&s, &line) || line.len > 1)
                        return -EBADMSG;
        }
}

int engine_parse_answer(const void *bytes, size_t n, EngineList *ret) {
        CLEANUP(buf_deinit) Buf body = BUF_NULL;
        bool chunked;
        if (n == 0)
                return -EBADMSG;
        Scan s = SCAN((const char *)bytes, n);
        int r = head_take(&s, &chunked);
        if (r < 0)
                return r;
        if (!chunked)
                return engine_parse_list(s.at, (size_t)(s.end - s.at), ret);
        r = unchunk(s, &body);
        return r < 0 ? r : engine_parse_list(body.data, body.len, ret);
}

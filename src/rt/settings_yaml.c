/* YAML text as a tree; see settings_yaml.h.
 *
 * The parser is driven event by event and stops at the first thing that is refused, before libyaml
 * could build anything from it: memory and time stay proportional to the file, which is capped. */
#include "rt/settings_yaml.h"

#include "base/escape.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <yaml.h>

void yaml_error(YamlErrors *e, unsigned line, unsigned column, const char *fmt, ...) {
        if (e->n++ >= YAML_MAX_ERRORS)
                return;
        CLEANUP_FREE char *message = NULL;
        va_list args;
        va_start(args, fmt);
        if (vasprintf(&message, fmt, args) < 0)
                message = NULL;
        va_end(args);
        if (e->text.len)
                buf_put_char(&e->text, '\n');
        escape_terminal(&e->text, e->file, strlen(e->file));
        if (line)
                buf_printf(&e->text, ":%u:%u", line, column);
        buf_put_str(&e->text, ": ");
        if (message)
                escape_terminal(&e->text, message, strlen(message));
        else
                buf_put_str(&e->text, "out of memory");
}

YamlNode *yaml_node_free(YamlNode *n) {
        while (n) {
                YamlNode *next = n->next;
                (void)yaml_node_free(n->key);
                (void)yaml_node_free(n->first);
                free(n->text);
                free(n);
                n = next;
        }
        return NULL;
}

const char *yaml_describe(const YamlNode *n, char *out, size_t size) {
        switch (n->kind) {
        case YAML_NULL:
                return "nothing";
        case YAML_LIST:
                return "a list";
        case YAML_MAP:
                return "a mapping";
        case YAML_SCALAR:
                break;
        }
        bool long_text = strlen(n->text) > 60;
        (void)snprintf(out, size, "\"%.60s%s\"", n->text, long_text ? "..." : "");
        return out;
}

static size_t min3(size_t a, size_t b, size_t c) {
        size_t m = a < b ? a : b;
        return m < c ? m : c;
}

size_t yaml_edit_distance(const char *a, const char *b) {
        size_t row[64], la = strlen(a), lb = strlen(b);
        if (la >= ARRAY_LEN(row) || lb >= ARRAY_LEN(row))
                return SIZE_MAX;
        for (size_t j = 0; j <= lb; j++)
                row[j] = j;
        for (size_t i = 1; i <= la; i++) {
                size_t diagonal = row[0];
                row[0] = i;
                for (size_t j = 1; j <= lb; j++) {
                        size_t above = row[j];
                        row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
                        diagonal = above;
                }
        }
        return row[lb];
}

/* The place of byte `at`, columns in characters. */
static void place_of(const char *text, size_t at, unsigned *ret_line, unsigned *ret_column) {
        unsigned line = 1, column = 1;
        for (size_t i = 0; i < at; i++) {
                if (text[i] == '\n') {
                        line++;
                        column = 1;
                } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
                        column++;
                }
        }
        *ret_line = line;
        *ret_column = column;
}

static size_t utf8_length(unsigned char lead) {
        return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Offset of the first byte that is not part of well-formed UTF-8. */
static size_t utf8_valid_prefix(const char *text, size_t n) {
        size_t at = 0;
        while (at < n) {
                size_t len = utf8_length((unsigned char)text[at]);
                if (len > n - at || !utf8_valid(text + at, len))
                        break;
                at += len;
        }
        return at;
}

typedef struct Builder {
        yaml_parser_t parser;
        const char *text;
        size_t n;
        YamlErrors *errors;
        YamlNode *root;
        YamlNode *open[YAML_MAX_DEPTH]; /* containers under way, outermost first */
        YamlNode *key[YAML_MAX_DEPTH];  /* in a map: the key that waits for its value */
        unsigned depth, n_nodes;
} Builder;

static void builder_deinit(Builder *b) {
        yaml_parser_delete(&b->parser);
        (void)yaml_node_free(b->root);
        for (unsigned i = 0; i < YAML_MAX_DEPTH; i++)
                (void)yaml_node_free(b->key[i]);
}

static void event_deinit(yaml_event_t *event) {
        yaml_event_delete(event);
}

static unsigned mark_line(yaml_mark_t m) {
        return (unsigned)m.line + 1;
}
static unsigned mark_column(yaml_mark_t m) {
        return (unsigned)m.column + 1;
}

/* Marks count characters, so the byte is looked for by line and column. */
static char char_at(const Builder *b, yaml_mark_t m) {
        size_t at = 0;
        for (size_t line = 0; line < m.line && at < b->n; at++)
                line += b->text[at] == '\n';
        for (size_t column = 0; column < m.column && at < b->n; column++)
                at += utf8_length((unsigned char)b->text[at]);
        return at < b->n ? b->text[at] : '\0';
}

static void report_syntax(Builder *b) {
        const yaml_parser_t *p = &b->parser;
        unsigned line, column;
        switch (p->error) {
        case YAML_READER_ERROR:
                place_of(b->text, p->problem_offset < b->n ? p->problem_offset : b->n, &line, &column);
                yaml_error(b->errors, line, column, "%s (#x%X), expected printable text", p->problem,
                           (unsigned)p->problem_value);
                return;
        case YAML_MEMORY_ERROR:
                yaml_error(b->errors, 0, 0, "out of memory");
                return;
        default:
                break;
        }
        line = mark_line(p->problem_mark);
        column = mark_column(p->problem_mark);
        if (char_at(b, p->problem_mark) == '\t')
                yaml_error(b->errors, line, column, "a tab, expected spaces: YAML is indented with spaces only");
        else if (p->context)
                yaml_error(b->errors, line, column, "%s %s (line %u), expected valid YAML", p->problem, p->context,
                           mark_line(p->context_mark));
        else
                yaml_error(b->errors, line, column, "%s, expected valid YAML", p->problem);
}

/* Also keeps the search for duplicate keys, which is quadratic in a mapping's size, short. */
static bool too_many(Builder *b, yaml_mark_t mark) {
        if (b->n_nodes++ < YAML_MAX_NODES)
                return false;
        yaml_error(b->errors, mark_line(mark), mark_column(mark), "more than %u values, expected a smaller file",
                   YAML_MAX_NODES);
        return true;
}

static YamlNode *node_new(YamlKind kind, yaml_mark_t mark) {
        YamlNode *n = calloc(1, sizeof *n);
        if (!n)
                return NULL;
        n->kind = kind;
        n->line = mark_line(mark);
        n->column = mark_column(mark);
        return n;
}

static bool is_null_word(const char *s) {
        return !*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0 || strcmp(s, "Null") == 0 || strcmp(s, "NULL") == 0;
}

static YamlNode *scalar_new(const yaml_event_t *event) {
        const char *text = (const char *)event->data.scalar.value;
        bool quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        YamlNode *n = node_new(!quoted && is_null_word(text) ? YAML_NULL : YAML_SCALAR, event->start_mark);
        if (!n)
                return NULL;
        n->quoted = quoted;
        n->text = strdup(text);
        return n->text ? n : yaml_node_free(n);
}

/* Takes `n` in any case; false when the file must be refused. */
static bool place_key(Builder *b, YamlNode *n) {
        YamlNode *map = b->open[b->depth - 1];
        if (n->kind != YAML_SCALAR) {
                yaml_error(b->errors, n->line, n->column, "%s as a key, expected a name",
                           n->kind == YAML_NULL ? "nothing" : "a list or mapping");
                (void)yaml_node_free(n);
                return false;
        }
        for (const YamlNode *c = map->first; c; c = c->next)
                if (strcmp(c->key->text, n->text) == 0) {
                        yaml_error(b->errors, n->line, n->column,
                                   "the key \"%.80s\" again (first on line %u), expected each key once", n->text,
                                   c->key->line);
                        break;
                }
        b->key[b->depth - 1] = n;
        return true;
}

static bool place_node(Builder *b, YamlNode *n) {
        if (!b->depth) {
                b->root = n;
                return true;
        }
        YamlNode *parent = b->open[b->depth - 1];
        if (parent->kind == YAML_MAP) {
                if (!b->key[b->depth - 1])
                        return place_key(b, n);
                n->key = TAKE_PTR(b->key[b->depth - 1]);
        }
        if (parent->last)
                parent->last->next = n;
        else
                parent->first = n;
        parent->last = n;
        return true;
}

static bool begin_container(Builder *b, YamlKind kind, yaml_mark_t mark) {
        if (b->depth == YAML_MAX_DEPTH) {
                yaml_error(b->errors, mark_line(mark), mark_column(mark),
                           "lists and mappings nested deeper than %d levels, expected at most %d", YAML_MAX_DEPTH,
                           YAML_MAX_DEPTH);
                return false;
        }
        if (too_many(b, mark))
                return false;
        YamlNode *n = node_new(kind, mark);
        if (!n) {
                yaml_error(b->errors, 0, 0, "out of memory");
                return false;
        }
        if (!place_node(b, n))
                return false;
        b->open[b->depth++] = n;
        return true;
}

/* Anchors, aliases and tags: the parts of YAML that make a small file a large or a typed one. */
static bool refuse_decoration(Builder *b, const yaml_event_t *event) {
        const yaml_char_t *anchor = NULL, *tag = NULL;
        if (event->type == YAML_SCALAR_EVENT) {
                anchor = event->data.scalar.anchor;
                tag = event->data.scalar.tag;
        } else if (event->type == YAML_SEQUENCE_START_EVENT) {
                anchor = event->data.sequence_start.anchor;
                tag = event->data.sequence_start.tag;
        } else if (event->type == YAML_MAPPING_START_EVENT) {
                anchor = event->data.mapping_start.anchor;
                tag = event->data.mapping_start.tag;
        }
        unsigned line = mark_line(event->start_mark), column = mark_column(event->start_mark);
        if (event->type == YAML_ALIAS_EVENT)
                yaml_error(b->errors, line, column, "the alias \"*%.60s\", expected a value: aliases are not accepted",
                           event->data.alias.anchor);
        else if (anchor)
                yaml_error(b->errors, line, column, "the anchor \"&%.60s\", expected a value: anchors are not accepted",
                           anchor);
        else if (tag)
                yaml_error(b->errors, line, column, "the tag \"%.60s\", expected a value: tags are not accepted", tag);
        else
                return false;
        return true;
}

/* 1 go on, 0 the stream ended, -1 refused. */
static int take_event(Builder *b, const yaml_event_t *event) {
        if (refuse_decoration(b, event))
                return -1;
        switch (event->type) {
        case YAML_DOCUMENT_START_EVENT:
                if (!b->root)
                        return 1;
                yaml_error(b->errors, mark_line(event->start_mark), mark_column(event->start_mark),
                           "a second document, expected one");
                return -1;
        case YAML_SCALAR_EVENT: {
                if (too_many(b, event->start_mark))
                        return -1;
                YamlNode *n = scalar_new(event);
                if (!n)
                        yaml_error(b->errors, 0, 0, "out of memory");
                return n && place_node(b, n) ? 1 : -1;
        }
        case YAML_SEQUENCE_START_EVENT:
                return begin_container(b, YAML_LIST, event->start_mark) ? 1 : -1;
        case YAML_MAPPING_START_EVENT:
                return begin_container(b, YAML_MAP, event->start_mark) ? 1 : -1;
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
                b->depth--;
                return 1;
        case YAML_STREAM_END_EVENT:
                return 0;
        default:
                return 1;
        }
}

static int step(Builder *b) {
        CLEANUP(event_deinit) yaml_event_t event = { 0 };
        if (!yaml_parser_parse(&b->parser, &event)) {
                report_syntax(b);
                return -1;
        }
        return take_event(b, &event);
}

static YamlNode *empty_file(void) {
        YamlNode *n = calloc(1, sizeof *n);
        if (n)
                n->line = n->column = 1;
        return n;
}

YamlNode *yaml_tree(const char *text, size_t n, YamlErrors *errors) {
        size_t valid = utf8_valid_prefix(text, n);
        if (valid < n) {
                unsigned line, column;
                place_of(text, valid, &line, &column);
                yaml_error(errors, line, column, "the byte 0x%02x, expected UTF-8", (unsigned char)text[valid]);
                return NULL;
        }
        CLEANUP(builder_deinit) Builder b = { .text = text, .n = n, .errors = errors };
        if (!yaml_parser_initialize(&b.parser)) {
                yaml_error(errors, 0, 0, "out of memory");
                return NULL;
        }
        yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, n);
        int r;
        do
                r = step(&b);
        while (r > 0);
        if (r < 0)
                return NULL;
        if (!b.root)
                return empty_file();
        return TAKE_PTR(b.root);
}

/* Only regular files: reading a pipe would wait for its writer. */
int yaml_read_file(const char *path, Buf *text, YamlErrors *errors) {
        struct stat st;
        int r = stat(path, &st) < 0 ? -errno : 0;
        if (r == 0 && S_ISDIR(st.st_mode)) {
                yaml_error(errors, 0, 0, "found a directory, expected a YAML file");
                return -EISDIR;
        }
        if (r == 0 && !S_ISREG(st.st_mode)) {
                yaml_error(errors, 0, 0, "found a device, pipe or socket, expected a YAML file");
                return -EINVAL;
        }
        if (r == 0)
                r = buf_read_file(text, AT_FDCWD, path, YAML_MAX_BYTES);
        if (r == -EFBIG)
                yaml_error(errors, 0, 0, "found more than 1 MiB, expected a smaller file");
        else if (r < 0)
                yaml_error(errors, 0, 0, "cannot be read (%s), expected a readable YAML file", strerror(-r));
        return r;
}

char *yaml_explain(YamlErrors *errors, int r) {
        if (!errors->n)
                yaml_error(errors, 0, 0, "%s", strerror(-r));
        if (errors->n > YAML_MAX_ERRORS) {
                buf_put_char(&errors->text, '\n');
                buf_printf(&errors->text, "%s: %u more errors", errors->file, errors->n - YAML_MAX_ERRORS);
        }
        return strdup(buf_cstr(&errors->text));
}

void yaml_errors_deinit(YamlErrors *e) {
        buf_deinit(&e->text);
}

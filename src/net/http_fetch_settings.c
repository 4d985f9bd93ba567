#include "net/http_fetch_settings.h"

#include <string.h>
#include <strings.h>

#define VERSIONS "TLS10|TLS11|TLS12|TLS13"

void http_fetch_bind_basic_auth(const YamlNode *n, const char *where, void *options, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "username", YAML_TEXT, offsetof(HttpFetchOptions, username), 0, 4096 },
                { "username_file", YAML_TEXT, offsetof(HttpFetchOptions, username_file), 1, 4095 },
                { "username_ref", YAML_REFUSED, .choices = "expected username or username_file" },
                { "password", YAML_TEXT, offsetof(HttpFetchOptions, password), 0, 65536 },
                { "password_file", YAML_TEXT, offsetof(HttpFetchOptions, password_file), 1, 4095 },
                { "password_ref", YAML_REFUSED, .choices = "expected password or password_file" },
        };
        const HttpFetchOptions *o = options;
        yaml_bind(n, where, FIELDS, ARRAY_LEN(FIELDS), options, e);
        if (o->password && o->password_file)
                yaml_error(e, n->line, n->column, "%s: found password and password_file, expected one of them", where);
        if (o->username && o->username_file)
                yaml_error(e, n->line, n->column, "%s: found username and username_file, expected one of them", where);
        if (!o->username && !o->username_file)
                yaml_error(e, n->line, n->column, "%s: found no username, expected username or username_file", where);
}

void http_fetch_bind_authorization(const YamlNode *n, const char *where, void *options, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "type", YAML_TEXT, offsetof(HttpFetchOptions, auth_type), 0, 64 },
                { "credentials", YAML_TEXT, offsetof(HttpFetchOptions, credentials), 1, 65536 },
                { "credentials_file", YAML_TEXT, offsetof(HttpFetchOptions, credentials_file), 1, 4095 },
                { "credentials_ref", YAML_REFUSED, .choices = "expected credentials or credentials_file" },
        };
        const HttpFetchOptions *o = options;
        yaml_bind(n, where, FIELDS, ARRAY_LEN(FIELDS), options, e);
        if (o->auth_type && strcasecmp(o->auth_type, "basic") == 0)
                yaml_error(e, n->line, n->column, "%s.type: found \"basic\", expected the key basic_auth instead",
                           where);
        if (o->auth_type && (!*o->auth_type || strpbrk(o->auth_type, " \t\r\n:")))
                yaml_error(e, n->line, n->column, "%s.type: expected one word, such as Bearer", where);
}

void http_fetch_bind_tls(const YamlNode *n, const char *where, void *options, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "ca_file", YAML_TEXT, offsetof(HttpFetchOptions, ca_file), 1, 4095 },
                { "cert_file", YAML_TEXT, offsetof(HttpFetchOptions, cert_file), 1, 4095 },
                { "key_file", YAML_TEXT, offsetof(HttpFetchOptions, key_file), 1, 4095 },
                { "server_name", YAML_TEXT, offsetof(HttpFetchOptions, server_name), 1, 255 },
                { "insecure_skip_verify", YAML_BOOL, offsetof(HttpFetchOptions, insecure_skip_verify) },
                { "min_version", YAML_TEXT, offsetof(HttpFetchOptions, min_version), 1, 8, VERSIONS },
                { "max_version", YAML_TEXT, offsetof(HttpFetchOptions, max_version), 1, 8, VERSIONS },
                { "ca", YAML_REFUSED, .choices = "expected ca_file" },
                { "cert", YAML_REFUSED, .choices = "expected cert_file" },
                { "key", YAML_REFUSED, .choices = "expected key_file" },
        };
        const HttpFetchOptions *o = options;
        yaml_bind(n, where, FIELDS, ARRAY_LEN(FIELDS), options, e);
        if (!o->cert_file != !o->key_file)
                yaml_error(e, n->line, n->column, "%s: found one of cert_file and key_file, expected both or none",
                           where);
}

static bool is_header_name(const char *name) {
        for (const char *c = name; *c; c++)
                if (!strchr("!#$%&'*+-.^_`|~", *c) &&
                    !((*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z')))
                        return false;
        return *name;
}

static void bind_header(const YamlNode *n, const char *where, HttpFetchOptions *o, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "values", YAML_TEXTS, 0, 0, 16 },
                { "secrets", YAML_REFUSED, .choices = "expected values" },
                { "files", YAML_REFUSED, .choices = "expected values" },
        };
        static const char *const RESERVED[] =
                { "Authorization", "Host", "Content-Encoding", "Content-Length", "Content-Type", "User-Agent",
                                                "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
                                                        "Www-Authenticate",
                                                "Accept-Encoding", "X-Prometheus-Scrape-Timeout-Seconds" };
        YamlTexts values = { 0 };
        yaml_bind(n, where, FIELDS, ARRAY_LEN(FIELDS), &values, e);
        bool known = is_header_name(n->key->text);
        for (size_t i = 0; i < ARRAY_LEN(RESERVED); i++)
                known = known && strcasecmp(n->key->text, RESERVED[i]) != 0;
        if (!known)
                yaml_error(e, n->key->line, n->key->column,
                           "%s: found \"%.60s\", expected a header that is free to set", where, n->key->text);
        for (size_t i = 0; known && i < values.n; i++)
                if (strpbrk(values.texts[i], "\r\n"))
                        yaml_error(e, n->line, n->column, "%s: found a line break, expected a header's value", where);
                else if (http_fetch_options_header(o, n->key->text, values.texts[i]) < 0)
                        yaml_error(e, 0, 0, "out of memory");
        yaml_texts_deinit(&values);
}

void http_fetch_bind_headers(const YamlNode *n, const char *where, void *options, YamlErrors *e) {
        HttpFetchOptions *o = options;
        char found[80];
        if (n->kind != YAML_MAP) {
                yaml_error(e, n->line, n->column, "%s: found %s, expected a mapping of keys", where,
                           yaml_describe(n, found, sizeof found));
                return;
        }
        for (const YamlNode *c = n->first; c; c = c->next)
                bind_header(c, where, o, e);
        if (o->n_headers > HTTP_FETCH_HEADERS_MAX / 2)
                yaml_error(e, n->line, n->column, "%s: found %zu headers, expected at most %u", where, o->n_headers,
                           HTTP_FETCH_HEADERS_MAX / 2);
}

char *settings_path(const char *directory, const char *path) {
        char *joined = NULL;
        if (*path == '/' || !*path)
                return strdup(path);
        return asprintf(&joined, "%s/%s", directory, path) < 0 ? NULL : joined;
}

static void resolve(char **path, const char *directory, YamlErrors *e) {
        if (!*path)
                return;
        char *full = settings_path(directory, *path);
        if (!full) {
                yaml_error(e, 0, 0, "out of memory");
                return;
        }
        free(*path);
        *path = full;
}

void http_fetch_settings_check(HttpFetchOptions *o, const char *directory, const YamlNode *n, const char *where,
                               YamlErrors *e) {
        bool basic = o->username || o->username_file || o->password || o->password_file;
        if (o->credentials && o->credentials_file)
                yaml_error(e, n->line, n->column, "%s: found credentials as text and as a file, expected one of them",
                           where);
        if (basic && (o->credentials || o->credentials_file))
                yaml_error(e, n->line, n->column, "%s: found basic_auth and authorization, expected one of them",
                           where);
        resolve(&o->username_file, directory, e);
        resolve(&o->password_file, directory, e);
        resolve(&o->credentials_file, directory, e);
        resolve(&o->ca_file, directory, e);
        resolve(&o->cert_file, directory, e);
        resolve(&o->key_file, directory, e);
}

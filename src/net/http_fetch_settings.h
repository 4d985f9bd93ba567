/* A client's options (net/http_fetch.h) from YAML, with the keys that Prometheus has wherever it is a client:
 * basic_auth, authorization, tls_config, follow_redirects, enable_http2, proxy_url, no_proxy, http_headers. They stand
 * among other keys, so this gives rows for the owner's own table of fields:
 *
 *   static const YamlField FIELDS[] = { { "url", ... }, HTTP_FETCH_FIELDS(RemoteWriteTarget, options) };
 *   yaml_bind(map, "remote_write[]", FIELDS, ...);
 *   http_fetch_settings_check(&target->options, directory, map, "remote_write[]", errors); */
#pragma once

#include "net/http_fetch.h"
#include "rt/yaml_fields.h"

void http_fetch_bind_basic_auth(const YamlNode *n, const char *where, void *options, YamlErrors *e);
void http_fetch_bind_authorization(const YamlNode *n, const char *where, void *options, YamlErrors *e);
void http_fetch_bind_tls(const YamlNode *n, const char *where, void *options, YamlErrors *e);
void http_fetch_bind_headers(const YamlNode *n, const char *where, void *options, YamlErrors *e);

#define HTTP_FETCH_FIELDS(owner, member) \
        { "basic_auth", YAML_OTHER, offsetof(owner, member), .bind = http_fetch_bind_basic_auth }, \
        { "authorization", YAML_OTHER, offsetof(owner, member), .bind = http_fetch_bind_authorization }, \
        { "bearer_token", YAML_TEXT, offsetof(owner, member.credentials), 1, 65536 }, \
        { "bearer_token_file", YAML_TEXT, offsetof(owner, member.credentials_file), 1, 4095 }, \
        { "tls_config", YAML_OTHER, offsetof(owner, member), .bind = http_fetch_bind_tls }, \
        { "follow_redirects", YAML_BOOL, offsetof(owner, member.follow_redirects) }, \
        { "enable_http2", YAML_BOOL, offsetof(owner, member.enable_http2) }, \
        { "proxy_url", YAML_TEXT, offsetof(owner, member.proxy_url), 1, 4095 }, \
        { "no_proxy", YAML_TEXT, offsetof(owner, member.no_proxy), 0, 4095 }, \
        { "http_headers", YAML_OTHER, offsetof(owner, member), .bind = http_fetch_bind_headers }, \
        { "oauth2", YAML_REFUSED, .choices = "expected basic_auth or authorization" }, \
        { "proxy_from_environment", YAML_REFUSED, .choices = "expected proxy_url" }, \
        { "proxy_connect_header", YAML_REFUSED, .choices = "expected proxy_url alone" }

/* What concerns several keys, and paths of files, which count from `directory` on. */
void http_fetch_settings_check(HttpFetchOptions *o, const char *directory, const YamlNode *n, const char *where,
                               YamlErrors *e);
/* A path of a configuration that is in `directory`: as it is when it is absolute. NULL without memory; free(). */
char *settings_path(const char *directory, const char *path);

/* Service discovery for an existing Prometheus: this host's machines as http_sd_configs wants them, one group each,
 * with what is known of them in labels __meta_parallax_*.
 *
 * A target's address is the machine's own where the host's neighbour table knows one for its interfaces; else its name,
 * for who has names in DNS. Names, titles and labels are what tenants wrote: they are labels of discovery here and
 * nothing else. */
#include "api/resource.h"

#include "base/escape.h"
#include "base/scan.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <strings.h>

#define PORT_DEFAULT 9100
#define REFRESH_SECONDS 60
#define NEIGHBOURS "/proc/self/net/arp"
#define NEIGHBOURS_MAX ((size_t)1 << 20)
#define META_MAX 64u /* labels from metadata, or from an engine */

/* ---- labels ---- */

/* JSON of a label's name: letters, digits and '_' stay, the rest becomes '_'. */
static void put_label(Buf *out, const char *prefix, Span name, const char *value) {
        if (!value || !*value)
                return;
        json_item(out);
        buf_put_str(out, "\"__meta_parallax_");
        buf_put_str(out, prefix);
        for (size_t i = 0; i < name.len; i++) {
                char c = name.text[i];
                bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
                buf_put_char(out, plain ? c : '_');
        }
        buf_put_str(out, "\":");
        buf_put_json_str(out, value);
}

static void put_meta(Buf *out, const char *name, const char *value) {
        put_label(out, name, (Span){ "", 0 }, value);
}

static bool named_before(const DomainDoc *d, size_t i) {
        for (size_t k = 0; k < i; k++)
                if (strcmp(d->metadata[k].element, d->metadata[i].element) == 0)
                        return true;
        return false;
}

static void put_domain(const LatestEntity *e, Buf *out) {
        const DomainDoc *d = attachment_domain(e);
        char uuid[UUID_TEXT_LEN + 1];
        uuid_format(&e->key.id, uuid);
        put_meta(out, "uuid", uuid);
        if (!d)
                return;
        put_meta(out, "title", d->title);
        put_meta(out, "os_type", d->os_type);
        if (d->has_nova) {
                put_meta(out, "project", d->nova_project);
                put_meta(out, "user", d->nova_user);
                put_meta(out, "flavor", d->nova_flavor);
        }
        if (d->n_interfaces)
                put_meta(out, "mac", d->interfaces[0].mac);
        for (size_t i = 0; i < d->n_metadata && i < META_MAX; i++)
                if (!named_before(d, i))
                        put_label(out, "metadata_", (Span){ d->metadata[i].element, strlen(d->metadata[i].element) },
                                  d->metadata[i].text);
}

static void put_container(const LatestEntity *e, Buf *out) {
        const ContainerNote *note = attachment_container(e);
        put_meta(out, "id", e->ident);
        if (!note)
                return;
        put_meta(out, "image", note->image);
        for (size_t i = 0; i < note->n_labels; i++) {
                bool again = false;
                for (size_t k = 0; k < i; k++)
                        again = again || strcmp(note->labels[k].key, note->labels[i].key) == 0;
                if (!again)
                        put_label(out, "label_", (Span){ note->labels[i].key, strlen(note->labels[i].key) },
                                  note->labels[i].value);
        }
}

/* ---- addresses ---- */

/* IP address of the neighbour with this MAC: "192.0.2.7 0x1 0x2 52:54:00:... * virbr0" is a line that is complete. */
static bool find_neighbour(const Buf *table, const char *mac, Span *ret_address) {
        Scan s = SCAN(table->data, table->len);
        Span line, address, type, flags, hardware;
        while (*mac && table->len && scan_line(&s, &line)) {
                Scan l = SCAN(line.text, line.len);
                if (scan_word(&l, &address) && scan_word(&l, &type) && scan_word(&l, &flags) &&
                    scan_word(&l, &hardware) &&
                    !span_is(flags, "0x0") && hardware.len == strlen(mac) &&
                            strncasecmp(hardware.text, mac, hardware.len) == 0) {
                        *ret_address = address;
                        return true;
                }
        }
        return false;
}

static bool find_address(const LatestEntity *e, const Buf *neighbours, char *out, size_t size) {
        const DomainDoc *d = attachment_domain(e);
        Span address;
        struct in_addr parsed;
        for (size_t i = 0; d && i < d->n_interfaces; i++)
                if (find_neighbour(neighbours, d->interfaces[i].mac, &address) && address.len < size) {
                        memcpy(out, address.text, address.len);
                        out[address.len] = '\0';
                        return inet_pton(AF_INET, out, &parsed) == 1;
                }
        return false;
}

/* What may stand before a port; tenants' names may be anything. */
static bool is_host(const char *name) {
        for (const char *c = name; *c; c++)
                if (!strchr("-._", *c) && !(*c >= '0' && *c <= '9') && !((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z'))
                        return false;
        return *name && strlen(name) <= 253;
}

/* ---- the list ---- */

static void put_machine(const ApiContext *c, const LatestEntity *e, const Buf *neighbours, unsigned port, Buf *out) {
        const Attachment *a = e->attachment;
        const ContainerNote *note = attachment_container(e);
        const char *name = note && *note->name ? note->name : e->name;
        char address[64] = "", state[32];
        bool known = find_address(e, neighbours, address, sizeof address);
        if (!known && !is_host(name))
                return;
        (void)snprintf(state, sizeof state, "%s", machine_state(e) ? machine_state(e) : "");
        json_item(out);
        buf_put_str(out, "{\"targets\":[\"");
        buf_printf(out, "%s:%u\"],\"labels\":{", known ? address : name, port);
        put_meta(out, "name", name);
        put_meta(out, "kind", machine_kind(e));
        put_meta(out, "state", state);
        put_meta(out, "tier", a ? tier_name(a->tier) : NULL);
        put_meta(out, "host", c->host_name);
        put_meta(out, "address", address);
        if (e->key.kind == ENTITY_DOMAIN)
                put_domain(e, out);
        else
                put_container(e, out);
        buf_put_str(out, "}}");
}

static bool read_port(const HttpRequest *request, unsigned *ret_port) {
        const char *text = http_query(request, "port");
        uint64_t v = PORT_DEFAULT;
        if (text && (!span_u64((Span){ text, strlen(text) }, &v) || v == 0 || v > 65535))
                return false;
        *ret_port = (unsigned)v;
        return true;
}

void api_sd(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        const char *kind = http_query(request, "kind");
        unsigned port;
        CLEANUP(buf_deinit) Buf neighbours = BUF_NULL;
        Buf *out = &response->body;
        (void)rest;
        if (!read_port(request, &port)) {
                api_error(response, 400, "port must be a number from 1 to 65535");
                return;
        }
        if (buf_read_file(&neighbours, AT_FDCWD, NEIGHBOURS, NEIGHBOURS_MAX) < 0)
                buf_reset(&neighbours);
        buf_put_char(out, '[');
        for (EntityKind k = ENTITY_DOMAIN; k <= ENTITY_CONTAINER; k++) {
                size_t n = 0;
                LatestEntity **entities = latest_range(c->latest, k, &n);
                for (size_t i = 0; i < n; i++)
                        if (machine_is_listed(entities[i], kind))
                                put_machine(c, entities[i], &neighbours, port, out);
        }
        buf_put_str(out, "]\n");
        response->status = 200;
        response->content_type = "application/json";
        http_add_number(response, "X-Prometheus-Refresh-Interval-Seconds", REFRESH_SECONDS);
}

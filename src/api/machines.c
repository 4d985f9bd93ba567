/* The list behind `parallax ls`: one line of facts for each machine. Percentages are the article's,
 * 100 * cpu time / (time * cores); for a VM cores are its vCPUs, for a container one core is 100 %,
 * as `docker stats` counts. */
#include "api/resource.h"

const char *machine_kind(const LatestEntity *e) {
        if (e->key.kind == ENTITY_DOMAIN)
                return "vm";
        return e->engine == ENGINE_SYSTEMD ? "service" : e->engine == ENGINE_CGROUP ? "slice" : "container";
}

static const char *domain_state_name(const LatestEntity *e) {
        static const char *const NAMES[] = { "no state",      "running",  "blocked", "paused",
                                             "shutting down", "shut off", "crashed", "suspended" };
        double s = latest_value(e, M_DOM_STATE_STATE, 0);
        return !value_is_absent(s) && s >= 0 && s < (double)ARRAY_LEN(NAMES) ? NAMES[(size_t)s] : NULL;
}

static const char *container_state_name(const LatestEntity *e) {
        const ContainerNote *note = attachment_container(e);
        if (note && note->state[0])
                return note->state;
        return e->pid ? "running" : NULL;
}

const char *machine_state(const LatestEntity *e) {
        return e->key.kind == ENTITY_DOMAIN ? domain_state_name(e) : container_state_name(e);
}

/* vCPUs in force, from the best source that knows. */
static double vcpus_of(const LatestEntity *e) {
        double n = latest_value(e, M_DOM_INFO_VCPUS, 0);
        const DomainDoc *d = attachment_domain(e);
        if (value_is_absent(n) && d && (d->current_vcpus || d->max_vcpus))
                n = d->current_vcpus ? d->current_vcpus : d->max_vcpus;
        if (value_is_absent(n))
                n = latest_value(e, M_DOM_CPU_VCPUS, 0);
        return n;
}

static double exposed(const LatestEntity *e, MetricId m) {
        double v = latest_value(e, m, 0);
        return value_is_absent(v) ? v : unit_expose(METRICS[m].unit, v);
}

static double percent(double rate, double cores) {
        return value_is_absent(rate) || value_is_absent(cores) || cores <= 0 ? value_absent() : 100 * rate / cores;
}

static double age(const ApiContext *c, const LatestEntity *e, GroupId g) {
        double a = latest_group_age(e, g, api_now(c));
        return a < 0 ? value_absent() : a;
}

static void begin(Buf *out, const char *key) {
        json_key(out, key);
        buf_put_char(out, '{');
}

static void end(Buf *out) {
        buf_put_char(out, '}');
}

static void domain_values(const LatestEntity *e, Buf *out) {
        double vcpus = vcpus_of(e);
        json_text(out, "state", domain_state_name(e));
        json_field(out, "vcpus", vcpus);
        json_field(out, "cpu_percent", percent(latest_rate(e, M_DOM_CPU_TIME, 0), vcpus));
        json_field(out, "run_queue_delay_percent", percent(latest_rate(e, M_DOM_CPU_DELAY, 0), vcpus));
        begin(out, "memory");
        double available = exposed(e, M_DOM_BALLOON_AVAILABLE), usable = exposed(e, M_DOM_BALLOON_USABLE);
        bool known = !value_is_absent(available) && !value_is_absent(usable);
        json_field(out, "guest_used_bytes", known ? available - usable : value_absent());
        json_field(out, "host_rss_bytes", exposed(e, M_DOM_HOSTMEM_RSS));
        json_field(out, "limit_bytes", exposed(e, M_DOM_INFO_MAX_MEMORY));
        end(out);
        begin(out, "disk");
        json_field(out, "read_bytes_per_second", latest_rate_sum(e, M_DOM_BLOCK_RD_BYTES));
        json_field(out, "write_bytes_per_second", latest_rate_sum(e, M_DOM_BLOCK_WR_BYTES));
        json_field(out, "read_ops_per_second", latest_rate_sum(e, M_DOM_BLOCK_RD_REQS));
        json_field(out, "write_ops_per_second", latest_rate_sum(e, M_DOM_BLOCK_WR_REQS));
        json_field(out, "host_read_bytes_per_second", latest_rate(e, M_DOM_IO_READ_BYTES, 0));
        json_field(out, "host_write_bytes_per_second", latest_rate(e, M_DOM_IO_WRITE_BYTES, 0));
        end(out);
        begin(out, "net");
        json_field(out, "receive_bytes_per_second", latest_rate_sum(e, M_DOM_NET_RX_BYTES));
        json_field(out, "transmit_bytes_per_second", latest_rate_sum(e, M_DOM_NET_TX_BYTES));
        json_field(out, "receive_packets_per_second", latest_rate_sum(e, M_DOM_NET_RX_PACKETS));
        json_field(out, "transmit_packets_per_second", latest_rate_sum(e, M_DOM_NET_TX_PACKETS));
        end(out);
        json_field(out, "stuck_seconds", exposed(e, M_DOM_WATCH_STUCK));
}

static void container_values(const LatestEntity *e, Buf *out) {
        json_text(out, "state", container_state_name(e));
        json_field(out, "vcpus", value_absent());
        json_field(out, "cpu_percent", percent(latest_rate(e, M_CTR_CPU_USAGE, 0), 1));
        json_field(out, "run_queue_delay_percent", percent(latest_rate(e, M_CTR_SCHED_RUNQUEUE, 0), 1));
        begin(out, "memory");
        /* What `docker stats` shows: usage without inactive page cache. */
        json_field(out, "guest_used_bytes", exposed(e, M_CTR_MEM_WORKING_SET));
        json_field(out, "host_rss_bytes", exposed(e, M_CTR_MEM_RSS));
        json_field(out, "limit_bytes", exposed(e, M_CTR_SPEC_MEMORY_LIMIT));
        end(out);
        begin(out, "disk");
        json_field(out, "read_bytes_per_second", latest_rate_sum(e, M_CTR_IO_READS_BYTES));
        json_field(out, "write_bytes_per_second", latest_rate_sum(e, M_CTR_IO_WRITES_BYTES));
        json_field(out, "read_ops_per_second", latest_rate_sum(e, M_CTR_IO_READS));
        json_field(out, "write_ops_per_second", latest_rate_sum(e, M_CTR_IO_WRITES));
        end(out);
        begin(out, "net");
        json_field(out, "receive_bytes_per_second", latest_rate_sum(e, M_CTR_NET_RX_BYTES));
        json_field(out, "transmit_bytes_per_second", latest_rate_sum(e, M_CTR_NET_TX_BYTES));
        json_field(out, "receive_packets_per_second", latest_rate_sum(e, M_CTR_NET_RX_PACKETS));
        json_field(out, "transmit_packets_per_second", latest_rate_sum(e, M_CTR_NET_TX_PACKETS));
        end(out);
        json_field(out, "stuck_seconds", value_absent());
}

static void ages(const ApiContext *c, const LatestEntity *e, Buf *out) {
        static const char *const LANES[LANE_COUNT] = { "kernel", "libvirt", "monitor" };
        begin(out, "ages");
        for (Lane lane = 0; lane < LANE_COUNT; lane++) {
                double a = latest_lane_age(e, lane, api_now(c));
                json_field(out, LANES[lane], a < 0 ? value_absent() : a);
        }
        end(out);
        static const struct { const char *name; GroupId domain, container; } VALUES[] = {
                { "cpu_percent", GROUP_DOM_CPU, GROUP_CTR_CPU },
                { "run_queue_delay_percent", GROUP_DOM_CPU, GROUP_CTR_SCHED },
                { "guest_used_bytes", GROUP_DOM_BALLOON, GROUP_CTR_MEM },
                { "host_rss_bytes", GROUP_DOM_HOSTMEM, GROUP_CTR_MEM },
                { "limit_bytes", GROUP_DOM_INFO, GROUP_CTR_SPEC },
                { "disk", GROUP_DOM_BLOCK, GROUP_CTR_IO },
                { "net", GROUP_DOM_NET, GROUP_CTR_NET },
        };
        begin(out, "value_ages");
        for (size_t i = 0; i < ARRAY_LEN(VALUES); i++)
                json_field(out, VALUES[i].name,
                           age(c, e, e->key.kind == ENTITY_DOMAIN ? VALUES[i].domain : VALUES[i].container));
        end(out);
}

void machine_summary(const ApiContext *c, const LatestEntity *e, Buf *out) {
        bool domain = e->key.kind == ENTITY_DOMAIN;
        const ContainerNote *note = attachment_container(e);
        char id[UUID_TEXT_LEN + 1];
        uuid_format(&e->key.id, id);
        buf_put_char(out, '{');
        json_text(out, "kind", machine_kind(e));
        json_text(out, "name", note && note->name[0] ? note->name : e->name ? e->name : "");
        json_text(out, "uuid", domain ? id : NULL);
        json_text(out, "id", domain ? id : e->ident ? e->ident : "");
        json_text(out, "engine", domain ? "libvirt" : engine_name(e->engine));
        json_text(out, "image", note && note->image[0] ? note->image : NULL);
        const Attachment *a = attachment_get(e);
        json_text(out, "tier", domain ? tier_name(a ? a->tier : TIER_BASIC) : NULL);
        if (domain)
                domain_values(e, out);
        else
                container_values(e, out);
        ages(c, e, out);
        buf_put_char(out, '}');
}

bool machine_is_listed(const LatestEntity *e, const char *kind) {
        if (!kind)
                return e->key.kind == ENTITY_DOMAIN || (e->engine != ENGINE_SYSTEMD && e->engine != ENGINE_CGROUP);
        return strcmp(kind, "all") == 0 || strcmp(kind, machine_kind(e)) == 0;
}

void api_machines(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)rest;
        Buf *out = &response->body;
        const char *kind = http_query(request, "kind");
        buf_put_char(out, '{');
        json_text(out, "host", c->host_name ? c->host_name : "");
        json_key(out, "machines");
        buf_put_char(out, '[');
        for (EntityKind k = ENTITY_DOMAIN; k <= ENTITY_CONTAINER; k++) {
                size_t n = 0;
                LatestEntity **entities = latest_range(c->latest, k, &n);
                for (size_t i = 0; i < n; i++)
                        if (machine_is_listed(entities[i], kind)) {
                                json_item(out);
                                machine_summary(c, entities[i], out);
                        }
        }
        buf_put_str(out, "]}\n");
        response->status = 200;
        response->content_type = JSON_TYPE;
}

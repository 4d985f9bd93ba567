/* See netlink.h. Entries stay between rounds, sorted by index, so that a round only overwrites
 * counters: names are asked for again when an index shows up that has none. */
#include "collect/qemu/netlink.h"

#include "base/buf.h"
#include "base/scan.h"

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#define LINKS_MAX 65536u
#define NET_DEV_MAX ((size_t)8 << 20)

typedef struct Entry {
        Link link;
        uint32_t round; /* the one whose dump had it */
} Entry;

struct LinkTable {
        int root;                   /* -1: netlink */
        struct mnl_socket *netlink; /* opened when needed, closed after a failure */
        Entry *entries;
        size_t n, cap, cursor;
        uint32_t round, serial;
        bool fresh, names_wanted, unsorted;
        WallTime wall; /* of the dump, or of the one that is due */
        MonoTime mono;
};

int link_table_new(const char *root, LinkTable **ret_table) {
        LinkTable *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        t->root = -1;
        t->names_wanted = true;
        if (strcmp(root, "/") != 0) {
                t->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (t->root < 0) {
                        int r = -errno;
                        (void)link_table_free(t);
                        return r;
                }
        }
        *ret_table = t;
        return 0;
}

static void drop_socket(LinkTable *t) {
        if (t->netlink)
                (void)mnl_socket_close(t->netlink);
        t->netlink = NULL;
}

LinkTable *link_table_free(LinkTable *t) {
        if (!t)
                return NULL;
        drop_socket(t);
        cleanup_close_fd(&t->root);
        free(t->entries);
        free(t);
        return NULL;
}

void link_table_begin(LinkTable *t, bool names) {
        t->fresh = false;
        t->mono = (MonoTime){ 0 };
        t->names_wanted = t->names_wanted || names;
}

void link_table_at(LinkTable *t, WallTime wall, MonoTime mono, Duration most) {
        if (t->fresh && mono_since(mono, t->mono).ns <= most.ns)
                return;
        t->fresh = false;
        t->wall = wall;
        t->mono = mono;
}

void link_table_times(const LinkTable *t, WallTime *ret_wall, MonoTime *ret_mono) {
        *ret_wall = t->wall;
        *ret_mono = t->mono;
}

static int compare_entries(const void *a, const void *b) {
        uint32_t x = ((const Entry *)a)->link.index, y = ((const Entry *)b)->link.index;
        return x < y ? -1 : x > y;
}

static Entry *find_entry(LinkTable *t, uint32_t index) {
        /* Dumps come in the order of the last one, nearly always. */
        if (t->cursor < t->n && t->entries[t->cursor].link.index == index)
                return &t->entries[t->cursor++];
        if (t->unsorted) {
                for (size_t i = 0; i < t->n; i++)
                        if (t->entries[i].link.index == index)
                                return &t->entries[i];
                return NULL;
        }
        Entry key = { .link.index = index };
        Entry *e = t->n ? bsearch(&key, t->entries, t->n, sizeof *e, compare_entries) : NULL;
        if (e)
                t->cursor = (size_t)(e - t->entries) + 1;
        return e;
}

static Entry *need_entry(LinkTable *t, uint32_t index) {
        Entry *e = find_entry(t, index);
        if (e || t->n >= LINKS_MAX)
                return e;
        if (t->n == t->cap) {
                size_t cap = t->cap ? t->cap * 2 : 64;
                Entry *entries = reallocarray(t->entries, cap, sizeof *entries);
                if (!entries)
                        return NULL;
                t->entries = entries;
                t->cap = cap;
        }
        t->unsorted = t->unsorted || (t->n > 0 && t->entries[t->n - 1].link.index > index);
        t->entries[t->n] = (Entry){ .link.index = index };
        t->names_wanted = true;
        return &t->entries[t->n++];
}

/* --- netlink --- */

static int on_stats_attribute(const struct nlattr *attr, void *context) {
        struct rtnl_link_stats64 *stats = context;
        if (mnl_attr_get_type(attr) == IFLA_STATS_LINK_64 && mnl_attr_get_payload_len(attr) >= 20 * sizeof(uint64_t)) {
                /* Older kernels send a shorter one; its beginning is the same. */
                size_t n = mnl_attr_get_payload_len(attr);
                memcpy(stats, mnl_attr_get_payload(attr), n < sizeof *stats ? n : sizeof *stats);
                return MNL_CB_STOP;
        }
        return MNL_CB_OK;
}

static int on_stats(const struct nlmsghdr *head, void *context) {
        LinkTable *t = context;
        if (head->nlmsg_type != RTM_NEWSTATS || mnl_nlmsg_get_payload_len(head) < sizeof(struct if_stats_msg))
                return MNL_CB_OK;
        const struct if_stats_msg *msg = mnl_nlmsg_get_payload(head);
        struct rtnl_link_stats64 s = { 0 };
        if (mnl_attr_parse(head, sizeof *msg, on_stats_attribute, &s) != MNL_CB_STOP)
                return MNL_CB_OK;
        Entry *e = need_entry(t, msg->ifindex);
        if (!e)
                return MNL_CB_OK;
        Link *l = &e->link;
        l->rx_bytes = s.rx_bytes;
        l->rx_packets = s.rx_packets;
        l->rx_errors = s.rx_errors;
        l->rx_drops = s.rx_dropped + s.rx_missed_errors;
        l->tx_bytes = s.tx_bytes;
        l->tx_packets = s.tx_packets;
        l->tx_errors = s.tx_errors;
        l->tx_drops = s.tx_dropped;
        e->round = t->round;
        return MNL_CB_OK;
}

static int on_name_attribute(const struct nlattr *attr, void *context) {
        Link *l = context;
        if (mnl_attr_get_type(attr) != IFLA_IFNAME || mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
                return MNL_CB_OK;
        (void)snprintf(l->name, sizeof l->name, "%s", mnl_attr_get_str(attr));
        return MNL_CB_STOP;
}

static int on_link(const struct nlmsghdr *head, void *context) {
        LinkTable *t = context;
        if (head->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(head) < sizeof(struct ifinfomsg))
                return MNL_CB_OK;
        const struct ifinfomsg *msg = mnl_nlmsg_get_payload(head);
        Entry *e = find_entry(t, (uint32_t)msg->ifi_index);
        if (e)
                (void)mnl_attr_parse(head, sizeof *msg, on_name_attribute, &e->link);
        return MNL_CB_OK;
}

static int need_socket(LinkTable *t) {
        if (t->netlink)
                return 0;
        t->netlink = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
        if (!t->netlink)
                return -errno;
        /* The kernel answers at once; the limit is there so that nothing can hang the collector. */
        struct timeval patience = { .tv_sec = 1 };
        if (setsockopt(mnl_socket_get_fd(t->netlink), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
            mnl_socket_bind(t->netlink, 0, MNL_SOCKET_AUTOPID) < 0) {
                int r = -errno;
                drop_socket(t);
                return r;
        }
        return 0;
}

static int dump(LinkTable *t, struct nlmsghdr *request, mnl_cb_t each) {
        int r = need_socket(t);
        if (r < 0)
                return r;
        request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        request->nlmsg_seq = ++t->serial;
        t->cursor = 0;
        if (mnl_socket_sendto(t->netlink, request, request->nlmsg_len) < 0)
                r = -errno;
        _Alignas(struct nlmsghdr) char answer[32768];
        int more = r < 0 ? MNL_CB_ERROR : MNL_CB_OK;
        while (more == MNL_CB_OK) {
                ssize_t n = mnl_socket_recvfrom(t->netlink, answer, sizeof answer);
                if (n < 0 && errno == EINTR)
                        continue;
                unsigned port = mnl_socket_get_portid(t->netlink);
                more = n < 0 ? MNL_CB_ERROR : mnl_cb_run(answer, (size_t)n, request->nlmsg_seq, port, each, t);
                if (more == MNL_CB_ERROR && n >= 0 && errno == EINTR)
                        more = MNL_CB_OK; /* the list changed under the dump: take what comes */
                if (more == MNL_CB_ERROR)
                        r = -errno;
        }
        /* What is left of a broken dump must not be taken for the answer to the next one. */
        if (r < 0)
                drop_socket(t);
        return r;
}

static int dump_stats(LinkTable *t) {
        char bytes[256];
        struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
        request->nlmsg_type = RTM_GETSTATS;
        struct if_stats_msg *msg = mnl_nlmsg_put_extra_header(request, sizeof *msg);
        msg->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
        return dump(t, request, on_stats);
}

static int dump_names(LinkTable *t) {
        char bytes[256];
        struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
        request->nlmsg_type = RTM_GETLINK;
        struct ifinfomsg *msg = mnl_nlmsg_put_extra_header(request, sizeof *msg);
        msg->ifi_family = AF_UNSPEC;
        mnl_attr_put_u32(request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        return dump(t, request, on_link);
}

/* --- files --- */

static bool file_index(const LinkTable *t, const char *name, uint32_t *ret_index) {
        CLEANUP(buf_deinit) Buf text = BUF_WITH_LIMIT(8192);
        char path[64 + IF_NAMESIZE];
        (void)snprintf(path, sizeof path, "sys/class/net/%s/ifindex", name);
        uint64_t index;
        if (strchr(name, '/') || buf_read_file(&text, t->root, path, 4096) < 0)
                return false;
        Scan s = SCAN(text.data, text.len);
        if (!scan_u64(&s, &index) || index == 0 || index > INT32_MAX)
                return false;
        *ret_index = (uint32_t)index;
        return true;
}

enum { RX_BYTES, RX_PACKETS, RX_ERRORS, RX_DROPS, TX_BYTES = 8, TX_PACKETS, TX_ERRORS, TX_DROPS, NET_DEV_COLUMNS = 16 };

static void take_line(LinkTable *t, Span line) {
        Scan s = SCAN(line.text, line.len);
        Span name;
        uint64_t v[NET_DEV_COLUMNS];
        scan_blank(&s);
        if (!scan_until(&s, ':', &name) || name.len == 0 || name.len >= IF_NAMESIZE)
                return;
        for (size_t i = 0; i < NET_DEV_COLUMNS; i++)
                if (!scan_u64(&s, &v[i]))
                        return;
        Link l = {
                .rx_bytes = v[RX_BYTES], .rx_packets = v[RX_PACKETS], .rx_errors = v[RX_ERRORS],
                .rx_drops = v[RX_DROPS], .tx_bytes = v[TX_BYTES], .tx_packets = v[TX_PACKETS], .tx_errors = v[TX_ERRORS],
                .tx_drops = v[TX_DROPS],
        };
        memcpy(l.name, name.text, name.len);
        if (!file_index(t, l.name, &l.index))
                return;
        Entry *e = need_entry(t, l.index);
        if (e)
                *e = (Entry){ .link = l, .round = t->round };
}

static int read_files(LinkTable *t) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        int r = buf_read_file(&text, t->root, "proc/net/dev", NET_DEV_MAX);
        if (r < 0)
                return r;
        const char *nl = memrchr(text.data ? text.data : "", '\n', text.len);
        Scan s = SCAN(text.data, nl ? (size_t)(nl + 1 - text.data) : 0); /* whole lines only */
        Span line;
        while (scan_line(&s, &line))
                take_line(t, line);
        return 0;
}

/* --- both --- */

static void settle(LinkTable *t) {
        size_t kept = 0;
        for (size_t i = 0; i < t->n; i++)
                if (t->entries[i].round == t->round)
                        t->entries[kept++] = t->entries[i];
        t->n = kept;
        if (t->unsorted && t->n > 1)
                qsort(t->entries, t->n, sizeof *t->entries, compare_entries);
        t->unsorted = false;
        t->cursor = 0;
}

static void refresh(LinkTable *t) {
        if (t->fresh)
                return;
        t->fresh = true;
        t->round++;
        int r = t->root >= 0 ? read_files(t) : dump_stats(t);
        if (r < 0)
                t->round++; /* a part of the links only: none is current */
        settle(t);
        if (t->names_wanted && r == 0 && (t->root >= 0 || dump_names(t) == 0))
                t->names_wanted = false;
}

const Link *link_by_index(LinkTable *t, uint32_t index) {
        refresh(t);
        t->cursor = t->n;
        const Entry *e = find_entry(t, index);
        return e ? &e->link : NULL;
}

const Link *link_by_name(LinkTable *t, const char *name) {
        refresh(t);
        for (size_t i = 0; i < t->n; i++)
                if (strcmp(t->entries[i].link.name, name) == 0)
                        return &t->entries[i].link;
        return NULL;
}

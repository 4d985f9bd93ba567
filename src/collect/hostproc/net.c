/* Network interfaces: traffic from one file for all of them, properties from a directory for each.
 *
 * /proc/net/dev gives the list. The kernel tells of every change to an interface (RTNLGRP_LINK), so that of
 * two hundred taps that do not change only the counters are read: the state (FAST) and the rest (SLOW) of one that
 * did change is read again, and all else in turn, a few files a look, should something not have been told.
 * Where nothing is told (another root than "/"), FAST is read at every look from kept descriptors, and SLOW when
 * the link changed, which the kernel counts, or in turn, one file an interface and look. */
#include "collect/hostproc/hostproc_priv.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

typedef struct NetFile {
        const char *file;
        MetricId metric;
        double scale;
} NetFile;

/* Told of changes, one interface in so many has its turn in a look. */
#define TOLD_TURNS 16u

enum { FAST_NOHANDLER, FAST_OPERSTATE, FAST_CHANGES, FAST_COUNT, SLOW_IFINDEX = 0, SLOW_COUNT = 15, TEXT_COUNT = 4 };

static const char *const FAST[FAST_COUNT] = {
        [FAST_NOHANDLER] = "statistics/rx_nohandler",
        [FAST_OPERSTATE] = "operstate",
        [FAST_CHANGES] = "carrier_changes",
};

static const NetFile SLOW[SLOW_COUNT] = {
        [SLOW_IFINDEX] = { "ifindex", M_NODE_NETCLASS_IFINDEX, 1 },
        { "carrier", M_NODE_NETCLASS_CARRIER, 1 },
        { "carrier_up_count", M_NODE_NETCLASS_CARRIER_UP, 1 },
        { "carrier_down_count", M_NODE_NETCLASS_CARRIER_DOWN, 1 },
        { "dormant", M_NODE_NETCLASS_DORMANT, 1 },
        { "flags", M_NODE_NETCLASS_FLAGS, 1 },
        { "speed", M_NODE_NETCLASS_SPEED, 125000 }, /* Mbit/s */
        { "mtu", M_NODE_NETCLASS_MTU, 1 },
        { "addr_assign_type", M_NODE_NETCLASS_ASSIGN, 1 },
        { "dev_id", M_NODE_NETCLASS_DEVICE_ID, 1 },
        { "iflink", M_NODE_NETCLASS_IFLINK, 1 },
        { "link_mode", M_NODE_NETCLASS_LINK_MODE, 1 },
        { "name_assign_type", M_NODE_NETCLASS_NAME_ASSIGN, 1 },
        { "netdev_group", M_NODE_NETCLASS_GROUP, 1 },
        { "tx_queue_len", M_NODE_NETCLASS_TXQLEN, 1 },
};
/* "type" is read with the texts, which are labels of node_network_info. */
static const char *const TEXTS[TEXT_COUNT] = { "address", "broadcast", "duplex", "ifalias" };

struct NetIf {
        char name[HOST_NAME_MAX_LEN + 1];
        char paths[FAST_COUNT][HOST_NAME_MAX_LEN + 48];
        Kept fast[FAST_COUNT];
        double slow[SLOW_COUNT];
        double type, changes;
        char *texts[TEXT_COUNT];
        char operstate[24];
        unsigned turn;
        bool seen, filled, changed; /* changed: as the kernel said */
};

static NetIf *netif_free(HostProc *h, NetIf *n) {
        for (size_t i = 0; i < FAST_COUNT; i++)
                kept_close(h, &n->fast[i]);
        for (size_t i = 0; i < TEXT_COUNT; i++)
                free(n->texts[i]);
        free(n);
        return NULL;
}

void net_deinit(HostProc *h) {
        for (size_t i = 0; i < h->n_nets; i++)
                (void)netif_free(h, h->nets[i]);
        free(h->nets);
        h->nets = NULL;
        h->n_nets = 0;
        if (h->link_events >= 0)
                (void)close(h->link_events);
        h->link_events = -1;
}

static int open_link_events(void) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
        CLEANUP_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
                return -1;
        return TAKE_FD(fd);
}

static void note_link(HostProc *h, const struct nlmsghdr *m) {
        if (m->nlmsg_type != RTM_NEWLINK || m->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
                return;
        int index = ((const struct ifinfomsg *)NLMSG_DATA(m))->ifi_index;
        for (size_t i = 0; i < h->n_nets; i++)
                if (h->nets[i]->slow[SLOW_IFINDEX] == index)
                        h->nets[i]->changed = true;
}

/* Marks what changed since the last look; false when that is not known of all. */
static bool take_link_events(HostProc *h) {
        _Alignas(struct nlmsghdr) char bytes[32768];
        if (!h->live)
                return false;
        if (h->link_events < 0) {
                /* From here on changes are told: what was before is not. */
                h->link_events = open_link_events();
                return false;
        }
        for (;;) {
                ssize_t n = recv(h->link_events, bytes, sizeof bytes, MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) /* ENOBUFS: more happened than the socket could hold */
                        return errno == EAGAIN;
                unsigned left = (unsigned)n;
                for (const struct nlmsghdr *m = (const void *)bytes; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left))
                        note_link(h, m);
        }
}

/* A name that could lead out of /sys/class/net comes from no kernel. */
static bool is_safe_name(Span name) {
        return name.len > 0 && name.len <= HOST_NAME_MAX_LEN && !memchr(name.text, '/', name.len) &&
               !span_is(name, ".") && !span_is(name, "..");
}

static NetIf *netif_new(Span name) {
        NetIf *n = calloc(1, sizeof *n);
        if (!n)
                return NULL;
        memcpy(n->name, name.text, name.len);
        for (size_t i = 0; i < FAST_COUNT; i++) {
                (void)snprintf(n->paths[i], sizeof n->paths[i], "sys/class/net/%s/%s", n->name, FAST[i]);
                n->fast[i] = (Kept){ n->paths[i], -1 };
        }
        return n;
}

/* The interface at position `at` of the list, usually the one that was there at the last look. */
static NetIf *netif_at(HostProc *h, size_t at, Span name) {
        if (at < h->n_nets && span_is(name, h->nets[at]->name))
                return h->nets[at];
        for (size_t i = 0; i < h->n_nets; i++) {
                if (!span_is(name, h->nets[i]->name))
                        continue;
                if (at >= h->n_nets)
                        return h->nets[i];
                NetIf *other = h->nets[at];
                h->nets[at] = h->nets[i];
                h->nets[i] = other;
                return h->nets[at];
        }
        if (h->n_nets == h->nets_cap) {
                size_t cap = h->nets_cap ? h->nets_cap * 2 : 16;
                NetIf **nets = reallocarray(h->nets, cap, sizeof(NetIf *));
                if (!nets)
                        return NULL;
                h->nets = nets;
                h->nets_cap = cap;
        }
        NetIf *n = netif_new(name);
        if (!n)
                return NULL;
        h->nets[h->n_nets++] = n;
        if (at < h->n_nets - 1) {
                h->nets[h->n_nets - 1] = h->nets[at];
                h->nets[at] = n;
        }
        return n;
}

/* A changed list can mean that names moved between devices, and a kept descriptor follows the device. */
static void forget_unseen(HostProc *h, size_t known_before) {
        size_t kept = 0;
        bool changed = h->n_nets != known_before;
        for (size_t i = 0; i < h->n_nets; i++) {
                NetIf *n = h->nets[i];
                if (n->seen) {
                        n->seen = false;
                        h->nets[kept++] = n;
                } else {
                        (void)netif_free(h, n);
                        changed = true;
                }
        }
        h->n_nets = kept;
        for (size_t i = 0; changed && i < h->n_nets; i++) {
                h->nets[i]->filled = false;
                for (size_t f = 0; f < FAST_COUNT; f++)
                        kept_close(h, &h->nets[i]->fast[f]);
        }
}

/* h->text is reused by the reads of rx_nohandler, so those come after the file was parsed. */
static void set_nohandlers(HostProc *h, BatchBuilder *b) {
        size_t columns = group_columns(GROUP_NODE_NETDEV);
        if (buf_error(&b->values) || b->n_rows != h->n_nets)
                return;
        for (size_t i = 0; i < h->n_nets; i++) {
                Scan s;
                double v;
                if (kept_read(h, &h->nets[i]->fast[FAST_NOHANDLER], &s) < 0 || !file_number(s, &v))
                        continue;
                size_t at = i * columns + metric_column(M_NODE_NETDEV_RX_NOHANDLER);
                memcpy(b->values.data + at * sizeof v, &v, sizeof v);
        }
}

int netdev_look(HostProc *h) {
        Scan s;
        int r = file_read(h, FILE_NETDEV, &s);
        if (r < 0)
                return r;
        BatchBuilder *b = begin(h, GROUP_NODE_NETDEV);
        size_t known = h->n_nets, at = 0;
        Span line, name;
        (void)whole_line(&s, &line);
        (void)whole_line(&s, &line);
        while (whole_line(&s, &line)) {
                Scan l = SCAN(line.text, line.len);
                uint64_t v;
                scan_blank(&l);
                if (!scan_until(&l, ':', &name) || !is_safe_name(name))
                        continue;
                NetIf *n = netif_at(h, at, name);
                if (!n)
                        return -ENOMEM;
                if (n->seen)
                        continue; /* a name twice: an odd file */
                n->seen = true;
                at++;
                batch_row(b, &name);
                for (MetricId m = M_NODE_NETDEV_RX_BYTES; m <= M_NODE_NETDEV_TX_COMPRESSED && scan_u64(&l, &v); m++)
                        batch_set(b, m, (double)v);
        }
        forget_unseen(h, known);
        set_nohandlers(h, b);
        finish(h, b);
        return b->n_rows > 0 ? 0 : -ENODATA;
}

static int read_net_file(HostProc *h, const NetIf *n, const char *file, Span *ret_word) {
        char path[HOST_NAME_MAX_LEN + 48];
        (void)snprintf(path, sizeof path, "sys/class/net/%s/%s", n->name, file);
        return path_word(h, path, ret_word);
}

static double read_net_number(HostProc *h, const NetIf *n, const char *file, double scale) {
        Span word;
        double v;
        if (read_net_file(h, n, file, &word) < 0 || !file_number(SCAN(word.text, word.len), &v) || v < 0)
                return value_absent();
        return v * scale;
}

static void read_net_text(HostProc *h, NetIf *n, size_t i) {
        Span word;
        free(n->texts[i]);
        n->texts[i] = read_net_file(h, n, TEXTS[i], &word) < 0 ? NULL : strndup(word.text, word.len);
}

static void read_slow(HostProc *h, NetIf *n, unsigned turn) {
        if (turn < SLOW_COUNT)
                n->slow[turn] = read_net_number(h, n, SLOW[turn].file, SLOW[turn].scale);
        else if (turn < SLOW_COUNT + TEXT_COUNT)
                read_net_text(h, n, turn - SLOW_COUNT);
        else
                n->type = read_net_number(h, n, "type", 1);
}

/* All of it for a new interface, or one that got another device behind its name; else what is next. */
static void refresh_slow(HostProc *h, NetIf *n) {
        enum { TURNS = SLOW_COUNT + TEXT_COUNT + 1 };
        if (n->filled) {
                double before = n->slow[SLOW_IFINDEX];
                n->turn = (n->turn + 1) % TURNS;
                read_slow(h, n, n->turn);
                if (memcmp(&before, &n->slow[SLOW_IFINDEX], sizeof before) == 0)
                        return;
                for (size_t i = 0; i < FAST_COUNT; i++)
                        kept_close(h, &n->fast[i]);
        }
        for (unsigned i = 0; i < TURNS; i++)
                read_slow(h, n, i);
        n->filled = true;
}

/* Reads the state that can change at any moment; when it did, all else is read again. */
static void refresh_fast(HostProc *h, NetIf *n) {
        char before[sizeof n->operstate];
        double changes = value_absent();
        Scan s;
        Span word;
        memcpy(before, n->operstate, sizeof before);
        memset(n->operstate, 0, sizeof n->operstate);
        if (kept_read(h, &n->fast[FAST_OPERSTATE], &s) == 0 && scan_word(&s, &word) && word.len < sizeof n->operstate)
                memcpy(n->operstate, word.text, word.len);
        if (kept_read(h, &n->fast[FAST_CHANGES], &s) == 0 && !file_number(s, &changes))
                changes = value_absent();
        if (memcmp(before, n->operstate, sizeof before) != 0 || memcmp(&changes, &n->changes, sizeof changes) != 0)
                n->filled = false;
        n->changes = changes;
}

static void set_netclass(const NetIf *n, BatchBuilder *b) {
        if (*n->operstate)
                batch_set(b, M_NODE_NETCLASS_UP, strcmp(n->operstate, "up") == 0);
        batch_set(b, M_NODE_NETCLASS_CARRIER_CHANGES, n->changes);
        for (size_t i = 0; i < SLOW_COUNT; i++)
                batch_set(b, SLOW[i].metric, n->slow[i]);
        batch_set(b, M_NODE_NETCLASS_TYPE, n->type);
}

static Span text_span(const char *text) {
        return text ? (Span){ text, strlen(text) } : (Span){ "", 0 };
}

int netclass_look(HostProc *h) {
        BatchBuilder *b = begin(h, GROUP_NODE_NETCLASS), *info = begin(h, GROUP_NODE_NET_INFO);
        bool told = take_link_events(h);
        h->net_turn++;
        for (size_t i = 0; i < h->n_nets; i++) {
                NetIf *n = h->nets[i];
                n->filled = n->filled && !n->changed;
                n->changed = false;
                if (!told || !n->filled || (i + h->net_turn) % TOLD_TURNS == 0) {
                        refresh_fast(h, n);
                        refresh_slow(h, n);
                }
                if (value_is_absent(n->slow[SLOW_IFINDEX]))
                        continue; /* no directory: gone meanwhile, or another network namespace's /sys */
                batch_row1(b, n->name, strlen(n->name));
                set_netclass(n, b);
                batch_row(info, (Span[]){ text_span(n->name), text_span(n->operstate), text_span(n->texts[0]),
                                          text_span(n->texts[1]), text_span(n->texts[2]), text_span(n->texts[3]) });
                batch_set(info, M_NODE_NET_INFO_INFO, 1);
        }
        finish(h, b);
        finish(h, info);
        return b->n_rows > 0 ? 0 : -ENODATA;
}

/* Tables of /proc/net of which only counts are wanted, and bonding. */
#include "collect/hostproc/hostproc_priv.h"

#define DEVICES_MAX 256u

/* One row for each device that stands in the last column, in the order in which they come. */
int arp_look(HostProc *h) {
        Span devices[DEVICES_MAX];
        uint32_t counts[DEVICES_MAX];
        size_t n = 0;
        Scan s;
        int r = file_read(h, FILE_ARP, &s);
        if (r < 0)
                return r;
        Span line, word;
        (void)whole_line(&s, &line);
        while (whole_line(&s, &line)) {
                Scan l = SCAN(line.text, line.len);
                size_t words = 0, i;
                Span last = { "", 0 };
                for (; scan_word(&l, &word); words++)
                        last = word;
                if (words < 6)
                        continue;
                for (i = 0; i < n; i++)
                        if (devices[i].len == last.len && memcmp(devices[i].text, last.text, last.len) == 0)
                                break;
                if (i == DEVICES_MAX)
                        continue;
                if (i == n) {
                        devices[n] = last;
                        counts[n++] = 0;
                }
                counts[i]++;
        }
        BatchBuilder *b = begin(h, GROUP_NODE_ARP);
        for (size_t i = 0; i < n; i++) {
                batch_row(b, &devices[i]);
                batch_set(b, M_NODE_ARP_ENTRIES, counts[i]);
        }
        finish(h, b);
        return 0;
}

static bool is_up(HostProc *h, Span slave) {
        char path[256];
        Span word;
        (void)snprintf(path, sizeof path, "sys/class/net/%.*s/bonding_slave/mii_status", (int)slave.len, slave.text);
        return path_word(h, path, &word) == 0 && span_is(word, "up");
}

static void bond_row(HostProc *h, BatchBuilder *b, const char *master) {
        char path[HOST_NAME_MAX_LEN + 48];
        CLEANUP(buf_deinit) Buf slaves = BUF_WITH_LIMIT(65536);
        (void)snprintf(path, sizeof path, "sys/class/net/%s/bonding/slaves", master);
        batch_row1(b, master, strlen(master));
        Span line, word;
        if (path_word(h, path, &line) < 0)
                return;
        buf_put(&slaves, line.text, line.len);
        Scan s = SCAN(slaves.data, slaves.len);
        unsigned n = 0, active = 0;
        for (; scan_word(&s, &word); n++)
                active += word.len <= HOST_NAME_MAX_LEN && !memchr(word.text, '/', word.len) && is_up(h, word);
        batch_set(b, M_NODE_BONDING_SLAVES, n);
        batch_set(b, M_NODE_BONDING_ACTIVE, active);
}

int bonding_look(HostProc *h) {
        Span line, word;
        int r = path_word(h, "sys/class/net/bonding_masters", &line);
        if (r < 0)
                return r;
        CLEANUP(buf_deinit) Buf masters = BUF_WITH_LIMIT(65536);
        buf_put(&masters, line.text, line.len);
        BatchBuilder *b = begin(h, GROUP_NODE_BONDING);
        Scan s = SCAN(masters.data, masters.len);
        while (scan_word(&s, &word)) {
                char name[HOST_NAME_MAX_LEN + 1];
                if (word.len > HOST_NAME_MAX_LEN || memchr(word.text, '/', word.len))
                        continue;
                memcpy(name, word.text, word.len);
                name[word.len] = '\0';
                bond_row(h, b, name);
        }
        finish(h, b);
        return 0;
}

static int hex_digit(char c) {
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

static bool hex_span(Span s, uint64_t *ret_v) {
        uint64_t v = 0;
        if (s.len == 0 || s.len > 16)
                return false;
        for (size_t i = 0; i < s.len; i++) {
                int d = hex_digit(s.text[i]);
                if (d < 0)
                        return false;
                v = v << 4 | (uint64_t)d;
        }
        *ret_v = v;
        return true;
}

static const struct {
        const char *name;
        MetricId metric;
} CONNTRACK[] = {
        { "found", M_NODE_CONNTRACK_FOUND },   { "invalid", M_NODE_CONNTRACK_INVALID },
        { "ignore", M_NODE_CONNTRACK_IGNORE }, { "insert", M_NODE_CONNTRACK_INSERT },
        { "insert_failed", M_NODE_CONNTRACK_INSERT_FAILED }, { "drop", M_NODE_CONNTRACK_DROP },
        { "early_drop", M_NODE_CONNTRACK_EARLY_DROP }, { "search_restart", M_NODE_CONNTRACK_SEARCH_RESTART },
};

/* A head line with names, then a line of hexadecimal numbers for each CPU. */
static void conntrack_sums(Scan s, BatchBuilder *b) {
        double sums[ARRAY_LEN(CONNTRACK)];
        Span head, line, name, word;
        uint64_t v;
        for (size_t i = 0; i < ARRAY_LEN(sums); i++)
                sums[i] = value_absent();
        if (!whole_line(&s, &head))
                return;
        while (whole_line(&s, &line)) {
                Scan names = SCAN(head.text, head.len), values = SCAN(line.text, line.len);
                while (scan_word(&names, &name) && scan_word(&values, &word))
                        for (size_t i = 0; i < ARRAY_LEN(sums); i++)
                                if (span_is(name, CONNTRACK[i].name) && hex_span(word, &v))
                                        sums[i] = (value_is_absent(sums[i]) ? 0 : sums[i]) + (double)v;
        }
        for (size_t i = 0; i < ARRAY_LEN(sums); i++)
                batch_set(b, CONNTRACK[i].metric, sums[i]);
}

int conntrack_look(HostProc *h) {
        Scan s;
        double v;
        int r = path_read(h, "proc/sys/net/netfilter/nf_conntrack_count", &s);
        if (r < 0)
                return r;
        BatchBuilder *b = begin(h, GROUP_NODE_CONNTRACK);
        batch_row(b, NULL);
        if (file_number(s, &v))
                batch_set(b, M_NODE_CONNTRACK_ENTRIES, v);
        if (path_read(h, "proc/sys/net/netfilter/nf_conntrack_max", &s) == 0 && file_number(s, &v))
                batch_set(b, M_NODE_CONNTRACK_LIMIT, v);
        if (file_read(h, FILE_CONNTRACK, &s) == 0)
                conntrack_sums(s, b);
        finish(h, b);
        return 0;
}

/* "  0: LOCAL:PORT REMOTE:PORT STATE TXQUEUE:RXQUEUE ..." */
static bool socket_line(Span line, uint64_t *ret_state, uint64_t *ret_tx, uint64_t *ret_rx) {
        Scan l = SCAN(line.text, line.len);
        Span word, tx;
        for (int i = 0; i < 3; i++)
                if (!scan_word(&l, &word))
                        return false;
        if (!scan_word(&l, &word) || !hex_span(word, ret_state) || !scan_word(&l, &word))
                return false;
        Scan queues = SCAN(word.text, word.len);
        return scan_until(&queues, ':', &tx) && hex_span(tx, ret_tx) &&
               hex_span((Span){ queues.at, (size_t)(queues.end - queues.at) }, ret_rx);
}

int tcpstat_look(HostProc *h) {
        /* include/net/tcp_states.h: 1 established ... 11 closing, 12 new_syn_recv. */
        enum { STATES = 13 };
        uint64_t counts[STATES] = { 0 }, rx_sum = 0, tx_sum = 0, state, tx, rx;
        for (FileId id = FILE_TCP; id <= FILE_TCP6; id++) {
                Scan s;
                Span line;
                int r = file_read(h, id, &s);
                if (r < 0 && id == FILE_TCP)
                        return r;
                if (r < 0 || !whole_line(&s, &line))
                        continue;
                while (whole_line(&s, &line)) {
                        if (!socket_line(line, &state, &tx, &rx) || state == 0 || state >= STATES)
                                continue;
                        counts[state]++;
                        tx_sum += tx;
                        rx_sum += rx;
                }
        }
        BatchBuilder *b = begin(h, GROUP_NODE_TCP);
        batch_row(b, NULL);
        for (MetricId i = 0; i < 11; i++)
                batch_set(b, M_NODE_TCP_ESTABLISHED + i, (double)counts[i + 1]);
        batch_set(b, M_NODE_TCP_SYN_RECV, (double)(counts[3] + counts[12]));
        batch_set(b, M_NODE_TCP_RX_QUEUED_BYTES, (double)rx_sum);
        batch_set(b, M_NODE_TCP_TX_QUEUED_BYTES, (double)tx_sum);
        finish(h, b);
        return 0;
}

static int udp_row(HostProc *h, BatchBuilder *b, FileId id, const char *ip) {
        uint64_t rx_sum = 0, tx_sum = 0, state, tx, rx;
        Scan s;
        Span line;
        int r = file_read(h, id, &s);
        if (r < 0)
                return r;
        if (!whole_line(&s, &line))
                return -ENODATA;
        while (whole_line(&s, &line)) {
                if (!socket_line(line, &state, &tx, &rx))
                        continue;
                rx_sum += rx;
                tx_sum += tx;
        }
        batch_row1(b, ip, strlen(ip));
        batch_set(b, M_NODE_UDP_RX, (double)rx_sum);
        batch_set(b, M_NODE_UDP_TX, (double)tx_sum);
        return 0;
}

int udp_look(HostProc *h) {
        BatchBuilder *b = begin(h, GROUP_NODE_UDP);
        int r4 = udp_row(h, b, FILE_UDP, "v4");
        int r6 = udp_row(h, b, FILE_UDP6, "v6");
        finish(h, b);
        return r4 < 0 && r6 < 0 ? r4 : 0;
}

/* Text files of /proc whose values are named or numbered: one table row a value, one parser a format.
 *
 * The parsers walk lines in the file's order and the tables are written in that order too, so that
 * the search for a key begins where the last one ended and nearly always hits at once. */
#include "collect/hostproc/hostproc_priv.h"

static const Field MEMINFO[] = {
        KEY("MemTotal", M_NODE_MEM_MEMTOTAL),
        KEY("MemFree", M_NODE_MEM_MEMFREE),
        KEY("MemAvailable", M_NODE_MEM_MEMAVAILABLE),
        KEY("Buffers", M_NODE_MEM_BUFFERS),
        KEY("Cached", M_NODE_MEM_CACHED),
        KEY("SwapCached", M_NODE_MEM_SWAPCACHED),
        KEY("Active", M_NODE_MEM_ACTIVE),
        KEY("Inactive", M_NODE_MEM_INACTIVE),
        KEY("Active(anon)", M_NODE_MEM_ACTIVE_ANON),
        KEY("Inactive(anon)", M_NODE_MEM_INACTIVE_ANON),
        KEY("Active(file)", M_NODE_MEM_ACTIVE_FILE),
        KEY("Inactive(file)", M_NODE_MEM_INACTIVE_FILE),
        KEY("Unevictable", M_NODE_MEM_UNEVICTABLE),
        KEY("Mlocked", M_NODE_MEM_MLOCKED),
        KEY("HighTotal", M_NODE_MEM_HIGHTOTAL),
        KEY("HighFree", M_NODE_MEM_HIGHFREE),
        KEY("LowTotal", M_NODE_MEM_LOWTOTAL),
        KEY("LowFree", M_NODE_MEM_LOWFREE),
        KEY("MmapCopy", M_NODE_MEM_MMAPCOPY),
        KEY("SwapTotal", M_NODE_MEM_SWAPTOTAL),
        KEY("SwapFree", M_NODE_MEM_SWAPFREE),
        KEY("Zswap", M_NODE_MEM_ZSWAP),
        KEY("Zswapped", M_NODE_MEM_ZSWAPPED),
        KEY("Dirty", M_NODE_MEM_DIRTY),
        KEY("Writeback", M_NODE_MEM_WRITEBACK),
        KEY("AnonPages", M_NODE_MEM_ANONPAGES),
        KEY("Mapped", M_NODE_MEM_MAPPED),
        KEY("Shmem", M_NODE_MEM_SHMEM),
        KEY("KReclaimable", M_NODE_MEM_KRECLAIMABLE),
        KEY("Slab", M_NODE_MEM_SLAB),
        KEY("SReclaimable", M_NODE_MEM_SRECLAIMABLE),
        KEY("SUnreclaim", M_NODE_MEM_SUNRECLAIM),
        KEY("KernelStack", M_NODE_MEM_KERNELSTACK),
        KEY("ShadowCallStack", M_NODE_MEM_SHADOWCALLSTACK),
        KEY("PageTables", M_NODE_MEM_PAGETABLES),
        KEY("SecPageTables", M_NODE_MEM_SECPAGETABLES),
        KEY("NFS_Unstable", M_NODE_MEM_NFS_UNSTABLE),
        KEY("Bounce", M_NODE_MEM_BOUNCE),
        KEY("WritebackTmp", M_NODE_MEM_WRITEBACKTMP),
        KEY("CommitLimit", M_NODE_MEM_COMMITLIMIT),
        KEY("Committed_AS", M_NODE_MEM_COMMITTED_AS),
        KEY("VmallocTotal", M_NODE_MEM_VMALLOCTOTAL),
        KEY("VmallocUsed", M_NODE_MEM_VMALLOCUSED),
        KEY("VmallocChunk", M_NODE_MEM_VMALLOCCHUNK),
        KEY("Percpu", M_NODE_MEM_PERCPU),
        KEY("EarlyMemtestBad", M_NODE_MEM_EARLYMEMTESTBAD),
        KEY("HardwareCorrupted", M_NODE_MEM_HARDWARECORRUPTED),
        KEY("AnonHugePages", M_NODE_MEM_ANONHUGEPAGES),
        KEY("ShmemHugePages", M_NODE_MEM_SHMEMHUGEPAGES),
        KEY("ShmemPmdMapped", M_NODE_MEM_SHMEMPMDMAPPED),
        KEY("FileHugePages", M_NODE_MEM_FILEHUGEPAGES),
        KEY("FilePmdMapped", M_NODE_MEM_FILEPMDMAPPED),
        KEY("CmaTotal", M_NODE_MEM_CMATOTAL),
        KEY("CmaFree", M_NODE_MEM_CMAFREE),
        KEY("Unaccepted", M_NODE_MEM_UNACCEPTED),
        KEY("Balloon", M_NODE_MEM_BALLOON),
        KEY("GPUActive", M_NODE_MEM_GPUACTIVE),
        KEY("GPUReclaim", M_NODE_MEM_GPURECLAIM),
        KEY("HugePages_Total", M_NODE_MEM_HUGEPAGES_TOTAL),
        KEY("HugePages_Free", M_NODE_MEM_HUGEPAGES_FREE),
        KEY("HugePages_Rsvd", M_NODE_MEM_HUGEPAGES_RSVD),
        KEY("HugePages_Surp", M_NODE_MEM_HUGEPAGES_SURP),
        KEY("Hugepagesize", M_NODE_MEM_HUGEPAGESIZE),
        KEY("Hugetlb", M_NODE_MEM_HUGETLB),
        KEY("DirectMap4k", M_NODE_MEM_DIRECTMAP4K),
        KEY("DirectMap2M", M_NODE_MEM_DIRECTMAP2M),
        KEY("DirectMap4M", M_NODE_MEM_DIRECTMAP4M),
        KEY("DirectMap1G", M_NODE_MEM_DIRECTMAP1G),
};

static const Field VMSTAT[] = {
        KEY("pgpgin", M_NODE_VMSTAT_PGPGIN),
        KEY("pgpgout", M_NODE_VMSTAT_PGPGOUT),
        KEY("pswpin", M_NODE_VMSTAT_PSWPIN),
        KEY("pswpout", M_NODE_VMSTAT_PSWPOUT),
        KEY("pgfault", M_NODE_VMSTAT_PGFAULT),
        KEY("pgmajfault", M_NODE_VMSTAT_PGMAJFAULT),
        KEY("oom_kill", M_NODE_VMSTAT_OOM_KILL),
};

static const Field STAT[] = {
        KEY("intr", M_NODE_STAT_INTR),
        KEY("ctxt", M_NODE_STAT_CTXT),
        KEY("btime", M_NODE_STAT_BTIME),
        KEY("processes", M_NODE_STAT_FORKS),
        KEY("procs_running", M_NODE_STAT_RUNNING),
        KEY("procs_blocked", M_NODE_STAT_BLOCKED),
};

static const Field SNMP[] = {
        KEY2("Tcp", "ActiveOpens", M_NODE_NETSTAT_TCP_ACTIVEOPENS),
        KEY2("Tcp", "CurrEstab", M_NODE_NETSTAT_TCP_CURRESTAB),
        KEY2("Tcp", "InErrs", M_NODE_NETSTAT_TCP_INERRS),
        KEY2("Tcp", "InSegs", M_NODE_NETSTAT_TCP_INSEGS),
        KEY2("Tcp", "MaxConn", M_NODE_NETSTAT_TCP_MAXCONN),
        KEY2("Tcp", "OutRsts", M_NODE_NETSTAT_TCP_OUTRSTS),
        KEY2("Tcp", "OutSegs", M_NODE_NETSTAT_TCP_OUTSEGS),
        KEY2("Tcp", "PassiveOpens", M_NODE_NETSTAT_TCP_PASSIVEOPENS),
        KEY2("Tcp", "RetransSegs", M_NODE_NETSTAT_TCP_RETRANSSEGS),
        KEY2("Udp", "InDatagrams", M_NODE_NETSTAT_UDP_INDATAGRAMS),
        KEY2("Udp", "InErrors", M_NODE_NETSTAT_UDP_INERRORS),
        KEY2("Udp", "NoPorts", M_NODE_NETSTAT_UDP_NOPORTS),
        KEY2("Udp", "OutDatagrams", M_NODE_NETSTAT_UDP_OUTDATAGRAMS),
        KEY2("Udp", "RcvbufErrors", M_NODE_NETSTAT_UDP_RCVBUFERRORS),
        KEY2("Udp", "SndbufErrors", M_NODE_NETSTAT_UDP_SNDBUFERRORS),
        KEY2("UdpLite", "InErrors", M_NODE_NETSTAT_UDPLITE_INERRORS),
        KEY2("Icmp", "InErrors", M_NODE_NETSTAT_ICMP_INERRORS),
        KEY2("Icmp", "InMsgs", M_NODE_NETSTAT_ICMP_INMSGS),
        KEY2("Icmp", "OutMsgs", M_NODE_NETSTAT_ICMP_OUTMSGS),
        KEY2("Ip", "Forwarding", M_NODE_NETSTAT_IP_FORWARDING),
};

static const Field NETSTAT[] = {
        KEY2("TcpExt", "ListenDrops", M_NODE_NETSTAT_TCPEXT_LISTENDROPS),
        KEY2("TcpExt", "ListenOverflows", M_NODE_NETSTAT_TCPEXT_LISTENOVERFLOWS),
        KEY2("TcpExt", "SyncookiesFailed", M_NODE_NETSTAT_TCPEXT_SYNCOOKIESFAILED),
        KEY2("TcpExt", "SyncookiesRecv", M_NODE_NETSTAT_TCPEXT_SYNCOOKIESRECV),
        KEY2("TcpExt", "SyncookiesSent", M_NODE_NETSTAT_TCPEXT_SYNCOOKIESSENT),
        KEY2("TcpExt", "TCPOFOQueue", M_NODE_NETSTAT_TCPEXT_TCPOFOQUEUE),
        KEY2("TcpExt", "TCPRcvQDrop", M_NODE_NETSTAT_TCPEXT_TCPRCVQDROP),
        KEY2("TcpExt", "TCPSynRetrans", M_NODE_NETSTAT_TCPEXT_TCPSYNRETRANS),
        KEY2("TcpExt", "TCPTimeouts", M_NODE_NETSTAT_TCPEXT_TCPTIMEOUTS),
        KEY2("IpExt", "InOctets", M_NODE_NETSTAT_IPEXT_INOCTETS),
        KEY2("IpExt", "OutOctets", M_NODE_NETSTAT_IPEXT_OUTOCTETS),
};

static const Field SNMP6[] = {
        KEY("Ip6InOctets", M_NODE_NETSTAT_IP6_INOCTETS),
        KEY("Ip6OutOctets", M_NODE_NETSTAT_IP6_OUTOCTETS),
        KEY("Icmp6InErrors", M_NODE_NETSTAT_ICMP6_INERRORS),
        KEY("Icmp6InMsgs", M_NODE_NETSTAT_ICMP6_INMSGS),
        KEY("Icmp6OutMsgs", M_NODE_NETSTAT_ICMP6_OUTMSGS),
        KEY("Udp6InDatagrams", M_NODE_NETSTAT_UDP6_INDATAGRAMS),
        KEY("Udp6InErrors", M_NODE_NETSTAT_UDP6_INERRORS),
        KEY("Udp6NoPorts", M_NODE_NETSTAT_UDP6_NOPORTS),
        KEY("Udp6OutDatagrams", M_NODE_NETSTAT_UDP6_OUTDATAGRAMS),
        KEY("Udp6RcvbufErrors", M_NODE_NETSTAT_UDP6_RCVBUFERRORS),
        KEY("Udp6SndbufErrors", M_NODE_NETSTAT_UDP6_SNDBUFERRORS),
        KEY("UdpLite6InErrors", M_NODE_NETSTAT_UDPLITE6_INERRORS),
};

/* A key that fills two metrics (pages and bytes) stands twice. */
static const Field SOCKSTAT[] = {
        KEY2("sockets", "used", M_NODE_SOCKSTAT_SOCKETS_USED),
        KEY2("TCP", "inuse", M_NODE_SOCKSTAT_TCP_INUSE),
        KEY2("TCP", "orphan", M_NODE_SOCKSTAT_TCP_ORPHAN),
        KEY2("TCP", "tw", M_NODE_SOCKSTAT_TCP_TW),
        KEY2("TCP", "alloc", M_NODE_SOCKSTAT_TCP_ALLOC),
        KEY2("TCP", "mem", M_NODE_SOCKSTAT_TCP_MEM),
        KEY2("UDP", "inuse", M_NODE_SOCKSTAT_UDP_INUSE),
        KEY2("UDP", "mem", M_NODE_SOCKSTAT_UDP_MEM),
        KEY2("UDPLITE", "inuse", M_NODE_SOCKSTAT_UDPLITE_INUSE),
        KEY2("RAW", "inuse", M_NODE_SOCKSTAT_RAW_INUSE),
        KEY2("FRAG", "inuse", M_NODE_SOCKSTAT_FRAG_INUSE),
        KEY2("FRAG", "memory", M_NODE_SOCKSTAT_FRAG_MEMORY),
        KEY2("TCP", "mem", M_NODE_SOCKSTAT_TCP_MEM_BYTES),
        KEY2("UDP", "mem", M_NODE_SOCKSTAT_UDP_MEM_BYTES),
};

static const Field SOCKSTAT6[] = {
        KEY2("TCP6", "inuse", M_NODE_SOCKSTAT_TCP6_INUSE),
        KEY2("UDP6", "inuse", M_NODE_SOCKSTAT_UDP6_INUSE),
        KEY2("UDPLITE6", "inuse", M_NODE_SOCKSTAT_UDPLITE6_INUSE),
        KEY2("RAW6", "inuse", M_NODE_SOCKSTAT_RAW6_INUSE),
        KEY2("FRAG6", "inuse", M_NODE_SOCKSTAT_FRAG6_INUSE),
        KEY2("FRAG6", "memory", M_NODE_SOCKSTAT_FRAG6_MEMORY),
};

static const Field LOADAVG[] = { KEY("a", M_NODE_LOAD_L1), KEY("b", M_NODE_LOAD_L5), KEY("c", M_NODE_LOAD_L15) };
static const Field ENTROPY[] = { KEY("a", M_NODE_ENTROPY_AVAILABLE) };
static const Field POOLSIZE[] = { KEY("a", M_NODE_ENTROPY_POOL) };
static const Field HUNG[] = { KEY("a", M_NODE_HUNG_TASKS) };
static const Field FILE_NR[] = { KEY("a", M_NODE_FILEFD_ALLOCATED), KEY("c", M_NODE_FILEFD_MAXIMUM) };
static const Field PRESSURE_CPU[] = { KEY2("some", "total", M_NODE_PRESSURE_CPU_WAITING) };
static const Field PRESSURE_IO[] = {
        KEY2("some", "total", M_NODE_PRESSURE_IO_WAITING),
        KEY2("full", "total", M_NODE_PRESSURE_IO_STALLED),
};
static const Field PRESSURE_MEMORY[] = {
        KEY2("some", "total", M_NODE_PRESSURE_MEMORY_WAITING),
        KEY2("full", "total", M_NODE_PRESSURE_MEMORY_STALLED),
};
static const Field PRESSURE_IRQ[] = { KEY2("full", "total", M_NODE_PRESSURE_IRQ_STALLED) };

#define FILE_ROW(path, form, group, fields) { path, FORM_##form, GROUP_NODE_##group, fields, ARRAY_LEN(fields) }

const TextFile TEXT_LOADAVG[] = { FILE_ROW("proc/loadavg", WORDS, LOAD, LOADAVG) };
const TextFile TEXT_MEMINFO[] = { FILE_ROW("proc/meminfo", KEYED, MEM, MEMINFO) };
const TextFile TEXT_VMSTAT[] = { FILE_ROW("proc/vmstat", KEYED, VMSTAT, VMSTAT) };
const TextFile TEXT_STAT[] = { FILE_ROW("proc/stat", KEYED, STAT, STAT) };
const TextFile TEXT_ENTROPY[] = {
        FILE_ROW("proc/sys/kernel/random/entropy_avail", WORDS, ENTROPY, ENTROPY),
        FILE_ROW("proc/sys/kernel/random/poolsize", WORDS, ENTROPY, POOLSIZE),
};
const TextFile TEXT_HUNG[] = { FILE_ROW("proc/sys/kernel/hung_task_detect_count", WORDS, HUNG, HUNG) };
const TextFile TEXT_FILEFD[] = { FILE_ROW("proc/sys/fs/file-nr", WORDS, FILEFD, FILE_NR) };
const TextFile TEXT_PRESSURE[] = {
        FILE_ROW("proc/pressure/cpu", TAGGED, PRESSURE, PRESSURE_CPU),
        FILE_ROW("proc/pressure/io", TAGGED, PRESSURE, PRESSURE_IO),
        FILE_ROW("proc/pressure/memory", TAGGED, PRESSURE, PRESSURE_MEMORY),
        FILE_ROW("proc/pressure/irq", TAGGED, PRESSURE, PRESSURE_IRQ),
};
const TextFile TEXT_SOCKSTAT[] = {
        FILE_ROW("proc/net/sockstat", TAGGED, SOCKSTAT, SOCKSTAT),
        FILE_ROW("proc/net/sockstat6", TAGGED, SOCKSTAT, SOCKSTAT6),
};
const TextFile TEXT_NETSTAT[] = {
        FILE_ROW("proc/net/snmp", PAIRED, NETSTAT, SNMP),
        FILE_ROW("proc/net/netstat", PAIRED, NETSTAT, NETSTAT),
        FILE_ROW("proc/net/snmp6", KEYED, NETSTAT, SNMP6),
};

static bool span_equal(Span s, const char *text, size_t n) {
        return s.len == n && memcmp(s.text, text, n) == 0;
}

static Span without_colon(Span s) {
        if (s.len > 0 && s.text[s.len - 1] == ':')
                s.len--;
        return s;
}

static void set_number(BatchBuilder *b, MetricId m, Span word) {
        Scan s = SCAN(word.text, word.len);
        uint64_t u;
        double d;
        /* Counters of SNMP may be negative (MaxConn -1); loads have a fraction. */
        if (span_u64(word, &u))
                batch_set(b, m, (double)u);
        else if (scan_double(&s, &d) && s.at == s.end)
                batch_set(b, m, d);
}

static void parse_keyed(const TextFile *t, Scan s, BatchBuilder *b) {
        size_t hint = 0, found = 0;
        for (Span line; found < t->n && whole_line(&s, &line);) {
                Scan l = SCAN(line.text, line.len);
                Span word;
                if (!scan_word(&l, &word))
                        continue;
                word = without_colon(word);
                for (size_t i = 0; i < t->n; i++) {
                        size_t at = hint + i < t->n ? hint + i : hint + i - t->n;
                        const Field *f = &t->fields[at];
                        if (!span_equal(word, f->key, f->key_len))
                                continue;
                        uint64_t v;
                        if (scan_u64(&l, &v))
                                batch_set(b, f->metric, (double)v);
                        hint = at + 1 < t->n ? at + 1 : 0;
                        found++;
                        break;
                }
        }
}

static bool in_section(const TextFile *t, Span section) {
        for (size_t i = 0; i < t->n; i++)
                if (span_equal(section, t->fields[i].section, t->fields[i].section_len))
                        return true;
        return false;
}

static void set_field(const TextFile *t, Span section, Span key, Span value, BatchBuilder *b) {
        for (size_t i = 0; i < t->n; i++) {
                const Field *f = &t->fields[i];
                if (span_equal(key, f->key, f->key_len) && span_equal(section, f->section, f->section_len))
                        set_number(b, f->metric, value);
        }
}

static void parse_paired(const TextFile *t, Scan s, BatchBuilder *b) {
        for (Span head, row; whole_line(&s, &head) && whole_line(&s, &row);) {
                Scan names = SCAN(head.text, head.len), values = SCAN(row.text, row.len);
                Span section, again, key, value;
                if (!scan_word(&names, &section) || !scan_word(&values, &again) ||
                    !span_equal(section, again.text, again.len))
                        return;
                section = without_colon(section);
                if (!in_section(t, section))
                        continue;
                while (scan_word(&names, &key) && scan_word(&values, &value))
                        set_field(t, section, key, value, b);
        }
}

static void parse_tagged(const TextFile *t, Scan s, BatchBuilder *b) {
        for (Span line; whole_line(&s, &line);) {
                Scan l = SCAN(line.text, line.len);
                Span section, word;
                if (!scan_word(&l, &section))
                        continue;
                section = without_colon(section);
                while (scan_word(&l, &word)) {
                        const char *equals = memchr(word.text, '=', word.len);
                        Span key = word, value;
                        if (equals) {
                                key.len = (size_t)(equals - word.text);
                                value = (Span){ equals + 1, word.len - key.len - 1 };
                        } else if (!scan_word(&l, &value)) {
                                break;
                        }
                        set_field(t, section, key, value, b);
                }
        }
}

static void parse_words(const TextFile *t, Scan s, BatchBuilder *b) {
        Span line, word;
        if (!whole_line(&s, &line))
                return;
        Scan l = SCAN(line.text, line.len);
        for (char at = 'a'; scan_word(&l, &word); at++) {
                for (size_t i = 0; i < t->n; i++) {
                        if (t->fields[i].key[0] == at)
                                set_number(b, t->fields[i].metric, word);
                }
        }
}

static void parse(const TextFile *t, Scan s, BatchBuilder *b) {
        switch (t->form) {
        case FORM_KEYED: parse_keyed(t, s, b); break;
        case FORM_PAIRED: parse_paired(t, s, b); break;
        case FORM_TAGGED: parse_tagged(t, s, b); break;
        case FORM_WORDS: parse_words(t, s, b); break;
        }
}

/* All files of a text collector fill one group. The first must be there, the others may be missing:
 * a kernel without IPv6, without PSI for interrupts. */
int text_look(HostProc *h, const Collector *c) {
        BatchBuilder *b = begin(h, c->files[0].group);
        for (size_t i = 0; i < c->n_files; i++) {
                Scan s;
                int r = kept_read(h, &h->kept[h->collector][i], &s);
                if (r < 0 && i == 0)
                        return r;
                if (i == 0)
                        batch_row(b, NULL);
                if (r == 0)
                        parse(&c->files[i], s, b);
        }
        finish(h, b);
        return 0;
}

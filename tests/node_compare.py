#!/usr/bin/env python3
"""Compares node_* with node_exporter's, which is read before and after ours (a URL or a file each):

    tests/node_compare.py BEFORE OURS AFTER

A counter must lie between the two readings of the reference. A gauge must lie between them or within 2 % of one
of them; what moves by itself has an allowance of its own. Every exception is in a table below with its reason.
Prints what differs with all three values, and fails when something differs, when a series of the reference is
missing, or when a series is here for no reason listed."""
import re
import sys
import urllib.request

SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
TOLERANCE = 0.02

# Series that only node_exporter has.
MISSING = [
    (r'node_exporter_build_info\{', 'it is about node_exporter'),
    (r'node_textfile_', 'no textfile collector'),
    (r'node_time_zone_offset_seconds\{', 'not collected'),
    (r'node_network_speed_bytes\{.* -\d',
     'a link without a speed: the reference says -1 or -125000, here it is absent'),
    (r'node_scrape_collector_.*collector="(bcache|bonding|btrfs|dmmultipath|fibrechannel|infiniband|ipvs|mdadm|nfs|nfsd|'
     r'pcidevice|rapl|selinux|softirqs|swap|systemd|tapestats|textfile|watchdog|xfs|zfs)"', 'no such collector'),
]

# Series that only Parallax has.
EXTRA = [
    (r'node_network_.*device="lo"', "Debian's node_exporter leaves out the loopback device"),
    (r'node_(filesystem|disk)_.*mountpoint="/(mnt|media|run)(/|")',
     "Debian's node_exporter leaves out what is mounted by hand"),
    (r'node_netstat_(TcpExt_TCPOFOQueue|TcpExt_TCPRcvQDrop|Tcp_MaxConn)\{', 'newer releases of node_exporter have it'),
    (r'node_softnet_(backlog_len|cpu_collision_total|flow_limit_count_total|received_rps_total)\{',
     'newer releases have it'),
    (r'node_(kernel_hung_tasks_total|disk_info|disk_filesystem_info|disk_device_mapper_info|disk_ata_.*)\{',
     'newer releases have it'),
    (r'node_scrape_collector_.*collector="(clocksource|disk_info|kernel_hung)"', 'a collector of newer releases'),
    (r'node_(processes_state|processes_threads_state|tcp_connection_states)\{.* 0$',
     'a state that nothing is in: 0 was counted'),
    (r'node_processes_(threads_)?state\{',
     'a state in which nothing was when the reference looked: it leaves those out'),
]

# Never comparable.
UNSTEADY = [
    (r'node_scrape_collector_duration_seconds', 'how long the collector itself took'),
    (r'node_timex_(offset|maxerror|estimated_error|frequency_adjustment|pps_|loop_time|tick)',
     'the clock discipline moves it'),
    (r'node_cpu(_scaling)?_frequency_hertz', 'the governor moves it'),
]

# Other values on purpose.
OTHER = [
    (r'node_tcp_connection_states\{state="tx_queued_bytes"\}',
     'sock_diag gives the backlog of a listening socket as its send queue, /proc/net/tcp what is queued: 0'),
]

# Counters that the kernel itself lets go backwards, or brings up to date in steps: so much is the same.
SLACK = [
    (r'node_cpu_seconds_total\{.*mode="(idle|iowait)"', 0.05,
     'an estimate of the kernel that may go back by some ticks'),
    (r'node_disk_(io_time|io_time_weighted)_seconds_total', 0.05, 'the kernel brings it up to date in ticks'),
]

# Gauges that move between two readings: so much in absolute terms is the same.
RESTLESS = [
    (r'node_load(1|5|15)\{', 0.5, 'moves with what runs'),
    (r'node_procs_(running|blocked)\{', 8, 'moves with what runs'),
    (r'node_processes_', 200, 'walked as often as keeps it below 0.02 % of a CPU, so older than the reference'),
    (r'node_(tcp_connection_states|udp_queues)', 1000, 'the same; connections in time_wait come by the hundred'),
    (r'node_sockstat_.*_bytes\{', 1 << 20, 'socket buffers'),
    (r'node_filefd_allocated\{', 512, 'the kernel counts open files in batches a CPU'),
    (r'node_(sockstat|netstat_Tcp_CurrEstab|nf_conntrack_entries|arp_entries)', 60,
     'sockets come and go'),
    (r'node_disk_io_now\{', 4, 'requests under way'),
    (r'node_entropy_available_bits\{', 256, 'drawn from'),
    (r'node_filesystem_(free_bytes|avail_bytes)\{', 64 << 20, 'files are written'),
    (r'node_filesystem_files_free\{', 500, 'files are written'),
    (r'node_memory_Committed_AS_bytes', 2 << 30, 'a fork commits what its parent has, until it executes'),
    (r'node_memory_((Mem|High|Low)?(Free|Available)|(Ina|A)ctive|AnonPages|AnonHugePages|Cached|Buffers|Dirty)', 256 << 20,
     'programs start and end'),
    (r'node_memory_', 64 << 20, 'memory is used'),
    (r'node_(hwmon|thermal)_', 5, 'it gets warmer'),
]


def read(where):
    if '://' in where:
        text = urllib.request.urlopen(where, timeout=10).read().decode()
    else:
        with open(where, encoding='utf-8') as f:
            text = f.read()
    types, samples = {}, {}
    for line in text.splitlines():
        if line.startswith('# TYPE node_'):
            _, _, name, kind = line.split(' ', 3)
            types[name] = kind
        match = SAMPLE.match(line)
        if match and match[1].startswith('node_'):
            labels = sorted((k, v) for k, v in LABEL.findall(match[2] or '') if v)
            samples[match[1] + '{' + ','.join('%s="%s"' % pair for pair in labels) + '}'] = float(match[3])
    return types, samples


def listed(table, key, number=None):
    """The row of `table` for this series; its value can be part of the pattern."""
    text = key if number is None else '%s %g' % (key, number)
    return next((row for row in table if re.match(row[0], text)), None)


def is_counter(types, key):
    name = key.split('{')[0]
    # untyped in the reference, as in /proc; most of them count
    return types.get(name) == 'counter' or name.endswith('_total') or \
        (re.match(r'node_(netstat|vmstat)_', name) and name != 'node_netstat_Tcp_CurrEstab')


def agrees(types, key, before, ours, after):
    low, high = min(before, after), max(before, after)
    nan = [v != v for v in (before, ours, after)]
    if any(nan):
        return all(nan)
    if is_counter(types, key):
        row = listed(SLACK, key)
        slack = max(row[1] if row else 0, 1e-9 * abs(high))  # both print the shortest text of a double
        return low - slack <= ours <= high + slack
    row = listed(RESTLESS, key)
    slack = max(TOLERANCE * max(abs(low), abs(high)), row[1] if row else 0)
    return low - slack <= ours <= high + slack


def main(before, ours, after):
    types, first = read(before)
    own_types, mine = read(ours)
    _, last = read(after)
    offences = []
    steady = sorted(set(first) & set(last))  # what came or went meanwhile is no reference
    for key in steady:
        if key not in mine:
            if not listed(MISSING, key, first[key]):
                offences.append('only in the reference: %s %r' % (key, first[key]))
        elif key.startswith('node_scrape_collector_success') and first[key] == 0:
            continue  # what the reference cannot read here is no reference
        elif listed(UNSTEADY, key) or listed(OTHER, key):
            continue
        elif not agrees(types, key, first[key], mine[key], last[key]):
            offences.append('%s differs: %s reference %r, ours %r, reference %r' %
                            ('counter' if is_counter(types, key) else 'gauge', key, first[key], mine[key], last[key]))
    for key in sorted(set(mine) - set(first) - set(last)):
        if not listed(EXTRA, key, mine[key]):
            offences.append('only here: %s %r' % (key, mine[key]))
    for name in sorted(set(types) & set(own_types)):
        if types[name] != own_types[name]:
            offences.append('type differs: %s reference %s, ours %s' % (name, types[name], own_types[name]))
    print('\n'.join(offences + ['%d series of the reference, %d here, %d in both, %d offences' %
                                (len(steady), len(mine), len(set(steady) & set(mine)), len(offences))]))
    return 1 if offences else 0


if __name__ == '__main__':
    if len(sys.argv) != 4:
        sys.exit('usage: node_compare.py BEFORE OURS AFTER (URLs or files)')
    sys.exit(main(*sys.argv[1:]))

#!/bin/sh
# Compares two expositions of node_* (a URL or a file each), the reference first:
#   tests/node_compare.sh http://127.0.0.1:9100/metrics http://127.0.0.1:9177/metrics/node
# Counters may be apart by the progress of one look, gauges by 2 %; what moves by itself (free memory, running
# processes) also by a fixed amount.
# Prints what only one side has and what differs. Fails when names of the reference are missing or values differ.
exec python3 - "$@" <<'PYTHON'
import re, sys, urllib.request

SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

# Series that one side has on purpose, and why.
EXPECTED_MISSING = [
    (r'node_exporter_build_info', 'about node_exporter'),
    (r'node_textfile_scrape_error', 'no textfile collector'),
    (r'node_time_zone_offset_seconds', 'not collected'),
    (r'node_scrape_collector_.*collector="(bcache|btrfs|fibrechannel|infiniband|ipvs|mdadm|nfs|nfsd|rapl|systemd|'
     r'tapestats|textfile|xfs|zfs|kernel_hung|watchdog|dmmultipath|pcidevice|selinux|bonding|swap|softirqs)"', 'no such collector'),
    (r'node_network_speed_bytes.* -', 'unknown speed is absent'),
]
# Never comparable: durations, and what the clock discipline or a governor changes at each reading.
UNSTEADY = re.compile(r'node_(scrape_collector_duration|timex_(offset|maxerror|estimated|frequency|pps)|cpu_.*frequency|time_seconds)')
# Moves between two readings: so much in absolute terms is the same.
RESTLESS = re.compile(r'node_(load|procs_|processes_|sockstat_|tcp_connection|udp_queues|netstat_Tcp_CurrEstab|filefd_|'
                      r'entropy_|disk_io_now|filesystem_(free|avail|files_free)|hwmon_|thermal_|nf_conntrack_entries|arp_|memory_)')

# sock_diag gives the largest backlog of a listening socket as its send queue; /proc/net/tcp gives what is queued: 0.
OTHER_MEANING = ('node_tcp_connection_states', (('state', 'tx_queued_bytes'),))

def read(where):
    if '://' in where:
        text = urllib.request.urlopen(where, timeout=10).read().decode()
    else:
        text = open(where, encoding='utf-8').read()
    types, samples = {}, {}
    for line in text.splitlines():
        if line.startswith('# TYPE '):
            _, _, name, kind = line.split(' ', 3)
            types[name] = kind
        match = SAMPLE.match(line)
        if match and match[1].startswith('node_'):
            labels = tuple(sorted((k, v) for k, v in LABEL.findall(match[2] or '') if v))
            samples[match[1], labels] = float(match[3])
    return types, samples

def text(key):
    return key[0] + '{' + ','.join('%s="%s"' % pair for pair in key[1]) + '}'

def is_close(name, counter, a, b):
    if a == b or (a != a and b != b):
        return True
    if UNSTEADY.match(name):
        return True
    if counter:
        # Progress of one look: as many seconds, requests or bytes as fit in a few seconds.
        step = 2.0 if '_seconds' in name else 256e6 if '_bytes' in name else 200000
        return abs(b - a) <= max(step, 0.02 * abs(a))
    if RESTLESS.match(name):
        return abs(b - a) <= max(0.02 * abs(a), 64 << 20 if name.endswith('_bytes') else 50)
    return abs(b - a) <= 0.02 * abs(a)

def main(reference, ours):
    types_a, a = read(reference)
    types_b, b = read(ours)
    missing = [k for k in a if k not in b]
    excused = {k for k in missing for pattern, _ in EXPECTED_MISSING if re.match(pattern, '%s %g' % (text(k), a[k]))}
    differ, wrong_type = [], []
    for key in sorted(set(a) & set(b)):
        kind = types_a.get(key[0], '')
        counter = kind == 'counter' or key[0].endswith('_total') or re.match('node_(netstat|vmstat)_', key[0])
        if key[0] == 'node_scrape_collector_success' and a[key] == 0:
            continue  # what the reference cannot read here is no reference
        if key != OTHER_MEANING and not is_close(key[0], counter, a[key], b[key]):
            differ.append('%s %r %r' % (text(key), a[key], b[key]))
    for name in sorted(set(types_a) & set(types_b)):
        if name.startswith('node_') and types_a[name] != types_b[name]:
            wrong_type.append('%s %s %s' % (name, types_a[name], types_b[name]))
    print('series: %d in the reference, %d here, %d in both' % (len(a), len(b), len(set(a) & set(b))))
    for title, lines in (('only in the reference (expected)', [text(k) for k in sorted(excused)]),
                         ('only in the reference', [text(k) for k in sorted(set(missing) - excused)]),
                         ('only here', [text(k) for k in sorted(set(b) - set(a))]),
                         ('type differs', wrong_type), ('value differs', differ)):
        print('%s: %d' % (title, len(lines)))
        for line in lines:
            print('  ' + line)
    return 1 if set(missing) - excused or differ or wrong_type else 0

if len(sys.argv) < 3:
    sys.exit('usage: node_compare.sh REFERENCE OURS (URLs or files)')
sys.exit(main(sys.argv[1], sys.argv[2]))
PYTHON

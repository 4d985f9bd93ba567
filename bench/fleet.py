"""Scale: DOMAINS real QEMU domains (a boot sector that halts, one disk, one NIC).

CPU is read in nanoseconds from /proc/PID/task/*/schedstat, so that idle QEMUs are not rounded to ticks.
What watching causes in libvirtd and QEMU is the difference to the same time without watching."""
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/system"))
from harness import *

DOMAINS = int(os.environ.get("DOMAINS", "200"))
ROUNDS = int(os.environ.get("ROUNDS", "12"))
NAMES = [f"plx-fleet-{n:03d}" for n in range(DOMAINS)]


def cpu_ns(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/schedstat") as f:
                    total += int(f.read().split()[0])
    return total


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


class Spent:
    """CPU of groups of processes over a stretch of time; children that ended are not missed if few."""

    def __init__(self, **groups):
        self.groups = groups
        self.start = {name: cpu_ns(pids()) for name, pids in groups.items()}
        self.began = time.monotonic()

    def per_domain_us(self, rounds):
        return {name: (cpu_ns(pids()) - self.start[name]) / 1e3 / DOMAINS / rounds for name, pids in self.groups.items()}


with open("/run/libvirtd.pid") as f:
    LIBVIRTD = int(f.read())

print(f"starting {DOMAINS} domains", flush=True)
with tiny_domains(NAMES, nic=True):
    qemus = [qemu_pid(name) for name in NAMES]
    time.sleep(10)
    base_groups = {"libvirtd": lambda: [LIBVIRTD], "qemu": lambda: qemus}

    seconds = ROUNDS * 10
    idle = Spent(**base_groups)
    time.sleep(seconds)
    idle = idle.per_domain_us(ROUNDS)
    print(f"nothing watches:            libvirtd {idle['libvirtd']:.1f}  qemu {idle['qemu']:.1f}  us per domain and 10 s")

    # One bulk call with every group, the yardstick.
    calls = 5
    spent = Spent(**base_groups)
    for _ in range(calls):
        virsh("domstats", "--nowait", timeout=120)
    took = time.monotonic() - spent.began
    bulk = spent.per_domain_us(calls)
    for name in bulk:
        bulk[name] -= idle[name] * took / 10 / calls
    print(f"bulk call, all groups:      libvirtd {bulk['libvirtd']:.1f}  qemu {bulk['qemu']:.1f}  us per domain and call")

    # Debian's libvirt exporter, scraped every 10 s.
    port = free_port()
    exporter = subprocess.Popen(["prometheus-libvirt-exporter", f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: subprocess.run(["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{port}/metrics"]).returncode == 0, 60, "exporter")
        spent = Spent(exporter=lambda: [exporter.pid], **base_groups)
        walls = []
        for _ in range(5):
            begin = time.monotonic()
            body = fetch(f"http://127.0.0.1:{port}/metrics", timeout=60)[0]
            walls.append(time.monotonic() - begin)
            time.sleep(max(0, 10 - walls[-1]))
        peer = spent.per_domain_us(5)
        print(f"prometheus-libvirt-exporter: exporter {peer['exporter']:.1f}  libvirtd {peer['libvirtd'] - idle['libvirtd']:.1f}  qemu {peer['qemu'] - idle['qemu']:.1f}  us per domain and scrape; {len(parse(body.decode()))} series, {statistics.median(walls) * 1e3:.0f} ms")
        peer_sum = peer["exporter"] + peer["libvirtd"] - idle["libvirtd"]
    finally:
        exporter.kill()
        exporter.wait()

    with Parallax(intervals=("10s", "10s", "60s")) as p:
        wait_for(lambda: sum(n == "libvirt_domain_block_stats_read_bytes_total" for n, _ in p.scrape()) >= DOMAINS, 120, "every domain looked at")
        own = lambda: [p.daemon.pid] + descendants(p.sensor.pid)
        spent = Spent(parallax=own, daemon=lambda: [p.daemon.pid], sensor=lambda: [p.sensor.pid], workers=lambda: descendants(p.sensor.pid)[1:], **base_groups)
        walls = []
        for _ in range(ROUNDS):
            begin = time.monotonic()
            body = fetch(p.url + "/metrics")[0]
            walls.append((time.monotonic() - begin) * 1e3)
            time.sleep(max(0, 10 - walls[-1] / 1e3))
        mine = spent.per_domain_us(ROUNDS)
        caused = mine["libvirtd"] - idle["libvirtd"] + mine["qemu"] - idle["qemu"]
        series = parse(body.decode())
        print(f"parallax:                   own {mine['parallax']:.1f} (parallaxd {mine['daemon']:.1f}, sensor {mine['sensor']:.1f}, workers {mine['workers']:.1f})  libvirtd {mine['libvirtd'] - idle['libvirtd']:.1f}  qemu {mine['qemu'] - idle['qemu']:.1f}  us per domain and round; {len(series)} series")
        print(f"scrape of {DOMAINS} domains:      median {statistics.median(walls):.1f} ms, worst {max(walls):.1f} ms, {len(body)} bytes")
        print(f"own CPU / (exporter + libvirtd of its scrape): {mine['parallax'] / peer_sum:.4f}   (goal 0.03)")
        print(f"caused in libvirtd and QEMU / bulk call:       {caused / (bulk['libvirtd'] + bulk['qemu']):.4f}   (goal 0.10)")
        workers = descendants(p.sensor.pid)[1:]
        print(f"resident: parallaxd {rss_kib(p.daemon.pid)} KiB, sensor {rss_kib(p.sensor.pid)} KiB, together {(rss_kib(p.daemon.pid) + rss_kib(p.sensor.pid)) / 1024:.1f} MiB (goal 20 MB); "
              f"workers {[rss_kib(w) for w in workers]} KiB; PSS of all {sum(pss_kib(x) for x in [p.daemon.pid, p.sensor.pid] + workers) / 1024:.1f} MiB")

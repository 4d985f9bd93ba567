"""Scale: DOMAINS real QEMU domains (a boot sector that halts, one disk, one NIC).

CPU is read in nanoseconds from /proc/PID/task/*/schedstat, so that idle QEMUs are not rounded to ticks.
What watching causes in libvirtd and QEMU is the difference to the same time without watching, which is
measured before, between and after, because an idle QEMU is not quite idle: the spread is printed. vCPU
threads are left out of QEMU's: the monitor is served by the others.

Parallax is measured twice: with its defaults, where these domains are idle and so seldom asked for their
disks, and as if each of them were busy."""
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/system"))
from harness import *

DOMAINS = int(os.environ.get("DOMAINS", "200"))
ROUNDS = int(os.environ.get("ROUNDS", "12"))
IDLE_ROUNDS = max(2, ROUNDS // 3)
NAMES = [f"plx-fleet-{n:03d}" for n in range(DOMAINS)]


def task_ns(pid, wanted=None):
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            if wanted is None or task in wanted:
                with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/schedstat") as f:
                    total += int(f.read().split()[0])
    return total


def monitor_threads(pid):
    found = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as f:
            if not f.read().startswith(("CPU ", "ALL CPUs")):
                found.add(task)
    return found


def pss_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


class Spent:
    """CPU of groups of processes over a stretch of time, us per domain and 10 s."""

    def __init__(self, **groups):
        self.groups = {"libvirtd": lambda: task_ns(LIBVIRTD), "qemu": lambda: sum(task_ns(pid, tasks) for pid, tasks in QEMUS.items()), **groups}
        self.start = {name: read() for name, read in self.groups.items()}
        self.began = time.monotonic()

    def per(self, seconds):
        return {name: (read() - self.start[name]) / 1e3 / DOMAINS / seconds * 10 for name, read in self.groups.items()}

    def per_round(self):
        took = time.monotonic() - self.began
        return self.per(took)


IDLES = []


def unwatched():
    spent = Spent()
    time.sleep(IDLE_ROUNDS * 10)
    IDLES.append(spent.per_round())
    print(f"nothing watches:            libvirtd {IDLES[-1]['libvirtd']:.1f}  qemu {IDLES[-1]['qemu']:.1f}  us per domain and 10 s", flush=True)


def around(name):
    """What would have been spent without watching, by the two idle stretches about the last measurement."""
    return statistics.mean(idle[name] for idle in IDLES[-2:])


def bulk_calls(calls=3):
    spent = Spent()
    for _ in range(calls):
        virsh("domstats", "--nowait", timeout=120)
    took = time.monotonic() - spent.began
    return spent.per(10 * calls), took / calls


def exporter_scrapes(scrapes=5):
    port = free_port()
    exporter = subprocess.Popen(["prometheus-libvirt-exporter", f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: subprocess.run(["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{port}/metrics"]).returncode == 0, 60, "exporter")
        spent = Spent(exporter=lambda: task_ns(exporter.pid))
        walls = []
        for _ in range(scrapes):
            begin = time.monotonic()
            body = fetch(f"http://127.0.0.1:{port}/metrics", timeout=60)[0]
            walls.append(time.monotonic() - begin)
            time.sleep(max(0, 10 - walls[-1]))
        return spent.per_round(), len(parse(body.decode())), statistics.median(walls)
    finally:
        exporter.kill()
        exporter.wait()


def looks(p):
    return {dict(labels)["collector"]: v for (n, labels), v in p.scrape("/metrics/self").items() if n == "parallax_sensor_look_cpu_seconds_total"}


def parallax(idle, rounds):
    """Own CPU, what it caused, and how it was reached, with Prometheus' scrape in each round."""
    with Parallax(intervals=("10s", "10s", "60s"), idle=idle) as p:
        wait_for(lambda: sum(n == "libvirt_domain_block_stats_read_bytes_total" for n, _ in p.scrape()) >= DOMAINS, 120, "every domain looked at")
        time.sleep(10)
        workers = descendants(p.sensor.pid)[1:]
        before = looks(p)
        spent = Spent(daemon=lambda: task_ns(p.daemon.pid), sensor=lambda: task_ns(p.sensor.pid), workers=lambda: sum(map(task_ns, workers)))
        walls = []
        for n in range(rounds):
            begin = time.monotonic()
            body = fetch(p.url + "/metrics")[0]
            walls.append((time.monotonic() - begin) * 1e3)
            time.sleep(max(0, spent.began + 10 * (n + 1) - time.monotonic()))
        mine = spent.per_round()
        mine["own"] = mine["daemon"] + mine["sensor"] + mine["workers"]
        mine["looks"] = {name: (v - before[name]) * 1e6 / DOMAINS / rounds for name, v in looks(p).items()}
        mine["series"], mine["bytes"], mine["walls"] = len(parse(body.decode())), len(body), walls
        mine["rss"] = [rss_kib(p.daemon.pid), rss_kib(p.sensor.pid)]
        mine["workers_rss"] = [rss_kib(w) for w in workers]
        mine["pss"] = sum(pss_kib(x) for x in [p.daemon.pid, p.sensor.pid] + workers)
        return mine


def report(title, mine, bulk, peer):
    caused = [mine[name] - around(name) for name in ("libvirtd", "qemu")]
    print(f"parallax, {title}: own {mine['own']:.1f} (parallaxd {mine['daemon']:.1f}, sensor {mine['sensor']:.1f}, workers {mine['workers']:.1f})  libvirtd {caused[0]:.1f}  qemu {caused[1]:.1f}  us per domain and round; {mine['series']} series")
    print("    the sensor's looks: " + ", ".join(f"{name} {us:.1f}" for name, us in mine["looks"].items()))
    print(f"    own CPU / (exporter + libvirtd of its scrape): {mine['own'] / peer:.4f}   (goal 0.03)")
    print(f"    caused in libvirtd and QEMU / bulk call:       {sum(caused) / bulk:.4f}   (goal 0.10)")
    print(f"    scrape of {DOMAINS} domains: median {statistics.median(mine['walls']):.1f} ms, worst {max(mine['walls']):.1f} ms, {mine['bytes']} bytes")
    print(f"    resident: parallaxd {mine['rss'][0]} KiB, sensor {mine['rss'][1]} KiB, together {sum(mine['rss']) * 1024 / 1e6:.1f} MB (goal 20 MB); workers {mine['workers_rss']} KiB; PSS of all {mine['pss'] / 1024:.1f} MiB", flush=True)


with open("/run/libvirtd.pid") as f:
    LIBVIRTD = int(f.read())
print(f"starting {DOMAINS} domains", flush=True)
with tiny_domains(NAMES, nic=True):
    QEMUS = {pid: monitor_threads(pid) for pid in map(qemu_pid, NAMES)}
    time.sleep(10)
    unwatched()
    bulk, took = bulk_calls()
    peer, peer_series, peer_wall = exporter_scrapes()
    unwatched()
    # A call is not a round: what is idle in it is the time that it took.
    for name in ("libvirtd", "qemu"):
        bulk[name] -= around(name) * took / 10
        peer[name] -= around(name)
    bulk_sum, peer_sum = bulk["libvirtd"] + bulk["qemu"], peer["exporter"] + peer["libvirtd"]
    print(f"bulk call, all groups:      libvirtd {bulk['libvirtd']:.1f}  qemu {bulk['qemu']:.1f}  us per domain and call")
    print(f"prometheus-libvirt-exporter: exporter {peer['exporter']:.1f}  libvirtd {peer['libvirtd']:.1f}  qemu {peer['qemu']:.1f}  us per domain and scrape; {peer_series} series, {peer_wall * 1e3:.0f} ms", flush=True)
    mine = parallax("300s", ROUNDS)
    unwatched()
    report("defaults (idle domains)", mine, bulk_sum, peer_sum)
    mine = parallax("60s", max(6, ROUNDS // 2))
    unwatched()
    report("every domain busy", mine, bulk_sum, peer_sum)

"""Memory of the whole, history kept: DOMAINS real QEMU domains (halted guests, one disk and one NIC each), defaults, a scrape every
10 s, for MINUTES. Resident memory is what counts: parallaxd's is the goal of 64 MiB with 14,000 series; beside it what
the store says that it has, and how much is files' pages, which the kernel takes back when it wants them."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/system"))
from harness import *

DOMAINS = int(os.environ.get("DOMAINS", "200"))
MINUTES = float(os.environ.get("MINUTES", "12"))
NAMES = [f"plx-foot-{n:03d}" for n in range(DOMAINS)]
GOAL_KIB = 64 * 1024


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return {line.split(":")[0]: int(line.split()[1]) for line in f if line.startswith(("VmRSS", "VmHWM", "RssAnon", "RssFile"))}


def rollup(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return {line.split(":")[0]: int(line.split()[1]) for line in f if line.endswith("kB\n")}


print(f"starting {DOMAINS} domains", flush=True)
with tiny_domains(NAMES, nic=True), Parallax(intervals=("10s", "10s", "60s"), idle="300s") as p:
    wait_for(lambda: sum(n == "libvirt_domain_block_stats_read_bytes_total" for n, _ in p.scrape()) >= DOMAINS, 300, "every domain looked at")
    began = time.monotonic()
    while time.monotonic() - began < MINUTES * 60:
        if int(time.monotonic() - began) // 60 != int(time.monotonic() - began - 10) // 60:
            s = status(p.daemon.pid)
            store = json.loads(fetch(p.url + "/api/v1/parallax/store")[0])
            print(f"{int(time.monotonic() - began) // 60:3d} min: parallaxd {s['VmRSS']} KiB resident ({s['RssAnon']} own, {s['RssFile']} of files); "
                  f"store: {store['head']['series']} series, {store['head']['samples']} samples, head {store['head']['bytes'] >> 10} KiB", flush=True)
        fetch(p.url + "/metrics")
        time.sleep(10)
    everything = rollup(p.daemon.pid)
    s, self_metrics = status(p.daemon.pid), p.scrape("/metrics/self")
    series = json.loads(fetch(p.url + "/api/v1/status/tsdb")[0])["data"]["headStats"]["numSeries"]
    print("smaps of parallaxd: " + ", ".join(f"{k} {v} KiB" for k, v in everything.items() if v))
    print("store: " + ", ".join(f"{n.removeprefix('parallax_store_')} {v:.0f}" for (n, _), v in sorted(self_metrics.items()) if n.startswith("parallax_store_") and v))
    workers = descendants(p.sensor.pid)[1:]
    print(f"{DOMAINS} domains, {series} series, {MINUTES:g} min: parallaxd {s['VmRSS']} KiB resident, {s['VmHWM']} at most, goal {GOAL_KIB}; "
          f"sensor {rss_kib(p.sensor.pid)} KiB, workers {[rss_kib(w) for w in workers]} KiB", flush=True)
    sys.exit(s["VmHWM"] > GOAL_KIB)

"""What it costs to keep a VM fleet's samples, beside Debian's Prometheus and VictoriaMetrics on the same bytes in the same run.

    bench/store.py [--quick] [--servers NAME,...] [--loads NAME,...] [--repeat N] [--seed N] [--keep]

Loads (bench/fleet_gen.c writes them once, into build/bench/streams):
    live       an hour of 14,207 series, 2,000 series x 1 sample a request
    live-rich  ten minutes of the same with 9 or 10 labels a series
    day        24 hours, 60 samples per series a request; after it: disk, restart, idle CPU
    jitter     day with times that vary by 5 ms
    resolutions  day with CPU time in microseconds and ratios in 1e-4, as a store keeps it that has resolutions declared; the goal
               is a ratio to what the peers, which cannot be told so, need for day
    new        100,000 new series x 12 samples; resident memory per series
CPU is user and system time of all threads from the first request until the server is idle again. --quick: 2 hours instead of 24
and less of the rest, a smoke test. Everything is printed, and written to build/bench/store.json."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servers import BUILD, SERVERS, TOP
from streams import program, stream

WORK = os.path.join(BUILD, "bench")

LOADS = {
    "live": (["--shape", "live", "--hours", "1"], ["--shape", "live", "--hours", "0.2"]),
    "live-rich": (["--shape", "live", "--rounds", "60", "--labels", "rich"], ["--shape", "live", "--rounds", "20", "--labels", "rich"]),
    "day": (["--hours", "24"], ["--hours", "2"]),
    "jitter": (["--hours", "24", "--jitter", "5ms"], ["--hours", "2", "--jitter", "5ms"]),
    "resolutions": (["--hours", "24", "--resolutions"], ["--hours", "2", "--resolutions"]),
    "new": (["--shape", "live", "--rounds", "12", "--series", "100000"], ["--shape", "live", "--rounds", "12", "--series", "20000"]),
}
QUICK_LOADS = ["live", "day", "new"]
DISK_LOADS = ("day", "jitter", "resolutions")

# Row, unit, load, key of the result, at most this part of VictoriaMetrics and of Prometheus.
ROWS = [
    ("bytes per sample, raw tier", "B", "day", "bytes_per_sample", 0.90, 0.41),
    ("bytes per sample, +-5 ms jitter", "B", "jitter", "bytes_per_sample", 0.87, 0.23),
    ("bytes per sample, resolutions; peers: of day", "B", "resolutions", "bytes_per_sample", 0.70, 0.32),
    ("  all on the rounded values", "B", "resolutions", "bytes_per_sample", None, None),
    ("index bytes", "MiB", "day", "index_mib", None, None),
    ("CPU-s/M samples, live", "s", "live", "cpu_per_million", 0.30, 0.10),
    ("CPU-s/M samples, live, rich labels", "s", "live-rich", "cpu_per_million", None, None),
    ("CPU-s/M samples, 60 per series", "s", "day", "cpu_per_million", 0.25, 0.17),
    ("  of it until the last answer", "s", "day", "cpu_per_million_acked", None, None),
    ("  forced compaction besides", "s", "day", "compact_cpu_per_million", None, None),
    ("CPU-s/M samples, new series", "s", "new", "cpu_per_million", 0.35, 0.20),
    ("samples/s, live", "1/s", "live", "samples_per_second", None, None),
    ("samples/s, 60 per series", "1/s", "day", "samples_per_second", None, None),
    ("p99 of the answers, live", "ms", "live", "ack_p99_ms", None, None),
    ("resident, empty", "MiB", "new", "rss_empty_mib", None, None),
    ("resident per new series, over empty", "KiB", "new", "rss_per_series_kib", 0.40, 0.20),
    ("  peak", "KiB", "new", "rss_peak_per_series_kib", None, None),
    ("resident after live", "MiB", "live", "rss_mib", None, None),
    ("resident peak, day", "MiB", "day", "rss_peak_mib", None, None),
    ("restart to ready", "s", "day", "restart_seconds", 0.60, None),
    ("  CPU of it", "s", "day", "restart_cpu", None, None),
    ("idle CPU", "%", "day", "idle_percent", None, None),
    ("5 min tier, of the raw tier's bytes a day", "%", "day", "rollup_5m_percent", None, None),
    ("1 h tier, of the raw tier's bytes a day", "%", "day", "rollup_1h_percent", None, None),
]


def send(server, path, **options):
    """As a sender does: what is answered with 429 or 503 is sent again."""
    arguments = [x for name, value in options.items() for x in (f"--{name}", str(value))]
    done = subprocess.run([program("rw_send"), "--retry", *arguments, path, server.address + server.write_path], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{server.name}: rw_send ended with {done.returncode}: {done.stderr[:1000]} {done.stdout} {server.log_tail()}")
    sent = json.loads(done.stdout)
    if sent["repeated"]:
        print(f"# {server.name}: {sent['repeated']} requests were put off with 429 or 503 and sent again", flush=True)
    return sent


def measure_disk(server, result, samples, quick):
    before = server.cpu()
    server.compact()
    server.settle(quiet=1 if quick else 6)
    result["compact_cpu_per_million"] = (server.cpu() - before) / samples * 1e6
    disk = server.disk()
    result["disk"] = disk
    result["bytes_per_sample"] = disk["bytes"] / samples
    if disk["index_bytes"] is not None:
        result["index_mib"] = disk["index_bytes"] / 2**20
    for tier, share in disk.get("rollup_share", {}).items():
        result[f"rollup_{tier}_percent"] = 100 * share
    if disk["samples"] is not None and disk["samples"] != samples:
        print(f"# {server.name}: {samples} samples were acknowledged, it says it has {disk['samples']}", flush=True)


def measure_restart(server, result, idle_seconds):
    server.stop()
    result["restart_seconds"] = server.start()
    result["restart_cpu"] = server.cpu()
    server.settle(quiet=2)
    before, begin = server.cpu_ns(), time.monotonic()
    time.sleep(idle_seconds)
    result["idle_percent"] = (server.cpu_ns() - before) / 1e7 / (time.monotonic() - begin)


def run_load(server, load, path, described, quick):
    """One load on an empty server."""
    samples, series = described["samples"], int(load_option(load, "--series", 14207, described))
    server.wipe()
    server.start()
    server.settle(quiet=1 if quick else 3)
    empty, before = server.rss()[0], server.cpu()
    sent = send(server, path)
    acked_cpu = server.cpu()
    rss, peak = server.rss()
    result = {"sent": sent, "cpu_per_million_acked": (acked_cpu - before) / samples * 1e6, "samples_per_second": sent["samples_per_second"], "ack_p99_ms": sent["ack_ms"]["p99"],
              "rss_empty_mib": empty / 1024, "rss_mib": rss / 1024, "rss_peak_mib": peak / 1024, "rss_per_series_kib": (rss - empty) / series}
    result["settled"] = server.settle(quiet=2 if quick else 6)
    result["cpu_per_million"] = (server.cpu() - before) / samples * 1e6
    result["rss_peak_per_series_kib"] = (server.rss()[1] - empty) / series
    if load in DISK_LOADS:
        measure_disk(server, result, samples, quick)
    if load == "day":
        measure_restart(server, result, 5 if quick else 30)
    return result


def load_option(load, name, default, described):
    options = described["options"]
    return options[options.index(name) + 1] if name in options else default


def merge(runs):
    """Of repeated runs the median of every number."""
    merged = dict(runs[-1])
    for key, value in runs[-1].items():
        if isinstance(value, float):
            merged[key] = statistics.median(run[key] for run in runs)
    return merged


def show(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def table(results):
    names = list(results)
    print(f"\n{'':45} {'':5}" + "".join(f"{name:>18}" for name in names) + f"{'/ VictoriaMetrics':>20}{'/ Prometheus':>20}")
    for title, unit, load, key, vm_goal, prometheus_goal in ROWS:
        values = {name: results[name].get("day" if "peers: of day" in title and name != "parallaxd" else load, {}).get(key) for name in names}
        if all(v is None for v in values.values()):
            continue
        line = f"{title:45} {unit:5}" + "".join(f"{show(values[name]):>18}" for name in names)
        for peer, goal in (("victoria-metrics", vm_goal), ("prometheus", prometheus_goal)):
            own, other = values.get("parallaxd"), values.get(peer)
            ratio = f"{own / other:.3f}" if own is not None and other else "-"
            line += f"{ratio + (f' (goal {goal:.2f})' if goal else ''):>20}"
        print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--loads")
    parser.add_argument("--repeat", type=int, default=1, help="of live and new; the median counts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the stores in build/bench/data")
    a = parser.parse_args()
    loads = a.loads.split(",") if a.loads else QUICK_LOADS if a.quick else list(LOADS)
    servers = [SERVERS[name] for name in a.servers.split(",")]
    results = {}
    for server in servers:
        if server.available():
            results[server.name] = {}
            print(f"# {server.name}: {server.version()}")
        else:
            print(f"# {server.name}: not there, left out")
    os.makedirs(os.path.join(WORK, "data"), exist_ok=True)
    for load in loads:
        options = LOADS[load][1 if a.quick else 0]
        path, described = stream(options, a.seed)
        described["options"] = options
        print(f"# {load}: fleet_gen {' '.join(options)}: {described['samples']:,} samples in {described['requests']:,} requests, {described['raw_bytes'] / described['samples']:.1f} B raw and "
              f"{described['wire_bytes'] / described['samples']:.1f} B on the wire a sample", flush=True)
        repeat = 1 if load in DISK_LOADS else a.repeat
        runs = {name: [] for name in results}
        for _ in range(repeat):  # in turn, so that a slow time of the machine hits all
            for name in results:
                server = SERVERS[name](os.path.join(WORK, "data", f"{name}-{load}"))
                try:
                    runs[name].append(run_load(server, load, path, described, a.quick))
                finally:
                    if a.keep:
                        server.stop()
                    else:
                        server.wipe()
                print(f"#   {name}: " + ", ".join(f"{k} {show(v)}" for k, v in runs[name][-1].items() if isinstance(v, float)), flush=True)
        for name in results:
            results[name][load] = merge(runs[name])
    with open(os.path.join(WORK, "store.json"), "w") as f:
        json.dump({"quick": a.quick, "seed": a.seed, "versions": {name: SERVERS[name].version() for name in results}, "results": results}, f, indent=1)
    table(results)


if __name__ == "__main__":
    main()

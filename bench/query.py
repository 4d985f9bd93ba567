"""What queries cost, beside Debian's Prometheus and VictoriaMetrics on the same samples in the same run, without caches.

    bench/query.py [--quick] [--servers NAME,...] [--only ID,...] [--seed N] [--keep]

The fleet of bench/fleet_gen.c: 14,207 series at 10 s for 24 hours, and before them 30 days of a smaller one with other names at 60 s. Eight
queries of dashboards, instant queries, raw ranges as JSON and metadata; each repeated until it has used a second of the server's CPU. CPU
is user and system time of the process over all repeats; latency is the client's, from the request to the last byte. The answers
are compared: with Prometheus's to 1e-9, with VictoriaMetrics' as far as both mean the same. --quick: 2 hours and 2 days.
Everything is printed, and written to build/bench/query.json."""
import argparse
import http.client
import json
import math
import os
import statistics
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import store
from servers import SERVERS
from streams import stream

CPU_ENOUGH = 1.0   # seconds of a server's CPU a query
REPEATS = (3, 5000)
WALL_ENOUGH = 5.0
EXTRA = {"victoria-metrics": ["-search.disableCache", "-search.maxUniqueTimeseries=1000000", "-search.maxPointsPerTimeseries=1000000"],
         "parallaxd": ["--retention-raw", "400d"], "prometheus": []}

# Goals: at most this part of VictoriaMetrics' CPU and of Prometheus's.
AGGREGATE, INSTANT, RAW, METADATA = (0.30, 0.10), (0.40, 0.50), (0.45, 0.30), (1.0, 0.5)

PANELS = ["rate(vm_cpu_time_seconds_total{M}[5m])", "rate(vm_cpu_user_seconds_total{M}[5m])", "rate(vm_cpu_system_seconds_total{M}[5m])",
          "rate(vm_vcpu_time_seconds_total{M}[5m])", "rate(vm_vcpu_delay_seconds_total{M}[5m])", "sum(rate(vm_vcpu_delay_seconds_total{M}[5m]))",
          "rate(vm_block_read_bytes_total{M}[5m])", "rate(vm_block_write_bytes_total{M}[5m])", "rate(vm_block_read_requests_total{M}[5m])",
          "rate(vm_block_write_requests_total{M}[5m])", "sum(rate(vm_block_read_bytes_total{M}[5m]))", "sum(rate(vm_block_write_bytes_total{M}[5m]))",
          "rate(vm_block_read_time_seconds_total{M}[5m]) / rate(vm_block_read_requests_total{M}[5m])",
          "rate(vm_block_write_time_seconds_total{M}[5m]) / rate(vm_block_write_requests_total{M}[5m])", "rate(vm_net_receive_bytes_total{M}[5m]) * 8",
          "rate(vm_net_transmit_bytes_total{M}[5m]) * 8", "rate(vm_net_receive_packets_total{M}[5m])", "rate(vm_net_transmit_packets_total{M}[5m])",
          "sum(rate(vm_net_receive_drops_total{M}[5m]))", "sum(rate(vm_net_receive_errors_total{M}[5m]))", "vm_memory_rss_bytes{M}",
          "vm_memory_unused_bytes{M}", "vm_memory_usable_bytes{M}", "vm_memory_cache_bytes{M}", "vm_memory_cgroup_bytes{M}",
          "vm_memory_rss_bytes{M} / vm_maximum_memory_bytes{M}", "rate(vm_memory_minor_faults_total{M}[5m])", "rate(vm_memory_major_faults_total{M}[5m])",
          "vm_pressure_cpu_avg10{M}", "vm_pressure_cpu_avg60{M}", "vm_pressure_cpu_avg300{M}", "vm_pressure_io_avg10{M}", "vm_pressure_io_avg60{M}",
          "vm_pressure_memory_avg10{M}", "rate(vm_switches_voluntary_total{M}[5m])", "rate(vm_switches_involuntary_total{M}[5m])",
          "rate(vm_vcpu_exits_total{M}[5m])", "rate(vm_vcpu_halts_total{M}[5m])", "vm_cpu_usage_ratio{M}", "max_over_time(vm_pressure_io_avg10{M}[5m])"]


class Row:
    """One measured thing: requests of a path with their parameters; `alike`: VictoriaMetrics means the same by it; how far our answers may be
    from Prometheus's."""

    def __init__(self, name, title, goal, requests, alike=True, limit=1e-9):
        self.name, self.title, self.goal, self.requests, self.alike, self.limit = name, title, goal, requests, alike, limit


def ranged(query, begin, end, step):
    return "/api/v1/query_range", {"query": query, "start": begin, "end": end, "step": step}


def instant(query, at):
    return "/api/v1/query", {"query": query, "time": at}


def rows(begin, end, old_begin, old_end):
    """Of the fleet between begin and end, and the older one with rich labels."""
    # No sample is on the edge of a window then, where 2.42 selects another one than 3.x.
    begin, end = begin + 0.037, end + 0.037

    def day(query):
        return [ranged(query, begin, end, 60)]

    six = max(begin, end - 6 * 3600)
    span = {"start": begin, "end": end}
    return [
        Row("rate_all", "sum(rate) over all VMs", AGGREGATE, day("sum(rate(vm_cpu_time_seconds_total[5m]))"), False),
        Row("topk", "topk(10, rate)", AGGREGATE, day("topk(10, rate(vm_cpu_time_seconds_total[5m]))"), False),
        Row("quantile", "quantile(0.95, gauge)", AGGREGATE, day("quantile(0.95, vm_cpu_usage_ratio)")),
        Row("sum_by_host", "sum by (host) (rate)", AGGREGATE, day("sum by (host) (rate(vm_block_read_bytes_total[5m]))"), False),
        Row("panels", "one VM's page of 40 panels, 6 h at 15 s", AGGREGATE, [ranged(p.replace("M", 'vm="vm-0042"'), six, end, 15) for p in PANELS], False),
        Row("regex", "regex matchers", AGGREGATE, day('sum by (vm) (rate(vm_net_receive_bytes_total{vm=~"vm-00[0-4].*",dev=~"vnet.+"}[5m]))'), False),
        Row("max_over_time", "avg by (host) (max_over_time)", AGGREGATE, day("avg by (host) (max_over_time(vm_pressure_cpu_avg10[5m]))")),
        Row("month", "30 d at 1 h", AGGREGATE, [ranged("sum by (cluster) (avg_over_time(libvirt_domain_memory_rss_bytes[1h]))", old_begin + 3600, old_end, 3600)],
            limit=1e-3),  # 2.42 has the sample on the left edge besides
        Row("instant_rate", "instant: sum by (host) (rate)", INSTANT, [instant("sum by (host) (rate(vm_cpu_time_seconds_total[5m]))", end)], False),
        Row("instant_topk", "instant: topk of a gauge", INSTANT, [instant("topk(10, vm_memory_rss_bytes)", end)]),
        Row("instant_count", "instant: count by (__name__) of everything", INSTANT, [instant('count by (__name__) ({__name__=~"vm_.+"})', end)]),
        Row("raw", "raw JSON, 100 VMs at 60 s", RAW, day('vm_memory_rss_bytes{host=~"hv0[0-4]"}')),
        Row("raw_rate", "raw JSON of a rate, 100 VMs at 60 s", RAW, day('rate(vm_cpu_time_seconds_total{host=~"hv0[0-4]"}[5m])'), False),
        Row("series", "series of a metric", METADATA, [("/api/v1/series", {"match[]": "vm_up", **span})]),
        Row("labels", "label names", METADATA, [("/api/v1/labels", span)]),
        Row("values", "values of vm", METADATA, [("/api/v1/label/vm/values", span)]),
        Row("names", "names of metrics", METADATA, [("/api/v1/label/__name__/values", span)]),
    ]


# ---- Asking ----


class Connection:
    def __init__(self, server):
        self.server = server
        self.connection = http.client.HTTPConnection(server.address, timeout=600)

    def ask(self, request):
        path, parameters = request
        if self.server.name == "victoria-metrics":
            parameters = {**parameters, "nocache": "1"}
        self.connection.request("GET", path + "?" + urllib.parse.urlencode(parameters))
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self.server.name}: {path} {parameters}: {answer.status} {body[:300]!r}")
        return body


def measure(server, row):
    connection, seconds, repeats = Connection(server), [], 0
    answers = [connection.ask(r) for r in row.requests]  # warm, and for comparing
    before, began = server.cpu(), time.monotonic()
    while repeats < REPEATS[0] or (server.cpu() - before < CPU_ENOUGH and repeats < REPEATS[1] and time.monotonic() - began < WALL_ENOUGH):
        for request in row.requests:
            begin = time.monotonic()
            connection.ask(request)
            seconds.append(time.monotonic() - begin)
        repeats += 1
    spent = server.cpu() - before
    seconds.sort()
    return {"cpu_ms": spent / repeats * 1000, "repeats": repeats, "p50_ms": statistics.median(seconds) * 1000,
            "p95_ms": seconds[int(0.95 * (len(seconds) - 1))] * 1000, "bytes": sum(len(a) for a in answers)}, answers


# ---- Comparing ----


def contents(body):
    """{labels: {time: value}} or a set of whatever is listed."""
    data = json.loads(body)["data"]
    if isinstance(data, list):
        return {json.dumps(x, sort_keys=True): {} for x in data if x != "__name__"}
    found = {}
    for row in data["result"]:
        values = row["values"] if "values" in row else [row["value"]]
        found[json.dumps(row["metric"], sort_keys=True)] = {float(t): float(v) for t, v in values}
    return found


def apart(a, b, limit):
    """The largest relative difference, and infinite when series or times differ; how many points are further apart than allowed."""
    if not any(a.values()) and not any(b.values()) and a.keys() >= b.keys():
        return 0.0, 0, f"{len(a)} of {len(b)} names"  # what is listed may be of more time than was asked for
    if a.keys() != b.keys():
        return math.inf, 1, f"{len(a)} and {len(b)} series, {len(a.keys() ^ b.keys())} in one only"
    worst, far, points = 0.0, 0, 0
    for labels in a:
        if a[labels].keys() != b[labels].keys():
            return math.inf, 1, f"{labels}: {len(a[labels])} and {len(b[labels])} points"
        for t, x in a[labels].items():
            y = b[labels][t]
            if x != y and not (math.isnan(x) and math.isnan(y)):
                difference = abs(x - y) / max(abs(x), abs(y), 1e-300)
                worst = max(worst, difference)
                far += difference > limit
            points += 1
    return worst, far / max(points, 1), f"{worst:.2g}" + (f" ({100 * far / points:.2g} % of the points)" if far else "")


def compare(row, ours, theirs, limit):
    """Prints what is different; whether it is the same."""
    worst, share, what = 0.0, 0.0, ""
    for a, b in zip(ours, theirs):
        one = apart(contents(a), contents(b), limit)
        if one[0] >= worst:
            worst, share, what = one
    # Where a counter has just begun, 3.x and 2.42 extrapolate rate() otherwise: so few may differ.
    return share == 0 or (worst < math.inf and share < 0.02 and any("rate(" in r[1].get("query", "") for r in row.requests)), what


# ---- All of it ----


def fill(server, streams):
    server.wipe()
    server.start()
    for path in streams:
        store.send(server, path)
    server.settle(quiet=2)
    server.compact()
    server.settle(quiet=4)


def table(results, names):
    print(f"\n{'server CPU a query, ms':45}" + "".join(f"{n:>18}" for n in names) + f"{'/ VictoriaMetrics':>22}{'/ Prometheus':>22}   p50 ms")
    missed = 0
    for row, values in results:
        line = f"{row.title:45}" + "".join(f"{store.show(values[n]['cpu_ms']):>18}" if n in values else f"{'-':>18}" for n in names)
        for peer, goal in zip(("victoria-metrics", "prometheus"), row.goal):
            if "parallaxd" in values and values.get(peer, {}).get("cpu_ms"):
                ratio = values["parallaxd"]["cpu_ms"] / values[peer]["cpu_ms"]
                values["parallaxd"]["of_" + peer] = ratio
                missed += ratio > goal
                line += f"{f'{ratio:.3f} (goal {goal:.2f})' + ('' if ratio <= goal else ' !'):>22}"
            else:
                line += f"{'-':>22}"
        print(line + "   " + " / ".join(store.show(values[n]["p50_ms"]) for n in names if n in values))
    print(f"{missed} ratios over their goals (!)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--only", help="names of rows, with commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the stores in build/bench/data")
    a = parser.parse_args()
    hours, days = (2, 2) if a.quick else (24, 30)
    servers = [SERVERS[n] for n in a.servers.split(",") if SERVERS[n].available()]
    names = [s.name for s in servers]
    for s in servers:
        print(f"# {s.name}: {s.version()}")
    older = stream(["--hours", str(24 * days), "--step", "60s", "--series", "500", "--labels", "rich"], a.seed, ago=30 + 3600 * (hours + 1))
    newer = stream(["--hours", str(hours)], a.seed)
    end = newer[1]["end_ms"] // 60_000 * 60 - 60
    old_end = older[1]["end_ms"] // 3_600_000 * 3600
    print(f"# {newer[1]['samples']:,} samples of {hours} h and {older[1]['samples']:,} of {days} d", flush=True)
    os.makedirs(os.path.join(store.WORK, "data"), exist_ok=True)
    started, different = [], 0
    try:
        for server_class in servers:
            server = server_class(os.path.join(store.WORK, "data", f"{server_class.name}-query"), EXTRA[server_class.name])
            started.append(server)
            fill(server, [older[0], newer[0]])
            print(f"#   {server.name} is filled", flush=True)
        results = []
        for row in rows(end - 3600 * hours + 600, end, old_end - 86400 * days + 7200, old_end):
            if a.only and row.name not in a.only.split(","):
                continue
            values, answers = {}, {}
            for server in started:
                values[server.name], answers[server.name] = measure(server, row)
            results.append((row, values))
            notes = []
            for peer, limit in (("prometheus", row.limit), ("victoria-metrics", 1e-9 if row.alike else math.inf)):
                if "parallaxd" in answers and peer in answers:
                    same, what = compare(row, answers["parallaxd"], answers[peer], limit)
                    different += not same and peer == "prometheus"
                    notes.append(f"{peer}: {what}" + ("" if same else " DIFFERENT"))
            print(f"#   {row.name}: " + ", ".join(f"{n} {store.show(v['cpu_ms'])} ms" for n, v in values.items()) + "; answers: " + "; ".join(notes), flush=True)
    finally:
        for server in started:
            if a.keep:
                server.stop()
            else:
                server.wipe()
    table(results, names)
    with open(os.path.join(store.WORK, "query.json"), "w") as f:
        json.dump({"quick": a.quick, "seed": a.seed, "versions": {s.name: s.version() for s in servers}, "results": {row.name: {"title": row.title, "goal": row.goal, **values} for row, values in results}}, f, indent=1)
    sys.exit(1 if different else 0)


main()

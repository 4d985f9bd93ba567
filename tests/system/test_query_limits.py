"""Queries that would take everything: each ends with an answer or with an error that names the limit, in time and within the memory
that is allowed, and samples go on being taken as fast as before. Rows B59 to B62 of what a query may meet."""
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse

from harness import *

sys.path.insert(0, os.path.join(TOP, "bench"))
import servers

MEMORY_MIB, CONCURRENCY, ANSWER_MIB, TIMEOUT = 64, 2, 16, 10
LIMIT = re.compile(r"samples|series|memory|points|time|resolution|regex|nest|deep|long|steps", re.IGNORECASE)

folder = tempfile.mkdtemp(prefix="parallax-limits-")
server = servers.Parallax(folder + "/store")
server.config = f"""\
query:
  max_memory: {MEMORY_MIB}MiB
  max_answer: {ANSWER_MIB}MiB
  max_samples: 20000000
  timeout: {TIMEOUT}s
  concurrency: {CONCURRENCY}
  queue: 64
  queue_per_source: 64
"""


def ask(path, **parameters):
    """(HTTP status, decoded body, seconds)."""
    data = urllib.parse.urlencode(parameters).encode()
    request = urllib.request.Request(server.url + path, data=data, method="POST", headers={"Content-Type": "application/x-www-form-urlencoded"})
    begin = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read()
    seconds = time.monotonic() - begin
    if status == 200 and len(body) > 1 << 20:
        return status, {"status": "success", "bytes": len(body)}, seconds  # parsing it would take what is measured
    return status, json.loads(body) if body.startswith(b"{") else {"status": "error", "error": body.decode()}, seconds


def query(text, **parameters):
    return ask("/api/v1/query", query=text, time=end, **parameters)


def ranged(text, step=60, begin=None):
    return ask("/api/v1/query_range", query=text, start=end - 1700 if begin is None else begin, end=end, step=step)


def refused(answer, status, within):
    assert answer[0] == status, f"{answer[0]}: {str(answer[1])[:300]}"
    assert answer[1]["status"] == "error" and answer[1]["error"], answer[1]
    assert answer[2] < within, f"{answer[2]:.1f} s"


def bounded(answer):
    """An answer, or an error that names a limit, in time."""
    status, body, seconds = answer
    assert seconds < TIMEOUT + 5, f"{seconds:.1f} s: {status} {str(body)[:200]}"
    if status == 200:
        return "answered"
    assert status in (422, 503), f"{status}: {str(body)[:300]}"
    assert LIMIT.search(body["error"]), body["error"]
    return body["errorType"]


def program(name):
    return os.path.join(BUILD, name)


def stream(path, *options):
    done = subprocess.run([program("fleet_gen"), *options, "--out", path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def send(path, *options):
    # Whoever reads 50 answers here should not be what the samples wait for.
    done = subprocess.run(["nice", "-n", "-10", program("rw_send"), *options, path, server.address + "/api/v1/write"], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[:500]}"
    return json.loads(done.stdout)


now = int(time.time()) - 60
described = stream(folder + "/past.rw", "--hours", "0.5", "--end", str(now))
end = described["end_ms"] // 1000
stream(folder + "/live.rw", "--shape", "live", "--rounds", "60", "--step", "1s", "--end", str(now + 60))

HEAVY = ["last_over_time({__name__=~\".+\"}[30m])", "max by (vm) (last_over_time({__name__=~\"vm_.+\"}[10m]))",
         "max_over_time(max_over_time(rate(vm_cpu_time_seconds_total[5m])[10m:1s])[10m:1s])", "count_values(\"v\", {__name__=~\".+\"})",
         "{__name__=~\".+\"} and on (host) {__name__=~\"vm_.+\"}", "topk(1000, {__name__=~\".+\"})", "quantile_over_time(0.9, vm_memory_rss_bytes[30m:1s])",
         "sort(label_replace({__name__=~\".+\"}, \"all\", \"$1$1$1$1\", \"__name__\", \"(.*)\"))",
         "last_over_time({__name__=~\"vm_.+\"}[20m:1s])", "{__name__=~\".+\"} or {__name__=~\"vm_.*\"} unless on (vm) vm_up"]

try:
    server.start()
    os.nice(10)
    send(folder + "/past.rw")

    @test("queries: a megabyte of text, nests of parentheses and signs are refused at once")
    def _():
        for text in ("1" + "+1" * 524287, "(" * 100000 + "1" + ")" * 100000, "-" * 100000 + "1", "1" + "^1" * 100000,
                     "abs(" * 50000 + "vm_up" + ")" * 50000, "{" * 100000, "vm_up" + "[1m:1m]" * 1000, "\x00"):
            refused(query(text), 400, 2)

    @test("queries: a step of nothing, times that are none and ends before beginnings are refused")
    def _():
        good = {"query": "vm_up", "start": end - 60, "end": end, "step": 15}
        for bad in ({"step": 0}, {"step": -1}, {"step": "NaN"}, {"step": "0s"}, {"step": "1e-9"}, {"step": "Inf"}, {"end": end - 120}, {"start": "1e400"},
                    {"end": "292277026596-12-04T15:30:07Z"}, {"start": "NaN"}, {"end": "-Inf"}, {"step": "1y1y"}, {"start": ""}, {"timeout": "x"}):
            refused(ask("/api/v1/query_range", **{**good, **bad}), 400, 1)
        for time_ in ("1e400", "NaN", "x", "99999999999999999999"):
            refused(ask("/api/v1/query", query="vm_up", time=time_), 400, 1)

    @test("queries: more steps than 11,000 are refused")
    def _():
        refused(ranged("count({__name__=~\".+\"})", step=1, begin=end - 1000000), 400, 1)
        assert ranged("1", step=1, begin=end - 10999)[0] == 200

    @test("queries: expressions of labels that explode are refused or end in linear time")
    def _():
        refused(query("{vm=~\"x{1000}{1000}\"}"), 400, 2)
        refused(query("{vm=~\"[" + "".join(chr(0x4e00 + i) for i in range(10000)) + "]\"}"), 400, 2)
        refused(query("{vm=~\"" + "a|" * 5000 + "b\"}"), 400, 2)
        status, body, seconds = query("count({__name__=~\"(v|vm|vm_.)*(.*)*x\"})")
        assert status == 200 and seconds < 5, (status, body, seconds)

    for number, text in enumerate(HEAVY):

        @test(f"queries: heavy one {number + 1} ends with an answer or a limit: {text[:70]}")
        def _():
            bounded(ranged(text, step=1))
            bounded(query(text))

    @test("queries: a client's own timeout is kept")
    def _():
        text = "max_over_time(max_over_time(sum by (vm, dev) (rate(vm_net_receive_bytes_total[5m]))[20m:1s])[20m:1s])"
        status, body, seconds = ask("/api/v1/query_range", query=text, start=end - 1700, end=end, step=1, timeout="2ms")
        assert status in (422, 503) and seconds < 2, (status, str(body)[:300], seconds)

    @test("queries: 50 heavy ones at once stay within the memory, and samples do not wait for them")
    def _():
        quiet = send(folder + "/live.rw", "--requests", "200", "--rate", "40000")["ack_ms"]["p99"]
        before, outcomes, failures = server.rss()[0], [], []

        def one(k):
            try:
                outcomes.append(bounded_at_once(k))
            except Exception as error:  # shown below
                failures.append(error)

        def bounded_at_once(k):
            status, body, seconds = ranged(HEAVY[k % len(HEAVY)], step=1)
            assert status == 200 or (status in (422, 503) and LIMIT.search(body["error"])), f"{status}: {str(body)[:300]}"
            return status, seconds

        threads = [threading.Thread(target=one, args=(k,)) for k in range(50)]
        for thread in threads:
            thread.start()
        loaded = send(folder + "/live.rw", "--from", "200", "--requests", "200", "--rate", "40000")["ack_ms"]["p99"]
        for thread in threads:
            thread.join(120)
        assert not failures, failures[:3]
        assert len(outcomes) == 50
        peak = server.rss()[1]
        print(f"# p99 of the answers to samples: {quiet:.1f} ms alone, {loaded:.1f} ms beside; peak {(peak - before) / 1024:.0f} MiB over {before / 1024:.0f}; "
              f"{sorted(set((s, sum(1 for o in outcomes if o[0] == s)) for s, _ in outcomes))}, the last after {max(o[1] for o in outcomes):.1f} s")
        assert peak - before < (CONCURRENCY * (MEMORY_MIB + 2 * ANSWER_MIB) + 64) * 1024
        # Twice its time alone is the goal, and the figure above says how far it is. What must not happen on any machine is that samples wait
        # for queries, which take seconds here.
        assert loaded < max(4 * quiet, 250), f"{quiet} ms alone, {loaded} ms beside the queries"
        assert query("1 + 1")[1]["data"]["result"][1] == "2"
finally:
    server.wipe()
    shutil.rmtree(folder, ignore_errors=True)

finish()

"""With query.backend: prometheus the reads of parallaxd's API are answered by a real Prometheus and a real VictoriaMetrics, which remote write
feeds: what comes through parallaxd is what they say when asked themselves."""
import tempfile
import urllib.error
import urllib.parse

from harness import *

sys.path.insert(0, os.path.join(TOP, "bench"))
import servers

NOW = int(time.time()) // 60 * 60 - 60  # older than what VictoriaMetrics takes as still coming (30 s)
QUERIES = [
    ("/api/v1/query", {"query": "sum by (job) (rate(asked_total[2m]))", "time": NOW}),
    ("/api/v1/query", {"query": 'asked_total{name="ü \\"quoted\\" + %41&b"}', "time": NOW}),
    ("/api/v1/query_range", {"query": "asked_total", "start": NOW - 300, "end": NOW, "step": "15"}),
    ("/api/v1/series", {"match[]": ['asked_total{job="a"}', 'asked_total{job="b"}'], "start": NOW - 600, "end": NOW + 60}),
    ("/api/v1/labels", {"match[]": "asked_total", "start": NOW - 600, "end": NOW + 60}),
    ("/api/v1/label/job/values", {"start": NOW - 600, "end": NOW + 60}),
    ("/api/v1/query", {"query": "sum(", "time": NOW}),
    ("/api/v1/query_range", {"query": "up", "start": NOW, "end": NOW - 60, "step": "15"}),
]


def ask(server, path, parameters, method="GET"):
    """Status, type and JSON; what a server says of its own work in it is left out."""
    text = urllib.parse.urlencode(parameters, doseq=True)
    post = method == "POST"
    request = urllib.request.Request(server.url + path + ("" if post else "?" + text), text.encode() if post else None, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status, kind, body = answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        status, kind, body = error.code, error.headers["Content-Type"], error.read()
    data = json.loads(body)
    data.pop("stats", None)
    return status, kind, data


def stopped(pid):
    """Whether every thread of a process stands still: a signal takes its time."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as f:
            if f.read().rpartition(")")[2].split()[0] != "T":
                return False
    return True


class Store(servers.Parallax):
    def command(self):
        with open(self.dir + ".yaml", "w") as f:
            f.write(self.config)
        return super().command() + ["--config", self.dir + ".yaml"]


def configuration(engine, timeout="20s"):
    return (f"remote_write: [{{name: engine, url: '{engine.url}/api/v1/write', queue_config: {{batch_send_deadline: 200ms}}}}]\n"
            f"query: {{backend: prometheus, url: '{engine.url}', http: {{timeout: {timeout}}}}}\n")


folder = tempfile.mkdtemp(prefix="parallax-backend-")
for engine in (servers.Prometheus(folder + "/prometheus"), servers.VictoriaMetrics(folder + "/victoria")):
    store = Store(folder + f"/store-{engine.name}")
    store.config = configuration(engine)
    try:
        engine.start()
        store.start()
        lines = ["# TYPE asked_total counter\n"]
        for name in ("plain", 'ü \\"quoted\\" + %41&b'):
            for job in "ab":
                lines += [f'asked_total{{name="{name}",job="{job}"}} {at} {(NOW - 600 + at) * 1000}\n' for at in range(0, 601, 15)]
        request = urllib.request.Request(store.url + "/api/v1/parallax/import", "".join(lines).encode(), {"Content-Type": "text/plain"})
        urllib.request.urlopen(request, timeout=30).read()

        @test(f"query backend: {engine.name} is fed and answers through parallaxd")
        def _():
            wait_for(lambda: len(ask(store, *QUERIES[2])[2]["data"]["result"]) == 4, 30, "four series")
            wait_for(lambda: ask(store, "/api/v1/query", {"query": f"sum(count_over_time(asked_total[601s] @ {NOW}))"})[2]["data"]["result"][0]["value"][1] == "164",
                     30, "164 samples")

        for path, parameters in QUERIES:
            for method in ("GET", "POST"):
                if method == "POST" and "/label/" in path:
                    continue

                @test(f"query backend: {engine.name}: {method} {path} {parameters.get('query', '')} is unchanged")
                def _():
                    own, theirs = ask(store, path, parameters, method), ask(engine, path, parameters, method)
                    assert own == theirs, f"{own}\n{theirs}"

        @test(f"query backend: {engine.name}: parallaxd's own pages stay its own")
        def _():
            assert json.loads(store.get("/api/v1/rules")) == {"status": "success", "data": {"groups": []}}
            assert "tiers" in json.loads(store.get("/api/v1/parallax/store"))

        @test(f"query backend: {engine.name}: one that does not answer in time is 503, and so is one that is away")
        def _():
            store.config = configuration(engine, "1s")
            store.stop()
            store.start()
            os.kill(engine.pid, signal.SIGSTOP)
            wait_for(lambda: stopped(engine.pid), 5, "every thread of the engine stands")
            try:
                status, kind, data = ask(store, *QUERIES[0])
            finally:
                os.kill(engine.pid, signal.SIGCONT)
            assert status == 503 and data["status"] == "error" and "in time" in data["error"], (status, data)
            engine.kill()
            status, kind, data = ask(store, *QUERIES[0])
            assert status == 503 and kind == "application/json" and "cannot be reached" in data["error"], (status, data)
            engine.start()
            wait_for(lambda: ask(store, *QUERIES[0])[0] == 200, 30, "its return")

    finally:
        store.kill()
        engine.kill()
shutil.rmtree(folder, ignore_errors=True)
finish()

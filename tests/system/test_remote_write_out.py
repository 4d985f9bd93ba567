"""What parallaxd takes is sent on to a real Prometheus and a real VictoriaMetrics, whatever happens to them and to parallaxd in between: each holds
every sample that was acknowledged, and none twice. And another parallaxd gets the same by 2.0.

    test_remote_write_out.py [SECONDS]    each receiver is away for so long (8); `make soak-forward` takes 600
"""
import http.client
import http.server
import subprocess
import tempfile
import threading

from harness import *

sys.path.insert(0, os.path.join(TOP, "bench"))
import servers

AWAY = float(sys.argv[1]) if len(sys.argv) > 1 else 8
SERIES = 300
LINE = re.compile(r"(.*\S) (\S+) (\d+)")
LABEL = re.compile(r'([A-Za-z_]\w*)="([^"]*)"')


class Between(http.server.ThreadingHTTPServer):
    """A receiver that answers for another one while it is told to, and else passes everything on."""
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behind):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = behind
        self.answer = None  # status, headers
        self.statuses = []
        self.delay = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/api/v1/write"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.answer
        status, headers, text = answer or self.pass_on(body)
        if answer is None:
            time.sleep(self.server.delay)
        self.server.statuses.append(status)
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    def pass_on(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind.port, timeout=30)
        try:
            names = ("Content-Type", "Content-Encoding", "X-Prometheus-Remote-Write-Version")
            connection.request("POST", self.path, body, {name: self.headers[name] for name in names})
            answer = connection.getresponse()
            return answer.status, {}, answer.read()
        except OSError:
            return 502, {}, b"nobody there\n"
        finally:
            connection.close()


class Feeder(threading.Thread):
    """Posts a sample of each series again and again, each request until it is acknowledged."""

    def __init__(self, store):
        super().__init__(daemon=True)
        self.store, self.rounds, self.pause, self.ended = store, [], 0.25, False

    def run(self):
        number = 0
        while not self.ended:
            now = int(time.time() * 1000)
            text = "".join(f'fed_total{{series="{i}",kind="counter of the test"}} {number * SERIES + i} {now}\n' for i in range(SERIES))
            text = "# TYPE fed_total counter\n" + text
            while not self.post(text.encode()) and not self.ended:
                time.sleep(0.1)
            self.rounds.append((now, number))
            number += 1
            time.sleep(self.pause)

    def post(self, body):
        with contextlib.suppress(OSError, http.client.HTTPException):
            request = urllib.request.Request(self.store.url + "/api/v1/parallax/import", body, {"Content-Type": "text/plain; version=0.0.4"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status // 100 == 2
        return False

    def end(self):
        self.ended = True
        self.join()
        return {(("__name__", "fed_total"), ("kind", "counter of the test"), ("series", str(i))): {now: number * SERIES + i for now, number in self.rounds}
                for i in range(SERIES)}


class Store(servers.Parallax):
    config = ""

    def command(self):
        with open(self.dir + ".yaml", "w") as f:
            f.write(self.config)
        return super().command() + ["--config", self.dir + ".yaml"]

    def target(self, name):
        status = json.loads(self.get("/api/v1/parallax/status"))
        return next(t for t in status["remote_write"] if t["name"] == name)


class Victoria(servers.VictoriaMetrics):
    def command(self):
        return super().command() + ["-dedup.minScrapeInterval=1ms"]

    def all(self):
        self.get("/internal/force_flush")
        found = {}
        for row in self.get('/api/v1/export?match[]=fed_total', timeout=600).decode().splitlines():
            row = json.loads(row)
            key = tuple(sorted(row["metric"].items()))
            assert key not in found or not set(found[key]) & set(row["timestamps"]), f"twice: {key}"
            found.setdefault(key, {}).update(zip(row["timestamps"], row["values"]))
            assert len(set(row["timestamps"])) == len(row["timestamps"]), f"an instant twice: {key}"
        return found


def dump(export):
    """Text of an export -> {labels: {ms: value}} of what was fed; a sample twice is an error."""
    found = {}
    for line in export.stdout:
        line = line.decode().rstrip("\n")
        if "fed_total" not in line or line.startswith("#"):
            continue
        series, number, ms = LINE.fullmatch(line).groups()
        name, _, labels = series.partition("{")
        key = tuple(sorted(LABEL.findall(labels) + ([("__name__", name)] if name else [])))
        samples = found.setdefault(key, {})
        assert int(ms) not in samples, f"twice: {line}"
        samples[int(ms)] = float(number)
    assert export.wait() == 0, f"the export ended with {export.returncode}"
    return found


def compare(who, found, fed, external=()):
    """Everything that was fed and acknowledged, and nothing else."""
    wanted = {tuple(sorted(key + external)): samples for key, samples in fed.items()}
    assert set(found) == set(wanted), f"{who}: {len(found)} series, not {len(wanted)}: {sorted(found)[:1]}"
    missing = sum(len(set(samples) - set(found[key])) for key, samples in wanted.items())
    rounds = sorted({at for key, samples in wanted.items() for at in set(samples) - set(found[key])})
    invented = sum(len(set(found[key]) - set(samples)) for key, samples in wanted.items())
    other = sum(found[key].get(ms, value) != value for key, samples in wanted.items() for ms, value in samples.items())
    total = sum(map(len, wanted.values()))
    assert not missing and not invented and not other, f"{who}: of {total} samples {missing} are missing, {invented} invented, {other} of another value; at {rounds[:5]} of {min(next(iter(wanted.values())))}..{max(next(iter(wanted.values())))}"


folder = tempfile.mkdtemp(prefix="parallax-forward-")
prometheus = servers.Prometheus(folder + "/prometheus")
victoria = Victoria(folder + "/victoria")
second = servers.Parallax(folder + "/second")
for server in (prometheus, victoria, second):
    server.start()
between = Between(prometheus)
store = Store(folder + "/store")
store.config = f"""\
global: {{external_labels: {{replica: a}}}}
remote_write:
- name: prometheus
  url: {between.url}
  remote_timeout: 2s
  queue_config: {{batch_send_deadline: 300ms, max_backoff: 1s, max_samples_per_send: 700, max_shards: 4}}
  write_relabel_configs:
  - {{action: labeldrop, regex: replica}}
  - {{source_labels: [__name__], regex: fed_total, action: keep}}
- name: victoria
  url: http://{victoria.address}/api/v1/write
  remote_timeout: 2s
  queue_config: {{batch_send_deadline: 300ms, max_backoff: 1s, min_shards: 3, max_shards: 3}}
- name: second
  url: {second.url}/api/v1/write
  protobuf_message: io.prometheus.write.v2.Request
  queue_config: {{batch_send_deadline: 300ms}}
"""
store.start()
feeder = Feeder(store)
feeder.start()


def delivered(seconds=60):
    """Until everything that was fed so far has been acknowledged by all."""
    now = feeder.rounds[-1][0] / 1000
    names = ("prometheus", "victoria", "second")
    wait_for(lambda: all((store.target(name)["newest_sent_seconds"] or 0) >= now for name in names), seconds, "delivery to all")


try:

    @test("remote write out: samples arrive at Prometheus, VictoriaMetrics and another parallaxd")
    def _():
        wait_for(lambda: len(feeder.rounds) > 8, 20, "eight rounds")
        delivered()
        assert store.target("second")["protobuf_message"] == "io.prometheus.write.v2.Request"
        assert store.target("prometheus")["failed_samples"] == 0

    @test("remote write out: a stopped Prometheus gets everything once it goes on")
    def _():
        os.kill(prometheus.pid, signal.SIGSTOP)
        time.sleep(AWAY)
        pending = store.target("prometheus")["pending_samples"]
        os.kill(prometheus.pid, signal.SIGCONT)
        assert pending > SERIES * AWAY, pending
        delivered(60 + AWAY)

    @test("remote write out: a VictoriaMetrics that was away gets everything once it is back")
    def _():
        victoria.stop()
        time.sleep(AWAY)
        victoria.start()
        delivered(60 + AWAY)

    @test("remote write out: 429 and 503 are tried again, after what Retry-After says")
    def _():
        # A stopped Prometheus takes the first of several equal requests when it goes on, and refuses the others.
        refused = store.target("prometheus")["failed_samples"]
        for answer in ((429, {"Retry-After": "2"}, b"slow down\n"), (503, {}, b"later\n"), (500, {}, b"broken\n")):
            between.statuses.clear()
            between.answer = answer
            time.sleep(3)
            between.answer = None
            tried = between.statuses.count(answer[0])
            assert 1 <= tried <= (3 if answer[0] == 429 else 40), between.statuses
        delivered()
        assert store.target("prometheus")["failed_samples"] == refused

    @test("remote write out: goes on over a kill of the receiver")
    def _():
        prometheus.kill()
        time.sleep(2)
        prometheus.start()
        delivered()

    @test("remote write out: goes on over kills of parallaxd, with requests under way")
    def _():
        between.delay = 0.4
        for pause in (1.1, 0.7, 1.9):
            time.sleep(pause)
            store.kill()
            store.start()
        between.delay = 0
        delivered()
        assert store.target("prometheus")["dropped_samples"] == 0

    @test("remote write out: goes on over a stop of parallaxd and a receiver that is away meanwhile")
    def _():
        victoria.stop()
        time.sleep(1)
        store.stop()
        store.start()
        time.sleep(1)
        victoria.start()
        delivered()

    @test("remote write out: the metrics of /metrics/self tell of it")
    def _():
        text = parse(store.get("/metrics/self").decode())
        sent = value(text, "parallax_remote_write_samples_sent_total", remote_name="prometheus", url=between.url)
        assert sent > 0, sent
        assert value(text, "parallax_remote_write_queue_bytes", remote_name="victoria", url=f"http://{victoria.address}/api/v1/write") > 0

    fed = feeder.end()
    time.sleep(0.5)

    @test("remote write out: all of them hold every acknowledged sample, and none twice")
    def _():
        wait_for(lambda: not any(store.target(name)["pending_samples"] for name in ("prometheus", "victoria", "second")), 30, "empty queues")
        replica = (("replica", "a"),)
        total = sum(map(len, fed.values()))
        with contextlib.suppress(AssertionError):  # what is missing is said below
            wait_for(lambda: sum(map(len, victoria.all().values())) >= total, 10, "VictoriaMetrics to show what it took last")
        compare("victoria-metrics", victoria.all(), fed, replica)
        store.stop()
        compare("parallaxd itself", dump(store.export()), fed)
        prometheus.stop()
        compare("prometheus", dump(prometheus.export()), fed)
        second.stop()
        compare("the second parallaxd", dump(second.export()), fed, replica)

    @test("remote write out: what is refused with 400 is dropped, counted, and holds nothing up")
    def _():
        prometheus.start()
        store.start()
        between.answer = (400, {}, b"out of order sample\n")
        again = Feeder(store)
        again.start()
        wait_for(lambda: store.target("prometheus")["failed_samples"] > 0, 20, "refusals")
        between.answer = None
        sent = store.target("prometheus")["sent_samples"]
        wait_for(lambda: store.target("prometheus")["sent_samples"] > sent, 20, "delivery")
        again.end()
        target = store.target("prometheus")
        assert target["last_status"] == 400 and "out of order" in target["last_problem"], target
        assert "remote_write.dropped" in store.log_tail()

finally:
    feeder.ended = True
    for server in (store, prometheus, victoria, second):
        with contextlib.suppress(Exception):
            os.kill(server.pid, signal.SIGCONT)
        with contextlib.suppress(Exception):
            server.kill()
    between.shutdown()
    if not os.environ.get("PARALLAX_KEEP"):
        shutil.rmtree(folder, ignore_errors=True)
finish()

"""The same targets scraped by Debian's Prometheus and by parallaxd with the same scrape_configs: both hold the same series and
values. Then everything that a target, a file and a server of service discovery can do wrong.

SCRAPE_SECONDS (20) is how long both scrape side by side; `make soak-scrape` makes it an hour."""
import collections
import http.server
import math
import struct
import subprocess
import tempfile
import threading
import urllib.parse

from harness import *

sys.path.insert(0, os.path.join(TOP, "bench"))
import servers

SECONDS = float(os.environ.get("SCRAPE_SECONDS", 20))
INTERVAL = 1 if SECONDS <= 60 else 15
LINE = re.compile(r"(.*\S) (\S+) (\d+)")
# Of "secret", by bcrypt.
HASH = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

folder = tempfile.mkdtemp(prefix="parallax-scrape-")
children = []


def path(name):
    return os.path.join(folder, name)


def write(name, text):
    """Whole or not at all, as whoever edits a file of targets should."""
    with open(path(name) + ".new", "w") as f:
        f.write(text)
    os.rename(path(name) + ".new", path(name))


def start(port, *command):
    with open(path(f"{port}.log"), "ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    children.append(process)

    def listens():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True

    wait_for(listens, 20, f"{command[0]} listens")
    return process


def end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ---- a target that does what it is told ----


class Target(http.server.BaseHTTPRequestHandler):
    """Good, slow, huge, cut off, garbage, of another type; and lists of targets at /sd."""
    protocol_version = "HTTP/1.1"
    lists = {}  # path: (status, text)
    series = 5
    headers_seen = []

    def log_message(self, *_):
        pass

    def answer(self, body, kind="text/plain; version=0.0.4", status=200, length=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def do_GET(self):
        page = urllib.parse.urlsplit(self.path).path
        good = "".join(f'own{{n="{n}"}} {n}\n' for n in range(Target.series)).encode()
        Target.headers_seen.append(dict(self.headers))
        if page in Target.lists:
            status, text = Target.lists[page]
            self.answer(text.encode(), "application/json", status)
        elif page == "/slow":
            time.sleep(30)
        elif page == "/huge":
            self.answer(b"x" * (4 << 20))
        elif page == "/cut":
            self.answer(good, length=len(good) + 100)
            self.close_connection = True
        elif page == "/half":
            self.answer(good + b"own{n=")
        elif page == "/garbage":
            self.wfile.write(b"\x00\xff\x13garbage\r\n\r\n")
            self.close_connection = True
        elif page == "/html":
            self.answer(b"<html>", "text/html")
        elif page == "/around":
            self.send_response(302)
            self.send_header("Location", "/around")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.answer(good)


class TargetServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


own = TargetServer(("127.0.0.1", 0), Target)
threading.Thread(target=own.serve_forever, daemon=True).start()
own_address = f"127.0.0.1:{own.server_address[1]}"


# ---- parallaxd ----


class Scraper(servers.Parallax):
    def configure(self, text):
        write("parallax.yaml", text)
        self.extra = ["--config", path("parallax.yaml")]

    def reload(self, text):
        before = self.metric("parallax_config_reloads_total", "/metrics/self")
        self.configure(text)
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.metric("parallax_config_reloads_total", "/metrics/self") > before, 10, "the reload")

    def targets(self, query=""):
        return json.loads(self.get("/api/v1/targets" + query))["data"]["activeTargets"]

    def health(self, pool):
        return [(t["health"], t["lastError"]) for t in self.targets() if t["scrapePool"] == pool]

    def latest(self, selector):
        """{labels: [(ms, value), ...]} of the series with this label, from the export."""
        found = collections.defaultdict(list)
        query = urllib.parse.urlencode({"match0": selector, "begin": 0})
        for line in self.get("/api/v1/parallax/export?" + query).decode().splitlines():
            if line and not line.startswith("#"):
                series, number, ms = LINE.fullmatch(line).groups()
                found[series].append((int(ms), number))
        return found


def bits(text):
    """A float by its bits, so that a staleness marker is told from a NaN."""
    if text == "StaleNaN":
        return "stale"
    return struct.pack("<d", float(text)) if not text.startswith("NaN") else "nan"


def bound(text):
    """As Prometheus 3 writes le and quantile; 2.42 leaves what the target wrote."""
    try:
        v = float(text)
    except ValueError:
        return text
    if math.isinf(v) or math.isnan(v):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(v, "NaN")
    e = math.floor(math.log10(abs(v))) if v else 0
    if e < -4 or e >= 6:
        digits = repr(v)
        mantissa = f"{v:.{len(digits.split('e')[0].replace('.', '').strip('-').rstrip('0')) - 1 if 'e' in digits else 16}e}"
        m, x = mantissa.split("e")
        m = m.rstrip("0").rstrip(".") if "." in m else m
        return f"{m}e{x}"
    return repr(v)


def read_export(export):
    """{labels: [(ms, bits), ...]}"""
    found = collections.defaultdict(list)
    for line in export.stdout:
        line = line.decode().rstrip("\n")
        if not line or line.startswith("#"):
            continue
        series, number, ms = LINE.fullmatch(line).groups()
        name, _, labels = series.partition("{")
        labels = dict(LABEL.findall(labels))
        if name:
            labels["__name__"] = name
        for key in ("le", "quantile"):
            if key in labels:
                labels[key] = bound(labels[key])
        found[tuple(sorted(labels.items()))].append((int(ms), bits(number)))
    assert export.wait() == 0
    return found


def window(found, begin, until):
    cut = {s: [x for x in samples if begin <= x[0] <= until] for s, samples in found.items()}
    return {s: samples for s, samples in cut.items() if samples}


node_port, libvirt_port, tls_port = free_port(), free_port(), free_port()
victoria = servers.VictoriaMetrics(path("victoria"))
prometheus = servers.Prometheus(path("prometheus"))
scraper = Scraper(path("store"))

SHARED = f"""\
global: {{scrape_interval: {INTERVAL}s, scrape_timeout: {INTERVAL}s, evaluation_interval: 15s}}
scrape_configs:
  - job_name: 'libvirt'
    static_configs:
      - targets: ['localhost:{libvirt_port}']
  - job_name: 'node'
    static_configs:
      - targets: ['localhost:{node_port}']
        labels: {{env: test}}
    relabel_configs:
      - {{source_labels: [__address__], regex: '([^:]+):.*', target_label: machine, replacement: 'm-$1'}}
    metric_relabel_configs:
      - {{source_labels: [__name__], regex: 'node_scrape_.*', action: drop}}
      - {{source_labels: [device], target_label: device, action: lowercase}}
      - {{source_labels: [cpu], target_label: part, modulus: 4, action: hashmod}}
      - {{regex: 'fstype|ip', action: labeldrop}}
  - job_name: 'victoria'
    static_configs:
      - targets: ['{victoria.address}']
  - job_name: 'prometheus'
    static_configs:
      - targets: ['{prometheus.address}']
  - job_name: 'honest'
    honor_labels: true
    metrics_path: /federate
    params: {{'match[]': ['{{__name__="up"}}']}}
    static_configs:
      - targets: ['{prometheus.address}']
  - job_name: 'tls'
    scheme: https
    basic_auth: {{username: someone, password_file: {path("password")}}}
    tls_config: {{ca_file: {path("ca.pem")}, server_name: target.test}}
    static_configs:
      - targets: ['127.0.0.1:{tls_port}']
"""


def constant(samples):
    values = {v for _, v in samples if v != "stale"}
    return values.pop() if len(values) == 1 else None


def make_certificate():
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", path("key.pem"), "-out", path("ca.pem"),
         "-days", "2", "-subj", "/CN=target.test", "-addext", "subjectAltName=DNS:target.test"],
        check=True, capture_output=True,
    )
    write("password", "secret\n")
    write("web.yml", f"tls_server_config: {{cert_file: {path('ca.pem')}, key_file: {path('key.pem')}}}\n"
                     f"basic_auth_users: {{someone: '{HASH}'}}\n")


def compare():
    """What both have of the time in which both were scraping."""
    scraper.stop()
    prometheus.stop()
    both = read_export(prometheus.export()), read_export(scraper.export())
    times = [[ms for samples in found.values() for ms, _ in samples] for found in both]
    begin, until = max(min(x) for x in times) + 2000 * INTERVAL, min(max(x) for x in times) - 1000 * INTERVAL
    return [window(found, begin, until) for found in both]


try:
    make_certificate()
    # Interfaces and mounts of guests and containers come and go while other tests run.
    STEADY = ["--collector.netdev.device-exclude=^(vnet|tap|veth|br-).*", "--collector.netclass.ignored-devices=^(vnet|tap|veth|br-).*",
              "--collector.filesystem.mount-points-exclude=^/(dev|proc|run|sys|tmp|var/lib)($|/)", "--no-collector.arp"]
    node = start(node_port, "prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{node_port}", *STEADY)
    start(tls_port, "prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{tls_port}", f"--web.config.file={path('web.yml')}", *STEADY)
    start(libvirt_port, "prometheus-libvirt-exporter", f"--web.listen-address=127.0.0.1:{libvirt_port}", "--libvirt.uri=test:///default")
    victoria.start()
    prometheus.config = SHARED
    prometheus.start()
    scraper.configure(SHARED + "store: {flush_interval: 1h}\n")
    scraper.start()

    @test("scrape: the same configuration makes the same targets, and all of them are up")
    def _():
        wait_for(lambda: all(t["health"] == "up" for t in scraper.targets()), 30 + 2 * INTERVAL, "ours are up")
        peers = lambda: json.loads(prometheus.get("/api/v1/targets"))["data"]["activeTargets"]
        wait_for(lambda: len(peers()) == 6 and all(t["health"] == "up" for t in peers()), 30 + 2 * INTERVAL, "Prometheus's are up")
        theirs = peers()
        pick = lambda t: (t["scrapePool"], t["scrapeUrl"], sorted(t["labels"].items()), sorted(t["discoveredLabels"].items()),
                          t["scrapeInterval"], t["scrapeTimeout"])
        assert sorted(map(pick, scraper.targets())) == sorted(map(pick, theirs))
        assert json.loads(scraper.get("/api/v1/scrape_pools"))["data"]["scrapePools"] == ["libvirt", "node", "victoria", "prometheus", "honest", "tls"]

    @test("scrape: it is under the system call filter, and names are looked up")
    def _():
        with open(f"/proc/{scraper.pid}/status") as f:
            assert re.search(r"Seccomp:\s+2", f.read())

    @test("scrape: metadata of a target is what Prometheus says of it")
    def _():
        query = "/api/v1/targets/metadata?" + urllib.parse.urlencode({"match_target": '{job="node"}'})
        both = [{m["metric"]: (m["type"], m["help"], m["unit"]) for m in json.loads(s.get(query))["data"]} for s in (scraper, prometheus)]
        assert len(both[0]) > 100 and both[0] == both[1], set(both[0].items()) ^ set(both[1].items())

    time.sleep(SECONDS)
    figures = {"rss": scraper.rss(), "cpu": scraper.cpu(), "prometheus": prometheus.rss()}
    theirs, ours = compare()

    @test("scrape: the same series, with the same labels")
    def _():
        def steady(found):
            # What was there in most scrapes: counters that the scrapes themselves make begin at different moments.
            most = max(len(samples) for samples in found.values())
            return {s for s, samples in found.items() if len(samples) > most / 2}

        missing = [dict(s) for s in steady(theirs) if s not in ours]
        invented = [dict(s) for s in steady(ours) if s not in theirs]
        # What this Prometheus does not know yet.
        assert not missing, f"{len(missing)} of {len(theirs)} are missing: {missing[:5]}"
        assert not invented, f"{len(invented)} of {len(ours)} are not Prometheus's: {invented[:5]}"
        jobs = collections.Counter(dict(s).get("job") for s in ours)
        assert set(jobs) == {"libvirt", "node", "victoria", "prometheus", "honest", "tls"} and min(jobs.values()) >= 5, jobs
        print(f"# {len(ours)} series, {sum(map(len, ours.values()))} samples, {sum(map(len, theirs.values()))} of Prometheus; "
              f"resident {figures['rss'][0]} KiB, Prometheus {figures['prometheus'][0]} KiB; {figures['cpu']:.1f} s of CPU")

    @test("scrape: the same values, where they do not move")
    def _():
        volatile = re.compile(r"scrape_duration_seconds|.*_in_flight.*|.*_active_.*|go_goroutines")
        same, other = 0, []
        for s, samples in theirs.items():
            a, b = constant(samples), constant(ours.get(s, []))
            if a is None or b is None or len(samples) < 4 or len(ours[s]) < 4 or volatile.match(dict(s)["__name__"]):
                continue
            same += a == b
            if a != b:
                other.append((dict(s), a, b))
        assert not other, f"{len(other)} differ: {other[:5]}"
        assert same > 1000, same
        print(f"# {same} series whose values do not move have the same")

    @test("scrape: counters go through the same values at the same times")
    def _():
        wrong, checked = [], 0
        for s, samples in theirs.items():
            if not dict(s)["__name__"].startswith("node_cpu_seconds_total"):
                continue
            for ms, v in ours.get(s, []):
                if v in ("stale", "nan"):
                    continue
                around = [struct.unpack("<d", x)[0] for t, x in samples if abs(t - ms) <= 1100 * INTERVAL and x not in ("stale", "nan")]
                mine = struct.unpack("<d", v)[0]
                checked += 1
                # A sample's time is when its scrape began; the exporter reads some moments later, each time others.
                slack = 0.25 * INTERVAL
                if len(around) > 1 and not min(around) - slack <= mine <= max(around) + slack:
                    wrong.append((dict(s), ms, mine, around))
        assert checked > 50 and not wrong, f"{checked} checked: {wrong[:3]}"

    # ---- what goes wrong ----

    def job(name, page="/metrics", more="", address=own_address):
        return (f"- job_name: {name}\n  metrics_path: {page}\n  scrape_interval: 1s\n{more}"
                f"  static_configs: [{{targets: ['{address}']}}]\n")

    BAD = {
        "good": ("/metrics", "", None),
        "slow": ("/slow", "", "no answer within 1 s"),
        "huge": ("/huge", "  body_size_limit: 1MB\n", "body size limit exceeded"),
        "cut": ("/cut", "", ""),
        "half": ("/half", "", "line 6:"),
        "garbage": ("/garbage", "", ""),
        "html": ("/html", "", 'unsupported Content-Type "text/html"'),
        "around": ("/around", "", "more than 10 redirects"),
        "samples": ("/metrics", "  sample_limit: 4\n", "sample_limit exceeded"),
    }
    bad_config = "scrape_configs:\n" + "".join(job(n, p, m) for n, (p, m, _) in BAD.items()) + "".join((
        job("closed", address="127.0.0.1:1"),
        job("unknown", address="no-such-host.invalid:80"),
        job("wrong-password", "/metrics", "  scheme: https\n  basic_auth: {username: someone, password: wrong}\n"
            "  tls_config: {insecure_skip_verify: true}\n", f"127.0.0.1:{tls_port}"),
        job("wrong-ca", "/metrics", "  scheme: https\n", f"127.0.0.1:{tls_port}"),
        job("node", address=f"localhost:{node_port}"),
    ))
    scraper.configure(bad_config)
    scraper.start()

    @test("wrong targets: each is down for its own reason, and holds nobody up")
    def _():
        wait_for(lambda: all(t["health"] != "unknown" for t in scraper.targets()), 20, "every target was asked")
        time.sleep(3)
        for name, (_, _, reason) in BAD.items():
            health, error = scraper.health(name)[0]
            assert health == ("up" if reason is None else "down") and (reason or "") in error, (name, health, error)
        assert "refused" in scraper.health("closed")[0][1]
        assert "resolve" in scraper.health("unknown")[0][1]
        assert "401" in scraper.health("wrong-password")[0][1]
        assert scraper.health("wrong-ca")[0][0] == "down"
        assert scraper.health("node")[0][0] == "up"
        up = scraper.latest("__name__=up")
        assert {re.search('job="([^"]*)"', s).group(1) for s in up} >= {t["scrapePool"] for t in scraper.targets()}
        good = next(v for s, v in up.items() if 'job="good"' in s)
        assert all(v == "1" for _, v in good) and len(good) >= 3, good
        assert all(v == "0" for s, values in up.items() if 'job="slow"' in s for _, v in values)

    @test("wrong targets: what is over a limit leaves no samples")
    def _():
        assert not any("own{" in s for s in scraper.latest("job=samples")), "samples of a refused scrape"
        assert any("own{" in s for s in scraper.latest("job=good"))

    @test("scrape: sends the headers that Prometheus sends")
    def _():
        seen = Target.headers_seen[-1]
        assert seen["X-Prometheus-Scrape-Timeout-Seconds"] == "1" and seen["Accept-Encoding"] == "gzip"
        assert seen["Accept"].startswith("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,")

    @test("staleness: series of a target that stops end, and its up is 0")
    def _():
        end(node)
        wait_for(lambda: scraper.health("node")[0][0] == "down", 10, "the target is down")
        cpu = [v for s, v in scraper.latest("job=node").items() if s.startswith("node_cpu_seconds_total") and "env=" not in s]
        assert cpu and all(values[-1][1] == "StaleNaN" for values in cpu), cpu[:1]

    @test("reload: what stays goes on, what is gone ends, a wrong file changes nothing")
    def _():
        before = {t["scrapePool"]: t for t in scraper.targets()}
        scraper.reload("scrape_configs:\n" + job("good"))
        assert [t["scrapePool"] for t in scraper.targets()] == ["good"]
        assert scraper.targets()[0]["lastScrape"] >= before["good"]["lastScrape"]
        assert scraper.targets()[0]["health"] == "up"
        ended = scraper.latest("job=html")
        assert ended and all(v[-1][1] == "StaleNaN" for v in ended.values()), ended
        scraper.configure("scrape_configs: [{job_name: x, scrape_intervall: 1s}]\n")
        scraper.process.send_signal(signal.SIGHUP)
        wait_for(lambda: scraper.metric("parallax_config_reload_errors_total", "/metrics/self") > 0, 10, "the error")
        assert 'did you mean "scrape_interval"?' in scraper.log_tail()
        assert [t["scrapePool"] for t in scraper.targets()] == ["good"]

    # ---- discovery ----

    @test("file_sd: files are followed while they are edited; a broken one changes nothing")
    def _():
        scraper.reload("scrape_configs:\n- job_name: f\n  scrape_interval: 1s\n  file_sd_configs: [{files: ['targets-*.json', 'targets.yml']}]\n")
        assert scraper.targets() == []
        write("targets-1.json", json.dumps([{"targets": [own_address], "labels": {"site": "a"}}]))
        wait_for(lambda: len(scraper.targets()) == 1, 5, "one target")
        write("targets.yml", f"- targets: ['{own_address}']\n  labels: {{site: b}}\n")
        wait_for(lambda: sorted(t["labels"]["site"] for t in scraper.targets()) == ["a", "b"], 5, "two targets")
        assert scraper.targets()[0]["discoveredLabels"]["__meta_filepath"].endswith("targets-1.json")
        wait_for(lambda: all(t["health"] == "up" for t in scraper.targets()), 10, "both up")
        write("targets-1.json", '[{"targets": [')
        time.sleep(1)
        assert len(scraper.targets()) == 2
        os.unlink(path("targets.yml"))
        wait_for(lambda: [t["labels"]["site"] for t in scraper.targets()] == ["a"], 5, "one target")
        gone = [v for s, v in scraper.latest("site=b").items()]
        assert gone and all(values[-1][1] == "StaleNaN" for values in gone)

    @test("http_sd: the list is followed; an answer that is none changes nothing")
    def _():
        Target.lists["/sd"] = (200, json.dumps([{"targets": [own_address], "labels": {"__meta_site": "x"}}]))
        scraper.reload(f"scrape_configs:\n- job_name: h\n  scrape_interval: 1s\n  http_sd_configs: [{{url: 'http://{own_address}/sd', "
                       f"refresh_interval: 1s}}]\n  relabel_configs: [{{source_labels: [__meta_site], target_label: site}}]\n")
        wait_for(lambda: [t["labels"].get("site") for t in scraper.targets()] == ["x"], 10, "the target")
        assert any(h.get("X-Prometheus-Refresh-Interval-Seconds") == "1" for h in Target.headers_seen)
        failures = scraper.metric("parallax_discovery_failures_total", "/metrics/self")
        for wrong in ((500, "no"), (200, "{"), (200, '{"targets": []}')):
            Target.lists["/sd"] = wrong
            wait_for(lambda: scraper.metric("parallax_discovery_failures_total", "/metrics/self") > failures, 10, "a failure")
            failures = scraper.metric("parallax_discovery_failures_total", "/metrics/self")
            assert len(scraper.targets()) == 1
        Target.lists["/sd"] = (200, "[]")
        wait_for(lambda: scraper.targets() == [], 10, "no target")

    @test("http_sd: an existing Prometheus finds this host's machines through parallaxd")
    def _():
        with Parallax() as p:
            deadline = time.monotonic() + 8
            machines = wait_for(lambda: p.machines()["machines"] or time.monotonic() > deadline, 20, "machines")
            def listing():
                """What is listed when it has not changed for three seconds: machines are found one after the other."""
                before = fetch(p.url + "/api/v1/parallax/sd?port=9123")
                time.sleep(3)
                after = fetch(p.url + "/api/v1/parallax/sd?port=9123")
                return after if before[0] == after[0] else None

            listed, headers = wait_for(listing, 60, "a list that stays")
            groups = json.loads(listed)
            assert headers["Content-Type"] == "application/json" and headers["X-Prometheus-Refresh-Interval-Seconds"] == "60"
            assert all(g["targets"][0].endswith(":9123") and g["labels"]["__meta_parallax_name"] for g in groups)
            if machines is True:  # this host has none: then none is listed
                assert groups == []
                return
            finder = servers.Prometheus(path("finder"))
            finder.config = (f"scrape_configs:\n- job_name: vm-internal\n  http_sd_configs: [{{url: '{p.url}/api/v1/parallax/sd'}}]\n"
                             "  relabel_configs:\n  - {source_labels: [__meta_parallax_name], target_label: domain}\n")
            finder.start()
            try:
                names = sorted(g["labels"]["__meta_parallax_name"] for g in groups)
                found = lambda: sorted(t["labels"]["domain"] for t in json.loads(finder.get("/api/v1/targets"))["data"]["activeTargets"])
                wait_for(lambda: found() == names, 20, f"Prometheus finds {names}")
            finally:
                finder.wipe()
finally:
    for server in (prometheus, scraper, victoria):
        server.wipe()
    for child in children:
        end(child)
    shutil.rmtree(folder, ignore_errors=True)

finish()

"""Programs that speak Prometheus's API, pointed at us: Grafana's data source (its calls, replayed), promtool, Debian's
Prometheus federating and remote-reading, vmalert, and three clients from npm. Beside them what the API does when it is
configured otherwise."""
from prom_pair import *

CONFIG = "web: {admin_api: true, lifecycle: true, external_url: 'https://example.org/mon'}\n"
pair = Pair(CONFIG)
NOW = pair.end
processes = []


def start(*args, log):
    process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=open(log, "wb"), stderr=subprocess.STDOUT)
    processes.append(process)
    return process


def ours(path, params=(), method="GET", **kw):
    return call(pair.ours.url + path, method, params, **kw)


try:

    @test("grafana: save and test, at the fourth second of 1970")
    def _():
        for method in ("POST", "GET"):
            answer = ours("/api/v1/query", {"query": "1+1", "time": "4"}, method)
            assert answer.status == 200 and answer.json["data"] == {"resultType": "scalar", "result": ["4", "2"]} or \
                answer.json["data"]["result"] == [4, "2"], answer

    @test("grafana: exemplars are probed with milliseconds and stay enabled")
    def _():
        for method in ("POST", "GET"):
            answer = ours("/api/v1/query_exemplars", {"query": "test", "start": NOW * 1000 - 5000, "end": NOW * 1000},
                method)
            assert answer.status == 200 and answer.json["status"] == "success", answer

    @test("grafana: the flavour is Prometheus, new enough for label matching")
    def _():
        data = ours("/api/v1/status/buildinfo").json["data"]
        assert "features" not in data and tuple(map(int, data["version"].split("."))) >= (2, 24, 0), data
        ruler = ours("/api/v1/rules/namespace")
        assert ruler.status == 404 and b"page not found" in ruler.body, ruler

    @test("grafana: the calls of a dashboard and of its editor")
    def _():
        window = {"start": f"{NOW - 1800}.133", "end": f"{NOW}.5"}
        answers = [
            ours("/api/v1/query_range", {"query": "sum by (job) (up)", "step": "15", **window}, "POST"),
            ours("/api/v1/query", {"query": "up", "time": f"{NOW}.133"}, "POST"),
            ours("/api/v1/labels", {"match[]": '{__name__="up"}', "limit": "40000", **window}, "POST"),
            ours("/api/v1/labels", {"limit": "40000", **window}),
            ours("/api/v1/label/__name__/values", {"limit": "40000", **window}),
            ours("/api/v1/label/U__job/values", {"match[]": "up", "limit": "40000", **window}),
            ours("/api/v1/series", {"match[]": '{__name__!=""}', "limit": "40000", **window}, "POST"),
            ours("/api/v1/metadata"),
            ours("/api/v1/rules"),
            ours("/api/v1/alerts"),
            ours("/api/v1/status/flags"),
        ]
        for answer in answers:
            assert answer.status == 200 and answer.json["status"] == "success" and answer.json["data"], answer
        assert len(answers[0].json["data"]["result"][0]["values"]) == 121, answers[0]

    @test("promtool: instant, range, series and labels")
    def _():
        def ask(url, *args):
            done = subprocess.run(["promtool", "query", *args[:1], url, *args[1:]], capture_output=True, text=True,
                timeout=60)
            return done.returncode, sorted(done.stdout.splitlines()), done.stderr
        for args in (["range", "--start", str(NOW - 600), "--end", str(NOW), "--step", "1m", "up"],
            ["range", "--start", str(NOW - 600), "--end", str(NOW), "sum("],
                     ["series", "--match", "up", "--start", str(pair.begin), "--end", str(NOW)], ["labels", "job"],
                     ["labels", "--start", str(pair.begin), "--end", str(NOW), "mode"], ["instant", "demo_gone"],
                         ["instant", "1 + 1 > bool 2"]):
            a, b = ask(pair.ours.url, *args), ask(pair.theirs.url, *args)
            if args[0] == "instant":  # at the time of the call
                a, b = ([re.sub(r"@\[.*\]", "", str(x)) for x in y] for y in (a, b))
            a, b = ([str(x).replace('invalid parameter "query": ', "") for x in y]
                for y in (a, b))  # 3.x says it for ranges too
            assert a == b, f"promtool query {args}:\n{a}\n{b}"

    @test("prometheus: federates from us")
    def _():
        fed = servers.Prometheus(pair.dir + "/federating")
        fed.config = f"""\
scrape_configs:
- job_name: federate
  scrape_interval: 1s
  honor_labels: true
  metrics_path: /federate
  params: {{'match[]': ['{{__name__=~"demo_(temperature|text|extreme).*"}}']}}
  static_configs: [{{targets: ['{pair.ours.address}']}}]
"""
        fed.start()
        try:
            query = {"query": 'last_over_time({__name__=~"demo_.*"}[10m])'}
            found = lambda: call(fed.url + "/api/v1/query", params=query).json["data"]["result"]
            wait_for(lambda: len(found()) == 21, 20, f"21 series")
            # The scraper gives a job to what has none; the instance that we say is empty keeps it from giving its own.
            key = lambda s: (json.dumps({k: v for k, v in s["metric"].items() if v != "federate"}, sort_keys=True),
                s["value"][1])
            expected = ours("/api/v1/query",
                {"query": 'last_over_time({__name__=~"demo_(temperature|text|extreme).*"}[10m])', "time": NOW})
            assert sorted(map(key, found())) == sorted(map(key, expected.json["data"]["result"])), call(
                fed.url + "/api/v1/query", params=query)
        finally:
            fed.wipe()

    @test("prometheus: reads from us what it does not have")
    def _():
        reader = servers.Prometheus(pair.dir + "/reading")
        reader.config = f"remote_read: [{{url: '{pair.ours.url}/api/v1/read', read_recent: true}}]\n"
        reader.start()
        try:
            for path, params in (("query", {"query": "demo_extreme", "time": NOW}),
                ("query", {"query": "up[10m]", "time": NOW}),
                                 ("query_range", {"query": "demo_temperature_celsius", "start": NOW - 3600, "end": NOW,
                                     "step": 15}),
                                 ("query_range", {"query": "demo_gone or demo_text", "start": pair.begin, "end": NOW,
                                     "step": 60}),
                                 ("query", {"query": 'count({job=~"n.*",instance!="host-1:9100"})', "time": NOW})):
                read, direct = (call(f"{s.url}/api/v1/{path}", params=params) for s in (reader, pair.theirs))
                key = lambda a: sorted(json.dumps(s, sort_keys=True) for s in a.json["data"]["result"])
                assert key(read) == key(direct) and key(read), f"{params}: {read} instead of {direct}"
        finally:
            reader.wipe()

    @test("vmalert: evaluates rules here, writes recordings and alerts back, restores them")
    def _():
        with open(pair.dir + "/rules.yml", "w") as f:
            f.write("""\
groups:
- name: demo
  interval: 1s
  rules:
  - record: job:demo_temperature_celsius:avg
    expr: avg by (job) (demo_temperature_celsius)
  - alert: TooWarm
    expr: demo_temperature_celsius > 0
    for: 1s
    labels: {severity: page}
""")
        command = ["vmalert", f"-rule={pair.dir}/rules.yml", f"-datasource.url={pair.ours.url}",
            f"-remoteWrite.url={pair.ours.url}",
                   f"-remoteRead.url={pair.ours.url}", "-notifier.url=http://127.0.0.1:9", "-evaluationInterval=1s",
                       "-datasource.queryStep=5m",
                   "-remoteWrite.flushInterval=200ms", f"-httpListenAddr=127.0.0.1:{free_port()}"]
        found = lambda query: ours("/api/v1/query", {"query": query}).json["data"]["result"]
        for run in (1, 2):
            process = start(*command, log=f"{pair.dir}/vmalert-{run}.log")
            begin = time.time()
            wait_for(lambda: [s for s in found("timestamp(job:demo_temperature_celsius:avg)")
                if float(s["value"][1]) >= begin], 20, "a recording")
            wait_for(lambda: len(found('ALERTS{alertname="TooWarm",alertstate="firing",severity="page"}')) == 6, 20,
                "six alerts")
            process.terminate()
            process.wait(20)
            log = open(f"{pair.dir}/vmalert-{run}.log").read()
            errors = [line for line in log.splitlines() if ("error" in line or "restore" in line)
                and "notifier" not in line and "127.0.0.1:9" not in line]
            assert not [line for line in errors if "\\terror\\t" in line], errors[:5]
        mean = found("avg by (job) (demo_temperature_celsius)")
        assert math.isclose(float(found("job:demo_temperature_celsius:avg")[0]["value"][1]), float(mean[0]["value"][1]),
            rel_tol=1e-9), mean

    @test("npm: three clients get what they get from Prometheus")
    def _():
        done = subprocess.run([os.path.join(TOP, "tests/clients/install.sh")], capture_output=True, text=True,
            timeout=600)
        assert done.returncode == 0, done.stderr
        ask = lambda url: json.loads(
            subprocess.run(["node", os.path.join(TOP, "tests/clients/ask.js"), done.stdout.strip(), url, str(NOW)],
                                                    capture_output=True, text=True, timeout=120, check=True).stdout)
        a, b = ask(pair.ours.url), ask(pair.theirs.url)
        # vmalert's series are here only; 2.42 knows the metadata of its targets only, no parse_query, and has flags of
        # its own.
        newer = lambda name: name.endswith(("etadata", "flags", "parseQuery"))
        dropped = ("job:demo_temperature_celsius:avg", "ALERTS", "ALERTS_FOR_STATE", "alertgroup", "alertname",
            "alertstate", "severity")
        for name, answer in a.items():
            if newer(name):
                assert not str(answer).startswith("error") and answer, f"{name}: {answer}"
                continue
            if isinstance(answer, list):
                answer = [x for x in answer if x not in dropped]
            assert answer == b[name], f"{name}: {str(answer)[:1000]} instead of {str(b[name])[:1000]}"

    @test("admin: a series is deleted, a snapshot is made")
    def _():
        assert ours("/api/v1/query",
            {"query": "count(demo_text)", "time": NOW}).json["data"]["result"], "nothing to delete"
        assert ours("/api/v1/admin/tsdb/delete_series", method="POST").status == 400
        gone = ours("/api/v1/admin/tsdb/delete_series?match[]=demo_text", method="POST")
        assert gone.status == 204 and gone.body == b"", gone
        assert ours("/api/v1/query", {"query": "count(demo_text)", "time": NOW}).json["data"]["result"] == []
        assert ours("/api/v1/admin/tsdb/clean_tombstones", method="POST").status == 204
        answer = ours("/api/v1/admin/tsdb/snapshot", method="POST")
        name = answer.json["data"]["name"]
        assert os.listdir(os.path.join(pair.ours.dir, "snapshots", name)), answer
        refused = ours("/api/v1/admin/tsdb/snapshot", method="POST", headers={"Origin": "http://evil.example"})
        assert refused.status == 403, refused

    @test("settings: a reload changes limits; what is over one is refused by its name")
    def _():
        path = pair.dir + "/parallax.yaml"
        base = open(path).read()
        def configure(text):
            with open(path, "w") as f:
                f.write(base + text)
            return ours("/-/reload", method="POST")
        assert configure("query: {max_samples: 1000, max_answer: 64KiB, timeout: 5s}\n").status == 200
        wide = {"query": "demo_temperature_celsius", "start": pair.begin, "end": NOW, "step": 15}
        answer = ours("/api/v1/query_range", wide)
        assert answer.status == 422 and answer.json["errorType"] == "execution" and "sample" in answer.json[
            "error"], answer
        assert configure("query: {max_answer: 64KiB}\n").status == 200
        answer = ours("/api/v1/query_range", wide)
        assert answer.status == 422 and "query.max_answer" in answer.json["error"], answer
        assert configure("query: {features: nonsense}\n").status == 500
        assert configure("query: {features: 'promql-experimental-functions'}\n").status == 200
        assert ours("/api/v1/features").json["data"]["promql"]["experimental_functions"] is True
        assert ours("/api/v1/query", {"query": "limitk(1, up)", "time": NOW}).status == 200
        assert configure("").status == 200
        assert ours("/api/v1/query", {"query": "limitk(1, up)", "time": NOW}).status == 400

    @test("settings: many queries at once are served in turn, more are refused with Retry-After, and all are counted")
    def _():
        slow = " + ".join(f"sum(quantile_over_time(0.{n}, demo_cpu_seconds_total[4h:5s]))" for n in range(10, 40))
        params = {"query": slow, "start": pair.begin, "end": NOW, "step": 2, "timeout": "20s"}
        path = "/api/v1/query_range?" + urllib.parse.urlencode(params)
        counted = lambda name: value(parse(ours("/metrics/self").body.decode()), "parallax_queries_" + name) or 0
        abandoned = counted("abandoned_total")
        connections = []
        for _ in range(50):
            s = socket.create_connection(("127.0.0.1", pair.ours.port))
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            connections.append(s)
        refused = wait_for(lambda: counted("refused_total"), 10, "some are refused")
        waiting = counted("waiting")
        assert waiting <= 32 and refused >= 14, f"{waiting} wait, {refused} refused"
        text = connections[-1].recv(4096).decode()
        assert " 503 " in text.split("\r\n")[0] and "Retry-After: 1" in text and "query.queue" in text, text
        begin = time.monotonic()
        # Another source has its turn soon.
        with socket.create_connection(("127.0.0.1", pair.ours.port), source_address=("127.0.0.2", 0)) as other:
            other.settimeout(60)
            other.sendall(b"GET /api/v1/query?query=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in other.recv(4096)
        for s in connections:
            s.close()
        wait_for(lambda: counted("running") == 0, 10, "all were cancelled")
        assert counted("abandoned_total") > abandoned
        assert time.monotonic() - begin < 30

    @test("settings: external labels are added to what others take, where there is none")
    def _():
        path = pair.dir + "/parallax.yaml"
        base = open(path).read()
        with open(path, "w") as f:
            f.write(base + "global: {external_labels: {site: ber1, job: other}}\n")
        assert ours("/-/reload", method="POST").status == 200
        lines = parse(re.sub(r" \d+$", "", ours("/federate", {"match[]": ["up", "demo_extreme"]}).body.decode(),
            flags=re.M))
        assert {dict(labels)["site"] for _, labels in lines} == {"ber1"}, lines
        assert {dict(labels)["job"] for name, labels in lines if name == "up"} == {"node"}, lines
        assert {dict(labels)["job"] for name, labels in lines if name == "demo_extreme"} == {"other"}, lines
        with open(path, "w") as f:
            f.write(base)
        assert ours("/-/reload", method="POST").status == 200
        assert b"ber1" not in ours("/federate", {"match[]": "up"}).body

    @test("settings: every path begins with the prefix")
    def _():
        other = servers.Parallax(pair.dir + "/prefixed")
        with open(pair.dir + "/prefixed.yaml", "w") as f:
            f.write(f"runtime_dir: {pair.dir}\nweb: {{route_prefix: /mon/, cors_origin: 'https://a.example'}}\n")
        other.extra = ["--config", pair.dir + "/prefixed.yaml"]
        other.ready_path = "/mon/-/ready"
        other.start()
        try:
            assert call(other.url + "/mon/api/v1/query", params={"query": "1"}).status == 200
            assert call(other.url + "/mon/api/v1/query", "POST", {"query": "1"}).status == 200
            assert call(other.url + "/mon").status == 200
            assert call(other.url + "/api/v1/query", params={"query": "1"}).status == 404
            assert call(other.url + "/monitor/-/ready").status == 404
            answer = call(other.url + "/mon/api/v1/labels", headers={"Origin": "https://b.example"})
            assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example", answer.headers
        finally:
            other.wipe()

    @test("lifecycle: quit ends it")
    def _():
        done = subprocess.run(["curl", "-sX", "POST", pair.ours.url + "/-/quit"], capture_output=True, text=True)
        assert done.stdout.startswith("Requesting termination"), done  # a POST without any length, as people send it
        assert pair.ours.process.wait(20) == 0
finally:
    for process in processes:
        if process.poll() is None:
            process.kill()
    pair.close()

finish()
